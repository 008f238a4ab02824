//! Imports: credentials that were issued elsewhere, by digest or id.

use super::super::application::{Grants, Scope};
use super::super::cohort::{CohortsOf, generation_at};
use super::super::command::{Caller, Context, Decision, Import, ImportedLife, PastIssue, Rejection};
use super::super::credential::{CredentialKey, CredentialRef, Digest, Kind, revoked_unknown};
use super::super::event::{CredentialRevoked, Draft, Event, SessionIssued, TicketIssued, TokenIssued};
use super::super::ids::{RecordId, Subject, Tenant};
use super::super::state::View;
use super::super::subject::Generation;
use super::super::time::{RETENTION_MARGIN_MILLIS, Timestamp, Ttl};
use super::{allow, settled};

/// How far the clock of the other issuer may be ahead of ours: 300 s.
const MAX_AHEAD_MILLIS: u64 = 300_000;
/// How far that clock may be wrong when it is compared with a revocation of everything that a subject had: 5 s, as for
/// a foreign token.
const LEEWAY_SECONDS: u64 = 5;

/// The same line twice makes one credential. Whether an id or digest is taken is reported last, and in the same way for
/// every owner.
pub fn import(
    view: &impl View,
    grants: &Grants,
    caller: &Caller,
    import: &Import,
    context: Context,
) -> Result<Decision, Rejection> {
    allow(grants, &import.tenant, Scope::Admin)?;
    settled(context, Rejection::ClockUnsettled)?;
    if !plausible(import, context) {
        return Err(Rejection::ImplausibleTimes);
    }
    let name = match in_memory(view, import) {
        Name::Free => on_record(import),
        name => name,
    };
    if let Name::Own(place) = name {
        return Ok(Decision::Already(place));
    }
    if view.subject(&import.tenant, &import.subject).erasure.is_some() {
        return Err(Rejection::SubjectErased);
    }
    if import.expires_at <= context.now {
        return Err(Rejection::CredentialExpired);
    }
    if name == Name::Taken {
        return Err(Rejection::IdUnavailable);
    }
    if !view.has_room(import.life.kind(), &import.tenant, &import.subject) {
        return Err(Rejection::MemoryFull);
    }
    let cohorts = CohortsOf::with_secret(&import.tenant, caller.application());
    let issued = issued(view, import, cohorts, context);
    let revocation = revocation(view, import, cohorts, &issued);
    let draft = |event| Draft { tenant: Some(import.tenant.clone()), event };
    Ok(Decision::Append(std::iter::once(issued).chain(revocation).map(draft).collect()))
}

/// Whether the imported credential can have its id and digest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Free,
    /// It was issued or imported before, by that record.
    Own(RecordId),
    /// Another credential has one of them.
    Taken,
}

/// A credential that was revoked before it was imported may outlive the revocation, so it is revoked once more, for as
/// long as it could be active.
fn revocation(view: &impl View, import: &Import, cohorts: CohortsOf<'_>, issued: &Event) -> Option<Event> {
    let Import { tenant, subject, .. } = import;
    let (kind, credential, session_digest, not_after, generation) = match issued {
        Event::TicketIssued(ticket) => {
            (Kind::Ticket, CredentialRef::Digest(ticket.digest), None, ticket.not_after, &ticket.generation)
        }
        Event::SessionIssued(session) => {
            (Kind::Session, CredentialRef::Id(session.id), session.digest, session.not_after, &session.generation)
        }
        Event::TokenIssued(token) => (Kind::Token, token.name.clone(), None, token.expires_at, &token.generation),
        _ => return None,
    };
    let same = view.credential(CredentialKey { kind, id: credential.id() });
    let under_its_name = same.revocations.of(tenant, subject).is_some();
    let digest = session_digest.or(credential.digest().copied());
    let by_its_secret = digest.is_some_and(|digest| revoked_unknown(view, kind, &digest, tenant, subject).is_some());
    let alone = under_its_name || by_its_secret;
    let with_all = view.subject(tenant, subject).revokes(kind, generation, import.issued_at).is_some();
    let with_cohort = view.cohorts().is_some_and(|all| all.revokes(kind, cohorts, generation).is_some());
    (alone || with_all || with_cohort).then(|| {
        Event::Revoked(CredentialRevoked {
            kind,
            credential,
            session_digest,
            subject: Some(subject.clone()),
            known: true,
            retain_until: not_after.plus_millis(RETENTION_MARGIN_MILLIS),
            reason: None,
            note: None,
        })
    })
}

fn plausible(import: &Import, Context { now, policy, .. }: Context) -> bool {
    let Import { issued_at, expires_at, .. } = *import;
    issued_at <= now.plus_millis(MAX_AHEAD_MILLIS)
        && issued_at < expires_at
        && expires_at <= now.plus(policy.longest_life)
        && import.not_after.is_none_or(|not_after| expires_at <= not_after)
}

