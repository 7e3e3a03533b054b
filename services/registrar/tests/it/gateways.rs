//! Calls to the gateway of a trunk, to numbers in other contexts and other spellings, and to numbers by TLS alone.

use cluster_api::cluster::v1::{LeaseRequest, Member, membership_server::Membership as _};
use cluster_api::registrar::v1::{
    Account, ForwardingRules, RegisterContact, RouteRequest, RouteResponse, SetForwardingRequest, Trunk,
    forwarding_server::Forwarding as _, route_response::Plan,
};
use cluster_rpc::{Reason, Refusal};
use tonic::Request;

use crate::call_limits::counting;
use crate::rig::{Phone, Rig, contact, status, targets};
use crate::trunks::{create, peer, trunk};

const ALICE: &str = "sip:alice@german";

/// A trunk for all numbers with a peer by address and one by name, one for a domain, and Alice, who may call Germany but for its dear
/// numbers.
async fn rig() -> (Rig, Phone) {
    let (rig, _) = counting(Rig::new());
    let any = trunk("any", &["sip:192.0.2.232:5060", "sip:gw.test"], &[""]);
    create(&rig, Trunk { max_calls: 1, ..any }).await.unwrap();
    let domains = vec!["carrier.test".to_owned()];
    create(&rig, Trunk { domains, ..trunk("dom", &["sip:192.0.2.233"], &[]) }).await.unwrap();
    let denied_prefixes = vec!["+49900".to_owned()];
    rig.account_with(Account { aor: ALICE.into(), denied_prefixes, ..Account::default() }).await;
    let alice = Phone::of(&rig, "alice", "german");
    (rig, alice)
}

fn refusal(response: RouteResponse) -> (u32, String) {
    let Some(Plan::Refuse(refuse)) = response.plan else { panic!("a refusal, not {:?}", response.plan) };
    (refuse.status, refuse.headers.first().map(|header| header.value.clone()).unwrap_or_default())
}

/// T6: who names the gateway of a trunk calls by that trunk: by its rules, with its bound of calls, or not at all.
#[tokio::test]
async fn a_gateway_is_called_by_the_rules_of_its_trunk() {
    let (_rig, mut alice) = rig().await;
    for denied in [
        "sip:+33123@192.0.2.232",
        "sip:+33123@192.0.2.232:5060;user=phone",
        "sip:+33123@192.0.2.232:5099",
        "sip:+33123@[::ffff:192.0.2.232]",
        "sip:+33123@GW.test.",
        "sip:%2b33123@gw.test",
        "sip:0033123@gw.test",
        "sip:+49900123@192.0.2.232",
        "sip:+33123@elsewhere.test;maddr=192.0.2.232",
        "sip:bob@gw.test",
        "sip:+33123p22@gw.test",
        "sip:gw.test",
        "sip:+4930@192.0.2.233",
    ] {
        let (status, warning) = refusal(alice.route(denied).await);
        assert!(status == 403 && warning.starts_with("399 carillon"), "{denied}: {status} {warning}");
    }
    for allowed in ["sip:+4930@192.0.2.232", "sip:030@gw.test:5070", "sip:+4930@x.test;maddr=gw.test"] {
        let Some(Plan::Fork(fork)) = alice.route(allowed).await.plan else { panic!("{allowed}") };
        assert_eq!(fork.groups[0].cause, "trunk");
        assert!(fork.groups.iter().flat_map(|group| &group.targets).all(|target| target.seize == "any"));
    }
    let by_route =
        |route: &str| RouteRequest { next_route: route.into(), ..alice.route_request("sip:x@e.test") };
    let (first, other) = (by_route("sip:192.0.2.232;lr"), by_route("sip:192.0.2.99;lr"));
    assert_eq!(status(&alice.route_as(first).await), 403);
    assert!(matches!(alice.route_as(other).await.plan, Some(Plan::Relay(_))));
    let within = RouteRequest { in_dialog: true, ..alice.route_request("sip:+33123@192.0.2.232") };
    assert!(matches!(alice.route_as(within).await.plan, Some(Plan::Relay(_))), "where the dialog leads");
    // what applications dial has the bound of the trunk too
    let dialled = RouteRequest { internal: true, ..alice.route_request("sip:+33123@gw.test") };
    let Some(Plan::Fork(fork)) = alice.send_route(dialled).await.plan else { panic!("a fork") };
    assert_eq!(fork.groups[0].targets[0].seize, "any");
    // our own REGISTER is for the peer itself
    let register =
        RouteRequest { method: "REGISTER".into(), internal: true, ..alice.route_request("sip:gw.test") };
    assert!(matches!(alice.send_route(register).await.plan, Some(Plan::Relay(_))));
}

