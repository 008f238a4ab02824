//! Erasure of a subject: its records stay, but the personal data in them can't be opened any more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::machine::{Filed, Outcome};
use super::sealing::{NOBODY, Sealer};
use super::shares::{Admitted, Bounds, FairShare, Party, Turn};
use super::{Call, CallerIdentity, Error, Failure, LogQuestionError, Service};
use crate::domain::{
    Caller, Command, CredentialKey, CredentialView as _, EraseSubject, Erasure, Grants, IssueRejection, Kind, Kinds,
    Origin, Position, Reason, RecordId, Rejection, Request, Scope, Subject, Tenant, Timestamp,
};
use crate::index::{About, Sought};
use crate::keys::KeyError;
use crate::projection::Projection;

/// Credentials that are read at a time.
const PAGE_CREDENTIALS: usize = 1_000;

/// Erasures that one caller, one tenant, and all together may have running or queued; a caller that asks for more is
/// told to come again.
const ERASURES: [usize; 3] = [64, 128, 1_024];

pub(super) fn one_at_a_time() -> Arc<FairShare> {
    let [caller, tenant, all] = ERASURES;
    FairShare::new(Bounds { turns: 1, turns_of_tenant: 1, caller, tenant, all })
}

/// An erased subject.
#[derive(Clone, Debug)]
pub struct SubjectForgotten {
    /// When it was first erased.
    pub erased_at: Timestamp,
    /// The record that erased it first: its position in this node's log.
    pub position: Position,
    /// How many keys were destroyed, by this call and by earlier ones.
    pub keys_destroyed: usize,
    /// Whether it had been erased before this call, or before the call that this one repeats.
    pub already: bool,
}

/// The subject to erase, and the caller.
struct Order {
    call: Call,
    tenant: Tenant,
    subject: Subject,
    reason: Option<Reason>,
}

impl Service {
    /// Erases a subject: revokes everything that it has permanently, and destroys every key that sealed something of
    /// it. Needs `admin` in the tenant. If the subject was erased before, the keys are destroyed again.
    ///
    /// One subject is erased at a time, tenant by tenant. An erasure that has begun runs to its end, even if its caller
    /// no longer waits.
    pub async fn erase_subject(
        self: &Arc<Self>,
        call: &Call,
        tenant: Tenant,
        subject: Subject,
        reason: Option<Reason>,
    ) -> Result<SubjectForgotten, Error> {
        if !call.identity.may(Scope::Admin, &tenant) {
            return Err(Rejection::Forbidden.into());
        }
        let order = Order { call: call.clone(), tenant, subject, reason };
        // A caller that hangs up before its turn leaves nothing behind.
        let alone = self.alone(&Party::of(&call.identity)).await?;
        let service = self.clone();
        // A task that panicked or was cancelled at shutdown has no answer.
        tokio::spawn(async move { service.forget(order, alone).await }).await.map_err(Failure::of_task)?
    }

    /// Erases a subject that another node has erased: this node's keys are in no other store, and it puts them on
    /// record itself.
    pub(super) async fn forget_too(&self, tenant: Tenant, subject: Subject) -> Result<(), Error> {
        let identity =
            CallerIdentity { caller: Caller::Node, grants: Arc::new(Grants::everything()), registration: None };
        let call = Call { identity, request: None, idempotency: None, consistency: None };
        let alone = self.alone(&Party::NODE).await?;
        self.forget(Order { call, tenant, subject, reason: None }, alone).await.map(drop)
    }

    /// A repeated issue does not show or sign anything once its subject was erased.
    pub(super) fn refuse_erased(&self, filed: &Filed, subject: &Subject) -> Result<(), Error<IssueRejection>> {
        let tenant = filed.recorded.tenant.clone().unwrap_or_default();
        match self.projection.subject(&tenant, subject).erasure {
            Some(_) => Err(Error::Refused(IssueRejection::SubjectErased)),
            None => Ok(()),
        }
    }

