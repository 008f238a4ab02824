//! The hub: the newest revocations, shared by all followers without a buffer for each.
//!
//! Each follower takes frames at its own pace. A follower that falls behind the frames in the hub reads the log in
//! pages until it has caught up, so a slow follower costs no memory and loses nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::cursor::Cursor;
use super::frame::Frame;
use super::snapshots::Snapshots;
use super::watchers::Watchers;
use crate::domain::{LedgerId, Position, Timestamp};
use crate::event_log::{Base, Head};
use crate::service::{Bounds, Committed, FairShare, Hook, LogReaders};

/// Frames that are kept for followers: some seconds of a revocation storm.
const KEPT_FRAMES: usize = 16_384;
/// Followers that read pages of the log at the same time, and those of one tenant. Each waiting follower holds a
/// connection, so there are no more than these.
const PAGING: Bounds =
    Bounds { turns: 4, turns_of_tenant: 2, caller: CONNECTIONS, tenant: CONNECTIONS, all: CONNECTIONS };
/// A follower that is far behind catches up with the time that others leave.
const NICENESS: i32 = 5;
/// The same for followers that look up where they continue, which takes well below a millisecond.
const PLACING: Bounds = PAGING;
/// More than the operator allows to connect.
const CONNECTIONS: usize = 1 << 20;

/// The newest durable record, over all origins.
#[derive(Clone, Debug)]
pub struct Tip {
    pub position: Position,
    /// The cursor of a follower that has everything.
    pub cursor: Arc<Cursor>,
}

/// The result of a look into the hub.
pub enum HubLookup {
    /// The frames after its position, and its tip after them.
    Frames(Vec<Arc<Frame>>, Tip),
    /// It is too far behind: the missing frames are only in the log.
    Behind,
}

/// The newest revocations.
pub struct Hub {
    ledger: LedgerId,
    recent: RwLock<RecentFrames>,
    news: watch::Sender<Position>,
    /// Followers that read pages of the log.
    pub(super) pages: LogReaders,
    /// Followers that look up where they continue.
    pub(super) places: Arc<FairShare>,
    /// The compact snapshots that followers read.
    pub snapshots: Arc<Snapshots>,
    watchers: Arc<Watchers>,
}

struct RecentFrames {
    /// Every revocation after this position is in `frames`.
    floor: Position,
    frames: VecDeque<Arc<Frame>>,
    tip: Tip,
    base: Base,
    /// The time of the newest record of each origin, by its own clock.
    clocks: std::collections::BTreeMap<crate::domain::Origin, Timestamp>,
}

impl Hub {
    /// A hub that starts at the end of the log.
    pub fn new(ledger: LedgerId, base: Base) -> Arc<Self> {
        let cursor = Arc::new(Cursor::at(ledger, &base));
        let position = base.position;
        let recent = RecentFrames {
            floor: position,
            frames: VecDeque::new(),
            tip: Tip { position, cursor },
            base,
            clocks: std::collections::BTreeMap::new(),
        };
        Arc::new(Self {
            ledger,
            recent: RwLock::new(recent),
            news: watch::Sender::new(position),
            pages: LogReaders::new(PAGING, NICENESS),
            places: FairShare::new(PLACING),
            snapshots: Arc::default(),
            watchers: Arc::default(),
        })
    }

    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// The hook for the writer, called with every durable batch.
    pub fn hook(self: &Arc<Self>) -> Hook {
        let hub = self.clone();
        Box::new(move |committed, _took| hub.publish(committed))
    }

    /// The newest durable record.
    pub fn tip(&self) -> Tip {
        self.recent.read().tip.clone()
    }

    /// The time of each origin's newest record, by its own clock, for those that have had one since the start.
    pub fn clocks(&self) -> std::collections::BTreeMap<crate::domain::Origin, Timestamp> {
        self.recent.read().clocks.clone()
    }

    /// Those who watch single credentials.
    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.watchers
    }

    /// Wakes whenever there are new revocations.
    pub fn news(&self) -> watch::Receiver<Position> {
        self.news.subscribe()
    }

    /// The revocations after that position, at most `limit`.
    pub fn after(&self, position: Position, limit: usize) -> HubLookup {
        let recent = self.recent.read();
        if position < recent.floor {
            return HubLookup::Behind;
        }
        let start = recent.frames.partition_point(|frame| frame.position <= position);
        let frames: Vec<_> = recent.frames.range(start..).take(limit).cloned().collect();
        let tip = match frames.last() {
            Some(last) if start + frames.len() < recent.frames.len() => {
                Tip { position: last.position, cursor: last.cursor.clone() }
            }
            _ => recent.tip.clone(),
        };
        HubLookup::Frames(frames, tip)
    }

    fn publish(&self, committed: &[Committed]) {
        let Some(last) = committed.last() else { return };
        let mut recent = self.recent.write();
        let mut news = false;
        for Committed { filed, hash, .. } in committed {
            let place = filed.recorded.place;
            recent.base.position = filed.position;
            recent.base.heads.insert(place.origin, Head { sequence: place.sequence, hash: *hash });
            recent.clocks.insert(place.origin, filed.recorded.recorded_at);
            let frame = Frame::new(filed.clone(), || Arc::new(Cursor::at(self.ledger, &recent.base)));
            if let Some(frame) = frame {
                news = true;
                recent.push(frame);
            }
        }
        recent.tip = Tip { position: recent.base.position, cursor: Arc::new(Cursor::at(self.ledger, &recent.base)) };
        drop(recent);
        self.watchers.tell(committed.iter().map(|one| &one.filed.recorded));
        // Issues wake nobody: a follower learns of them with the next heartbeat's cursor.
        if news {
            self.news.send_replace(last.filed.position);
        }
    }
}

impl RecentFrames {
    fn push(&mut self, frame: Frame) {
        if self.frames.len() == KEPT_FRAMES
            && let Some(oldest) = self.frames.pop_front()
        {
            self.floor = oldest.position;
        }
        self.frames.push_back(Arc::new(frame));
    }
}
