//! The only source of time and of fresh ids.
//!
//! [`Clock`] is ledger time: records are stamped with it, and expiry is judged by it. It runs by the boot clock,
//! follows the wall clock while the two agree, and never falls by itself. `docs/operate/time.md` explains it for
//! operators.

mod course;
mod mark;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use crate::domain::{Origin, Timestamp};

pub use course::{Course, CourseChange, EarlierTime, FOLLOWED_MILLIS, Jump, MAX_LAG_MILLIS, PATIENCE_MILLIS, Reading};
pub use mark::{AcceptedTime, ClockMark, mark_file};

/// Ledger time, run by the system's clocks or by clocks that a test moves.
#[derive(Clone, Debug)]
pub struct Clock {
    hands: Hands,
    state: Arc<ClockState>,
}

#[derive(Clone, Debug)]
enum Hands {
    System,
    Manual(Arc<ManualHands>),
}

#[derive(Debug)]
struct ManualHands {
    wall: AtomicU64,
    boot: AtomicU64,
}

/// Locked in this order. Each request reads the course, and each batch changes the stamps: under one lock they would wait for each
/// other.
#[derive(Debug)]
struct ClockState {
    stamps: Mutex<Stamps>,
    course: RwLock<Course>,
    /// The instant up to which a mark on disk allows entries to leave memory. Nothing if no mark is kept.
    marked: Mutex<Option<Timestamp>>,
}

#[derive(Debug, Default)]
struct Stamps {
    /// The latest stamp of a record of this node's origin.
    stamped: Timestamp,
    /// The stamp of the current batch, whether it will record anything or not.
    in_hand: Option<Timestamp>,
}

/// The two clocks, and how they relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStanding {
    /// Ledger time.
    pub ledger: Timestamp,
    /// The wall clock.
    pub wall: Timestamp,
    /// The jump that is unsettled, if there is one.
    pub jump: Option<Jump>,
    /// Whether nothing is issued until it is settled.
    pub refuses_issues: bool,
    /// Everything that had not expired at this instant is still kept.
    pub forgets_at: Timestamp,
}

/// The result of accepting the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It was accepted: ledger time is the wall clock's now.
    Taken,
    /// Records may have been stamped beyond it, or it lies before the last sweep: that takes a restart.
    NeedsStart(Timestamp),
}

impl Clock {
    /// Ledger time by the system's clocks. Until [`Clock::start`] it has no knowledge of earlier time.
    pub fn system() -> Self {
        Self::by(Hands::System)
    }

    /// Ledger time by clocks that stand still until they are moved.
    pub fn manual(start: Timestamp) -> Self {
        let hands = ManualHands { wall: AtomicU64::new(start.as_millis()), boot: AtomicU64::new(0) };
        Self::by(Hands::Manual(Arc::new(hands)))
    }

    fn by(hands: Hands) -> Self {
        let course = Course::start(hands.reading(), EarlierTime::default());
        let state = ClockState { stamps: Mutex::default(), course: RwLock::new(course), marked: Mutex::default() };
        Self { hands, state: Arc::new(state) }
    }

    /// Ledger time now: never less than before, unless an earlier time was accepted in between.
    pub fn now(&self) -> Timestamp {
        if matches!(self.hands, Hands::Manual(_)) {
            // Only this call moves ledger time by clocks that stand still.
            self.follow();
        }
        self.state.course.read().at(self.hands.boot())
    }

    /// Ledger time for the records of a batch. Until [`Clock::is_over`] no earlier time is accepted.
    pub fn stamp(&self) -> Timestamp {
        if matches!(self.hands, Hands::Manual(_)) {
            self.follow();
        }
        let mut stamps = self.state.stamps.lock();
        let now = self.state.course.read().at(self.hands.boot());
        stamps.in_hand = Some(now);
        now
    }

    /// Records with that stamp are in the log.
    pub fn has_recorded(&self) {
        let mut stamps = self.state.stamps.lock();
        stamps.stamped = stamps.latest();
    }

    /// There is no current batch.
    pub fn is_over(&self) {
        self.state.stamps.lock().in_hand = None;
    }

    /// The wall clock now: for people, never for a judgement.
    pub fn wall(&self) -> Timestamp {
        self.hands.wall()
    }

    /// Begins a run: from the time that was reached before it, if the last record of this node's origin was stamped
    /// with that.
    pub fn start(&self, before: EarlierTime, stamped: Timestamp) {
        let mut stamps = self.state.stamps.lock();
        *self.state.course.write() = Course::start(self.hands.reading(), before);
        *stamps = Stamps { stamped, in_hand: None };
    }

