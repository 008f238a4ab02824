//! What documents say: links lead somewhere, tests that are named exist, tables are the code's, and commands work.
//!
//! With `UPDATE_DOCS=1` the tables that the code declares are written anew.

mod links;
mod names;
mod pages;
mod tables;
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
