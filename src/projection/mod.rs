//! The fold kept in memory, behind shards that readers share without stopping the writer.
//!
//! Only durable records are folded in, so whatever is read here is true. Everything in it can be thrown away and folded again.

mod lasting;
mod rebuild;
mod snapshot;
mod subjects;
mod tickets;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use parking_lot::{Mutex, RwLock};

use crate::domain::{
    Answered, Application, ApplicationId, CredentialId, CredentialKey, Dead, Digest, Ending, Erasure, IssuedAs, Issuer,
    KeyId, Kind, Kinds, Lasting, LedgerOpened, Named, Origin, Patch, Place, Recorded, Row, SigningKeyState, Stranger,
    Subject, SubjectState, Tenant, Ticket, TicketIssue, Timestamp, View, evolve, forget_use_at, judge_ticket,
    worth_recording,
};
use crate::event_log::Base;
use lasting::Lastings;
use subjects::Subjects;
use tickets::Tickets;

pub use rebuild::{Rebuilt, Source, catch_up, load_on, rebuild};
pub use snapshot::{SnapshotError, check, load, save};

/// How long a round of the sweep is planned to take: about so long does anything stay beyond its time.
const SWEEP_MILLIS: u64 = 60_000;
/// Slots that one step of the sweep looks at while it holds a shard.
const SWEEP_SLOTS: usize = 4_096;
const SMALL_SHARDS: usize = 16;
/// Tenants, and issuers, whose name is kept to be shared; whoever has more gains little by it.
const MAX_SHARED: usize = 65_536;

/// The state of the ledger, as far as the log is durable.
#[derive(Default)]
pub struct Projection {
    base: RwLock<Base>,
    origins: RwLock<BTreeMap<Place, LedgerOpened>>,
    applications: RwLock<Applications>,
    /// Every tenant that was seen, so that what belongs to one shares its name; and every issuer of tokens.
    tenants: RwLock<HashSet<Tenant>>,
    issuers: RwLock<HashSet<Issuer>>,
    tickets: Tickets,
    places: Places,
    early_uses: Mutex<HashMap<Place, Timestamp>>,
    lastings: Lastings,
    subjects: Subjects,
    keys: RwLock<BTreeMap<KeyId, SigningKeyState>>,
    slots: Mutex<BTreeMap<Origin, u64>>,
    imported: AtomicBool,
    answered: Keyed,
    unknown_endings: Mutex<HashMap<Stranger, u64>>,
    /// Tickets whose latest use is to be put on record.
    uses: Mutex<Vec<CredentialId>>,
    sweep: Mutex<Sweep>,
}

#[derive(Default)]
struct Applications {
    by_id: BTreeMap<ApplicationId, Application>,
    by_digest: HashMap<Digest, BTreeSet<ApplicationId>>,
}

/// Where tickets were issued, for renewals, which name them so.
#[derive(Default)]
struct Places([RwLock<HashMap<Place, CredentialId>>; SMALL_SHARDS]);

impl Places {
    fn shard(&self, place: Place) -> &RwLock<HashMap<Place, CredentialId>> {
        // Neighbours go to different shards.
        &self.0[place.sequence.0 as usize % SMALL_SHARDS]
    }
}

/// Commands that came with an idempotency key.
#[derive(Default)]
struct Keyed {
    shards: [RwLock<HashMap<[u8; 16], Answered>>; SMALL_SHARDS],
    hasher: DefaultHashBuilder,
}

impl Keyed {
    fn shard(&self, key: &[u8; 16]) -> &RwLock<HashMap<[u8; 16], Answered>> {
        &self.shards[self.hasher.hash_one(key) as usize % SMALL_SHARDS]
    }
}

/// Where the sweep stands. Its steps are spread over a round.
#[derive(Default)]
struct Sweep {
    shard: usize,
    slot: usize,
    next_at: Timestamp,
}

/// How much is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Applications that have not been removed.
    pub applications: usize,
    /// Tickets: good, expired and ended ones that have not left memory.
    pub tickets: usize,
    /// Sessions, as tickets.
    pub sessions: usize,
    /// Tokens, as tickets; and endings of sessions and tokens that were never issued here.
    pub tokens: usize,
    /// Subjects with a credential or an ending in memory.
    pub subjects: usize,
    /// Commands that are recognised when they come again.
    pub idempotency_keys: usize,
}

impl Projection {
    /// Folds a durable record in.
    pub fn fold(&self, recorded: &Recorded) {
        evolve(recorded, |patch| self.join(patch));
    }

