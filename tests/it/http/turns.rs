//! Long answers are let in up to a bound for each caller: beyond it every surface says 503 and when to come again, and every other caller
//! is served as before.

use authledger::service::{Authentication, LONG_ANSWERS, Pace, Party};
use axum::http::Method;
use serde_json::json;

use crate::support::served::{Actor, ServedNode};

const SCOPES: [&str; 5] = ["issue", "revoke", "introspect", "follow", "admin"];

/// As many long answers of that caller as there may be, all of them under way.
fn all_under_way(node: &ServedNode, caller: &Actor) -> Vec<Pace> {
    let secret = caller.bearer().expect("a secret");
    let Authentication::Caller(identity) = node.service().authenticate(secret.as_bytes()) else {
        panic!("the caller's secret is refused")
    };
    let one = |_| {
        let mut pace = node.service().pace(Party::of(&identity));
        pace.admit().expect("there is room");
        pace
    };
    (0..LONG_ANSWERS).map(one).collect()
}

async fn sessions(caller: &Actor, subject: &str, count: usize) {
    for _ in 0..count {
        let issued = caller.post("/v1/sessions", json!({"tenant": "acme", "subject": subject})).await;
        assert_eq!(issued.status, 201);
    }
}

#[tokio::test]
async fn a_caller_with_too_many_long_answers_is_told_to_come_again_on_every_surface() {
    let node = ServedNode::start().await;
    let (acme, zeta) = (node.application(&[("acme", &SCOPES)]).await, node.application(&[("zeta", &SCOPES)]).await);
    sessions(&acme, "busy", 65).await;
    sessions(&acme, "quiet", 3).await;
    let held = all_under_way(&node, &acme);
    let ory = acme.with("x-tenant", "acme");
    let refused = [
        acme.get("/v1/revocations/snapshot").await,
        acme.get("/v1/subjects/busy?tenant=acme").await,
        ory.get("/admin/sessions?page_size=1000&active=false").await,
        ory.get("/admin/identities/busy/sessions").await,
        ory.delete("/api/v1/auth/users/busy/token").await,
    ];
    for answer in &refused {
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{}", answer.shown());
    }
    assert_eq!(refused[0].outcome().1, "overloaded");
    assert_eq!(node.service().projection().revoked_after(None), None, "nothing was revoked by a call that was refused");
    // A short answer needs no turn, and others have their own.
    assert_eq!(acme.get("/v1/subjects/quiet?tenant=acme").await.status, 200);
    assert_eq!(ory.get("/admin/identities/quiet/sessions").await.status, 200);
    assert_eq!(zeta.get("/v1/revocations/snapshot").await.status, 200);
    drop(held);
    let snapshot = acme.get("/v1/revocations/snapshot").await;
    assert!(std::str::from_utf8(&snapshot.body).expect("UTF-8").ends_with("{\"end\":true,\"count\":0}\n"));
    let page = acme.get("/v1/subjects/busy?tenant=acme&limit=1000").await.json();
    assert_eq!(page["credentials"].as_array().map(Vec::len), Some(65));
}

#[tokio::test]
async fn a_long_list_that_is_written_piece_by_piece_is_whole_json() {
    let node = ServedNode::start().await;
    let acme = node.application(&[("acme", &SCOPES)]).await;
    sessions(&acme, "busy", 100).await;
    for number in 0..30 {
        let application = json!({"name": format!("one-{number}"), "scopes": ["issue"], "tenants": ["acme"]});
        assert_eq!(acme.post("/v1/applications", application).await.status, 201);
    }
    let listed = acme.with("x-tenant", "acme").get("/admin/identities/busy/sessions?per_page=1000").await;
    assert_eq!(listed.json().as_array().map(Vec::len), Some(100));
    let listed = acme.get("/v1/applications").await.json();
    let names: Vec<&str> = listed["applications"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names.len(), 31);
    assert!(
        (0..30).all(|number| names[number + 1] == format!("one-{number}")),
        "in the order of registration: {names:?}"
    );
}

#[tokio::test]
async fn a_snapshot_of_one_tenant_has_what_was_revoked_there_and_nothing_of_another() {
    let node = ServedNode::start().await;
    let (acme, zeta) = (node.application(&[("acme", &SCOPES)]).await, node.application(&[("zeta", &SCOPES)]).await);
    for number in 0..200 {
        let ticket = json!({"tenant": "acme", "subject": format!("subject-{number}")});
        let issued = acme.post("/v1/tickets", ticket).await;
        let revoked = acme.post("/v1/revocations", json!({"credential": issued.text("ticket")})).await;
        assert_eq!(revoked.status, 201);
    }
    acme.post("/v1/revocations", json!({"tenant": "acme", "subject": "all"})).await;
    let lines = |answer: crate::support::served::Answer| answer.body.split(|byte| *byte == b'\n').count() - 3;
    assert_eq!(lines(acme.get("/v1/revocations/snapshot").await), 203, "one for each kind of a subject");
    assert_eq!(lines(acme.get("/v1/revocations/snapshot?kind=session").await), 1);
    assert_eq!(lines(zeta.get("/v1/revocations/snapshot").await), 0);
    assert_eq!(lines(node.root().get("/v1/revocations/snapshot").await), 203);
    assert_eq!(lines(node.root().get("/v1/revocations/snapshot?tenant=zeta").await), 0);
    assert_eq!(node.nobody().send(Method::GET, "/v1/revocations/snapshot", "").await.status, 401);
}
