//! Digest authentication, section 8, and the threats around it.

use std::time::Duration;

use cluster_api::registrar::v1::{Account, RouteRequest, route_response::Plan};
use registrar::{Algorithm, Config};

use crate::rig::{PASSWORD, Phone, Rig, contact, status, targets, uris};

/// AUT-01, AUT-02: a REGISTER is challenged with one header per algorithm, best on top; an INVITE likewise.
#[tokio::test]
async fn challenges_offer_the_best_algorithm_first() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "d");
    let request = phone.request(&[]);
    let answer = phone.send(request).await;
    assert_eq!((answer.status, answer.challenges.len()), (401, 2));
    for (challenge, algorithm) in answer.challenges.iter().zip(["SHA-256", "MD5"]) {
        assert!(challenge.starts_with("Digest realm=\"d\", nonce=\""), "{challenge}");
        assert!(challenge.ends_with(&format!("opaque=\"carillon\", algorithm={algorithm}, qop=\"auth\"")));
    }
    let Some(Plan::Challenge(challenge)) = phone.send_route(phone.route_request("sip:alice@d")).await.plan
    else {
        panic!("an INVITE from outside is challenged");
    };
    assert_eq!(challenge.challenges.len(), 2);
}

/// AUT-01, EVT-01, PKG-05: a conference that Carillon holds is a server to who watches it; the focus of a phone is not ours to answer for.
#[tokio::test]
async fn who_watches_a_conference_of_ours_is_challenged_by_its_server() {
    let rig = Rig::new();
    rig.account("bob").await;
    for (target, of_server) in [("sip:conf-1@d", true), ("sip:bob@d", false)] {
        let phone = Phone::of(&rig, "bob", "d");
        let (method, event) = ("SUBSCRIBE".to_owned(), "conference".to_owned());
        let request = RouteRequest { method, event, ..phone.route_request(target) };
        match phone.send_route(request).await.plan {
            Some(Plan::Challenge(challenge)) => assert_eq!(challenge.of_server, of_server, "{target}"),
            other => panic!("{target}: {other:?}"),
        }
    }
}

/// AUT-02, AUT-03: the client picks any offered algorithm, and no other.
#[tokio::test]
async fn a_client_picks_either_algorithm() {
    let rig = Rig::with(Config {
        algorithms: vec![Algorithm::Sha512T256, Algorithm::Sha256, Algorithm::Md5],
        ..Config::default()
    });
    rig.account("bob").await;
    for algorithm in ["SHA-512-256", "SHA-256", "MD5", "SHA-256-sess", "MD5-sess"] {
        let mut phone = Phone::of(&rig, "bob", "d");
        phone.call_id = algorithm.to_owned();
        let request = phone.request(&[contact("sip:a@h")]);
        let challenges = phone.send(request).await.challenges;
        let plain = algorithm.trim_end_matches("-sess");
        let offered = challenges.iter().find(|one| one.contains(&format!("algorithm={plain},"))).unwrap();
        phone.challenge = Some(offered.replace(plain, algorithm));
        assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 200, "{algorithm}");
    }
    let only_sha = Rig::with(Config { algorithms: vec![Algorithm::Sha256], ..Config::default() });
    only_sha.account("bob").await;
    let mut phone = Phone::of(&only_sha, "bob", "d");
    let request = phone.request(&[]);
    let challenges = phone.send(request).await.challenges;
    assert_eq!(challenges.len(), 1);
    phone.challenge = Some(challenges[0].replace("SHA-256", "MD5"));
    let mut request = phone.request(&[]);
    phone.sign(&mut request);
    assert_eq!(phone.send(request).await.status, 401);
}

/// AUT-03: auth-int covers the body.
#[tokio::test]
async fn the_body_is_covered_when_the_client_says_so() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    let first = phone.request(&[]);
    let challenges = phone.send(first).await.challenges;
    phone.challenge = Some(challenges[0].replace("qop=\"auth\"", "qop=\"auth-int\""));
    let mut request = phone.request(&[contact("sip:a@h")]);
    request.body = b"v=0\r\n".to_vec().into();
    phone.sign(&mut request);
    let mut tampered = request.clone();
    tampered.body = b"v=1\r\n".to_vec().into();
    assert_eq!(phone.send(tampered).await.status, 401);
    assert_eq!(phone.send(request).await.status, 200);
}

