//! The fold kept in memory, behind shards that readers share without stopping the writer.
//!
//! Only durable records are folded in, so whatever is read here is true. All of it can be thrown away and folded again.

mod forms;
mod handle;
mod index;
mod names;
mod numbers;
mod packed;
mod rebuild;
mod revoked;
mod sessions;
mod slab;
mod snapshot;
mod status_lists;
mod store;
mod subjects;
mod sweep;
mod tickets;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::domain::{
    Active, Answered, Application, ApplicationId, Cohort, CohortState, Cohorts, Credential, CredentialId,
    CredentialKey, CredentialRef, CredentialView, Digest, Erasure, HashMap, Hashing, Inactive, KeyId, Kind, Kinds,
    LedgerOpened, Members, NodeKey, Origin, Patch, RecordId, Recorded, Revocation, RevokedCohorts, Sequence,
    SigningKeyState, StateRow, StatusListClass, StatusListId, StatusListView, Subject, SubjectState, Tenant, Timestamp,
    UnknownRevoker, View, evolve, judge_known,
};
use crate::event_log::Base;
use forms::{IssuedRow, RowKind as _, TokenRow};
use handle::{Handle, Layout, SHARDS, SubjectHandle};
use packed::InternedValues;
use revoked::{RevocationsByTenant, tenants_of};
use sessions::Sessions;
use status_lists::StatusLists;
use store::{JoinChanges, SlotContent, Store};
use subjects::{Locate, Place};
use sweep::Sweep;
use tickets::Tickets;

pub use rebuild::{RebuildTimes, Rebuilt, StateSource, catch_up, load_on, rebuild};
pub use revoked::RevocationMark;
pub use snapshot::{SnapshotError, check, load, save};
pub use status_lists::{RevokedEntry, StatusCapture, StatusListShown};

const SMALL_SHARDS: usize = 16;

/// The state of the ledger, as far as the log is durable.
pub struct Projection {
    layout: Layout,
    base: RwLock<Base>,
    origins: RwLock<BTreeMap<RecordId, LedgerOpened>>,
    applications: RwLock<Applications>,
    /// Subjects, and other values that many credentials share.
    shared: InternedValues,
    tickets: Tickets,
    sessions: Sessions,
    tokens: Store<TokenRow>,
    lists: StatusLists,
    revoked: RevocationsByTenant,
    early_uses: Mutex<HashMap<RecordId, Timestamp>>,
    /// Cohorts that were revoked.
    cohorts: RwLock<Arc<RevokedCohorts>>,
    /// Whether any was: if not, no lock is taken for a judgement.
    any_cohort: AtomicBool,
    keys: RwLock<BTreeMap<KeyId, SigningKeyState>>,
    /// How often the published keys, or the key that signs, may have changed.
    key_changes: AtomicU64,
    slots: Mutex<BTreeMap<Origin, u64>>,
    imported: AtomicBool,
    members: RwLock<Arc<Members>>,
    /// Whether any node was ever joined by another: if not, no other node has to be able to read the records.
    any_joined: AtomicBool,
    /// Whether any member was removed: if not, every record of every origin counts, and none need be checked.
    any_removed: AtomicBool,
    answered: Keyed,
    unknown_revocations: Mutex<HashMap<UnknownRevoker, u64>>,
    /// Tickets whose latest use is to be recorded.
    uses: Mutex<Vec<CredentialId>>,
    sweep: Mutex<Sweep>,
    /// In milliseconds since 1970: see [`Projection::forgotten_at`].
    forgotten_at: AtomicU64,
    /// In milliseconds since 1970: see [`View::latest_end`].
    latest_end: AtomicU64,
    /// Held by every writer: the state that a join reads must be the same when it writes.
    writing: Mutex<()>,
}

impl Default for Projection {
    fn default() -> Self {
        Self::new(Layout::default())
    }
}

#[derive(Default)]
struct Applications {
    by_id: BTreeMap<ApplicationId, Application>,
    by_digest: HashMap<Digest, BTreeSet<ApplicationId>>,
}

/// Commands that came with an idempotency key.
#[derive(Default)]
struct Keyed {
    shards: [RwLock<HashMap<[u8; 16], Answered>>; SMALL_SHARDS],
    hasher: Hashing,
}

