//! No two files use one another, unless one is the folder of the other: such a pair is one file in two.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::sources;

/// A module by the names on the way to it.
type Module = Vec<String>;

/// The files of a crate, and what each of them names.
struct Tree {
    modules: BTreeSet<Module>,
    /// The paths that a module imports or writes out.
    named: BTreeMap<Module, Vec<Vec<String>>>,
    /// The paths behind the names that a module passes on with `pub use`.
    passed_on: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Tree {
    fn of<'a>(files: impl IntoIterator<Item = (Module, &'a str)>) -> Self {
        let mut tree = Self { modules: BTreeSet::new(), named: BTreeMap::new(), passed_on: BTreeMap::new() };
        for (module, code) in files {
            // Unit tests may look at anything.
            let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let (mut named, mut passed_on) = (Vec::new(), BTreeMap::new());
            for statement in code.split(';') {
                let Some((before, group)) = statement.rsplit_once("use ").filter(|(before, _)| ends_a_line(before))
                else {
                    continue;
                };
                for path in paths(group) {
                    if before.trim_end().ends_with("pub") {
                        passed_on.insert(path.last().cloned().unwrap_or_default(), path);
                    } else {
                        named.push(path);
                    }
                }
            }
            for start in ["crate::", "super::"] {
                named.extend(code.match_indices(start).map(|(at, _)| path(&code[at..])));
            }
            tree.modules.insert(module.clone());
            tree.named.insert(module.clone(), named);
            tree.passed_on.insert(module, passed_on);
        }
        tree
    }

    /// The file in which that path, as a module writes it, ends.
    fn file_of(&self, module: &Module, path: &[String], passes: usize) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match &**first {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => {
                let mut at = module.clone();
                at.pop();
                while rest.first().is_some_and(|next| next == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
                at
            }
            name => {
                let child: Module = module.iter().cloned().chain([name.to_owned()]).collect();
                self.modules.get(&child)?.clone()
            }
        };
        while let Some((next, behind)) = rest.split_first() {
            let child: Module = at.iter().cloned().chain([next.clone()]).collect();
            if !self.modules.contains(&child) {
                break;
            }
            (at, rest) = (child, behind);
        }
        let passed_on = rest.first().and_then(|name| self.passed_on.get(&at)?.get(name)).filter(|_| passes > 0);
        passed_on.and_then(|path| self.file_of(&at, path, passes - 1)).or(Some(at))
    }

    /// The files that lie on a circle, or between two.
    fn circles(&self) -> BTreeMap<String, Vec<String>> {
        let is_folder = |one: &Module, other: &Module| one.starts_with(other) || other.starts_with(one);
        let mut uses: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, named) in &self.named {
            let files = named.iter().filter_map(|path| self.file_of(module, path, 6));
            let others = files.filter(|file| self.modules.contains(file) && !is_folder(file, module));
            uses.insert(module.clone(), others.collect());
        }
        // What uses nothing is on no circle, nor is what nothing uses; without them there may be more of the kind.
        loop {
            let used: BTreeSet<Module> = uses.values().flatten().cloned().collect();
            let count = uses.len();
            uses.retain(|module, others| !others.is_empty() && used.contains(module));
            let left: BTreeSet<Module> = uses.keys().cloned().collect();
            uses.values_mut().for_each(|others| others.retain(|other| left.contains(other)));
            if uses.len() == count && uses.values().all(|others| !others.is_empty()) {
                break;
            }
        }
        let name = |module: &Module| module.join("/");
        uses.iter().map(|(module, others)| (name(module), others.iter().map(name).collect())).collect()
    }
}

fn ends_a_line(before: &str) -> bool {
    let word = before.rsplit('\n').next().unwrap_or_default().trim();
    word.is_empty() || word.starts_with("pub")
}

fn path(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    text[..end].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The paths in what follows `use`.
fn paths(group: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    gather(group, &[], &mut found);
    found
}

fn gather(group: &str, before: &[String], found: &mut Vec<Vec<String>>) {
    let mut depth = 0_i32;
    let parts = group.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let (head, inner) = part.split_once('{').map_or((part, None), |(head, inner)| (head, Some(inner)));
        let whole: Vec<String> = before.iter().cloned().chain(path(head)).collect();
        match inner.and_then(|inner| inner.rsplit_once('}')) {
            Some((inner, _)) => gather(inner, &whole, found),
            None => found.push(whole),
        }
    }
}

fn module_of(path: &str) -> Option<Module> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut names: Module = inner.split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|last| last == "mod") {
        names.pop();
    }
    (names != ["lib"] && names != ["main"]).then_some(names)
}

#[test]
fn no_two_files_use_one_another() {
    let sources = sources("src");
    let files = sources.iter().filter_map(|source| Some((module_of(&source.path)?, &*source.code)));
    let tree = Tree::of(files);
    assert!(tree.named.values().flatten().count() > 1_000, "the imports are found");
    assert_eq!(tree.circles(), BTreeMap::new());
}

#[test]
fn the_check_of_circles_sees_what_it_must() {
    let module = |name: &str| name.split('/').map(str::to_owned).collect::<Module>();
    let circles = |files: &[(&str, &str)]| {
        let tree = Tree::of(files.iter().map(|(name, code)| (module(name), *code)));
        tree.circles().into_keys().collect::<Vec<_>>()
    };
    let folder = ("a", "mod x;\nmod y;\npub use x::X;\npub use y::{Y, other::Z};");
    assert_eq!(
        circles(&[folder, ("a/x", "use super::y::Y;"), ("a/y", "pub use super::Q;\nuse super::X;")]),
        ["a/x", "a/y"]
    );
    assert_eq!(
        circles(&[folder, ("a/x", "fn f() -> super::Y {}"), ("a/y", "use crate::{a::{X, Q}, b};")]),
        ["a/x", "a/y"]
    );
    assert_eq!(circles(&[folder, ("a/x", "use super::y::Y;"), ("a/y", "use super::Q;")]), [""; 0]);
    let apart = [folder, ("a/x", "use super::Y;"), ("a/y", "#[cfg(test)]\nmod tests {\n    use super::super::X;\n}")];
    assert_eq!(circles(&apart), [""; 0]);
    assert_eq!(
        circles(&[("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "use crate::a::A;")]),
        ["a", "b", "c"]
    );
}
