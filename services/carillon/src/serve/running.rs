//! A process in service, and its way out: drain, then leave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cluster_api::callcontrol::v1::call_control_server::CallControl;
use cluster_api::callcontrol::v1::{CallFilter, HangupRequest, ListCallsRequest, call};
use lifecycle::{Drain, Shutdown, Tasks};
use sip_endpoint::Transport;
use tokio::time::{sleep, timeout};
use tonic::Request;

use super::members::Joined;

/// How long background work has at the very end.
const LAST_WORK: Duration = Duration::from_secs(2);

/// How long phones have to answer the BYE that ends a call with the process: some retransmissions, not all 32 s of them.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// A drain that takes longer says what it waits for.
const SOON: Duration = Duration::from_millis(500);

/// How often the store is asked whether a call is left; it is this process's own memory.
const LOOK: Duration = Duration::from_millis(100);

/// The services of a process, serving.
pub struct Running {
    /// SIP listeners.
    pub listening: Vec<SocketAddr>,
    /// Those for TLS and WebSocket alone.
    pub streams: Vec<(Transport, SocketAddr)>,
    /// gRPC listener.
    pub api: SocketAddr,
    /// Admin HTTP listener.
    pub admin: SocketAddr,
    pub(super) drain: Drain,
    pub(super) end: Shutdown,
    pub(super) tasks: Tasks,
    pub(super) calls: Option<call_control::Service>,
    pub(super) presence: Option<presence::Presence>,
    pub(super) joined: Joined,
    /// Whether the calls live in this process's memory, so that no other can go on with them.
    pub(super) is_alone: bool,
}

impl Running {
    /// The line that tells scripts where everything is.
    pub fn ready_line(&self) -> String {
        let both = self.listening.iter().flat_map(|a| [format!("udp://{a}"), format!("tcp://{a}")]);
        let named = |(transport, at): &(Transport, SocketAddr)| {
            format!("{}://{at}", transport.as_str().to_ascii_lowercase())
        };
        let sip: Vec<String> = both.chain(self.streams.iter().map(named)).collect();
        format!("ready sip={} api=http://{} admin={}", sip.join(","), self.api, self.admin)
    }

    /// Takes nothing new, finishes what there is within `longest`, and ends. `signals` forces the end when asked a second
    /// time.
    ///
    /// Calls that another process can go on with are not waited for, only what is under way in them. Calls that would die
    /// with this process may end by themselves; those that have not after `longest` are hung up.
    pub async fn drain(self, signals: &Shutdown, longest: Duration) {
        self.drain.begin();
        self.joined.renew_now();
        let finish = async {
            // Most drains are over before anybody could read of them.
            let first = SOON.min(longest / 2);
            if timeout(first, self.finished()).await.is_ok() {
                return tracing::info!("nothing is left to do");
            }
            let left = self.left().await;
            tracing::info!("waiting {longest:?} at most for {left}; a second signal ends the process now");
            if timeout(longest - first, self.finished()).await.is_ok() {
                return tracing::info!("nothing is left to do");
            }
            tracing::warn!("the drain took too long ({longest:?}); left are {}", self.left().await);
            let ended = self.hang_up().await;
            if ended > 0 && timeout(LAST_CALLS, self.finished()).await.is_err() {
                tracing::warn!("{ended} calls were hung up; not every phone has answered");
            }
        };
        tokio::select! {
            biased; // a forced end does not wait for anything
            () = signals.forced() => {
                tracing::warn!("told to end now; left are {}", self.left().await);
                return self.leave(Duration::ZERO).await;
            }
            () = finish => {}
        }
        self.stop().await;
    }

    /// Ends without waiting for calls.
    pub async fn stop(self) {
        self.leave(LAST_WORK).await;
    }

    async fn leave(self, last_work: Duration) {
        let mut stopped = 0;
        if let Some(calls) = &self.calls {
            stopped += calls.stop(last_work).await;
        }
        if let Some(presence) = &self.presence {
            stopped += presence.stop(last_work).await;
        }
        if timeout(last_work, self.joined.leave()).await.is_err() {
            tracing::info!("the leases end by themselves");
        }
        self.end.force();
        stopped += self.tasks.stop(last_work).await;
        if stopped > 0 {
            tracing::info!(stopped, "work that did not end was stopped");
        }
    }

    /// Returns once nothing is under way and no call is left that would die with this process.
    async fn finished(&self) {
        loop {
            self.drain.complete().await;
            if self.calls_of_ours().await.is_empty() && self.drain.state().is_complete() {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// What delays the end, with how many there are of each; empty when nothing does.
    async fn left(&self) -> String {
        let mut left = self.drain.state().left;
        // Calls of the store in memory are waited for although nothing is under way in them.
        left.insert("calls that live in this process alone", self.calls_of_ours().await.len() as u64);
        named(&left)
    }

    /// Calls that Carillon controls and that are nowhere but here.
    async fn calls_of_ours(&self) -> Vec<String> {
        use call::State::{Answered, Dialing, Ending, Held, Progressing, Ringing};

        let Some(calls) = self.calls.as_ref().filter(|_| self.is_alone) else { return Vec::new() };
        let states = [Dialing, Ringing, Progressing, Answered, Held, Ending].map(|state| state as i32);
        let filter = CallFilter { states: states.to_vec(), ..CallFilter::default() };
        let (mut left, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListCallsRequest { filter: Some(filter.clone()), page_size: 0, page_token };
            // The store is memory and the filter is good: there is no reason to fail, and none to wait if it did.
            let Ok(page) = calls.api.list_calls(Request::new(request)).await else { return left };
            let page = page.into_inner();
            let ours = page.calls.into_iter().filter(|call| call.kind() != call::Kind::Proxied);
            left.extend(ours.map(|call| call.call_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return left;
            }
        }
    }

    /// Hangs up what is left, and returns how many calls that were.
    async fn hang_up(&self) -> usize {
        let Some(calls) = &self.calls else { return 0 };
        let left = self.calls_of_ours().await;
        for call_id in &left {
            let request = HangupRequest {
                request_id: String::new(),
                call_id: call_id.clone(),
                reason: Some("The server stops".into()),
            };
            if let Err(e) = CallControl::hangup(&calls.api, Request::new(request)).await {
                tracing::info!(call_id, "not hung up: {}", e.message());
            }
        }
        left.len()
    }
}

/// "calls: 2, requests: 1", of what there is any of.
fn named(left: &BTreeMap<&'static str, u64>) -> String {
    let some = left.iter().filter(|(_, count)| **count > 0);
    some.map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn what_delays_the_end_is_told_with_its_count_and_what_does_not_is_left_out() {
        let left = BTreeMap::from([("requests and calls", 0), ("calls that live in this process alone", 2)]);
        assert_eq!(named(&left), "calls that live in this process alone: 2");
        assert_eq!(named(&BTreeMap::from([("requests", 0)])), "");
    }

    #[tokio::test]
    async fn a_drain_ends_after_its_longest_time_although_something_is_left() {
        let anywhere = String::from("127.0.0.1:0");
        let mut settings = Settings { api: anywhere.clone(), admin: anywhere.clone(), ..Settings::default() };
        settings.sip.listen = vec![format!("udp://{anywhere}")];
        let running = super::super::start(&settings).await.unwrap();
        let drain = running.drain.clone();
        drain.left("calls that never end", 1);
        running.drain(&Shutdown::new(), Duration::ZERO).await;
        assert!(drain.is_draining() && !drain.state().is_complete());
    }
}
