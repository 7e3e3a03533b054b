use super::*;

const AOR: &str = "sip:bob@d";
const POLICY: Policy = Policy {
    default_expires: Duration::from_secs(3_600),
    min_expires: Duration::from_secs(60),
    max_expires: Duration::from_secs(7_200),
    max_bindings: 3,
};
const NOW: u64 = 1_000_000;

fn contact(uri: &str) -> RegisterContact {
    RegisterContact { uri: uri.to_owned(), ..RegisterContact::default() }
}

fn lasting(uri: &str, expires: u32) -> RegisterContact {
    RegisterContact { expires: Some(expires), ..contact(uri) }
}

fn asked<'a>(contacts: &'a [RegisterContact], call_id: &'a str, cseq: u32) -> Asked<'a> {
    Asked {
        pushes: &[],
        aor: AOR,
        contacts,
        star: false,
        expires: None,
        call_id,
        cseq,
        is_secure: false,
        path: &[],
        received: "udp:192.0.2.1:5060",
        flow: "flow",
        life: None,
        user_agent: "phone",
        outbound: false,
        gruus: None,
    }
}

/// Applies a request as the service does; a refused one must leave the record untouched.
fn register(
    record: &mut AorRecord,
    asked: Asked<'_>,
    now_ms: u64,
) -> Result<Vec<binding_event::Type>, Refusal> {
    let before = record.clone();
    match plan(record, asked, now_ms, POLICY) {
        Ok(plan) => {
            assert_eq!(*record, before, "planning changes nothing");
            let mut kinds = Vec::new();
            plan.apply(record, now_ms, |kind, _| kinds.push(kind));
            Ok(kinds)
        }
        Err(refusal) => {
            assert_eq!(*record, before);
            Err(refusal)
        }
    }
}

fn uris(record: &AorRecord) -> Vec<&str> {
    record.bindings.iter().map(|binding| binding.uri.as_str()).collect()
}

/// REG-07: a new contact is added, the same refreshed, one with expires 0 removed. MSG-08: equality is that of URIs.
#[test]
fn contacts_are_added_refreshed_and_removed() {
    use binding_event::Type::{Refreshed, Registered, Unregistered};

    let mut record = AorRecord::new();
    let two = [contact("sip:bob@192.0.2.1"), contact("sip:bob@192.0.2.1;transport=tcp")];
    assert_eq!(register(&mut record, asked(&two, "a", 1), NOW), Ok(vec![Registered, Registered]));
    let same = [lasting("sip:%62ob@192.0.2.1;x=1", 100)];
    assert_eq!(register(&mut record, asked(&same, "a", 2), NOW), Ok(vec![Refreshed]));
    assert_eq!(record.bindings[0].expires_ms, NOW + 100_000);
    assert_eq!(uris(&record), ["sip:%62ob@192.0.2.1;x=1", "sip:bob@192.0.2.1;transport=tcp"]);
    let gone = [lasting("sip:bob@192.0.2.1", 0), lasting("sip:never@seen", 0)];
    assert_eq!(register(&mut record, asked(&gone, "a", 3), NOW), Ok(vec![Unregistered]));
    assert_eq!(uris(&record), ["sip:bob@192.0.2.1;transport=tcp"]);
}

/// PKG-01, PKG-02: a refresh that only extends the time is told nobody; one that changes what is shown of a contact is.
#[test]
fn a_refresh_is_told_when_something_else_than_its_time_is_different() {
    use binding_event::Type::{Refreshed, Registered};

    let mut record = AorRecord::new();
    let phone = |params: &[&str]| RegisterContact {
        params: params.iter().map(|param| (*param).to_owned()).collect(),
        ..contact("sip:bob@192.0.2.1")
    };
    let uuid = "+sip.instance=\"<urn:uuid:1>\"";
    let other = "+sip.instance=\"<urn:uuid:2>\"";
    let steps = [
        (phone(&["audio", uuid]), vec![Registered]),
        (phone(&["audio", uuid]), vec![]),
        (RegisterContact { expires: Some(90), ..phone(&["audio", uuid]) }, vec![]),
        (phone(&["audio", "pub-gruu=\"sip:x\"", uuid]), vec![]),
        (phone(&["audio", other]), vec![Refreshed]),
        (phone(&["audio", "video", other]), vec![Refreshed]),
        (RegisterContact { q_milli: Some(500), ..phone(&["audio", "video", other]) }, vec![Refreshed]),
        (RegisterContact { display_name: "Desk".to_owned(), ..phone(&["audio", other]) }, vec![Refreshed]),
        (RegisterContact { uri: "sip:bob@192.0.2.1;x=1".to_owned(), ..phone(&[]) }, vec![Refreshed]),
        (RegisterContact { uri: "sip:bob@192.0.2.1;x=1".to_owned(), ..phone(&[]) }, vec![]),
    ];
    for (number, (contact, told)) in steps.into_iter().enumerate() {
        let cseq = u32::try_from(number).unwrap_or_default() + 1;
        let kinds = register(&mut record, asked(&[contact], "a", cseq), NOW);
        assert_eq!(kinds, Ok(told), "REGISTER {cseq}");
    }
}

