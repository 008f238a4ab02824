//! What documents say: links lead somewhere, tests that are named exist, tables are the code's, and commands work.
//!
//! With `UPDATE_DOCS=1` the tables that the code declares are written anew.

mod links;
mod names;
pub mod pages;
mod queries;
pub mod tables;
mod transcript;
mod transcripts;

/// Nobody reads a longer page in order to decide.
const README_LINES: usize = 200;

#[test]
fn the_readme_is_short() {
    let lines = pages::read("README.md").lines().count();
    assert!(
        lines <= README_LINES,
        "README.md has {lines} lines: move the parts that are not needed to decide to docs/"
    );
}

/// Tessera's `fsck` (v1.0.4) exits with 0 whatever it finds: a command that goes on after it has checked nothing.
#[test]
fn no_page_goes_on_after_fsck_by_its_exit_code() {
    let trusting = pages::all().into_iter().filter(|page| {
        let text = pages::read(page);
        text.lines().any(|line| line.contains("fsck ") && (line.contains("&&") || line.contains("||")))
    });
    assert_eq!(trusting.collect::<Vec<_>>(), Vec::<String>::new());
}
