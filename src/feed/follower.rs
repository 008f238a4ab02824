//! A follower: one reader of the feed, and its exact place.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cursor::{Cursor, OriginPosition};
use super::frame::{FeedFilter, Frame, may_revoke};
use super::hub::{Hub, HubLookup, Tip};
use crate::domain::{Origin, Position, RecordId, Timestamp};
use crate::event_log::{Base, ReadError, Reader};
use crate::service::{Failure, Filed, Party};

/// Rows of the log that a follower that is behind reads at a time.
const PAGE_ROWS: usize = 2_000;

/// A follower's start.
#[derive(Clone, Debug)]
pub enum FollowStart {
    /// The revocations from now on.
    Now,
    /// All revocations from the first one.
    Beginning,
    /// The place where it stopped.
    Cursor(Cursor),
}

/// Why a follower can't start or continue.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The cursor belongs to another ledger.
    #[error("the cursor belongs to another ledger; follow from now on, from 0, or from a snapshot")]
    OtherLedger,
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Too many followers read the log.
    #[error("too many followers read the log")]
    Overloaded,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl From<Failure> for FollowError {
    fn from(error: Failure) -> Self {
        // Sharing has no other errors.
        if matches!(error, Failure::Overloaded) { Self::Overloaded } else { Self::Stopping }
    }
}

/// The result of taking from the feed.
pub struct FollowedFrames {
    /// Revocations that pass the filter, in order.
    pub frames: Vec<Arc<Frame>>,
    /// Whether the cursor moved, if only past records that the filter hides.
    pub moved: bool,
    /// Whether there may be more right now.
    pub more: bool,
}

/// A reader of the feed.
pub struct Follower {
    hub: Arc<Hub>,
    reader: Arc<Reader>,
    /// The party whose turn it is when it reads the log.
    party: Party,
    at: Tip,
    /// The place of its paging through the log, while it is behind.
    base: Option<Base>,
    /// How far it has read origins in which this node lags behind it: records that come in up to there it has already.
    ahead: BTreeMap<Origin, OriginPosition>,
    /// Its cursor names a place where this log has never been.
    gap: bool,
    filter: FeedFilter,
}

impl Follower {
    /// A follower at that start.
    pub async fn start(
        hub: Arc<Hub>,
        reader: Arc<Reader>,
        own: Origin,
        party: Party,
        filter: FeedFilter,
        start: FollowStart,
    ) -> Result<Self, FollowError> {
        let tip = hub.tip();
        let ledger = hub.ledger();
        let mut follower = Self { hub, reader, party, at: tip, base: None, ahead: BTreeMap::new(), gap: false, filter };
        match start {
            FollowStart::Now => {}
            FollowStart::Beginning => follower.go_to(Position(0), Cursor { ledger, origins: BTreeMap::new() }),
            FollowStart::Cursor(cursor) if cursor.ledger != ledger => return Err(FollowError::OtherLedger),
            FollowStart::Cursor(cursor) => follower.resume(own, cursor).await?,
        }
        Ok(follower)
    }

