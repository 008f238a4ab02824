//! The packed array: draft-ietf-oauth-status-list-21, section 4.1.

use aws_lc_rs::digest::{SHA256, digest};

/// How many bits an entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusWidth {
    One,
    Two,
    Four,
    Eight,
}

impl StatusWidth {
    /// The width of that many bits: 1, 2, 4 or 8.
    pub const fn of(bits: u64) -> Option<Self> {
        match bits {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }

    /// The bits of an entry.
    pub const fn bits(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    const fn mask(self) -> u8 {
        (u16::MAX >> (16 - self.bits())) as u8
    }
}

/// The statuses of a list, packed: the first entry is in the least significant bits of the first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusArray {
    width: StatusWidth,
    bytes: Vec<u8>,
}

impl StatusArray {
    /// Entries that are all 0, VALID. Filled up to a whole byte.
    pub fn new(width: StatusWidth, entries: u32) -> Self {
        let bits = entries as usize * usize::from(width.bits());
        Self { width, bytes: vec![0; bits.div_ceil(8)] }
    }

    /// The entries in these bytes.
    pub const fn from_bytes(width: StatusWidth, bytes: Vec<u8>) -> Self {
        Self { width, bytes }
    }

    /// The packed bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub const fn width(&self) -> StatusWidth {
        self.width
    }

    /// How many entries there are.
    pub fn entries(&self) -> usize {
        self.bytes.len() * 8 / usize::from(self.width.bits())
    }

    /// The entry, or nothing beyond the last one: the draft wants that to be refused.
    pub fn get(&self, index: u32) -> Option<u8> {
        let (byte, shift) = self.place(index);
        Some(self.bytes.get(byte)? >> shift & self.width.mask())
    }

    /// Sets the entry to the lowest bits of that; false beyond the last one.
    pub fn set(&mut self, index: u32, status: u8) -> bool {
        let ((byte, shift), mask) = (self.place(index), self.width.mask());
        let Some(packed) = self.bytes.get_mut(byte) else { return false };
        *packed = *packed & !(mask << shift) | (status & mask) << shift;
        true
    }

    /// Whether every bit that is set in the other one is set here.
    pub fn contains(&self, other: &Self) -> bool {
        let has = |(mine, theirs): (&u8, &u8)| mine & theirs == *theirs;
        self.width == other.width
            && self.bytes.len() == other.bytes.len()
            && self.bytes.iter().zip(&other.bytes).all(has)
    }

    /// How many entries are not 0.
    pub fn set_entries(&self) -> usize {
        let entries = u32::try_from(self.entries()).unwrap_or(u32::MAX);
        (0..entries).filter(|index| self.get(*index).is_some_and(|status| status != 0)).count()
    }

    /// SHA-256 of the packed bytes.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.bytes).as_ref());
        hash
    }

    fn place(&self, index: u32) -> (usize, u32) {
        let bit = index as usize * usize::from(self.width.bits());
        (bit / 8, (bit % 8) as u32)
    }
}
