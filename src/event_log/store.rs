//! The SQLite file: how it is made, recognised and opened.
//!
//! Nothing in this process opens the file, its WAL or its shared memory but SQLite. POSIX drops *all* locks of a
//! process on a file as soon as *any* of its descriptors of that file is closed; another process would then believe
//! itself to be the last one, and delete the WAL under a server that still writes to it. Everything about a file is
//! learned from SQLite, or by name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::error::OpenError;
use super::schema;

/// The format of the file that this version writes: its `user_version`.
pub const FORMAT: i64 = 1;
/// The file's `application_id`: "aled".
const APPLICATION_ID: i64 = 0x616c_6564;
/// The first release without the corruption that a WAL reset could cause.
const SAFE_SQLITE: i32 = 3_051_003;
/// How long to wait for the lock of another connection, or of another program.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The size to which the WAL's file is cut when it starts anew; a smaller one is not cut.
pub(super) const WAL_KEPT_BYTES: u64 = 128 << 20;

/// A data directory that this process has for itself.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// The lock is released with the descriptor, so also when the process is killed.
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory if it is missing (mode 0700) and locks it.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Directory { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"));
        let lock = open.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The event log in it.
    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger.db")
    }
}

/// Opens the log for its writer, and makes it if there is none.
#[expect(clippy::disallowed_methods, reason = "the one place that opens the log for writing")]
pub fn open_for_writing(path: &Path) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < SAFE_SQLITE {
        return Err(OpenError::UnsafeSqlite(rusqlite::version()));
    }
    create(path)?;
    refuse_closed(path, Access::READ_OK, "reading")?;
    refuse_closed(path, Access::WRITE_OK, "writing")?;
    let connection = Connection::open(path).map_err(|source| unusable(path, "writing", source))?;
    prepare(&connection, path)?;
    sync_directory(path).map_err(|source| OpenError::Directory { path: path.to_owned(), source })?;
    Ok(connection)
}

/// Opens the log for reading only, beside a server or without one.
#[expect(clippy::disallowed_methods, reason = "the one place that opens the log for reading")]
pub fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    match fs::metadata(path).map(|metadata| metadata.is_file()) {
        Ok(true) => {}
        Err(source) if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(OpenError::Closed { path: path.to_owned(), access: "reading", source });
        }
        Ok(false) | Err(_) => return Err(OpenError::Absent(path.to_owned())),
    }
    refuse_closed(path, Access::READ_OK, "reading")?;
    let unusable = |source| unusable(path, "reading", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(path, flags).map_err(unusable)?;
    if recognise(&connection, path).is_ok() {
        return Ok(connection);
    }
    // A directory that can't be written to cannot hold SQLite's shared memory. Without a WAL it is not needed.
    let wal_is_empty = fs::metadata(sibling(path, "-wal")).map_or(true, |wal| wal.len() == 0);
    if !wal_is_empty {
        recognise(&connection, path)?;
        return Ok(connection);
    }
    let immutable = format!("file:{}?immutable=1", uri_path(path));
    let connection = Connection::open_with_flags(immutable, flags).map_err(unusable)?;
    recognise(&connection, path)?;
    Ok(connection)
}

/// Whether that error says that another connection has a lock, and nothing about the disk.
#[cfg(feature = "server")]
pub(super) fn is_lock(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::FileLockingProtocolFailed))
}

/// The file beside the database that SQLite gives that suffix.
pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn uri_path(path: &Path) -> String {
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

/// Makes the file where there is none, before SQLite would, so that nobody else may read it; SQLite gives the WAL the same mode.
///
/// An existing file is not opened. Nobody can have locked a file that did not exist.
fn create(path: &Path) -> Result<(), OpenError> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(OpenError::Closed { path: path.to_owned(), access: "writing", source }),
    }
}

/// The reason why this user cannot open the file, found by name: SQLite only says that it can't.
fn refuse_closed(path: &Path, rights: Access, access: &'static str) -> Result<(), OpenError> {
    accessat(CWD, path, rights, AtFlags::EACCESS).map_err(|error| OpenError::Closed {
        path: path.to_owned(),
        access,
        source: error.into(),
    })
}

/// The meaning of an SQLite error for a caller that wanted to open the file.
fn unusable(path: &Path, access: &'static str, source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NoDatabase { path: path.to_owned(), source },
        _ => OpenError::unusable(path, access, source),
    }
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let unusable = |source| unusable(path, "writing", source);
    connection.busy_timeout(LOCK_WAIT).map_err(unusable)?;
    let empty =
        tables(connection).map_err(unusable)? == 0 && pragma(connection, "application_id").map_err(unusable)? == 0;
    if empty {
        connection.pragma_update(None, "page_size", 16_384).map_err(unusable)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(unusable)?;
        let create = format!("BEGIN IMMEDIATE; {} COMMIT;", schema::SQL);
        connection.execute_batch(&create).map_err(unusable)?;
    }
    recognise(connection, path)?;
    if let Some(broken) = schema::changes(connection).map_err(unusable)?.broken {
        return Err(OpenError::Altered { path: path.to_owned(), broken });
    }
    let settings = format!(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA journal_size_limit = {WAL_KEPT_BYTES}; PRAGMA trusted_schema = off; PRAGMA cache_size = -16384;"
    );
    connection.execute_batch(&settings).map_err(unusable)
}

fn recognise(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let unusable = |source| unusable(path, "reading", source);
    let application = pragma(connection, "application_id").map_err(unusable)?;
    let format = pragma(connection, "user_version").map_err(unusable)?;
    if application != APPLICATION_ID {
        let what = format!("SQLite, application id {application}");
        return Err(OpenError::Foreign { path: path.to_owned(), what });
    }
    if format > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found: format, readable: FORMAT });
    }
    if format != FORMAT {
        return Err(OpenError::Foreign { path: path.to_owned(), what: format!("format {format}") });
    }
    Ok(())
}

pub(super) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

/// Makes a new file's name as durable as its contents.
fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
