//! Fair shares: work that cannot be done for all callers at once is done in turn, tenant by tenant and caller by
//! caller.
//!
//! No caller waits behind everything that another one has asked for: the turns go round the tenants, within a tenant
//! round its callers, and each caller's own requests come one after the other. A request that is given up leaves the
//! queue at once, and leaves no work behind.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{CallerIdentity, Failure};
use crate::domain::{ApplicationId, Caller, Grants, NodeKey, Scopes, Subject, Tenant};

/// A caller, as far as sharing matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Party {
    home: Home,
    who: Requester,
}

/// The unit that shares first: an administrator can register any number of applications, but only in their own tenants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Home {
    /// Callers that may act in every tenant.
    Everywhere,
    Tenant(Tenant),
    /// Another node.
    Member(NodeKey),
    /// The node itself.
    Node,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Requester {
    Root,
    Application(ApplicationId),
    Subject(Subject),
    Node,
}

impl Party {
    /// The node itself, for its own work.
    pub const NODE: Self = Self { home: Home::Node, who: Requester::Node };

    /// The party of a caller.
    pub fn of(identity: &CallerIdentity) -> Self {
        match &identity.caller {
            Caller::Root => Self { home: Home::Everywhere, who: Requester::Root },
            Caller::Application(id) => Self { home: Home::of(&identity.grants), who: Requester::Application(*id) },
            Caller::Session { tenant, subject, .. } => Self::of_subject(tenant, subject),
            Caller::Issuer { .. } => Self { home: Home::of(&identity.grants), who: Requester::Node },
            // A bearer only revokes what it holds, and waits for nothing here.
            Caller::Bearer { .. } | Caller::Node => Self::NODE,
        }
    }

    /// Another node of the ledger.
    pub fn of_member(node: NodeKey) -> Self {
        Self { home: Home::Member(node), who: Requester::Node }
    }

    /// A tenant, for questions about its sessions by any caller.
    pub fn of_tenant(tenant: &Tenant) -> Self {
        Self { home: Home::Tenant(tenant.clone()), who: Requester::Node }
    }

    pub(super) fn of_subject(tenant: &Tenant, subject: &Subject) -> Self {
        Self { home: Home::Tenant(tenant.clone()), who: Requester::Subject(subject.clone()) }
    }
}

impl Home {
    fn of(grants: &Grants) -> Self {
        let first = grants.as_slice().iter().find_map(|grant| grant.tenant.clone());
        match first {
            Some(tenant) if grants.elsewhere() == Scopes::NONE => Self::Tenant(tenant),
            _ => Self::Everywhere,
        }
    }
}

/// The sizes of a share.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Turns that are taken at a time.
    pub turns: usize,
    /// Turns that one tenant has at the same time.
    pub turns_of_tenant: usize,
    /// Requests of one caller that are admitted; more are told to come again.
    pub caller: usize,
    /// The same of one tenant.
    pub tenant: usize,
    /// The same of all together.
    pub all: usize,
}

/// A resource of which every caller gets a fair share.
pub struct FairShare {
    bounds: Bounds,
    state: Mutex<ShareState>,
}

#[derive(Default)]
struct ShareState {
    admitted: usize,
    admitted_of_caller: HashMap<Party, usize>,
    admitted_of_tenant: HashMap<Home, usize>,
    turns: usize,
    turns_of_tenant: HashMap<Home, usize>,
    waiting: Ring<Home, Ring<Requester, VecDeque<Waiter>>>,
    last_waiter: u64,
}

struct Waiter {
    number: u64,
    granted: oneshot::Sender<()>,
}

impl FairShare {
    /// A share of that size, of which nothing is taken yet.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, state: Mutex::default() })
    }

    /// Admits a request, unless its caller, its tenant or all together have too many here.
    pub fn admit(self: &Arc<Self>, party: &Party) -> Result<Admitted, Failure> {
        let mut state = self.state.lock();
        let of = |count: Option<&usize>| count.copied().unwrap_or_default();
        // The node's own work is limited by itself, and has to be done.
        let has_room = party.home == Home::Node
            || state.admitted < self.bounds.all
                && of(state.admitted_of_tenant.get(&party.home)) < self.bounds.tenant
                && of(state.admitted_of_caller.get(party)) < self.bounds.caller;
        if !has_room {
            return Err(Failure::Overloaded);
        }
        state.admitted += 1;
        *state.admitted_of_tenant.entry(party.home.clone()).or_default() += 1;
        *state.admitted_of_caller.entry(party.clone()).or_default() += 1;
        Ok(Admitted { share: self.clone(), party: party.clone() })
    }

    /// How many requests are admitted, of all callers.
    pub fn admitted(&self) -> usize {
        self.state.lock().admitted
    }

    /// How many requests wait for their turn.
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting.0.iter().flat_map(|(_, of_tenant)| &of_tenant.0).map(|(_, queue)| queue.len()).sum()
    }

    fn may_take(&self, state: &ShareState, home: &Home) -> bool {
        state.turns < self.bounds.turns
            && state.turns_of_tenant.get(home).copied().unwrap_or_default() < self.bounds.turns_of_tenant
    }

    /// Gives free turns to waiting requests.
    fn pass_on(&self, state: &mut ShareState) {
        while state.turns < self.bounds.turns {
            let ShareState { waiting, turns_of_tenant, .. } = &mut *state;
            let full =
                |home: &Home| turns_of_tenant.get(home).is_some_and(|taken| *taken >= self.bounds.turns_of_tenant);
            let Some((home, waiter)) = waiting.next(|home| !full(home)) else { return };
            state.take(&home);
            // A request that is given up at this moment gives the turn back when it notices.
            let _ = waiter.granted.send(());
        }
    }

    fn give_back(&self, home: &Home) {
        let mut state = self.state.lock();
        state.turns -= 1;
        count_down(&mut state.turns_of_tenant, home);
        self.pass_on(&mut state);
    }
}

