//! RFC 3665 3.3 and 3.6: calls that pass two domains, Carillon serving both.

use cluster_api::registrar::v1::accounts_client::AccountsClient;
use cluster_api::registrar::v1::trunks_client::TrunksClient;
use cluster_api::registrar::v1::{
    Account, CreateAccountRequest, CreateTrunkRequest, Trunk, TrunkPeer, UpdateAccountRequest,
};
use scripted_phone::{Answer, Happening, Remote, Script};
use sip_digest::{Login, answer, answerable};
use test_support::{Carillon, Starting, TestPhone};

use super::Places;
use crate::wire::{Wire, header, status};

/// What Alice sends when she has seen the challenges of a response, with those that she has answered before.
fn credentials(response: &str, password: &str, uri: &str, nc: u32) -> String {
    let values = response.lines().filter_map(|line| line.strip_prefix("Proxy-Authenticate: "));
    let challenges = answerable(values.map(str::as_bytes));
    let challenge = challenges.first().expect("a challenge that can be answered");
    let value =
        answer(challenge, Login { user: "alice", password }, "INVITE", uri, b"", "f00d", nc).to_bytes();
    format!("Proxy-Authorization: {}", String::from_utf8_lossy(&value))
}

/// Carillon for another domain, at a second address too: who comes from the address of a route is not asked who it is.
fn far(variables: &[(&str, &str)]) -> Carillon {
    Starting::with(&["--domain", "far.test", "--sip", "udp://127.0.0.2:0"], variables).ready()
}

/// The near domain finds the far one by a static route.
async fn route(places: &Places, far: &Carillon) {
    let mut client = TrunksClient::connect(places.registrar.api.clone()).await.expect("the API answers");
    let second = far
        .listeners
        .iter()
        .find_map(|listener| listener.strip_prefix("udp://127.0.0.2:"))
        .expect("it listens");
    let peer = TrunkPeer { uri: format!("sip:127.0.0.2:{second};transport=udp"), ..TrunkPeer::default() };
    let trunk = Trunk {
        trunk_id: "far".into(),
        domains: vec!["far.test".into()],
        peers: vec![peer],
        ..Trunk::default()
    };
    let request = CreateTrunkRequest { request_id: "far".into(), trunk: Some(trunk) };
    client.create_trunk(request).await.expect("a good trunk");
}

/// SCN-08: both proxies challenge, one after the other. The third INVITE has credentials for both, and only those for the far one pass
/// the near one; ACK and BYE pass both without a question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_each_challenge() {
    for places in Places::all(&[]) {
        let far = far(&[]);
        route(&places, &far).await;
        far.account("sip:bob@far.test", "secret");
        let mut accounts = AccountsClient::connect(far.api.clone()).await.expect("the API answers");
        let account = Account {
            aor: "sip:alice@far.test".into(),
            password: "other".into(),
            allowed_from: vec!["sip:alice@localhost".into()],
            ..Account::default()
        };
        let request = CreateAccountRequest { account: Some(account), ..CreateAccountRequest::default() };
        accounts.create_account(request).await.expect("a good account");
        let script = Script { answer: Answer::After(std::time::Duration::ZERO), ..Script::plain() };
        let mut bob = TestPhone::registered(&far.sip, "sip:bob@far.test", "secret", script).await;

        let alice = Wire::of(places.near());
        let uri = "sip:bob@far.test";
        let contact = format!("Contact: <sip:alice@{}>", alice.address());
        let to = format!("To: <{uri}>");
        let ask = |cseq: u32, more: &[&str]| {
            let cseq = format!("CSeq: {cseq} INVITE");
            let lines = [&[contact.as_str(), &to, "Call-ID: trapezoid", &cseq], more].concat();
            let (text, call_id) = alice.compose(&format!("INVITE {uri}"), &lines);
            alice.send(&text);
            let answer = alice.answer_to(&call_id);
            if status(&answer) >= 300 {
                let via = format!("Via: {}", header(&text, "Via").expect("it has one"));
                let to = format!("To: {}", header(&answer, "To").expect("it has one"));
                let cseq = cseq.replace("INVITE", "ACK");
                alice.request(&format!("ACK {uri}"), &[&via, &to, "Call-ID: trapezoid", &cseq]);
            }
            answer
        };
        let first = ask(1, &[]);
        assert_eq!(status(&first), 407);
        assert!(first.contains("realm=\"localhost\"") && !first.contains("realm=\"far.test\""), "{first}");
        let near = credentials(&first, "secret", uri, 1);
        let second = ask(2, &[&near]);
        assert_eq!(status(&second), 407);
        assert!(second.contains("realm=\"far.test\"") && !second.contains("realm=\"localhost\""), "{second}");
        let near = credentials(&first, "secret", uri, 2);
        let answered = ask(3, &[&near, &credentials(&second, "other", uri, 1)]);
        assert_eq!(status(&answered), 200, "{answered}");

        let routes: Vec<&str> =
            answered.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).rev().collect();
        let route = format!("Route: {}", routes.join(", "));
        let to = format!("To: {}", header(&answered, "To").expect("it has one"));
        let target =
            header(&answered, "Contact").expect("it has one").split(['<', '>']).nth(1).expect("a URI");
        let dialog = |cseq| [to.as_str(), route.as_str(), "Call-ID: trapezoid", cseq, contact.as_str()];
        alice.request(&format!("ACK {target}"), &dialog("CSeq: 3 ACK"));
        bob.wait_for("the ACK", |h| *h == Happening::Connected).await;
        alice.request(&format!("BYE {target}"), &dialog("CSeq: 4 BYE"));
        bob.wait_for("the BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
        while header(&alice.answer_to("trapezoid"), "CSeq") != Some("4 BYE") {}

        let messages = places.read_by_tshark(&["trapezoid"]);
        assert!(messages.iter().filter(|message| *message == "407").count() >= 3, "{messages:?}");
        assert!(messages.contains(&"BYE".to_owned()), "{messages:?}");
        bob.act(Remote::Unregister).await;
    }
}

