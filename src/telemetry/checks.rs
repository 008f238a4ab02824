//! Checks: how many there were, and what came of them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{LevelGauge, add};

/// The name of a rule is the operator's, so there are as many as the settings have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    rule: String,
    outcome: &'static str,
}

/// The metrics of checks, of a node or of an edge.
#[derive(Clone, Debug)]
pub struct CheckMetrics {
    checks: Family<CheckLabels, Counter>,
    /// Answers in which identity headers were left empty, because the head would have been too large.
    pub cut_identities: Counter,
    /// Those who watch a credential.
    pub watchers: LevelGauge,
}

impl CheckMetrics {
    /// All of them at zero, in that registry.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            checks: add(registry, "checks", "Checks answered", Family::default()),
            cut_identities: add(
                registry,
                "check_cut_identities",
                "Checks whose identity headers were too large, so that some are empty",
                Counter::default(),
            ),
            watchers: add(
                registry,
                "check_watchers",
                "Watchers of a credential that are connected",
                LevelGauge::default(),
            ),
        }
    }

    /// The counter of the checks under a rule with that outcome. A check that names no rule counts under the empty name.
    pub fn counter(&self, rule: &str, outcome: &'static str) -> Counter {
        self.checks.get_or_create_owned(&CheckLabels { rule: rule.to_owned(), outcome })
    }
}
