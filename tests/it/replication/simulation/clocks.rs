//! A node's clocks: one that people set and that runs as well as it can, one that nobody sets, and ledger time, which the real rules
//! make of the two.

use authledger::clock::{Course, EarlierTime, Reading};
use authledger::domain::Timestamp;

use crate::support::random::Random;

/// Every wall clock is that far ahead of the true time, give or take minutes: milliseconds.
const AHEAD: i64 = 600_000;
/// By how much wall clocks that are kept well are off one another: milliseconds.
const OFF: i64 = 240_000;
/// By how much one that runs badly gains or loses at most, in thousandths.
const DRIFT: i64 = 20;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

#[derive(Clone)]
pub struct Clocks {
    /// The true time, which nobody knows; the boot clock runs as it does.
    truth: u64,
    /// How far the wall clock is ahead of it, and how far where somebody has set it right.
    off: i64,
    usual: i64,
    /// The gain of the wall clock, in thousandths.
    drift: i64,
    course: Course,
    /// The mark of ledger time that is on disk.
    reached: Timestamp,
    forgotten: Timestamp,
}

impl Clocks {
    pub fn new(truth: u64, random: &mut Random) -> Self {
        let usual = AHEAD + random.below(OFF as u64) as i64 - OFF / 2;
        let wall = time(truth, usual);
        let course = Course::start(Reading { wall, boot: truth }, EarlierTime::default());
        Self { truth, off: usual, usual, drift: 0, course, reached: wall, forgotten: course.forgets_at() }
    }

    fn reading(&self) -> Reading {
        Reading { wall: self.wall(), boot: self.truth }
    }

    pub fn wall(&self) -> Timestamp {
        time(self.truth, self.off)
    }

    /// Ledger time.
    pub fn now(&self) -> Timestamp {
        self.course.at(self.truth)
    }

    pub fn refuses_issues(&self) -> bool {
        self.course.refuses_issues()
    }

    pub fn pass(&mut self, millis: u64) {
        self.truth += millis;
        self.off += millis as i64 * self.drift / 1_000;
        self.course.follow(self.reading());
    }

    /// The instant up to which expired credentials may be forgotten. It is on disk before anything is forgotten.
    pub fn forgets_at(&mut self) -> Timestamp {
        self.mark();
        self.forgotten
    }

    fn mark(&mut self) {
        (self.reached, self.forgotten) = (self.now(), self.course.forgets_at());
    }

    /// A process starts from the disk: the mark, and the last record of its own, which was stamped then.
    pub fn start(&mut self, stamped: Timestamp) {
        let reached = Some(self.reached.max(stamped));
        let before = EarlierTime { reached, forgotten: Some(self.forgotten), unsettled_millis: 0 };
        self.course = Course::start(self.reading(), before);
        self.mark();
    }

    /// Something happens to the wall clock, or an operator takes a later one over. Says which.
    pub fn disturb(&mut self, random: &mut Random) -> &'static str {
        let trouble = match random.below(10) {
            0..=3 => {
                let reach = [HOUR, 3 * HOUR, 40 * DAY][random.below(3) as usize];
                let by = random.below(reach) as i64;
                let ahead = random.percent(50);
                self.off += if ahead { by } else { -by };
                if ahead { "clock that jumps ahead" } else { "clock that jumps back" }
            }
            4..=6 => {
                (self.off, self.drift) = (self.usual, 0);
                "clock set right"
            }
            7..=8 => {
                self.drift = random.below(2 * DRIFT as u64) as i64 - DRIFT;
                "clock that drifts"
            }
            _ if self.wall() > self.now() => {
                self.course.accept(self.reading());
                self.mark();
                "later time accepted"
            }
            _ => "clock left alone",
        };
        self.course.follow(self.reading());
        trouble
    }
}

/// No clock is set before the year 2001.
fn time(truth: u64, off: i64) -> Timestamp {
    Timestamp::from_millis(truth.saturating_add_signed(off).max(1_000_000_000_000)).unwrap()
}
