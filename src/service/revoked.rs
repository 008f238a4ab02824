//! The credentials of a subject that one record revoked: all that were active until then.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::Service;
use super::machine::Filed;
use super::pace::STEP_ROWS;
use crate::domain::{
    Ancestor, Cohorts, Credential, CredentialKey, CredentialView, Event, Generation, Inactive, Issue, Kind, Kinds,
    RecordId, Subject, SubjectState, Tenant, Timestamp, ancestors, judge_known,
};
use crate::projection::{InForce, RevocationMark};

/// A credential that one record revoked together with others.
#[derive(Clone, Debug)]
pub struct RevokedTogether {
    pub kind: Kind,
    /// Its public id.
    pub id: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it would have expired.
    pub expires_at: Timestamp,
}

/// A record that revoked everything that a subject had of some kinds, and the revocations before it.
pub struct WholeRevocation {
    tenant: Tenant,
    subject: Subject,
    place: RecordId,
    revoked_at: Timestamp,
    kinds: Kinds,
    before: SubjectState,
}

/// Lets one in at a time.
type Turnstile = Arc<tokio::sync::Mutex<()>>;

/// Subjects that are being revoked right now, each with a queue for waiting calls: a subject's revocations come one
/// after the other, because the state that each finds is gone with the next, and then it is unknown which of them
/// revoked what. No subject waits for another one.
#[derive(Default)]
pub(super) struct OneByOne(Mutex<HashMap<(Tenant, Subject), Turnstile>>);

/// The turn to revoke a subject alone, for as long as it exists.
pub(super) struct SubjectTurn<'a> {
    all: &'a OneByOne,
    whom: (Tenant, Subject),
    /// There until it is dropped.
    place: Option<Turnstile>,
    held: Option<OwnedMutexGuard<()>>,
}

impl OneByOne {
    pub(super) async fn lock(&self, tenant: &Tenant, subject: &Subject) -> SubjectTurn<'_> {
        let whom = (tenant.clone(), subject.clone());
        let place = self.0.lock().entry(whom.clone()).or_default().clone();
        // Made before it waits: a caller that gives up releases its place all the same.
        let mut alone = SubjectTurn { all: self, whom, place: Some(place.clone()), held: None };
        alone.held = Some(place.lock_owned().await);
        alone
    }
}

impl Drop for SubjectTurn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut all = self.all.0.lock();
        // Given back while the map is locked: of two that leave at once, the later one finds only the map's reference.
        self.place = None;
        if all.get(&self.whom).is_some_and(|place| Arc::strong_count(place) == 1) {
            all.remove(&self.whom);
        }
    }
}

impl WholeRevocation {
    /// Nothing, if the record did not revoke a subject.
    pub(super) fn new(filed: &Filed, before: SubjectState) -> Option<Self> {
        let recorded = &filed.recorded;
        let Event::SubjectRevoked(revoked) = &recorded.event else { return None };
        Some(Self {
            tenant: recorded.tenant.clone().unwrap_or_default(),
            subject: revoked.subject.clone(),
            place: recorded.place,
            revoked_at: recorded.recorded_at,
            kinds: revoked.kinds,
            before,
        })
    }

    /// When the record was made.
    pub fn revoked_at(&self) -> Timestamp {
        self.revoked_at
    }

    /// Whether a credential of the subject was issued too early for the record, which names its kind or that of an ancestor.
    fn revokes(&self, view: &impl CredentialView, kind: Kind, issue: &Issue) -> bool {
        let unheard_of = issue.parent().filter(|parent| parent.same_subject && self.kinds.contains(parent.key.kind));
        let is_named = |ancestor: &Ancestor| ancestor.subject == self.subject && self.kinds.contains(ancestor.kind);
        let named =
            self.kinds.contains(kind) || unheard_of.is_some() || ancestors(view, issue.parent()).iter().any(is_named);
        let required = Generation::from_iter([(self.place.origin, self.place.sequence)]);
        named && !issue.generation.reaches(&required)
    }

    /// Whether a credential had not been revoked before: nothing else revoked it, or something that came later.
    fn is_first<T>(&self, judged: Result<T, Inactive>) -> bool {
        match judged {
            Ok(_) => true,
            Err(Inactive::Revoked(place, at)) => {
                let same = place.origin == self.place.origin;
                if same { place.sequence > self.place.sequence } else { at > self.revoked_at }
            }
            Err(Inactive::Expired | Inactive::Unknown) => false,
        }
    }
}

impl Service {
    /// The tenant after that one in which something was revoked. The first is none, whose revocations hold in every tenant.
    pub fn revoked_after(&self, tenant: Option<&Option<Tenant>>) -> Option<Option<Tenant>> {
        self.projection.revoked_after(tenant)
    }

    /// The revocations in that tenant that are in force at `now`: those of the next [`STEP_ROWS`] credentials and subjects after the
    /// mark, and the mark to go on from.
    pub fn revocations_in_force(
        &self,
        tenant: &Option<Tenant>,
        kinds: Kinds,
        after: Option<RevocationMark>,
        now: Timestamp,
    ) -> (Vec<InForce>, Option<RevocationMark>) {
        self.projection.revocations(tenant, kinds, after, STEP_ROWS, now)
    }

    /// The credentials of a subject that were active until that record revoked all of them: a page, and the start of
    /// the next one.
    pub fn revoked_together(
        &self,
        revoked: &WholeRevocation,
        after: Option<CredentialKey>,
    ) -> (Vec<RevokedTogether>, Option<CredentialKey>) {
        let scanned = self.projection.credentials_of(&revoked.tenant, &revoked.subject, Kinds::ALL, after, STEP_ROWS);
        let view = StateBefore { view: &*self.projection, revoked };
        let found = scanned.iter().filter_map(|key| view.revoked_by(*key)).collect();
        (found, scanned.last().copied().filter(|_| scanned.len() == STEP_ROWS))
    }
}

/// The state, with the revocations of the subject before the record.
struct StateBefore<'a, V> {
    view: &'a V,
    revoked: &'a WholeRevocation,
}

impl<V: CredentialView> StateBefore<'_, V> {
    fn revoked_by(&self, key: CredentialKey) -> Option<RevokedTogether> {
        let revoked_at = self.revoked.revoked_at;
        let credential = self.view.credential(key);
        let issue = credential.issue.as_ref();
        let issue = issue.filter(|issue| self.revoked.revokes(self.view, key.kind, issue))?;
        if !self.revoked.is_first(judge_known(self, key.kind, credential.clone(), revoked_at)) {
            return None;
        }
        let id = issue.named(key).public_id(key.kind)?;
        let (issued_at, expires_at) = (issue.issued_at, credential.expires_at()?);
        // A credential that something else revoked later could have expired by then.
        (revoked_at < expires_at).then_some(RevokedTogether { kind: key.kind, id, issued_at, expires_at })
    }
}

impl<V: CredentialView> CredentialView for StateBefore<'_, V> {
    fn credential(&self, key: CredentialKey) -> Credential {
        self.view.credential(key)
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        if *tenant == self.revoked.tenant && *subject == self.revoked.subject {
            return self.revoked.before.clone();
        }
        self.view.subject(tenant, subject)
    }

    fn cohorts(&self) -> Option<Cohorts> {
        self.view.cohorts()
    }

    fn beyond_seal(&self, place: RecordId) -> Option<(RecordId, Timestamp)> {
        self.view.beyond_seal(place)
    }
}
