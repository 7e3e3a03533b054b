//! Dialling and looking at calls, for the tests of this folder.

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{CallEvent, WatchCallsRequest, call_event};
use serde_json::Value;
use test_support::Carillon;
use tokio::time::timeout;
use tonic::Streaming;

/// Dials alice and bob of `localhost`; the id of the call.
///
/// # Panics
/// When the server refuses.
pub fn dial(carillon: &Carillon, further: &[&str]) -> String {
    let arguments = [&["dial", "sip:alice@localhost", "sip:bob@localhost", "--json"], further].concat();
    let dialled = carillon.command(&arguments);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let call: Value = serde_json::from_slice(&dialled.stdout).unwrap();
    call["call_id"].as_str().unwrap().to_string()
}

/// Hangs a call up over the API.
///
/// # Panics
/// When the server refuses.
pub fn hang_up(carillon: &Carillon, id: &str) {
    let ended = carillon.command(&["hangup", id]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// The outcome of a call as `carillon call show` knows it, once the call has ended.
pub async fn outcome(carillon: &Carillon, id: &str) -> Value {
    Watch::begin(carillon, id, None).await.until(call_event::Type::Ended).await;
    let shown = carillon.command(&["call", "show", id, "--json"]);
    let call: Value = serde_json::from_slice(&shown.stdout).unwrap();
    call["outcome"].clone()
}

/// A stream of the events of one call.
pub struct Watch {
    events: Streaming<CallEvent>,
    /// Every event so far.
    pub seen: Vec<CallEvent>,
}

impl Watch {
    /// Watches `id`, from `after_cursor` when there is one.
    pub async fn begin(carillon: &Carillon, id: &str, after_cursor: Option<String>) -> Self {
        let mut client = CallControlClient::connect(carillon.api.clone()).await.unwrap();
        let request = WatchCallsRequest { call_id: Some(id.into()), after_cursor, filter: None };
        let events = client.watch_calls(request).await.unwrap().into_inner();
        Self { events, seen: Vec::new() }
    }

    /// Watches every call.
    pub async fn begin_all(carillon: &Carillon) -> Self {
        let mut client = CallControlClient::connect(carillon.api.clone()).await.unwrap();
        let events = client.watch_calls(WatchCallsRequest::default()).await.unwrap().into_inner();
        Self { events, seen: Vec::new() }
    }

    /// Reads until an event of this kind, or until a snapshot of a call that is over.
    ///
    /// # Panics
    /// When the stream ends first, with what it brought.
    pub async fn until(&mut self, kind: call_event::Type) -> CallEvent {
        loop {
            let next = timeout(test_support::PATIENCE, self.events.message()).await;
            let Ok(Ok(Some(event))) = next else {
                panic!("no {kind:?} came: {next:?} after {:#?}", self.seen)
            };
            let over = event.call.as_ref().is_some_and(|c| c.end_time.is_some());
            self.seen.push(event.clone());
            if event.r#type() == kind || (over && event.r#type() == call_event::Type::Snapshot) {
                return event;
            }
        }
    }
}
