//! A copy of the keys, for whoever keeps them apart from the log.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::{KeyError, file, origin, slots};

/// Copies every key file of a directory into another one, which is made (0700) where there is none. Returns how many.
pub fn copy(from: &Path, to: &Path) -> Result<usize, KeyError> {
    copy_those(from, to, |_| true)
}

/// Copies all but the origin's key, for a log that goes on under an origin of its own. Returns how many.
pub fn copy_for_successor(from: &Path, to: &Path) -> Result<usize, KeyError> {
    copy_those(from, to, |name| name != origin::FILE_NAME)
}

fn copy_those(from: &Path, to: &Path, wanted: impl Fn(&OsStr) -> bool) -> Result<usize, KeyError> {
    file::private_directory(to)?;
    let mut copied = 0;
    for entry in fs::read_dir(from).map_err(KeyError::io("read", from))? {
        let entry = entry.map_err(KeyError::io("read", from))?;
        let path = entry.path();
        // What a crash left unfinished is no key.
        if !path.is_file()
            || !wanted(&entry.file_name())
            || path.extension().is_some_and(|extension| extension == "new")
        {
            continue;
        }
        copy_file(&path, &to.join(entry.file_name()))?;
        copied += 1;
    }
    Ok(copied)
}

fn copy_file(from: &Path, to: &Path) -> Result<(), KeyError> {
    if from.file_name().is_some_and(|name| name == slots::FILE_NAME) {
        return slots::copy(from, to);
    }
    let bytes = fs::read(from).map_err(KeyError::io("read", from))?;
    file::create(to, &bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keys::OriginKey;

    #[test]
    fn a_copy_of_the_keys_is_private_and_the_same() {
        let data = tempfile::tempdir().expect("a directory");
        let (from, to) = (data.path().join("keys"), data.path().join("copy"));
        let key = OriginKey::load_or_create(&from).expect("a new key");
        assert_eq!(copy(&from, &to).expect("copied"), 1);
        let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(&to.join("origin.key"))), (0o700, 0o600));
        assert_eq!(OriginKey::load_or_create(&to).expect("the same key").public_key(), key.public_key());
    }
}