/// PXY-09, PXY-27: a `maddr` that names somebody else is where the request goes, whoever is called so here, and a way out for those alone who may
/// leave; it is no way around the rules of a trunk.
#[tokio::test]
async fn a_foreign_maddr_leads_past_our_users_by_the_rules_of_relaying() {
    let (rig, mut alice) = rig().await;
    let mut bob = Phone::of(&rig, "bob", "open");
    bob.register(&[contact("sip:bob@h")]).await;
    assert_eq!(targets(&bob.route("sip:bob@open").await), [["sip:bob@h"]]);
    assert_eq!(targets(&bob.route("sip:bob@open;maddr=open").await), [["sip:bob@h"]]);
    let past = "sip:bob@open;maddr=203.0.113.1";
    // nobody proves anything in that domain, so nobody leaves from there
    assert_eq!(status(&bob.route(past).await), 403);
    assert!(matches!(alice.route(past).await.plan, Some(Plan::Relay(_))));
    assert_eq!(refusal(alice.route("sip:+33123@german;maddr=192.0.2.232").await).0, 403);
    let Some(Plan::Fork(fork)) = alice.route("sip:+4930@german;maddr=gw.test").await.plan else { panic!() };
    assert_eq!(fork.groups[0].targets[0].seize, "any");
}

/// T6: contacts and forwardings that lead to a gateway are asked about before anything is sent there; an address that DNS says too.
#[tokio::test]
async fn what_leads_to_a_gateway_unseen_is_asked_about() {
    let (rig, mut alice) = rig().await;
    rig.account_with(Account { aor: "sip:bob@german".into(), ..Account::default() }).await;
    let far = ["sip:+33123@192.0.2.232:5060", "sip:bob@192.0.2.9"];
    Phone::of(&rig, "bob", "german")
        .register(&far.map(|uri| RegisterContact { by_uri: true, ..contact(uri) }))
        .await;
    let rules = ForwardingRules {
        busy: Some("sip:+33123@gw.test".into()),
        unreachable: Some("sip:+33123@far.example".into()),
        ..ForwardingRules::default()
    };
    let set = SetForwardingRequest { aor: "sip:bob@german".into(), rules: Some(rules), ..Default::default() };
    rig.registrar().set_forwarding(Request::new(set)).await.unwrap();
    let response = alice.route("sip:bob@german").await;
    assert!(response.trunk_addresses);
    let Some(Plan::Fork(fork)) = response.plan else { panic!("a fork") };
    let asked = fork.groups.iter().flat_map(|group| &group.targets);
    let asked: Vec<(&str, bool)> = asked.map(|target| (target.uri.as_str(), target.look_up)).collect();
    assert_eq!(
        asked,
        [(far[0], true), (far[1], false), ("sip:+33123@gw.test", true), ("sip:+33123@far.example", true)]
    );
    let led = |to: &str| RouteRequest {
        internal: true,
        led_by: "sip:bob@german".into(),
        ..alice.route_request(to)
    };
    assert_eq!(status(&alice.send_route(led(far[0])).await), 480, "abroad");
    let found = |addresses: [&str; 2]| RouteRequest {
        internal: true,
        addresses: addresses.map(String::from).to_vec(),
        ..alice.route_request("sip:+33123@innocent.test")
    };
    assert_eq!(status(&alice.send_route(found(["192.0.2.8", "192.0.2.232"])).await), 403);
    let others = alice.send_route(found(["192.0.2.8", "192.0.2.9"])).await;
    assert!(matches!(others.plan, Some(Plan::Relay(_))));
}

