//! Numbers that are lent for one call, over separate processes.

use std::io::Write as _;

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{AllocateNumberRequest, ListNumbersRequest, ReleaseNumberRequest};
use test_support::{Carillon, Redis};
use tonic::Code;

use crate::wire::{Wire, header, status};

const POOL: &str = "[[registrar.number_pools]]\nname = \"illinois\"\nnumbers = [\"+13125550100..+13125550101\"]\nquota = 1\n";

/// Redis, a registrar with call-control, and two edges.
fn cluster() -> (Redis, tempfile::NamedTempFile, Carillon, [Carillon; 2]) {
    let redis = Redis::start();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(POOL.as_bytes()).expect("it is written");
    let config = file.path().to_str().expect("a path of letters").to_owned();
    let open = ["--auth", "none", "--config", &config];
    let core = ["--roles", "registrar,call-control", "--redis", &redis.url(), "--id", "core"];
    let core = Carillon::serve(&[&core[..], &open].concat());
    let peers = ["registrar", "call-control"].map(|role| format!("{role}={}", core.api));
    let edges = ["edge-1", "edge-2"].map(|id| {
        let edge = ["--roles", "edge", "--id", id, "--peers", &peers[0], "--peers", &peers[1]];
        Carillon::serve(&[&edge[..], &open].concat())
    });
    (redis, file, core, edges)
}

/// SCN-22, ALC-02, ALC-03, ALC-06, ALC-08, ALC-09, ALC-10: a phone borrows a number at one edge; the first call to it reaches the phone
/// at the other edge without saying the number, and no second one does.
#[test]
fn a_number_is_borrowed_called_once_and_not_shown() {
    let (_redis, _file, _core, [here, there]) = cluster();
    let (alice, bob) = (Wire::of(&here), Wire::of(&there));
    let from = "From: <sip:bob@localhost>;tag=b";
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let registered = bob.request("REGISTER sip:localhost", &[from, "To: <sip:bob@localhost>", &contact]);
    assert_eq!(status(&bob.answer_to(&registered)), 200);

    let lines = [
        "From: <sip:bob@localhost>;tag=n",
        "To: <sip:localhost>",
        "Contact: <sip:bob@localhost>;expires=180",
        "Allocate-For: <tel:+1-847-555-0000>",
    ];
    let (allocate, call_id) = alice.compose("ALLOCATE sip:localhost", &lines);
    alice.send(&allocate);
    let lent = alice.answer_to(&call_id);
    assert_eq!(status(&lent), 200, "{lent}");
    let contact = header(&lent, "Contact").expect("a Contact").to_owned();
    let number = contact.strip_prefix("<tel:").and_then(|rest| rest.strip_suffix(">;expires=180"));
    let number = number.unwrap_or_else(|| panic!("a number for 180 s: {contact}")).to_owned();
    assert!(number.starts_with("+1312555010"), "{number}");
    alice.send(&allocate);
    assert_eq!(header(&alice.answer_to(&call_id), "Contact"), Some(contact.as_str()), "a repetition");
    let again = alice.request("ALLOCATE sip:localhost", &lines);
    assert_eq!(status(&alice.answer_to(&again)), 403, "one at a time");

    let call = || {
        let to = format!("To: <sip:{number}@localhost>");
        let own = format!("Contact: <sip:alice@{}>", alice.address());
        alice.request(&format!("INVITE sip:{number}@localhost"), &[&to, &own])
    };
    let first = call();
    let invite = bob.receive_request("INVITE");
    assert!(!invite.contains(&number[1..]), "the number is shown: {invite}");
    bob.respond(&invite, "486 Busy Here", &[]);
    assert_eq!(status(&alice.answer_to(&first)), 486);
    let second = call();
    assert_eq!(status(&alice.answer_to(&second)), 404, "it is used up");
    let next = alice.request("ALLOCATE sip:localhost", &lines);
    let next = alice.answer_to(&next);
    assert!(header(&next, "Contact").is_some_and(|contact| !contact.contains(&number)), "{next}");
}

