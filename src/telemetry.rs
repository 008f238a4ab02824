//! Logs and metrics: how they start, and the names of everything that is counted.
//!
//! Every label's values are few and known beforehand: a route is its template, never a URI, and no label holds a name
//! that a caller chose. A counter on the hot path is resolved once, or found by `&'static str`.

mod checks;
mod edge;
mod lines;

use std::io::{self, IsTerminal as _};
use std::str::FromStr as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::ValueEnum;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
use serde::Deserialize;
use tracing_subscriber::filter::Targets;

pub use checks::CheckMetrics;
pub use edge::EdgeMetrics;

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter can't be read.
    #[error("read the log filter `{filter}`: {problem}; write a level, or directives such as `info,authledger=debug`")]
    Filter {
        /// The filter as given.
        filter: String,
        problem: String,
    },
    /// This process has a logger already.
    #[error("start logging: this process has a logger already")]
    Started,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// Starts logging to standard error, once in a process. The filter has the form of tracing's [`Targets`].
pub fn start_logging(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let logger = lines::logger(parse_filter(filter)?, format, io::stderr().is_terminal(), io::stderr);
    tracing::subscriber::set_global_default(logger).map_err(|_| TelemetryError::Started)
}

/// The filter, if it can be read.
pub fn parse_filter(filter: &str) -> Result<Targets, TelemetryError> {
    Targets::from_str(filter)
        .map_err(|error| TelemetryError::Filter { filter: filter.into(), problem: error.to_string() })
}

/// The media type of [`Metrics::encode`]'s text.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gauge of something that is never negative.
pub type LevelGauge = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EntityLabels {
    kind: &'static str,
}

type Requests = Family<RequestLabels, Counter>;

/// All metrics. The fields are handles: counting through them takes no lock, or a short one.
pub struct Metrics {
    /// The newest durable position.
    pub head_position: LevelGauge,
    /// Records in one commit.
    pub batch_records: Histogram,
    /// Seconds that a commit took, its sync included.
    pub commit_seconds: Histogram,
    /// Bytes of the write-ahead log's file.
    pub wal_bytes: LevelGauge,
    /// Bytes that are free on the event log's disk.
    pub disk_free_bytes: LevelGauge,
    /// Followers of the feed that are connected.
    pub followers: LevelGauge,
    /// Connections that are open.
    pub connections: LevelGauge,
    /// Connections refused because there were too many.
    pub connections_refused: Counter,
    requests: Requests,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    entities: Family<EntityLabels, LevelGauge>,
    nodes: Family<EntityLabels, LevelGauge>,
    parcels_refused: Family<ReasonLabels, LevelGauge>,
    nats: Family<EntityLabels, LevelGauge>,
    /// The checks of gateways.
    pub checks: CheckMetrics,
    /// Milliseconds from ledger time to the wall clock: negative where the wall clock is behind.
    pub clock_offset_millis: Gauge,
    /// Milliseconds for which a jump of the wall clock has been unsettled; 0 without one.
    pub clock_unsettled_millis: LevelGauge,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("authledger");
        let seconds = Unit::Seconds;
        Self {
            head_position: add(&mut registry, "head_position", "The newest durable position", LevelGauge::default()),
            batch_records: add(&mut registry, "batch_records", "Records in one commit", record_buckets()),
            commit_seconds: timed(&mut registry, "commit", "A commit, its sync included", seconds.clone(), buckets()),
            wal_bytes: add(&mut registry, "wal_bytes", "The size of the write-ahead log's file", LevelGauge::default()),
            disk_free_bytes: add(
                &mut registry,
                "disk_free_bytes",
                "The free space on the event log's disk",
                LevelGauge::default(),
            ),
            followers: add(
                &mut registry,
                "followers",
                "Followers of the feed that are connected",
                LevelGauge::default(),
            ),
            connections: add(&mut registry, "connections", "Connections that are open", LevelGauge::default()),
            connections_refused: add(
                &mut registry,
                "connections_refused",
                "Connections refused because there were too many",
                Counter::default(),
            ),
            requests: add(&mut registry, "http_requests", "Requests answered", Family::default()),
            request_seconds: timed(
                &mut registry,
                "http_request",
                "From a request's head to its answer's head",
                seconds,
                Family::new_with_constructor(buckets),
            ),
            entities: add(&mut registry, "state_entities", "Entities in the state", Family::default()),
            nodes: add(&mut registry, "nodes", "Other nodes, and problems with them", Family::default()),
            parcels_refused: add(
                &mut registry,
                "parcels_refused",
                "Parcels of other nodes' records that were not trusted",
                Family::default(),
            ),
            checks: CheckMetrics::register(&mut registry),
            nats: add(&mut registry, "nats", "Messages that the courier over NATS has carried", Family::default()),
            clock_offset_millis: add(
                &mut registry,
                "clock_offset_milliseconds",
                "From ledger time to the wall clock, negative where the wall clock is behind",
                Gauge::default(),
            ),
            clock_unsettled_millis: add(
                &mut registry,
                "clock_unsettled_milliseconds",
                "For how long a jump of the wall clock has been unsettled, 0 without one",
                LevelGauge::default(),
            ),
            registry,
        }
    }

    /// The handle of one route. Make it once, where the route is made; the template is one of the route table.
    pub fn route(&self, template: &'static str) -> RouteMetrics {
        let seconds = self.request_seconds.get_or_create_owned(&RouteLabels { route: template });
        RouteMetrics { template, seconds, requests: self.requests.clone(), usual: OnceLock::new() }
    }

    /// How many entities of that kind the state holds: `ticket`, `subject`, `application`, …
    pub fn entities(&self, kind: &'static str) -> LevelGauge {
        self.entities.get_or_create_owned(&EntityLabels { kind })
    }

    /// Other nodes: `member`, `behind_records`, `forked_origin`, `unreadable_origin`, `skewed_clock`, …
    pub fn nodes(&self, kind: &'static str) -> LevelGauge {
        self.nodes.get_or_create_owned(&EntityLabels { kind })
    }

    /// How many parcels were not trusted for that reason.
    pub fn parcels_refused(&self, reason: &'static str) -> LevelGauge {
        self.parcels_refused.get_or_create_owned(&ReasonLabels { reason })
    }

    /// The counts of the courier over NATS: `published`, `acknowledged`, …
    pub fn nats(&self, kind: &'static str) -> LevelGauge {
        self.nats.get_or_create_owned(&EntityLabels { kind })
    }

    /// All of them as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

