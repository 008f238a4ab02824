//! The draft's vectors, and the bytes that this release makes.

use std::path::Path;

use authledger::domain::hex;
use authledger::status_list::{
    ENCODER, MAX_ARRAY_BYTES, StatusArray, StatusWidth, array_of, deflate, inflate, signature_of,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::random::Random;

fn vectors() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/vectors/token-status-list.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The array of a vector: its bytes, or its statuses by index among that many.
fn array(vector: &Value) -> StatusArray {
    let width = StatusWidth::of(vector["bits"].as_u64().unwrap()).unwrap();
    if let Some(text) = vector["bytes_hex"].as_str() {
        return StatusArray::from_bytes(width, bytes(text));
    }
    let mut array = StatusArray::new(width, u32::try_from(vector["size"].as_u64().unwrap()).unwrap());
    for (index, status) in vector["statuses"].as_object().unwrap() {
        assert!(array.set(index.parse().unwrap(), u8::try_from(status.as_u64().unwrap()).unwrap()));
    }
    array
}

#[test]
fn every_vector_of_the_draft_is_read_and_packed() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 6);
    for vector in &vectors {
        let compressed = URL_SAFE_NO_PAD.decode(vector["lst"].as_str().unwrap()).unwrap();
        let array = array(vector);
        assert_eq!(inflate(&compressed).as_deref(), Some(array.bytes()), "read");
        let own = deflate(ENCODER, array.bytes()).unwrap();
        assert_eq!(inflate(&own).as_deref(), Some(array.bytes()), "packed and read again");
        // The CBOR of the draft ends with the very same compressed bytes.
        assert!(vector["cbor_hex"].as_str().unwrap().ends_with(&hex::encode(&compressed)));
        for (index, status) in vector["statuses"].as_object().into_iter().flatten() {
            let status = u8::try_from(status.as_u64().unwrap()).unwrap();
            assert_eq!(array.get(index.parse().unwrap()), Some(status), "entry {index}");
        }
    }
    println!("{} vectors", vectors.len());
}

/// The draft's two small examples, entry by entry: sections 4.1 and 4.2.
#[test]
fn the_first_entry_is_in_the_lowest_bits() {
    let statuses = |bits, packed: &str| {
        let array = StatusArray::from_bytes(StatusWidth::of(bits).unwrap(), bytes(packed));
        (0..).map_while(|index| array.get(index)).collect::<Vec<_>>()
    };
    assert_eq!(statuses(1, "b9a3"), [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
    assert_eq!(statuses(2, "c944f9"), [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
    let mut array = StatusArray::new(StatusWidth::Two, 12);
    assert!(array.set(3, 3) && array.set(3, 1) && !array.set(12, 1) && array.get(12).is_none());
    assert_eq!(array.bytes(), [0b0100_0000, 0, 0]);
}

/// The response of the draft's section 8.2. The draft does not publish the key that signed it.
#[test]
fn the_drafts_own_token_is_read() {
    const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEyIiwidHlwIjoic3RhdHVzbGlzdCtqd3QifQ.eyJleHAiOjIyOTE3MjAxNzAsImlhdCI6MTY4NjkyMDE3MCwiaXNzIjoiaHR0cHM6Ly9leGFtcGxlLmNvbSIsInN0YXR1c19saXN0Ijp7ImJpdHMiOjEsImxzdCI6ImVOcmJ1UmdBQWhjQlhRIn0sInN1YiI6Imh0dHBzOi8vZXhhbXBsZS5jb20vc3RhdHVzbGlzdHMvMSIsInR0bCI6NDMyMDB9.2lKUUNG503R9htu4aHAYi7vjmr3sgApbfoDvPrl65N3URUO1EYqqQl45Jfzd-Av4QzlKa3oVALpLwOEUOq-U_g";
    let array = array_of(TOKEN).unwrap();
    assert_eq!((array.width(), array.bytes()), (StatusWidth::One, &bytes("b9a3")[..]));
    assert_eq!(signature_of(TOKEN).unwrap().len(), 64);
    assert!(array_of("e30.e30.AA").is_none() && array_of("").is_none());
}

/// Published lists are made again from the log with the encoder that they name. Another output needs another name.
#[test]
fn the_named_encoder_makes_the_bytes_that_it_has_always_made() {
    let mut array = StatusArray::new(StatusWidth::One, 1 << 17);
    let mut random = Random::of(17);
    (0..1_300).for_each(|_| assert!(array.set(random.below(1 << 17) as u32, 1)));
    let pinned = |array: &StatusArray| {
        let compressed = deflate(ENCODER, array.bytes()).unwrap();
        let hash = StatusArray::from_bytes(StatusWidth::Eight, compressed.clone()).hash();
        (compressed.len(), hex::encode(&hash[..8]))
    };
    assert_eq!(ENCODER, "miniz_oxide-0.9 level 9");
    let none = StatusArray::new(StatusWidth::One, 1 << 17);
    let made = [(38, "2f4471dc694b9494".to_owned()), (1_945, "a60705c71935bacc".to_owned())];
    assert_eq!([pinned(&none), pinned(&array)], made);
    assert_eq!(deflate("zlib 9", array.bytes()), None, "an encoder that this release does not have");
}

#[test]
fn a_stream_that_is_cut_goes_on_or_is_too_large_is_not_read() {
    let compressed = deflate(ENCODER, &[7; 100]).unwrap();
    assert_eq!(inflate(&compressed), Some(vec![7; 100]));
    assert_eq!(inflate(&compressed[..compressed.len() - 1]), None);
    assert_eq!(inflate(&[&compressed[..], &[0]].concat()), None);
    let mut changed = compressed.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(inflate(&changed), None, "its checksum");
    assert!(inflate(&deflate(ENCODER, &vec![0; MAX_ARRAY_BYTES]).unwrap()).is_some());
    assert_eq!(inflate(&deflate(ENCODER, &vec![0; MAX_ARRAY_BYTES + 1]).unwrap()), None);
}