/// T6: who has the mark of some dialog, and with it the word of an edge, calls no number within it: a request within a dialog is for the other
/// side's Contact, and goes by no trunk.
#[tokio::test]
async fn within_a_dialog_no_trunk_is_led_to() {
    let (_rig, mut alice) = rig().await;
    assert!(matches!(alice.route("tel:+49301").await.plan, Some(Plan::Fork(_))), "as a call it may go");
    for number in ["tel:+49301", "sip:+49301@d", "sip:+49301@d;user=phone", "tel:+33123"] {
        let proved = RouteRequest { in_dialog: true, ..alice.route_request(number) };
        assert_eq!(status(&alice.route_as(proved).await), 404, "{number}");
        let let_in = RouteRequest { in_dialog: true, internal: true, ..alice.route_request(number) };
        assert_eq!(status(&alice.send_route(let_in).await), 404, "{number}");
    }
    let to_domain =
        RouteRequest { in_dialog: true, internal: true, ..alice.route_request("sip:x@carrier.test") };
    assert!(
        matches!(alice.send_route(to_domain).await.plan, Some(Plan::Relay(_))),
        "where its own name leads"
    );
}

/// T6: a number at a gateway within a dialog that did not begin with it is held against the rules of who sends it; a contact in place of the
/// other side leads to no gateway; and edges learn with every lease where the gateways are.
#[tokio::test]
async fn another_number_within_a_dialog_is_judged_as_a_call_to_it() {
    let (rig, mut alice) = rig().await;
    let led = |to: &str| RouteRequest { in_dialog: true, at_gateway: true, ..alice.route_request(to) };
    let (abroad, dear, home) = ("sip:+33123@192.0.2.232", "sip:0900123@gw.test", "sip:+4930@192.0.2.232");
    let questions = [(led(abroad), 403), (led(dear), 403), (led(home), 0)];
    for (question, expected) in questions {
        let uri = question.request_uri.clone();
        assert_eq!(status(&alice.send_route(question.clone()).await), 407, "{uri}");
        let response = alice.route_as(question).await;
        assert_eq!(status(&response), expected, "{uri}");
        assert!(expected != 0 || matches!(response.plan, Some(Plan::Relay(_))));
    }
    let by_contact = RouteRequest {
        in_dialog: true,
        internal: true,
        led_by: ALICE.into(),
        ..alice.route_request("sip:+4930@192.0.2.232")
    };
    assert_eq!(refusal(alice.send_route(by_contact).await).0, 480);
    let member = Member { id: "e".into(), role: "edge".into(), ..Member::default() };
    let leased = rig.registrar().lease(Request::new(LeaseRequest { member: Some(member) })).await.unwrap();
    assert_eq!(leased.into_inner().gateways, ["192.0.2.232:5060", "192.0.2.233", "gw.test"]);
}

/// FWD-05, T6: a rule that leads to a gateway without a number leads nowhere, as one to a phone that is off: what comes next is tried.
#[tokio::test]
async fn who_is_led_to_a_gateway_without_a_number_cannot_be_reached() {
    let (_rig, alice) = rig().await;
    let to = |led_by: &str| RouteRequest {
        internal: true,
        led_by: led_by.into(),
        ..alice.route_request("sip:bob@192.0.2.232")
    };
    assert_eq!(refusal(alice.send_route(to(ALICE)).await).0, 480);
    assert_eq!(refusal(alice.send_route(to("")).await).0, 403);
}

