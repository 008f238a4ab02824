//! Questions about the past, answered from the log and its index.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use super::log_readers::LogReaders;
use super::machine::{Committed, Filed};
use super::records::{ENOUGH_BYTES, audit_everywhere};
use super::shares::{Bounds, Party};
use super::{CallerIdentity, Error, Failure, Service};
use crate::audit::{self, CredentialStanding, LogPrefix, Lookup, Point, QuestionError};
use crate::domain::{Position, Recorded};
use crate::event_log::{ChainHash, ReadError, Reader, StoredRecord};
use crate::index::{self, Finder, IndexableRecord, Indexing};

/// The most records in one page of a history.
pub const MAX_TOLD: usize = 1_000;
/// The most credentials of a subject that a question follows.
pub const MAX_FOLLOWED: usize = 100_000;
/// Questions that are answered at the same time, and of one tenant; without an index each may read the whole log. Then
/// the questions that one caller, one tenant, and all together may have asked; a caller that asks more is told to come
/// again.
const QUESTIONS: Bounds = Bounds { turns: 4, turns_of_tenant: 2, caller: 64, tenant: 128, all: 1_024 };

/// Questions about the past are never urgent.
const NICENESS: i32 = 10;

/// Look-ups that commands wait for: at the same time, and as above.
const RECALLS: Bounds = Bounds { turns: 2, turns_of_tenant: 1, caller: 64, tenant: 128, all: 1_024 };

/// Commands wait for these.
const RECALL_NICENESS: i32 = 5;

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogQuestionError {
    /// Any call may have this reason.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The log ends before that position.
    #[error("the log ends at position {head}")]
    Beyond {
        /// The last position.
        head: Position,
    },
    /// The subject has more than [`MAX_FOLLOWED`] credentials.
    #[error(
        "the subject has more than {MAX_FOLLOWED} credentials; ask for one of them, or ask authledger-audit history, which has no such limit"
    )]
    TooMany,
}

impl From<Failure> for LogQuestionError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.into())
    }
}

impl From<QuestionError> for LogQuestionError {
    fn from(error: QuestionError) -> Self {
        match error {
            QuestionError::Beyond { head, .. } => Self::Beyond { head },
            QuestionError::TooMany { .. } => Self::TooMany,
            QuestionError::Log(error) => Self::Failed(error.into()),
            // Only a comparison has two points, and none is requested here.
            QuestionError::Order => Failure::internal(None, "a question about one point was told of two").into(),
        }
    }
}

impl From<ReadError> for LogQuestionError {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// Records, in the order of their positions.
    pub records: Vec<StoredRecord>,
    /// Whether there are more beyond the last of them.
    pub more: bool,
}

/// The means of answering questions.
pub(super) struct Questions {
    indexing: OnceLock<Arc<Indexing>>,
    pub(super) readers: LogReaders,
    /// For look-ups that commands wait for: they do not wait for questions.
    recalls: LogReaders,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            indexing: OnceLock::new(),
            readers: LogReaders::new(QUESTIONS, NICENESS),
            recalls: LogReaders::new(RECALLS, RECALL_NICENESS),
        }
    }
}

/// A durable record, as the index's thread gets it.
pub struct IndexedRecord {
    filed: Arc<Filed>,
    hash: ChainHash,
}

impl From<&Committed> for IndexedRecord {
    fn from(committed: &Committed) -> Self {
        Self { filed: committed.filed.clone(), hash: committed.hash }
    }
}

impl IndexableRecord for IndexedRecord {
    fn position(&self) -> Position {
        self.filed.position
    }

    fn recorded(&self) -> &Recorded {
        &self.filed.recorded
    }

    fn hash(&self) -> ChainHash {
        self.hash
    }
}

impl Service {
    /// Makes questions also look into the memory of that thread. Call it once; without it they read the newest records.
    pub fn use_index(&self, indexing: Arc<Indexing>) {
        // A second one would belong to the same log.
        let _ = self.questions.indexing.set(indexing);
    }

    /// Stops the index's thread, if there is one, and waits for it.
    pub(super) fn stop_index(&self) {
        self.questions.indexing.get().into_iter().for_each(|indexing| indexing.stop());
    }

    /// A page of the history of a subject or credential beyond that position: at most `limit` and [`MAX_TOLD`] records,
    /// and about 8 MiB. Needs `audit` in every tenant.
    pub async fn history(
        &self,
        identity: &CallerIdentity,
        asked: Lookup,
        after: Position,
        limit: usize,
    ) -> Result<HistoryPage, LogQuestionError> {
        audit_everywhere(identity)?;
        let limit = limit.min(MAX_TOLD);
        self.ask(&Party::of(identity), move |_, finder| {
            let mut page = HistoryPage { records: Vec::new(), more: false };
            let mut bytes = 0;
            audit::history(finder, &asked, after, MAX_FOLLOWED, &mut |_, _| (), &mut |told| {
                if page.records.len() == limit || bytes >= ENOUGH_BYTES {
                    page.more = true;
                    return ControlFlow::Break(());
                }
                bytes += told.stored.record.len();
                page.records.push(told.stored);
                ControlFlow::Continue(())
            })?;
            Ok(page)
        })
        .await
    }

    /// The verdicts at that point, in the order of issue: at most `limit` after that position, and one more if there is
    /// one. Needs `audit` in every tenant.
    pub async fn as_of(
        &self,
        identity: &CallerIdentity,
        asked: Lookup,
        point: Point,
        after: Position,
        limit: usize,
    ) -> Result<(LogPrefix, Vec<CredentialStanding>), LogQuestionError> {
        audit_everywhere(identity)?;
        self.ask(&Party::of(identity), move |reader, finder| {
            let prefix = LogPrefix::of(point, reader, finder.head())?;
            let mut standings = audit::as_of(reader, finder, &asked, &prefix, MAX_FOLLOWED, &mut |_, _| ())?;
            standings.retain(|one| one.issued.as_ref().is_none_or(|issued| issued.position > after));
            standings.truncate(limit + 1);
            Ok((prefix, standings))
        })
        .await
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        party: &Party,
        answer: impl FnOnce(&Reader, &mut Finder<'_>) -> Result<T, LogQuestionError> + Send + 'static,
    ) -> Result<T, LogQuestionError> {
        self.ask_in_turn(&self.questions.readers, party, answer).await
    }

    /// Like [`Service::ask`], for a command.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        party: &Party,
        answer: impl FnOnce(&mut Finder<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Failure> {
        let answer = |_: &Reader, finder: &mut Finder<'_>| answer(finder).map_err(Failure::from);
        self.ask_in_turn(&self.questions.recalls, party, answer).await
    }

    async fn ask_in_turn<T: Send + 'static, E: From<Failure> + From<ReadError> + Send + 'static>(
        &self,
        readers: &LogReaders,
        party: &Party,
        answer: impl FnOnce(&Reader, &mut Finder<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (reader, indexing) = (self.log.reader.clone(), self.questions.indexing.get().cloned());
        let answered = readers.read(party, move || {
            // Before the files are read: entries that move from memory to a file meanwhile are then in both.
            let tail = indexing.as_ref().and_then(|indexing| indexing.tail());
            let mut finder = Finder::new(&reader, &index::beside(reader.path()), tail)?;
            let answer = answer(&reader, &mut finder);
            if let (Some(indexing), false) = (&indexing, finder.unusable().is_empty()) {
                indexing.mend();
            }
            answer
        });
        answered.await?
    }
}
