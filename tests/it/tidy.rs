//! Keeps the tree as it is meant: each layer uses only those before it, the domain is pure, files stay short.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 700;

/// A source file: its path under the project, and its text without comments.
pub struct Source {
    pub path: String,
    pub code: String,
    lines: usize,
}

impl Source {
    /// The module directly under `src/` that the file belongs to.
    fn module(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        inner.split('/').next().map(|first| first.trim_end_matches(".rs"))
    }

    fn complaints<'a>(&'a self, forbidden: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        let found = forbidden.iter().filter(|word| self.code.contains(**word));
        found.map(|word| format!("{}: {word}", self.path))
    }
}

pub fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join(folder), &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let path = path.strip_prefix(root).unwrap().display().to_string();
        Source { path, code: code.join("\n"), lines: text.lines().count() }
    };
    files.into_iter().map(read).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules directly under `src/` that this code names: `crate::domain::…` and `crate::{domain::…, config}`.
fn modules_named(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => drop(named.insert(name(rest))),
            Some(group) => named.extend(members(group).iter().map(|member| name(member.trim_start()))),
        }
    }
    named
}

/// The members of a use group, whose opening brace has been read.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut members) = (1, vec![String::new()]);
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => members.push(String::new()),
            _ if depth == 1 => members.last_mut().unwrap().push(character),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    members
}

