//! The snapshot: the state in a file, so that a start replays only the tail of the log.
//!
//! It is derived, so anything wrong with it costs time and nothing else: it is ignored, and the state is folded again.
//!
//! The file is `b"aledsnap"`, the format as four big-endian bytes, and blocks of [length, four big-endian bytes; BLAKE3 of the
//! first block's hash, the block's number and its payload; payload]. The first block says where the snapshot stands, the last
//! how many there are. Shards are written one after another while the writer goes on, so some are ahead of that place;
//! replaying from it does no harm, because every join is idempotent.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Projection, lasting, subjects, tickets};
use crate::domain::{
    Answered, ApplicationId, CredentialId, CredentialKey, Digest, Ending, Endings, Erasure, Event, Generation,
    Idempotency, IssuedAs, Issuer, KeyId, KeyPublished, Kind, Lasting, LastingIssue, LedgerId, Malformed, Named,
    Origin, Patch, Place, Position, Recorded, Sequence, SigningKeyState, Stranger, Subject, SubjectEnding,
    SubjectState, Tenant, Ticket, TicketIssue, Timestamp, TokenId, Ttl, View as _, Whose,
};
use crate::event_log::{Base, ChainHash, Head, decode, encode};

const MAGIC: &[u8; 8] = b"aledsnap";
/// The snapshot's format. It has no history: another number means folding again.
const FORMAT: u32 = 3;
/// Entities in a block.
const BLOCK_ITEMS: usize = 4_096;
/// The largest block that is read: a damaged length must not claim all memory.
const MAX_BLOCK_BYTES: u32 = 256 << 20;

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is none.
    #[error("there is none")]
    Absent,
    /// The file can't be read or written.
    #[error("{0}")]
    Io(io::Error),
    /// Another version of authledger wrote it.
    #[error("its format is {0}, and this version of authledger writes {FORMAT}")]
    Format(u32),
    /// Its bytes are not what was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It stands on a log that is not this one.
    #[error("it stands on another log: {0}")]
    Foreign(&'static str),
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends early"),
            _ => Self::Io(error),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    ledger: Option<[u8; 16]>,
    position: u64,
    heads: Vec<([u8; Origin::LEN], u64, [u8; 32])>,
}

#[derive(Serialize, Deserialize)]
enum Item {
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
        ended_as: Option<NameItem>,
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
    End {
        items: u64,
    },
}

type PlaceItem = ([u8; Origin::LEN], u64);

