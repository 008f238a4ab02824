//! Issues and extensions.

use super::super::application::{GrantType, Grants, Scope};
use super::super::cohort::{Cohorts, CohortsOf, generation_now};
use super::super::command::{Caller, Context, Decision, GrantToken, IssueSession, IssueTicket, IssueToken, TokenForm};
use super::super::credential::{Active, CredentialId, CredentialKey, CredentialRef, Kind, judge};
use super::super::event::{Event, SessionExtended, SessionIssued, TicketIssued, TokenIssued};
use super::super::ids::Subject;
use super::super::rejections::{ExtendRejection, Forbidden, IssueRejection, IssueTokenRejection};
use super::super::state::View;
use super::super::subject::{Generation, SubjectState};
use super::super::time::{Timestamp, Ttl};
use super::keys::signing_key;
use super::{allow, one, settled};

/// The most entries of a generation that a JWT lists; a token that needs more is opaque.
pub const MAX_JWT_GENERATION: usize = 16;

pub fn ticket(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    issue: &IssueTicket,
    context @ Context { now, policy, .. }: Context,
) -> Result<Decision, IssueRejection> {
    allow(grants, &issue.tenant, Scope::Issue)?;
    settled(context, IssueRejection::ClockUnsettled)?;
    let subject = view.subject(&issue.tenant, &issue.subject);
    let revoked = view.cohorts();
    let cohorts = CohortsOf::with_secret(&issue.tenant, caller.application());
    may_get(view, &subject, Kind::Ticket, &issue.subject, (revoked.as_ref(), cohorts), now)?;
    let ttl = issue.ttl.unwrap_or(policy.ticket_ttl);
    let not_after = now.plus(policy.ticket_max_life);
    let issued = TicketIssued {
        digest: issue.digest,
        subject: issue.subject.clone(),
        issued_at: None,
        ttl,
        expires_at: now.plus(ttl).min(not_after),
        not_after,
        generation: generation(&subject, Kind::Ticket, revoked.as_ref(), cohorts),
    };
    Ok(one(Some(issue.tenant.clone()), Event::TicketIssued(issued)))
}

