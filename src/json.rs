//! Serialises values that always have JSON: texts, numbers, lists and objects with texts as keys.
//!
//! Each function panics where a value has none, which is a fault of the program. In the writer that halts the log before anything of
//! the batch is committed; a record or an answer without text would be worse.

use serde::Serialize;
use serde_json::value::RawValue;

const HAS_NONE: &str = "texts, numbers, lists and objects have JSON";

/// Appends the value's JSON.
pub fn append(bytes: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(bytes, value).expect(HAS_NONE);
}

/// The value's JSON, as bytes.
pub fn bytes(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    serde_json::to_vec(value).expect(HAS_NONE)
}

/// The value's JSON, as a text.
pub fn text(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect(HAS_NONE)
}

/// The value's JSON for people, as a text of several lines that ends with a line break.
pub fn pretty(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string_pretty(value).expect(HAS_NONE) + "\n"
}

/// The value's JSON, to be put into another value's as it is.
pub fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect(HAS_NONE)
}