#[derive(Serialize, Deserialize)]
struct IssueItem {
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
struct LastingItem {
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
enum NameItem {
    Unpresentable,
    Id([u8; 16]),
    Digest([u8; 32]),
    Payload(String, [u8; 32]),
    Jwt(String, String),
}

#[derive(Serialize, Deserialize)]
struct EndingItem {
    tenant: Option<String>,
    subject: Option<String>,
    place: PlaceItem,
    revoked_at: u64,
    retain_until: u64,
    unknown_by: Option<StrangerItem>,
}

#[derive(Serialize, Deserialize)]
enum StrangerItem {
    Application([u8; 16]),
    Subject(String, String),
}

#[derive(Serialize, Deserialize)]
struct ErasureItem {
    place: PlaceItem,
    erased_at: u64,
    slots: Vec<([u8; Origin::LEN], BTreeSet<u64>)>,
}

#[derive(Serialize, Deserialize)]
struct KindItem {
    kind: u8,
    endings: Vec<(PlaceItem, u64, u64, u64)>,
    hold_until: Option<u64>,
}

/// Writes the state to `directory/state`, atomically: the old snapshot stands until the new one is durable. Returns where it
/// stands.
pub fn save(projection: &Projection, directory: &Path) -> Result<Position, SnapshotError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let fresh = directory.join("state.new");
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
    // First where it stands, then the shards: a shard may be ahead of that place, never behind.
    let base = projection.base();
    let mut blocks = BlockWriter::start(BufWriter::with_capacity(1 << 20, file), &header(projection, &base))?;
    write_items(projection, &mut blocks)?;
    let file = blocks.end()?.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    fs::rename(&fresh, directory.join("state"))?;
    File::open(directory)?.sync_all()?;
    Ok(base.position)
}

/// Reads the snapshot in that directory. Whether it stands on this log is for [`super::rebuild`] to say.
pub fn load(directory: &Path) -> Result<Projection, SnapshotError> {
    let file = BufReader::with_capacity(1 << 20, File::open(directory.join("state"))?);
    let (mut blocks, header) = BlockReader::start(file)?;
    let projection = Projection::default();
    let mut count = 0;
    loop {
        let items: Vec<Item> = blocks.next()?;
        for item in items {
            if let Item::End { items } = item {
                if items != count {
                    return Err(SnapshotError::Damaged("entities are missing"));
                }
                projection.reached(base(&header)?);
                return Ok(projection);
            }
            count += 1;
            take(&projection, item).map_err(|_| SnapshotError::Damaged("an entity breaks the rules of its names"))?;
        }
    }
}

/// Reads the snapshot in that directory from its first byte to its last and keeps nothing of it. Returns where it stands.
pub fn check(directory: &Path) -> Result<Base, SnapshotError> {
    let file = BufReader::with_capacity(1 << 20, File::open(directory.join("state"))?);
    let (mut blocks, header) = BlockReader::start(file)?;
    let mut count = 0;
    let whole =
        |due: u64, count| if due == count { Ok(()) } else { Err(SnapshotError::Damaged("entities are missing")) };
    loop {
        for item in blocks.next()? {
            match item {
                Item::End { items } => {
                    whole(items, count)?;
                    if blocks.input.read(&mut [0])? != 0 {
                        return Err(SnapshotError::Damaged("it goes on behind its end"));
                    }
                    return base(&header);
                }
                _ => count += 1,
            }
        }
    }
}

fn header(projection: &Projection, base: &Base) -> Header {
    let ledger = projection.origins.read().values().next().map(|opened| *opened.ledger.0.as_bytes());
    let heads = base.heads.iter().map(|(origin, head)| (*origin.as_bytes(), head.sequence.0, head.hash.0));
    Header { ledger, position: base.position.0, heads: heads.collect() }
}

fn base(header: &Header) -> Result<Base, SnapshotError> {
    let heads = header.heads.iter().map(|(origin, sequence, hash)| {
        Ok((self::origin(*origin)?, Head { sequence: Sequence(*sequence), hash: ChainHash(*hash) }))
    });
    let heads = heads.collect::<Result<_, Malformed>>().map_err(|_| SnapshotError::Damaged("an origin has no name"))?;
    Ok(Base { position: Position(header.position), heads })
}

/// The ledger that a snapshot was made for.
pub(super) fn ledger(projection: &Projection) -> Option<LedgerId> {
    projection.origins.read().values().next().map(|opened| opened.ledger)
}

fn write_items<W: Write>(projection: &Projection, blocks: &mut BlockWriter<W>) -> Result<(), SnapshotError> {
    let mut items: Vec<Item> = Vec::new();
    for (place, opened) in projection.origins.read().iter() {
        items.push(record(*place, Event::LedgerOpened(opened.clone())));
    }
    for (id, application) in &projection.applications.read().by_id {
        let registered = application.registered.as_ref();
        if let Some((place, registration)) = registered {
            items.push(record(*place, Event::ApplicationRegistered(registration.clone())));
        }
        if application.removed {
            let place = registered.map_or_else(nowhere, |(place, _)| *place);
            items.push(record(place, Event::ApplicationRemoved(*id)));
        }
    }
    items.extend(
        projection
            .early_uses
            .lock()
            .iter()
            .map(|(place, used_at)| Item::EarlyUse { place: place_item(*place), used_at: used_at.as_millis() }),
    );
    for (id, key) in projection.keys() {
        items.push(key_item(&id, &key));
    }
    items.extend(
        projection.slots.lock().iter().map(|(origin, slot)| Item::Slot { origin: *origin.as_bytes(), slot: *slot }),
    );
    items.extend(projection.imported().then_some(Item::Imported));
    blocks.write(items)?;
    for shard in 0..lasting::SHARDS {
        let mut items = Vec::new();
        projection.lastings.visit(shard, |key, lasting| items.push(lasting_item(key, lasting)));
        blocks.write(items)?;
    }
    for shard in 0..tickets::SHARDS {
        let mut items = Vec::new();
        projection.tickets.visit(shard, |id, ticket| items.push(ticket_item(id, &ticket)));
        blocks.write(items)?;
    }
    for shard in 0..subjects::SHARDS {
        let mut items = Vec::new();
        projection.subjects.visit(shard, |tenant, subject, state| items.push(subject_item(tenant, subject, state)));
        blocks.write(items)?;
    }
    for shard in &projection.answered.shards {
        let items = shard.read().values().map(answered_item).collect();
        blocks.write(items)?;
    }
    Ok(())
}

/// The place of a removal whose registration has not been seen: removals do not depend on theirs.
fn nowhere() -> Place {
    Place { origin: Origin::from_random([0; Origin::LEN]), sequence: Sequence(1) }
}

fn record(place: Place, event: Event) -> Item {
    let envelope = Recorded {
        place,
        recorded_at: Timestamp::default(),
        tenant: None,
        actor: None,
        request: None,
        idempotency: None,
        event,
    };
    Item::Record(encode(&envelope))
}

fn place_item(place: Place) -> PlaceItem {
    (*place.origin.as_bytes(), place.sequence.0)
}

fn ticket_item(id: CredentialId, ticket: &Ticket) -> Item {
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
    }
}

