//! The files under the log's names. Only their names are looked at: a descriptor of our own would cost SQLite its
//! locks.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
#[cfg(feature = "server")]
use std::path::PathBuf;

#[cfg(feature = "server")]
use super::error::OpenError;
#[cfg(feature = "server")]
use super::store::open_for_writing;

/// The identity of a file, as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The file of that name.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// The log's three files as they were when it was opened.
#[cfg(feature = "server")]
#[derive(Clone, Debug)]
pub struct Files {
    database: (PathBuf, FileId),
    wal: (PathBuf, FileId),
    shared_memory: (PathBuf, FileId),
}

/// The sizes of the files now.
#[cfg(feature = "server")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    pub(super) database_bytes: u64,
    pub(super) wal_bytes: u64,
}

/// A log that is open for its writer, and the files that it was opened as.
#[cfg(feature = "server")]
pub struct OpenLog {
    pub(super) connection: rusqlite::Connection,
    pub(super) files: Files,
}

#[cfg(feature = "server")]
impl OpenLog {
    /// Opens the log for its writer, and makes it if there is none.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = open_for_writing(path)?;
        let closed = |source| OpenError::Closed { path: path.to_owned(), access: "writing", source };
        let files = Files::of(&connection).map_err(closed)?;
        Ok(Self { connection, files })
    }

    /// The files that it was opened as.
    pub fn files(&self) -> &Files {
        &self.files
    }
}

#[cfg(feature = "server")]
impl Files {
    /// The files that a connection has open.
    pub fn of(connection: &rusqlite::Connection) -> io::Result<Self> {
        // A log that was copied does not have a WAL before it is first read.
        let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        read.map_err(io::Error::other)?;
        // As SQLite has resolved it: the WAL lies at the target of a link.
        let path = PathBuf::from(connection.path().unwrap_or_default());
        let find = |path: PathBuf| FileId::find(&path).map(|id| (path, id));
        Ok(Self {
            wal: find(super::store::sibling(&path, "-wal"))?,
            shared_memory: find(super::store::sibling(&path, "-shm"))?,
            database: find(path)?,
        })
    }

    /// The database.
    pub(super) fn path(&self) -> &Path {
        &self.database.0
    }

    /// The inode of the shared memory, in which connections hold their locks.
    pub(super) fn shared_memory_inode(&self) -> u64 {
        self.shared_memory.1.inode
    }

    /// The sizes, if all three names stand for the opened files; else what happened to the first that does not.
    pub fn check(&self) -> Result<Sizes, String> {
        let database_bytes = len(&self.database)?;
        let wal_bytes = len(&self.wal)?;
        len(&self.shared_memory)?;
        Ok(Sizes { database_bytes, wal_bytes })
    }
}

#[cfg(feature = "server")]
fn len((path, id): &(PathBuf, FileId)) -> Result<u64, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match fs::metadata(path) {
        Ok(metadata) if FileId::of(&metadata) == *id => Ok(metadata.len()),
        Ok(_) => Err(format!("{name} was replaced while the server had it open")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{name} was deleted while the server had it open"))
        }
        Err(error) => Err(format!("{name} can't be found any more ({error})")),
    }
}
