//! What the endpoint counts. Whoever exports metrics reads [`Counters::snapshot`].

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($( $(#[doc = $doc:literal])+ $name:ident ),+ $(,)?) => {
        /// Numbers that only grow, shared with whoever watches.
        #[derive(Debug, Default)]
        pub struct Counters {
            $( $(#[doc = $doc])+ pub $name: Counter, )+
        }

        impl Counters {
            /// Every counter with its name.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$( (stringify!($name), self.$name.count()) ),+]
            }
        }
    };
}

counters! {
    /// Datagrams received.
    datagrams_received,
    /// Datagrams handed to the kernel.
    datagrams_sent,
    /// Datagrams that the kernel dropped because they came faster than they were taken.
    datagrams_overrun,
    /// Datagrams given up because the kernel took none and the queue was full.
    datagrams_dropped,
    /// Datagrams that the kernel refused, or that came back as unreachable.
    datagrams_unreachable,
    /// Messages received over connections.
    stream_messages_received,
    /// Messages handed to connections.
    stream_messages_sent,
    /// Keep-alives received.
    keep_alives,
    /// STUN messages dropped because their FINGERPRINT is not theirs.
    stun_forged,
    /// Bytes that are no SIP at all: no start line could be read.
    malformed_start_line,
    /// Messages whose header lines break the grammar.
    malformed_headers,
    /// Messages whose length does not fit Content-Length, or is not said where it must be.
    malformed_length,
    /// Messages beyond a limit of size or number.
    malformed_too_large,
    /// Connections closed because the peer began TLS where the listener speaks none.
    tls_at_plain_ports,
    /// Requests of another version.
    malformed_version,
    /// Messages that lack a mandatory header or hold one that cannot be read.
    malformed_mandatory,
    /// Malformed requests that got an answer.
    malformed_answered,
    /// Malformed messages that met silence: responses, ACKs, and requests that do not say who would understand an answer.
    malformed_unanswered,
    /// Responses whose topmost Via is not ours.
    foreign_responses,
    /// Responses that belonged to no transaction.
    stray_responses,
    /// Requests for which the transaction table had no room.
    overflow_requests,
    /// Requests sent by TCP because of their size.
    large_requests_by_tcp,
    /// Of those, requests that went by UDP after all because TCP was refused.
    large_requests_back_to_udp,
    /// Responses that took a new connection because theirs was gone.
    responses_rerouted,
    /// Connections accepted.
    connections_accepted,
    /// Connections opened.
    connections_opened,
    /// Connections that could not be opened.
    connections_failed,
    /// Connections turned away at a bound.
    connections_refused,
    /// Connections that carried nothing, closed to make room for others at the bound of all or of their source.
    strangers_displaced,
    /// Connections turned away because their source has as many as it may have that carry nothing.
    strangers_refused,
    /// Connections closed for what came by them: a stream that cannot be cut into messages, a stranger's message beyond a limit, or
    /// one that nobody could be answered.
    connections_garbled,
    /// Connections that ended at once, because too many others waited for their peers to read the end.
    ends_cut_short,
    /// Connections closed because the peer did not read.
    connections_too_slow,
    /// Handshakes of TLS that failed: no common version, a client that does not believe us, a peer that went away.
    tls_handshakes_failed,
    /// Connections that we closed because the server's certificate is not that of the domain we looked for.
    tls_foreign_servers,
    /// Connections that we closed because the time of the server's certificate is over, or has not begun.
    tls_expired_servers,
    /// Connections that we closed because no authority that was named vouches for the server's certificate.
    tls_unknown_authorities,
    /// Connections given up because the server that we looked for speaks no TLS of ours, ends the handshake, or does not finish it.
    tls_unspoken_servers,
    /// Connections that we closed because who came to the listener of the tier did not prove to be of it.
    tls_foreign_siblings,
    /// Handshakes of WebSocket that failed: no HTTP, not the subprotocol `sip`, an origin that is not allowed.
    websocket_handshakes_failed,
    /// Handshakes that took too long.
    handshakes_timed_out,
    /// Connections turned away because too many handshakes were under way.
    handshakes_refused,
    /// Connections closed because they were silent for too long.
    connections_idle,
    /// Connections closed because a message was begun, or owed, and did not come in time.
    connections_unfinished,
    /// Requests that took the connection of a peer that asked for it by `alias`.
    connections_aliased,
    /// Times that accepting failed for want of a resource.
    accept_errors,
    /// Panics of the user, each of which cost one message.
    user_panics,
    /// Panics of the endpoint itself, each of which cost one message or one connection.
    internal_panics,
    /// Panics of asynchronous work.
    work_panics,
    /// Asynchronous work refused at its bound.
    work_refused,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn one_more(&self) {
        self.add(1);
    }
}
