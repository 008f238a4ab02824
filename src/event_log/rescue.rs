//! Writes the readable part of a log under another name after its files were taken away from a running server.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::chain::Chain;
use super::copy::{CopyError, CopyWriter};
use super::error::{OpenError, ReadError};
use super::reader::{self, Base, MAX_PAGE_ROWS, Reader};
use super::store::sibling;

/// The most copies that lie beside a log.
const MAX_COPIES: u32 = 99;

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub(super) enum RescueError {
    #[error("{MAX_COPIES} copies are there already")]
    TooMany,
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("the copy does not read back as it was written")]
    Differs,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A copy that was saved and verified.
pub(super) struct Saved {
    pub(super) path: PathBuf,
    pub(super) base: Base,
    /// The error that kept it from holding more, if there was one.
    pub(super) stopped_by: Option<ReadError>,
}

/// The names of copies beside a log, in order.
fn names(database: &Path) -> impl Iterator<Item = PathBuf> {
    let first = database.with_extension("rescued.db");
    let numbered = first.clone();
    let more = (2..=MAX_COPIES).map(move |number| numbered.with_extension(format!("{number}.db")));
    std::iter::once(first).chain(more)
}

/// Refuses a log beside which a server has saved another one: only the operator knows which of them is wanted.
pub fn refuse_rescued(database: &Path) -> Result<(), OpenError> {
    let resolved = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let found = names(database).chain(names(&resolved)).find(|name| name.exists());
    found.map_or(Ok(()), |found| Err(OpenError::Rescued(found)))
}

/// Copies everything that the connection sees into a new file beside the log, and reads that back.
pub(super) fn save(connection: &Connection, database: &Path) -> Result<Saved, RescueError> {
    let path = names(database).find(|name| !name.exists()).ok_or(RescueError::TooMany)?;
    let unverified = path.with_extension("db.unverified");
    // The remains of an earlier attempt: a complete copy has another name.
    remove(&unverified);
    let saved = copy(connection, &unverified).and_then(|(base, stopped_by)| {
        if read_back(&unverified)? != base {
            return Err(RescueError::Differs);
        }
        fs::rename(&unverified, &path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())?;
        Ok(Saved { path, base, stopped_by })
    });
    if saved.is_err() {
        remove(&unverified);
    }
    saved
}

/// Removes a copy that is not wanted, with what SQLite may have left beside it.
fn remove(copy: &Path) {
    for path in ["", "-wal", "-shm", "-journal"].map(|suffix| sibling(copy, suffix)) {
        let _ = fs::remove_file(path); // Most are not there.
    }
}

fn copy(connection: &Connection, to: &Path) -> Result<(Base, Option<ReadError>), RescueError> {
    let (chain, mut base, mut copy) = (Chain::default(), Base::default(), CopyWriter::create(to)?);
    loop {
        match reader::page(connection, &chain, &mut base, MAX_PAGE_ROWS) {
            Ok(page) if page.is_empty() => {
                copy.finish()?;
                return Ok((base, None));
            }
            Ok(page) => copy.append(&page)?,
            Err(error) if base == Base::default() => return Err(error.into()),
            Err(error) => {
                copy.finish()?;
                return Ok((base, Some(error)));
            }
        }
    }
}

fn read_back(path: &Path) -> Result<Base, RescueError> {
    let (reader, mut base) = (Reader::open(path)?, Base::default());
    while !reader.next_page(&mut base, MAX_PAGE_ROWS)?.is_empty() {}
    Ok(base)
}
