//! Decisions: what a command adds to the log, or why it is refused. Pure: state and instant are arguments.

mod cohorts;
mod erasures;
mod imports;
mod issues;
mod keys;
mod nodes;
mod renewals;
mod revocations;

use std::sync::Arc;

use super::actor::Actor;
use super::application::{Application, Grants, Registration, Scope};
use super::command::{Caller, Command, Context, Decision, Rejection, RemoveApplication, Request};
use super::event::{Draft, Event};
use super::ids::{Origin, Tenant};
use super::state::View;
use super::time::Timestamp;

pub use erasures::MAX_ERASED_SLOTS;
pub use issues::MAX_JWT_GENERATION;
pub use keys::{issuer, keys_before, keys_by_node, lineage, own_keys, signing_key};
pub use renewals::worth_recording;
pub use revocations::MAX_OWN_SESSIONS;

/// The effect of the request on the log in that state.
pub fn decide(view: &impl View, request: &Request, context: Context) -> Result<Decision, Rejection> {
    let grants = grants_of(view, &request.caller, context.now)?;
    if let Some(decision) = repetition(view, request, context.now)? {
        return Ok(decision);
    }
    let decision = match &request.command {
        Command::RegisterApplication(registration) => register(view, &grants, registration),
        Command::RemoveApplication(application) => remove(view, &grants, application, context),
        Command::IssueTicket(issue) => issues::ticket(view, &grants, &request.caller, issue, context),
        Command::RenewTickets(uses) => Ok(renewals::renew(view, uses, context.now)),
        Command::IssueSession(issue) => issues::session(view, &grants, &request.caller, issue, context),
        Command::ExtendSession(id, ttl) => issues::extend_session(view, &grants, *id, *ttl, context),
        Command::IssueToken(issue) => issues::token(view, &grants, &request.caller, issue, context),
        Command::Revoke(revoke) => revocations::one(view, &grants, &request.caller, revoke, context),
        Command::RevokeTokens(revoke) => revocations::presented(view, &grants, &request.caller, revoke, context),
        Command::RevokeOwn(sessions) => revocations::own(view, &request.caller, sessions, context),
        Command::RevokeSessions(revoke) => revocations::many(view, &grants, &request.caller, revoke, context),
        Command::RevokeSubject(revoke) => revocations::subject(view, &grants, revoke, context),
        Command::RevokeCohort(revoke) => cohorts::cohort(view, &grants, revoke, context),
        Command::EraseSubject(erase) => erasures::subject(view, &grants, erase, context),
        Command::PublishKey(publish) => keys::publish(view, &grants, publish, context),
        Command::WithdrawKey(withdraw) => cohorts::withdraw_key(view, &grants, withdraw, context),
        Command::Import(import) => imports::import(view, &grants, &request.caller, import, context),
        Command::JoinNode(join) => nodes::join(view, &grants, join),
        Command::UpgradeNode(upgraded) => nodes::upgrade(view, &grants, upgraded),
        Command::RemoveNode(name, own) => nodes::remove(view, &grants, name, *own),
    }?;
    readable(view, &decision)?;
    Ok(decision)
}

/// No event is written that a member cannot read: it would stop its ingest of this origin until it is upgraded.
fn readable(view: &impl View, decision: &Decision) -> Result<(), Rejection> {
    let Decision::Append(drafts) = decision else { return Ok(()) };
    let is_read = |draft: &Draft| view.is_read_by_all(draft.event.type_name(), draft.event.version());
    if drafts.iter().all(is_read) { Ok(()) } else { Err(Rejection::MemberTooOld) }
}

/// The caller's name in the log of that origin.
pub fn actor_of(caller: &Caller, origin: Origin) -> Option<Actor> {
    match caller {
        Caller::Root => Some(Actor::Root(origin)),
        Caller::Application(id) => Some(Actor::Application(*id)),
        Caller::Session { subject, .. } => Some(Actor::Subject(subject.clone())),
        Caller::Bearer { issuer, jti } => {
            Some(Actor::Bearer { issuer: issuer.as_str().into(), jti: jti.as_str().into() })
        }
        Caller::Node => None,
    }
}

