//! Status lists in memory: which token has which entry, and the entries of tokens that were revoked.
//!
//! A revocation notes an entry at once, while the record is folded in. A publication makes the array from these notes. A node without lists
//! keeps nothing and does nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::Projection;
use super::handle::Handle;
use crate::domain::{
    Credential, CredentialId, CredentialKey, CredentialRef, CredentialView as _, Event, HashMap, Inactive, Kind, Kinds,
    Origin, RecordId, Recorded, Revokes, Sequence, StatusIndex, StatusListClass, StatusListId, StatusListPublished,
    StatusListState, StatusListView, Subject, Tenant, Timestamp, View as _, judge_known,
};

/// Tokens that are judged again before a publication while the lists are locked once.
const STEP_TOKENS: usize = 1_024;

#[derive(Default)]
pub(super) struct StatusLists {
    /// Whether there is any list: if not, nothing is locked.
    any: AtomicBool,
    inner: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    by_id: BTreeMap<StatusListId, List>,
    /// By the number that entries have.
    numbers: BTreeMap<u32, StatusListId>,
    next_number: u32,
    /// The tokens with an entry, by their handles.
    listed: HashMap<u32, Entry>,
    /// Those that no shard had room for.
    alone: Vec<(CredentialId, Entry)>,
    /// How far each origin has been folded in since there are lists.
    heads: BTreeMap<Origin, Sequence>,
    /// Whether a record may have revoked any token.
    is_sweep_due: bool,
    /// Sessions of listed tokens that are not known yet.
    awaited_sessions: BTreeSet<CredentialId>,
    /// Listed tokens with other ancestors than a session of their own subject. Any revocation may reach them, so they are judged again
    /// before a publication; few tokens are such.
    descendants: BTreeSet<u32>,
    /// Whether a record may have revoked any of those.
    are_descendants_due: bool,
    /// Entries that a snapshot holds, until all of its tokens are there.
    restored: Vec<(CredentialId, StatusIndex)>,
}

#[derive(Default)]
struct List {
    number: u32,
    state: StatusListState,
    /// Entries of revoked tokens, in the order in which they were noticed, until they have been published.
    revoked: Vec<RevokedEntry>,
}

/// Twelve bytes with its handle.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    list: u32,
    /// The highest bit says whether the token's revocation was noticed.
    index: u32,
}

impl Entry {
    const NOTICED: u32 = 1 << 31;

    const fn is_noticed(self) -> bool {
        self.index & Self::NOTICED != 0
    }

    const fn index(self) -> u32 {
        self.index & !Self::NOTICED
    }
}

/// The entry of a revoked token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    pub index: u32,
    /// When the token expires, in seconds since 1970.
    pub expires_at_seconds: u64,
}

/// All that a publication follows from: the records up to these, and no others.
#[derive(Clone, Debug)]
pub struct StatusCapture {
    /// The last record of each origin that was folded in.
    pub upto: BTreeMap<Origin, Sequence>,
    /// The entries that were noticed and not taken off since.
    pub revoked: Vec<RevokedEntry>,
}

/// A list, as far as memory has it.
#[derive(Clone, Debug)]
pub struct StatusListShown {
    pub view: StatusListView,
    /// Its last publication.
    pub published: Option<(RecordId, Arc<StatusListPublished>)>,
    /// Whether entries have been noticed that were not taken off since, or may be noticed by looking at all tokens.
    pub may_have_changed: bool,
}

impl Lists {
    fn list(&mut self, id: StatusListId) -> &mut List {
        let Self { by_id, numbers, next_number, .. } = self;
        by_id.entry(id).or_insert_with(|| {
            let number = *next_number;
            *next_number += 1;
            numbers.insert(number, id);
            List { number, ..List::default() }
        })
    }

    /// Notes an entry, unless it was noticed before or belongs to another token by now.
    fn notice(&mut self, handle: u32, expected: Entry, expires_at: Timestamp) {
        let Some(entry) = self.listed.get_mut(&handle).filter(|entry| **entry == expected) else { return };
        entry.index |= Entry::NOTICED;
        self.note(expected, expires_at);
    }

    fn note(&mut self, entry: Entry, expires_at: Timestamp) {
        let Some(list) = self.numbers.get(&entry.list).and_then(|id| self.by_id.get_mut(id)) else { return };
        list.revoked.push(RevokedEntry { index: entry.index(), expires_at_seconds: expires_at.as_seconds() });
    }
}

impl StatusLists {
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn join(&self, id: StatusListId, state: StatusListState) {
        self.inner.lock().list(id).state.merge(state);
        self.any.store(true, Ordering::Release);
    }

