//! Trunks: the API, and who goes out by which.

use cluster_api::{
    registrar::v1::{
        Account, AnswerChallengeRequest, CreateTrunkRequest, DeleteTrunkRequest, GetTrunkRequest,
        ListTrunksRequest, RouteRequest, Trunk, TrunkCredentials, TrunkPeer, TrunkPrefix, TrunkProbe,
        TrunkRegistration, UpdateTrunkRequest, location_server::Location as _, route_response::Plan,
        trunks_server::Trunks as _,
    },
    sip::v1::Source,
};
use cluster_rpc::{Reason, Refusal};
use sip_digest::{Credentials, Ha1, Hash};
use tonic::{Code, Request, Status};

use crate::rig::{Phone, Rig, contact, source, status, targets};

pub fn peer(uri: &str) -> TrunkPeer {
    TrunkPeer { uri: uri.into(), ..TrunkPeer::default() }
}

fn prefix(prefix: &str, strip: u32, prepend: &str) -> TrunkPrefix {
    TrunkPrefix { prefix: prefix.into(), strip, prepend: prepend.into() }
}

pub fn trunk(name: &str, peers: &[&str], prefixes: &[&str]) -> Trunk {
    Trunk {
        trunk_id: name.into(),
        peers: peers.iter().map(|uri| peer(uri)).collect(),
        prefixes: prefixes.iter().map(|start| prefix(start, 0, "")).collect(),
        ..Trunk::default()
    }
}

pub async fn create(rig: &Rig, trunk: Trunk) -> Result<Trunk, Status> {
    let request = CreateTrunkRequest { trunk: Some(trunk), ..CreateTrunkRequest::default() };
    Ok(rig.registrar().create_trunk(Request::new(request)).await?.into_inner())
}

pub async fn update(rig: &Rig, trunk: Trunk) -> Result<Trunk, Status> {
    let request = UpdateTrunkRequest { trunk: Some(trunk), ..UpdateTrunkRequest::default() };
    Ok(rig.registrar().update_trunk(Request::new(request)).await?.into_inner())
}

fn reason(refused: Result<Trunk, Status>) -> Reason {
    Refusal::read(&refused.expect_err("a refusal")).expect("a reason").reason()
}

/// The longest prefix decides, and a number goes out as its rule says, whatever it was written like.
#[tokio::test]
async fn a_number_goes_out_by_the_longest_prefix() {
    let rig = Rig::new();
    rig.account("alice").await;
    create(&rig, trunk("any", &["sip:any.example"], &[""])).await.unwrap();
    create(&rig, trunk("germany", &["sip:de.example:5070;transport=tcp"], &["+49"])).await.unwrap();
    let berlin =
        Trunk { prefixes: vec![prefix("+4930", 3, "0")], ..trunk("berlin", &["sips:b.example"], &[]) };
    create(&rig, berlin).await.unwrap();
    let mut alice = Phone::of(&rig, "alice", "d");
    for (asked, out) in [
        ("sip:+4989123@d;user=phone", "sip:+4989123@de.example:5070;transport=tcp;user=phone"),
        ("sip:+49(89)123@d", "sip:+4989123@de.example:5070;transport=tcp;user=phone"),
        ("tel:+49-30-456", "sips:030456@b.example;user=phone"),
        ("tel:+33-1-23", "sip:+33123@any.example;user=phone"),
        ("sip:112@d;user=phone", "sip:112@any.example;user=phone"),
    ] {
        assert_eq!(targets(&alice.route(asked).await), [[out]], "{asked}");
    }
    // a name that looks like a number to nobody
    assert_eq!(status(&alice.route("sip:112@d").await), 404);
    // the user part of another domain is for that domain to read
    assert!(matches!(alice.route("sip:+4989123@far.example").await.plan, Some(Plan::Relay(_))));
    // an own user's number stays here
    Phone::of(&rig, "+4989123", "open").register(&[contact("sip:desk@h")]).await;
    let inside = RouteRequest { internal: true, ..alice.route_request("sip:+4989123@open") };
    assert_eq!(targets(&alice.send_route(inside).await), [["sip:desk@h"]]);
}

