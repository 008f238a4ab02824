//! The OpenAPI document is the one in `schema/`, and describes the routes of the router.

use std::path::Path;

use authledger::http::openapi;
use authledger::http::problem::Code;
use serde_json::Value;

use crate::support::served::ServedNode;

#[test]
fn the_document_is_the_one_in_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/openapi.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, openapi::json()).expect("schema/ is writable");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let same = stored == openapi::json();
    assert!(same, "schema/openapi.json differs from the code; write it with UPDATE_SCHEMA=1 and look at the change");
}

#[tokio::test]
async fn it_is_served_and_every_reference_in_it_resolves() {
    let node = ServedNode::start().await;
    let answer = node.nobody().get("/openapi.json").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    for reference in texts_of(&document, "$ref") {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} is nowhere");
    }
}

#[tokio::test]
async fn every_operation_in_it_has_a_route() {
    let node = ServedNode::start().await;
    let document: Value = serde_json::from_str(openapi::json()).expect("JSON");
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{position}", "1").replace("{subject}", "s").replace("{code}", "overloaded");
        for method in operations.as_object().expect("operations").keys() {
            let method = method.to_uppercase().parse().expect("a method");
            let answer = node.nobody().send(method, &path.replace("{id}", "x"), "").await;
            // The route's own code says what is not there.
            let evidence = ["no-checkpoint", "unknown-tile", "unknown-status-list"].contains(&&*answer.outcome().1);
            assert!(evidence || ![404, 405].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
        }
    }
}

/// A problem's code in a description: after "one of:", or quoted as the one that a member comes with.
#[test]
fn every_code_in_it_is_in_the_table_of_problems() {
    let document: Value = serde_json::from_str(openapi::json()).expect("JSON");
    let mut codes = Vec::new();
    for text in texts_of(&document, "description") {
        let listed = text.split_once("one of: ").map_or("", |(_, listed)| listed);
        codes.extend(listed.split(", ").filter(|code| !code.is_empty()).map(str::to_owned));
        // The odd pieces between backticks are quoted. A name with hyphens, and nothing else, is a code.
        let quoted = text.split('`').skip(1).step_by(2);
        let is_code = |word: &&str| word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        codes.extend(quoted.filter(is_code).map(str::to_owned));
    }
    let unknown: Vec<_> = codes.iter().filter(|code| Code::find(code).is_none()).collect();
    assert!(codes.len() > 100, "few codes were found: {codes:?}");
    assert!(unknown.is_empty(), "no problem has the codes {unknown:?}");
}

/// The texts of every member of that name, however deep.
fn texts_of<'a>(value: &'a Value, member: &str) -> Vec<&'a str> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == member => vec![text.as_str()],
                other => texts_of(other, member),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(|value| texts_of(value, member)).collect(),
        _ => Vec::new(),
    }
}
