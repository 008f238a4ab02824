//! Every case of a revocation by RFC 7009: what the client is told, and what is on record afterwards.

use authledger::jose::sign;
use serde_json::json;

use super::{Client, FOREIGN, INTROSPECT, REVOKE, post, trusting};
use crate::support::served::{Actor, Answer, Made, ServedNode};

fn is_done(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{}", answer.shown());
    assert_eq!((answer.header("cache-control"), answer.header("content-length")), ("no-store", "0"));
    assert_eq!(answer.header("content-type"), "");
}

async fn token(actor: &Actor, tenant: &str, format: &str) -> String {
    let body = json!({"tenant": tenant, "subject": "a", "format": format});
    let answer = actor.post("/v1/tokens", body).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer.text("token").to_owned()
}

#[tokio::test]
async fn each_kind_is_revoked_by_one_event_and_a_repetition_by_none() {
    let (node, signer, _directory) = trusting().await;
    let client = Client::new(&node, &[("acme", &["revoke", "introspect"])]).await;
    let root = node.root();
    let now = node.clock.now().as_seconds();
    let claims = json!({"iss": FOREIGN, "sub": "a", "oid": "acme", "jti": "f", "iat": now - 9, "exp": now + 99});
    let session = root.post("/v1/sessions", json!({"tenant": "acme", "subject": "a"})).await;
    let id = session.json()["session"]["id"].clone();
    let of_session = root.post("/v1/tokens", json!({"tenant": "acme", "subject": "a", "session_id": id})).await;
    let ticket = root.post("/v1/tickets", json!({"tenant": "acme", "subject": "a"})).await;
    let secrets = [
        ("jwt", token(&root, "acme", "jwt").await),
        ("opaque", token(&root, "acme", "opaque").await),
        ("foreign", sign(&signer, &claims).expect("a token")),
        ("ticket", ticket.text("ticket").to_owned()),
        ("session", session.text("session_token").to_owned()),
    ];
    let is_active =
        async |secret: &str| post(&client.on(&node), INTROSPECT, &[("token", secret)]).await.json()["active"] == true;
    assert!(is_active(of_session.text("token")).await);
    for (name, secret) in &secrets {
        assert!(is_active(secret).await, "{name}");
        let head = node.head();
        is_done(&post(&client.on(&node), REVOKE, &[("token", secret), ("token_type_hint", "refresh_token")]).await);
        assert_eq!(node.head().0, head.0 + 1, "{name}");
        assert!(!is_active(secret).await, "{name}");
        is_done(&post(&client.on(&node), REVOKE, &[("token", secret)]).await);
        assert_eq!(node.head().0, head.0 + 1, "{name} again");
    }
    assert!(!is_active(of_session.text("token")).await, "a session's tokens are revoked with it");
}

#[tokio::test]
async fn a_container_is_revoked_with_the_token_in_it() {
    let (node, signer, _directory) = trusting().await;
    let client = Client::new(&node, &[("acme", &["revoke", "introspect"])]).await;
    let now = node.clock.now().as_seconds();
    let signed = |jti: &str, more: serde_json::Value| {
        let mut claims =
            json!({"iss": FOREIGN, "sub": "a", "oid": "acme", "jti": jti, "iat": now - 9, "exp": now + 99});
        claims.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        sign(&signer, &claims).expect("a token")
    };
    let inner = signed("inner", json!({}));
    let outer = signed("outer", json!({"user_token": inner}));
    is_done(&post(&client.on(&node), REVOKE, &[("token", &outer)]).await);
    for token in [&inner, &outer] {
        assert_eq!(post(&client.on(&node), INTROSPECT, &[("token", token)]).await.json(), json!({"active": false}));
    }
}