/// REG-04: without contacts nothing changes.
#[test]
fn a_query_changes_no_binding() {
    let mut record = AorRecord::new();
    register(&mut record, asked(&[contact("sip:b@h")], "a", 1), NOW).unwrap();
    let before = record.clone();
    assert!(plan(&record, asked(&[], "a", 1), NOW, POLICY).unwrap().is_query());
    assert_eq!(register(&mut record, asked(&[], "a", 1), NOW), Ok(vec![]));
    assert_eq!(record, before);
}

/// REG-05: the parameter of the contact, else the header, else the default.
#[test]
fn the_contacts_own_time_comes_first() {
    let mut record = AorRecord::new();
    let contacts = [lasting("sip:a@h", 100), contact("sip:b@h")];
    register(&mut record, Asked { expires: Some(200), ..asked(&contacts, "a", 1) }, NOW).unwrap();
    register(&mut record, asked(&[contact("sip:c@h")], "a", 2), NOW).unwrap();
    let seconds: Vec<u32> = record.bindings.iter().map(|binding| binding.seconds_left(NOW)).collect();
    assert_eq!(seconds, [100, 200, 3_600]);
}

/// REG-05, REG-14: other schemes are contacts too and stay.
#[test]
fn any_scheme_may_be_a_contact() {
    let mut record = AorRecord::new();
    register(&mut record, asked(&[contact("mailto:bob@d")], "a", 1), NOW).unwrap();
    assert_eq!(record.bindings[0].seconds_left(NOW), u32::MAX);
}

/// REG-08: a star stands alone and with Expires 0; then it removes all that phones registered.
#[test]
fn a_star_removes_all_or_is_refused() {
    let mut record = AorRecord::new();
    let two = [contact("sip:a@h"), contact("sip:b@h")];
    register(&mut record, asked(&two, "a", 1), NOW).unwrap();
    let fixed = BindingRecord {
        id: 9,
        uri: "sip:fixed@h".into(),
        expires_ms: NEVER_MS,
        is_static: true,
        ..BindingRecord::default()
    };
    record.bindings.push(fixed);
    let star = |contacts, expires| Asked { star: true, expires, ..asked(contacts, "b", 1) };
    assert_eq!(register(&mut record, star(&two, Some(0)), NOW), Err(Refusal::Star));
    assert_eq!(register(&mut record, star(&[], Some(60)), NOW), Err(Refusal::Star));
    assert_eq!(register(&mut record, star(&[], None), NOW), Err(Refusal::Star));
    let stale = Asked { call_id: "a", ..star(&[], Some(0)) };
    assert_eq!(register(&mut record, stale, NOW), Err(Refusal::OutOfOrder));
    register(&mut record, star(&[], Some(0)), NOW).unwrap();
    assert_eq!(uris(&record), ["sip:fixed@h"]);
}

/// REG-09, T3: the same Call-ID with a CSeq that is not higher changes nothing, not even other contacts.
#[test]
fn an_old_request_is_refused_as_a_whole() {
    let mut record = AorRecord::new();
    register(&mut record, asked(&[contact("sip:a@h")], "one", 5), NOW).unwrap();
    let with_new = [contact("sip:new@h"), lasting("sip:a@h", 0)];
    for cseq in [4, 5] {
        assert_eq!(register(&mut record, asked(&with_new, "one", cseq), NOW), Err(Refusal::OutOfOrder));
    }
    assert!(register(&mut record, asked(&with_new, "rebooted", 1), NOW).is_ok());
    assert_eq!(uris(&record), ["sip:new@h"]);
}