    /// Everything up to there has been folded in.
    pub fn reached(&self, base: Base) {
        *self.base.write() = base;
    }

    /// How far the log has been folded in.
    pub fn base(&self) -> Base {
        self.base.read().clone()
    }

    /// The application whose secret has that digest, if it may call at `now`.
    pub fn authenticate(&self, digest: &Digest, now: Timestamp) -> Option<Application> {
        let (_, application) = self.application_with(digest)?;
        application.callable(now).is_some().then_some(application)
    }

    /// Every application that has not been removed, in the order of registration.
    pub fn applications(&self) -> Vec<Application> {
        let mut present: Vec<Application> =
            self.applications.read().by_id.values().filter(|one| one.present().is_some()).cloned().collect();
        present.sort_by_key(|one| one.registered.as_ref().map(|(place, registration)| (*place, registration.id)));
        present
    }

    /// The issue of a ticket that is good at `now`, or why it is not. A use that is yet to go on record counts.
    pub fn judge(&self, id: CredentialId, now: Timestamp) -> Result<(Ticket, TicketIssue), Dead> {
        let (ticket, _, issue) = self.judge_in_use(id, now)?;
        Ok((ticket, issue))
    }

    /// Notes a request that a good ticket came with; the instant that is strictly later than that of the last one.
    ///
    /// Nothing is appended: a use goes on record with the next flush, if the last one on record is a tenth of a life old.
    pub fn touch(&self, id: CredentialId, now: Timestamp) -> Result<(TicketIssue, Timestamp), Dead> {
        let (mut ticket, recorded_use_at, issue) = self.judge_in_use(id, now)?;
        let seen_at = self.tickets.touch(id, now).ok_or(Dead::Unknown)?;
        ticket.last_use_at = recorded_use_at;
        if worth_recording(&ticket, now) {
            // Past the end that is on record only the use before it goes on record, the one that keeps the ticket alive.
            let counts = ticket.expires_at().is_some_and(|expires_at| now < expires_at);
            if self.tickets.queue(id, if counts { now } else { Timestamp::default() }) {
                self.uses.lock().push(id);
            }
        }
        Ok((issue, seen_at))
    }

    /// The ticket as its uses have it, its last use on record, and its issue, if it is good.
    fn judge_in_use(&self, id: CredentialId, now: Timestamp) -> Result<(Ticket, Timestamp, TicketIssue), Dead> {
        let (mut ticket, due_at) = self.tickets.get_with_use(id);
        let recorded_use_at = ticket.last_use_at;
        if worth_recording(&ticket, due_at) {
            ticket.last_use_at = due_at;
        }
        let issue = judge_ticket(self, &ticket, now)?;
        Ok((ticket, recorded_use_at, issue))
    }

    /// The latest request of a ticket that memory knows of.
    pub fn seen_at(&self, id: CredentialId) -> Timestamp {
        self.tickets.seen_at(id)
    }

    /// Takes the uses that are to be put on record.
    pub fn take_uses(&self) -> Vec<(CredentialId, Timestamp)> {
        let ids = std::mem::take(&mut *self.uses.lock());
        ids.into_iter().filter_map(|id| Some((id, self.tickets.dequeue(id)?))).collect()
    }

    /// The subject's credentials of these kinds beyond that one, by kind and in the order of their ids.
    pub fn credentials_of(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        kinds: Kinds,
        after: Option<CredentialKey>,
        limit: usize,
    ) -> Vec<CredentialKey> {
        self.subjects.credentials(tenant, subject, kinds, after, limit)
    }

    /// The subject that a UUID stands for where the subject is none itself. Known of subjects that have a session.
    pub fn subject_by_uuid(&self, uuid: uuid::Uuid) -> Option<(Tenant, Subject)> {
        self.subjects.by_uuid(uuid)
    }

    /// The tenant's sessions, good or not, that were issued before that one: the newest first.
    pub fn sessions_before(
        &self,
        tenant: &Tenant,
        before: Option<(Timestamp, CredentialId)>,
        limit: usize,
    ) -> Vec<(Timestamp, CredentialId)> {
        self.lastings.sessions_before(tenant, before, limit)
    }

    /// The last slot of its sealing keys that the origin has used.
    pub fn last_slot(&self, origin: Origin) -> Option<u64> {
        self.slots.lock().get(&origin).copied()
    }

