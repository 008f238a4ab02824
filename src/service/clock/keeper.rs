//! The thread that follows the wall clock and marks ledger time on disk.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::marks::Marks;
use super::warning;
use crate::clock::{Acceptance, Clock, ClockStanding, CourseChange};
use crate::service::cluster::Cluster;

/// How often the clocks are compared.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often ledger time is marked on disk.
const MARK_EVERY: Duration = Duration::from_secs(10);
/// The file that systemd-timesyncd touches whenever it has set the clock by a server.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// How many members' clocks must agree with the wall clock to confirm it.
const CONFIRMING_MEMBERS: usize = 2;
/// How often the log complains of a mark that fails.
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);

/// The thread, until it is stopped.
pub struct Timekeeper {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Timekeeper {
    /// Starts it.
    pub fn spawn(clock: Clock, marks: Arc<Marks>, cluster: Arc<Cluster>) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let mut keeping = Keeping {
            clock,
            marks,
            cluster,
            complained: None,
            synchronised_before: synchronised_at(Path::new(SYNCHRONISED)),
        };
        keeping.tell_of_start();
        let thread = std::thread::Builder::new().name("clock".to_owned()).spawn(move || {
            let mut marked = Instant::now();
            loop {
                match stopped.recv_timeout(LOOK_EVERY) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) => return keeping.mark(),
                    // The thread was not stopped, so the directory may belong to another process by now.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                keeping.look();
                if marked.elapsed() >= MARK_EVERY {
                    keeping.mark();
                    marked = Instant::now();
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Writes a last mark and stops.
    pub fn stop(self) {
        // A thread that panicked has said so, and has nothing left to write.
        let _ = self.stop.send(());
        drop(self.thread.join());
    }
}

struct Keeping {
    clock: Clock,
    marks: Arc<Marks>,
    cluster: Arc<Cluster>,
    complained: Option<Instant>,
    /// When the system's time servers had last set the clock before it jumped, by that clock.
    synchronised_before: Option<SystemTime>,
}

impl Keeping {
    fn tell_of_start(&self) {
        if let Some(warning) = warning(&self.clock.standing(), None) {
            tracing::warn!("{warning}");
        }
    }

    fn look(&mut self) {
        let turn = self.clock.follow();
        let standing = self.clock.standing();
        if standing.jump.is_none() {
            self.synchronised_before = synchronised_at(Path::new(SYNCHRONISED));
        }
        match turn {
            Some(CourseChange::Jumped) => {
                if let Some(warning) = warning(&standing, None) {
                    tracing::warn!("{warning}");
                }
            }
            Some(CourseChange::Returned) => {
                tracing::info!(ledger_time = %standing.ledger, wall_clock = %standing.wall, "the wall clock is followed again");
            }
            None => {}
        }
        let confirmed_by = standing.jump.and_then(|_| self.confirmed_by(&standing));
        self.marks.is_confirmed_by(confirmed_by);
        if let Some(who) = confirmed_by {
            self.take_over(&standing, who);
        }
    }

    /// If there are records beyond it, their credentials would have to be revoked, and an operator has to decide that.
    fn take_over(&self, standing: &ClockStanding, who: &str) {
        match self.marks.take_over() {
            Ok(Acceptance::Taken) => tracing::warn!(
                ledger_time = %standing.ledger, wall_clock = %standing.wall,
                "ledger time is the wall clock's now, because {who} say that it is right"
            ),
            Ok(Acceptance::NeedsStart(_)) => {}
            Err(error) => self.marks.complain(&error),
        }
    }

    fn confirmed_by(&self, standing: &ClockStanding) -> Option<&'static str> {
        if self.cluster.members_at(standing.wall) >= CONFIRMING_MEMBERS {
            return Some("two members");
        }
        let within = standing.jump?.unsettled_millis;
        let path = Path::new(SYNCHRONISED);
        // By a clock that was turned back, a synchronisation before the jump looks as if it came after it.
        let is_new = synchronised_at(path) != self.synchronised_before;
        (is_new && synchronised(path, standing, within)).then_some("the system's time servers")
    }

    fn mark(&mut self) {
        let Err(error) = self.marks.store() else { return };
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            self.marks.complain(&error);
        }
    }
}

fn synchronised_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Whether the system's clock was set by a server within that time. The time of the touched file tells it, which is the
/// wall clock's: an earlier one is older than the jump.
fn synchronised(path: &Path, standing: &ClockStanding, within_millis: u64) -> bool {
    let millis = synchronised_at(path).and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_millis());
    let Some(millis) = millis.and_then(|millis| u64::try_from(millis).ok()) else { return false };
    standing.wall.as_millis().checked_sub(millis).is_some_and(|age| age <= within_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Jump, wall_clock};

    #[test]
    fn a_synchronisation_counts_if_it_came_after_the_jump() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("synchronized");
        let clock = Clock::system();
        let jump = Some(Jump { unsettled_millis: 0, at_start: false });
        let standing = ClockStanding { jump, ..clock.standing() };
        assert!(!synchronised(&file, &standing, u64::MAX), "there is no file");
        fs::write(&file, "").expect("written");
        let set = |ago: u64| {
            let at = UNIX_EPOCH + Duration::from_millis(wall_clock().as_millis()) - Duration::from_secs(ago);
            fs::File::options()
                .write(true)
                .open(&file)
                .and_then(|file| file.set_modified(at))
                .expect("its time is set");
        };
        let now = || ClockStanding { jump, ..clock.standing() };
        set(5);
        assert!(synchronised(&file, &now(), 60_000));
        set(70);
        assert!(!synchronised(&file, &now(), 60_000), "it is older than the jump");
    }
}
