use sip_body::told_dialogs::{ToldDialog, ToldDialogs};

use super::record::{AskKind, Subscription};
use super::*;

const SECOND: u64 = 1_000;
const FREE: Known = Known { is_busy: false, are_talking: false };
const IN_CALL: Known = Known { is_busy: true, are_talking: false };

fn party(user: &str) -> Party {
    Party { uri: format!("sip:{user}@example.com"), ..Party::default() }
}

fn new() -> NewCallback {
    NewCallback {
        callback_id: "0123-7".to_owned(),
        from: party("alice"),
        to: party("bob"),
        not_before_ms: 0,
        lasts_ms: 3_600 * SECOND,
        attempts: 3,
        waits_for: Awaited::To,
        seed: vec![7; 16],
    }
}

fn answer(status: u32) -> Answer {
    Answer { status, to_tag: "bt".to_owned(), contact: "sip:bob@192.0.2.1".to_owned(), ..Answer::default() }
}

fn outcome(kind: OutcomeKind, sip_status: u32, ended_by: &str) -> Outcome {
    Outcome { kind: kind.into(), sip_status, sip_reason: String::new(), ended_by: ended_by.to_owned() }
}

/// A NOTIFY with all dialogs that are not over.
fn tells(cseq: u32, dialogs: &[&str]) -> Notify {
    let dialogs = dialogs.iter().map(|id| ToldDialog { id: (*id).to_owned(), is_terminated: false });
    Notify {
        number: 1,
        from_tag: "bt".to_owned(),
        cseq,
        contact: "sip:bob@192.0.2.1".to_owned(),
        info: Some(ToldDialogs { version: cseq, is_full: true, dialogs: dialogs.collect() }),
        ..Notify::default()
    }
}

fn changes(cseq: u32, version: u32, id: &str, is_terminated: bool) -> Notify {
    let dialogs = vec![ToldDialog { id: id.to_owned(), is_terminated }];
    Notify { info: Some(ToldDialogs { version, is_full: false, dialogs }), ..tells(cseq, &[]) }
}

/// Drives a callback, a second at a time between what happens.
struct Play {
    callback: Callback,
    now_ms: u64,
}

impl Play {
    fn begin(new: NewCallback) -> Play {
        Play { callback: begin(new, 0), now_ms: 0 }
    }

    /// One whose phone has taken the subscription.
    fn subscribed() -> Play {
        let mut play = Play::begin(new());
        assert!(play.look(FREE).asks);
        play.answered(answer(200));
        play
    }

    /// One whose phone takes no subscription, and was asked by OPTIONS.
    fn polling() -> Play {
        let mut play = Play::begin(new());
        play.look(FREE);
        assert!(play.answered(answer(489)).asks);
        play
    }

    /// One whose call is being made.
    fn calling() -> Play {
        let mut play = Play::subscribed();
        assert!(play.notified(&tells(1, &[])).dials);
        play
    }

    fn step(&mut self, event: &Event<'_>, known: Known) -> Step {
        self.now_ms += SECOND;
        let step = self.callback.step(event, known, self.now_ms);
        assert!(self.callback.due_ms > self.now_ms, "it would be looked at again and again");
        step
    }

    fn look(&mut self, known: Known) -> Step {
        self.step(&Event::Look, known)
    }

    /// As [`look`](Self::look), when its time has come.
    fn look_when_due(&mut self, known: Known) -> Step {
        self.now_ms = self.callback.due_ms.saturating_sub(SECOND);
        self.look(known)
    }

    fn answered(&mut self, answer: Answer) -> Step {
        let number = self.callback.ask.as_ref().expect("a request is under way").number;
        self.step(&Event::Answered(number, &answer), FREE)
    }

    fn notified(&mut self, notify: &Notify) -> Step {
        self.step(&Event::Notified(notify), FREE)
    }

    fn called(&mut self, progress: Progress) -> Step {
        self.step(&Event::Called(progress), FREE)
    }

    fn asks(&self) -> Option<AskKind> {
        self.callback.ask.as_ref().map(record::Ask::kind)
    }

    fn state(&self) -> State {
        self.callback.state()
    }
}

