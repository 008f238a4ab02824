//! The feed of the real binary, as followers see it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::node::{Api, Event, Events, Launch, NodeProcess, text};

const SSE: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";

/// A server whose followers hear something every second.
struct Place {
    _directory: TempDir,
    data: PathBuf,
    node: NodeProcess,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let node = Launch::new(&data).args(&["--heartbeat", "1"]).start();
        Self { _directory: directory, data, node }
    }

    fn api(&self) -> &Api {
        &self.node.api
    }
}

async fn page(api: &Api, query: &str) -> Value {
    api.get(&format!("/v1/revocations{query}")).await.expect(200)
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| text(item, "id")).collect()
}

#[tokio::test]
async fn every_format_tells_the_same() {
    let place = Place::new();
    let api = place.api();
    let mut sse = api.follow(SSE, "").await;
    let first = sse.next().await.unwrap();
    assert_eq!((first.retry.is_some(), first.id.is_some(), &*first.name), (true, true, ""), "{first:?}");
    let mut lines = api.follow(LINES, "").await;
    let first = lines.next().await.unwrap();
    assert_eq!((&*first.name, first.id.is_some()), ("heartbeat", true), "{first:?}");

    let revoked = api.issue_and_revoke("default", "somebody").await;
    let (event, line) = (sse.expect("revoked").await, lines.expect("revoked").await);
    let whole = page(api, "?after=0").await;
    let item = &whole["items"][0];
    assert_eq!(event.data, *item);
    assert_eq!(event.id.as_deref(), item["cursor"].as_str());
    let mut line = line.data;
    line.as_object_mut().unwrap().remove("event");
    assert_eq!(line, *item);
    for (member, value) in [("type", "ticket.revoked"), ("kind", "ticket"), ("tenant", "default"), ("id", &*revoked)] {
        assert_eq!(item[member], value);
    }
    assert_eq!(text(item, "subject"), "somebody");
    assert_eq!(text(item, "digest").get(..32), Some(&*revoked), "the id is the first half of the digest");
    assert_eq!(text(item, "actor").split('@').next(), Some("root"), "root has audit");
}

#[tokio::test]
async fn only_followers_with_audit_learn_who_and_why() {
    let place = Place::new();
    let (_, follower) = place.api().application("follower", &["follow"]).await;
    let issued = place.api().issue("somebody").await;
    let body = json!({"credential": issued["ticket"], "reason": "stolen"});
    place.api().post("/v1/revocations", body).await.expect(201);
    let item = |page: Value| page["items"][0].clone();
    let seen = item(page(&follower, "?after=0").await);
    let told = item(page(place.api(), "?after=0").await);
    assert_eq!((&seen["reason"], &seen["actor"]), (&Value::Null, &Value::Null));
    assert_eq!((&told["reason"], told["actor"].is_string()), (&json!("stolen"), true));
    let mut stream = follower.follow(SSE, "?after=0").await;
    assert_eq!(stream.expect("revoked").await.data, seen);
}

