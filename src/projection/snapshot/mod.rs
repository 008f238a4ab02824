//! The snapshot: the state in a file, so that a start replays only the tail of the log.
//!
//! It is derived, so any damage to it only costs time: it is ignored, and the state is folded again.
//!
//! The file is `b"aledsnap"`, the format as four big-endian bytes, and blocks of [length, four big-endian bytes; BLAKE3
//! of the first block's hash, the block's number and its payload; payload]. The first block has the position of the
//! snapshot, the last the number of entities and the instant of the last sweep. Credentials in their usual form are in
//! blocks of rows, everything else in blocks of items. Shards are written piece after piece while the writer continues,
//! so some are ahead of that position; replaying from it does no harm, because every join is idempotent. Blocks may be
//! read in any order, and several at once. The shard of a credential follows from its id and a seed, which is in the
//! first block: callers that choose ids do not know it.

mod blocks;
mod items;
mod rows;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;

use super::Projection;
use super::handle::{Layout, SHARDS};
use super::packed::InternedValues;
use super::store::{SlotContent, Store};
use crate::domain::{CredentialKey, Event, LedgerId, Malformed, Position, Sequence, Timestamp, View as _};
use crate::event_log::{Base, ChainHash, Head};
use blocks::{BLOCK_ITEMS, Block, BlockReader, BlockWriter, Content, FORMAT, Header, SnapshotTrailer};
use items::{
    SnapshotItem, answered_item, cohort_item, credential_item, key_item, member_items, nowhere, place_item, record,
    status_entry_items, status_list_items, subject_item,
};
use rows::{RowForm, RowWriter, SessionIssueTimes};

/// Blocks that have been read and wait for a decoder.
const WAITING_BLOCKS: usize = 8;
/// Threads that decode blocks, at most.
const MAX_DECODERS: usize = 8;

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
    /// Its bytes are not as they were written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It belongs to another log.
    #[error("it belongs to another log: {0}")]
    Foreign(&'static str),
    /// It lacks entries that have not expired yet: an earlier time was accepted since.
    #[error(
        "it lacks entries that had expired at {0}, and it is earlier than that now: the clock was ahead when it was written"
    )]
    TooForgetful(Timestamp),
}

const BEHIND_END: SnapshotError = SnapshotError::Damaged("it continues after its end");

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends early"),
            _ => Self::Io(error),
        }
    }
}

/// Writes the state to `directory/state`, atomically: the old snapshot stands until the new one is durable. Returns its
/// position.
pub fn save(projection: &Projection, directory: &Path) -> Result<Position, SnapshotError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let fresh = directory.join("state.new");
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
    // First the position, then the shards: a shard may be ahead of that position, never behind.
    let base = projection.base();
    let mut blocks = BlockWriter::start(BufWriter::with_capacity(1 << 20, file), &header(projection, &base))?;
    write_items(projection, &mut blocks)?;
    // Last: a shard that was written later may have been swept further than the first one.
    let file = blocks.end(projection.forgotten_at())?.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    fs::rename(&fresh, directory.join("state"))?;
    File::open(directory)?.sync_all()?;
    Ok(base.position)
}

/// Reads the snapshot in that directory. [`super::rebuild`] checks whether it belongs to this log.
pub fn load(directory: &Path) -> Result<Projection, SnapshotError> {
    let file = BufReader::with_capacity(1 << 20, File::open(directory.join("state"))?);
    let (mut blocks, header) = BlockReader::start(file)?;
    let loading = Loading::new(Layout { seed: header.seed, ..Layout::default() });
    let (sender, receiver) = sync_channel(WAITING_BLOCKS);
    let receiver = Mutex::new(receiver);
    let decoders = thread::available_parallelism().map_or(1, usize::from).min(MAX_DECODERS);
    let due = thread::scope(|scope| {
        (0..decoders).for_each(|_| drop(scope.spawn(|| loading.decode(&receiver))));
        // The sender is dropped with this: then the decoders know that there are no more blocks.
        read_to_end(&mut blocks, sender)
    });
    let Loading { projection, taken, issues, failed } = loading;
    // A decoder's error says more than that it took no further block.
    failed.into_inner().map_or(Ok(()), Err)?;
    let SnapshotTrailer { entities, forgotten_at } = due?;
    if entities != taken.into_inner() {
        return Err(SnapshotError::Damaged("entities are missing"));
    }
    projection.forgotten_at.fetch_max(forgotten_at, Ordering::AcqRel);
    projection.sessions.remember_issues(issues.into_inner());
    projection.restore_status_entries();
    projection.reached(base(&header)?);
    Ok(projection)
}

