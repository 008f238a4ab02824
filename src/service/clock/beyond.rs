//! Records beyond an instant, made because ledger time was ahead: finding and listing them, and revoking their
//! credentials.

use std::collections::BTreeSet;

use crate::clock::AcceptedTime;
use crate::domain::{
    Caller, Command, CredentialKey, CredentialRef, CredentialView as _, Event, Kind, Origin, Reason, RecordId,
    Recorded, Request, Revoke, Sequence, Subject, Tenant, Timestamp, View as _, judge,
};
use crate::domain::{Inactive, lineage};
use crate::event_log::{ReadError, Reader, SubmitError, Writer};
use crate::projection::Projection;
use crate::service::machine::Ledger;
use crate::service::start_error::StartError;

/// The most credentials that an answer lists.
pub const MAX_LISTED: usize = 1_000;
/// Records that are read at a time.
const PAGE_RECORDS: usize = 1_024;
/// The reason of these revocations.
const REASON: &str = "clock-accepted";

/// The records beyond an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// The credentials that these records issued, extended or noted a use of, and that are not revoked: the first
    /// [`MAX_LISTED`].
    pub credentials: Vec<BeyondCredential>,
    /// The number of all of them.
    pub total: u64,
    /// The number of records.
    pub records: u64,
    /// How many of the records revoked everything that a subject had. Their holds and `not_before` stand.
    pub subjects_revoked: u64,
}

/// A credential that a record beyond an instant is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeyondCredential {
    pub kind: Kind,
    /// Its public id.
    pub id: String,
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// The first record beyond the instant that is about it.
    pub place: RecordId,
    /// When that was recorded.
    pub recorded_at: Timestamp,
}

/// The records of these origins beyond that instant.
pub fn list(reader: &Reader, projection: &Projection, origins: &[Origin], at: Timestamp) -> Result<Beyond, ReadError> {
    let (mut beyond, mut seen) = (Beyond::default(), BTreeSet::new());
    for origin in origins {
        each(reader, projection, *origin, at, |recorded| {
            beyond.records += 1;
            beyond.subjects_revoked += u64::from(matches!(recorded.event, Event::SubjectRevoked(_)));
            for key in touched(reader, recorded)? {
                if !seen.insert(key) {
                    continue;
                }
                let Some((tenant, subject, name)) = unrevoked(projection, key) else { continue };
                beyond.total += 1;
                if beyond.credentials.len() < MAX_LISTED {
                    let id = name.public_id(key.kind).unwrap_or_else(|| key.id.to_string());
                    let (place, recorded_at) = (recorded.place, recorded.recorded_at);
                    let credential = BeyondCredential { kind: key.kind, id, tenant, subject, place, recorded_at };
                    beyond.credentials.push(credential);
                }
            }
            Ok(())
        })?;
    }
    Ok(beyond)
}

/// Revokes the credentials that the origin which wrote while its clock was ahead, and the origins that it continues,
/// have issued, extended or noted a use of beyond the accepted instant; returns how many. That origin may be the
/// continued one: by now its last record may lie in the past.
pub async fn revoke_beyond(
    writer: &Writer<Ledger>,
    reader: &Reader,
    projection: &Projection,
    accepted: AcceptedTime,
    at_a_time: usize,
) -> Result<u64, StartError> {
    let mut revoked = 0;
    for before in lineage(&projection.origins(), accepted.origin, None) {
        let mut next = first_beyond(reader, projection, before, accepted.at)?;
        while let Some(sequence) = next {
            let page = reader.run_from(RecordId { origin: before, sequence }, PAGE_RECORDS)?;
            next = page.last().map(|last| last.place.sequence.next());
            let mut names: Vec<(Kind, CredentialRef)> = Vec::new();
            for stored in page {
                for key in touched(reader, &stored.decode()?)? {
                    names.extend(unrevoked(projection, key).map(|(.., name)| (key.kind, name)));
                }
            }
            names.dedup();
            for some in names.chunks(at_a_time.max(1)) {
                revoked += revoke(writer, some).await?;
            }
        }
    }
    Ok(revoked)
}

