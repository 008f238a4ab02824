//! Requests between nodes: by a member's signature, and by nothing else.

use authledger::cluster::RequestSignature;
use authledger::domain::{LedgerId, NodeKey, Timestamp};
use authledger::keys::OriginKey;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::pair::{Pair, address, join, launch, ready, until, url};
use crate::process::node::{Api, Launch, text};
use crate::support::nats::Proxy;

struct Asking {
    client: Client,
    url: String,
    ledger: LedgerId,
    key: OriginKey,
}

impl Asking {
    /// Asks for a path, with a signature that may be over another one.
    async fn get(&self, path: &str, signed: &str, at: u64, ledger: LedgerId) -> StatusCode {
        let (node, at) =
            (NodeKey::from_bytes(self.key.public_key()), Timestamp::from_millis(at).expect("within bounds"));
        let signature =
            RequestSignature::sign(node, ledger, at, ("GET", signed, b""), |message| self.key.sign(message));
        let request = self.client.get(format!("{}{path}", self.url)).header("authorization", signature.to_string());
        request.send().await.expect("an answer").status()
    }

    async fn honestly(&self, path: &str) -> StatusCode {
        self.get(path, path, now(), self.ledger).await
    }
}

fn now() -> u64 {
    authledger::clock::Clock::system().now().as_millis()
}