impl Keyed {
    fn shard(&self, key: &[u8; 16]) -> &RwLock<HashMap<[u8; 16], Answered>> {
        &self.shards[self.hasher.hash_one(key) as usize % SMALL_SHARDS]
    }
}

/// How much is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCounts {
    /// Applications that have not been removed.
    pub applications: usize,
    /// Tickets in memory, whether active, expired or revoked.
    pub tickets: usize,
    /// Sessions in memory, likewise.
    pub sessions: usize,
    /// Tokens in memory, likewise; and revocations of sessions and tokens that were never issued here.
    pub tokens: usize,
    /// Subjects with a credential or a revocation in memory.
    pub subjects: usize,
    /// Commands that are recognised if they are repeated.
    pub idempotency_keys: usize,
}

impl Projection {
    fn new(layout: Layout) -> Self {
        Self {
            layout,
            base: RwLock::default(),
            origins: RwLock::default(),
            applications: RwLock::default(),
            shared: InternedValues::new(layout),
            tickets: Tickets::new(layout),
            sessions: Sessions::new(layout),
            tokens: Store::new(layout),
            lists: StatusLists::default(),
            revoked: RevocationsByTenant::default(),
            early_uses: Mutex::default(),
            cohorts: RwLock::default(),
            any_cohort: AtomicBool::default(),
            keys: RwLock::default(),
            key_changes: AtomicU64::default(),
            slots: Mutex::default(),
            imported: AtomicBool::default(),
            members: RwLock::default(),
            any_joined: AtomicBool::default(),
            any_removed: AtomicBool::default(),
            answered: Keyed::default(),
            unknown_revocations: Mutex::default(),
            uses: Mutex::default(),
            sweep: Mutex::default(),
            forgotten_at: AtomicU64::default(),
            latest_end: AtomicU64::default(),
            writing: Mutex::default(),
        }
    }

    /// A state whose shards have that little room for credentials and for subjects: its behaviour when they are full
    /// shows with few, and not only with some 2^30.
    #[doc(hidden)]
    pub fn cramped(room: u32, subjects: u32) -> Self {
        let usual = Layout::default();
        Self::new(Layout { room: room.min(usual.room), subjects: subjects.min(usual.subjects), ..usual })
    }

    /// Folds a durable record in.
    pub fn fold(&self, recorded: &Recorded) {
        let _writing = self.writing.lock();
        evolve(recorded, |patch| {
            let idle = self.join(patch);
            idle.into_iter().for_each(|subject| self.shared.subjects.tidy(subject));
        });
        self.notice_revoked(recorded);
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

    /// The applications after that one, in the order of their ids; at most `limit`. Removed ones are included.
    pub fn applications_after(&self, after: Option<ApplicationId>, limit: usize) -> Vec<(ApplicationId, Application)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let applications = self.applications.read();
        let rest = applications.by_id.range((start, Bound::Unbounded));
        rest.take(limit).map(|(id, application)| (*id, application.clone())).collect()
    }

    /// A credential that is active at `now`, or why it is not. A use of a ticket that is yet to be recorded counts.
    pub fn check(&self, key: CredentialKey, now: Timestamp) -> Result<Active, Inactive> {
        let credential = match key.kind {
            Kind::Ticket => self.ticket_in_use(key.id).0,
            Kind::Session | Kind::Token => self.credential(key),
        };
        judge_known(self, key.kind, credential, now)
    }

