//! Revocations: of one credential, of a presented JWT, of the caller's own sessions, of many sessions of a tenant, of
//! everything that a subject has.

use std::collections::BTreeSet;

use super::super::application::{Grants, Scope};
use super::super::command::{
    Caller, Context, Decision, ManySessions, OwnSessions, Policy, PresentedToken, Revoke, RevokeSessions,
    RevokeSubject, RevokeTokens,
};
use super::super::credential::{
    CredentialId, CredentialKey, CredentialRef, Digest, Inactive, Kind, Kinds, UnknownRevoker, judge, judge_known,
    judge_presented, unheard_of,
};
use super::super::event::{CredentialRevoked, Draft, Event, Sealed, SubjectRevoked};
use super::super::ids::{ApplicationId, RecordId, Subject, Tenant};
use super::super::rejections::{
    AnyRejection, Forbidden, RevokeOwnRejection, RevokeRejection, RevokeSessionsRejection, RevokeSubjectRejection,
    RevokeTokensRejection,
};
use super::super::state::View;
use super::super::time::{RETENTION_MARGIN_MILLIS, Timestamp, Ttl};
use super::{allow, alone, one as append_one};

/// The most sessions that one append revokes one by one.
pub const MAX_OWN_SESSIONS: usize = 5_000;
/// The most revocations of unknown credentials that one subject may have in force.
const MAX_UNKNOWN_OF_SUBJECT: u64 = 100;

/// A credential that this node knows, and may still have to revoke.
struct KnownCredential {
    kind: Kind,
    named: CredentialRef,
    session_digest: Option<Digest>,
    tenant: Tenant,
    subject: Subject,
    retain_until: Timestamp,
    revoked_by: Option<RecordId>,
    /// The application that issued it, if one did.
    application: Option<ApplicationId>,
}

pub fn one(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    revoke: &Revoke,
    context: Context,
) -> Result<Decision, RevokeRejection> {
    if !grants.somewhere(Scope::Revoke) {
        return Err(Forbidden.into());
    }
    // A credential over which the caller has no authority does not exist for it.
    let known = find(view, revoke, context.earliest);
    let known = known.filter(|known| grants.in_tenant(&known.tenant).contains(Scope::Revoke));
    let Some(known) = known else { return unknown(view, grants, caller, revoke, context) };
    Ok(revoke_known(known, revoke))
}

/// For a caller that presents the secret: it knows of the credential already, so it is told that it has no authority.
pub fn one_presented(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    revoke: &Revoke,
    context: Context,
) -> Result<Decision, RevokeRejection> {
    match find(view, revoke, context.earliest) {
        Some(known) if grants.in_tenant(&known.tenant).contains(Scope::Revoke) || known.is_issued_by(caller) => {
            Ok(revoke_known(known, revoke))
        }
        Some(_) => Err(Forbidden.into()),
        None if alone(view) => Err(RevokeRejection::UnknownCredential),
        // It may be another node's, so that a success without a record could be untrue.
        None if !grants.somewhere(Scope::Revoke) => Err(Forbidden.into()),
        None => unknown(view, grants, caller, revoke, context),
    }
}

fn revoke_known(known: KnownCredential, revoke: &Revoke) -> Decision {
    if let Some(place) = known.revoked_by {
        return Decision::Already(place);
    }
    let revoked = CredentialRevoked {
        kind: known.kind,
        credential: known.named,
        session_digest: known.session_digest,
        subject: Some(known.subject),
        known: true,
        retain_until: known.retain_until,
        reason: revoke.reason.clone(),
        note: revoke.note.clone(),
    };
    append_one(Some(known.tenant), Event::Revoked(revoked))
}

impl KnownCredential {
    fn is_issued_by(&self, caller: &Caller) -> bool {
        self.application.is_some() && self.application == caller.application()
    }
}

/// A credential that could have left memory by now counts as unknown, however far the sweep is.
fn find(view: &impl View, revoke: &Revoke, now: Timestamp) -> Option<KnownCredential> {
    let named = &revoke.credential;
    let find = |kind, id: CredentialId| known(view, CredentialKey { kind, id }, named, now);
    match named {
        CredentialRef::Digest(digest) => find(Kind::Ticket, digest.id())
            .or_else(|| view.session_with(digest).and_then(|id| find(Kind::Session, id)))
            .or_else(|| find(Kind::Token, digest.id())),
        CredentialRef::Id(id) => find(revoke.kind, *id),
        CredentialRef::Jwt { .. } | CredentialRef::Payload { .. } => find(Kind::Token, named.id()),
    }
}

