//! Tables that repeat declarations of the code: settings and problems. Metrics and warnings are named in theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use authledger::config::{EdgeArgs, ServeArgs};
use authledger::http::problem::Code;
use authledger::telemetry::{EdgeMetrics, Metrics};
use clap::{Arg, Args as _, Command};

use super::pages;

/// The markers around a table.
fn markers(name: &str) -> (String, String) {
    (format!("<!-- generated: {name} -->\n\n"), format!("\n<!-- end: {name} -->"))
}

/// The rows of the table between a page's markers: the first cell of each, and the others.
pub fn cells(page: &str, name: &str) -> BTreeMap<String, Vec<String>> {
    let (start, end) = markers(name);
    let text = pages::read(page);
    let table = text.split_once(&start).and_then(|(_, rest)| rest.split_once(&end)).unwrap_or_default().0;
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        Some((cells.next()?, cells.collect()))
    };
    table.lines().filter_map(row).collect()
}

/// Compares the text between a page's markers with the one that it should be, or writes it there.
pub fn compare(page: &str, name: &str, table: &str) {
    let text = pages::read(page);
    let (start, end) = markers(name);
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("{page} lacks {start}"));
    let (there, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} lacks {end}"));
    if there == table {
        return;
    }
    if std::env::var("UPDATE_DOCS").as_deref() == Ok("1") {
        fs::write(pages::root().join(page), format!("{before}{start}{table}{end}{after}")).unwrap();
        return;
    }
    let due: Vec<_> = table.lines().filter(|line| !there.lines().any(|other| other == *line)).collect();
    let stale: Vec<_> = there.lines().filter(|line| !table.lines().any(|other| other == *line)).collect();
    panic!(
        "{page} differs from the code: run UPDATE_DOCS=1 cargo test --test it documents\nit lacks {due:#?}\nand has {stale:#?}"
    );
}

/// Text that stands in a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// Those that only the command line has: the file that holds the others, and the actions on them.
const NOT_IN_THE_FILE: [&str; 2] = ["config", "check"];

fn setting(argument: &Arg) -> String {
    let flag = argument.get_long().unwrap();
    let is_switch = !argument.get_action().takes_values() || value_name(argument) == "BOOL";
    let shown = if is_switch { format!("--{flag}") } else { format!("--{flag} {}", value_name(argument)) };
    let variable = argument.get_env().unwrap().to_str().unwrap();
    let key = if NOT_IN_THE_FILE.contains(&flag) { String::new() } else { flag.replace('-', "_") };
    let help = argument.get_help().unwrap().to_string();
    let (meaning, default) = match help.strip_suffix(']').and_then(|help| help.rsplit_once(" [default: ")) {
        Some((meaning, default)) => (meaning.to_owned(), default.to_owned()),
        None => (help, String::new()),
    };
    let default = if default == "none" { default } else { code(&default) };
    let values: Vec<_> = argument.get_possible_values().iter().map(|value| code(value.get_name())).collect();
    let values = if is_switch || values.is_empty() { String::new() } else { format!(". One of {}", values.join(", ")) };
    format!("| `{shown}` | `{variable}` | {} | {default} | {} |\n", code(&key), cell(&format!("{meaning}{values}")))
}

fn value_name(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.first().map(|name| name.to_string()).unwrap_or_default()
}

#[test]
fn the_settings_are_those_of_the_code() {
    let serve = ServeArgs::augment_args(Command::new("serve"));
    let edge = EdgeArgs::augment_args(Command::new("edge"));
    for (name, command) in [("settings", serve), ("edge settings", edge)] {
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        let rows: String = shown.map(setting).collect();
        let head = "| flag | variable | key | default | meaning |\n|---|---|---|---|---|\n";
        compare("docs/reference/configuration.md", name, &format!("{head}{rows}"));
    }
}

#[test]
fn the_problems_are_those_of_the_code() {
    let mut table = "| status | code | title | meaning | `Retry-After` |\n|---|---|---|---|---|\n".to_owned();
    for problem in Code::ALL {
        let retry = problem.retry_after_seconds().map(|seconds| format!("{seconds} s")).unwrap_or_default();
        let title = cell(problem.title());
        let meaning = cell(problem.meaning());
        table +=
            &format!("| {} | `{}` | {title} | {meaning} | {retry} |\n", problem.status().as_u16(), problem.as_str());
    }
    compare("docs/reference/problems.md", "problems", &table);
}

#[test]
fn every_metric_is_explained() {
    let page = pages::read("docs/reference/metrics.md");
    let node = Metrics::new();
    let text = format!("{}{}", node.encode(), EdgeMetrics::new(&node).encode());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut missing = Vec::new();
    for (name, kind) in types {
        let shown = if kind == "counter" { format!("`{name}_total` | counter") } else { format!("`{name}` | {kind}") };
        if !page.contains(&shown) {
            missing.push(shown);
        }
    }
    assert!(missing.is_empty(), "docs/reference/metrics.md lacks {missing:#?}");
    assert!(text.contains("# TYPE authledger_commit_seconds histogram"), "{text}");
}

/// All of the program's code, with texts that are broken over lines in one piece.
fn program() -> String {
    fn walk(folder: &Path, code: &mut String) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                walk(&path, code);
            } else {
                *code += &fs::read_to_string(&path).unwrap();
            }
        }
    }
    let mut code = String::new();
    walk(&pages::root().join("src"), &mut code);
    let mut pieces = code.split("\\\n");
    let first = pieces.next().unwrap().to_owned();
    pieces.fold(first, |code, piece| code + piece.trim_start())
}

/// A piece of a warning that is shorter says nothing.
const SHORTEST_PIECE: usize = 8;

#[test]
fn every_warning_that_is_explained_is_given() {
    let page = pages::read("docs/operate/warnings.md");
    let code = program();
    let rows = page.lines().filter(|line| line.starts_with("| *"));
    let warnings: Vec<_> = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('*').skip(1).step_by(2)).collect();
    assert!(warnings.len() > 12, "{warnings:?}");
    let pieces = warnings.iter().flat_map(|warning| warning.split('…')).filter(|piece| piece.len() >= SHORTEST_PIECE);
    let unknown: Vec<_> = pieces.filter(|piece| !code.contains(piece.trim())).collect();
    assert!(unknown.is_empty(), "docs/operate/warnings.md has texts that the server never gives: {unknown:#?}");
}
