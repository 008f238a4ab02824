//! The data of records about status lists.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::forms::{Hex, Text};
use super::nodes::Numbered;
use super::{RecordError, in_order, integer};
use crate::domain::{
    KeyId, MAX_INTEGER, Origin, Sequence, StatusIndex, StatusListClass, StatusListId, StatusListOpened,
    StatusListPublished,
};

/// The bits of an entry. Wider ones are reserved.
const BITS: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusListOpenedData {
    list: Text<StatusListId>,
    bits: u64,
    entries: u64,
    class: Text<StatusListClass>,
}

impl From<&StatusListOpened> for StatusListOpenedData {
    fn from(opened: &StatusListOpened) -> Self {
        Self { list: Text(opened.list), bits: BITS, entries: opened.entries.into(), class: Text(opened.class) }
    }
}

impl StatusListOpenedData {
    pub(super) fn into_domain(self) -> Result<StatusListOpened, RecordError> {
        if self.bits != BITS {
            return Err(RecordError::malformed("a list of entries that are not one bit each"));
        }
        let entries = u32::try_from(self.entries).ok().filter(|entries| {
            (StatusListOpened::MIN_ENTRIES..=StatusListOpened::MAX_ENTRIES).contains(entries) && entries % 8 == 0
        });
        let entries = entries
            .ok_or_else(|| RecordError::malformed("a list whose entries are not a multiple of 8 from 2^14 to 2^20"))?;
        Ok(StatusListOpened { list: self.list.0, entries, class: self.class.0 })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusListPublishedData<'a> {
    list: Text<StatusListId>,
    iat: u64,
    exp: u64,
    ttl: u64,
    #[serde(borrow)]
    kid: Cow<'a, str>,
    #[serde(borrow)]
    alg: Cow<'a, str>,
    upto: Numbered<Text<Origin>>,
    array: Hex<32>,
    #[serde(borrow)]
    deflate: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
}

impl<'a> From<&'a StatusListPublished> for StatusListPublishedData<'a> {
    fn from(published: &'a StatusListPublished) -> Self {
        let upto = published.upto.iter().map(|(origin, sequence)| (Text(*origin), sequence.0));
        Self {
            list: Text(published.list),
            iat: published.iat,
            exp: published.exp,
            ttl: published.ttl,
            kid: published.kid.as_str().into(),
            alg: (&*published.algorithm).into(),
            upto: Numbered(upto.collect()),
            array: Hex(published.array),
            deflate: (&*published.deflate).into(),
            signature: (&*published.signature).into(),
        }
    }
}

impl StatusListPublishedData<'_> {
    pub(super) fn into_domain(self) -> Result<StatusListPublished, RecordError> {
        let upto = self.upto.0.into_iter().map(|(origin, sequence)| Ok((origin.0, Sequence(integer(sequence)?))));
        let upto: Vec<_> = upto.collect::<Result<_, RecordError>>()?;
        in_order(upto.iter().map(|(origin, _)| origin))?;
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if self.signature.is_empty() || !self.signature.bytes().all(base64url) {
            return Err(RecordError::malformed("a signature that is not in base64url"));
        }
        // As milliseconds it is an instant like every other.
        if self.exp > MAX_INTEGER / 1_000 || self.iat >= self.exp {
            return Err(RecordError::malformed("a list that expires before it is signed, or beyond all time"));
        }
        Ok(StatusListPublished {
            list: self.list.0,
            iat: self.iat,
            exp: self.exp,
            ttl: integer(self.ttl)?,
            kid: KeyId::new(&self.kid).map_err(RecordError::malformed)?,
            algorithm: self.alg.into(),
            upto: upto.into_iter().collect(),
            array: self.array.0,
            deflate: self.deflate.into(),
            signature: self.signature.into(),
        })
    }
}

/// A token's entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusIndexData {
    list: Text<StatusListId>,
    index: u64,
}

impl From<StatusIndex> for StatusIndexData {
    fn from(StatusIndex { list, index }: StatusIndex) -> Self {
        Self { list: Text(list), index: index.into() }
    }
}

impl StatusIndexData {
    pub(super) fn into_domain(self) -> Result<StatusIndex, RecordError> {
        let index = u32::try_from(self.index).ok().filter(|index| *index < StatusListOpened::MAX_ENTRIES);
        let index = index.ok_or_else(|| RecordError::malformed("an index beyond every list"))?;
        Ok(StatusIndex { list: self.list.0, index })
    }
}
