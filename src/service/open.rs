//! How a node starts: lock, log, state, keys, writer; in that order, so that nothing is written before everything is
//! understood.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::clock::{ClockStart, Marks, Timekeeper, revoke_beyond};
use super::erasure::erase_again;
use super::machine::{Committed, Hook, Ledger};
use super::start_error::StartError;
use super::{
    Clients, Cluster, FactsCache, Fixed, Log, Naming, NodeFile, ProcessStart, Pseudonyms, Questions, Reach,
    RecentSecrets, Running, Sealer, Service, Signing, StatusListSettings, StatusLists, Timekeeping, Turns, snapshots,
};
use crate::clock::{Clock, fresh_origin, fresh_uuid};
use crate::cluster::{Anchors, Incarnation, KeptHeads, SignedHead};
use crate::compact::MarkKey;
use crate::domain::{
    Digest, Event, Issuer, LOG_FORMAT, LedgerId, LedgerOpened, NodeKey, NodeName, Origin, PeerAddress, Policy,
    Position, Previous, Reads, RecordId, Region, Timestamp, View as _, issuer, lineage,
};
use crate::event_log::{
    Base, DataDirectory, OpenLog, ReadError, Reader, WalCopier, Writer, WriterStart, refuse_rescued,
};
use crate::jose::{Proofs, TrustedIssuers};
use crate::keys::{Algorithm, BorrowedKeys, OriginKey, SealingKeys, load_or_create_mark_key};
use crate::projection::{self, Projection, Rebuilt, StateSource, rebuild};
use crate::tlog::{KeyName, TreeHash};
use crate::tree::{self, Checkpoints, Keeper, Leaf, Trees};

/// Revocations that are queued at a time, after an earlier time was accepted.
const REVOKED_AT_A_TIME: usize = 1_024;

/// The settings of a starting node.
pub struct NodeSettings {
    /// The data directory.
    pub data: PathBuf,
    /// This node's name, for an origin that is opened now.
    pub node: NodeName,
    /// This node's region, for an origin that is opened now.
    pub region: Region,
    /// The operator's settings.
    pub policy: Policy,
    /// How many commands may wait.
    pub queue: usize,
    /// The algorithm of new keys that sign tokens.
    pub token_algorithm: Algorithm,
    /// How long a key that signs tokens is published before it signs.
    pub key_publish_ahead: Duration,
    /// The issuer of tokens, if the ledger has none yet.
    pub issuer: Option<Issuer>,
    /// Whether that issuer was set, rather than made up from an address.
    pub issuer_is_set: bool,
    /// Whether subjects are pseudonyms in this ledger.
    pub pseudonyms: bool,
    /// The other issuers whose tokens are accepted.
    pub trusted: TrustedIssuers,
    /// The name of this node's log in its checkpoints, if they have no name yet.
    pub checkpoint_origin: Option<KeyName>,
    /// The address at which other nodes reach this one over HTTP, if they can.
    pub address: Option<PeerAddress>,
    /// The events that this node reads.
    pub reads: Reads,
    /// The settings of status lists, if this node gives tokens an entry.
    pub status_lists: Option<StatusListSettings>,
}

impl NodeSettings {
    fn naming(&self) -> Naming {
        let Self { node, region, address, reads, .. } = self;
        Naming { node: node.clone(), region: region.clone(), address: address.clone(), reads: reads.clone() }
    }
}

/// A ledger that has been read, and not written to yet.
pub struct Prepared {
    directory: DataDirectory,
    log: OpenLog,
    reader: Arc<Reader>,
    projection: Arc<Projection>,
    source: StateSource,
    records_read: u64,
    pseudonyms: Pseudonyms,
    key: Arc<OriginKey>,
    cluster: Arc<Cluster>,
    node_file: Option<NodeFile>,
    marks: Arc<Marks>,
    renews_for_clock: bool,
}

/// The origin that a node continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The one that its directory has; a new one if it has none.
    Continued,
    /// A new one, because other nodes may hold more of the old one than its directory does. Its sealing keys start
    /// beyond that slot.
    Renewed {
        /// The last slot that may have been used.
        slots_used: u64,
    },
}

