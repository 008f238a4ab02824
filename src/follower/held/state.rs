//! What is held as a file, so that a follower that starts again need not load the snapshot.
//!
//! Its only secrets are the keys of marks: write it readable by its owner alone. The form is this release's own; a file of another
//! form is refused, and the snapshot is loaded instead.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use super::Held;
use super::layer::Layer;
use super::marks::{ENTRY_BYTES, Entry, Marks};
use super::wholes::{Whole, WholeKey};
use crate::compact::{AgeLimit, MarkKey, MarkedKinds, WholeChange};
use crate::domain::{Origin, Sequence, Timestamp};

const MAGIC: &[u8; 16] = b"authledger held1";
const SUM_BYTES: usize = 32;

/// Why a file does not say what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another release wrote it, or it is something else.
    #[error("the file of what is held has another form")]
    Form,
    /// It is cut off, or bytes of it have changed.
    #[error("the file of what is held is damaged")]
    Damaged,
}

impl Held {
    /// Writes what is held, and the cursor to follow from. Take the cursor before: what is applied meanwhile may be missing, and comes
    /// again. Checks and changes go on.
    pub fn save(&self, cursor: &str, out: &mut impl Write) -> io::Result<()> {
        let mut out = Summed { out, hasher: blake3::Hasher::new() };
        out.put(MAGIC)?;
        out.number(self.now().as_millis())?;
        out.number(cursor.len() as u64)?;
        out.put(cursor.as_bytes())?;
        let highest = self.highest_generation();
        out.number(highest.len() as u64)?;
        highest.iter().try_for_each(|(origin, sequence)| out.place(*origin, *sequence))?;
        let layers: Vec<_> = self.layers.iter().map_while(OnceLock::get).collect();
        out.number(layers.len() as u64)?;
        layers.iter().try_for_each(|layer| out.layer(layer))?;
        // Last: a mark that came meanwhile has a number that came meanwhile.
        self.buckets.ends().try_for_each(|end| out.number(end))?;
        let sum = out.hasher.finalize();
        out.out.write_all(sum.as_bytes())
    }

    /// Reads what was saved: what is held, and the cursor to follow from.
    pub fn restore(bytes: &[u8]) -> Result<(Self, String), StateError> {
        let (content, sum) = bytes.split_last_chunk::<SUM_BYTES>().ok_or(StateError::Damaged)?;
        let rest = content.strip_prefix(MAGIC).ok_or(StateError::Form)?;
        if blake3::hash(content) != *sum {
            return Err(StateError::Damaged);
        }
        let mut saved = Saved(rest);
        let held = Self::new(Timestamp::from_millis(saved.number()?).unwrap_or(Timestamp::MAX));
        let length = saved.count(1)?;
        let cursor = std::str::from_utf8(saved.take(length)?).map_err(|_| StateError::Form)?.to_owned();
        let entries = saved.count(Origin::LEN + 8)?;
        let highest = (0..entries).map(|_| saved.place()).collect::<Result<Vec<_>, _>>()?;
        held.note(&highest);
        let layers = saved.count(1)?;
        for place in held.layers.get(..layers).ok_or(StateError::Form)? {
            let layer = saved.layer()?;
            place.get_or_init(|| Arc::new(layer));
        }
        let ends = held.buckets.ends().map(|_| saved.number()).collect::<Result<Vec<_>, _>>()?;
        held.buckets.restore(ends);
        if saved.0.is_empty() { Ok((held, cursor)) } else { Err(StateError::Form) }
    }
}

