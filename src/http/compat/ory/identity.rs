//! The identity that a session shows: the one that was given when it was issued, as far as the SDKs can read it.
//!
//! The SDKs read strictly, and one member that they can't read costs them the whole session. So a member that Ory knows
//! in one form only is left out where it has another form; a member that Ory does not know is shown as it is.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::service::Session;

/// The schema of an identity that names none.
const DEFAULT_SCHEMA: &str = "default";
/// The regions in which Ory Network keeps identities.
const REGIONS: [&str; 8] = ["eu-central", "asia-northeast", "us-east", "us-west", "eu", "asia", "us", "global"];

/// The viewer of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// The holder of one of its session tokens.
    Bearer,
    Application,
}

/// The identity that a session shows to that viewer.
pub fn of(session: &Session, viewer: Viewer) -> Map<String, Value> {
    let mut identity = session.personal.identity.clone().unwrap_or_default();
    identity.retain(|name, value| is_shown(name, value, viewer));
    let schema = identity.entry("schema_id").or_insert_with(|| DEFAULT_SCHEMA.into()).clone();
    let schema = schema.as_str().unwrap_or(DEFAULT_SCHEMA);
    identity.entry("schema_url").or_insert_with(|| schema_url(schema).into());
    identity.entry("state").or_insert_with(|| "active".into());
    identity.entry("traits").or_insert_with(|| json!({}));
    identity.entry("metadata_public").or_insert(Value::Null);
    identity.entry("organization_id").or_insert(Value::Null);
    identity.insert("id".to_owned(), id(session).to_string().into());
    identity
}

/// The subject itself if it is a UUID, else the UUID that stands for it.
pub fn id(session: &Session) -> Uuid {
    session.subject.uuid(&session.tenant)
}

/// A name, not a place: the ledger has no schemas, and the scheme tells that to a client that wants one.
fn schema_url(schema: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    let schema = if schema.chars().all(plain) { schema } else { DEFAULT_SCHEMA };
    format!("urn:authledger:identity-schema:{schema}")
}

fn is_shown(name: &str, value: &Value, viewer: Viewer) -> bool {
    match name {
        // The ledger itself sets these, or nobody may see them.
        "id" | "credentials" => false,
        "schema_id" | "schema_url" => value.as_str().is_some_and(|text| !text.is_empty()),
        "state" => is_one_of(value, &["active", "inactive"]),
        "region" => is_one_of(value, &REGIONS),
        "metadata_public" => value.is_object(),
        "metadata_admin" => viewer == Viewer::Application && value.is_object(),
        "organization_id" | "external_id" => value.is_string(),
        "created_at" | "updated_at" | "state_changed_at" => is_instant(value),
        "verifiable_addresses" => all(value, is_verifiable),
        "recovery_addresses" => all(value, is_address),
        _ => true,
    }
}

fn all(list: &Value, is_good: fn(&Map<String, Value>) -> bool) -> bool {
    let good = |one: &Value| one.as_object().is_some_and(is_good);
    list.as_array().is_some_and(|list| list.iter().all(good))
}

fn is_address(address: &Map<String, Value>) -> bool {
    ["value", "via"].iter().all(|name| address.get(*name).is_some_and(Value::is_string))
        && ["created_at", "updated_at"].iter().all(|name| is_absent_or(address.get(*name), is_instant))
        && is_absent_or(address.get("id"), is_uuid)
        && is_absent_or(address.get("break_glass_for_organization"), Value::is_string)
}

fn is_verifiable(address: &Map<String, Value>) -> bool {
    is_address(address)
        && address.get("via").is_some_and(|via| is_one_of(via, &["email", "sms"]))
        && address.get("status").is_some_and(Value::is_string)
        && address.get("verified").is_some_and(Value::is_boolean)
        && is_absent_or(address.get("verified_at"), is_instant)
}

fn is_absent_or(value: Option<&Value>, is_good: impl Fn(&Value) -> bool) -> bool {
    value.is_none_or(|value| value.is_null() || is_good(value))
}

fn is_one_of(value: &Value, known: &[&str]) -> bool {
    value.as_str().is_some_and(|text| known.contains(&text))
}

fn is_instant(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok())
}

fn is_uuid(value: &Value) -> bool {
    value.as_str().is_some_and(|text| Uuid::try_parse(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_the_sdks_could_not_read_are_left_out() {
        let shown = |name, value| is_shown(name, &value, Viewer::Bearer);
        let address = json!({"value": "ada@example.com", "via": "email", "verified": true, "status": "completed"});
        for (name, value) in [
            ("traits", json!("anything")),
            ("something_else", json!(null)),
            ("metadata_public", json!({})),
            ("state", json!("inactive")),
            ("created_at", json!("2027-01-15T09:00:00+01:00")),
            ("verifiable_addresses", json!([address])),
            ("recovery_addresses", json!([{"value": "x", "via": "y", "id": null}])),
        ] {
            assert!(shown(name, value), "{name}");
        }
        for (name, value) in [
            ("id", json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
            ("credentials", json!({})),
            ("metadata_admin", json!({})),
            ("metadata_public", json!([1])),
            ("state", json!("gone")),
            ("schema_id", json!("")),
            ("region", json!("mars")),
            ("organization_id", json!(7)),
            ("created_at", json!("yesterday")),
            ("verifiable_addresses", json!([{"value": "ada@example.com", "via": "pigeon"}])),
            ("recovery_addresses", json!(["ada@example.com"])),
            ("recovery_addresses", json!([{"value": "x", "via": "y", "id": "z"}])),
        ] {
            assert!(!shown(name, value), "{name}");
        }
        assert!(is_shown("metadata_admin", &json!({}), Viewer::Application));
    }
}
