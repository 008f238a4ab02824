//! State as plain maps: the overlay of a batch that is being decided, the model in tests, and the target of a replay.
//!
//! The server keeps the same state in `projection`, in shards. The two share nothing but [`evolve`] and the joins, so that
//! comparing them means something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::application::Application;
use super::cohort::{Cohorts, RevokedCohorts};
use super::credential::{Credential, CredentialId, CredentialKey, Digest, Kind, UnknownRevoker};
use super::event::{LedgerOpened, Recorded};
use super::evolve::{Answered, Patch, evolve};
use super::hashing::HashMap;
use super::ids::{ApplicationId, KeyId, Origin, RecordId, Sequence, Subject, Tenant};
use super::membership::Members;
use super::node::NodeKey;
use super::signing::SigningKeyState;
use super::status_list::{StatusIndex, StatusListClass, StatusListId, StatusListState, StatusListView};
use super::subject::SubjectState;
use super::time::{Timestamp, Ttl};

/// The inputs of a judgement. Answers are copies: no lock is held for the caller.
pub trait CredentialView {
    /// The state of a credential.
    fn credential(&self, key: CredentialKey) -> Credential;
    /// The state of a subject.
    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState;
    /// The cohorts that were revoked, if any was.
    fn cohorts(&self) -> Option<Cohorts>;
    /// The removal of its node that the record at that place comes too late for: a credential that it issued is
    /// inactive.
    fn beyond_seal(&self, place: RecordId) -> Option<(RecordId, Timestamp)>;
}

/// The further inputs of a decision.
pub trait View: CredentialView {
    /// The origins of this ledger, each with the record that opened it.
    fn origins(&self) -> BTreeMap<RecordId, LedgerOpened>;
    /// The state of an application.
    fn application(&self, id: ApplicationId) -> Application;
    /// Every application that was ever registered with that secret.
    fn applications_by_digest(&self, digest: &Digest) -> Vec<ApplicationId>;
    /// The command that was carried out under that key.
    fn answered(&self, key: &[u8; 16]) -> Option<Answered>;
    /// The session whose token has that digest.
    fn session_with(&self, digest: &Digest) -> Option<CredentialId>;
    /// Every key that signs or signed the ledger's JWTs.
    fn keys(&self) -> BTreeMap<KeyId, SigningKeyState>;
    /// The status list, if its opening is known.
    fn status_list(&self, list: &StatusListId) -> Option<StatusListView>;
    /// The status list of that origin and class that was opened last.
    fn newest_status_list(&self, origin: Origin, class: StatusListClass) -> Option<StatusListView>;
    /// Whether a token has that entry.
    fn is_index_taken(&self, list: &StatusListId, index: u32) -> bool;
    /// Whether anything was ever imported.
    fn imported(&self) -> bool;
    /// How many revocations of unknown credentials are in force that this caller recorded.
    fn unknown_revocations(&self, unknown_revoker: &UnknownRevoker) -> u64;
    /// The nodes of this ledger.
    fn members(&self) -> Arc<Members>;
    /// The last record of that origin that was folded in.
    fn head(&self, origin: Origin) -> Sequence;

    /// The latest instant at which any credential that was ever issued can still be active, as far as is known here.
    fn latest_end(&self) -> Timestamp;

    /// Whether there is room for one more credential of that kind that is issued here to that subject.
    fn has_room(&self, _kind: Kind, _tenant: &Tenant, _subject: &Subject) -> bool {
        true
    }

    /// Whether every member reads data of that version of that type.
    fn is_read_by_all(&self, type_name: &str, version: u64) -> bool {
        self.members().all_read(type_name, version)
    }

    /// The application that the secret belongs to now: the earliest that has not been removed.
    fn application_with(&self, digest: &Digest) -> Option<(ApplicationId, Application)> {
        let named = self.applications_by_digest(digest).into_iter().map(|id| (id, self.application(id)));
        let counts = |application: &Application| {
            let registered = application.present().and(application.registered.as_ref());
            registered.is_some_and(|(place, _)| self.beyond_seal(*place).is_none())
        };
        let present = named.filter(|(_, application)| counts(application));
        present.min_by_key(|(_, application)| application.registered.as_ref().map(|(place, _)| *place))
    }
}