/// An erased subject gets nothing any more, and a subject or cohort on hold nothing for now.
fn may_get(
    view: &impl View,
    state: &SubjectState,
    kind: Kind,
    subject: &Subject,
    (revoked, cohorts): (Option<&Cohorts>, CohortsOf<'_>),
    now: Timestamp,
) -> Result<(), IssueRejection> {
    let on_hold = || state.on_hold(kind, now) || revoked.is_some_and(|all| all.on_hold(kind, cohorts, now));
    match &state.erasure {
        Some(_) => Err(IssueRejection::SubjectErased),
        None if on_hold() => Err(IssueRejection::SubjectOnHold),
        None if !view.has_room(kind, cohorts.tenant, subject) => Err(IssueRejection::MemoryFull),
        None => Ok(()),
    }
}

/// The generation of a credential that is issued now.
fn generation(subject: &SubjectState, kind: Kind, revoked: Option<&Cohorts>, cohorts: CohortsOf<'_>) -> Generation {
    let of_cohorts = revoked.into_iter().flat_map(|all| all.of(kind, cohorts));
    generation_now(std::iter::once(subject.of(kind)).chain(of_cohorts))
}

pub fn session(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    issue: &IssueSession,
    context @ Context { now, policy, .. }: Context,
) -> Result<Decision, IssueRejection> {
    allow(grants, &issue.tenant, Scope::Issue)?;
    settled(context, IssueRejection::ClockUnsettled)?;
    let subject = view.subject(&issue.tenant, &issue.subject);
    let revoked = view.cohorts();
    let cohorts = CohortsOf::with_secret(&issue.tenant, caller.application());
    may_get(view, &subject, Kind::Session, &issue.subject, (revoked.as_ref(), cohorts), now)?;
    let ttl = issue.ttl.unwrap_or(policy.session_ttl).min(policy.longest_life);
    let issued = SessionIssued {
        id: issue.id,
        digest: Some(issue.digest),
        subject: issue.subject.clone(),
        issued_at: None,
        authenticated_at: None,
        aal: issue.aal,
        methods: issue.methods.clone(),
        expires_at: now.plus(ttl),
        not_after: now.plus(ttl.max(policy.session_max_life)),
        generation: generation(&subject, Kind::Session, revoked.as_ref(), cohorts),
        sealed: issue.sealed.clone(),
    };
    Ok(one(Some(issue.tenant.clone()), Event::SessionIssued(Box::new(issued))))
}

/// An inactive session stays inactive; one that lasts as long already is left alone.
pub fn extend_session(
    view: &impl View,
    grants: &Grants,
    id: CredentialId,
    ttl: Option<Ttl>,
    context @ Context { now, policy, .. }: Context,
) -> Result<Decision, ExtendRejection> {
    if !grants.somewhere(Scope::Issue) {
        return Err(Forbidden.into());
    }
    let key = CredentialKey { kind: Kind::Session, id };
    let issue = view.credential(key).issue.filter(|issue| grants.in_tenant(&issue.tenant).contains(Scope::Issue));
    let issue = issue.ok_or(ExtendRejection::UnknownCredential)?;
    settled(context, ExtendRejection::ClockUnsettled)?;
    let Ok(session) = judge(view, key, now) else { return Ok(Decision::Nothing) };
    let expires_at = now.plus(ttl.unwrap_or(policy.session_ttl)).min(issue.not_after);
    if expires_at <= session.expires_at {
        return Ok(Decision::Nothing);
    }
    let extended = SessionExtended { id, subject: issue.subject, expires_at };
    Ok(one(Some(issue.tenant), Event::SessionExtended(extended)))
}

pub fn token(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    issue: &IssueToken,
    context: Context,
) -> Result<Decision, IssueTokenRejection> {
    allow(grants, &issue.tenant, Scope::Issue)?;
    token_of(view, caller, issue, None, context)
}

/// A token for the application that asks for it. It needs no scope: the token allows nothing that the application may not
/// do itself.
pub fn granted(
    view: &impl View,
    caller: &Caller,
    GrantToken { grant, issue }: &GrantToken,
    context: Context,
) -> Result<Decision, IssueTokenRejection> {
    let is_opaque = matches!(issue.form, TokenForm::Opaque(_)) && issue.session.is_none();
    if caller.application().is_none() || !is_opaque {
        return Err(Forbidden.into());
    }
    token_of(view, caller, issue, Some(*grant), context)
}

fn token_of(
    view: &impl View,
    caller: &Caller,
    issue: &IssueToken,
    grant: Option<GrantType>,
    context @ Context { now, origin, policy, .. }: Context,
) -> Result<Decision, IssueTokenRejection> {
    settled(context, IssueRejection::ClockUnsettled)?;
    let subject = view.subject(&issue.tenant, &issue.subject);
    let revoked = view.cohorts();
    let tenant = &issue.tenant;
    let with_secret = CohortsOf::with_secret(tenant, caller.application());
    may_get(view, &subject, Kind::Token, &issue.subject, (revoked.as_ref(), with_secret), now)?;
    let (name, key) = match &issue.form {
        TokenForm::Opaque(digest) => (CredentialRef::Digest(*digest), None),
        TokenForm::Jwt(jti) => {
            let key = signing_key(view, origin).ok_or(IssueTokenRejection::NoSigningKey)?;
            (CredentialRef::Jwt { issuer: key.issuer, jti: jti.clone() }, Some(key.id))
        }
    };
    let cohorts = CohortsOf { issuer: name.issuer(), key: key.as_ref(), ..with_secret };
    if revoked.as_ref().is_some_and(|all| all.on_hold(Kind::Token, cohorts, now)) {
        return Err(IssueRejection::SubjectOnHold.into());
    }
    let session = issue.session.map(|id| own_session(view, issue, id, now)).transpose()?;
    let mut generation = generation(&subject, Kind::Token, revoked.as_ref(), cohorts);
    if let Some(session) = &session {
        // The session is active, so a revocation of sessions until now reaches neither it nor the token.
        let cohorts = CohortsOf::with_secret(tenant, session.issue.application);
        generation.merge(&self::generation(&subject, Kind::Session, revoked.as_ref(), cohorts));
    }
    if key.is_some() && generation.len() > MAX_JWT_GENERATION {
        return Err(IssueTokenRejection::GenerationTooLarge);
    }
    // A JWT gives its expiry in whole seconds, and both must say the same.
    let expires_at = now.plus(issue.ttl.unwrap_or(policy.token_ttl).min(policy.longest_life)).floor_to_seconds();
    let session_end = session.map(|session| session.expires_at.floor_to_seconds());
    // The session expires sooner than a JWT can say.
    if session_end.is_some_and(|end| end <= now) {
        return Err(IssueTokenRejection::SessionInactive);
    }
    let issued = TokenIssued {
        name,
        key,
        subject: issue.subject.clone(),
        issued_at: None,
        session: issue.session,
        audience: issue.audience.clone(),
        scope: issue.scope.clone(),
        confirmation: issue.confirmation,
        grant,
        expires_at: session_end.map_or(expires_at, |end| end.min(expires_at)),
        generation,
        sealed: issue.sealed.clone(),
    };
    Ok(one(Some(issue.tenant.clone()), Event::TokenIssued(Box::new(issued))))
}

fn own_session(
    view: &impl View,
    issue: &IssueToken,
    id: CredentialId,
    now: Timestamp,
) -> Result<Active, IssueTokenRejection> {
    let session = judge(view, CredentialKey { kind: Kind::Session, id }, now);
    let own = |session: &Active| session.issue.tenant == issue.tenant && session.issue.subject == issue.subject;
    session.ok().filter(own).ok_or(IssueTokenRejection::SessionInactive)
}
