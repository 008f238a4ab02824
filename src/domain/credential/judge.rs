//! Judgements: whether a credential is active at an instant, or why not. One rule for all callers.
//!
//! A credential is revoked by the earliest of six: a removal of the node that issued it beyond the seal, a revocation
//! of its own, a revocation by its secret alone while its kind was not known, a revocation of everything that its
//! subject had, a revocation of a cohort that it belongs to, and whatever revoked one of its ancestors. Only if none
//! applies does its expiry count: it never expires later than its ancestors do.

use super::lineage::{Ancestor, MAX_ANCESTORS, Parent};
use super::{Active, Credential, CredentialKey, Digest, Inactive, Issue, Kind};
use crate::domain::cohort::CohortsOf;
use crate::domain::command::PresentedToken;
use crate::domain::ids::{RecordId, Subject, Tenant};
use crate::domain::state::CredentialView;
use crate::domain::subject::Generation;
use crate::domain::time::Timestamp;

/// The record that revoked something, and when it was made.
type By = (RecordId, Timestamp);

/// Whether a credential whose issue this ledger holds is active at `now`.
pub fn judge(view: &impl CredentialView, key: CredentialKey, now: Timestamp) -> Result<Active, Inactive> {
    judge_known(view, key.kind, view.credential(key), now)
}

/// The same for a credential that the caller has looked up, perhaps with uses that are not on record yet.
pub fn judge_known(
    view: &impl CredentialView,
    kind: Kind,
    credential: Credential,
    now: Timestamp,
) -> Result<Active, Inactive> {
    let issue = credential.issue.as_ref().ok_or(Inactive::Unknown)?;
    if let Some((place, revoked_at)) = revoked_by(view, kind, &credential, issue, &[])? {
        return Err(Inactive::Revoked(place, revoked_at));
    }
    let expires_at = issue.expires_with(credential.latest);
    match credential.issue {
        Some(issue) if now < expires_at => Ok(Active { issue, expires_at }),
        _ => Err(Inactive::Expired),
    }
}

/// The earliest revocation by the secret alone, recorded while its kind was not known: the credential may have been
/// taken for another kind, and a session has no id there.
pub fn revoked_unknown(
    view: &impl CredentialView,
    kind: Kind,
    digest: &Digest,
    tenant: &Tenant,
    subject: &Subject,
) -> Option<By> {
    // Its own key has been checked already, except a session's, which is not made of its digest.
    let others = Kind::ALL.into_iter().filter(|other| *other != kind || kind == Kind::Session);
    let unknown = others.map(|kind| view.credential(CredentialKey { kind, id: digest.id() }));
    let revoked = unknown.filter(|credential| credential.issue.is_none()).filter_map(|credential| {
        credential.revocations.of(tenant, subject).map(|revocation| (revocation.place, revocation.revoked_at))
    });
    earliest(revoked)
}

fn earliest(revoked: impl IntoIterator<Item = By>) -> Option<By> {
    revoked.into_iter().min_by_key(|(place, at)| (*at, *place))
}

/// The earliest record that revoked it, if one did. A JWT that is presented says more of its ancestors than its record.
fn revoked_by(
    view: &impl CredentialView,
    kind: Kind,
    credential: &Credential,
    issue: &Issue,
    presented: &[Ancestor],
) -> Result<Option<By>, Inactive> {
    let Issue { tenant, subject, generation, .. } = issue;
    let state = view.subject(tenant, subject);
    let alone = credential.revocation().map(|revocation| (revocation.place, revocation.revoked_at));
    let unseen = issue.digest().and_then(|digest| revoked_unknown(view, kind, digest, tenant, subject));
    let descendant = Descendant { tenant, issued_at: issue.issued_at, generation };
    let above = descendant.above(view, issue.parent(), subject, presented)?;
    let with_all = state.revokes(kind, generation, issue.age(above.issued_at));
    let with_cohort = view.cohorts().and_then(|all| all.revokes(kind, CohortsOf::issue(issue), generation));
    let revoked = [view.beyond_seal(issue.place), alone, unseen, with_all, with_cohort, above.revoked];
    Ok(earliest(revoked.into_iter().flatten()))
}

/// What the judgement of a credential takes from its parent and the ancestors above.
#[derive(Default)]
struct Above {
    revoked: Option<By>,
    /// When the parent was issued, if that is known.
    issued_at: Option<Timestamp>,
}

/// A credential whose ancestors are judged.
///
/// They are judged by its generation, and not by their own: it reaches everything that had revoked others of their kinds,
/// subjects and cohorts when it was issued, because they were active then. So a JWT need not carry several.
#[derive(Clone, Copy)]
struct Descendant<'a> {
    tenant: &'a Tenant,
    issued_at: Timestamp,
    generation: &'a Generation,
}

