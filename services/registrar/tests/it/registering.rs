//! REGISTER, section 9.

use std::time::Duration;

use cluster_api::registrar::v1::{Account, RegisterRequest};
use futures_util::future::join_all;
use store::Store as _;

use crate::rig::{Phone, Rig, contact, header, lasting, source, status, targets, uris, with_q};

/// REG-01: the Request-URI is a served domain without a user; To is an address of record in it.
#[tokio::test]
async fn a_register_names_a_served_domain() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let mut ask = async |change: fn(&mut RegisterRequest)| {
        let mut request = phone.request(&[contact("sip:bob@h")]);
        change(&mut request);
        phone.send(request).await.status
    };
    assert_eq!(ask(|request| request.request_uri = "sip:elsewhere.example".into()).await, 404);
    assert_eq!(ask(|request| request.request_uri = "sip:bob@open".into()).await, 400);
    assert_eq!(ask(|request| request.request_uri = "tel:+1".into()).await, 416);
    assert_eq!(ask(|request| request.request_uri = "nonsense".into()).await, 400);
    assert_eq!(ask(|request| request.to_uri = "sip:bob@elsewhere.example".into()).await, 404);
    assert_eq!(ask(|request| request.to_uri = "tel:+1".into()).await, 400);
    assert_eq!(ask(|request| request.to_uri = "sip:open".into()).await, 400);
    assert_eq!(ask(|request| request.request_uri = "sip:OPEN:5070;transport=tcp".into()).await, 200);
    let mut of_another_domain = phone.request(&[contact("sip:bob@h")]);
    of_another_domain.to_uri = "sip:bob@d".into();
    let answer = phone.send(of_another_domain).await;
    assert_eq!((answer.status, answer.reason.as_str()), (404, "Address Not In This Domain"));
}

/// REG-02: domain, Require, credentials, right, existence: the first failing check answers.
#[tokio::test]
async fn checks_fail_in_their_order() {
    let rig = Rig::new();
    rig.account("bob").await;
    rig.account("alice").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    let mut all_wrong = phone.request(&[lasting("sip:bob@h", 1)]);
    all_wrong.request_uri = "sip:elsewhere.example".into();
    all_wrong.require = vec!["path".into(), "foo".into(), "bar".into()];
    all_wrong.to_uri = "sip:alice@d".into();
    assert_eq!(phone.send(all_wrong.clone()).await.status, 404);
    all_wrong.request_uri = "sip:d".into();
    let unsupported = phone.send(all_wrong.clone()).await;
    assert_eq!((unsupported.status, header(&unsupported, "Unsupported")), (420, Some("foo, bar")));
    all_wrong.require.clear();
    assert_eq!(phone.send(all_wrong.clone()).await.status, 401);
    assert_eq!(phone.register_as(all_wrong.clone()).await.status, 403);
    all_wrong.to_uri = "sip:nobody@d".into();
    assert_eq!(phone.register_as(all_wrong.clone()).await.status, 403, "AUT-10: as for somebody who exists");
    let mut trusted = phone.request(&[contact("sip:nobody@h")]);
    trusted.to_uri = "sip:nobody@d".into();
    trusted.source = Some(cluster_api::sip::v1::Source { trusted: true, ..source() });
    assert_eq!(phone.send(trusted).await.status, 404);
    all_wrong.to_uri = "sip:bob@d".into();
    assert_eq!(phone.register_as(all_wrong).await.status, 423);
}

/// REG-03: parameters are removed, escapes decoded, sip and sips are one address of record.
#[tokio::test]
async fn one_user_in_many_spellings() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    for (index, spelling) in
        ["sip:%62ob@open;x=1", "sips:bob@OPEN", "sip:bob@open:5080", "sip:bob@open"].into_iter().enumerate()
    {
        let mut request = phone.request(&[contact(&format!("sip:phone{index}@h"))]);
        request.to_uri = spelling.to_owned();
        request.from_uri = spelling.to_owned();
        assert_eq!(phone.send(request).await.contacts.len(), index + 1, "{spelling}");
    }
}

/// REG-04, REG-12: a query lists every binding with the seconds that are left, and changes nothing.
#[tokio::test]
async fn a_query_lists_what_is_left() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[lasting("sip:a@h", 100)]).await;
    let added = phone.register(&[lasting("sip:b@h", 200)]).await;
    assert_eq!(added.contacts.iter().map(|contact| contact.expires).collect::<Vec<_>>(), [100, 200]);
    rig.clock.advance(Duration::from_secs(30));
    for _ in 0..2 {
        let queried = phone.register(&[]).await;
        assert_eq!((queried.status, uris(&queried)), (200, vec!["sip:a@h", "sip:b@h"]));
        assert_eq!(queried.contacts.iter().map(|contact| contact.expires).collect::<Vec<_>>(), [70, 170]);
    }
}

