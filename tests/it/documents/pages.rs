//! The Markdown pages of the repository, and the parts of one.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, by its path in the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown page but those of builds and tools: their paths in the repository.
pub fn all() -> Vec<String> {
    let mut pages = Vec::new();
    walk(root(), &mut pages);
    let mut pages: Vec<_> = pages.iter().map(|page| page.strip_prefix(root()).unwrap().display().to_string()).collect();
    pages.sort();
    assert!(pages.iter().any(|page| page == "README.md") && pages.len() > 30, "{pages:?}");
    pages
}

fn walk(folder: &Path, pages: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let is_ours = !name.starts_with('.') && name != "target" && name != "node_modules";
            if is_ours {
                walk(&path, pages);
            }
        } else if name.ends_with(".md") {
            pages.push(path);
        }
    }
}

/// The lines outside fenced blocks, each with its number from 1.
pub fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.starts_with("```");
        in_block ^= is_fence;
        (!in_block && !is_fence).then_some((index + 1, line))
    })
}

/// The text between single backticks in a line.
pub fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The anchors of a page's headings, as GitHub makes them.
pub fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text).filter(|(_, line)| line.starts_with('#')) {
        let anchor = anchor(line.trim_start_matches('#').trim());
        let twins = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if twins == 0 { anchor } else { format!("{anchor}-{twins}") });
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn anchors_are_those_of_github() {
    let text =
        "# Two hashes, and what is hashed\n```\n# not one\n```\n## `ledger.db` is locked\n## `ledger.db` is locked\n";
    assert_eq!(anchors(text), ["two-hashes-and-what-is-hashed", "ledgerdb-is-locked", "ledgerdb-is-locked-1"]);
}
