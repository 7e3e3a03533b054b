//! Calls to numbers that somebody else than their caller leads to, at the trunk that would carry them.

use cluster_api::registrar::v1::AddBindingRequest;
use cluster_api::registrar::v1::bindings_client::BindingsClient;
use scripted_phone::{Happening, Remote, Script};
use test_support::{Carillon, TestPhone};

use crate::trunks::{create, refused, trunk};
use crate::wire::{Wire, header, status};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9000 RTP/AVP 0\r\n";

/// T6, FWD-05, CCL-01: Bob may not call France: so nobody is forwarded there for him, and his phone refers nobody there, however the number
/// is written; to a number that he may call it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_led_to_a_number_that_who_leads_may_not_call() {
    let carillon = Carillon::all_in_one();
    let [world, desk] = ["127.0.0.3", "127.0.0.4"].map(|ip| Wire::at(ip, &carillon));
    create(&carillon, trunk("world", world.address(), "+")).await;
    run(&carillon, &["account", "add", "sip:alice@localhost", "--password", "secret"]);
    let denied = ["--denied-prefixes", "+33", "--anchor"];
    run(&carillon, &[&["account", "add", "sip:bob@localhost", "--password", "secret"], &denied[..]].concat());
    let mut alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::plain()).await;

    let forward = |to: &str| run(&carillon, &["forward", "set", "sip:bob@localhost", "--unreachable", to]);
    forward("tel:+33123");
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    assert_eq!(refused(&mut alice).await, 480);
    world.expect_nothing();
    forward("tel:+4930");
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let request = world.receive_request("INVITE");
    assert!(request.starts_with("INVITE sip:+4930@"), "{request}");
    world.respond(&request, "486 Busy Here", &[]);
    world.receive_request("ACK");
    assert_eq!(refused(&mut alice).await, 486);

    let contact = format!("sip:bob@{}", desk.address());
    let mut bindings = BindingsClient::connect(carillon.api.clone()).await.expect("the API answers");
    let (aor, contact_uri) = ("sip:bob@localhost".into(), contact.clone());
    let binding = AddBindingRequest { aor, contact_uri, ..AddBindingRequest::default() };
    bindings.add_binding(binding).await.expect("an account");
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let invite = desk.receive_request("INVITE");
    let lines =
        [&format!("Contact: <{contact}>"), "Content-Type: application/sdp", "Allow: INVITE, ACK, BYE, REFER"];
    desk.respond_with(&invite, "200 OK", &lines, SDP);
    desk.receive_request("ACK");
    alice.wait_for("the call", |h| *h == Happening::Connected).await;
    let refer = |to: &str, cseq: u32| {
        let of_invite = |name: &str| header(&invite, name).expect("every request has it");
        let target = of_invite("Contact").split(['<', '>']).nth(1).unwrap();
        let lines = [
            format!("From: {};tag=w", of_invite("To")),
            format!("To: {}", of_invite("From")),
            format!("Call-ID: {}", of_invite("Call-ID")),
            format!("CSeq: {cseq} REFER"),
            format!("Contact: <{contact}>"),
            format!("Refer-To: <{to}>"),
        ];
        let call_id = desk.request(&format!("REFER {target}"), &lines.each_ref().map(String::as_str));
        status(&desk.answer_to(&call_id))
    };
    assert_eq!(refer("sip:+33123@localhost;user=phone", 1), 403);
    assert_eq!(refer("tel:+33123", 2), 403);
    world.expect_nothing();
    assert_eq!(refer("tel:+4930", 3), 200);
    let request = world.receive_request("INVITE");
    assert!(request.starts_with("INVITE sip:+4930@"), "{request}");
    assert!(carillon.metric("carillon_registrar_toll_refusals_total") >= 2.0);
}

fn run(carillon: &Carillon, arguments: &[&str]) {
    let done = tokio::task::block_in_place(|| carillon.command(arguments));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
