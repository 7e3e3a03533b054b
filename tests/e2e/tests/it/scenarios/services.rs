//! RFC 5359 2.12 to 2.14: find-me, and screening of calls that come in and go out.
//!
//! Screened calls are refused with 603 and a Reason where RFC 5359 shows 403 with Error-Info, which Carillon does not send, as it never
//! answers 305.

use cluster_api::registrar::v1::accounts_client::AccountsClient;
use cluster_api::registrar::v1::{Account, UpdateAccountRequest};
use scripted_phone::{Happening, Remote, Script};
use test_support::TestPhone;

use super::Places;
use crate::wire::{Wire, header, status};

/// SCN-18, PXY-24, FWD-04: Bob is looked for where he said that he may be, one place after the other: his desk rings in vain and is
/// cancelled, his home is busy, his cell answers; and nobody else rings any more.
#[test]
fn a_user_is_looked_for_at_one_place_after_the_other() {
    for places in Places::all(&[("CARILLON_AUTH", "none"), ("CARILLON_EDGE_RING_TIMEOUT", "1s")]) {
        let [desk, home, cell, last] =
            [places.far(), places.near(), places.far(), places.near()].map(Wire::of);
        for (place, q) in [(&desk, "1.0"), (&home, "0.7"), (&cell, "0.5"), (&last, "0.1")] {
            let contact = format!("Contact: <sip:bob@{}>;q={q}", place.address());
            let call_id =
                place.request("REGISTER sip:localhost", &["From: <sip:bob@localhost>;tag=b", &contact]);
            assert_eq!(status(&place.answer_to(&call_id)), 200);
        }
        let alice = Wire::of(places.near());
        let contact = format!("Contact: <sip:alice@{}>", alice.address());
        let call_id = alice.request("INVITE sip:bob@localhost", &[&contact]);
        let at_desk = desk.receive_request("INVITE");
        desk.respond(&at_desk, "180 Ringing", &[]);
        let cancel = desk.receive_request("CANCEL");
        assert_eq!(header(&cancel, "Reason"), Some("SIP;cause=480;text=\"No answer\""));
        desk.respond(&cancel, "200 OK", &[]);
        desk.respond(&at_desk, "487 Request Terminated", &[]);
        let at_home = home.receive_request("INVITE");
        home.respond(&at_home, "486 Busy Here", &[]);
        let at_cell = cell.receive_request("INVITE");
        let at = |place: &Wire| format!("Contact: <sip:bob@{}>", place.address());
        cell.respond(&at_cell, "200 OK", &[&at(&cell)]);
        let answered = alice.answer_to(&call_id);
        assert_eq!(status(&answered), 200, "{answered}");
        assert!(answered.contains(&at(&cell)), "{answered}");
        last.expect_nothing();
        let messages = places.read_by_tshark(&[&call_id]);
        for message in ["CANCEL", "487", "486", "200"] {
            assert!(messages.iter().any(|found| found == message), "{message} in {messages:?}");
        }
    }
}

/// SCN-18, AUT-01, AUT-12: who calls Bob first proves to be somebody (407), and is refused when Bob does not want that one; who goes out
/// under another name is refused whoever is called.
#[tokio::test]
async fn calls_are_screened_where_they_go_out_and_where_they_come_in() {
    for places in Places::all(&[]) {
        places.registrar.account("sip:mallory@localhost", "secret");
        let mut accounts =
            AccountsClient::connect(places.registrar.api.clone()).await.expect("the API answers");
        let account = Account {
            aor: "sip:bob@localhost".into(),
            allowed_callers: vec!["sip:alice@localhost".into()],
            ..Account::default()
        };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["allowed_callers".into()] });
        let request =
            UpdateAccountRequest { account: Some(account), update_mask, ..UpdateAccountRequest::default() };
        accounts.update_account(request).await.expect("a good account");
        let phone =
            async |aor: &str| TestPhone::registered(&places.near().sip, aor, "secret", Script::plain()).await;
        let mut bob =
            TestPhone::registered(&places.far().sip, "sip:bob@localhost", "secret", Script::plain()).await;
        let mut alice = phone("sip:alice@localhost").await;
        let mut mallory = phone("sip:mallory@localhost").await;

        mallory.act(Remote::Dial("sip:bob@localhost".into())).await;
        let refused = mallory.wait_for("a refusal", |h| matches!(h, Happening::Refused { .. })).await;
        assert!(matches!(refused, Happening::Refused { status: 603, .. }), "{refused:?}");
        assert!(
            mallory.seen().iter().any(|h| matches!(h, Happening::Received(line) if line.contains(" 407 ")))
        );

        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        alice.wait_for("the answer", |h| *h == Happening::Connected).await;
        bob.wait_for("the ACK", |h| *h == Happening::Connected).await;
        let incoming = bob.seen().iter().filter(|h| matches!(h, Happening::Incoming { .. })).count();
        assert_eq!(incoming, 1, "Bob has heard of one call only");

        // Outgoing: without a proof nobody gets out, to whomever.
        let stranger = Wire::of(places.near());
        for callee in ["sip:bob@localhost", "sip:bob@far.test"] {
            let call_id = stranger.request(&format!("INVITE {callee}"), &[]);
            assert_eq!(status(&stranger.answer_to(&call_id)), 407, "{callee}");
        }
        let call_id = stranger.request("INVITE sip:bob@far.test", &["From: <sip:eve@elsewhere.test>;tag=e"]);
        let refused = stranger.answer_to(&call_id);
        assert_eq!(status(&refused), 403, "{refused}");
        places.read_by_tshark(&[&call_id]);
    }
}