    /// Gives the entry to the token with that handle.
    pub(super) fn add(&self, handle: Option<Handle>, id: CredentialId, status: StatusIndex, expires_at: Timestamp) {
        let mut inner = self.inner.lock();
        let list = inner.list(status.list);
        list.state.take(status.index, expires_at);
        let entry = Entry { list: list.number, index: status.index };
        inner.enter(handle, id, entry);
        drop(inner);
        self.any.store(true, Ordering::Release);
    }

    /// The token there is gone.
    pub(super) fn forget(&self, handle: Handle) {
        if self.any() {
            let mut inner = self.inner.lock();
            inner.listed.remove(&handle.bits());
            inner.descendants.remove(&handle.bits());
        }
    }

    pub(super) fn prune(&self, now: Timestamp) {
        if !self.any() {
            return;
        }
        let mut inner = self.inner.lock();
        let Lists { by_id, numbers, listed, alone, .. } = &mut *inner;
        by_id.retain(|_, list| !list.state.is_retired(now));
        if numbers.len() > by_id.len() {
            numbers.retain(|_, id| by_id.contains_key(id));
            listed.retain(|_, entry| numbers.contains_key(&entry.list));
            alone.retain(|(_, entry)| numbers.contains_key(&entry.list));
        }
        let is_empty = inner.by_id.is_empty();
        if is_empty {
            *inner = Lists { next_number: inner.next_number, ..Lists::default() };
            self.any.store(false, Ordering::Release);
        }
    }

    pub(super) fn view(&self, id: &StatusListId) -> Option<StatusListView> {
        if self.any() { self.inner.lock().by_id.get(id)?.state.view() } else { None }
    }

    pub(super) fn newest(&self, origin: Origin, class: StatusListClass) -> Option<StatusListView> {
        if !self.any() {
            return None;
        }
        let inner = self.inner.lock();
        let views = inner.by_id.values().filter_map(|list| list.state.view());
        views.filter(|view| view.place.origin == origin && view.opened.class == class).max_by_key(|view| view.place)
    }

    pub(super) fn is_taken(&self, id: &StatusListId, index: u32) -> bool {
        self.any() && self.inner.lock().by_id.get(id).is_some_and(|list| list.state.taken.contains(index))
    }

    /// The state of every list, for rows and the snapshot.
    pub(super) fn each(&self, mut show: impl FnMut(StatusListId, &StatusListState)) {
        let ids: Vec<_> = self.inner.lock().by_id.keys().copied().collect();
        for id in ids {
            // A copy, so that the writer does not wait while it is shown.
            let state = self.inner.lock().by_id.get(&id).map(|list| list.state.clone());
            state.iter().for_each(|state| show(id, state));
        }
    }

    /// The tokens with an entry, by the key that `name` finds.
    pub(super) fn entries(&self, name: impl Fn(Handle) -> Option<CredentialKey>) -> Vec<(CredentialId, StatusIndex)> {
        let inner = self.inner.lock();
        let listed = inner.listed.iter().map(|(bits, entry)| (Handle::from_bits(*bits), *entry)).collect::<Vec<_>>();
        let (numbers, alone) = (inner.numbers.clone(), inner.alone.clone());
        drop(inner);
        let listed = listed.into_iter().filter_map(|(handle, entry)| Some((name(handle)?.id, entry)));
        let named = listed.chain(alone);
        named
            .filter_map(|(id, entry)| {
                Some((id, StatusIndex { list: *numbers.get(&entry.list)?, index: entry.index() }))
            })
            .collect()
    }

    /// Puts back what a snapshot holds of a list: indexes that tokens have or had.
    pub(super) fn restore_taken(&self, id: StatusListId, indexes: &[u32], last_expiry: Timestamp) {
        let mut inner = self.inner.lock();
        let state = &mut inner.list(id).state;
        indexes.iter().for_each(|index| state.take(*index, last_expiry));
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn restore_entries(&self, entries: impl IntoIterator<Item = (CredentialId, StatusIndex)>) {
        self.inner.lock().restored.extend(entries);
    }
}

impl Lists {
    fn enter(&mut self, handle: Option<Handle>, id: CredentialId, entry: Entry) {
        match handle {
            // A record that is folded in again finds its entry, noticed or not.
            Some(handle) => drop(self.listed.entry(handle.bits()).or_insert(entry)),
            None if self.alone.iter().any(|(known, _)| *known == id) => {}
            None => self.alone.push((id, entry)),
        }
    }
}

impl Projection {
    /// The lists that have not been retired.
    pub fn status_lists(&self) -> Vec<StatusListShown> {
        if !self.lists.any() {
            return Vec::new();
        }
        let inner = self.lists.inner.lock();
        let may_have = inner.is_sweep_due || inner.are_descendants_due || !inner.alone.is_empty();
        let shown = inner.by_id.values().filter_map(|list| {
            let published = list.state.published.clone();
            Some(StatusListShown {
                view: list.state.view()?,
                published,
                may_have_changed: may_have || !list.revoked.is_empty(),
            })
        });
        shown.collect()
    }

