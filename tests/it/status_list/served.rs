//! What the server sends of lists, and to whom.

use std::fs;
use std::io::Read as _;

use authledger::audit;
use authledger::http::status_lists::StatusHistory;
use authledger::service::StatusListAnswer;
use authledger::status_list::array_of;
use axum::body::Body;
use axum::http::Method;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::law::{claims, made};
use crate::support::served::{Answer, Made, ServedNode};

/// A token with an entry: the token, the path of its list, and its index.
async fn listed(node: &ServedNode, subject: &str) -> (String, String, u32) {
    let body = json!({"subject": subject, "status_list": true, "ttl": 3_000});
    let answer = node.root().post("/v1/tokens", body).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let token = answer.text("token").to_owned();
    let entry = claims(&token)["status"]["status_list"].clone();
    let path = entry["uri"].as_str().unwrap().strip_prefix("http://ledger.test").unwrap().to_owned();
    (token, path, u32::try_from(entry["idx"].as_u64().unwrap()).unwrap())
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

fn header_of(token: &str) -> Value {
    use base64::Engine as _;
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

#[tokio::test]
async fn a_list_is_there_with_its_first_token_and_says_when_it_ends() {
    let node = ServedNode::made(made(false)).await;
    let (token, path, index) = listed(&node, "ada").await;
    let answer = node.nobody().get(&path).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/statuslist+jwt"));
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("last-modified"), "Fri, 15 Jan 2027 08:00:00 GMT");
    assert!(!answer.headers.contains_key("set-cookie"));
    let (header, said) = (header_of(text(&answer)), claims(text(&answer)));
    assert_eq!((&header["typ"], &header["alg"]), (&json!("statuslist+jwt"), &json!("ES256")));
    assert_eq!(said["sub"], claims(&token)["status"]["status_list"]["uri"]);
    assert_eq!(said["iss"], "http://ledger.test");
    assert_eq!((&said["iat"], &said["exp"]), (&json!(1_800_000_000), &json!(1_800_000_600)));
    assert_eq!((&said["ttl"], &said["status_list"]["bits"]), (&json!(60), &json!(1)));
    assert_eq!(said["status_list"]["aggregation_uri"], "http://ledger.test/status-lists");
    let members: Vec<_> = said.as_object().unwrap().keys().collect();
    assert_eq!(members, ["exp", "iat", "iss", "status_list", "sub", "ttl"], "and no other claims");
    assert_eq!(array_of(text(&answer)).unwrap().get(index), Some(0));
    let all = node.nobody().get("/status-lists").await;
    assert_eq!(all.json(), json!({"status_lists": [said["sub"]]}));
    assert_eq!((all.header("content-type"), all.header("cache-control")), ("application/json", "public, max-age=300"));
    let server = node.nobody().get("/.well-known/oauth-authorization-server").await;
    assert_eq!(server.json()["status_list_aggregation_endpoint"], "http://ledger.test/status-lists");

    node.root().post("/v1/revocations", json!({"credential": token})).await;
    node.service().keep_status_lists().await;
    let same = node.nobody().get(&path).await;
    assert_eq!(text(&same), text(&answer), "not before the interval is over");
    node.clock.advance(10_000);
    node.service().keep_status_lists().await;
    let changed = node.nobody().get(&path).await;
    let array = array_of(text(&changed)).unwrap();
    assert_eq!((array.get(index), array.set_entries()), (Some(1), 1));
    assert_eq!(claims(text(&changed))["iat"], 1_800_000_010);
}

#[tokio::test]
async fn caches_are_told_what_changed_in_either_coding() {
    let node = ServedNode::made(made(false)).await;
    let (_, path, _) = listed(&node, "ada").await;
    let plain = node.nobody().get(&path).await;
    let gzip = node.nobody().with("accept-encoding", "br;q=1, gzip;q=0.5").get(&path).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    let mut unpacked = String::new();
    GzDecoder::new(&gzip.body[..]).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, text(&plain));
    let tag = plain.header("etag").to_owned();
    assert_eq!(gzip.header("etag"), format!("{}-gzip\"", tag.trim_end_matches('"')));
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
        let answer = node.nobody().with("if-none-match", &known).get(&path).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{known}");
        assert_eq!((answer.header("etag"), answer.header("cache-control")), (&*tag, "public, max-age=60"));
        assert!(!answer.headers.contains_key("content-encoding"));
    }
    for unknown in ["\"x\"", gzip.header("etag"), tag.trim_matches('"')] {
        assert_eq!(node.nobody().with("if-none-match", unknown).get(&path).await.status, 200, "{unknown}");
    }
    let refused = node.nobody().with("accept-encoding", "gzip;q=0").get(&path).await;
    assert!(!refused.headers.contains_key("content-encoding"));
    let head = node.nobody().send(Method::HEAD, &path, Body::empty()).await;
    assert_eq!((head.status.as_u16(), head.body.len(), head.header("etag")), (200, 0, &*tag));
}

