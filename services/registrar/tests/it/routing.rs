//! Routing plans.

use cluster_api::{
    registrar::v1::{
        Account, RouteRequest, UpdateAccountRequest, accounts_server::Accounts as _, route_response::Plan,
    },
    sip::v1::Source,
};
use registrar::Config;

use crate::rig::{Phone, Rig, contact, source, status, targets, with_q};

/// PXY-09: unknown user 404, known without binding 480, foreign domain relayed.
#[tokio::test]
async fn three_calls_find_three_things() {
    let rig = Rig::new();
    rig.account("bob").await;
    rig.account("alice").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    assert_eq!(status(&phone.route("sip:nobody@d").await), 404);
    assert_eq!(status(&phone.route("sip:alice@d").await), 480);
    assert!(matches!(phone.route("sip:carol@elsewhere.example").await.plan, Some(Plan::Relay(_))));
    assert_eq!(status(&phone.route("sip:d").await), 404);
}

/// PXY-27, T6: nobody relays to another domain without proof or trust.
#[tokio::test]
async fn only_proved_or_trusted_requests_leave() {
    let rig = Rig::new();
    let anonymous = |from: &str, to: &str, trusted, internal| RouteRequest {
        method: "INVITE".into(),
        from_uri: from.into(),
        request_uri: to.into(),
        to_uri: to.into(),
        internal,
        source: Some(Source { trusted, ..source() }),
        ..RouteRequest::default()
    };
    let phone = Phone::of(&rig, "x", "d");
    let far = "sip:carol@elsewhere.example";
    assert_eq!(status(&phone.send_route(anonymous("sip:x@far.example", far, false, false)).await), 403);
    assert_eq!(status(&phone.send_route(anonymous("sip:x@d", far, false, false)).await), 407);
    assert_eq!(status(&phone.send_route(anonymous("sip:x@open", far, false, false)).await), 403);
    assert_eq!(status(&phone.send_route(anonymous("nonsense", far, false, false)).await), 400);
    for (trusted, internal) in [(true, false), (false, true)] {
        let plan = phone.send_route(anonymous("sip:x@far.example", far, trusted, internal)).await;
        assert!(matches!(plan.plan, Some(Plan::Relay(_))), "{plan:?}");
        assert_eq!(plan.identity, "");
    }
    // a caller from elsewhere to a user of ours proves to be one of ours, where proofs are asked for
    assert_eq!(
        status(&phone.send_route(anonymous("sip:x@far.example", "sip:bob@d", false, false)).await),
        407
    );
    assert_eq!(
        status(&phone.send_route(anonymous("sip:x@far.example", "sip:bob@open", false, false)).await),
        404
    );
}

/// CCL-04, CCL-11: who wants a place in a call of ours, or leads its party elsewhere, proves who it is, wherever the leg's Contact leads; a
/// stranger gets none.
#[tokio::test]
async fn who_turns_to_a_leg_is_asked_who_it_is() {
    let rig = Rig::new();
    rig.account("alice").await;
    let mut alice = Phone::of(&rig, "alice", "d");
    let leg = "sip:cc.call-1.b@192.0.2.1:5060";
    for method in ["INVITE", "REFER"] {
        let to_leg = |request: RouteRequest| RouteRequest { to_leg: true, method: method.into(), ..request };
        let request = to_leg(alice.route_request(leg));
        let plan = alice.route_as(request).await;
        assert!(matches!(plan.plan, Some(Plan::CallControl(_))), "{method}: {plan:?}");
        assert_eq!((plan.identity.as_str(), plan.call_id.as_str()), ("sip:alice@d", ""));
        let unproved =
            |from: &str| to_leg(RouteRequest { from_uri: from.into(), ..alice.route_request(leg) });
        assert_eq!(status(&alice.send_route(unproved("sip:alice@d")).await), 407, "{method}");
        assert_eq!(status(&alice.send_route(unproved("sip:alice@far.example")).await), 403, "{method}");
    }
}

