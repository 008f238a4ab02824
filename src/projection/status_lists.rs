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
    Credential, CredentialId, CredentialKey, CredentialRef, CredentialRevoked, CredentialView as _, Event, HashMap,
    Inactive, Kind, Kinds, MAX_ANCESTORS, Origin, RecordId, Recorded, Revokes, Sequence, StatusIndex, StatusListClass,
    StatusListId, StatusListPublished, StatusListState, StatusListView, Subject, Tenant, Timestamp, View as _,
    judge_known,
};

/// Tokens that are judged before a publication while the lists are locked once.
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
    /// Subjects of which a record may have revoked tokens. These are judged before the next publication, and not while the record is folded
    /// in: one may have any number.
    subjects_due: BTreeSet<(Tenant, Subject)>,
    /// Further tokens that a record may have revoked.
    due: BTreeSet<u32>,
    /// Tokens with other ancestors than a known session of their own subject, which few are.
    descendants: Descendants,
    /// Entries that a snapshot holds, until all of its tokens are there.
    restored: Vec<(CredentialId, StatusIndex)>,
}

/// Listed tokens by their ancestors, and by the subjects of these.
#[derive(Default)]
struct Descendants {
    tokens: BTreeSet<u32>,
    by_ancestor: HashMap<CredentialId, BTreeSet<u32>>,
    by_subject: HashMap<(Tenant, Subject), BTreeSet<u32>>,
}

impl Descendants {
    /// Ancestors that may be kept without a descendant until they are looked through.
    const SPARE: usize = 1_024;

    fn below(&self, ancestor: &CredentialId) -> impl Iterator<Item = u32> {
        self.by_ancestor.get(ancestor).into_iter().flatten().copied()
    }

    fn below_subject(&self, whose: &(Tenant, Subject)) -> impl Iterator<Item = u32> {
        self.by_subject.get(whose).into_iter().flatten().copied()
    }

