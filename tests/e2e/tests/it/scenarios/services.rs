//! RFC 5359 2.12 to 2.14: find-me, and screening of calls that come in and go out.
//!
//! Screened calls are refused with 603 and a Reason, or, where the account names an announcement, with 403 and Error-Info as RFC 5359
//! 2.13 shows. Carillon never answers 305 by itself; who is called may.

use cluster_api::registrar::v1::accounts_client::AccountsClient;
use cluster_api::registrar::v1::{Account, UpdateAccountRequest};
use scripted_phone::{Happening, Remote, Script};
use sip_digest::{Login, answer, answerable};
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

/// SCN-20, CCL-05, CCL-06: the page on a desk has alice's phone call bob by REFER, and wants to hear nothing of it: 200 with `Refer-Sub: false`,
/// no NOTIFY, and an INVITE that says who referred to it. Then the same by third-party call control: Carillon rings both.
#[tokio::test(flavor = "multi_thread")]
async fn a_click_calls_by_refer_and_by_third_party_call_control() {
    for places in Places::all(&[("CARILLON_AUTH", "none")]) {
        let [page, alice, bob] = [places.near(), places.far(), places.near()].map(Wire::of);
        for (wire, user) in [(&alice, "alice"), (&bob, "bob")] {
            let own = [format!("From: <sip:{user}@localhost>;tag=r"), format!("To: <sip:{user}@localhost>")];
            let contact = format!("Contact: <sip:{user}@{}>", wire.address());
            let call_id = wire.request("REGISTER sip:localhost", &[&own[0], &own[1], &contact]);
            assert_eq!(status(&wire.answer_to(&call_id)), 200);
        }
        let contact = |wire: &Wire, user: &str| format!("Contact: <sip:{user}@{}>", wire.address());
        let referred_by = "Referred-By: <sip:desk@localhost>";
        let pages = contact(&page, "desk");
        let lines = [
            "From: <sip:desk@localhost>;tag=p",
            "To: <sip:alice@localhost>",
            &pages,
            "Refer-To: <sip:bob@localhost>",
            referred_by,
            "Refer-Sub: false",
            "Supported: norefersub",
        ];
        let call_id = page.request("REFER sip:alice@localhost", &lines);
        let refer = alice.receive_request("REFER");
        assert_eq!(header(&refer, "Refer-To"), Some("<sip:bob@localhost>"), "{refer}");
        assert_eq!(header(&refer, "Refer-Sub"), Some("false"), "{refer}");
        alice.respond(&refer, "200 OK", &["Refer-Sub: false", &contact(&alice, "alice")]);
        let answered = page.answer_to(&call_id);
        assert_eq!((status(&answered), header(&answered, "Refer-Sub")), (200, Some("false")), "{answered}");

        let begun = alice.request("INVITE sip:bob@localhost", &[&contact(&alice, "alice"), referred_by]);
        let invite = bob.receive_request("INVITE");
        assert_eq!(header(&invite, "Referred-By"), Some("<sip:desk@localhost>"), "{invite}");
        bob.respond(&invite, "486 Busy Here", &[]);
        assert_eq!(status(&alice.answer_to(&begun)), 486);
        page.expect_nothing();

        let done =
            places.calls().command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--flow", "iv"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let sdp = |media: &str| {
            format!("v=0\r\no=w 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{media}")
        };
        let audio = sdp("m=audio 4000 RTP/AVP 0\r\n");
        let described = "Content-Type: application/sdp";
        let first = alice.receive_request("INVITE");
        alice.respond_with(&first, "200 OK", &[&contact(&alice, "alice"), described], &sdp(""));
        let second = bob.receive_request("INVITE");
        bob.respond_with(&second, "200 OK", &[&contact(&bob, "bob"), described], &audio);
        let offered = alice.receive_request("INVITE");
        assert!(offered.contains("m=audio 4000"), "{offered}");
        alice.respond_with(&offered, "200 OK", &[&contact(&alice, "alice"), described], &audio);
        let ack = bob.receive_request("ACK");
        assert!(ack.contains("m=audio 4000"), "{ack}");
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

        let announcement = "sip:screened@announcements.example";
        let set = ["account", "set", "sip:bob@localhost", "--refused-callers-info", announcement];
        assert!(places.registrar.command(&set).status.success());
        let screened = Wire::of(places.near());
        let (refused, call_id) = called_with_a_password(&screened, "mallory");
        assert_eq!(status(&refused), 403, "{refused}");
        assert_eq!(header(&refused, "Error-Info"), Some(&*format!("<{announcement}>")), "{refused}");
        places.read_by_tshark(&[&call_id]);

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

/// The answer to a user who calls Bob and proves who calls.
fn called_with_a_password(wire: &Wire, user: &str) -> (String, String) {
    let from = format!("From: <sip:{user}@localhost>;tag=m");
    let contact = format!("Contact: <sip:{user}@{}>", wire.address());
    let uri = "sip:bob@localhost";
    let first = wire.request(&format!("INVITE {uri}"), &[&from, &contact]);
    let asked = wire.answer_to(&first);
    let values = asked.lines().filter_map(|line| line.strip_prefix("Proxy-Authenticate: "));
    let challenges = answerable(values.map(str::as_bytes));
    let challenge = challenges.first().expect("a challenge that can be answered");
    let login = Login { user, password: "secret" };
    let proof = answer(challenge, login, "INVITE", uri, b"", "f00d", 1).to_bytes();
    let proof = format!("Proxy-Authorization: {}", String::from_utf8_lossy(&proof));
    let second = wire.request(&format!("INVITE {uri}"), &[&from, &contact, &proof, "CSeq: 2 INVITE"]);
    (wire.answer_to(&second), second)
}
