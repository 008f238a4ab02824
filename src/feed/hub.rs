//! The hub: the newest endings, shared by all followers, none of whom has a buffer of his own.
//!
//! A follower takes frames at his own pace. Whoever is too slow for what is kept here reads the log in pages until he has
//! caught up, so a slow follower costs no memory and loses nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::cursor::Cursor;
use super::frame::Frame;
use crate::domain::{LedgerId, Position, Timestamp};
use crate::event_log::{Base, Head};
use crate::service::{Bounds, Committed, FairShare, Hook, LogReaders};

/// Frames that are kept for followers: some seconds of a revocation storm.
const KEPT_FRAMES: usize = 16_384;
/// Followers that read pages of the log at a time, and those of one tenant. Everybody who waits holds a connection, so that there are no
/// more than these.
const PAGING: Bounds =
    Bounds { turns: 4, turns_of_tenant: 2, caller: CONNECTIONS, tenant: CONNECTIONS, all: CONNECTIONS };
/// A follower who is far behind catches up with what others leave.
const NICENESS: i32 = 5;
/// The same of those that look up where they go on, which takes well below a millisecond.
const PLACING: Bounds = PAGING;
/// More than the operator lets connect.
const CONNECTIONS: usize = 1 << 20;

/// The newest durable record, over all origins.
#[derive(Clone, Debug)]
pub struct Tip {
    /// Its position.
    pub position: Position,
    /// Where a follower is who has everything.
    pub cursor: Arc<Cursor>,
}

/// What a follower finds in the hub.
pub enum Found {
    /// The frames beyond his position, and where he is when he has them.
    Frames(Vec<Arc<Frame>>, Tip),
    /// He is too far behind: what he misses is in the log only.
    Behind,
}

/// The newest endings.
pub struct Hub {
    ledger: LedgerId,
    recent: RwLock<Recent>,
    news: watch::Sender<Position>,
    /// Followers that read pages of the log.
    pub(super) pages: LogReaders,
    /// Followers that look up where they go on.
    pub(super) places: Arc<FairShare>,
}

struct Recent {
    /// Every ending beyond this position is in `frames`.
    floor: Position,
    frames: VecDeque<Arc<Frame>>,
    tip: Tip,
    base: Base,
    /// The newest record of each origin was made then, by its own clock.
    clocks: std::collections::BTreeMap<crate::domain::Origin, Timestamp>,
}

impl Hub {
    /// A hub that starts where the log stands.
    pub fn new(ledger: LedgerId, base: Base) -> Arc<Self> {
        let cursor = Arc::new(Cursor::at(ledger, &base));
        let position = base.position;
        let recent = Recent {
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
        })
    }

    /// The ledger.
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// What the writer calls with every durable batch.
    pub fn hook(self: &Arc<Self>) -> Hook {
        let hub = self.clone();
        Box::new(move |committed, _took| hub.publish(committed))
    }

    /// The newest durable record.
    pub fn tip(&self) -> Tip {
        self.recent.read().tip.clone()
    }

    /// When each origin's newest record was made, by its own clock, of those that have had one since the start.
    pub fn clocks(&self) -> std::collections::BTreeMap<crate::domain::Origin, Timestamp> {
        self.recent.read().clocks.clone()
    }

    /// Wakes whenever there are new endings.
    pub fn news(&self) -> watch::Receiver<Position> {
        self.news.subscribe()
    }

    /// The endings beyond that position, at most `limit`.
    pub fn after(&self, position: Position, limit: usize) -> Found {
        let recent = self.recent.read();
        if position < recent.floor {
            return Found::Behind;
        }
        let start = recent.frames.partition_point(|frame| frame.position <= position);
        let frames: Vec<_> = recent.frames.range(start..).take(limit).cloned().collect();
        let tip = match frames.last() {
            Some(last) if start + frames.len() < recent.frames.len() => {
                Tip { position: last.position, cursor: last.cursor.clone() }
            }
            _ => recent.tip.clone(),
        };
        Found::Frames(frames, tip)
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
        // Issues wake nobody: a follower learns of them with the next heartbeat's cursor.
        if news {
            self.news.send_replace(last.filed.position);
        }
    }
}

impl Recent {
    fn push(&mut self, frame: Frame) {
        if self.frames.len() == KEPT_FRAMES
            && let Some(oldest) = self.frames.pop_front()
        {
            self.floor = oldest.position;
        }
        self.frames.push_back(Arc::new(frame));
    }
}
