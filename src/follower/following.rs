//! Gets what is revoked from a node, and stays up to date.
//!
//! [`Follower::run`] loads the snapshot, follows the stream, and connects again, at the next node if there are several;
//! [`Follower::refuses`] answers from memory and waits for nothing but short locks.

mod follow;
mod freshness;
mod reader;
mod state;
mod upstream;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use reqwest::Certificate;
use tokio::sync::watch;

use self::freshness::Freshness;
use self::state::{KeptState, StateFile};
use super::held::{Held, PresentedCredential, RefusalReason};
use crate::clock::wall_clock;
use crate::domain::{LedgerId, Secret, Timestamp};

pub use state::StateDirectoryError;
pub use upstream::{CallFailure, Upstream, UpstreamError};

/// The heartbeats that may be missed, by default, before a follower is stale.
pub const MISSED_HEARTBEATS: u32 = 3;

/// What to follow, and how.
pub struct FollowerSettings {
    /// The nodes of one ledger, the preferred one first. A cursor works at each.
    pub upstreams: Vec<String>,
    /// The secret of an application with the scope `follow`.
    pub secret: Secret,
    /// The certificates to trust instead of this machine's.
    pub certificates: Option<Vec<Certificate>>,
    /// The time between two heartbeats, as the nodes are set.
    pub heartbeat: Duration,
    /// The heartbeats that may be missed before the follower is stale.
    pub stale_after: u32,
    /// The form in which snapshot and stream are asked for.
    pub form: FeedForm,
    /// A directory in which the state is kept between two runs, so that a start need not load the snapshot.
    pub state: Option<PathBuf>,
}

impl FollowerSettings {
    /// One node, with everything else as it is by default.
    pub fn new(upstream: &str, secret: Secret) -> Self {
        Self {
            upstreams: vec![upstream.to_owned()],
            secret,
            certificates: None,
            heartbeat: Duration::from_secs(15),
            stale_after: MISSED_HEARTBEATS,
            form: FeedForm::Compact,
            state: None,
        }
    }
}

/// The form of snapshot and stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForm {
    /// The compact one, and JSON at a node that does not know it.
    Compact,
    Json,
}

/// Why a follower can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum FollowerError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    State(#[from] StateDirectoryError),
}

/// Why a follower refuses a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerRefusal {
    /// It is revoked, by one of the rules 1 to 7.
    Revoked(RefusalReason),
    /// Nothing was heard for too long, so that nobody can tell. Only a route that lets a revoked credential pass rather than
    /// refuse an active one may ignore this.
    Stale,
}

impl FollowerRefusal {
    /// The reason's name in the rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked(reason) => reason.as_str(),
            Self::Stale => "stale",
        }
    }
}

/// What a follower may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerStanding {
    /// Nothing yet: no heartbeat has come since the start.
    Loading,
    /// Everything: nothing is missing as of the last heartbeat.
    Fresh,
    /// Only what it refuses: nothing was heard for too long, or something may be missing.
    Stale,
}

/// Follows one ledger.
pub struct Follower {
    upstreams: Vec<Upstream>,
    form: FeedForm,
    /// How long a connection may be silent before another is made: well before the follower is stale.
    silence: Duration,
    freshness: Freshness,
    held: RwLock<Arc<Held>>,
    place: Mutex<Place>,
    /// How often what is held was exchanged for something else.
    exchanged: AtomicU32,
    /// The node that is followed, by its place in the list.
    at: AtomicUsize,
    news: watch::Sender<()>,
    state: Option<Arc<StateFile>>,
}

/// Where it stands, and in which ledger.
#[derive(Clone, Default)]
struct Place {
    ledger: Option<LedgerId>,
    cursor: Option<String>,
    /// Whether it must be, because no further key fits.
    is_full: bool,
    /// Whether a heartbeat has come since the start.
    has_begun: bool,
}