/// Counts the requests of one route.
pub struct RouteMetrics {
    template: &'static str,
    seconds: Histogram,
    requests: Requests,
    /// The first answer's labels, with their counter: nearly every other answer has the same, and needs no look-up.
    usual: OnceLock<(RequestLabels, Counter)>,
}

impl RouteMetrics {
    /// The route's template.
    pub const fn template(&self) -> &'static str {
        self.template
    }

    /// Counts a request that was answered with that status after that time.
    ///
    /// An unknown method counts as `other`.
    pub fn answered(&self, method: &str, status: u16, took: Duration) {
        let labels = RequestLabels { route: self.template, method: known_method(method), status };
        let (usual, counter) = self.usual.get_or_init(|| {
            let counter = self.requests.get_or_create_owned(&labels);
            (labels.clone(), counter)
        });
        if *usual == labels {
            counter.inc();
        } else {
            self.requests.get_or_create(&labels).inc();
        }
        self.seconds.observe(took.as_secs_f64());
    }
}

/// The metrics as the accept loop and the rest of the server share them.
pub type SharedMetrics = Arc<Metrics>;

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn timed<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, unit: Unit, metric: M) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

/// Seconds, from a quarter of a millisecond to ten seconds.
fn buckets() -> Histogram {
    Histogram::new([0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0])
}

fn record_buckets() -> Histogram {
    Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_request_is_in_the_text_under_its_template() {
        let metrics = Metrics::new();
        let route = metrics.route("/v1/events/{position}");
        route.answered("GET", 200, Duration::from_millis(3));
        route.answered("GET", 200, Duration::from_millis(3));
        route.answered("BREW", 405, Duration::from_millis(1));
        metrics.entities("ticket").set(7);
        metrics.commit_seconds.observe(0.002);
        let text = metrics.encode();
        for line in [
            r#"authledger_http_requests_total{route="/v1/events/{position}",method="GET",status="200"} 2"#,
            r#"authledger_http_requests_total{route="/v1/events/{position}",method="other",status="405"} 1"#,
            r#"authledger_http_request_seconds_count{route="/v1/events/{position}"} 3"#,
            r#"authledger_state_entities{kind="ticket"} 7"#,
            "authledger_commit_seconds_count 1",
            "authledger_connections_refused_total 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_filter_that_can_not_be_read_is_shown() {
        let refusal = parse_filter("info,=/=").expect_err("not a filter").to_string();
        assert!(refusal.contains("info,=/="), "{refusal}");
    }
}