/// AUT-03: a client without qop is accepted when the policy says so, and then each nonce is good once.
#[tokio::test]
async fn clients_without_qop_need_the_policy() {
    for (is_allowed, expected) in [(false, 401), (true, 200)] {
        let rig = Rig::with(Config { danger_allow_no_qop: is_allowed, ..Config::default() });
        rig.account("bob").await;
        let mut phone = Phone::of(&rig, "bob", "d");
        let first = phone.request(&[]);
        let challenges = phone.send(first).await.challenges;
        phone.challenge = Some(challenges[1].replace(", qop=\"auth\"", ""));
        for expected in [expected, 401] {
            let mut request = phone.request(&[contact("sip:a@h")]);
            phone.sign(&mut request);
            assert_eq!(phone.send(request).await.status, expected);
        }
    }
}

/// AUT-04: Basic and everything unreadable is answered with a fresh challenge.
#[tokio::test]
async fn anything_but_digest_is_challenged_anew() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    for value in ["Basic Ym9iOnphbnppYmFy", "", "Digest", "Digest username=\"bob\"", "\u{fffd}"] {
        let mut request = phone.request(&[]);
        request.authorization = vec![value.to_owned()];
        let answer = phone.send(request).await;
        assert_eq!((answer.status, answer.challenges.len()), (401, 2), "{value}");
        assert!(!answer.challenges[0].contains("stale"));
    }
}

/// AUT-07: the hashed URI may differ when it names a host of ours, and not otherwise.
#[tokio::test]
async fn the_hashed_uri_names_us() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[]).await;
    for (uri, expected) in [("sip:bob@d", 200), ("sip:d;transport=udp", 200), ("sip:elsewhere.example", 401)]
    {
        let mut request = phone.request(&[contact("sip:a@h")]);
        request.authorization = vec![phone.credentials("REGISTER", uri, b"")];
        assert_eq!(phone.send(request).await.status, expected, "{uri}");
    }
}

/// AUT-08, T1: a nonce count is good once, on all replicas; another request with it is challenged without stale.
#[tokio::test]
async fn a_nonce_count_is_used_once() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[contact("sip:a@h")]).await;
    let mut request = phone.request(&[contact("sip:a@h")]);
    phone.sign(&mut request);
    assert_eq!(phone.send(request.clone()).await.status, 200);
    for replica in &rig.replicas {
        phone.registrar = replica.clone();
        let mut replay = phone.request(&[contact("sip:evil@h")]);
        replay.authorization.clone_from(&request.authorization);
        let answer = phone.send(replay).await;
        assert_eq!(answer.status, 401);
        assert!(!answer.challenges[0].contains("stale"));
        let same = phone.send(request.clone()).await;
        assert_eq!(same.status, 401);
        assert!(same.challenges[0].ends_with("stale=true"), "who lost the answer tries again unasked");
    }
    assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 200, "the next count is good");
}

/// AUT-08, T1: the same for calls.
#[tokio::test]
async fn a_nonce_count_starts_one_call() {
    let rig = Rig::new();
    rig.account("bob").await;
    rig.account("alice").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    assert_eq!(status(&phone.route("sip:alice@d").await), 480);
    let mut request = phone.route_request("sip:alice@d");
    request.proxy_authorization = vec![phone.credentials("INVITE", "sip:alice@d", b"")];
    assert_eq!(status(&phone.send_route(request.clone()).await), 480);
    request.sip_call_id = "another".into();
    phone.registrar = rig.replicas[1].clone();
    assert_eq!(status(&phone.send_route(request).await), 407);
}

/// AUT-08, T1: a query uses its nonce count up as well, and a count that was used is good for no query.
#[tokio::test]
async fn a_query_uses_its_nonce_count_up() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[contact("sip:a@h")]).await;
    let mut query = phone.request(&[]);
    phone.sign(&mut query);
    assert_eq!(phone.send(query.clone()).await.status, 200);
    for replica in &rig.replicas {
        phone.registrar = replica.clone();
        for contacts in [vec![contact("sip:evil@h")], vec![]] {
            let mut replay = phone.request(&contacts);
            replay.authorization.clone_from(&query.authorization);
            let answer = phone.send(replay).await;
            assert_eq!((answer.status, answer.contacts.len()), (401, 0));
            assert!(!answer.challenges[0].contains("stale"));
        }
    }
    assert_eq!(uris(&phone.register(&[]).await), ["sip:a@h"]);
}

