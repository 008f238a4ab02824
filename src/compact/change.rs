//! What a revocation adds to what a follower holds.

use super::bytes::Bytes;
use super::error::CompactError;
use super::mark::{Due, Mark, MarkKey, WholeName, Whose, revoked_names};
use super::written::{put_integer, put_seconds};
use crate::domain::{Kind, Kinds, Origin, Sequence, Timestamp};

/// The bytes of the shortest entry for a subject or cohort, in a frame.
const LEAST_WHOLE_BYTES: usize = 16;
/// The bytes of the shortest entry of a generation, in a frame.
const LEAST_ORIGIN_BYTES: usize = Origin::LEN + 1;

const ERASED: u8 = 1;
const WITHDRAWN: u8 = 2;
const BY_AGE: u8 = 4;

/// A revocation in the words of the feed, as a JSON item has them.
#[derive(Clone, Debug, Default)]
pub struct ItemParts<'a> {
    pub type_name: &'a str,
    pub tenant: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub id: Option<&'a str>,
    pub digest: Option<&'a str>,
    pub iss: Option<&'a str>,
    pub jti: Option<&'a str>,
    pub payload: Option<&'a str>,
    /// `false` in the item: it revokes only credentials of that tenant and subject.
    pub unknown: bool,
    /// The member of the cohort, and its value.
    pub cohort: Option<(&'a str, &'a str)>,
    pub withdrawn: bool,
    pub kinds: Kinds,
    /// Kinds that this release does not know.
    pub other_kinds: Vec<&'a str>,
    pub generation: Vec<(Origin, Sequence)>,
    pub not_before: u64,
    /// Of a revocation by age: the instant, and the record.
    pub age: Option<AgeLimit>,
    pub retain_until: Timestamp,
}

/// The additions of a revocation. Of one frame all are kept until the same instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Until when it is kept: whole seconds.
    pub retain_until: Timestamp,
    /// The marks of a credential that is revoked for any tenant and subject.
    pub plain: Vec<Mark>,
    /// The marks of a credential that is revoked if it is somebody's.
    pub scoped: Vec<Mark>,
    /// What is revoked as a whole.
    pub wholes: Vec<WholeChange>,
}

/// The kinds of a revocation as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkedKinds(u8);

impl MarkedKinds {
    /// One that this release does not know; it is a part of the marked name.
    pub const OTHER: Self = Self(1 << Self::OTHER_INDEX);
    const OTHER_INDEX: u8 = 3;
    /// How many indexes there are.
    pub const COUNT: u8 = 4;

    /// The kind at that place alone.
    pub const fn only(index: u8) -> Self {
        Self(1 << (index % Self::COUNT))
    }

    /// The place of each of them.
    pub fn indexes(self) -> impl Iterator<Item = u8> {
        (0..Self::COUNT).filter(move |index| self.0 & (1 << index) != 0)
    }

    /// The place of the kind of that name.
    pub fn index_of(kind: &str) -> u8 {
        kind.parse::<Kind>().map_or(Self::OTHER_INDEX, |kind| kind.index() as u8)
    }
}

impl From<Kinds> for MarkedKinds {
    fn from(kinds: Kinds) -> Self {
        Self(kinds.iter().fold(0, |all, kind| all | 1 << kind.index()))
    }
}

/// The revocation of everything that a subject or a cohort has of some kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeChange {
    pub mark: Mark,
    pub kinds: MarkedKinds,
    /// The subject was erased: this is kept permanently.
    pub erased: bool,
    /// The cohort is a key that was withdrawn.
    pub withdrawn: bool,
    /// Seconds since 1970: what others issued then or earlier is revoked.
    pub not_before: u64,
    /// The generation that a credential must reach.
    pub generation: Vec<(Origin, Sequence)>,
    /// Only what was issued before an instant.
    pub age: Option<AgeLimit>,
    /// Until when it is kept: whole seconds.
    pub retain_until: Timestamp,
}

/// The revocation of what was issued before an instant, by a node that did not know of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeLimit {
    pub issued_before: Timestamp,
    pub origin: Origin,
    pub sequence: Sequence,
}

impl Change {
    /// The additions of an item. A follower with that key finds them; others don't know whose they are.
    pub fn of(item: &ItemParts<'_>, key: &MarkKey) -> Self {
        let mut change = Self { retain_until: whole_seconds(item.retain_until), ..Self::default() };
        match item.type_name {
            "subject.revoked" | "subject.erased" | "cohort.revoked" => change.revoke_whole(item, key),
            // Every other type revokes the one credential that it names, even a type that this release does not know.
            _ => change.revoke_credential(item, key),
        }
        change
    }

