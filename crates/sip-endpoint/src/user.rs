//! The transaction user: what the endpoint calls, in one thread, without a lock and without awaiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sip_message::Message;
use sip_transaction::{CancelTarget, ClientKey, ServerKey};

use crate::context::Context;
use crate::flow::FlowEnd;
use crate::hop::{Arrival, FlowId, Hop};
use crate::timers::TimerId;
use crate::tls::Distrust;
use crate::witness::Witness;

/// The logic above the transactions: a proxy core, a user agent, or a double in a test.
///
/// Every method is called from the driver loop and must return soon: whatever waits is handed to
/// [`Context::spawn`] and comes back as [`on_completion`](Self::on_completion). A panic in a method costs the one
/// message it was called for: the endpoint counts it, answers 500 where a request is open, and goes on.
pub trait TransactionUser: Send + Sized + 'static {
    /// Result of asynchronous work started by [`Context::spawn`].
    type Completion: Send + 'static;
    /// What a timer set by [`Context::set_timer`] means.
    type Timer: Send + 'static;
    /// What other tasks may ask of the user, through a [`Handle`](crate::Handle).
    type Command: Send + 'static;

    /// A request that opens a server transaction. Never ACK or CANCEL. It has to be answered, now or later, through
    /// [`Context::respond`]; the key stays valid until [`on_server_ended`](Self::on_server_ended).
    fn on_request(&mut self, cx: &mut Context<'_, Self>, key: ServerKey, request: Message, arrival: &Arrival);

    /// An ACK that no INVITE server transaction absorbed: it belongs to a 2xx (`key` is that transaction, when it is
    /// still known) or to nothing. A proxy routes it; a user agent ends its repetition of the 2xx.
    fn on_ack(&mut self, cx: &mut Context<'_, Self>, key: Option<ServerKey>, ack: Message, arrival: &Arrival);

    /// A CANCEL. `key` is the CANCEL's own transaction and wants its answer (200, or 481 for an unknown target).
    fn on_cancel(
        &mut self,
        cx: &mut Context<'_, Self>,
        key: ServerKey,
        target: CancelTarget,
        cancel: Message,
        arrival: &Arrival,
    );

    /// A response to a request of ours, provisional or final. Repetitions have been removed, except of an INVITE's
    /// 2xx, of which each one comes (RFC 6026 7.2).
    fn on_response(
        &mut self,
        cx: &mut Context<'_, Self>,
        key: ClientKey,
        response: Message,
        arrival: &Arrival,
    );

    /// A request of ours, or a response to a request of theirs, did not get through.
    fn on_failure(&mut self, cx: &mut Context<'_, Self>, failure: Failure);

    /// The far host says by ICMP that nobody listens where a request of ours went by datagram. The failure of the request
    /// follows. The ICMP error held the beginning of the request: who sent it has seen that, or has guessed its branch.
    fn on_refused(&mut self, cx: &mut Context<'_, Self>, key: ClientKey) {
        let _ = (cx, key);
    }

    /// The server that was found for a request of ours does not prove its domain (RFC 5922 7.3): its certificate is wrong, or it shows
    /// none. The failure of the request follows.
    fn on_distrusted_server(&mut self, cx: &mut Context<'_, Self>, key: ClientKey, why: Distrust) {
        let _ = (cx, key, why);
    }

    /// A server transaction is over: its key means nothing any more.
    fn on_server_ended(&mut self, cx: &mut Context<'_, Self>, key: ServerKey) {
        let _ = (cx, key);
    }

    /// A client transaction is over: its key means nothing any more. Comes after the final response or the failure.
    fn on_client_ended(&mut self, cx: &mut Context<'_, Self>, key: ClientKey) {
        let _ = (cx, key);
    }

    /// A response that belongs to no client transaction. It is dropped (RFC 6026 7.3); this is for a user that wants to
    /// look at it, say to end a call that it answers.
    fn on_stray_response(&mut self, cx: &mut Context<'_, Self>, response: Message, arrival: &Arrival) {
        let _ = (cx, response, arrival);
    }

    /// A request came while the table of server transactions was full. Whatever is answered goes by
    /// [`Context::send_statelessly`]; saying nothing makes the peer repeat.
    fn on_overflow(&mut self, cx: &mut Context<'_, Self>, request: Message, arrival: &Arrival) {
        let _ = (cx, request, arrival);
    }

    /// A timer fired.
    fn on_timer(&mut self, cx: &mut Context<'_, Self>, id: TimerId, timer: Self::Timer);

    /// Asynchronous work is done.
    fn on_completion(&mut self, cx: &mut Context<'_, Self>, completion: Self::Completion);

    /// Another task asks for something.
    fn on_command(&mut self, cx: &mut Context<'_, Self>, command: Self::Command);

    /// A connection was accepted, or one that we opened is up.
    fn on_flow_opened(&mut self, cx: &mut Context<'_, Self>, flow: FlowId) {
        let _ = (cx, flow);
    }

    /// A connection is gone. Messages that were still queued on it and requests that waited for their response on it are
    /// reported one by one through [`on_failure`](Self::on_failure).
    fn on_flow_closed(&mut self, cx: &mut Context<'_, Self>, flow: FlowId, end: FlowEnd) {
        let _ = (cx, flow, end);
    }

    /// Nothing came by a flow for as long as [`Context::watch_silence`] allowed. It is as it was, and is not watched any more.
    fn on_silence(&mut self, cx: &mut Context<'_, Self>, flow: Hop) {
        let _ = (cx, flow);
    }

    /// Whether a response whose connection is gone may open one to this address, which the peer's Via names and which is not its
    /// source (RFC 3261 18.2.2).
    fn may_return(&self, to: SocketAddr) -> bool {
        let _ = to;
        true
    }

    /// Who sees each message pass; asked once, before the first one. Nobody costs nothing.
    fn witness(&self) -> Option<Arc<dyn Witness>> {
        None
    }

    /// Called once per round of the loop, before anything is sent: the place for work that pays by the batch.
    fn on_round(&mut self, cx: &mut Context<'_, Self>, now: Instant) {
        let _ = (cx, now);
    }
}

/// Why a transaction did not do what it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No final response in time (Timer B or F, or 64*T1 after a CANCEL). Stands for a 408 (RFC 3261 8.1.3.1).
    TimedOut(ClientKey),
    /// The request could not be delivered, or the connection on which its response was to come is gone. Stands for a 503 (RFC
    /// 3261 8.1.3.1).
    NotSent(ClientKey),
    /// A response could not be delivered. The transaction lives on (RFC 6026 8.8): a repetition of the request gets
    /// the response again.
    NotAnswered(ServerKey),
    /// The final response of an INVITE was never acknowledged (Timer H).
    AckTimedOut(ServerKey),
}
