//! Values that records hold as text, or as an object of their own form.

use std::borrow::Cow;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::{RecordError, integer};
use crate::domain::{CredentialId, Generation, Malformed, Origin, Sequence, hex};

/// A value that is written as its `Display` and read as its `FromStr`.
pub(super) struct Text<T>(pub(super) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: std::str::FromStr<Err = crate::domain::Malformed>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = |form| format!("a value that is not {form}");
        deserializer.deserialize_str(Parsed(|text: &str| text.parse().map(Self).map_err(form)))
    }
}

/// Reads a string without keeping it.
pub(super) struct Parsed<F>(pub(super) F);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Parsed<F> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// Bytes in lower-case hexadecimal.
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(|text: &str| hex::parse(text).map(Self).map_err(|form| form.to_string())))
    }
}

/// Text that is read in place.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Borrowed<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A UUID in lower case, with hyphens.
pub(super) struct UuidText(pub(super) Uuid);

impl Serialize for UuidText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UuidText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(|text: &str| uuid(text).map(Self).map_err(|form| form.to_string())))
    }
}

/// A UUID in the only accepted spelling, of the many that there are.
fn uuid(text: &str) -> Result<Uuid, Malformed> {
    const FORM: Malformed = Malformed("a UUID in lower case, with hyphens");
    let uuid = Uuid::try_parse(text).map_err(|_| FORM)?;
    let mut spelled = [0; Hyphenated::LENGTH];
    if uuid.hyphenated().encode_lower(&mut spelled) == text { Ok(uuid) } else { Err(FORM) }
}

/// A session's id as it is recorded.
pub(super) fn session_id(text: &str) -> Result<CredentialId, Malformed> {
    uuid(text).map(CredentialId::of_session)
}

/// A session's id as a UUID in lower case, with hyphens.
pub(super) struct SessionId(pub(super) CredentialId);

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.uuid())
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(|text: &str| session_id(text).map(Self).map_err(|form| form.to_string())))
    }
}

/// A generation as an object: origins in order, each with a sequence.
#[derive(Default)]
pub(super) struct GenerationData(pub(super) Generation);

impl GenerationData {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_domain(self) -> Result<Generation, RecordError> {
        self.0.iter().try_for_each(|(_, sequence)| integer(sequence.0).map(drop))?;
        Ok(self.0)
    }
}

impl Serialize for GenerationData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(origin, sequence)| (Text(origin), sequence.0)))
    }
}

impl<'de> Deserialize<'de> for GenerationData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GenerationVisitor;
        impl<'de> Visitor<'de> for GenerationVisitor {
            type Value = GenerationData;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of origins and sequences")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GenerationData, A::Error> {
                let mut entries = Vec::new();
                while let Some((origin, sequence)) = map.next_entry::<Text<Origin>, u64>()? {
                    entries.push((origin.0, Sequence(sequence)));
                }
                if entries.is_empty() || !entries.is_sorted_by(|(one, _), (next, _)| one < next) {
                    return Err(A::Error::custom("a generation that is empty or out of order"));
                }
                Ok(GenerationData(entries.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(GenerationVisitor)
    }
}
