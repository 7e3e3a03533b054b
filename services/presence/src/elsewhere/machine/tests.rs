use super::*;

const SECOND: u64 = 1_000;

/// Somebody who is sought for one list, and the tag of the first dialog.
fn sought() -> (Sought, String) {
    let mut sought = begin("ab-1".to_owned(), "sip:alice@d", "sip:bob@far", "secret".to_owned());
    let step = sought.step(&Happened::Wanted("list"), SECOND);
    assert!(step.asks && !step.is_over && !step.tells);
    let tag = sought.dialog.as_ref().expect("a dialog is begun").tag.clone();
    (sought, tag)
}

fn ok(sought: &mut Sought, now_ms: u64) -> Step {
    let number = sought.ask.as_ref().expect("a request is under way").number;
    let answer = Answer {
        status: 200,
        to_tag: "far".to_owned(),
        contact: "sip:pa@far".to_owned(),
        expires_s: Some(600),
        ..Answer::default()
    };
    sought.step(&Happened::Answered(number, &answer), now_ms)
}

fn refuse(sought: &mut Sought, answer: Answer, now_ms: u64) -> Step {
    let number = sought.ask.as_ref().expect("a request is under way").number;
    sought.step(&Happened::Answered(number, &answer), now_ms)
}

fn status(status: u32) -> Answer {
    Answer { status, ..Answer::default() }
}

fn notify(tag: &str, cseq: u32, state: NotifyState, document: &'static str) -> Notified {
    Notified {
        call_id: format!("{}@d", crate::repository::digest(&["elsewhere", tag])),
        to_tag: tag.to_owned(),
        from_tag: "far".to_owned(),
        cseq,
        contact: "sip:pa@far".to_owned(),
        route: Vec::new(),
        flow: String::new(),
        state,
        document: (!document.is_empty()).then(|| told("sip:bob@far", document)),
    }
}

fn told(of: &str, document: &'static str) -> Told {
    Told { of: Some(of.to_owned()), document: Bytes::from_static(document.as_bytes()) }
}

fn active(tag: &str, cseq: u32, document: &'static str) -> Notified {
    notify(tag, cseq, NotifyState::Active(Some(600)), document)
}

fn ended(tag: &str, reason: &str, retry_after_s: Option<u32>) -> Notified {
    notify(tag, 9, NotifyState::Terminated(reason.to_owned(), retry_after_s), "")
}

/// EVT-05: a NOTIFY may come before the answer; one that comes twice, or too late, changes nothing; another notifier is told to forget us.
#[test]
fn notifications_are_taken_in_order_and_of_one_notifier() {
    let (mut sought, tag) = sought();
    let step = sought.step(&Happened::Notified(&active(&tag, 5, "one")), SECOND);
    assert_eq!((step.status, step.tells), (200, true));
    assert!(!ok(&mut sought, SECOND).tells);
    let status = |sought: &mut Sought, notified: &Notified| {
        let step = sought.step(&Happened::Notified(notified), 2 * SECOND);
        (step.status, step.tells)
    };
    assert_eq!(status(&mut sought, &active(&tag, 5, "again")), (200, false));
    assert_eq!(status(&mut sought, &active(&tag, 4, "late")), (500, false));
    let other = Notified { from_tag: "fork".to_owned(), ..active(&tag, 6, "another") };
    assert_eq!(status(&mut sought, &other), (481, false));
    assert_eq!(status(&mut sought, &active("ab-1.guessed.1", 6, "forged")), (481, false));
    assert_eq!(status(&mut sought, &active(&tag, 6, "")), (200, false), "without a document nothing is new");
    assert_eq!(status(&mut sought, &active(&tag, 7, "two")), (200, true));
    assert_eq!((sought.state(), &sought.document[..]), (State::Active, &b"two"[..]));
    let waits = notify(&tag, 8, NotifyState::Pending(None), "");
    assert_eq!(status(&mut sought, &waits), (200, true));
    assert_eq!((sought.state(), sought.document.len()), (State::Pending, 0));
    let large = Notified { contact: "sip:".to_owned() + &"a".repeat(9_000), ..active(&tag, 9, "three") };
    assert_eq!(status(&mut sought, &large), (513, false));
}

/// EVT-05: 64*T1 after the 200 there is no NOTIFY: nobody tells anything there.
#[test]
fn a_subscription_that_tells_nothing_is_given_up_and_asked_for_again_later() {
    let (mut sought, _) = sought();
    ok(&mut sought, 2 * SECOND);
    let late = 2 * SECOND + NOTIFIED_MS;
    assert_eq!(sought.due_ms(2 * SECOND), late);
    let step = sought.step(&Happened::Look, late);
    assert!(step.tells && !step.asks);
    assert_eq!((sought.state(), sought.reason.as_str()), (State::Terminated, "probation"));
    assert_eq!(sought.due_ms(late), late + FIRST_PAUSE_MS);
    let step = sought.step(&Happened::Look, late + FIRST_PAUSE_MS);
    assert!(step.asks && sought.subscriptions == 2);
}

