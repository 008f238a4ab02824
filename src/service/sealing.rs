//! Sealing of personal data: under a key of its subject, bound to the record's object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Failure, Service};
use crate::domain::{
    Cohort, CredentialKey, CredentialRef, CredentialView as _, Kind, Kinds, Origin, Sealed, Subject, Tenant,
};
use crate::event_log::Base;
use crate::keys::{BorrowedKeys, KeyError, SealError, SealingKeys};

/// How many slots are ready ahead of the next one.
const SLOTS_AHEAD: u64 = 2_048;
/// How many of a subject's credentials are searched for a key that it has already.
const MAX_LOOKED_AT: usize = 8;
/// The slot of data that belongs to no known subject.
pub(super) const NOBODY: u64 = 0;

/// The sealing keys, and the next slot.
pub(super) struct Sealer {
    keys: SealingKeys,
    /// Copies of the keys under which other nodes seal.
    borrowed: BorrowedKeys,
    next: AtomicU64,
    /// The origins whose records they seal: this node's, and those that it continues.
    origins: Vec<Origin>,
}

/// The object that sealed data belongs to. The data opens nowhere else.
pub(super) enum Belongs<'a> {
    /// A session's identity and device.
    Session(CredentialKey),
    /// A token's claims.
    Token(&'a CredentialRef),
    /// The note of a credential's revocation.
    Revocation(Kind, &'a CredentialRef),
    /// The note of a revocation of everything that a subject had.
    SubjectRevocation(&'a Tenant, &'a Subject),
    /// The note of a revocation of a cohort.
    CohortRevocation(&'a Cohort),
}

impl Belongs<'_> {
    /// The associated data: `schema/sealing.md`. A revocation is an "ending" in it, because existing data was sealed so.
    fn context(&self, origin: Origin) -> Vec<u8> {
        let name = |named: &CredentialRef| match named {
            CredentialRef::Jwt { jti, .. } => jti.to_string(),
            CredentialRef::Digest(digest) | CredentialRef::Payload { digest, .. } => digest.to_string(),
            CredentialRef::Id(id) => id.to_string(),
        };
        let what = match self {
            Self::Session(key) => format!("session\n{}", key.id),
            Self::Token(named) => format!("token\n{}", name(named)),
            Self::Revocation(kind, named) => format!("{kind} ending\n{}", name(named)),
            Self::SubjectRevocation(tenant, subject) => format!("subject ending\n{tenant}\n{subject}"),
            Self::CohortRevocation(cohort) => {
                let (what, name) = cohort.named();
                format!("cohort revocation\n{what}\n{name}")
            }
        };
        format!("authledger sealed v1\n{origin}\n{what}").into_bytes()
    }
}

impl Sealer {
    /// Continues after the last slot that the log names.
    pub(super) fn new(
        keys: SealingKeys,
        borrowed: BorrowedKeys,
        last: Option<u64>,
        origins: Vec<Origin>,
    ) -> Result<Self, KeyError> {
        let next = last.unwrap_or(NOBODY) + 1;
        keys.ensure(next + SLOTS_AHEAD)?;
        Ok(Self { keys, borrowed, next: AtomicU64::new(next), origins })
    }

    /// The origins whose records these keys seal.
    pub(super) fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Destroys keys, and those that were destroyed before once more: a copy of the file may have been put back.
    pub(super) fn destroy(&self, slots: &BTreeSet<u64>) -> Result<(), KeyError> {
        // The node's own key seals data that belongs to no known subject; and a key that was never made opens nothing.
        let made = slots.iter().copied().filter(|slot| *slot != NOBODY && self.keys.has(*slot));
        self.keys.erase_all(&made.collect::<Vec<_>>())
    }

    /// Destroys those of these keys that still exist.
    pub(super) fn destroy_rest(&self, slots: &BTreeSet<u64>) -> Result<usize, KeyError> {
        let rest: BTreeSet<u64> = slots.iter().copied().filter(|slot| !self.keys.is_erased(*slot)).collect();
        self.destroy(&rest)?;
        Ok(rest.len())
    }

    /// Destroys the copies of other origins' keys.
    pub(super) fn destroy_borrowed(&self, slots: &BTreeMap<Origin, BTreeSet<u64>>) -> Result<(), KeyError> {
        let others = slots.iter().filter(|(origin, _)| !self.origins.contains(origin));
        for (origin, slots) in others {
            let rest: Vec<u64> = slots.iter().copied().filter(|slot| *slot != NOBODY).collect();
            self.borrowed.erase(*origin, &rest)?;
        }
        Ok(())
    }

    /// The key in that slot of that origin's store, for another member.
    fn lend(&self, origin: Origin, slot: u64) -> Option<String> {
        // The node's own key does not seal personal data of any known subject.
        if slot == NOBODY {
            return None;
        }
        if self.origins.contains(&origin) { self.keys.lend(slot) } else { self.borrowed.lend(origin, slot) }
    }

    fn allot(&self) -> Result<u64, Failure> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        if slot.is_multiple_of(SLOTS_AHEAD / 2) {
            self.keys.ensure(slot + SLOTS_AHEAD).map_err(Failure::key)?;
        }
        Ok(slot)
    }
}

/// Keys that this node can lend.
#[derive(Debug)]
pub struct Lent {
    /// Whether the origin is this node's: then a missing key was destroyed, or never made.
    pub is_own: bool,
    /// Slots, each with its key in base64url.
    pub keys: Vec<(u64, String)>,
}

