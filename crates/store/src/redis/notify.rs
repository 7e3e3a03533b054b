//! Wakeups over publish and subscribe. Lost messages cost at most [`Wakeups::FALLBACK`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::PubSubSink;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::link::Server;
use crate::Wakeups;
use crate::wakeups::{Changes, Watched};

/// What this process watches. Channels grow with the number of partitions watched, which is fixed by configuration; a log is
/// known for as long as somebody waits for it.
pub(super) struct Notifier {
    channels: Mutex<HashMap<String, Channel>>,
    /// Number of channels; changes wake the subscriber.
    wanted: watch::Sender<usize>,
}

#[derive(Default)]
struct Channel {
    any: Changes,
    logs: Watched,
}

impl Notifier {
    pub(super) fn new() -> Arc<Notifier> {
        Arc::new(Notifier { channels: Mutex::default(), wanted: watch::Sender::new(0) })
    }

    pub(super) fn watch(&self, channel: String, log: Option<&str>) -> Wakeups {
        let mut channels = self.channels.lock();
        let entry = channels.entry(channel).or_default();
        let wakeups = match log {
            None => entry.any.watch(),
            Some(log) => entry.logs.watch(log),
        };
        let count = channels.len();
        drop(channels);
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, count) != count);
        wakeups
    }

    /// Holds a subscription as well as it can, for as long as the store lives.
    pub(super) async fn run(self: Arc<Notifier>, server: Server) {
        let mut wanted = self.wanted.subscribe();
        // No connection before somebody watches something.
        let _ = wanted.wait_for(|count| *count > 0).await;
        let mut pause = Duration::from_millis(20);
        loop {
            match self.subscribe(&server).await {
                // It worked for a while: begin anew with a short pause.
                Ok(()) => pause = Duration::from_millis(20),
                Err(why) => {
                    tracing::debug!(%why, "no change notifications from Redis, readers look by themselves")
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(server.options.reconnect_pause);
        }
    }

    /// Returns `Ok` when an established subscription ended.
    async fn subscribe(&self, server: &Server) -> Result<(), String> {
        let limit = server.options.connect_timeout * 2;
        let connect = async { server.target.notifier().await?.get_async_pubsub().await };
        let connected = timeout(limit, connect).await.map_err(|_| "no answer in time".to_owned())?;
        let (sink, mut messages) = connected.map_err(|error| error.to_string())?.split();
        let dispatch = async {
            while let Some(message) = messages.next().await {
                self.wake(message.get_channel_name(), message.get_payload_bytes());
            }
        };
        tokio::select! {
            // Either end is the end of the connection; no order is needed.
            biased;
            () = dispatch => {}
            () = self.follow(sink, limit) => {}
        }
        Ok(())
    }

    /// Subscribes to every channel, and to later ones as they come; returns when that fails.
    async fn follow(&self, mut sink: PubSubSink, limit: Duration) {
        let mut wanted = self.wanted.subscribe();
        let mut known: Vec<String> = Vec::new();
        loop {
            let fresh: Vec<String> =
                self.channels.lock().keys().filter(|channel| !known.contains(channel)).cloned().collect();
            for channel in fresh {
                if !matches!(timeout(limit, sink.subscribe(&channel)).await, Ok(Ok(()))) {
                    return;
                }
                // Whatever happened while nobody listened.
                self.wake_all(&channel);
                known.push(channel);
            }
            // Looking now and then also shows a connection that died in silence.
            match timeout(Duration::from_secs(5), wanted.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    if !matches!(timeout(limit, sink.ping::<::redis::Value>()).await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    fn wake(&self, channel: &str, logs: &[u8]) {
        let channels = self.channels.lock();
        let Some(channel) = channels.get(channel) else { return };
        channel.any.announce();
        let logs = logs.split(|octet| *octet == b'\n');
        for log in logs.filter_map(|log| std::str::from_utf8(log).ok()) {
            channel.logs.announce(log);
        }
    }

    fn wake_all(&self, channel: &str) {
        if let Some(channel) = self.channels.lock().get(channel) {
            channel.any.announce();
            channel.logs.announce_all();
        }
    }
}