fn known(view: &impl View, key: CredentialKey, named: &CredentialRef, now: Timestamp) -> Option<KnownCredential> {
    let credential = view.credential(key);
    let issue = credential.issue.as_ref()?;
    let same = named.digest().is_none_or(|digest| issue.digest() == Some(digest));
    if !same || issue.not_after <= now {
        return None;
    }
    let issue = issue.clone();
    // What is judged without an ancestor's issue may be judged otherwise with it: then only its own revocation is one.
    let revoked_by = match unheard_of(view, issue.parent()) {
        None => revoked_by(judge_known(view, key.kind, credential, now)),
        Some(_) => credential.revocation().map(|revocation| revocation.place),
    };
    Some(KnownCredential {
        kind: key.kind,
        named: issue.named(key),
        session_digest: issue.digest().filter(|_| key.kind == Kind::Session).copied(),
        retain_until: issue.retain_revocation_until(),
        revoked_by,
        application: issue.application,
        tenant: issue.tenant,
        subject: issue.subject,
    })
}

fn revoked_by<T>(judged: Result<T, Inactive>) -> Option<RecordId> {
    match judged {
        Err(Inactive::Revoked(place, _)) => Some(place),
        Ok(_) | Err(Inactive::Expired | Inactive::Unknown) => None,
    }
}

/// A success must be true: where another node may have issued the credential a moment ago, the revocation is recorded
/// and waits.
fn unknown(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    revoke: &Revoke,
    Context { latest, policy, .. }: Context,
) -> Result<Decision, RevokeRejection> {
    if alone(view) {
        return Err(RevokeRejection::UnknownCredential);
    }
    let key = CredentialKey { kind: revoke.kind, id: revoke.credential.id() };
    let revocations = view.credential(key).revocations;
    let tenants = tenants_to_revoke_in(grants);
    let revoked_in = |tenant: &Option<Tenant>| {
        revocations.iter().find(|revocation| revocation.whose.tenant == *tenant && revocation.whose.subject.is_none())
    };
    let missing: Vec<Option<Tenant>> = tenants.iter().filter(|tenant| revoked_in(tenant).is_none()).cloned().collect();
    if missing.is_empty() {
        // Only revocations that the caller could have recorded: who else revoked it, and why, is not disclosed.
        let first = tenants.iter().filter_map(revoked_in).map(|revocation| revocation.place).min();
        return first.map(Decision::Already).ok_or(RevokeRejection::UnknownCredential);
    }
    if let Caller::Application(id) = caller
        && exceeds(view, &UnknownRevoker::Application(*id), missing.len(), policy.max_unknown_revocations)
    {
        return Err(RevokeRejection::TooManyUnknownRevocations);
    }
    let draft = |tenant| Draft { tenant, event: Event::Revoked(unseen(revoke, latest)) };
    Ok(Decision::Append(missing.into_iter().map(draft).collect()))
}

/// Whether as many more would be too many.
fn exceeds(view: &impl View, unknown_revoker: &UnknownRevoker, more: usize, limit: u64) -> bool {
    view.unknown_revocations(unknown_revoker) + more as u64 > limit
}

fn unseen(revoke: &Revoke, latest: Timestamp) -> CredentialRevoked {
    CredentialRevoked {
        kind: revoke.kind,
        credential: revoke.credential.clone(),
        session_digest: None,
        subject: None,
        known: false,
        retain_until: keep_unseen_until(latest),
        reason: revoke.reason.clone(),
        note: revoke.note.clone(),
    }
}

/// The longest life of a credential that this node does not know yet. Another node may allow longer lives than this
/// one, and so may the product that an import came from. A ledger that is alone knows everything that it has issued.
pub fn longest_life(view: &impl View, policy: &Policy) -> Ttl {
    if alone(view) { policy.longest_life } else { Ttl::MAX }
}

