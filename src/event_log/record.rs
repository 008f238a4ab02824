//! Records: the bytes of a fact and its envelope, exactly as they are hashed.
//!
//! `schema/event-log.md` is the definition. A record has one spelling: what does not encode back to the same bytes is none.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::{
    Actor, ApplicationId, CredentialId, Digest, Event, Generation, Grant, Grants, Idempotency, IdempotencyMark, Kind,
    Kinds, LedgerId, LedgerOpened, MAX_INTEGER, Named, NodeName, Origin, Place, Previous, Reason, Recorded, Region,
    Registration, Renewals, RequestId, Scope, Sequence, Subject, SubjectRevoked, Tenant, TicketIssued, TicketRevoked,
    Timestamp, Ttl, hex,
};

/// The largest record, in bytes.
pub const MAX_RECORD_BYTES: usize = 65_535;

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
        Event::LedgerOpened(opened) => sealed(recorded, &LedgerOpenedData::from(opened)),
        Event::ApplicationRegistered(registration) => sealed(recorded, &ApplicationData::from(&**registration)),
        Event::ApplicationRemoved(id) => sealed(recorded, &ApplicationRemovedData { id: id.0 }),
        Event::TicketIssued(issued) => sealed(recorded, &TicketIssuedData::from(issued)),
        Event::TicketsRenewed(renewals) => sealed(recorded, &TicketsRenewedData::from(&**renewals)),
        Event::TicketRevoked(revoked) => sealed(recorded, &TicketRevokedData::from(revoked)),
        Event::SubjectRevoked(revoked) => sealed(recorded, &SubjectRevokedData::from(revoked)),
    }
}

/// Reads a record. Every byte counts: another spelling of the same JSON is refused.
pub fn decode(bytes: &[u8]) -> Result<Recorded, RecordError> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(RecordError::malformed("larger than 65,535 bytes"));
    }
    let envelope: Envelope<'_, &RawValue> = serde_json::from_slice(bytes).map_err(RecordError::malformed)?;
    let recorded = recorded(&envelope)?;
    if encode(&recorded).as_bytes() == bytes {
        Ok(recorded)
    } else {
        Err(RecordError::malformed("it is not in the one form that is written"))
    }
}

/// What stands before the data of every record.
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

fn sealed<D: Serialize>(recorded: &Recorded, data: &D) -> String {
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
    // Strings, integers and nothing else: there is nothing in it that could fail.
    serde_json::to_string(&envelope).unwrap_or_default()
}

fn recorded(envelope: &Envelope<'_, &RawValue>) -> Result<Recorded, RecordError> {
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
        place: Place { origin: envelope.origin.0, sequence: Sequence(integer(envelope.sequence)?) },
        recorded_at: instant(envelope.recorded_at)?,
        tenant,
        actor: envelope.actor.as_ref().map(|actor| actor.0.clone()),
        request,
        idempotency: idempotency.transpose()?,
        event: event(&envelope.type_name, envelope.version, envelope.data.get())?,
    })
}