/// Hands on every block but the last; returns the content of that one.
fn read_to_end<R: io::Read>(
    blocks: &mut BlockReader<R>,
    decoders: SyncSender<Block>,
) -> Result<SnapshotTrailer, SnapshotError> {
    loop {
        let block = blocks.next()?;
        if block.seems_last() {
            let end = SnapshotTrailer::read(block.checked()?.1)?;
            return if blocks.is_at_end()? { Ok(end) } else { Err(BEHIND_END) };
        }
        decoders.send(block).map_err(|_| SnapshotError::Damaged("a block can't be decoded"))?;
    }
}

/// A state that several threads put together.
struct Loading {
    projection: Projection,
    taken: AtomicU64,
    issues: Mutex<SessionIssueTimes>,
    failed: Mutex<Option<SnapshotError>>,
}

impl Loading {
    fn new(layout: Layout) -> Self {
        Self {
            projection: Projection::new(layout),
            taken: AtomicU64::new(0),
            issues: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Takes blocks until there are no more, or one is unusable.
    fn decode(&self, blocks: &Mutex<Receiver<Block>>) {
        let mut issues = SessionIssueTimes::new();
        loop {
            let next = blocks.lock().recv();
            let Ok(block) = next else { break };
            // After a failure the rest is only received, so that the reading thread does not wait for ever.
            if self.failed.lock().is_some() {
                continue;
            }
            match self.take(&block, &mut issues) {
                Ok(entities) => drop(self.taken.fetch_add(entities, Ordering::Relaxed)),
                Err(error) => drop(self.failed.lock().get_or_insert(error)),
            }
        }
        self.issues.lock().append(&mut issues);
    }

    /// Joins the content of the block; returns how many entities it has.
    fn take(&self, block: &Block, issues: &mut SessionIssueTimes) -> Result<u64, SnapshotError> {
        let (content, bytes) = block.checked()?;
        let projection = &self.projection;
        let subjects = &projection.shared.subjects;
        let add = |handle, subject| subjects.add(subject, handle, projection);
        let taken = match content {
            Content::Items => return self.take_items(bytes),
            Content::End => return Err(SnapshotError::Damaged("it has two ends")),
            Content::Tickets => rows::take(projection, &projection.tickets.store, bytes, |_, handle, issued| {
                add(handle, issued.subject);
                projection.remember_ticket(handle, issued.place);
            }),
            Content::Sessions => rows::take(projection, &projection.sessions.store, bytes, |key, handle, issued| {
                add(handle, issued.subject);
                projection.sessions.remember_digest(handle, issued);
                let tenant = subjects.tenant(issued.subject);
                issues.extend(tenant.map(|tenant| (tenant, issued.issued_at, key.id)));
            }),
            Content::Tokens => {
                rows::take(projection, &projection.tokens, bytes, |_, handle, issued| add(handle, issued.subject))
            }
        };
        taken.map_err(broken)
    }

    fn take_items(&self, bytes: &[u8]) -> Result<u64, SnapshotError> {
        let items: Vec<SnapshotItem> = decoded(bytes)?;
        let count = items.len() as u64;
        items.into_iter().try_for_each(|item| items::take(&self.projection, item)).map_err(broken)?;
        Ok(count)
    }
}

fn decoded(bytes: &[u8]) -> Result<Vec<SnapshotItem>, SnapshotError> {
    postcard::from_bytes(bytes).map_err(|_| SnapshotError::Damaged("a block can't be read"))
}

fn broken(_: Malformed) -> SnapshotError {
    SnapshotError::Damaged("an entity breaks the rules of its names")
}

/// Reads the snapshot in that directory from its first byte to its last and keeps nothing of it. Returns its position.
pub fn check(directory: &Path) -> Result<Base, SnapshotError> {
    let file = BufReader::with_capacity(1 << 20, File::open(directory.join("state"))?);
    let (mut blocks, header) = BlockReader::start(file)?;
    let mut count = 0;
    loop {
        let block = blocks.next()?;
        match block.checked()? {
            (Content::Items, bytes) => count += decoded(bytes)?.len() as u64,
            (Content::End, end) => {
                if SnapshotTrailer::read(end)?.entities != count {
                    return Err(SnapshotError::Damaged("entities are missing"));
                }
                if !blocks.is_at_end()? {
                    return Err(BEHIND_END);
                }
                return base(&header);
            }
            (Content::Tickets | Content::Sessions | Content::Tokens, bytes) => count += rows::count(bytes)?,
        }
    }
}

fn header(projection: &Projection, base: &Base) -> Header {
    let ledger = projection.origins.read().values().next().map(|opened| *opened.ledger.0.as_bytes());
    let heads = base.heads.iter().map(|(origin, head)| (*origin.as_bytes(), head.sequence.0, head.hash.0));
    Header { ledger, position: base.position.0, seed: projection.layout.seed, heads: heads.collect() }
}

fn base(header: &Header) -> Result<Base, SnapshotError> {
    let heads = header.heads.iter().map(|(origin, sequence, hash)| {
        Ok((items::origin(*origin)?, Head { sequence: Sequence(*sequence), hash: ChainHash(*hash) }))
    });
    let heads = heads.collect::<Result<_, Malformed>>().map_err(|_| SnapshotError::Damaged("an origin has no name"))?;
    Ok(Base { position: Position(header.position), heads })
}

/// The ledger that a snapshot was made for.
pub(super) fn ledger(projection: &Projection) -> Option<LedgerId> {
    projection.origins.read().values().next().map(|opened| opened.ledger)
}

fn write_items<W: Write>(projection: &Projection, blocks: &mut BlockWriter<W>) -> Result<(), SnapshotError> {
    let mut items: Vec<SnapshotItem> = Vec::new();
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
            .map(|(place, used_at)| SnapshotItem::EarlyUse { place: place_item(*place), used_at: used_at.as_millis() }),
    );
    for (cohort, state) in projection.cohorts.read().iter() {
        items.push(cohort_item(&cohort, state));
    }
    for (id, key) in projection.keys() {
        items.push(key_item(&id, &key));
    }
    items.extend(
        projection
            .slots
            .lock()
            .iter()
            .map(|(origin, slot)| SnapshotItem::Slot { origin: *origin.as_bytes(), slot: *slot }),
    );
    for (key, member) in projection.members().iter() {
        items.extend(member_items(key, member));
    }
    items.extend(projection.imported().then_some(SnapshotItem::Imported));
    projection.lists.each(|id, list| items.extend(status_list_items(id, list)));
    items.extend(status_entry_items(&projection.lists.entries(|handle| projection.tokens.key_at(handle))));
    blocks.items(&items)?;
    write_rows(&projection.shared, &projection.sessions.store, Content::Sessions, blocks)?;
    write_rows(&projection.shared, &projection.tokens, Content::Tokens, blocks)?;
    write_rows(&projection.shared, &projection.tickets.store, Content::Tickets, blocks)?;
    for shard in 0..SHARDS {
        let mut items = Vec::new();
        let subjects = &projection.shared.subjects;
        subjects.visit(shard, |tenant, subject, state| items.push(subject_item(tenant, subject, state)));
        blocks.items(&items)?;
    }
    for shard in &projection.answered.shards {
        let items: Vec<_> = shard.read().values().map(answered_item).collect();
        blocks.items(&items)?;
    }
    Ok(())
}

/// Writes one kind's credentials: a piece of each shard and then the next of each, so that threads that read blocks
/// side by side seldom need the same shard.
fn write_rows<F: RowForm, W: Write>(
    shared: &InternedValues,
    store: &Store<F>,
    content: Content,
    blocks: &mut BlockWriter<W>,
) -> Result<(), SnapshotError> {
    let mut open: Vec<(usize, u32)> = (0..SHARDS).map(|shard| (shard, 0)).collect();
    let mut apart = Vec::new();
    while !open.is_empty() {
        let mut rest = Vec::new();
        for (shard, from) in open {
            let mut rows = RowWriter::new(shared, shard);
            let next = store.visit_slots(shard, from, BLOCK_ITEMS, |held| match held {
                SlotContent::Packed(row) => row.write(&mut rows),
                SlotContent::Apart(id, credential) => {
                    apart.push(credential_item(CredentialKey { kind: F::KIND, id }, credential));
                }
            });
            rest.extend(next.map(|from| (shard, from)));
            if rows.refers_to.rows > 0 {
                blocks.rows(content, rows.refers_to.rows as usize, &rows.refers_to, &rows.bytes)?;
            }
            if apart.len() >= BLOCK_ITEMS {
                blocks.items(&apart)?;
                apart.clear();
            }
        }
        open = rest;
    }
    blocks.items(&apart)
}
