//! Reads JSON in the one spelling that records are written in, which is `serde_json`'s for the types of records, and no other.
//!
//! No white space; members in the order in which their struct declares them, each once; no `null`; integers without
//! sign, point, exponent or leading zero; in strings every escape that is due, as it is written, and none that is not.
//! The types themselves refuse what this leaves open: a default that is never written, the order of a map.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::U64Deserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The text is not in the one spelling, or a value is not of its type.
///
/// It says no more, because it is made for valid records: a reader that finds an invalid one reads it again, slowly, to
/// say what is wrong with it.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not in the one form that is written")
    }
}

impl std::error::Error for Refused {}

impl serde::de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// A text that is read from its beginning to its end.
pub(super) struct CanonicalReader<'a> {
    text: &'a str,
    /// The end of the part that was read; always between two characters.
    at: usize,
}

impl<'a> CanonicalReader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads one value.
    pub(super) fn value<T: Deserialize<'a>>(&mut self) -> Result<T, Refused> {
        T::deserialize(self)
    }

    /// Starts an object.
    pub(super) fn object(&mut self) -> Result<ObjectMembers<'_, 'a>, Refused> {
        self.expect(b'{')?;
        Ok(ObjectMembers { reader: self, first: true })
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Refused> {
        if self.at == self.text.len() { Ok(()) } else { Err(Refused) }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads that ASCII character if it comes next.
    fn take(&mut self, due: u8) -> bool {
        let is_next = self.peek() == Some(due);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, due: u8) -> Result<(), Refused> {
        if self.take(due) { Ok(()) } else { Err(Refused) }
    }

    fn integer(&mut self) -> Result<u64, Refused> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, _) = self.rest().split_at(digits);
        self.at += digits;
        match number {
            [] | [b'0', _, ..] => Err(Refused),
            digits => digits
                .iter()
                .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
                .ok_or(Refused),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Refused> {
        self.expect(b'"')?;
        let plain = self.plain()?;
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        while !self.take(b'"') {
            text.push(self.escaped()?);
            text.push_str(self.plain()?);
        }
        Ok(Cow::Owned(text))
    }

    /// The text before the next quotation mark, backslash or control character.
    fn plain(&mut self) -> Result<&'a str, Refused> {
        let from = self.at;
        self.at += plain_bytes(self.rest());
        // It ends before an ASCII character, or at the end.
        self.text.get(from..self.at).ok_or(Refused)
    }

    /// The escapes that are written: short ones if there is one, else `\u00xx` in lower case, and only for a character
    /// that needs it.
    fn escaped(&mut self) -> Result<char, Refused> {
        let (character, bytes) = match self.rest() {
            [b'\\', b'u', b'0', b'0', high @ b'0'..=b'1', low, ..] => {
                let low = match low {
                    b'0'..=b'9' => low - b'0',
                    b'a'..=b'f' => low - b'a' + 10,
                    _ => return Err(Refused),
                };
                let control = (high - b'0') << 4 | low;
                if matches!(control, 0x08 | b'\t' | b'\n' | 0x0c | b'\r') {
                    return Err(Refused);
                }
                (control, 6)
            }
            [b'\\', short, ..] => {
                let character = match short {
                    b'"' | b'\\' => *short,
                    b'b' => 0x08,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'f' => 0x0c,
                    b'r' => b'\r',
                    _ => return Err(Refused),
                };
                (character, 2)
            }
            _ => return Err(Refused),
        };
        self.at += bytes;
        Ok(char::from(character))
    }
}

/// How many bytes come before the first quotation mark, backslash or control character, eight at a time.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    /// The high bit of each byte that is zero; above the first such byte it may be set by mistake.
    fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGH
    }
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = controls | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    words.len() * 8 + tail.iter().take_while(plain).count()
}

/// The members of an object that is being read.
pub(super) struct ObjectMembers<'r, 'a> {
    reader: &'r mut CanonicalReader<'a>,
    first: bool,
}

