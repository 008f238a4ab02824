//! The parts of a snapshot that are not rows, in postcard's encoding.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::Projection;
use crate::domain::{
    AgeRevocation, Answered, ApplicationId, Cohort, CohortState, Confirmation, Credential, CredentialId, CredentialKey,
    CredentialRef, Digest, Erasure, Event, Generation, Idempotency, Issue, IssuedAs, IssuedJwt, Issuer, KeyId,
    KeyPublished, Kind, KindRevocation, KindState, Lifetime, Malformed, Member, NodeKey, NodeRemoved, NodeUpgraded,
    Origin, Parent, Patch, RecordId, Recorded, Revocation, RevocationTarget, Revocations, Sequence, SigningKeyState,
    StatusIndex, StatusListId, StatusListState, Subject, SubjectState, Tenant, Thumbprint, Timestamp, TokenId, Ttl,
    UnknownRevoker, Withdrawal,
};
use crate::event_log::{decode, encode};

/// Entries of status lists in one item.
const STATUS_PIECE: usize = 4_096;

#[derive(Serialize, Deserialize)]
pub(super) enum SnapshotItem {
    /// An entity that is written as the record that makes it.
    Record(String),
    /// A credential whose life slides.
    Ticket {
        id: [u8; 16],
        issue: Option<SlidingIssueItem>,
        last_use_at: u64,
        revocations: Vec<RevocationItem>,
    },
    /// A credential that lasts until a stated instant.
    Fixed {
        kind: u8,
        id: [u8; 16],
        issue: Option<FixedIssueItem>,
        extended_to: u64,
        revocations: Vec<RevocationItem>,
    },
    Key {
        id: String,
        published: Option<(PlaceItem, String, String)>,
        retired: bool,
        withdrawn: bool,
        last_expiry: u64,
    },
    Cohort {
        cohort: CohortItem,
        reach: Vec<(Option<String>, u64)>,
        kinds: Vec<KindItem>,
        withdrawal: Option<(PlaceItem, u64)>,
    },
    Slot {
        origin: [u8; Origin::LEN],
        slot: u64,
    },
    Imported,
    EarlyUse {
        place: PlaceItem,
        used_at: u64,
    },
    Subject {
        tenant: String,
        subject: String,
        kinds: Vec<KindItem>,
        erasure: Option<ErasureItem>,
    },
    Answered {
        key: [u8; 16],
        body: [u8; 16],
        first: PlaceItem,
        records: u64,
        recorded_at: u64,
    },
    /// Indexes of a status list that tokens have or had.
    StatusTaken {
        list: [u8; StatusListId::LEN],
        last_expiry: u64,
        indexes: Vec<u32>,
    },
    /// Tokens with an entry of a status list.
    StatusEntries {
        entries: Vec<([u8; 16], [u8; StatusListId::LEN], u32)>,
    },
}

pub(super) type PlaceItem = ([u8; Origin::LEN], u64);

#[derive(Serialize, Deserialize)]
pub(super) enum CohortItem {
    Application([u8; 16]),
    Key(String),
    Issuer(String),
    Tenant(String),
}

#[derive(Serialize, Deserialize)]
pub(super) struct SlidingIssueItem {
    place: PlaceItem,
    application: Option<[u8; 16]>,
    tenant: String,
    subject: String,
    digest: [u8; 32],
    issued_at: u64,
    ttl: u64,
    not_after: u64,
    generation: Vec<PlaceItem>,
    parent: Option<ParentItem>,
}

/// Kind, id, and whether it has the same subject.
pub(super) type ParentItem = (u8, [u8; 16], bool);