/// REG-04: a query in a domain without authentication writes nothing at all.
#[tokio::test]
async fn a_query_without_credentials_writes_nothing() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact("sip:a@h")]).await;
    rig.store.hook.count();
    assert_eq!(uris(&phone.register(&[]).await), ["sip:a@h"]);
    assert_eq!(rig.store.hook.count(), (1, 0));
}

/// REG-05, REG-14: `mailto:` stays 4294967295 s, a sip contact 3600 s.
#[tokio::test]
async fn defaults_depend_on_the_scheme() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let both = phone.register(&[contact("mailto:bob@d"), contact("sip:bob@h")]).await;
    assert_eq!(both.contacts.iter().map(|contact| contact.expires).collect::<Vec<_>>(), [u32::MAX, 3_600]);
}

/// REG-06: 423 with Min-Expires below the minimum; longer times are shortened.
#[tokio::test]
async fn brief_times_are_refused_and_long_ones_shortened() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let brief = phone.register(&[lasting("sip:bob@h", 10)]).await;
    assert_eq!((brief.status, header(&brief, "Min-Expires")), (423, Some("60")));
    let mut request = phone.request(&[contact("sip:bob@h")]);
    request.expires = Some(90_000);
    assert_eq!(phone.send(request).await.contacts[0].expires, 7_200);
}

/// REG-07: add two, refresh one, remove the other.
#[tokio::test]
async fn contacts_come_and_go() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[contact("sip:a@h"), contact("sip:b@h")]).await;
    let left = phone.register(&[lasting("sip:a@H", 100), lasting("sip:b@h", 0)]).await;
    assert_eq!((left.status, uris(&left)), (200, vec!["sip:a@H"]));
}

/// REG-08: a star alone and with Expires 0.
#[tokio::test]
async fn a_star_removes_everything() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact("sip:a@h"), contact("sip:b@h")]).await;
    let mut star = async |contacts: &[_], expires| {
        let request = RegisterRequest { star: true, expires, ..phone.request(contacts) };
        phone.send(request).await
    };
    assert_eq!(star(&[contact("sip:a@h")], Some(0)).await.status, 400);
    assert_eq!(star(&[], Some(60)).await.status, 400);
    assert_eq!(star(&[], None).await.status, 400);
    let emptied = star(&[], Some(0)).await;
    assert_eq!((emptied.status, emptied.contacts.len()), (200, 0));
}

/// REG-09, T3: an old request has no effect, on any replica; a reboot has a new Call-ID and starts over.
#[tokio::test]
async fn an_old_request_has_no_effect() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let old = phone.request(&[contact("sip:old@h")]);
    assert_eq!(phone.send(old.clone()).await.status, 200);
    let removal = phone.request(&[lasting("sip:old@h", 0), contact("sip:new@h")]);
    assert_eq!(phone.send(removal).await.status, 200);
    let newest = phone.register(&[contact("sip:new@h")]).await;
    assert_eq!(uris(&newest), ["sip:new@h"]);
    let stale = RegisterRequest { contacts: vec![lasting("sip:new@h", 0)], ..old };
    for replica in &rig.replicas {
        phone.registrar = replica.clone();
        assert_eq!(phone.send(stale.clone()).await.status, 500);
        assert_eq!(uris(&phone.register(&[]).await), ["sip:new@h"]);
    }
    let mut rebooted = Phone::of(&rig, "bob", "open");
    rebooted.call_id = "another".into();
    assert_eq!(rebooted.register(&[contact("sip:new@h")]).await.status, 200);
}

/// REG-10: the second of two contacts is bad: the first is not stored either.
#[tokio::test]
async fn contacts_are_stored_together_or_not_at_all() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    assert_eq!(phone.register(&[contact("sip:a@h"), contact("sip:[")]).await.status, 400);
    assert_eq!(phone.register(&[contact("sip:a@h"), lasting("sip:b@h", 5)]).await.status, 423);
    assert_eq!(phone.register(&[]).await.contacts.len(), 0);
    assert_eq!(rig.memory.record_count(), 0);
}

