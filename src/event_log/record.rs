//! Records: the bytes of a fact and its envelope, exactly as they are hashed.
//!
//! `schema/event-log.md` is the definition. A record has one spelling: bytes that do not encode back to themselves are
//! not a record.

mod applications;
mod canonical;
mod cohorts;
mod forms;
mod lasting;
mod nodes;
mod status_lists;
mod subjects;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{
    Actor, ApplicationId, CredentialId, CredentialRef, CredentialRevoked, Digest, Event, Idempotency, IdempotencyMark,
    Issuer, KeyId, KeyPublished, Kind, LedgerId, LedgerOpened, MAX_INTEGER, NodeName, Origin, Previous, Reason,
    RecordId, Recorded, Region, Renewals, RequestId, Sequence, Subject, Tenant, TicketIssued, Timestamp, Ttl,
};
use crate::json;
use applications::ApplicationData;
use canonical::{CanonicalReader, Refused};
use cohorts::CohortRevokedData;
use forms::{Borrowed, GenerationData, Hex, Text, UuidText};
use lasting::{ParentData, SealedData, SessionExtendedData, SessionIssuedData, TokenIssuedData, jwt, parent, sealed};
use nodes::{NodeJoinedData, NodeRemovedData, NodeUpgradedData};
use status_lists::{StatusListOpenedData, StatusListPublishedData};
use subjects::{SubjectErasedData, SubjectRevokedData};

/// The largest record, in bytes.
pub const MAX_RECORD_BYTES: usize = 65_535;
/// The usual size of a record, in bytes.
const USUAL_RECORD_BYTES: usize = 448;

/// Why bytes are not a record that this version can fold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes break the definition.
    #[error("not a record: {0}")]
    Malformed(String),
    /// A later version of authledger wrote it.
    #[error("an event of type {type_name}, version {version}, which this version of authledger can't read")]
    Unreadable {
        /// The event's type.
        type_name: String,
        /// The version of its data.
        version: u64,
    },
}

impl RecordError {
    fn malformed(what: impl ToString) -> Self {
        Self::Malformed(what.to_string())
    }
}

/// The text of a record.
pub fn encode(recorded: &Recorded) -> String {
    match &recorded.event {
        Event::LedgerOpened(opened) => enveloped(recorded, &LedgerOpenedData::from(opened)),
        Event::ApplicationRegistered(registration) => enveloped(recorded, &ApplicationData::from(&**registration)),
        Event::ApplicationRemoved(id) => enveloped(recorded, &ApplicationRemovedData { id: UuidText(id.0) }),
        Event::TicketIssued(issued) => enveloped(recorded, &TicketIssuedData::from(issued)),
        Event::TicketsRenewed(renewals) => enveloped(recorded, &TicketsRenewedData::from(&**renewals)),
        Event::SessionIssued(issued) => enveloped(recorded, &SessionIssuedData::from(&**issued)),
        Event::SessionExtended(extended) => enveloped(recorded, &SessionExtendedData::from(extended)),
        Event::TokenIssued(issued) => enveloped(recorded, &TokenIssuedData::from(&**issued)),
        Event::Revoked(revoked) => enveloped(recorded, &RevokedData::from(revoked)),
        Event::SubjectRevoked(revoked) => enveloped(recorded, &SubjectRevokedData::from(revoked)),
        Event::CohortRevoked(revoked) => enveloped(recorded, &CohortRevokedData::from(&**revoked)),
        Event::SubjectErased(erased) => enveloped(recorded, &SubjectErasedData::from(erased)),
        Event::KeyPublished(key) => enveloped(recorded, &KeyPublishedData::from(key)),
        Event::KeyRetired(id) => enveloped(recorded, &KeyRetiredData { kid: id.as_str().into() }),
        Event::StatusListOpened(opened) => enveloped(recorded, &StatusListOpenedData::from(opened)),
        Event::StatusListPublished(published) => enveloped(recorded, &StatusListPublishedData::from(&**published)),
        Event::NodeJoined(joined) => enveloped(recorded, &NodeJoinedData::from(&**joined)),
        Event::NodeUpgraded(upgraded) => enveloped(recorded, &NodeUpgradedData::from(upgraded)),
        Event::NodeRemoved(removed) => enveloped(recorded, &NodeRemovedData::from(removed)),
        #[cfg(test)]
        Event::Example(revoked) => enveloped(recorded, &SubjectRevokedData::from(revoked)),
    }
}