/// The modules in the order of their dependencies, as `src/lib.rs` has them: each uses only those before it.
fn layers() -> Vec<String> {
    let text = text_of("src/lib.rs");
    text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

fn may_use(layers: &[String], user: &str, used: &str) -> bool {
    let rank = |module: &str| layers.iter().position(|layer| layer == module);
    match (rank(user), rank(used)) {
        _ if user == used || user == "lib" || user == "main" => true,
        (Some(user), Some(used)) => used < user,
        // A module that is in no layer is not allowed for.
        _ => false,
    }
}

#[test]
fn each_layer_uses_only_those_before_it() {
    let layers = layers();
    let mut complaints = Vec::new();
    for source in sources("src") {
        let user = source.module().unwrap().to_owned();
        let known: Vec<_> = modules_named(&source.code).into_iter().filter(|used| is_module(used)).collect();
        let wrong = known.iter().filter(|used| !may_use(&layers, &user, used));
        complaints.extend(wrong.map(|used| format!("{} uses {used}", source.path)));
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

fn is_module(name: &str) -> bool {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    src.join(name).is_dir() || src.join(format!("{name}.rs")).is_file()
}

#[test]
fn the_check_of_layers_sees_what_it_must() {
    let layers = layers();
    let may_use = |user: &str, used: &str| may_use(&layers, user, used);
    assert!(may_use("projection", "event_log") && !may_use("event_log", "projection"));
    assert!(may_use("service", "clock") && !may_use("audit", "clock") && !may_use("helpers", "domain"));
    let code = "use crate::{config::Config, feed::{self, Hub}};\nfn f() { crate::http::g() }";
    assert_eq!(modules_named(code).into_iter().collect::<Vec<_>>(), ["config", "feed", "http"]);
}

#[test]
fn the_page_on_the_architecture_has_the_order_of_the_layers() {
    let order = layers().join(" → ");
    assert!(text_of("docs/architecture.md").contains(&format!("`{order}`")), "docs/architecture.md lacks {order}");
}

/// Code that is kept in one folder, or two: a word that no other file may have, where it may stand, and why.
const KEPT_IN: [(&[&str], &[&str], &str); 5] = [
    (
        &["axum::", "hyper::", "hyper_util::", "http_body"],
        &["src/http/"],
        "nothing behind the surfaces knows that it is called over HTTP",
    ),
    (
        &["utoipa"],
        // The bodies that nodes exchange are read by `replication/` and written by `http/`.
        &["src/http/", "src/cluster/wire.rs"],
        "the OpenAPI document describes surfaces",
    ),
    (&["rusqlite"], &["src/event_log/"], "the log's file has one owner, which knows how its locks are kept"),
    (
        &[".projection()"],
        &["src/service/"],
        "a rule that a surface decides from the state is decided differently by the next one",
    ),
    (
        &[
            "println!",
            "print!(",
            "stdout().lock",
            "stderr().lock",
            "stdout().write",
            "stderr().write",
            "!(io::stdout",
            "!(io::stderr",
        ],
        &["src/terminal.rs"],
        "a subject's characters could turn around or hide a line of the terminal",
    ),
];

#[test]
fn code_that_belongs_to_one_folder_stays_there() {
    let mut complaints = Vec::new();
    for source in ["src", "tools/audit"].into_iter().flat_map(sources) {
        for (words, folders, why) in KEPT_IN {
            let is_kept = folders.iter().any(|folder| source.path.starts_with(folder));
            if !is_kept {
                complaints.extend(source.complaints(words).map(|found| format!("{found}: {why}")));
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_domain_is_pure() {
    const IMPURE: [&str; 14] = [
        "async ",
        ".await",
        "SystemTime",
        "Instant",
        "std::io",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "println!",
        "tracing",
        "rusqlite",
        "tokio",
    ];
    let complaints: Vec<_> =
        sources("src/domain").iter().flat_map(|one| one.complaints(&IMPURE).collect::<Vec<_>>()).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn only_the_service_makes_a_subject_of_what_somebody_gives() {
    // The readers of the ledger's own bytes, and the one place that knows of pseudonyms.
    const MAY: [&str; 4] = ["src/domain/", "src/event_log/", "src/projection/", "src/keys/pseudonym.rs"];
    let others = sources("src").into_iter().filter(|one| !MAY.iter().any(|may| one.path.starts_with(may)));
    let code =
        |one: &Source| one.code.split("#[cfg(test)]").next().unwrap_or_default().replace("GivenSubject::new(", "");
    let makes = |one: &Source| code(one).contains("Subject::new(");
    let opens = |one: &Source| code(one).contains(".as_given()");
    let complaints: Vec<_> = others
        .filter(|one| makes(one) || (opens(one) && one.path != "src/service/pseudonyms.rs"))
        .map(|one| one.path)
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// POSIX drops a process's locks on a file when it closes any descriptor of that file.
#[test]
fn nothing_but_sqlite_opens_the_logs_file() {
    const OPENERS: [&str; 6] =
        ["File::open(", "File::create(", "OpenOptions::new()", "fs::read(", "fs::copy(", "fs::write("];
    // The lock of the directory, a new file before anybody can have it open, a copy that is closed, and directories.
    const MAY: [(&str, usize); 3] =
        [("src/event_log/store.rs", 3), ("src/event_log/copy.rs", 2), ("src/event_log/rescue.rs", 1)];
    let mut complaints = Vec::new();
    for one in sources("src/event_log") {
        let found = OPENERS.iter().map(|opener| one.code.matches(opener).count()).sum::<usize>();
        let may = MAY.iter().find(|(path, _)| one.path == *path).map_or(0, |(_, times)| *times);
        if found > may {
            complaints.push(format!("{}: opens {found} files, and {may} are known", one.path));
        }
    }
    // Elsewhere in the server the file is a path that is handed to the log.
    let opens = |one: &Source| OPENERS.iter().any(|opener| one.code.contains(&format!("{opener}&directory.ledger()")));
    complaints.extend(sources("src").into_iter().filter(opens).map(|one| one.path));
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn no_file_is_longer_than_a_reader_bears() {
    let all = ["src", "tools"].into_iter().flat_map(sources);
    let long: Vec<_> =
        all.filter(|one| one.lines > MAX_LINES).map(|one| format!("{}: {}", one.path, one.lines)).collect();
    assert!(long.is_empty(), "{long:#?}");
}

fn text_of(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// `1234567` as `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap());
    groups.collect::<Vec<_>>().join(",")
}

/// So that nobody accepts other counts without opening the page that says why.
#[test]
fn the_counts_of_instructions_are_those_that_are_documented() {
    let baselines: serde_json::Value = serde_json::from_str(&text_of("benches/instructions.json")).unwrap();
    let page = text_of("docs/performance.md");
    for (key, counts) in baselines.as_object().unwrap() {
        assert!(page.contains(key), "docs/performance.md does not name {key}");
        for (name, count) in counts.as_object().unwrap() {
            let row = format!("| `{name}` | {} |", grouped(count.as_u64().unwrap()));
            assert!(page.contains(&row), "docs/performance.md lacks the row {row}");
        }
    }
}

/// Words that a text for people does not use, each with the reason.
const WORDS: [(&str, &str); 9] = [
    ("he", "a person is \"they\", or has a role"),
    ("his", "a person is \"they\", or has a role"),
    ("him", "a person is \"they\", or has a role"),
    ("himself", "a person is \"they\", or has a role"),
    ("for good", "write \"permanently\""),
    ("whoever", "put a noun before the clause: \"a caller that …\""),
    ("whosoever", "put a noun before the clause: \"a caller that …\""),
    ("dead", "a credential is inactive, revoked or expired"),
    ("endings", "a credential is revoked: write \"revocations\""),
];
/// Of these, the ones that documents are held to as well: quoted commands and output may need the others.
const WORDS_OF_DOCUMENTS: usize = 5;
/// After "is no" and "are no" these words are plain English; before it, so is "there".
const AFTER_NO: [&str; 8] = ["longer", "more", "less", "fewer", "later", "earlier", "larger", "smaller"];

/// The lower-case words of a line, a name with underscores as one.
fn words(line: &str) -> Vec<String> {
    let parts = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|part| !part.is_empty());
    parts.map(str::to_lowercase).collect()
}

/// The forms in a line that its readers should not meet, each with what to write instead.
fn unplain(line: &str, forms: &[(&str, &str)]) -> Vec<String> {
    let found = words(line);
    let text = format!(" {} ", found.join(" "));
    let has = |form: &str| text.replace(" for good in ", " ").contains(&format!(" {form} "));
    forms.iter().filter(|(form, _)| has(form)).map(|(form, why)| format!("\"{form}\": {why}")).collect()
}

/// "it is no UUID"; whether a line that begins with it belongs to a "there" is not known.
fn has_is_no(line: &str) -> bool {
    let found = words(line);
    found.windows(4).any(|four| {
        let [before, verb, no, after] = four else { return false };
        let is_no = ["is", "are"].contains(&&**verb) && no == "no";
        is_no && before != "there" && !AFTER_NO.contains(&&**after)
    })
}

#[test]
fn the_check_of_words_sees_what_it_must() {
    let one = |line: &str| unplain(line, &WORDS).len() + usize::from(has_is_no(line));
    assert_eq!(
        [one("// What he lacks."), one("\"ended for good\""), one("/// It is no UUID."), one("its endings")],
        [1; 4]
    );
    let plain =
        ["for good in [\"a\"]", "#[expect(dead_code)]", "there is no record", "it is no longer there", "the header"];
    assert!(plain.iter().all(|line| one(line) == 0));
}

#[test]
fn texts_for_people_are_in_plain_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = Vec::new();
    let folders = ["src", "tools", "examples", "benches", "tests"];
    // This file has the list.
    for source in folders.into_iter().flat_map(sources).filter(|source| source.path != "tests/it/tidy.rs") {
        for (line, text) in text_of(&source.path).lines().enumerate() {
            let is_no = has_is_no(text).then(|| "\"is no\": write \"is not a\"".to_owned());
            let found = unplain(text, &WORDS).into_iter().chain(is_no);
            complaints.extend(found.map(|found| format!("{}:{}: {found}", source.path, line + 1)));
        }
    }
    for document in documents(root) {
        for (line, text) in text_of(&document).lines().enumerate() {
            let found = unplain(text, &WORDS[..WORDS_OF_DOCUMENTS]);
            complaints.extend(found.into_iter().map(|found| format!("{document}:{}: {found}", line + 1)));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Words that the name of a test does not begin with: its sentence needs a subject.
const NOT_A_SUBJECT: [&str; 5] = ["what_", "whatever_", "who_", "whoever_", "whose_"];

/// Whether the line declares a function whose name begins with one of them.
fn lacks_a_subject(line: &str) -> bool {
    let line = line.trim_start();
    let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
    name.is_some_and(|name| NOT_A_SUBJECT.iter().any(|word| name.starts_with(word)))
}

#[test]
fn the_names_of_tests_have_a_subject() {
    assert!(lacks_a_subject("    async fn what_was_lost_is_found() {"));
    assert!(!lacks_a_subject("fn whoami_answers() {") && !lacks_a_subject("fn all_that_was_lost_is_found() {"));
    let mut complaints = Vec::new();
    for source in ["src", "tools", "tests"].into_iter().flat_map(sources) {
        let code = text_of(&source.path);
        let found = code.lines().filter(|line| lacks_a_subject(line));
        complaints.extend(found.map(|line| format!("{}: {}", source.path, line.trim())));
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// The documents of the project, by their paths in it.
fn documents(root: &Path) -> Vec<String> {
    let mut found = ["README.md", "CHANGELOG.md", "tests/README.md"].map(str::to_owned).to_vec();
    let mut folders = vec![root.join("docs"), root.join("schema")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found
}
