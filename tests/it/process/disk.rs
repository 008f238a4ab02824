//! A disk that counts, and fails on demand: `fdatasync.c`, loaded into the server before the C library.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::node::Launch;

const BEGAN: u64 = 0;
const SUCCEEDED: u64 = 1;
const FAIL: u64 = 2;
const FAILED: u64 = 3;
const WORDS: u64 = 4;

/// The calls that are to fail.
#[derive(Clone, Copy)]
pub enum Failure {
    /// Each sync of the ledger's files, with an input/output error.
    Syncs = 1,
    /// Each write to them: no space is left.
    Writes = 2,
    /// Each sync of the database that the WAL is copied into, with an input/output error; commits go on.
    Checkpoints = 3,
}

/// The disk under one server.
pub struct Disk {
    words: File,
    path: PathBuf,
}

impl Disk {
    /// A disk that works.
    pub fn new(directory: &Path) -> Self {
        let path = directory.join("disk");
        let words = OpenOptions::new().create_new(true).read(true).write(true).open(&path).expect("a file");
        words.set_len(WORDS * 8).expect("room");
        Self { words, path }
    }

    /// The server, on this disk.
    pub fn under(&self, launch: Launch) -> Launch {
        launch.env("LD_PRELOAD", library()).env("AUTHLEDGER_TEST_DISK", &self.path)
    }

    /// Fails from now on.
    pub fn fail(&self, failure: Failure) {
        self.words.write_all_at(&(failure as u64).to_ne_bytes(), FAIL * 8).expect("written");
    }

    /// Works again.
    pub fn mend(&self) {
        self.words.write_all_at(&0_u64.to_ne_bytes(), FAIL * 8).expect("written");
    }

    /// Syncs of the WAL that have begun.
    pub fn began(&self) -> u64 {
        self.word(BEGAN)
    }

    /// Syncs of the WAL that have succeeded.
    pub fn succeeded(&self) -> u64 {
        self.word(SUCCEEDED)
    }

    /// Calls that were made to fail.
    pub fn failed(&self) -> u64 {
        self.word(FAILED)
    }

    fn word(&self, word: u64) -> u64 {
        let mut bytes = [0; 8];
        self.words.read_exact_at(&mut bytes, word * 8).expect("a word");
        u64::from_ne_bytes(bytes)
    }
}

/// The library, compiled once for all tests of this process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/process/fdatasync.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fdatasync.so");
        let fresh = library.with_extension(std::process::id().to_string());
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&fresh).arg(source).arg("-ldl");
        let compiled = compiler.status().expect("cc, which Rust itself links with");
        assert!(compiled.success(), "fdatasync.c does not compile");
        std::fs::rename(&fresh, &library).expect("its place");
        library
    })
}
