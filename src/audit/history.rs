//! The history of a subject or a credential, in the order of the log.

use std::ops::ControlFlow;

use super::gathered::gather;
use super::point::LogPrefix;
use super::{Lookup, QuestionError};
use crate::domain::{Position, Recorded, Timestamp};
use crate::event_log::StoredRecord;
use crate::index::Finder;

/// A record of a history.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// The record, byte for byte.
    pub stored: StoredRecord,
    /// The decoded record.
    pub recorded: Recorded,
    /// For a record of uses: when the tickets in the question were used, among all that it is about.
    pub used_at: Vec<Timestamp>,
}

/// Gives `take` the records of a history after `after`, in the order of their positions, until it breaks off.
///
/// The history of a credential has its issue, uses, extensions and revocations, the revocations of its session, and
/// those of everything that its subject had if they reached it: one before its issue did not. Revocations that were
/// recorded by digest alone, before or without an issue, are included if they hold for its tenant and subject. The
/// history of a subject has all records that name it, the uses of its tickets, and the revocations of its credentials
/// that do not name a subject. Sealed parts stay sealed.
///
/// More than `limit` credentials are refused. `progress` is called while the log has to be read, with the position reached and
/// the head.
pub fn history(
    finder: &mut Finder<'_>,
    asked: &Lookup,
    after: Position,
    limit: usize,
    progress: &mut dyn FnMut(Position, Position),
    take: &mut dyn FnMut(HistoryRecord) -> ControlFlow<()>,
) -> Result<(), QuestionError> {
    let until = finder.head();
    let everything = LogPrefix { at: Timestamp::default(), until, recorded_by: None };
    let gathered = gather(finder, asked, &everything, limit, progress)?;
    let sought = gathered.sought();
    // Broken off or not: the requested records have been given.
    let _ = finder.find(&sought, after, until, progress, &mut |stored, recorded| {
        if !gathered.tells(asked, &recorded) {
            return ControlFlow::Continue(());
        }
        let used_at = gathered.uses(&recorded);
        take(HistoryRecord { stored, recorded, used_at })
    })?;
    Ok(())
}
