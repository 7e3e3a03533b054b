use super::super::Document;
use super::*;

/// One word that is told to whoever is let in.
struct Word(&'static str, Access);

impl Topic for Word {
    fn access(&self, _: &str) -> Access {
        self.1
    }

    fn document(&self, asking: &Asking<'_>) -> Document {
        let word = if asking.standing == Standing::Pending { "neutral" } else { self.0 };
        let body = format!("{word} {}", asking.version).into_bytes();
        Document { content_type: "text/plain".to_owned(), body, told: word.into() }
    }
}

const SECOND: u64 = 1_000;

fn word(word: &'static str) -> Word {
    Word(word, Access::Granted)
}

fn asked(cseq: u32, expires_s: Option<u32>) -> Asked {
    Asked { cseq, contact: "sip:w@host".to_owned(), flow: String::new(), expires_s }
}

fn begun(topic: &Word, expires_s: Option<u32>) -> Subscription {
    let what = ("id".to_owned(), Package::MessageSummary, "sip:a@d".to_owned());
    let who = ("sip:w@d".to_owned(), String::new());
    begin(what, who, (None, None), Dialog::default(), &asked(1, expires_s), topic, 0).unwrap()
}

/// A subscription whose first NOTIFY was answered.
fn settled(topic: &Word) -> Subscription {
    let mut subscription = begun(topic, None);
    let step = subscription.step(&ok(1), topic, 10);
    assert_eq!(step, Step::default());
    subscription
}

fn answered(number: u32, status: u32) -> Event<'static> {
    Event::Answered(number, Answer { status, retry_after_s: None })
}

fn ok(number: u32) -> Event<'static> {
    answered(number, 200)
}

/// State and body of the NOTIFY under way.
fn said(subscription: &Subscription) -> (u32, String, String) {
    let notify = subscription.notify.clone().expect("a NOTIFY is under way");
    (notify.number, notify.state, String::from_utf8(notify.body).unwrap())
}

fn notify(number: u32, state: &str, body: &str) -> (u32, String, String) {
    (number, state.to_owned(), body.to_owned())
}

const SENDS: Step = Step { sends: true, is_over: false };
const OVER: Step = Step { sends: false, is_over: true };

/// EVT-02, EVT-03, EVT-04: nobody gets more time than the package gives, and everybody gets a NOTIFY at once.
#[test]
fn a_subscription_begins_with_all_there_is_and_no_more_time_than_its_package_gives() {
    for (wanted, granted) in [(None, 3_600), (Some(7_200), 3_600), (Some(600), 600)] {
        let subscription = begun(&word("x"), wanted);
        assert_eq!(subscription.granted_s, granted);
        assert_eq!(said(&subscription), notify(1, &format!("active;expires={granted}"), "x 0"));
    }
    let pending = begun(&Word("x", Access::Undecided), None);
    assert_eq!(said(&pending), notify(1, "pending;expires=3600", "neutral 0"));
}

/// EVT-03: a fetch.
#[test]
fn a_fetch_is_told_the_state_once_and_is_over_with_the_answer() {
    let topic = word("x");
    let mut fetch = begun(&topic, Some(0));
    assert_eq!(said(&fetch), notify(1, "terminated;reason=timeout", "x 0"));
    assert_eq!(fetch.step(&Event::Look, &topic, SECOND), Step::default());
    assert_eq!(fetch.step(&answered(1, 500), &topic, SECOND), OVER);
}

