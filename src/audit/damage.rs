//! The findings of an audit, apart from the reasons why it could not look.

use std::path::PathBuf;

use crate::domain::Position;
use crate::event_log::{Base, BrokenGuard, Damage, OpenError, ReadError, RecordError, SqliteError, is_corruption};

/// Why a log failed its verification. [`AuditError::is_damage`] tells findings from failures to look.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log could not be opened.
    #[error(transparent)]
    Open(OpenError),
    /// The log could not be read.
    #[error("read the event log: {0}; check the disk and the file's mode, and try again")]
    Sqlite(SqliteError),
    /// The file was taken away while it was read.
    #[error("read the event log: {} was deleted or replaced while it was read; try again", .0.display())]
    Replaced(PathBuf),
    /// A row breaks a rule of the log.
    #[error("position {position}: {damage}")]
    Damaged {
        /// The first bad position.
        position: Position,
        /// The rule.
        damage: Damage,
    },
    /// SQLite itself finds the file damaged.
    #[error("position {position}: the database can't be read from here on: {source}")]
    Corrupt {
        /// The first position that can't be read.
        position: Position,
        /// What SQLite said.
        source: SqliteError,
    },
    /// A row lies where no reader looks: positions count from 1.
    #[error("position {0}: positions count from 1, so no reader sees this row")]
    Outside(i64),
    /// The file's tables and triggers are not those that keep events from being changed.
    #[error("the database's {} {}, {}; {}", broken.name, broken.what, meaning(broken), found(events))]
    Schema {
        /// The table, index or trigger, and the problem with it.
        broken: BrokenGuard,
        /// The damage of the events, if there is any.
        events: Option<Box<AuditError>>,
    },
    /// The chain holds, but some of its records are of a later version.
    #[error(
        "position {position}: {error}; the chain holds over all {} records, and {unreadable} can't be read: run the version \
         of authledger that wrote them", base.position
    )]
    Unreadable {
        /// The first of them.
        position: Position,
        /// Its type and version.
        error: RecordError,
        /// How many there are.
        unreadable: u64,
        /// The place up to which the chain was followed.
        base: Base,
    },
}

impl From<OpenError> for AuditError {
    /// A file that can't be opened because it is damaged is a finding.
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Unusable { source, .. } if is_corruption(&source) => {
                Self::Corrupt { position: Position(1), source }
            }
            OpenError::NoDatabase { source, .. } => Self::Corrupt { position: Position(1), source },
            error => Self::Open(error),
        }
    }
}

fn meaning(broken: &BrokenGuard) -> String {
    match &broken.mend {
        Some(statement) => format!("which {statement} removes"),
        None => "so nothing has been guarding the events".to_owned(),
    }
}

fn found(events: &Option<Box<AuditError>>) -> String {
    events.as_ref().map_or_else(|| "they themselves are complete".to_owned(), ToString::to_string)
}

impl AuditError {
    /// Whether the log is damaged, rather than the attempt to read it failed.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Open(_) | Self::Sqlite(_) | Self::Replaced(_))
    }

    /// The first bad position, if there is one.
    pub fn position(&self) -> Option<i64> {
        match self {
            Self::Damaged { position, .. } | Self::Corrupt { position, .. } | Self::Unreadable { position, .. } => {
                Some(position.0.cast_signed())
            }
            Self::Outside(position) => Some(*position),
            Self::Schema { events, .. } => events.as_ref().and_then(|events| events.position()),
            Self::Open(_) | Self::Sqlite(_) | Self::Replaced(_) => None,
        }
    }

    /// The meaning of a reading that failed at `base`.
    pub(super) fn from_read(error: ReadError, base: &Base) -> Self {
        match error {
            ReadError::Damaged { position, damage } => Self::Damaged { position, damage },
            ReadError::Sqlite(source) if is_corruption(&source) => {
                Self::Corrupt { position: base.position.next(), source }
            }
            ReadError::Sqlite(source) => Self::Sqlite(source),
            ReadError::Replaced(path) => Self::Replaced(path),
        }
    }
}