fn ledger_of(status: &Value) -> LedgerId {
    LedgerId(text(status, "ledger").parse().expect("a UUID"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_answered_and_nobody_else() {
    let pair = Pair::start().await;
    let status = pair.a.api.get("/v1/status").await.expect(200);
    let origin = text(&status["head"], "origin");
    let asking =
        |key| Asking { client: Client::new(), url: pair.a.api.url().to_owned(), ledger: ledger_of(&status), key };
    let member = asking(OriginKey::load_or_create(&pair.data("b").join("keys")).expect("the other node's"));
    let stranger = asking(OriginKey::load_or_create(&pair.data("c").join("keys")).expect("a new one"));
    let paths = [
        format!("/v1/nodes/holdings?origin={origin}&sequence=1"),
        format!("/v1/origins/{origin}/records?after=0"),
        format!("/v1/origins/{origin}/sealing-keys?slots=1,2"),
    ];
    let other_ledger = LedgerId(authledger::clock::fresh_uuid().expect("randomness"));
    for path in &paths {
        assert_eq!(member.honestly(path).await, 200, "{path}");
        assert_eq!(stranger.honestly(path).await, 401, "{path}: of a key that never joined");
        assert_eq!(member.get(path, "/v1/nodes", now(), member.ledger).await, 401, "{path}: signed for another path");
        assert_eq!(member.get(path, path, now() - 61_000, member.ledger).await, 401, "{path}: a minute old");
        assert_eq!(member.get(path, path, now(), other_ledger).await, 401, "{path}: of another ledger");
        // An application's secret counts for nothing here, root's neither.
        assert_eq!(pair.a.api.get(path).await.status, 401, "{path}");
    }
    let unknown = format!("/v1/origins/{}/records", "a".repeat(13));
    assert_eq!(stranger.honestly(&unknown).await, 401, "authority comes before existence");
    assert_eq!(member.honestly(&unknown).await, 204);
    assert_eq!(member.honestly("/v1/origins/short/records").await, 400);
    let own = text(&pair.a.api.get("/v1/status").await.expect(200)["head"], "origin");
    let offers = [unknown, format!("/v1/origins/{own}/records")];
    for path in offers.iter().map(String::as_str).chain(["/v1/nodes/announcements"]) {
        for garbage in ["{}", "", "{}\n{\"head\":{}}\n"] {
            let garbage = pair.a.api.request(reqwest::Method::POST, path).body(garbage);
            assert_eq!(garbage.send().await.expect("an answer").status(), 401, "{path}: signed by nobody");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_joined_listed_and_removed_by_administrators_alone() {
    let pair = Pair::start().await;
    let listed = pair.a.api.get("/v1/nodes").await.expect(200);
    let nodes = listed["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 2);
    assert!(nodes.iter().all(|node| node["state"] == "member"), "{listed}");
    let auditor = json!({"name": "auditor", "scopes": ["audit"], "tenants": ["*"]});
    let auditor = text(&pair.a.api.post("/v1/applications", auditor).await.expect(201), "secret");
    let auditor: Api = pair.a.api.as_caller(&auditor);
    auditor.get("/v1/nodes").await.expect(200);
    let new = json!({"key": "0".repeat(64), "node": "c", "region": "c", "reads": {"ledger.opened": 1}});
    auditor.post("/v1/nodes", new.clone()).await.expect(403);
    auditor.send(reqwest::Method::DELETE, "/v1/nodes/b", None).await.expect("an answer").expect(403);
    auditor.post("/v1/nodes/promote", json!({})).await.expect(403);
    let taken = json!({"key": "0".repeat(64), "node": "b", "region": "c", "reads": {"ledger.opened": 1}});
    assert!(text(&pair.a.api.post("/v1/nodes", taken).await.expect(409), "type").ends_with("node-exists"));
    let own = pair.a.api.send(reqwest::Method::DELETE, "/v1/nodes/a", None).await.expect("an answer").expect(409);
    assert!(text(&own, "type").ends_with("cannot-remove-self"), "{own}");
    let nobody = pair.a.api.send(reqwest::Method::DELETE, "/v1/nodes/nobody", None).await.expect("an answer");
    assert!(text(&nobody.expect(404), "type").ends_with("unknown-node"));

    // Removed permanently: it is told so, and the same key does not come back.
    pair.a.api.send(reqwest::Method::DELETE, "/v1/nodes/b", None).await.expect("an answer").expect(200);
    until("b says that it was removed", async || warning(&pair.b.api).await.contains("was removed")).await;
    let key = nodes.iter().find(|node| node["node"] == "b").expect("b")["key"].clone();
    let again = json!({"key": key, "node": "b2", "region": "b", "reads": {"ledger.opened": 1}});
    assert!(text(&pair.a.api.post("/v1/nodes", again).await.expect(409), "type").ends_with("node-removed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_when_it_was_removed_is_told_and_shown_nothing_else() {
    let Pair { a, b, to_a: _to_a, to_b, directory } = Pair::start().await;
    let data = directory.path().join("b");
    let status = a.api.get("/v1/status").await.expect(200);
    let origin = text(&status["head"], "origin");
    assert_eq!(b.stop().await.0, Some(0));
    a.api.send(reqwest::Method::DELETE, "/v1/nodes/b", None).await.expect("an answer").expect(200);
    let removal = a.api.get("/v1/status").await.expect(200)["head"]["sequence"].as_u64().expect("a number");
    let later = json!({"name": "later", "scopes": ["audit"], "tenants": ["*"]});
    a.api.post("/v1/applications", later).await.expect(201);

    let key = OriginKey::load_or_create(&data.join("keys")).expect("the removed node's");
    let asking = Asking { client: Client::new(), url: a.api.url().to_owned(), ledger: ledger_of(&status), key };
    let records = |after: u64| format!("/v1/origins/{origin}/records?after={after}");
    assert_eq!(asking.honestly(&records(removal - 1)).await, 200);
    let old = records(0);
    assert_eq!(asking.get(&old, &old, now() - 61_000, asking.ledger).await, 401, "a minute old");
    let holdings = format!("/v1/nodes/holdings?origin={origin}&sequence=1");
    let keys = format!("/v1/origins/{origin}/sealing-keys?slots=1,2");
    let elsewhere = format!("/v1/origins/{}/records", "a".repeat(13));
    for path in [records(removal), records(removal + 1), elsewhere, holdings, keys] {
        assert_eq!(asking.honestly(&path).await, 409, "{path}");
    }

    let b = launch(&data, "b", &to_b).args(&["--member-wait", "5"]).start();
    until("b says that it was removed", async || warning(&b.api).await.contains("was removed")).await;
    let log = authledger::event_log::Reader::open(&data.join("ledger.db")).expect("b's log");
    let place = |sequence| authledger::domain::RecordId {
        origin: origin.parse().expect("an origin"),
        sequence: authledger::domain::Sequence(sequence),
    };
    assert!(log.find_place(place(removal)).expect("readable").is_some());
    assert!(log.find_place(place(removal + 1)).expect("readable").is_none(), "a later record is not its business");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_ledger_does_not_join() {
    let pair = Pair::start().await;
    let other = pair.data("other");
    let before = Proxy::to_nothing().await;
    let own = crate::process::node::NodeProcess::start(&other);
    let refused = join(&other, "c", &pair.to_a, &before);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("another"), "it runs");
    assert_eq!(own.stop().await.0, Some(0));
    let refused = join(&other, "c", &pair.to_a, &before);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("it holds ledger") && why.contains("--data"), "{why}");
    let listed = pair.a.api.get("/v1/nodes").await.expect(200);
    assert_eq!(listed["nodes"].as_array().map(Vec::len), Some(2), "a node that was refused is named: {listed}");
}

/// The warning of readiness for the operator.
async fn warning(api: &Api) -> String {
    api.get("/health/ready").await.body["warning"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_started_in_another_region_says_that_the_members_know_another() {
    let pair = Pair::start().await;
    assert!(!warning(&pair.b.api).await.contains("--region"));
    let data = pair.data("b");
    assert_eq!(pair.b.stop().await.0, Some(0));
    let own = url(&pair.to_b);
    let launch = Launch::new(&data).args(&["--node", "b", "--region", "elsewhere", "--address", &own]);
    let b = tokio::task::block_in_place(|| launch.start());
    pair.to_b.lead_to(address(&b));
    ready(&b.api).await;
    assert!(warning(&b.api).await.contains("--region"), "{}", b.log());
}
