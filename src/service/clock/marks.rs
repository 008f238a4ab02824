//! The mark on disk: read before the state is put together, written before anything leaves memory by it.

use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::clock::{Acceptance, AcceptedTime, Clock, ClockMark, EarlierTime};
use crate::domain::{Origin, Timestamp};
use crate::event_log::{ReadError, Reader};
use crate::projection::RebuildTimes;

/// The knowledge about time of a starting node that has not folded the log yet.
pub struct ClockStart {
    mark: Option<ClockMark>,
    times: RebuildTimes,
}

impl ClockStart {
    /// Reads the mark. An unreadable mark counts as absent: the log and the snapshot still give the time that was
    /// reached.
    pub fn read(data: &Path, reader: &Reader, clock: &Clock) -> Result<Self, ReadError> {
        let mark = ClockMark::load(data).unwrap_or_else(|error| {
            let path = crate::clock::mark_file(data);
            tracing::warn!(path = %path.display(), %error, "the mark of ledger time can't be read; the log says how far it had got");
            None
        });
        let wall = clock.wall();
        let times = match mark {
            // If an earlier time was accepted, a snapshot may lack entries that have not expired by it.
            Some(ClockMark { accepted: Some(_), ledger_time, forgotten_at, .. }) => {
                RebuildTimes { forget_at: forgotten_at, judged_at: ledger_time.max(wall) }
            }
            // Ledger time never starts earlier than the instant up to which a snapshot was swept.
            Some(mark) => RebuildTimes { forget_at: mark.forgotten_at, judged_at: Timestamp::MAX },
            None => RebuildTimes { forget_at: wall.min(last_recorded_at(reader)?), judged_at: Timestamp::MAX },
        };
        Ok(Self { mark, times })
    }

    /// The two times by which the state is put together.
    pub fn times(&self) -> RebuildTimes {
        self.times
    }

    /// Starts the clock: at the latest of the wall clock, the mark, the own origin's last record, and the snapshot's
    /// sweep. Returns the marks of this run, and whether a new origin has to be opened, because an earlier time was
    /// accepted.
    pub fn begin(
        self,
        data: &Path,
        clock: &Clock,
        own: Option<(Origin, Timestamp)>,
        forgotten_at: Timestamp,
    ) -> (Marks, bool) {
        let accepted = self.mark.and_then(|mark| mark.accepted);
        let renews = accepted.zip(own).is_some_and(|(accepted, (origin, recorded_at))| {
            origin == accepted.origin && recorded_at > accepted.at.max(clock.wall())
        });
        let recorded_at = own.map(|(_, recorded_at)| recorded_at).filter(|_| !renews);
        let marked_at = self.mark.map(|mark| mark.ledger_time);
        let forgotten = Some(forgotten_at).filter(|at| *at > Timestamp::default());
        let allowed = self.mark.map(|mark| mark.forgotten_at).or(recorded_at.map(|_| self.times.forget_at));
        let before = EarlierTime {
            reached: marked_at.max(recorded_at).max(forgotten),
            // Entries that the snapshot lacks are gone: an earlier time is only accepted by folding the log anew.
            forgotten: allowed.max(forgotten),
            unsettled_millis: self.mark.map_or(0, |mark| mark.unsettled_millis),
        };
        clock.start(before, recorded_at.unwrap_or_default());
        let marks = Marks {
            data: data.to_owned(),
            clock: clock.clone(),
            pending: Mutex::new(accepted.map_or(PendingAcceptance::Nothing, PendingAcceptance::Healing)),
            confirmed_by: Mutex::default(),
        };
        // Until a first mark is on disk, nothing leaves memory beyond the old mark, or beyond the sweep so far.
        clock.is_marked(self.times.forget_at.max(forgotten_at));
        if let Err(error) = marks.store() {
            marks.complain(&error);
        }
        (marks, renews)
    }
}

