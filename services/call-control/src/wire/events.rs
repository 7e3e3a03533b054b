//! Leg events on their way to the engine.

use cluster_api::callcontrol::v1 as wire;

use super::{body_in, headers_in, moment};
use crate::engine::event::{
    CallReceived, EdgeEvent, Event, FailureCause, LegEvent, RequestFailed, RequestReceived, ResponseReceived,
};

/// The event does not say what happened: it comes from an edge that this version does not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {number} has no content that this version understands")]
pub struct UnknownEvent {
    /// Its number.
    pub number: u64,
}

/// One event of an edge, as the engine takes it.
///
/// # Errors
/// When the content is missing.
pub fn leg_event(edge_id: &str, edge_epoch: u64, event: wire::LegEvent) -> Result<Event, UnknownEvent> {
    use wire::leg_event::What;
    let what = match event.what.ok_or(UnknownEvent { number: event.number })? {
        What::Response(response) => LegEvent::Response(response_received(response)),
        What::Request(request) => LegEvent::Request(request_received(request)),
        What::Failed(failed) => LegEvent::Failed(RequestFailed {
            effect: failed.effect,
            cause: match failed.cause() {
                wire::request_failed::Cause::Timeout => FailureCause::Timeout,
                wire::request_failed::Cause::Transport | wire::request_failed::Cause::Unspecified => {
                    FailureCause::Transport
                }
            },
            method: failed.method,
        }),
        What::Ack(ack) => {
            LegEvent::Ack { transaction: ack.transaction, cseq: ack.cseq, body: ack.body.map(body_in) }
        }
        What::AckMissing(missing) => LegEvent::AckMissing { transaction: missing.transaction },
        What::Incoming(received) => LegEvent::Incoming(Box::new(call_received(received))),
        What::PrackMissing(missing) => {
            LegEvent::PrackMissing { transaction: missing.transaction, rseq: missing.rseq }
        }
        What::Cancel(cancel) => LegEvent::Cancel { transaction: cancel.transaction, reason: cancel.reason },
    };
    Ok(Event::Leg(EdgeEvent {
        edge_id: edge_id.to_owned(),
        edge_epoch,
        number: event.number,
        leg_id: event.leg_id,
        time: moment(event.time.as_ref()),
        flow: event.flow,
        what,
    }))
}

fn response_received(response: wire::ResponseReceived) -> ResponseReceived {
    ResponseReceived {
        effect: response.effect,
        status: response.status,
        reason: response.reason,
        method: response.method,
        cseq: response.cseq,
        to_tag: response.to_tag,
        contact: response.contact,
        contacts: response.contacts,
        record_route: response.record_route,
        rseq: response.rseq,
        require: response.require,
        supported: response.supported,
        allow: response.allow,
        accept: response.accept,
        challenges: response.challenges,
        retry_after: response.retry_after,
        headers: headers_in(response.headers),
        callee: response.callee,
        body: response.body.map(body_in),
    }
}

fn request_received(request: wire::RequestReceived) -> RequestReceived {
    RequestReceived {
        transaction: request.transaction,
        method: request.method,
        cseq: request.cseq,
        sip_call_id: request.sip_call_id,
        from_tag: request.from_tag,
        to_tag: request.to_tag,
        contact: request.contact,
        rack: Some(request.rack).filter(|rack| !rack.is_empty()),
        require: request.require,
        supported: request.supported,
        allow: request.allow,
        headers: headers_in(request.headers),
        body: request.body.map(body_in),
        is_focus: request.is_focus,
        from_uri: request.from_uri,
        to_uri: request.to_uri,
        record_route: request.record_route,
        identity: request.identity,
        is_trusted: request.is_trusted,
        // the registrar and the store are asked later
        is_denied: false,
        replaces_in: String::new(),
    }
}

fn call_received(received: wire::CallReceived) -> CallReceived {
    CallReceived {
        method: received.method,
        transaction: received.transaction,
        request_uri: received.request_uri,
        from_uri: received.from_uri,
        from_display: received.from_display,
        from_tag: received.from_tag,
        to_uri: received.to_uri,
        to_display: received.to_display,
        sip_call_id: received.sip_call_id,
        cseq: received.cseq,
        contact: received.contact,
        record_route: received.record_route,
        max_forwards: received.max_forwards,
        max_breadth: received.max_breadth,
        identity: received.identity,
        is_trusted: received.source.is_some_and(|source| source.trusted),
        require: received.require,
        supported: received.supported,
        allow: received.allow,
        headers: headers_in(received.headers),
        body: received.body.map(body_in),
    }
}
