//! Secrets that nobody has ever issued.

use std::collections::HashSet;
use std::time::Instant;

use futures_util::future::join_all;

use super::credentials::{Form, issue};
use super::place::Place;
use crate::process::node::{Api, text};

/// How many introspections the node has answered.
async fn asked(root: &Api) -> u64 {
    let text = root.get("/metrics").await.body;
    let text = text.as_str().unwrap_or_default().to_owned();
    let counts =
        text.lines().filter(|line| line.starts_with("authledger_http_requests_total{route=\"/v1/introspect\""));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_with_one_secret_are_one_question() {
    let place = Place::new();
    let node = place.node();
    let edge = place.ready_edge(&node).await;
    let ticket = text(&node.api.issue("alice").await, "ticket");
    for secret in [ticket.as_str(), "unknown-secret"] {
        let before = asked(&node.api).await;
        let statuses: HashSet<u16> = join_all((0..64).map(|_| edge.status(secret))).await.into_iter().collect();
        assert_eq!(statuses, HashSet::from([if secret == ticket { 200 } else { 401 }]));
        assert_eq!(asked(&node.api).await - before, 1, "{secret}");
    }
    for form in [Form::Jwt, Form::SessionJwt] {
        let before = asked(&node.api).await;
        let one = issue(&node.api, &place.issuer, form, "alice").await;
        assert_eq!(edge.status(&one.secret).await, 200);
        assert_eq!(asked(&node.api).await, before, "a JWT of the ledger is judged without a question");
    }
    // The first token of another issuer tells whether subjects go by their names; no other is asked about.
    let first = issue(&node.api, &place.issuer, Form::Foreign, "alice").await;
    assert_eq!(edge.status(&first.secret).await, 200);
    let before = asked(&node.api).await;
    let second = issue(&node.api, &place.issuer, Form::Foreign, "bob").await;
    assert_eq!(edge.status(&second.secret).await, 200);
    assert_eq!(asked(&node.api).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_secrets_costs_no_good_one_its_answer() {
    let place = Place::new();
    let node = place.node();
    let edge = place.ready_edge(&node).await;
    let ticket = text(&node.api.issue("alice").await, "ticket");
    assert_eq!(edge.status(&ticket).await, 200);
    let flood = join_all((0..2_000).map(|n| {
        let edge = &edge;
        async move { edge.status(&format!("unknown-{n}")).await }
    }));
    let good = async {
        let mut slowest = std::time::Duration::ZERO;
        for _ in 0..200 {
            let started = Instant::now();
            assert_eq!(edge.status(&ticket).await, 200);
            slowest = slowest.max(started.elapsed());
        }
        slowest
    };
    let (statuses, slowest) = tokio::join!(flood, good);
    println!("during a flood the slowest of 200 kept answers took {slowest:?}");
    // 503 says that nobody can tell now.
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert_eq!(edge.metric("authledger_edge_kept").await, Some(1.0));
}