/// How long a use of a ticket waits at most for the ticket's issue to arrive from another node: the longest life of any
/// credential.
///
/// It waits no longer than until the issue's origin is past that place: an issue that is not known by then is of an
/// expired ticket.
pub fn forget_use_at(last_use_at: Timestamp) -> Timestamp {
    last_use_at.plus(Ttl::MAX)
}

/// State as plain maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The origins of this ledger.
    pub origins: BTreeMap<RecordId, LedgerOpened>,
    /// Every application that was ever named, removed ones too.
    pub applications: HashMap<ApplicationId, Application>,
    /// Credentials, issued or revoked.
    pub credentials: HashMap<CredentialKey, Credential>,
    /// Uses of tickets whose issue has not arrived.
    pub early_uses: HashMap<RecordId, Timestamp>,
    /// Subjects with a revocation.
    pub subjects: HashMap<(Tenant, Subject), SubjectState>,
    /// Cohorts that were revoked.
    pub cohorts: Arc<RevokedCohorts>,
    /// Keys that sign or signed the ledger's JWTs.
    pub keys: BTreeMap<KeyId, SigningKeyState>,
    /// The last slot of its sealing keys that each origin has used.
    pub slots: BTreeMap<Origin, u64>,
    /// Status lists.
    pub status_lists: BTreeMap<StatusListId, StatusListState>,
    /// Whether anything was ever imported.
    pub imported: bool,
    /// The nodes of this ledger.
    pub members: Arc<Members>,
    /// Commands that came with an idempotency key.
    pub answered: HashMap<[u8; 16], Answered>,
    /// The latest instant at which any issued credential can still be active.
    latest_end: Timestamp,
    /// How far each origin has been folded in.
    heads: BTreeMap<Origin, Sequence>,
    tickets_by_issue: HashMap<RecordId, CredentialKey>,
    sessions_by_digest: HashMap<Digest, CredentialId>,
    applications_by_digest: HashMap<Digest, BTreeSet<ApplicationId>>,
    unknown_revocations: HashMap<UnknownRevoker, u64>,
}

impl State {
    /// Adds a recorded fact.
    pub fn fold(&mut self, recorded: &Recorded) {
        evolve(recorded, |patch| self.join(patch));
        let head = self.heads.entry(recorded.place.origin).or_default();
        *head = recorded.place.sequence.max(*head);
    }

    /// Removes everything, and keeps the room for as much again.
    pub fn clear(&mut self) {
        let Self { origins, applications, credentials, early_uses, subjects, keys, slots, answered, .. } = self;
        origins.clear();
        applications.clear();
        credentials.clear();
        early_uses.clear();
        subjects.clear();
        keys.clear();
        slots.clear();
        self.status_lists.clear();
        answered.clear();
        self.imported = false;
        self.latest_end = Timestamp::default();
        if !self.members.is_empty() {
            self.members = Arc::default();
        }
        if !self.cohorts.is_empty() {
            self.cohorts = Arc::default();
        }
        self.sessions_by_digest.clear();
        self.heads.clear();
        self.tickets_by_issue.clear();
        self.applications_by_digest.clear();
        self.unknown_revocations.clear();
    }

    /// Joins a piece of state.
    pub fn join(&mut self, patch: Patch) {
        match patch {
            Patch::Origin(place, opened) => {
                Arc::make_mut(&mut self.members).opened(place.origin, NodeKey::from_bytes(opened.public_key));
                self.origins.entry(place).or_insert(opened);
            }
            Patch::Application(id, application) => {
                let digest = application.registered.as_ref().and_then(|(_, registration)| registration.digest);
                if let Some(digest) = digest {
                    self.applications_by_digest.entry(digest).or_default().insert(id);
                }
                self.applications.entry(id).or_default().merge(application);
            }
            Patch::Credential(key, credential) => self.join_credential(key, credential),
            Patch::TicketUsed(place, at) => self.join_use(place, at),
            Patch::Subject(tenant, subject, state) => self.subjects.entry((tenant, subject)).or_default().merge(state),
            Patch::Cohort(cohort, state) => Arc::make_mut(&mut self.cohorts).join(cohort, state),
            Patch::Key(id, key) => self.keys.entry(id).or_default().merge(key),
            Patch::Node(key, member) => Arc::make_mut(&mut self.members).join(key, member),
            Patch::Slot(origin, slot) => {
                let last = self.slots.entry(origin).or_default();
                *last = slot.max(*last);
            }
            Patch::StatusList(list, state) => self.status_lists.entry(list).or_default().merge(*state),
            Patch::StatusIndex(_, StatusIndex { list, index }, expires_at) => {
                self.status_lists.entry(list).or_default().take(index, expires_at);
            }
            Patch::Imported => self.imported = true,
            Patch::Answered(answered) => {
                self.answered.entry(answered.digests.key).and_modify(|mine| mine.merge(answered)).or_insert(answered);
            }
        }
    }