#[tokio::test]
async fn a_page_waits_for_the_first_revocation_when_asked_to() {
    let place = Place::new();
    let start = text(&page(place.api(), "").await, "cursor");
    let started = Instant::now();
    assert!(ids(&page(place.api(), &format!("?after={start}")).await).is_empty());
    assert!(started.elapsed() < Duration::from_secs(5), "nobody asked it to wait");

    let path = format!("/v1/revocations?after={start}");
    let waiting = place.api().apart().request(Method::GET, &path).header("prefer", "wait=30").send();
    let waiting = tokio::spawn(waiting);
    let revoked = place.api().issue_and_revoke("default", "somebody").await;
    let waited: Value = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(ids(&waited), [revoked]);

    let idle = place.api().request(Method::GET, &format!("/v1/revocations?after={}", text(&waited, "cursor")));
    let started = Instant::now();
    let idle: Value = idle.header("prefer", "wait=1").send().await.unwrap().json().await.unwrap();
    assert!(ids(&idle).is_empty() && started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_stopped() {
    let place = Place::new();
    let mut revoked = Vec::new();
    for number in 0..7 {
        revoked.push(place.api().issue_and_revoke("default", &format!("subject-{number}")).await);
    }
    let mut cursor = "0".to_owned();
    let mut paged = Vec::new();
    for size in [3, 3, 1, 0] {
        let page = page(place.api(), &format!("?limit=3&after={cursor}")).await;
        assert_eq!(ids(&page).len(), size);
        paged.extend(ids(&page));
        cursor = text(&page, "cursor");
    }
    assert_eq!(paged, revoked);
    // Each item's own cursor leads to the same as the page's.
    let whole = page(place.api(), "?after=0").await;
    let third = text(&whole["items"][2], "cursor");
    assert_eq!(ids(&page(place.api(), &format!("?after={third}")).await), revoked[3..]);
}

#[tokio::test]
async fn a_filter_hides_and_the_cursor_moves_past_it() {
    let place = Place::new();
    let api = place.api();
    let mut stream = api.follow(SSE, "?tenant=one&kind=ticket").await;
    let start = stream.next().await.unwrap().id.unwrap();
    api.issue_and_revoke("two", "somebody").await;
    api.post("/v1/revocations", json!({"tenant": "one", "subject": "a", "kinds": ["session"]})).await.expect(201);
    let moved = loop {
        let event = stream.next().await.unwrap();
        assert!(["", "heartbeat"].contains(&&*event.name), "{event:?}");
        if event.id.as_ref().is_some_and(|id| *id != start) {
            break event.id.unwrap();
        }
    };
    let seen = api.issue_and_revoke("one", "somebody").await;
    assert_eq!(stream.ids(1).await, [&*seen]);
    assert_eq!(ids(&page(api, &format!("?tenant=one&kind=ticket&after={moved}")).await), [seen]);
    assert!(ids(&page(api, "?tenant=three&after=0").await).is_empty());
    for bad in
        ["?kind=cookie", "?tenant=", "?limit=0", "?limit=1001", "?tenat=one", "?tenant=one&tenant=two", "?after=%zz"]
    {
        let refused = api.get(&format!("/v1/revocations{bad}")).await.expect(400);
        assert_eq!(refused["status"], 400, "{bad}");
    }
}

#[tokio::test]
async fn a_filter_that_hides_everything_tells_the_place_with_an_id_alone() {
    let directory = tempfile::tempdir().unwrap();
    let node = Launch::new(&directory.path().join("data")).args(&["--heartbeat", "300"]).start();
    let mut stream = node.api.follow(SSE, "?tenant=nobodys").await;
    let start = stream.next().await.unwrap();
    let mut hidden = 0;
    let told = loop {
        node.api.issue_and_revoke("default", "somebody").await;
        hidden += 1;
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(50), stream.next()).await {
            break event.unwrap();
        }
        assert!(hidden < 10_000, "the place is never told");
    };
    assert_eq!((&*told.name, &told.data, told.retry), ("", &Value::Null, None));
    assert_ne!(told.id, start.id);
}

#[tokio::test]
async fn an_application_follows_the_tenants_that_it_may() {
    let place = Place::new();
    let grants = json!({"name": "one", "grants": [{"tenant": "one", "scopes": ["follow"]}]});
    let made = place.api().post("/v1/applications", grants).await.expect(201);
    let follower = place.api().as_caller(&text(&made, "secret"));
    place.api().issue_and_revoke("two", "somebody").await;
    let mine = place.api().issue_and_revoke("one", "somebody").await;
    assert_eq!(ids(&page(&follower, "?after=0").await), [&*mine]);
    assert_eq!(follower.get("/v1/revocations?tenant=two").await.status, 403);
    let snapshot = snapshot(&follower).await;
    assert_eq!(snapshot.len(), 3, "{snapshot:?}");
    assert_eq!(text(&snapshot[1], "id"), mine);
    let (_, issuer) = place.api().application("issuer", &["issue"]).await;
    assert_eq!(issuer.get("/v1/revocations").await.status, 403);
    assert_eq!(place.api().as_caller("nobody's").get("/v1/revocations").await.status, 401);
}

#[tokio::test]
async fn a_heartbeat_comes_after_everything_that_was_missed() {
    // More than one chunk of a stream.
    const MISSED: usize = 300;
    let place = Place::new();
    let api = place.api();
    let cursor = api.follow(LINES, "").await.expect("heartbeat").await.id.unwrap();
    let missed = (0..MISSED).map(|n| async move { api.issue_and_revoke("default", &format!("subject-{n}")).await });
    let missed: BTreeSet<String> = futures_util::future::join_all(missed).await.into_iter().collect();
    let mut stream = api.follow(LINES, &format!("?after={cursor}")).await;
    let mut heard = BTreeSet::new();
    loop {
        let event = stream.next().await.unwrap();
        match &*event.name {
            "heartbeat" => break,
            "revoked" => assert!(heard.insert(text(&event.data, "id"))),
            other => assert_eq!(other, "progress"),
        }
    }
    assert_eq!(heard, missed);
}

#[tokio::test]
async fn heartbeats_say_how_fresh_the_stream_is() {
    let place = Place::new();
    let mut stream = place.api().follow(SSE, "").await;
    let (first, second) = (stream.expect("heartbeat").await, stream.expect("heartbeat").await);
    for beat in [&first, &second] {
        assert_eq!(beat.id.as_deref(), beat.data["cursor"].as_str());
        let behind = beat.data["behind_ms"].as_object().unwrap();
        assert_eq!(behind.values().collect::<Vec<_>>(), [0]);
    }
    assert!(text(&first.data, "now") < text(&second.data, "now"));
}

#[tokio::test]
async fn a_follower_that_is_never_idle_hears_heartbeats_too() {
    let place = Place::new();
    let writing = tokio::spawn(write(place.api().apart(), 0, u64::MAX));
    let mut stream = place.api().follow(SSE, "?after=0").await;
    let started = Instant::now();
    for _ in 0..2 {
        stream.expect("heartbeat").await;
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    writing.abort();
}

/// Issues and revokes so many tickets; their ids.
async fn write(api: Api, writer: usize, count: u64) -> Vec<String> {
    let mut revoked = Vec::new();
    for number in 0..count {
        revoked.push(api.issue_and_revoke("default", &format!("writer-{writer}-{number}")).await);
    }
    revoked
}

#[tokio::test]
async fn a_follower_that_comes_back_goes_on_exactly_where_it_stopped() {
    let place = Place::new();
    let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(write(place.api().apart(), writer, 100))).collect();
    let mut cursor = "0".to_owned();
    let mut heard = Vec::new();
    let mut format = [SSE, LINES].into_iter().cycle();
    while heard.len() < 400 {
        let mut stream = place.api().apart().follow(format.next().unwrap(), &format!("?after={cursor}")).await;
        heard.extend(stream.ids(7.min(400 - heard.len())).await);
        cursor = stream.cursor.clone().unwrap();
    }
    let mut revoked = BTreeSet::new();
    for writer in writers {
        revoked.extend(writer.await.unwrap());
    }
    assert_eq!(heard.iter().cloned().collect::<BTreeSet<_>>(), revoked, "nothing is missing");
    assert_eq!(heard.len(), revoked.len(), "nothing comes twice");
    let mut whole = Vec::new();
    let mut after = "0".to_owned();
    while whole.len() < 400 {
        let page = page(place.api(), &format!("?limit=1000&after={after}")).await;
        whole.extend(ids(&page));
        after = text(&page, "cursor");
    }
    assert_eq!(heard, whole, "the order is the log's");
}

#[tokio::test]
async fn the_last_event_id_beats_after() {
    let place = Place::new();
    let first = place.api().issue_and_revoke("default", "first").await;
    let cursor = text(&page(place.api(), "?after=0").await, "cursor");
    let second = place.api().issue_and_revoke("default", "second").await;
    let path = "/v1/revocations?after=0";
    let both = place.api().request(Method::GET, path).header("accept", SSE).header("last-event-id", cursor);
    assert_eq!(Events::of(both).await.ids(1).await, [&*second]);
    assert_eq!(ids(&page(place.api(), "?after=0").await), [first, second]);
    let bad = place.api().request(Method::GET, path).header("last-event-id", "garbage").send().await.unwrap();
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn cursors_that_are_no_use_are_told_apart() {
    let (place, other) = (Place::new(), Place::new());
    place.api().issue_and_revoke("default", "somebody").await;
    let valid = text(&page(place.api(), "?after=0").await, "cursor");
    let mut mangled = valid.clone().into_bytes();
    mangled[30] ^= 1;
    for bad in ["garbage", "1", "-1", "", &valid[..valid.len() - 2], &String::from_utf8(mangled).unwrap()] {
        for accept in [SSE, LINES, "application/json"] {
            let path = format!("/v1/revocations?after={bad}");
            let refused = place.api().request(Method::GET, &path).header("accept", accept).send().await.unwrap();
            assert_eq!(refused.status(), 400, "{bad:?}");
            assert_eq!(refused.headers()["content-type"], "application/problem+json");
        }
    }
    let refused = other.api().get(&format!("/v1/revocations?after={valid}")).await.expect(400);
    assert!(text(&refused, "detail").contains("another ledger"), "{refused}");
}

/// The snapshot's lines.
async fn snapshot(api: &Api) -> Vec<Value> {
    let response = api.request(Method::GET, "/v1/revocations/snapshot").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], LINES);
    let text = response.text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_cursor_from_the_future_gets_a_gap_that_points_to_the_snapshot() {
    let place = Place::new();
    let kept = place.api().issue_and_revoke("default", "kept").await;
    let Place { _directory, data, node } = place;
    assert_eq!(node.stop().await.0, Some(0));
    let backup = copy(&data);
    let node = NodeProcess::start(&data);
    node.api.issue_and_revoke("default", "lost").await;
    let ahead = text(&page(&node.api, "?after=0").await, "cursor");
    node.kill();

    // The disk is rolled back to the copy, and followers remember the records that came after it.
    let node = NodeProcess::start(&backup.path().join("data"));
    for accept in [SSE, LINES] {
        let mut stream = node.api.follow(accept, &format!("?after={ahead}")).await;
        let gap = stream.next().await.unwrap();
        assert_eq!((&*gap.name, &gap.data["snapshot"]), ("gap", &json!("/v1/revocations/snapshot")), "{gap:?}");
        let next = node.api.issue_and_revoke("default", "next").await;
        assert_eq!(stream.ids(1).await, [next], "the stream goes on after the gap");
    }
    let page = page(&node.api, &format!("?after={ahead}")).await;
    assert_eq!(page["gap"]["snapshot"], "/v1/revocations/snapshot");
    let lines = snapshot(&node.api).await;
    let first = lines.first().unwrap();
    let last = lines.last().unwrap();
    assert!(first["ledger"].is_string() && first["cursor"].is_string(), "{first}");
    assert_eq!(*last, json!({"end": true, "count": lines.len() - 2}));
    assert!(lines[1..].iter().any(|line| line["id"] == *kept));
    let after = format!("/v1/revocations?after={}", text(first, "cursor"));
    assert_eq!(ids(&node.api.get(&after).await.expect(200)), Vec::<String>::new());
}

fn copy(data: &std::path::Path) -> TempDir {
    let backup = tempfile::tempdir().unwrap();
    let done = std::process::Command::new("cp").arg("-r").arg(data).arg(backup.path().join("data")).status().unwrap();
    assert!(done.success());
    backup
}

#[tokio::test]
async fn an_application_that_is_removed_does_not_follow_on() {
    let place = Place::new();
    let (id, follower) = place.api().application("follower", &["follow"]).await;
    let mut streams = [follower.follow(SSE, "").await, follower.follow(LINES, "").await];
    let path = format!("/v1/applications/{id}");
    let removed = place.api().send(Method::DELETE, &path, None).await.unwrap();
    assert!(removed.status.is_success(), "{}", removed.body);
    for stream in &mut streams {
        let end: Event = stream.expect("end").await;
        assert_eq!(end.data["reason"], "unauthorized");
        assert!(stream.next().await.is_none());
    }
    assert_eq!(follower.get("/v1/revocations").await.status, 401);
}

#[tokio::test]
async fn an_application_that_is_removed_while_its_page_waits_gets_none() {
    let place = Place::new();
    let (id, follower) = place.api().application("follower", &["follow"]).await;
    let start = text(&page(&follower, "").await, "cursor");
    let path = format!("/v1/revocations?after={start}");
    let waiting = tokio::spawn(follower.apart().request(Method::GET, &path).header("prefer", "wait=30").send());
    // On the same server, so that the page waits by the time that the removal is answered, or is refused at once.
    follower.get("/health/live").await;
    let removed = place.api().send(Method::DELETE, &format!("/v1/applications/{id}"), None).await.unwrap();
    assert!(removed.status.is_success(), "{}", removed.body);
    place.api().issue_and_revoke("default", "somebody").await;
    assert_eq!(waiting.await.unwrap().unwrap().status(), 401);
}

/// More revocations than the hub keeps: a follower that has not read them meanwhile must be served from the log.
const STORM: usize = 20_000;
const STORM_WRITERS: usize = 64;

#[tokio::test]
async fn a_follower_that_stops_reading_costs_no_memory_and_loses_nothing() {
    let place = Place::new();
    let mut slow = place.api().apart().follow(SSE, "").await;
    slow.next().await.unwrap();
    storm(place.api(), STORM / 10).await;
    let before = place.node.resident_bytes();
    let mut revoked: BTreeMap<String, usize> = BTreeMap::new();
    let mut heard = Vec::new();
    let slower: Vec<Events> = {
        let mut all = Vec::new();
        for _ in 0..50 {
            all.push(place.api().apart().follow(SSE, "?after=0").await);
        }
        all
    };
    storm(place.api(), STORM).await;
    let grown = place.node.resident_bytes().saturating_sub(before);
    println!("{STORM} revocations past 51 followers that do not read: {} KiB more", grown / 1024);
    assert!(grown < 100 << 20, "{grown} bytes more for revocations that nobody reads");
    while heard.len() < STORM + STORM / 10 {
        heard.extend(slow.ids(1).await);
    }
    for id in heard {
        *revoked.entry(id).or_default() += 1;
    }
    assert_eq!(revoked.len(), STORM + STORM / 10, "nothing is lost");
    assert!(revoked.values().all(|times| *times == 1), "nothing comes twice");
    drop(slower);
}

/// So many revocations, as fast as the server takes them.
async fn storm(api: &Api, revocations: usize) {
    let writers: Vec<_> = (0..STORM_WRITERS)
        .map(|writer| {
            let count = revocations / STORM_WRITERS + usize::from(writer < revocations % STORM_WRITERS);
            tokio::spawn(write(api.clone(), writer, count as u64))
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_revocation_arrives_within_milliseconds() {
    let place = Place::new();
    let mut stream = place.api().apart().follow(SSE, "").await;
    stream.next().await.unwrap();
    let mut latencies = Vec::new();
    for number in 0..100 {
        let issued = place.api().issue(&format!("subject-{number}")).await;
        let sent = Instant::now();
        let (_, ids) = tokio::join!(place.api().revoke(issued["ticket"].as_str().unwrap()), stream.ids(1));
        latencies.push(sent.elapsed());
        assert_eq!(ids, [text(&issued, "id")]);
    }
    latencies.sort();
    println!("from the request to the event: median {:?}, worst {:?}", latencies[50], latencies[99]);
    assert!(latencies[50] < Duration::from_millis(500), "{:?}", latencies[50]);
}