impl<'a> ObjectMembers<'_, 'a> {
    /// The member of that name, which must come next.
    pub(super) fn due<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T, Refused> {
        self.find(name)?.ok_or(Refused)
    }

    /// The member of that name, if it comes next.
    pub(super) fn find<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, Refused> {
        if self.named(name) { self.reader.value().map(Some) } else { Ok(None) }
    }

    /// Ends the object: no other member may follow.
    pub(super) fn end(self) -> Result<(), Refused> {
        self.reader.expect(b'}')
    }

    /// The reader of the value of the member of that name, which must come next.
    pub(super) fn value_of(&mut self, name: &str) -> Result<&mut CanonicalReader<'a>, Refused> {
        if self.named(name) { Ok(self.reader) } else { Err(Refused) }
    }

    /// Reads up to the value of the member of that name, if it comes next.
    fn named(&mut self, name: &str) -> bool {
        let rest = self.reader.rest();
        let name = name.as_bytes();
        let comma = usize::from(!self.first);
        let found = (self.first || rest.first() == Some(&b','))
            && rest.get(comma) == Some(&b'"')
            && rest
                .get(comma + 1..)
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with(b"\":"));
        if found {
            self.reader.at += comma + name.len() + 3;
            self.first = false;
        }
        found
    }
}

impl<'de> Deserializer<'de> for &mut CanonicalReader<'de> {
    type Error = Refused;

    /// Every type of a record names its form.
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let (value, bytes) = match self.rest() {
            rest if rest.starts_with(b"true") => (true, 4),
            rest if rest.starts_with(b"false") => (false, 5),
            _ => return Err(Refused),
        };
        self.at += bytes;
        visitor.visit_bool(value)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u64(self.integer()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    /// A value that is present is never `null`.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.expect(b'[')?;
        let value = visitor.visit_seq(Elements { reader: self, first: true })?;
        self.expect(b']')?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.expect(b'{')?;
        let value = visitor.visit_map(MapEntries { reader: self, first: true })?;
        self.expect(b'}')?;
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let mut members = self.object()?;
        let value = visitor.visit_map(Fields { members: &mut members, fields, next: 0 })?;
        members.end()?;
        Ok(value)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple_struct
        enum identifier ignored_any
    }
}

/// The elements of an array.
struct Elements<'r, 'a> {
    reader: &'r mut CanonicalReader<'a>,
    first: bool,
}

impl<'a> SeqAccess<'a> for Elements<'_, 'a> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        if self.reader.peek() == Some(b']') {
            return Ok(None);
        }
        if !std::mem::take(&mut self.first) {
            self.reader.expect(b',')?;
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// The entries of a map, whose names the type checks.
struct MapEntries<'r, 'a> {
    reader: &'r mut CanonicalReader<'a>,
    first: bool,
}

impl<'a> MapAccess<'a> for MapEntries<'_, 'a> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        if self.reader.peek() == Some(b'}') {
            return Ok(None);
        }
        if !std::mem::take(&mut self.first) {
            self.reader.expect(b',')?;
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The members of a struct, by their number in its declaration.
struct Fields<'m, 'r, 'a> {
    members: &'m mut ObjectMembers<'r, 'a>,
    fields: &'static [&'static str],
    /// The first member that may come next.
    next: usize,
}

impl<'a> MapAccess<'a> for Fields<'_, '_, 'a> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        let left = self.fields.get(self.next..).unwrap_or_default();
        // A member that is not found here is an unknown one, one out of order or a repeated one: the object does not
        // end where it should.
        let Some(passed) = left.iter().position(|name| self.members.named(name)) else { return Ok(None) };
        let number: U64Deserializer<Refused> = ((self.next + passed) as u64).into_deserializer();
        self.next += passed + 1;
        seed.deserialize(number).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        seed.deserialize(&mut *self.members.reader)
    }
}