/// REG-11: 200 parallel requests on two replicas give the exact final set.
#[tokio::test]
async fn parallel_requests_for_one_user_are_exact() {
    let config = registrar::Config { max_bindings: 1_000, ..registrar::Config::default() };
    let rig = Rig::with(config);
    let requests = (0..200).map(|number: usize| {
        let mut phone = Phone::of(&rig, "bob", "open");
        phone.registrar = rig.replicas[number % 2].clone();
        phone.call_id = format!("call-{number}");
        async move { phone.register(&[contact(&format!("sip:{number}@h"))]).await.status }
    });
    assert!(join_all(requests).await.into_iter().all(|status| status == 200));
    let mut phone = Phone::of(&rig, "bob", "open");
    let mut left: Vec<String> = phone.register(&[]).await.contacts.into_iter().map(|one| one.uri).collect();
    let mut expected: Vec<String> = (0..200).map(|number| format!("sip:{number}@h")).collect();
    left.sort_unstable();
    expected.sort_unstable();
    assert_eq!(left, expected);
}

/// REG-12: the 200 has a Date.
#[tokio::test]
async fn the_answer_is_dated() {
    let rig = Rig::new();
    let answer = Phone::of(&rig, "bob", "open").register(&[contact("sip:a@h")]).await;
    assert_eq!(header(&answer, "Date"), Some("Fri, 15 Jan 2027 08:00:00 GMT"));
}

/// REG-13: q is kept and orders the targets.
#[tokio::test]
async fn q_is_kept_and_orders_the_targets() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let answer =
        phone.register(&[with_q("sip:low@h", 300), with_q("sip:high@h", 700), contact("sip:one@h")]).await;
    assert_eq!(
        answer.contacts.iter().map(|one| one.q_milli).collect::<Vec<_>>(),
        [Some(300), Some(700), None]
    );
    let plan = phone.route("sip:bob@open").await;
    assert_eq!(targets(&plan), [["sip:one@h"], ["sip:high@h"], ["sip:low@h"]]);
}

/// REG-15: feature parameters, unknown parameters and display names come back as registered.
#[tokio::test]
async fn contacts_come_back_as_registered() {
    let rig = Rig::new();
    let mut full = contact("sip:a@h;transport=tcp");
    full.display_name = "Bob".into();
    full.params = vec!["+sip.instance=\"<urn:uuid:1>\"".into(), "audio".into(), "x=y".into()];
    let answer = Phone::of(&rig, "bob", "open").register(std::slice::from_ref(&full)).await;
    let back = &answer.contacts[0];
    assert_eq!((&back.uri, &back.display_name, &back.params), (&full.uri, &full.display_name, &full.params));
}

/// REG-16: no answer is a 6xx and none has a Record-Route, whatever is wrong.
#[tokio::test]
async fn no_answer_is_global() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    for contacts in
        [vec![contact("sip:[")], vec![lasting("sip:a@h", 1)], vec![contact("sip:bob@open")], vec![]]
    {
        let answer = phone.register(&contacts).await;
        assert!(answer.status < 600);
        assert_eq!(header(&answer, "Record-Route"), None);
    }
}

/// REG-17: an expired binding is gone on every replica at once, and the record goes when nothing is left to remember.
#[tokio::test(start_paused = true)]
async fn bindings_expire_on_every_replica() {
    let config = registrar::Config { min_expires: Duration::from_secs(1), ..registrar::Config::default() };
    let rig = Rig::with(config);
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[lasting("sip:a@h", 2)]).await;
    rig.clock.advance(Duration::from_secs(2));
    for replica in &rig.replicas {
        phone.registrar = replica.clone();
        assert_eq!(status(&phone.route("sip:bob@open").await), 480);
        assert_eq!(phone.register(&[]).await.contacts.len(), 0);
    }
    // the binding is cleaned away by whichever replica runs; the user is known a while longer
    let shutdown = lifecycle::Shutdown::new();
    let run = tokio::spawn(rig.registrar().clone().run(shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&phone.route("sip:bob@open").await), 480);
    rig.clock.advance(Duration::from_secs(301));
    assert_eq!(status(&phone.route("sip:bob@open").await), 404);
    assert_eq!(rig.memory.record_count(), 0);
    shutdown.ask();
    run.await.unwrap();
}

/// REG-18: registering for somebody else needs the right.
#[tokio::test]
async fn an_assistant_registers_for_the_boss_with_the_right() {
    let rig = Rig::new();
    rig.account("assistant").await;
    rig.account("stranger").await;
    let registrars = vec!["sip:assistant@d".to_owned()];
    rig.account_with(Account { aor: "sip:boss@d".into(), registrars, ..Account::default() }).await;
    for (user, expected) in [("assistant", 200), ("stranger", 403)] {
        let mut phone = Phone::of(&rig, user, "d");
        let mut request = phone.request(&[contact("sip:desk@h")]);
        request.to_uri = "sip:boss@d".into();
        assert_eq!(phone.register_as(request).await.status, expected, "{user}");
    }
    // without authentication nobody has the right
    let mut phone = Phone::of(&rig, "bob", "open");
    let mut request = phone.request(&[contact("sip:desk@h")]);
    request.to_uri = "sip:alice@open".into();
    assert_eq!(phone.send(request).await.status, 403);
}

