//! Frames: a revocation in the form for followers, serialised once for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::cursor::Cursor;
use crate::compact::{self, MarkKey};
use crate::domain::{
    Cohort, CohortState, CredentialRef, Digest, Event, EventType, Grants, Kind, KindState, Kinds, Position, Reason,
    Revocation, Revokes, Scope, Subject, Tenant, Timestamp,
};
use crate::json;
use crate::projection::InForce;
use crate::service::Filed;

/// The layout of frames on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFormat {
    /// `text/event-stream`.
    EventStream,
    /// `application/x-ndjson`.
    Lines,
}

/// A revocation on its way to followers.
pub struct Frame {
    /// The record's place in this node's log.
    pub position: Position,
    /// The cursor of a follower that has it.
    pub cursor: Arc<Cursor>,
    filed: Arc<Filed>,
    /// By format, and whether the follower may see the actor and the reason.
    shared: [[OnceLock<Bytes>; 2]; 2],
    /// In the compact form, which names neither actor nor reason.
    compact: OnceLock<Bytes>,
}

/// The kinds that a record revokes; none if it revokes nothing.
pub fn revoked_kinds(event: &Event) -> Kinds {
    event.facets().revokes.map_or(Kinds::NONE, |revokes| revokes.kinds())
}

/// Whether a record may revoke something, by the name of its type alone: most revoke nothing, and need not be decoded.
///
/// Within a text a quotation mark is escaped, so that no text is taken for the name.
pub(super) fn may_revoke(record: &str) -> bool {
    let name = record.split_once(r#""type":""#).and_then(|(_, rest)| rest.split_once('"'));
    name.is_none_or(|(name, _)| EventType::find(name).is_none_or(|known| known.revokes))
}

impl Frame {
    /// The frame of a record, if the record revokes something.
    pub fn new(filed: Arc<Filed>, cursor: impl FnOnce() -> Arc<Cursor>) -> Option<Self> {
        if revoked_kinds(&filed.recorded.event).is_empty() {
            return None;
        }
        let (shared, compact) = Default::default();
        Some(Self { position: filed.position, cursor: cursor(), filed, shared, compact })
    }

    /// The record.
    pub fn filed(&self) -> &Filed {
        &self.filed
    }

    /// The bytes for followers whose cursor is the frame's own: made once, shared by all.
    pub fn bytes(&self, format: FrameFormat, audit: bool) -> Bytes {
        let place = &self.shared[format as usize][usize::from(audit)];
        place.get_or_init(|| self.bytes_at(format, audit, &self.cursor)).clone()
    }

    /// The bytes for a follower with its own cursor.
    pub fn bytes_at(&self, format: FrameFormat, audit: bool, cursor: &Cursor) -> Bytes {
        let cursor = cursor.to_string();
        event_bytes(format, "revoked", Some(&cursor), &self.item(audit, &cursor))
    }

    /// The same in the compact form, for a node that has one key only.
    pub fn compact(&self, key: &MarkKey) -> Bytes {
        self.compact.get_or_init(|| self.compact_at(key, &self.cursor)).clone()
    }

    /// The compact form for a follower with its own cursor.
    pub fn compact_at(&self, key: &MarkKey, cursor: &Cursor) -> Bytes {
        let change = self.item(false, "").change(key);
        compact::Frame::Revoked { cursor: cursor.to_string(), change }.to_bytes().into()
    }

    /// The item: the revoked credentials, the time and the record.
    pub fn item<'a>(&'a self, audit: bool, cursor: &'a str) -> FeedItem<'a> {
        FeedItem::of(&self.filed, Some(cursor), audit)
    }
}

/// A revocation in the form for followers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FeedItem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) type_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cohort: Option<CohortShown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) kinds: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    /// Of a JWT without `jti`: the digest of its decoded payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<String>,
    /// `false` if it was recorded for an unseen credential: then it only revokes credentials of that tenant and that
    /// subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) known: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) generation: BTreeMap<&'a str, u64>,
    /// Seconds since 1970, with a fraction: only what was issued before is revoked, whatever its generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issued_before: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) withdrawn: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hold_until: Option<String>,
    #[serde(serialize_with = "as_text")]
    pub(super) retain_until: Timestamp,
    #[serde(serialize_with = "as_text")]
    pub(super) revoked_at: Timestamp,
    pub(super) origin: &'a str,
    pub(super) sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<String>,
}

