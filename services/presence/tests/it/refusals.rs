//! What is refused says why.

use cluster_api::presence::v1::{HandleRequest, HandleResponse};
use cluster_api::sip::v1::{Body, Header};

use crate::mail::message;
use crate::rig::{Rig, ask, header, publish, subscribe};

fn said(answer: &HandleResponse) -> (u32, &str) {
    (answer.status, &answer.reason)
}

/// PUB-01, PUB-03: a publication that is refused.
#[tokio::test(start_paused = true)]
async fn a_publish_that_is_refused_says_why() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let with = |values: &[&str]| {
        let mut request = publish("alice", 1, "", "x");
        request.headers.extend(values.iter().map(|value| Header::new("SIP-If-Match", *value)));
        request
    };
    let cases = [
        (with(&[""]), 400, "SIP-If-Match Without A Tag"),
        (with(&[" "]), 400, "SIP-If-Match Without A Tag"),
        (with(&["a", "b"]), 400, "SIP-If-Match With Several Tags"),
        (with(&["a, b"]), 400, "SIP-If-Match With Several Tags"),
        (with(&["unknown"]), 412, ""),
        (HandleRequest { body: None, ..with(&[]) }, 400, "First PUBLISH Without A Document"),
        (HandleRequest { request_uri: "sip:bob@d".into(), ..with(&[]) }, 403, "Not Your Own Presence"),
        (HandleRequest { request_uri: "sip:d".into(), ..with(&[]) }, 404, "Not The Address Of A User"),
    ];
    for (request, status, reason) in cases {
        assert_eq!(said(&ask(&replica, request).await), (status, reason));
    }
    let mut number = 1;
    let refused = loop {
        let answer = ask(&replica, publish("alice", number, "", "one more")).await;
        if answer.status != 200 {
            break answer;
        }
        number += 1;
    };
    assert_eq!(said(&refused), (503, "Too Many Or Too Large Publications Of This User"));
    assert_eq!((number, header(&refused, "Retry-After").as_str()), (17, "300"));
}

/// EVT-01, EVT-09: a subscription that is refused.
#[tokio::test(start_paused = true)]
async fn a_subscribe_that_is_refused_says_why() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let asked = |package: &str| subscribe("alice", "alice", package, 600);
    let without = |change: fn(&mut HandleRequest)| {
        let mut request = asked("presence");
        change(&mut request);
        request
    };
    let cases = [
        (asked("dialog;call-id=x"), 400, "Event Chooses No Dialog (call-id And to-tag)"),
        (
            without(|request| request.record_route = vec!["x".repeat(9_000)]),
            513,
            "Addresses And Route Too Large To Be Kept (8 kB)",
        ),
    ];
    for (request, status, reason) in cases {
        assert_eq!(said(&ask(&replica, request).await), (status, reason));
    }
    let begun = ask(&replica, asked("presence")).await;
    let later = |cseq, package: &str| HandleRequest { cseq, to_tag: begun.to_tag.clone(), ..asked(package) };
    assert_eq!(
        said(&ask(&replica, later(2, "dialog")).await),
        (403, "Another Event Than That Of The Dialog")
    );
    assert_eq!(said(&ask(&replica, later(0, "presence")).await), (500, "CSeq Too Low"));
}

/// IMI-02: a message that is refused.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_says_why() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let with = |body: Body| HandleRequest { body: Some(body), ..message(1, "") };
    let subject = |octets: usize| HandleRequest {
        headers: vec![Header::new("Subject", "x".repeat(octets))],
        ..message(1, "x")
    };
    let cases = [
        (with(Body::new("", "x")), 400, "Content Without Content-Type"),
        (with(Body::new("text/plain", "x".repeat(70_000))), 513, "Content Too Large To Be Kept (64 kB)"),
        (subject(4_090), 513, "Headers Too Large To Be Kept (4 kB)"),
        (subject(4_089), 202, ""),
    ];
    for (request, status, reason) in cases {
        assert_eq!(said(&ask(&replica, request).await), (status, reason));
    }
}
