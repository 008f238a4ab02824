//! `GET /v1/events/{position}/sealed`.

use serde_json::{Value, json};

use crate::support::served::ServedNode;

#[tokio::test]
async fn the_sealed_part_of_a_record_is_opened_for_callers_with_audit_everywhere() {
    let node = ServedNode::start().await;
    let traits = json!({"traits": {"email": "ada@example.org"}});
    let device = json!({"ip_address": "192.0.2.7"});
    let session = json!({"subject": "a", "identity": traits, "device": device});
    let session = node.root().post("/v1/sessions", session).await.json();
    let token = json!({"subject": "a", "format": "opaque", "claims": {"role": "editor"}});
    let token = node.root().post("/v1/tokens", token).await.json();
    let one = json!({"credential": token["token"], "note": "the laptop was stolen"});
    let one = node.root().post("/v1/revocations", one).await.json();
    let all = node.root().post("/v1/revocations", json!({"subject": "a", "note": "so was the phone"})).await.json();
    let sealed = async |position: &Value| node.root().get(&format!("/v1/events/{position}/sealed")).await;
    let opened = sealed(&session["session"]["position"]).await;
    assert_eq!((opened.status.as_u16(), opened.header("cache-control")), (200, "no-store"));
    assert_eq!(opened.json(), json!({"identity": traits, "device": device}));
    assert_eq!(sealed(&token["position"]).await.json(), json!({"role": "editor"}));
    let note = |revoked: &Value| revoked["revocations"][0]["position"].clone();
    assert_eq!(sealed(&note(&one)).await.json(), json!({"note": "the laptop was stolen"}));
    assert_eq!(sealed(&note(&all)).await.json(), json!({"note": "so was the phone"}));
    assert_eq!(sealed(&json!(1)).await.outcome(), (404, "sealed-data-unavailable".to_owned()));
    assert_eq!(sealed(&json!(99)).await.outcome(), (404, "unknown-position".to_owned()));
    assert_eq!(node.root().get("/v1/events/x/sealed").await.outcome(), (400, "invalid-path".to_owned()));
    let somewhere = node.application(&[("default", &["audit"])]).await;
    assert_eq!(somewhere.get("/v1/events/2/sealed").await.outcome(), (403, "forbidden".to_owned()));
}