    fn revoke_credential(&mut self, item: &ItemParts<'_>, key: &MarkKey) {
        let Some(kind) = item.kind else { return };
        let jwt = item.iss.map(|iss| (iss, item.jti, item.payload));
        let due = |name: Option<_>| name.filter(|_| item.unknown);
        let (tenant, subject) = (due(item.tenant), due(item.subject));
        for name in revoked_names(kind, item.digest, item.id, jwt) {
            if tenant.is_none() && subject.is_none() {
                self.plain.push(key.credential(name, Whose::ANYBODY));
                continue;
            }
            for tenant in dues(tenant) {
                let marked = dues(subject).map(|subject| key.credential(name, Whose { tenant, subject }));
                self.scoped.extend(marked);
            }
            // A part without a name would have no mark for readers who know nothing of the credential.
            if tenant.is_none() || subject.is_none() {
                self.scoped.push(key.credential(name, Whose::SOMEBODY));
            }
        }
    }

    fn revoke_whole(&mut self, item: &ItemParts<'_>, key: &MarkKey) {
        let subject = item.tenant.zip(item.subject).map(|(tenant, subject)| WholeName::Subject { tenant, subject });
        let cohort = item.cohort.map(|(what, name)| WholeName::Cohort { what, name });
        let Some(name) = cohort.or(subject) else { return };
        let whole = |mark, kinds| WholeChange {
            mark,
            kinds,
            erased: item.type_name == "subject.erased",
            withdrawn: item.withdrawn,
            not_before: item.not_before,
            generation: item.generation.clone(),
            age: item.age,
            retain_until: self.retain_until,
        };
        let known = (!item.kinds.is_empty()).then(|| whole(key.whole(name, None), item.kinds.into()));
        let others = item.other_kinds.iter().map(|kind| whole(key.whole(name, Some(kind)), MarkedKinds::OTHER));
        let wholes = known.into_iter().chain(others).collect();
        self.wholes = wholes;
    }
}

/// The forms under which a part of a target is marked: for readers who know the credential's, and for those who don't.
fn dues(name: Option<&str>) -> impl Iterator<Item = Due<'_>> {
    let forms = match name {
        None => [Some(Due::Anybody), None],
        Some(name) => [Some(Due::Named(name)), Some(Due::Unknown)],
    };
    forms.into_iter().flatten()
}

fn whole_seconds(instant: Timestamp) -> Timestamp {
    let millis = instant.as_millis().div_ceil(1_000).saturating_mul(1_000);
    Timestamp::from_millis(millis).unwrap_or(Timestamp::MAX)
}

impl WholeChange {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.mark.0);
        out.push(self.kinds.0);
        let flag = |is_set: bool, bit| if is_set { bit } else { 0 };
        out.push(flag(self.erased, ERASED) | flag(self.withdrawn, WITHDRAWN) | flag(self.age.is_some(), BY_AGE));
        put_integer(self.not_before, out);
        put_seconds(self.retain_until, out);
        put_integer(self.generation.len() as u64, out);
        for (origin, sequence) in &self.generation {
            out.extend_from_slice(origin.as_bytes());
            put_integer(sequence.0, out);
        }
        if let Some(AgeLimit { issued_before, origin, sequence }) = self.age {
            put_integer(issued_before.as_millis(), out);
            out.extend_from_slice(origin.as_bytes());
            put_integer(sequence.0, out);
        }
    }

    fn read(bytes: &mut Bytes<'_>) -> Result<Self, CompactError> {
        let mark = bytes.mark()?;
        let kinds = MarkedKinds(bytes.byte()?);
        let flags = bytes.byte()?;
        if kinds.0 >> MarkedKinds::COUNT != 0 || flags & !(ERASED | WITHDRAWN | BY_AGE) != 0 {
            return Err(CompactError::Damaged("a flag that this release does not know"));
        }
        let not_before = bytes.integer()?;
        let retain_until = bytes.seconds()?;
        let entries = bytes.count(LEAST_ORIGIN_BYTES)?;
        let entry = |bytes: &mut Bytes<'_>| Ok((bytes.origin()?, Sequence(bytes.integer()?)));
        let generation = (0..entries).map(|_| entry(bytes)).collect::<Result<_, CompactError>>()?;
        let age = match flags & BY_AGE {
            0 => None,
            _ => {
                let issued_before = bytes.millis()?;
                let (origin, sequence) = entry(bytes)?;
                Some(AgeLimit { issued_before, origin, sequence })
            }
        };
        let (erased, withdrawn) = (flags & ERASED != 0, flags & WITHDRAWN != 0);
        Ok(Self { mark, kinds, erased, withdrawn, not_before, generation, age, retain_until })
    }

    pub(super) fn put_all(all: &[Self], out: &mut Vec<u8>) {
        put_integer(all.len() as u64, out);
        all.iter().for_each(|one| one.put(out));
    }

    pub(super) fn read_all(bytes: &mut Bytes<'_>) -> Result<Vec<Self>, CompactError> {
        let count = bytes.count(LEAST_WHOLE_BYTES)?;
        // Not reserved at once: in memory each is several times as large as the shortest one here.
        (0..count).map(|_| Self::read(bytes)).collect()
    }
}