    /// Every subject that was forgotten, and which of its keys were destroyed.
    pub fn erased(&self) -> Vec<(Tenant, Subject, Erasure)> {
        let mut erased = Vec::new();
        for shard in 0..subjects::SHARDS {
            self.subjects.visit(shard, |tenant, subject, state| {
                let erasure = state.erasure.as_deref().cloned();
                erased.extend(erasure.map(|erasure| (tenant.clone(), subject.clone(), erasure)));
            });
        }
        erased
    }

    /// How many parts [`Projection::endings`] has.
    pub const ENDING_PARTS: usize = tickets::SHARDS + lasting::SHARDS + subjects::SHARDS;

    /// The endings of one part of the state that are in force at `now`.
    pub fn endings(&self, part: usize, now: Timestamp) -> Vec<InForce> {
        let mut endings = Vec::new();
        if part < tickets::SHARDS {
            self.tickets.visit_ended(part, |id, ticket| {
                let in_force = ticket.endings.iter().filter(|ending| now < ending.retain_until);
                endings.extend(in_force.map(|ending| InForce::Ticket(id, ticket.issue.clone(), ending.clone())));
            });
        } else if part < tickets::SHARDS + lasting::SHARDS {
            self.lastings.visit(part - tickets::SHARDS, |key, lasting| {
                let in_force = lasting.endings.iter().filter(|ending| now < ending.retain_until);
                endings.extend(in_force.map(|ending| InForce::Lasting(key, lasting.clone(), ending.clone())));
            });
            // Only now: their shard must not be held while others are looked into.
            endings.iter_mut().for_each(|ending| self.name_by_id(ending));
        } else {
            self.subjects.visit(part - tickets::SHARDS - lasting::SHARDS, |tenant, subject, state| {
                let mut state = state.clone();
                state.prune(now);
                if !state.is_empty() {
                    endings.push(InForce::Subject(tenant.clone(), subject.clone(), state));
                }
            });
        }
        endings
    }

    /// A session that was ended by its token alone is named by its id as well once that is known.
    fn name_by_id(&self, ending: &mut InForce) {
        let InForce::Lasting(key, lasting, _) = ending else { return };
        if let (Kind::Session, None, Some(Named::Digest(digest))) =
            (key.kind, &lasting.issue, lasting.ended_as.as_deref())
            && let Some(id) = self.lastings.session_with(digest)
        {
            *key = CredentialKey { kind: Kind::Session, id };
            *lasting = self.lastings.get(*key);
        }
    }

    /// How much is in memory.
    pub fn counts(&self) -> Counts {
        let applications = self.applications.read();
        Counts {
            applications: applications.by_id.values().filter(|one| one.present().is_some()).count(),
            tickets: self.tickets.len(),
            sessions: self.lastings.len().0,
            tokens: self.lastings.len().1,
            subjects: self.subjects.len(),
            idempotency_keys: self.answered.shards.iter().map(|shard| shard.read().len()).sum(),
        }
    }

    /// Forgets a little of what is over, if it is time for that. Called often by the writer.
    pub fn sweep(&self, now: Timestamp) {
        let mut sweep = self.sweep.lock();
        // A longer wait than a round is that of a clock which was ahead.
        if (1..=SWEEP_MILLIS).contains(&sweep.next_at.millis_since(now)) {
            return;
        }
        let steps = (self.tickets.slots() / SWEEP_SLOTS + tickets::SHARDS) as u64;
        sweep.next_at = now.plus_millis((SWEEP_MILLIS / steps).max(1));
        match self.sweep_tickets(sweep.shard, sweep.slot, now) {
            Some(rest) => sweep.slot = rest,
            None => {
                const LASTINGS: usize = lasting::SHARDS / tickets::SHARDS;
                (0..LASTINGS).for_each(|part| self.sweep_lastings(sweep.shard * LASTINGS + part, now));
                self.subjects.sweep(sweep.shard % subjects::SHARDS, now);
                self.sweep_small(sweep.shard % SMALL_SHARDS, now);
                sweep.slot = 0;
                sweep.shard = (sweep.shard + 1) % tickets::SHARDS;
            }
        }
    }

    /// Forgets all that is over at `now`.
    pub fn prune(&self, now: Timestamp) {
        for shard in 0..tickets::SHARDS {
            let mut from = Some(0);
            while let Some(slot) = from {
                from = self.sweep_tickets(shard, slot, now);
            }
        }
        (0..lasting::SHARDS).for_each(|shard| self.sweep_lastings(shard, now));
        (0..subjects::SHARDS).for_each(|shard| self.subjects.sweep(shard, now));
        (0..SMALL_SHARDS).for_each(|shard| self.sweep_small(shard, now));
    }

