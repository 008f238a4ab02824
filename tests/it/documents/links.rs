//! Every relative link of a page leads to a file, and to a heading in it.

use std::path::{Component, Path, PathBuf};

use super::pages;

/// The targets of a line's links, outside code spans.
fn targets(line: &str) -> Vec<&str> {
    let starts = line.match_indices("](").map(|(at, _)| at);
    let outside_code = starts.filter(|at| line[..*at].matches('`').count().is_multiple_of(2));
    outside_code.filter_map(|at| line[at + 2..].split([')', ' ']).next()).collect()
}

fn is_elsewhere(target: &str) -> bool {
    ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
}

/// `docs/guide` and `../operate/time.md` as `docs/operate/time.md`.
fn joined(folder: &Path, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

fn complaint(page: &str, target: &str) -> Option<&'static str> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(page).parent().unwrap();
    let path = if file.is_empty() { PathBuf::from(page) } else { joined(folder, file) };
    if !pages::root().join(&path).exists() {
        return Some("there is no such file");
    }
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    if anchor.is_empty() || !is_page {
        return None;
    }
    let headings = pages::anchors(&pages::read(path.to_str().unwrap()));
    (!headings.iter().any(|heading| heading == anchor)).then_some("there is no such heading")
}

#[test]
fn every_link_leads_somewhere() {
    let mut complaints = Vec::new();
    for page in pages::all() {
        let text = pages::read(&page);
        for (number, line) in pages::prose(&text) {
            for target in targets(line).into_iter().filter(|target| !is_elsewhere(target)) {
                if let Some(fault) = complaint(&page, target) {
                    complaints.push(format!("{page}:{number}: {target}: {fault}"));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_check_of_links_sees_what_it_must() {
    assert_eq!(targets("[a](b.md#c) and `[x](y)` and [`z`](w)"), ["b.md#c", "w"]);
    assert_eq!(joined(Path::new("docs/guide"), "../operate/time.md"), Path::new("docs/operate/time.md"));
    assert_eq!(complaint("README.md", "docs/glossary.md#nodes"), None);
    assert!(complaint("README.md", "docs/none.md").is_some() && complaint("README.md", "#none").is_some());
}
