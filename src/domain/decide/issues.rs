//! Issues and extensions.

use super::super::application::{Grants, Scope};
use super::super::command::{Context, Decision, IssueSession, IssueTicket, IssueToken, TokenForm};
use super::super::credential::{Active, CredentialId, CredentialKey, CredentialRef, Kind, judge};
use super::super::event::{Event, SessionExtended, SessionIssued, TicketIssued, TokenIssued};
use super::super::ids::{Subject, Tenant};
use super::super::rejections::{ExtendRejection, Forbidden, IssueRejection, IssueTokenRejection};
use super::super::state::View;
use super::super::subject::SubjectState;
use super::super::time::{Timestamp, Ttl};
use super::keys::signing_key;
use super::{allow, one, settled};

/// The most entries of a generation that a JWT lists; a token that needs more is opaque.
pub const MAX_JWT_GENERATION: usize = 16;

pub fn ticket(
    view: &impl View,
    grants: &Grants,
    issue: &IssueTicket,
    context @ Context { now, policy, .. }: Context,
) -> Result<Decision, IssueRejection> {
    allow(grants, &issue.tenant, Scope::Issue)?;
    settled(context, IssueRejection::ClockUnsettled)?;
    let subject = view.subject(&issue.tenant, &issue.subject);
    may_get(view, &subject, Kind::Ticket, (&issue.tenant, &issue.subject), now)?;
    let ttl = issue.ttl.unwrap_or(policy.ticket_ttl);
    let not_after = now.plus(policy.ticket_max_life);
    let issued = TicketIssued {
        digest: issue.digest,
        subject: issue.subject.clone(),
        issued_at: None,
        ttl,
        expires_at: now.plus(ttl).min(not_after),
        not_after,
        generation: subject.of(Kind::Ticket).generation(),
    };
    Ok(one(Some(issue.tenant.clone()), Event::TicketIssued(issued)))
}

/// An erased subject gets nothing any more, and a subject on hold nothing for now.
fn may_get(
    view: &impl View,
    state: &SubjectState,
    kind: Kind,
    (tenant, subject): (&Tenant, &Subject),
    now: Timestamp,
) -> Result<(), IssueRejection> {
    match &state.erasure {
        Some(_) => Err(IssueRejection::SubjectErased),
        None if state.on_hold(kind, now) => Err(IssueRejection::SubjectOnHold),
        None if !view.has_room(kind, tenant, subject) => Err(IssueRejection::MemoryFull),
        None => Ok(()),
    }
}

pub fn session(
    view: &impl View,
    grants: &Grants,
    issue: &IssueSession,
    context @ Context { now, policy, .. }: Context,
) -> Result<Decision, IssueRejection> {
    allow(grants, &issue.tenant, Scope::Issue)?;
    settled(context, IssueRejection::ClockUnsettled)?;
    let subject = view.subject(&issue.tenant, &issue.subject);
    may_get(view, &subject, Kind::Session, (&issue.tenant, &issue.subject), now)?;
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
        generation: subject.of(Kind::Session).generation(),
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
    issue: &IssueToken,
    context @ Context { now, origin, policy, .. }: Context,
) -> Result<Decision, IssueTokenRejection> {
    allow(grants, &issue.tenant, Scope::Issue)?;
    settled(context, IssueRejection::ClockUnsettled)?;
    let subject = view.subject(&issue.tenant, &issue.subject);
    may_get(view, &subject, Kind::Token, (&issue.tenant, &issue.subject), now)?;
    let session = issue.session.map(|id| own_session(view, issue, id, now)).transpose()?;
    let mut generation = subject.of(Kind::Token).generation();
    if session.is_some() {
        // The session is active, so a revocation of sessions until now reaches neither it nor the token.
        generation.merge(&subject.of(Kind::Session).generation());
    }
    let (name, key) = match &issue.form {
        TokenForm::Opaque(digest) => (CredentialRef::Digest(*digest), None),
        TokenForm::Jwt(_) if generation.len() > MAX_JWT_GENERATION => {
            return Err(IssueTokenRejection::GenerationTooLarge);
        }
        TokenForm::Jwt(jti) => {
            let key = signing_key(view, origin).ok_or(IssueTokenRejection::NoSigningKey)?;
            (CredentialRef::Jwt { issuer: key.issuer, jti: jti.clone() }, Some(key.id))
        }
    };
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
