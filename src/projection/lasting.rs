//! Sessions and tokens in shards, and the ways to find a session: by its token's digest, and by when it was issued.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::domain::{CredentialId, CredentialKey, Digest, Kind, Lasting, LastingIssue, Stranger, Tenant, Timestamp};

/// A power of two. Many, because a shard is swept whole while its lock is held.
pub(super) const SHARDS: usize = 1_024;

type Shard = HashMap<CredentialKey, Box<Lasting>>;

/// All sessions and tokens.
pub(super) struct Lastings {
    shards: Box<[RwLock<Shard>]>,
    /// Sessions by the first half of their token's digest.
    by_digest: Box<[RwLock<HashMap<CredentialId, CredentialId>>]>,
    /// Sessions of each tenant in the order in which they were issued.
    by_issue: RwLock<HashMap<Tenant, BTreeSet<(Timestamp, CredentialId)>>>,
}

impl Default for Lastings {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            by_digest: (0..SHARDS).map(|_| RwLock::default()).collect(),
            by_issue: RwLock::default(),
        }
    }
}

/// What a join changed, beyond the credential itself.
pub(super) struct Changed {
    /// The issue that another one has taken the place of.
    pub(super) lost: Option<LastingIssue>,
    /// The issue that is new.
    pub(super) gained: Option<LastingIssue>,
    /// Who had recorded endings of it without knowing it, and who has now.
    pub(super) strangers: [Vec<Stranger>; 2],
}

impl Lastings {
    pub(super) fn get(&self, key: CredentialKey) -> Lasting {
        self.shard(key.id).read().get(&key).map(|lasting| (**lasting).clone()).unwrap_or_default()
    }

    pub(super) fn session_with(&self, digest: &Digest) -> Option<CredentialId> {
        let half = digest.id();
        let id = self.by_digest[place(half)].read().get(&half).copied()?;
        let key = CredentialKey { kind: Kind::Session, id };
        let shard = self.shard(id).read();
        let issue = shard.get(&key)?.issue.as_ref()?;
        (issue.digest() == Some(digest)).then_some(id)
    }

    /// The tenant's sessions that were issued before that one, the newest first.
    pub(super) fn sessions_before(
        &self,
        tenant: &Tenant,
        before: Option<(Timestamp, CredentialId)>,
        limit: usize,
    ) -> Vec<(Timestamp, CredentialId)> {
        let by_issue = self.by_issue.read();
        let Some(sessions) = by_issue.get(tenant) else { return Vec::new() };
        match before {
            Some(before) => sessions.range(..before).rev().take(limit).copied().collect(),
            None => sessions.iter().rev().take(limit).copied().collect(),
        }
    }

    pub(super) fn join(&self, key: CredentialKey, patch: Lasting) -> Changed {
        let mut shard = self.shard(key.id).write();
        let lasting = shard.entry(key).or_default();
        let place = |lasting: &Lasting| lasting.issue.as_ref().map(|issue| issue.place);
        let (place_before, strangers_before) = (place(lasting), lasting.endings.strangers());
        let may_lose = patch.issue.is_some();
        let lost = if may_lose { lasting.issue.clone() } else { None };
        lasting.merge(patch);
        let strangers = [strangers_before, lasting.endings.strangers()];
        if place_before == place(lasting) {
            return Changed { lost: None, gained: None, strangers };
        }
        let gained = lasting.issue.clone();
        drop(shard);
        if key.kind == Kind::Session {
            lost.iter().for_each(|issue| self.forget(key.id, issue));
            gained.iter().for_each(|issue| self.remember(key.id, issue));
        }
        Changed { lost, gained, strangers }
    }

    /// Removes what is over in a shard; returns it.
    pub(super) fn sweep(&self, shard: usize, now: Timestamp) -> Vec<(CredentialKey, Lasting)> {
        let over: Vec<_> = {
            let mut shard = self.shards[shard].write();
            shard.extract_if(|_, lasting| lasting.retain_until() <= now).map(|(key, lasting)| (key, *lasting)).collect()
        };
        for (key, lasting) in over.iter().filter(|(key, _)| key.kind == Kind::Session) {
            lasting.issue.iter().for_each(|issue| self.forget(key.id, issue));
        }
        over
    }

    /// Visits every session and token of a shard while its lock is shared.
    pub(super) fn visit(&self, shard: usize, mut visit: impl FnMut(CredentialKey, &Lasting)) {
        for (key, lasting) in self.shards[shard].read().iter() {
            visit(*key, lasting);
        }
    }

    /// How many sessions and how many tokens are in memory.
    pub(super) fn len(&self) -> (usize, usize) {
        let all: usize = self.shards.iter().map(|shard| shard.read().len()).sum();
        let sessions: usize = self.by_issue.read().values().map(BTreeSet::len).sum();
        (sessions, all.saturating_sub(sessions))
    }

    fn remember(&self, id: CredentialId, issue: &LastingIssue) {
        if let Some(digest) = issue.digest() {
            // Two nodes may import one secret under two ids: whichever comes first, all find the same session by it.
            let mut by_digest = self.by_digest[place(digest.id())].write();
            by_digest.entry(digest.id()).and_modify(|other| *other = id.min(*other)).or_insert(id);
        }
        self.by_issue.write().entry(issue.tenant.clone()).or_default().insert((issue.issued_at, id));
    }

    fn forget(&self, id: CredentialId, issue: &LastingIssue) {
        if let Some(digest) = issue.digest() {
            let mut by_digest = self.by_digest[place(digest.id())].write();
            if by_digest.get(&digest.id()) == Some(&id) {
                by_digest.remove(&digest.id());
            }
        }
        let mut by_issue = self.by_issue.write();
        if let Some(sessions) = by_issue.get_mut(&issue.tenant) {
            sessions.remove(&(issue.issued_at, id));
            if sessions.is_empty() {
                by_issue.remove(&issue.tenant);
            }
        }
    }

    fn shard(&self, id: CredentialId) -> &RwLock<Shard> {
        &self.shards[place(id)]
    }
}

/// Ids are parts of digests or random UUIDs, whose last two bytes are random either way.
fn place(id: CredentialId) -> usize {
    let bytes = id.as_bytes();
    usize::from(u16::from_be_bytes([bytes[14], bytes[15]])) % SHARDS
}