impl Descendant<'_> {
    /// The parent and the ancestors above: each by its issue, else by what is presented of it. A lineage that could not
    /// have been issued, with too many generations or with an ancestor of another tenant, makes the credential inactive.
    fn above(
        self,
        view: &impl CredentialView,
        parent: Option<Parent>,
        subject: &Subject,
        presented: &[Ancestor],
    ) -> Result<Above, Inactive> {
        match parent {
            None => Ok(Above::default()),
            Some(parent) => self.ancestor(view, parent, subject, presented, 1),
        }
    }

    /// An ancestor and those above. `subject` is its child's, and `number` counts from the parent.
    fn ancestor(
        self,
        view: &impl CredentialView,
        parent: Parent,
        subject: &Subject,
        presented: &[Ancestor],
        number: usize,
    ) -> Result<Above, Inactive> {
        if number > MAX_ANCESTORS {
            return Err(Inactive::Unknown);
        }
        let (kind, credential) = (parent.key.kind, view.credential(parent.key));
        let shown = presented.split_first().filter(|(shown, _)| shown.key() == parent.key);
        let rest = shown.map_or(&[][..], |(_, rest)| rest);
        if let Some(issue) = &credential.issue {
            if issue.tenant != *self.tenant {
                return Err(Inactive::Unknown);
            }
            let above = match issue.parent() {
                None => Above::default(),
                Some(next) => self.ancestor(view, next, &issue.subject, rest, number + 1)?,
            };
            let issued_at = issue.age(above.issued_at);
            let itself = self.reached(view, kind, &credential, &issue.subject, CohortsOf::issue(issue), issued_at);
            let unseen =
                issue.digest().and_then(|digest| revoked_unknown(view, kind, digest, self.tenant, &issue.subject));
            let revoked = [view.beyond_seal(issue.place), unseen, itself, above.revoked];
            return Ok(Above { revoked: earliest(revoked.into_iter().flatten()), issued_at: Some(issued_at) });
        }
        let Some((shown, _)) = shown else {
            return Ok(Above { revoked: self.unheard_of(view, parent, &credential, subject), issued_at: None });
        };
        let above = match rest.first() {
            None => Above::default(),
            Some(next) => {
                let next = Parent { key: next.key(), same_subject: next.subject == shown.subject };
                self.ancestor(view, next, &shown.subject, rest, number + 1)?
            }
        };
        let issued_at = shown.issued_at.into_iter().chain(above.issued_at).max();
        let cohorts = CohortsOf {
            issuer: shown.name.issuer(),
            key: shown.signed_with.as_ref(),
            ..CohortsOf::with_secret(self.tenant, shown.application)
        };
        let age = issued_at.unwrap_or(self.issued_at);
        let itself = self.reached(view, kind, &credential, &shown.subject, cohorts, age);
        Ok(Above { revoked: earliest(itself.into_iter().chain(above.revoked)), issued_at })
    }

    /// The earliest record that revoked the ancestor, by itself or with everything that its subject or a cohort had.
    fn reached(
        self,
        view: &impl CredentialView,
        kind: Kind,
        ancestor: &Credential,
        subject: &Subject,
        cohorts: CohortsOf<'_>,
        issued_at: Timestamp,
    ) -> Option<By> {
        let alone = ancestor.revocations.of(self.tenant, subject);
        let alone = alone.map(|revocation| (revocation.place, revocation.revoked_at));
        let with_all = view.subject(self.tenant, subject).revokes(kind, self.generation, issued_at);
        let with_cohort = view.cohorts().and_then(|all| all.revokes(kind, cohorts, self.generation));
        earliest([alone, with_all, with_cohort].into_iter().flatten())
    }

    /// The same of an ancestor whose issue has not arrived, or has left memory: its id is known, and perhaps its subject.
    /// It was issued no later than its descendant.
    fn unheard_of(
        self,
        view: &impl CredentialView,
        parent: Parent,
        ancestor: &Credential,
        subject: &Subject,
    ) -> Option<By> {
        if parent.same_subject {
            let cohorts = CohortsOf::with_secret(self.tenant, None);
            return self.reached(view, parent.key.kind, ancestor, subject, cohorts, self.issued_at);
        }
        let of_any = ancestor.revocations.of_any_subject(self.tenant);
        earliest(of_any.map(|revocation| (revocation.place, revocation.revoked_at)))
    }
}

/// Whether a JWT whose signature has been verified is active, seen before or not.
pub fn judge_presented(view: &impl CredentialView, token: &PresentedToken, now: Timestamp) -> Result<(), Inactive> {
    let key = CredentialKey { kind: Kind::Token, id: token.credential.id() };
    let credential = view.credential(key);
    let known =
        credential.issue.as_ref().filter(|issue| issue.tenant == token.tenant && issue.subject == token.subject);
    let revoked = match known {
        Some(issue) => revoked_by(view, Kind::Token, &credential, issue, &token.ancestors)?,
        None => revoked_unseen(view, token, &credential)?,
    };
    if let Some((place, revoked_at)) = revoked {
        return Err(Inactive::Revoked(place, revoked_at));
    }
    if token.ends_at().is_none_or(|end| now < end) { Ok(()) } else { Err(Inactive::Expired) }
}

/// For a token without an issue here: a token of this ledger carries its generation, a foreign one only its time of
/// issue.
fn revoked_unseen(
    view: &impl CredentialView,
    token: &PresentedToken,
    credential: &Credential,
) -> Result<Option<By>, Inactive> {
    let PresentedToken { tenant, subject, .. } = token;
    let alone = credential.revocations.of(tenant, subject).map(|revocation| (revocation.place, revocation.revoked_at));
    let state = view.subject(tenant, subject);
    let (cohorts, all) = (token.cohorts(), view.cohorts());
    let Some(generation) = &token.generation else {
        let with_all = state.revokes_foreign(token.issued_at_seconds, token.leeway_seconds);
        let with_cohort =
            all.and_then(|all| all.revokes_foreign(cohorts, token.issued_at_seconds, token.leeway_seconds));
        return Ok(earliest([alone, with_all, with_cohort].into_iter().flatten()));
    };
    let issued_at = token.issued_at();
    let descendant = Descendant { tenant, issued_at, generation };
    let parent =
        token.ancestors.first().map(|parent| Parent { key: parent.key(), same_subject: parent.subject == *subject });
    let above = descendant.above(view, parent, subject, &token.ancestors)?;
    let age = above.issued_at.map_or(issued_at, |parent| issued_at.max(parent));
    let with_all = state.revokes(Kind::Token, generation, age);
    let with_cohort = all.and_then(|all| all.revokes(Kind::Token, cohorts, generation));
    Ok(earliest([alone, with_all, with_cohort, above.revoked].into_iter().flatten()))
}
