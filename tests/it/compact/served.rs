//! The server's answers: what `Accept` asks for, and who is sent what.

use std::sync::Arc;
use std::time::Duration;

use authledger::compact::{Decoder, Frame, MEDIA_TYPE};
use authledger::follower::held::{CompactFeed, Heard, Held, PresentedCredential, RefusalReason};
use reqwest::Method;
use serde_json::{Value, json};

use super::{NOW, at, hear};
use crate::process::node::{Launch, NodeProcess, text};
use crate::support::served::{Actor, Answer, ServedNode};

const SNAPSHOT: &str = "/v1/revocations/snapshot";

async fn compact(caller: &Actor, path: &str) -> Answer {
    caller.with("accept", MEDIA_TYPE).get(path).await
}

/// What a follower holds after that snapshot.
fn held(answer: &Answer) -> Arc<Held> {
    let held = Arc::new(Held::new(at(NOW)));
    let heard = hear(&held, &answer.body, 1_000).unwrap();
    assert_eq!(heard.last(), Some(&Heard::Complete));
    held
}

fn refused(held: &Held, presented: Value) -> Option<&'static str> {
    let presented: PresentedCredential = serde_json::from_value(presented).unwrap();
    held.refuses(&presented).map(RefusalReason::as_str)
}

/// A ticket of that subject that was revoked, as a follower knows it.
async fn revoked_ticket(node: &ServedNode, tenant: &str, subject: &str) -> Value {
    let issued = node.root().post("/v1/tickets", json!({"tenant": tenant, "subject": subject})).await;
    let secret = issued.text("ticket").to_owned();
    let revoked = node.root().post("/v1/revocations", json!({"credential": secret})).await;
    assert_eq!(revoked.status, 201);
    let digest = authledger::domain::Digest::of(secret.as_bytes()).to_string();
    json!({"kind": "ticket", "digest": digest, "tenant": tenant, "subject": subject})
}

#[tokio::test]
async fn a_snapshot_has_the_form_that_is_asked_for_and_says_the_same() {
    let node = ServedNode::start().await;
    let ticket = revoked_ticket(&node, "default", "alice").await;
    let subject = json!({"subject": "bob", "kinds": ["session"]});
    assert_eq!(node.root().post("/v1/revocations", subject).await.status, 201);
    let answer = compact(&node.root(), SNAPSHOT).await;
    let headers = ["content-type", "cache-control", "vary", "x-accel-buffering"].map(|name| answer.header(name));
    assert_eq!(headers, [MEDIA_TYPE, "no-store", "accept", "no"]);
    let held = held(&answer);
    assert_eq!(refused(&held, ticket.clone()), Some("revoked"));
    assert_eq!(refused(&held, json!({"kind": "session", "tenant": "default", "subject": "bob"})), Some("generation"));
    assert_eq!(refused(&held, json!({"kind": "ticket", "tenant": "default", "subject": "bob"})), None);

    let lines = node.root().get(SNAPSHOT).await;
    assert_eq!((lines.header("content-type"), lines.header("vary")), ("application/x-ndjson", "accept"));
    let first: Value = serde_json::from_slice(lines.body.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let mut decoder = Decoder::default();
    decoder.push(&answer.body);
    let Some(Frame::Head(head)) = decoder.next_frame().unwrap() else { panic!("no head") };
    assert_eq!(
        (json!(head.cursor), json!(head.ledger.to_string())),
        (first["cursor"].clone(), first["ledger"].clone())
    );

    // Both forms, weighed.
    let both = |weight: &str| format!("application/x-ndjson;q=0.5, {MEDIA_TYPE};q={weight}");
    for (accept, due) in
        [("*/*", "application/x-ndjson"), (&both("0.4"), "application/x-ndjson"), (&both("0.6"), MEDIA_TYPE)]
    {
        let answer = node.root().with("accept", accept).get(SNAPSHOT).await;
        assert_eq!(answer.header("content-type"), due, "{accept}");
    }
}

#[tokio::test]
async fn a_restart_keeps_the_key_and_marks_do_not_leave_it() {
    let mut node = ServedNode::start().await;
    let ticket = revoked_ticket(&node, "default", "alice").await;
    let key = |answer: &Answer| {
        let mut decoder = Decoder::default();
        decoder.push(&answer.body);
        let Some(Frame::Head(head)) = decoder.next_frame().unwrap() else { panic!("no head") };
        *head.key.as_bytes()
    };
    let before = compact(&node.root(), SNAPSHOT).await;
    node.restart().await;
    let after = compact(&node.root(), SNAPSHOT).await;
    assert_eq!(key(&before), key(&after));
    assert_eq!(refused(&held(&after), ticket), Some("revoked"));
    let other = ServedNode::start().await;
    assert_ne!(key(&compact(&other.root(), SNAPSHOT).await), key(&before));
}

#[tokio::test]
async fn a_follower_is_sent_the_marks_of_its_own_tenants_alone() {
    let node = ServedNode::start().await;
    let own = revoked_ticket(&node, "acme", "alice").await;
    let others = revoked_ticket(&node, "default", "alice").await;
    for tenant in ["acme", "default"] {
        let body = json!({"tenant": tenant, "subject": "bob"});
        assert_eq!(node.root().post("/v1/revocations", body).await.status, 201);
    }
    let acme = node.application(&[("acme", &["follow"])]).await;
    let held_by = |answer: Answer| held(&answer);
    let bob = |tenant: &str| json!({"kind": "ticket", "tenant": tenant, "subject": "bob"});
    let all = held_by(compact(&node.root(), SNAPSHOT).await);
    assert_eq!((all.counts().marks, all.counts().wholes), (2, 6));
    for held in [
        held_by(compact(&acme, SNAPSHOT).await),
        held_by(compact(&node.root(), &format!("{SNAPSHOT}?tenant=acme")).await),
    ] {
        assert_eq!((held.counts().marks, held.counts().wholes), (1, 3));
        assert_eq!((refused(&held, own.clone()), refused(&held, others.clone())), (Some("revoked"), None));
        assert_eq!((refused(&held, bob("acme")), refused(&held, bob("default"))), (Some("generation"), None));
    }
    let sessions = held_by(compact(&acme, &format!("{SNAPSHOT}?kind=session")).await);
    assert_eq!((sessions.counts().marks, sessions.counts().wholes), (0, 1));
    for (caller, status) in [(node.nobody(), 401), (node.application(&[("acme", &["issue"])]).await, 403)] {
        for path in [SNAPSHOT, "/v1/revocations"] {
            assert_eq!(compact(&caller, path).await.status, status);
        }
    }
}

/// A follower over a socket.
struct Follows {
    response: reqwest::Response,
    feed: CompactFeed,
}

impl Follows {
    async fn start(node: &NodeProcess, held: &Arc<Held>, cursor: &str) -> Self {
        let path = format!("/v1/revocations?after={cursor}");
        let response = node.api.apart().request(Method::GET, &path).header("accept", MEDIA_TYPE).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
        Self { response, feed: CompactFeed::new(held.clone()) }
    }

    async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.feed.hear().unwrap() {
                return Some(heard);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await.unwrap().unwrap()?;
            self.feed.push(&chunk);
        }
    }
}