/// PXY-27: a number costs money: only who proved to be somebody, or is trusted, gets out; and nobody by way of a trunk.
#[tokio::test]
async fn only_the_proved_and_the_trusted_go_out_by_a_trunk() {
    let rig = Rig::new();
    rig.account("alice").await;
    create(&rig, trunk("pstn", &["sip:192.0.2.77"], &[""])).await.unwrap();
    let phone = Phone::of(&rig, "alice", "d");
    let from = |from: &str, address: &str, to: &str| RouteRequest {
        from_uri: from.into(),
        source: Some(Source { address: address.into(), ..source() }),
        ..phone.route_request(to)
    };
    let number = "sip:+49301@d";
    assert_eq!(status(&phone.send_route(from("sip:alice@d", "192.0.2.1", number)).await), 407);
    assert_eq!(status(&phone.send_route(from("sip:eve@open", "192.0.2.1", "sip:+49301@open")).await), 404);
    // the trunk itself: our users are reached, and nobody else
    Phone::of(&rig, "alice", "d").register(&[contact("sip:desk@h")]).await;
    let far = "sip:+4930123@pstn.example";
    assert_eq!(targets(&phone.send_route(from(far, "192.0.2.77", "sip:alice@d")).await), [["sip:desk@h"]]);
    assert_eq!(status(&phone.send_route(from(far, "192.0.2.77", number)).await), 404);
    assert_eq!(status(&phone.send_route(from(far, "192.0.2.77", "sip:x@elsewhere.example")).await), 403);
    assert_eq!(status(&phone.send_route(from(far, "192.0.2.78", "sip:alice@d")).await), 407);
    // one that is not in use is a stranger
    update(&rig, Trunk { disabled: true, ..trunk("pstn", &[], &[]) }).await.unwrap();
    assert_eq!(status(&phone.send_route(from(far, "192.0.2.77", "sip:alice@d")).await), 407);
    assert_eq!(status(&Phone::of(&rig, "alice", "d").route(number).await), 404);
}

/// T6: what a service of Carillon sends in a user's name goes where that user's own requests may, and nowhere else.
#[tokio::test]
async fn what_is_sent_in_a_users_name_goes_where_that_user_may() {
    let rig = Rig::new();
    rig.account("alice").await;
    let phone = Phone::of(&rig, "alice", "d");
    let asked = async |user: &str, to: &str| {
        let request = RouteRequest {
            method: "SUBSCRIBE".into(),
            event: "presence".into(),
            internal: true,
            on_behalf_of: user.into(),
            source: None,
            ..phone.route_request(to)
        };
        phone.send_route(request).await
    };
    let far = "sip:bob@far.example";
    assert!(matches!(asked("sip:alice@d", far).await.plan, Some(Plan::Relay(_))));
    assert_eq!(asked("sip:alice@d", far).await.identity, "sip:alice@d");
    for (user, why) in [
        ("sip:nobody@d", "no account"),
        ("sip:eve@elsewhere.example", "none of ours"),
        ("sip:anybody@open", "who need not prove to be somebody does not leave"),
        ("nonsense", "no address of record"),
    ] {
        assert_eq!(status(&asked(user, far).await), 403, "{why}");
    }
    assert!(matches!(asked("sip:alice@d", "sip:alice@d").await.plan, Some(Plan::Presence(_))));
    rig.account_with(Account { aor: "sip:bob@d".into(), disabled: true, ..Account::default() }).await;
    assert_eq!(status(&asked("sip:bob@d", far).await), 403, "a disabled account");
}

/// RFC 3261 16.6 step 6: the address of a peer domain stays as it is, and the peer is on the way to it.
#[tokio::test]
async fn a_domain_of_a_trunk_is_reached_through_its_peers() {
    let rig = Rig::new();
    rig.account("alice").await;
    let far = Trunk { domains: vec!["Far.Example".into()], ..trunk("far", &["sip:192.0.2.5:5080"], &[]) };
    create(&rig, far).await.unwrap();
    let plan = Phone::of(&rig, "alice", "d").route("sip:bob@far.example").await;
    assert_eq!(targets(&plan), [["sip:bob@far.example"]]);
    let Some(Plan::Fork(fork)) = plan.plan else { panic!() };
    assert_eq!(fork.groups[0].targets[0].route, ["<sip:192.0.2.5:5080;lr>"]);
    assert!(!fork.recurse, "a peer sends our users nowhere else");
}

