//! JSON objects without repeated members: verifiers differ in which of two members counts.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why bytes are not an object with only one reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonRefusal {
    /// They are not a JSON object in UTF-8.
    NoObject,
    /// The object, or one in it, has that member twice. The name comes from the token, so it is only for comparing.
    Twice(String),
}

/// The object, if every name in it and in the objects within is there once, however it is escaped.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonRefusal> {
    let twice = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Unique(&twice).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(twice.take().map_or(JsonRefusal::NoObject, JsonRefusal::Twice)),
    }
}

/// Reads a value, and returns a repeated name.
#[derive(Clone, Copy)]
struct Unique<'a>(&'a Cell<Option<String>>);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                self.0.set(Some(name));
                return Err(A::Error::custom("a member is given twice"));
            }
            object.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_reads_as_any_reader_has_it() {
        let text = r#" {"a":[1,-2,3.5,null,true,"x",{"b":{}}],"c":18446744073709551615} "#;
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(Ok(value), object(text.as_bytes()).map(Value::Object));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth_and_in_any_spelling() {
        for text in [r#"{"kid":1,"kid":1}"#, r#"{"kid":1,"\u006bid":2}"#, r#"{"a":[{"b":{"kid":1,"x":0,"kid":2}}]}"#] {
            assert_eq!(object(text.as_bytes()), Err(JsonRefusal::Twice("kid".to_owned())), "{text}");
        }
        assert!(object(br#"{"a":{"x":1},"b":{"x":1}}"#).is_ok());
    }

    #[test]
    fn a_text_that_is_not_an_object_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for bytes in [&b""[..], b"[]", b"1", b"{}x", b"{\"a\":\"\xff\"}", b"{\"a\":1e999}", b"{'a':1}", deep.as_bytes()]
        {
            assert_eq!(object(bytes), Err(JsonRefusal::NoObject));
        }
    }
}