/// REG-19: the address of record is no contact of itself.
#[tokio::test]
async fn the_address_of_record_is_refused_as_contact() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    assert_eq!(phone.register(&[contact("sip:bob@open")]).await.status, 403);
}

/// REG-20: Path is stored, echoed, and becomes the route; without support for it the request is refused.
#[tokio::test]
async fn a_path_becomes_the_route() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let path = vec!["<sip:first;lr>".to_owned(), "<sip:second;lr>".to_owned()];
    let request = RegisterRequest { path: path.clone(), ..phone.request(&[contact("sip:a@h")]) };
    assert_eq!(phone.send(request.clone()).await.status, 420);
    let answer = phone.send(RegisterRequest { supported: vec!["path".into()], ..request }).await;
    let echoed: Vec<&str> = answer
        .headers
        .iter()
        .filter(|header| header.name == "Path")
        .map(|header| header.value.as_str())
        .collect();
    assert_eq!(echoed, path);
    let plan = phone.route("sip:bob@open").await;
    let Some(cluster_api::registrar::v1::route_response::Plan::Fork(fork)) = plan.plan else { panic!() };
    assert_eq!(fork.groups[0].targets[0].route, path);
}

/// Steady state: a refresh is one commit and no read; a request without credentials is neither (T12).
#[tokio::test]
async fn a_refresh_costs_one_round_trip() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[contact("sip:a@h")]).await;
    rig.store.hook.count();
    for _ in 0..5 {
        assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 200);
        assert_eq!(rig.store.hook.count(), (0, 1));
    }
    let unproved = phone.request(&[contact("sip:a@h")]);
    assert_eq!(phone.send(unproved).await.status, 401);
    assert_eq!(rig.store.hook.count(), (0, 0));
}

/// After everybody has gone the store is as it was: whether they took leave, were found expired, or are long forgotten.
#[tokio::test(start_paused = true)]
async fn nothing_is_left_behind() {
    let rig = Rig::new();
    for number in 0..50 {
        let mut phone = Phone::of(&rig, &format!("user{number}"), "open");
        phone.register(&[contact("sip:a@h")]).await;
        phone.register(&[lasting("sip:a@h", 0)]).await;
    }
    assert_eq!(listed(&rig).await, (0, 0), "who took leave is on no list");
    let shutdown = lifecycle::Shutdown::new();
    let mut run = None;
    for idle in [60, 60 + 3_600] {
        for number in 0..50 {
            let mut phone = Phone::of(&rig, &format!("silent{number}"), "open");
            phone.call_id = format!("{idle}-{number}");
            phone.register(&[lasting("sip:a@h", 60)]).await;
        }
        assert_eq!(listed(&rig).await.0, 50);
        rig.clock.advance(Duration::from_secs(idle));
        run.get_or_insert_with(|| tokio::spawn(rig.registrar().clone().run(shutdown.clone())));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(listed(&rig).await, (0, 0), "after {idle} s");
    }
    rig.clock.advance(Duration::from_secs(301));
    assert_eq!(rig.memory.record_count(), 0);
    shutdown.ask();
    run.expect("it was started").await.unwrap();
}

/// How many users are listed as bound, and how many partitions have something due.
async fn listed(rig: &Rig) -> (usize, usize) {
    let (mut bound, mut due) = (0, 0);
    for partition in store::Partitions::new("aor", 16).all() {
        bound += rig.memory.index(partition, "bound", None, 1_000).await.unwrap().entries.len();
        due += usize::from(rig.memory.due_next(partition, "expiry").await.unwrap().is_some());
    }
    (bound, due)
}

/// The memory is a help and no limit: more users than it keeps are served as well, and with none at all.
#[tokio::test]
async fn more_users_than_memory_are_served() {
    for cached_aors in [1, 0] {
        serve_more_users_than(cached_aors).await;
    }
}

async fn serve_more_users_than(cached_aors: usize) {
    let rig = Rig::with(registrar::Config { cached_aors, ..registrar::Config::default() });
    let mut phones: Vec<Phone> =
        (0..3_000).map(|number| Phone::of(&rig, &format!("user{number}"), "open")).collect();
    for round in 0..2 {
        for phone in &mut phones {
            let answer = phone.register(&[contact("sip:a@h")]).await;
            assert_eq!((answer.status, answer.contacts.len()), (200, 1), "round {round}");
        }
    }
    let (reads, commits) = rig.store.hook.count();
    assert_eq!(commits, 6_000);
    assert!(reads > 3_000, "{reads}: what is not kept is read again");
}