/// Trunks of one prefix: priority before weight, each call draws for itself and always the same, and the others wait for a failure.
#[tokio::test]
async fn trunks_of_one_prefix_share_the_calls_and_stand_in_for_each_other() {
    let rig = Rig::new();
    for (name, priority, weight) in [("last", 1, 1), ("large", 0, 3), ("small", 0, 1)] {
        let uri = format!("sip:{name}.example");
        create(&rig, Trunk { priority, weight, ..trunk(name, &[&uri], &["+"]) }).await.unwrap();
    }
    let phone = Phone::of(&rig, "alice", "d");
    let mut first_large = 0;
    for call in 0..400 {
        let request = RouteRequest {
            internal: true,
            sip_call_id: format!("call-{call}"),
            ..phone.route_request("tel:+1")
        };
        let mut other = phone.clone();
        other.registrar = rig.replicas[1].clone();
        let plan = phone.send_route(request.clone()).await;
        assert_eq!(other.send_route(request).await, plan);
        let Some(Plan::Fork(fork)) = &plan.plan else { panic!() };
        let causes: Vec<&str> = fork.groups.iter().map(|group| group.cause.as_str()).collect();
        assert_eq!(causes, ["trunk", "trunk-failover", "trunk-failover"]);
        assert_eq!(targets(&plan)[2], ["sip:+1@last.example;user=phone"]);
        first_large += usize::from(targets(&plan)[0] == ["sip:+1@large.example;user=phone"]);
    }
    assert!((260..340).contains(&first_large), "{first_large} of 400 for three quarters");
}

/// Call-control names a trunk; nobody else does.
#[tokio::test]
async fn a_leg_goes_out_by_the_trunk_that_it_names() {
    let rig = Rig::new();
    rig.account("alice").await;
    create(&rig, trunk("one", &["sip:one.example"], &[""])).await.unwrap();
    let two = Trunk { prefixes: vec![prefix("+49", 3, "0")], ..trunk("two", &["sip:two.example"], &[]) };
    create(&rig, two).await.unwrap();
    let phone = Phone::of(&rig, "alice", "d");
    let leg = |internal, trunk: &str, to: &str| RouteRequest {
        internal,
        trunk: trunk.into(),
        ..phone.route_request(to)
    };
    let by_two = phone.send_route(leg(true, "two", "tel:+4930")).await;
    assert_eq!(targets(&by_two), [["sip:030@two.example;user=phone"]]);
    let named = phone.send_route(leg(true, "two", "sip:bob@far.example")).await;
    assert_eq!(targets(&named), [["sip:bob@far.example"]]);
    assert_eq!(status(&phone.send_route(leg(true, "three", "tel:+4930")).await), 404);
    assert_eq!(status(&phone.send_route(leg(false, "two", "sip:+4930@d")).await), 407);
}

/// Rule 1 of "nothing lost": another replica follows; whoever is there anew reads first.
#[tokio::test]
async fn every_replica_follows_the_changes() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "alice", "d");
    phone.registrar = rig.replicas[1].clone();
    let request = RouteRequest { internal: true, ..phone.route_request("tel:+49") };
    assert_eq!(status(&phone.send_route(request.clone()).await), 404);
    let shutdown = lifecycle::Shutdown::new();
    let running = tokio::spawn(rig.replicas[1].clone().run(shutdown.clone()));
    create(&rig, trunk("any", &["sip:any.example"], &[""])).await.unwrap();
    while status(&phone.send_route(request.clone()).await) == 404 {
        tokio::task::yield_now().await;
    }
    assert_eq!(targets(&phone.send_route(request).await), [["sip:+49@any.example;user=phone"]]);
    shutdown.ask();
    running.await.unwrap();
}

