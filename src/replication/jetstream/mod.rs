//! The courier `jetstream`: NATS servers in every region carry the records.
//!
//! Each node publishes to its own region's servers alone and listens at every region's, so that no region depends on
//! another. The records that a node appends go two ways: at once as a plain message that is not kept, and in a stream
//! of its origin for nodes that were away. The plain one is fast and may be lost; the stream loses nothing that its
//! servers have acknowledged. A stream that turns out to have lost something is abandoned for one of a new name, so
//! that its messages are not taken for the earlier ones.
//!
//! A new stream begins with the last [`START_RECORDS`] records: all of a small log, and for a large one the records
//! that nodes that follow may lack. Older records come from a peer.

mod announce;
mod counted;
mod follow;
mod link;
mod listen;
mod names;
mod publish;
mod remember;
mod session;
mod settings;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use counted::CourierCounters;
pub use names::LAST_HEADER;
pub use publish::START_RECORDS;
pub use settings::{
    DEFAULT_AGE_S, DEFAULT_STREAM_BYTES, JetStreamSettings, MAX_REGIONS, MAX_REPLICAS, MAX_URLS, MIN_AGE_S,
    MIN_STREAM_BYTES, RegionServers, SettingsError,
};

use self::names::JetStreamNames;
use self::remember::Acknowledged;
use self::settings::Servers;
use super::courier::{Courier, Doing, Post};
use crate::domain::Origin;

/// The most bytes of records in one message, if a single record is not larger. The server's `max_payload` may lower it.
const PARCEL_BYTES: usize = 512 * 1024;
/// The longest message that is taken from a server, in bytes.
const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// How many complaints are remembered so that none is logged twice.
const MAX_COMPLAINTS: usize = 1024;
/// How long tasks may take to end when they are told to.
const STOP_WITHIN: Duration = Duration::from_millis(900);

/// The courier, ready to run.
pub struct JetStream {
    own: usize,
    servers: Vec<Servers>,
    streams: Streams,
    state: PathBuf,
    counted: Arc<CourierCounters>,
}

/// The settings of this node's streams.
#[derive(Clone, Copy, Debug)]
struct Streams {
    replicas: usize,
    max_bytes: i64,
    max_age: Duration,
}

impl Streams {
    /// Those limits on a stream.
    fn applied(self, config: Config) -> Config {
        Config { max_bytes: self.max_bytes, max_age: self.max_age, num_replicas: self.replicas, ..config }
    }
}

impl JetStream {
    /// The courier with those settings, if they can be used. It counts in `counted`, and connects to nothing until it
    /// runs.
    pub fn new(settings: &JetStreamSettings, counted: Arc<CourierCounters>) -> Result<Self, SettingsError> {
        let servers = settings.check()?;
        let own = servers.iter().position(|servers| servers.region == settings.own);
        let own = own.ok_or_else(|| SettingsError::OwnMissing(settings.own.clone()))?;
        let max_bytes = i64::try_from(settings.max_bytes).map_err(|_| SettingsError::Bytes(settings.max_bytes))?;
        let streams = Streams { replicas: settings.replicas, max_bytes, max_age: settings.max_age };
        Ok(Self { own, servers, streams, state: settings.state.clone(), counted })
    }
}

impl Courier for JetStream {
    fn name(&self) -> &'static str {
        "jetstream"
    }

    fn run(self: Box<Self>, post: Arc<dyn Post>, stop: watch::Receiver<bool>) -> Doing<'static, ()> {
        Box::pin(run(*self, post, stop))
    }
}

/// The state that all connections share, and that outlives each.
struct CourierState {
    post: Arc<dyn Post>,
    names: JetStreamNames,
    streams: Streams,
    counted: Arc<CourierCounters>,
    acknowledged: watch::Sender<Option<Acknowledged>>,
    complaints: Mutex<HashSet<(Origin, &'static str)>>,
}

impl CourierState {
    /// Whether this complaint is new. Complaints beyond the memory are not logged.
    fn is_news(&self, origin: Origin, reason: &'static str) -> bool {
        let mut complaints = self.complaints.lock();
        complaints.len() < MAX_COMPLAINTS && complaints.insert((origin, reason))
    }

    /// Counts a refusal, and logs it the first time.
    fn refused(&self, origin: Origin, reason: &'static str) {
        self.counted.refused(reason);
        if self.is_news(origin, reason) {
            tracing::warn!(%origin, reason, "records that NATS brought are not trusted; they are left out, and this is logged only once");
        }
    }
}

async fn run(courier: JetStream, post: Arc<dyn Post>, mut stop: watch::Receiver<bool>) {
    let names = JetStreamNames::new(post.sender());
    let acknowledged = watch::Sender::new(remember::load(&courier.state, &names).await);
    let mut known = acknowledged.subscribe();
    known.mark_unchanged();
    let (last, end) = watch::channel(false);
    let keeper = tokio::spawn(remember::keep(courier.state, names.clone(), known, end));
    let shared = Arc::new(CourierState {
        post,
        names,
        streams: courier.streams,
        counted: courier.counted,
        acknowledged,
        complaints: Mutex::default(),
    });
    let mut links = JoinSet::new();
    for (index, servers) in courier.servers.into_iter().enumerate() {
        links.spawn(link::keep(servers, index == courier.own, Arc::clone(&shared), stop.clone()));
    }
    // A sender that is gone stops too.
    let _ = stop.wait_for(|stop| *stop).await;
    let _ = tokio::time::timeout(STOP_WITHIN, async { while links.join_next().await.is_some() {} }).await;
    links.shutdown().await;
    // Only now is nothing acknowledged any more.
    last.send_replace(true);
    let _ = keeper.await;
}
