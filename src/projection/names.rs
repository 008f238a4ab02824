//! Names in few pieces of memory: an allocation for each would cost as much as the name.

use uuid::Uuid;

/// The unit of places, in bytes.
const UNIT: usize = 4;
const CHUNK_UNITS: usize = 4_096;

/// A name as it is kept: a UUID in lower case with hyphens, which most subjects are, in 16 bytes.
#[derive(Clone, Copy)]
pub(super) enum Spelled<'a> {
    Uuid([u8; 16]),
    Text(&'a str),
}

/// The mark of a UUID in the place of a text's length; no name is empty.
const UUID_MARK: u8 = 0;

impl<'a> Spelled<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        if name.len() != uuid::fmt::Hyphenated::LENGTH {
            return Self::Text(name);
        }
        let Ok(uuid) = Uuid::try_parse(name) else { return Self::Text(name) };
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let same = uuid.hyphenated().encode_lower(&mut text) == name;
        if same { Self::Uuid(uuid.into_bytes()) } else { Self::Text(name) }
    }

    /// The byte before it, and its own bytes.
    pub(super) fn parts(&self) -> (u8, &[u8]) {
        match self {
            Self::Uuid(bytes) => (UUID_MARK, bytes),
            // A name has at most 255 bytes.
            Self::Text(text) => (text.len() as u8, text.as_bytes()),
        }
    }

    /// How many bytes follow that mark.
    pub(super) const fn length(mark: u8) -> usize {
        if mark == UUID_MARK { 16 } else { mark as usize }
    }

    /// The name that has these parts.
    pub(super) fn read(mark: u8, bytes: &'a [u8]) -> Option<Self> {
        match mark {
            UUID_MARK => bytes.try_into().ok().map(Self::Uuid),
            _ => std::str::from_utf8(bytes).ok().map(Self::Text),
        }
    }

    /// The name as text.
    pub(super) fn with_text<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Uuid(bytes) => {
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                read(Uuid::from_bytes(*bytes).hyphenated().encode_lower(&mut text))
            }
            Self::Text(text) => read(text),
        }
    }
}

/// Names by their place, which they keep until they are removed.
#[derive(Default)]
pub(super) struct NameArena {
    chunks: Vec<Vec<u8>>,
    /// Free places, by their size in units.
    free: Vec<Vec<u32>>,
}

impl NameArena {
    pub(super) fn put(&mut self, name: &Spelled) -> u32 {
        let (mark, bytes) = name.parts();
        let units = units(bytes);
        let at = self.free.get_mut(units).and_then(Vec::pop).unwrap_or_else(|| self.room(units));
        if let Some(place) = self.place_mut(at) {
            place[0] = mark;
            place[1..=bytes.len()].copy_from_slice(bytes);
        }
        at
    }

    pub(super) fn get(&self, at: u32) -> Spelled<'_> {
        let (chunk, start) = (at as usize / CHUNK_UNITS, at as usize % CHUNK_UNITS * UNIT);
        let place = self.chunks.get(chunk).and_then(|chunk| chunk.get(start..)).unwrap_or(&[1, b'?']);
        let mut uuid = [0; 16];
        match place[0] {
            UUID_MARK => {
                uuid.copy_from_slice(&place[1..17]);
                Spelled::Uuid(uuid)
            }
            length => Spelled::Text(std::str::from_utf8(&place[1..=usize::from(length)]).unwrap_or_default()),
        }
    }

    pub(super) fn remove(&mut self, at: u32) {
        let units = units(self.get(at).parts().1);
        self.give_up(at, units);
    }

    fn give_up(&mut self, at: u32, units: usize) {
        if self.free.len() <= units {
            self.free.resize_with(units + 1, Vec::new);
        }
        self.free[units].push(at);
    }

    fn place_mut(&mut self, at: u32) -> Option<&mut [u8]> {
        let (chunk, start) = (at as usize / CHUNK_UNITS, at as usize % CHUNK_UNITS * UNIT);
        self.chunks.get_mut(chunk)?.get_mut(start..)
    }

    /// New room of that many units.
    fn room(&mut self, units: usize) -> u32 {
        let used = self.chunks.last().map_or(CHUNK_UNITS, |last| last.len() / UNIT);
        if used + units > CHUNK_UNITS {
            self.open_chunk(used);
        }
        let chunk = self.chunks.len() - 1;
        let last = &mut self.chunks[chunk];
        let start = last.len();
        last.resize(start + units * UNIT, 0);
        (chunk * CHUNK_UNITS + start / UNIT) as u32
    }

    /// Opens a chunk; the rest of the last one is for shorter names.
    fn open_chunk(&mut self, used: usize) {
        if used < CHUNK_UNITS {
            let at = (self.chunks.len() - 1) * CHUNK_UNITS + used;
            self.chunks.iter_mut().next_back().into_iter().for_each(|last| last.resize(CHUNK_UNITS * UNIT, 0));
            self.give_up(at as u32, CHUNK_UNITS - used);
        }
        let chunk = if self.chunks.is_empty() { Vec::new() } else { Vec::with_capacity(CHUNK_UNITS * UNIT) };
        self.chunks.push(chunk);
    }
}

fn units(bytes: &[u8]) -> usize {
    (1 + bytes.len()).div_ceil(UNIT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(name: Spelled) -> String {
        name.with_text(str::to_owned)
    }

    proptest! {
        #[test]
        fn names_are_read_as_they_were_put(
            texts in prop::collection::vec(("\\PC{1,63}", any::<u128>(), 0..3usize), 1..900),
        ) {
            let (mut names, mut there) = (NameArena::default(), Vec::new());
            for (one, number, what) in texts {
                let uuid = Uuid::from_u128(number).to_string();
                let name = [one, uuid.to_uppercase(), uuid][what].clone();
                there.push((names.put(&Spelled::of(&name)), name));
                if number % 3 == 0 {
                    let (at, _) = there.swap_remove(number as usize % there.len());
                    names.remove(at);
                }
            }
            for (at, name) in &there {
                prop_assert_eq!(&text(names.get(*at)), name);
            }
        }
    }
}
