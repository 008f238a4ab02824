//! Reading with two threads: one follows the chain, the other makes something of the records.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::AuditError;
use crate::domain::Position;
use crate::event_log::{Base, MAX_PAGE_ROWS, Reader, StoredRecord};

/// Pages that are read ahead: enough to keep both threads busy, few enough to bound memory.
pub(super) const READ_AHEAD: usize = 4;

/// Reads the log up to that position, page by page, while `take` works on the pages read before on a thread of its own.
///
/// Returns where the reading ended, and what `take` made of it. The first thing that is wrong, in the order of positions, wins.
/// `progress` is called once a page with the position reached and the last one.
pub(super) fn read<T: Send>(
    reader: &Reader,
    until: Position,
    progress: &mut impl FnMut(Position, Position),
    take: impl FnOnce(Receiver<Vec<StoredRecord>>) -> Result<T, AuditError> + Send,
) -> Result<(Base, T), AuditError> {
    thread::scope(|scope| {
        let (pages, taken) = sync_channel(READ_AHEAD);
        let taker = scope.spawn(move || take(taken));
        let mut base = Base::default();
        let mut read = || {
            while base.position < until {
                let limit = (until.0 - base.position.0).min(MAX_PAGE_ROWS as u64) as usize;
                let page = reader.next_page(&mut base, limit).map_err(|error| AuditError::from_read(error, &base))?;
                // Rows don't go; a page that is empty before the end means that they did.
                if page.is_empty() || pages.send(page).is_err() {
                    break;
                }
                progress(base.position, until);
            }
            Ok(())
        };
        let read: Result<(), AuditError> = read();
        drop(pages);
        // What the other thread found lies before what stopped this one.
        let made = taker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        read.map(|()| (base, made))
    })
}