/// RLS-03: what is refused for good is shown so and not asked for again; what may pass is, later and later.
#[test]
fn refusals_are_reasons() {
    for (code, reason) in
        [(403, "rejected"), (407, "rejected"), (603, "rejected"), (404, "noresource"), (489, "noresource")]
    {
        let (mut sought, _) = sought();
        let step = refuse(&mut sought, status(code), 2 * SECOND);
        assert!(step.tells && !step.asks, "{code}");
        assert_eq!((sought.state(), sought.reason.as_str()), (State::Terminated, reason), "{code}");
        assert!(sought.due_ms(2 * SECOND) > WANTED_MS, "{code} is for good");
        // The same list says again that it wants it; and another one a moment later, and a while later.
        assert!(!sought.step(&Happened::Wanted("list"), 3 * SECOND).asks);
        assert!(!sought.step(&Happened::Wanted("at once"), 3 * SECOND).asks);
        assert!(sought.step(&Happened::Wanted("later"), 2 * SECOND + REFUSED_MS).asks);
    }
    let (mut sought, _) = sought();
    let mut now_ms = 2 * SECOND;
    let mut pauses = Vec::new();
    for code in [408, 503, 480, 500] {
        refuse(&mut sought, status(code), now_ms);
        assert_eq!((sought.state(), sought.reason.as_str()), (State::Terminated, "probation"), "{code}");
        pauses.push(sought.due_ms(now_ms) - now_ms);
        now_ms = sought.due_ms(now_ms);
        assert!(sought.step(&Happened::Look, now_ms).asks);
    }
    assert_eq!(pauses, [30_000, 60_000, 120_000, 240_000]);
    let asked = Answer { retry_after_s: Some(3_000), ..status(503) };
    refuse(&mut sought, asked, now_ms);
    assert_eq!(sought.due_ms(now_ms), now_ms + 3_000 * SECOND);
}

/// EVT-02 from the other side: a domain that takes no shorter time is asked for the one that it takes, once.
#[test]
fn too_short_a_time_is_asked_for_as_the_other_domain_wants() {
    let (mut sought, _) = sought();
    let step = refuse(&mut sought, Answer { min_expires_s: Some(7_200), ..status(423) }, 2 * SECOND);
    assert!(step.asks && !step.tells);
    assert_eq!(sought.expires_s, 7_200);
    let step = refuse(&mut sought, Answer { min_expires_s: Some(60), ..status(423) }, 3 * SECOND);
    assert!(!step.asks);
    assert_eq!(sought.reason, "probation");
}

/// EVT-04: every reason with which it may end.
#[test]
fn an_end_leads_where_its_reason_says() {
    for (reason, retry_after_s, shown, again_ms) in [
        ("deactivated", None, "", Some(0)),
        ("timeout", None, "", Some(0)),
        ("", None, "", Some(0)),
        ("unheard-of", Some(7), "", Some(7 * SECOND)),
        ("probation", None, "probation", Some(FIRST_PAUSE_MS)),
        ("giveup", Some(90), "probation", Some(90 * SECOND)),
        ("rejected", Some(1), "rejected", None),
        ("noresource", None, "noresource", None),
        ("invariant", None, "noresource", None),
    ] {
        let (mut sought, tag) = sought();
        ok(&mut sought, SECOND);
        sought.step(&Happened::Notified(&active(&tag, 1, "one")), SECOND);
        let step = sought.step(&Happened::Notified(&ended(&tag, reason, retry_after_s)), 2 * SECOND);
        assert_eq!((step.status, sought.reason.as_str()), (200, shown), "{reason}");
        // What is asked for at once stays as it was shown.
        assert_eq!(step.tells, !shown.is_empty(), "{reason}");
        match again_ms {
            Some(0) => assert!(step.asks, "{reason}"),
            Some(pause) => assert_eq!(sought.due_ms(2 * SECOND), 2 * SECOND + pause, "{reason}"),
            None => assert!(!step.asks && sought.due_ms(2 * SECOND) > WANTED_MS, "{reason}"),
        }
        let late = sought.step(&Happened::Notified(&active(&tag, 10, "late")), 3 * SECOND);
        assert_eq!(late.status, 481, "the old dialog is over");
    }
    // One that ends again and again is not asked for without a pause.
    let (mut sought, _) = sought();
    for turn in 0..3 {
        let tag = sought.dialog.as_ref().expect("it is asked for").tag.clone();
        let step = sought.step(&Happened::Notified(&ended(&tag, "deactivated", None)), 2 * SECOND);
        assert_eq!(step.asks, turn == 0, "{turn}");
        if !step.asks {
            let due_ms = sought.due_ms(2 * SECOND);
            assert!(due_ms >= 2 * SECOND + FIRST_PAUSE_MS);
            sought.step(&Happened::Look, due_ms);
        }
    }
}

