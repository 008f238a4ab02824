//! Gateways before edges: what is revoked at the server is refused, and edges that come and go refuse nobody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::authority::Protocol;
use super::backend::Backend;
use super::client::ask;
use super::cluster::{Clients, is_told_nothing_else, with_second};
use super::port::Port;
use super::program::Gateway;
use super::with_each_gateway;
use crate::edge::place::Place;
use crate::process::node::{NodeProcess, text};
use crate::support::proxy::Proxy;

with_each_gateway!(a_token_that_is_revoked_at_the_server_is_refused_by_gateway_and_edge);

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().expect("an address")
}

async fn token(node: &NodeProcess, format: &str) -> String {
    let issued = node.api.post("/v1/tokens", json!({"subject": "person-1", "format": format})).await.expect(201);
    text(&issued, "token")
}

async fn a_token_that_is_revoked_at_the_server_is_refused_by_gateway_and_edge(gateway: Gateway) {
    let Some(program) = gateway.find() else { return };
    let is_over_grpc = gateway.speaks() == Protocol::Grpc;
    if is_over_grpc && !cfg!(feature = "grpc") {
        println!("left out: the check over gRPC needs the feature grpc");
        return;
    }
    let place = Place::new();
    let node = place.node();
    let mut launch = place.edge(&[node.api.url()], &place.token_file(&node.api).await);
    let grpc = Port::keep();
    if is_over_grpc {
        launch = launch.args(&["--grpc-listen", &grpc.address().to_string()]);
    }
    let edge = launch.start();
    edge.is_ready().await;
    let check = if is_over_grpc { grpc.address() } else { address(&edge.checks) };
    let backend = Backend::start().await;
    let running = gateway.start(&program, check, backend.address()).await;
    for format in ["jwt", "opaque"] {
        let token = token(&node, format).await;
        let credential = format!("Authorization: Bearer {token}");
        let lines = [credential.as_str(), "X-Auth-Subject: forged", "X_Auth_Subject: forged"];
        // Twice: the second answer is from memory.
        for _ in 0..2 {
            let got = ask(running.address(), "GET /", &lines).await;
            let reached = backend.reached();
            assert_eq!((got.status, reached.len()), (200, 1), "{format}: {got:?} {}", edge.log());
            assert_eq!(reached[0].values("x-auth-subject"), ["person-1"]);
        }
        node.api.revoke(&token).await;
        let revoked = Instant::now();
        while ask(running.address(), "GET /", &lines).await.status != 401 {
            assert!(revoked.elapsed() < PATIENCE, "the edge does not hear of it: {}", edge.log());
        }
        println!("{gateway:?}, {format}: refused after {:?}", revoked.elapsed());
        backend.reached();
    }
}

/// Between two looks at what an edge has counted.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The verdicts of an edge about good JWTs, which it decides alone.
const GOOD: &str = "authledger_edge_checks_total{rule=\"default\",outcome=\"good\",by=\"local\"}";

#[tokio::test(flavor = "multi_thread")]
async fn edges_behind_one_cluster_come_and_go_and_no_client_is_told_to_log_in_again() {
    let Some(program) = Gateway::Envoy.find() else { return };
    let place = Place::new();
    let node = place.node();
    // An edge takes another port with each start, and its service keeps its own.
    let services = [Proxy::to_nothing().await, Proxy::to_nothing().await];
    let mut edges = Vec::new();
    for service in &services {
        let edge = place.ready_edge(&node).await;
        service.lead_to(address(&edge.checks));
        edges.push(edge);
    }
    let backend = Backend::start().await;
    let change = |text: String| with_second(&text, services[1].address());
    let gateway = Gateway::Envoy.start_with(&program, services[0].address(), backend.address(), change).await;
    let (good, revoked) = (token(&node, "jwt").await, token(&node, "opaque").await);
    node.api.revoke(&revoked).await;
    let bearer = |secret: &str| -> Arc<str> { format!("Authorization: Bearer {secret}").into() };
    let good = Clients::start(gateway.address(), &bearer(&good));
    let refused = Clients::start(gateway.address(), &bearer(&revoked));
    let mut kept = Vec::new();
    for (service, edge) in services.iter().zip(edges) {
        // SIGTERM: what it was asked is answered, and it exits.
        assert_eq!(edge.stop().await, Some(0));
        let edge = place.ready_edge(&node).await;
        service.lead_to(address(&edge.checks));
        // The other one may go once Envoy asks this one.
        let until = Instant::now() + PATIENCE;
        while edge.metric(GOOD).await.is_none() {
            assert!(Instant::now() < until, "Envoy asks an edge that is back");
            // It tells nobody what it counts, so it is asked again.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        // It goes on until the clients have stopped.
        kept.push(edge);
    }
    let (good, refused) = (good.stop().await, refused.stop().await);
    println!("good: {good:?}, refused: {refused:?}");
    is_told_nothing_else(&good, 200);
    is_told_nothing_else(&refused, 401);
}
