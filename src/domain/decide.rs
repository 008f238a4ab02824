//! Decisions: what a command adds to the log, or why it is refused. Pure: state and instant are arguments.

mod cohorts;
mod erasures;
mod imports;
mod issues;
mod keys;
mod nodes;
mod renewals;
mod revocations;
mod status_lists;

use std::sync::Arc;

use super::actor::Actor;
use super::application::{Application, Grants, Registration, Scope};
use super::command::{
    Caller, Command, Context, Decision, ExtendSession, GrantToken, IssueSession, IssueTicket, IssueToken, OwnSessions,
    Presented, PublishKey, RegisterApplication, Rejection, RemoveApplication, Request, Revoke, RevokeSessions,
    RevokeSubject, RevokeTokens,
};
use super::credential::{CredentialKey, Kind};
use super::event::{Draft, Event};
use super::ids::{Origin, Tenant};
use super::rejections::{
    AnyRejection, ExtendRejection, Forbidden, IssueRejection, IssueTokenRejection, PublishKeyRejection,
    RegisterRejection, RemoveRejection, RevokeOwnRejection, RevokeRejection, RevokeSessionsRejection,
    RevokeSubjectRejection, RevokeTokensRejection,
};
use super::state::View;
use super::time::Timestamp;

pub use erasures::MAX_ERASED_SLOTS;
pub use issues::MAX_JWT_GENERATION;
pub use keys::{issuer, keys_before, keys_by_node, lineage, own_keys, signing_key};
pub use renewals::worth_recording;
pub use revocations::MAX_OWN_SESSIONS;
pub use status_lists::open_list;

/// The effect of the request on the log in that state.
pub fn decide<C: UseCase>(view: &impl View, request: &Request<C>, context: Context) -> Result<Decision, C::Rejection> {
    let grants = grants_of(view, &request.caller, context.now)?;
    if let Some(decision) = repetition(view, request, context.now)? {
        return Ok(decision);
    }
    let decision = request.command.decide(view, &request.caller, &grants, context)?;
    readable(view, &decision)?;
    Ok(decision)
}

/// One use case, or any of them: what its command would add to the log, and why it is rejected.
pub trait UseCase: Send + 'static {
    type Rejection: From<AnyRejection> + Send + 'static;

    /// The decision for a caller that holds these grants.
    fn decide(
        &self,
        view: &impl View,
        caller: &Caller,
        grants: &Grants,
        context: Context,
    ) -> Result<Decision, Self::Rejection>;

    /// The credential that it revokes, if that is all that it does.
    fn revokes(&self) -> Option<CredentialKey> {
        None
    }
}

/// The use cases whose rejections are listed, each with the function that decides it.
macro_rules! use_cases {
    (|$self:tt, $view:ident, $caller:tt, $grants:tt, $context:tt| $($command:ty: $rejection:ty => $decision:expr $(, revokes $revoked:expr)?;)+) => {$(
        impl UseCase for $command {
            type Rejection = $rejection;

            #[allow(unused_variables, reason = "a use case may do without some")]
            fn decide(
                &$self,
                $view: &impl View,
                $caller: &Caller,
                $grants: &Grants,
                $context: Context,
            ) -> Result<Decision, $rejection> {
                $decision
            }

            $(fn revokes(&$self) -> Option<CredentialKey> {
                $revoked
            })?
        }
    )+};
}

use_cases! {
    |self, view, caller, grants, context|
    RegisterApplication: RegisterRejection => register(view, grants, &self.0);
    RemoveApplication: RemoveRejection => remove(view, grants, self, context);
    IssueTicket: IssueRejection => issues::ticket(view, grants, caller, self, context);
    IssueSession: IssueRejection => issues::session(view, grants, caller, self, context);
    IssueToken: IssueTokenRejection => issues::token(view, grants, caller, self, context);
    GrantToken: IssueTokenRejection => issues::granted(view, caller, self, context);
    ExtendSession: ExtendRejection => issues::extend_session(view, grants, self.0, self.1, context);
    Revoke: RevokeRejection => revocations::one(view, grants, caller, self, context),
        revokes Some(CredentialKey { kind: self.kind, id: self.credential.id() });
    RevokeTokens: RevokeTokensRejection => revocations::presented(view, grants, caller, self, context),
        revokes Some(CredentialKey { kind: Kind::Token, id: self.tokens.first()?.credential.id() });
    Presented<Revoke>: RevokeRejection => revocations::one_presented(view, grants, caller, &self.0, context),
        revokes self.0.revokes();
    Presented<RevokeTokens>: RevokeTokensRejection =>
        revocations::presented_or_issued(view, grants, caller, &self.0, context),
        revokes self.0.revokes();
    OwnSessions: RevokeOwnRejection => revocations::own(view, caller, self, context);
    RevokeSessions: RevokeSessionsRejection => revocations::many(view, grants, caller, self, context);
    RevokeSubject: RevokeSubjectRejection => revocations::subject(view, grants, self, context);
    PublishKey: PublishKeyRejection => keys::publish(view, grants, self, context);
}

impl UseCase for Command {
    type Rejection = Rejection;

