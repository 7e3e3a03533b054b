//! What accounts may call by trunks.

use std::time::Duration;

use cluster_api::registrar::v1::{
    Account, RouteRequest, RouteResponse, UpdateAccountRequest, accounts_server::Accounts as _,
    route_response::Plan,
};
use tonic::{Code, Request};

use crate::rig::{Phone, Rig, contact, status, targets};
use crate::trunks::{create, trunk};

async fn rig() -> Rig {
    let rig = Rig::new();
    create(&rig, trunk("world", &["sip:192.0.2.77"], &[""])).await.unwrap();
    rig
}

fn account(aor: &str) -> Account {
    Account { aor: aor.into(), ..Account::default() }
}

/// T6: in a domain that names its home nobody calls abroad but who is allowed to, in no spelling of the number; others call as before.
#[tokio::test]
async fn international_numbers_want_a_permission_where_the_domain_has_a_home() {
    let rig = rig().await;
    for aor in ["sip:alice@german", "sip:alice@d"] {
        rig.account_with(account(aor)).await;
    }
    let prefixes = ["+49", "+33"].map(String::from).to_vec();
    rig.account_with(Account { allowed_prefixes: prefixes, ..account("sip:bob@german") }).await;
    let mut alice = Phone::of(&rig, "alice", "german");
    for (number, expected) in [
        ("tel:+49-30-123", 0),
        ("sip:030123@german;user=phone", 0),
        ("sip:112@german;user=phone", 0),
        ("tel:+33-1-23", 403),
        ("sip:0033123@german;user=phone", 403),
        ("sip:+33(1)23@german", 403),
    ] {
        assert_eq!(status(&alice.route(number).await), expected, "{number}");
    }
    let Some(Plan::Refuse(refuse)) = alice.route("tel:+33123").await.plan else { panic!("a refusal") };
    assert_eq!((refuse.status, refuse.reason.as_str()), (403, "Number Not Allowed"));
    let warning = &refuse.headers[0];
    assert!(warning.name == "Warning" && warning.value.contains("ask the operator of german"), "{warning:?}");
    let mut bob = Phone::of(&rig, "bob", "german");
    assert_eq!([status(&bob.route("tel:+33123").await), status(&bob.route("tel:+34123").await)], [0, 403]);
    // without a home nothing is denied; what Carillon is asked for by gRPC is nobody's account's
    assert_eq!(status(&Phone::of(&rig, "alice", "d").route("tel:+33123").await), 0);
    let dialled = RouteRequest { internal: true, ..alice.route_request("tel:+33123") };
    assert_eq!(status(&alice.send_route(dialled).await), 0);
}

/// T6: a number that is denied is denied whatever allows it; users of ours are no numbers, and an anchored account is no way around.
#[tokio::test]
async fn denied_numbers_are_denied_and_calls_among_users_are_not() {
    let rig = rig().await;
    let denied_prefixes = vec!["+49900".to_owned()];
    let alice = Account { denied_prefixes, anchor: true, ..account("sip:alice@german") };
    rig.account_with(alice).await;
    rig.account_with(account("sip:+49900@german")).await;
    let mut phone = Phone::of(&rig, "alice", "german");
    assert_eq!(status(&phone.route("sip:0900123@german;user=phone").await), 403);
    assert!(matches!(phone.route("tel:+4930123").await.plan, Some(Plan::CallControl(_))));
    assert!(matches!(phone.route("sip:+49900@german").await.plan, Some(Plan::CallControl(_))));
    let update = |account: Account, field: &str| {
        let mask = prost_types::FieldMask { paths: vec![field.into()] };
        let account = Account { aor: "sip:alice@german".into(), ..account };
        rig.registrar().update_account(Request::new(UpdateAccountRequest {
            account: Some(account),
            update_mask: Some(mask),
            ..UpdateAccountRequest::default()
        }))
    };
    let bad = Account { allowed_prefixes: vec!["+49x".into()], ..Account::default() };
    assert_eq!(update(bad, "allowed_prefixes").await.unwrap_err().code(), Code::InvalidArgument);
    let many = Account { max_call_rate: 1_001, ..Account::default() };
    assert_eq!(update(many, "max_call_rate").await.unwrap_err().code(), Code::InvalidArgument);
    update(Account::default(), "denied_prefixes").await.unwrap();
    assert!(matches!(phone.route("sip:0900123@german;user=phone").await.plan, Some(Plan::CallControl(_))));
}