/// AUT-08, T1: who registers for another one uses a nonce count of their own up, whether it is granted or not.
#[tokio::test]
async fn a_nonce_count_registers_one_other() {
    let rig = Rig::new();
    rig.account("assistant").await;
    let registrars = vec!["sip:assistant@d".to_owned()];
    rig.account_with(Account { aor: "sip:boss@d".into(), registrars, ..Account::default() }).await;
    rig.account("stranger").await;
    for (to_uri, expected) in [("sip:boss@d", 200), ("sip:stranger@d", 403)] {
        let mut phone = Phone::of(&rig, "assistant", "d");
        let first = phone.request(&[]);
        let challenges = phone.send(first).await.challenges;
        phone.take_challenge(&challenges);
        let mut request = phone.request(&[contact("sip:desk@h")]);
        request.to_uri = to_uri.to_owned();
        phone.sign(&mut request);
        assert_eq!(phone.send(request.clone()).await.status, expected);
        for replica in &rig.replicas {
            phone.registrar = replica.clone();
            for to_uri in ["sip:boss@d", "sip:assistant@d"] {
                let mut replay = phone.request(&[contact("sip:evil@h")]);
                replay.to_uri = to_uri.to_owned();
                replay.authorization.clone_from(&request.authorization);
                assert_eq!(phone.send(replay).await.status, 401, "{to_uri}");
            }
        }
    }
    assert_eq!(targets(&Phone::of(&rig, "stranger", "d").route("sip:boss@d").await), [["sip:desk@h"]]);
}

/// AUT-08: an old nonce is answered with stale=true when the credentials are right, and only then.
#[tokio::test]
async fn an_old_nonce_is_stale() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[contact("sip:a@h")]).await;
    rig.clock.advance(Duration::from_secs(301));
    let mut request = phone.request(&[contact("sip:a@h")]);
    phone.sign(&mut request);
    let answer = phone.send(request).await;
    assert_eq!(answer.status, 401);
    assert!(answer.challenges.iter().all(|challenge| challenge.ends_with("stale=true")));
    let mut guessing = phone.clone();
    guessing.password = "guess".into();
    let mut request = guessing.request(&[]);
    guessing.sign(&mut request);
    assert!(!guessing.send(request).await.challenges[0].contains("stale"));
    assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 200, "one silent retry succeeds");
}

/// AUT-08: a phone whose nonce had to make room for those of the user's other devices is told to take a new one, not that its password
/// is wrong.
#[tokio::test]
async fn a_nonce_that_made_room_for_others_is_stale() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[contact("sip:a@h")]).await;
    for number in 0..68 {
        rig.clock.advance(Duration::from_millis(10));
        let mut other = Phone { call_id: format!("other-{number}"), ..Phone::of(&rig, "bob", "d") };
        assert_eq!(other.register(&[contact("sip:b@h")]).await.status, 200);
    }
    let mut request = phone.request(&[contact("sip:a@h")]);
    phone.sign(&mut request);
    let answer = phone.send(request).await;
    assert_eq!(answer.status, 401);
    assert!(answer.challenges.iter().all(|challenge| challenge.ends_with("stale=true")), "{answer:?}");
    assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 200, "one silent retry succeeds");
}

/// AUT-08: forty requests of one account that were all challenged before the first one was answered, and come in another order at two
/// replicas: each fresh nonce is good.
#[tokio::test]
async fn requests_that_come_at_once_are_not_told_that_their_nonces_are_stale() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phones = Vec::new();
    for number in 0..40_usize {
        rig.clock.advance(Duration::from_millis(1));
        let mut phone = Phone { call_id: format!("call-{number}"), ..Phone::of(&rig, "bob", "d") };
        phone.registrar = rig.replicas[number % 2].clone();
        let asked = phone.request(&[]);
        let challenges = phone.send(asked).await.challenges;
        phone.take_challenge(&challenges);
        phones.push(phone);
    }
    for phone in phones.iter_mut().rev() {
        let mut query = phone.request(&[]);
        phone.sign(&mut query);
        assert_eq!(phone.send(query).await.status, 200, "{}", phone.call_id);
    }
}

/// AUT-09: what one replica asked another one understands.
#[tokio::test]
async fn a_challenge_is_answered_at_another_replica() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    let first = phone.request(&[]);
    let challenges = phone.send(first).await.challenges;
    phone.take_challenge(&challenges);
    phone.registrar = rig.replicas[1].clone();
    let mut request = phone.request(&[contact("sip:a@h")]);
    phone.sign(&mut request);
    assert_eq!(phone.send(request).await.status, 200);
}

