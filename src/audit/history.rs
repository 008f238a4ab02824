//! What happened to a subject or a credential, in the order of the log.

use std::ops::ControlFlow;

use super::gathered::gather;
use super::point::Prefix;
use super::{Asked, QuestionError};
use crate::domain::{Position, Recorded, Timestamp};
use crate::event_log::StoredRecord;
use crate::index::Finder;

/// A record of a history.
#[derive(Clone, Debug)]
pub struct Told {
    /// The record, byte for byte.
    pub stored: StoredRecord,
    /// What it says.
    pub recorded: Recorded,
    /// Of a record of uses: when the tickets that were asked for were used, among all that it is about.
    pub used_at: Vec<Timestamp>,
}

/// Gives `take` the records of a history beyond `after`, in the order of their positions, until it breaks off.
///
/// A credential's are its issue, uses, extensions and endings, the endings of its session, and those of all that its subject
/// had where they hit it: one that it was issued after did not. Endings that were recorded by digest alone, before or without
/// an issue, are among them where they hold for its tenant and subject. A subject's are all that name it, the uses of its
/// tickets, and the endings of its credentials that name nobody. Sealed parts stay sealed.
///
/// More than `limit` credentials are refused. `progress` is called while the log has to be read, with the position reached and
/// the head.
pub fn history(
    finder: &mut Finder<'_>,
    asked: &Asked,
    after: Position,
    limit: usize,
    progress: &mut dyn FnMut(Position, Position),
    take: &mut dyn FnMut(Told) -> ControlFlow<()>,
) -> Result<(), QuestionError> {
    let until = finder.head();
    let everything = Prefix { at: Timestamp::default(), until, recorded_by: None };
    let gathered = gather(finder, asked, &everything, limit, progress)?;
    let sought = gathered.sought();
    // Broken off or not: what was wanted has been given.
    let _ = finder.find(&sought, after, until, progress, &mut |stored, recorded| {
        if !gathered.tells(asked, &recorded) {
            return ControlFlow::Continue(());
        }
        let used_at = gathered.uses(&recorded);
        take(Told { stored, recorded, used_at })
    })?;
    Ok(())
}
