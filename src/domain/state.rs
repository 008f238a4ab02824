//! State as plain maps: the overlay of a batch that is being decided, the model in tests, and what a replay folds into.
//!
//! The server keeps the same state in `projection`, in shards. The two share nothing but [`evolve`] and the joins, so that
//! comparing them means something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::application::Application;
use super::credential::{CredentialId, CredentialKey, Digest, Kind};
use super::ending::Stranger;
use super::event::{LedgerOpened, Recorded};
use super::evolve::{Answered, Patch, evolve};
use super::hashing::HashMap;
use super::ids::{ApplicationId, KeyId, Origin, Place, Sequence, Subject, Tenant};
use super::lasting::Lasting;
use super::membership::{Members, NodeKey};
use super::signing::SigningKeyState;
use super::subject::SubjectState;
use super::ticket::Ticket;
use super::time::{Timestamp, Ttl};

/// What a decision may look at. Answers are copies: whoever gives them holds no lock for the asker.
pub trait View {
    /// The origins of this ledger, each with the record that opened it.
    fn origins(&self) -> BTreeMap<Place, LedgerOpened>;
    /// What is known of an application.
    fn application(&self, id: ApplicationId) -> Application;
    /// Every application that was ever registered with that secret.
    fn applications_by_digest(&self, digest: &Digest) -> Vec<ApplicationId>;
    /// What is known of a ticket.
    fn ticket(&self, id: CredentialId) -> Ticket;
    /// What is known of a subject.
    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState;
    /// The command that was carried out under that key.
    fn answered(&self, key: &[u8; 16]) -> Option<Answered>;
    /// What is known of a session or token.
    fn lasting(&self, key: CredentialKey) -> Lasting;
    /// The session whose token has that digest.
    fn session_with(&self, digest: &Digest) -> Option<CredentialId>;
    /// Every key that signs or signed our JWTs.
    fn keys(&self) -> BTreeMap<KeyId, SigningKeyState>;
    /// Whether anything was ever imported.
    fn imported(&self) -> bool;
    /// How many endings of unknown credentials are in force that he recorded.
    fn unknown_endings(&self, stranger: &Stranger) -> u64;
    /// The nodes of this ledger.
    fn members(&self) -> Arc<Members>;
    /// The last record of that origin that was folded in.
    fn head(&self, origin: Origin) -> Sequence;

    /// Whether there is room for one more credential of that kind that is issued here to that subject.
    fn has_room(&self, _kind: Kind, _tenant: &Tenant, _subject: &Subject) -> bool {
        true
    }

    /// The removal of its node that the record at that place comes too late for: what was issued by it is dead.
    fn beyond_seal(&self, place: Place) -> Option<(Place, Timestamp)> {
        self.members().beyond_seal(place)
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

/// How long a use of a ticket waits at most for the ticket's issue to arrive from another node: the longest life of any.
///
/// It waits no longer than until the issue's origin is past that place: what is not known by then is over.
pub fn forget_use_at(last_use_at: Timestamp) -> Timestamp {
    last_use_at.plus(Ttl::MAX)
}

/// State as plain maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The origins of this ledger.
    pub origins: BTreeMap<Place, LedgerOpened>,
    /// Every application that was ever named, removed ones too.
    pub applications: HashMap<ApplicationId, Application>,
    /// Tickets, issued or ended.
    pub tickets: HashMap<CredentialId, Ticket>,
    /// Uses of tickets whose issue has not arrived.
    pub early_uses: HashMap<Place, Timestamp>,
    /// Subjects of which something was ended.
    pub subjects: HashMap<(Tenant, Subject), SubjectState>,
    /// Sessions and tokens, issued or ended.
    pub lasting: HashMap<CredentialKey, Lasting>,
    /// Keys that sign or signed our JWTs.
    pub keys: BTreeMap<KeyId, SigningKeyState>,
    /// The last slot of its sealing keys that each origin has used.
    pub slots: BTreeMap<Origin, u64>,
    /// Whether anything was ever imported.
    pub imported: bool,
    /// The nodes of this ledger.
    pub members: Arc<Members>,
    /// Commands that came with an idempotency key.
    pub answered: HashMap<[u8; 16], Answered>,
    /// How far each origin has been folded in.
    heads: BTreeMap<Origin, Sequence>,
    issues: HashMap<Place, CredentialId>,
    sessions_by_digest: HashMap<Digest, CredentialId>,
    applications_by_digest: HashMap<Digest, BTreeSet<ApplicationId>>,
    unknown_endings: HashMap<Stranger, u64>,
}

impl State {
    /// Adds a recorded fact.
    pub fn fold(&mut self, recorded: &Recorded) {
        evolve(recorded, |patch| self.join(patch));
        let head = self.heads.entry(recorded.place.origin).or_default();
        *head = recorded.place.sequence.max(*head);
    }

