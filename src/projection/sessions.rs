//! Sessions, and the ways to find one: by its token's digest, and by when it was issued.

use std::collections::BTreeSet;

use parking_lot::RwLock;

use super::forms::{IssuedRow, PackedRow as _, RowKind as _, SessionRow};
use super::handle::{Handle, Layout};
use super::index::Index;
use super::packed::InternedValues;
use super::store::{SlotContent, Store};
use crate::domain::{CredentialId, Digest, HashMap, Tenant, Timestamp};

/// Sessions in the order in which they were issued.
type ByIssue = BTreeSet<(Timestamp, CredentialId)>;

/// All sessions.
pub(super) struct Sessions {
    pub(super) store: Store<SessionRow>,
    by_digest: Index,
    by_issue: RwLock<HashMap<Tenant, ByIssue>>,
}

impl Sessions {
    pub(super) fn new(layout: Layout) -> Self {
        Self { store: Store::new(layout), by_digest: Index::default(), by_issue: RwLock::default() }
    }

    /// The session whose token has that digest. Two nodes may import one secret under two ids: then the smaller id.
    pub(super) fn with_digest(&self, digest: &Digest) -> Option<CredentialId> {
        let mut found = None;
        self.by_digest.each(digest, |bits| {
            let id = self.store.at(Handle::from_bits(bits), |held| id_with(held, digest)).flatten();
            found = found.into_iter().chain(id).min();
        });
        found
    }

    /// The tenant's sessions that were issued before that one, the newest first.
    pub(super) fn before(
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

    /// The place of the session there, if it was issued.
    pub(super) fn place_at(&self, handle: Handle) -> Option<(Timestamp, CredentialId)> {
        let place = |held: SlotContent<'_, SessionRow>| match held {
            SlotContent::Packed(row) => Some((row.0.issued_at(), row.0.id())),
            SlotContent::Apart(id, credential) => Some((credential.issue.as_ref()?.issued_at, id)),
        };
        self.store.at(handle, place).flatten()
    }

    pub(super) fn remember(&self, id: CredentialId, handle: Handle, issued: &IssuedRow, shared: &InternedValues) {
        self.remember_digest(handle, issued);
        let Some(tenant) = shared.subjects.tenant(issued.subject) else { return };
        self.by_issue.write().entry(tenant).or_default().insert((issued.issued_at, id));
    }

    pub(super) fn remember_digest(&self, handle: Handle, issued: &IssuedRow) {
        issued.digest.iter().for_each(|digest| self.by_digest.insert(digest, handle.bits()));
    }

    /// Remembers many sessions at once.
    pub(super) fn remember_issues(&self, mut sessions: Vec<(Tenant, Timestamp, CredentialId)>) {
        sessions.sort_unstable();
        let mut by_issue = self.by_issue.write();
        for of_tenant in sessions.chunk_by(|one, other| one.0 == other.0) {
            // In order, and all at once: so the tree's nodes are full.
            let mut fresh: ByIssue = of_tenant.iter().map(|(_, issued_at, id)| (*issued_at, *id)).collect();
            by_issue.entry_ref(&of_tenant[0].0).or_default().append(&mut fresh);
        }
    }

    pub(super) fn forget(&self, id: CredentialId, handle: Handle, issued: &IssuedRow, shared: &InternedValues) {
        issued.digest.iter().for_each(|digest| self.by_digest.remove(digest, handle.bits()));
        let Some(tenant) = shared.subjects.tenant(issued.subject) else { return };
        let mut by_issue = self.by_issue.write();
        if let Some(sessions) = by_issue.get_mut(&tenant) {
            sessions.remove(&(issued.issued_at, id));
            if sessions.is_empty() {
                by_issue.remove(&tenant);
            }
        }
    }

    /// How many were issued.
    pub(super) fn issued(&self) -> usize {
        self.by_issue.read().values().map(BTreeSet::len).sum()
    }
}

fn id_with(held: SlotContent<'_, SessionRow>, digest: &Digest) -> Option<CredentialId> {
    match held {
        SlotContent::Packed(row) => (row.digest() == Some(*digest)).then(|| row.row().id()),
        SlotContent::Apart(id, lasting) => {
            let issue = lasting.issue.as_ref()?;
            (issue.digest() == Some(digest)).then_some(id)
        }
    }
}