/// Rows of the log that are searched for keys at a time.
const LOOKED_THROUGH_ROWS: usize = 2_000;

impl Service {
    /// The keys in these slots of that origin's store, as far as they are here. For members alone.
    pub async fn lend_keys(&self, origin: Origin, slots: Vec<u64>) -> Result<Lent, Failure> {
        let sealer = self.sealer.clone();
        let lent = tokio::task::spawn_blocking(move || {
            let key = |slot: u64| sealer.lend(origin, slot).map(|key| (slot, key));
            Lent { is_own: sealer.origins.contains(&origin), keys: slots.into_iter().filter_map(key).collect() }
        });
        lent.await.map_err(Failure::of_task)
    }

    /// Keeps copies of keys of another origin.
    pub async fn borrow_keys(&self, origin: Origin, lent: Vec<(u64, String)>) -> Result<(), Failure> {
        let sealer = self.sealer.clone();
        let kept = tokio::task::spawn_blocking(move || sealer.borrowed.keep(origin, &lent));
        kept.await.map_err(Failure::of_task)?.map_err(Failure::key)?;
        // Sessions that were shown without their personal data have it now.
        self.facts.empty();
        Ok(())
    }

    /// The keys that records after that place name, and that are neither here nor destroyed; moves the base past the
    /// searched records. Keys of erased subjects are not missing.
    pub async fn missing_keys(&self, mut base: Base) -> Result<(BTreeMap<Origin, BTreeSet<u64>>, Base), Failure> {
        let (sealer, projection) = (self.sealer.clone(), self.projection.clone());
        self.read(move |reader| {
            let mut missing: BTreeMap<Origin, BTreeSet<u64>> = BTreeMap::new();
            for stored in reader.next_page(&mut base, LOOKED_THROUGH_ROWS)? {
                let origin = stored.place.origin;
                // Most records have no sealed part, and are not decoded.
                if sealer.origins.contains(&origin) || !stored.record.contains("\"sealed\":") {
                    continue;
                }
                let recorded = stored.decode()?;
                let Some((subject, sealed)) = recorded.event.sealed() else { continue };
                let tenant = recorded.tenant.clone().unwrap_or_default();
                let is_erased = |subject| projection.subject(&tenant, subject).erasure.is_some();
                let is_wanted = sealed.slot != NOBODY && !subject.is_some_and(is_erased);
                if is_wanted && !sealer.borrowed.is_settled(origin, sealed.slot).map_err(Failure::key)? {
                    missing.entry(origin).or_default().insert(sealed.slot);
                }
            }
            Ok((missing, base))
        })
        .await
    }

    /// Seals personal data of a subject, under the key that one of its credentials has already, or else under a new
    /// one.
    pub(super) fn seal(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        belongs: &Belongs<'_>,
        plain: &[u8],
    ) -> Result<Sealed, Failure> {
        let Some(slot) = self.slot_of(tenant, subject) else {
            return self.seal_under(self.sealer.allot()?, belongs, plain);
        };
        match self.sealed_under(slot, belongs, plain) {
            // Its key was destroyed to erase earlier data; data from now on has another key.
            Err(SealError::Erased { .. }) => self.seal_under(self.sealer.allot()?, belongs, plain),
            sealed => sealed.map_err(Failure::key),
        }
    }

    /// Seals the note of a revocation: under its subject's key if that is known, else under the node's own.
    pub(super) fn seal_note(
        &self,
        whose: Option<(&Tenant, &Subject)>,
        belongs: &Belongs<'_>,
        note: &str,
    ) -> Result<Sealed, Failure> {
        match whose {
            Some((tenant, subject)) => self.seal(tenant, subject, belongs, note.as_bytes()),
            None => self.seal_under(NOBODY, belongs, note.as_bytes()),
        }
    }

    fn seal_under(&self, slot: u64, belongs: &Belongs<'_>, plain: &[u8]) -> Result<Sealed, Failure> {
        self.sealed_under(slot, belongs, plain).map_err(Failure::key)
    }

    fn sealed_under(&self, slot: u64, belongs: &Belongs<'_>, plain: &[u8]) -> Result<Sealed, SealError> {
        let sealed = self.sealer.keys.seal(slot, &belongs.context(self.origin), plain)?;
        Ok(Sealed { slot, sealed: URL_SAFE_NO_PAD.encode(sealed).into() })
    }

    /// The sealed part of a record of that origin, if its key is here and has not been destroyed.
    pub(super) fn open_sealed(&self, origin: Origin, belongs: &Belongs<'_>, sealed: &Sealed) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(&*sealed.sealed).ok()?;
        if !self.sealer.origins.contains(&origin) {
            return self.sealer.borrowed.open_sealed(origin, sealed.slot, &belongs.context(origin), &bytes);
        }
        self.sealer.keys.open_sealed(sealed.slot, &belongs.context(origin), &bytes).ok()
    }

    fn slot_of(&self, tenant: &Tenant, subject: &Subject) -> Option<u64> {
        let kinds = Kinds::from_iter([Kind::Session, Kind::Token]);
        let keys = self.projection.credentials_of(tenant, subject, kinds, None, MAX_LOOKED_AT);
        keys.into_iter().find_map(|key| {
            let issue = self.projection.credential(key).issue;
            issue.filter(|issue| self.sealer.origins.contains(&issue.place.origin)).and_then(|issue| issue.slot)
        })
    }
}
