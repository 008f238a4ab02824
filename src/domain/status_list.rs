//! Token Status Lists: which indexes are taken, and what was published last.
//!
//! The array itself is not state: it follows from the tokens with an index, and is made where it is published.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::ids::{KeyId, Malformed, Origin, RecordId, Sequence};
use super::time::{RETENTION_MARGIN_MILLIS, Timestamp, Ttl};

/// For how long a list takes indexes.
const OPEN_MILLIS: u64 = 86_400_000;

/// The name of a list: 16 random characters of RFC 4648 base32 in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusListId([u8; Self::LEN]);

impl StatusListId {
    /// Characters in a list's name.
    pub const LEN: usize = 16;

    /// The list that these random bytes name.
    pub fn from_random(bytes: [u8; Self::LEN]) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        Self(bytes.map(|byte| ALPHABET[usize::from(byte & 31)]))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The name's 16 ASCII bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl FromStr for StatusListId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("16 characters of a-z and 2-7");
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().map_err(|_| FORM)?;
        if bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) { Ok(Self(bytes)) } else { Err(FORM) }
    }
}

impl fmt::Display for StatusListId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StatusListId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long the tokens of a list live: lists with short-lived tokens are retired early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusListClass {
    /// At most 24 h.
    Day,
    /// Longer.
    Long,
}

impl StatusListClass {
    pub const ALL: [Self; 2] = [Self::Day, Self::Long];

    /// The class of tokens that are to live that long.
    pub const fn of(life: Ttl) -> Self {
        if life.as_millis() <= OPEN_MILLIS { Self::Day } else { Self::Long }
    }

    /// The name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Long => "long",
        }
    }
}

impl fmt::Display for StatusListClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StatusListClass {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|class| class.as_str() == text).ok_or(Malformed("day or long"))
    }
}

/// A list's opening. Its entries have one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusListOpened {
    pub list: StatusListId,
    /// How many entries it has, a multiple of 8.
    pub entries: u32,
    pub class: StatusListClass,
}

impl StatusListOpened {
    /// The fewest and the most entries of a list.
    pub const MIN_ENTRIES: u32 = 1 << 14;
    pub const MAX_ENTRIES: u32 = 1 << 20;
}

/// A token's entry. Each is given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusIndex {
    pub list: StatusListId,
    pub index: u32,
}

/// Random numbers, of which each stands for an index: the first that is not taken counts.
pub type StatusDraws = [u32; 16];

/// A list's publication: enough to make the published token again from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusListPublished {
    pub list: StatusListId,
    /// When it was signed, in seconds since 1970: later than the list's publication before.
    pub iat: u64,
    /// When it expires, in seconds since 1970.
    pub exp: u64,
    /// For how many seconds verifiers may keep it.
    pub ttl: u64,
    /// The key that signed it.
    pub kid: KeyId,
    /// The algorithm of the signature: RFC 7515, section 4.1.1.
    pub algorithm: Box<str>,
    /// The records that it follows from: each origin's up to there.
    pub upto: BTreeMap<Origin, Sequence>,
    /// SHA-256 of the array before it was compressed.
    pub array: [u8; 32],
    /// Name and level of the encoder that compressed it.
    pub deflate: Box<str>,
    /// The signature in base64url without padding.
    pub signature: Box<str>,
}

/// The folded state of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusListState {
    /// Its opening, with the record and its time.
    pub opened: Option<(RecordId, Timestamp, StatusListOpened)>,
    /// The indexes that tokens have.
    pub taken: IndexSet,
    /// When the last of these tokens expires.
    pub last_expiry: Timestamp,
    /// The publication with the latest `iat`.
    pub published: Option<(RecordId, Arc<StatusListPublished>)>,
}

impl StatusListState {
    /// A list of which only that is known.
    pub fn opening(place: RecordId, opened_at: Timestamp, opened: StatusListOpened) -> Self {
        Self { opened: Some((place, opened_at, opened)), ..Self::default() }
    }

    /// A list of which only that is known.
    pub fn publication(place: RecordId, published: StatusListPublished) -> Self {
        Self { published: Some((place, Arc::new(published))), ..Self::default() }
    }

    /// Gives an index to a token that expires then.
    pub fn take(&mut self, index: u32, expires_at: Timestamp) {
        self.taken.insert(index);
        self.last_expiry = self.last_expiry.max(expires_at);
    }