#[tokio::test]
async fn a_token_that_is_not_active_is_a_success_without_a_record() {
    let (node, signer, directory) = trusting().await;
    let client = Client::new(&node, &[("acme", &["revoke"])]).await;
    let opaque = token(&node.root(), "acme", "opaque").await;
    let jwt = token(&node.root(), "acme", "jwt").await;
    let now = node.clock.now().as_seconds();
    let claims = json!({"iss": FOREIGN, "sub": "a", "oid": "acme", "jti": "f", "iat": now - 99, "exp": now - 9});
    let stranger =
        authledger::keys::SigningKey::generate(&directory.path().join("other"), authledger::keys::Algorithm::Es256);
    let stranger = stranger.expect("a key");
    let untrusted = json!({"iss": "https://unknown.example", "sub": "a", "oid": "acme"});
    let good = json!({"iss": FOREIGN, "sub": "a", "oid": "acme", "jti": "g", "iat": now, "exp": now + 99});
    let mut wrong = vec![
        sign(&signer, &claims).expect("a token"),
        sign(&signer, &untrusted).expect("a token"),
        sign(&stranger, &good).expect("a token"),
        format!("{}x", jwt),
        "garbage".to_owned(),
        "al_o_garbage".to_owned(),
        "eyJ.eyJ.x".to_owned(),
        "\u{1F600}".to_owned(),
    ];
    let head = node.head();
    for token in &wrong {
        is_done(&post(&client.on(&node), REVOKE, &[("token", token)]).await);
    }
    assert_eq!(node.head(), head);
    node.clock.advance(2 * 86_400_000);
    wrong = vec![opaque, jwt];
    for token in &wrong {
        is_done(&post(&client.on(&node), REVOKE, &[("token", token)]).await);
    }
    assert_eq!(node.head(), head, "expired long ago");
}

#[tokio::test]
async fn a_client_without_the_scope_revokes_what_it_issued_and_nothing_else() {
    let (node, signer, _directory) = trusting().await;
    let issuer = Client::new(&node, &[("acme", &["issue"])]).await;
    let other = Client::new(&node, &[("acme", &["issue", "introspect"]), ("default", &["revoke"])]).await;
    let now = node.clock.now().as_seconds();
    let claims = json!({"iss": FOREIGN, "sub": "a", "oid": "acme", "jti": "f", "iat": now - 9, "exp": now + 99});
    let foreign = sign(&signer, &claims).expect("a token");
    let actor = node.holder(&issuer.secret);
    let ticket = actor.post("/v1/tickets", json!({"tenant": "acme", "subject": "a"})).await;
    let session = actor.post("/v1/sessions", json!({"tenant": "acme", "subject": "a"})).await;
    let own = [
        token(&actor, "acme", "jwt").await,
        token(&actor, "acme", "opaque").await,
        ticket.text("ticket").to_owned(),
        session.text("session_token").to_owned(),
    ];
    let roots = [token(&node.root(), "acme", "jwt").await, token(&node.root(), "acme", "opaque").await, foreign];
    let head = node.head();
    for secret in own.iter().chain(&roots) {
        let answer = post(&other.on(&node), REVOKE, &[("token", secret)]).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!("unauthorized_client")));
        assert_eq!(post(&other.on(&node), INTROSPECT, &[("token", secret)]).await.json()["active"], true);
    }
    for secret in &roots {
        assert_eq!(post(&issuer.on(&node), REVOKE, &[("token", secret)]).await.status, 400);
    }
    assert_eq!(node.head(), head);
    for (n, secret) in own.iter().enumerate() {
        is_done(&post(&issuer.on(&node), REVOKE, &[("token", secret)]).await);
        assert_eq!(node.head().0, head.0 + 1 + n as u64);
        is_done(&post(&issuer.on(&node), REVOKE, &[("token", secret)]).await);
        assert_eq!(post(&other.on(&node), INTROSPECT, &[("token", secret)]).await.json(), json!({"active": false}));
    }
    assert_eq!(node.head().0, head.0 + own.len() as u64);
    is_done(&post(&issuer.on(&node), REVOKE, &[("token", "al_o_unknown")]).await);
}