#[tokio::test]
async fn the_media_type_is_negotiated_and_other_calls_are_refused() {
    let node = ServedNode::made(made(false)).await;
    let (_, path, _) = listed(&node, "ada").await;
    for accept in
        ["application/statuslist+jwt", "*/*", "application/*;q=0.1", "text/html, application/statuslist+jwt;q=0.2"]
    {
        assert_eq!(node.nobody().with("accept", accept).get(&path).await.status, 200, "{accept}");
    }
    for accept in ["application/statuslist+cwt", "text/*", "application/statuslist+jwt;q=0, */*"] {
        let answer = node.nobody().with("accept", accept).get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (406, "text/plain; charset=utf-8"),
            "{accept}"
        );
    }
    let unknown = node.nobody().get("/status-lists/aaaaaaaaaaaaaaaa").await;
    assert_eq!(unknown.outcome(), (404, "unknown-status-list".into()));
    assert_eq!(unknown.header("access-control-allow-origin"), "*", "a page learns why");
    assert_eq!(node.nobody().get("/status-lists/AAAA").await.outcome(), (404, "unknown-status-list".into()));
    assert_eq!(
        node.nobody().send(Method::POST, &path, Body::empty()).await.outcome(),
        (405, "method-not-allowed".into())
    );
    assert_eq!(node.nobody().get(&format!("{path}?x=1")).await.status, 200, "other parameters are left alone");
    assert_eq!(node.nobody().get(&format!("{path}?time=1")).await.outcome(), (501, "status-history-off".into()));
}

#[tokio::test]
async fn only_a_jwt_that_is_asked_for_gets_an_entry_and_nobody_else_can_claim_one() {
    let node = ServedNode::made(made(false)).await;
    let root = node.root();
    let plain = root.post("/v1/tokens", json!({"subject": "ada"})).await;
    assert_eq!(claims(plain.text("token"))["status"], Value::Null);
    assert_eq!(node.service().projection().status_lists().len(), 0, "no list is opened for nothing");
    let forged = root.post("/v1/tokens", json!({"subject": "ada", "claims": {"status": {}}})).await;
    assert_eq!(forged.outcome(), (400, "reserved-claim".into()));
    let opaque = root.post("/v1/tokens", json!({"subject": "ada", "format": "opaque", "status_list": true})).await;
    assert_eq!(opaque.outcome(), (400, "status-lists-off".into()));
    // A repetition gives the same entry, in another signature.
    let keyed = root.keyed("a-key-of-16-bytes-or-more");
    let body = json!({"subject": "ada", "status_list": true});
    let (one, two) = (keyed.post("/v1/tokens", body.clone()).await, keyed.post("/v1/tokens", body).await);
    assert_eq!(claims(one.text("token")), claims(two.text("token")));
    assert!(claims(one.text("token"))["status"]["status_list"]["idx"].is_u64());
    assert_eq!(node.service().projection().status_lists()[0].view.taken, 1);
}

#[tokio::test]
async fn with_all_every_jwt_has_an_entry_unless_it_is_declined() {
    let node = ServedNode::made(made(true)).await;
    let entry = |answer: Answer| claims(answer.text("token"))["status"].clone();
    assert!(entry(node.root().post("/v1/tokens", json!({"subject": "ada"})).await).is_object());
    let declined = node.root().post("/v1/tokens", json!({"subject": "ada", "status_list": false})).await;
    assert!(entry(declined).is_null());
    assert_eq!(node.root().post("/v1/tokens", json!({"subject": "ada", "format": "opaque"})).await.status, 201);
}

#[tokio::test]
async fn short_and_long_tokens_are_in_lists_of_their_own_and_lists_are_retired() {
    let node = ServedNode::made(made(false)).await;
    let issue = |ttl: u64| {
        let root = node.root();
        async move {
            let answer = root.post("/v1/tokens", json!({"subject": "ada", "status_list": true, "ttl": ttl})).await;
            claims(answer.text("token"))["status"]["status_list"]["uri"].as_str().unwrap().to_owned()
        }
    };
    let (day, other, long) = (issue(86_400).await, issue(60).await, issue(86_401).await);
    assert!(day == other && day != long);
    // The next day's tokens are in another list.
    node.clock.advance(86_400_000);
    let next = issue(60).await;
    assert_ne!(day, next);
    node.service().keep_status_lists().await;
    let shown = node.nobody().get("/status-lists").await.json()["status_lists"].as_array().unwrap().len();
    assert_eq!(shown, 3);
    // All of the first list's tokens have expired, and five minutes more.
    node.clock.advance(300_000);
    node.service().keep_status_lists().await;
    let path = |uri: &str| uri.strip_prefix("http://ledger.test").unwrap().to_owned();
    assert_eq!(node.nobody().get(&path(&day)).await.outcome(), (404, "unknown-status-list".into()));
    assert_eq!(node.nobody().get(&path(&long)).await.status, 200, "its token lives a second longer");
    let file =
        node.ledger().with_file_name("status-lists").join(path(&day).rsplit('/').next().unwrap()).with_extension("jwt");
    node.service().keep_status_lists().await;
    assert!(!file.exists());
    assert!(file.parent().unwrap().read_dir().unwrap().count() > 0);
}