    /// Joins the state from another node or a later record.
    pub fn merge(&mut self, other: Self) {
        self.opened = match (self.opened.take(), other.opened) {
            (Some(mine), Some(other)) => Some(if mine.0 <= other.0 { mine } else { other }),
            (mine, other) => mine.or(other),
        };
        self.taken.merge(&other.taken);
        self.last_expiry = self.last_expiry.max(other.last_expiry);
        let age = |(place, published): &(RecordId, Arc<StatusListPublished>)| (published.iat, *place);
        self.published = match (self.published.take(), other.published) {
            (Some(mine), Some(other)) => Some(if age(&mine) >= age(&other) { mine } else { other }),
            (mine, other) => mine.or(other),
        };
    }

    /// A summary. Nothing while its opening is not known.
    pub fn view(&self) -> Option<StatusListView> {
        let (place, opened_at, opened) = self.opened?;
        let iat = self.published.as_ref().map(|(_, published)| published.iat);
        Some(StatusListView { place, opened_at, opened, taken: self.taken.len(), last_expiry: self.last_expiry, iat })
    }

    /// Whether nobody needs it any more at `now`.
    pub fn is_retired(&self, now: Timestamp) -> bool {
        self.view().is_none_or(|view| view.retired_at() <= now)
    }
}

/// The parts of a list's state that decide about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusListView {
    /// The record that opened it.
    pub place: RecordId,
    pub opened_at: Timestamp,
    pub opened: StatusListOpened,
    /// How many indexes are taken.
    pub taken: u32,
    /// When the last token in it expires.
    pub last_expiry: Timestamp,
    /// When it was published last.
    pub iat: Option<u64>,
}

impl StatusListView {
    /// Whether it takes indexes: for 24 h, and until three quarters of them are taken.
    pub fn takes(&self, now: Timestamp) -> bool {
        !self.is_full() && now < self.opened_at.plus_millis(OPEN_MILLIS)
    }

    /// From when on it is not served any more: all of its tokens have expired, and it gets no others.
    pub fn retired_at(&self) -> Timestamp {
        let closed_at = if self.is_full() { self.opened_at } else { self.opened_at.plus_millis(OPEN_MILLIS) };
        self.last_expiry.max(closed_at).plus_millis(RETENTION_MARGIN_MILLIS)
    }

    fn is_full(&self) -> bool {
        u64::from(self.taken) * 4 >= u64::from(self.opened.entries) * 3
    }

    /// The same list with what another part of the state knows of it.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            taken: self.taken + other.taken,
            last_expiry: self.last_expiry.max(other.last_expiry),
            iat: self.iat.max(other.iat),
            ..self
        }
    }
}

const CHUNK_WORDS: usize = 16;
const CHUNK_BITS: u32 = CHUNK_WORDS as u32 * u64::BITS;

/// A set of indexes, in pieces, so that a small one is small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexSet {
    chunks: BTreeMap<u32, [u64; CHUNK_WORDS]>,
    len: u32,
}

impl IndexSet {
    pub const fn len(&self) -> u32 {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains(&self, index: u32) -> bool {
        let (chunk, word, bit) = Self::place(index);
        self.chunks.get(&chunk).is_some_and(|words| words[word] & bit != 0)
    }

    pub fn insert(&mut self, index: u32) {
        let (chunk, word, bit) = Self::place(index);
        let words = self.chunks.entry(chunk).or_default();
        self.len += u32::from(words[word] & bit == 0);
        words[word] |= bit;
    }

    /// The indexes in their order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().flat_map(|(chunk, words)| {
            let bits = (0..CHUNK_BITS).filter(|bit| words[(bit / 64) as usize] >> (bit % 64) & 1 != 0);
            bits.map(move |bit| chunk * CHUNK_BITS + bit)
        })
    }

    /// SHA-256 over the indexes in their order, each in four big-endian bytes.
    pub fn hash(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        self.iter().for_each(|index| context.update(&index.to_be_bytes()));
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }

    fn merge(&mut self, other: &Self) {
        other.iter().for_each(|index| self.insert(index));
    }

    const fn place(index: u32) -> (u32, usize, u64) {
        (index / CHUNK_BITS, (index % CHUNK_BITS / 64) as usize, 1 << (index % 64))
    }
}