    /// Removes what has expired at `now`.
    pub fn prune(&mut self, now: Timestamp) {
        self.subjects.values_mut().for_each(|subject| subject.prune(now));
        self.subjects.retain(|_, subject| !subject.is_empty());
        if !self.cohorts.is_empty() {
            Arc::make_mut(&mut self.cohorts).prune(now);
        }
        self.status_lists.retain(|_, list| !list.is_retired(now));
        self.answered.retain(|_, answered| now < answered.retain_until());
        let heads = &self.heads;
        let awaited = |place: &RecordId| heads.get(&place.origin).is_none_or(|head| *head < place.sequence);
        self.early_uses.retain(|place, at| awaited(place) && now < forget_use_at(*at));
        let unknown = &mut self.unknown_revocations;
        self.credentials.retain(|_, credential| {
            let keep = now < credential.retain_until();
            if !keep {
                count_unknown(unknown, credential.revocations.unknown_revokers(), Vec::new());
            }
            credential.forget_issue(now);
            keep
        });
        let issued = |key: &CredentialKey| Some(self.credentials.get(key)?.issue.as_ref()?.place);
        self.tickets_by_issue.retain(|place, key| issued(key) == Some(*place));
        // Computed anew, because of two sessions with one secret the other may be left.
        self.sessions_by_digest.clear();
        for (key, session) in self.credentials.iter().filter(|(key, _)| key.kind == Kind::Session) {
            if let Some(digest) = session.issue.as_ref().and_then(|issue| issue.digest().copied()) {
                self.sessions_by_digest.entry(digest).and_modify(|id| *id = key.id.min(*id)).or_insert(key.id);
            }
        }
    }

    fn join_credential(&mut self, key: CredentialKey, patch: Credential) {
        if let Some(issue) = &patch.issue {
            self.latest_end = self.latest_end.max(issue.not_after);
        }
        let credential = self.credentials.entry(key).or_default();
        let before = credential.revocations.unknown_revokers();
        let lost = credential.issue.as_ref().map(|issue| (issue.place, issue.digest().copied()));
        credential.merge(patch);
        count_unknown(&mut self.unknown_revocations, before, credential.revocations.unknown_revokers());
        let gained = credential.issue.as_ref().map(|issue| (issue.place, issue.digest().copied()));
        if lost == gained {
            return;
        }
        match key.kind {
            Kind::Ticket => self.reissued_ticket(key, lost.map(|(place, _)| place), gained.map(|(place, _)| place)),
            Kind::Session => self.reissued_session(
                key.id,
                lost.and_then(|(_, digest)| digest),
                gained.and_then(|(_, digest)| digest),
            ),
            Kind::Token => {}
        }
    }

    fn reissued_ticket(&mut self, key: CredentialKey, lost: Option<RecordId>, gained: Option<RecordId>) {
        if let Some(lost) = lost {
            self.tickets_by_issue.remove(&lost);
        }
        let Some(place) = gained else { return };
        self.tickets_by_issue.insert(place, key);
        if let Some(at) = self.early_uses.remove(&place)
            && let Some(ticket) = self.credentials.get_mut(&key)
        {
            ticket.used(place, at);
        }
    }

    fn reissued_session(&mut self, id: CredentialId, lost: Option<Digest>, gained: Option<Digest>) {
        if lost == gained {
            return;
        }
        if let Some(digest) = lost.filter(|digest| self.sessions_by_digest.get(digest) == Some(&id)) {
            self.sessions_by_digest.remove(&digest);
        }
        if let Some(digest) = gained {
            // Two nodes may import one secret under two ids: whichever comes first, all find the same session by it.
            self.sessions_by_digest.entry(digest).and_modify(|own| *own = id.min(*own)).or_insert(id);
        }
    }

