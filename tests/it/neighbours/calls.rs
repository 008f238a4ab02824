//! A request for each operation of the OpenAPI document, made from what it says: none is left out.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use authledger::domain::{Digest, Timestamp};
use serde_json::{Map, Value, json};

/// Lines of an import.
const LINES: usize = 50;

/// The names that requests use.
pub struct Names {
    pub holders: Vec<Holder>,
    pub origin: String,
    pub hostile_secret: String,
    pub victim_secret: String,
}

/// A subject of the hostile tenant.
pub struct Holder {
    pub session_token: String,
    pub session_id: String,
    pub token: String,
}

/// A request, with `~` where each one differs.
#[derive(Clone)]
pub struct Call {
    pub name: String,
    method: String,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, String)>,
    number: Arc<AtomicUsize>,
}

impl Call {
    /// The handler that does nothing.
    pub fn noop() -> Self {
        Self::new("POST", "/v1/noop", Vec::new(), Some(("application/json", "{}".to_owned())))
    }

    fn new(
        method: &str,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: Option<(&'static str, String)>,
    ) -> Self {
        let name = format!("{method} {path}");
        Self { name, method: method.to_owned(), path: path.to_owned(), headers, body, number: Arc::default() }
    }

    /// A call of each operation.
    pub fn all(document: &Value, names: &Names) -> Vec<Self> {
        let paths = document["paths"].as_object().expect("paths");
        let mut holders = names.holders.iter().cycle();
        let mut of_path = |(path, item): (&String, &Value)| {
            let operations: Vec<_> = item.as_object().expect("operations").clone().into_iter().collect();
            let path = path.clone();
            let call = |(method, operation): (String, Value)| {
                let holder = holders.next().expect("they go round");
                let call = Self::of(&method.to_uppercase(), &path, &operation, document, (names, holder));
                Self { name: format!("{} {path}", method.to_uppercase()), ..call }
            };
            operations.into_iter().map(call).collect::<Vec<_>>()
        };
        let calls: Vec<Self> = paths.iter().flat_map(&mut of_path).collect();
        assert!(calls.len() <= names.holders.len(), "each has a holder of its own");
        calls
    }

    fn of(method: &str, path: &str, operation: &Value, document: &Value, (names, holder): (&Names, &Holder)) -> Self {
        let mut filled = path.to_owned();
        let mut query = Vec::new();
        let mut headers = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().expect("a name");
            let place = parameter["in"].as_str();
            match place {
                Some("path") => filled = filled.replace(&format!("{{{name}}}"), &in_path(path, name, names, holder)),
                Some("query") => query.extend(in_query(path, parameter).map(|value| format!("{name}={value}"))),
                _ => {}
            }
        }
        headers.push(("x-tenant", "acme".to_owned()));
        headers.push(("slashid-orgid", "acme".to_owned()));
        headers.push(("slashid-api-key", names.hostile_secret.clone()));
        headers.push(("x-session-token", holder.session_token.clone()));
        headers.push(("authorization", format!("Bearer {}", names.hostile_secret)));
        if path.starts_with("/crafter-profile") {
            query.push(format!("accessTokenId={}", names.hostile_secret));
        }
        let body = body(operation, document, holder);
        let separator = if query.is_empty() { "" } else { "?" };
        Self::new(method, &format!("{filled}{separator}{}", query.join("&")), headers, body)
    }