/// REG-10: one bad contact refuses all.
#[test]
fn all_contacts_are_accepted_or_none() {
    let mut record = AorRecord::new();
    let bad = [contact("sip:a@h"), contact("sip:[broken")];
    assert_eq!(
        register(&mut record, asked(&bad, "a", 1), NOW),
        Err(Refusal::BadContact("sip:[broken".into()))
    );
    let brief = [contact("sip:a@h"), lasting("sip:b@h", 10)];
    assert_eq!(register(&mut record, asked(&brief, "a", 1), NOW), Err(Refusal::TooBrief(60)));
    assert!(record.bindings.is_empty());
}

/// REG-13, REG-15: q, parameters and the display name come back as registered.
#[test]
fn what_was_registered_is_kept() {
    let mut record = AorRecord::new();
    let full = RegisterContact {
        display_name: "Bob \"B\"".into(),
        params: vec![
            "+sip.instance=\"<urn:uuid:1>\"".into(),
            "audio".into(),
            "methods=\"INVITE,BYE\"".into(),
        ],
        q_milli: Some(700),
        ..contact("sip:a@h")
    };
    let others = [full.clone(), RegisterContact { q_milli: Some(9_999), ..contact("sip:b@h") }];
    let path = ["<sip:edge;lr>".to_owned()];
    register(&mut record, Asked { path: &path, ..asked(&others, "a", 1) }, NOW).unwrap();
    let binding = &record.bindings[0];
    assert_eq!(
        (&binding.display_name, &binding.params, binding.q()),
        (&full.display_name, &full.params, 700)
    );
    assert_eq!(binding.path, path);
    assert_eq!((binding.received.as_str(), binding.flow.as_str()), ("udp:192.0.2.1:5060", "flow"));
    assert_eq!(record.bindings[1].q(), 1_000);
    register(&mut record, asked(&[contact("sip:a@h")], "a", 2), NOW).unwrap();
    assert_eq!((record.bindings[0].q_milli, record.bindings[0].q()), (None, 1_000));
    assert!(record.bindings[0].path.is_empty(), "a refresh replaces the path");
}

/// REG-07: a contact that its URI leads to keeps no flow, even when it had one; where it was registered from is kept to be shown.
#[test]
fn a_contact_that_its_uri_leads_to_has_no_flow() {
    let mut record = AorRecord::new();
    let by_uri = RegisterContact { by_uri: true, ..contact("sip:a@h") };
    register(&mut record, asked(&[contact("sip:a@h")], "a", 1), NOW).unwrap();
    assert_eq!(record.bindings[0].flow, "flow");
    register(&mut record, asked(&[by_uri, contact("sip:b@h")], "a", 2), NOW).unwrap();
    let flows: Vec<&str> = record.bindings.iter().map(|binding| binding.flow.as_str()).collect();
    assert_eq!(flows, ["", "flow"]);
    assert_eq!(record.bindings[0].received, "udp:192.0.2.1:5060");
}

/// REG-17: an expired binding is no match, does not count and is told to have gone.
#[test]
fn expired_bindings_are_gone() {
    use binding_event::Type::{Expired, Registered};

    let mut record = AorRecord::new();
    let three = [lasting("sip:a@h", 60), lasting("sip:b@h", 60), lasting("sip:c@h", 60)];
    register(&mut record, asked(&three, "a", 7), NOW).unwrap();
    let later = NOW + 60_000;
    assert_eq!(record.live(later).count(), 0);
    let again = register(&mut record, asked(&[contact("sip:a@h")], "a", 7), later);
    assert_eq!(again, Ok(vec![Expired, Expired, Expired, Registered]));
    assert_eq!(uris(&record), ["sip:a@h"]);
}

/// REG-19: a contact that is the address of record itself would be a loop.
#[test]
fn the_address_of_record_is_no_contact() {
    let mut record = AorRecord::new();
    for itself in [
        "sip:bob@d",
        "sip:%62ob@D",
        "sip:bob@d;x=1",
        "sip:bob@d:5060",
        "sip:bob@d.",
        "sip:bob@d;transport=tcp",
        "sip:bob@d;gr=1",
    ] {
        assert_eq!(
            register(&mut record, asked(&[contact(itself)], "a", 1), NOW),
            Err(Refusal::Self_),
            "{itself}"
        );
    }
    for itself in ["sips:bob@d", "sips:bob@d:5061"] {
        let contacts = [contact(itself)];
        let secure = Asked { is_secure: true, ..asked(&contacts, "a", 1) };
        assert_eq!(register(&mut record, secure, NOW), Err(Refusal::Self_), "{itself}");
    }
    // A phone at the host that the domain is called by, and somebody else.
    for other in ["sip:bob@d:5070", "sip:carol@d", "sip:bob@e", "sip:Bob@d", "sip:bob@d?Route=%3Csip:e%3E"] {
        let done = register(&mut AorRecord::new(), asked(&[contact(other)], "a", 1), NOW);
        assert!(done.is_ok(), "{other}: {done:?}");
    }
}