/// Opens the ledger in that directory, which is locked already, and makes one if there is none: [`prepare`] and
/// [`Prepared::begin`] for a node that asks no other node.
pub async fn open(
    directory: DataDirectory,
    settings: NodeSettings,
    clock: Clock,
    root: Digest,
    reach: Arc<dyn Reach>,
    hooks: impl FnOnce(LedgerId, &Base) -> Vec<Hook>,
    progress: impl FnMut(Position, Position),
) -> Result<Running, StartError> {
    let prepared = prepare(directory, &settings, &clock, progress)?;
    prepared.begin(settings, clock, root, Some(reach), hooks, Beginning::Continued).await
}

/// Reads the ledger in that directory, which is locked already. `progress` is called with the position reached and the head while
/// the log is folded.
pub fn prepare(
    directory: DataDirectory,
    settings: &NodeSettings,
    clock: &Clock,
    progress: impl FnMut(Position, Position),
) -> Result<Prepared, StartError> {
    refuse_rescued(&directory.ledger())?;
    let log = OpenLog::open(&directory.ledger())?;
    let reader = Arc::new(Reader::open(&directory.ledger())?);
    refuse_lost_log(&reader, &directory)?;
    let clock_start = ClockStart::read(directory.path(), &reader, clock)?;
    let Rebuilt { projection, source, records_read } =
        rebuild(&reader, &snapshots(directory.path()), clock_start.times(), progress)?;
    let projection = Arc::new(projection);
    let fixed = projection.origins().values().next().map(|opened| opened.pseudonyms);
    let pseudonyms = Pseudonyms::open(&directory.path().join("keys"), settings.pseudonyms, fixed)?;
    let key = Arc::new(OriginKey::load_or_create(&directory.path().join("keys"))?);
    let anchors = Anchors::load(directory.path())?;
    let ledger = projection.origins().values().next().map(|opened| opened.ledger).or(anchors.ledger());
    let members = projection.members();
    let is_good = |head: &SignedHead| {
        let key = members.key_of(head.place.origin);
        let is_shown = |ledger, key| head.is_signed_by(key, ledger) || anchors.vouches_for(head, ledger);
        ledger.zip(key).is_some_and(|(ledger, key)| is_shown(ledger, key))
    };
    let kept = KeptHeads::open(directory.path(), is_good)?;
    let naming = settings.naming();
    let data = directory.path().to_owned();
    let cluster = Cluster::new(naming, key.clone(), anchors, projection.clone(), kept, data, clock.clone());
    let (cluster, node_file) = (Arc::new(cluster), NodeFile::load(directory.path())?);
    let own = continued_origin(&projection, cluster.node(), node_file.as_ref());
    let own = match own {
        Some(origin) => Some((origin, last_recorded_at(&reader, &projection.base(), origin)?)),
        None => None,
    };
    let (marks, renews_for_clock) = clock_start.begin(directory.path(), clock, own, projection.forgotten_at());
    projection.prune(clock.forgets_at());
    cluster.recall();
    Ok(Prepared {
        directory,
        log,
        reader,
        projection,
        source,
        records_read,
        pseudonyms,
        key,
        cluster,
        node_file,
        marks: Arc::new(marks),
        renews_for_clock,
    })
}

impl Prepared {
    /// This node among others.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The log, for readers.
    pub fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// The ledger, if the directory belongs to one already.
    pub fn ledger(&self) -> Option<LedgerId> {
        let opened = self.projection.origins().values().next().map(|opened| opened.ledger);
        opened.or(self.cluster.anchors().ledger())
    }

    /// The origin that the directory would continue.
    pub fn own_origin(&self) -> Option<Origin> {
        continued_origin(&self.projection, self.cluster.node(), self.node_file.as_ref())
    }

    /// Whether it continues under a new origin, because a time earlier than that one's was accepted.
    pub fn renews_for_clock(&self) -> bool {
        self.renews_for_clock
    }

    /// The run of this node that used the directory last.
    pub fn last_incarnation(&self) -> Option<Incarnation> {
        self.node_file.as_ref().map(|file| file.incarnation)
    }