    /// Every entity as a row, sorted.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.origins.read().iter().map(|(place, opened)| Row::origin(*place, opened)).collect();
        rows.extend(self.applications.read().by_id.iter().map(|(id, application)| Row::application(*id, application)));
        for shard in 0..tickets::SHARDS {
            self.tickets.visit(shard, |id, ticket| rows.push(Row::ticket(id, &ticket)));
        }
        rows.extend(self.early_uses.lock().iter().map(|(place, at)| Row::early_use(*place, *at)));
        for shard in 0..subjects::SHARDS {
            self.subjects.visit(shard, |tenant, subject, state| rows.push(Row::subject(tenant, subject, state)));
        }
        for shard in 0..lasting::SHARDS {
            self.lastings.visit(shard, |key, lasting| rows.push(Row::lasting(key, lasting)));
        }
        rows.extend(self.keys.read().iter().map(|(id, key)| Row::key(id, key)));
        rows.extend(self.slots.lock().iter().map(|(origin, slot)| Row::slot(*origin, *slot)));
        rows.extend(self.imported().then(Row::imported));
        for shard in &self.answered.shards {
            rows.extend(shard.read().values().map(Row::answered));
        }
        rows.sort_unstable();
        rows
    }

    fn join(&self, patch: Patch) {
        match patch {
            Patch::Origin(place, opened) => {
                self.origins.write().entry(place).or_insert(opened);
            }
            Patch::Application(id, application) => {
                let mut applications = self.applications.write();
                if let Some((_, registration)) = &application.registered {
                    applications.by_digest.entry(registration.digest).or_default().insert(id);
                }
                applications.by_id.entry(id).or_default().merge(application);
            }
            Patch::Ticket(id, ticket) => self.join_ticket(id, ticket),
            Patch::TicketUsed(place, used_at) => self.join_use(place, used_at),
            Patch::Lasting(key, lasting) => self.join_lasting(key, lasting),
            Patch::Key(id, key) => self.keys.write().entry(id).or_default().merge(key),
            Patch::Slot(origin, slot) => {
                let mut slots = self.slots.lock();
                let last = slots.entry(origin).or_default();
                *last = slot.max(*last);
            }
            Patch::Imported => self.imported.store(true, Ordering::Release),
            Patch::Subject(tenant, subject, state) => self.subjects.join(tenant, subject, state),
            Patch::Answered(answered) => {
                let key = answered.digests.key;
                let mut shard = self.answered.shard(&key).write();
                shard.entry(key).and_modify(|mine| mine.merge(answered)).or_insert(answered);
            }
        }
    }

    fn join_ticket(&self, id: CredentialId, mut patch: Ticket) {
        if let Some(issue) = &mut patch.issue {
            issue.tenant = shared(&self.tenants, &issue.tenant);
        }
        let tickets::Changed { lost, gained, strangers: [before, after] } = self.tickets.join(id, patch);
        self.count_unknown(before, after);
        let key = CredentialKey { kind: Kind::Ticket, id };
        // The earlier of two issues of one secret wins; only a broken issuer makes a second.
        if let Some(lost) = lost {
            self.places.shard(lost.place).write().remove(&lost.place);
            self.subjects.remove(lost.tenant, lost.subject, key);
        }
        if let Some(issued) = gained {
            self.places.shard(issued.place).write().insert(issued.place, id);
            self.subjects.add(issued.tenant, issued.subject, key);
            let early = self.early_uses.lock().remove(&issued.place);
            if let Some(used_at) = early {
                self.join_use(issued.place, used_at);
            }
        }
    }

    fn join_lasting(&self, key: CredentialKey, mut patch: Lasting) {
        if let Some(issue) = &mut patch.issue {
            issue.tenant = shared(&self.tenants, &issue.tenant);
            if let IssuedAs::Jwt(name) = &mut issue.name
                && let Named::Jwt { issuer, .. } = &mut **name
            {
                *issuer = shared(&self.issuers, issuer);
            }
        }
        let lasting::Changed { lost, gained, strangers: [before, after] } = self.lastings.join(key, patch);
        self.count_unknown(before, after);
        if let Some(lost) = lost {
            self.subjects.remove(lost.tenant, lost.subject, key);
        }
        if let Some(gained) = gained {
            self.subjects.add(gained.tenant, gained.subject, key);
        }
    }

    fn join_use(&self, place: Place, used_at: Timestamp) {
        let id = self.places.shard(place).read().get(&place).copied();
        if !id.is_some_and(|id| self.tickets.used(id, place, used_at)) {
            let mut early_uses = self.early_uses.lock();
            let early = early_uses.entry(place).or_default();
            *early = used_at.max(*early);
        }
    }

    fn count_unknown(&self, before: Vec<Stranger>, after: Vec<Stranger>) {
        if before == after {
            return;
        }
        let mut counts = self.unknown_endings.lock();
        for stranger in after {
            *counts.entry(stranger).or_default() += 1;
        }
        for stranger in before {
            if let Some(count) = counts.get_mut(&stranger) {
                *count -= 1;
            }
        }
        counts.retain(|_, count| *count > 0);
    }

    fn sweep_tickets(&self, shard: usize, from: usize, now: Timestamp) -> Option<usize> {
        let (over, rest) = self.tickets.sweep(shard, from, SWEEP_SLOTS, now);
        for (id, ticket) in over {
            self.count_unknown(ticket.endings.strangers(), Vec::new());
            if let Some(issue) = ticket.issue {
                self.places.shard(issue.place).write().remove(&issue.place);
                self.subjects.remove(issue.tenant, issue.subject, CredentialKey { kind: Kind::Ticket, id });
            }
        }
        rest
    }

    fn sweep_lastings(&self, shard: usize, now: Timestamp) {
        for (key, lasting) in self.lastings.sweep(shard, now) {
            self.count_unknown(lasting.endings.strangers(), Vec::new());
            if let Some(issue) = lasting.issue {
                self.subjects.remove(issue.tenant, issue.subject, key);
            }
        }
    }

    fn sweep_small(&self, shard: usize, now: Timestamp) {
        self.answered.shards[shard].write().retain(|_, answered| now < answered.retain_until());
        let base = self.base.read();
        let awaited = |place: &Place| base.heads.get(&place.origin).is_none_or(|head| head.sequence < place.sequence);
        self.early_uses.lock().retain(|place, used_at| awaited(place) && now < forget_use_at(*used_at));
    }
}

