//! Why a question about the past has no answer.

use super::AuditError;
use crate::domain::Position;
use crate::event_log::{Base, ReadError};

/// Why a question about the past has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The log ends before that position.
    #[error("the log has no position {position}; it ends at {head}")]
    Beyond {
        /// The position that was named.
        position: Position,
        /// The last position of the log.
        head: Position,
    },
    /// The question has more credentials than can be followed at once.
    #[error(
        "it has more than {limit} credentials; ask for one of them, or ask authledger-audit, which has no such limit"
    )]
    TooMany {
        /// The most that are followed.
        limit: usize,
    },
    /// The first point is not before the second.
    #[error("the first point is not before the second; name the earlier one first")]
    Order,
}

impl QuestionError {
    /// The audit's error, if the log can't be read.
    pub fn into_audit(self) -> Result<AuditError, Self> {
        match self {
            // Damage carries its own position.
            Self::Log(error) => Ok(AuditError::from_read(error, &Base::default())),
            other => Err(other),
        }
    }
}