/// RFC 3966 5.1.5: a number in local form of a place that is not ours is none of ours: neither a user's here nor one that our trunks dial.
#[tokio::test]
async fn a_number_of_a_foreign_place_is_nobodys_here() {
    let (rig, mut alice) = rig().await;
    rig.account_with(Account { aor: "sip:030@german".into(), ..Account::default() }).await;
    Phone::of(&rig, "030", "german").register(&[contact("sip:030@192.0.2.9")]).await;
    for foreign in
        ["tel:030;phone-context=far.example", "sip:030;phone-context=far.example@german;user=phone"]
    {
        assert_eq!(status(&alice.route(foreign).await), 404, "{foreign}");
    }
    assert_eq!(targets(&alice.route("tel:030;phone-context=german").await)[0], ["sip:030@192.0.2.9"]);
    // what is said beside a number in global form says nothing
    assert!(matches!(alice.route("tel:+4930;phone-context=far.example").await.plan, Some(Plan::Fork(_))));
}

/// AUT-12, T6, RFC 3323 4.1.1.3: who shows no name is asked who he is, whomever he calls, and calls as the user that he proves to be: by
/// the rules of his account, and where that may call without a name.
#[tokio::test]
async fn who_shows_no_name_proves_to_be_a_user() {
    let (rig, _) = rig().await;
    let nameless = "sip:anonymous@anonymous.invalid";
    for (user, allowed_from) in [("carol", vec![nameless.to_owned()]), ("dave", vec![])] {
        let (aor, denied_prefixes) = (format!("sip:{user}@d"), vec!["+33".to_owned()]);
        rig.account_with(Account { aor, denied_prefixes, allowed_from, ..Account::default() }).await;
    }
    for (user, allowed) in [("carol", true), ("dave", false)] {
        let mut phone = Phone::of(&rig, user, "d");
        for (to, expected) in [
            ("tel:+4930", 0),
            ("sip:+4930@d", 0),
            ("sip:bob@far.example", 0),
            ("sip:+4930@192.0.2.232", 0),
            ("tel:+33123", 403),
        ] {
            let request = RouteRequest { from_uri: nameless.into(), ..phone.route_request(to) };
            let expected = if allowed { expected } else { 403 };
            assert_eq!(status(&phone.send_route(request.clone()).await), 407, "{user} {to}");
            assert_eq!(status(&phone.route_as(request).await), expected, "{user} {to}");
        }
    }
}

/// T6, RFC 3261 19.1.4: no escape, no separator and no missing `user=phone` makes another number of one.
#[tokio::test]
async fn no_spelling_of_a_number_passes_the_rules_at_the_domain_of_a_trunk() {
    let (rig, mut alice) = rig().await;
    for denied in [
        "sip:+33123@carrier.test",
        "sip:+%333123@carrier.test",
        "sip:%2b33123@carrier.test",
        "sip:%2B3%33123@carrier.test;user=phone",
        "sip:0033123@carrier.test",
        "sip:%30033-123@carrier.test",
        "sip:+33123;ext=1@carrier.test",
        "sip:+33123p22@carrier.test",
        "sip:*31*0033123@carrier.test",
        "sip:0900123@carrier.test",
    ] {
        assert_eq!(status(&alice.route(denied).await), 403, "{denied}");
    }
    for allowed in ["sip:bob@carrier.test", "sip:030123@carrier.test", "sip:bob33@carrier.test"] {
        assert_eq!(targets(&alice.route(allowed).await), [[allowed]], "{allowed}");
    }
    // in other domains only what the account itself denies
    assert_eq!(status(&alice.route("sip:+49900123@far.example").await), 403);
    assert!(matches!(alice.route("sip:+33123@far.example").await.plan, Some(Plan::Relay(_))));
    assert!(matches!(alice.route("sip:0900123@far.example").await.plan, Some(Plan::Relay(_))));
    // the trunk "any" has no longer a peer there
    crate::trunks::update(&rig, Trunk { peers: vec![peer("sip:192.0.2.1")], ..trunk("any", &[], &[]) })
        .await
        .unwrap();
    assert!(matches!(alice.route("sip:+33123@gw.test").await.plan, Some(Plan::Relay(_))));
}