/// How long a credential that is not known here can be active, wherever it was issued.
fn keep_unseen_until(latest: Timestamp) -> Timestamp {
    latest.plus(Ttl::MAX).plus_millis(RETENTION_MARGIN_MILLIS)
}

/// The tenants in which an unknown credential is revoked: all of them if the caller may revoke everywhere, else in each of its tenants.
fn tenants_to_revoke_in(grants: &Grants) -> Vec<Option<Tenant>> {
    if grants.everywhere().contains(Scope::Revoke) {
        return vec![None];
    }
    grants.tenants_with(Scope::Revoke).cloned().map(Some).collect()
}

/// Revokes the active tokens among those that were presented together. Nothing is appended twice.
pub fn presented(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    revoke: &RevokeTokens,
    context: Context,
) -> Result<Decision, RevokeTokensRejection> {
    allow_unless(grants, revoke, |token| holds(caller, revoke, token))?;
    active_ones(view, revoke, context)
}

/// The same for an application, which may also revoke the tokens that it issued itself.
pub fn presented_or_issued(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    revoke: &RevokeTokens,
    context: Context,
) -> Result<Decision, RevokeTokensRejection> {
    allow_unless(grants, revoke, |token| issued(view, caller, token))?;
    active_ones(view, revoke, context)
}

/// Whether the caller may revoke each of the tokens: by the scope, or because the token is their own.
fn allow_unless(
    grants: &Grants,
    revoke: &RevokeTokens,
    is_own: impl Fn(&PresentedToken) -> bool,
) -> Result<(), RevokeTokensRejection> {
    for token in revoke.tokens.iter().filter(|token| !is_own(token)) {
        allow(grants, &token.tenant, Scope::Revoke)?;
    }
    Ok(())
}

/// Whether that application issued the token, by the record of its issue.
fn issued(view: &impl View, caller: &Caller, token: &PresentedToken) -> bool {
    let key = CredentialKey { kind: Kind::Token, id: token.credential.id() };
    let issuer = view.credential(key).issue.and_then(|issue| issue.application);
    issuer.is_some() && issuer == caller.application()
}

fn active_ones(
    view: &impl View,
    revoke: &RevokeTokens,
    Context { earliest, .. }: Context,
) -> Result<Decision, RevokeTokensRejection> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut before = None;
    for (n, token) in revoke.tokens.iter().enumerate() {
        let same = |other: &PresentedToken| other.credential == token.credential && other.tenant == token.tenant;
        if revoke.tokens[..n].iter().any(same) {
            continue;
        }
        match judge_presented(view, token, earliest) {
            // The note is sealed for the first token, and opens nowhere else.
            Ok(()) => drafts.push(token_revoked(revoke, token, revoke.note.as_ref().filter(|_| n == 0))),
            Err(Inactive::Revoked(place, _)) => before = before.or(Some(place)),
            Err(Inactive::Expired | Inactive::Unknown) => {}
        }
    }
    match (drafts.is_empty(), before) {
        (false, _) => Ok(Decision::Append(drafts)),
        (true, Some(place)) => Ok(Decision::Already(place)),
        (true, None) => Err(RevokeTokensRejection::CredentialExpired),
    }
}

/// Whether the caller is the bearer of one of these tokens, and that token is for the same subject.
fn holds(caller: &Caller, revoke: &RevokeTokens, token: &PresentedToken) -> bool {
    let Caller::Bearer { issuer, jti } = caller else { return false };
    revoke
        .tokens
        .iter()
        .any(|own| own.tenant == token.tenant && own.subject == token.subject && own.credential.is_held_by(issuer, jti))
}

fn token_revoked(revoke: &RevokeTokens, token: &PresentedToken, note: Option<&Sealed>) -> Draft {
    // A token without an expiry of its own keeps its revocation permanently.
    let forever = Timestamp::default().plus_millis(u64::MAX);
    let revoked = CredentialRevoked {
        kind: Kind::Token,
        credential: token.credential.clone(),
        session_digest: None,
        subject: Some(token.subject.clone()),
        known: true,
        retain_until: token.expires_at.map_or(forever, |at| at.plus_millis(RETENTION_MARGIN_MILLIS)),
        reason: revoke.reason.clone(),
        note: note.cloned(),
    };
    Draft { tenant: Some(token.tenant.clone()), event: Event::Revoked(revoked) }
}