/// AUT-10, T4: an unknown user and a wrong password get the same answer but for the nonce, after the same store accesses.
#[tokio::test]
async fn an_unknown_user_looks_like_a_wrong_password() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut answers = Vec::new();
    for (user, password) in [("bob", "wrong"), ("nobody", PASSWORD), ("no body", PASSWORD)] {
        let mut phone = Phone::of(&rig, user, "d");
        phone.password = password.to_owned();
        let mut request = phone.request(&[contact("sip:a@h")]);
        request.to_uri = format!("sip:{}@d", user.replace(' ', ""));
        request.from_uri.clone_from(&request.to_uri);
        let challenges = phone.send(request.clone()).await.challenges;
        phone.take_challenge(&challenges);
        phone.sign(&mut request);
        // both fresh in memory and known to it
        phone.send(request.clone()).await;
        rig.store.hook.count();
        let mut answer = phone.send(request).await;
        for challenge in &mut answer.challenges {
            let start = challenge.find("nonce=\"").unwrap() + 7;
            let end = start + challenge[start..].find('"').unwrap();
            challenge.replace_range(start..end, "");
        }
        answers.push((answer, rig.store.hook.count()));
    }
    assert_eq!(answers[0].0.status, 401);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

/// AUT-11: credentials of other realms are left alone; ours are found among them.
#[tokio::test]
async fn only_credentials_of_our_realm_count() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    phone.register(&[]).await;
    let foreign =
        "Digest username=\"x\", realm=\"far\", nonce=\"n\", uri=\"sip:d\", response=\"00\"".to_owned();
    let mut request = phone.request(&[contact("sip:a@h")]);
    let own = phone.credentials("REGISTER", "sip:d", b"");
    request.authorization = vec![foreign.clone(), own];
    assert_eq!(phone.send(request).await.status, 200);
    let mut request = phone.request(&[]);
    request.authorization = vec![foreign];
    assert_eq!(phone.send(request).await.status, 401);
}

/// AUT-12, T2: bob's password is not good for alice's address, neither to register nor to call.
#[tokio::test]
async fn a_password_is_good_for_its_own_address() {
    let rig = Rig::new();
    rig.account("bob").await;
    rig.account("alice").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    for (to, from) in
        [("sip:alice@d", "sip:alice@d"), ("sip:alice@d", "sip:bob@d"), ("sip:bob@d", "sip:alice@d")]
    {
        let mut request = phone.request(&[contact("sip:a@h")]);
        request.to_uri = to.into();
        request.from_uri = from.into();
        assert_eq!(phone.register_as(request).await.status, 403, "{to} {from}");
    }
    let mut call = phone.route_request("sip:alice@d");
    call.from_uri = "sip:alice@d".into();
    assert_eq!(status(&phone.route_as(call).await), 403);
}

/// AUT-12: an account may be allowed to show another address.
#[tokio::test]
async fn an_allowed_address_may_stand_in_from() {
    let rig = Rig::new();
    let allowed_from = vec!["sip:office@d".to_owned()];
    rig.account_with(Account { aor: "sip:bob@d".into(), allowed_from, ..Account::default() }).await;
    rig.account("alice").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    let mut call = phone.route_request("sip:alice@d");
    call.from_uri = "sip:office@d".into();
    let answer = phone.route_as(call).await;
    assert_eq!((status(&answer), answer.identity.as_str()), (480, "sip:bob@d"));
}

/// A disabled account neither registers nor calls, and only who knows the password learns that.
#[tokio::test]
async fn a_disabled_account_does_nothing() {
    let rig = Rig::new();
    rig.account_with(Account { aor: "sip:bob@d".into(), disabled: true, ..Account::default() }).await;
    rig.account("alice").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 403);
    assert_eq!(status(&phone.route("sip:alice@d").await), 403);
    phone.password = "guess".into();
    phone.challenge = None;
    assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 401);
}

/// Nor does it register for another account that has given it the right, or is registered by one that has the right.
#[tokio::test]
async fn a_disabled_account_has_no_part_in_registering_for_another() {
    for (assistant_disabled, boss_disabled, expected) in
        [(false, false, 200), (true, false, 403), (false, true, 403)]
    {
        let rig = Rig::new();
        let assistant =
            Account { aor: "sip:assistant@d".into(), disabled: assistant_disabled, ..Account::default() };
        rig.account_with(assistant).await;
        let registrars = vec!["sip:assistant@d".to_owned()];
        let boss =
            Account { aor: "sip:boss@d".into(), registrars, disabled: boss_disabled, ..Account::default() };
        rig.account_with(boss).await;
        let mut phone = Phone::of(&rig, "assistant", "d");
        let mut request = phone.request(&[contact("sip:desk@h")]);
        request.to_uri = "sip:boss@d".into();
        assert_eq!(phone.register_as(request).await.status, expected);
    }
}