/// REG-22: a sips contact needs sips everywhere.
#[test]
fn a_sips_contact_needs_sips_everywhere() {
    let mut record = AorRecord::new();
    let sips = [contact("sips:b@h")];
    let secure = |contacts, path| Asked { is_secure: true, path, ..asked(contacts, "a", 1) };
    assert_eq!(register(&mut record, asked(&sips, "a", 1), NOW), Err(Refusal::Insecure));
    let mixed = [contact("sips:b@h"), contact("sip:b@h")];
    assert_eq!(register(&mut record, secure(&mixed, &[]), NOW), Err(Refusal::Insecure));
    let plain_path = ["<sip:p;lr>".to_owned()];
    assert_eq!(register(&mut record, secure(&sips, &plain_path), NOW), Err(Refusal::Insecure));
    assert!(register(&mut record, secure(&sips, &[]), NOW).is_ok());
}

/// T8: an address of record has a limited number of contacts; a refresh, a removal or an exchange always works.
#[test]
fn the_number_of_contacts_is_limited() {
    let mut record = AorRecord::new();
    let three = [contact("sip:a@h"), contact("sip:b@h"), contact("sip:c@h")];
    register(&mut record, asked(&three, "a", 1), NOW).unwrap();
    let fourth = [contact("sip:d@h")];
    assert_eq!(register(&mut record, asked(&fourth, "a", 2), NOW), Err(Refusal::TooMany(3)));
    assert!(register(&mut record, asked(&three, "a", 3), NOW).is_ok());
    let exchange = [contact("sip:d@h"), lasting("sip:a@h", 0)];
    assert!(register(&mut record, asked(&exchange, "a", 4), NOW).is_ok());
    assert_eq!(uris(&record), ["sip:b@h", "sip:c@h", "sip:d@h"]);
}

/// REG-07: the same contact twice in one request is one binding.
#[test]
fn a_contact_named_twice_is_bound_once() {
    let mut record = AorRecord::new();
    let twice = [lasting("sip:a@h", 100), lasting("sip:a@H", 200)];
    register(&mut record, asked(&twice, "a", 1), NOW).unwrap();
    assert_eq!(record.bindings.len(), 1);
    assert_eq!(record.bindings[0].seconds_left(NOW), 200);
}

/// REG-07: of a contact that is named twice the last counts, whether it is bound already or not.
#[test]
fn the_last_word_on_a_contact_counts() {
    let (here, gone) = (lasting("sip:a@h", 100), lasting("sip:a@H", 0));
    for is_bound in [false, true] {
        let mut record = AorRecord::new();
        if is_bound {
            register(&mut record, asked(&[contact("sip:a@h")], "a", 1), NOW).unwrap();
        }
        let mut removed = record.clone();
        register(&mut removed, asked(&[here.clone(), gone.clone()], "a", 2), NOW).unwrap();
        assert!(removed.bindings.is_empty());
        register(&mut record, asked(&[gone.clone(), here.clone()], "a", 2), NOW).unwrap();
        assert_eq!(record.bindings[0].seconds_left(NOW), 100);
    }
}

/// REG-07: two contacts that one binding is equal to are one contact, although they are not equal to each other.
#[test]
fn a_binding_is_decided_once() {
    let mut record = AorRecord::new();
    register(&mut record, asked(&[contact("sip:a@h")], "a", 1), NOW).unwrap();
    let two = [lasting("sip:a@h;x=1", 0), lasting("sip:a@h;x=2", 100)];
    register(&mut record, asked(&two, "a", 2), NOW).unwrap();
    assert_eq!(uris(&record), ["sip:a@h;x=2"]);
}

