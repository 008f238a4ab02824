//! The ledger's part of the writer thread: it decides each command, folds the durable records, and notifies listeners.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, Failure};
use crate::clock::Clock;
use crate::cluster::Foreign;
use crate::domain::{
    AnyRejection, Context, Decision, Draft, Event, IdempotencyMark, LedgerOpened, Origin, Overlay, Policy, Position,
    RecordId, Recorded, Request, Sequence, State, Timestamp, UseCase, actor_of, decide,
};
use crate::event_log::{Base, Batch, ChainHash, ForeignError, Head, LogEntry, MAX_RECORD_BYTES, Machine, encode};
use crate::projection::Projection;

/// A durable record.
#[derive(Clone, Debug)]
pub struct Filed {
    /// Its place in this node's log.
    pub position: Position,
    /// The fact with its envelope.
    pub recorded: Recorded,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// These records were appended.
    Appended(Vec<Arc<Filed>>),
    /// It held already, since that record.
    Already(RecordId),
    /// It was carried out before, by that many records from there on.
    Repeated(RecordId, u64),
    /// There was nothing to do.
    Nothing,
}

/// The result of an issue.
pub enum Issued {
    /// This command appended it.
    Now(Arc<Filed>),
    /// An earlier command with the same idempotency key appended it, as that record.
    Before(RecordId),
}

impl Outcome {
    /// The result of a command that issues something: it appends, or it repeats. There is no third way.
    pub(super) fn issued(self, call: &Call) -> Result<Issued, Failure> {
        let issued = match self {
            Self::Appended(filed) => filed.into_iter().next().map(Issued::Now),
            Self::Repeated(first, _) => Some(Issued::Before(first)),
            Self::Already(_) | Self::Nothing => None,
        };
        issued.ok_or_else(|| Failure::internal(call.request.as_ref(), "an issue was neither appended nor repeated"))
    }
}

/// Called with every batch of durable records, in order, before any caller gets an answer; and with the time that the
/// commit took.
pub type Hook = Box<dyn FnMut(&[Committed], Duration) + Send>;

/// A durable record with the chain up to it.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The record.
    pub filed: Arc<Filed>,
    /// Its bytes.
    pub record: Box<str>,
    /// The origin's chain up to and with it.
    pub hash: ChainHash,
}

/// The machine of the ledger.
pub struct Ledger {
    projection: Arc<Projection>,
    base: Base,
    policy: Policy,
    clock: Clock,
    hooks: Vec<Hook>,
    pending: State,
    staged: Vec<Arc<Filed>>,
}

/// The earliest instant that it may be now, as far as the contents of memory allow. It decides what can still be
/// revoked: a credential that seems expired by a clock that is ahead is active again once the clock is corrected.
pub(super) fn earliest(now: Timestamp, wall: Timestamp, projection: &Projection) -> Timestamp {
    now.min(wall).max(projection.forgotten_at())
}

/// The times and limits by which a command is decided at `now`.
pub(super) fn context(
    now: Timestamp,
    clock: &Clock,
    projection: &Projection,
    origin: Origin,
    policy: Policy,
) -> Context {
    let wall = clock.wall();
    Context {
        now,
        latest: now.max(wall),
        earliest: earliest(now, wall, projection),
        is_settled: !clock.refuses_issues(),
        origin,
        policy,
    }
}

impl Ledger {
    /// A machine that continues where the projection stands.
    pub fn new(projection: Arc<Projection>, policy: Policy, clock: Clock, hooks: Vec<Hook>) -> Self {
        let base = projection.base();
        Self { projection, base, policy, clock, hooks, pending: State::default(), staged: Vec::new() }
    }