/// LAD-6: busy, then free: A is called, and when the two talk the subscription ends.
#[test]
fn the_call_is_dialled_when_the_phone_tells_that_it_is_free() {
    let mut play = Play::subscribed();
    assert_eq!(play.notified(&tells(1, &["x"])), Step { reply: 200, ..Step::default() });
    assert_eq!(play.state(), State::Waiting);
    let step = play.notified(&changes(2, 2, "x", true));
    assert_eq!(step, Step { reply: 200, dials: true, asks: false });
    assert_eq!((play.state(), play.callback.attempts, play.callback.attempts_left), (State::Calling, 1, 2));
    let call_id = play.callback.call_id.clone();
    assert!(call_id.len() == 34 && call_id.ends_with("-7"), "{call_id}: of the partition of its callback");
    assert!(play.called(Progress::Connected).asks);
    assert_eq!((play.state(), play.asks()), (State::Done, Some(AskKind::Unsubscribe)));
    play.answered(answer(200));
    let last = Notify { state: NotifyState::Over, info: None, ..tells(3, &[]) };
    assert_eq!(play.notified(&last).reply, 200);
    assert_eq!((play.state(), play.asks()), (State::Done, None));
}

/// LAD-6: SUBSCRIBE 489, 405, 403, 603: OPTIONS every 30 s, 486 while it is busy.
#[test]
fn a_phone_without_the_package_is_asked_by_options_every_thirty_seconds() {
    for refusal in [489, 405, 403, 603, 408, 503, 401] {
        let mut play = Play::begin(new());
        play.look(FREE);
        assert!(play.answered(answer(refusal)).asks);
        assert_eq!(play.asks(), Some(AskKind::Options), "{refusal}");
        let asked_ms = play.now_ms;
        for busy in [486, 600, 480, 503, 408, 486] {
            assert_eq!(play.answered(answer(busy)), Step::default(), "{busy}");
            assert!(play.look_when_due(FREE).asks, "{busy}");
        }
        assert_eq!(play.now_ms, asked_ms + 6 * 30 * SECOND);
        assert!(play.answered(answer(200)).dials);
    }
}

#[test]
fn any_answer_of_a_phone_that_is_there_says_that_it_is_free() {
    for status in [200, 401, 405, 415, 420, 488, 501] {
        assert!(Play::polling().answered(answer(status)).dials, "{status}");
    }
}

/// LAD-6: what Carillon knows of calls counts before the phone is asked, and while it says that it is free.
#[test]
fn nobody_is_asked_while_a_party_is_known_to_be_in_a_call() {
    let mut play = Play::begin(new());
    for _ in 0..10 {
        assert_eq!(play.look_when_due(IN_CALL), Step::default());
    }
    assert_eq!(play.now_ms, SECOND + 9 * 5 * SECOND, "every five seconds");
    assert!(play.look_when_due(FREE).asks);
    play.answered(answer(200));
    let free = tells(1, &[]);
    assert!(!play.step(&Event::Notified(&free), IN_CALL).dials);
    assert!(play.look_when_due(FREE).dials);

    let mut play = Play::polling();
    let (number, free) = (play.callback.asked, answer(200));
    assert!(!play.step(&Event::Answered(number, &free), IN_CALL).dials);
    let step = play.look_when_due(FREE);
    assert!(!step.dials, "what it said is older than what is known of it");
    assert!(play.look_when_due(FREE).asks);
}

/// LAD-6: both sides already talk to each other.
#[test]
fn a_request_of_two_who_talk_is_closed() {
    let mut play = Play::subscribed();
    let step = play.look(Known { is_busy: true, are_talking: true });
    assert_eq!((play.state(), step.asks), (State::Done, true));
    assert_eq!((play.asks(), play.callback.attempts), (Some(AskKind::Unsubscribe), 0));
}

/// LAD-6: Alice does not answer, or is busy; Bob is busy again: after a pause once more, three times in all.
#[test]
fn an_attempt_that_fails_is_made_again_and_three_are_enough() {
    use OutcomeKind::{Busy, Failed, NoAnswer, Unreachable};
    for (kind, status, by) in [
        (NoAnswer, 480, "carillon"),
        (Busy, 486, "a"),
        (Busy, 486, "b"),
        (Unreachable, 404, "a"),
        (Failed, 500, "b"),
    ] {
        let mut play = Play::calling();
        let mut calls = vec![play.callback.call_id.clone()];
        for _ in 1..3 {
            let ended_ms = play.now_ms + SECOND;
            assert_eq!(play.called(Progress::Ended(outcome(kind, status, by))), Step::default());
            assert_eq!(play.state(), State::Waiting);
            assert_eq!(play.callback.outcome, Some(outcome(kind, status, by)));
            assert!(!play.look(FREE).dials);
            assert!(play.look_when_due(FREE).dials);
            assert_eq!(play.now_ms, ended_ms + PAUSE_MS);
            assert_eq!(play.callback.outcome, None);
            calls.push(play.callback.call_id.clone());
        }
        assert!(play.called(Progress::Ended(outcome(kind, status, by))).asks);
        assert_eq!((play.state(), play.asks()), (State::Expired, Some(AskKind::Unsubscribe)));
        calls.dedup();
        assert_eq!(calls.len(), 3, "each attempt is a call of its own");
    }
}

