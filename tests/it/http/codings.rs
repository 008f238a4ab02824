//! Bodies with a `Content-Encoding`, and bodies with a byte-order mark.

use std::io::Write as _;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use super::imports::{send, ticket};
use crate::support::served::{Actor, Answer, Made, ROOT, ServedNode};

const ZSTD_LEVEL: i32 = 3;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, ZSTD_LEVEL).unwrap()
}

async fn coded(actor: &Actor, coding: &str, body: impl Into<Body>) -> Answer {
    let actor = actor.with("content-type", "application/x-ndjson").with("content-encoding", coding);
    actor.send(Method::POST, "/v1/imports", body).await
}

#[tokio::test]
async fn an_encoded_body_is_refused_by_every_surface_in_its_own_shape() {
    let mut made = Made::default();
    made.options.bench = true;
    let node = ServedNode::made(made).await;
    let head = node.head();
    let (root, nobody) = (node.root(), node.nobody());
    let key = nobody.with("slashid-api-key", ROOT).with("slashid-orgid", "default");
    let form = nobody.with("content-type", "application/x-www-form-urlencoded");
    let json = |actor: &Actor| actor.with("content-type", "application/json");
    let session = "0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10";
    let mut shown = String::new();
    for (actor, method, path) in [
        (json(&root), Method::POST, "/v1/tickets".to_owned()),
        (json(&root), Method::POST, "/v1/introspect".to_owned()),
        (json(&root), Method::POST, "/v1/revocations".to_owned()),
        (json(&root), Method::POST, "/v1/revocations/follow".to_owned()),
        (json(&root), Method::POST, format!("/v1/sessions/{session}/extend")),
        (json(&root), Method::POST, "/v1/keys".to_owned()),
        (json(&nobody), Method::POST, "/v1/noop".to_owned()),
        (form.clone(), Method::POST, "/api/1/authentication/ticket/create".to_owned()),
        (form, Method::POST, format!("/api/1/authentication/ticket/create?accessTokenId={ROOT}")),
        (json(&nobody), Method::POST, format!("/api/1/access_token/create?accessTokenId={ROOT}")),
        (json(&nobody), Method::DELETE, "/self-service/logout/api".to_owned()),
        (json(&nobody), Method::POST, "/token/validate".to_owned()),
        (json(&key), Method::POST, "/token/revoke".to_owned()),
        (json(&key), Method::POST, "/persons/p/mint-token".to_owned()),
    ] {
        let encoded = actor.with("content-encoding", "gzip").send(method.clone(), &path, gzip(b"{}")).await;
        assert_eq!((encoded.status.as_u16(), encoded.header("accept-encoding")), (415, "identity"), "{path}");
        let (call, body) = (path.replace(ROOT, "…"), String::from_utf8_lossy(&encoded.body).into_owned());
        shown += &format!("{method} {call}\n    {body}\n");
        // Nothing in an empty body is encoded, and `identity` stands for none.
        let empty = actor.with("content-encoding", "gzip").send(method.clone(), &path, Body::empty()).await;
        let plain = actor.with("content-encoding", "Identity").send(method, &path, "{}").await;
        assert!(empty.status != 415 && plain.status != 415, "{path}: {empty:?} {plain:?}");
    }
    insta::assert_snapshot!(shown);
    assert!(node.head().0 >= head.0);
}

#[tokio::test]
async fn callers_who_may_not_call_learn_nothing_of_codings() {
    let node = ServedNode::start().await;
    let encoded = node.nobody().with("content-encoding", "br");
    assert_eq!(encoded.post("/v1/tickets", json!({})).await.outcome(), (401, "unauthenticated".to_owned()));
    assert_eq!(coded(&node.nobody(), "br", "{}").await.outcome(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn an_import_comes_compressed_and_its_bound_holds_before_and_after() {
    let node = ServedNode::start().await;
    let root = node.root();
    let body = format!("{}\n{}\n", ticket("a"), ticket("b"));
    let first = coded(&root, "gzip", gzip(body.as_bytes())).await;
    assert_eq!((first.status.as_u16(), outcomes(&first)), (200, vec!["made".to_owned(); 2]));
    for (coding, encoded) in [("X-Gzip", gzip(body.as_bytes())), ("zstd", zstd(body.as_bytes()))] {
        let answer = coded(&root, coding, encoded).await;
        assert_eq!((answer.status.as_u16(), outcomes(&answer)), (200, vec!["known".to_owned(); 2]), "{coding}");
    }
    for coding in ["br", "deflate", "gzip, zstd"] {
        let refused = coded(&root, coding, gzip(body.as_bytes())).await;
        assert_eq!(refused.outcome(), (415, "unsupported-content-encoding".to_owned()), "{coding}");
        assert_eq!(refused.header("accept-encoding"), "gzip, zstd");
    }
    // 64 KiB is the limit of this node.
    let bomb = vec![b'\n'; 32 << 20];
    for (coding, encoded) in [("gzip", gzip(&bomb)), ("zstd", zstd(&bomb))] {
        assert!(encoded.len() < 64 << 10);
        assert_eq!(coded(&root, coding, encoded).await.outcome(), (413, "body-too-large".to_owned()), "{coding}");
    }
    let broken = coded(&root, "gzip", body).await;
    assert_eq!(broken.outcome(), (400, "invalid-body".to_owned()));
    assert_eq!(broken.text("detail"), "the body is not the gzip that its Content-Encoding announces");
}

fn outcomes(answer: &Answer) -> Vec<String> {
    let text = std::str::from_utf8(&answer.body).unwrap();
    let told = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    told.map(|told| told["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_byte_order_mark_before_a_body_means_nothing() {
    let node = ServedNode::start().await;
    let issued = node.root().post_text("/v1/tickets", "\u{feff}{\"subject\":\"a\"}").await;
    assert_eq!(issued.status, 201, "{issued:?}");
    let twice = node.root().post_text("/v1/tickets", "\u{feff}\u{feff}{\"subject\":\"a\"}").await;
    assert_eq!(twice.outcome(), (400, "malformed-json".to_owned()));
    let answer = send(&node.root(), format!("\u{feff}{}\n{}\n", ticket("a"), ticket("b"))).await;
    assert_eq!(outcomes(&answer), ["made", "made"]);
}