/// A writer that makes the sum of what it writes.
struct Summed<W> {
    out: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.put(&number.to_le_bytes())
    }

    fn place(&mut self, origin: Origin, sequence: Sequence) -> io::Result<()> {
        self.put(origin.as_bytes())?;
        self.number(sequence.0)
    }

    fn layer(&mut self, layer: &Layer) -> io::Result<()> {
        self.put(layer.key().as_bytes())?;
        self.marks(&layer.plain)?;
        self.marks(&layer.scoped)?;
        let mut wholes: Vec<(WholeKey, Whole)> = Vec::new();
        layer.wholes.visit(|key, whole| wholes.push((*key, whole.clone())));
        self.number(wholes.len() as u64)?;
        wholes.iter().try_for_each(|(key, whole)| self.whole(*key, whole))
    }

    fn marks<const PREFIX: usize>(&mut self, marks: &Marks<PREFIX>) -> io::Result<()> {
        let mut list = Vec::new();
        for place in marks.lists() {
            // Copied, so that no change waits for the disk.
            list.clone_from(&*place.read());
            self.number(list.len() as u64)?;
            self.put(list.as_flattened())?;
        }
        Ok(())
    }

    fn whole(&mut self, (mark, index): WholeKey, whole: &Whole) -> io::Result<()> {
        self.put(&mark.0)?;
        self.put(&[index, u8::from(whole.erased), u8::from(whole.withdrawn)])?;
        self.number(whole.not_before)?;
        self.number(whole.retain_until.as_millis())?;
        self.number(whole.generation().count() as u64)?;
        whole.generation().try_for_each(|(origin, sequence)| self.place(origin, sequence))?;
        self.number(whole.ages().count() as u64)?;
        whole.ages().try_for_each(|age| {
            self.number(age.issued_before.as_millis())?;
            self.place(age.origin, age.sequence)
        })
    }
}

/// The rest of what was saved. Its sum was right, so what is wrong about it is its form.
struct Saved<'a>(&'a [u8]);

impl<'a> Saved<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(StateError::Form)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(StateError::Form)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of parts, each of at least that many bytes.
    fn count(&mut self, part_bytes: usize) -> Result<usize, StateError> {
        let count = usize::try_from(self.number()?).map_err(|_| StateError::Form)?;
        if count > self.0.len() / part_bytes { Err(StateError::Form) } else { Ok(count) }
    }

    fn instant(&mut self) -> Result<Timestamp, StateError> {
        Timestamp::from_millis(self.number()?).ok_or(StateError::Form)
    }

    fn place(&mut self) -> Result<(Origin, Sequence), StateError> {
        let origin = std::str::from_utf8(self.take(Origin::LEN)?).ok().and_then(|text| text.parse().ok());
        Ok((origin.ok_or(StateError::Form)?, Sequence(self.number()?)))
    }

    fn layer(&mut self) -> Result<Layer, StateError> {
        let layer = Layer::new(MarkKey::from_bytes(self.array()?));
        self.marks(&layer.plain)?;
        self.marks(&layer.scoped)?;
        for _ in 0..self.number()? {
            self.whole(&layer)?;
        }
        Ok(layer)
    }

    fn marks<const PREFIX: usize>(&mut self, marks: &Marks<PREFIX>) -> Result<(), StateError> {
        for at in 0..marks.lists().len() {
            let count = self.count(ENTRY_BYTES)?;
            let entries = self.take(count * ENTRY_BYTES)?.as_chunks::<ENTRY_BYTES>().0;
            marks.restore(at, Vec::<Entry>::from(entries));
        }
        Ok(())
    }

    fn whole(&mut self, layer: &Layer) -> Result<(), StateError> {
        let mark = crate::compact::Mark(self.array()?);
        let [index, erased, withdrawn] = self.array()?;
        let (not_before, retain_until) = (self.number()?, self.instant()?);
        let entries = self.count(Origin::LEN + 8)?;
        let generation = (0..entries).map(|_| self.place()).collect::<Result<_, _>>()?;
        let mut change = WholeChange {
            mark,
            kinds: MarkedKinds::only(index),
            erased: erased != 0,
            withdrawn: withdrawn != 0,
            not_before,
            generation,
            age: None,
            retain_until,
        };
        layer.wholes.insert(&change);
        for _ in 0..self.count(Origin::LEN + 16)? {
            let issued_before = self.instant()?;
            let (origin, sequence) = self.place()?;
            change.age = Some(AgeLimit { issued_before, origin, sequence });
            layer.wholes.insert(&change);
        }
        Ok(())
    }
}