    /// Forgets everything, and keeps the room for as much again.
    pub fn clear(&mut self) {
        let Self { origins, applications, tickets, early_uses, subjects, lasting, keys, slots, answered, .. } = self;
        origins.clear();
        applications.clear();
        tickets.clear();
        early_uses.clear();
        subjects.clear();
        lasting.clear();
        keys.clear();
        slots.clear();
        answered.clear();
        self.imported = false;
        if !self.members.is_empty() {
            self.members = Arc::default();
        }
        self.sessions_by_digest.clear();
        self.heads.clear();
        self.issues.clear();
        self.applications_by_digest.clear();
        self.unknown_endings.clear();
    }

    /// Joins a piece of state.
    pub fn join(&mut self, patch: Patch) {
        match patch {
            Patch::Origin(place, opened) => {
                Arc::make_mut(&mut self.members).opened(place.origin, NodeKey::from_bytes(opened.public_key));
                self.origins.entry(place).or_insert(opened);
            }
            Patch::Application(id, application) => {
                if let Some((_, registration)) = &application.registered {
                    self.applications_by_digest.entry(registration.digest).or_default().insert(id);
                }
                self.applications.entry(id).or_default().merge(application);
            }
            Patch::Ticket(id, ticket) => self.join_ticket(id, ticket),
            Patch::TicketUsed(place, at) => self.join_use(place, at),
            Patch::Subject(tenant, subject, state) => self.subjects.entry((tenant, subject)).or_default().merge(state),
            Patch::Lasting(key, lasting) => self.join_lasting(key, lasting),
            Patch::Key(id, key) => self.keys.entry(id).or_default().merge(key),
            Patch::Node(key, member) => Arc::make_mut(&mut self.members).join(key, member),
            Patch::Slot(origin, slot) => {
                let last = self.slots.entry(origin).or_default();
                *last = slot.max(*last);
            }
            Patch::Imported => self.imported = true,
            Patch::Answered(answered) => {
                self.answered.entry(answered.digests.key).and_modify(|mine| mine.merge(answered)).or_insert(answered);
            }
        }
    }

    /// Forgets what is over at `now`.
    pub fn prune(&mut self, now: Timestamp) {
        self.subjects.values_mut().for_each(|subject| subject.prune(now));
        self.subjects.retain(|_, subject| !subject.is_empty());
        self.answered.retain(|_, answered| now < answered.retain_until());
        let heads = &self.heads;
        let awaited = |place: &Place| heads.get(&place.origin).is_none_or(|head| *head < place.sequence);
        self.early_uses.retain(|place, at| awaited(place) && now < forget_use_at(*at));
        let unknown = &mut self.unknown_endings;
        self.tickets.retain(|_, ticket| {
            let keep = now < ticket.retain_until();
            if !keep {
                count_unknown(unknown, ticket.endings.strangers(), Vec::new());
            }
            ticket.forget_issue(now);
            keep
        });
        let issued = |id: &CredentialId| self.tickets.get(id).and_then(|ticket| Some(ticket.issue.as_ref()?.place));
        self.issues.retain(|place, id| issued(id) == Some(*place));
        self.lasting.retain(|_, lasting| {
            let keep = now < lasting.retain_until();
            if !keep {
                count_unknown(unknown, lasting.endings.strangers(), Vec::new());
            }
            lasting.forget_issue(now);
            keep
        });
        // Anew, because of two sessions with one secret the other may be left.
        self.sessions_by_digest.clear();
        for (key, lasting) in self.lasting.iter().filter(|(key, _)| key.kind == Kind::Session) {
            if let Some(digest) = lasting.issue.as_ref().and_then(|issue| issue.digest().copied()) {
                self.sessions_by_digest.entry(digest).and_modify(|id| *id = key.id.min(*id)).or_insert(key.id);
            }
        }
    }

    fn join_lasting(&mut self, key: CredentialKey, patch: Lasting) {
        let lasting = self.lasting.entry(key).or_default();
        let before = lasting.endings.strangers();
        let lost = lasting.issue.as_ref().and_then(|issue| issue.digest().copied());
        lasting.merge(patch);
        count_unknown(&mut self.unknown_endings, before, lasting.endings.strangers());
        if key.kind != Kind::Session {
            return;
        }
        let gained = lasting.issue.as_ref().and_then(|issue| issue.digest().copied());
        if lost != gained {
            if let Some(digest) = lost.filter(|digest| self.sessions_by_digest.get(digest) == Some(&key.id)) {
                self.sessions_by_digest.remove(&digest);
            }
            if let Some(digest) = gained {
                // Two nodes may import one secret under two ids: whichever comes first, all find the same session by it.
                self.sessions_by_digest.entry(digest).and_modify(|id| *id = key.id.min(*id)).or_insert(key.id);
            }
        }
    }

    fn join_ticket(&mut self, id: CredentialId, patch: Ticket) {
        let ticket = self.tickets.entry(id).or_default();
        let (before, place_before) = (ticket.endings.strangers(), ticket.issue.as_ref().map(|issue| issue.place));
        ticket.merge(patch);
        count_unknown(&mut self.unknown_endings, before, ticket.endings.strangers());
        let Some(place) = ticket.issue.as_ref().map(|issue| issue.place) else { return };
        if place_before != Some(place) {
            self.issues.insert(place, id);
            place_before.map(|lost| self.issues.remove(&lost));
            if let Some(at) = self.early_uses.remove(&place) {
                ticket.used(place, at);
            }
        }
    }

