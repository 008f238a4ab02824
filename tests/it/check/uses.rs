//! A use through a gateway counts: where a rule says so at the node, and as edges report it.

use authledger::domain::Digest;
use axum::http::Method;
use serde_json::{Value, json};

use super::{issue, node};
use crate::support::served::{Actor, Answer, ServedNode};

/// Of the tickets in these tests.
const TTL_SECONDS: u64 = 600;
const TENTH_MILLIS: u64 = TTL_SECONDS * 100;

async fn ticket(node: &ServedNode, tenant: &str) -> String {
    issue(&node.root(), "ticket", json!({"subject": "alice", "tenant": tenant, "ttl": TTL_SECONDS})).await
}

async fn send(actor: &Actor, body: String) -> Answer {
    actor.with("content-type", "application/x-ndjson").send(Method::POST, "/v1/uses", body).await
}

async fn report(actor: &Actor, lines: &[Value]) -> Vec<Value> {
    let answer = send(actor, lines.iter().map(|line| format!("{line}\n")).collect()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-ndjson"));
    let text = std::str::from_utf8(&answer.body).expect("UTF-8");
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(told.iter().zip(1..).all(|(told, number)| told["line"] == number), "{text}");
    assert_eq!(told.len(), lines.len());
    told
}

fn used(ticket: &str, age_millis: u64) -> Value {
    json!({"kind": "ticket", "digest": Digest::of(ticket.as_bytes()).to_string(), "age_ms": age_millis})
}

async fn outcome(node: &ServedNode, line: Value) -> String {
    report(&node.root(), &[line]).await[0]["outcome"].as_str().expect("a text").to_owned()
}

async fn shown(node: &ServedNode, ticket: &str) -> Value {
    node.root().post("/v1/introspect", json!({"credential": ticket})).await.json()
}

/// Flushes the uses, and tells how many records that took.
async fn flushed(node: &ServedNode) -> u64 {
    let before = node.head().0;
    node.service().flush_uses().await.expect("the log takes them");
    node.head().0 - before
}

#[tokio::test]
async fn a_check_under_a_rule_that_renews_counts_once_for_each_tenth_of_a_life_and_no_other_does() {
    let node = node().await;
    let ticket = ticket(&node, "default").await;
    let check = async |rule: &str| {
        let caller = node.nobody().with("authorization", &format!("Bearer {ticket}"));
        caller.get(&format!("/check/{rule}")).await.status.as_u16()
    };
    let expires_at = shown(&node, &ticket).await["expires_at"].clone();
    node.clock.advance(2 * TENTH_MILLIS);
    assert_eq!((check("reports").await, check("default").await, flushed(&node).await), (200, 401, 0));
    assert_eq!(shown(&node, &ticket).await["expires_at"], expires_at);
    // Nothing is appended while the gateway waits, and all checks of a tenth share one record.
    for step in [0, 1, TENTH_MILLIS - 2] {
        node.clock.advance(step);
        let head = node.head();
        assert_eq!((check("renewing").await, node.head()), (200, head));
        assert_eq!(flushed(&node).await, u64::from(step == 0), "{step}");
    }
    assert_ne!(shown(&node, &ticket).await["expires_at"], expires_at);
    node.clock.advance(2);
    assert_eq!((check("renewing").await, flushed(&node).await), (200, 1));
    // Through its rule it lives beyond the life that it had, and no longer than its last use allows.
    for _ in 0..12 {
        node.clock.advance(9 * TENTH_MILLIS);
        assert_eq!(check("renewing").await, 200);
        flushed(&node).await;
    }
    node.clock.advance(10 * TENTH_MILLIS);
    assert_eq!((check("renewing").await, flushed(&node).await), (401, 0));
}

#[tokio::test]
async fn a_report_prolongs_a_life_once_and_never_moves_it_backwards() {
    let node = node().await;
    let ticket = ticket(&node, "default").await;
    node.clock.advance(3 * TENTH_MILLIS);
    assert_eq!(
        outcome(&node, used(&ticket, 2 * TENTH_MILLIS + 1)).await,
        "known",
        "before a tenth of its life has passed"
    );
    assert_eq!(outcome(&node, used(&ticket, TENTH_MILLIS)).await, "counted");
    let after_one = shown(&node, &ticket).await;
    // The same report again, an older use, and one that can't be true.
    for age in [TENTH_MILLIS, 2 * TENTH_MILLIS, u64::MAX] {
        assert_eq!(outcome(&node, used(&ticket, age)).await, "known", "{age}");
    }
    assert_eq!(shown(&node, &ticket).await, after_one);
    assert_eq!(flushed(&node).await, 1);
    assert_eq!(outcome(&node, used(&ticket, TENTH_MILLIS)).await, "known");
    let id = json!({"kind": "ticket", "id": after_one["id"], "age_ms": 0});
    assert_eq!(outcome(&node, id).await, "counted");
    assert_eq!(flushed(&node).await, 1);
    // A use that is heard of after the ticket has expired counts if it was before.
    node.clock.advance(10 * TENTH_MILLIS + 1);
    assert_eq!(shown(&node, &ticket).await["active"], false);
    assert_eq!(outcome(&node, used(&ticket, 0)).await, "inactive");
    assert_eq!(outcome(&node, used(&ticket, TENTH_MILLIS)).await, "counted");
    assert_eq!((flushed(&node).await, shown(&node, &ticket).await["active"].clone()), (1, json!(true)));
    assert_eq!(node.root().post("/v1/revocations", json!({"credential": ticket})).await.status, 201);
    assert_eq!(outcome(&node, used(&ticket, 0)).await, "inactive");
    assert_eq!((flushed(&node).await, shown(&node, &ticket).await["active"].clone()), (0, json!(false)));
}

#[tokio::test]
async fn no_report_reaches_beyond_the_end_that_a_ticket_has() {
    let node = node().await;
    let line = json!({
        "kind": "ticket", "subject": "alice", "digest": Digest::of(b"limited").to_string(), "ttl": 600,
        "issued_at": "2027-01-15T07:00:00Z", "expires_at": "2027-01-15T08:09:00Z", "not_after": "2027-01-15T08:15:00Z",
    });
    let root = node.root().with("content-type", "application/x-ndjson");
    assert_eq!(root.send(Method::POST, "/v1/imports", line.to_string()).await.status, 200);
    node.clock.advance(8 * TENTH_MILLIS);
    assert_eq!(outcome(&node, used("limited", 0)).await, "counted");
    assert_eq!(shown(&node, "limited").await["expires_at"], "2027-01-15T08:15:00.000Z");
    node.clock.advance(7 * TENTH_MILLIS);
    assert_eq!(outcome(&node, used("limited", 2 * TENTH_MILLIS)).await, "inactive");
    assert_eq!(shown(&node, "limited").await["active"], false);
}

#[tokio::test]
async fn lines_stand_alone_and_a_reporter_learns_nothing_of_other_tenants() {
    let node = node().await;
    let (own, other) = (ticket(&node, "default").await, ticket(&node, "acme").await);
    let session = issue(&node.root(), "session", json!({"subject": "alice"})).await;
    node.clock.advance(TENTH_MILLIS);
    let reporter = node.application(&[("default", &["introspect"])]).await;
    let digest = Digest::of(own.as_bytes()).to_string();
    let lines = [
        used(&other, 0),
        used("unknown", 0),
        used(&session, 0),
        json!({"kind": "ticket", "age_ms": 0}),
        json!({"kind": "ticket", "id": &digest[..32], "digest": digest, "age_ms": 0}),
        json!({"kind": "session", "digest": digest, "age_ms": 0}),
        json!({"kind": "ticket", "digest": digest, "age_ms": -1}),
        json!({"kind": "ticket", "digest": digest, "age_ms": 0, "used_at": "2027-01-15T08:00:00Z"}),
        used(&own, 0),
    ];
    let told = report(&reporter, &lines).await;
    let outcomes: Vec<_> = told.iter().map(|line| line["outcome"].as_str().expect("a text")).collect();
    assert_eq!(
        outcomes,
        ["inactive", "inactive", "inactive", "refused", "refused", "refused", "refused", "refused", "counted"]
    );
    assert!(told.iter().all(|line| line["outcome"] != "refused" || line["code"] == "invalid-body"), "{told:?}");
    assert_eq!(flushed(&node).await, 1);
    // A secret is not a digest: it is refused, and not repeated.
    let secret = json!({"kind": "ticket", "digest": own, "age_ms": 0});
    let told = report(&reporter, &[secret]).await;
    assert!(told[0]["outcome"] == "refused" && !told[0].to_string().contains(&own), "{told:?}");
    let none = node.application(&[("default", &["issue", "revoke", "follow"])]).await;
    assert_eq!(send(&none, used(&own, 0).to_string()).await.outcome(), (403, "forbidden".to_owned()));
    let many = format!("{}\n", used("unknown", 0)).repeat(300);
    assert_eq!(report(&reporter, &vec![used("unknown", 0); 300]).await.len(), 300);
    assert_eq!(send(&reporter, "\n".repeat(1_001)).await.outcome(), (400, "invalid-body".to_owned()), "{}", many.len());
}
