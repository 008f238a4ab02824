//! The keys of a node that joins a ledger whose keys verifiers have fetched.

use serde_json::json;

use super::pair::{address, join, launch, ready, until};
use crate::process::node::{Api, Launch, text};
use crate::support::nats::Proxy;

/// As every node of the ledger is started.
fn of_one_issuer(launch: Launch) -> Launch {
    launch.args(&["--public-url", "https://ledger.example"])
}

async fn published(api: &Api) -> usize {
    api.get("/.well-known/jwks.json").await.expect(200)["keys"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_signs_once_its_keys_were_published_for_long_enough() {
    let directory = tempfile::tempdir().unwrap();
    let data = |name: &str| directory.path().join(name);
    let (to_a, to_b, to_c) = (Proxy::to_nothing().await, Proxy::to_nothing().await, Proxy::to_nothing().await);
    let a = of_one_issuer(launch(&data("a"), "a", &to_a)).start();
    to_a.lead_to(address(&a));
    assert_eq!(published(&a.api).await, 2);
    let jwt = json!({"subject": "ada"});
    a.api.post("/v1/tokens", jwt.clone()).await.expect(201);

    assert!(join(&data("b"), "b", &to_a, &to_b).status.success());
    let b = of_one_issuer(launch(&data("b"), "b", &to_b)).start();
    to_b.lead_to(address(&b));
    ready(&b.api).await;
    let refused = b.api.post("/v1/tokens", jwt.clone()).await.expect(503);
    assert_eq!(refused["type"], "/problems/signing-key-too-new", "{refused}");
    b.api.post("/v1/tokens", json!({"subject": "ada", "format": "opaque"})).await.expect(201);
    until("every node publishes the new one's keys", async || published(&a.api).await == 4).await;
    b.api.post("/v1/keys", json!({})).await.expect(409);
    b.api.post("/v1/keys", json!({"now": true})).await.expect(201);
    let token = text(&b.api.post("/v1/tokens", jwt.clone()).await.expect(201), "token");
    until("the first node knows the key", async || a.api.is_active(&token).await).await;
    a.api.post("/v1/tokens", jwt).await.expect(201);

    // A standby answers no caller, and its keys wait meanwhile.
    assert!(join(&data("c"), "c", &to_a, &to_c).status.success());
    let c = of_one_issuer(launch(&data("c"), "c", &to_c)).arg("--standby").start();
    to_c.lead_to(address(&c));
    until("the standby's keys are published", async || published(&a.api).await == 6).await;
    assert_eq!(c.api.get("/health/ready").await.status, 503);
}