    fn join_use(&mut self, place: Place, used_at: Timestamp) {
        let ticket = self.issues.get(&place).and_then(|id| self.tickets.get_mut(id));
        if !ticket.is_some_and(|ticket| ticket.used(place, used_at)) {
            let early = self.early_uses.entry(place).or_default();
            *early = used_at.max(*early);
        }
    }
}

fn count_unknown(counts: &mut HashMap<Stranger, u64>, before: Vec<Stranger>, after: Vec<Stranger>) {
    // Nearly always both are empty.
    if before == after {
        return;
    }
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

impl View for State {
    fn origins(&self) -> BTreeMap<Place, LedgerOpened> {
        self.origins.clone()
    }

    fn application(&self, id: ApplicationId) -> Application {
        self.applications.get(&id).cloned().unwrap_or_default()
    }

    fn applications_by_digest(&self, digest: &Digest) -> Vec<ApplicationId> {
        self.applications_by_digest.get(digest).into_iter().flatten().copied().collect()
    }

    fn ticket(&self, id: CredentialId) -> Ticket {
        self.tickets.get(&id).cloned().unwrap_or_default()
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        self.subjects.get(&(tenant.clone(), subject.clone())).cloned().unwrap_or_default()
    }

    fn answered(&self, key: &[u8; 16]) -> Option<Answered> {
        self.answered.get(key).copied()
    }

    fn lasting(&self, key: CredentialKey) -> Lasting {
        self.lasting.get(&key).cloned().unwrap_or_default()
    }

    fn session_with(&self, digest: &Digest) -> Option<CredentialId> {
        self.sessions_by_digest.get(digest).copied()
    }

    fn keys(&self) -> BTreeMap<KeyId, SigningKeyState> {
        self.keys.clone()
    }

    fn imported(&self) -> bool {
        self.imported
    }

    fn unknown_endings(&self, stranger: &Stranger) -> u64 {
        self.unknown_endings.get(stranger).copied().unwrap_or_default()
    }

    fn members(&self) -> Arc<Members> {
        self.members.clone()
    }

    fn head(&self, origin: Origin) -> Sequence {
        self.heads.get(&origin).copied().unwrap_or_default()
    }
}

/// Durable state with what the batch in hand has decided on top: what the next command of the batch sees.
pub struct Overlay<'a, V> {
    /// What is durable.
    pub durable: &'a V,
    /// What this batch has decided so far.
    pub pending: &'a State,
}

impl<V: View> View for Overlay<'_, V> {
    fn origins(&self) -> BTreeMap<Place, LedgerOpened> {
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

    fn ticket(&self, id: CredentialId) -> Ticket {
        let mut ticket = self.durable.ticket(id);
        if let Some(pending) = self.pending.tickets.get(&id) {
            ticket.merge(pending.clone());
        }
        if let Some(at) = ticket.issue.as_ref().and_then(|issue| self.pending.early_uses.get(&issue.place)) {
            ticket.last_use_at = ticket.last_use_at.max(*at);
        }
        ticket
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        let mut state = self.durable.subject(tenant, subject);
        if !self.pending.subjects.is_empty() {
            state.merge(self.pending.subject(tenant, subject));
        }
        state
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

    fn lasting(&self, key: CredentialKey) -> Lasting {
        let mut lasting = self.durable.lasting(key);
        if let Some(pending) = self.pending.lasting.get(&key) {
            lasting.merge(pending.clone());
        }
        lasting
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

    fn imported(&self) -> bool {
        self.durable.imported() || self.pending.imported
    }

    fn unknown_endings(&self, stranger: &Stranger) -> u64 {
        self.durable.unknown_endings(stranger) + self.pending.unknown_endings(stranger)
    }

    fn members(&self) -> Arc<Members> {
        let mut members = self.durable.members();
        if !self.pending.members.is_empty() {
            Arc::make_mut(&mut members).merge(&self.pending.members);
        }
        members
    }

    /// What a batch decides fits what is kept free.
    fn has_room(&self, kind: Kind, tenant: &Tenant, subject: &Subject) -> bool {
        self.durable.has_room(kind, tenant, subject)
    }

    fn head(&self, origin: Origin) -> Sequence {
        self.durable.head(origin).max(self.pending.head(origin))
    }

    fn is_read_by_all(&self, type_name: &str, version: u64) -> bool {
        if self.pending.members.is_empty() {
            return self.durable.is_read_by_all(type_name, version);
        }
        self.members().all_read(type_name, version)
    }

    fn beyond_seal(&self, place: Place) -> Option<(Place, Timestamp)> {
        if self.pending.members.is_empty() {
            return self.durable.beyond_seal(place);
        }
        self.members().beyond_seal(place)
    }
}