/// The entries in memory under its id and digest.
fn in_memory(view: &impl View, import: &Import) -> Name {
    let digest = import.life.digest();
    if digest.is_some_and(|digest| is_of_another_kind(view, digest, import.life.kind())) {
        return Name::Taken;
    }
    let key = import.life.key();
    let namesake = || digest.and_then(|digest| view.session_with(digest));
    if key.kind == Kind::Session && namesake().is_some_and(|other| other != key.id) {
        return Name::Taken;
    }
    let Some(issue) = view.credential(key).issue else { return Name::Free };
    own_or_taken(import, issue.digest(), &issue.tenant, &issue.subject, issue.place)
}

/// The entries in the log under its id and digest: the first issue of an id counts permanently, although it leaves
/// memory.
fn on_record(import: &Import) -> Name {
    let (key, digest) = (import.life.key(), import.life.digest());
    let is_about = |past: &&PastIssue| past.key == key || (digest.is_some() && past.digest.as_ref() == digest);
    let names = import.past.iter().filter(is_about).map(|past| {
        if past.key != key {
            return Name::Taken;
        }
        own_or_taken(import, past.digest.as_ref(), &past.tenant, &past.subject, past.place)
    });
    names
        .reduce(|one, other| match (one, other) {
            (Name::Own(one), Name::Own(other)) => Name::Own(one.min(other)),
            _ => Name::Taken,
        })
        .unwrap_or(Name::Free)
}

fn own_or_taken(import: &Import, digest: Option<&Digest>, tenant: &Tenant, subject: &Subject, place: RecordId) -> Name {
    let own = digest == import.life.digest() && import.tenant == *tenant && import.subject == *subject;
    if own { Name::Own(place) } else { Name::Taken }
}

/// A secret belongs to one credential: a revocation of the credential with that digest must have revoked everything
/// that it opens.
fn is_of_another_kind(view: &impl View, digest: &Digest, kind: Kind) -> bool {
    let is_issued = |kind| match kind {
        Kind::Session => view.session_with(digest).is_some(),
        Kind::Ticket | Kind::Token => {
            let issue = view.credential(CredentialKey { kind, id: digest.id() }).issue;
            issue.is_some_and(|issue| issue.digest() == Some(digest))
        }
    };
    Kind::ALL.into_iter().any(|other| other != kind && is_issued(other))
}

/// A revocation of everything that its subject or tenant had does not reach it if it was issued later; a later revocation
/// does. What the importing application had issued before does not reach it.
fn generation(view: &impl View, import: &Import, cohorts: CohortsOf<'_>) -> Generation {
    let kind = import.life.kind();
    let subject = view.subject(&import.tenant, &import.subject);
    let revoked = view.cohorts();
    let elsewhere = CohortsOf { application: None, ..cohorts };
    let of_cohorts = revoked.iter().flat_map(|all| all.of(kind, elsewhere));
    let states = std::iter::once(subject.of(kind)).chain(of_cohorts);
    let importer = revoked.as_ref().zip(cohorts.application);
    let of_importer = importer.into_iter().flat_map(|(all, id)| all.of_application(kind, id));
    generation_at(states, of_importer, import.issued_at.as_seconds(), LEEWAY_SECONDS)
}

fn issued(view: &impl View, import: &Import, cohorts: CohortsOf<'_>, Context { policy, .. }: Context) -> Event {
    let generation = generation(view, import, cohorts);
    let Import { subject, issued_at, expires_at, .. } = import;
    let (subject, issued_at, expires_at) = (subject.clone(), Some(*issued_at), *expires_at);
    let asked = import.not_after.unwrap_or(Timestamp::default().plus_millis(u64::MAX));
    let latest = |life| expires_at.max(import.issued_at.plus(life).min(asked));
    match import.life.clone() {
        ImportedLife::Ticket { digest, ttl } => Event::TicketIssued(TicketIssued {
            digest,
            subject,
            issued_at,
            // Unused, it must not outlast the expiry that the import gives.
            ttl: Ttl::from_seconds(expires_at.millis_since(import.issued_at).div_ceil(1_000))
                .map_or(ttl, |life| ttl.min(life)),
            expires_at,
            not_after: latest(policy.ticket_max_life),
            generation,
            parent: None,
        }),
        ImportedLife::Session { id, digest, aal } => Event::SessionIssued(Box::new(SessionIssued {
            id,
            digest,
            subject,
            issued_at,
            authenticated_at: None,
            aal,
            methods: Vec::new(),
            expires_at,
            not_after: latest(policy.session_max_life),
            generation,
            parent: None,
            sealed: None,
        })),
        ImportedLife::Token { digest } => Event::TokenIssued(Box::new(TokenIssued {
            name: CredentialRef::Digest(digest),
            key: None,
            subject,
            issued_at,
            parent: None,
            audience: Vec::new(),
            scope: None,
            confirmation: None,
            status: None,
            grant: None,
            expires_at,
            generation,
            sealed: None,
        })),
    }
}