#[derive(Serialize, Deserialize)]
pub(super) struct FixedIssueItem {
    place: PlaceItem,
    application: Option<[u8; 16]>,
    tenant: String,
    subject: String,
    name: NameItem,
    key: Option<String>,
    issued_at: u64,
    expires_at: u64,
    not_after: u64,
    generation: Vec<PlaceItem>,
    parent: Option<ParentItem>,
    confirmation: Option<ConfirmationItem>,
    slot: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum ConfirmationItem {
    Key([u8; 32]),
    Certificate([u8; 32]),
}

#[derive(Serialize, Deserialize)]
pub(super) enum NameItem {
    Unpresentable,
    Id([u8; 16]),
    Digest([u8; 32]),
    Payload(String, [u8; 32]),
    Jwt(String, String),
}

#[derive(Serialize, Deserialize)]
pub(super) struct RevocationItem {
    tenant: Option<String>,
    subject: Option<String>,
    place: PlaceItem,
    revoked_at: u64,
    retain_until: u64,
    unknown_by: Option<UnknownRevokerItem>,
    named: Option<NameItem>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum UnknownRevokerItem {
    Application([u8; 16]),
    Subject(String, String),
}

#[derive(Serialize, Deserialize)]
pub(super) struct ErasureItem {
    place: PlaceItem,
    erased_at: u64,
    slots: Vec<([u8; Origin::LEN], BTreeSet<u64>)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct KindItem {
    kind: u8,
    revocations: Vec<(PlaceItem, u64, u64, u64)>,
    by_age: Vec<(u64, PlaceItem, u64, u64)>,
    hold_until: Option<u64>,
}

/// The place of a removal whose registration has not been seen: removals do not depend on it.
pub(super) fn nowhere() -> RecordId {
    RecordId { origin: Origin::from_random([0; Origin::LEN]), sequence: Sequence(1) }
}

/// For events whose time the fold does not look at; else [`record_at`].
pub(super) fn record(place: RecordId, event: Event) -> SnapshotItem {
    record_at(place, Timestamp::default(), event)
}

/// The state of a node, as the records that would make it.
pub(super) fn member_items(key: NodeKey, member: &Member) -> impl Iterator<Item = SnapshotItem> {
    let joins =
        member.joins.iter().map(|(place, (at, joined))| (*at, *place, Event::NodeJoined(joined.clone().into())));
    let upgraded = member
        .upgraded
        .as_ref()
        .map(|(at, place, reads)| (*at, *place, Event::NodeUpgraded(NodeUpgraded { key, reads: reads.clone() })));
    let removed = member.removed.as_ref().map(|removal| {
        let removed = NodeRemoved { key, seals: removal.seals.clone() };
        (removal.removed_at, removal.place, Event::NodeRemoved(removed))
    });
    joins.chain(upgraded).chain(removed).map(|(at, place, event)| record_at(place, at, event))
}

fn record_at(place: RecordId, recorded_at: Timestamp, event: Event) -> SnapshotItem {
    let envelope = Recorded { place, recorded_at, tenant: None, actor: None, request: None, idempotency: None, event };
    SnapshotItem::Record(encode(&envelope))
}

pub(super) fn place_item(place: RecordId) -> PlaceItem {
    (*place.origin.as_bytes(), place.sequence.0)
}

pub(super) fn credential_item(key: CredentialKey, credential: &Credential) -> SnapshotItem {
    let (id, latest) = (*key.id.as_bytes(), credential.latest.as_millis());
    let revocations = credential.revocations.iter().map(revocation_item).collect();
    match key.kind {
        Kind::Ticket => {
            let issue = credential.issue.as_ref().and_then(sliding_issue_item);
            SnapshotItem::Ticket { id, issue, last_use_at: latest, revocations }
        }
        kind => {
            let issue = credential.issue.as_ref().and_then(fixed_issue_item);
            SnapshotItem::Fixed { kind: kind.index() as u8, id, issue, extended_to: latest, revocations }
        }
    }
}

fn sliding_issue_item(issue: &Issue) -> Option<SlidingIssueItem> {
    let Lifetime::Sliding(ttl) = issue.lifetime else { return None };
    Some(SlidingIssueItem {
        place: place_item(issue.place),
        application: issue.application.map(|id| *id.0.as_bytes()),
        tenant: issue.tenant.as_str().to_owned(),
        subject: issue.subject.as_str().to_owned(),
        digest: *issue.digest()?.as_bytes(),
        issued_at: issue.issued_at.as_millis(),
        ttl: ttl.as_seconds(),
        not_after: issue.not_after.as_millis(),
        generation: generation_item(&issue.generation),
        parent: issue.parent().map(parent_item),
    })
}

fn fixed_issue_item(issue: &Issue) -> Option<FixedIssueItem> {
    let Lifetime::Fixed(expires_at) = issue.lifetime else { return None };
    let (name, key) = match &issue.name {
        IssuedAs::Secret(None) => (NameItem::Unpresentable, None),
        IssuedAs::Secret(Some(digest)) => (NameItem::Digest(*digest.as_bytes()), None),
        IssuedAs::Jwt(jwt) => (name_item(&jwt.name), jwt.key.as_ref().map(|key| key.as_str().to_owned())),
    };
    Some(FixedIssueItem {
        place: place_item(issue.place),
        application: issue.application.map(|id| *id.0.as_bytes()),
        tenant: issue.tenant.as_str().to_owned(),
        subject: issue.subject.as_str().to_owned(),
        name,
        key,
        issued_at: issue.issued_at.as_millis(),
        expires_at: expires_at.as_millis(),
        not_after: issue.not_after.as_millis(),
        generation: generation_item(&issue.generation),
        parent: issue.parent().map(parent_item),
        confirmation: issue.confirmation.as_deref().map(confirmation_item),
        slot: issue.slot,
    })
}

fn confirmation_item(confirmation: &Confirmation) -> ConfirmationItem {
    match confirmation {
        Confirmation::Key(thumbprint) => ConfirmationItem::Key(*thumbprint.as_bytes()),
        Confirmation::Certificate(thumbprint) => ConfirmationItem::Certificate(*thumbprint.as_bytes()),
    }
}

pub(super) fn parent_item(Parent { key, same_subject }: Parent) -> ParentItem {
    (key.kind.index() as u8, *key.id.as_bytes(), same_subject)
}

pub(super) fn parent((kind, id, same_subject): ParentItem) -> Result<Parent, Malformed> {
    let kind = Kind::ALL.get(usize::from(kind)).copied().ok_or(FORM)?;
    Ok(Parent { key: CredentialKey { kind, id: CredentialId::from_bytes(id) }, same_subject })
}

pub(super) fn generation_item(generation: &Generation) -> Vec<PlaceItem> {
    generation.iter().map(|(origin, sequence)| (*origin.as_bytes(), sequence.0)).collect()
}

fn revocation_item(revocation: &Revocation) -> RevocationItem {
    let unknown_revoker = |unknown_revoker: &UnknownRevoker| match unknown_revoker {
        UnknownRevoker::Application(id) => UnknownRevokerItem::Application(*id.0.as_bytes()),
        UnknownRevoker::Subject(tenant, subject) => {
            UnknownRevokerItem::Subject(tenant.as_str().to_owned(), subject.as_str().to_owned())
        }
    };
    RevocationItem {
        tenant: revocation.whose.tenant.as_ref().map(|tenant| tenant.as_str().to_owned()),
        subject: revocation.whose.subject.as_ref().map(|subject| subject.as_str().to_owned()),
        place: place_item(revocation.place),
        revoked_at: revocation.revoked_at.as_millis(),
        retain_until: revocation.retain_until.as_millis(),
        unknown_by: revocation.unknown_by.as_ref().map(unknown_revoker),
        named: revocation.named.as_deref().map(name_item),
    }
}

fn name_item(name: &CredentialRef) -> NameItem {
    match name {
        CredentialRef::Id(id) => NameItem::Id(*id.as_bytes()),
        CredentialRef::Digest(digest) => NameItem::Digest(*digest.as_bytes()),
        CredentialRef::Payload { issuer, digest } => NameItem::Payload(issuer.as_str().to_owned(), *digest.as_bytes()),
        CredentialRef::Jwt { issuer, jti } => NameItem::Jwt(issuer.as_str().to_owned(), jti.as_str().to_owned()),
    }
}

fn named(item: NameItem) -> Result<CredentialRef, Malformed> {
    Ok(match item {
        NameItem::Id(id) => CredentialRef::Id(CredentialId::from_bytes(id)),
        NameItem::Digest(digest) => CredentialRef::Digest(Digest::from_bytes(digest)),
        NameItem::Payload(issuer, digest) => {
            CredentialRef::Payload { issuer: Issuer::new(&issuer)?, digest: Digest::from_bytes(digest) }
        }
        NameItem::Jwt(issuer, jti) => CredentialRef::Jwt { issuer: Issuer::new(&issuer)?, jti: TokenId::new(&jti)? },
        NameItem::Unpresentable => return Err(FORM),
    })
}

pub(super) fn key_item(id: &KeyId, key: &SigningKeyState) -> SnapshotItem {
    let published = key
        .published
        .as_ref()
        .map(|(place, key)| (place_item(*place), key.issuer.as_str().to_owned(), key.jwk.clone().into_string()));
    let (id, last_expiry) = (id.as_str().to_owned(), key.last_expiry.as_millis());
    SnapshotItem::Key { id, published, retired: key.retired, withdrawn: key.withdrawn, last_expiry }
}

pub(super) fn cohort_item(cohort: &Cohort, state: &CohortState) -> SnapshotItem {
    let cohort = match cohort {
        Cohort::Application(id) => CohortItem::Application(*id.0.as_bytes()),
        Cohort::Key(id) => CohortItem::Key(id.as_str().to_owned()),
        Cohort::Issuer(issuer) => CohortItem::Issuer(issuer.as_str().to_owned()),
        Cohort::Tenant(tenant) => CohortItem::Tenant(tenant.as_str().to_owned()),
    };
    SnapshotItem::Cohort {
        cohort,
        reach: state
            .reach
            .iter()
            .map(|(tenant, until)| (tenant.as_ref().map(Tenant::to_string), until.as_millis()))
            .collect(),
        kinds: Kind::ALL.map(|kind| kind_item(kind, state.of(kind))).into(),
        withdrawal: state
            .withdrawal
            .map(|Withdrawal { withdrawn_at, place }| (place_item(place), withdrawn_at.as_millis())),
    }
}

fn kind_item(kind: Kind, state: &KindState) -> KindItem {
    let revocations = state.revocations.iter().map(|(origin, revocation)| {
        let place = (*origin.as_bytes(), revocation.sequence.0);
        (place, revocation.revoked_at.as_millis(), revocation.not_before, revocation.retain_until.as_millis())
    });
    let hold_until = state.hold_until.map(Timestamp::as_millis);
    let by_age = state.by_age.iter().map(|AgeRevocation { issued_before, place, revoked_at, retain_until }| {
        (issued_before.as_millis(), place_item(*place), revoked_at.as_millis(), retain_until.as_millis())
    });
    KindItem { kind: kind.index() as u8, revocations: revocations.collect(), by_age: by_age.collect(), hold_until }
}

pub(super) fn subject_item(tenant: &Tenant, subject: &Subject, state: &SubjectState) -> SnapshotItem {
    let kinds = Kind::ALL.map(|kind| kind_item(kind, state.of(kind))).into();
    let (tenant, subject) = (tenant.as_str().to_owned(), subject.as_str().to_owned());
    let erasure = state.erasure.as_ref().map(|erasure| ErasureItem {
        place: place_item(erasure.place),
        erased_at: erasure.erased_at.as_millis(),
        slots: erasure.slots.iter().map(|(origin, slots)| (*origin.as_bytes(), slots.clone())).collect(),
    });
    SnapshotItem::Subject { tenant, subject, kinds, erasure }
}

pub(super) fn answered_item(answered: &Answered) -> SnapshotItem {
    SnapshotItem::Answered {
        key: answered.digests.key,
        body: answered.digests.body,
        first: place_item(answered.first),
        records: answered.records,
        recorded_at: answered.recorded_at.as_millis(),
    }
}

pub(super) const FORM: Malformed = Malformed("a value of the snapshot's form");

pub(super) fn origin(bytes: [u8; Origin::LEN]) -> Result<Origin, Malformed> {
    std::str::from_utf8(&bytes).map_err(|_| FORM)?.parse()
}

fn list_id(bytes: [u8; StatusListId::LEN]) -> Result<StatusListId, Malformed> {
    std::str::from_utf8(&bytes).map_err(|_| FORM)?.parse()
}

/// The state of a status list: the records that would make it, and the indexes that are taken.
pub(super) fn status_list_items(list: StatusListId, state: &StatusListState) -> Vec<SnapshotItem> {
    let opened = state.opened.map(|(place, at, opened)| record_at(place, at, Event::StatusListOpened(opened)));
    let published = state
        .published
        .as_ref()
        .map(|(place, published)| record(*place, Event::StatusListPublished(Box::new((**published).clone()))));
    let taken: Vec<u32> = state.taken.iter().collect();
    let taken = taken.chunks(STATUS_PIECE).map(|indexes| SnapshotItem::StatusTaken {
        list: *list.as_bytes(),
        last_expiry: state.last_expiry.as_millis(),
        indexes: indexes.to_vec(),
    });
    opened.into_iter().chain(published).chain(taken).collect()
}

/// Tokens with an entry of a status list.
pub(super) fn status_entry_items(
    entries: &[(CredentialId, StatusIndex)],
) -> impl Iterator<Item = SnapshotItem> + use<'_> {
    entries.chunks(STATUS_PIECE).map(|entries| {
        let entries = entries.iter().map(|(id, status)| (*id.as_bytes(), *status.list.as_bytes(), status.index));
        SnapshotItem::StatusEntries { entries: entries.collect() }
    })
}

fn place((bytes, sequence): PlaceItem) -> Result<RecordId, Malformed> {
    Ok(RecordId { origin: origin(bytes)?, sequence: Sequence(sequence) })
}

fn instant(millis: u64) -> Result<Timestamp, Malformed> {
    Timestamp::from_millis(millis).ok_or(FORM)
}

/// Joins the entity.
pub(super) fn take(projection: &Projection, item: SnapshotItem) -> Result<(), Malformed> {
    match item {
        SnapshotItem::Record(record) => projection.fold(&decode(record.as_bytes()).map_err(|_| FORM)?),
        SnapshotItem::StatusTaken { list, last_expiry, indexes } => {
            projection.lists.restore_taken(list_id(list)?, &indexes, instant(last_expiry)?);
        }
        SnapshotItem::StatusEntries { entries } => {
            let entries = entries.into_iter().map(|(id, list, index)| {
                Ok((CredentialId::from_bytes(id), StatusIndex { list: list_id(list)?, index }))
            });
            projection.lists.restore_entries(entries.collect::<Result<Vec<_>, Malformed>>()?);
        }
        item => projection.restore(patch(item)?),
    }
    Ok(())
}

/// The piece of state that it is; a record is not one.
fn patch(item: SnapshotItem) -> Result<Patch, Malformed> {
    Ok(match item {
        SnapshotItem::Ticket { id, issue, last_use_at, revocations } => {
            let (issue, revocations) = (issue.map(sliding_issue).transpose()?, self::revocations(revocations)?);
            let credential = Credential { issue, latest: instant(last_use_at)?, revocations };
            Patch::Credential(CredentialKey { kind: Kind::Ticket, id: CredentialId::from_bytes(id) }, credential)
        }
        SnapshotItem::Fixed { kind, id, issue, extended_to, revocations } => {
            let kind = Kind::ALL.get(usize::from(kind)).copied().filter(|kind| *kind != Kind::Ticket).ok_or(FORM)?;
            let (issue, revocations) = (issue.map(fixed_issue).transpose()?, self::revocations(revocations)?);
            let credential = Credential { issue, latest: instant(extended_to)?, revocations };
            Patch::Credential(CredentialKey { kind, id: CredentialId::from_bytes(id) }, credential)
        }
        SnapshotItem::Key { id, published, retired, withdrawn, last_expiry } => {
            let id = KeyId::new(&id)?;
            let published = published.map(|(at, issuer, jwk)| {
                Ok((place(at)?, KeyPublished { id: id.clone(), issuer: Issuer::new(&issuer)?, jwk: jwk.into() }))
            });
            let last_expiry = instant(last_expiry)?;
            let key = SigningKeyState { published: published.transpose()?, retired, withdrawn, last_expiry };
            Patch::Key(id, key)
        }
        SnapshotItem::Cohort { cohort, reach, kinds, withdrawal } => {
            let cohort = match cohort {
                CohortItem::Application(id) => Cohort::Application(application(id)),
                CohortItem::Key(id) => Cohort::Key(KeyId::new(&id)?),
                CohortItem::Issuer(issuer) => Cohort::Issuer(Issuer::new(&issuer)?),
                CohortItem::Tenant(tenant) => Cohort::Tenant(Tenant::new(&tenant)?),
            };
            let tenant = |(tenant, until): (Option<String>, u64)| {
                Ok::<_, Malformed>((tenant.as_deref().map(Tenant::new).transpose()?, instant(until)?))
            };
            let withdrawal = withdrawal.map(|(at, withdrawn_at)| {
                Ok::<_, Malformed>(Withdrawal { withdrawn_at: instant(withdrawn_at)?, place: place(at)? })
            });
            let state = CohortState {
                kinds: kind_states(kinds)?,
                reach: reach.into_iter().map(tenant).collect::<Result<_, _>>()?,
                withdrawal: withdrawal.transpose()?,
            };
            Patch::Cohort(cohort, state)
        }
        SnapshotItem::Slot { origin, slot } => Patch::Slot(self::origin(origin)?, slot),
        SnapshotItem::Imported => Patch::Imported,
        SnapshotItem::EarlyUse { place, used_at } => Patch::TicketUsed(self::place(place)?, instant(used_at)?),
        SnapshotItem::Subject { tenant, subject, kinds, erasure } => {
            let erasure = erasure.map(self::erasure).transpose()?.map(Box::new);
            let state = SubjectState::new(kind_states(kinds)?, erasure);
            Patch::Subject(Tenant::new(&tenant)?, Subject::new(&subject)?, state)
        }
        SnapshotItem::Answered { key, body, first, records, recorded_at } => {
            let (first, recorded_at) = (place(first)?, instant(recorded_at)?);
            let digests = Idempotency { key, body };
            Patch::Answered(Answered { digests, first, records, recorded_at })
        }
        SnapshotItem::Record(_) | SnapshotItem::StatusTaken { .. } | SnapshotItem::StatusEntries { .. } => {
            return Err(FORM);
        }
    })
}

pub(super) fn generation(items: Vec<PlaceItem>) -> Result<Generation, Malformed> {
    items.into_iter().map(|entry| place(entry).map(|place| (place.origin, place.sequence))).collect()
}

fn revocations(items: Vec<RevocationItem>) -> Result<Revocations, Malformed> {
    let mut all = Revocations::default();
    for item in items {
        all.merge(Revocations::one(revocation(item)?));
    }
    Ok(all)
}

fn sliding_issue(item: SlidingIssueItem) -> Result<Issue, Malformed> {
    Ok(Issue {
        place: place(item.place)?,
        application: item.application.map(application),
        tenant: Tenant::new(&item.tenant)?,
        subject: Subject::new(&item.subject)?,
        name: IssuedAs::Secret(Some(Digest::from_bytes(item.digest))),
        issued_at: instant(item.issued_at)?,
        lifetime: Lifetime::Sliding(Ttl::from_seconds(item.ttl).ok_or(FORM)?),
        not_after: instant(item.not_after)?,
        generation: generation(item.generation)?,
        parent: item.parent.map(parent).transpose()?.map(Box::new),
        confirmation: None,
        slot: None,
    })
}

fn fixed_issue(item: FixedIssueItem) -> Result<Issue, Malformed> {
    let name = match item.name {
        NameItem::Unpresentable => IssuedAs::Secret(None),
        NameItem::Digest(digest) => IssuedAs::Secret(Some(Digest::from_bytes(digest))),
        jwt => {
            let key = item.key.as_deref().map(KeyId::new).transpose()?;
            IssuedAs::Jwt(Box::new(IssuedJwt { name: named(jwt)?, key }))
        }
    };
    Ok(Issue {
        place: place(item.place)?,
        application: item.application.map(application),
        tenant: Tenant::new(&item.tenant)?,
        subject: Subject::new(&item.subject)?,
        name,
        issued_at: instant(item.issued_at)?,
        lifetime: Lifetime::Fixed(instant(item.expires_at)?),
        not_after: instant(item.not_after)?,
        generation: generation(item.generation)?,
        parent: item.parent.map(parent).transpose()?.map(Box::new),
        confirmation: item.confirmation.map(confirmation).map(Box::new),
        slot: item.slot,
    })
}

const fn confirmation(item: ConfirmationItem) -> Confirmation {
    match item {
        ConfirmationItem::Key(bytes) => Confirmation::Key(Thumbprint::from_bytes(bytes)),
        ConfirmationItem::Certificate(bytes) => Confirmation::Certificate(Thumbprint::from_bytes(bytes)),
    }
}

fn revocation(item: RevocationItem) -> Result<Revocation, Malformed> {
    let unknown_by = item.unknown_by.map(|unknown_revoker| {
        Ok(match unknown_revoker {
            UnknownRevokerItem::Application(id) => UnknownRevoker::Application(application(id)),
            UnknownRevokerItem::Subject(tenant, subject) => {
                UnknownRevoker::Subject(Tenant::new(&tenant)?, Subject::new(&subject)?)
            }
        })
    });
    let tenant = item.tenant.as_deref().map(Tenant::new).transpose()?;
    let subject = item.subject.as_deref().map(Subject::new).transpose()?;
    Ok(Revocation {
        whose: RevocationTarget { tenant, subject },
        place: place(item.place)?,
        revoked_at: instant(item.revoked_at)?,
        retain_until: instant(item.retain_until)?,
        unknown_by: unknown_by.transpose()?,
        named: item.named.map(named).transpose()?.map(Box::new),
    })
}

const fn application(id: [u8; 16]) -> ApplicationId {
    ApplicationId(uuid::Uuid::from_bytes(id))
}

fn kind_states(kinds: Vec<KindItem>) -> Result<[KindState; 3], Malformed> {
    let mut states: [KindState; 3] = Default::default();
    for item in kinds {
        let kind = states.get_mut(usize::from(item.kind)).ok_or(FORM)?;
        kind.hold_until = item.hold_until.map(instant).transpose()?;
        let by_age = item.by_age.into_iter().map(|(issued_before, at, revoked_at, retain_until)| {
            let (place, issued_before) = (place(at)?, instant(issued_before)?);
            let (revoked_at, retain_until) = (instant(revoked_at)?, instant(retain_until)?);
            Ok::<_, Malformed>(AgeRevocation { issued_before, place, revoked_at, retain_until })
        });
        kind.by_age = by_age.collect::<Result<_, _>>()?;
        for (place, revoked_at, not_before, retain_until) in item.revocations {
            let RecordId { origin, sequence } = self::place(place)?;
            let (revoked_at, retain_until) = (instant(revoked_at)?, instant(retain_until)?);
            kind.revocations.insert(origin, KindRevocation { sequence, revoked_at, not_before, retain_until });
        }
    }
    Ok(states)
}

fn erasure(item: ErasureItem) -> Result<Erasure, Malformed> {
    let slots = item.slots.into_iter().map(|(bytes, slots)| Ok((origin(bytes)?, slots)));
    let slots = slots.collect::<Result<_, Malformed>>()?;
    Ok(Erasure { place: place(item.place)?, erased_at: instant(item.erased_at)?, slots })
}
