//! Faults of applications and of phones, at a whole process: it lives, and nobody else notices.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{
    CallEvent, DialRequest, Flow, Party, WatchCallsRequest, call_event::Type,
};
use scripted_phone::{Answer, Happening, Script};
use test_support::{Carillon, Lines, PATIENCE, Starting, TestPhone, binary};
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use crate::calls::{hang_up, outcome};
use crate::wire::{Wire, header, status};

const CALLS: usize = 60;

/// The events of all calls, to a reader who takes no more than asked for.
async fn watch(carillon: &Carillon, after_cursor: Option<String>) -> Streaming<CallEvent> {
    // A small window: what the reader does not take stays with the server
    let endpoint = Endpoint::from_shared(carillon.api.clone()).expect("an address");
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut client = CallControlClient::new(endpoint.connect().await.expect("the API is there"));
    let request = WatchCallsRequest { after_cursor, ..WatchCallsRequest::default() };
    client.watch_calls(request).await.expect("a stream").into_inner()
}

/// What a reader has seen.
#[derive(Default)]
struct Seen {
    /// Where it is.
    cursor: String,
    /// The events of each call, in order.
    of_calls: HashMap<String, Vec<(Type, Option<String>)>>,
    ended: usize,
}

impl Seen {
    /// Reads until all calls have ended, or the stream does.
    async fn read(&mut self, events: &mut Streaming<CallEvent>) -> Result<(), Status> {
        while self.ended < CALLS {
            let next = timeout(PATIENCE, events.message()).await.expect("the stream brings or ends");
            let event = next?.expect("it ends with a word");
            let (kind, leg_id) = (event.r#type(), event.leg_id);
            self.cursor = event.cursor;
            self.ended += usize::from(kind == Type::Ended);
            if !event.call_id.is_empty() {
                self.of_calls.entry(event.call_id).or_default().push((kind, leg_id));
            }
        }
        Ok(())
    }
}

/// F14: an application that watches and does not read is told so (RESOURCE_EXHAUSTED) and goes on where it was; another one sees everything
/// meanwhile, and every call is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_is_told_and_goes_on_where_it_was() {
    let carillon = Starting::with(&[], &[("CARILLON_LIMITS_WATCH_BUFFER", "16")]).ready();
    let mut slow = watch(&carillon, None).await;
    let mut other = watch(&carillon, None).await;
    let reads = tokio::spawn(async move {
        let mut seen = Seen::default();
        seen.read(&mut other).await.map(|()| seen)
    });
    let mut api = CallControlClient::connect(carillon.api.clone()).await.expect("the API is there");
    let party = |user: &str| Some(Party { uri: format!("sip:{user}@localhost"), ..Party::default() });
    for number in 0..CALLS {
        // As large as an event may be, and over as soon as it is dialled: nobody is registered
        let metadata = (0..32).map(|key| (format!("key-{key}"), "x".repeat(512))).collect();
        let request = DialRequest {
            request_id: format!("call-{number}"),
            from: party("alice"),
            to: party("bob"),
            flow: Flow::Iv.into(),
            metadata,
            ..DialRequest::default()
        };
        api.dial(request).await.expect("a slow watcher is nothing to who dials");
    }
    let all = reads.await.expect("it runs").expect("who reads is not cut off");
    assert_eq!(all.of_calls.len(), CALLS);

    let mut seen = Seen::default();
    let told = seen.read(&mut slow).await.expect_err("it did not read for long");
    assert_eq!(told.code(), Code::ResourceExhausted, "{told}");
    while seen.ended < CALLS {
        let mut resumed = watch(&carillon, Some(seen.cursor.clone())).await;
        if let Err(told) = seen.read(&mut resumed).await {
            assert_eq!(told.code(), Code::ResourceExhausted, "{told}");
        }
    }
    for (call_id, events) in &all.of_calls {
        assert_eq!(seen.of_calls.get(call_id), Some(events), "nothing of {call_id} is lost, or comes twice");
    }
}

