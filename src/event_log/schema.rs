//! The contents of a ledger's file besides rows: its table and triggers, and the objects that other programs have
//! added.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

/// The schema of a ledger.
pub(super) const SQL: &str = include_str!("../../schema/ledger.sql");
const TABLE: &str = "event";

/// The differences between a file's schema and a ledger's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaChanges {
    /// The first change that may let events be changed, or keep them from being recorded.
    pub broken: Option<BrokenGuard>,
    /// The objects that were added and do no harm.
    pub added: Vec<Added>,
}

/// A table, index or trigger that no longer guards the events, or that may change or refuse them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenGuard {
    /// Its kind and name.
    pub name: String,
    /// The problem with it.
    pub what: &'static str,
    /// The statement that removes it, if it was added.
    pub mend: Option<String>,
}

/// An object that another program has added, and that does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its kind and name.
    pub name: String,
    /// The statement that removes it.
    pub mend: String,
}

impl std::fmt::Display for Added {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "another program added the {}, which does no harm; {} removes it", self.name, self.mend)
    }
}

/// An entry of `sqlite_schema`.
struct Object {
    kind: String,
    name: String,
    table: String,
    /// An index that a constraint makes has no text.
    text: String,
}

impl Object {
    fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    fn mend(&self) -> String {
        format!("DROP {} {};", self.kind.to_ascii_uppercase(), quoted(&self.name))
    }

    fn is_on_events(&self) -> bool {
        self.table.eq_ignore_ascii_case(TABLE)
    }
}

/// Compares the file's schema with that of a ledger.
#[expect(clippy::disallowed_methods, reason = "an empty ledger to compare with, in no file")]
pub fn changes(connection: &Connection) -> rusqlite::Result<SchemaChanges> {
    let empty = Connection::open_in_memory()?;
    empty.execute_batch(SQL)?;
    let (mut found, due) = (objects(connection)?, objects(&empty)?);
    let mut changes = SchemaChanges::default();
    let mut broken = |name: String, what, mend| {
        changes.broken.get_or_insert(BrokenGuard { name, what, mend });
    };
    for (title, object) in &due {
        match found.remove(title) {
            None => broken(title.clone(), "is missing", None),
            Some(found) if found.text != object.text => {
                broken(title.clone(), "is not the one of schema/ledger.sql", None);
            }
            Some(_) => {}
        }
    }
    for (title, object) in found {
        match effect(connection, &object)? {
            Effect::Events(what) => broken(title, what, Some(object.mend())),
            Effect::None => changes.added.push(Added { name: title, mend: object.mend() }),
            Effect::OfAnother => {}
        }
    }
    Ok(changes)
}

/// The effect of an added object.
enum Effect {
    /// This, to events.
    Events(&'static str),
    /// Nothing.
    None,
    /// None, and it is dropped with the table that it belongs to.
    OfAnother,
}

fn effect(connection: &Connection, object: &Object) -> rusqlite::Result<Effect> {
    Ok(match &*object.kind {
        "trigger" if object.is_on_events() || names_events(&object.text) => {
            Effect::Events("was added by another program and may change events")
        }
        "index" if object.is_on_events() && may_refuse(connection, &object.name)? => {
            Effect::Events("was added by another program and may refuse events")
        }
        "index" if object.is_on_events() => Effect::None,
        "trigger" | "index" => Effect::OfAnother,
        // SQLite creates it for AUTOINCREMENT, and does not allow anybody to drop it.
        "table" if object.name == "sqlite_sequence" => Effect::OfAnother,
        "table" if is_shadow(connection, &object.name)? => Effect::OfAnother,
        _ => Effect::None,
    })
}

/// Whether the text has the name of the events' table as a word: without it nothing can refer to that table, however it
/// is quoted.
fn names_events(text: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).any(|word| word.eq_ignore_ascii_case(TABLE))
}

/// A unique index refuses rows that are there already; an expression may fail on a record.
fn may_refuse(connection: &Connection, index: &str) -> rusqlite::Result<bool> {
    let list = "SELECT \"unique\" OR partial FROM pragma_index_list(?1) WHERE name = ?2";
    let refuses: Option<bool> = connection.query_row(list, (TABLE, index), |row| row.get(0)).optional()?;
    let expressions = "SELECT EXISTS (SELECT 1 FROM pragma_index_xinfo(?1) WHERE cid = -2)";
    Ok(refuses.unwrap_or(true) || connection.query_row(expressions, [index], |row| row.get(0))?)
}

/// Whether a virtual table keeps its rows in that one, which is dropped with it.
fn is_shadow(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let list =
        "SELECT EXISTS (SELECT 1 FROM pragma_table_list WHERE name = ?1 AND schema = 'main' AND type = 'shadow')";
    connection.query_row(list, [table], |row| row.get(0))
}

/// Every table, view, index and trigger, by kind and name.
fn objects(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Object>> {
    let mut select = connection.prepare("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema")?;
    let object = |row: &rusqlite::Row<'_>| {
        Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, text: row.get(3)? })
    };
    let objects = select.query_map([], object)?;
    objects.map(|object| object.map(|object| (object.title(), object))).collect()
}

fn quoted(name: &str) -> String {
    let is_plain =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
