//! Log files made of given records, and ways to break them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use authledger::domain::{Origin, Recorded};
use authledger::event_log::{Chain, ChainHash, Head, encode, open_for_writing};
use authledger::projection::Projection;
use rusqlite::Connection;
use tempfile::TempDir;

/// A log file in a directory of its own, closed, all of it in the one file.
pub struct LogFile {
    pub directory: TempDir,
}

impl LogFile {
    pub fn of(records: &[Recorded]) -> Self {
        let lines: Vec<_> = records.iter().map(|recorded| (recorded.place.origin, encode(recorded))).collect();
        Self::of_lines(&lines)
    }

    /// A log of these texts, chained as they are, whether they are records or not.
    pub fn of_lines(lines: &[(Origin, String)]) -> Self {
        let log = Self { directory: tempfile::tempdir().unwrap() };
        append_lines(&open_for_writing(&log.path()).unwrap(), lines);
        log
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    /// Changes the file as only somebody can who takes the triggers away and puts them back.
    pub fn forge(&self, statement: &str) {
        let connection = Connection::open(self.path()).unwrap();
        let triggers: Vec<(String, String)> = connection
            .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        triggers.iter().for_each(|(name, _)| connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
        connection.execute_batch(statement).unwrap();
        triggers.iter().for_each(|(_, sql)| connection.execute_batch(sql).unwrap());
    }

    /// Flips a bit in every copy of these bytes in the file: at `offset` in them, `mask` wise.
    pub fn flip(&self, bytes: &[u8], offset: usize, mask: u8) {
        let mut file = fs::read(self.path()).unwrap();
        let places: Vec<usize> = find_all(&file, bytes).collect();
        assert!(!places.is_empty(), "the file does not hold these bytes in one piece");
        places.iter().for_each(|place| file[place + offset] ^= mask);
        fs::write(self.path(), file).unwrap();
    }
}

pub fn append_lines(connection: &Connection, lines: &[(Origin, String)]) {
    let chain = Chain::default();
    let mut heads: BTreeMap<Origin, Head> = BTreeMap::new();
    connection.execute_batch("BEGIN").unwrap();
    for (position, (origin, record)) in lines.iter().enumerate() {
        let head = heads.entry(*origin).or_default();
        *head = Head { sequence: head.sequence.next(), hash: chain.link(&head.hash, record.as_bytes()) };
        let row = (position as i64 + 1, origin.as_str(), head.sequence.0 as i64, 1, record, &head.hash.0[..]);
        connection.execute("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// The hash of every record in that order.
pub fn hashes(records: &[Recorded]) -> Vec<ChainHash> {
    let chain = Chain::default();
    let mut heads: BTreeMap<Origin, ChainHash> = BTreeMap::new();
    let link = |recorded: &Recorded| {
        let head = heads.entry(recorded.place.origin).or_default();
        *head = chain.link(head, encode(recorded).as_bytes());
        *head
    };
    records.iter().map(link).collect()
}

/// The server's state after these records.
pub fn projection_of(records: &[Recorded]) -> Projection {
    let projection = Projection::default();
    records.iter().for_each(|recorded| fold_into(&projection, recorded));
    projection
}

/// Folds a record as the server does, its head included; hashes stay zero.
pub fn fold_into(projection: &Projection, recorded: &Recorded) {
    projection.fold(recorded);
    let mut base = projection.base();
    base.position = base.position.next();
    base.heads.entry(recorded.place.origin).or_default().sequence = recorded.place.sequence;
    projection.reached(base);
}

/// An error's sentence with a directory's path taken out of it.
pub fn redacted(error: &dyn std::fmt::Display, directory: &Path) -> String {
    error.to_string().replace(&directory.display().to_string(), "[DIRECTORY]")
}

fn find_all<'a>(file: &'a [u8], bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    file.windows(bytes.len()).enumerate().filter(move |(_, window)| *window == bytes).map(|(at, _)| at)
}
