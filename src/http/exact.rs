//! JSON objects of callers that are signed, sealed or shown as they came: exactly, or refused by the name of the member that can't be.
//!
//! A reader that keeps numbers as `u64`, `i64` or `f64` turns 18446744073709551616 into 1.8446744073709552e19, and one that fills a map
//! takes the last of two members with the same name. Both would be signed in silence.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// A JSON object without doubled members at any depth, whose numbers have exactly the values that were sent.
#[derive(Debug, Default)]
pub struct Exact(pub Map<String, Value>);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        object(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

/// The object in that text, or what is wrong with which of its members.
fn object(text: &str) -> Result<Map<String, Value>, String> {
    let mut reading = ExactReading { numbers: NumberLiterals(text), path: String::new(), problem: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Any(&mut reading).deserialize(&mut json);
    match (reading.problem, read) {
        (Some(problem), _) => Err(problem),
        (None, Ok(Value::Object(object))) => Ok(object),
        (None, Ok(_)) => Err("must be a JSON object".to_owned()),
        // The text has been read once as JSON, so this is about its size: its depth, or a number that no f64 holds.
        (None, Err(error)) => Err(error.to_string()),
    }
}

struct ExactReading<'a> {
    /// The numbers that are still to come, in the order in which they stand in the text.
    numbers: NumberLiterals<'a>,
    /// The member that is being read.
    path: String,
    problem: Option<String>,
}

impl ExactReading<'_> {
    fn refuse<E: Error>(&mut self, problem: &str) -> E {
        let path = if self.path.is_empty() { String::new() } else { format!("`{}`: ", self.path) };
        self.problem = Some(format!("{path}{problem}"));
        // Nobody reads it: the problem says more.
        E::custom("refused")
    }

    fn number<E: Error>(&mut self, number: Number) -> Result<Value, E> {
        let sent = self.numbers.next().unwrap_or_default();
        let kept = number.to_string();
        if digits(sent) == digits(&kept) {
            return Ok(Value::Number(number));
        }
        Err(self.refuse(&format!("the number {sent} would become {kept}; send it as a string")))
    }
}

/// Any value, read while its place is known.
struct Any<'r, 'a>(&'r mut ExactReading<'a>);

impl<'de> DeserializeSeed<'de> for Any<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        self.0.number(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        self.0.number(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("a number is not finite"))?;
        self.0.number(number)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        let parent = self.0.path.len();
        loop {
            self.0.path.push_str(&format!("[{}]", values.len()));
            let next = list.next_element_seed(Any(&mut *self.0))?;
            self.0.path.truncate(parent);
            match next {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let parent = self.0.path.len();
        while let Some(name) = members.next_key::<String>()? {
            if parent > 0 {
                self.0.path.push('.');
            }
            self.0.path.push_str(&name);
            if object.contains_key(&name) {
                return Err(self.0.refuse("the member is given twice"));
            }
            let value = members.next_value_seed(Any(&mut *self.0))?;
            self.0.path.truncate(parent);
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// The numbers of a JSON text, as they are written.
struct NumberLiterals<'a>(&'a str);

impl<'a> Iterator for NumberLiterals<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let is_of_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let bytes = self.0.as_bytes();
        let mut at = 0;
        let mut is_quoted = false;
        loop {
            match bytes.get(at)? {
                b'\\' if is_quoted => at += 1,
                b'"' => is_quoted = !is_quoted,
                b'-' | b'0'..=b'9' if !is_quoted => break,
                _ => {}
            }
            at += 1;
        }
        let rest = &self.0[at..];
        let length = rest.bytes().position(|byte| !is_of_number(&byte)).unwrap_or(rest.len());
        let (number, after) = rest.split_at(length);
        self.0 = after;
        Some(number)
    }
}

/// The value of a number: its sign, its digits without zeros at either end, and the power of ten of the last of them. Nothing for text
/// that is not a number.
fn digits(number: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (is_negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_end_matches('0');
    let zeros = i64::try_from(all.len() - significant.len()).ok()?;
    let power = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(zeros)?;
    let significant = significant.trim_start_matches('0');
    let is_zero = significant.is_empty();
    Some((is_negative, significant.to_owned(), if is_zero { 0 } else { power }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_would_change_and_doubled_members_are_refused_by_name() {
        let refused = |text: &str| object(text).expect_err(text);
        insta::assert_snapshot!(
            [
                refused(r#"{"x":18446744073709551616}"#),
                refused(r#"{"a":{"b":[1,{"c":0.1000000000000000055}]}}"#),
                refused(r#"{"role":"user","role":"admin"}"#),
                refused(r#"{"a":[{"role":1,"role":1}]}"#),
                refused(r#"{"x":-9223372036854775809}"#),
                refused(r#"{"text":"1 \" 2","x":9007199254740993.0}"#),
                refused(r#"{"x":1e400}"#),
                refused("[1]"),
                refused("1"),
            ]
            .join("\n")
        );
    }

    #[test]
    fn a_kept_number_has_the_value_that_was_sent() {
        for number in [
            "0",
            "-0",
            "-0.0",
            "0e5",
            "1.50",
            "1e2",
            "1E-2",
            "-12.5e+1",
            "18446744073709551615",
            "100000000000000000000",
            "5e-324",
        ] {
            let kept = object(&format!("{{\"x\":{number}}}")).expect(number);
            assert_eq!(digits(&kept["x"].to_string()), digits(number), "{number}");
        }
    }

    proptest! {
        #[test]
        fn an_object_that_serde_wrote_is_read_as_it_is(
            integers in prop::collection::vec(any::<i64>(), 0..4),
            floats in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, 0..4),
            texts in prop::collection::vec(".*", 0..4),
        ) {
            let value = serde_json::json!({"integers": integers, "nested": [{"floats": floats}], "texts": texts, "none": null});
            prop_assert_eq!(object(&value.to_string()), Ok(value.as_object().cloned().unwrap_or_default()));
        }
    }
}
