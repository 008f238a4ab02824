//! The index finds the same records as reading the log does, also after a crash or a bad disk has damaged it.

mod damage;
mod large;
mod thread;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use authledger::domain::{Position, Recorded};
use authledger::event_log::Reader;
use authledger::index::{About, Builder, Finder, Shape, Sought, about, verify};
use proptest::prelude::*;

use crate::properties::{history, live};
use crate::support::log::LogFile;

/// A log with an index next to it.
pub struct Indexed {
    pub log: LogFile,
    pub reader: Reader,
    /// Everything that the log speaks of.
    pub spoken_of: Vec<Sought>,
}

impl Indexed {
    pub fn of(records: &[Recorded]) -> Self {
        let log = LogFile::of(records);
        let reader = Reader::open(&log.path()).unwrap();
        let mut abouts = BTreeSet::new();
        for recorded in records {
            about(recorded, |about| {
                abouts.insert(about);
            });
        }
        // A JWT's records have its `jti`, which a caller that asks for it names.
        let jtis: Vec<_> = records.iter().filter_map(jwt_of).collect();
        let sought = |about: About| {
            let jti = jtis.iter().find(|(id, _)| about == About::Credential(*id)).map(|(_, jti)| jti.clone());
            Sought { about, jti }
        };
        Self { log, reader, spoken_of: abouts.into_iter().map(sought).collect() }
    }

    pub fn directory(&self) -> PathBuf {
        self.log.directory.path().join("index")
    }

    pub fn builder(&self, segment_records: u64, fan_in: usize) -> Builder {
        let reader = Reader::open(&self.log.path()).unwrap();
        Builder::open(reader, &self.directory(), Shape { segment_records, fan_in }, |_| ()).unwrap()
    }

    pub fn built(&self, segment_records: u64, fan_in: usize) -> Builder {
        let mut builder = self.builder(segment_records, fan_in);
        builder.catch_up(|_| true).unwrap();
        builder
    }

    /// The records that the finder finds for each thing that is spoken of.
    fn found_by(&self, mut finder: Finder<'_>) -> Vec<Vec<Position>> {
        self.spoken_of.iter().map(|sought| positions(&mut finder, std::slice::from_ref(sought))).collect()
    }

    pub fn found(&self) -> Vec<Vec<Position>> {
        self.found_by(Finder::new(&self.reader, &self.directory(), None).unwrap())
    }

    /// The records that reading all of the log finds, each time anew.
    pub fn read(&self) -> Vec<Vec<Position>> {
        self.found_by(Finder::new(&self.reader, Path::new("/nonexistent"), None).unwrap().remembering(0))
    }

    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn jwt_of(recorded: &Recorded) -> Option<(authledger::domain::CredentialId, authledger::domain::TokenId)> {
    use authledger::domain::Event;
    let named = match &recorded.event {
        Event::TokenIssued(issued) => &issued.name,
        Event::Revoked(revoked) => &revoked.credential,
        _ => return None,
    };
    Some((named.id(), named.jti()?.clone()))
}

pub fn positions(finder: &mut Finder<'_>, sought: &[Sought]) -> Vec<Position> {
    let mut found = Vec::new();
    let head = finder.head();
    let _ = finder
        .find(sought, Position(0), head, &mut |_, _| (), &mut |stored, _| {
            found.push(stored.position);
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn looking_up_finds_what_reading_finds(
        history in history(false), segment_records in 1..9_u64, fan_in in 2..5_usize, cut in 1..60_usize,
    ) {
        let mut world = live(false, &history);
        world.exchange_all();
        let records = &world.nodes[0].log;
        let indexed = Indexed::of(records);
        let due = indexed.read();
        for (sought, found) in indexed.spoken_of.iter().zip(&due) {
            let speak = |recorded: &Recorded| {
                let mut speaks = false;
                about(recorded, |about| speaks |= about == sought.about);
                speaks
            };
            let all = records.iter().enumerate().filter(|(_, recorded)| speak(recorded));
            let all: Vec<_> = all.map(|(at, _)| Position(at as u64 + 1)).collect();
            prop_assert_eq!(found, &all, "{:?}", sought);
        }
        // Segments, and the records after them: in memory, or to be read.
        let builder = indexed.built(segment_records, fan_in);
        prop_assert_eq!(&indexed.found(), &due);
        let tail = builder.tail().lock().clone();
        let mut finder = Finder::new(&indexed.reader, &indexed.directory(), Some(tail)).unwrap();
        prop_assert_eq!(finder.coverage().indexed, records.len() as u64);
        for (sought, due) in indexed.spoken_of.iter().zip(&due) {
            prop_assert_eq!(&positions(&mut finder, std::slice::from_ref(sought)), due);
        }
        // Many at once, more than there are texts to look for, and from the middle on.
        let mut some = Vec::new();
        let cut = Position(cut as u64);
        let head = finder.head();
        let mut take = |stored: authledger::event_log::StoredRecord, _| { some.push(stored.position); ControlFlow::Continue(()) };
        let _ = finder.find(&indexed.spoken_of, cut, head, &mut |_, _| (), &mut take).unwrap();
        let all: BTreeSet<_> = due.iter().flatten().filter(|position| **position > cut).copied().collect();
        prop_assert_eq!(some, all.into_iter().collect::<Vec<_>>());
        let verified = verify(&indexed.reader, &indexed.directory(), |_, _| ()).unwrap();
        prop_assert_eq!(verified.covered.0, records.len() as u64 / segment_records * segment_records);
        // A start goes on where the files end, and finds nothing to mend.
        let files = indexed.files();
        let again = indexed.builder(segment_records, fan_in);
        prop_assert_eq!(again.reached(), verified.covered);
        prop_assert_eq!(indexed.files(), files);
    }
}
