//! The node as the authority of its checks.

use std::sync::Arc;

use crate::check::{Authority, CheckOutcome, CheckRule, Verdict};
use crate::domain::{Kind, Timestamp};
use crate::feed::Hub;
use crate::service::Service;

/// This node's state.
pub struct NodeAuthority {
    service: Arc<Service>,
    hub: Arc<Hub>,
}

impl NodeAuthority {
    pub const fn new(service: Arc<Service>, hub: Arc<Hub>) -> Self {
        Self { service, hub }
    }
}

impl Authority for NodeAuthority {
    async fn verdict(&self, rule: &CheckRule, credential: &str) -> Verdict {
        if !self.is_ready() {
            return Verdict::Blind;
        }
        match self.service.check(credential).await {
            Ok(Some(standing)) => {
                if rule.renew && standing.kind == Kind::Ticket && rule.judge(&standing) == CheckOutcome::Allowed {
                    self.service.note_use(credential);
                }
                Verdict::Good(Arc::new(standing))
            }
            Ok(None) => Verdict::Refused,
            // Its issuer is out of reach, or this machine failed: neither says whether it is active.
            Err(error) => {
                tracing::debug!(%error, "a check could not be answered");
                Verdict::Blind
            }
        }
    }

    async fn changed(&self, credential: &str) {
        let mut watcher = self.hub.watchers().watch();
        if let Ok(Some(names)) = self.service.names(credential).await {
            watcher.watch_names(&names);
            watcher.woken().await;
        }
    }

    fn is_ready(&self) -> bool {
        self.service.may_vouch()
    }

    fn now(&self) -> Timestamp {
        self.service.clock().now()
    }
}
