//! What a SUBSCRIBE may ask for, and how soon.

use std::time::Duration;

use cluster_api::presence::v1::conferences_server::Conferences as _;
use cluster_api::presence::v1::tell_conference_request::Change;
use cluster_api::presence::v1::{ConferenceState, HandleRequest, TellConferenceRequest};
use cluster_api::sip::v1::Header;
use presence::Presence;
use tokio::time::sleep;
use tonic::Request;

use crate::rig::{Rig, ask, body, header, subscribe};

/// EVT-01, EVT-07, EVT-09: what cannot be answered as it was meant is refused with a word about it.
#[tokio::test(start_paused = true)]
async fn a_subscribe_that_cannot_be_meant_is_refused_with_a_word() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let plain = || subscribe("alice", "alice", "presence", 3_600);
    let with = |name: &str, value: &str| {
        let mut request = plain();
        request.headers.retain(|header| !header.is(name));
        request.headers.push(Header::new(name, value));
        request
    };
    let contact = |contact: &str| HandleRequest { contact: contact.to_owned(), ..plain() };
    for (request, reason) in [
        (with("Event", "presence;id=1;id=2"), "Event Has Two Ids"),
        (with("Event", "presence;id=1;ID=1"), "Event Has Two Ids"),
        (contact(""), "Contact Is Missing"),
        (contact("mailto:alice@d"), "Contact Is No SIP URI"),
        (contact("tel:+13125550100"), "Contact Is No SIP URI"),
        (HandleRequest { from_tag: String::new(), ..plain() }, "From Has No Tag"),
    ] {
        let refused = ask(&replica, request).await;
        assert_eq!((refused.status, refused.reason.as_str()), (400, reason));
    }
    let pidf = "application/pidf+xml";
    for accept in
        ["application/pidf+xml;q=0", "application/pidf+xml;q=0.0, */*", "application/*; Q = 0, */*;q=1"]
    {
        let refused = ask(&replica, with("Accept", accept)).await;
        assert_eq!((refused.status, header(&refused, "Accept").as_str()), (406, pidf), "{accept}");
    }
    for accept in
        ["*/*;q=0, application/pidf+xml;q=0.1", "application/*, text/plain;q=0", "Application/PIDF+xml"]
    {
        assert_eq!(ask(&replica, with("Accept", accept)).await.status, 200, "{accept}");
    }
}

async fn tell(replica: &Presence, uri: &str) {
    let state = ConferenceState { viewers: vec!["sip:alice@d".to_owned()], ..ConferenceState::default() };
    let change = Some(Change::State(state));
    let request = TellConferenceRequest { conference_uri: uri.to_owned(), version: 1, change };
    replica.tell_conference(Request::new(request)).await.expect("it is told");
}

/// PKG-05: a conference that call-control holds, and has not told of yet, is waited for; one that it does not hold is not there, at once.
#[tokio::test(start_paused = true)]
async fn a_conference_that_was_just_made_may_be_watched_at_once() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    rig.calls.conference("1");
    let asked = |name: &str| HandleRequest { nobody: true, ..subscribe("alice", name, "conference", 3_600) };
    let (answer, ()) = tokio::join!(ask(&one, asked("conf-1")), async {
        sleep(Duration::from_millis(700)).await;
        tell(&two, "sip:conf-1@d").await;
    });
    assert_eq!((answer.status, answer.reason.as_str()), (200, ""));
    assert!(body(&rig.phones.notify("alice", 1).await).contains("state=\"full\""));
    let begun = tokio::time::Instant::now();
    assert_eq!(ask(&one, asked("conf-2")).await.status, 404);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // One that is never told of keeps nobody waiting for long.
    rig.calls.conference("3");
    assert_eq!(ask(&one, asked("conf-3")).await.status, 404);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