    /// Looks at both clocks. Call it about twice a second.
    pub fn follow(&self) -> Option<CourseChange> {
        self.state.course.write().follow(self.hands.reading())
    }

    /// The two clocks, and how they relate.
    pub fn standing(&self) -> ClockStanding {
        if matches!(self.hands, Hands::Manual(_)) {
            self.follow();
        }
        let reading = self.hands.reading();
        let course = *self.state.course.read();
        ClockStanding {
            ledger: course.at(reading.boot),
            wall: reading.wall,
            jump: course.jump(),
            refuses_issues: course.refuses_issues(),
            forgets_at: course.forgets_at(),
        }
    }

    /// Whether issuing is refused, because a jump has been unsettled for too long.
    pub fn refuses_issues(&self) -> bool {
        self.state.course.read().refuses_issues()
    }

    /// The instant up to which expired entries may leave memory: never later than ledger time, nor than the mark on
    /// disk says.
    pub fn forgets_at(&self) -> Timestamp {
        let at = self.state.course.read().forgets_at();
        self.state.marked.lock().map_or(at, |marked| marked.min(at))
    }

    /// From now on nothing leaves memory beyond the mark on disk, and this is the last mark. By clocks that a test
    /// moves, time passes between two marks, and nothing waits for one.
    pub fn is_marked(&self, forgotten_at: Timestamp) {
        if matches!(self.hands, Hands::System) {
            *self.state.marked.lock() = Some(forgotten_at);
        }
    }

    /// Accepts the wall clock, if that is possible without a restart.
    pub fn accept(&self) -> Acceptance {
        let stamps = self.state.stamps.lock();
        let mut course = self.state.course.write();
        let reading = self.hands.reading();
        let forgotten = self.state.marked.lock().unwrap_or_else(|| course.forgets_at());
        if reading.wall < stamps.latest() || reading.wall < forgotten {
            return Acceptance::NeedsStart(reading.wall);
        }
        course.accept(reading);
        Acceptance::Taken
    }

    /// Moves both clocks of a manual one forward; the system's stay as they are.
    pub fn advance(&self, by_millis: u64) {
        if let Hands::Manual(hands) = &self.hands {
            hands.wall.fetch_add(by_millis, Ordering::AcqRel);
            hands.boot.fetch_add(by_millis, Ordering::AcqRel);
        }
    }

    /// Sets the wall clock of a manual one forward or back, while the boot clock stays; the system's stay as they are.
    pub fn step_wall(&self, by_millis: i64) {
        if let Hands::Manual(hands) = &self.hands {
            let step = |wall: u64| Some(wall.saturating_add_signed(by_millis));
            // It always has a next value.
            let _ = hands.wall.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        }
    }
}

impl Stamps {
    /// The latest instant that a record has, or may get.
    fn latest(&self) -> Timestamp {
        self.in_hand.map_or(self.stamped, |at| at.max(self.stamped))
    }
}

impl Hands {
    fn reading(&self) -> Reading {
        Reading { wall: self.wall(), boot: self.boot() }
    }

    fn wall(&self) -> Timestamp {
        match self {
            Self::System => wall_clock(),
            Self::Manual(hands) => Timestamp::from_millis(hands.wall.load(Ordering::Acquire)).unwrap_or(Timestamp::MAX),
        }
    }

    fn boot(&self) -> u64 {
        match self {
            Self::System => boot_millis(),
            Self::Manual(hands) => hands.boot.load(Ordering::Acquire),
        }
    }
}

/// Milliseconds by the boot clock, which never steps, and goes on while the machine sleeps: at least one.
pub fn boot_millis() -> u64 {
    let since = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (since.tv_sec.unsigned_abs(), since.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000).max(1)
}

/// The system's wall clock, for programs that judge nothing by it. A time before 1970 counts as 1970.
#[expect(clippy::disallowed_methods, reason = "the one place that asks for it")]
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_millis(since.try_into().unwrap_or(u64::MAX)).unwrap_or(Timestamp::MAX)
}

/// The operating system has no random bytes: no secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("get random bytes from the operating system: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A fresh UUID, version 4.
pub fn fresh_uuid() -> Result<Uuid, NoRandomness> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid())
}

pub fn fresh_origin() -> Result<Origin, NoRandomness> {
    Ok(Origin::from_random(random()?))
}
