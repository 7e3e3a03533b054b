//! The packages dialog and conference, over replicas that come and go.

use std::time::Duration;

use cluster_api::callcontrol::v1::call::State;
use cluster_api::presence::v1::conferences_server::Conferences as _;
use cluster_api::presence::v1::presence_server::Presence as _;
use cluster_api::presence::v1::tell_conference_request::Change;
use cluster_api::presence::v1::watcher_policy::{Action, Rule};
use cluster_api::presence::v1::{
    ConferenceEnded, ConferenceState, ConferenceUser, SetWatcherPolicyRequest, TellConferenceRequest,
    WatcherPolicy,
};
use cluster_api::sip::v1::Header;
use presence::Presence;
use tokio::time::sleep;
use tonic::Request;

use crate::rig::{Rig, ask, body, header, subscribe};

const CALL: (&str, &str) = ("carol", "alice");

async fn allow(replica: &Presence, owner: &str, watcher: &str) {
    let rule = Rule { watcher: format!("sip:{watcher}@d"), action: Action::Allow.into() };
    let policy =
        WatcherPolicy { aor: format!("sip:{owner}@d"), rules: vec![rule], ..WatcherPolicy::default() };
    let request = SetWatcherPolicyRequest { request_id: String::new(), policy: Some(policy) };
    replica.set_watcher_policy(Request::new(request)).await.expect("the policy is set");
}

/// PKG-03, PKG-04, EVT-13: the lamp of a pick-up group: full state, what changes, versions that go up by one, an end.
#[tokio::test(start_paused = true)]
async fn a_lamp_follows_a_call_and_names_it_to_its_group() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    allow(&replica, "alice", "bob").await;
    let accepted = ask(&replica, subscribe("bob", "alice", "dialog", 9_000)).await;
    assert_eq!((accepted.status, header(&accepted, "Expires").as_str()), (200, "3600"));
    let idle = body(&rig.phones.notify("bob", 1).await);
    assert!(idle.contains("version=\"0\" state=\"full\"") && !idle.contains("<dialog "), "{idle}");
    sleep(Duration::from_secs(5)).await;
    rig.calls.call("c", CALL, State::Ringing);
    let ringing = body(&rig.phones.notify("bob", 2).await);
    assert!(ringing.contains("version=\"1\" state=\"partial\""), "{ringing}");
    assert!(
        ringing.contains("call-id=\"c@host\" local-tag=\"tag-alice\" remote-tag=\"tag-carol\""),
        "{ringing}"
    );
    assert!(
        ringing.contains("direction=\"recipient\"") && ringing.contains("<state>early</state>"),
        "{ringing}"
    );
    assert!(ringing.contains("<target uri=\"sip:carol@phone\"/>"), "{ringing}");
    rig.calls.call("c", CALL, State::Answered);
    rig.calls.call("c", CALL, State::Ended);
    let over = body(&rig.phones.notify("bob", 3).await);
    assert!(
        over.contains("version=\"2\" state=\"partial\"") && over.contains(">terminated</state>"),
        "{over}"
    );
    sleep(Duration::from_secs(30)).await;
    let told = rig.phones.notified("bob");
    assert_eq!(told.len(), 3, "the answer came and went within the second");
    let between = told[2].0 - told[1].0;
    assert!(between >= Duration::from_secs(1), "{between:?}");
}

/// PKG-03: who subscribes during a call is told of it at once, by default two hours for one dialog; and by its tags alone.
#[tokio::test(start_paused = true)]
async fn a_call_that_goes_on_is_in_the_first_notify() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    rig.calls.call("c", CALL, State::Answered);
    rig.calls.call("other", ("alice", "dave"), State::Ringing);
    let mut one = subscribe("alice", "alice", "", 0);
    one.expires = None;
    one.headers = vec![Header::new("Event", "dialog;call-id=\"c@host\";to-tag=tag-alice;from-tag=tag-carol")];
    let accepted = ask(&replica, one).await;
    assert_eq!((accepted.status, header(&accepted, "Expires").as_str()), (200, "7200"));
    let notify = rig.phones.notify("alice", 1).await;
    let text = body(&notify);
    assert!(text.contains("<state>confirmed</state>") && text.contains("direction=\"recipient\""), "{text}");
    assert_eq!(text.matches("<dialog ").count(), 1, "{text}");
    let event = notify.headers.iter().find(|header| header.is("Event")).expect("an Event");
    assert_eq!(event.value, "dialog");
    let half = vec![Header::new("Event", "dialog;call-id=\"c@host\"")];
    let mut half =
        cluster_api::presence::v1::HandleRequest { headers: half, ..subscribe("eve", "alice", "", 60) };
    half.expires = None;
    assert_eq!(ask(&replica, half).await.status, 400);
}