/// A cohort, as a caller names it too: an object with one member.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CohortShown<'a> {
    /// What that application issued.
    Application(String),
    /// The JWTs that the key with that `kid` signed.
    Key(&'a str),
    /// The JWTs of that issuer.
    Issuer(&'a str),
    /// Everything in that tenant.
    Tenant(&'a str),
}

impl<'a> From<&'a Cohort> for CohortShown<'a> {
    fn from(cohort: &'a Cohort) -> Self {
        match cohort {
            Cohort::Application(id) => Self::Application(id.to_string()),
            Cohort::Key(id) => Self::Key(id.as_str()),
            Cohort::Issuer(issuer) => Self::Issuer(issuer.as_str()),
            Cohort::Tenant(tenant) => Self::Tenant(tenant.as_str()),
        }
    }
}

impl<'a> FeedItem<'a> {
    fn of(filed: &'a Filed, cursor: Option<&'a str>, audit: bool) -> Self {
        let recorded = &filed.recorded;
        let item = Self {
            cursor,
            type_name: recorded.event.type_name(),
            tenant: recorded.tenant.as_ref().map(Tenant::as_str),
            revoked_at: recorded.recorded_at,
            origin: recorded.place.origin.as_str(),
            sequence: recorded.place.sequence.0,
            actor: recorded.actor.as_ref().filter(|_| audit).map(ToString::to_string),
            ..Self::default()
        };
        let reason = |reason: Option<&'a Reason>| reason.filter(|_| audit).map(Reason::as_str);
        match recorded.event.facets().revokes {
            Some(Revokes::Credential(revoked)) => Self {
                subject: revoked.subject.as_ref().map(Subject::as_str),
                known: (!revoked.known).then_some(false),
                retain_until: revoked.retain_until,
                reason: reason(revoked.reason.as_ref()),
                ..item.named(revoked.kind, &revoked.credential, revoked.session_digest.as_ref())
            },
            Some(Revokes::Subject(all)) => Self {
                subject: Some(all.subject.as_str()),
                kinds: all.kinds.iter().map(Kind::as_str).collect(),
                generation: match all.issued_before {
                    None => BTreeMap::from([(item.origin, item.sequence)]),
                    Some(_) => BTreeMap::new(),
                },
                issued_before: all.issued_before.map(seconds),
                not_before: Some(all.not_before),
                hold_until: all.hold_until.map(|until| until.to_string()),
                retain_until: all.retain_until,
                reason: reason(all.reason),
                ..item
            },
            Some(Revokes::Cohort(all)) => Self {
                cohort: Some((&all.cohort).into()),
                kinds: all.kinds.iter().map(Kind::as_str).collect(),
                generation: BTreeMap::from([(item.origin, item.sequence)]),
                not_before: Some(all.not_before),
                withdrawn: all.withdrawn.then_some(true),
                hold_until: all.hold_until.map(|until| until.to_string()),
                retain_until: all.retain_until,
                reason: reason(all.reason.as_ref()),
                ..item
            },
            None => item,
        }
    }

    /// The item with all names of a single credential.
    fn named(self, kind: Kind, credential: &CredentialRef, session_digest: Option<&Digest>) -> Self {
        let payload = match credential {
            CredentialRef::Payload { digest, .. } => Some(digest.to_string()),
            CredentialRef::Digest(_) | CredentialRef::Id(_) | CredentialRef::Jwt { .. } => None,
        };
        Self {
            kind: Some(kind.as_str()),
            id: credential.public_id(kind),
            digest: credential.digest().or(session_digest).map(ToString::to_string),
            iss: credential.issuer().map(ToString::to_string),
            jti: credential.jti().map(ToString::to_string),
            payload,
            ..self
        }
    }
}

/// An event of the stream in that format. Events with an `id` move an EventSource's `Last-Event-ID`.
pub fn event_bytes(format: FrameFormat, name: &'static str, id: Option<&str>, data: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct FrameLine<'a, D> {
        event: &'a str,
        #[serde(flatten)]
        data: &'a D,
    }
    let text = match format {
        FrameFormat::EventStream => {
            let data = json::text(data);
            let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
            format!("event: {name}\n{id}data: {data}\n\n")
        }
        FrameFormat::Lines => json::text(&FrameLine { event: name, data }) + "\n",
    };
    text.into()
}

/// The revocations that a follower wants and may see.
#[derive(Clone, Debug)]
pub struct FeedFilter {
    /// The follower's scopes, tenant by tenant.
    pub grants: Arc<Grants>,
    /// One tenant only.
    pub tenant: Option<Tenant>,
    /// These kinds only.
    pub kinds: Kinds,
}

impl FeedFilter {
    /// Whether the follower gets that record.
    pub fn passes(&self, filed: &Filed) -> bool {
        revoked_kinds(&filed.recorded.event).intersects(self.kinds)
            && self.passes_tenant(filed.recorded.tenant.as_ref())
            && match filed.recorded.event.facets().revokes {
                Some(Revokes::Cohort(all)) => self.passes_any(all.tenants.as_ref()),
                Some(Revokes::Credential(_) | Revokes::Subject(_)) | None => true,
            }
    }

    /// Whether the follower may see the actor and the reason. Those of a cohort are for callers that may audit everywhere.
    pub fn audits(&self, filed: &Filed) -> bool {
        let scopes = filed
            .recorded
            .tenant
            .as_ref()
            .map_or_else(|| self.grants.everywhere(), |tenant| self.grants.in_tenant(tenant));
        scopes.contains(Scope::Audit)
    }

    /// Whether the follower gets a revocation in force.
    pub fn passes_in_force(&self, revocation: &InForce) -> bool {
        match revocation {
            InForce::Credential(key, _, revocation) => {
                self.kinds.contains(key.kind) && self.passes_tenant(revocation.whose.tenant.as_ref())
            }
            InForce::Subject(tenant, _, _) => self.passes_tenant(Some(tenant)),
            InForce::Cohort(_, state) => self.passes_reach(state),
        }
    }

    /// The tenants that may pass, if they are a list: none stands for revocations that hold in every tenant.
    pub fn tenants(&self) -> Option<Vec<Option<Tenant>>> {
        let named = match &self.tenant {
            Some(tenant) => vec![tenant],
            None if self.grants.elsewhere().contains(Scope::Follow) => return None,
            None => self.grants.tenants_with(Scope::Follow).collect(),
        };
        Some([None].into_iter().chain(named.into_iter().cloned().map(Some)).collect())
    }

    /// Whether the follower may see what a revocation reaches: it may have been recorded for an unseen credential, by a
    /// caller without authority there.
    fn may_see(&self, revocation: &Revocation, tenant: &Tenant, subject: &Subject) -> bool {
        revocation.whose.is(tenant, subject) && self.passes_tenant(Some(tenant))
    }

    /// Whether a revocation that reaches these tenants passes: without a list it reaches all of them.
    fn passes_any(&self, tenants: Option<&BTreeSet<Tenant>>) -> bool {
        tenants.is_none_or(|tenants| tenants.iter().any(|tenant| self.passes_tenant(Some(tenant))))
    }

    fn passes_reach(&self, state: &CohortState) -> bool {
        state.reach.keys().any(|tenant| self.passes_tenant(tenant.as_ref()))
    }

    /// A revocation without a tenant holds in every one, so every follower needs it.
    pub fn passes_tenant(&self, tenant: Option<&Tenant>) -> bool {
        tenant.is_none_or(|tenant| {
            self.tenant.as_ref().is_none_or(|wanted| wanted == tenant)
                && self.grants.in_tenant(tenant).contains(Scope::Follow)
        })
    }
}

/// The lines of a snapshot for a revocation in force: one, or for a subject one for each kind. They give the names of
/// the credential that its revokers gave, and more only to callers that may follow the credential's tenant.
pub fn snapshot_items<'a>(revocation: &'a InForce, filter: &FeedFilter) -> Vec<FeedItem<'a>> {
    match revocation {
        InForce::Credential(key, credential, revocation) => {
            let issue =
                credential.issue.as_ref().filter(|issue| filter.may_see(revocation, &issue.tenant, &issue.subject));
            let digest = issue.and_then(|issue| issue.digest()).filter(|_| key.kind == Kind::Session);
            let subject = issue.map(|issue| &issue.subject).or(revocation.whose.subject.as_ref());
            let named = issue.map(|issue| issue.named(*key)).or_else(|| revocation.named.as_deref().cloned());
            vec![single_item(key.kind, &named.unwrap_or(CredentialRef::Id(key.id)), digest, subject, revocation)]
        }
        InForce::Subject(tenant, subject, state) => {
            let item = FeedItem {
                type_name: if state.erasure.is_some() { "subject.erased" } else { "subject.revoked" },
                tenant: Some(tenant.as_str()),
                subject: Some(subject.as_str()),
                ..FeedItem::default()
            };
            filter.kinds.iter().flat_map(|kind| whole_items(&item, kind, state.of(kind))).collect()
        }
        InForce::Cohort(_, state) if !filter.passes_reach(state) => Vec::new(),
        InForce::Cohort(cohort, state) => {
            let tenant = match cohort {
                Cohort::Tenant(tenant) => Some(tenant.as_str()),
                Cohort::Application(_) | Cohort::Key(_) | Cohort::Issuer(_) => None,
            };
            let item = FeedItem {
                type_name: "cohort.revoked",
                tenant,
                cohort: Some(cohort.into()),
                withdrawn: state.withdrawal.map(|_| true),
                ..FeedItem::default()
            };
            filter.kinds.iter().flat_map(|kind| whole_items(&item, kind, state.of(kind))).collect()
        }
    }
}