/// RFC 6665 4.1.2.2: it is refreshed before its time is over; 481 begins anew, another failure goes on until the end.
#[test]
fn it_is_refreshed_and_begun_anew() {
    let (mut sought, tag) = sought();
    ok(&mut sought, 0);
    sought.step(&Happened::Notified(&active(&tag, 1, "one")), 0);
    assert_eq!(sought.due_ms(0), 540 * SECOND);
    let step = sought.step(&Happened::Look, 540 * SECOND);
    assert!(step.asks);
    let dialog = sought.dialog.clone().expect("a dialog");
    assert_eq!((dialog.local_cseq, sought.ask.as_ref().map(Ask::kind)), (2, Some(AskKind::Renew)));
    refuse(&mut sought, status(503), 541 * SECOND);
    assert_eq!((sought.state(), sought.due_ms(541 * SECOND)), (State::Active, 571 * SECOND));
    assert!(sought.step(&Happened::Look, 571 * SECOND).asks);
    refuse(&mut sought, status(503), 572 * SECOND);
    let step = sought.step(&Happened::Look, 600 * SECOND);
    assert!(step.tells && step.asks && sought.subscriptions == 2, "its time is over");
    ok(&mut sought, 601 * SECOND);
    let tag = sought.dialog.as_ref().expect("a new dialog").tag.clone();
    sought.step(&Happened::Notified(&active(&tag, 1, "two")), 601 * SECOND);
    sought.step(&Happened::Look, 1_200 * SECOND);
    let step = refuse(&mut sought, status(481), 1_200 * SECOND);
    assert!(step.asks && !step.tells && sought.subscriptions == 3, "what is known stays shown");
}

/// Nobody wants it any more: it is ended, and nothing is left. A request that nobody answers does not keep it.
#[test]
fn what_nobody_wants_is_ended() {
    let (mut sought, tag) = sought();
    sought.step(&Happened::Wanted("other"), SECOND);
    ok(&mut sought, SECOND);
    sought.step(&Happened::Notified(&active(&tag, 1, "one")), SECOND);
    assert!(!sought.step(&Happened::Released("list"), 2 * SECOND).asks);
    let step = sought.step(&Happened::Released("other"), 2 * SECOND);
    assert!(step.asks && !step.is_over);
    assert_eq!(sought.ask.as_ref().map(Ask::kind), Some(AskKind::Unsubscribe));
    let last = sought.step(&Happened::Notified(&ended(&tag, "timeout", None)), 2 * SECOND);
    assert_eq!((last.status, last.is_over, last.tells), (200, true, false));

    let (mut silent, tag) = self::sought();
    ok(&mut silent, SECOND);
    silent.step(&Happened::Notified(&active(&tag, 1, "one")), SECOND);
    silent.step(&Happened::Released("list"), 2 * SECOND);
    let due_ms = silent.due_ms(2 * SECOND);
    assert!(due_ms <= 2 * SECOND + ASK_LOOK_MS);
    assert!(silent.step(&Happened::Look, 2 * SECOND + PATIENCE_MS).is_over);

    // A want that is not said again is over by itself.
    let (mut lapsed, _) = self::sought();
    refuse(&mut lapsed, status(403), SECOND);
    assert!(lapsed.step(&Happened::Look, SECOND + WANTED_MS).is_over);
}

/// A list wants it while its end is under way: it is begun anew after that.
#[test]
fn what_is_wanted_again_while_it_ends_is_begun_anew() {
    let (mut sought, tag) = sought();
    ok(&mut sought, SECOND);
    sought.step(&Happened::Notified(&active(&tag, 1, "one")), SECOND);
    sought.step(&Happened::Released("list"), 2 * SECOND);
    sought.step(&Happened::Wanted("new"), 2 * SECOND);
    let number = sought.ask.as_ref().expect("its end is under way").number;
    let step = sought.step(&Happened::Answered(number, &status(200)), 3 * SECOND);
    assert!(!step.is_over);
    let due_ms = sought.due_ms(3 * SECOND);
    assert!(step.asks || due_ms == 3 * SECOND, "{due_ms}");
}

/// RLS-03: a domain says what there is to say of its own. The presence of somebody else is neither shown nor kept, and what was known before
/// is not known any more.
#[test]
fn a_document_of_somebody_else_is_shown_to_nobody() {
    let (mut sought, tag) = sought();
    ok(&mut sought, SECOND);
    sought.step(&Happened::Notified(&active(&tag, 1, "one")), SECOND);
    let of = |cseq, of: Option<&str>| {
        let document = Told { of: of.map(str::to_owned), ..told("", "not his") };
        Notified { document: Some(document), ..active(&tag, cseq, "") }
    };
    for (cseq, entity) in [(2, Some("sip:alice@d")), (3, Some("sip:bob@other")), (4, None)] {
        let step = sought.step(&Happened::Notified(&of(cseq, entity)), SECOND);
        assert_eq!((step.status, step.is_of_another, step.tells), (400, true, cseq == 2), "{entity:?}");
        assert_eq!((sought.state(), sought.document.len()), (State::Pending, 0), "{entity:?}");
    }
    let step = sought.step(&Happened::Notified(&of(5, Some("sips:bob@far"))), SECOND);
    assert_eq!((step.status, step.is_of_another), (200, false));
    assert_eq!((sought.state(), &sought.document[..]), (State::Active, &b"not his"[..]));
}