    /// All that a publication of that list follows from at this moment. Nothing, if the list is not known, or if another record that may have
    /// revoked any token arrives meanwhile: then it is tried again later.
    pub fn capture_status_list(&self, id: &StatusListId) -> Option<StatusCapture> {
        self.sweep_status_lists();
        let _writing = self.writing.lock();
        let mut inner = self.lists.inner.lock();
        if inner.is_sweep_due || inner.are_descendants_due {
            return None;
        }
        // A record is folded in before the base says so.
        let mut upto = inner.heads.clone();
        for (origin, head) in &self.base.read().heads {
            let known = upto.entry(*origin).or_default();
            *known = head.sequence.max(*known);
        }
        let revoked = inner.by_id.get_mut(id)?.revoked.clone();
        Some(StatusCapture { upto, revoked })
    }

    /// Takes off the first entries that were noticed: they have been published, or never will be.
    pub fn settle_status_list(&self, id: &StatusListId, entries: usize) {
        if let Some(list) = self.lists.inner.lock().by_id.get_mut(id) {
            list.revoked.drain(..entries.min(list.revoked.len()));
        }
    }

    /// Notes the entries that this record revokes. Called while records are folded in, behind the record itself.
    pub(super) fn notice_revoked(&self, recorded: &Recorded) {
        if !self.lists.any() {
            return;
        }
        let RecordId { origin, sequence } = recorded.place;
        let facets = recorded.event.facets();
        let mut inner = self.lists.inner.lock();
        inner.heads.insert(origin, sequence);
        // What revokes an ancestor may name it in any way, and its issue may come after the revocation.
        inner.are_descendants_due |=
            !inner.descendants.is_empty() && (facets.revokes.is_some() || facets.issues.is_some());
        drop(inner);
        let tenant = || recorded.tenant.clone().unwrap_or_default();
        match &recorded.event {
            Event::TokenIssued(issued) if issued.status.is_some() => {
                if let Some(session) = issued.parent.and_then(|parent| parent.as_own_session()) {
                    match self.credential(CredentialKey { kind: Kind::Session, id: session }).issue {
                        None => drop(self.lists.inner.lock().awaited_sessions.insert(session)),
                        Some(issue) if issue.parent().is_some() => self.descends(issued.key()),
                        Some(_) => {}
                    }
                } else if issued.parent.is_some() {
                    self.descends(issued.key());
                }
                self.notice(issued.key());
            }
            Event::SessionIssued(issued) => {
                // Nearly always the session was there before its tokens.
                if self.lists.inner.lock().awaited_sessions.remove(&issued.id) {
                    self.notice_of(&tenant(), &issued.subject);
                }
            }
            Event::NodeRemoved(_) => self.lists.inner.lock().is_sweep_due = true,
            event => match event.facets().revokes {
                None => {}
                Some(Revokes::Subject(all)) => self.notice_of(&tenant(), all.subject),
                Some(Revokes::Cohort(_)) => self.lists.inner.lock().is_sweep_due = true,
                Some(Revokes::Credential(revoked)) => {
                    if revoked.kind == Kind::Token {
                        self.notice(revoked.key());
                    }
                    let session = match &revoked.credential {
                        CredentialRef::Id(id) => (revoked.kind == Kind::Session).then_some(*id),
                        // A session's secret may have been revoked while nobody knew that it is a session's.
                        CredentialRef::Digest(digest) => self.session_with(digest),
                        CredentialRef::Jwt { .. } | CredentialRef::Payload { .. } => None,
                    };
                    let Some(id) = session else { return };
                    let session = self.credential(CredentialKey { kind: Kind::Session, id });
                    match (session.issue, &revoked.subject) {
                        (Some(issue), _) => self.notice_of(&issue.tenant, &issue.subject),
                        (None, Some(subject)) => self.notice_of(&tenant(), subject),
                        (None, None) => self.lists.inner.lock().is_sweep_due = true,
                    }
                }
            },
        }
    }

    /// Notes that any revocation may reach the token.
    fn descends(&self, key: CredentialKey) {
        if let Some(Some(handle)) = self.tokens.look(key.id, |handle, _| handle) {
            self.lists.inner.lock().descendants.insert(handle.bits());
        }
    }