/// LAD-6: Bob is busy again: his phone is waited for, beyond the pause.
#[test]
fn a_phone_that_became_busy_again_is_waited_for() {
    let mut play = Play::calling();
    play.notified(&tells(2, &["other"]));
    play.called(Progress::Ended(outcome(OutcomeKind::Busy, 486, "b")));
    assert_eq!(play.look_when_due(FREE), Step::default());
    assert!(play.notified(&tells(3, &[])).dials);
}

/// LAD-6: 603, and whoever hangs up the attempt: nobody wants it any more.
#[test]
fn a_party_that_declines_ends_the_callback() {
    for (kind, status, by) in [
        (OutcomeKind::Rejected, 603, "a"),
        (OutcomeKind::Rejected, 603, "b"),
        (OutcomeKind::Rejected, 403, "carillon"),
        (OutcomeKind::Cancelled, 487, "api"),
        (OutcomeKind::Cancelled, 487, "a"),
    ] {
        let mut play = Play::calling();
        assert!(play.called(Progress::Ended(outcome(kind, status, by))).asks);
        assert_eq!(play.state(), State::Cancelled, "{kind:?}");
    }
}

/// LAD-6: cancelled by gRPC: SUBSCRIBE with Expires 0; a call that is being made goes on.
#[test]
fn a_cancelled_callback_unsubscribes_once() {
    let mut play = Play::subscribed();
    assert!(play.step(&Event::Cancel, FREE).asks);
    assert_eq!((play.state(), play.asks()), (State::Cancelled, Some(AskKind::Unsubscribe)));
    let end_ms = play.callback.end_ms;
    assert_eq!(play.step(&Event::Cancel, FREE), Step::default());
    assert_eq!(play.callback.end_ms, end_ms);

    let mut play = Play::calling();
    play.step(&Event::Cancel, FREE);
    assert_eq!(play.called(Progress::Connected), Step::default());
    assert_eq!(play.state(), State::Cancelled, "there is one terminal state");
}

#[test]
fn what_was_subscribed_to_meanwhile_is_given_up_when_it_is_answered() {
    let mut play = Play::begin(new());
    play.look(FREE);
    assert!(!play.step(&Event::Cancel, FREE).asks);
    assert!(play.answered(answer(200)).asks);
    assert_eq!(play.asks(), Some(AskKind::Unsubscribe));
    let mut play = Play::begin(new());
    play.look(FREE);
    play.step(&Event::Cancel, FREE);
    assert_eq!(play.answered(answer(489)), Step::default());
    assert_eq!(play.asks(), None);
}

/// LAD-6, EVT-05: the subscription is lost: subscribed anew; three in a row, or none of which anything came, are enough.
#[test]
fn a_lost_subscription_is_made_again() {
    let mut play = Play::subscribed();
    for number in 1..3 {
        let over = Notify { number, state: NotifyState::Over, info: None, ..tells(1, &[]) };
        let step = play.notified(&over);
        assert_eq!((step.reply, step.asks, play.asks()), (200, true, Some(AskKind::Subscribe)));
        play.answered(answer(200));
    }
    play.notified(&Notify { number: 3, state: NotifyState::Over, info: None, ..tells(1, &[]) });
    assert_eq!(play.asks(), Some(AskKind::Options));

    let mut play = Play::subscribed();
    play.notified(&Notify { state: NotifyState::Refused, info: None, ..tells(1, &[]) });
    assert_eq!(play.asks(), Some(AskKind::Options));

    let mut play = Play::subscribed();
    let accepted_ms = play.now_ms;
    play.look_when_due(FREE);
    assert_eq!((play.asks(), play.now_ms), (Some(AskKind::Options), accepted_ms + 32 * SECOND), "no NOTIFY");
}

