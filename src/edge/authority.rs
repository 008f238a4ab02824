//! The edge as the authority of checks.

use std::sync::Arc;

use super::flights::Sharing;
use super::{By, Decision, Edge, EdgeCore, Keeping, jwt};
use crate::check::{Authority, CheckOutcome, CheckRule, Verdict, WhenOriginBehind, WhenStale};
use crate::domain::{Kind, Timestamp};
use crate::follower::FollowerStanding;
use crate::jose::OwnKeys as _;

/// What an edge goes by under a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Its memory.
    Memory,
    /// Its memory, although something may be missing.
    StaleMemory,
    /// Its node, and what is revoked as far as it knows.
    Node,
    /// Nothing.
    Nothing,
}

impl EdgeCore {
    fn trust(&self, rule: &CheckRule) -> Trust {
        let standing = self.follower.standing();
        let is_held_up = rule.when_origin_behind == WhenOriginBehind::Refuse && self.is_behind();
        match (standing, rule.when_stale) {
            (FollowerStanding::Fresh, _) if !is_held_up => Trust::Memory,
            (_, WhenStale::Ask) => Trust::Node,
            (_, WhenStale::Refuse) | (FollowerStanding::Loading, WhenStale::Allow) => Trust::Nothing,
            (FollowerStanding::Fresh | FollowerStanding::Stale, WhenStale::Allow) => Trust::StaleMemory,
        }
    }

    async fn decide_under(self: &Arc<Self>, rule: &CheckRule, credential: &str) -> (Decision, By) {
        match self.trust(rule) {
            Trust::Memory => self.decide(credential).await,
            Trust::StaleMemory => {
                self.metrics.stale_allowed.inc();
                self.decide(credential).await
            }
            Trust::Node => {
                (self.ask(jwt::digest_of(credential), credential, Sharing::Later, Keeping::Secrets).await, By::Upstream)
            }
            Trust::Nothing => (Decision::Blind, By::Local),
        }
    }
}

impl Authority for Edge {
    async fn verdict(&self, rule: &CheckRule, credential: &str) -> Verdict {
        let core = &self.0;
        let (decision, by) = core.decide_under(rule, credential).await;
        let (verdict, outcome) = match decision {
            Decision::Active(known) => match known.standing(core.keys.issuer().as_deref()) {
                Some(standing) => {
                    if rule.renew && standing.kind == Kind::Ticket && rule.judge(&standing) == CheckOutcome::Allowed {
                        core.note_use(credential, &known);
                    }
                    (Verdict::Good(Arc::new(standing)), "good")
                }
                // It is bound: a check sees no proof of possession.
                None => (Verdict::Refused, "refused"),
            },
            Decision::Refused => (Verdict::Refused, "refused"),
            Decision::Blind => (Verdict::Blind, "blind"),
        };
        core.metrics.verdicts(rule.name.as_str(), outcome, by.as_str()).inc();
        verdict
    }

    async fn changed(&self, credential: &str) {
        self.0.changed(credential).await;
    }

    fn is_ready(&self) -> bool {
        self.0.follower.is_fresh()
    }

    fn now(&self) -> Timestamp {
        self.0.follower.now()
    }
}