async fn revoke(writer: &Writer<Ledger>, names: &[(Kind, CredentialRef)]) -> Result<u64, StartError> {
    let failed = |error: SubmitError| StartError::Writer(error.to_string());
    let mut queued = Vec::with_capacity(names.len());
    for (kind, credential) in names {
        let command = Command::Revoke(Revoke {
            kind: *kind,
            credential: credential.clone(),
            reason: Reason::new(REASON).ok(),
            note: None,
        });
        let request = Request { caller: Caller::Node, request: None, idempotency: None, command };
        queued.push(writer.handle().queue(move |ledger, batch| ledger.request(&request, batch)).map_err(failed)?);
    }
    for answer in queued {
        // A refused one has expired meanwhile, or was revoked by an earlier record.
        drop(answer.answer().await.map_err(failed)?);
    }
    Ok(names.len() as u64)
}

/// Every record of that origin beyond that instant, in order.
fn each(
    reader: &Reader,
    projection: &Projection,
    origin: Origin,
    at: Timestamp,
    mut take: impl FnMut(&Recorded) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut next = first_beyond(reader, projection, origin, at)?;
    while let Some(sequence) = next {
        let page = reader.run_from(RecordId { origin, sequence }, PAGE_RECORDS)?;
        next = page.last().map(|last| last.place.sequence.next());
        for stored in page {
            take(&stored.decode()?)?;
        }
    }
    Ok(())
}

/// The first record of that origin beyond that instant. An origin's times never fall, so bisection finds it.
fn first_beyond(
    reader: &Reader,
    projection: &Projection,
    origin: Origin,
    at: Timestamp,
) -> Result<Option<Sequence>, ReadError> {
    let (mut low, mut high) = (1, projection.head(origin).0 + 1);
    let end = high;
    while low < high {
        let middle = low + (high - low) / 2;
        let stored = reader.find_place(RecordId { origin, sequence: Sequence(middle) })?;
        let is_beyond = stored.is_some_and(|stored| stored.decode().is_ok_and(|recorded| recorded.recorded_at > at));
        if is_beyond { high = middle } else { low = middle + 1 }
    }
    Ok((low < end).then_some(Sequence(low)))
}

/// The credentials that got a time of life from that record. An import brings its own times, which no clock of ours has
/// touched.
fn touched(reader: &Reader, recorded: &Recorded) -> Result<Vec<CredentialKey>, ReadError> {
    let key = |kind, id| vec![CredentialKey { kind, id }];
    Ok(match &recorded.event {
        Event::TicketIssued(issued) if issued.issued_at.is_none() => key(Kind::Ticket, issued.digest.id()),
        Event::SessionIssued(issued) if issued.issued_at.is_none() => key(Kind::Session, issued.id),
        Event::TokenIssued(issued) if issued.issued_at.is_none() => vec![issued.key()],
        Event::SessionExtended(extended) => key(Kind::Session, extended.id),
        Event::TicketsRenewed(renewals) => {
            let uses = renewals.iter().flat_map(|renewal| {
                renewal.uses.iter().map(|(sequence, _)| RecordId { origin: renewal.origin, sequence: *sequence })
            });
            let mut keys = Vec::new();
            for place in uses {
                let Some(stored) = reader.find_place(place)? else { continue };
                if let Event::TicketIssued(issued) = stored.decode()?.event {
                    keys.push(CredentialKey { kind: Kind::Ticket, id: issued.digest.id() });
                }
            }
            keys
        }
        _ => Vec::new(),
    })
}

/// The subject and public id of a credential, if it is in memory and was not revoked.
fn unrevoked(projection: &Projection, key: CredentialKey) -> Option<(Tenant, Subject, CredentialRef)> {
    let now = projection.forgotten_at();
    let is_revoked = matches!(judge(projection, key, now), Err(Inactive::Revoked(..)));
    let issue = projection.credential(key).issue.filter(|_| !is_revoked)?;
    let name = issue.named(key);
    Some((issue.tenant, issue.subject, name))
}
