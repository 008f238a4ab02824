//! The party that says whether a credential is active: a node from its state, or an edge from its memory.

use std::sync::Arc;

use super::rule::CheckRule;
use super::standing::Standing;
use crate::domain::Timestamp;

/// What an authority says of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is active, and its bearer need not prove anything else.
    Good(Arc<Standing>),
    /// It is unknown, expired or revoked, or is bound to a key: a check sees no proof of possession.
    Refused,
    /// The authority can't tell now.
    Blind,
}

/// Says whether a credential is active.
pub trait Authority: Send + Sync + 'static {
    /// The verdict on that credential for a request under that rule.
    ///
    /// Whether the rule holds of the credential is not asked here, except what only the authority can do: a use counts
    /// where the rule renews, and the rule says what a blind authority does.
    fn verdict(&self, rule: &CheckRule, credential: &str) -> impl Future<Output = Verdict> + Send;

    /// Returns when the verdict on that credential may have changed, and at once if it is not good any more.
    ///
    /// The caller has had a verdict before. So that no change between that verdict and this call is missed, it listens
    /// for changes first, and looks at the credential after that. That a credential expires is not a change.
    fn changed(&self, credential: &str) -> impl Future<Output = ()> + Send;

    /// Whether it can tell now, as far as that does not depend on the credential: a balancer asks before it sends checks.
    fn is_ready(&self) -> bool {
        true
    }

    /// The time by which it judges.
    fn now(&self) -> Timestamp;
}