/// ALC-08, ALC-10: an application dials a number that is lent: whose phone rings sees its own name and nothing of the number, in the INVITE and
/// in all that follows; the number is used up by that, and dialled again it leads nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_dialled_is_not_shown() {
    let (_redis, _file, core, [_, there]) = cluster();
    let bob = Wire::of(&there);
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let lines = ["From: <sip:bob@localhost>;tag=b", "To: <sip:bob@localhost>", &contact];
    let registered = bob.request("REGISTER sip:localhost", &lines);
    assert_eq!(status(&bob.answer_to(&registered)), 200);
    let mut api = CallControlClient::connect(core.api.clone()).await.expect("the API is there");
    let wish = AllocateNumberRequest {
        contacts: vec!["sip:bob@localhost".to_owned()],
        ..AllocateNumberRequest::default()
    };
    let number = api.allocate_number(wish).await.expect("a number").into_inner().number;
    let digits = number.trim_start_matches("tel:+").to_owned();
    let dial = || {
        let dialled = core.command(&["dial", &number, "sip:carol@localhost", "--json"]);
        assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
        let call: serde_json::Value = serde_json::from_slice(&dialled.stdout).expect("a call");
        call["call_id"].as_str().expect("an id").to_owned()
    };
    let id = dial();
    let invite = bob.receive_request("INVITE");
    assert_eq!(header(&invite, "To"), Some("<sip:bob@localhost>"), "{invite}");
    let session = "v=0\r\no=w 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    bob.respond_with(&invite, "200 OK", &[&contact, "Content-Type: application/sdp"], session);
    let (ack, bye) = (bob.receive_request("ACK"), bob.receive_request("BYE"));
    bob.respond(&bye, "200 OK", &[]);
    for message in [&invite, &ack, &bye] {
        assert!(!message.contains(&digits), "the number is shown: {message}");
    }
    let outcome = crate::calls::outcome(&core, &id).await;
    assert_eq!(outcome["ended_by"], "b", "carol is nobody: {outcome}");
    let again = dial();
    let outcome = crate::calls::outcome(&core, &again).await;
    assert_eq!(outcome["sip_status"], 404, "it is used up: {outcome}");
}

/// The same pool by gRPC: lent, listed, given back, and empty.
#[tokio::test]
async fn an_application_borrows_from_the_same_pool() {
    let (_redis, _file, core, [edge, _]) = cluster();
    let mut api = CallControlClient::connect(core.api.clone()).await.expect("the API is there");
    let wish = |request_id: &str| AllocateNumberRequest {
        request_id: request_id.to_owned(),
        contacts: vec!["sip:bob@localhost".to_owned()],
        ..AllocateNumberRequest::default()
    };
    let lent = api.allocate_number(wish("n-1")).await.expect("a number").into_inner();
    assert!(lent.number.starts_with("tel:+1312555010") && lent.pool == "illinois", "{lent:?}");
    let again = api.allocate_number(wish("n-1")).await.expect("the same").into_inner();
    assert_eq!(again, lent);
    let quota = api.allocate_number(wish("n-2")).await.expect_err("one at a time");
    assert_eq!(quota.code(), Code::ResourceExhausted, "{quota}");
    let bad = AllocateNumberRequest { contacts: vec!["tel:+1".to_owned()], ..wish("n-3") };
    assert_eq!(api.allocate_number(bad).await.expect_err("no contact").code(), Code::InvalidArgument);

    let listed = api.list_numbers(ListNumbersRequest::default()).await.expect("a list").into_inner();
    assert_eq!(listed.numbers, std::slice::from_ref(&lent));
    let phone = Wire::of(&edge);
    let by_phone = phone.request(
        "ALLOCATE sip:localhost",
        &["From: <sip:carol@localhost>;tag=n", "To: <sip:localhost>", "Contact: <sip:carol@localhost>"],
    );
    assert_eq!(status(&phone.answer_to(&by_phone)), 200);
    let empty = phone.request(
        "ALLOCATE sip:localhost",
        &["From: <sip:dave@localhost>;tag=n", "To: <sip:localhost>", "Contact: <sip:dave@localhost>"],
    );
    let empty = phone.answer_to(&empty);
    assert_eq!(status(&empty), 503, "{empty}");
    assert!(header(&empty, "Retry-After").is_some(), "{empty}");

    let give_back =
        |number: &str| ReleaseNumberRequest { request_id: String::new(), number: number.to_owned() };
    api.release_number(give_back(&lent.number)).await.expect("it is given back");
    let gone = api.release_number(give_back(&lent.number)).await.expect_err("it was given back");
    assert_eq!(gone.code(), Code::NotFound);
    let rests = api.allocate_number(wish("n-4")).await.expect_err("it rests");
    assert_eq!(rests.code(), Code::Unavailable, "{rests}");
}