/// F15: the application that dialled is killed: no call waits for its word. The two are connected, and another client ends the call.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_without_the_application_that_asked_for_it() {
    let carillon = Carillon::all_in_one();
    let mut phones = Vec::new();
    for aor in ["sip:alice@localhost", "sip:bob@localhost"] {
        carillon.account(aor, "secret");
        phones.push(TestPhone::registered(&carillon.sip, aor, "secret", Script::default()).await);
    }
    let mut application = Command::new(binary())
        .args(["dial", "sip:alice@localhost", "sip:bob@localhost", "--watch", "--api", &carillon.api])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the carillon executable runs");
    let said = Lines::of("carillon dial", application.stdout.take().expect("stdout is piped"));
    let id = said.wait_for("the id of the call", |_| true);
    application.kill().expect("it runs");
    application.wait().expect("it was ours");
    for phone in &mut phones {
        phone.wait_for("the call", |h| *h == Happening::Connected).await;
    }
    hang_up(&carillon, &id);
    for phone in &mut phones {
        phone.wait_for("BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    }
    assert_eq!(outcome(&carillon, &id).await["ended_by"], "api");
}

/// F21: a phone says the same nonsense a hundred times, within the dialog of its leg and outside of any: each request is answered or
/// dropped, nothing panics, its own call and that of others go on.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_a_hundred_times_costs_nobody_a_call() {
    let carillon = Starting::with(&["--auth", "none"], &[]).ready();
    let at_once = || Script { answer: Answer::After(std::time::Duration::ZERO), ..Script::default() };
    let mut alice = TestPhone::registered(&carillon.sip, "sip:alice@localhost", "", at_once()).await;
    let eve = Wire::of(&carillon);
    let contact = format!("Contact: <sip:eve@{}>", eve.address());
    let own = ["From: <sip:eve@localhost>;tag=r", "To: <sip:eve@localhost>", &contact];
    let registered = eve.request("REGISTER sip:localhost", &own);
    assert_eq!(status(&eve.answer_to(&registered)), 200);
    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:eve@localhost", "--flow", "iv"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let id = String::from_utf8_lossy(&dialled.stdout).trim().to_owned();
    let invite = eve.receive_request("INVITE");
    let sdp =
        "v=0\r\no=e 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    eve.respond_with(&invite, "200 OK", &[&contact, "Content-Type: application/sdp"], sdp);
    eve.receive_request("ACK");
    alice.wait_for("the call", |h| *h == Happening::Connected).await;

    let of = |name: &str| header(&invite, name).expect("every request has it").to_owned();
    let leg = of("Contact").trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
    let dialog = [
        format!("From: {};tag=w", of("To")),
        format!("To: {}", of("From")),
        format!("Call-ID: {}", of("Call-ID")),
    ];
    let nonsense: [&[&str]; 6] = [
        &["Refer-To: <sip:x@y?Replaces=%00%ff;to-tag;from-tag=>", "Refer-To: <<<"],
        &["Replaces: ;;;;to-tag=;from-tag=", "Join: a;to-tag=1"],
        &["Session-Expires: 99999999999999999999;refresher=nobody", "Min-SE: -1"],
        &["Content-Type: multipart/mixed;boundary=\"", "RAck: 4294967296 x y", "RSeq: -1"],
        &["Event: refer;id=18446744073709551616", "Subscription-State: ;;=;reason"],
        &["Info-Package: \u{1}", "Require: ,,,", "Supported: \"", "Accept: ;q=x"],
    ];
    let stray = Wire::at("127.0.0.4", &carillon);
    let mut cseq = 10;
    for _ in 0..100 / nonsense.len() + 1 {
        for method in ["INVITE", "REFER", "INFO", "UPDATE", "NOTIFY", "PRACK", "OPTIONS", "SUBSCRIBE"] {
            for lines in nonsense {
                cseq += 1;
                let number = format!("CSeq: {cseq} {method}");
                let within: Vec<&str> =
                    dialog.iter().map(String::as_str).chain([number.as_str(), &contact]).collect();
                eve.request(&format!("{method} {leg}"), &[&within, lines].concat());
                // From where nobody else is: who only asks for what is refused is not answered for a time
                stray.request(&format!("{method} sip:bob@localhost"), &[&[contact.as_str()], lines].concat());
            }
        }
    }
    let other = Wire::at("127.0.0.5", &carillon);
    let probe = other.request("OPTIONS sip:localhost", &["To: <sip:localhost>"]);
    assert_eq!(status(&other.answer_to(&probe)), 200, "the process answers");
    for kind in ["internal_panics", "handler_panics"] {
        assert_eq!(carillon.metric(&format!("carillon_edge_sip_total{{event=\"{kind}\"")), 0.0, "{kind}");
    }
    // Both calls are ended by whoever wants to, and once
    hang_up(&carillon, &id);
    alice.wait_for("BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    let outcome = outcome(&carillon, &id).await;
    assert_eq!((&outcome["kind"], &outcome["ended_by"]), (&"COMPLETED".into(), &"api".into()), "{outcome}");
}