/// The name, with the text that all that have it share.
fn shared<T: Clone + Eq + Hash>(names: &RwLock<HashSet<T>>, name: &T) -> T {
    if let Some(shared) = names.read().get(name) {
        return shared.clone();
    }
    let mut names = names.write();
    if names.len() >= MAX_SHARED {
        return name.clone();
    }
    names.get_or_insert_with(name, T::clone).clone()
}

/// An ending in force, with what is known of what it ended.
#[derive(Clone, Debug)]
pub enum InForce {
    /// A ticket's own ending.
    Ticket(CredentialId, Option<TicketIssue>, Ending),
    /// A session's or token's own ending.
    Lasting(CredentialKey, Lasting, Ending),
    /// The end of all that a subject had, by kind.
    Subject(Tenant, Subject, SubjectState),
}

impl View for Projection {
    fn origins(&self) -> BTreeMap<Place, LedgerOpened> {
        self.origins.read().clone()
    }

    fn application(&self, id: ApplicationId) -> Application {
        self.applications.read().by_id.get(&id).cloned().unwrap_or_default()
    }

    fn applications_by_digest(&self, digest: &Digest) -> Vec<ApplicationId> {
        self.applications.read().by_digest.get(digest).into_iter().flatten().copied().collect()
    }

    fn ticket(&self, id: CredentialId) -> Ticket {
        self.tickets.get(id)
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        self.subjects.state(tenant, subject)
    }

    fn answered(&self, key: &[u8; 16]) -> Option<Answered> {
        self.answered.shard(key).read().get(key).copied()
    }

    fn lasting(&self, key: CredentialKey) -> Lasting {
        self.lastings.get(key)
    }

    fn session_with(&self, digest: &Digest) -> Option<CredentialId> {
        self.lastings.session_with(digest)
    }

    fn keys(&self) -> BTreeMap<KeyId, SigningKeyState> {
        self.keys.read().clone()
    }

    fn imported(&self) -> bool {
        self.imported.load(Ordering::Acquire)
    }

    fn unknown_endings(&self, stranger: &Stranger) -> u64 {
        self.unknown_endings.lock().get(stranger).copied().unwrap_or_default()
    }
}