    fn join_use(&mut self, place: RecordId, used_at: Timestamp) {
        let ticket = self.tickets_by_issue.get(&place).and_then(|key| self.credentials.get_mut(key));
        if !ticket.is_some_and(|ticket| ticket.used(place, used_at)) {
            let early = self.early_uses.entry(place).or_default();
            *early = used_at.max(*early);
        }
    }
}

fn count_unknown(counts: &mut HashMap<UnknownRevoker, u64>, before: Vec<UnknownRevoker>, after: Vec<UnknownRevoker>) {
    // Nearly always both are empty.
    if before == after {
        return;
    }
    for unknown_revoker in after {
        *counts.entry(unknown_revoker).or_default() += 1;
    }
    for unknown_revoker in before {
        if let Some(count) = counts.get_mut(&unknown_revoker) {
            *count -= 1;
        }
    }
    counts.retain(|_, count| *count > 0);
}

impl CredentialView for State {
    fn credential(&self, key: CredentialKey) -> Credential {
        self.credentials.get(&key).cloned().unwrap_or_default()
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        self.subjects.get(&(tenant.clone(), subject.clone())).cloned().unwrap_or_default()
    }

    fn cohorts(&self) -> Option<Cohorts> {
        (!self.cohorts.is_empty()).then(|| Cohorts::durable(self.cohorts.clone()))
    }

    fn beyond_seal(&self, place: RecordId) -> Option<(RecordId, Timestamp)> {
        self.members.beyond_seal(place)
    }
}

impl View for State {
    fn origins(&self) -> BTreeMap<RecordId, LedgerOpened> {
        self.origins.clone()
    }

    fn application(&self, id: ApplicationId) -> Application {
        self.applications.get(&id).cloned().unwrap_or_default()
    }

    fn applications_by_digest(&self, digest: &Digest) -> Vec<ApplicationId> {
        self.applications_by_digest.get(digest).into_iter().flatten().copied().collect()
    }

    fn answered(&self, key: &[u8; 16]) -> Option<Answered> {
        self.answered.get(key).copied()
    }

    fn session_with(&self, digest: &Digest) -> Option<CredentialId> {
        self.sessions_by_digest.get(digest).copied()
    }

    fn keys(&self) -> BTreeMap<KeyId, SigningKeyState> {
        self.keys.clone()
    }

    fn status_list(&self, list: &StatusListId) -> Option<StatusListView> {
        self.status_lists.get(list)?.view()
    }

    fn newest_status_list(&self, origin: Origin, class: StatusListClass) -> Option<StatusListView> {
        let views = self.status_lists.values().filter_map(StatusListState::view);
        let own = views.filter(|view| view.place.origin == origin && view.opened.class == class);
        own.max_by_key(|view| view.place)
    }

    fn is_index_taken(&self, list: &StatusListId, index: u32) -> bool {
        self.status_lists.get(list).is_some_and(|list| list.taken.contains(index))
    }

    fn imported(&self) -> bool {
        self.imported
    }

    fn unknown_revocations(&self, unknown_revoker: &UnknownRevoker) -> u64 {
        self.unknown_revocations.get(unknown_revoker).copied().unwrap_or_default()
    }

    fn members(&self) -> Arc<Members> {
        self.members.clone()
    }

    fn head(&self, origin: Origin) -> Sequence {
        self.heads.get(&origin).copied().unwrap_or_default()
    }

    fn latest_end(&self) -> Timestamp {
        self.latest_end
    }
}

/// Durable state with the decisions of the current batch on top: the next command of the batch sees it.
pub struct Overlay<'a, V> {
    /// The durable state.
    pub durable: &'a V,
    /// The decisions of this batch so far.
    pub pending: &'a State,
}