fn single_item<'a>(
    kind: Kind,
    named: &CredentialRef,
    session_digest: Option<&Digest>,
    subject: Option<&'a Subject>,
    revocation: &'a Revocation,
) -> FeedItem<'a> {
    let type_name = match kind {
        Kind::Ticket => "ticket.revoked",
        Kind::Session => "session.revoked",
        Kind::Token => "token.revoked",
    };
    let item = FeedItem {
        type_name,
        tenant: revocation.whose.tenant.as_ref().map(Tenant::as_str),
        subject: subject.map(Subject::as_str),
        known: (revocation.unknown_by.is_some() || revocation.whose.tenant.is_none()).then_some(false),
        retain_until: revocation.retain_until,
        revoked_at: revocation.revoked_at,
        origin: revocation.place.origin.as_str(),
        sequence: revocation.place.sequence.0,
        ..FeedItem::default()
    };
    item.named(kind, named, session_digest)
}

/// Only where a text is wanted: most of a snapshot's revocations go out in another form.
fn as_text<S: Serializer>(instant: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(instant)
}

/// An instant in seconds since 1970, exact to the millisecond.
fn seconds(instant: Timestamp) -> f64 {
    instant.as_millis() as f64 / 1_000.0
}

/// The lines for one kind of a subject or cohort: of everything, and of what is older than an instant.
fn whole_items<'a>(named: &FeedItem<'a>, kind: Kind, state: &'a KindState) -> Vec<FeedItem<'a>> {
    let by_age = state.by_age.iter().map(|revocation| FeedItem {
        kinds: vec![kind.as_str()],
        issued_before: Some(seconds(revocation.issued_before)),
        not_before: Some(revocation.issued_before.as_millis().div_ceil(1_000).saturating_sub(1)),
        hold_until: state.hold_until.map(|until| until.to_string()),
        retain_until: revocation.retain_until,
        revoked_at: revocation.revoked_at,
        origin: revocation.place.origin.as_str(),
        sequence: revocation.place.sequence.0,
        ..named.clone()
    });
    whole_item(named, kind, state).into_iter().chain(by_age).collect()
}