    /// The ticket, session or opaque token that was issued with that secret, active or not. Copies nothing.
    pub fn issued_with(&self, digest: &Digest) -> Option<CredentialKey> {
        if self.tickets.is_issued(digest) {
            return Some(CredentialKey { kind: Kind::Ticket, id: digest.id() });
        }
        if let Some(id) = self.session_with(digest) {
            return Some(CredentialKey { kind: Kind::Session, id });
        }
        let is = |held: SlotContent<'_, TokenRow>| match held {
            SlotContent::Packed(row) => row.digest() == Some(*digest),
            SlotContent::Apart(_, token) => token.issue.as_ref().and_then(|issue| issue.digest()) == Some(digest),
        };
        let is_token = self.tokens.look(digest.id(), |_, held| is(held)).unwrap_or_default();
        is_token.then(|| CredentialKey { kind: Kind::Token, id: digest.id() })
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
        self.shared.subjects.credentials((tenant, subject), kinds, after, limit, self)
    }

    /// The subject's sessions, active or not, that were issued before that one, the newest first, without the first so
    /// many: at most `limit`; and the number of all that it has.
    pub fn sessions_of(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        before: Option<(Timestamp, CredentialId)>,
        skip: usize,
        limit: usize,
    ) -> (Vec<(Timestamp, CredentialId)>, usize) {
        self.shared.subjects.sessions((tenant, subject), before, skip, limit, self)
    }

    /// The subject that a UUID stands for if its own name is not a UUID. Known for subjects that have a session.
    pub fn subject_by_uuid(&self, uuid: uuid::Uuid) -> Option<(Tenant, Subject)> {
        self.shared.subjects.by_uuid(uuid)
    }

    /// The tenant's sessions, active or not, that were issued before that one: the newest first.
    pub fn sessions_before(
        &self,
        tenant: &Tenant,
        before: Option<(Timestamp, CredentialId)>,
        limit: usize,
    ) -> Vec<(Timestamp, CredentialId)> {
        self.sessions.before(tenant, before, limit)
    }

    /// A number that changes whenever the published keys, or the key that signs, may have changed. What is derived from
    /// them is made again only then.
    pub fn key_changes(&self) -> u64 {
        self.key_changes.load(Ordering::Acquire)
    }

    /// The last slot of its sealing keys that the origin has used.
    pub fn last_slot(&self, origin: Origin) -> Option<u64> {
        self.slots.lock().get(&origin).copied()
    }

    /// Every subject that was erased, and its destroyed keys.
    pub fn erased(&self) -> Vec<(Tenant, Subject, Erasure)> {
        let mut erased = Vec::new();
        for shard in 0..SHARDS {
            self.shared.subjects.visit(shard, |tenant, subject, state| {
                let erasure = state.erasure.as_deref().cloned();
                erased.extend(erasure.map(|erasure| (tenant.clone(), subject.clone(), erasure)));
            });
        }
        erased
    }

    /// A session that was revoked by its token alone is also named by its id once that is known, to callers that may
    /// know it.
    fn name_by_id(&self, in_force: &mut InForce) {
        let InForce::Credential(key, credential, revocation) = in_force else { return };
        if let (Kind::Session, None, Some(CredentialRef::Digest(digest))) =
            (key.kind, &credential.issue, revocation.named.as_deref())
            && let Some(id) = self.session_with(digest)
        {
            let found = CredentialKey { kind: Kind::Session, id };
            (*key, *credential) = (found, self.credential(found));
        }
    }

    /// How much is in memory.
    pub fn counts(&self) -> MemoryCounts {
        let applications = self.applications.read();
        let sessions = self.sessions.issued();
        MemoryCounts {
            applications: applications.by_id.values().filter(|one| one.present().is_some()).count(),
            tickets: self.tickets.store.len(),
            sessions,
            tokens: (self.sessions.store.len() + self.tokens.len()).saturating_sub(sessions),
            subjects: self.shared.subjects.len(),
            idempotency_keys: self.answered.shards.iter().map(|shard| shard.read().len()).sum(),
        }
    }

    /// Every entity as a row, sorted.
    pub fn rows(&self) -> Vec<StateRow> {
        let mut rows: Vec<StateRow> =
            self.origins.read().iter().map(|(place, opened)| StateRow::origin(*place, opened)).collect();
        rows.extend(
            self.applications.read().by_id.iter().map(|(id, application)| StateRow::application(*id, application)),
        );
        rows.extend(self.early_uses.lock().iter().map(|(place, at)| StateRow::early_use(*place, *at)));
        for shard in 0..SHARDS {
            let shared = &self.shared;
            self.tickets.store.visit(shard, shared, |key, ticket| rows.push(StateRow::credential(key, &ticket)));
            self.sessions.store.visit(shard, shared, |key, session| rows.push(StateRow::credential(key, &session)));
            self.tokens.visit(shard, shared, |key, token| rows.push(StateRow::credential(key, &token)));
            shared.subjects.visit(shard, |tenant, subject, state| rows.push(StateRow::subject(tenant, subject, state)));
        }
        rows.extend(self.cohorts.read().iter().map(|(cohort, state)| StateRow::cohort(&cohort, state)));
        rows.extend(self.keys.read().iter().map(|(id, key)| StateRow::key(id, key)));
        rows.extend(self.slots.lock().iter().map(|(origin, slot)| StateRow::slot(*origin, *slot)));
        self.lists.each(|id, list| rows.push(StateRow::status_list(id, list)));
        rows.extend(self.members.read().iter().map(|(key, member)| StateRow::node(key, member)));
        rows.extend(self.imported().then(StateRow::imported));
        for shard in &self.answered.shards {
            rows.extend(shard.read().values().map(StateRow::answered));
        }
        rows.sort_unstable();
        rows
    }

    /// Joins a piece of state that a snapshot holds.
    fn restore(&self, patch: Patch) {
        let _writing = self.writing.lock();
        // All of it was needed when it was joined first, so no subject is looked up in vain.
        let _ = self.join(patch);
    }

    /// Joins a piece of state; returns the subject whose entry may be empty now.
    fn join(&self, patch: Patch) -> Option<SubjectHandle> {
        match patch {
            Patch::Origin(place, opened) => {
                let key = NodeKey::from_bytes(opened.public_key);
                self.change_members(|members| members.opened(place.origin, key));
                self.origins.write().entry(place).or_insert(opened);
            }
            Patch::Application(id, application) => {
                let mut applications = self.applications.write();
                let digest = application.registered.as_ref().and_then(|(_, registration)| registration.digest);
                if let Some(digest) = digest {
                    applications.by_digest.entry(digest).or_default().insert(id);
                }
                applications.by_id.entry(id).or_default().merge(application);
            }
            Patch::Credential(key, credential) => return self.join_credential(key, credential),
            Patch::TicketUsed(place, used_at) => self.join_use(place, used_at),
            Patch::Cohort(cohort, state) => self.change_cohorts(|cohorts| cohorts.join(cohort, state)),
            Patch::Key(id, key) => {
                let mut keys = self.keys.write();
                let known = keys.entry(id).or_default();
                let before = known.standing();
                known.merge(key);
                if known.standing() != before {
                    self.key_changes.fetch_add(1, Ordering::Release);
                }
            }
            Patch::Node(key, member) => self.change_members(|members| members.join(key, member)),
            Patch::Slot(origin, slot) => {
                let mut slots = self.slots.lock();
                let last = slots.entry(origin).or_default();
                *last = slot.max(*last);
            }
            Patch::StatusList(id, state) => self.lists.join(id, *state),
            Patch::StatusIndex(key, status, expires_at) => {
                let handle = self.tokens.look(key.id, |handle, _| handle).flatten();
                self.lists.add(handle, key.id, status, expires_at);
            }
            Patch::Imported => self.imported.store(true, Ordering::Release),
            Patch::Subject(tenant, subject, state) => {
                let entry = self.shared.subjects.join(&tenant, &subject, state);
                self.revoked.add_subject(&tenant, entry);
            }
            Patch::Answered(answered) => {
                let key = answered.digests.key;
                let mut shard = self.answered.shard(&key).write();
                shard.entry(key).and_modify(|mine| mine.merge(answered)).or_insert(answered);
            }
        }
        None
    }

    fn change_cohorts(&self, change: impl FnOnce(&mut RevokedCohorts)) {
        let mut cohorts = self.cohorts.write();
        change(Arc::make_mut(&mut cohorts));
        self.any_cohort.store(!cohorts.is_empty(), Ordering::Release);
        self.revoked.set_cohorts(!cohorts.is_empty());
    }

    fn change_members(&self, change: impl FnOnce(&mut Members)) {
        let mut members = self.members.write();
        change(Arc::make_mut(&mut members));
        self.any_joined.store(members.iter().next().is_some(), Ordering::Release);
        self.any_removed.store(members.any_removed(), Ordering::Release);
    }

    fn join_credential(&self, key: CredentialKey, patch: Credential) -> Option<SubjectHandle> {
        let issue = patch.issue.as_ref();
        if let Some(issue) = issue {
            self.note_end(issue.not_after);
        }
        let subject = issue.and_then(|issue| self.shared.subjects.enter(&issue.tenant, &issue.subject));
        let revoked_in = tenants_of(&patch.revocations);
        let changed = match key.kind {
            Kind::Ticket => self.tickets.join(key.id, patch, subject, &self.shared),
            Kind::Session => self.sessions.store.join(key.id, patch, subject, &self.shared),
            Kind::Token => self.tokens.join(key.id, patch, subject, &self.shared),
        };
        self.revoked.add(&revoked_in, changed.handle);
        self.changed(key, &changed, subject)
    }

    /// Something can be active until then.
    fn note_end(&self, not_after: Timestamp) {
        self.latest_end.fetch_max(not_after.as_millis(), Ordering::AcqRel);
    }

    /// Keeps the indexes of a credential in step with it; returns the subject that was looked up in vain.
    fn changed(
        &self,
        key: CredentialKey,
        changed: &JoinChanges,
        subject: Option<SubjectHandle>,
    ) -> Option<SubjectHandle> {
        let [before, after] = &changed.unknown_revokers;
        self.count_unknown(before, after);
        let JoinChanges { handle, lost, gained, .. } = changed;
        let Some(handle) = handle else { return subject };
        // The earlier of two issues of one secret wins; only a broken issuer makes a second.
        lost.iter().for_each(|issued| self.forget(key, *handle, issued));
        gained.iter().for_each(|issued| self.remember(key, *handle, issued));
        // Last, because a subject is removed with its last credential.
        let whose = gained.as_ref().map(|issued| issued.subject);
        let left = lost.iter().map(|issued| issued.subject).filter(|subject| whose != Some(*subject));
        left.for_each(|subject| self.shared.subjects.remove(subject, *handle, key));
        subject.filter(|_| gained.is_none())
    }

    /// Adds the index entries of a credential that was issued.
    fn remember(&self, key: CredentialKey, handle: Handle, issued: &IssuedRow) {
        self.shared.subjects.add(issued.subject, handle, self);
        match key.kind {
            Kind::Ticket => self.remember_ticket(handle, issued.place),
            Kind::Session => self.sessions.remember(key.id, handle, issued, &self.shared),
            Kind::Token => {}
        }
    }

    fn remember_ticket(&self, handle: Handle, place: RecordId) {
        self.tickets.issued_at_place(place, handle);
        let early = self.early_uses.lock().remove(&place);
        if let Some(used_at) = early {
            self.join_use(place, used_at);
        }
    }

    /// Removes the index entries of a credential's issue, except from its subject's list.
    fn forget(&self, key: CredentialKey, handle: Handle, issued: &IssuedRow) {
        match key.kind {
            Kind::Ticket => self.tickets.forget_place(issued.place, handle),
            Kind::Session => {
                self.sessions.forget(key.id, handle, issued, &self.shared);
                self.shared.subjects.forget_session(issued.subject, (issued.issued_at, key.id));
            }
            Kind::Token => {}
        }
    }

    fn join_use(&self, place: RecordId, used_at: Timestamp) {
        // Locked before the look-up: a thread that adds that ticket meanwhile looks here when the ticket can be found.
        let mut early_uses = self.early_uses.lock();
        if !self.tickets.used(place, used_at, &self.shared) {
            let early = early_uses.entry(place).or_default();
            *early = used_at.max(*early);
        }
    }

    fn count_unknown(&self, before: &[UnknownRevoker], after: &[UnknownRevoker]) {
        if before == after {
            return;
        }
        let mut counts = self.unknown_revocations.lock();
        for unknown_revoker in after {
            *counts.entry_ref(unknown_revoker).or_default() += 1;
        }
        for unknown_revoker in before {
            if let Some(count) = counts.get_mut(unknown_revoker) {
                *count -= 1;
            }
        }
        counts.retain(|_, count| *count > 0);
    }
}

