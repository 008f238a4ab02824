//! A wall clock that a test moves while a real process runs, by libfaketime. The boot clock stays as it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::process::node::Launch;

/// The wall clock of the processes that were launched by it.
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right; nothing where there is no libfaketime, in which case the test that asks is left out, and has been
    /// told so.
    pub fn new(directory: &Path) -> Option<Self> {
        let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
        let library = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
        if library.is_none() {
            println!("left out: faketime is not installed; run tools/test");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
        }
        let clock = Self { library: library?, file: directory.join("wall-clock") };
        clock.set_by(0);
        Some(clock)
    }

    /// So many seconds ahead of the right time, or behind it.
    pub fn set_by(&self, seconds: i64) {
        self.write(&format!("{seconds:+}"));
    }

    /// A time, which goes on from there: such as `2006-01-01 00:00:00`.
    pub fn set_to(&self, time: &str) {
        self.write(&format!("@{time}"));
    }

    /// A server that reads this clock.
    pub fn launch(&self, data: &Path) -> Launch {
        self.give(Launch::new(data))
    }

    /// The same server with this clock.
    pub fn give(&self, launch: Launch) -> Launch {
        self.variables().into_iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    }

    /// The variables by which a process reads this clock.
    pub fn variables(&self) -> [(&'static str, OsString); 5] {
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            // Else it would move the monotonic clock too, and hide every jump.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("TZ", "UTC".into()),
        ]
    }

    /// Whole or not at all: a process may read it at any moment.
    fn write(&self, text: &str) {
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, text).expect("written");
        std::fs::rename(fresh, &self.file).expect("its name");
    }
}
