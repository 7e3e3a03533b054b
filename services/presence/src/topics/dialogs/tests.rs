use cluster_api::presence::v1::WatcherPolicy;
use cluster_api::presence::v1::watcher_policy::Rule;

use super::*;
use crate::engine::Standing;

const ALICE: &str = "sip:alice@d";

fn dialog(id: &str, far: Far) -> Dialog {
    let side = |who: &str| Side { identity: format!("sip:{who}@d"), ..Side::default() };
    Dialog {
        id: id.to_owned(),
        sip_call_id: format!("call-{id}"),
        local_tag: "mine".to_owned(),
        remote_tag: "theirs".to_owned(),
        far: far.into(),
        local: Some(side("alice")),
        remote: Some(side("bob")),
        ..Dialog::default()
    }
}

fn seen(dialogs: &[(&str, Far)], policy: WatcherPolicy) -> Seen {
    let mut record = Dialogs::default();
    for (id, far) in dialogs {
        assert_eq!(record.take(id, 1, vec![dialog(id, *far)], 1_000), Taken::New);
    }
    let mut known = Policy::read(ALICE, None).unwrap();
    known.set = policy;
    let policy = known;
    Seen { aor: ALICE.to_owned(), dialogs: record, policy }
}

fn asking<'a>(watcher: &'a str, version: u32, told: Option<&'a [u8]>) -> Asking<'a> {
    Asking { watcher, standing: Standing::Active, version, filter: None, told }
}

fn document(seen: &Seen, asking: &Asking<'_>) -> (String, Vec<u8>) {
    let document = seen.document(asking);
    (String::from_utf8(document.body).unwrap(), document.told)
}

fn rule(action: Action) -> WatcherPolicy {
    let rules = vec![Rule { watcher: "sip:bob@d".to_owned(), action: action.into() }];
    WatcherPolicy { rules, ..WatcherPolicy::default() }
}

/// PKG-03: everything first, then what changed, and an end once.
#[test]
fn a_call_is_told_until_its_end() {
    let none = WatcherPolicy::default;
    let (text, told) = document(&seen(&[("1", Far::Early)], none()), &asking(ALICE, 0, None));
    assert!(text.contains("version=\"0\" state=\"full\"") && text.contains("<state>early</state>"), "{text}");
    assert!(text.contains("call-id=\"call-1\" local-tag=\"mine\" remote-tag=\"theirs\""), "{text}");
    let two = seen(&[("1", Far::Early), ("2", Far::Trying)], none());
    let (text, told) = document(&two, &asking(ALICE, 1, Some(&told)));
    assert!(text.contains("version=\"1\" state=\"partial\"") && text.contains("id=\"2\""), "{text}");
    assert!(!text.contains("id=\"1\""), "{text}");
    let over = seen(&[("1", Far::RemoteBye), ("2", Far::Trying)], none());
    let (text, told) = document(&over, &asking(ALICE, 2, Some(&told)));
    assert!(text.contains("id=\"1\"") && text.contains("<state event=\"remote-bye\">terminated</state>"));
    assert_eq!(document(&over, &asking(ALICE, 3, Some(&told))).1, told, "told once");
    let forgotten = seen(&[("2", Far::Trying)], none());
    assert_eq!(document(&forgotten, &asking(ALICE, 3, Some(&told))).1, told);
    let (text, told) = document(&seen(&[], none()), &asking(ALICE, 3, Some(&told)));
    assert!(text.contains("<dialog id=\"2\">\r\n<state>terminated</state>"), "{text}");
    assert!(told.is_empty());
    assert!(!document(&over, &asking(ALICE, 4, None)).0.contains("id=\"1\""), "what is over is not listed");
}