    /// Decides a command.
    pub(super) fn request<C: UseCase>(
        &mut self,
        request: &Request<C>,
        batch: &mut Batch,
    ) -> Result<Outcome, C::Rejection> {
        let view = Overlay { durable: &*self.projection, pending: &self.pending };
        let context = context(batch.now(), &self.clock, &self.projection, batch.origin(), self.policy);
        match decide(&view, request, context)? {
            Decision::Append(drafts) => Ok(self.append(request, drafts, batch)?),
            Decision::Already(place) => Ok(Outcome::Already(place)),
            Decision::Repeated(first, records) => Ok(Outcome::Repeated(first, records)),
            Decision::Nothing => Ok(Outcome::Nothing),
        }
    }

    /// Appends all of a command's records or none: they are encoded before the first is appended.
    fn append<C>(
        &mut self,
        request: &Request<C>,
        drafts: Vec<Draft>,
        batch: &mut Batch,
    ) -> Result<Outcome, AnyRejection> {
        let records = drafts.len() as u64;
        let mut mark = request.idempotency.map(|digests| IdempotencyMark { digests, records });
        let mut place = batch.next_place();
        let mut encoded = Vec::with_capacity(drafts.len());
        for Draft { tenant, event } in drafts {
            let recorded = Recorded {
                place,
                recorded_at: batch.now(),
                tenant,
                actor: actor_of(&request.caller, place.origin),
                request: request.request.clone(),
                idempotency: mark.take(),
                event,
            };
            let record = encode(&recorded);
            if record.len() > MAX_RECORD_BYTES {
                return Err(AnyRejection::RecordTooLarge);
            }
            encoded.push((recorded, record));
            place.sequence = place.sequence.next();
        }
        let filed = encoded.into_iter().map(|(recorded, record)| {
            let position = batch.append(record);
            self.stage(position, recorded)
        });
        Ok(Outcome::Appended(filed.collect()))
    }

    /// Opens this node's origin.
    pub(super) fn open(&mut self, opened: LedgerOpened, batch: &mut Batch) {
        let recorded = Recorded {
            place: batch.next_place(),
            recorded_at: batch.now(),
            tenant: None,
            actor: None,
            request: None,
            idempotency: None,
            event: Event::LedgerOpened(opened),
        };
        let position = batch.append(encode(&recorded));
        self.stage(position, recorded);
    }

    /// Appends records of another origin, exactly as they came, each if the chain with it is its hash. Up to the first that does not
    /// follow: what is there already is passed over. The last that is in the log then.
    pub(super) fn foreign(&mut self, records: Vec<Foreign>, batch: &mut Batch) -> Result<Sequence, ForeignError> {
        let mut held = Sequence::default();
        for Foreign { recorded, record, hash } in records {
            held = recorded.place.sequence;
            match batch.append_foreign(recorded.place, record.into(), hash) {
                Ok(position) => drop(self.stage(position, recorded)),
                Err(ForeignError::Duplicate) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    /// The next command of the batch sees it; no other caller does before it is durable.
    fn stage(&mut self, position: Position, recorded: Recorded) -> Arc<Filed> {
        self.pending.fold(&recorded);
        let filed = Arc::new(Filed { position, recorded });
        self.staged.push(filed.clone());
        filed
    }
}

impl Machine for Ledger {
    fn committed(&mut self, entries: Vec<LogEntry>, took: Duration) {
        self.clock.has_recorded();
        self.pending.clear();
        let staged = std::mem::take(&mut self.staged);
        let mut committed = Vec::with_capacity(entries.len());
        for (filed, entry) in staged.into_iter().zip(entries) {
            self.projection.fold(&filed.recorded);
            self.base.position = entry.position;
            self.base.heads.insert(entry.place.origin, Head { sequence: entry.place.sequence, hash: entry.hash });
            committed.push(Committed { filed, record: entry.record, hash: entry.hash });
        }
        self.projection.reached(self.base.clone());
        for hook in &mut self.hooks {
            hook(&committed, took);
        }
    }

    fn refused(&mut self) {
        self.pending.clear();
        self.staged.clear();
    }

    fn idle(&mut self) {
        self.clock.is_over();
        self.projection.sweep(self.clock.now(), self.clock.forgets_at());
    }
}
