//! Every test that a page names, such as `process::sync::every_answer_has_a_sync_behind_it`, exists.

use std::fs;
use std::path::{Path, PathBuf};

use super::pages;

/// The segments of a path to a test or module: lower case, with `*` for modules that a macro makes.
fn segments(span: &str) -> Option<Vec<&str>> {
    let segments: Vec<_> = span.split("::").collect();
    let is_name = |segment: &&str| {
        *segment == "*"
            || (!segment.is_empty()
                && segment.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
    };
    (segments.len() > 1 && segments.iter().all(is_name)).then_some(segments)
}

/// The files of a module: its own, and those of the modules in it.
fn files(module: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let own = module.with_extension("rs");
    if own.is_file() {
        files.push(own);
    }
    for entry in fs::read_dir(module).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Whether the name is of a test or module below that folder; nothing where its first segment is not a module there.
fn exists(folder: &str, name: &[&str]) -> Option<bool> {
    let mut module = pages::root().join(folder);
    let mut rest = name;
    while let [first, others @ ..] = rest {
        let inner = module.join(first);
        if !inner.is_dir() && !inner.with_extension("rs").is_file() {
            break;
        }
        (module, rest) = (inner, others);
    }
    if rest.len() == name.len() {
        return None;
    }
    // The rest names a function, perhaps in a module that stands within a file or comes from a macro.
    let Some(function) = rest.last() else { return Some(true) };
    let definition = format!("fn {function}(");
    Some(files(&module).iter().any(|file| fs::read_to_string(file).unwrap().contains(&definition)))
}

#[test]
fn every_test_that_a_page_names_exists() {
    let (mut complaints, mut found) = (Vec::new(), 0);
    for page in pages::all() {
        let text = pages::read(&page);
        for (number, line) in pages::prose(&text) {
            for name in pages::code_spans(line).filter_map(segments) {
                match exists("tests/it", &name).or_else(|| exists("src", &name)) {
                    Some(true) => found += 1,
                    Some(false) => complaints.push(format!("{page}:{number}: {}", name.join("::"))),
                    // Another crate's.
                    None => {}
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(found > 80, "only {found} names were found, so the pages have changed their form");
}

#[test]
fn the_check_of_names_sees_what_it_must() {
    let exists = |name: &str| segments(name).map(|name| super::names::exists("tests/it", &name));
    assert_eq!(exists("documents::names::the_check_of_names_sees_what_it_must"), Some(Some(true)));
    assert_eq!(exists("documents::*::the_check_of_names_sees_what_it_must"), Some(Some(true)));
    assert_eq!(exists("documents::names"), Some(Some(true)));
    assert_eq!(exists("documents::names::some_other_test"), Some(Some(false)));
    assert_eq!(exists("axum::serve"), Some(None));
    assert_eq!(exists("Code::ALL"), None);
}