    /// Drops the ancestors of tokens that are gone.
    fn tidy(&mut self) {
        if self.by_ancestor.len() <= MAX_ANCESTORS * self.tokens.len() + Self::SPARE {
            return;
        }
        let Self { tokens, by_ancestor, by_subject } = self;
        let keep = |below: &mut BTreeSet<u32>| {
            below.retain(|handle| tokens.contains(handle));
            !below.is_empty()
        };
        by_ancestor.retain(|_, below| keep(below));
        by_subject.retain(|_, below| keep(below));
    }
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
    /// Whether tokens are to be judged before the next publication.
    fn has_due(&self) -> bool {
        !self.due.is_empty() || !self.subjects_due.is_empty()
    }

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
            inner.descendants.tokens.remove(&handle.bits());
        }
    }

    pub(super) fn prune(&self, now: Timestamp) {
        if !self.any() {
            return;
        }
        let mut inner = self.inner.lock();
        let Lists { by_id, numbers, listed, alone, descendants, .. } = &mut *inner;
        by_id.retain(|_, list| !list.state.is_retired(now));
        descendants.tidy();
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
        let may_have = inner.is_sweep_due || inner.has_due() || !inner.alone.is_empty();
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
        // What came meanwhile is little, and would go on coming.
        self.judge_due();
        let mut inner = self.lists.inner.lock();
        if inner.is_sweep_due {
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
        self.lists.inner.lock().heads.insert(origin, sequence);
        let facets = recorded.event.facets();
        if let Some(issues) = &facets.issues {
            self.await_no_more(issues.key());
        }
        let tenant = || recorded.tenant.clone().unwrap_or_default();
        match &recorded.event {
            Event::TokenIssued(issued) if issued.status.is_some() => {
                self.trace(issued.key());
                self.notice(issued.key());
            }
            Event::NodeRemoved(_) => self.lists.inner.lock().is_sweep_due = true,
            _ => match facets.revokes {
                None => {}
                Some(Revokes::Subject(all)) => self.subject_is_due((tenant(), all.subject.clone())),
                Some(Revokes::Cohort(_)) => self.lists.inner.lock().is_sweep_due = true,
                Some(Revokes::Credential(revoked)) => self.credential_is_due(tenant(), revoked),
            },
        }
    }

    fn credential_is_due(&self, tenant: Tenant, revoked: &CredentialRevoked) {
        if revoked.kind == Kind::Token {
            self.notice(revoked.key());
        }
        // A session's secret may have been revoked while nobody knew that it is a session's.
        let by_secret = revoked.credential.digest().and_then(|digest| self.session_with(digest));
        let mut inner = self.lists.inner.lock();
        let Lists { due, descendants, .. } = &mut *inner;
        due.extend(descendants.below(&revoked.credential.id()));
        by_secret.iter().for_each(|id| due.extend(descendants.below(id)));
        drop(inner);
        let by_id = match &revoked.credential {
            CredentialRef::Id(id) if revoked.kind == Kind::Session => Some(*id),
            _ => None,
        };
        let Some(id) = by_id.or(by_secret) else { return };
        let session = self.credential(CredentialKey { kind: Kind::Session, id });
        match (session.issue, &revoked.subject) {
            (Some(issue), _) => self.subject_is_due((issue.tenant, issue.subject)),
            (None, Some(subject)) => self.subject_is_due((tenant, subject.clone())),
            (None, None) => self.lists.inner.lock().is_sweep_due = true,
        }
    }

    fn subject_is_due(&self, whose: (Tenant, Subject)) {
        let mut inner = self.lists.inner.lock();
        let Lists { due, subjects_due, descendants, .. } = &mut *inner;
        due.extend(descendants.below_subject(&whose));
        subjects_due.insert(whose);
    }

    /// An ancestor of listed tokens has arrived: they are revoked if it was, and what is above it counts from now on.
    fn await_no_more(&self, ancestor: CredentialKey) {
        let below: Vec<u32> = {
            let mut inner = self.lists.inner.lock();
            let Lists { due, descendants, .. } = &mut *inner;
            let below: Vec<u32> = descendants.below(&ancestor.id).collect();
            due.extend(below.iter().copied());
            below
        };
        for key in below.into_iter().filter_map(|handle| self.tokens.key_at(Handle::from_bits(handle))) {
            self.trace(key);
        }
    }

    /// Notes the ancestors of a listed token, unless it has none but a session of its own subject: whatever revokes that names the subject
    /// or the session.
    fn trace(&self, key: CredentialKey) {
        let Some(Some(handle)) = self.tokens.look(key.id, |handle, _| handle) else { return };
        let Some(parent) = self.credential(key).issue.and_then(|issue| issue.parent()) else { return };
        let mut above: Vec<(CredentialId, Option<(Tenant, Subject)>)> = Vec::new();
        let mut next = Some(parent);
        while let Some(parent) = next
            && above.len() < MAX_ANCESTORS
        {
            let issue = self.credential(parent.key).issue;
            next = issue.as_ref().and_then(|issue| issue.parent());
            above.push((parent.key.id, issue.map(|issue| (issue.tenant, issue.subject))));
        }
        if let [(_, Some(_))] = &*above
            && parent.as_own_session().is_some()
        {
            return;
        }
        let mut inner = self.lists.inner.lock();
        let Descendants { tokens, by_ancestor, by_subject } = &mut inner.descendants;
        tokens.insert(handle.bits());
        for (id, whose) in above {
            by_ancestor.entry(id).or_default().insert(handle.bits());
            if let Some(whose) = whose {
                by_subject.entry(whose).or_default().insert(handle.bits());
            }
        }
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

    /// Judges the tokens that are due, and every token with an entry if a record that may have revoked any of them has been folded in since.
    /// The writer goes on meanwhile: what it revokes is due again.
    fn sweep_status_lists(&self) {
        self.judge_due();
        let all = {
            let mut inner = self.lists.inner.lock();
            let is_due = std::mem::take(&mut inner.is_sweep_due);
            if !is_due && inner.alone.is_empty() {
                return;
            }
            if is_due { inner.listed.keys().copied().collect() } else { Vec::new() }
        };
        self.judge_listed(all);
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

    /// Judges the tokens that records may have revoked since the last time.
    fn judge_due(&self) {
        let (subjects, mut due) = {
            let mut inner = self.lists.inner.lock();
            (std::mem::take(&mut inner.subjects_due), std::mem::take(&mut inner.due))
        };
        for (tenant, subject) in subjects {
            let mut after = None;
            loop {
                let kinds = Kinds::from_iter([Kind::Token]);
                let tokens = self.credentials_of(&tenant, &subject, kinds, after, STEP_TOKENS);
                let handles = tokens.iter().filter_map(|key| self.tokens.look(key.id, |handle, _| handle).flatten());
                due.extend(handles.map(Handle::bits));
                after = tokens.last().copied().filter(|_| tokens.len() == STEP_TOKENS);
                if after.is_none() {
                    break;
                }
            }
        }
        self.judge_listed(due);
    }

    /// Judges these tokens as far as they have an entry that was not noticed.
    fn judge_listed(&self, handles: impl IntoIterator<Item = u32>) {
        let open: Vec<(u32, Entry)> = {
            let inner = self.lists.inner.lock();
            let entry = |handle| Some((handle, *inner.listed.get(&handle).filter(|entry| !entry.is_noticed())?));
            handles.into_iter().filter_map(entry).collect()
        };
        for step in open.chunks(STEP_TOKENS) {
            let revoked = step.iter().filter_map(|(handle, entry)| {
                let key = self.tokens.key_at(Handle::from_bits(*handle))?;
                Some((*handle, *entry, self.revoked_until(self.credential(key))?))
            });
            let revoked: Vec<_> = revoked.collect();
            let mut inner = self.lists.inner.lock();
            revoked.into_iter().for_each(|(handle, entry, expires_at)| inner.notice(handle, entry, expires_at));
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
        let listed: Vec<u32> = inner.listed.keys().copied().collect();
        drop(inner);
        for key in listed.into_iter().filter_map(|handle| self.tokens.key_at(Handle::from_bits(handle))) {
            self.trace(key);
        }
    }
}
