//! Nodes that join and are removed, and credentials that are revoked before they are heard of.

use std::time::{Duration, Instant};

use authledger::domain::{Digest, Timestamp};
use reqwest::Method;
use serde_json::json;

use super::cluster::{A, B, C, Cluster, is_full, until};
use crate::process::node::{Api, text};

/// Brings so many tickets of another system in.
async fn import(api: &Api, count: usize) {
    let now = authledger::clock::Clock::system().now().as_millis();
    let at = |millis: u64| Timestamp::from_millis(millis).unwrap().to_string();
    let (issued, expires) = (at(now - 60_000), at(now + 3_600_000));
    for batch in 0..count.div_ceil(1_000) {
        let line = |number: usize| {
            let digest = Digest::of(format!("{batch}-{number}").as_bytes()).to_string();
            let subject = format!("s-{number}");
            json!({"kind": "ticket", "subject": subject, "digest": digest, "issued_at": issued, "expires_at": expires})
        };
        let body: String = (0..1_000).map(|number| format!("{}\n", line(number))).collect();
        let request = api.request(Method::POST, "/v1/imports").header("content-type", "application/x-ndjson");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let told = answer.text().await.unwrap();
        assert_eq!(told.matches("\"made\"").count(), 1_000, "{}", told.lines().next().unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_answers_when_it_holds_what_the_others_hold_and_is_waited_for_by_them() {
    let events = if is_full() { 1_000_000 } else { 20_000 };
    let mut cluster = Cluster::of(2).await;
    cluster.start(A, &["--body-bytes", "1048576"]).await;
    import(&cluster.api(A), events).await;
    let ticket = text(&cluster.api(A).issue("alice").await, "ticket");
    cluster.join(B);
    cluster.cut(B);
    cluster.launch_now(B, &[]);
    let refused = cluster.api(B).post("/v1/tickets", json!({"subject": "early"})).await;
    assert_eq!((refused.status.as_u16(), &refused.body["type"]), (503, &json!("/problems/node-not-ready")));
    assert_eq!(cluster.api(B).get("/health/ready").await.expect(503)["type"], json!("/problems/node-not-ready"));
    // As long as it has not caught up, nobody waits for it.
    let everywhere = cluster.api(A).request(Method::POST, "/v1/tickets").header("ledger-consistency", "all_regions");
    assert_eq!(everywhere.json(&json!({"subject": "alone"})).send().await.unwrap().status(), 201);
    assert!(cluster.refused(B) > 0, "it was cut off");

    let began = Instant::now();
    cluster.heal();
    cluster.until_ready(B).await;
    println!("a new node answers {:?} after it reached the other: {events} events", began.elapsed());
    assert!(cluster.api(B).is_active(&ticket).await);
    cluster.agree(&[A, B]).await;
    let nodes = cluster.api(A).get("/v1/nodes").await.expect(200);
    let states: Vec<_> = nodes["nodes"].as_array().unwrap().iter().map(|node| text(node, "state")).collect();
    assert_eq!(states, ["member", "member"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_is_no_longer_waited_for_and_only_what_it_revokes_counts() {
    let cluster = Cluster::over_http(3).await;
    let [a, b, c] = [A, B, C].map(|which| cluster.api(which));
    let known = text(&a.issue("known").await, "ticket");
    let mine = text(&a.issue("mine").await, "ticket");
    cluster.agree(&[A, B, C]).await;
    cluster.cut(A);
    let late = text(&b.issue("late").await, "ticket");
    b.revoke(&known).await;
    cluster.converged(&[B, C]).await;

    let waiting = {
        let request = a.request(Method::POST, "/v1/revocations").header("ledger-consistency", "all_regions");
        let request = request.header("ledger-consistency-timeout", "60").json(&json!({"credential": mine}));
        tokio::spawn(request.send())
    };
    until("a call waits for the others", || async {
        cluster.metric(A, "authledger_nodes{kind=\"waiting_call\"}").await == 1
    })
    .await;
    assert!(!waiting.is_finished());
    a.send(Method::DELETE, "/v1/nodes/b", None).await.unwrap().expect(200);
    assert!(!waiting.is_finished(), "the third one is waited for still");
    assert!(cluster.refused(A) > 0, "it was cut off");
    cluster.heal();
    let began = Instant::now();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
    assert!(began.elapsed() < Duration::from_secs(30));
    cluster.converged(&[A, C]).await;
    for api in [&a, &c] {
        until("a ticket that a removed member issued late is inactive", || async { !api.is_active(&late).await }).await;
        until("a ticket that it revoked late is revoked", || async { !api.is_active(&known).await }).await;
    }
    cluster.agree(&[A, C]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_stops_when_the_member_that_it_waited_for_is_removed() {
    let cluster = Cluster::over_http(2).await;
    let a = cluster.api(A);
    let ticket = text(&a.issue("alice").await, "ticket");
    cluster.cut(B);
    let request = a.request(Method::POST, "/v1/revocations").header("ledger-consistency", "all_regions");
    let request = request.header("ledger-consistency-timeout", "60").json(&json!({"credential": ticket}));
    let waiting = tokio::spawn(request.send());
    until("a call waits for the other", || async {
        cluster.metric(A, "authledger_nodes{kind=\"waiting_call\"}").await == 1
    })
    .await;
    a.send(Method::DELETE, "/v1/nodes/b", None).await.unwrap().expect(200);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_disabled_where_nobody_has_heard_of_them_are_inactive_everywhere() {
    let cluster = Cluster::over_http(2).await;
    let (a, b) = (cluster.api(A), cluster.api(B));
    cluster.cut(A);
    let mut tokens = Vec::new();
    for number in 0..2 {
        let made = a.post("/v1/sessions", json!({"subject": format!("s-{number}")})).await.expect(201);
        let (id, token) = (text(&made["session"], "id"), text(&made, "session_token"));
        assert!(!b.is_active(&token).await, "it has not heard of it");
        if number == 0 {
            b.send(Method::DELETE, &format!("/admin/sessions/{id}"), None).await.unwrap().expect(204);
        } else {
            b.post("/v1/revocations", json!({"kind": "session", "id": id})).await.expect(201);
        }
        assert!(a.is_active(&token).await, "they have not met");
        tokens.push(token);
    }
    assert!(cluster.refused(A) > 0, "they were cut off");
    cluster.heal();
    cluster.agree(&[A, B]).await;
    for token in &tokens {
        assert!(!a.is_active(token).await && !b.is_active(token).await);
    }
}