/// Reads a record. Every byte counts: another spelling of the same JSON is refused.
pub fn decode(bytes: &[u8]) -> Result<Recorded, RecordError> {
    std::str::from_utf8(bytes).map_or_else(|_| decode_by_definition(bytes), decode_text)
}

/// The same for text that is known to be UTF-8.
pub(super) fn decode_text(text: &str) -> Result<Recorded, RecordError> {
    // A refused record is read again by the definition, which says what is wrong with it.
    canonical(text).map_err(|refused| decode_by_definition(text.as_bytes()).err().unwrap_or(refused))
}

/// Reads a record as the definition has it: as JSON that is written again and compared.
///
/// [`decode`] accepts the very same bytes, and reads the same from them, several times as fast.
pub fn decode_by_definition(bytes: &[u8]) -> Result<Recorded, RecordError> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(RecordError::malformed("larger than 65,535 bytes"));
    }
    let envelope: Envelope<'_, &RawValue> = serde_json::from_slice(bytes).map_err(RecordError::malformed)?;
    let recorded = recorded(&envelope, |type_name, version| event(type_name, version, envelope.data))?;
    if encode(&recorded).as_bytes() == bytes { Ok(recorded) } else { Err(Refused.into()) }
}

/// Reads it in one pass, from the first byte to the last.
fn canonical(text: &str) -> Result<Recorded, RecordError> {
    if text.len() > MAX_RECORD_BYTES {
        return Err(Refused.into());
    }
    let mut reader = CanonicalReader::new(text);
    let mut members = reader.object()?;
    let envelope = Envelope {
        origin: members.due("origin")?,
        sequence: members.due("sequence")?,
        recorded_at: members.due("recorded_at")?,
        type_name: members.due::<Borrowed<'_>>("type")?.0,
        version: members.due("version")?,
        tenant: members.find::<Borrowed<'_>>("tenant")?.map(|tenant| tenant.0),
        actor: members.find("actor")?,
        request: members.find::<Borrowed<'_>>("request")?.map(|request| request.0),
        idempotency: members.find("idempotency")?,
        data: (),
    };
    let data = members.value_of("data")?;
    let recorded = recorded(&envelope, |type_name, version| event(type_name, version, data))?;
    members.end()?;
    reader.end()?;
    Ok(recorded)
}

/// The source of a record's data.
trait DataSource<'a> {
    fn read<D: Deserialize<'a>>(self) -> Result<D, RecordError>;
}

impl<'a> DataSource<'a> for &'a RawValue {
    fn read<D: Deserialize<'a>>(self) -> Result<D, RecordError> {
        serde_json::from_str(self.get()).map_err(RecordError::malformed)
    }
}

impl<'a> DataSource<'a> for &mut CanonicalReader<'a> {
    fn read<D: Deserialize<'a>>(self) -> Result<D, RecordError> {
        Ok(self.value()?)
    }
}

impl From<Refused> for RecordError {
    fn from(refused: Refused) -> Self {
        Self::malformed(refused)
    }
}

/// The members before the data of every record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a, D> {
    origin: Text<Origin>,
    sequence: u64,
    recorded_at: u64,
    #[serde(rename = "type", borrow)]
    type_name: Cow<'a, str>,
    version: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    tenant: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Text<Actor>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    request: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency: Option<IdempotencyData>,
    data: D,
}