    /// Notes the entries of the subject's tokens that are revoked.
    fn notice_of(&self, tenant: &Tenant, subject: &Subject) {
        let tokens = self.credentials_of(tenant, subject, Kinds::from_iter([Kind::Token]), None, usize::MAX);
        tokens.into_iter().for_each(|key| self.notice(key));
    }

    /// Notes the token's entry, if it has one and is revoked.
    fn notice(&self, key: CredentialKey) {
        let Some(Some(handle)) = self.tokens.look(key.id, |handle, _| handle) else { return };
        let entry = self.lists.inner.lock().listed.get(&handle.bits()).copied();
        let Some(entry) = entry.filter(|entry| !entry.is_noticed()) else { return };
        if let Some(expires_at) = self.revoked_until(self.credential(key)) {
            self.lists.inner.lock().notice(handle.bits(), entry, expires_at);
        }
    }

    /// When the token expires, if it is revoked.
    fn revoked_until(&self, token: Credential) -> Option<Timestamp> {
        let expires_at = token.issue.as_ref()?.not_after;
        // A revocation counts before an expiry, so the instant does not matter.
        match judge_known(self, Kind::Token, token, Timestamp::default()) {
            Err(Inactive::Revoked(..)) => Some(expires_at),
            Ok(_) | Err(Inactive::Expired | Inactive::Unknown) => None,
        }
    }

    /// Judges every token with an entry, if a record that may have revoked any of them has been folded in since. The writer goes on meanwhile:
    /// what it revokes, it notes itself.
    fn sweep_status_lists(&self) {
        let due = {
            let mut inner = self.lists.inner.lock();
            let all = std::mem::take(&mut inner.is_sweep_due);
            let descendants = std::mem::take(&mut inner.are_descendants_due);
            if !all && !descendants && inner.alone.is_empty() {
                return;
            }
            let open = |(handle, entry): (&u32, &Entry)| (!entry.is_noticed()).then_some((*handle, *entry));
            match all {
                true => inner.listed.iter().filter_map(open).collect::<Vec<_>>(),
                false => {
                    inner.descendants.iter().filter_map(|handle| open((handle, inner.listed.get(handle)?))).collect()
                }
            }
        };
        for step in due.chunks(STEP_TOKENS) {
            let revoked = step.iter().filter_map(|(handle, entry)| {
                let key = self.tokens.key_at(Handle::from_bits(*handle))?;
                Some((*handle, *entry, self.revoked_until(self.credential(key))?))
            });
            let revoked: Vec<_> = revoked.collect();
            let mut inner = self.lists.inner.lock();
            revoked.into_iter().for_each(|(handle, entry, expires_at)| inner.notice(handle, entry, expires_at));
        }
        let alone = self.lists.inner.lock().alone.clone();
        for (id, entry) in alone {
            let token = self.credential(CredentialKey { kind: Kind::Token, id });
            if token.issue.is_none() {
                self.lists.inner.lock().alone.retain(|(known, _)| *known != id);
            } else if let Some(expires_at) = self.revoked_until(token) {
                let mut inner = self.lists.inner.lock();
                inner.alone.retain(|(known, _)| *known != id);
                inner.note(entry, expires_at);
            }
        }
    }

    /// Gives tokens the entries that a snapshot holds, once all of them are there.
    pub(super) fn restore_status_entries(&self) {
        let restored = std::mem::take(&mut self.lists.inner.lock().restored);
        for (id, StatusIndex { list, index }) in restored {
            let Some(handle) = self.tokens.look(id, |handle, _| handle) else { continue };
            let mut inner = self.lists.inner.lock();
            let entry = Entry { list: inner.list(list).number, index };
            inner.enter(handle, id, entry);
        }
        let mut inner = self.lists.inner.lock();
        // The snapshot's base says how far its records go; those that make its entities have places of their own.
        inner.heads.clear();
        inner.is_sweep_due = !inner.by_id.is_empty();
        drop(inner);
        self.restore_descendants();
    }

    /// Finds the tokens again whose ancestors matter.
    fn restore_descendants(&self) {
        let listed: Vec<u32> = self.lists.inner.lock().listed.keys().copied().collect();
        let descends = |handle: &u32| {
            let key = self.tokens.key_at(Handle::from_bits(*handle))?;
            let parent = self.credential(key).issue?.parent()?;
            let own_session = parent.as_own_session().is_some();
            let is_lineage =
                !own_session || self.credential(parent.key).issue.is_none_or(|issue| issue.parent().is_some());
            is_lineage.then_some(*handle)
        };
        let descendants: BTreeSet<u32> = listed.iter().filter_map(descends).collect();
        self.lists.inner.lock().descendants = descendants;
    }
}
