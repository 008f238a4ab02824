//! Judgements: whether a credential is active at an instant, or why not. One rule for all callers.
//!
//! A credential is revoked by the earliest of six: a removal of the node that issued it beyond the seal, a revocation
//! of its own, a revocation by its secret alone while its kind was not known, a revocation of everything that its
//! subject had, a revocation of a cohort that it belongs to, and a revocation of its session. Only if none applies does
//! its expiry count.

use super::{Active, Credential, CredentialId, CredentialKey, Digest, Inactive, Issue, Kind};
use crate::domain::cohort::CohortsOf;
use crate::domain::command::PresentedToken;
use crate::domain::ids::{ApplicationId, RecordId, Subject, Tenant};
use crate::domain::state::CredentialView;
use crate::domain::subject::Generation;
use crate::domain::time::Timestamp;

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
    if let Some((place, revoked_at)) = revoked_by(view, kind, &credential, issue, None) {
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
) -> Option<(RecordId, Timestamp)> {
    // Its own key has been checked already, except a session's, which is not made of its digest.
    let others = Kind::ALL.into_iter().filter(|other| *other != kind || kind == Kind::Session);
    let unknown = others.map(|kind| view.credential(CredentialKey { kind, id: digest.id() }));
    let revoked = unknown.filter(|credential| credential.issue.is_none()).filter_map(|credential| {
        credential.revocations.of(tenant, subject).map(|revocation| (revocation.place, revocation.revoked_at))
    });
    revoked.min_by_key(|(place, at)| (*at, *place))
}

/// The earliest record that revoked it, if one did. A JWT that is presented says more of its session than its record.
fn revoked_by(
    view: &impl CredentialView,
    kind: Kind,
    credential: &Credential,
    issue: &Issue,
    presented: Option<&PresentedToken>,
) -> Option<(RecordId, Timestamp)> {
    let subject = view.subject(&issue.tenant, &issue.subject);
    let alone = credential.revocation().map(|revocation| (revocation.place, revocation.revoked_at));
    let unseen = issue.digest().and_then(|digest| revoked_unknown(view, kind, digest, &issue.tenant, &issue.subject));
    let session = issue.session.map(|id| SessionClaims::of(view, id, presented));
    let session_issued_at = session.as_ref().and_then(|session| session.issued_at);
    let with_all = subject.revokes(kind, &issue.generation, issue.age(session_issued_at));
    let with_cohort = view.cohorts().and_then(|all| all.revokes(kind, CohortsOf::issue(issue), &issue.generation));
    let with_session = session.and_then(|session| {
        session_revoked(view, &issue.tenant, &issue.subject, session, issue.issued_at, &issue.generation)
    });
    [view.beyond_seal(issue.place), alone, unseen, with_all, with_cohort, with_session]
        .into_iter()
        .flatten()
        .min_by_key(|(place, at)| (*at, *place))
}

/// What is known of a token's session: by its issue, or by what the token says.
struct SessionClaims {
    credential: Credential,
    application: Option<ApplicationId>,
    issued_at: Option<Timestamp>,
}

impl SessionClaims {
    fn of(view: &impl CredentialView, id: CredentialId, presented: Option<&PresentedToken>) -> Self {
        let credential = view.credential(CredentialKey { kind: Kind::Session, id });
        let (application, issued_at) = match (&credential.issue, presented) {
            (Some(issue), _) => (issue.application, Some(issue.issued_at)),
            (None, Some(token)) => (token.session_application, token.session_issued_at),
            (None, None) => (None, None),
        };
        Self { credential, application, issued_at }
    }
}

/// A token is revoked with its session: the token's generation reaches everything that had revoked other sessions when
/// it was issued. A session of which nothing is known was issued no later than the token.
fn session_revoked(
    view: &impl CredentialView,
    tenant: &Tenant,
    subject: &Subject,
    SessionClaims { credential: session, application, issued_at }: SessionClaims,
    token_issued_at: Timestamp,
    generation: &Generation,
) -> Option<(RecordId, Timestamp)> {
    let kind = Kind::Session;
    let alone = session.revocations.of(tenant, subject).map(|revocation| (revocation.place, revocation.revoked_at));
    let digest = session.issue.as_ref().and_then(|issue| issue.digest().copied());
    let unseen = digest.and_then(|digest| revoked_unknown(view, kind, &digest, tenant, subject));
    let with_all = view.subject(tenant, subject).revokes(kind, generation, issued_at.unwrap_or(token_issued_at));
    let with_cohort =
        view.cohorts().and_then(|all| all.revokes(kind, CohortsOf::with_secret(tenant, application), generation));
    let too_late = session.issue.as_ref().and_then(|issue| view.beyond_seal(issue.place));
    [too_late, alone, unseen, with_all, with_cohort].into_iter().flatten().min_by_key(|(place, at)| (*at, *place))
}

/// Whether a JWT whose signature has been verified is active, seen before or not.
pub fn judge_presented(view: &impl CredentialView, token: &PresentedToken, now: Timestamp) -> Result<(), Inactive> {
    let key = CredentialKey { kind: Kind::Token, id: token.credential.id() };
    let credential = view.credential(key);
    let known =
        credential.issue.as_ref().filter(|issue| issue.tenant == token.tenant && issue.subject == token.subject);
    let revoked = match known {
        Some(issue) => revoked_by(view, Kind::Token, &credential, issue, Some(token)),
        None => revoked_unseen(view, token, &credential),
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
) -> Option<(RecordId, Timestamp)> {
    let PresentedToken { tenant, subject, .. } = token;
    let alone = credential.revocations.of(tenant, subject).map(|revocation| (revocation.place, revocation.revoked_at));
    let state = view.subject(tenant, subject);
    let session = token.session.map(|id| SessionClaims::of(view, id, Some(token)));
    let session_issued_at = session.as_ref().and_then(|session| session.issued_at);
    let with_all = match &token.generation {
        Some(generation) => {
            let issued_at = token.issued_at();
            let age = session_issued_at.map_or(issued_at, |session| issued_at.max(session));
            state.revokes(Kind::Token, generation, age)
        }
        None => state.revokes_foreign(token.issued_at_seconds, token.leeway_seconds),
    };
    let cohorts = token.cohorts();
    let with_cohort = view.cohorts().and_then(|all| match &token.generation {
        Some(generation) => all.revokes(Kind::Token, cohorts, generation),
        None => all.revokes_foreign(cohorts, token.issued_at_seconds, token.leeway_seconds),
    });
    let with_session = session.zip(token.generation.as_ref()).and_then(|(session, generation)| {
        session_revoked(view, tenant, subject, session, token.issued_at(), generation)
    });
    [alone, with_all, with_cohort, with_session].into_iter().flatten().min_by_key(|(place, at)| (*at, *place))
}
