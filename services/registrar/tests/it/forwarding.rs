//! Forwarding rules: set over gRPC, seen in plans.

use cluster_api::registrar::v1::{
    Account, DeleteAccountRequest, ForwardingRules, GetForwardingRequest, NoAnswer, RouteRequest,
    RouteResponse, SetForwardingRequest, accounts_server::Accounts as _, forwarding_server::Forwarding as _,
    route_response::Plan,
};
use tonic::{Code, Request, Status};

use crate::rig::{Phone, Rig, contact, status, targets, with_q};

fn to(uri: &str) -> Option<String> {
    Some(uri.to_owned())
}

async fn set(rig: &Rig, id: &str, rules: ForwardingRules) -> Result<ForwardingRules, Status> {
    let request = SetForwardingRequest { request_id: id.into(), aor: "sip:bob@d".into(), rules: Some(rules) };
    rig.registrar().set_forwarding(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn get(rig: &Rig, replica: usize) -> Result<ForwardingRules, Status> {
    let request = GetForwardingRequest { aor: "sip:bob@d".into() };
    rig.replicas[replica].get_forwarding(Request::new(request)).await.map(tonic::Response::into_inner)
}

/// Cause, targets and ring time in seconds of each group.
fn groups(response: &RouteResponse) -> Vec<(String, Vec<String>, i64)> {
    let Some(Plan::Fork(fork)) = &response.plan else { panic!("no fork but {:?}", response.plan) };
    let group = |group: &cluster_api::registrar::v1::Group| {
        let uris = group.targets.iter().map(|target| target.uri.clone()).collect();
        (group.cause.clone(), uris, group.ring_time.as_ref().map_or(0, |time| time.seconds))
    };
    fork.groups.iter().map(group).collect()
}

async fn rig() -> (Rig, Phone) {
    let rig = Rig::new();
    rig.account("alice").await;
    rig.account("bob").await;
    let alice = Phone::of(&rig, "alice", "d");
    (rig, alice)
}

fn all() -> ForwardingRules {
    ForwardingRules {
        busy: to("sip:busy@elsewhere.example"),
        no_answer: Some(NoAnswer { target: "tel:+123".into(), after: None }),
        unreachable: to("sip:carol@d"),
        ..ForwardingRules::default()
    }
}

/// FWD-03, FWD-04, FWD-05: conditional rules stand behind the contacts, which ring as long as the rule says.
#[tokio::test]
async fn conditional_rules_follow_the_contacts_of_a_plan() {
    let (rig, mut alice) = rig().await;
    set(&rig, "", all()).await.unwrap();
    assert_eq!(
        groups(&alice.route("sip:bob@d").await),
        [("forward-unreachable".into(), vec!["sip:carol@d".to_owned()], 0)],
        "nobody is registered"
    );
    Phone::of(&rig, "bob", "d").register(&[contact("sip:desk@h"), with_q("sip:cell@h", 100)]).await;
    let group = |cause: &str, uri: &str, seconds| (cause.to_owned(), vec![uri.to_owned()], seconds);
    let expected = [
        group("contact", "sip:desk@h", 20),
        group("contact", "sip:cell@h", 20),
        group("forward-busy", "sip:busy@elsewhere.example", 0),
        group("forward-no-answer", "tel:+123", 0),
        group("forward-unreachable", "sip:carol@d", 0),
    ];
    assert_eq!(groups(&alice.route("sip:bob@d").await), expected);
}

/// FWD-02: a rule for every call leaves the contacts out; a request within a dialog, to one device or other than a call is not
/// led elsewhere; a leg of call-control is.
#[tokio::test]
async fn every_call_is_forwarded_and_nothing_but_calls() {
    let (rig, mut alice) = rig().await;
    set(&rig, "", ForwardingRules { unconditional: to("sip:carol@d"), ..all() }).await.unwrap();
    let mut device = contact("sip:desk@h");
    device.params = vec!["+sip.instance=\"<urn:uuid:7>\"".into()];
    Phone::of(&rig, "bob", "d").register(&[device]).await;
    let plan = alice.route("sip:bob@d").await;
    assert_eq!(groups(&plan), [("forward-unconditional".into(), vec!["sip:carol@d".to_owned()], 0)]);
    let leg = RouteRequest { internal: true, ..alice.route_request("sip:bob@d") };
    assert_eq!(targets(&alice.send_route(leg.clone()).await), [["sip:carol@d"]]);
    for request in [
        RouteRequest { in_dialog: true, ..leg.clone() },
        RouteRequest { method: "MESSAGE".into(), ..leg.clone() },
        RouteRequest { request_uri: "sip:bob@d;gr=urn:uuid:7".into(), ..leg },
    ] {
        assert_eq!(targets(&alice.send_route(request).await), [["sip:desk@h"]]);
    }
}

/// FWD-08: a call that was forwarded five times is not forwarded again.
#[tokio::test]
async fn the_number_of_forwards_is_bounded() {
    let (rig, alice) = rig().await;
    set(&rig, "", ForwardingRules { unconditional: to("sip:carol@d"), ..all() }).await.unwrap();
    let ask = |forwards| RouteRequest { forwards, internal: true, ..alice.route_request("sip:bob@d") };
    assert_eq!(status(&alice.send_route(ask(4)).await), 0);
    assert_eq!(status(&alice.send_route(ask(5)).await), 482);
    set(&rig, "", all()).await.unwrap();
    assert_eq!(status(&alice.send_route(ask(4)).await), 0);
    assert_eq!(status(&alice.send_route(ask(5)).await), 480, "there is no contact and no rule counts");
}

/// FWD-01: an account that only redirects tells where its rule for every call leads.
#[tokio::test]
async fn a_redirecting_account_tells_its_forward_target() {
    let (rig, mut alice) = rig().await;
    rig.account_with(Account { aor: "sip:carol@d".into(), redirect_only: true, ..Account::default() }).await;
    let rules = ForwardingRules { unconditional: to("sip:dave@d"), ..ForwardingRules::default() };
    let request =
        SetForwardingRequest { request_id: String::new(), aor: "sip:carol@d".into(), rules: Some(rules) };
    rig.registrar().set_forwarding(Request::new(request)).await.unwrap();
    let Some(Plan::Redirect(redirect)) = alice.route("sip:carol@d").await.plan else { panic!() };
    assert_eq!((redirect.status, redirect.contacts), (302, vec!["<sip:dave@d>".to_owned()]));
}

/// Rules are read by every replica, guarded by their etag, and repeated by their request id.
#[tokio::test]
async fn rules_are_versioned_and_idempotent() {
    let (rig, _) = rig().await;
    let none = get(&rig, 1).await.unwrap();
    assert_eq!(none, ForwardingRules { etag: "0".into(), ..ForwardingRules::default() });
    let first = set(&rig, "a", all()).await.unwrap();
    let twenty = prost_types::Duration { seconds: 20, nanos: 0 };
    assert_eq!(first.no_answer.as_ref().unwrap().after, Some(twenty));
    assert_eq!(get(&rig, 1).await.unwrap(), first);
    assert_eq!(set(&rig, "a", all()).await.unwrap(), first, "the same id changes nothing");
    let reused = set(&rig, "a", ForwardingRules::default()).await.unwrap_err();
    assert_eq!(reused.code(), Code::AlreadyExists);
    let cleared = ForwardingRules { etag: first.etag.clone(), ..ForwardingRules::default() };
    let second = set(&rig, "", cleared.clone()).await.unwrap();
    assert_ne!(second.etag, first.etag);
    assert_eq!(set(&rig, "", cleared).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(get(&rig, 0).await.unwrap(), second);
}

/// T19: what is no URI of somebody else is refused, and nothing changes.
#[tokio::test]
async fn bad_rules_are_refused() {
    let (rig, _) = rig().await;
    let unconditional = |uri: &str| ForwardingRules { unconditional: to(uri), ..ForwardingRules::default() };
    for bad in
        ["", "nonsense", "mailto:a@b", "sip:a@b>;x=<", "sip:a@b?Route=evil", "sip:d", "sip:a@b\r\nX: y"]
    {
        assert_eq!(
            set(&rig, "", unconditional(bad)).await.unwrap_err().code(),
            Code::InvalidArgument,
            "{bad}"
        );
    }
    for own in ["sip:bob@d", "sips:%62ob@D;x=1"] {
        let refused = set(&rig, "", unconditional(own)).await.unwrap_err();
        assert!(refused.message().contains("leads back"), "{refused:?}");
    }
    for seconds in [0, 601] {
        let after = Some(prost_types::Duration { seconds, nanos: 0 });
        let no_answer = Some(NoAnswer { target: "sip:a@b".into(), after });
        let rules = ForwardingRules { no_answer, ..ForwardingRules::default() };
        assert_eq!(set(&rig, "", rules).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(get(&rig, 0).await.unwrap().etag, "0");
    let delete = DeleteAccountRequest { request_id: String::new(), aor: "sip:bob@d".into() };
    rig.registrar().delete_account(Request::new(delete)).await.unwrap();
    assert_eq!(get(&rig, 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(set(&rig, "", all()).await.unwrap_err().code(), Code::NotFound);
}

/// The rules outlive registrations and changes of the account, and go with it.
#[tokio::test]
async fn rules_live_as_long_as_their_account() {
    let (rig, mut alice) = rig().await;
    set(&rig, "", all()).await.unwrap();
    let mut bob = Phone::of(&rig, "bob", "d");
    bob.registrar = rig.replicas[1].clone();
    bob.register(&[contact("sip:desk@h")]).await;
    assert_eq!(groups(&alice.route("sip:bob@d").await).len(), 4);
    let delete = DeleteAccountRequest { request_id: String::new(), aor: "sip:bob@d".into() };
    rig.registrar().delete_account(Request::new(delete)).await.unwrap();
    rig.account("bob").await;
    assert_eq!(status(&alice.route("sip:bob@d").await), 480);
}