/// ALC-02, ALC-03, ALC-11, SCN-22: a gateway elsewhere has the numbers. It is asked by SIP through an edge, for an application and for a phone; a
/// call to the number at the gateway reaches the Contact; and what is borrowed cannot be given back, only lapse.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_a_gateway_elsewhere_are_lent() {
    let file = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("it is written");
        file
    };
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().expect("a path of letters").to_owned();
    let theirs = file(POOL);
    let domain = ["--domain", "127.0.0.1", "--auth", "none", "--config"];
    let gateway = Carillon::serve(&[&domain[..], &[&path(&theirs)]].concat());
    let ours =
        file(&format!("[[registrar.number_pools]]\nname = \"pstn\"\ngateway = \"sip:{}\"\n", gateway.sip));
    let redis = Redis::start();
    let (config, url) = (path(&ours), redis.url());
    let open = ["--auth", "none", "--config", &config];
    let core = ["--roles", "registrar,call-control", "--redis", &url, "--id", "core"];
    let core = Carillon::serve(&[&core[..], &open].concat());
    let peers = ["registrar", "call-control"].map(|role| format!("{role}={}", core.api));
    let edge = ["--roles", "edge", "--id", "edge-1", "--peers", &peers[0], "--peers", &peers[1]];
    let edge = Carillon::serve(&[&edge[..], &open].concat());

    let bob = Wire::of(&gateway);
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let lines = ["From: <sip:bob@127.0.0.1>;tag=b", "To: <sip:bob@127.0.0.1>", &contact];
    let registered = bob.request("REGISTER sip:127.0.0.1", &lines);
    assert_eq!(status(&bob.answer_to(&registered)), 200);
    let mut api = CallControlClient::connect(core.api.clone()).await.expect("the API is there");
    let wish = |request_id: &str| AllocateNumberRequest {
        request_id: request_id.to_owned(),
        contacts: vec!["<sip:bob@127.0.0.1>".to_owned()],
        allocate_for: Some("tel:+18475550000".to_owned()),
        ..AllocateNumberRequest::default()
    };
    let lent = api.allocate_number(wish("n-1")).await.expect("a number").into_inner();
    assert!(lent.number.starts_with("tel:+1312555010") && lent.pool == "pstn", "{lent:?}");
    assert_eq!(api.allocate_number(wish("n-1")).await.expect("the same").into_inner(), lent);
    let listed = api.list_numbers(ListNumbersRequest::default()).await.expect("a list").into_inner();
    assert_eq!(listed.numbers, std::slice::from_ref(&lent));

    // the gateway lends one at a time to this borrower, and says so
    let refused = api.allocate_number(wish("n-2")).await.expect_err("one at a time");
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    assert!(refused.message().contains("403"), "{refused}");
    let give_back = ReleaseNumberRequest { number: lent.number.clone(), ..ReleaseNumberRequest::default() };
    let refused = api.release_number(give_back).await.expect_err("it can only lapse");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");

    let number = lent.number.trim_start_matches("tel:").to_owned();
    let carol = Wire::of(&gateway);
    let to = format!("To: <sip:{number}@127.0.0.1>");
    let own = format!("Contact: <sip:carol@{}>", carol.address());
    let call = carol.request(
        &format!("INVITE sip:{number}@127.0.0.1"),
        &["From: <sip:carol@127.0.0.1>;tag=c", &to, &own],
    );
    let invite = bob.receive_request("INVITE");
    bob.respond(&invite, "486 Busy Here", &[]);
    assert_eq!(status(&carol.answer_to(&call)), 486);

    let phone = Wire::of(&edge);
    let contact = format!("Contact: <sip:dave@{}>;expires=60", phone.address());
    let asked = phone.request(
        "ALLOCATE sip:localhost",
        &["From: <sip:dave@localhost>;tag=n", "To: <sip:localhost>", &contact],
    );
    let told = phone.answer_to(&asked);
    assert_eq!(status(&told), 200, "{told}");
    let contact = header(&told, "Contact").expect("a Contact");
    assert!(contact.starts_with("<tel:+1312555010") && contact.ends_with(">;expires=60"), "{contact}");
}