fn enveloped<D: Serialize>(recorded: &Recorded, data: &D) -> String {
    let envelope = Envelope {
        origin: Text(recorded.place.origin),
        sequence: recorded.place.sequence.0,
        recorded_at: recorded.recorded_at.as_millis(),
        type_name: recorded.event.type_name().into(),
        version: recorded.event.version(),
        tenant: recorded.tenant.as_ref().map(|tenant| tenant.as_str().into()),
        actor: recorded.actor.clone().map(Text),
        request: recorded.request.as_ref().map(|request| request.as_str().into()),
        idempotency: recorded.idempotency.map(|mark| IdempotencyData {
            key: Hex(mark.digests.key),
            body: Hex(mark.digests.body),
            records: mark.records,
        }),
        data,
    };
    let mut record = Vec::with_capacity(USUAL_RECORD_BYTES);
    json::append(&mut record, &envelope);
    String::from_utf8(record).expect("JSON is UTF-8")
}

fn recorded<D>(
    envelope: &Envelope<'_, D>,
    event: impl FnOnce(&str, u64) -> Result<Event, RecordError>,
) -> Result<Recorded, RecordError> {
    let tenant = envelope.tenant.as_deref().map(Tenant::new).transpose().map_err(RecordError::malformed)?;
    let request = envelope.request.as_deref().map(RequestId::new).transpose().map_err(RecordError::malformed)?;
    let idempotency = envelope.idempotency.as_ref().map(|mark| {
        let digests = Idempotency { key: mark.key.0, body: mark.body.0 };
        Ok::<_, RecordError>(IdempotencyMark { digests, records: integer(mark.records)? })
    });
    if envelope.sequence == 0 {
        return Err(RecordError::malformed("sequence 0"));
    }
    Ok(Recorded {
        place: RecordId { origin: envelope.origin.0, sequence: Sequence(integer(envelope.sequence)?) },
        recorded_at: instant(envelope.recorded_at)?,
        tenant,
        actor: envelope.actor.as_ref().map(|actor| actor.0.clone()),
        request,
        idempotency: idempotency.transpose()?,
        event: event(&envelope.type_name, envelope.version)?,
    })
}

