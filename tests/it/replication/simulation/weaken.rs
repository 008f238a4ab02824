//! Rules left out, one at a time: the checks must notice each.

use std::collections::BTreeSet;
use std::sync::Arc;

use authledger::domain::{
    Cohorts, Credential, CredentialKey, CredentialView, Inactive, Members, NodeKey, PresentedToken, RecordId,
    Revocations, State, Subject, SubjectState, Tenant, Timestamp, judge, judge_presented,
};

/// The rule that is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weakness {
    /// None.
    #[default]
    None,
    /// Generations are compared with nothing, so that no revocation of a subject revokes anything.
    GenerationsAreNotCompared,
    /// Revocations of credentials that were not known revoke nothing.
    UnknownRevocationsAreForgotten,
    /// A credential that a removed node issued beyond its seal is active.
    SealsAreIgnored,
    /// A member is not waited for.
    AMemberIsNotWaitedFor,
    /// Neither where a parcel's records begin nor the end that a later origin names is compared with the records held: each of the two
    /// shows most forks alone. So that there are two histories to compare, nodes forget the runs and words of others in a crash, too.
    BasesAreNotCompared,
    /// A directory is used whatever others hold.
    OriginsAreAlwaysContinued,
    /// A node answers before all others wait for it.
    NodesAnswerAtOnce,
}

impl Weakness {
    /// Every rule that can be left out.
    pub const ALL: [Self; 7] = [
        Self::GenerationsAreNotCompared,
        Self::UnknownRevocationsAreForgotten,
        Self::SealsAreIgnored,
        Self::AMemberIsNotWaitedFor,
        Self::BasesAreNotCompared,
        Self::OriginsAreAlwaysContinued,
        Self::NodesAnswerAtOnce,
    ];

    /// Whether the words of others about an origin, and the runs that they have begun, outlast a crash and count.
    pub fn remembers(self) -> bool {
        !matches!(self, Self::BasesAreNotCompared | Self::OriginsAreAlwaysContinued)
    }

    /// The members that a node waits for.
    pub fn members(self, members: Arc<Members>, own: NodeKey) -> Arc<Members> {
        if self != Self::AMemberIsNotWaitedFor {
            return members;
        }
        let left_out = members.iter().map(|(key, _)| key).find(|key| *key != own);
        let mut fewer = Members::default();
        members.iter().filter(|(key, _)| Some(*key) != left_out).for_each(|(key, one)| fewer.join(key, one.clone()));
        Arc::new(fewer)
    }

    /// How a credential stands at that state; a JWT as it is presented.
    pub fn judge(
        self,
        state: &State,
        unseen: &BTreeSet<RecordId>,
        key: CredentialKey,
        jwt: Option<&PresentedToken>,
        now: Timestamp,
    ) -> Result<(), Inactive> {
        if self == Self::None {
            return judged(state, key, jwt, now);
        }
        judged(&Weakened { state, unseen, weakness: self }, key, jwt, now)
    }
}

fn judged(
    view: &impl CredentialView,
    key: CredentialKey,
    jwt: Option<&PresentedToken>,
    now: Timestamp,
) -> Result<(), Inactive> {
    if let Some(jwt) = jwt {
        return judge_presented(view, jwt, now);
    }
    judge(view, key, now).map(drop)
}

/// A state, and the revocations that are not to be seen in it.
struct Weakened<'a> {
    state: &'a State,
    /// The revocations of credentials that were not known.
    unseen: &'a BTreeSet<RecordId>,
    weakness: Weakness,
}

impl Weakened<'_> {
    fn revocations(&self, revocations: Revocations) -> Revocations {
        if self.weakness != Weakness::UnknownRevocationsAreForgotten {
            return revocations;
        }
        let mut seen = Revocations::default();
        let known = revocations.iter().filter(|revocation| !self.unseen.contains(&revocation.place));
        known.for_each(|revocation| seen.merge(Revocations::one(revocation.clone())));
        seen
    }
}

impl CredentialView for Weakened<'_> {
    fn credential(&self, key: CredentialKey) -> Credential {
        let credential = self.state.credential(key);
        Credential { revocations: self.revocations(credential.revocations), ..credential }
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        match self.weakness {
            Weakness::GenerationsAreNotCompared => SubjectState::default(),
            _ => self.state.subject(tenant, subject),
        }
    }

    fn cohorts(&self) -> Option<Cohorts> {
        match self.weakness {
            Weakness::GenerationsAreNotCompared => None,
            _ => self.state.cohorts(),
        }
    }

    fn beyond_seal(&self, place: RecordId) -> Option<(RecordId, Timestamp)> {
        if self.weakness == Weakness::SealsAreIgnored { None } else { self.state.beyond_seal(place) }
    }
}