#[tokio::test]
async fn a_stream_tells_of_each_revocation_goes_on_from_a_cursor_and_says_why_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let node = Launch::new(&directory.path().join("data")).args(&["--heartbeat", "1"]).start();
    let held = Arc::new(Held::new(at(0)));
    let mut stream = Follows::start(&node, &held, "0").await;
    let Some(Heard::Head { cursor, .. }) = stream.next().await else { panic!("no head") };
    assert_eq!(cursor, "", "the cursor comes with the heartbeat");
    let Some(Heard::Heartbeat { behind, .. }) = stream.next().await else { panic!("no heartbeat") };
    assert_eq!(behind.len(), 1);
    let id = node.api.issue_and_revoke("default", "alice").await;
    let presented = |id: &str| json!({"kind": "ticket", "id": id, "tenant": "default", "subject": "alice"});
    let cursor = loop {
        if let Heard::Revoked { cursor, change } = stream.next().await.unwrap() {
            assert_eq!(change.plain.len(), 1);
            break cursor;
        }
    };
    assert_eq!(refused(&held, presented(&id)), Some("revoked"));

    // The same cursors as in the other form.
    let page: Value = node.api.get("/v1/revocations?after=0").await.expect(200);
    assert_eq!(text(&page["items"][0], "cursor"), cursor);
    let second = node.api.issue_and_revoke("default", "alice").await;
    let again = Arc::new(Held::new(at(0)));
    let mut resumed = Follows::start(&node, &again, &cursor).await;
    while !matches!(resumed.next().await, Some(Heard::Revoked { .. })) {}
    assert_eq!((refused(&again, presented(&id)), refused(&again, presented(&second))), (None, Some("revoked")));

    node.terminate();
    let mut last = None;
    while let Some(heard) = resumed.next().await {
        last = Some(heard);
    }
    assert!(matches!(&last, Some(Heard::End { reason, .. }) if reason == "stopping"), "{last:?}");
}