fn event<'a>(type_name: &str, version: u64, data: impl DataSource<'a>) -> Result<Event, RecordError> {
    Ok(match (type_name, version) {
        ("ledger.opened", 1) => Event::LedgerOpened(data.read::<LedgerOpenedData<'_>>()?.into_domain()?),
        ("application.registered", 1 | 2) => {
            Event::ApplicationRegistered(Arc::new(data.read::<ApplicationData<'_>>()?.into_domain(version)?))
        }
        ("application.removed", 1) => {
            Event::ApplicationRemoved(ApplicationId(data.read::<ApplicationRemovedData>()?.id.0))
        }
        ("ticket.issued", 1 | 2) => Event::TicketIssued(data.read::<TicketIssuedData<'_>>()?.into_domain(version)?),
        ("tickets.renewed", 1) => Event::TicketsRenewed(data.read::<TicketsRenewedData>()?.into_domain()?),
        ("session.issued", 1 | 2) => {
            Event::SessionIssued(Box::new(data.read::<SessionIssuedData<'_>>()?.into_domain(version)?))
        }
        ("session.extended", 1) => Event::SessionExtended(data.read::<SessionExtendedData<'_>>()?.into_domain()?),
        ("token.issued", 1 | 2) => {
            Event::TokenIssued(Box::new(data.read::<TokenIssuedData<'_>>()?.into_domain(version)?))
        }
        ("ticket.revoked", 1) => Event::Revoked(data.read::<RevokedData<'_>>()?.into_domain(Kind::Ticket)?),
        ("session.revoked", 1) => Event::Revoked(data.read::<RevokedData<'_>>()?.into_domain(Kind::Session)?),
        ("token.revoked", 1) => Event::Revoked(data.read::<RevokedData<'_>>()?.into_domain(Kind::Token)?),
        ("key.published", 1) => Event::KeyPublished(data.read::<KeyPublishedData<'_>>()?.into_domain()?),
        ("key.retired", 1) => {
            let id = data.read::<KeyRetiredData<'_>>()?.kid;
            Event::KeyRetired(KeyId::new(&id).map_err(RecordError::malformed)?)
        }
        ("status_list.opened", 1) => Event::StatusListOpened(data.read::<StatusListOpenedData>()?.into_domain()?),
        ("status_list.published", 1) => {
            Event::StatusListPublished(Box::new(data.read::<StatusListPublishedData<'_>>()?.into_domain()?))
        }
        ("node.joined", 1) => Event::NodeJoined(Box::new(data.read::<NodeJoinedData<'_>>()?.into_domain()?)),
        ("node.upgraded", 1) => Event::NodeUpgraded(data.read::<NodeUpgradedData>()?.into_domain()?),
        ("node.removed", 1) => Event::NodeRemoved(data.read::<NodeRemovedData>()?.into_domain()?),
        ("cohort.revoked", 1) => Event::CohortRevoked(Box::new(data.read::<CohortRevokedData<'_>>()?.into_domain()?)),
        ("subject.revoked", 1 | 2) => {
            Event::SubjectRevoked(data.read::<SubjectRevokedData<'_>>()?.into_domain(version)?)
        }
        ("subject.erased", 1) => Event::SubjectErased(data.read::<SubjectErasedData<'_>>()?.into_domain()?),
        #[cfg(test)]
        ("example.revoked", 1) => Event::Example(data.read::<SubjectRevokedData<'_>>()?.into_domain(1)?),
        // The compiler does not ask for an arm here; the golden records do.
        _ => return Err(RecordError::Unreadable { type_name: type_name.to_owned(), version }),
    })
}

fn integer(value: u64) -> Result<u64, RecordError> {
    if value <= MAX_INTEGER { Ok(value) } else { Err(RecordError::malformed("an integer beyond 2^53 - 1")) }
}

fn instant(millis: u64) -> Result<Timestamp, RecordError> {
    Timestamp::from_millis(millis).ok_or_else(|| RecordError::malformed("an instant beyond 2^53 - 1"))
}

/// Refuses a set that is not listed in its order, with each member once.
fn in_order<T: Ord>(members: impl Iterator<Item = T>) -> Result<(), RecordError> {
    if members.is_sorted_by(|one, next| one < next) {
        Ok(())
    } else {
        Err(RecordError::malformed("a set out of order"))
    }
}

/// A list that is left out if it is empty.
fn filled<T>(list: Option<Vec<T>>) -> Result<Vec<T>, RecordError> {
    match list {
        Some(list) if list.is_empty() => Err(RecordError::malformed("an empty list, which is never written")),
        list => Ok(list.unwrap_or_default()),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdempotencyData {
    key: Hex<16>,
    body: Hex<16>,
    records: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerOpenedData<'a> {
    ledger: UuidText,
    #[serde(borrow)]
    node: Cow<'a, str>,
    #[serde(borrow)]
    region: Cow<'a, str>,
    format: u64,
    public_key: Hex<32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<PreviousData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pseudonyms: Option<Hex<32>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousData {
    origin: Text<Origin>,
    sequence: u64,
    hash: Hex<32>,
}

impl<'a> From<&'a LedgerOpened> for LedgerOpenedData<'a> {
    fn from(opened: &'a LedgerOpened) -> Self {
        Self {
            ledger: UuidText(opened.ledger.0),
            node: opened.node.as_str().into(),
            region: opened.region.as_str().into(),
            format: opened.format,
            public_key: Hex(opened.public_key),
            previous: opened.previous.as_ref().map(|previous| PreviousData {
                origin: Text(previous.place.origin),
                sequence: previous.place.sequence.0,
                hash: Hex(previous.hash),
            }),
            pseudonyms: opened.pseudonyms.map(Hex),
        }
    }
}

impl LedgerOpenedData<'_> {
    fn into_domain(self) -> Result<LedgerOpened, RecordError> {
        let previous = self.previous.map(|previous| {
            let sequence = Sequence(integer(previous.sequence)?);
            Ok::<_, RecordError>(Previous {
                place: RecordId { origin: previous.origin.0, sequence },
                hash: previous.hash.0,
            })
        });
        Ok(LedgerOpened {
            ledger: LedgerId(self.ledger.0),
            node: NodeName::new(&self.node).map_err(RecordError::malformed)?,
            region: Region::new(&self.region).map_err(RecordError::malformed)?,
            format: integer(self.format)?,
            public_key: self.public_key.0,
            previous: previous.transpose()?,
            pseudonyms: self.pseudonyms.map(|check| check.0),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationRemovedData {
    id: UuidText,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketIssuedData<'a> {
    digest: Text<Digest>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<u64>,
    ttl: u64,
    expires_at: u64,
    not_after: u64,
    #[serde(default, skip_serializing_if = "GenerationData::is_empty")]
    generation: GenerationData,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    parent: Option<ParentData<'a>>,
}

impl<'a> From<&'a TicketIssued> for TicketIssuedData<'a> {
    fn from(issued: &'a TicketIssued) -> Self {
        Self {
            digest: Text(issued.digest),
            subject: issued.subject.as_str().into(),
            issued_at: issued.issued_at.map(Timestamp::as_millis),
            ttl: issued.ttl.as_seconds(),
            expires_at: issued.expires_at.as_millis(),
            not_after: issued.not_after.as_millis(),
            generation: GenerationData(issued.generation.clone()),
            parent: issued.parent.map(ParentData::from),
        }
    }
}

impl TicketIssuedData<'_> {
    fn into_domain(self, version: u64) -> Result<TicketIssued, RecordError> {
        Ok(TicketIssued {
            digest: self.digest.0,
            subject: Subject::new(&self.subject).map_err(RecordError::malformed)?,
            issued_at: self.issued_at.map(instant).transpose()?,
            ttl: Ttl::from_seconds(self.ttl).ok_or_else(|| RecordError::malformed("a ttl outside 1 s to 366 d"))?,
            expires_at: instant(self.expires_at)?,
            not_after: instant(self.not_after)?,
            generation: self.generation.into_domain()?,
            parent: parent(self.parent, version)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketsRenewedData {
    renewals: Vec<RenewalsData>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewalsData {
    origin: Text<Origin>,
    pairs: Vec<(u64, u64)>,
}

impl From<&[Renewals]> for TicketsRenewedData {
    fn from(renewals: &[Renewals]) -> Self {
        let renewals = renewals.iter().map(|renewals| RenewalsData {
            origin: Text(renewals.origin),
            pairs: renewals.uses.iter().map(|(sequence, at)| (sequence.0, at.as_millis())).collect(),
        });
        Self { renewals: renewals.collect() }
    }
}

impl TicketsRenewedData {
    fn into_domain(self) -> Result<Vec<Renewals>, RecordError> {
        let renewals = self.renewals.into_iter().map(|renewals| {
            let uses =
                renewals.pairs.into_iter().map(|(sequence, at)| Ok((Sequence(integer(sequence)?), instant(at)?)));
            Ok(Renewals { origin: renewals.origin.0, uses: uses.collect::<Result<_, RecordError>>()? })
        });
        renewals.collect()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Text<Digest>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    iss: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    jti: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Text<Digest>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<bool>,
    retain_until: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    note: Option<SealedData<'a>>,
}

impl<'a> From<&'a CredentialRevoked> for RevokedData<'a> {
    fn from(revoked: &'a CredentialRevoked) -> Self {
        let id = match &revoked.credential {
            CredentialRef::Id(_) => revoked.credential.public_id(revoked.kind),
            CredentialRef::Digest(_) | CredentialRef::Jwt { .. } | CredentialRef::Payload { .. } => None,
        };
        let payload = match &revoked.credential {
            CredentialRef::Payload { digest, .. } => Some(Text(*digest)),
            CredentialRef::Digest(_) | CredentialRef::Id(_) | CredentialRef::Jwt { .. } => None,
        };
        Self {
            digest: revoked.credential.digest().or(revoked.session_digest.as_ref()).copied().map(Text),
            id: id.map(Cow::Owned),
            iss: revoked.credential.issuer().map(|issuer| issuer.as_str().into()),
            jti: revoked.credential.jti().map(|jti| jti.as_str().into()),
            payload,
            subject: revoked.subject.as_ref().map(|subject| subject.as_str().into()),
            known: (!revoked.known).then_some(false),
            retain_until: revoked.retain_until.as_millis(),
            reason: revoked.reason.as_ref().map(|reason| reason.as_str().into()),
            note: revoked.note.as_ref().map(SealedData::from),
        }
    }
}

impl RevokedData<'_> {
    fn into_domain(self, kind: Kind) -> Result<CredentialRevoked, RecordError> {
        let session_digest = self.digest.as_ref().map(|digest| digest.0).filter(|_| self.id.is_some());
        let credential = match (self.digest, self.id, self.iss, self.jti, self.payload) {
            (Some(digest), None, None, None, None) => CredentialRef::Digest(digest.0),
            (digest, Some(id), None, None, None) if digest.is_none() || kind == Kind::Session => CredentialRef::Id(
                match kind {
                    Kind::Session => forms::session_id(&id),
                    Kind::Ticket | Kind::Token => CredentialId::parse(kind, &id),
                }
                .map_err(RecordError::malformed)?,
            ),
            (None, None, Some(issuer), Some(jti), None) if kind == Kind::Token => jwt(&issuer, &jti)?,
            (None, None, Some(issuer), None, Some(payload)) if kind == Kind::Token => CredentialRef::Payload {
                issuer: Issuer::new(&issuer).map_err(RecordError::malformed)?,
                digest: payload.0,
            },
            _ => return Err(RecordError::malformed("a credential is named in one of the ways of its kind")),
        };
        let known = match self.known {
            None => true,
            Some(false) => false,
            Some(true) => return Err(RecordError::malformed("what goes without saying: known")),
        };
        if known && self.subject.is_none() {
            return Err(RecordError::malformed("a credential that was known, without its subject"));
        }
        Ok(CredentialRevoked {
            kind,
            credential,
            session_digest,
            subject: self.subject.as_deref().map(Subject::new).transpose().map_err(RecordError::malformed)?,
            known,
            retain_until: instant(self.retain_until)?,
            reason: self.reason.as_deref().map(Reason::new).transpose().map_err(RecordError::malformed)?,
            note: sealed(self.note)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyPublishedData<'a> {
    #[serde(borrow)]
    kid: Cow<'a, str>,
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    jwk: Cow<'a, str>,
}

impl<'a> From<&'a KeyPublished> for KeyPublishedData<'a> {
    fn from(key: &'a KeyPublished) -> Self {
        Self { kid: key.id.as_str().into(), iss: key.issuer.as_str().into(), jwk: (&*key.jwk).into() }
    }
}

impl KeyPublishedData<'_> {
    fn into_domain(self) -> Result<KeyPublished, RecordError> {
        Ok(KeyPublished {
            id: KeyId::new(&self.kid).map_err(RecordError::malformed)?,
            issuer: Issuer::new(&self.iss).map_err(RecordError::malformed)?,
            jwk: self.jwk.into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRetiredData<'a> {
    #[serde(borrow)]
    kid: Cow<'a, str>,
}