/// The sessions that a person may revoke by one of its sessions. A session of another subject counts as unknown:
/// nothing happens, and nothing is disclosed.
pub fn own(
    view: &impl View,
    caller: &Caller,
    sessions: &OwnSessions,
    context: Context,
) -> Result<Decision, RevokeOwnRejection> {
    let Caller::Session { id: current, tenant, subject } = caller else { return Err(Forbidden.into()) };
    judge(view, session(*current), context.now).map_err(|_| AnyRejection::Unauthenticated)?;
    let ids = match sessions {
        OwnSessions::Other(id) if id == current => return Err(RevokeOwnRejection::CurrentSession),
        // A session of another subject must not be distinguishable from one that does not exist.
        OwnSessions::Other(id) if !belongs(view, *id, tenant, subject) => {
            return own_unknown(view, *id, tenant, subject, context);
        }
        OwnSessions::Other(id) => std::slice::from_ref(id),
        OwnSessions::Others(ids) => ids,
        OwnSessions::Current => std::slice::from_ref(current),
    };
    let ends_current = matches!(sessions, OwnSessions::Current);
    let mut drafts = Vec::new();
    for id in ids.iter().take(MAX_OWN_SESSIONS).filter(|id| ends_current || *id != current) {
        let issue = judge(view, session(*id), context.earliest).ok().map(|active| active.issue);
        let Some(issue) = issue.filter(|issue| issue.tenant == *tenant && issue.subject == *subject) else { continue };
        let revoked = CredentialRevoked {
            session_digest: issue.digest().copied(),
            known: true,
            retain_until: issue.retain_revocation_until(),
            ..own_unseen(*id, subject, context)
        };
        drafts.push(Draft { tenant: Some(tenant.clone()), event: Event::Revoked(revoked) });
    }
    Ok(if drafts.is_empty() { Decision::Nothing } else { Decision::Append(drafts) })
}

fn session(id: CredentialId) -> CredentialKey {
    CredentialKey { kind: Kind::Session, id }
}

fn belongs(view: &impl View, id: CredentialId, tenant: &Tenant, subject: &Subject) -> bool {
    view.credential(session(id)).issue.is_some_and(|issue| issue.tenant == *tenant && issue.subject == *subject)
}

/// Another node may have issued it: it is recorded as revoked if it belongs to this subject.
fn own_unknown(
    view: &impl View,
    id: CredentialId,
    tenant: &Tenant,
    subject: &Subject,
    context: Context,
) -> Result<Decision, RevokeOwnRejection> {
    if alone(view) || view.credential(session(id)).revocations.of(tenant, subject).is_some() {
        return Ok(Decision::Nothing);
    }
    if exceeds(view, &UnknownRevoker::Subject(tenant.clone(), subject.clone()), 1, MAX_UNKNOWN_OF_SUBJECT) {
        return Err(RevokeOwnRejection::TooManyUnknownRevocations);
    }
    Ok(append_one(Some(tenant.clone()), Event::Revoked(own_unseen(id, subject, context))))
}

fn own_unseen(id: CredentialId, subject: &Subject, Context { latest, .. }: Context) -> CredentialRevoked {
    CredentialRevoked {
        kind: Kind::Session,
        credential: CredentialRef::Id(id),
        session_digest: None,
        subject: Some(subject.clone()),
        known: false,
        retain_until: keep_unseen_until(latest),
        reason: None,
        note: None,
    }
}