/// PKG-04: a pick-up group against a stranger.
#[test]
fn strangers_see_whether_there_is_a_call_and_no_more() {
    let live = [("1", Far::Early), ("2", Far::Confirmed)];
    let text = |watcher: &str, policy| document(&seen(&live, policy), &asking(watcher, 0, None)).0;
    let of_group = text("sip:bob@d", rule(Action::Allow));
    assert!(of_group.contains("call-id=\"call-1\"") && of_group.contains("sip:bob@d"), "{of_group}");
    let stranger = text("sip:carol@d", rule(Action::Allow));
    assert!(stranger.contains("<dialog id=\"busy\">\r\n<state>confirmed</state>\r\n</dialog>"), "{stranger}");
    assert!(!stranger.contains("call-") && !stranger.contains("bob") && !stranger.contains("direction"));
    assert_eq!(stranger.matches("<dialog ").count(), 1);
    assert!(!text("sip:bob@d", rule(Action::PoliteBlock)).contains("<dialog "));
    assert_eq!(seen(&live, rule(Action::Block)).access("sip:bob@d"), Access::Refused);
    assert_eq!(seen(&live, rule(Action::Confirm)).access("sip:bob@d"), Access::Undecided);
    // A second call of somebody who is busy changes nothing for a stranger.
    let one = seen(&live[..1], WatcherPolicy::default());
    let told = document(&one, &asking("sip:carol@d", 0, None)).1;
    let two = seen(&live, WatcherPolicy::default());
    assert_eq!(document(&two, &asking("sip:carol@d", 1, Some(&told))).1, told);
}

/// PKG-03: Event parameters choose by Call-ID, own tag and other tag.
#[test]
fn a_filter_chooses_by_local_and_remote_tag() {
    let live = seen(&[("1", Far::Early), ("2", Far::Confirmed)], WatcherPolicy::default());
    let shown = |call_id: &str, to_tag: &str, from_tag: &str| {
        let [call_id, to_tag, from_tag] = [call_id, to_tag, from_tag].map(str::to_owned);
        let filter = Filter { call_id, to_tag, from_tag };
        let asking = Asking { filter: Some(&filter), ..asking(ALICE, 0, None) };
        document(&live, &asking).0.matches("<dialog ").count()
    };
    assert_eq!(shown("call-1", "mine", "theirs"), 1);
    assert_eq!(shown("call-1", "mine", ""), 1);
    assert_eq!(shown("call-1", "theirs", "mine"), 0);
    assert_eq!(shown("call-3", "mine", "theirs"), 0);
}

#[test]
fn what_comes_late_or_twice_changes_nothing_and_brings_nothing_back() {
    let mut record = Dialogs::default();
    let mut take = |revision, far, now_ms| record.take("c", revision, vec![dialog("c", far)], now_ms);
    assert_eq!(take(3, Far::Confirmed, 0), Taken::New);
    assert_eq!(take(2, Far::Early, 1), Taken::Old);
    assert_eq!(take(3, Far::Early, 1), Taken::Old, "a step of what is known as a whole");
    assert_eq!(take(3, Far::Confirmed, 1), Taken::Old);
    assert_eq!(take(4, Far::LocalBye, 2), Taken::New);
    assert_eq!(take(3, Far::Confirmed, REMEMBERED_MS), Taken::Old);
}

#[test]
fn there_is_an_end_to_the_calls_of_one_user() {
    let mut record = Dialogs::default();
    for n in 0..MOST {
        let far = if n == 7 { Far::Rejected } else { Far::Early };
        assert_eq!(record.take(&n.to_string(), 1, vec![dialog("x", far)], 1), Taken::New);
    }
    assert_eq!(
        record.take("one more", 1, vec![dialog("x", Far::Early)], 1),
        Taken::New,
        "for one that ended"
    );
    assert_eq!(record.take("too many", 1, vec![dialog("x", Far::Early)], 1), Taken::Full);
    assert_eq!(record.calls.len(), MOST);
}

#[test]
fn calls_that_are_listed_no_more_have_ended_unless_they_are_newer_than_the_list() {
    let mut before = Dialogs::default();
    before.take("gone", 1, vec![dialog("gone", Far::Early)], 1);
    before.take("stays", 1, vec![dialog("stays", Far::Early)], 1);
    before.take("moved", 1, vec![dialog("moved", Far::Early)], 1);
    let mut now = before.clone();
    now.take("moved", 2, vec![dialog("moved", Far::Confirmed)], 2);
    now.take("new", 1, vec![dialog("new", Far::Trying)], 2);
    now.end_others(&before, |call_id| call_id == "stays", 3);
    let live: Vec<&str> =
        now.calls.iter().filter(|known| known.end_ms == 0).map(|known| known.call_id.as_str()).collect();
    assert_eq!(live, ["stays", "moved", "new"]);
}