impl Locate for Projection {
    fn key(&self, handle: Handle) -> Option<CredentialKey> {
        match handle.kind() {
            Kind::Ticket => self.tickets.store.key_at(handle),
            Kind::Session => self.sessions.store.key_at(handle),
            Kind::Token => self.tokens.key_at(handle),
        }
    }

    fn place(&self, handle: Handle) -> Option<Place> {
        self.sessions.place_at(handle)
    }
}

/// A revocation in force, with what is known of the revoked credentials.
#[derive(Clone, Debug)]
pub enum InForce {
    /// A credential's own revocation.
    Credential(CredentialKey, Credential, Revocation),
    /// The revocation of everything that a subject had, by kind.
    Subject(Tenant, Subject, SubjectState),
    /// The revocation of a cohort, by kind.
    Cohort(Cohort, CohortState),
}

impl CredentialView for Projection {
    fn credential(&self, key: CredentialKey) -> Credential {
        match key.kind {
            Kind::Ticket => self.tickets.store.get(key.id, &self.shared),
            Kind::Session => self.sessions.store.get(key.id, &self.shared),
            Kind::Token => self.tokens.get(key.id, &self.shared),
        }
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        self.shared.subjects.state(tenant, subject)
    }

    fn cohorts(&self) -> Option<Cohorts> {
        self.any_cohort.load(Ordering::Acquire).then(|| Cohorts::durable(self.cohorts.read().clone()))
    }

