//! The node dies, hangs, is cut off and comes back; the edge never says yes to what was revoked, and says how long it refused.

use std::time::{Duration, Instant};

use serde_json::json;

use super::place::{EdgeProcess, Place};
use crate::process::node::{NodeProcess, text};
use crate::support::faketime::WallClock;
use crate::support::proxy::Proxy;

struct Cut {
    place: Place,
    node: NodeProcess,
    proxy: Proxy,
    edge: EdgeProcess,
}

impl Cut {
    async fn new() -> Self {
        let place = Place::new();
        let node = place.node();
        let proxy = Proxy::to(node.api.url().trim_start_matches("http://").parse().unwrap()).await;
        let edge = place.edge(&[&format!("http://{}", proxy.address())], &place.token_file(&node.api).await).start();
        edge.is_ready().await;
        Self { place, node, proxy, edge }
    }

    async fn ticket(&self, subject: &str) -> String {
        text(&self.node.api.issue(subject).await, "ticket")
    }
}

/// What a stale edge says of a ticket that it knows, by the rule.
async fn assert_stale(edge: &EdgeProcess, ticket: &str) {
    edge.is_blind().await;
    assert_eq!(edge.status(ticket).await, 503, "it asks, and nobody answers");
    assert_eq!(edge.check("refuse", ticket).await.status, 503);
    assert_eq!(edge.check("allow", ticket).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_makes_the_edge_refuse_and_what_was_revoked_meanwhile_never_passes() {
    for is_held in [false, true] {
        let all = Cut::new().await;
        let (kept, revoked) = (all.ticket("kept").await, all.ticket("revoked").await);
        for ticket in [&kept, &revoked] {
            assert_eq!(all.edge.status(ticket).await, 200);
        }
        let started = Instant::now();
        if is_held {
            all.proxy.hold()
        } else {
            all.proxy.cut()
        }
        assert_stale(&all.edge, &kept).await;
        println!("held {is_held}: stale {:?} after the partition began", started.elapsed());
        all.node.api.revoke(&revoked).await;
        let healed = Instant::now();
        all.proxy.heal();
        // From the first moment at which it says yes to one, it says no to the other.
        loop {
            let (one, other) = tokio::join!(all.edge.check("refuse", &kept), all.edge.check("refuse", &revoked));
            assert_ne!(other.status, 200, "{}", all.edge.log());
            if one.status == 200 {
                break;
            }
            assert!(healed.elapsed() < Duration::from_secs(60), "{}", all.edge.log());
        }
        println!("held {is_held}: fresh {:?} after it ended", healed.elapsed());
        assert_eq!(all.edge.status(&revoked).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_edge_asks_if_only_the_feed_is_gone_and_a_killed_node_is_followed_again() {
    let place = Place::new();
    let node = place.node();
    let address = node.api.url().trim_start_matches("http://").to_owned();
    let edge = place.ready_edge(&node).await;
    let (kept, revoked) =
        (text(&node.api.issue("kept").await, "ticket"), text(&node.api.issue("gone").await, "ticket"));
    assert_eq!(edge.status(&revoked).await, 200);
    node.api.revoke(&revoked).await;
    edge.comes_to("any", &revoked, 401).await;
    node.kill();
    edge.is_blind().await;
    for ticket in [&kept, &revoked] {
        assert_eq!(edge.status(ticket).await, 503);
    }
    let node = place.launch("data").listen(&address).start();
    edge.is_ready().await;
    assert_eq!((edge.status(&kept).await, edge.status(&revoked).await), (200, 401));
    node.api.revoke(&kept).await;
    edge.comes_to("any", &kept, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_application_is_removed_is_stale_at_once_and_says_so() {
    let place = Place::new();
    let node = place.node();
    let edge = place.ready_edge(&node).await;
    let ticket = text(&node.api.issue("alice").await, "ticket");
    assert_eq!(edge.status(&ticket).await, 200);
    let listed = node.api.get("/v1/applications").await.expect(200);
    let edges = listed["applications"].as_array().unwrap().iter().find(|one| one["name"] == "edge").unwrap();
    node.api.send(reqwest::Method::DELETE, &format!("/v1/applications/{}", text(edges, "id")), None).await.unwrap();
    // The node ends the stream at the next heartbeat.
    edge.is_blind().await;
    assert!(edge.log().contains("the node refuses this follower"), "{}", edge.log());
    assert_eq!(edge.status(&ticket).await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_takes_over_and_a_cursor_works_at_both() {
    let place = Place::new();
    let node = place.node();
    let address: std::net::SocketAddr = node.api.url().trim_start_matches("http://").parse().unwrap();
    // Two ways to one node: as two nodes of a ledger that hold the same.
    let (first, second) = (Proxy::to(address).await, Proxy::to(address).await);
    let urls = [&first, &second].map(|proxy| format!("http://{}", proxy.address()));
    let edge = place.edge(&[&urls[0], &urls[1]], &place.token_file(&node.api).await).start();
    edge.is_ready().await;
    let mut tickets = Vec::new();
    for n in 0..6 {
        let ticket = text(&node.api.issue(&format!("subject-{n}")).await, "ticket");
        assert_eq!(edge.status(&ticket).await, 200);
        let (cut, healed) = if n % 2 == 0 { (&first, &second) } else { (&second, &first) };
        healed.heal();
        cut.cut();
        node.api.revoke(&ticket).await;
        edge.comes_to("any", &ticket, 401).await;
        tickets.push(ticket);
    }
    assert_eq!(edge.log().matches("the snapshot is loaded").count(), 1, "{}", edge.log());
    for ticket in &tickets {
        assert_eq!(edge.status(ticket).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ledger_at_the_same_address_is_loaded_anew() {
    let Cut { place, node, proxy, edge } = Cut::new().await;
    let (kept, revoked) =
        (text(&node.api.issue("kept").await, "ticket"), text(&node.api.issue("gone").await, "ticket"));
    assert_eq!((edge.status(&kept).await, edge.status(&revoked).await), (200, 200));
    node.api.revoke(&revoked).await;
    edge.comes_to("any", &revoked, 401).await;
    let other = place.launch("other").start();
    let one_token = place.path("one-token");
    std::fs::rename(place.path("edge-token"), &one_token).unwrap();
    let other_token = place.token_file(&other.api).await;
    proxy.lead_to(other.api.url().trim_start_matches("http://").parse().unwrap());
    proxy.cut();
    proxy.heal();
    // Its secret is unknown there: stale at once.
    edge.is_blind().await;
    assert_eq!(edge.status(&kept).await, 503);
    drop(edge);
    // An edge with the state of the one ledger, at the other.
    let state = place.path("state");
    let arguments = ["--state", state.to_str().unwrap()];
    let at_one = place.edge(&[node.api.url()], &one_token).args(&arguments).start();
    at_one.is_ready().await;
    assert_eq!((at_one.status(&kept).await, at_one.status(&revoked).await), (200, 401));
    assert_eq!(at_one.stop().await, Some(0));
    let at_other = place.edge(&[other.api.url()], &other_token).args(&arguments).start();
    at_other.is_ready().await;
    let ticket = text(&other.api.issue("alice").await, "ticket");
    assert_eq!(at_other.status(&ticket).await, 200);
    assert_eq!(at_other.status(&kept).await, 401, "it is unknown to this ledger");
    assert!(at_other.log().contains("of another ledger than before"), "{}", at_other.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edges_clock_decides_nothing_that_the_ledgers_does_not() {
    let place = Place::new();
    let Some(clock) = WallClock::new(place.directory.path()) else { return };
    let node = place.node();
    let launch = place.edge(&[node.api.url()], &place.token_file(&node.api).await);
    let edge = launch.with_clock(&clock).start();
    edge.is_ready().await;
    let body = json!({"subject": "alice", "ttl": 3600});
    let jwt = text(&node.api.post("/v1/tokens", body).await.expect(201), "token");
    let revoked = text(&node.api.issue("revoked").await, "ticket");
    assert_eq!((edge.status(&jwt).await, edge.status(&revoked).await), (200, 200));
    node.api.revoke(&revoked).await;
    edge.comes_to("any", &revoked, 401).await;
    // Behind: the ledger's time counts, and a token that is issued now is not refused as of the future.
    clock.set_by(-86_400);
    let fresh = text(&node.api.post("/v1/tokens", json!({"subject": "alice"})).await.expect(201), "token");
    assert_eq!((edge.status(&jwt).await, edge.status(&fresh).await, edge.status(&revoked).await), (200, 200, 401));
    let short = text(&node.api.post("/v1/tokens", json!({"subject": "alice", "ttl": 1})).await.expect(201), "token");
    edge.comes_to("any", &short, 401).await;
    // Ahead: what expires later is refused too early, and what is revoked is not forgotten.
    clock.set_by(86_400);
    assert_eq!((edge.status(&jwt).await, edge.status(&revoked).await), (401, 401));
    clock.set_by(0);
    assert_eq!((edge.status(&jwt).await, edge.status(&revoked).await), (200, 401));
    assert!(edge.metric("authledger_edge_revocations").await > Some(0.0));
}