/// PXY-24: contacts of equal q together, others after them; each target carries its binding.
#[tokio::test]
async fn a_plan_carries_what_the_edge_needs() {
    let rig = Rig::new();
    rig.account("alice").await;
    rig.account("bob").await;
    let mut instance = contact("sip:desk@h");
    instance.params = vec!["+sip.instance=\"<urn:uuid:7>\"".into()];
    Phone::of(&rig, "bob", "d").register(&[instance, contact("sip:soft@h"), with_q("sip:cell@h", 100)]).await;
    let plan = Phone::of(&rig, "alice", "d").route("sip:bob@d;x=1").await;
    assert_eq!(targets(&plan), [vec!["sip:desk@h", "sip:soft@h"], vec!["sip:cell@h"]]);
    assert_eq!(plan.identity, "sip:alice@d");
    let Some(Plan::Fork(fork)) = plan.plan else { panic!() };
    let target = &fork.groups[0].targets[0];
    assert_eq!((target.flow.as_str(), target.received.as_str()), ("flow-1", "udp:192.0.2.1:5060"));
    assert_eq!((target.aor.as_str(), target.instance.as_str()), ("sip:bob@d", "<urn:uuid:7>"));
    assert_eq!(target.expire_time.unwrap().seconds, 1_800_003_600);
    assert_eq!(fork.groups[0].cause, "contact");
}

/// Rule 1 of "nothing lost": what one replica acknowledged the other one routes to at once, also after a change.
#[tokio::test]
async fn every_replica_routes_to_the_newest_bindings() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let mut other = Phone::of(&rig, "alice", "open");
    other.registrar = rig.replicas[1].clone();
    for uri in ["sip:a@h", "sip:b@h"] {
        phone.register(&[contact(uri)]).await;
        let plan = other.route("sip:bob@open").await;
        assert_eq!(targets(&plan)[0].last(), Some(&uri));
    }
    rig.store.hook.count();
    other.route("sip:bob@open").await;
    assert_eq!(rig.store.hook.count(), (1, 0), "one read, no write");
}

/// REG-14, FWD-01: an account that only redirects answers 302 with every contact.
#[tokio::test]
async fn a_redirecting_account_tells_its_contacts() {
    let rig = Rig::new();
    rig.account("alice").await;
    rig.account_with(Account { aor: "sip:bob@d".into(), redirect_only: true, ..Account::default() }).await;
    let mut alice = Phone::of(&rig, "alice", "d");
    assert_eq!(status(&alice.route("sip:bob@d").await), 480);
    let mut bob = Phone::of(&rig, "bob", "d");
    bob.register(&[with_q("mailto:bob@d", 200), contact("sip:a@h")]).await;
    let Some(Plan::Redirect(redirect)) = alice.route("sip:bob@d").await.plan else { panic!() };
    assert_eq!(
        (redirect.status, redirect.contacts),
        (302, vec!["<sip:a@h>".into(), "<mailto:bob@d>;q=0.200".into()])
    );
    // FWD-01: a choice, and what holds for good. RFC 3261 21.3
    bob.register(&[contact("mailto:bob@d")]).await;
    let Some(Plan::Redirect(redirect)) = alice.route("sip:bob@d").await.plan else { panic!() };
    assert_eq!((redirect.status, redirect.contacts.len()), (300, 2));
    let account = Account { aor: "sip:bob@d".into(), moved_permanently: true, ..Account::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["moved_permanently".into()] });
    let request = UpdateAccountRequest { request_id: String::new(), account: Some(account), update_mask };
    let shown = rig.registrar().update_account(tonic::Request::new(request)).await.unwrap().into_inner();
    assert!(shown.moved_permanently && shown.redirect_only);
    let Some(Plan::Redirect(redirect)) = alice.route("sip:bob@d").await.plan else { panic!() };
    assert_eq!((redirect.status, redirect.contacts.len()), (301, 2));
}