impl<V: View> CredentialView for Overlay<'_, V> {
    fn credential(&self, key: CredentialKey) -> Credential {
        let mut credential = self.durable.credential(key);
        if let Some(pending) = self.pending.credentials.get(&key) {
            credential.merge(pending.clone());
        }
        if key.kind == Kind::Ticket
            && let Some(issue) = &credential.issue
            && let Some(at) = self.pending.early_uses.get(&issue.place)
        {
            credential.latest = credential.latest.max(*at);
        }
        credential
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        let mut state = self.durable.subject(tenant, subject);
        if !self.pending.subjects.is_empty() {
            state.merge(self.pending.subject(tenant, subject));
        }
        state
    }

    fn cohorts(&self) -> Option<Cohorts> {
        match (self.durable.cohorts(), self.pending.cohorts()) {
            (Some(durable), Some(pending)) => Some(durable.with_pending(pending)),
            (durable, pending) => durable.or(pending),
        }
    }

    fn beyond_seal(&self, place: RecordId) -> Option<(RecordId, Timestamp)> {
        if self.pending.members.is_empty() {
            return self.durable.beyond_seal(place);
        }
        self.members().beyond_seal(place)
    }
}

impl<V: View> View for Overlay<'_, V> {
    fn origins(&self) -> BTreeMap<RecordId, LedgerOpened> {
        let mut origins = self.durable.origins();
        origins.extend(self.pending.origins());
        origins
    }

    fn application(&self, id: ApplicationId) -> Application {
        let mut application = self.durable.application(id);
        application.merge(self.pending.application(id));
        application
    }

    fn applications_by_digest(&self, digest: &Digest) -> Vec<ApplicationId> {
        let mut ids = self.durable.applications_by_digest(digest);
        ids.extend(self.pending.applications_by_digest(digest));
        ids
    }

    fn answered(&self, key: &[u8; 16]) -> Option<Answered> {
        match (self.durable.answered(key), self.pending.answered(key)) {
            (Some(mut durable), Some(pending)) => {
                durable.merge(pending);
                Some(durable)
            }
            (durable, pending) => durable.or(pending),
        }
    }

    fn session_with(&self, digest: &Digest) -> Option<CredentialId> {
        self.durable.session_with(digest).or_else(|| self.pending.session_with(digest))
    }

    fn keys(&self) -> BTreeMap<KeyId, SigningKeyState> {
        let mut keys = self.durable.keys();
        for (id, key) in &self.pending.keys {
            keys.entry(id.clone()).or_default().merge(key.clone());
        }
        keys
    }

    fn status_list(&self, list: &StatusListId) -> Option<StatusListView> {
        let durable = self.durable.status_list(list);
        let Some(pending) = self.pending.status_lists.get(list) else { return durable };
        match durable {
            // What this batch adds to a list does not name its opening.
            Some(view) => {
                let iat = pending.published.as_ref().map(|(_, published)| published.iat);
                let (taken, last_expiry) = (pending.taken.len(), pending.last_expiry);
                Some(view.with(StatusListView { taken, last_expiry, iat, ..view }))
            }
            None => pending.view(),
        }
    }

    fn newest_status_list(&self, origin: Origin, class: StatusListClass) -> Option<StatusListView> {
        let pending = self.pending.newest_status_list(origin, class);
        let newest = pending.or_else(|| self.durable.newest_status_list(origin, class))?;
        self.status_list(&newest.opened.list)
    }

    fn is_index_taken(&self, list: &StatusListId, index: u32) -> bool {
        self.pending.is_index_taken(list, index) || self.durable.is_index_taken(list, index)
    }

    fn imported(&self) -> bool {
        self.durable.imported() || self.pending.imported
    }

    fn unknown_revocations(&self, unknown_revoker: &UnknownRevoker) -> u64 {
        self.durable.unknown_revocations(unknown_revoker) + self.pending.unknown_revocations(unknown_revoker)
    }

    fn members(&self) -> Arc<Members> {
        let mut members = self.durable.members();
        if !self.pending.members.is_empty() {
            Arc::make_mut(&mut members).merge(&self.pending.members);
        }
        members
    }

    /// The decisions of a batch fit into the room that is kept free.
    fn has_room(&self, kind: Kind, tenant: &Tenant, subject: &Subject) -> bool {
        self.durable.has_room(kind, tenant, subject)
    }

    fn head(&self, origin: Origin) -> Sequence {
        self.durable.head(origin).max(self.pending.head(origin))
    }

    fn latest_end(&self) -> Timestamp {
        self.durable.latest_end().max(self.pending.latest_end())
    }

    fn is_read_by_all(&self, type_name: &str, version: u64) -> bool {
        if self.pending.members.is_empty() {
            return self.durable.is_read_by_all(type_name, version);
        }
        self.members().all_read(type_name, version)
    }
}