fn event(type_name: &str, version: u64, data: &str) -> Result<Event, RecordError> {
    Ok(match (type_name, version) {
        ("ledger.opened", 1) => Event::LedgerOpened(read::<LedgerOpenedData<'_>>(data)?.into_domain()?),
        ("application.registered", 1) => {
            Event::ApplicationRegistered(Arc::new(read::<ApplicationData<'_>>(data)?.into_domain()?))
        }
        ("application.removed", 1) => {
            Event::ApplicationRemoved(ApplicationId(read::<ApplicationRemovedData>(data)?.id))
        }
        ("ticket.issued", 1) => Event::TicketIssued(read::<TicketIssuedData<'_>>(data)?.into_domain()?),
        ("tickets.renewed", 1) => Event::TicketsRenewed(read::<TicketsRenewedData>(data)?.into_domain()?),
        ("ticket.revoked", 1) => Event::TicketRevoked(read::<TicketRevokedData<'_>>(data)?.into_domain()?),
        ("subject.revoked", 1) => Event::SubjectRevoked(read::<SubjectRevokedData<'_>>(data)?.into_domain()?),
        _ => return Err(RecordError::Unreadable { type_name: type_name.to_owned(), version }),
    })
}

fn read<'a, D: Deserialize<'a>>(data: &'a str) -> Result<D, RecordError> {
    serde_json::from_str(data).map_err(RecordError::malformed)
}

fn integer(value: u64) -> Result<u64, RecordError> {
    if value <= MAX_INTEGER { Ok(value) } else { Err(RecordError::malformed("an integer beyond 2^53 - 1")) }
}

fn instant(millis: u64) -> Result<Timestamp, RecordError> {
    Timestamp::from_millis(millis).ok_or_else(|| RecordError::malformed("an instant beyond 2^53 - 1"))
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
    ledger: Uuid,
    #[serde(borrow)]
    node: Cow<'a, str>,
    #[serde(borrow)]
    region: Cow<'a, str>,
    format: u64,
    public_key: Hex<32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<PreviousData>,
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
            ledger: opened.ledger.0,
            node: opened.node.as_str().into(),
            region: opened.region.as_str().into(),
            format: opened.format,
            public_key: Hex(opened.public_key),
            previous: opened.previous.as_ref().map(|previous| PreviousData {
                origin: Text(previous.place.origin),
                sequence: previous.place.sequence.0,
                hash: Hex(previous.hash),
            }),
        }
    }
}

impl LedgerOpenedData<'_> {
    fn into_domain(self) -> Result<LedgerOpened, RecordError> {
        let previous = self.previous.map(|previous| {
            let sequence = Sequence(integer(previous.sequence)?);
            Ok(Previous { place: Place { origin: previous.origin.0, sequence }, hash: previous.hash.0 })
        });
        Ok(LedgerOpened {
            ledger: LedgerId(self.ledger),
            node: NodeName::new(&self.node).map_err(RecordError::malformed)?,
            region: Region::new(&self.region).map_err(RecordError::malformed)?,
            format: integer(self.format)?,
            public_key: self.public_key.0,
            previous: previous.transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationData<'a> {
    id: Uuid,
    #[serde(borrow)]
    name: Cow<'a, str>,
    digest: Text<Digest>,
    grants: Vec<GrantData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    attributes: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantData {
    tenant: String,
    scopes: Vec<Text<Scope>>,
}

impl<'a> From<&'a Registration> for ApplicationData<'a> {
    fn from(registration: &'a Registration) -> Self {
        let grants = registration.grants.as_slice().iter().map(|grant| GrantData {
            tenant: grant.tenant.as_ref().map_or("*", Tenant::as_str).to_owned(),
            scopes: grant.scopes.iter().map(Text).collect(),
        });
        Self {
            id: registration.id.0,
            name: (&*registration.name).into(),
            digest: Text(registration.digest),
            grants: grants.collect(),
            expires_at: registration.expires_at.map(Timestamp::as_millis),
            attributes: registration.attributes.as_deref().map(Cow::Borrowed),
        }
    }
}

impl ApplicationData<'_> {
    fn into_domain(self) -> Result<Registration, RecordError> {
        let grants = self.grants.into_iter().map(|grant| {
            let tenant = (grant.tenant != "*").then(|| Tenant::new(&grant.tenant)).transpose();
            Ok(Grant {
                tenant: tenant.map_err(RecordError::malformed)?,
                scopes: grant.scopes.into_iter().map(|scope| scope.0).collect(),
            })
        });
        let grants = grants.collect::<Result<_, RecordError>>()?;
        Ok(Registration {
            id: ApplicationId(self.id),
            name: self.name.into(),
            digest: self.digest.0,
            grants: Arc::new(Grants::new(grants).map_err(RecordError::malformed)?),
            expires_at: self.expires_at.map(instant).transpose()?,
            attributes: self.attributes.map(Into::into),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationRemovedData {
    id: Uuid,
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
        }
    }
}

impl TicketIssuedData<'_> {
    fn into_domain(self) -> Result<TicketIssued, RecordError> {
        Ok(TicketIssued {
            digest: self.digest.0,
            subject: Subject::new(&self.subject).map_err(RecordError::malformed)?,
            issued_at: self.issued_at.map(instant).transpose()?,
            ttl: Ttl::from_seconds(self.ttl).ok_or_else(|| RecordError::malformed("a ttl outside 1 s to 366 d"))?,
            expires_at: instant(self.expires_at)?,
            not_after: instant(self.not_after)?,
            generation: self.generation.into_domain()?,
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
struct TicketRevokedData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Text<Digest>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Hex<16>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<bool>,
    retain_until: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
}

impl<'a> From<&'a TicketRevoked> for TicketRevokedData<'a> {
    fn from(revoked: &'a TicketRevoked) -> Self {
        let (digest, id) = match revoked.ticket {
            Named::Digest(digest) => (Some(Text(digest)), None),
            Named::Id(id) => (None, Some(Hex(*id.as_bytes()))),
        };
        Self {
            digest,
            id,
            subject: revoked.subject.as_ref().map(|subject| subject.as_str().into()),
            known: revoked.subject.is_none().then_some(false),
            retain_until: revoked.retain_until.as_millis(),
            reason: revoked.reason.as_ref().map(|reason| reason.as_str().into()),
        }
    }
}

impl TicketRevokedData<'_> {
    fn into_domain(self) -> Result<TicketRevoked, RecordError> {
        let ticket = match (self.digest, self.id) {
            (Some(digest), None) => Named::Digest(digest.0),
            (None, Some(id)) => Named::Id(CredentialId::from_bytes(id.0)),
            _ => return Err(RecordError::malformed("a ticket is named by its digest or by its id")),
        };
        Ok(TicketRevoked {
            ticket,
            subject: self.subject.as_deref().map(Subject::new).transpose().map_err(RecordError::malformed)?,
            retain_until: instant(self.retain_until)?,
            reason: self.reason.as_deref().map(Reason::new).transpose().map_err(RecordError::malformed)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectRevokedData<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    kinds: Vec<Text<Kind>>,
    not_before: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_until: Option<u64>,
    retain_until: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
}

impl<'a> From<&'a SubjectRevoked> for SubjectRevokedData<'a> {
    fn from(revoked: &'a SubjectRevoked) -> Self {
        Self {
            subject: revoked.subject.as_str().into(),
            kinds: revoked.kinds.iter().map(Text).collect(),
            not_before: revoked.not_before,
            hold_until: revoked.hold_until.map(Timestamp::as_millis),
            retain_until: revoked.retain_until.as_millis(),
            reason: revoked.reason.as_ref().map(|reason| reason.as_str().into()),
        }
    }
}

impl SubjectRevokedData<'_> {
    fn into_domain(self) -> Result<SubjectRevoked, RecordError> {
        let kinds: Kinds = self.kinds.into_iter().map(|kind| kind.0).collect();
        if kinds.is_empty() {
            return Err(RecordError::malformed("no kinds"));
        }
        Ok(SubjectRevoked {
            subject: Subject::new(&self.subject).map_err(RecordError::malformed)?,
            kinds,
            not_before: integer(self.not_before)?,
            hold_until: self.hold_until.map(instant).transpose()?,
            retain_until: instant(self.retain_until)?,
            reason: self.reason.as_deref().map(Reason::new).transpose().map_err(RecordError::malformed)?,
        })
    }
}

/// A value that is written as its `Display` and read as its `FromStr`.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: std::str::FromStr<Err = crate::domain::Malformed>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = |form| format!("a value that is not {form}");
        deserializer.deserialize_str(Parsed(|text: &str| text.parse().map(Self).map_err(form)))
    }
}

/// Reads a string without keeping it.
struct Parsed<F>(F);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Parsed<F> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// Bytes in lower-case hexadecimal.
struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(|text: &str| hex::parse(text).map(Self).map_err(|form| form.to_string())))
    }
}

/// A generation as an object: origins in order, each with a sequence.
#[derive(Default)]
struct GenerationData(Generation);

impl GenerationData {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn into_domain(self) -> Result<Generation, RecordError> {
        self.0.iter().try_for_each(|(_, sequence)| integer(sequence.0).map(drop))?;
        Ok(self.0)
    }
}

impl Serialize for GenerationData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(origin, sequence)| (Text(origin), sequence.0)))
    }
}

impl<'de> Deserialize<'de> for GenerationData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = GenerationData;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of origins and sequences")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GenerationData, A::Error> {
                let mut entries = Vec::new();
                while let Some((origin, sequence)) = map.next_entry::<Text<Origin>, u64>()? {
                    entries.push((origin.0, Sequence(sequence)));
                }
                Ok(GenerationData(entries.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
