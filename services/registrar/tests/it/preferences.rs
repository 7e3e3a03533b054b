//! Caller preferences and Request-Disposition in plans.

use cluster_api::registrar::v1::{RegisterContact, RouteRequest, route_response::Plan};
use cluster_api::sip::v1::Header;
use registrar::Config;

use crate::rig::{Phone, Rig, contact, targets, with_q};

fn able(uri: &str, params: &[&str]) -> RegisterContact {
    RegisterContact { params: params.iter().map(|param| (*param).to_owned()).collect(), ..contact(uri) }
}

fn asking(phone: &Phone, name: &str, value: &str) -> RouteRequest {
    let preferences = vec![Header { name: name.into(), value: value.into() }];
    RouteRequest { preferences, ..phone.route_request("sip:bob@open") }
}

/// CAP-02, CAP-03: contacts are dropped and, within one q, ranked by what the caller wants and the request needs.
#[tokio::test]
async fn the_caller_chooses_among_contacts() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let quiet = able("sip:chat@h", &["methods=\"MESSAGE\"", "text"]);
    phone
        .register(&[
            able("sip:desk@h", &["audio", "video=\"FALSE\""]),
            able("sip:video@h", &["audio", "video"]),
            quiet,
        ])
        .await;
    let plan = |value: &'static str| phone.send_route(asking(&phone, "Accept-Contact", value));
    assert_eq!(targets(&plan("*;video;require;explicit").await), [["sip:video@h"]]);
    assert_eq!(
        targets(&plan("*;video;audio").await),
        [vec!["sip:video@h"], vec!["sip:desk@h", "sip:chat@h"]]
    );
    let rejecting = phone.send_route(asking(&phone, "Reject-Contact", "*;audio")).await;
    assert_eq!(targets(&rejecting), [["sip:chat@h"]]);
    let message = RouteRequest { method: "MESSAGE".into(), ..phone.route_request("sip:bob@open") };
    assert_eq!(targets(&phone.send_route(message).await)[0].len(), 3, "all of them may take it");
    let call = phone.send_route(phone.route_request("sip:bob@open")).await;
    assert_eq!(
        targets(&call),
        [vec!["sip:desk@h", "sip:video@h"], vec!["sip:chat@h"]],
        "chat takes no calls"
    );
}

/// CAP-04: each directive shows in the plan.
#[tokio::test]
async fn the_caller_disposes() {
    let rig = Rig::with(Config { recurse: true, ..Config::default() });
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact("sip:a@h"), contact("sip:b@h"), with_q("sip:c@h", 500)]).await;
    let ask = |value: &'static str| phone.send_route(asking(&phone, "Request-Disposition", value));
    for (value, expected) in [
        ("fork", vec![vec!["sip:a@h", "sip:b@h"], vec!["sip:c@h"]]),
        ("parallel", vec![vec!["sip:a@h", "sip:b@h", "sip:c@h"]]),
        ("sequential", vec![vec!["sip:a@h"], vec!["sip:b@h"], vec!["sip:c@h"]]),
        ("no-fork", vec![vec!["sip:a@h"]]),
    ] {
        assert_eq!(targets(&ask(value).await), expected, "{value}");
    }
    for (value, expected) in [("recurse", true), ("no-recurse", false)] {
        let Some(Plan::Fork(fork)) = ask(value).await.plan else { panic!("{value}") };
        assert_eq!(fork.recurse, expected, "{value}");
    }
    let Some(Plan::Redirect(redirect)) = ask("redirect").await.plan else { panic!("a redirection") };
    assert_eq!(redirect.contacts, ["<sip:a@h>", "<sip:b@h>", "<sip:c@h>;q=0.500"]);
    let within = RouteRequest { in_dialog: true, ..asking(&phone, "Request-Disposition", "redirect") };
    assert_eq!(targets(&phone.send_route(within).await).len(), 2, "a dialog is not redirected");
}