/// PKG-03, EVT-12: the replica that follows calls dies; what happened meanwhile is told once, in order, by the other one, also
/// when the log reaches back no more.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_the_replica_that_follows_calls_dies() {
    for forgets in [false, true] {
        let rig = Rig::new();
        let one = rig.replica(false);
        assert_eq!(ask(&one, subscribe("alice", "alice", "dialog", 3_600)).await.status, 200);
        rig.phones.notify("alice", 1).await;
        sleep(Duration::from_secs(5)).await;
        rig.calls.call("c", CALL, State::Ringing);
        assert!(body(&rig.phones.notify("alice", 2).await).contains("<state>early</state>"));
        let two = rig.replica(false);
        one.stop(Duration::ZERO).await;
        rig.calls.call("c", CALL, State::Ended);
        rig.calls.call("d", CALL, State::Answered);
        if forgets {
            *rig.calls.forgot.lock() = 3;
        }
        let mut text = String::new();
        let mut number = 3;
        while !(text.contains("terminated") && text.contains("d@host")) {
            text += &body(&rig.phones.notify("alice", number).await);
            number += 1;
        }
        sleep(Duration::from_secs(60)).await;
        let told = rig.phones.notified("alice");
        let versions: Vec<String> = told.iter().map(|(_, request)| body(request)).collect();
        for (version, text) in versions.iter().enumerate() {
            assert!(text.contains(&format!("version=\"{version}\"")), "{text}");
        }
        assert_eq!(versions.iter().filter(|text| text.contains(">terminated<")).count(), 1, "{versions:?}");
        two.stop(Duration::ZERO).await;
    }
}

/// PKG-04: a stranger sees a lamp and nothing else; who is blocked sees nothing.
#[tokio::test(start_paused = true)]
async fn a_stranger_sees_busy_and_idle() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    assert_eq!(ask(&replica, subscribe("stranger", "alice", "dialog", 600)).await.status, 200);
    rig.phones.notify("stranger", 1).await;
    sleep(Duration::from_secs(5)).await;
    rig.calls.call("c", CALL, State::Ringing);
    let busy = body(&rig.phones.notify("stranger", 2).await);
    assert!(busy.contains("<state>confirmed</state>"), "{busy}");
    assert!(!busy.contains("carol") && !busy.contains("c@host") && !busy.contains("tag-"), "{busy}");
    rig.calls.call("c", CALL, State::Answered);
    sleep(Duration::from_secs(5)).await;
    rig.calls.call("c", CALL, State::Ended);
    let idle = body(&rig.phones.notify("stranger", 3).await);
    assert!(idle.contains(">terminated</state>"), "{idle}");
}

/// A call of users whom nobody watches leaves nothing; a last watcher who goes leaves nothing; many who come at once share a list.
#[tokio::test(start_paused = true)]
async fn what_nobody_watches_costs_nothing() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    sleep(Duration::from_secs(5)).await;
    let before = rig.store.record_count();
    rig.calls.call("c", CALL, State::Ringing);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.store.record_count(), before);
    let users: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
    let asks = users.iter().map(|user| ask(&replica, subscribe(user, user, "dialog", 60)));
    assert!(futures_util::future::join_all(asks).await.iter().all(|answer| answer.status == 200));
    assert!(*rig.calls.lists.lock() < 20, "{}", rig.calls.lists.lock());
    sleep(Duration::from_secs(300)).await;
    // The lease on the stream stays, and says that nobody reads it.
    assert!(rig.store.record_count() <= before + 1);
}

fn told(version: u64, change: Change) -> Request<TellConferenceRequest> {
    let conference_uri = "sip:conf@d".to_owned();
    Request::new(TellConferenceRequest { conference_uri, version, change: Some(change) })
}

fn users(names: &[&str]) -> Change {
    let user = |name: &&str| ConferenceUser { entity: format!("sip:{name}@d"), ..ConferenceUser::default() };
    Change::State(ConferenceState { users: names.iter().map(user).collect(), ..ConferenceState::default() })
}

/// PKG-05: join and leave are told with the next version, the end of the conference ends the subscription.
#[tokio::test(start_paused = true)]
async fn the_roster_of_a_conference_is_told_until_its_end() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let of_member = || subscribe("alice", "conf", "conference", 9_000);
    assert_eq!(ask(&replica, of_member()).await.status, 404);
    replica.tell_conference(told(1, users(&["alice"]))).await.expect("it is committed");
    let accepted = ask(&replica, of_member()).await;
    assert_eq!((accepted.status, header(&accepted, "Expires").as_str()), (200, "3600"));
    assert_eq!(ask(&replica, subscribe("stranger", "conf", "conference", 600)).await.status, 403);
    let full = body(&rig.phones.notify("alice", 1).await);
    assert!(full.contains("state=\"full\" version=\"0\"") && full.contains("sip:alice@d"), "{full}");
    sleep(Duration::from_secs(5)).await;
    let joined = replica.tell_conference(told(2, users(&["alice", "bob"]))).await.expect("it is committed");
    assert!(joined.into_inner().applied);
    let late = replica.tell_conference(told(2, users(&["alice"]))).await.expect("it is known");
    assert!(!late.into_inner().applied);
    let partial = body(&rig.phones.notify("alice", 2).await);
    assert!(
        partial.contains("state=\"partial\" version=\"1\"") && partial.contains("sip:bob@d"),
        "{partial}"
    );
    sleep(Duration::from_secs(5)).await;
    replica.tell_conference(told(3, users(&["alice"]))).await.expect("it is committed");
    let left = body(&rig.phones.notify("alice", 3).await);
    assert!(left.contains("<user entity=\"sip:bob@d\" state=\"deleted\"/>"), "{left}");
    replica.tell_conference(told(4, Change::Ended(ConferenceEnded {}))).await.expect("it is committed");
    let end = rig.phones.notify("alice", 4).await;
    let state = end.headers.iter().find(|header| header.is("Subscription-State")).expect("a state");
    assert_eq!(state.value, "terminated;reason=noresource");
    assert_eq!(ask(&replica, subscribe("bob", "conf", "conference", 600)).await.status, 404);
}
