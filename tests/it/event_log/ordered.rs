//! Reading with every core finds the same as reading row by row: the same records, and the same damage at the same position.

use std::fs;
use std::sync::Arc;

use authledger::domain::{Event, Origin, Position, Recorded};
use authledger::event_log::{Base, MAX_PAGE_ROWS, ReadError, Reader, encode, open_for_writing};

use super::golden::registration_named;
use crate::support::log::{LogFile, append_lines};
use crate::support::node::{ModelNode, issue};

/// More than two pieces of [`Reader::read_ordered`], the last of them short.
const RECORDS: u64 = 5_000;
/// First and last positions of pieces, and those next to them.
const PLACES: [u64; 8] = [1, 2, 3, 2_047, 2_048, 2_049, 4_097, RECORDS];

/// Records of two origins in turns, in pieces of uneven length: where a piece begins, either origin may go on.
fn lines() -> Vec<(Origin, String)> {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(issue(1, "alice")).unwrap();
    other.ask(issue(2, "alice")).unwrap();
    let mut origins = [&one, &other].map(|node| {
        let own: Vec<Recorded> = node.own().cloned().collect();
        (own, 0)
    });
    let mut lines = Vec::new();
    for number in 0..RECORDS {
        let (own, sequence) = &mut origins[usize::from(number % 7 > 3)];
        *sequence += 1;
        let mut recorded = own[own.len().min(*sequence) - 1].clone();
        recorded.place.sequence.0 = *sequence as u64;
        lines.push((recorded.place.origin, encode(&recorded)));
    }
    lines
}

/// Where the reading ends, and why it does so early.
type Outcome = (Position, Option<String>);

fn row_by_row(reader: &Reader, until: Position) -> Outcome {
    let mut base = Base::default();
    loop {
        let rest = (until.0 - base.position.0).min(MAX_PAGE_ROWS as u64) as usize;
        let page = match reader.next_page(&mut base, rest) {
            Ok(page) if page.is_empty() => return (base.position, None),
            Ok(page) => page,
            Err(error) => return (base.position, Some(error.to_string())),
        };
        if let Some((stored, error)) = page.iter().find_map(|stored| Some((stored, stored.decode().err()?))) {
            return (Position(stored.position.0 - 1), Some(error.to_string()));
        }
    }
}

fn with_every_core(reader: &Reader, until: Position) -> Outcome {
    let (mut base, mut taken) = (Base::default(), Vec::new());
    let made = |row: &authledger::event_log::RowRecord<'_>| Ok::<_, ReadError>((row.position, row.decode()?.place));
    let read = reader.read_ordered(&mut base, until, made, |base, made| {
        taken.extend(made);
        assert_eq!(taken.len() as u64, base.position.0);
        Ok(())
    });
    assert!(taken.iter().zip(1..).all(|((position, _), due)| position.0 == due));
    if read.is_ok() {
        assert_eq!(base, reader.base_at(base.position).unwrap());
    }
    (base.position, read.err().map(|error| error.to_string()))
}

#[test]
fn the_first_damage_is_the_same_wherever_it_lies() {
    let lines = lines();
    let log = LogFile::of_lines(&lines);
    let whole = fs::read(log.path()).unwrap();
    let until = Position(RECORDS);
    assert_eq!(with_every_core(&Reader::open(&log.path()).unwrap(), until), (until, None));
    let spoiled = [
        "DELETE FROM event WHERE position = {}",
        "DELETE FROM event WHERE position >= {}",
        "DELETE FROM event WHERE position BETWEEN {} AND {} + 3000",
        "UPDATE event SET hash = zeroblob(32) WHERE position = {}",
        "UPDATE event SET hash = zeroblob(31) WHERE position = {}",
        "UPDATE event SET origin = 'nobody' WHERE position IN ({}, {} + 1)",
        "UPDATE event SET sequence = sequence + 9000 WHERE position = {}",
        "UPDATE event SET record = replace(record, 'alice', 'mallo') WHERE position >= {}",
        "UPDATE event SET sequence = -sequence WHERE position IN ({}, {} - 1, {} + 2048)",
    ];
    for place in PLACES {
        for statement in spoiled {
            fs::write(log.path(), &whole).unwrap();
            log.forge(&statement.replace("{}", &place.to_string()));
            let reader = Reader::open(&log.path()).unwrap();
            let found = with_every_core(&reader, until);
            let due = row_by_row(&reader, until);
            assert_eq!(found, due, "{statement} at {place}");
            assert_ne!(due, (until, None), "{statement} at {place}");
        }
    }
}