/// Calls of anchored accounts run through call-control, from either side; call-control's own legs do not.
#[tokio::test]
async fn anchored_calls_go_to_call_control() {
    let rig = Rig::new();
    rig.account("alice").await;
    rig.account_with(Account { aor: "sip:bob@d".into(), anchor: true, ..Account::default() }).await;
    Phone::of(&rig, "alice", "d").register(&[contact("sip:a@h")]).await;
    Phone::of(&rig, "bob", "d").register(&[contact("sip:b@h")]).await;
    for (from, to) in [("alice", "sip:bob@d"), ("bob", "sip:alice@d")] {
        let plan = Phone::of(&rig, from, "d").route(to).await;
        assert!(matches!(plan.plan, Some(Plan::CallControl(_))), "{from}");
    }
    let phone = Phone::of(&rig, "alice", "d");
    let leg = RouteRequest { internal: true, ..phone.route_request("sip:bob@d") };
    assert_eq!(targets(&phone.send_route(leg).await), [["sip:b@h"]]);
    let mut message = Phone::of(&rig, "alice", "d");
    let request = RouteRequest { method: "MESSAGE".into(), ..message.route_request("sip:bob@d") };
    assert_eq!(targets(&message.route_as(request).await), [["sip:b@h"]]);
    let mut known = Phone::of(&rig, "alice", "d");
    let changed = RouteRequest { in_dialog: true, ..known.route_request("sip:bob@d") };
    assert_eq!(targets(&known.route_as(changed).await), [["sip:b@h"]], "a re-INVITE begins no call");
}

/// What an anchored account calls elsewhere is call-control's too; what others call there is not.
#[tokio::test]
async fn anchored_calls_to_elsewhere_go_to_call_control() {
    let rig = Rig::new();
    rig.account("alice").await;
    rig.account_with(Account { aor: "sip:bob@d".into(), anchor: true, ..Account::default() }).await;
    let plan = Phone::of(&rig, "bob", "d").route("sip:carol@elsewhere.example").await.plan;
    assert!(matches!(plan, Some(Plan::CallControl(_))), "{plan:?}");
    let plan = Phone::of(&rig, "alice", "d").route("sip:carol@elsewhere.example").await.plan;
    assert!(matches!(plan, Some(Plan::Relay(_))), "{plan:?}");
    let refused = Phone::of(&rig, "bob", "d").route("sip:nobody@d").await;
    assert_eq!(status(&refused), 404, "nobody is called for nothing");
}

/// A domain may be anchored as a whole: calls of its users run through call-control from either side and to elsewhere.
#[tokio::test]
async fn calls_of_an_anchored_domain_go_to_call_control() {
    let rig = Rig::new();
    rig.account("alice").await;
    Phone::of(&rig, "carol", "held").register(&[contact("sip:c@h")]).await;
    Phone::of(&rig, "dave", "open").register(&[contact("sip:d@h")]).await;
    for (from, domain, to) in [
        ("alice", "d", "sip:carol@held"),
        ("dave", "held", "sip:carol@held"),
        ("carol", "held", "sip:dave@open"),
    ] {
        let plan = Phone::of(&rig, from, domain).route(to).await;
        assert!(matches!(plan.plan, Some(Plan::CallControl(_))), "{from} to {to}");
    }
    assert_eq!(targets(&Phone::of(&rig, "alice", "d").route("sip:dave@open").await), [["sip:d@h"]]);
    let phone = Phone::of(&rig, "dave", "open");
    let leg = RouteRequest { internal: true, ..phone.route_request("sip:carol@held") };
    assert_eq!(targets(&phone.send_route(leg).await), [["sip:c@h"]], "call-control's own leg");
}

