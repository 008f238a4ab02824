//! The Python with which second implementations are run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A python3 that has the package, or nothing, in which case the test that asks is left out, and has been told so.
///
/// `AUTHLEDGER_PYTHON` names one; else `tools/test` has put one into `.tools/python`; else whatever `python3` is. Where `CI` is
/// `true` nothing may be left out.
pub fn with(package: &str) -> Option<PathBuf> {
    // Looked for, not imported: some take seconds.
    const LOOK: &str = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)";
    let python = candidate();
    let can = Command::new(&python).args(["-c", LOOK, package]).output();
    if can.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    println!("left out: python3 with {package} is not installed; run tools/test");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    None
}

/// One for the verifier in Python; under the same terms.
pub fn with_blake3() -> Option<PathBuf> {
    with("blake3")
}

fn candidate() -> PathBuf {
    if let Some(named) = std::env::var_os("AUTHLEDGER_PYTHON") {
        return named.into();
    }
    let private = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/python/bin/python");
    if private.exists() { private } else { "python3".into() }
}

/// Any python3, for programs that need nothing beyond it; under the same terms.
pub fn plain() -> Option<PathBuf> {
    let python = candidate();
    if Command::new(&python).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    println!("left out: there is no python3; run tools/test");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    None
}
