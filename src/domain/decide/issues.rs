//! Issues and extensions.

use super::super::application::{GrantType, Grants, Scope};
use super::super::cohort::{Cohorts, CohortsOf, generation_now};
use super::super::command::{
    Caller, Context, Decision, GrantToken, IssueSession, IssueTicket, IssueToken, ParentChoice, TokenForm,
};
use super::super::credential::{CredentialId, CredentialKey, CredentialRef, Issue, Kind, MAX_ANCESTORS, Parent, judge};
use super::super::event::{Event, SessionExtended, SessionIssued, TicketIssued, TokenIssued};
use super::super::ids::{Subject, Tenant};
use super::super::rejections::{ExtendRejection, Forbidden, IssueRejection, IssueTokenRejection};
use super::super::state::View;
use super::super::status_list::StatusListClass;
use super::super::subject::{Generation, SubjectState};
use super::super::time::{Timestamp, Ttl};
use super::keys::signing_key;
use super::{allow, one, settled, status_lists};

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
    let lineage = issue.parent.map(|parent| lineage(view, &issue.tenant, &issue.subject, parent, now)).transpose()?;
    let ttl = issue.ttl.unwrap_or(policy.ticket_ttl);
    let not_after = within(lineage.as_ref(), now.plus(policy.ticket_max_life));
    let issued = TicketIssued {
        digest: issue.digest,
        subject: issue.subject.clone(),
        issued_at: None,
        ttl,
        expires_at: now.plus(ttl).min(not_after),
        not_after,
        generation: generation(view, &subject, Kind::Ticket, (revoked.as_ref(), cohorts), lineage.as_ref()),
        parent: lineage.map(|lineage| lineage.parent),
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

/// The generation of a credential that is issued now: every revocation of what it has in common with others, and of what
/// its ancestors have. The ancestors are active, so none of those reaches them or what comes from them.
fn generation(
    view: &impl View,
    subject: &SubjectState,
    kind: Kind,
    (revoked, cohorts): (Option<&Cohorts>, CohortsOf<'_>),
    lineage: Option<&Lineage>,
) -> Generation {
    let mut all = generation_of(subject, kind, revoked, cohorts);
    for (kind, issue) in lineage.iter().flat_map(|lineage| &lineage.ancestors) {
        let subject = view.subject(&issue.tenant, &issue.subject);
        all.merge(&generation_of(&subject, *kind, revoked, CohortsOf::issue(issue)));
    }
    all
}

fn generation_of(subject: &SubjectState, kind: Kind, revoked: Option<&Cohorts>, cohorts: CohortsOf<'_>) -> Generation {
    // Nearly always nothing was revoked.
    if revoked.is_none() && !subject.of(kind).is_ever_revoked() {
        return Generation::default();
    }
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
    let lineage = issue.parent.map(|parent| lineage(view, &issue.tenant, &issue.subject, parent, now)).transpose()?;
    let ttl = issue.ttl.unwrap_or(policy.session_ttl).min(policy.longest_life);
    let not_after = within(lineage.as_ref(), now.plus(ttl.max(policy.session_max_life)));
    let issued = SessionIssued {
        id: issue.id,
        digest: Some(issue.digest),
        subject: issue.subject.clone(),
        issued_at: None,
        authenticated_at: None,
        aal: issue.aal,
        methods: issue.methods.clone(),
        expires_at: now.plus(ttl).min(not_after),
        not_after,
        generation: generation(view, &subject, Kind::Session, (revoked.as_ref(), cohorts), lineage.as_ref()),
        parent: lineage.map(|lineage| lineage.parent),
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
    let is_opaque = matches!(issue.form, TokenForm::Opaque(_)) && issue.parent.is_none();
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
    let lineage = issue.parent.map(|parent| tokens_lineage(view, issue, parent, now)).transpose()?;
    let generation = generation(view, &subject, Kind::Token, (revoked.as_ref(), cohorts), lineage.as_ref());
    if key.is_some() && generation.len() > MAX_JWT_GENERATION {
        return Err(IssueTokenRejection::GenerationTooLarge);
    }
    // A JWT gives its expiry in whole seconds, and both must say the same.
    let life = issue.ttl.unwrap_or(policy.token_ttl).min(policy.longest_life);
    let expires_at = within(lineage.as_ref(), now.plus(life)).floor_to_seconds();
    if let Some(parent) = issue.parent
        && expires_at <= now
    {
        // The parent expires sooner than a JWT can say.
        return Err(inactive(parent));
    }
    let status = match issue.status.as_ref().filter(|_| key.is_some()) {
        None => None,
        Some(draws) => {
            let index = status_lists::index(view, origin, StatusListClass::of(life), draws, now);
            Some(index.ok_or(IssueTokenRejection::NoStatusList)?)
        }
    };
    let issued = TokenIssued {
        name,
        key,
        subject: issue.subject.clone(),
        issued_at: None,
        parent: lineage.map(|lineage| lineage.parent),
        audience: issue.audience.clone(),
        scope: issue.scope.clone(),
        confirmation: issue.confirmation,
        status,
        grant,
        expires_at,
        generation,
        sealed: issue.sealed.clone(),
    };
    Ok(one(Some(issue.tenant.clone()), Event::TokenIssued(Box::new(issued))))
}

/// The lineage of a token.
fn tokens_lineage(
    view: &impl View,
    issue: &IssueToken,
    parent: ParentChoice,
    now: Timestamp,
) -> Result<Lineage, IssueTokenRejection> {
    let found = lineage(view, &issue.tenant, &issue.subject, parent.key(), now);
    match (parent, found) {
        (ParentChoice::OwnSession(_), Err(IssueRejection::ParentInactive)) => Err(inactive(parent)),
        (ParentChoice::OwnSession(_), Ok(lineage)) if !lineage.parent.same_subject => Err(inactive(parent)),
        (_, found) => found.map_err(IssueTokenRejection::Issue),
    }
}

fn inactive(parent: ParentChoice) -> IssueTokenRejection {
    match parent {
        ParentChoice::OwnSession(_) => IssueTokenRejection::SessionInactive,
        ParentChoice::Any(_) => IssueRejection::ParentInactive.into(),
    }
}

/// What a new credential takes from its ancestors.
struct Lineage {
    parent: Parent,
    /// When the parent expires, as far as is known now. Its own ancestors expire no earlier.
    expires_at: Timestamp,
    /// The ancestors, the parent first.
    ancestors: Vec<(Kind, Issue)>,
}

/// The ancestors of a credential that is issued now to that subject.
fn lineage(
    view: &impl View,
    tenant: &Tenant,
    subject: &Subject,
    parent: CredentialKey,
    now: Timestamp,
) -> Result<Lineage, IssueRejection> {
    let active = judge(view, parent, now).ok().filter(|active| active.issue.tenant == *tenant);
    let active = active.ok_or(IssueRejection::ParentInactive)?;
    let mut next = active.issue.parent();
    let same_subject = active.issue.subject == *subject;
    let mut ancestors = vec![(parent.kind, active.issue)];
    while let Some(Parent { key, .. }) = next {
        // An ancestor that has not arrived here may have been revoked by something that has.
        let issue = view.credential(key).issue.ok_or(IssueRejection::ParentInactive)?;
        next = issue.parent();
        ancestors.push((key.kind, issue));
    }
    if ancestors.len() > MAX_ANCESTORS {
        return Err(IssueRejection::LineageTooDeep);
    }
    if !ancestors.iter().all(|(_, issue)| has_heard(view, &issue.generation)) {
        return Err(IssueRejection::ParentInactive);
    }
    Ok(Lineage { parent: Parent { key: parent, same_subject }, expires_at: active.expires_at, ancestors })
}

/// Whether this node has heard of every revocation that the generation reaches. If it had not, a credential that is issued
/// here would not reach one of them, and be inactive through an ancestor that is active.
fn has_heard(view: &impl View, generation: &Generation) -> bool {
    generation.iter().all(|(origin, sequence)| sequence <= view.head(origin))
}

/// That instant, or the parent's expiry if that comes first.
fn within(lineage: Option<&Lineage>, instant: Timestamp) -> Timestamp {
    lineage.map_or(instant, |lineage| instant.min(lineage.expires_at))
}