    fn beyond_seal(&self, place: RecordId) -> Option<(RecordId, Timestamp)> {
        if !self.any_removed.load(Ordering::Acquire) {
            return None;
        }
        self.members.read().beyond_seal(place)
    }
}

impl View for Projection {
    fn origins(&self) -> BTreeMap<RecordId, LedgerOpened> {
        self.origins.read().clone()
    }

    fn application(&self, id: ApplicationId) -> Application {
        self.applications.read().by_id.get(&id).cloned().unwrap_or_default()
    }

    fn applications_by_digest(&self, digest: &Digest) -> Vec<ApplicationId> {
        self.applications.read().by_digest.get(digest).into_iter().flatten().copied().collect()
    }

    fn answered(&self, key: &[u8; 16]) -> Option<Answered> {
        self.answered.shard(key).read().get(key).copied()
    }

    fn session_with(&self, digest: &Digest) -> Option<CredentialId> {
        self.sessions.with_digest(digest)
    }

    fn keys(&self) -> BTreeMap<KeyId, SigningKeyState> {
        self.keys.read().clone()
    }

    fn status_list(&self, list: &StatusListId) -> Option<StatusListView> {
        self.lists.view(list)
    }

    fn newest_status_list(&self, origin: Origin, class: StatusListClass) -> Option<StatusListView> {
        self.lists.newest(origin, class)
    }

