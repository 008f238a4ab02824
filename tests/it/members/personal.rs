//! Personal parts: sealed on one node, shown on the others, and gone from all of them at once.

use reqwest::Method;
use serde_json::json;

use super::pair::{Pair, address, launch, ready, until};
use crate::process::node::text;

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_was_sealed_on_one_node_is_shown_by_another_and_forgotten_by_both() {
    let pair = Pair::start().await;
    let session = json!({"subject": "alice", "identity": {"traits": {"email": "alice@example.com"}}});
    let issued = pair.a.api.post("/v1/sessions", session.clone()).await.expect(201);
    let path = format!("/v1/sessions/{}", text(&issued["session"], "id"));
    let email = async || pair.b.api.get(&path).await.body["identity"]["traits"]["email"].clone();
    until("the key has come to the other node", async || email().await == "alice@example.com").await;
    let there = pair.b.api.post("/v1/sessions", session).await.expect(201);
    let other = format!("/v1/sessions/{}", text(&there["session"], "id"));
    until("and the other way", async || {
        pair.a.api.get(&other).await.body["identity"]["traits"]["email"] == "alice@example.com"
    })
    .await;

    let forgotten = pair.b.api.send(Method::DELETE, "/v1/subjects/alice/personal-data", None).await.expect("an answer");
    assert!(forgotten.status.is_success(), "{}", forgotten.body);
    // The copy of the other node's key is destroyed with the own one, before the answer.
    let shown = pair.b.api.get("/v1/events?limit=10000").await.body;
    for (position, record) in shown.as_str().expect("lines").lines().enumerate() {
        if record.contains("\"sealed\":") {
            let path = format!("/v1/events/{}/sealed", position + 1);
            assert_eq!(pair.b.api.get(&path).await.status, 404, "{record}");
        }
    }
    until("the first node has heard of it, and forgotten both", async || {
        let records = pair.a.api.get("/v1/events?limit=10000").await.body;
        let records: Vec<String> = records.as_str().expect("lines").lines().map(str::to_owned).collect();
        let mut closed = 0;
        for (position, _) in records.iter().enumerate().filter(|(_, record)| record.contains("\"sealed\":")) {
            let path = format!("/v1/events/{}/sealed", position + 1);
            closed += usize::from(pair.a.api.get(&path).await.status == 404);
        }
        closed == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_arrives_after_its_subject_was_forgotten_opens_nothing() {
    let pair = Pair::start().await;
    // The other node learns of the session, and is gone before it can ask for the key.
    pair.to_a.cut();
    pair.to_b.cut();
    let session = json!({"subject": "bob", "identity": {"traits": {"email": "bob@example.com"}}});
    let issued = pair.a.api.post("/v1/sessions", session).await.expect(201);
    let path = format!("/v1/sessions/{}", text(&issued["session"], "id"));
    let erased = pair.b.api.send(Method::DELETE, "/v1/subjects/bob/personal-data", None).await.expect("an answer");
    assert!(erased.status.is_success(), "forgotten where nothing was known: {}", erased.body);
    pair.to_a.heal();
    pair.to_b.heal();
    until("they have met", async || pair.b.api.get(&path).await.status == 200).await;
    until("its own node has destroyed the key", async || {
        pair.a.api.get(&path).await.body["identity"]["traits"].get("email").is_none()
    })
    .await;
    let shown = pair.b.api.get(&path).await.body;
    assert!(shown["identity"]["traits"].get("email").is_none(), "{shown}");
    assert!(shown["active"] == false, "and it is inactive on both: {shown}");
    assert!(pair.to_a.refused() + pair.to_b.refused() > 0, "they were cut off from one another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_restarts_continues_its_origin_and_opens_what_it_has_borrowed_without_the_other() {
    let Pair { a, b, to_a, to_b, directory } = Pair::start().await;
    let session = json!({"subject": "carol", "identity": {"traits": {"email": "carol@example.com"}}});
    let issued = a.api.post("/v1/sessions", session).await.expect(201);
    let path = format!("/v1/sessions/{}", text(&issued["session"], "id"));
    until("the key has come", async || {
        b.api.get(&path).await.body["identity"]["traits"]["email"] == "carol@example.com"
    })
    .await;
    let origin = text(&b.api.get("/v1/status").await.expect(200)["head"], "origin");
    assert_eq!(b.stop().await.0, Some(0));
    let b = launch(&directory.path().join("b"), "b", &to_b).start();
    to_b.lead_to(address(&b));
    ready(&b.api).await;
    assert_eq!(text(&b.api.get("/v1/status").await.expect(200)["head"], "origin"), origin);
    to_a.cut();
    a.kill();
    assert_eq!(b.api.get(&path).await.expect(200)["identity"]["traits"]["email"], "carol@example.com");
}
