//! The newest checkpoint of each origin, in a file of its own: this node has shown them to others and must never
//! contradict them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::TreeError;
use crate::domain::Origin;
use crate::tlog::{MAX_NOTE_BYTES, SignedNote};

/// The directory of checkpoints, `DATA/checkpoints`: a signed note for each origin, named like it.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    directory: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of a data directory, or of a backup.
    pub fn of(data: &Path) -> Self {
        Self { directory: data.join("checkpoints") }
    }

    /// The file of that origin.
    pub fn path(&self, origin: Origin) -> PathBuf {
        self.directory.join(origin.as_str())
    }

    /// The origins that have one, in order.
    pub fn list(&self) -> Result<Vec<Origin>, TreeError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(TreeError::io("read", &self.directory)(error)),
        };
        let mut origins = Vec::new();
        for entry in entries {
            let name = entry.map_err(TreeError::io("read", &self.directory))?.file_name();
            // The unfinished file of a crash has a name that no origin has.
            origins.extend(name.to_str().and_then(|name| name.parse::<Origin>().ok()));
        }
        origins.sort_unstable();
        Ok(origins)
    }

    /// The newest of that origin, if there is one. Its signature is not checked.
    pub fn find(&self, origin: Origin) -> Result<Option<SignedNote>, TreeError> {
        let path = self.path(origin);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TreeError::io("read", &path)(error)),
        };
        let mut text = String::new();
        let read = file.take(MAX_NOTE_BYTES as u64 + 1).read_to_string(&mut text);
        read.map_err(TreeError::io("read", &path))?;
        SignedNote::parse(&text).map(Some).map_err(TreeError::note(path))
    }

    /// Replaces that origin's checkpoint. When this returns, the new one survives a loss of power; until then, the old
    /// one does.
    pub fn store(&self, origin: Origin, note: &SignedNote) -> Result<(), TreeError> {
        self.make()?;
        let (path, unfinished) = (self.path(origin), self.directory.join(format!("{origin}.new")));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(note.as_str().as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(TreeError::io("write", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(TreeError::io("write", &path))?;
        sync(&self.directory)
    }

    fn make(&self) -> Result<(), TreeError> {
        if self.directory.is_dir() {
            return Ok(());
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(TreeError::io("make", &self.directory))?;
        self.directory.parent().map_or(Ok(()), sync)
    }
}

fn sync(directory: &Path) -> Result<(), TreeError> {
    let synced = File::open(directory).and_then(|opened| opened.sync_all());
    synced.map_err(TreeError::io("sync", directory))
}