/// EVT-06: an answer of which nothing follows is taken without the topic, as it would be with it; any other one is not.
#[test]
fn an_answer_that_settles_everything_needs_no_topic() {
    let topic = word("a");
    let begun = begun(&topic, None);
    let mut owing = begun.clone();
    owing.step(&Event::Look, &word("b"), 100);
    assert!(owing.owes);
    let mut ended = begun.clone();
    ended.step(&Event::NoResource, &topic, 100);
    let lapsed = Subscription { expire_ms: SECOND, ..begun.clone() };
    for (before, event, settles) in [
        (&begun, ok(1), true),
        (&begun, answered(1, 202), true),
        (&begun, ok(2), false),
        (&begun, answered(1, 503), false),
        (&begun, answered(1, 481), false),
        (&begun, Event::Look, false),
        (&settled(&topic), ok(1), false),
        (&owing, ok(1), false),
        (&ended, ok(2), false),
        (&lapsed, ok(1), false),
    ] {
        let (mut by_itself, mut stepped) = (before.clone(), before.clone());
        assert_eq!(by_itself.settle(&event, SECOND), settles, "{event:?}");
        if settles {
            assert_eq!(stepped.step(&event, &topic, SECOND), Step::default());
            assert_eq!(by_itself, stepped);
        } else {
            assert_eq!(&by_itself, before, "{event:?}");
        }
    }
}

/// EVT-13, PKG-06: a change is told when the package allows, the last state is, and versions go up by one.
#[test]
fn changes_between_two_notifications_are_one_and_the_last_state_is_told() {
    let mut subscription = settled(&word("a"));
    for (at, topic) in [(100, word("b")), (200, word("c"))] {
        assert_eq!(subscription.step(&Event::Look, &topic, at), Step::default());
    }
    assert_eq!(subscription.due_ms(), SECOND);
    assert_eq!(subscription.step(&Event::Look, &word("c"), SECOND), SENDS);
    assert_eq!(said(&subscription), notify(2, "active;expires=3599", "c 1"));
    // one under way: the next waits for its answer, and for its turn
    assert_eq!(subscription.step(&Event::Look, &word("d"), 5 * SECOND), Step::default());
    assert_eq!(subscription.step(&ok(2), &word("d"), 6 * SECOND), SENDS);
    assert_eq!(said(&subscription), notify(3, "active;expires=3594", "d 2"));
    // back to what is known: nothing is owed
    assert_eq!(subscription.step(&ok(3), &word("d"), 9 * SECOND), Step::default());
    assert_eq!(subscription.due_ms(), 3_600 * SECOND);
}

/// EVT-13: everything is told at once after a SUBSCRIBE, also while an older NOTIFY is under way, whose answer counts no more.
#[test]
fn a_refresh_is_answered_by_the_whole_state_at_once() {
    let topic = word("a");
    let mut subscription = begun(&topic, None);
    let refresh = Asked { contact: "sip:w@elsewhere".to_owned(), ..asked(2, Some(600)) };
    assert_eq!(subscription.step(&Event::Subscribe(&refresh), &topic, 500), SENDS);
    assert_eq!(said(&subscription), notify(2, "active;expires=600", "a 1"));
    assert_eq!(subscription.dialog.remote_target, "sip:w@elsewhere");
    assert_eq!(subscription.step(&answered(1, 481), &topic, 600), Step::default());
    assert_eq!(subscription.step(&ok(2), &topic, 700), Step::default());
}

/// EVT-10: nobody refreshed it.
#[test]
fn a_subscription_that_lapses_says_so_and_goes() {
    let topic = word("a");
    let mut subscription = settled(&topic);
    assert_eq!(subscription.due_ms(), 3_600 * SECOND);
    assert_eq!(subscription.step(&Event::Look, &topic, 3_600 * SECOND), SENDS);
    assert_eq!(said(&subscription), notify(2, "terminated;reason=timeout", "a 1"));
    assert_eq!(subscription.step(&ok(2), &topic, 3_601 * SECOND), OVER);
}