/// Sessions of one tenant. One that another node may have issued is recorded as revoked, as if it were revoked by itself.
pub fn many(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    revoke: &RevokeSessions,
    context: Context,
) -> Result<Decision, RevokeSessionsRejection> {
    allow(grants, &revoke.tenant, Scope::Revoke)?;
    let mut drafts = Vec::new();
    match &revoke.which {
        ManySessions::These(ids) => {
            debug_assert!(ids.len() <= MAX_OWN_SESSIONS, "callers bound what they ask for");
            let ids: BTreeSet<CredentialId> = ids.iter().copied().collect();
            let mut unknown = 0;
            for id in ids {
                let Some((draft, is_known)) = one_of_many(view, &revoke.tenant, id, context) else { continue };
                unknown += usize::from(!is_known);
                drafts.push(draft);
            }
            if let Caller::Application(id) = caller
                && unknown > 0
                && exceeds(view, &UnknownRevoker::Application(*id), unknown, context.policy.max_unknown_revocations)
            {
                return Err(RevokeSessionsRejection::TooManyUnknownRevocations);
            }
        }
        ManySessions::OfSubjects(subjects) => {
            debug_assert!(subjects.len() <= MAX_OWN_SESSIONS, "callers bound what they ask for");
            for whose in subjects.iter().collect::<BTreeSet<_>>() {
                let all = RevokeSubject {
                    tenant: revoke.tenant.clone(),
                    subject: whose.clone(),
                    kinds: Kinds::from_iter([Kind::Session]),
                    issued_before: None,
                    keep: None,
                    hold: None,
                    reason: None,
                    note: None,
                };
                drafts.push(whole_subject(view, &all, context));
            }
        }
    }
    Ok(if drafts.is_empty() { Decision::Nothing } else { Decision::Append(drafts) })
}

/// The revocation of that session, and whether this node knows it; nothing if there is nothing to revoke.
fn one_of_many(view: &impl View, tenant: &Tenant, id: CredentialId, context: Context) -> Option<(Draft, bool)> {
    let credential = view.credential(session(id));
    let draft = |revoked| Draft { tenant: Some(tenant.clone()), event: Event::Revoked(revoked) };
    match &credential.issue {
        Some(issue) if issue.tenant == *tenant => {
            let issue = judge(view, session(id), context.earliest).ok()?.issue;
            let revoked = CredentialRevoked {
                session_digest: issue.digest().copied(),
                known: true,
                retain_until: issue.retain_revocation_until(),
                ..own_unseen(id, &issue.subject, context)
            };
            Some((draft(revoked), true))
        }
        // A session of another tenant must not be distinguishable from one that does not exist.
        Some(_) | None => {
            let is_revoked = credential.revocations.iter().any(|revocation| {
                revocation.whose.subject.is_none()
                    && revocation.whose.tenant.as_ref().is_none_or(|revoked_in| revoked_in == tenant)
            });
            if alone(view) || is_revoked {
                return None;
            }
            let revoke = Revoke { kind: Kind::Session, credential: CredentialRef::Id(id), reason: None, note: None };
            Some((draft(unseen(&revoke, context.latest)), false))
        }
    }
}

/// The last whole second in which something was issued before that instant.
fn last_second_before(instant: Timestamp) -> u64 {
    instant.as_millis().div_ceil(1_000).saturating_sub(1)
}

pub fn subject(
    view: &impl View,
    grants: &Grants,
    revoke: &RevokeSubject,
    context: Context,
) -> Result<Decision, RevokeSubjectRejection> {
    allow(grants, &revoke.tenant, Scope::Revoke)?;
    // A note would outlive the keys that were destroyed.
    if revoke.note.is_some() && view.subject(&revoke.tenant, &revoke.subject).erasure.is_some() {
        return Err(RevokeSubjectRejection::SubjectErased);
    }
    if revoke.kinds.is_empty() {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Append(vec![whole_subject(view, revoke, context)]))
}

fn whole_subject(view: &impl View, revoke: &RevokeSubject, Context { now, latest, policy, .. }: Context) -> Draft {
    // What is issued from now on stays active, whatever instant the caller names.
    let issued_before = revoke.issued_before.map(|instant| instant.min(latest));
    let longest = longest_life(view, &policy);
    let keep = revoke.keep.map_or(longest, |keep| keep.max(longest));
    let hold_until = revoke.hold.map(|hold| now.plus(hold));
    // A credential that was issued while a longer life was allowed outlasts the life that is allowed now.
    let last = latest.plus(keep).max(view.latest_end()).max(hold_until.unwrap_or_default());
    let retain_until = last.plus_millis(RETENTION_MARGIN_MILLIS);
    let revoked = SubjectRevoked {
        subject: revoke.subject.clone(),
        kinds: revoke.kinds,
        issued_before,
        not_before: issued_before.map_or(latest.as_seconds(), last_second_before),
        hold_until,
        retain_until,
        reason: revoke.reason.clone(),
        note: revoke.note.clone(),
    };
    Draft { tenant: Some(revoke.tenant.clone()), event: Event::SubjectRevoked(revoked) }
}
