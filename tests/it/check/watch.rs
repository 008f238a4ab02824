//! A check that stays: it tells when the credential is over, however that happens, and nobody else is woken.

use std::time::Duration;

use authledger::http::check::CheckOptions;
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, header};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::{issue, node, node_with, options, token};
use crate::support::served::{Actor, ServedNode};

const TEST_LIMIT: Duration = Duration::from_secs(20);
const GOOD: &str = "event: good\ndata: {\"status\":200}\n\n";
const OVER: &str = "event: over\ndata: {\"status\":401,\"reason\":\"over\"}\n\n";

fn request(rule: &str, credential: &str, wish: (&str, &str)) -> Request<Body> {
    Request::builder()
        .uri(format!("/check/{rule}/watch"))
        .header(header::AUTHORIZATION, format!("Bearer {credential}"))
        .header(wish.0, wish.1)
        .body(Body::empty())
        .expect("a request")
}

/// The events of a watcher.
struct Events(BodyDataStream);

impl Events {
    async fn of(router: &Router, rule: &str, credential: &str) -> Self {
        let asked = request(rule, credential, ("accept", "text/event-stream"));
        let answer = router.clone().oneshot(asked).await.expect("a router always answers");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert!(
            answer.headers().contains_key("x-auth-subject") && !answer.headers().contains_key(header::CONTENT_LENGTH)
        );
        let mut events = Self(answer.into_body().into_data_stream());
        assert_eq!(events.next().await.as_deref(), Some(GOOD));
        events
    }

    /// The next event, without heartbeats.
    async fn next(&mut self) -> Option<String> {
        loop {
            let chunk = timeout(TEST_LIMIT, self.0.next()).await.expect("an event")?;
            let text = String::from_utf8(chunk.expect("a stream").to_vec()).expect("UTF-8");
            if text != ":\n\n" {
                return Some(text);
            }
        }
    }
}

async fn revoke(node: &ServedNode, body: Value) {
    let answer = node.root().post("/v1/revocations", body).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
}

async fn with_parent(root: &Actor, kind: &str, parent: &str, body: Value) -> String {
    let mut body = body;
    body["parent"] = json!({"credential": parent});
    issue(root, kind, body).await
}

#[tokio::test]
async fn a_watcher_hears_of_every_way_in_which_a_credential_is_revoked() {
    let node = node().await;
    let root = node.root();
    for kind in ["session", "token", "ticket"] {
        let mut ways = Vec::new();
        for way in ["alone", "parent", "grandparent", "subject", "parent's subject", "tenant", "application", "erased"]
        {
            let (subject, tenant) = (format!("{kind} {way}"), format!("{kind}-{way}"));
            let application = node.application(&[("*", &["issue"])]).await;
            let body = |subject: &str| json!({"subject": subject, "tenant": tenant});
            let above = issue(&root, "session", body("above")).await;
            let parent = with_parent(&root, "session", &above, body(&format!("parent of {subject}"))).await;
            let child = with_parent(&application, kind, &parent, body(&subject)).await;
            ways.push((way, subject, tenant, application, above, parent, child));
        }
        for (way, subject, tenant, application, above, parent, child) in &ways {
            let rule = if kind == "ticket" { "renewing" } else { "default" };
            let mut events = Events::of(&node.gateways(), rule, child).await;
            let other = Events::of(&node.gateways(), "default", &token(&node).await).await;
            match *way {
                "alone" => revoke(&node, json!({"credential": child})).await,
                "parent" => revoke(&node, json!({"credential": parent})).await,
                "grandparent" => revoke(&node, json!({"credential": above})).await,
                "subject" => revoke(&node, json!({"subject": subject, "tenant": tenant})).await,
                "parent's subject" => {
                    revoke(&node, json!({"subject": format!("parent of {subject}"), "tenant": tenant})).await;
                }
                "tenant" => revoke(&node, json!({"tenant": tenant})).await,
                "application" => {
                    let id = application_id(&node, application).await;
                    revoke(&node, json!({"application": id})).await;
                }
                _ => {
                    let path = format!("/v1/subjects/{}/personal-data?tenant={tenant}", subject.replace(' ', "%20"));
                    assert!(root.delete(&path).await.status.is_success());
                }
            }
            assert_eq!(events.next().await.as_deref(), Some(OVER), "{kind} {way}");
            assert_eq!(events.next().await, None, "{kind} {way}");
            drop(other);
        }
    }
}

/// The id of an application: what it issues names it.
async fn application_id(node: &ServedNode, application: &Actor) -> Value {
    let issued = issue(application, "token", json!({"subject": "named"})).await;
    let shown = node.root().post("/v1/introspect", json!({"credential": issued})).await.json();
    shown["application"].clone()
}

#[tokio::test]
async fn a_watcher_hears_that_the_key_of_its_token_was_withdrawn() {
    let node = node().await;
    let root = node.root();
    let jwt = token(&node).await;
    let mut events = Events::of(&node.gateways(), "default", &jwt).await;
    let keys = root.get("/v1/keys").await.json();
    let signing = keys["keys"].as_array().expect("keys").iter().find(|key| key["signs"] == true);
    let kid = signing.expect("a key signs")["kid"].as_str().expect("a name").to_owned();
    assert!(root.delete(&format!("/v1/keys/{kid}")).await.status.is_success());
    assert_eq!(events.next().await.as_deref(), Some(OVER));
}