/// From here on a node may not know every credential.
async fn import(node: &ServedNode) {
    let line = json!({
        "kind": "ticket", "subject": "i", "digest": "0".repeat(64),
        "issued_at": "2027-01-15T07:00:00Z", "expires_at": "2027-01-15T09:00:00Z",
    });
    let ndjson = node.root().with("content-type", "application/x-ndjson");
    let imported = ndjson.send(axum::http::Method::POST, "/v1/imports", line.to_string()).await;
    assert_eq!(imported.status, 200, "{}", imported.shown());
}

/// After an import, a credential that is not known may have been issued elsewhere.
#[tokio::test]
async fn an_unknown_secret_is_recorded_where_it_may_have_been_issued_elsewhere() {
    let node = ServedNode::start().await;
    import(&node).await;
    let client = Client::new(&node, &[("default", &["revoke"])]).await;
    let issuer = Client::new(&node, &[("default", &["issue"])]).await;
    let head = node.head();
    is_done(&post(&client.on(&node), REVOKE, &[("token", "al_o_from-elsewhere")]).await);
    assert_eq!(node.head().0, head.0 + 1);
    let record = node.root().get(&format!("/v1/events/{}", head.0 + 1)).await.json();
    assert_eq!((&record["type"], &record["data"]["known"]), (&json!("token.revoked"), &json!(false)));
    is_done(&post(&client.on(&node), REVOKE, &[("token", "al_o_from-elsewhere")]).await);
    assert_eq!(node.head().0, head.0 + 1);
    // A success without a record could be untrue.
    let refused = post(&issuer.on(&node), REVOKE, &[("token", "al_o_another")]).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (400, &json!("unauthorized_client")));
    assert_eq!(node.head().0, head.0 + 1);
}

#[tokio::test]
async fn an_idempotency_key_does_nothing_and_a_consistency_must_be_one() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["revoke"])]).await;
    let token = token(&node.root(), "default", "opaque").await;
    let bad = client.on(&node).with("ledger-consistency", "everywhere");
    let answer = post(&bad, REVOKE, &[("token", &token)]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!("invalid_request")));
    let head = node.head();
    let waits = client.on(&node).with("ledger-consistency", "all_regions").keyed("short");
    is_done(&post(&waits, REVOKE, &[("token", &token)]).await);
    assert_eq!(node.head().0, head.0 + 1);
}

#[tokio::test]
async fn a_wait_for_other_nodes_that_is_given_up_leaves_the_revocation() {
    let made = Made { reach: std::sync::Arc::new(crate::http::v1::Never), ..Made::default() };
    let node = ServedNode::made(made).await;
    let client = Client::new(&node, &[("default", &["revoke", "introspect"])]).await;
    let token = token(&node.root(), "default", "opaque").await;
    let waits = client.on(&node).with("ledger-consistency", "all_regions").with("ledger-consistency-timeout", "7");
    let answer = post(&waits, REVOKE, &[("token", &token)]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (408, &json!("temporarily_unavailable")));
    assert_eq!(post(&client.on(&node), INTROSPECT, &[("token", &token)]).await.json(), json!({"active": false}));
}

#[tokio::test]
async fn a_client_that_revokes_too_much_that_is_unknown_is_told_to_wait() {
    let mut made = Made::default();
    made.policy.max_unknown_revocations = 1;
    let node = ServedNode::made(made).await;
    import(&node).await;
    let client = Client::new(&node, &[("default", &["revoke"])]).await;
    is_done(&post(&client.on(&node), REVOKE, &[("token", "al_o_one")]).await);
    let head = node.head();
    let refused = post(&client.on(&node), REVOKE, &[("token", "al_o_two")]).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (429, &json!("temporarily_unavailable")));
    assert_eq!((refused.header("retry-after"), node.head()), ("60", head));
}
