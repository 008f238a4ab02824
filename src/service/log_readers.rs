//! Long readings of the log: a few at a time, each on a thread of its own that gives way to the threads that answer
//! requests.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Failure;
use super::shares::{Bounds, FairShare, Party};

pub struct LogReaders {
    share: Arc<FairShare>,
    niceness: i32,
}

impl LogReaders {
    /// One thread for each turn. The niceness is that of `nice`: on a busy machine, a thread of 5 gets a third, and one
    /// of 10 a tenth, of what a thread that answers requests gets; on an idle one, everything that is left. Such a
    /// thread must not hold a lock that others wait for.
    pub fn new(bounds: Bounds, niceness: i32) -> Self {
        Self { share: FairShare::new(bounds), niceness }
    }

    /// How many callers wait for their turn.
    pub fn waiting(&self) -> usize {
        self.share.waiting()
    }

    /// Reads when it is that caller's turn. A caller that hangs up before then leaves nothing behind; a reading that
    /// has begun runs to its end, and keeps its turn.
    pub async fn read<T: Send + 'static>(
        &self,
        party: &Party,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let admitted = self.share.admit(party)?;
        let turn = admitted.turn().await;
        let (niceness, (answer, answered)) = (self.niceness, oneshot::channel());
        let thread = std::thread::Builder::new().name("log-reader".to_owned());
        let spawned = thread.spawn(move || {
            let _turn = (turn, admitted);
            // If the system refuses, it reads at the usual priority.
            let _ = rustix::process::setpriority_process(None, niceness);
            // The caller may be gone by then.
            let _ = answer.send(read());
        });
        // The system cannot start another thread now.
        spawned.map_err(|_| Failure::Overloaded)?;
        // A thread that panicked has no answer.
        answered.await.map_err(|_| Failure::Stopping)
    }
}
