//! The registry of metrics and its text exposition.
//!
//! Names are `carillon_<service>_<what>_<unit or total>`; the prefix is added here. Labels are outcomes and reasons, never users,
//! calls or addresses. On hot paths take the counter of a label set once and keep it: counting is then one atomic addition.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use prometheus::{HistogramOpts, Opts, Registry, TextEncoder, core::Collector};

/// Counts up.
pub type Counter = prometheus::IntCounter;
/// Counters that differ by labels.
pub type Counters = prometheus::IntCounterVec;
/// Goes up and down.
pub type Gauge = prometheus::IntGauge;
/// Gauges that differ by labels.
pub type Gauges = prometheus::IntGaugeVec;
/// Counts values into buckets.
pub type Histogram = prometheus::Histogram;
/// Histograms that differ by labels.
pub type Histograms = prometheus::HistogramVec;

/// Bucket limits for latencies in seconds, from half a millisecond to the 32 s of a SIP transaction.
pub const LATENCY_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Bucket limits for sizes in octets, with the 1,300 of RFC 3261 18.1.1 and the largest datagram.
pub const SIZE_OCTETS: &[f64] = &[128.0, 256.0, 512.0, 1024.0, 1300.0, 2048.0, 4096.0, 16384.0, 65535.0];

/// All metrics of the process. Clones are the same registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone, Debug)]
enum Known {
    Counters(Counters),
    Gauges(Gauges),
    Histograms(Histograms),
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        let registry = Registry::new_custom(Some("carillon".to_owned()), None)
            .unwrap_or_else(|_| unreachable!("the prefix is not empty, which is all that can be wrong"));
        Self { inner: Arc::new(Inner { registry, known: Mutex::default() }) }
    }

    /// The counter of this name; the same one when it exists.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counters(name, help, &[]).with_label_values::<&str>(&[])
    }

    /// The counters of this name; the same ones when they exist.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Counters {
        let made = self.known(name, || {
            let counters = Counters::new(Opts::new(name, help), labels)?;
            Ok((Known::Counters(counters.clone()), Box::new(counters)))
        });
        match made {
            Known::Counters(counters) => counters,
            other => mismatch(name, &other),
        }
    }

    /// The gauge of this name; the same one when it exists.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauges(name, help, &[]).with_label_values::<&str>(&[])
    }

    /// The gauges of this name; the same ones when they exist.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Gauges {
        let made = self.known(name, || {
            let gauges = Gauges::new(Opts::new(name, help), labels)?;
            Ok((Known::Gauges(gauges.clone()), Box::new(gauges)))
        });
        match made {
            Known::Gauges(gauges) => gauges,
            other => mismatch(name, &other),
        }
    }

    /// The histograms of this name; the same ones when they exist.
    pub fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> Histograms {
        let made = self.known(name, || {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histograms = Histograms::new(options, labels)?;
            Ok((Known::Histograms(histograms.clone()), Box::new(histograms)))
        });
        match made {
            Known::Histograms(histograms) => histograms,
            other => mismatch(name, &other),
        }
    }

    /// Shows counters that live elsewhere: `read` gives each one's label value and its number, which only grows. Where the name
    /// exists already, the first source stays.
    pub fn mirror(
        &self,
        name: &str,
        help: &str,
        label: &str,
        read: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static,
    ) {
        self.known(name, || {
            let counters = Counters::new(Opts::new(name, help), &[label])?;
            let mirror = Mirror { counters: counters.clone(), read: Box::new(read) };
            Ok((Known::Counters(counters), Box::new(mirror)))
        });
    }

    /// Everything in the text format of Prometheus, version 0.0.4.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.inner.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics cannot be written as text");
            String::new()
        })
    }

    /// What is registered under the name, made and registered when there is nothing yet.
    ///
    /// # Panics
    /// When the name or a label is no Prometheus name: a mistake of the programmer, met by the first start.
    fn known(
        &self,
        name: &str,
        make: impl FnOnce() -> prometheus::Result<(Known, Box<dyn Collector>)>,
    ) -> Known {
        match self.inner.known.lock().entry(name.to_owned()) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                let made = make().and_then(|(known, collector)| {
                    self.inner.registry.register(collector)?;
                    Ok(known)
                });
                let known = made.unwrap_or_else(|error| panic!("metric {name}: {error}"));
                entry.insert(known).clone()
            }
        }
    }
}

/// Reads its numbers when it is asked for them.
struct Mirror {
    counters: Counters,
    read: Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>,
}

impl Collector for Mirror {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.counters.desc()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        for (value, number) in (self.read)() {
            let counter = self.counters.with_label_values(&[value]);
            counter.inc_by(number.saturating_sub(counter.get()));
        }
        self.counters.collect()
    }
}

/// Two places disagree on what a name means, which no run can repair.
fn mismatch(name: &str, registered: &Known) -> ! {
    panic!("metric {name} is registered as {registered:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_live_elsewhere_are_read_when_asked_for() {
        let number = Arc::new(std::sync::atomic::AtomicU64::new(3));
        let (metrics, read) = (Metrics::new(), number.clone());
        metrics.mirror("edge_sip_total", "SIP.", "event", move || {
            vec![("broken", read.load(std::sync::atomic::Ordering::Relaxed))]
        });
        assert!(metrics.text().contains("carillon_edge_sip_total{event=\"broken\"} 3"), "{}", metrics.text());
        number.store(5, std::sync::atomic::Ordering::Relaxed);
        assert!(metrics.text().contains("carillon_edge_sip_total{event=\"broken\"} 5"), "{}", metrics.text());
    }

    #[test]
    fn two_places_that_ask_for_the_same_name_count_together() {
        let metrics = Metrics::new();
        metrics.counter("edge_requests_total", "Requests.").inc();
        metrics.clone().counter("edge_requests_total", "Requests.").inc_by(2);
        assert!(metrics.text().contains("\ncarillon_edge_requests_total 3\n"), "{}", metrics.text());
    }

    #[test]
    fn each_label_set_has_its_own_line() {
        let metrics = Metrics::new();
        let refused = metrics.counters("edge_refused_total", "Refused.", &["reason"]);
        let overload = refused.with_label_values(&["overload"]);
        overload.inc();
        overload.inc();
        refused.with_label_values(&["scanner"]).inc();
        let text = metrics.text();
        assert!(text.contains("carillon_edge_refused_total{reason=\"overload\"} 2"), "{text}");
        assert!(text.contains("carillon_edge_refused_total{reason=\"scanner\"} 1"), "{text}");
    }

    #[test]
    fn gauges_and_histograms_are_exposed_with_help_and_type() {
        let metrics = Metrics::new();
        metrics.gauge("edge_flows", "Open flows.").set(-1);
        let times = metrics.histograms("rpc_seconds", "Time of an rpc.", LATENCY_SECONDS, &[]);
        times.with_label_values::<&str>(&[]).observe(0.003);
        let text = metrics.text();
        assert!(text.contains("# TYPE carillon_edge_flows gauge\ncarillon_edge_flows -1"), "{text}");
        assert!(text.contains("# HELP carillon_rpc_seconds Time of an rpc."), "{text}");
        assert!(text.contains("carillon_rpc_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("carillon_rpc_seconds_bucket{le=\"0.0025\"} 0"), "{text}");
    }

    #[test]
    #[should_panic(expected = "metric x is registered as")]
    fn a_name_that_means_two_things_is_a_mistake() {
        let metrics = Metrics::new();
        metrics.counter("x", "A counter.");
        metrics.gauge("x", "A gauge.");
    }
}
