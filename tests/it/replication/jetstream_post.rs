//! A node as a courier sees it, whose records are numbered lines and whose signatures are its word.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use authledger::domain::{LedgerId, Origin, RecordId, Region, Sequence};
use authledger::replication::courier::{Courier, Doing, OutgoingParcel, Post, Receipt, Sender, StreamOf};
use authledger::replication::jetstream::{CourierCounters, JetStream, JetStreamSettings, RegionServers};
use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The records that a node holds, its own and others', each line `ORIGIN SEQUENCE TEXT`.
type Held = BTreeMap<Origin, Vec<String>>;

pub struct Fake {
    sender: Sender,
    /// How many records go into a parcel.
    at_once: usize,
    head: watch::Sender<Sequence>,
    held: watch::Sender<Held>,
    announcement: watch::Sender<Bytes>,
    streams: watch::Sender<Arc<BTreeMap<Origin, StreamOf>>>,
    /// The names that the courier has given to the own stream.
    pub published_in: watch::Sender<Vec<String>>,
    /// Whether parcels can't be taken at the moment.
    pub is_busy: AtomicBool,
    /// Parcels that held nothing new.
    pub needless: Mutex<u64>,
}

impl Fake {
    pub fn new(ledger: Uuid, letter: u8, region: &str, at_once: usize) -> Arc<Self> {
        let origin = Origin::from_random([letter; Origin::LEN]);
        let node = format!("{letter:02x}").repeat(32).into();
        let sender = Sender { ledger: LedgerId(ledger), origin, node, region: Region::new(region).unwrap() };
        Arc::new(Self {
            sender,
            at_once,
            head: watch::Sender::default(),
            held: watch::Sender::default(),
            announcement: watch::Sender::default(),
            streams: watch::Sender::default(),
            published_in: watch::Sender::default(),
            is_busy: AtomicBool::new(false),
            needless: Mutex::new(0),
        })
    }

    pub fn origin(&self) -> Origin {
        self.sender.origin
    }

    /// Appends that many records of the node's own.
    pub fn append(&self, count: u64) {
        let origin = self.origin();
        self.held.send_modify(|held| {
            let log = held.entry(origin).or_default();
            let first = log.len() as u64 + 1;
            log.extend((first..first + count).map(|sequence| format!("{origin} {sequence} text")));
        });
        self.head.send_modify(|head| head.0 += count);
    }

    /// The records that it holds of an origin.
    pub fn log(&self, origin: Origin) -> Vec<String> {
        self.held.borrow().get(&origin).cloned().unwrap_or_default()
    }

    /// Waits until it holds exactly the records that the other has appended, and says how long that took.
    pub async fn has_all_of(&self, other: &Self) -> Duration {
        let started = Instant::now();
        let wanted = other.log(other.origin());
        let mut held = self.held.subscribe();
        let arrived = held.wait_for(|held| held.get(&other.origin()).map_or(0, Vec::len) >= wanted.len());
        let waited = tokio::time::timeout(PATIENCE, arrived).await.map(drop);
        let has = self.log(other.origin()).len();
        assert!(waited.is_ok(), "{has} of {} records in {PATIENCE:?}", wanted.len());
        assert_eq!(self.log(other.origin()), wanted);
        started.elapsed()
    }

    /// Waits until its stream is the one of that number.
    pub async fn publishes_in(&self, number: u32) {
        let mut names = self.published_in.subscribe();
        let suffix = format!("_{number}");
        let named = names.wait_for(|names| names.last().is_some_and(|name| name.ends_with(&suffix)));
        let waited = tokio::time::timeout(PATIENCE, named).await.map(drop);
        assert!(waited.is_ok(), "no stream {number} among {:?}", self.published_in.borrow());
    }

    /// The stream that it publishes in.
    pub fn stream(&self) -> String {
        self.published_in.borrow().last().cloned().unwrap_or_default()
    }

    /// Waits until it has heard where that origin publishes.
    pub async fn has_heard_of(&self, origin: Origin) {
        let mut streams = self.streams.subscribe();
        let heard = streams.wait_for(|streams| streams.contains_key(&origin));
        tokio::time::timeout(PATIENCE, heard).await.expect("in time").expect("a sender");
    }

    /// Takes in records that follow those that it holds, whichever way they came.
    pub fn take_in(&self, text: &str) -> Receipt {
        let mut receipt = Receipt::Refused("unreadable");
        let mut is_new = false;
        self.held.send_if_modified(|held| {
            for line in text.lines().filter(|line| !line.starts_with('{')) {
                let mut words = line.split(' ');
                let origin = words.next().and_then(|origin| origin.parse::<Origin>().ok());
                let sequence = words.next().and_then(|sequence| sequence.parse::<usize>().ok());
                let (Some(origin), Some(sequence)) = (origin, sequence) else { break };
                let log = held.entry(origin).or_default();
                if sequence > log.len() + 1 {
                    receipt = Receipt::Gap(Sequence(log.len() as u64 + 1));
                    break;
                }
                if sequence == log.len() + 1 {
                    log.push(line.to_owned());
                    is_new = true;
                }
                receipt = Receipt::Held(Sequence(log.len() as u64));
            }
            is_new
        });
        if !is_new && matches!(receipt, Receipt::Held(_)) {
            *self.needless.lock().unwrap() += 1;
        }
        receipt
    }
}