#[tokio::test]
async fn a_watcher_is_told_of_an_expiry_and_of_a_stop() {
    let heartbeat = Duration::from_millis(20);
    let node = node_with(CheckOptions { heartbeat, ..options() }).await;
    let short = issue(&node.root(), "token", json!({"subject": "alice", "ttl": 60})).await;
    let mut events = Events::of(&node.gateways(), "default", &short).await;
    let lasting = token(&node).await;
    let mut other = Events::of(&node.router(), "default", &lasting).await;
    node.clock.advance(60_000);
    assert_eq!(events.next().await.as_deref(), Some(OVER));
    node.stop_streams();
    let stopping = "event: over\ndata: {\"status\":503,\"reason\":\"stopping\"}\n\n";
    assert_eq!(other.next().await.as_deref(), Some(stopping));
    assert_eq!(other.next().await, None);
}

#[tokio::test]
async fn an_answer_that_waits_comes_when_the_credential_is_over_or_the_wait_is() {
    let node = node().await;
    let credential = token(&node).await;
    let ask = |router: Router, credential: &str, wait: &str| {
        let asked = request("default", credential, ("prefer", wait));
        tokio::spawn(async move { router.oneshot(asked).await.expect("a router always answers") })
    };
    let answer = ask(node.gateways(), &credential, "wait=0").await.expect("no panic");
    assert_eq!((answer.status().as_u16(), answer.headers()["x-auth-subject"].as_bytes()), (200, &b"alice"[..]));
    let waiting = ask(node.router(), &credential, "respond-async, wait=100");
    // Until it watches.
    let watching = || {
        let text = tokio::spawn({
            let root = node.root();
            async move { String::from_utf8(root.get("/metrics").await.body.to_vec()).expect("UTF-8") }
        });
        async move { text.await.expect("no panic").contains("authledger_check_watchers 1") }
    };
    while !watching().await {
        tokio::task::yield_now().await;
    }
    revoke(&node, json!({"credential": credential})).await;
    let answer = timeout(TEST_LIMIT, waiting).await.expect("an answer").expect("no panic");
    assert_eq!(answer.status(), 401);
    assert!(answer.headers()[header::WWW_AUTHENTICATE].to_str().expect("ASCII").contains("invalid_token"));
    // What is over already is told at once.
    let answer = timeout(TEST_LIMIT, ask(node.gateways(), &credential, "wait=100")).await.expect("an answer");
    assert_eq!(answer.expect("no panic").status(), 401);
}

#[tokio::test]
async fn watchers_beyond_the_bound_are_503_and_leave_room_when_they_go() {
    let node = node_with(CheckOptions { watchers: 1, ..options() }).await;
    let credential = token(&node).await;
    let first = Events::of(&node.gateways(), "default", &credential).await;
    let ask = async || {
        let asked = request("default", &credential, ("accept", "text/event-stream"));
        node.gateways().oneshot(asked).await.expect("a router always answers")
    };
    let refused = ask().await;
    assert_eq!((refused.status().as_u16(), refused.headers()[header::RETRY_AFTER].as_bytes()), (503, &b"1"[..]));
    drop(first);
    assert_eq!(ask().await.status(), 200);
}

#[tokio::test]
async fn a_revocation_wakes_those_whom_it_concerns_and_no_others() {
    use authledger::feed::Watchers;
    use std::sync::Arc;
    let node = node().await;
    let hub = node.hub();
    let watchers: &Arc<Watchers> = hub.watchers();
    let session = issue(&node.root(), "session", json!({"subject": "alice"})).await;
    let child = with_parent(&node.root(), "token", &session, json!({"subject": "bob"})).await;
    let other = token(&node).await;
    let watch = async |credential: &str| {
        let mut watcher = watchers.watch();
        let names = node.service().names(credential).await.expect("an answer").expect("it is active");
        watcher.watch_names(&names);
        watcher
    };
    let (own, below, beside, unnamed) =
        (watch(&session).await, watch(&child).await, watch(&other).await, watchers.watch());
    let woken = |watcher: &authledger::feed::Watcher| watcher.woken().now_or_never().is_some();
    // Issues and uses concern nobody.
    token(&node).await;
    assert!(!woken(&own) && !woken(&below) && !woken(&beside) && !woken(&unnamed));
    revoke(&node, json!({"credential": session})).await;
    assert!(woken(&own) && woken(&below) && !woken(&beside) && woken(&unnamed));
    revoke(&node, json!({"subject": "bob"})).await;
    assert!(!woken(&own) && woken(&below) && !woken(&beside));
    drop(below);
    revoke(&node, json!({"subject": "alice"})).await;
    assert!(woken(&own) && woken(&beside));
    assert!(!woken(&own), "each is woken once");
}