/// The API keeps what it is told, once, and says what it does not do.
#[tokio::test]
async fn trunks_are_created_changed_listed_and_deleted() {
    let rig = Rig::new();
    let made = create(&rig, trunk("b", &["sip:192.0.2.5"], &["+49"])).await.unwrap();
    assert_eq!((made.health.len(), made.health[0].uri.as_str()), (1, "sip:192.0.2.5"));
    create(&rig, trunk("a", &["sip:a.example"], &[])).await.unwrap();
    assert_eq!(reason(create(&rig, trunk("b", &["sip:x.example"], &[])).await), Reason::TrunkExists);

    let changed = Trunk { display_name: "Berlin".into(), etag: made.etag.clone(), ..trunk("b", &[], &[]) };
    let shown = update(&rig, changed.clone()).await.unwrap();
    assert_eq!((shown.display_name.as_str(), shown.peers.len()), ("Berlin", 1), "what is not named stays");
    assert_eq!(reason(update(&rig, changed).await), Reason::EtagMismatch);
    assert_eq!(reason(update(&rig, trunk("c", &[], &[])).await), Reason::TrunkNotFound);
    let get = |name: &str| GetTrunkRequest { trunk_id: name.into() };
    assert_eq!(rig.replicas[1].get_trunk(Request::new(get("b"))).await.unwrap().into_inner(), shown);

    let list = |token: String| ListTrunksRequest { page_size: 1, page_token: token, ..Default::default() };
    let first = rig.registrar().list_trunks(Request::new(list(String::new()))).await.unwrap().into_inner();
    assert_eq!((first.trunks[0].trunk_id.as_str(), first.next_page_token.as_str()), ("a", "after:a"));
    let last = rig.registrar().list_trunks(Request::new(list("after:a".into()))).await.unwrap().into_inner();
    assert_eq!((last.trunks, last.next_page_token.as_str()), (vec![shown], ""));

    for garbage in ["garbage", "after:", "after:a b"] {
        let refused = rig.registrar().list_trunks(Request::new(list(garbage.into()))).await.unwrap_err();
        assert_eq!(Refusal::read(&refused).unwrap().reason(), Reason::BadPageToken, "{garbage}");
    }

    let delete = DeleteTrunkRequest { request_id: "1".into(), trunk_id: "b".into() };
    for _ in 0..2 {
        rig.registrar().delete_trunk(Request::new(delete.clone())).await.expect("once, however often asked");
    }
    let gone = rig.registrar().get_trunk(Request::new(get("b"))).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

fn login(password: &str) -> TrunkCredentials {
    TrunkCredentials { username: "u".into(), password: password.into(), realm: "r".into() }
}

fn probe(seconds: i64, failures: u32) -> TrunkProbe {
    TrunkProbe { interval: Some(prost_types::Duration { seconds, nanos: 0 }), failures }
}

fn at(registrar_uri: &str, aor: &str, callee: &str) -> TrunkRegistration {
    let (registrar_uri, aor, callee) = (registrar_uri.into(), aor.into(), callee.into());
    TrunkRegistration { registrar_uri, aor, callee, expires: None }
}

/// T19, AUT-13: no reply and no log shows a password; a change of something else keeps it; challenges are answered with it, once.
#[tokio::test]
async fn a_password_goes_in_and_never_out() {
    let rig = Rig::new();
    let given = Trunk { credentials: Some(login("zanzibar")), ..trunk("t", &["sip:a.example"], &["+49"]) };
    let made = create(&rig, given.clone()).await.unwrap();
    let changed = Trunk { display_name: "T".into(), credentials: Some(login("")), ..trunk("t", &[], &[]) };
    let changed = update(&rig, changed).await.unwrap();
    let get = GetTrunkRequest { trunk_id: "t".into() };
    let shown = rig.replicas[1].get_trunk(Request::new(get)).await.unwrap().into_inner();
    for trunk in [&made, &changed, &shown] {
        assert_eq!(trunk.credentials.as_ref(), Some(&login("")));
        assert!(!format!("{trunk:?}").contains("zanzibar"));
    }
    assert!(!format!("{given:?}").contains("zanzibar"), "not even on its way in");
    let other = Trunk {
        credentials: Some(TrunkCredentials { username: "v".into(), ..login("") }),
        ..trunk("t", &[], &[])
    };
    assert_eq!(reason(update(&rig, other).await), Reason::BadField, "a new name needs its password");

    let mut phone = Phone::of(&rig, "alice", "d");
    rig.account("alice").await;
    let Some(Plan::Fork(fork)) = phone.route("sip:+49301@d").await.plan else { panic!() };
    let target = &fork.groups[0].targets[0];
    let ask = |again| AnswerChallengeRequest {
        trunk: target.trunk.clone(),
        method: "INVITE".into(),
        request_uri: target.uri.clone(),
        challenges: vec!["Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256".into()],
        other_challenges: vec!["Digest realm=\"r\", nonce=\"m\", qop=\"auth\"".into()],
        again,
        ..AnswerChallengeRequest::default()
    };
    let answer_of = async |replica: usize, again| {
        rig.replicas[replica].answer_challenge(Request::new(ask(again))).await.unwrap().into_inner()
    };
    let answer = async |again| answer_of(1, again).await.credentials;
    let given = answer(false).await;
    let ha1 = Ha1::of_password(Hash::Sha256, b"u", b"r", b"zanzibar");
    let credentials = Credentials::parse(given[0].as_bytes()).expect("credentials");
    assert!(credentials.matches(&ha1, "INVITE", b""), "{given:?}");
    assert!(answer(true).await.is_empty(), "refused once is refused");
    // RFC 7616 3.4: whichever replica is asked, no second use of a nonce looks like the first
    let again = answer_of(0, false).await;
    let counts = [given.first(), again.credentials.first(), again.other_credentials.first()]
        .map(|value| Credentials::parse(value.unwrap().as_bytes()).unwrap().protection.unwrap().count);
    assert_eq!(counts, [1, 2, 2]);
}

/// T19: nothing that is stored can be more than it says, and what is not carried out is refused.
#[tokio::test]
async fn unusable_trunks_are_refused() {
    let rig = Rig::new();
    let good = || trunk("t", &["sip:a.example"], &["+49"]);
    for (spoiled, expected) in [
        (trunk("", &["sip:a.example"], &[]), Reason::BadField),
        (trunk("a b", &["sip:a.example"], &[]), Reason::BadField),
        (trunk("t", &[], &[]), Reason::BadField),
        (trunk("t", &["sip:x@a.example"], &[]), Reason::BadUri),
        (trunk("t", &["sip:a.example>\r\nVia: y"], &[]), Reason::BadField),
        (trunk("t", &["sip:a.example>"], &[]), Reason::BadUri),
        (trunk("t", &["tel:+49"], &[]), Reason::BadUri),
        (trunk("t", &["sip:d"], &[]), Reason::BadUri),
        (trunk("t", &["sip:a.example"], &["49x"]), Reason::BadPrefix),
        (Trunk { prefixes: vec![prefix("+4", 3, "")], ..good() }, Reason::BadPrefix),
        (Trunk { prefixes: vec![prefix("+4", 0, "0;x")], ..good() }, Reason::BadPrefix),
        (Trunk { domains: vec!["open".into()], ..good() }, Reason::BadDomain),
        (Trunk { domains: vec!["x;y".into()], ..good() }, Reason::BadDomain),
        (Trunk { max_calls: 1, ..good() }, Reason::NotImplemented),
        (Trunk { credentials: Some(TrunkCredentials::default()), ..good() }, Reason::BadField),
        (Trunk { credentials: Some(login("")), ..good() }, Reason::BadField),
        (Trunk { probe: Some(probe(4, 0)), ..good() }, Reason::BadField),
        (Trunk { probe: Some(probe(30, 11)), ..good() }, Reason::BadField),
        (Trunk { registration: Some(Default::default()), ..good() }, Reason::BadUri),
        (
            Trunk { registration: Some(at("sip:x@c.example", "sip:a@c.example", "")), ..good() },
            Reason::BadUri,
        ),
        (Trunk { registration: Some(at("sip:c.example", "sip:alice@d", "")), ..good() }, Reason::BadUri),
        (
            Trunk { registration: Some(at("sip:c.example", "sip:a@c.example", "sip:x@y")), ..good() },
            Reason::BadUri,
        ),
    ] {
        let shown = format!("{spoiled:?}");
        assert_eq!(reason(create(&rig, spoiled).await), expected, "{shown}");
    }
    create(&rig, good()).await.unwrap();
}

/// UAC-06: a number that has no way is incomplete while more digits may give it one, and unknown otherwise; of a name that is somebody's in
/// one spelling alone there are never several to choose from.
#[tokio::test]
async fn a_number_that_is_too_short_for_any_trunk_is_incomplete() {
    let rig = Rig::new();
    rig.account("alice").await;
    create(&rig, trunk("germany", &["sip:192.0.2.77"], &["+49", "+4989"])).await.unwrap();
    create(&rig, trunk("emergency", &["sip:192.0.2.78"], &["112"])).await.unwrap();
    let mut alice = Phone::of(&rig, "alice", "d");
    for (number, expected) in [
        ("tel:+4", 484),
        ("sip:11@d;user=phone", 484),
        ("tel:+49", 0),
        ("tel:+498", 0),
        ("tel:+5", 404),
        ("tel:+48", 404),
        ("sip:113@d;user=phone", 404),
        ("sip:11@d", 404),
    ] {
        assert_eq!(status(&alice.route(number).await), expected, "{number}");
    }
    Phone::of(&rig, "Bob", "open").register(&[contact("sip:upper@h")]).await;
    Phone::of(&rig, "bob", "open").register(&[contact("sip:lower@h")]).await;
    assert_eq!(targets(&alice.route("sip:%42ob@open").await), [["sip:upper@h"]]);
    assert_eq!(targets(&alice.route("sip:bob@OPEN").await), [["sip:lower@h"]]);
}
