//! The forms of members and parameters of native calls, and their checks.
//!
//! `null` is not a value: a caller leaves a member out by omitting it, so that a bug in the caller does not widen its
//! request.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::audit::Point;
use crate::domain::{
    Aal, Digest, GivenSubject, Issuer, KeyId, Kind, MAX_INTEGER, Malformed, MethodName, Reason, Scope, Tenant,
    Timestamp, Ttl,
};

/// A JSON object with the members of `T`. Serde by itself takes an array of their values too.
pub struct JsonObject<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = JsonObject<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(JsonObject)
    }
}

/// A member that may be left out, and is not `null` if it is there.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A value that has one form as text.
pub trait TextForm: Sized {
    /// What a value that is not a string is told.
    const EXPECTED: &'static str = "a string";

    /// Reads the text, or says what it must be.
    fn parse(text: &str) -> Result<Self, Malformed>;
}

/// A text with the form of `T`.
#[derive(Debug)]
pub struct WireText<T>(pub T);

impl<'de, T: TextForm> Deserialize<'de> for WireText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: TextForm> Visitor<'_> for TextVisitor<T> {
    type Value = WireText<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::parse(text).map(WireText).map_err(|must_be| E::custom(format_args!("must be {must_be}")))
    }
}

impl TextForm for Tenant {
    /// Where one tenant is named, `*` is refused: a filter by it would silently let nothing through.
    fn parse(text: &str) -> Result<Self, Malformed> {
        if text == "*" { Err(Malformed("the name of one tenant, which `*` is not")) } else { Self::new(text) }
    }
}

impl TextForm for GivenSubject {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl TextForm for KeyId {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl TextForm for Reason {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl TextForm for Kind {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl TextForm for Digest {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl TextForm for Point {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl TextForm for Issuer {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl TextForm for uuid::Uuid {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::try_parse(text).map_err(|_| Malformed("a UUID"))
    }
}

impl TextForm for Aal {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl TextForm for MethodName {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl TextForm for Scope {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl TextForm for Timestamp {
    const EXPECTED: &'static str =
        "a string with an RFC 3339 time such as 2030-01-01T00:00:00Z, not seconds since 1970";

    fn parse(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("an RFC 3339 time such as 2030-01-01T00:00:00Z, not seconds since 1970");
        let instant: jiff::Timestamp = text.parse().map_err(|_| FORM)?;
        u64::try_from(instant.as_millisecond()).ok().and_then(Self::from_millis).ok_or(FORM)
    }
}

/// A whole number that JSON keeps exact, in a query or a path.
#[derive(Debug)]
pub struct Whole(pub u64);

impl Whole {
    /// The number, or the largest that there is where it is larger.
    pub fn saturating(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TextForm for Whole {
    fn parse(text: &str) -> Result<Self, Malformed> {
        let number = text.parse().ok().filter(|number| *number <= MAX_INTEGER);
        number.map(Self).ok_or(Malformed("a whole number, 2^53 - 1 at most"))
    }
}

/// The display name of an application: it has a tenant's form.
#[derive(Debug)]
pub struct ApplicationName(pub Box<str>);

impl TextForm for ApplicationName {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Tenant::new(text).map(|name| Self(name.as_str().into()))
    }
}

/// One tenant, or with `*` all of them.
#[derive(Debug)]
pub struct Tenants(pub Option<Tenant>);

impl TextForm for Tenants {
    fn parse(text: &str) -> Result<Self, Malformed> {
        if text == "*" { Ok(Self(None)) } else { Tenant::new(text).map(|tenant| Self(Some(tenant))) }
    }
}

/// The longest life, in seconds: 366 days.
pub const MAX_TTL_SECONDS: u64 = Ttl::MAX.as_seconds();
/// The longest hold, in seconds: 30 days.
pub const MAX_HOLD_SECONDS: u64 = 30 * 86_400;

/// Whole seconds, from 1 to `MAX`.
#[derive(Debug)]
pub struct Seconds<const MAX: u64>(pub Ttl);

impl<'de, const MAX: u64> Deserialize<'de> for Seconds<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(SecondsVisitor::<MAX>)
    }
}

struct SecondsVisitor<const MAX: u64>;

impl<const MAX: u64> Visitor<'_> for SecondsVisitor<MAX> {
    type Value = Seconds<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 to {MAX} whole seconds")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Self::Value, E> {
        let ttl = Ttl::from_seconds(seconds).filter(|_| seconds <= MAX);
        ttl.map(Seconds).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(seconds), &self))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Self::Value, E> {
        // Serde gives a non-negative number as u64.
        Err(E::invalid_value(Unexpected::Signed(seconds), &self))
    }
}

/// Anything with `Display`, as a JSON string.
pub struct Shown<T>(pub T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(json: &str) -> Result<u64, String> {
        let read: Result<Seconds<10>, _> = serde_json::from_str(json);
        read.map(|Seconds(ttl)| ttl.as_seconds()).map_err(|error| error.to_string())
    }

    #[test]
    fn seconds_are_whole_positive_and_bounded() {
        assert_eq!(seconds("1"), Ok(1));
        assert_eq!(seconds("10"), Ok(10));
        for bad in ["0", "11", "-1", "1.5", "1e1", "\"1\"", "null", "true", "99999999999999999999", "[1]"] {
            let refusal = seconds(bad).expect_err(bad);
            assert!(refusal.contains("expected 1 to 10 whole seconds"), "{bad}: {refusal}");
        }
    }

    #[test]
    fn an_array_of_values_is_no_object() {
        #[derive(Deserialize)]
        struct One {
            _member: u8,
        }
        assert!(serde_json::from_str::<JsonObject<One>>("[1]").is_err());
        assert!(serde_json::from_str::<JsonObject<One>>("{\"_member\":1}").is_ok());
    }
}
