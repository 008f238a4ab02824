//! Tickets whose life slides with their use, without an event for each use.

use authledger::clock::Clock;
use authledger::domain::Timestamp;
use authledger::service::{Running, Service};

use super::{call, start, ticket};

const START: u64 = 1_800_000_000_000;

struct Grown {
    events: u64,
    bytes: u64,
}

/// Issues tickets, uses each of them every second for a minute, and says how the log grew.
async fn use_for_a_minute(running: &Running, clock: &Clock, tickets: usize, ttl_seconds: u64) -> (Vec<String>, Grown) {
    let service = &running.service;
    let secrets = issue(service, tickets, ttl_seconds).await;
    let before = service.projection().base().position;
    for _ in 0..60 {
        clock.advance(1_000);
        use_all(service, &secrets);
        service.flush_uses().await.unwrap();
    }
    let mut base = service.reader().base_at(before).unwrap();
    let mut grown = Grown { events: 0, bytes: 0 };
    loop {
        let page = service.reader().next_page(&mut base, 10_000).unwrap();
        if page.is_empty() {
            return (secrets, grown);
        }
        grown.events += page.len() as u64;
        grown.bytes += page.iter().map(|stored| stored.record.len() as u64).sum::<u64>();
    }
}

async fn issue(service: &std::sync::Arc<Service>, tickets: usize, ttl_seconds: u64) -> Vec<String> {
    let call = std::sync::Arc::new(call(service));
    let issuers: Vec<_> = (0..64)
        .map(|issuer| {
            let (service, call) = (service.clone(), call.clone());
            tokio::spawn(async move {
                let mut secrets = Vec::new();
                for number in (issuer..tickets).step_by(64) {
                    let new = ticket(&format!("subject-{number}"), ttl_seconds);
                    let issued = service.issue_ticket(&call, new).await.unwrap();
                    secrets.push(issued.secret.expose().to_owned());
                }
                secrets
            })
        })
        .collect();
    let mut secrets = Vec::new();
    for issuer in issuers {
        secrets.extend(issuer.await.unwrap());
    }
    secrets
}

fn use_all(service: &Service, secrets: &[String]) {
    let identity = call(service).identity;
    for secret in secrets {
        assert!(service.use_ticket(&identity, secret.as_bytes()).unwrap().is_some(), "a ticket in use expired");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_tickets_in_use_append_little_and_a_restart_loses_a_tenth_of_a_life_at_most() {
    const TICKETS: usize = 100_000;
    const TTL_SECONDS: u64 = 60;
    let data = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_millis(START).unwrap());
    let running = start(data.path(), &clock, 8_192).await;
    let (secrets, grown) = use_for_a_minute(&running, &clock, TICKETS, TTL_SECONDS).await;
    let uses = TICKETS as u64 * 60;
    println!(
        "{uses} uses of {TICKETS} tickets of {TTL_SECONDS} s appended {} events, {} bytes",
        grown.events, grown.bytes
    );
    assert!(grown.events > 0, "the uses went on record");
    // Ten renewals a life, 850 to a record, some 26 bytes each.
    assert!(grown.events <= TICKETS as u64 * 10 / 850 + 60);
    assert!(grown.bytes <= TICKETS as u64 * 10 * 40);

    // A crash loses the uses that only memory knew: the tickets expire between 0.9 and 1.0 lives after their last use.
    drop(running.service.clone());
    running.stop().unwrap();
    let running = start(data.path(), &clock, 8_192).await;
    clock.advance(TTL_SECONDS * 900 - 1);
    let identity = call(&running.service).identity;
    let active = async |running: &Running, identity: &authledger::service::CallerIdentity| {
        let mut count = 0;
        for secret in &secrets {
            count += usize::from(running.service.introspect(identity, secret, None).await.unwrap().is_some());
        }
        count
    };
    assert_eq!(
        active(&running, &identity).await,
        TICKETS,
        "every ticket is active for 0.9 of its life after its last use"
    );
    clock.advance(TTL_SECONDS * 100 + 1);
    assert_eq!(active(&running, &identity).await, 0, "none is active for longer than 1.0 of its life");
    running.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_within_a_tenth_of_a_life_append_nothing() {
    let data = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_millis(START).unwrap());
    let running = start(data.path(), &clock, 8_192).await;
    let (_, grown) = use_for_a_minute(&running, &clock, 1_000, 900).await;
    assert_eq!(grown.events, 0);
    running.stop().unwrap();
}
