//! What Cribl's Python SDK sends against a server of its own process.

use reqwest::Method;
use serde_json::{Value, json};

use super::Client;
use crate::process::node::{Launch, NodeProcess, ROOT, text};

/// An id as Cribl's own: of an identity provider, its tenant and an address.
const USER: &str = "samlp|x|nico.jones@example.com";
const LIVE: usize = 3;

/// A token of the user, from the mint of another surface.
async fn mint(node: &NodeProcess) -> String {
    let path = format!("/slashid/persons/{}/mint-token", USER.replace('|', "%7C"));
    let request = node.api.request(Method::POST, &path).header("slashid-api-key", ROOT);
    let request = request.header("slashid-orgid", "default").json(&json!({}));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    text(&answer, "result")
}

#[tokio::test]
async fn the_python_sdk_invalidates_a_users_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let node = Launch::new(&directory.path().join("ledger")).start();
    for base in ["", "/api/v1"] {
        let mut tokens = Vec::new();
        for _ in 0..LIVE {
            tokens.push(mint(&node).await);
        }
        let input = json!({
            "base_url": format!("{}{base}", node.api.url()), "admin_token": ROOT, "user": USER, "live": LIVE,
            "unknown_user": "nobody|at@example.com",
        });
        let outcome = tokio::task::spawn_blocking(move || Client::Cribl.run(&input)).await.unwrap();
        let Some(outcome) = outcome else { return };
        let calls = outcome.unwrap_or_else(|failure| panic!("{failure}"));
        let statuses: Vec<u16> = calls.iter().map(|call| call.status).collect();
        assert_eq!(statuses, [401, 401, 400, 200, 200, 200, 200, 200]);
        for token in &tokens {
            assert!(!node.api.is_active(token).await);
        }
        assert!(node.api.is_active(&mint(&node).await).await, "a token that is issued next is active");
        // A later call revokes the one token that was minted since.
        let path = format!("/auth/users/{}/token", USER.replace('|', "%7C"));
        assert_eq!(node.api.send(Method::DELETE, &path, None).await.unwrap().expect(200)["count"], 1);
    }
}
