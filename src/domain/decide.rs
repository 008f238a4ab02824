//! Decisions: what a command would add to the log, or why it is refused. Pure: state and instant are given.

use std::sync::Arc;

use super::actor::Actor;
use super::application::{Application, Grants, Registration, Scope};
use super::command::{
    Caller, Command, Context, Decision, IssueTicket, Policy, Rejection, Request, Revoke, RevokeSubject,
};
use super::credential::{CredentialId, Kind};
use super::event::{Draft, Event, Named, Renewals, SubjectRevoked, TicketIssued, TicketRevoked};
use super::ids::{ApplicationId, Place, Tenant};
use super::state::View;
use super::subject::SubjectState;
use super::ticket::{Dead, Ticket};
use super::time::{RETENTION_MARGIN_MILLIS, Timestamp};

/// What the request would add to the log, seen from that state.
pub fn decide(view: &impl View, request: &Request, context: Context) -> Result<Decision, Rejection> {
    let grants = grants_of(view, &request.caller, context.now)?;
    if let Some(decision) = repetition(view, request, context.now)? {
        return Ok(decision);
    }
    match &request.command {
        Command::RegisterApplication(registration) => register(view, &grants, registration),
        Command::RemoveApplication(id) => remove(view, &grants, *id),
        Command::IssueTicket(issue) => issue_ticket(view, &grants, issue, context),
        Command::RenewTickets(uses) => Ok(renew_tickets(view, uses, context.now)),
        Command::Revoke(revoke) => end_credential(view, &grants, &request.caller, revoke, context),
        Command::RevokeSubject(revoke) => end_subject(&grants, revoke, context),
    }
}

/// How the caller is named in the log of that origin.
pub fn actor_of(caller: &Caller, origin: super::ids::Origin) -> Option<Actor> {
    match caller {
        Caller::Root => Some(Actor::Root(origin)),
        Caller::Application(id) => Some(Actor::Application(*id)),
        Caller::Node => None,
    }
}

/// What the caller may do at `now`.
pub fn grants_of(view: &impl View, caller: &Caller, now: Timestamp) -> Result<Arc<Grants>, Rejection> {
    match caller {
        Caller::Root | Caller::Node => Ok(Grants::everything().into()),
        Caller::Application(id) => {
            let application = view.application(*id);
            application.callable(now).map(|registration| registration.grants.clone()).ok_or(Rejection::Unauthenticated)
        }
    }
}

/// Whether no other node, and no import, can have issued what this node does not know.
///
/// Origins that continue one another are one node's.
pub fn alone(view: &impl View) -> bool {
    let origins = view.origins();
    let continued = origins.values().filter(|opened| opened.previous.is_some()).count();
    origins.len() <= continued + 1
}

