//! Calls to numbers that somebody else than their caller leads to.

use cluster_api::registrar::v1::{
    Account, ForwardingRules, RouteRequest, SetForwardingRequest, forwarding_server::Forwarding as _,
    route_response::Plan,
};
use tonic::Request;

use crate::rig::{Phone, Rig, contact, status, targets};
use crate::trunks::{create, trunk};

const BOB: &str = "sip:bob@german";

/// A trunk everywhere, and Bob, who may call Germany but for its dear numbers.
async fn rig() -> (Rig, Phone) {
    let rig = Rig::new();
    create(&rig, trunk("world", &["sip:192.0.2.77"], &[""])).await.unwrap();
    let denied_prefixes = vec!["+49900".to_owned()];
    rig.account_with(Account { aor: BOB.into(), denied_prefixes, max_call_rate: 2, ..Account::default() })
        .await;
    let allowed_prefixes = vec![String::new()];
    let alice = Account { aor: "sip:alice@german".into(), allowed_prefixes, ..Account::default() };
    rig.account_with(alice).await;
    let alice = Phone::of(&rig, "alice", "german");
    (rig, alice)
}

/// What an edge asks once a target has turned out to lead on.
fn led(phone: &Phone, to: &str) -> RouteRequest {
    RouteRequest { internal: true, led_by: BOB.into(), ..phone.route_request(to) }
}

/// T6: the plan says whose forwarding leads to a number, and that account's rules hold for it, not those of the caller.
#[tokio::test]
async fn where_calls_are_forwarded_is_held_against_the_rules_of_who_forwards() {
    let (rig, mut alice) = rig().await;
    Phone::of(&rig, "bob", "german").register(&[contact("sip:bob@h")]).await;
    let rules = ForwardingRules {
        busy: Some("tel:+33123".into()),
        unreachable: Some("tel:+4930".into()),
        ..ForwardingRules::default()
    };
    let set = SetForwardingRequest { aor: BOB.into(), rules: Some(rules), ..SetForwardingRequest::default() };
    rig.registrar().set_forwarding(Request::new(set)).await.unwrap();
    let Some(Plan::Fork(fork)) = alice.route(BOB).await.plan else { panic!("a fork") };
    let answers: Vec<(&str, &str)> = fork
        .groups
        .iter()
        .flat_map(|group| &group.targets)
        .map(|target| (target.led_by.as_str(), target.aor.as_str()))
        .collect();
    assert_eq!(answers, [("", BOB), (BOB, ""), (BOB, "")]);
    assert_eq!(status(&alice.route("tel:+33123").await), 0, "Alice may");
    for (number, expected) in [
        ("tel:+33123", 480),
        ("sip:0033123@german;user=phone", 480),
        ("tel:+49900123", 480),
        ("sip:0900123@german;user=phone", 480),
        ("tel:+4930", 0),
    ] {
        assert_eq!(status(&alice.send_route(led(&alice, number)).await), expected, "{number}");
    }
    // users are no numbers
    assert_eq!(targets(&alice.send_route(led(&alice, BOB)).await)[0], ["sip:bob@h"]);
}

/// T6: what an account forwards counts among the calls that it begins within a minute.
#[tokio::test]
async fn forwarded_calls_count_for_who_forwards() {
    let (_rig, alice) = rig().await;
    for (call_id, expected) in [("c1", 0), ("c1", 0), ("c2", 0), ("c3", 480)] {
        let request = RouteRequest { call_id: call_id.into(), ..led(&alice, "tel:+4930") };
        assert_eq!(status(&alice.send_route(request).await), expected, "{call_id}");
    }
}

/// T6, PXY-27: a party that leads a call of Carillon's answers for it too; who is none of ours leads nobody out by a trunk, whatever the
/// domain that is called allows.
#[tokio::test]
async fn who_refers_answers_for_the_number() {
    let (_rig, alice) = rig().await;
    let referred = |by: &str, to: &str| RouteRequest {
        internal: true,
        referred_by: by.into(),
        ..alice.route_request(to)
    };
    for (by, to, expected) in [
        (BOB, "tel:+33123", 403),
        (BOB, "tel:+4930", 0),
        ("sip:alice@german", "tel:+33123", 0),
        ("sip:anonymous@anonymous.invalid", "tel:+4930", 403),
        ("sip:+4940@german", "tel:+4930", 403),
        ("tel:+4940", "sip:+4930@d", 403),
        ("mailto:x", "sip:+4930@d", 403),
        ("sip:anonymous@anonymous.invalid", "sip:x@elsewhere.example", 0),
    ] {
        assert_eq!(status(&alice.send_route(referred(by, to)).await), expected, "{by} {to}");
    }
}