    async fn alone(&self, party: &Party) -> Result<(Turn, Admitted), Error> {
        let admitted = self.turns.erasing.admit(party)?;
        Ok((admitted.turn().await, admitted))
    }

    async fn forget(&self, order: Order, alone: (Turn, Admitted)) -> Result<SubjectForgotten, Error> {
        let (read_to, slots) = self.slots_of(&order, Position(0)).await?;
        let outcome = self.put_on_record(&order, &slots).await?;
        // Data that was sealed while the log was read went on record before the erasure; after it, none does.
        let (_, late) = self.slots_of(&order, read_to).await?;
        let slots: BTreeSet<u64> = slots.into_iter().chain(late).collect();
        if !slots.is_subset(&self.erasure_of(&order)?.slots_of(self.sealer.origins()))
            && let Err(error) = self.submit(order.request(&slots, None)).await
        {
            // The keys on record are destroyed all the same.
            self.destroy(&*self.erasure_of(&order)?, BTreeSet::new()).await?;
            return Err(error.widened());
        }
        let erasure = self.erasure_of(&order)?;
        let keys_destroyed = self.destroy(&erasure, slots).await?;
        self.destroy_copies(&order).await?;
        drop(alone);
        if let Some(consistency) = order.call.consistency {
            self.wait(&outcome, consistency).await?;
        }
        let first = self.filed(erasure.place, 1).await?.into_iter().next();
        let first = first.ok_or_else(|| Failure::internal(order.call.request.as_ref(), "an erasure has no record"))?;
        let already = !order.is_first(&outcome, erasure.place);
        Ok(SubjectForgotten { erased_at: erasure.erased_at, position: first.position, keys_destroyed, already })
    }

    /// The erasure on record by now.
    fn erasure_of(&self, order: &Order) -> Result<Box<Erasure>, Error> {
        self.projection.subject(&order.tenant, &order.subject).erasure.ok_or_else(|| {
            Failure::internal(order.call.request.as_ref(), "an erasure on record is not in memory").into()
        })
    }

    /// A subject's revocations come one after the other.
    async fn put_on_record(&self, order: &Order, slots: &BTreeSet<u64>) -> Result<Outcome, Error> {
        let _alone = self.turns.revoking_subjects.lock(&order.tenant, &order.subject).await;
        self.submit(order.request(slots, order.call.idempotency)).await.map_err(Error::widened)
    }

    /// Destroys the keys that are on record, and these; returns how many. Data that was opened with them leaves memory.
    async fn destroy(&self, erasure: &Erasure, mut slots: BTreeSet<u64>) -> Result<usize, Error> {
        slots.extend(erasure.slots_of(self.sealer.origins()));
        let count = slots.len();
        let (sealer, elsewhere) = (self.sealer.clone(), erasure.slots.clone());
        let destroyed = tokio::task::spawn_blocking(move || {
            sealer.destroy(&slots)?;
            sealer.destroy_borrowed(&elsewhere)
        });
        let destroyed = destroyed.await;
        destroyed.map_err(Failure::of_task)?.map_err(Failure::key)?;
        self.facts.empty();
        Ok(count)
    }

    /// Destroys this node's copies of the keys under which other nodes sealed something of the subject. The other nodes
    /// put their keys on record themselves.
    async fn destroy_copies(&self, order: &Order) -> Result<(), Error> {
        let own = self.sealer.origins();
        let (_, mut slots) = self.sealed_of(order, Position(0)).await?;
        slots.retain(|origin, _| !own.contains(origin));
        if slots.is_empty() {
            return Ok(());
        }
        let sealer = self.sealer.clone();
        let destroyed = tokio::task::spawn_blocking(move || sealer.destroy_borrowed(&slots)).await;
        Ok(destroyed.map_err(Failure::of_task)?.map_err(Failure::key)?)
    }

    /// Every slot of this node's store whose key sealed something of that subject, in the records after that position;
    /// and the end of the log.
    async fn slots_of(&self, order: &Order, after: Position) -> Result<(Position, BTreeSet<u64>), Error> {
        let (until, slots) = self.sealed_of(order, after).await?;
        let own = slots.into_iter().filter(|(origin, _)| self.sealer.origins().contains(origin));
        Ok((until, own.flat_map(|(_, slots)| slots).collect()))
    }

