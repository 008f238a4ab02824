//! Slots in chunks: growing does not copy slots, and wastes at most a part of one chunk.

/// Bytes of a chunk, as near to it as its slots come: an allocation size of the allocator, so that it adds nothing.
const CHUNK_BYTES: usize = 10_240;

/// Values at places that they keep until they are vacated. A vacant place holds `T::default()`.
pub(super) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T: Default> Slab<T> {
    const CHUNK: usize = CHUNK_BYTES / size_of::<T>();

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.chunks.get(at as usize / Self::CHUNK)?.get(at as usize % Self::CHUNK)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.chunks.get_mut(at as usize / Self::CHUNK)?.get_mut(at as usize % Self::CHUNK)
    }

    /// Whether there is a vacant place, or a new one below that many.
    pub(super) fn has_room(&self, room: u32) -> bool {
        !self.free.is_empty() || self.len() < room as usize
    }

    /// Places that are not vacant.
    pub(super) fn used(&self) -> usize {
        self.len() - self.free.len()
    }

    /// Puts the value at a vacant place, or at a new one.
    pub(super) fn put(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop()
            && let Some(slot) = self.get_mut(at)
        {
            *slot = value;
            return at;
        }
        match self.chunks.last_mut().filter(|last| last.len() < Self::CHUNK) {
            Some(last) => last.push(value),
            None => self.open_chunk(value),
        }
        (self.len() - 1) as u32
    }

    /// Takes the value out; its place may be used again.
    pub(super) fn vacate(&mut self, at: u32) -> T {
        let Some(slot) = self.get_mut(at) else { return T::default() };
        let value = std::mem::take(slot);
        self.free.push(at);
        value
    }

    /// Places, including vacant ones.
    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * Self::CHUNK + last.len())
    }

    /// The places from there on with their values, including vacant ones.
    pub(super) fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &T)> {
        (from..self.len() as u32).filter_map(|at| Some((at, self.get(at)?)))
    }

    // The first chunk grows as needed, so that a thousand slabs of a small ledger take little.
    fn open_chunk(&mut self, value: T) {
        let mut chunk = if self.chunks.is_empty() { Vec::new() } else { Vec::with_capacity(Self::CHUNK) };
        chunk.push(value);
        self.chunks.push(chunk);
    }
}
