//! The course of ledger time, computed from two readings. Pure: it reads no clock, so a test can run it through any jump.

use crate::domain::Timestamp;

/// How far wall clock and ledger time may be apart while ledger time still follows: 60 seconds.
pub const FOLLOWED_MILLIS: u64 = 60_000;
/// How long a jump may stay unsettled before nothing is issued any more: an hour.
pub const PATIENCE_MILLIS: u64 = 3_600_000;
/// The uptime after which all downtime counts towards the sweep: 24 hours.
pub const MAX_LAG_MILLIS: u64 = 86_400_000;

/// A reading of the machine's two clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock. People, NTP and virtual machines set it.
    pub wall: Timestamp,
    /// Milliseconds since the machine was started, including those of a suspend. It is never set.
    pub boot: u64,
}

/// The knowledge about earlier time at a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlierTime {
    /// The latest instant that ledger time is known to have reached. Nothing for a new ledger.
    pub reached: Option<Timestamp>,
    /// The latest instant up to which the sweep is known to have been allowed.
    pub forgotten: Option<Timestamp>,
    /// For how long a jump has been unsettled already, in milliseconds.
    pub unsettled_millis: u64,
}

/// A wall clock that is too far away to be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// For how long it has been too far away, in milliseconds.
    pub unsettled_millis: u64,
    /// Whether it was found at a start: then the wall clock is behind the time that was reached before.
    pub at_start: bool,
}

/// The change that a look at the clocks has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CourseChange {
    /// The wall clock has jumped away. Ledger time runs on by the boot clock.
    Jumped,
    /// It is within reach again, and followed.
    Returned,
}

/// Ledger time as a function of the boot clock, and the bound of the sweep.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Ledger time was `at` when the boot clock showed `boot`; since then it has run at full or half speed.
    at: Timestamp,
    boot: u64,
    is_slow: bool,
    jump: Option<Jump>,
    forgetting: Timestamp,
    /// Uptime that is still due before `forgetting` catches up with ledger time.
    lag_millis: u64,
}

impl Course {
    /// Starts at the later of the wall clock and the time that was reached before.
    pub fn start(reading: Reading, before: EarlierTime) -> Self {
        let Reading { wall, boot } = reading;
        let at = before.reached.map_or(wall, |reached| reached.max(wall));
        let is_away = at.millis_since(wall) > FOLLOWED_MILLIS;
        let jump = is_away.then_some(Jump { unsettled_millis: before.unsettled_millis, at_start: true });
        let known = before.forgotten.or(before.reached).unwrap_or(at);
        let forgetting = known.min(at);
        let lag_millis = at.millis_since(forgetting).min(MAX_LAG_MILLIS);
        Self { at, boot, is_slow: false, jump, forgetting, lag_millis }
    }

    /// Ledger time at that reading of the boot clock.
    pub fn at(&self, boot: u64) -> Timestamp {
        let elapsed = boot.saturating_sub(self.boot);
        self.at.plus_millis(if self.is_slow { elapsed / 2 } else { elapsed })
    }

    /// Follows the wall clock while it is within reach. Ledger time never falls by this: while the wall clock is a
    /// little behind, ledger time runs at half speed at most.
    pub fn follow(&mut self, reading: Reading) -> Option<CourseChange> {
        let Reading { wall, boot } = reading;
        let (now, elapsed) = (self.at(boot), boot.saturating_sub(self.boot));
        let distance = wall.as_millis().abs_diff(now.as_millis());
        let was_away = self.jump.is_some();
        if distance > FOLLOWED_MILLIS {
            let unsettled = self.jump.map_or(0, |jump| jump.unsettled_millis.saturating_add(elapsed));
            let at_start = self.jump.is_some_and(|jump| jump.at_start);
            self.jump = Some(Jump { unsettled_millis: unsettled, at_start });
            self.set(now, boot, false);
            // While the clock is unsettled, nothing leaves memory.
            return (!was_away).then_some(CourseChange::Jumped);
        }
        self.jump = None;
        self.set(now.max(wall), boot, wall < now);
        if was_away {
            return Some(CourseChange::Returned);
        }
        self.forget(elapsed);
        None
    }

    /// Accepts the wall clock, wherever it is. Returns whether ledger time has fallen.
    pub fn accept(&mut self, reading: Reading) -> bool {
        let now = self.at(reading.boot);
        self.set(reading.wall, reading.boot, false);
        self.jump = None;
        self.forgetting = self.forgetting.min(reading.wall);
        self.lag_millis = reading.wall.millis_since(self.forgetting).min(MAX_LAG_MILLIS);
        reading.wall < now
    }

    /// The jump that is unsettled, if there is one.
    pub const fn jump(&self) -> Option<Jump> {
        self.jump
    }

    /// Whether issuing is refused.
    pub fn refuses_issues(&self) -> bool {
        self.jump.is_some_and(|jump| jump.unsettled_millis >= PATIENCE_MILLIS)
    }

    /// The instant up to which expired entries may leave memory: never later than ledger time.
    pub const fn forgets_at(&self) -> Timestamp {
        self.forgetting
    }

    fn set(&mut self, at: Timestamp, boot: u64, is_slow: bool) {
        (self.at, self.boot, self.is_slow) = (at, boot, is_slow);
    }

