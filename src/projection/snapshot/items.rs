//! What of a snapshot is not a row, in postcard's encoding.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::Projection;
use crate::domain::{
    Answered, ApplicationId, CredentialId, CredentialKey, Digest, Ending, Endings, Erasure, Event, Generation,
    Idempotency, IssuedAs, Issuer, KeyId, KeyPublished, Kind, Lasting, LastingIssue, Malformed, Member, Named, NodeKey,
    NodeRemoved, NodeUpgraded, Origin, Patch, Place, Recorded, Sequence, SigningKeyState, Stranger, Subject,
    SubjectEnding, SubjectState, Tenant, Ticket, TicketIssue, Timestamp, TokenId, Ttl, Whose,
};
use crate::event_log::{decode, encode};

#[derive(Serialize, Deserialize)]
pub(super) enum Item {
    /// An entity that is best said as the record that makes it.
    Record(String),
    Ticket {
        id: [u8; 16],
        issue: Option<IssueItem>,
        last_use_at: u64,
        endings: Vec<EndingItem>,
    },
    Lasting {
        kind: u8,
        id: [u8; 16],
        issue: Option<LastingItem>,
        extended_to: u64,
        endings: Vec<EndingItem>,
    },
    Key {
        id: String,
        published: Option<(PlaceItem, String, String)>,
        retired: bool,
        last_expiry: u64,
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
}

pub(super) type PlaceItem = ([u8; Origin::LEN], u64);

#[derive(Serialize, Deserialize)]
pub(super) struct IssueItem {
    place: PlaceItem,
    tenant: String,
    subject: String,
    digest: [u8; 32],
    issued_at: u64,
    ttl: u64,
    not_after: u64,
    generation: Vec<PlaceItem>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LastingItem {
    place: PlaceItem,
    tenant: String,
    subject: String,
    name: NameItem,
    issued_at: u64,
    expires_at: u64,
    not_after: u64,
    generation: Vec<PlaceItem>,
    session: Option<[u8; 16]>,
    slot: Option<u64>,
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
pub(super) struct EndingItem {
    tenant: Option<String>,
    subject: Option<String>,
    place: PlaceItem,
    revoked_at: u64,
    retain_until: u64,
    unknown_by: Option<StrangerItem>,
    named: Option<NameItem>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum StrangerItem {
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
    endings: Vec<(PlaceItem, u64, u64, u64)>,
    hold_until: Option<u64>,
}

/// The place of a removal whose registration has not been seen: removals do not depend on theirs.
pub(super) fn nowhere() -> Place {
    Place { origin: Origin::from_random([0; Origin::LEN]), sequence: Sequence(1) }
}

pub(super) fn record(place: Place, event: Event) -> Item {
    record_at(place, Timestamp::default(), event)
}

/// What is known of a node, as the records that would say it.
pub(super) fn member_items(key: NodeKey, member: &Member) -> impl Iterator<Item = Item> {
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

fn record_at(place: Place, recorded_at: Timestamp, event: Event) -> Item {
    let envelope = Recorded { place, recorded_at, tenant: None, actor: None, request: None, idempotency: None, event };
    Item::Record(encode(&envelope))
}

pub(super) fn place_item(place: Place) -> PlaceItem {
    (*place.origin.as_bytes(), place.sequence.0)
}

pub(super) fn ticket_item(id: CredentialId, ticket: &Ticket) -> Item {
    let issue = ticket.issue.as_ref().map(|issue| IssueItem {
        place: place_item(issue.place),
        tenant: issue.tenant.as_str().to_owned(),
        subject: issue.subject.as_str().to_owned(),
        digest: *issue.digest.as_bytes(),
        issued_at: issue.issued_at.as_millis(),
        ttl: issue.ttl.as_seconds(),
        not_after: issue.not_after.as_millis(),
        generation: issue.generation.iter().map(|(origin, sequence)| (*origin.as_bytes(), sequence.0)).collect(),
    });
    let endings = ticket.endings.iter().map(ending_item).collect();
    Item::Ticket { id: *id.as_bytes(), issue, last_use_at: ticket.last_use_at.as_millis(), endings }
}

fn ending_item(ending: &Ending) -> EndingItem {
    let stranger = |stranger: &Stranger| match stranger {
        Stranger::Application(id) => StrangerItem::Application(*id.0.as_bytes()),
        Stranger::Subject(tenant, subject) => {
            StrangerItem::Subject(tenant.as_str().to_owned(), subject.as_str().to_owned())
        }
    };
    EndingItem {
        tenant: ending.whose.tenant.as_ref().map(|tenant| tenant.as_str().to_owned()),
        subject: ending.whose.subject.as_ref().map(|subject| subject.as_str().to_owned()),
        place: place_item(ending.place),
        revoked_at: ending.revoked_at.as_millis(),
        retain_until: ending.retain_until.as_millis(),
        unknown_by: ending.unknown_by.as_ref().map(stranger),
        named: ending.named.as_deref().map(name_item),
    }
}

pub(super) fn lasting_item(key: CredentialKey, lasting: &Lasting) -> Item {
    let name = |name: &IssuedAs| match name {
        IssuedAs::Secret(None) => NameItem::Unpresentable,
        IssuedAs::Secret(Some(digest)) => NameItem::Digest(*digest.as_bytes()),
        IssuedAs::Jwt(name) => name_item(name),
    };
    let issue = lasting.issue.as_ref().map(|issue| LastingItem {
        place: place_item(issue.place),
        tenant: issue.tenant.as_str().to_owned(),
        subject: issue.subject.as_str().to_owned(),
        name: name(&issue.name),
        issued_at: issue.issued_at.as_millis(),
        expires_at: issue.expires_at.as_millis(),
        not_after: issue.not_after.as_millis(),
        generation: issue.generation.iter().map(|(origin, sequence)| (*origin.as_bytes(), sequence.0)).collect(),
        session: issue.session.map(|id| *id.as_bytes()),
        slot: issue.slot,
    });
    Item::Lasting {
        kind: key.kind.index() as u8,
        id: *key.id.as_bytes(),
        issue,
        extended_to: lasting.extended_to.as_millis(),
        endings: lasting.endings.iter().map(ending_item).collect(),
    }
}

fn name_item(name: &Named) -> NameItem {
    match name {
        Named::Id(id) => NameItem::Id(*id.as_bytes()),
        Named::Digest(digest) => NameItem::Digest(*digest.as_bytes()),
        Named::Payload { issuer, digest } => NameItem::Payload(issuer.as_str().to_owned(), *digest.as_bytes()),
        Named::Jwt { issuer, jti } => NameItem::Jwt(issuer.as_str().to_owned(), jti.as_str().to_owned()),
    }
}

fn named(item: NameItem) -> Result<Named, Malformed> {
    Ok(match item {
        NameItem::Id(id) => Named::Id(CredentialId::from_bytes(id)),
        NameItem::Digest(digest) => Named::Digest(Digest::from_bytes(digest)),
        NameItem::Payload(issuer, digest) => {
            Named::Payload { issuer: Issuer::new(&issuer)?, digest: Digest::from_bytes(digest) }
        }
        NameItem::Jwt(issuer, jti) => Named::Jwt { issuer: Issuer::new(&issuer)?, jti: TokenId::new(&jti)? },
        NameItem::Unpresentable => return Err(FORM),
    })
}

pub(super) fn key_item(id: &KeyId, key: &SigningKeyState) -> Item {
    let published = key
        .published
        .as_ref()
        .map(|(place, key)| (place_item(*place), key.issuer.as_str().to_owned(), key.jwk.clone().into_string()));
    let (id, last_expiry) = (id.as_str().to_owned(), key.last_expiry.as_millis());
    Item::Key { id, published, retired: key.retired, last_expiry }
}

pub(super) fn subject_item(tenant: &Tenant, subject: &Subject, state: &SubjectState) -> Item {
    let kinds = Kind::ALL.iter().map(|kind| {
        let state = state.of(*kind);
        let endings = state.endings.iter().map(|(origin, ending)| {
            let place = (*origin.as_bytes(), ending.sequence.0);
            (place, ending.revoked_at.as_millis(), ending.not_before, ending.retain_until.as_millis())
        });
        let hold_until = state.hold_until.map(Timestamp::as_millis);
        KindItem { kind: kind.index() as u8, endings: endings.collect(), hold_until }
    });
    let (tenant, subject) = (tenant.as_str().to_owned(), subject.as_str().to_owned());
    let erasure = state.erasure.as_ref().map(|erasure| ErasureItem {
        place: place_item(erasure.place),
        erased_at: erasure.erased_at.as_millis(),
        slots: erasure.slots.iter().map(|(origin, slots)| (*origin.as_bytes(), slots.clone())).collect(),
    });
    Item::Subject { tenant, subject, kinds: kinds.collect(), erasure }
}

pub(super) fn answered_item(answered: &Answered) -> Item {
    Item::Answered {
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

fn place((bytes, sequence): PlaceItem) -> Result<Place, Malformed> {
    Ok(Place { origin: origin(bytes)?, sequence: Sequence(sequence) })
}

fn instant(millis: u64) -> Result<Timestamp, Malformed> {
    Timestamp::from_millis(millis).ok_or(FORM)
}

/// Joins what it holds.
pub(super) fn take(projection: &Projection, item: Item) -> Result<(), Malformed> {
    match item {
        Item::Record(record) => projection.fold(&decode(record.as_bytes()).map_err(|_| FORM)?),
        item => projection.restore(patch(item)?),
    }
    Ok(())
}

/// The piece of state that it is; a record is none.
fn patch(item: Item) -> Result<Patch, Malformed> {
    Ok(match item {
        Item::Ticket { id, issue, last_use_at, endings } => {
            let (issue, endings) = (issue.map(self::issue).transpose()?, self::endings(endings)?);
            let ticket = Ticket { issue, last_use_at: instant(last_use_at)?, endings };
            Patch::Ticket(CredentialId::from_bytes(id), ticket)
        }
        Item::Lasting { kind, id, issue, extended_to, endings } => {
            let kind = *Kind::ALL.get(usize::from(kind)).ok_or(FORM)?;
            let (issue, endings) = (issue.map(lasting_issue).transpose()?, self::endings(endings)?);
            let lasting = Lasting { issue, extended_to: instant(extended_to)?, endings };
            Patch::Lasting(CredentialKey { kind, id: CredentialId::from_bytes(id) }, lasting)
        }
        Item::Key { id, published, retired, last_expiry } => {
            let id = KeyId::new(&id)?;
            let published = published.map(|(at, issuer, jwk)| {
                Ok((place(at)?, KeyPublished { id: id.clone(), issuer: Issuer::new(&issuer)?, jwk: jwk.into() }))
            });
            let last_expiry = instant(last_expiry)?;
            let key = SigningKeyState { published: published.transpose()?, retired, last_expiry };
            Patch::Key(id, key)
        }
        Item::Slot { origin, slot } => Patch::Slot(self::origin(origin)?, slot),
        Item::Imported => Patch::Imported,
        Item::EarlyUse { place, used_at } => Patch::TicketUsed(self::place(place)?, instant(used_at)?),
        Item::Subject { tenant, subject, kinds, erasure } => {
            let erasure = erasure.map(self::erasure).transpose()?.map(Box::new);
            let state = SubjectState { erasure, ..subject_state(kinds)? };
            Patch::Subject(Tenant::new(&tenant)?, Subject::new(&subject)?, state)
        }
        Item::Answered { key, body, first, records, recorded_at } => {
            let (first, recorded_at) = (place(first)?, instant(recorded_at)?);
            let digests = Idempotency { key, body };
            Patch::Answered(Answered { digests, first, records, recorded_at })
        }
        Item::Record(_) => return Err(FORM),
    })
}

pub(super) fn generation(items: Vec<PlaceItem>) -> Result<Generation, Malformed> {
    items.into_iter().map(|entry| place(entry).map(|place| (place.origin, place.sequence))).collect()
}

fn endings(items: Vec<EndingItem>) -> Result<Endings, Malformed> {
    let mut all = Endings::default();
    for item in items {
        all.merge(Endings::one(ending(item)?));
    }
    Ok(all)
}

fn lasting_issue(item: LastingItem) -> Result<LastingIssue, Malformed> {
    let name = match item.name {
        NameItem::Unpresentable => IssuedAs::Secret(None),
        NameItem::Digest(digest) => IssuedAs::Secret(Some(Digest::from_bytes(digest))),
        jwt => IssuedAs::Jwt(Box::new(named(jwt)?)),
    };
    Ok(LastingIssue {
        place: place(item.place)?,
        tenant: Tenant::new(&item.tenant)?,
        subject: Subject::new(&item.subject)?,
        name,
        issued_at: instant(item.issued_at)?,
        expires_at: instant(item.expires_at)?,
        not_after: instant(item.not_after)?,
        generation: generation(item.generation)?,
        session: item.session.map(CredentialId::from_bytes),
        slot: item.slot,
    })
}

fn issue(item: IssueItem) -> Result<TicketIssue, Malformed> {
    Ok(TicketIssue {
        place: place(item.place)?,
        tenant: Tenant::new(&item.tenant)?,
        subject: Subject::new(&item.subject)?,
        digest: Digest::from_bytes(item.digest),
        issued_at: instant(item.issued_at)?,
        ttl: Ttl::from_seconds(item.ttl).ok_or(FORM)?,
        not_after: instant(item.not_after)?,
        generation: generation(item.generation)?,
    })
}

fn ending(item: EndingItem) -> Result<Ending, Malformed> {
    let unknown_by = item.unknown_by.map(|stranger| {
        Ok(match stranger {
            StrangerItem::Application(id) => Stranger::Application(ApplicationId(uuid::Uuid::from_bytes(id))),
            StrangerItem::Subject(tenant, subject) => Stranger::Subject(Tenant::new(&tenant)?, Subject::new(&subject)?),
        })
    });
    let tenant = item.tenant.as_deref().map(Tenant::new).transpose()?;
    let subject = item.subject.as_deref().map(Subject::new).transpose()?;
    Ok(Ending {
        whose: Whose { tenant, subject },
        place: place(item.place)?,
        revoked_at: instant(item.revoked_at)?,
        retain_until: instant(item.retain_until)?,
        unknown_by: unknown_by.transpose()?,
        named: item.named.map(named).transpose()?.map(Box::new),
    })
}

fn subject_state(kinds: Vec<KindItem>) -> Result<SubjectState, Malformed> {
    let mut state = SubjectState::default();
    for item in kinds {
        let kind = state.kinds.get_mut(usize::from(item.kind)).ok_or(FORM)?;
        kind.hold_until = item.hold_until.map(instant).transpose()?;
        for (place, revoked_at, not_before, retain_until) in item.endings {
            let Place { origin, sequence } = self::place(place)?;
            let (revoked_at, retain_until) = (instant(revoked_at)?, instant(retain_until)?);
            kind.endings.insert(origin, SubjectEnding { sequence, revoked_at, not_before, retain_until });
        }
    }
    Ok(state)
}

fn erasure(item: ErasureItem) -> Result<Erasure, Malformed> {
    let slots = item.slots.into_iter().map(|(bytes, slots)| Ok((origin(bytes)?, slots)));
    let slots = slots.collect::<Result<_, Malformed>>()?;
    Ok(Erasure { place: place(item.place)?, erased_at: instant(item.erased_at)?, slots })
}