impl ShareState {
    fn take(&mut self, home: &Home) {
        self.turns += 1;
        *self.turns_of_tenant.entry(home.clone()).or_default() += 1;
    }
}

fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A request that was admitted.
pub struct Admitted {
    share: Arc<FairShare>,
    party: Party,
}

impl Admitted {
    /// Waits for a turn.
    pub async fn turn(&self) -> Turn {
        let waiting = {
            let mut state = self.share.state.lock();
            // If a turn is free, no waiting request may take it.
            if self.share.may_take(&state, &self.party.home) {
                state.take(&self.party.home);
                return Turn { share: self.share.clone(), home: self.party.home.clone() };
            }
            let (granted, notice) = oneshot::channel();
            state.last_waiter += 1;
            let number = state.last_waiter;
            let Party { home, who } = &self.party;
            state.waiting.of(home).of(who).push_back(Waiter { number, granted });
            TurnWait { admitted: self, number, notice, is_over: false }
        };
        waiting.granted().await
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.share.state.lock();
        state.admitted -= 1;
        count_down(&mut state.admitted_of_tenant, &self.party.home);
        count_down(&mut state.admitted_of_caller, &self.party);
    }
}

struct TurnWait<'a> {
    admitted: &'a Admitted,
    number: u64,
    notice: oneshot::Receiver<()>,
    is_over: bool,
}

impl TurnWait<'_> {
    async fn granted(mut self) -> Turn {
        // The sender stays in the queue until it is used, and the queue as long as this request.
        let _ = (&mut self.notice).await;
        self.is_over = true;
        Turn { share: self.admitted.share.clone(), home: self.admitted.party.home.clone() }
    }
}

impl Drop for TurnWait<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Admitted { share, party } = self.admitted;
        let is_queued = share.state.lock().waiting.remove(party, self.number);
        if !is_queued {
            share.give_back(&party.home);
        }
    }
}

/// A turn: it is taken for as long as this exists.
pub struct Turn {
    share: Arc<FairShare>,
    home: Home,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.share.give_back(&self.home);
    }
}

/// Keys that take turns, each with its value.
struct Ring<K, V>(VecDeque<(K, V)>);

impl<K, V> Default for Ring<K, V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K: Clone + PartialEq, V: Default> Ring<K, V> {
    fn of(&mut self, key: &K) -> &mut V {
        let at = self.0.iter().position(|(own, _)| own == key).unwrap_or_else(|| {
            self.0.push_back((key.clone(), V::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

impl Ring<Requester, VecDeque<Waiter>> {
    fn next(&mut self) -> Option<Waiter> {
        let (who, mut queue) = self.0.pop_front()?;
        let waiter = queue.pop_front();
        if !queue.is_empty() {
            self.0.push_back((who, queue));
        }
        waiter
    }
}

impl Ring<Home, Ring<Requester, VecDeque<Waiter>>> {
    fn next(&mut self, may: impl Fn(&Home) -> bool) -> Option<(Home, Waiter)> {
        let at = self.0.iter().position(|(home, _)| may(home))?;
        let (home, mut callers) = self.0.remove(at)?;
        let waiter = callers.next();
        if !callers.0.is_empty() {
            self.0.push_back((home.clone(), callers));
        }
        Some((home, waiter?))
    }

    /// Takes one out; returns whether it was there.
    fn remove(&mut self, party: &Party, number: u64) -> bool {
        let Some((_, callers)) = self.0.iter_mut().find(|(home, _)| *home == party.home) else { return false };
        let Some((_, queue)) = callers.0.iter_mut().find(|(who, _)| *who == party.who) else { return false };
        let before = queue.len();
        queue.retain(|waiter| waiter.number != number);
        let was_there = queue.len() < before;
        callers.0.retain(|(_, queue)| !queue.is_empty());
        self.0.retain(|(_, callers)| !callers.0.is_empty());
        was_there
    }
}

#[cfg(test)]
mod tests;
