//! What the disk itself can do: append and sync, again and again.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::{Latency, Ran};

/// What is appended before each sync: a page of the system's cache.
const APPEND_BYTES: usize = 4_096;

/// Appends and syncs for that long, on one thread.
pub fn sync_rate(work: &Path, lasting: Duration) -> anyhow::Result<Ran> {
    let path = work.join("sync.bin");
    let mut file = File::create(&path)?;
    let (start, mut latency, mut good) = (Instant::now(), Latency::default(), 0);
    while start.elapsed() < lasting {
        let asked = Instant::now();
        file.write_all(&[0x5a; APPEND_BYTES])?;
        file.sync_data()?;
        latency.add(asked.elapsed());
        good += 1;
    }
    let elapsed = start.elapsed();
    fs::remove_file(&path)?;
    Ok(Ran { good, elapsed, latency, ..Ran::default() })
}
