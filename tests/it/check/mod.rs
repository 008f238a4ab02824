//! The check that gateways ask: its rules, its answers, and the listeners for it.

mod answers;
mod gateway;
#[cfg(feature = "grpc")]
mod grpc;
mod process;
mod rules;
mod uses;
mod watch;

use authledger::check::{CheckRules, CheckTable};
use authledger::http::HttpOptions;
use authledger::http::check::CheckOptions;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::served::{Actor, Made, ServedNode};

/// The rules that the tests of answers are about.
const RULES: &str = r#"
[[check]]
rule = "reports"
credentials = ["bearer", "header:X-Session-Token", "cookie:session"]
kinds = ["ticket", "session", "token"]
tenants = ["default"]

[[check]]
rule = "audience"
audience = ["reports", "invoices"]

[[check]]
rule = "scope"
scope = "read write"

[[check]]
rule = "aal2"
min_aal = "aal2"

[[check]]
rule = "issuer"
issuers = ["https://elsewhere.example"]

[[check]]
rule = "sessions"
kinds = ["session"]

[[check]]
rule = "renewing"
kinds = ["ticket"]
renew = true
"#;

fn tables(text: &str) -> Result<Vec<CheckTable>, String> {
    #[derive(Deserialize)]
    struct CheckFile {
        check: Vec<CheckTable>,
    }
    toml::from_str::<CheckFile>(text).map(|file| file.check).map_err(|error| error.to_string())
}

fn rules(text: &str) -> CheckRules {
    CheckRules::of_tables(&tables(text).expect("tables")).expect("rules")
}

fn options() -> CheckOptions {
    CheckOptions { rules: rules(RULES), ..CheckOptions::default() }
}

async fn node_with(check: CheckOptions) -> ServedNode {
    ServedNode::made(Made { options: HttpOptions { check, ..HttpOptions::default() }, ..Made::default() }).await
}

async fn node() -> ServedNode {
    node_with(options()).await
}

/// Issues a credential, and gives the member of the answer that is its secret.
async fn issue(actor: &Actor, kind: &str, body: Value) -> String {
    let answer = actor.post(&format!("/v1/{kind}s"), body).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer.text(if kind == "session" { "session_token" } else { kind }).to_owned()
}

/// A token for a subject.
async fn token(node: &ServedNode) -> String {
    issue(&node.root(), "token", json!({"subject": "alice"})).await
}
