//! Judgements: whether a credential is good at an instant, or why not. One rule for whoever asks.

use super::command::PresentedToken;
use super::credential::{CredentialId, CredentialKey, Digest, Kind};
use super::ids::{Place, Subject, Tenant};
use super::lasting::{Lasting, LastingIssue};
use super::state::View;
use super::subject::Generation;
use super::ticket::{Dead, Ticket, TicketIssue};
use super::time::Timestamp;

/// The rule for whoever presents or names a ticket: good at `now`, or why not.
pub fn judge_ticket(view: &impl View, ticket: &Ticket, now: Timestamp) -> Result<TicketIssue, Dead> {
    let issue = ticket.issue.as_ref().ok_or(Dead::Unknown)?;
    if let Some((place, removed_at)) = view.beyond_seal(issue.place) {
        return Err(Dead::Revoked(place, removed_at));
    }
    let subject = view.subject(&issue.tenant, &issue.subject);
    let good = ticket.good(&subject, now)?;
    match ended_unknown(view, Kind::Ticket, &issue.digest, &issue.tenant, &issue.subject) {
        Some((place, revoked_at)) => Err(Dead::Revoked(place, revoked_at)),
        None => Ok(good.clone()),
    }
}

/// The earliest ending that was recorded by the secret alone, when nobody knew what it was the secret of: it may have been
/// taken for another kind, and a session for none that has its id.
pub fn ended_unknown(
    view: &impl View,
    kind: Kind,
    digest: &Digest,
    tenant: &Tenant,
    subject: &Subject,
) -> Option<(Place, Timestamp)> {
    let id = digest.id();
    let as_ticket = (kind != Kind::Ticket).then(|| view.ticket(id)).filter(|ticket| ticket.issue.is_none());
    let taken_for = |other: Kind| {
        let unknown = (kind != other || kind == Kind::Session).then(|| view.lasting(CredentialKey { kind: other, id }));
        unknown.filter(|lasting| lasting.issue.is_none()).map(|lasting| lasting.endings)
    };
    [as_ticket.map(|ticket| ticket.endings), taken_for(Kind::Session), taken_for(Kind::Token)]
        .into_iter()
        .flatten()
        .filter_map(|endings| endings.of(tenant, subject).map(|ending| (ending.place, ending.revoked_at)))
        .min_by_key(|(place, at)| (*at, *place))
}

/// The rule for whoever presents or names a session, or a token that this ledger has the issue of.
pub fn judge_lasting(view: &impl View, key: CredentialKey, now: Timestamp) -> Result<Lasting, Dead> {
    let lasting = view.lasting(key);
    let issue = lasting.issue.as_ref().ok_or(Dead::Unknown)?;
    if let Some((place, revoked_at)) = ended_by(view, key.kind, &lasting, issue) {
        return Err(Dead::Revoked(place, revoked_at));
    }
    lasting.in_time(now)?;
    Ok(lasting)
}

/// The earliest record that ended it, if one did.
fn ended_by(view: &impl View, kind: Kind, lasting: &Lasting, issue: &LastingIssue) -> Option<(Place, Timestamp)> {
    let subject = view.subject(&issue.tenant, &issue.subject);
    let alone = lasting.ending().map(|ending| (ending.place, ending.revoked_at));
    let unseen = issue.digest().and_then(|digest| ended_unknown(view, kind, digest, &issue.tenant, &issue.subject));
    let with_all = subject.ends(kind, &issue.generation);
    let with_session =
        issue.session.and_then(|id| session_ended(view, &issue.tenant, &issue.subject, id, &issue.generation));
    [view.beyond_seal(issue.place), alone, unseen, with_all, with_session]
        .into_iter()
        .flatten()
        .min_by_key(|(place, at)| (*at, *place))
}

/// A token dies with its session: the token's generation reaches whatever had ended other sessions when it was issued.
fn session_ended(
    view: &impl View,
    tenant: &Tenant,
    subject: &Subject,
    session: CredentialId,
    generation: &Generation,
) -> Option<(Place, Timestamp)> {
    let kind = Kind::Session;
    let lasting = view.lasting(CredentialKey { kind, id: session });
    let alone = lasting.endings.of(tenant, subject).map(|ending| (ending.place, ending.revoked_at));
    let digest = lasting.issue.as_ref().and_then(|issue| issue.digest().copied());
    let unseen = digest.and_then(|digest| ended_unknown(view, kind, &digest, tenant, subject));
    let with_all = view.subject(tenant, subject).ends(kind, generation);
    let too_late = lasting.issue.as_ref().and_then(|issue| view.beyond_seal(issue.place));
    [too_late, alone, unseen, with_all].into_iter().flatten().min_by_key(|(place, at)| (*at, *place))
}

/// The rule for a JWT whose signature has been verified, seen before or not.
pub fn judge_presented(view: &impl View, token: &PresentedToken, now: Timestamp) -> Result<(), Dead> {
    let key = CredentialKey { kind: Kind::Token, id: token.credential.id() };
    let lasting = view.lasting(key);
    let known = lasting.issue.as_ref().filter(|issue| issue.tenant == token.tenant && issue.subject == token.subject);
    let ended = match known {
        Some(issue) => ended_by(view, Kind::Token, &lasting, issue),
        None => ended_unseen(view, token, &lasting),
    };
    if let Some((place, revoked_at)) = ended {
        return Err(Dead::Revoked(place, revoked_at));
    }
    if token.expires_at.is_none_or(|expires_at| now < expires_at) { Ok(()) } else { Err(Dead::Expired) }
}

/// Of a token without an issue here: one of ours carries its generation, a foreign one only when it was issued.
fn ended_unseen(view: &impl View, token: &PresentedToken, lasting: &Lasting) -> Option<(Place, Timestamp)> {
    let PresentedToken { tenant, subject, .. } = token;
    let alone = lasting.endings.of(tenant, subject).map(|ending| (ending.place, ending.revoked_at));
    let state = view.subject(tenant, subject);
    let with_all = match &token.generation {
        Some(generation) => state.ends(Kind::Token, generation),
        None => state.ends_foreign(token.issued_at_seconds, token.leeway_seconds),
    };
    let generation = token.generation.as_ref();
    let with_session = token
        .session
        .zip(generation)
        .and_then(|(session, generation)| session_ended(view, tenant, subject, session, generation));
    [alone, with_all, with_session].into_iter().flatten().min_by_key(|(place, at)| (*at, *place))
}