fn whole_item<'a>(named: &FeedItem<'a>, kind: Kind, state: &'a KindState) -> Option<FeedItem<'a>> {
    let KindState { revocations, hold_until, .. } = state;
    let (origin, latest) = revocations.iter().max_by_key(|(origin, revocation)| (revocation.revoked_at, **origin))?;
    Some(FeedItem {
        kinds: vec![kind.as_str()],
        generation: revocations.iter().map(|(origin, revocation)| (origin.as_str(), revocation.sequence.0)).collect(),
        not_before: revocations.values().map(|revocation| revocation.not_before).max(),
        hold_until: hold_until.map(|until| until.to_string()),
        retain_until: revocations.values().map(|revocation| revocation.retain_until).max().unwrap_or_default(),
        revoked_at: latest.revoked_at,
        origin: origin.as_str(),
        sequence: latest.sequence.0,
        ..named.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Change;
    use crate::domain::{
        CredentialView as _, LedgerId, Reads, RecordId, Recorded, Sequence, State, SubjectRevoked, SubjectState,
        Timestamp,
    };
    use crate::event_log::{decode, encode};
    use crate::index::{About, about};

    fn example(subject: Subject) -> Recorded {
        let at = Timestamp::from_millis(1_800_000_000_000).expect("in range");
        Recorded {
            place: RecordId { origin: "k7m2qx4dnzr5a".parse().expect("an origin"), sequence: Sequence(7) },
            recorded_at: at,
            tenant: Some(Tenant::default()),
            actor: None,
            request: None,
            idempotency: None,
            event: Event::Example(SubjectRevoked {
                subject,
                kinds: Kinds::ALL,
                issued_before: None,
                not_before: 1_800_000_000,
                hold_until: None,
                retain_until: at.plus_millis(60_000),
                reason: None,
                note: None,
            }),
        }
    }

    /// `example.revoked` is in `domain/` and in the record's encoding, and in nothing that this asks.
    #[test]
    fn a_new_type_of_event_is_folded_found_counted_and_sent_without_anybody_who_knows_of_it() {
        let subject = Subject::new("user-1").expect("a name");
        let recorded = example(subject.clone());
        let record = encode(&recorded);
        assert_eq!(decode(record.as_bytes()).expect("a record"), recorded);
        assert!(Reads::of_this_release().covers("example.revoked", 1), "members tell one another of it");
        let mut state = State::default();
        state.fold(&recorded);
        assert!(state.subject(&Tenant::default(), &subject) != SubjectState::default(), "it is folded");
        let mut found = Vec::new();
        about(&recorded, |one| found.push(one));
        assert!(found.contains(&About::SubjectRevocation(Tenant::default(), subject)), "the index finds it: {found:?}");
        assert_eq!(Change::of(&recorded), Some(Change::RevokedSubject), "the audit counts it");
        assert!(may_revoke(&record), "followers who are behind read it");
        let filed = Arc::new(Filed { position: Position(7), recorded });
        let frame =
            Frame::new(filed, || Arc::new(Cursor { ledger: LedgerId(uuid::Uuid::nil()), origins: BTreeMap::new() }))
                .expect("a frame for followers");
        let line = String::from_utf8(frame.bytes(FrameFormat::Lines, false).to_vec()).expect("a text");
        assert!(line.contains(r#""type":"example.revoked""#) && line.contains(r#""subject":"user-1""#), "{line}");
    }

    #[test]
    fn the_name_of_its_type_tells_whether_a_record_may_end_something() {
        let events = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/events");
        let mut seen = std::collections::BTreeSet::new();
        for file in std::fs::read_dir(events).expect("a folder") {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("a text");
            let schema: serde_json::Value = serde_json::from_str(&text).expect("a schema");
            for record in schema["x-golden"].as_array().expect("records") {
                let record = record.as_str().expect("a record");
                let recorded = decode(record.as_bytes()).expect("a record");
                assert_eq!(may_revoke(record), !revoked_kinds(&recorded.event).is_empty(), "{record}");
                seen.insert(recorded.event.event_type().name);
            }
        }
        let is_golden = |known: &EventType| {
            *known == *example(Subject::new("a").expect("a name")).event.event_type() || seen.contains(known.name)
        };
        assert!(EventType::ALL.iter().all(is_golden), "a type without a golden record: {seen:?}");
        assert!(may_revoke("{}") && may_revoke(r#"{"type":"session.suspended"}"#), "what is not known is decoded");
    }
}
