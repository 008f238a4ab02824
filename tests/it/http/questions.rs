//! Questions about the past over HTTP.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::served::{Actor, Answer, ServedNode};

async fn issue(node: &ServedNode, subject: &str) -> Answer {
    let answer = node.root().post("/v1/tickets", json!({"subject": subject})).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-ndjson"));
    let text = std::str::from_utf8(&answer.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn types(answer: &Answer) -> Vec<String> {
    lines(answer).iter().map(|line| line["record"]["type"].as_str().unwrap().to_owned()).collect()
}

async fn auditor(node: &ServedNode) -> Actor {
    node.application(&[("*", &["audit"])]).await
}

#[tokio::test]
async fn a_history_is_asked_for_by_subject_digest_id_or_the_credential_itself() {
    let node = ServedNode::start().await;
    let ticket = issue(&node, "alice").await;
    issue(&node, "bob").await;
    node.root().post("/v1/revocations", json!({"subject": "alice", "reason": "left"})).await;
    let auditor = auditor(&node).await;
    let due = ["ticket.issued", "subject.revoked"];
    assert_eq!(types(&auditor.get("/v1/history?subject=alice&tenant=default").await), due);
    assert_eq!(types(&auditor.get(&format!("/v1/history?kind=ticket&id={}", ticket.text("id"))).await), due);
    let digest = authledger::domain::Digest::of(ticket.text("ticket").as_bytes());
    assert_eq!(types(&auditor.get(&format!("/v1/history?digest={digest}")).await), due);
    let presented = auditor.post("/v1/history", json!({"credential": ticket.text("ticket")})).await;
    assert_eq!(types(&presented), due);
    let record = lines(&presented)[0]["position"].as_u64().unwrap();
    let event = node.root().get(&format!("/v1/events/{record}")).await;
    let event = std::str::from_utf8(&event.body).unwrap().trim_end();
    assert!(
        std::str::from_utf8(&presented.body).unwrap().contains(&format!("\"record\":{event}}}\n")),
        "byte for byte"
    );
    assert!(lines(&auditor.get("/v1/history?subject=nobody").await).is_empty());
    // A later holder of the same address sees the next page, and no secret.
    let mut next = "/v1/history?subject=alice&limit=1".to_owned();
    for due in due {
        let page = auditor.get(&next).await;
        assert_eq!(types(&page), [due]);
        let link = page.header("link").to_owned();
        next = link.strip_prefix('<').map_or(String::new(), |link| link[..link.find('>').unwrap()].to_owned());
    }
    assert_eq!(next, "", "the last page names none");
    let page = auditor.post("/v1/history", json!({"credential": ticket.text("ticket"), "limit": 1})).await;
    assert!(page.header("link").contains(&format!("digest={digest}&after=")), "{}", page.header("link"));
}

#[tokio::test]
async fn as_of_says_what_was_active_and_what_revoked_it() {
    let node = ServedNode::start().await;
    let ticket = issue(&node, "alice").await;
    let issued_at = node.head();
    node.clock.advance(60_000);
    let by_id = json!({"kind": "ticket", "id": ticket.text("id"), "reason": "stolen"});
    node.root().post("/v1/revocations", by_id).await;
    let revoked_at = node.head();
    let auditor = auditor(&node).await;
    let asked = |at: &str| format!("/v1/as-of?at={at}&kind=ticket&id={}", ticket.text("id"));
    let stood = |answer: &Answer| answer.json()["credentials"][0].clone();
    let before = auditor.get(&asked("2027-01-15T08:00:30Z")).await;
    assert_eq!((before.status.as_u16(), &stood(&before)["verdict"]), (200, &json!("active")), "{}", before.shown());
    assert_eq!(before.json()["at"], "2027-01-15T08:00:30.000Z");
    let after = stood(&auditor.get(&asked("2027-01-15T08:01:00Z")).await);
    assert_eq!((&after["verdict"], &after["revoked"]["reason"]), (&json!("revoked"), &json!("stolen")));
    assert_eq!(
        (&after["revoked"]["position"], &after["revoked"]["type"]),
        (&json!(revoked_at.0), &json!("ticket.revoked"))
    );
    assert_eq!(stood(&auditor.get(&asked(&issued_at.to_string())).await)["verdict"], "active");
    assert_eq!(stood(&auditor.get(&asked("2020-01-01T00:00:00Z")).await)["verdict"], "never_issued");
    assert_eq!(stood(&auditor.get(&(asked("2027-01-15T08:00:30Z") + "&known_here=true")).await)["verdict"], "active");
    let presented = json!({"at": "2027-01-15T08:00:30Z", "credential": ticket.text("ticket")});
    assert_eq!(stood(&auditor.post("/v1/as-of", presented).await)["verdict"], "active");
    issue(&node, "alice").await;
    let all = auditor.get("/v1/as-of?at=2027-01-15T09:00:00Z&subject=alice&limit=1").await;
    assert_eq!(stood(&all)["verdict"], "revoked");
    let link = all.header("link");
    let rest = auditor.get(&link[1..link.find('>').unwrap()]).await;
    assert_eq!((rest.json()["credentials"].as_array().unwrap().len(), rest.header("link")), (1, ""));
    assert_eq!(stood(&rest)["verdict"], "expired");
}

#[tokio::test]
async fn questions_need_audit_everywhere_before_anything_is_read() {
    let node = ServedNode::start().await;
    let somewhere = node.application(&[("default", &["audit", "introspect"])]).await;
    for path in ["/v1/history", "/v1/as-of", "/v1/history?subject=a", "/v1/as-of?at=1&subject=a"] {
        assert_eq!(node.nobody().get(path).await.outcome(), (401, "unauthenticated".to_owned()), "{path}");
        assert_eq!(somewhere.get(path).await.outcome(), (403, "forbidden".to_owned()), "{path}");
        let posted = somewhere.send(Method::POST, path, "no json").await;
        assert_eq!(posted.outcome(), (403, "forbidden".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_question_that_names_nobody_or_two_or_no_time_is_refused() {
    let node = ServedNode::start().await;
    let auditor = auditor(&node).await;
    for query in [
        "",
        "subject=a&digest=00",
        "tenant=a",
        "tenant=a&kind=ticket&id=00112233445566778899aabbccddeeff",
        "kind=ticket",
        "kind=ticket&id=xyz",
        "kind=session&id=x&issuer=y",
        "subject=a&issuer=b",
        "subject=a&limit=0",
        "subject=a&limit=1001",
        "subject=a&after=x",
        "credential=secret",
    ] {
        let answer = auditor.get(&format!("/v1/history?{query}")).await;
        assert_eq!(answer.outcome(), (400, "invalid-query".to_owned()), "{query}: {}", answer.shown());
        let answer = auditor.get(&format!("/v1/as-of?at=1&{query}")).await;
        assert_eq!(answer.outcome(), (400, "invalid-query".to_owned()), "{query}: {}", answer.shown());
    }
    for at in ["", "at=", "at=yesterday", "at=0", "at=-1"] {
        let answer = auditor.get(&format!("/v1/as-of?{at}&subject=a")).await;
        assert_eq!(answer.outcome(), (400, "invalid-query".to_owned()), "{at}");
    }
    let beyond = auditor.get("/v1/as-of?at=1000&subject=a").await;
    assert_eq!(beyond.outcome(), (404, "unknown-position".to_owned()));
    for (path, body) in [
        ("/v1/history", json!({})),
        ("/v1/history", json!({"credential": "x", "limit": 0})),
        ("/v1/as-of", json!({"credential": "x"})),
        ("/v1/as-of", json!({"credential": "x", "at": "soon"})),
    ] {
        assert_eq!(auditor.post(path, body).await.outcome(), (400, "invalid-body".to_owned()), "{path}");
    }
}