/// EVT-04: `Expires: 0` in the dialog.
#[test]
fn a_watcher_that_leaves_is_told_the_state_once_more() {
    let topic = word("a");
    let mut subscription = settled(&topic);
    assert_eq!(subscription.step(&Event::Subscribe(&asked(2, Some(0))), &topic, SECOND), SENDS);
    assert_eq!(said(&subscription), notify(2, "terminated;reason=timeout", "a 1"));
    let late = Event::Subscribe(&asked(3, None));
    let late = late.clone();
    assert_eq!(subscription.step(&late, &topic, 2 * SECOND), Step::default());
    assert_eq!(subscription.step(&ok(2), &topic, 2 * SECOND), OVER);
}

/// EVT-06: each answer that says never.
#[test]
fn an_answer_that_says_never_ends_the_subscription() {
    for status in [404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604] {
        let topic = word("a");
        let mut subscription = begun(&topic, None);
        assert_eq!(subscription.step(&answered(1, status), &topic, SECOND), OVER, "{status}");
    }
}

/// EVT-06: the same for silence, seen by another replica.
#[test]
fn a_watcher_that_never_answers_is_given_up() {
    let topic = word("a");
    let mut subscription = begun(&topic, None);
    assert_eq!(subscription.due_ms(), PATIENCE_MS);
    assert_eq!(subscription.step(&Event::Look, &topic, PATIENCE_MS - 1), Step::default());
    assert_eq!(subscription.step(&Event::Look, &topic, PATIENCE_MS), OVER);
}

/// A refusal that may pass: the state is told again, all of it, later and later.
#[test]
fn a_refusal_that_may_pass_is_tried_again_until_it_has_failed_five_times() {
    let topic = word("a");
    let mut subscription = begun(&topic, Some(3_600));
    let mut now = 0;
    for number in 1..=4 {
        assert_eq!(subscription.step(&answered(number, 503), &topic, now), Step::default());
        let next = subscription.due_ms();
        assert!(next - now >= (2 * SECOND) << number, "{number}: {}", next - now);
        now = next;
        assert_eq!(subscription.step(&Event::Look, &topic, now), SENDS);
        assert_eq!(said(&subscription).2, format!("a {number}"));
    }
    assert_eq!(subscription.step(&answered(5, 503), &topic, now), OVER);
    let mut patient = begun(&topic, None);
    let wait = Answer { status: 503, retry_after_s: Some(120) };
    patient.step(&Event::Answered(1, wait), &topic, 0);
    assert_eq!(patient.due_ms(), 120 * SECOND);
}

/// PRS-03: a decision of the owner is told at once, whatever was told just before.
#[test]
fn a_decision_of_the_owner_is_told_at_once() {
    let mut subscription = begun(&Word("a", Access::Undecided), None);
    subscription.step(&ok(1), &Word("a", Access::Undecided), 10);
    assert_eq!(subscription.step(&Event::Look, &word("a"), 20), SENDS);
    assert_eq!(said(&subscription), notify(2, "active;expires=3600", "a 1"));
    subscription.step(&ok(2), &word("a"), 30);
    assert_eq!(subscription.step(&Event::Look, &Word("a", Access::Refused), 40), SENDS);
    assert_eq!(said(&subscription), notify(3, "terminated;reason=rejected", ""));
}

/// EVT-04: `noresource`.
#[test]
fn a_resource_that_goes_takes_its_subscriptions_along() {
    let topic = word("a");
    let mut subscription = settled(&topic);
    assert_eq!(subscription.step(&Event::NoResource, &topic, SECOND), SENDS);
    assert_eq!(said(&subscription), notify(2, "terminated;reason=noresource", ""));
    assert_eq!(subscription.step(&Event::NoResource, &topic, SECOND), Step::default());
    assert_eq!(subscription.step(&ok(2), &topic, SECOND), OVER);
}

#[test]
fn who_may_not_watch_has_no_subscription() {
    let what = ("id".to_owned(), Package::MessageSummary, "sip:a@d".to_owned());
    let topic = Word("a", Access::Refused);
    let begun = begin(what, Default::default(), (None, None), Dialog::default(), &asked(1, None), &topic, 0);
    assert_eq!(begun, Err(Rejected));
}