    fn is_index_taken(&self, list: &StatusListId, index: u32) -> bool {
        self.lists.is_taken(list, index)
    }

    fn members(&self) -> Arc<Members> {
        self.members.read().clone()
    }

    fn head(&self, origin: Origin) -> Sequence {
        self.base.read().heads.get(&origin).map(|head| head.sequence).unwrap_or_default()
    }

    fn latest_end(&self) -> Timestamp {
        Timestamp::from_millis(self.latest_end.load(Ordering::Acquire)).unwrap_or(Timestamp::MAX)
    }

    fn is_read_by_all(&self, type_name: &str, version: u64) -> bool {
        !self.any_joined.load(Ordering::Acquire) || self.members.read().all_read(type_name, version)
    }

    fn imported(&self) -> bool {
        self.imported.load(Ordering::Acquire)
    }

    fn has_room(&self, kind: Kind, tenant: &Tenant, subject: &Subject) -> bool {
        let room = match kind {
            Kind::Ticket => self.tickets.store.has_room(),
            Kind::Session => self.sessions.store.has_room(),
            Kind::Token => self.tokens.has_room(),
        };
        room && self.shared.subjects.has_room(tenant, subject)
    }

    fn unknown_revocations(&self, unknown_revoker: &UnknownRevoker) -> u64 {
        self.unknown_revocations.lock().get(unknown_revoker).copied().unwrap_or_default()
    }
}
