//! Uses of tickets are reported, and watchers hear when a credential is over.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::place::Place;
use crate::process::node::{Api, NodeProcess, text};

async fn ticket(root: &Api, ttl: u64) -> String {
    text(&root.post("/v1/tickets", json!({"subject": "alice", "ttl": ttl})).await.expect(201), "ticket")
}

/// When it was last used, as far as the node knows.
async fn last_used_at(node: &NodeProcess, ticket: &str) -> String {
    text(&node.api.post("/v1/introspect", json!({"credential": ticket})).await.expect(200), "last_used_at")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_is_used_at_the_edge_alone_does_not_expire() {
    let place = Place::new();
    let node = place.node();
    let edge = place.ready_edge(&node).await;
    let (used, unused) = (ticket(&node.api, 3).await, ticket(&node.api, 3).await);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(7) {
        assert_eq!(edge.check("renew", &used).await.status, 200, "after {:?}: {}", started.elapsed(), edge.log());
        // A check by another rule is not a use.
        let status = edge.status(&unused).await;
        assert!(status == 200 || started.elapsed() > Duration::from_secs(2), "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(edge.status(&unused).await, 401);
    assert!(node.api.is_active(&used).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_was_not_reported_yet_is_reported_at_the_stop() {
    let place = Place::new();
    let node = place.node();
    let edge = place.ready_edge(&node).await;
    let used = ticket(&node.api, 600).await;
    let before = last_used_at(&node, &used).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(edge.check("renew", &used).await.status, 200);
    assert_eq!(edge.stop().await, Some(0));
    let after = last_used_at(&node, &used).await;
    assert!(after > before, "{before} and then {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_at_the_edge_hears_when_its_credential_is_revoked() {
    let place = Place::new();
    let node = place.node();
    let edge = place.ready_edge(&node).await;
    let watched = ticket(&node.api, 600).await;
    let url = format!("{}/check/any/watch", edge.checks);
    let request = edge.request(Method::GET, &url).bearer_auth(&watched).header("accept", "text/event-stream");
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    // Others' revocations do not end it.
    node.api.issue_and_revoke("default", "somebody").await;
    let revoked = async {
        node.api.revoke(&watched).await;
        Instant::now()
    };
    let heard = async {
        let mut heard = String::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        (heard, Instant::now())
    };
    let (revoked, (heard, at)) = tokio::join!(revoked, heard);
    println!("heard {:?} after the answer: {heard:?}", at.saturating_duration_since(revoked));
    assert!(heard.contains("401"), "{heard}");
}
