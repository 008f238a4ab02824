//! The SQLite file: how it is made, recognised and opened.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::OpenError;

/// The format of the file that this version writes: its `user_version`.
pub const FORMAT: i64 = 1;
/// The file's `application_id`: "aled".
const APPLICATION_ID: i64 = 0x616c_6564;
const SCHEMA: &str = include_str!("../../schema/ledger.sql");
/// The first release without the corruption that a WAL reset could cause.
const SAFE_SQLITE: i32 = 3_051_003;
/// How long to wait for another connection's lock: only recovery and the start of a WAL hold one.
const BUSY_MILLIS: u64 = 5_000;

/// A data directory that this process has for itself.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// The lock goes with the descriptor, so also when the process is killed.
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
pub fn open_for_writing(path: &Path) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < SAFE_SQLITE {
        return Err(OpenError::UnsafeSqlite(rusqlite::version()));
    }
    refuse_foreign(path)?;
    let unusable = |source| OpenError::unusable(path, "writing", source);
    // Made before SQLite would, so that nobody else may read it; SQLite gives the WAL the same mode.
    let create = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    create.map_err(|source| OpenError::Closed { path: path.to_owned(), access: "writing", source })?;
    let connection = Connection::open(path).map_err(unusable)?;
    prepare(&connection, path)?;
    sync_directory(path).map_err(|source| OpenError::Directory { path: path.to_owned(), source })?;
    Ok(connection)
}

/// Opens the log for reading only, beside a server or without one.
pub fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    match fs::metadata(path).map(|metadata| metadata.is_file()) {
        Ok(true) => {}
        Err(source) if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(OpenError::Closed { path: path.to_owned(), access: "reading", source });
        }
        Ok(false) | Err(_) => return Err(OpenError::Absent(path.to_owned())),
    }
    refuse_foreign(path)?;
    let unusable = |source| OpenError::unusable(path, "reading", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(path, flags).map_err(unusable)?;
    if recognise(&connection, path).is_ok() {
        return Ok(connection);
    }
    // A directory that can't be written to has no room for SQLite's shared memory. Without a WAL none is needed.
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

/// The first table, index or trigger that is not the one of the schema, and what is wrong with it.
pub fn altered(connection: &Connection) -> rusqlite::Result<Option<(String, &'static str)>> {
    let empty = Connection::open_in_memory()?;
    empty.execute_batch(SCHEMA)?;
    let (found, due) = (schema(connection)?, schema(&empty)?);
    for (name, text) in &due {
        match found.get(name) {
            None => return Ok(Some((name.clone(), "is missing"))),
            Some(found) if found != text => return Ok(Some((name.clone(), "is not the one of schema/ledger.sql"))),
            Some(_) => {}
        }
    }
    let foreign = found.into_keys().find(|name| !due.contains_key(name));
    Ok(foreign.map(|name| (name, "does not belong into a ledger")))
}

/// The text of every table, index and trigger, by name. An index that a constraint makes has none.
fn schema(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut select = connection.prepare("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema")?;
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn uri_path(path: &Path) -> String {
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

/// Looks at the first bytes before SQLite does, so that another program's file is never written to.
fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    use std::io::Read as _;
    let mut head = [0; 16];
    let read = match File::open(path) {
        Ok(mut file) => file.read(&mut head),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    match read {
        Ok(0) => Ok(()),
        Ok(16) if &head == b"SQLite format 3\0" => Ok(()),
        Ok(_) => Err(OpenError::Foreign { path: path.to_owned(), what: "it is no SQLite database".to_owned() }),
        Err(source) => Err(OpenError::Closed { path: path.to_owned(), access: "reading", source }),
    }
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let unusable = |source| OpenError::unusable(path, "writing", source);
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_MILLIS)).map_err(unusable)?;
    let empty =
        tables(connection).map_err(unusable)? == 0 && pragma(connection, "application_id").map_err(unusable)? == 0;
    if empty {
        connection.pragma_update(None, "page_size", 16_384).map_err(unusable)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(unusable)?;
        let create = format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;");
        connection.execute_batch(&create).map_err(unusable)?;
    }
    recognise(connection, path)?;
    if let Some((name, what)) = altered(connection).map_err(unusable)? {
        return Err(OpenError::Altered { path: path.to_owned(), name, what });
    }
    let settings = "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA wal_autocheckpoint = 0; \
                    PRAGMA trusted_schema = off; PRAGMA cache_size = -16384;";
    connection.execute_batch(settings).map_err(unusable)
}

fn recognise(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let unusable = |source| OpenError::unusable(path, "reading", source);
    let application = pragma(connection, "application_id").map_err(unusable)?;
    let format = pragma(connection, "user_version").map_err(unusable)?;
    if application != APPLICATION_ID {
        let what = format!("SQLite, application id {application}");
        return Err(OpenError::Foreign { path: path.to_owned(), what });
    }
    if format > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found: format });
    }
    if format != FORMAT {
        return Err(OpenError::Foreign { path: path.to_owned(), what: format!("format {format}") });
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

/// Makes a new file's name as durable as its contents.
fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