/// Services of ours are found by method, event package and user part.
#[tokio::test]
async fn services_are_found() {
    let users = vec!["conf".into()];
    let rig = Rig::with(Config { call_control_users: users, conferences: true, ..Config::default() });
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact("sip:b@h")]).await;
    let ask = |method: &str, event: &str, to: &str| RouteRequest {
        method: method.into(),
        event: event.into(),
        ..phone.route_request(to)
    };
    let bob = "sip:bob@open";
    assert!(matches!(phone.send_route(ask("PUBLISH", "presence", bob)).await.plan, Some(Plan::Presence(_))));
    let watch = ask("SUBSCRIBE", "message-summary;id=1", bob);
    assert!(matches!(phone.send_route(watch).await.plan, Some(Plan::Presence(_))));
    assert!(matches!(phone.send_route(ask("SUBSCRIBE", "dialog", bob)).await.plan, Some(Plan::Presence(_))));
    assert_eq!(targets(&phone.send_route(ask("SUBSCRIBE", "conference", bob)).await), [["sip:b@h"]]);
    let roster = ask("SUBSCRIBE", "conference", "sip:held-by-us@open");
    assert!(matches!(phone.send_route(roster).await.plan, Some(Plan::Presence(_))));
    assert_eq!(status(&phone.send_route(ask("ALLOCATE", "", "sip:open")).await), 501, "no pools here");
    // What may be a list: nobody's account, and Carillon's own question learns that it is nobody's.
    let plan = phone.send_route(ask("SUBSCRIBE", "presence", "sip:team@open")).await.plan;
    assert!(matches!(plan, Some(Plan::Presence(hand)) if hand.nobody), "{plan:?}");
    // Also when it is somebody who may go out, for whom a name that nobody here has may be a number.
    rig.account("alice").await;
    let mut proved = Phone::of(&rig, "alice", "d");
    for (event, name) in [("presence", "team"), ("presence", "+49301"), ("conference", "held-by-us")] {
        let to = format!("sip:{name}@d");
        let asked =
            RouteRequest { method: "SUBSCRIBE".into(), event: event.into(), ..proved.route_request(&to) };
        let plan = proved.route_as(asked).await.plan;
        assert!(matches!(plan, Some(Plan::Presence(hand)) if hand.nobody), "{to}: {plan:?}");
    }
    let own = RouteRequest { internal: true, ..ask("SUBSCRIBE", "presence", "sip:team@open") };
    assert!(matches!(phone.send_route(own).await.plan, Some(Plan::Refuse(refuse)) if refuse.status == 404));
    let conference = ask("INVITE", "", "sip:conf@open");
    assert!(matches!(phone.send_route(conference).await.plan, Some(Plan::CallControl(_))));
    // CCL-17, CCL-18: what is for a conference, whether there is one or not
    for method in ["INVITE", "OPTIONS", "REFER"] {
        let plan = phone.send_route(ask(method, "", "sip:conf-in-1@open")).await.plan;
        let of = |plan: &Option<Plan>| match plan {
            Some(Plan::CallControl(handed)) => Some(handed.conference.clone()),
            _ => None,
        };
        assert_eq!(of(&plan).as_deref(), Some("in-1"), "{method}: {plan:?}");
    }
    for (method, to) in [("MESSAGE", "sip:conf-in-1@open"), ("INVITE", "sip:conf-@open")] {
        assert_eq!(status(&phone.send_route(ask(method, "", to)).await), 404, "{method} {to}");
    }
    let own = RouteRequest { internal: true, ..ask("INVITE", "", "sip:conf-in-1@open") };
    assert_eq!(status(&phone.send_route(own).await), 404, "Carillon does not call itself");
}

/// EVT-02, CCL-17: who has proved who it is watches conferences and lists, and asks conferences, as anybody does who need not.
#[tokio::test]
async fn who_is_known_finds_what_is_nobodys_account() {
    let rig = Rig::with(Config { conferences: true, ..Config::default() });
    rig.account("alice").await;
    let mut phone = Phone::of(&rig, "alice", "d");
    for (event, to) in [("conference", "sip:conf-in-1@d"), ("presence", "sip:team@d")] {
        let request = phone.route_request(to);
        let request = RouteRequest { method: "SUBSCRIBE".into(), event: event.into(), ..request };
        let plan = phone.route_as(request).await.plan;
        assert!(matches!(&plan, Some(Plan::Presence(hand)) if hand.nobody), "{event}: {plan:?}");
    }
    let plan = phone.route("sip:conf-in-1@d").await.plan;
    assert!(matches!(&plan, Some(Plan::CallControl(handed)) if handed.conference == "in-1"), "{plan:?}");
    assert_eq!(status(&phone.route("sip:nobody@d").await), 404);
}

/// UAC-05, UAC-06: a scheme nobody serves, a telephone number of a user, and of nobody.
#[tokio::test]
async fn other_schemes_are_looked_up_or_refused() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "+12015550123", "open");
    phone.register(&[contact("sip:b@h")]).await;
    assert_eq!(targets(&phone.route("tel:+1-201-555-0123").await), [["sip:b@h"]]);
    assert_eq!(targets(&phone.route("sip:+12015550123@open;user=phone").await), [["sip:b@h"]]);
    assert_eq!(status(&phone.route("tel:+1-201-555-0199").await), 404);
    assert_eq!(status(&phone.route("nobody:x").await), 416);
    assert_eq!(status(&phone.route("sip:[").await), 400);
}