    /// The runs before it, the newest first.
    pub fn past_incarnations(&self) -> Vec<Incarnation> {
        self.node_file.as_ref().map(|file| file.past.clone()).unwrap_or_default()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the writer. `hooks` makes the functions that are called with every batch of durable records, from the
    /// ledger and its position; `reach` tells how far records have spread, if this node's own cluster does not.
    pub async fn begin(
        self,
        settings: NodeSettings,
        clock: Clock,
        root: Digest,
        reach: Option<Arc<dyn Reach>>,
        hooks: impl FnOnce(LedgerId, &Base) -> Vec<Hook>,
        beginning: Beginning,
    ) -> Result<Running, StartError> {
        let beginning = match beginning {
            // This copy is the newest, so its records show which slots were used.
            Beginning::Continued if self.renews_for_clock => Beginning::Renewed { slots_used: 0 },
            beginning => beginning,
        };
        let continued = self.own_origin().filter(|_| beginning == Beginning::Continued);
        let Self { directory, log, reader, projection, source, records_read, pseudonyms, key, cluster, .. } = self;
        let (marks, node_file, files) = (self.marks, self.node_file, log.files().clone());
        let base = projection.base();
        let (origin, opening) = match continued {
            Some(origin) => (origin, None),
            None => {
                let opened = opening(&projection, &base, &settings, &cluster, beginning)?;
                (fresh_origin()?, Some(LedgerOpened { pseudonyms: pseudonyms.check(), ..opened }))
            }
        };
        let ledger = projection.origins().values().next().map(|opened| opened.ledger);
        let ledger = ledger.or(opening.as_ref().map(|opened| opened.ledger));
        let ledger = ledger.ok_or_else(|| StartError::Writer("the ledger has no name".to_owned()))?;
        let mut hooks = hooks(ledger, &base);
        let mut public_keys = projection.origins().into_iter().map(|(place, opened)| (place.origin, opened.public_key));
        let public_keys = public_keys.by_ref().chain([(origin, key.public_key())]).collect();
        let trees = Trees::new(directory.path(), origin, &public_keys, &base, settings.checkpoint_origin.clone())?;
        let trees = Arc::new(trees);
        let signing_key = key.clone();
        let signer = Box::new(move |message: &[u8]| signing_key.sign(message));
        let (keeper, feed) = Keeper::spawn(trees.clone(), reader.clone(), signer)
            .map_err(|error| StartError::Writer(error.to_string()))?;
        hooks.push(grow(feed));
        hooks.push(tell_cluster(cluster.clone(), origin));
        cluster.committed(base.position, Some(cluster.held(origin)));
        let start = WriterStart {
            log,
            origin,
            last_recorded_at: last_recorded_at(&reader, &base, origin)?,
            base,
            queue: settings.queue,
            now: {
                let clock = clock.clone();
                Arc::new(move || clock.stamp())
            },
        };
        refuse_other_issuer(&projection, &settings)?;
        let keys = directory.path().join("keys");
        let lineage = lineage(&projection.origins(), origin, opening.as_ref());
        let last_slot = lineage.iter().filter_map(|origin| projection.last_slot(*origin)).max();
        if last_slot.is_some_and(|slot| !SealingKeys::has_had(&keys, slot)) {
            tracing::warn!(
                "keys/sealing.keys is gone or cut: the data that it sealed can't be opened any more; if there is a copy, stop and put it back"
            );
        }
        let last_slot = match beginning {
            Beginning::Continued => last_slot,
            Beginning::Renewed { slots_used } => last_slot.max(Some(slots_used)),
        };
        let mark_key = MarkKey::from_bytes(load_or_create_mark_key(&keys)?);
        let sealer = Sealer::new(SealingKeys::open(&keys)?, BorrowedKeys::new(&keys), last_slot, lineage)?;
        erase_again(&sealer, &projection)?;
        let signing = Signing::new(keys, settings.token_algorithm, settings.issuer, settings.key_publish_ahead);
        // Much time may have passed since the log was opened. Another connection would create a file that is gone.
        files.check().map_err(StartError::Writer)?;
        let wal_copier = WalCopier::spawn(&directory.ledger())?;
        let machine = Ledger::new(projection.clone(), settings.policy, clock.clone(), hooks);
        let writer =
            Writer::spawn(start, wal_copier, machine).map_err(|error| StartError::Writer(error.to_string()))?;
        if let Some(opened) = opening {
            open_origin(&writer, opened).await?;
            if let Some(file) = node_file.filter(|_| !cluster.has_others()) {
                NodeFile { origin, ..file }.store(directory.path())?;
            }
        }
        if let Some(accepted) = marks.healing() {
            let at_a_time = settings.queue.min(REVOKED_AT_A_TIME);
            let revoked = revoke_beyond(&writer, &reader, &projection, accepted, at_a_time).await?;
            tracing::warn!(at = %accepted.at, revoked, "the credentials recorded beyond the accepted time are revoked");
            // Before the acceptance is dropped, the directory names the new origin, and its snapshot was swept no
            // further than the accepted time allows.
            if let Some(file) = NodeFile::load(directory.path())? {
                NodeFile { origin, ..file }.store(directory.path())?;
            }
            projection::save(&projection, &snapshots(directory.path()))
                .map_err(|error| StartError::Writer(format!("write the snapshot: {error}")))?;
            marks.is_healed().map_err(|error| StartError::Writer(format!("write DATA/clock: {error}")))?;
        }
        let timekeeper = Timekeeper::spawn(clock.clone(), marks.clone(), cluster.clone())
            .map_err(|error| StartError::Writer(error.to_string()))?;
        let reach = reach.unwrap_or_else(|| cluster.clone());
        let status_lists = StatusLists::new(settings.status_lists, &directory.ledger());
        let clients = Clients::new(clock.clone());
        let service = Service {
            projection,
            log: Log { writer: writer.handle(), reader, trees },
            clock,
            timekeeping: Timekeeping { marks, starts_again: watch::Sender::new(false) },
            origin,
            fixed: Fixed { ledger, root, policy: settings.policy, trusted: settings.trusted, pseudonyms, mark_key },
            reach,
            cluster,
            recent_secrets: RecentSecrets::default(),
            signing,
            sealer: Arc::new(sealer),
            facts: FactsCache::default(),
            status_lists,
            token_facts: FactsCache::default(),
            questions: Questions::default(),
            proofs: Proofs::default(),
            clients,
            turns: Turns::default(),
            process: ProcessStart { source, records_read, at: Instant::now() },
        };
        Ok(Running { service: Arc::new(service), writer, keeper, timekeeper, directory })
    }
}

/// Tells other nodes, and the calls that wait for them, of each commit.
fn tell_cluster(cluster: Arc<Cluster>, own: Origin) -> Hook {
    Box::new(move |committed, _| {
        let is_about_nodes = |one: &Committed| {
            matches!(
                one.filed.recorded.event,
                Event::NodeJoined(_) | Event::NodeUpgraded(_) | Event::NodeRemoved(_) | Event::LedgerOpened(_)
            )
        };
        let own = committed.iter().rev().map(|one| one.filed.recorded.place).find(|place| place.origin == own);
        let position = committed.last().map(|last| last.filed.position).unwrap_or_default();
        cluster.committed(position, own.map(|place| place.sequence));
        if committed.iter().any(is_about_nodes) {
            cluster.members_changed();
        }
    })
}

/// Hands the hash of each durable record to the tree's thread.
fn grow(feed: tree::LeafFeed) -> Hook {
    Box::new(move |committed, _| {
        let leaf =
            |one: &Committed| Leaf { place: one.filed.recorded.place, hash: TreeHash::of_leaf(one.record.as_bytes()) };
        feed.send(committed.iter().map(leaf).collect());
    })
}

/// An empty log next to a snapshot or checkpoints is not a new ledger but a lost one: the operator who deleted or
/// emptied the file must hear of it.
fn refuse_lost_log(reader: &Reader, directory: &DataDirectory) -> Result<(), StartError> {
    if reader.head()? > Position(0) {
        return Ok(());
    }
    match projection::load(&snapshots(directory.path())) {
        Ok(state) if state.base().position > Position(0) => {
            return Err(StartError::LostLog { path: directory.ledger(), position: state.base().position });
        }
        _ => {}
    }
    let signed = Checkpoints::of(directory.path()).list().map_err(tree::CheckpointStartError::from)?;
    signed.first().map_or(Ok(()), |origin| Err(StartError::LostSignedLog { path: directory.ledger(), origin: *origin }))
}

fn refuse_other_issuer(projection: &Projection, settings: &NodeSettings) -> Result<(), StartError> {
    match (issuer(projection), &settings.issuer) {
        (Some(fixed), Some(set)) if settings.issuer_is_set && fixed != *set => {
            Err(StartError::IssuerDiffers { set: set.clone(), fixed })
        }
        _ => Ok(()),
    }
}

/// The origin that a directory would continue: the one in its node file, or else the one of its key.
fn continued_origin(projection: &Projection, node: NodeKey, file: Option<&NodeFile>) -> Option<Origin> {
    match file {
        // A copy of it may have opened another one with the same key.
        Some(file) if projection.members().key_of(file.origin) == Some(node) => Some(file.origin),
        Some(_) | None => own_origin(projection, node),
    }
}

/// The origin that this node's key belongs to, if it has been opened and no other origin continues it: an old key that
/// is put back must not fork a log that was restored.
fn own_origin(projection: &Projection, node: NodeKey) -> Option<Origin> {
    let origins = projection.origins();
    let own = |opened: &LedgerOpened, origin| opened.public_key == *node.as_bytes() && !is_continued(&origins, origin);
    origins.iter().find(|(place, opened)| own(opened, place.origin)).map(|(place, _)| place.origin)
}

/// Whether another origin in this log names that one as the one that it continues.
fn is_continued(origins: &BTreeMap<RecordId, LedgerOpened>, origin: Origin) -> bool {
    origins.values().any(|opened| opened.previous.as_ref().is_some_and(|previous| previous.place.origin == origin))
}

/// The first record of a new origin: of a new ledger, of a node that joins one, or of a node that may not or can't
/// continue its old origin.
fn opening(
    projection: &Projection,
    base: &Base,
    settings: &NodeSettings,
    cluster: &Cluster,
    beginning: Beginning,
) -> Result<LedgerOpened, StartError> {
    let origins = projection.origins();
    let previous = previous_origin(&origins, cluster, beginning)?.and_then(|origin| {
        let head = base.heads.get(&origin)?;
        Some(Previous { place: RecordId { origin, sequence: head.sequence }, hash: head.hash.0 })
    });
    if let (Some(previous), Beginning::Continued) = (&previous, beginning) {
        tracing::warn!(origin = %previous.place.origin, "the origin's key is gone: a new origin continues it");
    }
    let ledger = match origins.values().next().map(|opened| opened.ledger).or(cluster.anchors().ledger()) {
        Some(ledger) => ledger,
        None => LedgerId(fresh_uuid()?),
    };
    Ok(LedgerOpened {
        ledger,
        node: settings.node.clone(),
        region: settings.region.clone(),
        format: LOG_FORMAT,
        public_key: *cluster.node().as_bytes(),
        previous,
        pseudonyms: None,
    })
}

/// The origin that a new one continues, if it does.
fn previous_origin(
    origins: &BTreeMap<RecordId, LedgerOpened>,
    cluster: &Cluster,
    beginning: Beginning,
) -> Result<Option<Origin>, StartError> {
    let key = cluster.node();
    let is_own = |opened: &LedgerOpened| opened.public_key == *key.as_bytes();
    let open_ended = origins.iter().filter(|(place, _)| !is_continued(origins, place.origin));
    let open_ended: Vec<(Origin, &LedgerOpened)> = open_ended.map(|(place, opened)| (place.origin, opened)).collect();
    let own = open_ended.iter().find(|(_, opened)| is_own(opened)).map(|(origin, _)| *origin);
    if own.is_some() || cluster.anchors().ledger().is_some() || beginning != Beginning::Continued {
        return Ok(own);
    }
    match &*open_ended {
        [] => Ok(None),
        [(origin, _)] => Ok(Some(*origin)),
        several => {
            let origins = several.iter().map(|(origin, _)| origin.to_string()).collect::<Vec<_>>().join(", ");
            Err(StartError::LostKey { origins })
        }
    }
}

async fn open_origin(writer: &Writer<Ledger>, opened: LedgerOpened) -> Result<(), StartError> {
    let handle = writer.handle();
    handle
        .submit(|ledger, batch| ledger.open(opened, batch))
        .await
        .map_err(|error| StartError::Writer(error.to_string()))
}

fn last_recorded_at(reader: &Reader, base: &Base, origin: Origin) -> Result<Timestamp, ReadError> {
    let Some(head) = base.heads.get(&origin) else { return Ok(Timestamp::default()) };
    let last = reader.find_place(RecordId { origin, sequence: head.sequence })?;
    last.map_or(Ok(Timestamp::default()), |stored| Ok(stored.decode()?.recorded_at))
}
