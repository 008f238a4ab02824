//! `DELETE /v1/subjects/{subject}/personal-data`

use serde_json::{Value, json};

use crate::support::served::{Made, ServedNode};

const KEY: &str = "a-key-of-the-tests-0001";
const PATH: &str = "/v1/subjects/ada/personal-data";

async fn lived(node: &ServedNode, tenant: &str) -> Value {
    let session = json!({"tenant": tenant, "subject": "ada", "identity": {"traits": {"email": "ada@example.org"}}});
    node.root().post("/v1/sessions", session).await.json()
}

#[tokio::test]
async fn a_subject_is_forgotten_once_and_for_all_callers() {
    let node = ServedNode::start().await;
    let session = lived(&node, "default").await;
    let ticket = node.root().post("/v1/tickets", json!({"subject": "ada"})).await;
    let erased = node.root().delete(&format!("{PATH}?reason=gdpr-17")).await;
    insta::assert_snapshot!(erased.shown());
    node.clock.advance(60_000);
    let again = node.root().delete(PATH).await.json();
    let first = erased.json();
    assert_eq!(
        (&again["erased_at"], &again["position"], &again["keys_destroyed"]),
        (&first["erased_at"], &first["position"], &json!(1))
    );
    assert_eq!((&first["already"], &again["already"]), (&json!(false), &json!(true)));

    let view = node.root().get("/v1/subjects/ada").await.json();
    assert_eq!((&view["erased_at"], &view["credentials"]), (&first["erased_at"], &json!([])));
    let shown = node.root().get(&format!("/v1/sessions/{}", session["session"]["id"].as_str().unwrap())).await.json();
    assert_eq!((&shown["active"], &shown["identity"]), (&json!(false), &Value::Null));
    let opened = node.root().get(&format!("/v1/events/{}/sealed", session["session"]["position"])).await;
    assert_eq!(opened.outcome(), (404, "sealed-data-unavailable".to_owned()));
    for (path, body) in [
        ("/v1/tickets", json!({"subject": "ada"})),
        ("/v1/sessions", json!({"subject": "ada"})),
        ("/v1/tokens", json!({"subject": "ada", "claims": {"role": "editor"}})),
        ("/v1/tokens", json!({"subject": "ada", "format": "opaque"})),
        ("/v1/revocations", json!({"subject": "ada", "note": "what the keys would not reach"})),
    ] {
        assert_eq!(node.root().post(path, body).await.outcome(), (409, "subject-erased".to_owned()), "{path}");
    }
    let revoked = node.root().post("/v1/revocations", json!({"credential": ticket.text("ticket")})).await;
    let revoked = (revoked.status.as_u16(), revoked.json()["revocations"][0].clone());
    assert_eq!(
        (revoked.0, &revoked.1["type"], &revoked.1["reason"]),
        (200, &json!("subject.erased"), &json!("gdpr-17"))
    );
    let line = json!({
        "kind": "ticket", "subject": "ada", "digest": "0".repeat(64),
        "issued_at": "2027-01-15T08:00:00Z", "expires_at": "2027-01-16T08:00:00Z",
    });
    let imports = node.root().with("content-type", "application/x-ndjson");
    let told = imports.send(axum::http::Method::POST, "/v1/imports", line.to_string()).await.json();
    assert_eq!((&told["outcome"], &told["code"]), (&json!("refused"), &json!("subject-erased")));
}

/// A repetition gets what its first call got; but a JWT would be signed again, for a subject that is erased.
#[tokio::test]
async fn an_issue_is_not_repeated_once_its_subject_is_forgotten() {
    let node = ServedNode::start().await;
    let root = node.root();
    let issues = [
        ("/v1/tickets", json!({"subject": "ada"})),
        ("/v1/sessions", json!({"subject": "ada"})),
        ("/v1/tokens", json!({"subject": "ada"})),
        ("/v1/tokens", json!({"subject": "ada", "format": "opaque"})),
    ];
    let mut repeated = Vec::new();
    for (number, (path, body)) in (0..).zip(&issues) {
        let keyed = root.keyed(&format!("{KEY}-{number}"));
        assert_eq!(keyed.post(path, body.clone()).await.status, 201);
        assert_eq!(keyed.post(path, body.clone()).await.status, 201, "{path}");
        repeated.push((keyed, *path, body.clone()));
    }
    assert_eq!(root.delete(PATH).await.status, 200);
    for (keyed, path, body) in repeated {
        assert_eq!(keyed.post(path, body).await.outcome(), (409, "subject-erased".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn only_admins_erase_and_a_bad_query_erases_nothing() {
    let node = ServedNode::start().await;
    lived(&node, "acme").await;
    let head = node.head();
    let revoker = node.application(&[("*", &["issue", "revoke", "introspect", "follow", "audit"])]).await;
    let elsewhere = node.application(&[("acme", &["admin"])]).await;
    let registered = node.head();
    assert_eq!(node.nobody().delete(PATH).await.outcome(), (401, "unauthenticated".to_owned()));
    assert_eq!(revoker.delete(PATH).await.outcome(), (403, "forbidden".to_owned()));
    assert_eq!(elsewhere.delete(PATH).await.outcome(), (403, "forbidden".to_owned()));
    for query in ["tenant=*", "tenant=", "reason=NO", "reason", "subject=bob", "reason=a&reason=b"] {
        let outcome = node.root().delete(&format!("{PATH}?{query}")).await.outcome();
        assert_eq!(outcome, (400, "invalid-query".to_owned()), "{query}");
    }
    assert_eq!(node.root().delete("/v1/subjects/%ff/personal-data").await.outcome(), (400, "invalid-path".to_owned()));
    assert!(node.head() == registered && registered > head, "nothing was recorded");
    let erased = elsewhere.delete(&format!("{PATH}?tenant=acme")).await.json();
    assert_eq!(
        (&erased["tenant"], &erased["keys_destroyed"], &erased["already"]),
        (&json!("acme"), &json!(1), &json!(false))
    );
    assert_eq!(node.root().post("/v1/tickets", json!({"subject": "ada"})).await.status, 201, "another tenant's ada");
}

#[tokio::test]
async fn the_same_call_twice_is_one_and_a_query_is_part_of_it() {
    let node = ServedNode::start().await;
    lived(&node, "default").await;
    let keyed = node.root().keyed(KEY);
    let first = keyed.delete(&format!("{PATH}?tenant=default")).await;
    let head = node.head();
    assert_eq!(keyed.delete(&format!("{PATH}?tenant=default")).await.json(), first.json());
    let other = keyed.delete(&format!("{PATH}?tenant=acme")).await;
    assert_eq!(other.outcome(), (422, "idempotency-mismatch".to_owned()));
    assert_eq!(node.head(), head);
}

#[tokio::test]
async fn an_erasure_stands_where_others_are_not_reached_in_time() {
    let node = ServedNode::made(Made { reach: std::sync::Arc::new(super::v1::Never), ..Made::default() }).await;
    lived(&node, "default").await;
    let asked = node.root().with("ledger-consistency", "all_regions").with("ledger-consistency-timeout", "7");
    assert_eq!(asked.delete(PATH).await.outcome(), (408, "consistency-timeout".to_owned()));
    let again = node.root().delete(PATH).await.json();
    assert_eq!((&again["already"], &again["keys_destroyed"]), (&json!(true), &json!(1)));
}
