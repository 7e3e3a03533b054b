//! From the transactions to their user: hands out what follows from each event, and keeps the loop alive when that
//! panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sip_message::ResponseBuilder;
use sip_transaction::{Key, Output, ServerKey};

use crate::context::Context;
use crate::driver::Driver;
use crate::hop::{Arrival, Hop};
use crate::user::{Failure, TransactionUser};

impl<U: TransactionUser> Driver<U> {
    /// Hands out everything that follows from the last call, until nothing more follows.
    pub(crate) fn drain(&mut self, arrival: Option<&Arrival>) {
        loop {
            let mut more = true;
            // Each step takes its item before it does anything with it, so a panic costs that item.
            self.survive(|driver| more = driver.hand_out_one(arrival));
            if !more {
                return;
            }
        }
    }

    /// Hands out one item; `false` when there was none.
    fn hand_out_one(&mut self, arrival: Option<&Arrival>) -> bool {
        if let Some(output) = self.core.transactions.poll_output() {
            self.hand_out(output, arrival);
        } else if let Some(key) = self.core.failed.pop_front() {
            let now = self.core.now;
            self.core.transactions.handle_transport_error(now, key);
        } else if let Some(key) = self.core.disconnected.pop_front() {
            let now = self.core.now;
            self.core.transactions.handle_disconnect(now, key);
        } else if let Some((flow, end)) = self.core.closed.pop_front() {
            self.core.silence.forget(Hop::Flow(flow));
            self.guarded(|user, cx| user.on_flow_closed(cx, flow, end));
        } else if let Some(result) = self.core.work.pop_done() {
            self.guarded(|user, cx| user.on_completion(cx, result));
        } else if let Some(located) = self.core.returning.pop_done() {
            self.take_located(located);
        } else {
            return false;
        }
        true
    }

    fn hand_out(&mut self, output: Output<Hop>, arrival: Option<&Arrival>) {
        match (output, arrival) {
            (Output::Transmit { hop, bytes, origin }, _) => self.core.transmit(hop, bytes, Some(origin)),
            (Output::Request { key, message, .. }, Some(arrival)) => {
                if !self.guarded(|user, cx| user.on_request(cx, key, message, arrival)) {
                    self.apologise(key);
                }
            }
            (Output::Cancel { key, target, message, .. }, Some(arrival)) => {
                if !self.guarded(|user, cx| user.on_cancel(cx, key, target, message, arrival)) {
                    self.apologise(key);
                }
            }
            (Output::Ack { key, message, .. }, Some(arrival)) => {
                self.guarded(|user, cx| user.on_ack(cx, key, message, arrival));
            }
            (Output::Response { key, message, .. }, Some(arrival)) => {
                self.guarded(|user, cx| user.on_response(cx, key, message, arrival));
            }
            (Output::StrayResponse { message, .. }, Some(arrival)) => {
                self.core.counters.stray_responses.one_more();
                self.guarded(|user, cx| user.on_stray_response(cx, message, arrival));
            }
            (Output::Overflow { message, .. }, Some(arrival)) => {
                self.core.counters.overflow_requests.one_more();
                self.guarded(|user, cx| user.on_overflow(cx, message, arrival));
            }
            // The outputs of a message are handed out before the next thing happens: this one was left behind by a
            // panic, and is lost with its message.
            (
                Output::Request { .. }
                | Output::Cancel { .. }
                | Output::Ack { .. }
                | Output::Response { .. }
                | Output::StrayResponse { .. }
                | Output::Overflow { .. },
                None,
            ) => {}
            (Output::TimedOut { key }, _) => self.fail(Failure::TimedOut(key)),
            (Output::TransportFailed { key: Key::Client(key) }, _) => self.fail(Failure::NotSent(key)),
            (Output::TransportFailed { key: Key::Server(key) }, _) => self.fail(Failure::NotAnswered(key)),
            (Output::AckTimedOut { key }, _) => self.fail(Failure::AckTimedOut(key)),
            (Output::Ended { key: Key::Client(key) }, _) => {
                self.guarded(|user, cx| user.on_client_ended(cx, key));
            }
            (Output::Ended { key: Key::Server(key) }, _) => {
                self.guarded(|user, cx| user.on_server_ended(cx, key));
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.guarded(|user, cx| user.on_failure(cx, failure));
    }

    /// The user panicked over a request: its sender gets 500 instead of silence.
    fn apologise(&mut self, key: ServerKey) {
        let Some(request) = self.core.transactions.unanswered(key) else { return };
        let response = ResponseBuilder::to(request, 500);
        let response = match response.clone().to_tag(&key.to_string()) {
            Ok(tagged) => tagged.build(),
            Err(_) => response.build(),
        };
        // Refused only if the transaction is over, and then nobody waits.
        let _ = self.core.transactions.respond(self.core.now, key, &response);
    }

    /// Calls the user; `false` when it panicked.
    pub(crate) fn guarded(&mut self, call: impl FnOnce(&mut U, &mut Context<'_, U>)) -> bool {
        let (user, core) = (&mut self.user, &mut self.core);
        let caught = catch_unwind(AssertUnwindSafe(|| call(user, &mut Context { core })));
        if caught.is_err() {
            self.core.counters.user_panics.one_more();
            tracing::error!("the transaction user panicked; the message at hand is lost");
        }
        caught.is_ok()
    }

    /// Does something of our own that a hostile message might bring to panic. What is left of that message is dropped.
    pub(crate) fn survive(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.core.counters.internal_panics.one_more();
            tracing::error!("the endpoint panicked; the message at hand is lost");
        }
    }
}
