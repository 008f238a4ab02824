//! A log copied into a file of its own: the same schema, the same rows, and the same triggers that refuse any row out
//! of order.
//!
//! The copy is written without a sync until it is complete, so a crash in between leaves nothing that could be taken for one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::OpenError;
use super::reader::StoredRecord;
use super::store;

/// Why a copy can't be written.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file can't be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite could not write a row.
    #[error("write {}: {source}; check the space on that disk, and start the copy again", path.display())]
    Write { path: PathBuf, source: rusqlite::Error },
    /// The system could not make the copy durable.
    #[error("make {} durable: {source}; check that disk, and start the copy again", path.display())]
    Sync { path: PathBuf, source: io::Error },
}

/// A copy that is being written.
pub struct CopyWriter {
    connection: Connection,
    path: PathBuf,
}

impl CopyWriter {
    /// Makes the file, mode 0600. No file of that name may exist.
    pub fn create(path: &Path) -> Result<Self, CopyError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map_err(|source| CopyError::Sync { path: path.to_owned(), source })?;
        let connection = store::open_for_writing(path)?;
        // One plain file: a copy does not have a write-ahead log beside it, and can be read from a read-only disk.
        let settings = "PRAGMA journal_mode = delete; PRAGMA journal_mode = memory; PRAGMA synchronous = off; \
                        PRAGMA locking_mode = exclusive;";
        let copy = Self { connection, path: path.to_owned() };
        copy.connection.execute_batch(settings).map_err(|error| copy.failed(error))?;
        Ok(copy)
    }

    /// Adds the next records, exactly as they are stored.
    pub fn append(&mut self, page: &[StoredRecord]) -> Result<(), CopyError> {
        let path = self.path.clone();
        self.insert(page).map_err(|source| CopyError::Write { path, source })
    }

    /// Closes the file and makes it durable.
    pub fn finish(self) -> Result<(), CopyError> {
        let Self { connection, path } = self;
        connection.close().map_err(|(_, source)| CopyError::Write { path: path.clone(), source })?;
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|source| CopyError::Sync { path, source })
    }

    fn insert(&mut self, page: &[StoredRecord]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for stored in page {
                insert.execute((
                    stored.position.0.cast_signed(),
                    stored.place.origin.as_str(),
                    stored.place.sequence.0.cast_signed(),
                    stored.stored_at.as_millis().cast_signed(),
                    &*stored.record,
                    &stored.hash.0[..],
                ))?;
            }
        }
        transaction.commit()
    }

    fn failed(&self, source: rusqlite::Error) -> CopyError {
        CopyError::Write { path: self.path.clone(), source }
    }
}
