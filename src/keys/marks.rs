//! The key of the marks in compact snapshots and streams: 32 random bytes in `DATA/keys/marks.key`.
//!
//! Each node has one of its own, and tells it to followers. If the file is lost a new one is made, and followers go on.

use std::path::Path;

use super::{KeyError, file};

const FILE_NAME: &str = "marks.key";
const KEY_BYTES: usize = 32;

/// Reads the key in that directory, or makes directory (0700) and key (0600) if they do not exist.
///
/// It fails if a mode lets others in, the file holds anything but 32 bytes, or the disk refuses.
pub fn load_or_create_mark_key(dir: &Path) -> Result<[u8; KEY_BYTES], KeyError> {
    file::private_directory(dir)?;
    let path = dir.join(FILE_NAME);
    if let Some(bytes) = file::find(&path)? {
        return bytes.try_into().map_err(|_| KeyError::Malformed { path, wanted: "32 bytes" });
    }
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
    file::create(&path, &bytes)?;
    Ok(bytes)
}
