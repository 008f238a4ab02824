//! The state between two runs: it saves the snapshot, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::get;

use super::place::Place;
use crate::process::node::text;
use crate::support::stub;

#[tokio::test(flavor = "multi_thread")]
async fn a_start_from_the_state_loads_no_snapshot_and_never_says_yes_before_a_heartbeat() {
    let place = Place::new();
    let node = place.node();
    let token_file = place.token_file(&node.api).await;
    let state = place.path("state");
    let arguments = ["--state", state.to_str().unwrap()];
    let edge = place.edge(&[node.api.url()], &token_file).args(&arguments).start();
    edge.is_ready().await;
    let (kept, before) = (text(&node.api.issue("kept").await, "ticket"), text(&node.api.issue("one").await, "ticket"));
    let meanwhile = text(&node.api.issue("other").await, "ticket");
    assert_eq!(edge.status(&kept).await, 200);
    node.api.revoke(&before).await;
    edge.comes_to("any", &before, 401).await;
    assert_eq!(edge.stop().await, Some(0));
    let file = state.join("follower.state");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    node.api.revoke(&meanwhile).await;

    let url = node.api.url().to_owned();
    let again = || place.edge(&[&url], &token_file).args(&arguments).start();
    let edge = again();
    edge.is_ready().await;
    assert!(!edge.log().contains("the snapshot is loaded"), "{}", edge.log());
    for (ticket, status) in [(&kept, 200), (&before, 401), (&meanwhile, 401)] {
        assert_eq!(edge.status(ticket).await, status);
    }
    assert_eq!(edge.stop().await, Some(0));

    // Damaged, cut off or something else: the snapshot is loaded.
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 7], b"", b"something else"] {
        fs::write(&file, damaged).unwrap();
        let edge = again();
        edge.is_ready().await;
        assert!(edge.log().contains("the snapshot is loaded"), "{}", edge.log());
        assert_eq!(edge.status(&before).await, 401);
        assert_eq!(edge.stop().await, Some(0));
    }

    // With its node out of reach it says nothing, whatever the state holds.
    fs::write(&file, &whole).unwrap();
    drop(node);
    let edge = again();
    for rule in ["any", "refuse", "allow"] {
        assert_eq!(edge.check(rule, &kept).await.status, 503, "{rule}");
    }
    assert_eq!(edge.ready().await.1, "loading");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_cut_short_makes_no_edge_ready() {
    let place = Place::new();
    let first = "{\"ledger\":\"6d18c420-4b3f-49d5-94ef-5a2b29b3b7c3\",\"cursor\":\"AAAA\"}\n";
    let bodies = ["", first, "{\"ledger\":\"x\",\"cursor\":\"AAAA\"}\n", "garbage\n"];
    let counted = format!("{first}{{\"end\":true,\"count\":3}}\n");
    for body in bodies.iter().map(|body| (*body).to_owned()).chain([counted]) {
        let snapshot = get(move || async move {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            response
        });
        // A stream from there would make it fresh.
        let stream = get(|| async {
            let beat =
                "{\"event\":\"heartbeat\",\"cursor\":\"AAAA\",\"now\":\"2026-11-21T14:28:22.409Z\",\"behind_ms\":{}}\n";
            let mut response = Response::new(Body::from(beat));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            response
        });
        let routes = Router::new().route("/v1/revocations/snapshot", snapshot).route("/v1/revocations", stream);
        let address = stub::serve(routes).await;
        let secret = place.path("secret");
        fs::write(&secret, "a-secret").unwrap();
        let edge = place.edge(&[&format!("http://{address}")], &secret).start();
        // Until it has tried three times.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while edge.log().matches("connecting again").count() < 3 {
            assert!(std::time::Instant::now() < until, "{}", edge.log());
            assert_eq!(edge.ready().await.1, "loading");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
