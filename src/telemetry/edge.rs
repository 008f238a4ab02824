//! The metrics of an edge.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{CheckMetrics, LevelGauge, Metrics, ReasonLabels, add, buckets, timed};

/// The name of a rule is the operator's, so there are as many as the settings have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    rule: String,
    outcome: &'static str,
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OriginLabels {
    origin: String,
}

/// All metrics of an edge. The fields are handles.
pub struct EdgeMetrics {
    /// Those of the checks that it answers.
    pub checks: CheckMetrics,
    /// Revocations that are held: names of credentials, subjects and cohorts.
    pub revocations: LevelGauge,
    /// Answers that are kept.
    pub kept: LevelGauge,
    /// Kept answers that were dropped because what they were about was revoked.
    pub dropped: LevelGauge,
    /// From a question to a node to its answer.
    pub upstream_seconds: Histogram,
    /// Verdicts of an edge that was stale, under a rule that allows them.
    pub stale_allowed: Counter,
    verdicts: Family<VerdictLabels, Counter>,
    state: Family<StateLabels, LevelGauge>,
    feed_age_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    behind_seconds: Family<OriginLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    questions_failed: Family<ReasonLabels, Counter>,
    registry: Registry,
}

impl EdgeMetrics {
    /// All of them at zero, with those of the connections that `metrics` counts.
    pub fn new(metrics: &Metrics) -> Self {
        let mut registry = Registry::with_prefix("authledger");
        let all = &mut registry;
        add(all, "connections", "Connections that are open", metrics.connections.clone());
        add(
            all,
            "connections_refused",
            "Connections refused because there were too many",
            metrics.connections_refused.clone(),
        );
        let seconds = Unit::Seconds;
        let feed_age = "From the last frame of the feed until now; -1 while nothing can be said";
        Self {
            checks: CheckMetrics::register(all),
            revocations: add(all, "edge_revocations", "Revocations that are held", LevelGauge::default()),
            kept: add(all, "edge_kept", "Answers that are kept", LevelGauge::default()),
            dropped: add(
                all,
                "edge_dropped",
                "Kept answers that were dropped because what they were about was revoked",
                LevelGauge::default(),
            ),
            upstream_seconds: timed(all, "edge_upstream", "A question to a node", seconds.clone(), buckets()),
            stale_allowed: add(
                all,
                "edge_stale_allowed",
                "Verdicts of a stale edge under a rule that allows them",
                Counter::default(),
            ),
            verdicts: add(all, "edge_checks", "Verdicts, and what they rest on", Family::default()),
            state: add(all, "edge_state", "1 for the state that the edge is in", Family::default()),
            feed_age_seconds: timed(all, "edge_feed_age", feed_age, seconds.clone(), Gauge::default()),
            behind_seconds: timed(
                all,
                "edge_behind",
                "The age of an origin's newest record at the node",
                seconds,
                Family::default(),
            ),
            questions_failed: add(all, "edge_questions_failed", "Questions without an answer", Family::default()),
            registry,
        }
    }

    /// The counter of the verdicts under a rule: `good`, `refused` or `blind`, by `local`, `kept` or `upstream`.
    pub fn verdicts(&self, rule: &str, outcome: &'static str, by: &'static str) -> Counter {
        self.verdicts.get_or_create_owned(&VerdictLabels { rule: rule.to_owned(), outcome, by })
    }

    /// Counts a question that had no answer, for that reason.
    pub fn question_failed(&self, reason: &'static str) {
        self.questions_failed.get_or_create_owned(&ReasonLabels { reason }).inc();
    }

    /// Sets the state: `loading`, `fresh` or `stale`.
    pub fn set_state(&self, state: &'static str) {
        for one in ["loading", "fresh", "stale"] {
            self.state.get_or_create_owned(&StateLabels { state: one }).set(u64::from(one == state));
        }
    }

    pub fn set_feed_age(&self, seconds: Option<f64>) {
        self.feed_age_seconds.set(seconds.unwrap_or(-1.0));
    }

    pub fn set_behind(&self, origins: impl Iterator<Item = (String, f64)>) {
        self.behind_seconds.clear();
        for (origin, seconds) in origins {
            self.behind_seconds.get_or_create_owned(&OriginLabels { origin }).set(seconds);
        }
    }

    /// All of them as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}