    fn forget(&mut self, elapsed: u64) {
        self.lag_millis = self.lag_millis.saturating_sub(elapsed);
        let further = if self.lag_millis == 0 { self.at } else { self.forgetting.plus_millis(elapsed) };
        self.forgetting = self.forgetting.max(further.min(self.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis).expect("within bounds")
    }

    fn reading(wall: u64, boot: u64) -> Reading {
        Reading { wall: at(wall), boot }
    }

    fn fresh() -> Course {
        Course::start(reading(START, 0), EarlierTime::default())
    }

    #[test]
    fn it_follows_a_wall_clock_that_is_a_little_ahead() {
        let mut course = fresh();
        assert_eq!(course.follow(reading(START + 40_000, 1_000)), None);
        assert_eq!(course.at(2_000), at(START + 41_000));
        assert_eq!(course.forgets_at(), at(START + 40_000));
    }

    #[test]
    fn it_never_falls_while_the_wall_clock_is_a_little_behind_and_meets_it_again() {
        let (mut course, mut last) = (fresh(), at(START));
        for second in 1..=100_u64 {
            assert_eq!(course.follow(reading(START - 8_000 + second * 1_000, second * 1_000)), None);
            let now = course.at(second * 1_000);
            assert!(now >= last, "it fell");
            last = now;
        }
        assert_eq!(last, at(START - 8_000 + 100_000), "it has met the wall clock");
    }

    #[test]
    fn it_meets_the_wall_clock_as_well_when_it_is_looked_at_each_millisecond() {
        let mut course = fresh();
        for boot in 1..=20_001_u64 {
            course.follow(reading(START - 8_000 + boot, boot));
        }
        assert_eq!(course.at(20_001), at(START + 12_001));
    }

    #[test]
    fn it_runs_on_by_the_boot_clock_when_the_wall_clock_jumps_and_forgets_nothing_meanwhile() {
        for wall in [START + 70 * 60_000, START - 70 * 60_000] {
            let mut course = fresh();
            assert_eq!(course.follow(reading(wall, 1_000)), Some(CourseChange::Jumped));
            assert_eq!(course.follow(reading(wall + 68_000, 69_000)), None);
            assert_eq!(course.at(69_000), at(START + 69_000));
            assert_eq!(course.forgets_at(), at(START));
            assert_eq!(course.follow(reading(START + 70_000, 70_000)), Some(CourseChange::Returned));
            course.follow(reading(START + 71_000, 71_000));
            assert_eq!((course.at(71_000), course.forgets_at()), (at(START + 71_000), at(START + 71_000)));
        }
    }

    #[test]
    fn issues_are_refused_after_an_hour_of_a_jump_also_over_restarts() {
        let mut course = fresh();
        course.follow(reading(START - 2 * HOUR, 0));
        course.follow(reading(START - 2 * HOUR, HOUR - 1));
        assert!(!course.refuses_issues());
        let unsettled_millis = course.jump().expect("it jumped").unsettled_millis;
        let before = EarlierTime { reached: Some(course.at(HOUR - 1)), forgotten: None, unsettled_millis };
        let mut course = Course::start(reading(START - 2 * HOUR, 0), before);
        assert_eq!(course.jump(), Some(Jump { unsettled_millis: HOUR - 1, at_start: true }));
        course.follow(reading(START - 2 * HOUR, 1));
        assert!(course.refuses_issues());
        course.accept(reading(START - 2 * HOUR, 2));
        assert!(!course.refuses_issues());
        assert_eq!(course.at(2), at(START - 2 * HOUR));
    }

    #[test]
    fn a_start_takes_what_was_reached_before_and_notices_a_clock_that_is_behind() {
        let before = EarlierTime { reached: Some(at(START)), forgotten: Some(at(START - 5_000)), unsettled_millis: 0 };
        let behind = Course::start(reading(1_136_073_600_000, 7), before);
        assert_eq!((behind.at(8), behind.jump().map(|jump| jump.at_start)), (at(START + 1), Some(true)));
        assert_eq!(behind.forgets_at(), at(START - 5_000));
        let little = Course::start(reading(START - 60_000, 7), before);
        assert_eq!((little.at(7), little.jump()), (at(START), None));
    }

    #[test]
    fn downtime_counts_towards_forgetting_after_as_much_uptime_and_24_hours_at_most() {
        let before = EarlierTime { reached: Some(at(START)), forgotten: Some(at(START)), unsettled_millis: 0 };
        for (down, due) in [(2 * HOUR, 2 * HOUR), (40 * 24 * HOUR, 24 * HOUR)] {
            let mut course = Course::start(reading(START + down, 0), before);
            assert_eq!(course.forgets_at(), at(START));
            course.follow(reading(START + down + due - 1, due - 1));
            assert_eq!(course.forgets_at(), at(START + due - 1));
            course.follow(reading(START + down + due, due));
            assert_eq!(course.forgets_at(), at(START + down + due));
        }
    }

    #[test]
    fn a_step_ahead_that_is_accepted_counts_towards_forgetting_as_downtime_does() {
        let mut course = fresh();
        course.follow(reading(START + 5 * HOUR, 0));
        assert!(!course.accept(reading(START + 5 * HOUR, 1)));
        assert_eq!((course.at(1), course.forgets_at()), (at(START + 5 * HOUR), at(START)));
        course.follow(reading(START + 5 * HOUR + HOUR, HOUR + 1));
        assert_eq!(course.forgets_at(), at(START + HOUR));
    }
}