impl Follower {
    /// A follower with what its state file holds, if it has one. It knows nothing to be true before [`Follower::run`] has
    /// heard a heartbeat.
    pub fn new(settings: FollowerSettings) -> Result<Arc<Self>, FollowerError> {
        let FollowerSettings { upstreams, secret, certificates, heartbeat, stale_after, form, state } = settings;
        if upstreams.is_empty() {
            return Err(UpstreamError::None.into());
        }
        let upstreams: Result<Vec<Upstream>, UpstreamError> =
            upstreams.iter().map(|url| Upstream::new(url, &secret, certificates.as_deref())).collect();
        let state = state.map(StateFile::new).transpose()?.map(Arc::new);
        let (held, place) = match state.as_deref().and_then(StateFile::load) {
            Some(KeptState { ledger, cursor, held }) => {
                (held, Place { ledger: Some(ledger), cursor: Some(cursor), ..Place::default() })
            }
            None => (Held::new(wall_clock()), Place::default()),
        };
        Ok(Arc::new(Self {
            upstreams: upstreams?,
            form,
            silence: heartbeat * 3 / 2 + Duration::from_millis(500),
            freshness: Freshness::new(heartbeat * stale_after),
            held: RwLock::new(Arc::new(held)),
            place: Mutex::new(place),
            exchanged: AtomicU32::new(0),
            at: AtomicUsize::new(0),
            news: watch::Sender::new(()),
            state,
        }))
    }

    /// Follows until `stop` holds true or its sender is gone; then it writes its state.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.follow() => {}
            () = self.keep_up() => {}
            // An error means that the sender is gone, and so is whatever wanted this to run.
            _ = stop.wait_for(|stop| *stop) => {}
        }
        self.freshness.lose();
        self.save().await;
    }

    /// Why the credential is to be refused, if it is: all eight rules.
    pub fn refuses(&self, credential: &PresentedCredential) -> Option<FollowerRefusal> {
        // Asked first: if a frame comes in between, the verdict is younger than the freshness, which does no harm.
        let is_fresh = self.is_fresh();
        let reason = self.held().refuses(credential).map(FollowerRefusal::Revoked);
        reason.or_else(|| (!is_fresh).then_some(FollowerRefusal::Stale))
    }

    /// What is held now. It is exchanged for something else if the ledger turns out to be another one.
    pub fn held(&self) -> Arc<Held> {
        self.held.read().clone()
    }

    /// Whether nothing is missing, as far as that can be known.
    pub fn is_fresh(&self) -> bool {
        self.freshness.is_fresh()
    }

    pub fn standing(&self) -> FollowerStanding {
        if self.freshness.is_fresh() {
            FollowerStanding::Fresh
        } else if self.place.lock().has_begun {
            FollowerStanding::Stale
        } else {
            FollowerStanding::Loading
        }
    }

    /// How long ago the last frame came; nothing before the first heartbeat, or when something may be missing.
    pub fn age(&self) -> Option<Duration> {
        self.freshness.age_millis().map(Duration::from_millis)
    }

    /// How old each origin's newest record is at the node, as far as the last heartbeat said.
    pub fn behind_millis(&self) -> BTreeMap<String, u64> {
        self.freshness.behind_millis()
    }

    /// The time to judge by: the later of this machine's clock and the ledger's, which is the last heartbeat's and what
    /// has elapsed since.
    pub fn now(&self) -> Timestamp {
        self.freshness.now()
    }

    /// The ledger's id, once it is known.
    pub fn ledger(&self) -> Option<LedgerId> {
        self.place.lock().ledger
    }

    /// How often what is held was exchanged for something else: what is remembered beside it is void then.
    pub fn exchanged(&self) -> u32 {
        self.exchanged.load(Ordering::Acquire)
    }

    /// How many revocations are held: names of credentials, subjects and cohorts.
    pub fn len(&self) -> usize {
        let counts = self.held().counts();
        counts.marks + counts.wholes
    }

    /// Whether nothing is revoked, as far as it knows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wakes whenever what is held has changed.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// The node that is followed now. Questions about credentials go there: another node may not have heard yet of what is
    /// revoked here.
    pub fn upstream(&self) -> &Upstream {
        &self.upstreams[self.at.load(Ordering::Relaxed)]
    }

    fn go_to_next(&self) {
        let next = (self.at.load(Ordering::Relaxed) + 1) % self.upstreams.len();
        self.at.store(next, Ordering::Relaxed);
    }

    /// What is held has changed.
    fn tell(&self) {
        self.news.send_replace(());
    }
}
