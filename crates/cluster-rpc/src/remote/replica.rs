//! One replica: its connection, how busy it is, and how it behaved.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::{Config, address::BadAddress, gathered::Gathered, outlier::Outlier};
use crate::conversation::Line;

/// One replica of a service.
#[derive(Debug)]
pub(super) struct Replica {
    url: String,
    channel: Channel,
    calls: AtomicUsize,
    outlier: Mutex<Outlier>,
    line: Mutex<Option<Arc<Line>>>,
}

impl Replica {
    /// A replica at `url`. Nothing is connected before the first call, and again whenever the connection is lost.
    ///
    /// # Errors
    /// When `url` is none, or names `https` and its TLS settings are unusable.
    pub(super) fn new(url: &str, config: &Config) -> Result<Self, BadAddress> {
        let bad = |_| BadAddress { given: url.to_owned() };
        let mut endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(bad)?
            .connect_timeout(config.connect)
            .http2_keep_alive_interval(config.ping_interval)
            .keep_alive_timeout(config.ping_timeout)
            .keep_alive_while_idle(true);
        if let Some(tls) = config.tls.clone().filter(|_| url.starts_with("https:")) {
            endpoint = endpoint.tls_config(tls).map_err(bad)?;
        }
        Ok(Self {
            url: url.to_owned(),
            channel: endpoint.connect_with_connector_lazy(service_fn(connect)),
            calls: AtomicUsize::new(0),
            outlier: Mutex::default(),
            line: Mutex::default(),
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Its connection.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Its stream of questions, opened by `open` when there is none; `None` when it must be called instead.
    pub(super) fn line(&self, open: impl FnOnce() -> Option<Arc<Line>>) -> Option<Arc<Line>> {
        let mut line = self.line.lock();
        match line.as_ref().map(|line| line.is_open()) {
            Some(Some(true)) => {}
            Some(Some(false)) => return None,
            Some(None) | None => *line = open(),
        }
        line.clone()
    }

    /// How many calls wait for it.
    pub(super) fn load(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts a call for as long as the result lives.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    /// Whether calls may go to it.
    pub(super) fn available(&self, now: Instant) -> bool {
        self.outlier.lock().available(now)
    }

    /// How long it is still left alone.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.outlier.lock().remaining(now)
    }

    /// Notes an answer.
    pub(super) fn succeeded(&self) {
        self.outlier.lock().succeeded();
    }

    /// Notes a failure; returns whether the replica is left alone from now on. It then begins with a new stream.
    pub(super) fn failed(&self, now: Instant, config: &Config) -> bool {
        let is_left = self.outlier.lock().failed(now, config);
        if is_left && let Some(line) = self.line.lock().take() {
            line.retire();
        }
        is_left
    }
}

async fn connect(uri: Uri) -> io::Result<TokioIo<Gathered<TcpStream>>> {
    let host = uri.host().ok_or_else(|| io::Error::other("no host to connect to"))?;
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Gathered::connect(host, uri.port_u16().unwrap_or(usual)).await.map(TokioIo::new)
}

/// One call that waits for a replica.
pub(super) struct Busy<'a>(&'a Replica);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