    /// The next request.
    pub fn bytes(&self) -> Vec<u8> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path = self.path.replace('~', &number.to_string());
        let body = self.body.as_ref().map(|(kind, body)| {
            let body = if *kind == "application/x-ndjson" && body.is_empty() {
                // Beyond those that are there already.
                let first = 1_000_000 + number * LINES;
                let line = |number| match &*self.path {
                    "/v1/uses" => use_line(number),
                    _ => import_line("token", "imported", number),
                };
                (first..first + LINES).map(line).collect()
            } else {
                body.replace('~', &number.to_string())
            };
            (*kind, body)
        });
        request(&self.method, &path, &self.headers, body)
    }
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, headers: &[(&str, String)], body: Option<(&str, String)>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let (kind, body) = body.unwrap_or(("", String::new()));
    if !kind.is_empty() {
        let _ = write!(text, "content-type: {kind}\r\n");
    }
    let _ = write!(text, "content-length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}

fn in_path(path: &str, name: &str, names: &Names, holder: &Holder) -> String {
    match name {
        "id" if path.contains("/sessions/") => holder.session_id.clone(),
        "id" if path.contains("/identities/") || path.contains("/users/") => "crowd".to_owned(),
        "id" => uuid::Uuid::from_u128(7).to_string(),
        // A subject that was erased once costs less the next time.
        "subject" if path.ends_with("/personal-data") => "forgotten-~".to_owned(),
        "subject" => "crowd".to_owned(),
        "person_id" => "holder".to_owned(),
        "origin" => names.origin.clone(),
        "position" | "sequence" => "1".to_owned(),
        "code" => "overloaded".to_owned(),
        "path" => "0/000".to_owned(),
        "node" => "elsewhere".to_owned(),
        "kid" => "a-key-of-nobody".to_owned(),
        other => panic!("{path}: this test has no value for {other}"),
    }
}

/// The value that makes an answer the longest that it can be.
fn in_query(path: &str, parameter: &Value) -> Option<String> {
    let name = parameter["name"].as_str().expect("a name");
    let value = match name {
        "limit" | "page_size" => parameter["schema"]["maximum"].as_u64().unwrap_or(1_000).to_string(),
        "active" => "true".to_owned(),
        "tenant" if path.starts_with("/v1/revocations") => return None,
        "tenant" => "acme".to_owned(),
        "after" if path.starts_with("/v1/revocations") => "0".to_owned(),
        "expand" => "identity".to_owned(),
        "subject" => "crowd".to_owned(),
        "at" => "1".to_owned(),
        "origin" => "aaaaaaaaaaaaa".to_owned(),
        "sequence" | "slots" => "1".to_owned(),
        "kinds" => "session".to_owned(),
        _ if parameter["required"] == true => panic!("{path}: this test has no value for {name}"),
        _ => return None,
    };
    Some(value)
}

fn body(operation: &Value, document: &Value, holder: &Holder) -> Option<(&'static str, String)> {
    let (kind, content) = operation["requestBody"]["content"].as_object()?.iter().next()?;
    let schema = content["schema"]["$ref"]
        .as_str()
        .map(|reference| document.pointer(reference.trim_start_matches('#')).expect("a schema"));
    let object = schema.map(|schema| object(schema, holder));
    Some(match kind.as_str() {
        "application/json" => {
            ("application/json", object.map_or("{}".to_owned(), |object| Value::Object(object).to_string()))
        }
        // Without a text: lines are made for each request.
        "application/x-ndjson" => {
            ("application/x-ndjson", if object.is_some() { String::new() } else { "{}\n".to_owned() })
        }
        "application/x-www-form-urlencoded" => {
            let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            let members = object.into_iter().flatten();
            let form = members.map(|(name, value)| format!("{name}={}", text(&value))).collect::<Vec<_>>();
            ("application/x-www-form-urlencoded", form.join("&"))
        }
        other => panic!("nobody has said how a body of {other} is made"),
    })
}

fn object(schema: &Value, holder: &Holder) -> Map<String, Value> {
    let properties = schema["properties"].as_object().expect("properties");
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // The credential to revoke is named in one way.
    let is_by_subject = properties.contains_key("subject") && properties.contains_key("credential");
    let value = |name: &str| {
        Some(match name {
            // A global revocation names its subject in an object.
            "subject" if properties.contains_key("sub_id") => return None,
            "sub_id" => json!({"format": "opaque", "id": "crowd-~"}),
            "grant_type" => json!("client_credentials"),
            "subject" => json!("crowd-~"),
            "tenant" | "tenantName" => json!("acme"),
            "credential" if is_by_subject => return None,
            "credential" | "session_token" => json!(holder.session_token),
            "token" => json!(holder.token),
            "profileId" => json!("crowd-~"),
            "name" | "application" => json!("another-~"),
            "scopes" => json!(["introspect"]),
            "tenants" => json!(["acme"]),
            "tenantPermissions" => json!([{"tenant": "acme", "allowedActions": ["*"]}]),
            "at" => json!("1"),
            "identity" => json!({"traits": {"name": "x".repeat(512)}}),
            "key" => json!("0".repeat(64)),
            "node" | "region" => json!("elsewhere"),
            "reads" => json!({"ledger.opened": 1}),
            _ => return None,
        })
    };
    let members = properties.keys().filter_map(|name| Some((name.clone(), value(name)?)));
    let members: Map<String, Value> = members.collect();
    for name in required {
        let is_line = ["kind", "issued_at", "expires_at", "age_ms"].contains(&name);
        assert!(is_line || members.contains_key(name), "this test has no value for {name}");
    }
    members
}

/// The digest that stands for a credential of that kind and number.
pub fn digest(kind: &str, number: usize) -> String {
    Digest::of(format!("{kind} {number}").as_bytes()).to_string()
}

/// A line that reports a use of it.
fn use_line(number: usize) -> String {
    json!({"kind": "ticket", "digest": digest("ticket", number), "age_ms": 5}).to_string() + "\n"
}

/// A line that imports it.
pub fn import_line(kind: &str, subject: &str, number: usize) -> String {
    let digest = digest(kind, number);
    let now = authledger::clock::Clock::system().now();
    let issued_at = Timestamp::from_millis(now.as_millis() - 60_000).expect("within bounds");
    let expires_at = now.plus_millis(3_600_000);
    let mut line = json!({
        "kind": kind, "tenant": "acme", "subject": subject, "digest": digest,
        "issued_at": issued_at.to_string(), "expires_at": expires_at.to_string(),
    });
    if kind == "session" {
        line["id"] = json!(uuid::Uuid::from_u128(number as u128 + (0x4000_8000 << 64)).to_string());
    }
    line.to_string() + "\n"
}