fn lasting_item(key: CredentialKey, lasting: &Lasting) -> Item {
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
        ended_as: lasting.ended_as.as_deref().map(name_item),
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

fn key_item(id: &KeyId, key: &SigningKeyState) -> Item {
    let published = key
        .published
        .as_ref()
        .map(|(place, key)| (place_item(*place), key.issuer.as_str().to_owned(), key.jwk.clone().into_string()));
    let (id, last_expiry) = (id.as_str().to_owned(), key.last_expiry.as_millis());
    Item::Key { id, published, retired: key.retired, last_expiry }
}

fn subject_item(tenant: &Tenant, subject: &Subject, state: &SubjectState) -> Item {
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

fn answered_item(answered: &Answered) -> Item {
    Item::Answered {
        key: answered.digests.key,
        body: answered.digests.body,
        first: place_item(answered.first),
        records: answered.records,
        recorded_at: answered.recorded_at.as_millis(),
    }
}

const FORM: Malformed = Malformed("a value of the snapshot's form");

fn origin(bytes: [u8; Origin::LEN]) -> Result<Origin, Malformed> {
    std::str::from_utf8(&bytes).map_err(|_| FORM)?.parse()
}

fn place((bytes, sequence): PlaceItem) -> Result<Place, Malformed> {
    Ok(Place { origin: origin(bytes)?, sequence: Sequence(sequence) })
}

fn instant(millis: u64) -> Result<Timestamp, Malformed> {
    Timestamp::from_millis(millis).ok_or(FORM)
}

fn take(projection: &Projection, item: Item) -> Result<(), Malformed> {
    match item {
        Item::Record(record) => projection.fold(&decode(record.as_bytes()).map_err(|_| FORM)?),
        Item::Ticket { id, issue, last_use_at, endings } => {
            let (issue, endings) = (issue.map(self::issue).transpose()?, self::endings(endings)?);
            let ticket = Ticket { issue, last_use_at: instant(last_use_at)?, endings };
            projection.join(Patch::Ticket(CredentialId::from_bytes(id), ticket));
        }
        Item::Lasting { kind, id, issue, extended_to, endings, ended_as } => {
            let kind = *Kind::ALL.get(usize::from(kind)).ok_or(FORM)?;
            let (issue, endings) = (issue.map(lasting_issue).transpose()?, self::endings(endings)?);
            let ended_as = ended_as.map(named).transpose()?.map(Box::new);
            let lasting = Lasting { issue, extended_to: instant(extended_to)?, endings, ended_as };
            projection.join(Patch::Lasting(CredentialKey { kind, id: CredentialId::from_bytes(id) }, lasting));
        }
        Item::Key { id, published, retired, last_expiry } => {
            let id = KeyId::new(&id)?;
            let published = published.map(|(at, issuer, jwk)| {
                Ok((place(at)?, KeyPublished { id: id.clone(), issuer: Issuer::new(&issuer)?, jwk: jwk.into() }))
            });
            let last_expiry = instant(last_expiry)?;
            let key = SigningKeyState { published: published.transpose()?, retired, last_expiry };
            projection.join(Patch::Key(id, key));
        }
        Item::Slot { origin, slot } => projection.join(Patch::Slot(self::origin(origin)?, slot)),
        Item::Imported => projection.join(Patch::Imported),
        Item::EarlyUse { place, used_at } => projection.join(Patch::TicketUsed(self::place(place)?, instant(used_at)?)),
        Item::Subject { tenant, subject, kinds, erasure } => {
            let erasure = erasure.map(self::erasure).transpose()?.map(Box::new);
            let state = SubjectState { erasure, ..subject_state(kinds)? };
            projection.join(Patch::Subject(Tenant::new(&tenant)?, Subject::new(&subject)?, state));
        }
        Item::Answered { key, body, first, records, recorded_at } => {
            let (first, recorded_at) = (place(first)?, instant(recorded_at)?);
            let digests = Idempotency { key, body };
            projection.join(Patch::Answered(Answered { digests, first, records, recorded_at }));
        }
        Item::End { .. } => {}
    }
    Ok(())
}

fn generation(items: Vec<PlaceItem>) -> Result<Generation, Malformed> {
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

fn block_hash(first: &[u8; 32], number: u64, payload: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(first).update(&number.to_be_bytes()).update(payload);
    *hasher.finalize().as_bytes()
}

struct BlockWriter<W: Write> {
    out: W,
    first: [u8; 32],
    number: u64,
    items: u64,
}

impl<W: Write> BlockWriter<W> {
    fn start(mut out: W, header: &Header) -> Result<Self, SnapshotError> {
        out.write_all(MAGIC)?;
        out.write_all(&FORMAT.to_be_bytes())?;
        let mut blocks = Self { out, first: [0; 32], number: 0, items: 0 };
        blocks.first = blocks.block(header)?;
        Ok(blocks)
    }

    fn write(&mut self, items: Vec<Item>) -> Result<(), SnapshotError> {
        for chunk in items.chunks(BLOCK_ITEMS) {
            self.items += chunk.len() as u64;
            self.block(&chunk)?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<W, SnapshotError> {
        let items = self.items;
        self.block(&[Item::End { items }][..])?;
        Ok(self.out)
    }

    fn block(&mut self, content: &(impl Serialize + ?Sized)) -> Result<[u8; 32], SnapshotError> {
        let payload = postcard::to_stdvec(content).map_err(|_| SnapshotError::Damaged("an entity can't be encoded"))?;
        let hash = block_hash(&self.first, self.number, &payload);
        // A block holds some thousand entities, each made of one record's parts.
        self.out.write_all(&(payload.len() as u32).to_be_bytes())?;
        self.out.write_all(&hash)?;
        self.out.write_all(&payload)?;
        self.number += 1;
        Ok(hash)
    }
}

struct BlockReader<R: Read> {
    input: R,
    first: [u8; 32],
    number: u64,
}

impl<R: Read> BlockReader<R> {
    fn start(mut input: R) -> Result<(Self, Header), SnapshotError> {
        let mut magic = [0; 8];
        input.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(SnapshotError::Damaged("it does not start as a snapshot does"));
        }
        let mut format = [0; 4];
        input.read_exact(&mut format)?;
        if u32::from_be_bytes(format) != FORMAT {
            return Err(SnapshotError::Format(u32::from_be_bytes(format)));
        }
        let mut blocks = Self { input, first: [0; 32], number: 0 };
        let (header, hash) = blocks.block()?;
        blocks.first = hash;
        Ok((blocks, header))
    }

    fn next(&mut self) -> Result<Vec<Item>, SnapshotError> {
        self.block().map(|(items, _)| items)
    }

    fn block<T: DeserializeOwned>(&mut self) -> Result<(T, [u8; 32]), SnapshotError> {
        let (mut length, mut hash) = ([0; 4], [0; 32]);
        self.input.read_exact(&mut length)?;
        self.input.read_exact(&mut hash)?;
        let length = u32::from_be_bytes(length);
        if length > MAX_BLOCK_BYTES {
            return Err(SnapshotError::Damaged("a block is larger than any that is written"));
        }
        let mut payload = vec![0; length as usize];
        self.input.read_exact(&mut payload)?;
        if block_hash(&self.first, self.number, &payload) != hash {
            return Err(SnapshotError::Damaged("a block's checksum is wrong"));
        }
        self.number += 1;
        let content = postcard::from_bytes(&payload).map_err(|_| SnapshotError::Damaged("a block can't be read"))?;
        Ok((content, hash))
    }
}