/// REG-09, T3: a request that was overtaken by the removal of its binding, by whichever way, does not bring it back.
#[test]
fn what_is_removed_stays_removed() {
    let a = [contact("sip:a@h")];
    let none = [lasting("sip:a@h", 0)];
    let star = Asked { star: true, expires: Some(0), ..asked(&[], "one", 11) };
    let star_of_another = Asked { call_id: "two", cseq: 1, ..star };
    let by_another = asked(&none, "two", 1);
    for removal in [asked(&none, "one", 11), star, star_of_another, by_another] {
        let mut record = AorRecord::new();
        register(&mut record, asked(&a, "one", 9), NOW).unwrap();
        register(&mut record, removal, NOW).unwrap();
        for late in [asked(&a, "one", 9), asked(&[contact("sip:b@h")], "one", 8)] {
            let later = NOW + order::LINGER_MS - 1;
            assert_eq!(register(&mut record, late, later), Err(Refusal::OutOfOrder), "after {removal:?}");
        }
        assert!(register(&mut record.clone(), asked(&a, "one", 12), NOW).is_ok());
        assert!(register(&mut record, asked(&a, "one", 9), NOW + order::LINGER_MS).is_ok());
    }
}

/// REG-09: a removal that comes twice, say by another edge after the first one failed, finds nothing more to remove.
#[test]
fn a_removal_may_come_twice() {
    let mut record = AorRecord::new();
    let none = [lasting("sip:a@h", 0)];
    register(&mut record, asked(&[contact("sip:a@h")], "one", 1), NOW).unwrap();
    for _ in 0..2 {
        assert!(register(&mut record, asked(&none, "one", 2), NOW).is_ok());
    }
    assert_eq!(register(&mut record, asked(&none, "one", 1), NOW), Err(Refusal::OutOfOrder));
}

/// REG-09, T3: an old request is old also for contacts that nobody has named since.
#[test]
fn an_old_request_adds_nothing_either() {
    let mut record = AorRecord::new();
    let two = [contact("sip:a@h"), contact("sip:b@h")];
    register(&mut record, asked(&two, "one", 10), NOW).unwrap();
    let new = [contact("sip:new@h")];
    for cseq in [9, 10] {
        assert_eq!(register(&mut record, asked(&new, "one", cseq), NOW), Err(Refusal::OutOfOrder));
    }
    register(&mut record, asked(&[lasting("sip:a@h", 0)], "one", 12), NOW).unwrap();
    let overtaken = asked(&two[..1], "one", 11);
    assert_eq!(register(&mut record, overtaken, NOW), Err(Refusal::OutOfOrder), "although b is from 10");
    assert!(register(&mut record, asked(&new, "one", 13), NOW).is_ok());
}

/// REG-09: what is remembered is bounded, and lasts as long as a request lingers.
#[test]
fn the_past_is_bounded() {
    let mut record = AorRecord::new();
    let none = [lasting("sip:a@h", 0)];
    for client in 0..40 {
        register(&mut record, asked(&none, &format!("client-{client}"), 1), NOW).unwrap();
    }
    assert_eq!(record.past.len(), order::MOST);
    register(&mut record, asked(&[contact("sip:a@h")], "last", 1), NOW + order::LINGER_MS).unwrap();
    assert!(record.past.is_empty());
}

/// REG-06, REG-09, REG-10, REG-12: a contact that is named as it was bound is treated as one that only means the same.
#[test]
fn a_contact_in_the_same_words_is_refreshed_as_in_other_words() {
    for (expires, cseq) in
        [(None, 2), (Some(0), 2), (Some(59), 2), (Some(60), 2), (Some(9_999), 2), (None, 1)]
    {
        let outcomes = ["sip:bob@192.0.2.1:5070;x=1", "sip:%62ob@192.0.2.1:5070;X=1"].map(|again| {
            let mut record = AorRecord::new();
            register(&mut record, asked(&[contact("sip:bob@192.0.2.1:5070;x=1")], "c", 1), NOW).unwrap();
            let contacts = [RegisterContact { expires, ..contact(again) }];
            let mut outcome = register(&mut record, asked(&contacts, "c", cseq), NOW + 1);
            if let Ok(told) = &mut outcome {
                // Who watches sees the other words.
                told.retain(|kind| *kind != binding_event::Type::Refreshed);
            }
            let bound = record.bindings.iter().map(|binding| (binding.id, binding.expires_ms, binding.cseq));
            (outcome, bound.collect::<Vec<_>>(), record.past)
        });
        assert_eq!(outcomes[0], outcomes[1], "{expires:?} {cseq}");
    }
}
