//! Whoever reads much of the log: a few at a time, each on a thread of its own that stands back behind those that answer everybody.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Error;
use super::shares::{Bounds, FairShare, Party};

/// The scheduling priority of such a thread, as `nice` has it: it gets a tenth of what a thread gets that answers requests, and all of
/// what those leave. It holds no lock that others wait for.
const NICENESS: i32 = 10;

/// Those who read the log.
pub struct LogReaders(Arc<FairShare>);

impl LogReaders {
    /// As many as there are turns.
    pub fn new(bounds: Bounds) -> Self {
        Self(FairShare::new(bounds))
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// Reads when it is that caller's turn. Whoever hangs up before then leaves nothing behind; a reading that has begun goes on to its
    /// end, and keeps its turn.
    pub async fn read<T: Send + 'static>(
        &self,
        party: &Party,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let admitted = self.0.admit(party)?;
        let turn = admitted.turn().await;
        let (answer, answered) = oneshot::channel();
        let thread = std::thread::Builder::new().name("log-reader".to_owned());
        let spawned = thread.spawn(move || {
            let _turn = (turn, admitted);
            // Where the system refuses, it reads at the usual priority.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            // Nobody may be there to take it any more.
            let _ = answer.send(read());
        });
        // The system has no thread to give now.
        spawned.map_err(|_| Error::Overloaded)?;
        // A thread that panicked has no answer.
        answered.await.map_err(|_| Error::Stopping)
    }
}