/// An account names who may reach it; others are declined with the reason, also when the call was forwarded, and a call that
/// Carillon was asked for is not asked about.
#[tokio::test]
async fn an_account_names_its_callers() {
    let rig = Rig::new();
    for name in ["alice", "mallory"] {
        rig.account(name).await;
    }
    let allowed_callers = vec!["sip:al*@d".to_owned()];
    rig.account_with(Account { aor: "sip:bob@d".into(), allowed_callers, ..Account::default() }).await;
    Phone::of(&rig, "bob", "d").register(&[contact("sip:b@h")]).await;
    assert_eq!(targets(&Phone::of(&rig, "alice", "d").route("sip:bob@d").await), [["sip:b@h"]]);
    let mut mallory = Phone::of(&rig, "mallory", "d");
    let Some(Plan::Refuse(refuse)) = mallory.route("sip:bob@d").await.plan else { panic!("a refusal") };
    assert_eq!((refuse.status, refuse.headers[0].name.as_str()), (603, "Reason"));
    let internal = RouteRequest { internal: true, ..mallory.route_request("sip:bob@d") };
    assert_eq!(targets(&mallory.send_route(internal.clone()).await), [["sip:b@h"]]);
    assert_eq!(status(&mallory.send_route(RouteRequest { forwards: 1, ..internal }).await), 603);
    let message = RouteRequest { method: "MESSAGE".into(), ..mallory.route_request("sip:bob@d") };
    assert_eq!(status(&mallory.route_as(message).await), 603);
}

/// SCN-18: where the account names an announcement, who is screened out is led there and not told to give up. RFC 5359 2.13
#[tokio::test]
async fn a_screened_caller_hears_why() {
    let rig = Rig::new();
    rig.account("mallory").await;
    let account = |info: &str| Account {
        aor: "sip:bob@d".into(),
        allowed_callers: vec!["sip:al*@d".into()],
        refused_callers_info: info.into(),
        ..Account::default()
    };
    rig.account_with(account("sip:screened@announcements.example")).await;
    let Some(Plan::Refuse(refuse)) = Phone::of(&rig, "mallory", "d").route("sip:bob@d").await.plan else {
        panic!("a refusal")
    };
    assert_eq!((refuse.status, refuse.reason.as_str()), (403, "Screening Failure"));
    let told = (refuse.headers[0].name.as_str(), refuse.headers[0].value.as_str());
    assert_eq!(told, ("Error-Info", "<sip:screened@announcements.example>"));
    let update = async |info: &str| {
        let update_mask = Some(prost_types::FieldMask { paths: vec!["refused_callers_info".into()] });
        let account = Some(account(info));
        let request = UpdateAccountRequest { account, update_mask, ..UpdateAccountRequest::default() };
        rig.registrar().update_account(tonic::Request::new(request)).await.map(tonic::Response::into_inner)
    };
    for bad in ["screened", "mailto:x@h", "https://", "sip:x@h>;a=<", "sip:x@h\r\nVia: evil", "https://h/a b"]
    {
        assert_eq!(update(bad).await.unwrap_err().code(), tonic::Code::InvalidArgument, "{bad}");
    }
    let shown = update("https://h/a.wav").await.unwrap().refused_callers_info;
    assert_eq!(shown, "https://h/a.wav");
    assert_eq!(update("").await.unwrap().refused_callers_info, "");
    assert_eq!(status(&Phone::of(&rig, "mallory", "d").route("sip:bob@d").await), 603);
}

/// A bound that nothing would keep is refused, and a pattern that names nobody too.
#[tokio::test]
async fn a_policy_that_is_not_kept_is_refused() {
    use cluster_api::registrar::v1::{CreateAccountRequest, accounts_server::Accounts as _};
    let rig = Rig::new();
    let create = |account: Account| {
        let account = Account { aor: "sip:bob@d".into(), password: "x".into(), ..account };
        let request = CreateAccountRequest { account: Some(account), ..CreateAccountRequest::default() };
        rig.registrar().create_account(tonic::Request::new(request))
    };
    let counted = create(Account { max_calls: 1, ..Account::default() }).await.unwrap_err();
    assert_eq!(counted.code(), tonic::Code::Unimplemented);
    let odd =
        create(Account { allowed_callers: vec!["alice".into()], ..Account::default() }).await.unwrap_err();
    assert_eq!(odd.code(), tonic::Code::InvalidArgument);
}