    /// The same for every origin's store.
    async fn sealed_of(
        &self,
        order: &Order,
        after: Position,
    ) -> Result<(Position, BTreeMap<Origin, BTreeSet<u64>>), Error> {
        let sought = [Sought::from(About::Subject(Some(order.tenant.clone()), order.subject.clone()))];
        // The turn was shared out among callers already.
        let found = self.ask(&Party::NODE, move |_, finder| {
            let (until, mut slots) = (finder.head(), BTreeMap::<Origin, BTreeSet<u64>>::new());
            // The reading is never interrupted.
            let _ = finder.find(&sought, after, until, &mut |_, _| (), &mut |stored, recorded| {
                let slot = recorded.event.sealed().map(|(_, sealed)| sealed.slot).filter(|slot| *slot != NOBODY);
                slot.map(|slot| slots.entry(stored.place.origin).or_default().insert(slot));
                ControlFlow::Continue(())
            })?;
            Ok((until, slots))
        });
        found.await.map_err(|error| match error {
            LogQuestionError::Failed(error) => error,
            // Neither a point nor a number of credentials was requested.
            LogQuestionError::Beyond { .. } | LogQuestionError::TooMany => {
                Failure::internal(None, "a search of the whole log was refused as too long").into()
            }
        })
    }
}

impl Order {
    fn request(&self, slots: &BTreeSet<u64>, idempotency: Option<crate::domain::Idempotency>) -> Request {
        let (tenant, subject) = (self.tenant.clone(), self.subject.clone());
        let erase = EraseSubject { tenant, subject, slots: slots.clone(), reason: self.reason.clone() };
        Request {
            caller: self.call.identity.caller.clone(),
            request: self.call.request.clone(),
            idempotency,
            command: Command::EraseSubject(erase),
        }
    }

    /// Whether the first record of the erasure belongs to this call, or to the one that it repeats.
    fn is_first(&self, outcome: &Outcome, first: RecordId) -> bool {
        match outcome {
            Outcome::Appended(filed) => filed.iter().any(|filed| filed.recorded.place == first),
            Outcome::Repeated(place, _) => *place == first,
            Outcome::Already(_) | Outcome::Nothing => false,
        }
    }
}

/// Destroys the keys that are on record as destroyed, at every start: the process may have ended in between, or an
/// older copy of the keys may have been put back. That includes keys of credentials in memory that were issued while
/// the erasure was being made.
pub(super) fn erase_again(sealer: &Sealer, projection: &Projection) -> Result<(), KeyError> {
    let mut slots = BTreeSet::new();
    for (tenant, subject, erasure) in projection.erased() {
        sealer.destroy_borrowed(&erasure.slots)?;
        slots.extend(erasure.slots_of(sealer.origins()));
        slots.extend(slots_in_memory(sealer, projection, &tenant, &subject));
    }
    let destroyed = sealer.destroy_rest(&slots)?;
    if destroyed > 0 {
        tracing::warn!(keys = destroyed, "keys of erased subjects were there, and have been destroyed again");
    }
    Ok(())
}

fn slots_in_memory(sealer: &Sealer, projection: &Projection, tenant: &Tenant, subject: &Subject) -> BTreeSet<u64> {
    let kinds = Kinds::from_iter([Kind::Session, Kind::Token]);
    let (mut slots, mut after) = (BTreeSet::new(), None);
    loop {
        let page = projection.credentials_of(tenant, subject, kinds, after, PAGE_CREDENTIALS);
        let slot = |key: &CredentialKey| {
            let issue = projection.credential(*key).issue?;
            issue.slot.filter(|_| sealer.origins().contains(&issue.place.origin))
        };
        slots.extend(page.iter().filter_map(slot));
        after = page.last().copied();
        if page.len() < PAGE_CREDENTIALS {
            return slots;
        }
    }
}
