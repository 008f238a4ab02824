//! How soon a revocation is known in the other regions.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::cluster::{A, B, C, Cluster, NAMES, is_full};
use crate::process::node::{Api, text};
use crate::support::nats::find;

/// Revocations that are asked for at the same time.
const AT_ONCE: usize = 16;

/// Follows the feed until so many revocations have come: each one's id, and when it came. Nothing is looked at meanwhile, so that
/// the time is the node's.
async fn follow(api: Api, revocations: usize) -> HashMap<String, Instant> {
    let cursor = text(&api.get("/v1/revocations?limit=1000&after=0").await.expect(200), "cursor");
    let request = api.request(Method::GET, &format!("/v1/revocations?after={cursor}"));
    let mut response = request.header("accept", "application/x-ndjson").send().await.unwrap();
    let (mut came, mut rest) = (HashMap::new(), String::new());
    while came.len() < revocations {
        let chunk = response.chunk().await.unwrap().expect("the stream goes on");
        let now = Instant::now();
        rest.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some(end) = rest.find('\n') {
            let line: String = rest.drain(..=end).collect();
            let item: Value = serde_json::from_str(&line).unwrap();
            if item["event"] == "revoked" {
                came.insert(text(&item, "id"), now);
            }
        }
    }
    came
}

/// Revokes tickets, and notes when each answer came.
async fn revoke(api: Api, tickets: Vec<(String, String)>) -> HashMap<String, Instant> {
    let mut answered = HashMap::new();
    for (id, ticket) in tickets {
        let request = api.request(Method::POST, "/v1/revocations").json(&json!({"credential": ticket}));
        let answer = request.send().await.unwrap();
        answered.insert(id, Instant::now());
        assert_eq!(answer.status(), 201);
    }
    answered
}

async fn issue(api: &Api, count: usize) -> Vec<Vec<(String, String)>> {
    let one = |lane: usize| {
        let api = api.clone();
        tokio::spawn(async move {
            let mut tickets = Vec::new();
            for number in 0..count / AT_ONCE {
                let issued = api.issue(&format!("s-{lane}-{number}")).await;
                tickets.push((text(&issued, "id"), text(&issued, "ticket")));
            }
            tickets
        })
    };
    let tasks: Vec<JoinHandle<_>> = (0..AT_ONCE).map(one).collect();
    let mut lanes = Vec::new();
    for task in tasks {
        lanes.push(task.await.unwrap());
    }
    lanes
}

fn at(sorted: &[Duration], per_cent: usize) -> Duration {
    sorted[(sorted.len() - 1) * per_cent / 100]
}

/// The durations of requests that ask for nothing.
async fn bare(api: &Api) -> Vec<Duration> {
    let mut all = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        api.request(Method::GET, "/health/live").send().await.unwrap();
        all.push(began.elapsed());
    }
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_revoked_in_one_region_is_refused_in_the_others_at_once() {
    let Some(program) = find() else { return };
    let cluster = Cluster::over_nats(&program).await;
    let count = if is_full() { 10_000 } else { 1_008 };
    let api = cluster.api(A);
    let lanes = issue(&api, count).await;
    let last = lanes[AT_ONCE - 1].last().unwrap().1.clone();
    cluster.converged(&[A, B, C]).await;
    for which in [B, C] {
        assert!(cluster.api(which).is_active(&last).await);
    }
    let followers = [B, C].map(|which| tokio::spawn(follow(cluster.api(which).apart(), count)));
    // First some alone, and then all that are left at once.
    let mut lanes = lanes;
    let alone = lanes[0].split_off(1);
    let mut answered = HashMap::new();
    let alone = revoke(api.clone(), alone).await;
    let began = Instant::now();
    let revokers: Vec<_> = lanes.into_iter().map(|lane| tokio::spawn(revoke(api.clone(), lane))).collect();
    for revoker in revokers {
        answered.extend(revoker.await.unwrap());
    }
    println!("{} revocations, {AT_ONCE} at a time, in {:?}", answered.len(), began.elapsed());
    for (which, follower) in [B, C].into_iter().zip(followers) {
        let came = follower.await.unwrap();
        let delays = |answered: &HashMap<String, Instant>| {
            let mut delays: Vec<Duration> =
                answered.iter().map(|(id, answer)| came[id].saturating_duration_since(*answer)).collect();
            delays.sort_unstable();
            delays
        };
        let (one, delays) = (delays(&alone), delays(&answered));
        let bare = bare(&cluster.api(which)).await;
        let name = NAMES[which];
        println!(
            "one at a time, from the answer at a to the feed at {name}: p50 {:?}, p99 {:?}",
            at(&one, 50),
            at(&one, 99)
        );
        println!("{AT_ONCE} at a time: p50 {:?}, p99 {:?}", at(&delays, 50), at(&delays, 99));
        println!("a bare request to {name}: p50 {:?}, p99 {:?}", at(&bare, 50), at(&bare, 99));
        assert!(at(&delays, 99) < Duration::from_secs(1), "a revocation takes {:?}", at(&delays, 99));
        assert!(!cluster.api(which).is_active(&last).await);
    }
    cluster.agree(&[A, B, C]).await;
}
