//! Private files: written whole or not at all, and never readable by others, not even for a moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::KeyError;
use crate::domain::hex;

pub(super) const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// No key file is longer, so a wrong path can't fill the memory.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// Makes the directory with mode 0700 if it does not exist; a directory that others may enter is refused.
pub(super) fn private_directory(path: &Path) -> Result<(), KeyError> {
    ensure_directory(path)?;
    refuse_if_open(path, DIRECTORY_MODE)
}

/// Makes the directory with mode 0700 if it does not exist; an existing one keeps its mode.
pub(super) fn ensure_directory(path: &Path) -> Result<(), KeyError> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    made.map_err(KeyError::io("make", path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// The file's bytes, or nothing if it does not exist; a file that others may read is refused.
pub(super) fn find(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeyError::io("read", path)(error)),
    };
    refuse_if_open(path, FILE_MODE)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(KeyError::io("read", path))?;
    Ok(Some(bytes))
}

/// Writes a new file with mode 0600; when this returns, it survives a loss of power.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    create_with(path, |file| file.write_all(bytes).map_err(KeyError::io("write", path)))
}

/// The same for content that is written in parts. If that fails, nothing is left of it.
pub(super) fn create_with(path: &Path, write: impl FnOnce(&mut File) -> Result<(), KeyError>) -> Result<(), KeyError> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|_| KeyError::NoRandomness)?;
    let unfinished = path.with_extension(format!("{}.new", hex::encode(&suffix)));
    if let Err(error) = write_synced(&unfinished, write) {
        // The first error is the one that is reported.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    fs::rename(&unfinished, path).map_err(KeyError::io("write", path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn write_synced(path: &Path, write: impl FnOnce(&mut File) -> Result<(), KeyError>) -> Result<(), KeyError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path);
    let mut file = made.map_err(KeyError::io("make", path))?;
    write(&mut file)?;
    file.sync_all().map_err(KeyError::io("sync", path))
}

fn sync_directory(path: &Path) -> Result<(), KeyError> {
    // The parent of a bare name is the empty path.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|directory| directory.sync_all()).map_err(KeyError::io("sync", path))
}

/// Refuses a file or directory that its group or others may use.
pub(super) fn refuse_if_open(path: &Path, wanted: u32) -> Result<(), KeyError> {
    let metadata = fs::metadata(path).map_err(KeyError::io("inspect", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::TooOpen { path: path.into(), mode, wanted }) }
}