/// The grants of the caller at `now`. A session and a JWT's bearer hold none: their rights follow from what they are.
pub fn grants_of(view: &impl View, caller: &Caller, now: Timestamp) -> Result<Arc<Grants>, Rejection> {
    match caller {
        Caller::Root | Caller::Node => Ok(Grants::everything().into()),
        Caller::Application(id) => {
            let application = view.application(*id);
            if application.registered.as_ref().is_some_and(|(place, _)| view.beyond_seal(*place).is_some()) {
                return Err(Rejection::Unauthenticated);
            }
            application.callable(now).map(|registration| registration.grants.clone()).ok_or(Rejection::Unauthenticated)
        }
        Caller::Session { .. } | Caller::Bearer { .. } => Ok(Arc::default()),
    }
}

/// Whether no other node, and no import, can have issued a credential that this node does not know.
///
/// Origins that continue one another belong to one node.
pub fn alone(view: &impl View) -> bool {
    let origins = view.origins();
    let continued = origins.values().filter(|opened| opened.previous.is_some()).count();
    origins.len() <= continued + 1 && view.members().iter().count() <= 1 && !view.imported()
}

fn repetition(view: &impl View, request: &Request, now: Timestamp) -> Result<Option<Decision>, Rejection> {
    let Some(digests) = request.idempotency else { return Ok(None) };
    match view.answered(&digests.key).filter(|answered| now < answered.retain_until()) {
        None => Ok(None),
        Some(answered) if answered.digests.body == digests.body => {
            Ok(Some(Decision::Repeated(answered.first, answered.records)))
        }
        Some(_) => Err(Rejection::IdempotencyMismatch),
    }
}

fn allow(grants: &Grants, tenant: &Tenant, scope: Scope) -> Result<(), Rejection> {
    if grants.in_tenant(tenant).contains(scope) { Ok(()) } else { Err(Rejection::Forbidden) }
}

/// Nothing is issued, extended or imported while the clock is unsettled. Checked after the caller's authority, so that
/// a stranger does not learn of it.
fn settled(context: Context) -> Result<(), Rejection> {
    if context.is_settled { Ok(()) } else { Err(Rejection::ClockUnsettled) }
}

fn one(tenant: Option<Tenant>, event: Event) -> Decision {
    Decision::Append(vec![Draft { tenant, event }])
}

/// An application that registers others must hold `admin` somewhere, and every scope that it grants.
fn register(view: &impl View, grants: &Grants, registration: &Arc<Registration>) -> Result<Decision, Rejection> {
    if !grants.somewhere(Scope::Admin) {
        return Err(Rejection::Forbidden);
    }
    if !registration.grants.within(grants) {
        return Err(Rejection::GrantExceedsOwn);
    }
    if view.application_with(&registration.digest).is_some() {
        return Err(Rejection::ApplicationExists);
    }
    Ok(one(None, Event::ApplicationRegistered(registration.clone())))
}

/// A caller that could have registered the application may remove it; for any other caller it does not exist.
fn remove(
    view: &impl View,
    grants: &Grants,
    RemoveApplication { id, revoke }: &RemoveApplication,
    context: Context,
) -> Result<Decision, Rejection> {
    if !grants.somewhere(Scope::Admin) {
        return Err(Rejection::Forbidden);
    }
    let application = view.application(*id);
    let present = application.present().filter(|registration| registration.grants.within(grants));
    let registration = present.ok_or(Rejection::UnknownApplication)?;
    let mut drafts = Vec::new();
    if *revoke {
        drafts.extend(cohorts::of_application(view, grants, registration, context)?);
    }
    drafts.push(Draft { tenant: None, event: Event::ApplicationRemoved(*id) });
    Ok(Decision::Append(drafts))
}

/// Whether the application with that registration may be shown to the caller with those grants.
pub fn may_see(grants: &Grants, application: &Application) -> bool {
    application.present().is_some_and(|registration| registration.grants.within(grants))
}
