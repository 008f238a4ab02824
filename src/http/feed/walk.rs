//! A walk over every revocation in force that a follower may see, a few at a time.

use std::sync::Arc;

use crate::domain::{Tenant, Timestamp};
use crate::feed::{Cursor, FeedFilter};
use crate::http::SharedApp;
use crate::projection::{InForce, RevocationMark};
use crate::service::Pace;

/// A walk. Only the revocations of tenants that the reader may follow are looked at.
pub(super) struct Walk {
    app: SharedApp,
    filter: FeedFilter,
    pace: Pace,
    now: Timestamp,
    cursor: Arc<Cursor>,
    /// The tenants to walk through, the last in the list first, or all.
    tenants: Option<Vec<Option<Tenant>>>,
    /// The tenant and the place in it that the walk has reached; no tenant at its end.
    tenant: Option<Option<Tenant>>,
    mark: Option<RevocationMark>,
}

impl Walk {
    /// A walk over what is in force now.
    pub fn new(app: SharedApp, filter: FeedFilter, pace: Pace) -> Self {
        let now = app.service.clock().now();
        // Before anything is looked at: a follower that continues from it misses nothing.
        let cursor = app.hub.tip().cursor;
        let mut tenants = filter.tenants();
        tenants.iter_mut().for_each(|tenants| tenants.reverse());
        let mut walk = Self { app, filter, pace, now, cursor, tenants, tenant: None, mark: None };
        walk.next_tenant();
        walk
    }

    /// The ledger, and the rest of the node.
    pub const fn app(&self) -> &SharedApp {
        &self.app
    }

    /// What the reader may see.
    pub const fn filter(&self) -> &FeedFilter {
        &self.filter
    }

    /// The instant at which the revocations are in force.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The cursor to follow from, which covers nothing that the walk could miss.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The pace of the walk.
    pub const fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// Whether nothing is left.
    pub const fn is_over(&self) -> bool {
        self.tenant.is_none()
    }

    /// The next revocations, when it is their turn; there may be none of them in a step.
    pub async fn step(&mut self) -> Vec<InForce> {
        let Some(tenant) = &self.tenant else { return Vec::new() };
        self.pace.go_on().await;
        let (revocations, next) = self.app.service.revocations_in_force(tenant, self.filter.kinds, self.mark, self.now);
        self.mark = next;
        if next.is_none() {
            self.next_tenant();
        }
        revocations
    }

    /// Goes on to the next tenant that is wanted, if there is one.
    fn next_tenant(&mut self) {
        self.mark = None;
        self.tenant = match &mut self.tenants {
            Some(tenants) => tenants.pop(),
            None => {
                let after = |tenant: Option<&Option<Tenant>>| self.app.service.revoked_after(tenant);
                let passes = |tenant: &Option<Tenant>| self.filter.passes_tenant(tenant.as_ref());
                // Tenants with fewer grants than the others are few: they stand in the grants.
                std::iter::successors(after(self.tenant.as_ref()), |tenant| after(Some(tenant))).find(passes)
            }
        };
    }
}