#[test]
fn a_subscription_is_renewed_and_made_anew_when_that_is_refused() {
    let mut play = Play::subscribed();
    play.notified(&tells(1, &["x"]));
    let told_ms = play.now_ms;
    assert!(play.look_when_due(FREE).asks);
    assert_eq!((play.asks(), play.now_ms), (Some(AskKind::Renew), told_ms + 600 * SECOND));
    play.answered(answer(200));
    play.look_when_due(FREE);
    assert_eq!(play.asks(), Some(AskKind::Renew));
    assert!(play.answered(answer(481)).asks);
    assert_eq!((play.asks(), play.callback.subscriptions), (Some(AskKind::Subscribe), 2));
}

/// RFC 4235 4.3: a document that is missing; one that is old.
#[test]
fn what_a_lost_notify_said_is_asked_for() {
    let mut play = Play::subscribed();
    play.notified(&tells(1, &["x", "y"]));
    let step = play.notified(&changes(2, 3, "x", true));
    assert_eq!((step.asks, play.asks()), (true, Some(AskKind::Renew)));
    assert!(!play.notified(&changes(3, 1, "y", true)).dials);
    play.answered(answer(200));
    assert!(play.notified(&tells(4, &[])).dials);
}

/// EVT-05: RFC 6665 4.1.3, 4.4.1
#[test]
fn only_the_notifier_of_the_subscription_is_listened_to() {
    let mut play = Play::subscribed();
    let other_phone = Notify { from_tag: "other".to_owned(), ..tells(1, &[]) };
    let other_subscription = Notify { number: 9, ..tells(1, &[]) };
    for stranger in [other_phone, other_subscription] {
        assert_eq!(play.notified(&stranger), Step { reply: 481, ..Step::default() });
    }
    assert_eq!(play.notified(&tells(5, &["x"])).reply, 200);
    assert_eq!(play.notified(&tells(5, &[])), Step { reply: 200, ..Step::default() }, "a repetition");
    assert_eq!(play.notified(&tells(4, &[])), Step { reply: 500, ..Step::default() }, "out of order");
}

/// EVT-05
#[test]
fn a_notify_may_come_before_the_answer_to_the_subscribe() {
    let mut play = Play::begin(new());
    play.look(FREE);
    assert!(play.notified(&tells(1, &[])).dials);
    play.answered(answer(200));
    play.called(Progress::Connected);
    assert_eq!(play.asks(), Some(AskKind::Unsubscribe));
    let target = play.callback.subscription.as_ref().map(|known: &Subscription| known.remote_target.clone());
    assert_eq!(target.as_deref(), Some("sip:bob@192.0.2.1"));
}

#[test]
fn the_time_of_a_callback_is_its_own() {
    let mut play = Play::begin(NewCallback { not_before_ms: 100 * SECOND, lasts_ms: 50 * SECOND, ..new() });
    assert_eq!(play.callback.due_ms, 100 * SECOND);
    assert_eq!(play.look(FREE), Step::default());
    assert!(play.look_when_due(FREE).asks);
    play.answered(answer(200));
    play.notified(&tells(1, &["x"]));
    assert!(play.look_when_due(FREE).asks);
    assert_eq!((play.state(), play.now_ms), (State::Expired, 150 * SECOND));
}

/// LAD-6: an attempt that is under way at the end of its time is not given up.
#[test]
fn an_attempt_may_end_after_the_time_of_its_callback() {
    let late = |progress: Progress| {
        let mut play = Play::calling();
        play.now_ms = play.callback.expire_ms;
        assert_eq!(play.look(FREE), Step::default());
        play.called(progress);
        play.state()
    };
    assert_eq!(late(Progress::Connected), State::Done);
    assert_eq!(late(Progress::Ended(outcome(OutcomeKind::Busy, 486, "b"))), State::Expired);
}

/// LAD-6: whoever was to dial died between the commit and the call: the same call is dialled, and no other.
#[test]
fn a_call_that_is_not_there_is_dialled_by_the_same_name() {
    let mut play = Play::calling();
    let before = (play.callback.call_id.clone(), play.callback.attempts);
    assert!(play.called(Progress::Missing).dials);
    assert_eq!((play.callback.call_id.clone(), play.callback.attempts), before);
    assert_eq!(play.called(Progress::Running), Step::default());
}

#[test]
fn a_request_without_an_answer_is_looked_after_and_given_up() {
    let mut play = Play::begin(new());
    play.look(FREE);
    let asked_ms = play.now_ms;
    while play.asks() == Some(AskKind::Subscribe) {
        assert!(play.callback.due_ms <= play.now_ms + 5 * SECOND);
        play.look_when_due(FREE);
    }
    assert_eq!((play.now_ms, play.asks()), (asked_ms + 45 * SECOND, Some(AskKind::Options)));
    let late = answer(200);
    play.step(&Event::Answered(1, &late), FREE);
    assert_eq!(play.asks(), Some(AskKind::Options), "nobody waits for it any more");
}