#[tokio::test]
async fn an_expired_list_is_never_shown_and_an_unchanged_one_is_published_again_in_time() {
    let node = ServedNode::made(made(false)).await;
    let (_, path, _) = listed(&node, "ada").await;
    let head = node.head();
    node.clock.advance(299_000);
    node.service().keep_status_lists().await;
    assert_eq!(node.head(), head, "nothing has changed, and less than half of its life is over");
    node.clock.advance(1_000);
    node.service().keep_status_lists().await;
    assert_eq!(node.head().0, head.0 + 1);
    node.clock.advance(600_000);
    let gone = node.nobody().get(&path).await;
    assert_eq!((gone.outcome(), gone.header("retry-after")), ((503, "status-list-unavailable".into()), "1"));
    node.service().keep_status_lists().await;
    assert_eq!(node.nobody().get(&path).await.status, 200);
}

#[tokio::test]
async fn earlier_publications_are_shown_byte_for_byte_to_whom_the_operator_lets() {
    let with = |history| {
        let mut made = made(false);
        made.options.status_lists.history = history;
        Made { ..made }
    };
    let mut node = ServedNode::made(with(StatusHistory::Audit)).await;
    let (token, path, index) = listed(&node, "ada").await;
    let first = text(&node.nobody().get(&path).await).to_owned();
    node.root().post("/v1/revocations", json!({"credential": token})).await;
    node.clock.advance(20_000);
    node.service().keep_status_lists().await;
    let second = text(&node.nobody().get(&path).await).to_owned();
    let at = |seconds: u64| format!("{path}?time={}", 1_800_000_000 + seconds);
    for (seconds, expected) in [(0, &first), (19, &first), (20, &second), (619, &second)] {
        let answer = node.root().get(&at(seconds)).await;
        assert_eq!((answer.status.as_u16(), text(&answer)), (200, &**expected), "{seconds}");
        assert_eq!(answer.header("cache-control"), "private, max-age=31536000, immutable");
    }
    assert_eq!(array_of(&second).unwrap().get(index), Some(1));
    for (time, status) in
        [("1799999999", 404), ("1800000620", 404), ("99999999999999999999", 404), ("x", 400), ("", 400)]
    {
        assert_eq!(node.root().get(&format!("{path}?time={time}")).await.status, status, "{time}");
    }
    assert_eq!(node.nobody().get(&at(0)).await.outcome(), (401, "unauthenticated".into()));
    let stranger = node.application(&[("default", &["audit"])]).await;
    assert_eq!(stranger.get(&at(0)).await.outcome(), (403, "forbidden".into()));
    node.restart_with(with(StatusHistory::Public)).await;
    let answer = node.nobody().get(&at(5)).await;
    assert_eq!((text(&answer), answer.header("cache-control")), (&*first, "public, max-age=31536000, immutable"));
}

#[tokio::test]
async fn lists_come_back_byte_for_byte_when_their_files_and_all_keys_are_gone() {
    let mut node = ServedNode::made(made(false)).await;
    let (token, path, index) = listed(&node, "ada").await;
    node.root().post("/v1/revocations", json!({"credential": token})).await;
    node.clock.advance(10_000);
    node.service().keep_status_lists().await;
    let before = text(&node.nobody().get(&path).await).to_owned();
    let beside = |name: &str| node.ledger().with_file_name(name);
    let (lists, keys) = (beside("status-lists"), beside("keys"));
    node.restart_damaged(made(false), || {
        fs::remove_dir_all(lists).unwrap();
        let keys = fs::read_dir(keys).unwrap().map(|entry| entry.unwrap().path());
        let tokens = keys.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("token-"));
        assert_eq!(tokens.inspect(|path| fs::remove_file(path).unwrap()).count(), 2);
    })
    .await;
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    let StatusListAnswer::Unavailable = node.service().status_list(id) else { panic!("nothing is there yet") };
    node.service().keep_status_lists().await;
    let after = text(&node.nobody().get(&path).await).to_owned();
    assert_eq!(after, before);
    assert_eq!(array_of(&after).unwrap().get(index), Some(1));
    let remade = audit::status_list(&node.ledger(), id, None, |_, _| {}).unwrap().unwrap();
    assert_eq!((remade.token.as_deref(), remade.flaw), (Some(&*before), None));
}