/// T6: as many calls within a minute as the account may begin, at all replicas together, and each counts once.
#[tokio::test]
async fn an_account_begins_so_many_calls_by_trunks_within_a_minute() {
    let rig = rig().await;
    rig.account_with(Account { max_call_rate: 2, ..account("sip:alice@d") }).await;
    rig.account_with(account("sip:bob@d")).await;
    Phone::of(&rig, "bob", "d").register(&[contact("sip:bob@h")]).await;
    let mut phones = [Phone::of(&rig, "alice", "d"), Phone::of(&rig, "alice", "d")];
    phones[1].registrar = rig.replicas[1].clone();
    for (at, call_id, expected) in [(0, "c1", 0), (0, "c1", 0), (1, "c2", 0), (1, "c3", 403), (0, "c3", 403)]
    {
        assert_eq!(status(&call(&mut phones[at], "tel:+4930", call_id).await), expected, "{call_id}");
    }
    assert_eq!(
        targets(&call(&mut phones[0], "sip:bob@d", "c4").await),
        [["sip:bob@h"]],
        "no toll is paid for it"
    );
    rig.clock.advance(Duration::from_secs(61));
    assert_eq!(status(&call(&mut phones[0], "tel:+4930", "c3").await), 0);
}

async fn call(phone: &mut Phone, to: &str, call_id: &str) -> RouteResponse {
    let request = RouteRequest { call_id: call_id.into(), ..phone.route_request(to) };
    phone.route_as(request).await
}

/// T6, RFC 3261 16.6 step 6: a Route without `lr` stands in the Request-URI when the request leaves: its number is held against what the account
/// may call, and so is the one behind it. A strict router that is no number is free.
#[tokio::test]
async fn the_number_of_a_strict_router_is_held_against_the_rules() {
    let rig = rig().await;
    let allowed_prefixes = vec!["+49900".to_owned()];
    rig.account_with(Account { allowed_prefixes, ..account("sip:alice@d") }).await;
    rig.account_with(account("sip:bob@d")).await;
    Phone::of(&rig, "bob", "d").register(&[contact("sip:bob@h")]).await;
    let mut alice = Phone::of(&rig, "alice", "d");
    for (to, route, expected) in [
        ("sip:bob@d", "sip:+33123@for.z.test", 403),
        ("sip:x@for.z.test", "sip:+33123@for.z.test", 403),
        ("sip:x@for.z.test", "sip:0033123@for.z.test;user=phone", 403),
        ("sip:+33123@for.z.test", "sip:router.z.test", 403),
        ("sip:bob@d", "sip:+49900123@for.z.test", 0),
        ("sip:bob@d", "sip:router.z.test", 0),
        ("sip:x@for.z.test", "sip:router.z.test", 0),
        ("sip:bob@d", "sip:+33123@for.z.test;lr", 0),
    ] {
        let request = RouteRequest { next_route: route.into(), ..alice.route_request(to) };
        assert_eq!(status(&alice.route_as(request).await), expected, "{to} by {route}");
    }
    let led = |route: &str| RouteRequest {
        in_dialog: true,
        at_gateway: true,
        next_route: route.into(),
        ..alice.route_request("sip:192.0.2.1")
    };
    let questions = [(led("sip:33123@192.0.2.1"), 403), (led("sip:+49900123@192.0.2.1"), 0)];
    for (question, expected) in questions {
        let route = question.next_route.clone();
        assert_eq!(status(&alice.route_as(question).await), expected, "{route}");
    }
}
