//! A process in service, and its way out: drain, then leave.

use std::net::SocketAddr;
use std::time::Duration;

use lifecycle::{Drain, Shutdown, Tasks};

use super::members::Joined;

/// Longest time of a drain: 64*T1 of the slowest transaction, and slack.
const DRAIN: Duration = Duration::from_secs(45);

/// How long background work has at the very end.
const LAST_WORK: Duration = Duration::from_secs(2);

/// The services of a process, serving.
pub struct Running {
    /// SIP listeners.
    pub listening: Vec<SocketAddr>,
    /// gRPC listener.
    pub api: SocketAddr,
    /// Admin HTTP listener.
    pub admin: SocketAddr,
    pub(super) drain: Drain,
    pub(super) end: Shutdown,
    pub(super) tasks: Tasks,
    pub(super) calls: Option<call_control::Service>,
    pub(super) joined: Joined,
}

impl Running {
    /// The line that tells scripts where everything is.
    pub fn ready_line(&self) -> String {
        let sip: Vec<String> =
            self.listening.iter().flat_map(|a| [format!("udp://{a}"), format!("tcp://{a}")]).collect();
        format!("ready sip={} api=http://{} admin={}", sip.join(","), self.api, self.admin)
    }

    /// Takes nothing new, finishes what there is, and ends. `signals` forces the end when asked a second time.
    pub async fn drain(self, signals: &Shutdown) {
        self.drain.begin();
        self.joined.renew_now();
        tokio::select! {
            biased; // a forced end does not wait for anything
            () = signals.forced() => tracing::warn!("told to end now: {:?}", self.drain.state()),
            () = self.drain.complete() => tracing::info!("nothing is left to do"),
            () = tokio::time::sleep(DRAIN) => tracing::warn!("the drain took too long: {:?}", self.drain.state()),
        }
        self.stop().await;
    }

    /// Ends without waiting for calls.
    pub async fn stop(self) {
        if let Some(calls) = &self.calls {
            calls.stop(LAST_WORK).await;
        }
        self.joined.leave().await;
        self.end.ask();
        self.end.force();
        self.tasks.stop(LAST_WORK).await;
    }
}
