//! Ory's own clients, against a server of its own process: everything that they can say about sessions.

use std::collections::BTreeSet;

use authledger::domain::Tenant;
use reqwest::Method;
use serde_json::{Value, json};

use super::Client;
use super::counts;
use crate::process::node::{Api, Launch, ROOT};

/// Where the clients are told that Ory is.
const PREFIXES: [&str; 2] = ["/auth", ""];
/// Sessions of the first subject, and of the second.
const SESSIONS: [usize; 2] = [7, 3];

/// What the clients expect to find, and to revoke: sessions of a subject whose name is not a UUID, and of one whose name is.
async fn seed(api: &Api) -> Vec<Value> {
    let subjects = ["ada".to_owned(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned()];
    let mut sessions = Vec::new();
    for (subject, number) in subjects.iter().zip(SESSIONS) {
        for at in 0..number {
            let traits = json!({"email": format!("{at}@example.com"), "name": {"first": "Ada"}});
            let device = json!({"ip_address": "192.0.2.7", "user_agent": "Mozilla/5.0 (X11)", "location": "Zürich"});
            let body = json!({
                "subject": subject, "ttl": 3_600, "aal": "aal2", "identity": {"traits": traits}, "device": device,
                "methods": [{"method": "password", "aal": "aal1"}, "totp", "carrier-pigeon"],
            });
            let issued = api.post("/v1/sessions", body).await.expect(201);
            sessions.push(json!({
                "id": issued["session"]["id"], "session_token": issued["session_token"], "subject": subject,
                "traits": traits, "device": device,
            }));
        }
    }
    sessions
}

#[tokio::test(flavor = "multi_thread")]
async fn orys_clients_work_unmodified() {
    let clients = Client::ALL.into_iter().filter(|client| matches!(client, Client::OryPython(_) | Client::OryNode(_)));
    for (at, client) in clients.enumerate() {
        let prefix = PREFIXES[at % PREFIXES.len()];
        let data = tempfile::tempdir().unwrap();
        let server = Launch::new(&data.path().join("ledger")).start();
        let input = json!({
            "base_url": format!("{}{prefix}", server.api.url()), "admin_token": ROOT, "tenant": Tenant::DEFAULT,
            "sessions": seed(&server.api).await,
        });
        let run = tokio::task::spawn_blocking(move || client.run(&input));
        let Some(outcome) = run.await.expect("the client exits") else { continue };
        let calls = outcome.unwrap_or_else(|failure| panic!("{client:?}: {failure}"));
        let metrics = server.api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let counted: counts::Counts = ["/sessions", "/self-service/", "/admin/"]
            .iter()
            .flat_map(|path| counts::of_metrics(&format!("{prefix}{path}"), &metrics))
            .collect();
        assert_eq!(counts::of_calls(prefix, &calls), counted, "{client:?}: it was this server that answered");
        let routes: BTreeSet<_> = calls.iter().map(|call| (&*call.method, &*call.route)).collect();
        assert_eq!(routes.len(), 11, "every call of the contract: {routes:?}");
    }
}
