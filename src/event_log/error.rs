//! Errors of the log. Each sentence says what went wrong, where, and what to do next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::ChainHash;
use super::record::RecordError;
use super::schema::BrokenGuard;
use crate::domain::{Origin, Position, Sequence};

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory can't be made or used.
    #[error("the data directory {} can't be used: {source}; make it a directory that this user may write to, or name another with --data", path.display())]
    Directory { path: PathBuf, source: io::Error },
    /// Another process has locked the directory.
    #[error("the data directory {} is in use by another authledger; stop that one, or name another directory with --data", .0.display())]
    Locked(PathBuf),
    /// There is no ledger at that path.
    #[error("there is no ledger at {}; name a data directory, or the ledger.db in it", .0.display())]
    Absent(PathBuf),
    /// The file is something else.
    #[error("{} is not an authledger event log ({what}); it was left as it is: move it away, or name another data directory", path.display())]
    Foreign {
        path: PathBuf,
        /// The kind of file that it seems to be.
        what: String,
    },
    /// SQLite cannot read the file.
    #[error("{} is not an authledger event log (it is not an SQLite database); it was left as it is: move it away, or name another data directory", path.display())]
    NoDatabase { path: PathBuf, source: rusqlite::Error },
    /// A table, index or trigger that keeps events from being changed is not as it was made.
    #[error("{}: its {} {}, so somebody may have changed what is in it; it was left as it is: check it with authledger-audit verify, and {}", path.display(), broken.name, broken.what, advice(broken))]
    Altered {
        path: PathBuf,
        /// The object that no longer guards the events, or may change or refuse them.
        broken: BrokenGuard,
    },
    /// A server saved its log under another name, because the files under the usual ones were taken away from it.
    #[error("{} holds what a running server saved as its files were deleted or replaced, and the files beside it may lack records that were acknowledged: move ledger.db, ledger.db-wal and ledger.db-shm away and rename it to ledger.db, or, if it is not wanted, move it away", .0.display())]
    Rescued(PathBuf),
    /// The file's format is a later one.
    #[error("{} has event log format {found}, and this version of authledger reads up to {readable}; run the version that wrote it", path.display())]
    Newer {
        path: PathBuf,
        /// The format that it has.
        found: i64,
        /// The latest that this version reads.
        readable: i64,
    },
    /// The file is closed to this user, or the system can't open it.
    #[error("{} can't be opened for {access}: {source}; check the owner and mode of the file and its directory, and the space on the disk", path.display())]
    Closed {
        path: PathBuf,
        /// `reading` or `writing`.
        access: &'static str,
        source: io::Error,
    },
    /// The file can be opened, but not read or written.
    #[error("{} can't be opened for {access}: {source}; check the owner and mode of the file and its directory, and the space on the disk", path.display())]
    Unusable {
        path: PathBuf,
        /// `reading` or `writing`.
        access: &'static str,
        source: rusqlite::Error,
    },
    /// The SQLite library has a known corruption bug.
    #[error(
        "this authledger was built with SQLite {0}, which can corrupt a log when its WAL is reset; build it with 3.51.3 or later"
    )]
    UnsafeSqlite(&'static str),
}

/// The advice that mends a schema.
fn advice(broken: &BrokenGuard) -> String {
    match &broken.mend {
        Some(statement) => format!("if only that is found, remove it with sqlite3: {statement}"),
        None => "continue from a backup (authledger restore)".to_owned(),
    }
}

impl OpenError {
    pub(super) fn unusable(path: &Path, access: &'static str, source: rusqlite::Error) -> Self {
        Self::Unusable { path: path.to_owned(), access, source }
    }
}

/// Why a stored event can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// SQLite or the system failed.
    #[error("read the event log: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The name stands for another file than the one that was opened.
    #[error("read the event log: {} was deleted or replaced while it was open", .0.display())]
    Replaced(PathBuf),
    /// A row breaks a rule of the log.
    #[error("position {position}: {damage}")]
    Damaged {
        position: Position,
        /// The rule.
        damage: Damage,
    },
}

/// Which rule of the log a row breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A position is left out.
    #[error("this position is missing; the next one is {next}")]
    MissingPosition {
        /// The position that follows the hole.
        next: Position,
    },
    /// A row that was written is missing.
    #[error("the record that was written there is missing")]
    Absent,
    /// A column has a value of another type or length.
    #[error("a column has a value of the wrong type or length")]
    Column,
    /// The origin's sequence does not increase by one.
    #[error("origin {origin} continues with sequence {found} where {expected} is due")]
    Sequence {
        origin: Origin,
        expected: Sequence,
        /// The stored sequence.
        found: Sequence,
    },
    /// The hash does not follow from the one before and the record.
    #[error("the stored hash {stored} is not that of the chain and the record, {computed}")]
    Hash {
        stored: ChainHash,
        /// The hash that follows from the bytes.
        computed: ChainHash,
    },
    /// The record breaks the definition of a record.
    #[error("{0}")]
    Record(RecordError),
    /// The columns and the record name different places.
    #[error("the record says {record_origin} {record_sequence} where the columns say {origin} {sequence}")]
    Place {
        /// The column.
        origin: Origin,
        /// The column.
        sequence: Sequence,
        /// The record's member.
        record_origin: Origin,
        /// The record's member.
        record_sequence: Sequence,
    },
    /// The origin's clock went back.
    #[error("it was recorded before the one that precedes it in its origin")]
    ClockWentBack,
    /// An origin does not start with the record that opens it.
    #[error("origin {0} does not start with ledger.opened, or holds a second one")]
    Opening(Origin),
    /// An origin belongs to another ledger.
    #[error("origin {0} was opened for another ledger")]
    OtherLedger(Origin),
}

/// The machine failed: nothing more is written. Shared, because every waiting caller gets it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("write the event log: {0}; nothing more is written until the cause is fixed and authledger is restarted")]
pub struct Fault(pub Arc<str>);

/// Whether SQLite says that the file itself is damaged, and not that something kept it from reading.
pub fn is_corruption(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}