    fn decide(
        &self,
        view: &impl View,
        caller: &Caller,
        grants: &Grants,
        context: Context,
    ) -> Result<Decision, Rejection> {
        Ok(match self {
            Self::RegisterApplication(registration) => register(view, grants, registration)?,
            Self::RemoveApplication(remove) => remove.decide(view, caller, grants, context)?,
            Self::IssueTicket(issue) => issue.decide(view, caller, grants, context)?,
            Self::RenewTickets(uses) => renewals::renew(view, uses, context.now),
            Self::IssueSession(issue) => issue.decide(view, caller, grants, context)?,
            Self::ExtendSession(id, ttl) => issues::extend_session(view, grants, *id, *ttl, context)?,
            Self::IssueToken(issue) => issue.decide(view, caller, grants, context)?,
            Self::Revoke(revoke) => revoke.decide(view, caller, grants, context)?,
            Self::RevokeTokens(revoke) => revoke.decide(view, caller, grants, context)?,
            Self::RevokeOwn(sessions) => sessions.decide(view, caller, grants, context)?,
            Self::RevokeSessions(revoke) => revoke.decide(view, caller, grants, context)?,
            Self::RevokeSubject(revoke) => revoke.decide(view, caller, grants, context)?,
            Self::RevokeCohort(revoke) => cohorts::cohort(view, grants, revoke, context)?,
            Self::EraseSubject(erase) => erasures::subject(view, grants, erase, context)?,
            Self::PublishKey(publish) => publish.decide(view, caller, grants, context)?,
            Self::WithdrawKey(withdraw) => cohorts::withdraw_key(view, grants, withdraw, context)?,
            Self::Import(import) => imports::import(view, grants, caller, import, context)?,
            Self::OpenStatusList(opened) => status_lists::open(view, grants, *opened, context)?,
            Self::PublishStatusList(published) => status_lists::publish(view, grants, published)?,
            Self::JoinNode(join) => nodes::join(view, grants, join)?,
            Self::UpgradeNode(upgraded) => nodes::upgrade(view, grants, upgraded)?,
            Self::RemoveNode(name, own) => nodes::remove(view, grants, name, *own)?,
        })
    }
}

/// No event is written that a member cannot read: it would stop its ingest of this origin until it is upgraded.
fn readable(view: &impl View, decision: &Decision) -> Result<(), AnyRejection> {
    let Decision::Append(drafts) = decision else { return Ok(()) };
    let is_read = |draft: &Draft| view.is_read_by_all(draft.event.type_name(), draft.event.version());
    if drafts.iter().all(is_read) { Ok(()) } else { Err(AnyRejection::MemberTooOld) }
}

/// The caller's name in the log of that origin.
pub fn actor_of(caller: &Caller, origin: Origin) -> Option<Actor> {
    match caller {
        Caller::Root => Some(Actor::Root(origin)),
        Caller::Application(id) => Some(Actor::Application(*id)),
        Caller::Session { subject, .. } => Some(Actor::Subject(subject.clone())),
        Caller::Bearer { issuer, jti } | Caller::Issuer { issuer, jti, .. } => {
            Some(Actor::Bearer { issuer: issuer.as_str().into(), jti: jti.as_str().into() })
        }
        Caller::Node => None,
    }
}

/// The grants of the caller at `now`. A session and a JWT's bearer hold none: their rights follow from what they are.
pub fn grants_of(view: &impl View, caller: &Caller, now: Timestamp) -> Result<Arc<Grants>, AnyRejection> {
    match caller {
        Caller::Root | Caller::Node => Ok(Grants::everything().into()),
        Caller::Application(id) => {
            let application = view.application(*id);
            if application.registered.as_ref().is_some_and(|(place, _)| view.beyond_seal(*place).is_some()) {
                return Err(AnyRejection::Unauthenticated);
            }
            application
                .callable(now)
                .map(|registration| registration.grants.clone())
                .ok_or(AnyRejection::Unauthenticated)
        }
        Caller::Issuer { grants, .. } => Ok(grants.clone()),
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

fn repetition<C>(view: &impl View, request: &Request<C>, now: Timestamp) -> Result<Option<Decision>, AnyRejection> {
    let Some(digests) = request.idempotency else { return Ok(None) };
    match view.answered(&digests.key).filter(|answered| now < answered.retain_until()) {
        None => Ok(None),
        Some(answered) if answered.digests.body == digests.body => {
            Ok(Some(Decision::Repeated(answered.first, answered.records)))
        }
        Some(_) => Err(AnyRejection::IdempotencyMismatch),
    }
}

fn allow(grants: &Grants, tenant: &Tenant, scope: Scope) -> Result<(), Forbidden> {
    if grants.in_tenant(tenant).contains(scope) { Ok(()) } else { Err(Forbidden) }
}

/// Nothing is issued, extended or imported while the clock is unsettled. Checked after the caller's authority, so that
/// a stranger does not learn of it.
fn settled<R>(context: Context, unsettled: R) -> Result<(), R> {
    if context.is_settled { Ok(()) } else { Err(unsettled) }
}

fn one(tenant: Option<Tenant>, event: Event) -> Decision {
    Decision::Append(vec![Draft { tenant, event }])
}

/// An application that registers others must hold `admin` somewhere, and every scope that it grants.
fn register(
    view: &impl View,
    grants: &Grants,
    registration: &Arc<Registration>,
) -> Result<Decision, RegisterRejection> {
    if !grants.somewhere(Scope::Admin) {
        return Err(Forbidden.into());
    }
    if !registration.grants.within(grants) {
        return Err(RegisterRejection::GrantExceedsOwn);
    }
    if registration.digest.is_some_and(|digest| view.application_with(&digest).is_some()) {
        return Err(RegisterRejection::ApplicationExists);
    }
    Ok(one(None, Event::ApplicationRegistered(registration.clone())))
}

/// A caller that could have registered the application may remove it; for any other caller it does not exist.
fn remove(
    view: &impl View,
    grants: &Grants,
    RemoveApplication { id, revoke }: &RemoveApplication,
    context: Context,
) -> Result<Decision, RemoveRejection> {
    if !grants.somewhere(Scope::Admin) {
        return Err(Forbidden.into());
    }
    let application = view.application(*id);
    let present = application.present().filter(|registration| registration.grants.within(grants));
    let registration = present.ok_or(RemoveRejection::UnknownApplication)?;
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
