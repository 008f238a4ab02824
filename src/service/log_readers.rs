//! Whoever reads much of the log: a few at a time, each on a thread of its own that stands back behind those that answer everybody.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Error;
use super::shares::{Bounds, FairShare, Party};

/// Those who read the log.
pub struct LogReaders {
    share: Arc<FairShare>,
    niceness: i32,
}

impl LogReaders {
    /// As many as there are turns. The niceness is that of `nice`: where the machine is busy, a thread of 5 gets a third, and one of 10 a
    /// tenth, of what a thread gets that answers requests; where it is not, all that is left. Such a thread must hold no lock that
    /// others wait for.
    pub fn new(bounds: Bounds, niceness: i32) -> Self {
        Self { share: FairShare::new(bounds), niceness }
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.share.waiting()
    }

    /// Reads when it is that caller's turn. Whoever hangs up before then leaves nothing behind; a reading that has begun goes on to its
    /// end, and keeps its turn.
    pub async fn read<T: Send + 'static>(
        &self,
        party: &Party,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let admitted = self.share.admit(party)?;
        let turn = admitted.turn().await;
        let (niceness, (answer, answered)) = (self.niceness, oneshot::channel());
        let thread = std::thread::Builder::new().name("log-reader".to_owned());
        let spawned = thread.spawn(move || {
            let _turn = (turn, admitted);
            // Where the system refuses, it reads at the usual priority.
            let _ = rustix::process::setpriority_process(None, niceness);
            // Nobody may be there to take it any more.
            let _ = answer.send(read());
        });
        // The system has no thread to give now.
        spawned.map_err(|_| Error::Overloaded)?;
        // A thread that panicked has no answer.
        answered.await.map_err(|_| Error::Stopping)
    }
}