#[test]
fn an_error_in_a_record_is_found_in_its_turn() {
    let whole = lines();
    for places in [[1, 4_097], [2_048, 2_049], [2_049, 2_050], [4_096, RECORDS]] {
        let mut lines = whole.clone();
        for place in places {
            let record = &mut lines[place as usize - 1].1;
            *record = record.replacen("\"version\":1", "\"version\":01", 1);
        }
        let log = LogFile::of_lines(&lines);
        let reader = Reader::open(&log.path()).unwrap();
        let found = with_every_core(&reader, Position(RECORDS));
        let due = row_by_row(&reader, Position(RECORDS));
        assert_eq!(found, due);
        assert_eq!(due.0, Position(places[0] - 1));
    }
}

#[test]
fn a_reading_goes_on_from_any_base_and_ends_where_it_should() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    append_lines(&open_for_writing(&path).unwrap(), &lines());
    let reader = Reader::open(&path).unwrap();
    for (from, to) in
        [(0, 0), (0, 1), (7, 7), (2_047, 2_048), (2_048, 4_096), (1, RECORDS), (4_999, RECORDS), (9, 99_999)]
    {
        let mut base = reader.base_at(Position(from)).unwrap();
        let mut taken = Vec::new();
        let read = reader.read_ordered(
            &mut base,
            Position(to),
            |row| Ok(row.position.0),
            |_, made| {
                taken.extend(made);
                Ok(())
            },
        );
        read.unwrap();
        assert!(taken.into_iter().eq(from + 1..=to.min(RECORDS)));
        assert_eq!(base, reader.base_at(Position(to.min(RECORDS))).unwrap());
    }
}

#[test]
fn links_hold_whatever_the_length_of_the_record() {
    let (one, _) = ModelNode::pair();
    let mut recorded = registration_named("a");
    recorded.place.origin = one.origin;
    // Around every number of BLAKE3's blocks, up to a record of several chunks.
    let lengths =
        (0..=17 * 64).step_by(7).chain((250..1_000).step_by(64).flat_map(|near| near - 2..near + 3)).chain([9_000]);
    let mut lines = vec![(one.origin, encode(&one.log[0]))];
    for (sequence, length) in (2..).zip(lengths) {
        recorded.place.sequence.0 = sequence;
        let Event::ApplicationRegistered(registration) = &mut recorded.event else { panic!("no registration") };
        Arc::make_mut(registration).name = "n".repeat(length).into();
        lines.push((one.origin, encode(&recorded)));
    }
    let log = LogFile::of_lines(&lines);
    let until = Position(lines.len() as u64);
    let whole = fs::read(log.path()).unwrap();
    assert_eq!(with_every_core(&Reader::open(&log.path()).unwrap(), until), (until, None));
    for place in (2..=until.0).step_by(3) {
        fs::write(log.path(), &whole).unwrap();
        log.forge(&format!(
            "UPDATE event SET record = substr(record, 1, length(record) - 1) || ' ' WHERE position = {place}"
        ));
        let reader = Reader::open(&log.path()).unwrap();
        let found = with_every_core(&reader, until);
        assert_eq!(found, row_by_row(&reader, until));
        assert_eq!(found.0, Position(place - 1));
    }
}
