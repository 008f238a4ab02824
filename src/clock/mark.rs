//! `DATA/clock`: the progress of ledger time on disk, so that a start does not depend on the wall clock alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::{Origin, Timestamp};

const FORMAT: u32 = 1;
/// No mark is larger: a wrong file can't fill the memory.
const MAX_BYTES: u64 = 4_096;

/// The mark of ledger time on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockMark {
    /// Ledger time when it was written.
    pub ledger_time: Timestamp,
    /// Everything that had not expired at this instant is still kept.
    pub forgotten_at: Timestamp,
    /// For how long a jump had been unsettled, in milliseconds; 0 without one.
    pub unsettled_millis: u64,
    /// An earlier time that was accepted, until the credentials recorded beyond it are revoked.
    pub accepted: Option<AcceptedTime>,
}

/// An accepted time that lies before the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedTime {
    /// The accepted instant. Records of the origin beyond it have too late a time.
    pub at: Timestamp,
    /// The origin that was written then.
    pub origin: Origin,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkFile {
    format: u32,
    ledger_time: u64,
    forgotten_at: u64,
    #[serde(default)]
    unsettled_millis: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted: Option<AcceptedForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptedForm {
    at: u64,
    origin: String,
}

/// The path of the mark in a data directory.
pub fn mark_file(data: &Path) -> PathBuf {
    data.join("clock")
}

impl ClockMark {
    /// The mark of a data directory; none if it has never had a server with marks.
    pub fn load(data: &Path) -> io::Result<Option<Self>> {
        let path = mark_file(data);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if length > MAX_BYTES {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is too large"));
        }
        let form: MarkFile = serde_json::from_slice(&fs::read(&path)?)?;
        form.into_mark().map(Some).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it does not have its form"))
    }

    /// Writes it, whole or not at all; when this returns, it survives a loss of power.
    pub fn store(&self, data: &Path) -> io::Result<()> {
        let accepted = self
            .accepted
            .map(|accepted| AcceptedForm { at: accepted.at.as_millis(), origin: accepted.origin.to_string() });
        let form = MarkFile {
            format: FORMAT,
            ledger_time: self.ledger_time.as_millis(),
            forgotten_at: self.forgotten_at.as_millis(),
            unsettled_millis: self.unsettled_millis,
            accepted,
        };
        let path = mark_file(data);
        let unfinished = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(&serde_json::to_vec(&form)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(data)?.sync_all()
    }
}

impl MarkFile {
    fn into_mark(self) -> Option<ClockMark> {
        if self.format != FORMAT {
            return None;
        }
        let accepted = match self.accepted {
            Some(form) => {
                Some(AcceptedTime { at: Timestamp::from_millis(form.at)?, origin: form.origin.parse().ok()? })
            }
            None => None,
        };
        Some(ClockMark {
            ledger_time: Timestamp::from_millis(self.ledger_time)?,
            forgotten_at: Timestamp::from_millis(self.forgotten_at)?,
            unsettled_millis: self.unsettled_millis,
            accepted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_mark_is_read_back_and_a_damaged_one_is_an_error() {
        let data = tempfile::tempdir().expect("a directory");
        assert_eq!(ClockMark::load(data.path()).expect("readable"), None);
        let at = |millis| Timestamp::from_millis(millis).expect("within bounds");
        let accepted = AcceptedTime { at: at(5), origin: "k7m2qx4dnzr5a".parse().expect("an origin") };
        for accepted in [None, Some(accepted)] {
            let mark = ClockMark { ledger_time: at(9), forgotten_at: at(7), unsettled_millis: 3, accepted };
            mark.store(data.path()).expect("stored");
            assert_eq!(ClockMark::load(data.path()).expect("readable"), Some(mark));
        }
        for broken in ["", "{}", r#"{"format":2,"ledger_time":1,"forgotten_at":1}"#] {
            fs::write(mark_file(data.path()), broken).expect("written");
            assert!(ClockMark::load(data.path()).is_err(), "{broken}");
        }
    }
}
