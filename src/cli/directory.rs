//! Directories that a command fills: empty before, and removed again if it fails.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Why a directory can't be filled.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is not empty.
    #[error("write into {}: it holds files already; name an empty directory, or one that does not exist yet", .0.display())]
    NotEmpty(PathBuf),
    /// The file system refuses.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// The action: a verb.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// A directory that is being filled. The files in it are removed again, unless they are kept.
pub(super) struct Filling {
    path: PathBuf,
    /// Whether it was made for this.
    made: bool,
    kept: bool,
}

impl Filling {
    /// Makes the directory, mode 0700, if it does not exist; a directory that is not empty is refused.
    pub(super) fn start(path: &Path) -> Result<Self, DirectoryError> {
        let made = match fs::read_dir(path).map(Iterator::count) {
            Ok(1..) => return Err(DirectoryError::NotEmpty(path.to_owned())),
            Ok(0) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make", path))?;
                true
            }
            Err(error) => return Err(io("look into", path)(error)),
        };
        Ok(Self { path: path.to_owned(), made, kept: false })
    }

    /// Makes the names in it as durable as their contents. From here on they stay.
    pub(super) fn keep(mut self) -> Result<(), DirectoryError> {
        File::open(&self.path).and_then(|directory| directory.sync_all()).map_err(io("sync", &self.path))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // It was empty before, so everything in it is ours. A file that can't be removed does not have a finished name.
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        if self.made {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Io { action, path, source }
}