/// LAD-6, called in: the caller's phone is the one that has to be free.
#[test]
fn who_called_in_is_waited_for_until_it_has_hung_up() {
    let mut play = Play::begin(NewCallback { waits_for: Awaited::From, ..new() });
    assert_eq!(
        (play.callback.party_asked().uri.as_str(), play.callback.wanted_s()),
        ("sip:alice@example.com", 60)
    );
    play.look(FREE);
    play.answered(answer(200));
    assert!(!play.notified(&tells(1, &["to the service"])).dials);
    assert!(play.notified(&tells(2, &[])).dials);
}

/// Every state against every input; each line is the state after it and what follows.
#[test]
fn every_state_meets_every_input() {
    let events = |of: &Play| -> Vec<(&'static str, Known, Event<'static>)> {
        let number = of.callback.asked;
        let leak = |answer: Answer| -> &'static Answer { Box::leak(Box::new(answer)) };
        let tell = |notify: Notify| -> &'static Notify { Box::leak(Box::new(notify)) };
        let over = Notify { state: NotifyState::Over, info: None, ..tells(9, &[]) };
        let never = Notify { state: NotifyState::Refused, info: None, ..tells(9, &[]) };
        let ended = |kind, status| Event::Called(Progress::Ended(outcome(kind, status, "b")));
        vec![
            ("look", FREE, Event::Look),
            ("look, in a call", IN_CALL, Event::Look),
            ("look, they talk", Known { is_busy: true, are_talking: true }, Event::Look),
            ("2xx", FREE, Event::Answered(number, leak(answer(200)))),
            ("486", FREE, Event::Answered(number, leak(answer(486)))),
            ("481", FREE, Event::Answered(number, leak(answer(481)))),
            ("2xx to another", FREE, Event::Answered(number + 1, leak(answer(200)))),
            ("NOTIFY free", FREE, Event::Notified(tell(tells(9, &[])))),
            ("NOTIFY busy", FREE, Event::Notified(tell(tells(9, &["x"])))),
            ("NOTIFY over", FREE, Event::Notified(tell(over))),
            ("NOTIFY never", FREE, Event::Notified(tell(never))),
            ("call missing", FREE, Event::Called(Progress::Missing)),
            ("call connected", FREE, Event::Called(Progress::Connected)),
            ("call busy", FREE, ended(OutcomeKind::Busy, 486)),
            ("call declined", FREE, ended(OutcomeKind::Rejected, 603)),
            ("cancel", FREE, Event::Cancel),
        ]
    };
    type Begins = fn() -> Play;
    let begins: [(&str, Begins); 6] = [
        ("waiting, asks SUBSCRIBE", || {
            let mut play = Play::begin(new());
            play.look(FREE);
            play
        }),
        ("waiting, subscribed", || {
            let mut play = Play::subscribed();
            play.notified(&tells(1, &["x"]));
            play
        }),
        ("waiting, asks OPTIONS", Play::polling),
        ("calling, subscribed", Play::calling),
        ("calling, polled", || {
            let mut play = Play::polling();
            play.answered(answer(200));
            play
        }),
        ("done, asks Expires 0", || {
            let mut play = Play::calling();
            play.called(Progress::Connected);
            play
        }),
    ];
    let mut table = String::new();
    for (name, begin) in begins {
        table.push_str(&format!("{name}\n"));
        for at in 0..events(&begin()).len() {
            let mut play = begin();
            let (what, known, event) = events(&play).swap_remove(at);
            let before = (play.state(), play.asks());
            let step = play.step(&event, known);
            let mut said = Vec::new();
            if (play.state(), play.asks()) != before {
                said.push(format!("{:?}", play.state()));
            }
            said.extend(step.dials.then(|| "dial".to_owned()));
            said.extend(step.asks.then(|| format!("{:?}", play.asks().expect("asked"))));
            said.extend((step.reply > 0).then(|| step.reply.to_string()));
            let said = if said.is_empty() { "-".to_owned() } else { said.join(", ") };
            table.push_str(&format!("  {what}: {said}\n"));
        }
    }
    assert_eq!(table, include_str!("table.txt"), "\n{table}");
}
