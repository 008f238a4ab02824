//! The native API, through the router.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use authledger::domain::RecordId;
use authledger::service::{Consistency, ConsistencyLevel, ConsistencyTimeout, Reach};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::served::{Actor, Answer, Made, ServedNode};

const KEY: &str = "a-key-of-the-tests-0001";

async fn issue(actor: &Actor, body: Value) -> Answer {
    let answer = actor.post("/v1/tickets", body).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer
}

async fn is_active(node: &ServedNode, ticket: &str) -> bool {
    let answer = node.root().post("/v1/introspect", json!({"credential": ticket})).await;
    assert_eq!(answer.status, 200);
    let active = answer.json()["active"].as_bool().expect("a boolean");
    assert!(active || &answer.body[..] == br#"{"active":false}"#);
    active
}

#[tokio::test]
async fn every_call_answers_in_its_form() {
    let node = ServedNode::start().await;
    let root = node.root();
    let scoped = json!({"name": "gate", "scopes": ["introspect", "issue"], "tenants": ["default", "acme"]});
    insta::assert_snapshot!("register", root.post("/v1/applications", scoped).await.shown());
    let granted = json!({
        "name": "ops",
        "grants": [{"tenant": "acme", "scopes": ["revoke"]}, {"tenant": "*", "scopes": ["audit"]}],
        "expires_at": "2027-02-01T00:00:00+01:00",
    });
    let registered = root.post("/v1/applications", granted).await;
    insta::assert_snapshot!("register_with_grants", registered.shown());
    insta::assert_snapshot!("applications", root.get("/v1/applications").await.shown());
    let path = format!("/v1/applications/{}", registered.text("id"));
    insta::assert_snapshot!("remove", root.delete(&path).await.shown());
    assert_eq!(root.delete(&path).await.outcome(), (404, "unknown-application".to_owned()));
    assert_eq!(node.holder(registered.text("secret")).get("/v1/status").await.status, 401);

    let issued = issue(&root, json!({"subject": "someone", "ttl": 60})).await;
    insta::assert_snapshot!("issue", issued.shown().replace(issued.text("ticket"), "[ticket]"));
    node.clock.advance(1_500);
    let credential = json!({"credential": issued.text("ticket")});
    insta::assert_snapshot!("introspect", root.post("/v1/introspect", credential.clone()).await.shown());
    insta::assert_snapshot!("subject", root.get("/v1/subjects/someone").await.shown());
    let by_id = json!({"kind": "ticket", "id": issued.text("id"), "reason": "logged_out"});
    insta::assert_snapshot!("revoke", root.post("/v1/revocations", by_id).await.shown());
    insta::assert_snapshot!("revoke_again", root.post("/v1/revocations", credential.clone()).await.shown());
    insta::assert_snapshot!("introspect_inactive", root.post("/v1/introspect", credential).await.shown());
    let all = json!({"tenant": "acme", "subject": "other", "kinds": ["token", "ticket"], "hold": 60, "ttl": 60});
    insta::assert_snapshot!("revoke_subject", root.post("/v1/revocations", all).await.shown());
    insta::assert_snapshot!("subject_on_hold", root.get("/v1/subjects/other?tenant=acme").await.shown());
    // A proof of the newest record waits for the checkpoint over it, which the status then shows.
    assert_eq!(root.get(&format!("/v1/events/{}/proof", node.head())).await.status, 200);
    insta::assert_snapshot!("status", root.get("/v1/status").await.shown());
    insta::assert_snapshot!("live", node.nobody().get("/health/live").await.shown());
    insta::assert_snapshot!("ready", node.nobody().get("/health/ready").await.shown());
}

#[tokio::test]
async fn an_unknown_credential_is_404_and_nothing_is_appended() {
    let node = ServedNode::start().await;
    let head = node.head();
    for body in [
        json!({"credential": "nobodys"}),
        json!({"credential": "al_s_nobodys"}),
        json!({"credential": "al_o_nobodys"}),
        json!({"kind": "ticket", "id": "00112233445566778899aabbccddeeff"}),
        json!({"kind": "session", "id": "00112233-4455-6677-8899-aabbccddeeff"}),
    ] {
        let answer = node.root().post("/v1/revocations", body).await;
        assert_eq!(answer.outcome(), (404, "unknown-credential".to_owned()));
    }
    assert_eq!(node.head(), head);
    assert!(!is_active(&node, "nobodys").await);
}

#[tokio::test]
async fn the_same_key_and_body_get_the_first_answer_also_after_a_restart() {
    let mut node = ServedNode::start().await;
    let body = json!({"tenant": "default", "subject": "someone"});
    let first = issue(&node.root().keyed(KEY), body.clone()).await;
    node.clock.advance(59_999);
    let head = node.head();
    let again = issue(&node.root().keyed(KEY), body.clone()).await;
    assert_eq!((again.body, again.headers), (first.body.clone(), first.headers.clone()));
    let other = node.root().keyed(KEY).post("/v1/tickets", json!({"subject": "another"})).await;
    assert_eq!(other.outcome(), (422, "idempotency-mismatch".to_owned()));
    node.clock.advance(1);
    let late = node.root().keyed(KEY).post("/v1/tickets", body.clone()).await;
    insta::assert_snapshot!("shown_already", late.shown());
    assert_eq!(late.text("id"), first.text("id"));
    node.restart().await;
    let restarted = node.root().keyed(KEY).post("/v1/tickets", body.clone()).await;
    assert_eq!((restarted.outcome().0, restarted.text("id")), (409, first.text("id")));
    let other = node.root().keyed(KEY).post("/v1/tickets", json!({"subject": "another"})).await;
    assert_eq!(other.outcome().0, 422);
    assert_eq!(node.head(), head);
    node.clock.advance(86_400_000);
    assert_ne!(issue(&node.root().keyed(KEY), body).await.text("id"), first.text("id"));
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_and_path() {
    let node = ServedNode::start().await;
    let body = json!({"subject": "someone"});
    let root = issue(&node.root().keyed(KEY), body.clone()).await;
    let application = node.application(&[("*", &["issue", "revoke"])]).await.keyed(KEY);
    assert_ne!(issue(&application, body.clone()).await.text("id"), root.text("id"));
    assert_eq!(application.post("/v1/revocations", body).await.status, 201);
}

#[tokio::test]
async fn a_revocation_and_an_application_are_repeated_too() {
    let node = ServedNode::start().await;
    let ticket = issue(&node.root(), json!({"subject": "someone"})).await;
    let body = json!({"credential": ticket.text("ticket")});
    let first = node.root().keyed(KEY).post("/v1/revocations", body.clone()).await;
    let again = node.root().keyed(KEY).post("/v1/revocations", body).await;
    assert_eq!((first.status, again.status.as_u16(), &first.body), (again.status, 201, &again.body));
    let body = json!({"name": "a", "scopes": ["issue"], "tenants": ["*"]});
    let first = node.root().keyed(KEY).post("/v1/applications", body.clone()).await;
    let again = node.root().keyed(KEY).post("/v1/applications", body.clone()).await;
    assert_eq!((again.status.as_u16(), &again.body), (201, &first.body));
    node.clock.advance(60_000);
    let late = node.root().keyed(KEY).post("/v1/applications", body).await;
    assert_eq!((late.outcome().0, late.text("id")), (409, first.text("id")));
    let path = format!("/v1/applications/{}", first.text("id"));
    let removals = [node.root().keyed(KEY).delete(&path).await, node.root().keyed(KEY).delete(&path).await];
    assert!(removals.iter().all(|removal| removal.status == 204));
}

#[tokio::test]
async fn concurrent_duplicates_issue_once() {
    let node = ServedNode::start().await;
    let head = node.head();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let actor = node.root().keyed(KEY);
        tasks.spawn(async move { issue(&actor, json!({"subject": "someone"})).await.body });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(node.head(), head.next());
}

/// Every call, with the scope that it needs; with all else right it answers that status.
fn calls(ticket: &str) -> Vec<(&'static str, &'static str, String, Value, u16)> {
    let application = json!({"name": "a", "scopes": ["issue"], "tenants": ["default"]});
    vec![
        ("issue", "POST", "/v1/tickets".into(), json!({"subject": "a"}), 201),
        ("issue", "POST", "/v1/sessions".into(), json!({"subject": "a"}), 201),
        ("issue", "POST", "/v1/tokens".into(), json!({"subject": "a"}), 201),
        ("issue", "POST", format!("/v1/sessions/{}/extend", uuid::Uuid::nil()), json!({}), 404),
        ("introspect", "GET", format!("/v1/sessions/{}", uuid::Uuid::nil()), Value::Null, 404),
        ("introspect", "POST", "/v1/introspect".into(), json!({"credential": ticket}), 200),
        ("introspect", "GET", "/v1/subjects/someone".into(), Value::Null, 200),
        ("introspect", "POST", "/v1/uses".into(), Value::Null, 415),
        ("revoke", "POST", "/v1/revocations".into(), json!({"credential": ticket}), 201),
        ("revoke", "POST", "/v1/revocations".into(), json!({"subject": "a"}), 201),
        ("audit", "GET", "/v1/events".into(), Value::Null, 200),
        ("audit", "GET", "/v1/events/1".into(), Value::Null, 200),
        ("audit", "GET", "/v1/events/1/sealed".into(), Value::Null, 404),
        ("audit", "GET", "/v1/status".into(), Value::Null, 200),
        ("admin", "POST", "/v1/imports".into(), Value::Null, 415),
        ("admin", "POST", "/v1/keys".into(), json!({"now": true}), 201),
        ("admin", "GET", "/v1/keys".into(), Value::Null, 200),
        ("admin", "GET", "/v1/applications".into(), Value::Null, 200),
        // It may administer, and lacks the scopes that it would grant.
        ("admin", "POST", "/v1/applications".into(), application, 403),
        ("admin", "DELETE", format!("/v1/applications/{}", uuid::Uuid::nil()), Value::Null, 404),
    ]
}

#[tokio::test]
async fn each_call_needs_its_scope_and_no_other() {
    let node = ServedNode::start().await;
    let forbidden = (403, "forbidden".to_owned());
    for scope in ["issue", "revoke", "introspect", "follow", "audit", "admin"] {
        let actor = node.application(&[("*", &[scope])]).await;
        let ticket = issue(&node.root(), json!({"subject": "someone"})).await;
        for (needed, method, path, body, status) in calls(ticket.text("ticket")) {
            let typed = actor.with("content-type", "application/json");
            let answer = typed.send(method.parse().expect("a method"), &path, body.to_string()).await;
            if needed == scope {
                assert_eq!(answer.status.as_u16(), status, "{scope}: {method} {path}");
                assert_ne!(answer.outcome(), forbidden, "{scope}: {method} {path}");
            } else {
                assert_eq!(answer.outcome(), forbidden, "{scope}: {method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_grant_in_one_tenant_does_not_hold_in_another() {
    let node = ServedNode::start().await;
    let acme = node.application(&[("acme", &["issue", "introspect", "revoke", "admin", "audit"])]).await;
    let forbidden = (403, "forbidden".to_owned());
    assert_eq!(acme.post("/v1/tickets", json!({"subject": "a"})).await.outcome(), forbidden);
    assert_eq!(acme.get("/v1/subjects/a").await.outcome(), forbidden);
    assert_eq!(acme.post("/v1/revocations", json!({"subject": "a"})).await.outcome(), forbidden);
    // Records are of all tenants, so an auditor of one tenant reads none.
    assert_eq!(acme.get("/v1/events").await.outcome(), forbidden);
    assert_eq!(acme.get("/v1/status").await.outcome(), forbidden);
    let own = issue(&acme, json!({"tenant": "acme", "subject": "a"})).await;
    let foreign = issue(&node.root(), json!({"subject": "a"})).await;
    let ask = async |ticket: &Answer| {
        let answer = acme.post("/v1/introspect", json!({"credential": ticket.text("ticket")})).await;
        answer.json()["active"] == true
    };
    assert!(ask(&own).await && !ask(&foreign).await);
    let revocation = acme.post("/v1/revocations", json!({"credential": foreign.text("ticket")})).await;
    assert_eq!(revocation.outcome(), (404, "unknown-credential".to_owned()));
    assert!(is_active(&node, foreign.text("ticket")).await);
    assert_eq!(acme.post("/v1/revocations", json!({"tenant": "acme", "subject": "a"})).await.status, 201);
    assert!(!ask(&own).await && is_active(&node, foreign.text("ticket")).await);
    let grants = json!({"name": "b", "scopes": ["issue"], "tenants": ["*"]});
    let exceeding = acme.post("/v1/applications", grants).await;
    assert_eq!(exceeding.outcome(), (403, "grant-exceeds-own".to_owned()));
    assert_eq!(acme.get("/v1/applications").await.json()["applications"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_application_that_has_expired_may_not_call() {
    let node = ServedNode::start().await;
    let body = json!({"name": "a", "scopes": ["audit"], "tenants": ["*"], "expires_at": "2027-01-15T08:00:01Z"});
    let registered = node.root().post("/v1/applications", body).await;
    let actor = node.holder(registered.text("secret"));
    assert_eq!(actor.get("/v1/status").await.status, 200);
    node.clock.advance(1_000);
    assert_eq!(actor.get("/v1/status").await.outcome(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn revoking_a_subject_revokes_what_it_had_and_not_what_comes_after() {
    let node = ServedNode::start().await;
    let before = issue(&node.root(), json!({"subject": "someone"})).await;
    let others = issue(&node.root(), json!({"subject": "another"})).await;
    let revocation = node.root().post("/v1/revocations", json!({"subject": "someone", "kinds": ["session"]})).await;
    assert_eq!(revocation.status, 201);
    assert!(is_active(&node, before.text("ticket")).await, "the revocation of sessions revokes no tickets");
    node.root().post("/v1/revocations", json!({"subject": "someone"})).await;
    let after = issue(&node.root(), json!({"subject": "someone"})).await;
    assert!(!is_active(&node, before.text("ticket")).await);
    assert!(is_active(&node, after.text("ticket")).await && is_active(&node, others.text("ticket")).await);
    let again = node.root().post("/v1/revocations", json!({"credential": before.text("ticket")})).await;
    assert_eq!((again.status.as_u16(), again.text("type")), (200, "subject.revoked"));
    let twice = node.root().post("/v1/revocations", json!({"subject": "someone"})).await;
    assert_eq!(twice.status, 201, "by subject always appends");
    assert!(!is_active(&node, after.text("ticket")).await);
}

#[tokio::test]
async fn a_hold_refuses_new_issues_until_it_expires() {
    let node = ServedNode::start().await;
    let held = node.root().post("/v1/revocations", json!({"subject": "someone", "hold": 2})).await;
    assert_eq!(held.json()["revocations"][0]["hold_until"], "2027-01-15T08:00:02.000Z");
    let body = json!({"subject": "someone"});
    node.clock.advance(1_999);
    let refused = node.root().post("/v1/tickets", body.clone()).await;
    assert_eq!(refused.outcome(), (409, "subject-on-hold".to_owned()));
    issue(&node.root(), json!({"tenant": "acme", "subject": "someone"})).await;
    node.clock.advance(1);
    issue(&node.root(), body).await;
}

#[tokio::test]
async fn a_subjects_credentials_come_in_pages_without_inactive_ones() {
    let node = ServedNode::start().await;
    let mut live = Vec::new();
    for ttl in [60, 600, 600, 600, 600, 600] {
        live.push(issue(&node.root(), json!({"subject": "a/b é", "ttl": ttl})).await);
    }
    node.clock.advance(60_000);
    let revoked = live.remove(2);
    node.root().post("/v1/revocations", json!({"credential": revoked.text("ticket")})).await;
    live.remove(0);
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = node.root().get(&format!("/v1/subjects/a%2Fb%20%C3%A9?limit=3{after}")).await.json();
        let credentials = page["credentials"].as_array().expect("a list");
        assert!(credentials.len() <= 3);
        found.extend(credentials.iter().map(|one| one["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let mut expected: Vec<String> = live.iter().map(|ticket| ticket.text("id").to_owned()).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn events_are_the_files_bytes() {
    let node = ServedNode::start().await;
    let ticket = issue(&node.root().with("x-request-id", "req-1"), json!({"subject": "é\"\\"})).await;
    node.root().with("x-request-id", "not visible").post("/v1/revocations", json!({"subject": "b"})).await;
    node.root().keyed(KEY).post("/v1/revocations", json!({"credential": ticket.text("ticket")})).await;
    let file = Connection::open(node.ledger()).expect("readable");
    let mut statement = file.prepare("SELECT record FROM event ORDER BY position").expect("the table");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let records: Vec<String> = rows.map(|row| row.expect("a text")).collect();
    let lines = |records: &[String]| records.iter().map(|record| format!("{record}\n")).collect::<String>();
    let page = node.root().get("/v1/events").await;
    assert_eq!(page.header("content-type"), "application/x-ndjson");
    assert_eq!((page.header("link"), page.body.as_ref()), ("", lines(&records).as_bytes()));
    let first = node.root().get("/v1/events?limit=2").await;
    assert_eq!(first.header("link"), "</v1/events?after=2&limit=2>; rel=\"next\"");
    assert_eq!(first.body, lines(&records[..2]));
    let second = node.root().get("/v1/events?after=2&limit=2").await;
    assert_eq!((second.header("link"), second.body.as_ref()), ("", lines(&records[2..]).as_bytes()));
    assert!(node.root().get("/v1/events?after=9007199254740991").await.body.is_empty());
    for (record, position) in records.iter().zip(1..) {
        assert_eq!(node.root().get(&format!("/v1/events/{position}")).await.body, format!("{record}\n"));
    }
    assert!(records[1].contains("\"request\":\"req-1\"") && !records[2].contains("\"request\""));
    assert_eq!(node.root().get("/v1/events/5").await.outcome(), (404, "unknown-position".to_owned()));
    let log = lines(&records);
    assert!(!log.contains(ticket.text("ticket")) && !log.contains(KEY));
}

#[tokio::test]
async fn status_names_the_head_as_the_file_has_it_and_where_the_state_came_from() {
    let mut node = ServedNode::start().await;
    issue(&node.root(), json!({"subject": "a"})).await;
    let file = Connection::open(node.ledger()).expect("readable");
    let head =
        file.query_row("SELECT lower(hex(hash)) FROM event WHERE position = 2", [], |row| row.get::<_, String>(0));
    let status = node.root().get("/v1/status").await.json();
    assert_eq!(status["head"]["hash"], head.expect("a hash"));
    assert_eq!((&status["head"]["position"], &status["start"]["source"]), (&json!(2), &json!("log")));
    drop(file);
    node.restart().await;
    let status = node.root().get("/v1/status").await.json();
    assert_eq!(status["start"], json!({"source": "snapshot", "snapshot_position": 2, "records_read": 0}));
    assert_eq!(status["nodes"][0]["node"], "node");
}

/// A hook that holds the writer up until the test lets go.
fn held_up() -> (Made, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (committed, commits) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let hook = Box::new(move |_: &[_], _| {
        // Once the test has dropped its ends, the writer runs free.
        let _ = committed.send(());
        let _ = released.recv();
    });
    (Made { queue: 1, hooks: vec![hook], ..Made::default() }, commits, release)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_answered_503_and_those_in_it_are_served() {
    let (made, commits, release) = held_up();
    release.send(()).expect("the writer waits for it: the ledger is opened");
    let node = ServedNode::made(made).await;
    commits.recv().expect("the ledger was opened");
    let send = |subject: &'static str| {
        let actor = node.root();
        tokio::spawn(async move { actor.post("/v1/tickets", json!({"subject": subject})).await })
    };
    let committing = send("a");
    commits.recv().expect("it is committed, and the writer held up");
    let queued = send("b");
    let refused = loop {
        // Until the second one is in the queue, this one takes its place and waits.
        let mut third = send("c");
        match tokio::time::timeout(Duration::from_millis(200), &mut third).await {
            Ok(answer) => break answer.expect("no panic"),
            Err(_) => continue,
        }
    };
    insta::assert_snapshot!("overloaded", refused.shown());
    assert_eq!(node.root().get("/v1/subjects/a").await.status, 200, "reads do not wait for the writer");
    drop((release, commits));
    assert_eq!(committing.await.expect("no panic").status, 201);
    let queued = queued.await.expect("no panic").outcome();
    assert!([201, 503].contains(&queued.0), "{queued:?}");
}

#[tokio::test]
async fn a_halted_log_refuses_commands_and_readiness_and_still_answers_reads() {
    let node = ServedNode::start().await;
    let ticket = issue(&node.root(), json!({"subject": "a"})).await;
    let taken = "INSERT INTO event SELECT max(position) + 1, 'aaaaaaaaaaaaa', 1, 0, '{}', zeroblob(32) FROM event";
    Connection::open(node.ledger()).expect("the file").execute_batch(taken).expect("somebody else's row");
    let answer = node.root().post("/v1/tickets", json!({"subject": "a"})).await;
    insta::assert_snapshot!("halted", answer.shown());
    insta::assert_snapshot!("not_ready", node.nobody().get("/health/ready").await.shown());
    assert_eq!(node.root().delete(&format!("/v1/applications/{}", uuid::Uuid::nil())).await.outcome().0, 503);
    assert!(is_active(&node, ticket.text("ticket")).await);
    let status = node.root().get("/v1/status").await;
    assert!(status.status == 200 && status.text("fault").contains("another program has written to ledger.db"));
    assert_eq!(node.root().get("/v1/events?limit=2").await.status, 200);
    assert_eq!(node.nobody().get("/health/live").await.status, 200);
}

/// Nodes that never answer.
pub struct Never;

impl Reach for Never {
    fn has_reached(&self, _: RecordId, _: ConsistencyLevel) -> bool {
        false
    }

    fn reached(
        &self,
        _: RecordId,
        asked: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<(), ConsistencyTimeout>> + Send + '_>> {
        assert_eq!(asked, Consistency { level: ConsistencyLevel::AllRegions, timeout: Duration::from_secs(7) });
        Box::pin(std::future::ready(Err(ConsistencyTimeout)))
    }
}

#[tokio::test]
async fn a_wait_for_other_nodes_that_is_given_up_rolls_nothing_back() {
    let node = ServedNode::made(Made { reach: Arc::new(Never), ..Made::default() }).await;
    let ticket = issue(&node.root(), json!({"subject": "a"})).await;
    let waiting = node.root().with("ledger-consistency", "all_regions").with("ledger-consistency-timeout", "7");
    let answer = waiting.post("/v1/revocations", json!({"credential": ticket.text("ticket")})).await;
    assert_eq!(answer.outcome(), (408, "consistency-timeout".to_owned()));
    assert!(!is_active(&node, ticket.text("ticket")).await);
    let lone = ServedNode::start().await;
    let alone = lone.root().with("ledger-consistency", "local_region");
    assert_eq!(alone.post("/v1/tickets", json!({"subject": "a"})).await.status, 201);
}

#[tokio::test]
async fn readiness_warns_while_roots_secret_is_in_a_file() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut made = Made::default();
    made.options.root_token_file = Some(file.path().into());
    let node = ServedNode::made(made).await;
    insta::assert_snapshot!("ready_with_a_warning", node.nobody().get("/health/ready").await.shown());
    drop(file);
    assert!(node.nobody().get("/health/ready").await.json().get("warning").is_none());
}

#[tokio::test]
async fn requests_are_measured_by_the_routes_template() {
    let node = ServedNode::start().await;
    node.root().get("/v1/subjects/someones-name?tenant=secret").await;
    node.nobody().get("/v1/no-such-path").await;
    node.nobody().send(axum::http::Method::PUT, "/v1/tickets", "").await;
    let metrics = node.nobody().get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
    for line in [
        r#"authledger_http_requests_total{route="/v1/subjects/{subject}",method="GET",status="200"} 1"#,
        r#"authledger_http_requests_total{route="unmatched",method="GET",status="404"} 1"#,
        r#"authledger_http_requests_total{route="/v1/tickets",method="PUT",status="405"} 1"#,
        "authledger_head_position 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("someones-name") && !text.contains("no-such-path"));
}

#[tokio::test]
async fn the_handler_that_does_nothing_is_there_only_for_measuring() {
    let node = ServedNode::start().await;
    assert_eq!(node.nobody().post("/v1/noop", json!({})).await.status, 404);
    let mut made = Made::default();
    made.options.bench = true;
    let node = ServedNode::made(made).await;
    let answer = node.nobody().post("/v1/noop", json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (201, 200));
}
