//! The way to the writer thread and back: commands that wait for their turn, and answers that wait for the commit.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use super::batch::{Batch, Machine};
use super::error::Fault;
use super::watch::{Observed, SharedObservations};

/// Why a command did not get to the writer, or came back without a decision.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full: try again in a moment.
    #[error("queue the command: too many are waiting")]
    Overloaded,
    /// Another process has locked the log: nothing was written. Try again in a moment.
    #[error("write the command down: another process has locked the event log; nothing was written, try again")]
    Locked,
    /// The log has halted.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The writer has been stopped.
    #[error("queue the command: the server is stopping")]
    Stopping,
}

/// A command on its way through the writer, whatever it answers.
pub(super) trait QueuedCommand<M>: Send {
    fn decide(&mut self, machine: &mut M, batch: &mut Batch);

    /// Sends what was decided, or why it does not hold.
    fn answer(self: Box<Self>, outcome: Result<(), SubmitError>);
}

/// A command that was not decided yet, or the answer that waits for the commit.
struct PendingCommand<F, T> {
    decide: Option<F>,
    decided: Option<T>,
    caller: oneshot::Sender<Result<T, SubmitError>>,
}

impl<M, F, T> QueuedCommand<M> for PendingCommand<F, T>
where
    F: FnOnce(&mut M, &mut Batch) -> T + Send,
    T: Send,
{
    fn decide(&mut self, machine: &mut M, batch: &mut Batch) {
        self.decided = self.decide.take().map(|decide| decide(machine, batch));
    }

    fn answer(self: Box<Self>, outcome: Result<(), SubmitError>) {
        // The caller may have hung up; the fact stands.
        let _ = match (outcome, self.decided) {
            (Err(error), _) => self.caller.send(Err(error)),
            (Ok(()), Some(decided)) => self.caller.send(Ok(decided)),
            // Who waits finds that nobody answers any more.
            (Ok(()), None) => Ok(()),
        };
    }
}

/// The commands of a batch, which wait for its commit.
pub(super) type UncommittedCommands<M> = Vec<Box<dyn QueuedCommand<M>>>;

pub(super) enum Work<M: Machine> {
    Decide(Box<dyn QueuedCommand<M>>),
    Stop,
}

/// The answer to a command that is in the queue.
pub struct Queued<T>(oneshot::Receiver<Result<T, SubmitError>>);

impl<T> Queued<T> {
    /// Waits for it. It means durable.
    pub async fn answer(self) -> Result<T, SubmitError> {
        match self.0.await {
            Ok(decided) => decided,
            Err(_) => Err(SubmitError::Stopping),
        }
    }
}

/// How others reach the writer thread.
pub struct WriterHandle<M: Machine> {
    pub(super) queue: SyncSender<Work<M>>,
    pub(super) fault: Arc<OnceLock<Fault>>,
    pub(super) seen: SharedObservations,
}

impl<M: Machine> Clone for WriterHandle<M> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), fault: self.fault.clone(), seen: self.seen.clone() }
    }
}

impl<M: Machine> WriterHandle<M> {
    /// Queues a command: what the writer thread is to do with the machine and the batch. The answer means durable; a dropped answer
    /// means unknown.
    pub async fn submit<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut M, &mut Batch) -> T + Send + 'static,
    ) -> Result<T, SubmitError> {
        self.queue(decide)?.answer().await
    }

    /// Queues a command now, behind all that were queued before; the answer comes later.
    pub fn queue<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut M, &mut Batch) -> T + Send + 'static,
    ) -> Result<Queued<T>, SubmitError> {
        if let Some(fault) = self.fault.get() {
            return Err(fault.clone().into());
        }
        let (caller, answer) = oneshot::channel();
        let command = Box::new(PendingCommand { decide: Some(decide), decided: None, caller });
        self.queue.try_send(Work::Decide(command)).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::Overloaded,
            TrySendError::Disconnected(_) => SubmitError::Stopping,
        })?;
        Ok(Queued(answer))
    }

    /// What halted the log, if anything has.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.get()
    }

    /// The writer's observations around the log's files.
    pub fn observed(&self) -> Observed {
        self.seen.lock().clone()
    }

    /// Whether the disk has room for a batch.
    pub fn has_room(&self) -> bool {
        self.seen.lock().has_room()
    }
}

/// Answers everything of a batch that is not acknowledged.
pub(super) fn refuse_all<M>(waiting: UncommittedCommands<M>, why: &SubmitError) {
    for command in waiting {
        command.answer(Err(why.clone()));
    }
}

/// Answers what comes after the log has halted. True if the writer is to stop.
pub(super) fn refuse<M: Machine>(fault: &Fault, work: Work<M>) -> bool {
    match work {
        Work::Decide(command) => {
            command.answer(Err(fault.clone().into()));
            false
        }
        Work::Stop => true,
    }
}