/// SCN-11, SCN-13: a redirecting server, then a proxy; Alice offers nothing in her INVITE, which stays empty on its way, and her answer to
/// Bob's offer is in the ACK.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirection_leads_to_a_proxy_and_the_session_is_agreed_in_the_ack() {
    let open = [("CARILLON_AUTH", "none")];
    for places in Places::all(&open) {
        let far = far(&open);
        far.account("sip:bob@far.test", "secret");
        let mut accounts =
            AccountsClient::connect(places.registrar.api.clone()).await.expect("the API answers");
        let account = Account { aor: "sip:bob@localhost".into(), redirect_only: true, ..Account::default() };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["redirect_only".into()] });
        let request =
            UpdateAccountRequest { account: Some(account), update_mask, ..UpdateAccountRequest::default() };
        accounts.update_account(request).await.expect("a good account");
        let set = ["forward", "set", "sip:bob@localhost", "--unconditional", "sip:bob@far.test"];
        assert!(places.registrar.command(&set).status.success());
        let bob = Wire::of(&far);
        let at_bob = format!("Contact: <sip:bob@{}>", bob.address());
        let aor = ["From: <sip:bob@far.test>;tag=b", "To: <sip:bob@far.test>", at_bob.as_str()];
        let registered = bob.request("REGISTER sip:far.test", &aor);
        assert_eq!(status(&bob.answer_to(&registered)), 200);

        let asking = Wire::of(places.near());
        let contact = format!("Contact: <sip:alice@{}>", asking.address());
        let (invite, redirected) = asking.compose("INVITE sip:bob@localhost", &[&contact]);
        asking.send(&invite);
        let moved = asking.answer_to(&redirected);
        assert_eq!((status(&moved), header(&moved, "Contact")), (302, Some("<sip:bob@far.test>")), "{moved}");
        let via = format!("Via: {}", header(&invite, "Via").expect("it has one"));
        let to = format!("To: {}", header(&moved, "To").expect("it has one"));
        let call = format!("Call-ID: {redirected}");
        asking.request("ACK sip:bob@localhost", &[&via, &to, &call, "CSeq: 1 ACK"]);

        let alice = Wire::of(&far);
        let contact = format!("Contact: <sip:alice@{}>", alice.address());
        let call_id = alice.request("INVITE sip:bob@far.test", &[&contact, "CSeq: 2 INVITE"]);
        let invite = bob.receive_request("INVITE");
        assert!(invite.ends_with("\r\n\r\n") && invite.contains("\r\nContent-Length: 0\r\n"), "{invite}");
        assert_eq!(header(&invite, "Content-Type"), None, "{invite}");
        bob.respond(&invite, "180 Ringing", &[&at_bob]);
        bob.respond_with(&invite, "200 OK", &[&at_bob, "Content-Type: application/sdp"], OFFER);
        let answered = alice.answer_to(&call_id);
        assert!(answered.ends_with(OFFER), "{answered}");
        let route = format!("Route: {}", header(&answered, "Record-Route").expect("it has one"));
        let to = format!("To: {}", header(&answered, "To").expect("it has one"));
        let call = format!("Call-ID: {call_id}");
        let start = format!("ACK sip:bob@{}", bob.address());
        let (ack, _) =
            alice.compose(&start, &[&to, &route, &call, "CSeq: 2 ACK", "Content-Type: application/sdp"]);
        let length = format!("Content-Length: {}\r\n\r\n{ANSWER}", ANSWER.len());
        alice.send(&ack.replace("Content-Length: 0\r\n\r\n", &length));
        let ack = bob.receive_request("ACK");
        assert!(ack.ends_with(ANSWER) && header(&ack, "Content-Type") == Some("application/sdp"), "{ack}");
        alice.request(&start.replace("ACK", "BYE"), &[&to, &route, &call, "CSeq: 3 BYE"]);
        let bye = bob.receive_request("BYE");
        bob.respond(&bye, "200 OK", &[]);
        assert_eq!(status(&alice.answer_to(&call_id)), 200);

        assert_eq!(places.read_by_tshark(&[&redirected]), ["INVITE", "302", "ACK"]);
    }
}

const OFFER: &str =
    "v=0\r\no=bob 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
const ANSWER: &str =
    "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