/// The time of the newest record of the log, of any origin.
fn last_recorded_at(reader: &Reader) -> Result<Timestamp, ReadError> {
    let last = reader.find(reader.head()?)?;
    last.map_or(Ok(Timestamp::default()), |stored| Ok(stored.decode()?.recorded_at))
}

/// Writes the marks of a run.
pub struct Marks {
    data: PathBuf,
    clock: Clock,
    pending: Mutex<PendingAcceptance>,
    /// The confirmation of the wall clock, if it can't be accepted without an operator.
    confirmed_by: Mutex<Option<&'static str>>,
}

/// An earlier time that was accepted.
#[derive(Clone, Copy)]
enum PendingAcceptance {
    Nothing,
    /// The server is about to restart: ledger time of this run no longer counts.
    Starting(AcceptedTime),
    /// The credentials recorded beyond it are being revoked.
    Healing(AcceptedTime),
}

impl Marks {
    /// Writes a mark. Entries that have expired by it may leave memory then.
    pub fn store(&self) -> io::Result<()> {
        self.store_as(&self.pending.lock())
    }

    fn store_as(&self, pending: &PendingAcceptance) -> io::Result<()> {
        let standing = self.clock.standing();
        let mut mark = ClockMark {
            ledger_time: standing.ledger,
            forgotten_at: standing.forgets_at,
            unsettled_millis: standing.jump.map_or(0, |jump| jump.unsettled_millis),
            accepted: None,
        };
        match *pending {
            PendingAcceptance::Nothing => {}
            PendingAcceptance::Healing(accepted) => mark.accepted = Some(accepted),
            PendingAcceptance::Starting(accepted) => {
                mark = ClockMark {
                    ledger_time: accepted.at,
                    forgotten_at: mark.forgotten_at.min(accepted.at),
                    unsettled_millis: 0,
                    accepted: Some(accepted),
                }
            }
        }
        mark.store(&self.data)?;
        if !matches!(pending, PendingAcceptance::Starting(_)) {
            self.clock.is_marked(mark.forgotten_at);
        }
        Ok(())
    }

    /// Accepts the wall clock, if that does not need a restart, and writes that down.
    pub fn take_over(&self) -> io::Result<Acceptance> {
        let pending = self.pending.lock();
        if matches!(*pending, PendingAcceptance::Nothing) {
            let acceptance = self.clock.accept();
            if acceptance == Acceptance::Taken {
                self.store_as(&pending)?;
            }
            return Ok(acceptance);
        }
        Ok(Acceptance::NeedsStart(self.clock.wall()))
    }

    /// Writes down that an earlier time was accepted, for the next start.
    pub fn accept(&self, accepted: AcceptedTime) -> io::Result<()> {
        let mut pending = self.pending.lock();
        let starting = PendingAcceptance::Starting(accepted);
        self.store_as(&starting)?;
        *pending = starting;
        Ok(())
    }

    /// The earlier time that was accepted before this run, until [`Marks::is_healed`].
    pub fn healing(&self) -> Option<AcceptedTime> {
        match *self.pending.lock() {
            PendingAcceptance::Healing(accepted) => Some(accepted),
            PendingAcceptance::Nothing | PendingAcceptance::Starting(_) => None,
        }
    }

    /// The credentials recorded beyond it are revoked.
    pub fn is_healed(&self) -> io::Result<()> {
        let mut pending = self.pending.lock();
        self.store_as(&PendingAcceptance::Nothing)?;
        *pending = PendingAcceptance::Nothing;
        Ok(())
    }

    /// The confirmation of the wall clock, if that alone does not set ledger time.
    pub fn confirmed_by(&self) -> Option<&'static str> {
        *self.confirmed_by.lock()
    }

    pub(super) fn is_confirmed_by(&self, who: Option<&'static str>) {
        *self.confirmed_by.lock() = who;
    }

    pub(super) fn complain(&self, error: &io::Error) {
        let path = crate::clock::mark_file(&self.data);
        tracing::warn!(path = %path.display(), %error, "ledger time can't be marked on disk: nothing leaves memory until it can");
    }
}