/// TRN-09: a number that is called by `sips` goes to peers that are reached so, and to no other, by any method.
#[tokio::test]
async fn a_number_by_sips_does_not_go_out_in_clear() {
    let (rig, mut alice) = rig().await;
    let secure = |method: &str, to: &str, secure| RouteRequest {
        method: method.into(),
        secure,
        ..alice.route_request(to)
    };
    let asked = [
        secure("INVITE", "sips:+4930@german", false),
        secure("MESSAGE", "sips:+4930@german", false),
        secure("INVITE", "tel:+4930", true),
        secure("INVITE", "sips:+4930@gw.test", false),
        RouteRequest { internal: true, trunk: "any".into(), ..secure("INVITE", "sips:+4930@german", false) },
    ];
    let expected = (480, "380 carillon \"SIPS Not Allowed\"".to_owned());
    for request in asked.clone() {
        assert_eq!(refusal(alice.route_as(request.clone()).await), expected, "{request:?}");
    }
    create(&rig, trunk("tls", &["sip:192.0.2.7", "sips:tls.test"], &["+49"])).await.unwrap();
    for request in asked.into_iter().take(3) {
        assert_eq!(targets(&alice.route_as(request).await), [["sips:+4930@tls.test;user=phone"]]);
    }
}

/// ALC-12, RFC 3261 19.1.6: what is said of a number goes with it, and the rules go by the place that it is of.
#[tokio::test]
async fn a_number_leaves_with_its_context_and_is_judged_by_it() {
    let rig = Rig::new();
    create(&rig, trunk("any", &["sip:192.0.2.7"], &[""])).await.unwrap();
    rig.account_with(Account { aor: ALICE.into(), ..Account::default() }).await;
    let mut alice = Phone::of(&rig, "alice", "german");
    for (dialled, user) in [
        ("tel:030;phone-context=+49", "030;phone-context=+49"),
        ("tel:030;phone-context=german", "030;phone-context=german"),
        ("tel:+4930;ext=5;isub=1;postd=pp22", "+4930;isub=1;postd=pp22;ext=5"),
        ("tel:+4930;npdi;rn=+4931;cic=+1234", "+4930;npdi;rn=+4931"),
        ("sip:030;phone-context=+49@german;user=phone", "030;phone-context=+49"),
        ("tel:112", "112"),
    ] {
        let expected = format!("sip:{user}@192.0.2.7;user=phone");
        assert_eq!(targets(&alice.route(dialled).await), [[expected]], "{dialled}");
    }
    for (dialled, expected) in [
        ("tel:123;phone-context=+33", 403),
        ("tel:0033123;phone-context=+49", 403),
        ("tel:+4930;npdi;rn=+33900", 403),
        ("tel:33123;phone-context=+", 400),
        ("tel:33123;phone-context=a..b", 400),
    ] {
        assert_eq!(status(&alice.route(dialled).await), expected, "{dialled}");
    }
    // a trunk for the country alone carries it in global form
    let other = Rig::new();
    other.account("carol").await;
    create(&other, trunk("germany", &["sip:192.0.2.7"], &["+49"])).await.unwrap();
    let mut carol = Phone::of(&other, "carol", "d");
    let out = carol.route("tel:030;phone-context=+49").await;
    assert_eq!(targets(&out), [["sip:+4930@192.0.2.7;user=phone"]]);
}

/// A peer that no edge can reach, or that is an edge of ours, is refused in words that say what to do.
#[tokio::test]
async fn a_trunk_leads_neither_nowhere_nor_to_ourselves() {
    let rig = Rig::new();
    let member =
        Member { id: "e".into(), role: "edge".into(), sip: "192.0.2.10:5060".into(), ..Member::default() };
    rig.registrar().lease(Request::new(LeaseRequest { member: Some(member) })).await.unwrap();
    for (uri, expected) in
        [("sip:gw.test;transport=sctp", "udp, tcp, tls"), ("sip:192.0.2.10", "address of Carillon itself")]
    {
        let refused = Refusal::read(&create(&rig, trunk("t", &[uri], &[""])).await.unwrap_err()).unwrap();
        assert_eq!(refused.reason(), Reason::BadUri, "{uri}");
        assert!(format!("{refused:?}").contains(expected), "{refused:?}");
    }
    create(&rig, trunk("t", &["sip:192.0.2.10:5070;transport=TCP"], &[""])).await.unwrap();
}