    /// Whether the follower must load a snapshot: its cursor names a place where this log has never been. True once.
    pub fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.gap)
    }

    /// The cursor to come back with.
    pub fn cursor(&self) -> Arc<Cursor> {
        if self.ahead.is_empty() { self.at.cursor.clone() } else { Arc::new(self.at.cursor.at_least(&self.ahead)) }
    }

    /// Whether frames carry the follower's own cursor as they are.
    pub fn shares_cursors(&self) -> bool {
        self.ahead.is_empty()
    }

    /// How far the follower has read origins in which this node lags behind it.
    pub fn ahead(&self) -> &BTreeMap<Origin, OriginPosition> {
        &self.ahead
    }

    /// The revocations that the follower wants and may see.
    pub fn filter(&self) -> &FeedFilter {
        &self.filter
    }

    /// Sets what the follower may see from now on.
    pub fn set_filter(&mut self, filter: FeedFilter) {
        self.filter = filter;
    }

    /// Milliseconds since each origin's newest record, 0 for this node's own: how old the news can be.
    pub fn behind_millis(&self, own: Origin, now: Timestamp) -> BTreeMap<Origin, u64> {
        let behind =
            |(origin, clock): (Origin, Timestamp)| (origin, if origin == own { 0 } else { now.millis_since(clock) });
        let mut all: BTreeMap<Origin, u64> = self.hub.clocks().into_iter().map(behind).collect();
        all.insert(own, 0);
        all
    }

    /// The next revocations after the cursor, at most `limit`; moves the cursor past them. Does not wait.
    pub async fn take(&mut self, limit: usize) -> Result<FollowedFrames, FollowError> {
        self.settle();
        let before = self.at.position;
        let (frames, tip) = match self.hub.after(self.at.position, limit) {
            HubLookup::Frames(frames, tip) => {
                self.base = None;
                (frames, tip)
            }
            HubLookup::Behind => self.page(limit).await?,
        };
        let more = frames.len() == limit || self.base.is_some();
        self.at = tip;
        self.meet().await?;
        let kept = frames.into_iter().filter(|frame| self.wants(frame)).collect();
        Ok(FollowedFrames { frames: kept, moved: self.at.position != before, more })
    }

    /// Waits until there may be something beyond the cursor.
    pub async fn wait(&self, news: &mut tokio::sync::watch::Receiver<Position>) -> Result<(), FollowError> {
        let at = self.at.position;
        news.wait_for(|position| *position > at).await.map(|_| ()).map_err(|_| FollowError::Stopping)
    }

    fn wants(&self, frame: &Frame) -> bool {
        let place = frame.filed().recorded.place;
        let has = self.ahead.get(&place.origin).is_some_and(|reached| place.sequence <= reached.sequence);
        !has && self.filter.passes(frame.filed())
    }

    fn go_to(&mut self, position: Position, cursor: Cursor) {
        self.at = Tip { position, cursor: Arc::new(cursor) };
    }

    /// Finds the place in this node's log from which on the follower lacks records.
    async fn resume(&mut self, own: Origin, cursor: Cursor) -> Result<(), FollowError> {
        let (head, ledger) = (self.hub.tip(), self.hub.ledger());
        let reader = self.reader.clone();
        let found = self.look_up(move || locate(&reader, own, &cursor, &head).map(|found| (found, cursor))).await?;
        match found {
            (Some((start, position)), cursor) => {
                // Records that it has beyond its starting place are not sent again.
                self.ahead = cursor.origins;
                self.go_to(position, Cursor::at(ledger, &start));
                self.base = Some(start);
            }
            (None, _) => self.gap = true,
        }
        Ok(())
    }

    /// Drops origins in which this node no longer lags behind. Not before the frames that caught up are sent: the
    /// follower has those.
    fn settle(&mut self) {
        let at = &self.at.cursor;
        self.ahead.retain(|origin, reached| !at.covers(origin, reached.sequence));
    }

    /// Where this node has caught up with the follower, their chains must agree; otherwise the follower was on another
    /// history.
    async fn meet(&mut self) -> Result<(), FollowError> {
        if self.ahead.is_empty() {
            return Ok(());
        }
        let at = self.at.cursor.clone();
        let met = self.ahead.iter().filter(|(origin, reached)| at.covers(origin, reached.sequence));
        let met: Vec<(Origin, OriginPosition)> = met.map(|(origin, reached)| (*origin, *reached)).collect();
        if met.is_empty() {
            return Ok(());
        }
        let reader = self.reader.clone();
        let agree = move || met.iter().map(|(origin, reached)| agrees(&reader, *origin, reached)).collect();
        let agree: Vec<bool> = self.look_up(agree).await?;
        self.gap |= agree.contains(&false);
        Ok(())
    }

    /// Reads a few rows of the log.
    async fn look_up<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, FollowError> {
        let admitted = self.hub.places.admit(&self.party)?;
        let turn = admitted.turn().await;
        // It keeps its turn to its end, even if its caller no longer waits.
        let look = move || {
            let _turn = (turn, admitted);
            look()
        };
        Ok(tokio::task::spawn_blocking(look).await.map_err(|_| FollowError::Stopping)??)
    }

    /// A page of the log, up to the published records; the follower's place in it continues where it stopped.
    async fn page(&mut self, limit: usize) -> Result<(Vec<Arc<Frame>>, Tip), FollowError> {
        let (reader, ledger, position) = (self.reader.clone(), self.hub.ledger(), self.at.position);
        let published = self.hub.tip().position;
        let base = self.base.take();
        let read = move || {
            let mut base = base.map_or_else(|| reader.base_at(position), Ok)?;
            let mut frames = Vec::new();
            let mut before = base.clone();
            for stored in reader.next_page(&mut base, PAGE_ROWS)? {
                if stored.position > published {
                    return Ok((frames, before, true));
                }
                before.position = stored.position;
                let head = crate::event_log::Head { sequence: stored.place.sequence, hash: stored.hash };
                before.heads.insert(stored.place.origin, head);
                if !may_revoke(&stored.record) {
                    continue;
                }
                let filed = Arc::new(Filed { position: stored.position, recorded: stored.decode()? });
                frames.extend(Frame::new(filed, || Arc::new(Cursor::at(ledger, &before))).map(Arc::new));
                if frames.len() == limit {
                    return Ok((frames, before, true));
                }
            }
            Ok::<_, ReadError>((frames, base, false))
        };
        let (frames, base, full) = self.hub.pages.read(&self.party, read).await??;
        let tip = Tip { position: base.position, cursor: Arc::new(Cursor::at(ledger, &base)) };
        tracing::trace!(position = base.position.0, full, "a follower reads the log");
        self.base = Some(base);
        Ok((frames, tip))
    }
}

fn agrees(reader: &Reader, origin: Origin, reached: &OriginPosition) -> Result<bool, ReadError> {
    if reached.sequence.0 == 0 {
        return Ok(true);
    }
    let stored = reader.find_place(RecordId { origin, sequence: reached.sequence })?;
    Ok(stored.is_some_and(|stored| reached.agrees(&stored.hash)))
}

/// The place in this node's log where the follower continues; nothing if its cursor names a place where this log has
/// never been.
fn locate(reader: &Reader, own: Origin, cursor: &Cursor, head: &Tip) -> Result<Option<(Base, Position)>, ReadError> {
    let mut start = head.position;
    for origin in reader.origins()? {
        let reached = cursor.origins.get(&origin).copied();
        let sequence = reached.map(|reached| reached.sequence).unwrap_or_default();
        let known = head.cursor.covers(&origin, sequence);
        if let Some(reached) = reached
            && known
            && !agrees(reader, origin, &reached)?
        {
            return Ok(None);
        }
        if !known && origin == own && sequence.0 > 0 {
            return Ok(None);
        }
        if let Some(next) = reader.position_after(RecordId { origin, sequence })? {
            start = start.min(Position(next.0 - 1));
        }
    }
    Ok(Some((reader.base_at(start)?, start)))
}
