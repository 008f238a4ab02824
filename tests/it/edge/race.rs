//! A credential is revoked while a gateway sends requests with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::agreement::{ROUNDS_VARIABLE, rounds};
use super::place::{Place, check};
use crate::process::node::{client, text};

const CONNECTIONS: usize = 64;
/// Requests until all connections are made, and those by which the full rate is measured.
const WARM: u64 = 256;
const MEASURED: u64 = 4_096;
/// Rounds; `AUTHLEDGER_EDGE_ROUNDS` sets another number.
const ROUNDS: u64 = 10;
/// No request that is sent later than this after the revocation's answer passes, on a machine that does nothing else.
const LIMIT: Duration = Duration::from_millis(50);
/// The same next to other tests: a process may get no time for a while.
const SHARED_LIMIT: Duration = Duration::from_millis(500);

/// A run with rounds is for a machine of its own.
fn limit() -> Duration {
    if std::env::var_os(ROUNDS_VARIABLE).is_some() { LIMIT } else { SHARED_LIMIT }
}

/// What is sent, and what passes.
#[derive(Default)]
struct Traffic {
    /// When each request was sent that passed.
    passed: Mutex<Vec<Instant>>,
    sent: AtomicU64,
    is_over: AtomicBool,
}

/// Requests over connections that are kept, with that pause between two of each, until it is over.
async fn send(url: &str, ticket: &str, pause: Duration, traffic: &Arc<Traffic>) {
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (url, ticket, traffic) = (url.to_owned(), ticket.to_owned(), traffic.clone());
        senders.spawn(async move {
            let client = client().build().unwrap();
            while !traffic.is_over.load(Ordering::Relaxed) {
                let at = Instant::now();
                let told = check(&client, &url, "any", &ticket).await;
                traffic.sent.fetch_add(1, Ordering::Relaxed);
                assert!([200, 401].contains(&told.status), "{told:?}");
                if told.status == 200 {
                    traffic.passed.lock().push(at);
                }
                tokio::time::sleep(pause).await;
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
}

/// Waits until so many requests have been sent.
async fn until_sent(traffic: &Traffic, count: u64) {
    while traffic.sent.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_is_sent_after_the_feeds_delay_passes() {
    let place = Place::new();
    let node = place.node();
    let edge = place.ready_edge(&node).await;
    let ticket = text(&node.api.issue("alice").await, "ticket");
    let traffic = Arc::new(Traffic::default());
    let measured = async {
        until_sent(&traffic, WARM).await;
        let (before, started) = (traffic.sent.load(Ordering::Relaxed), Instant::now());
        until_sent(&traffic, before + MEASURED).await;
        traffic.is_over.store(true, Ordering::Relaxed);
        MEASURED as f64 / started.elapsed().as_secs_f64()
    };
    let ((), full) = tokio::join!(send(&edge.checks, &ticket, Duration::ZERO, &traffic), measured);
    // At half of the full rate.
    let pause = Duration::from_secs_f64(2.0 * CONNECTIONS as f64 / full);
    let mut late = Vec::new();
    for _ in 0..rounds(ROUNDS) {
        let ticket = text(&node.api.issue("alice").await, "ticket");
        let traffic = Arc::new(Traffic::default());
        let revoked = async {
            until_sent(&traffic, WARM).await;
            node.api.revoke(&ticket).await;
            let answered = Instant::now();
            let sent = traffic.sent.load(Ordering::Relaxed);
            // Long enough that a request would be sent too late on each connection.
            while answered.elapsed() < limit() * 2 {
                until_sent(&traffic, sent + CONNECTIONS as u64).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            traffic.is_over.store(true, Ordering::Relaxed);
            answered
        };
        let ((), answered) = tokio::join!(send(&edge.checks, &ticket, pause, &traffic), revoked);
        let passed = traffic.passed.lock();
        assert!(!passed.is_empty());
        late.push(passed.iter().max().map_or(Duration::ZERO, |last| last.saturating_duration_since(answered)));
    }
    late.sort();
    let at = |part: usize| late[(late.len() - 1) * part / 100];
    println!(
        "full rate {full:.0} a second; the last request that passed was sent after the revocation's answer: p50 {:?}, p90 {:?}, \
         p99 {:?}, most {:?}, of {} rounds",
        at(50),
        at(90),
        at(99),
        at(100),
        late.len()
    );
    assert!(at(100) <= limit(), "{late:?}");
}