impl Post for Fake {
    fn sender(&self) -> &Sender {
        &self.sender
    }

    fn head(&self) -> watch::Receiver<Sequence> {
        self.head.subscribe()
    }

    fn outgoing(&self, after: Sequence, bytes: usize) -> Doing<'_, Option<OutgoingParcel>> {
        let (mut text, mut last) = (String::new(), after);
        let head = *self.head.borrow();
        let held = self.held.borrow();
        for line in held.get(&self.origin()).into_iter().flatten().skip(after.0 as usize).take(self.at_once) {
            if text.len() > bytes || last == head {
                break;
            }
            last = last.next();
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&json!({"head": {"origin": self.origin().as_str(), "sequence": last.0}}).to_string());
        let parcel = OutgoingParcel { first: after.next(), last, text: text.into() };
        Box::pin(std::future::ready((last > after).then_some(parcel)))
    }

    fn joined_by(&self) -> Option<RecordId> {
        None
    }

    fn relayed(&self, _: Origin, _: Sequence, _: usize) -> Doing<'_, Option<OutgoingParcel>> {
        Box::pin(std::future::ready(None))
    }

    fn held(&self, origin: Origin) -> Sequence {
        Sequence(self.held.borrow().get(&origin).map_or(0, Vec::len) as u64)
    }

    fn held_beyond(&self, origin: Origin, after: Sequence) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut held = self.held.subscribe();
            let is_beyond =
                |held: &BTreeMap<Origin, Vec<String>>| held.get(&origin).map_or(0, Vec::len) as u64 > after.0;
            let _ = held.wait_for(is_beyond).await; // It goes with the node.
        })
    }

    fn receive(&self, text: Bytes) -> Doing<'_, Receipt> {
        let receipt = match self.is_busy.load(Ordering::Relaxed) {
            true => Receipt::NotNow,
            false => self.take_in(std::str::from_utf8(&text).unwrap()),
        };
        Box::pin(std::future::ready(receipt))
    }

    fn announcement(&self) -> watch::Receiver<Bytes> {
        self.announcement.subscribe()
    }

    fn hear(&self, announcement: Bytes) -> bool {
        let Ok(said) = serde_json::from_slice::<Value>(&announcement) else { return false };
        let text = |name: &str| said[name].as_str().unwrap_or_default();
        let Ok(origin) = text("origin").parse::<Origin>() else { return false };
        let stream = StreamOf { region: Region::new(text("region")).unwrap(), name: text("stream").into() };
        self.streams.send_if_modified(|streams| {
            let is_new = streams.get(&origin) != Some(&stream);
            if is_new {
                Arc::make_mut(streams).insert(origin, stream);
            }
            is_new
        });
        true
    }

    fn publish_in(&self, stream: &str) {
        let sender = &self.sender;
        let said = json!({"origin": sender.origin.as_str(), "region": sender.region.as_str(), "stream": stream});
        self.announcement.send_replace(said.to_string().into());
        self.published_in.send_modify(|names| {
            if names.last().is_none_or(|last| last != stream) {
                names.push(stream.to_owned());
            }
        });
    }

    fn streams(&self) -> watch::Receiver<Arc<BTreeMap<Origin, StreamOf>>> {
        self.streams.subscribe()
    }
}

/// A courier that runs for a node.
pub struct Running {
    pub counted: Arc<CourierCounters>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts one for that node, with the servers of each region at those URLs.
    pub fn start(post: &Arc<Fake>, state: PathBuf, regions: &[(&str, String)]) -> Self {
        let servers = |(region, url): &(&str, String)| RegionServers {
            region: Region::new(region).unwrap(),
            urls: vec![url.clone()],
            credentials: None,
            ca: None,
        };
        Self::with(post, &settings(post, state, regions.iter().map(servers).collect()))
    }

    pub fn with(post: &Arc<Fake>, settings: &JetStreamSettings) -> Self {
        let counted = Arc::new(CourierCounters::default());
        let courier = Box::new(JetStream::new(settings, Arc::clone(&counted)).unwrap());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(courier.run(Arc::clone(post) as Arc<dyn Post>, stopped));
        Self { counted, stop, task }
    }

    /// Stops it, which takes no longer than a second.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(1), self.task).await.expect("within a second").unwrap();
    }
}

pub fn settings(post: &Fake, state: PathBuf, regions: Vec<RegionServers>) -> JetStreamSettings {
    JetStreamSettings {
        own: post.sender.region.clone(),
        regions,
        replicas: 1,
        max_bytes: 64 * 1024 * 1024,
        max_age: Duration::from_secs(3600),
        state,
    }
}