/// The rule for whoever presents or names a ticket: good at `now`, or why not.
pub fn judge_ticket(view: &impl View, ticket: &Ticket, now: Timestamp) -> Result<super::ticket::TicketIssue, Dead> {
    let issue = ticket.issue.as_ref().ok_or(Dead::Unknown)?;
    let subject = view.subject(&issue.tenant, &issue.subject);
    ticket.good(&subject, now).cloned()
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

fn one(tenant: Option<Tenant>, event: Event) -> Decision {
    Decision::Append(vec![Draft { tenant, event }])
}

/// An application that registers others must hold `admin` somewhere, and everything that it grants.
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

/// Whoever could have registered it may remove it; to anybody else it does not exist.
fn remove(view: &impl View, grants: &Grants, id: ApplicationId) -> Result<Decision, Rejection> {
    if !grants.somewhere(Scope::Admin) {
        return Err(Rejection::Forbidden);
    }
    let application = view.application(id);
    match application.present() {
        Some(registration) if registration.grants.within(grants) => Ok(one(None, Event::ApplicationRemoved(id))),
        _ => Err(Rejection::UnknownApplication),
    }
}

fn issue_ticket(
    view: &impl View,
    grants: &Grants,
    issue: &IssueTicket,
    Context { now, policy }: Context,
) -> Result<Decision, Rejection> {
    allow(grants, &issue.tenant, Scope::Issue)?;
    let subject = view.subject(&issue.tenant, &issue.subject);
    if subject.on_hold(Kind::Ticket, now) {
        return Err(Rejection::SubjectOnHold);
    }
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

/// The most uses that one record holds: each takes at most 76 bytes, its origin included, so that it fits a record.
const MAX_USES: usize = 850;

/// A use counts if the ticket was good then and is not ended now, and its last record is a tenth of its life old.
fn renew_tickets(view: &impl View, uses: &[(CredentialId, Timestamp)], now: Timestamp) -> Decision {
    let mut counted: Vec<(Place, Timestamp)> = Vec::with_capacity(uses.len());
    for (id, used_at) in uses {
        let ticket = view.ticket(*id);
        let used_at = (*used_at).min(now);
        // What is over on this record's own clock may have left memory where the record is read.
        if let Ok(issue) = judge_ticket(view, &ticket, used_at)
            && now < issue.not_after
            && worth_recording(&ticket, used_at)
        {
            counted.push((issue.place, used_at));
        }
    }
    counted.sort_unstable();
    // A ticket that was named twice is put on record with its latest use.
    counted.reverse();
    counted.dedup_by_key(|(place, _)| *place);
    counted.reverse();
    if counted.is_empty() {
        return Decision::Nothing;
    }
    Decision::Append(counted.chunks(MAX_USES).map(|chunk| Draft { tenant: None, event: renewed(chunk) }).collect())
}

/// Whether the ticket's last record is a tenth of its life older than that use.
pub fn worth_recording(ticket: &Ticket, used_at: Timestamp) -> bool {
    ticket.issue.as_ref().is_some_and(|issue| {
        let moves = issue.expires_after(used_at) > issue.expires_after(ticket.last_use_at);
        moves && used_at.millis_since(ticket.last_use_at) >= issue.ttl.as_millis() / 10
    })
}

fn renewed(uses: &[(Place, Timestamp)]) -> Event {
    let by_origin = uses.chunk_by(|(one, _), (other, _)| one.origin == other.origin);
    Event::TicketsRenewed(
        by_origin
            .map(|uses| Renewals {
                origin: uses[0].0.origin,
                uses: uses.iter().map(|(place, at)| (place.sequence, *at)).collect(),
            })
            .collect(),
    )
}

fn end_credential(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    revoke: &Revoke,
    context: Context,
) -> Result<Decision, Rejection> {
    if !grants.somewhere(Scope::Revoke) {
        return Err(Rejection::Forbidden);
    }
    let ticket = view.ticket(revoke.credential.id());
    let named = ticket.issue.as_ref().filter(|issue| names(&revoke.credential, &issue.digest));
    // What the caller has no say over does not exist for it; neither does what could have left memory by now.
    let known =
        named.filter(|issue| context.now < issue.not_after && grants.in_tenant(&issue.tenant).contains(Scope::Revoke));
    let Some(issue) = known.filter(|_| revoke.kind == Kind::Ticket) else {
        return end_unknown(view, grants, caller, revoke, &ticket, context);
    };
    if let Some(ending) = ticket.ending() {
        return Ok(Decision::Already(ending.place));
    }
    let subject: SubjectState = view.subject(&issue.tenant, &issue.subject);
    if let Some((place, _)) = subject.of(Kind::Ticket).ends(&issue.generation) {
        return Ok(Decision::Already(place));
    }
    let revoked = TicketRevoked {
        ticket: Named::Digest(issue.digest),
        subject: Some(issue.subject.clone()),
        retain_until: issue.retain_ending_until(),
        reason: revoke.reason.clone(),
    };
    Ok(one(Some(issue.tenant.clone()), Event::TicketRevoked(revoked)))
}

fn names(credential: &Named, digest: &super::credential::Digest) -> bool {
    match credential {
        Named::Digest(presented) => presented == digest,
        Named::Id(id) => *id == digest.id(),
    }
}

/// A success must be true: where another node may have issued it a moment ago, the ending is recorded and waits.
fn end_unknown(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    revoke: &Revoke,
    ticket: &Ticket,
    Context { now, policy }: Context,
) -> Result<Decision, Rejection> {
    if alone(view) || revoke.kind != Kind::Ticket {
        return Err(Rejection::UnknownCredential);
    }
    let tenants = tenants_to_end_in(grants);
    let missing = |tenant: &Option<Tenant>| !ticket.endings.iter().any(|ending| ending.tenant == *tenant);
    let missing: Vec<Option<Tenant>> = tenants.into_iter().filter(missing).collect();
    if missing.is_empty() {
        let first = ticket.endings.iter().map(|ending| ending.place).min();
        return first.map(Decision::Already).ok_or(Rejection::UnknownCredential);
    }
    if let Caller::Application(id) = caller
        && view.unknown_endings(*id) + missing.len() as u64 > policy.max_unknown_endings
    {
        return Err(Rejection::TooManyUnknown);
    }
    let draft = |tenant| Draft { tenant, event: Event::TicketRevoked(end_of_unknown(revoke, now, &policy)) };
    Ok(Decision::Append(missing.into_iter().map(draft).collect()))
}

fn end_of_unknown(revoke: &Revoke, now: Timestamp, policy: &Policy) -> TicketRevoked {
    TicketRevoked {
        ticket: revoke.credential,
        subject: None,
        retain_until: now.plus(policy.longest_life).plus_millis(RETENTION_MARGIN_MILLIS),
        reason: revoke.reason.clone(),
    }
}

/// Where an unknown credential is ended: everywhere for whoever may revoke everywhere, else in each tenant of his.
fn tenants_to_end_in(grants: &Grants) -> Vec<Option<Tenant>> {
    if grants.everywhere().contains(Scope::Revoke) {
        return vec![None];
    }
    grants.tenants_with(Scope::Revoke).cloned().map(Some).collect()
}

fn end_subject(
    grants: &Grants,
    revoke: &RevokeSubject,
    Context { now, policy }: Context,
) -> Result<Decision, Rejection> {
    allow(grants, &revoke.tenant, Scope::Revoke)?;
    let keep = revoke.keep.map_or(policy.longest_life, |keep| keep.max(policy.longest_life));
    let hold_until = revoke.hold.map(|hold| now.plus(hold));
    let retain_until = now.plus(keep).max(hold_until.unwrap_or_default()).plus_millis(RETENTION_MARGIN_MILLIS);
    let revoked = SubjectRevoked {
        subject: revoke.subject.clone(),
        kinds: revoke.kinds,
        not_before: now.as_seconds(),
        hold_until,
        retain_until,
        reason: revoke.reason.clone(),
    };
    Ok(one(Some(revoke.tenant.clone()), Event::SubjectRevoked(revoked)))
}

/// Whether the application with that registration may be shown to the caller with those grants.
pub fn may_see(grants: &Grants, application: &Application) -> bool {
    application.present().is_some_and(|registration| registration.grants.within(grants))
}
