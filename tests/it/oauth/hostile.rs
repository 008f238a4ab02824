//! Whatever strangers send, no call fails, and nothing is recorded.

use axum::http::Method;

use super::{Client, INTROSPECT, REVOKE};
use crate::support::random::Random;
use crate::support::served::ServedNode;

/// Requests, a part of them by a client with the right credentials.
const ROUNDS: u64 = 10_000;

const NAMES: [&str; 12] = [
    "token",
    "token",
    "token",
    "token_type_hint",
    "scope",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "grant_type",
    "sub_id",
    "%ff",
];

const VALUES: [&str; 22] = [
    "",
    "t",
    "%",
    "%zz",
    "%ff%fe",
    "%00",
    "+",
    "=",
    "a+b",
    "al_o_x",
    "al_s_x",
    "eyJ.eyJ.x",
    "eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwOi8vbGVkZ2VyLnRlc3QifQ.",
    "..",
    "client_credentials",
    "root",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "%F0%9F%98%80",
    "00000000-0000-4000-8000-000000000000",
    "-1",
    "[object Object]",
];

const JSON: [&str; 8] = [
    "{}",
    "{\"sub_id\":1}",
    "{\"sub_id\":{\"format\":\"opaque\"}}",
    "{\"sub_id\":{\"format\":\"opaque\",\"id\":\"\\u0000\"}}",
    "{\"sub_id\":{\"format\":\"opaque\",\"id\":\"nobody\"}}",
    "{\"sub_id\":{\"format\":\"iss_sub\",\"iss\":\"http://ledger.test\",\"sub\":\"nobody\"}}",
    "{\"sub_id\":{\"format\":\"email\",\"email\":\"a@b\"},\"subject\":null}",
    "[[[[",
];

const AUTHORIZATIONS: [&str; 14] = [
    "Basic",
    "Basic Og==",
    "Basic eA==",
    "Basic eDp5",
    "Basic JTo=",
    "Basic ===",
    "basic  cm9vdDpyb290",
    "Bearer",
    "Bearer x",
    "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    "Bearer al_o_x",
    "DPoP x",
    "Digest username=x",
    ",",
];

const TYPES: [&str; 6] = [
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=latin1",
    "application/json",
    "multipart/form-data; boundary=x",
    ",;=",
];

const ACCEPTS: [&str; 5] = ["*/*", "application/json", "application/token-introspection+jwt", "text/html", ";q=9"];

#[tokio::test]
async fn no_generated_request_fails_or_is_recorded() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect", "revoke"])]).await;
    // The keys that sign answers are on record once.
    let signed = client.on(&node).with("accept", "application/token-introspection+jwt");
    assert_eq!(super::post(&signed, INTROSPECT, &[("token", "t")]).await.status, 200);
    let head = node.head();
    let mut random = Random::of(20_261_129);
    let mut statuses = std::collections::BTreeMap::<u16, u64>::new();
    for round in 0..ROUNDS {
        let mut actor = if random.percent(40) { client.on(&node) } else { node.nobody() };
        if random.percent(30) {
            actor = actor.with("authorization", random.pick(&AUTHORIZATIONS).expect("some"));
        }
        if random.percent(95) {
            actor = actor.with("content-type", random.pick(&TYPES).expect("some"));
        }
        if random.percent(30) {
            actor = actor.with("accept", random.pick(&ACCEPTS).expect("some"));
        }
        let method = if random.percent(95) { Method::POST } else { Method::GET };
        let path = [INTROSPECT, REVOKE, "/admin/oauth2/introspect", "/oauth2/token", "/oauth2/global-token-revocation"];
        let path = random.pick(&path).expect("some");
        let body = if random.percent(20) {
            random.pick(&JSON).expect("some").to_owned()
        } else {
            let pair = |random: &mut Random| {
                format!("{}={}", random.pick(&NAMES).expect("some"), random.pick(&VALUES).expect("some"))
            };
            let pairs: Vec<String> = (0..random.below(6)).map(|_| pair(&mut random)).collect();
            pairs.join("&")
        };
        // An access token for the client itself is a success that is recorded.
        if path == "/oauth2/token" && body.contains("client_credentials") {
            continue;
        }
        let answer = actor.send(method, path, body.clone()).await;
        let status = answer.status.as_u16();
        assert!(status < 500, "round {round}, {path}: {}", answer.shown());
        assert_ne!(answer.header("content-type"), "application/problem+json", "round {round}, {path}: {body}");
        *statuses.entry(status).or_default() += 1;
    }
    assert_eq!(node.head(), head, "nothing is recorded");
    println!("{statuses:?}");
    assert!([200, 400, 401, 404, 405, 406].iter().all(|status| statuses.contains_key(status)), "{statuses:?}");
}
