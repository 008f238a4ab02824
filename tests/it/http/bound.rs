//! Tokens that are bound to a key or a certificate, through the native API.

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::prover::Prover;
use crate::support::served::{Actor, Answer, START, ServedNode};

const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const CERTIFICATE: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";

async fn issue(actor: &Actor, format: &str, cnf: Value) -> Answer {
    let mut body = json!({"subject": "a", "format": format});
    if !cnf.is_null() {
        body["cnf"] = cnf;
    }
    let answer = actor.post("/v1/tokens", body).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer
}

async fn introspect(node: &ServedNode, token: &str) -> Value {
    node.root().post("/v1/introspect", json!({"credential": token})).await.json()
}

/// The version of the record of its issue.
async fn version(node: &ServedNode, issued: &Answer) -> Value {
    let position = &issued.json()["position"];
    node.root().get(&format!("/v1/events/{position}")).await.json()["version"].clone()
}

#[tokio::test]
async fn a_bound_token_says_what_it_is_bound_to_wherever_it_is_shown() {
    let mut node = ServedNode::start().await;
    let mut all = Vec::new();
    for format in ["jwt", "opaque"] {
        for (cnf, token_type) in [
            (json!({"jkt": JKT}), json!("DPoP")),
            (json!({"x5t#S256": CERTIFICATE}), Value::Null),
            (Value::Null, Value::Null),
        ] {
            let issued = issue(&node.root(), format, cnf.clone()).await;
            assert_eq!(issued.json()["cnf"], cnf);
            assert_eq!(version(&node, &issued).await, if cnf.is_null() { 1 } else { 2 }, "{format} {cnf}");
            all.push((issued.text("token").to_owned(), cnf, token_type));
        }
    }
    for (jwt, cnf, _) in &all[..3] {
        let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).expect("three parts")).expect("base64url");
        assert_eq!(serde_json::from_slice::<Value>(&payload).expect("claims")["cnf"], *cnf);
    }
    // From the snapshot, and from a replay of the log.
    for _ in 0..2 {
        for (token, cnf, token_type) in &all {
            let shown = introspect(&node, token).await;
            assert_eq!((&shown["active"], &shown["cnf"], &shown["token_type"]), (&json!(true), cnf, token_type));
        }
        node.restart().await;
    }
    let page = node.root().get("/v1/subjects/a").await.json();
    let listed = page["credentials"].as_array().expect("a list");
    let bound = |cnf: &Value| listed.iter().filter(|one| one.get("cnf") == Some(cnf)).count();
    assert_eq!((listed.len(), bound(&json!({"jkt": JKT})), bound(&json!({"x5t#S256": CERTIFICATE}))), (6, 2, 2));
}

#[tokio::test]
async fn a_repeated_issue_of_a_bound_token_is_bound_to_the_same() {
    let node = ServedNode::start().await;
    let actor = node.root().with("idempotency-key", "a-key-of-the-tests-0001");
    for _ in 0..2 {
        let issued = issue(&actor, "jwt", json!({"jkt": JKT})).await;
        assert_eq!(issued.json()["cnf"]["jkt"], JKT);
        assert_eq!(introspect(&node, issued.text("token")).await["cnf"]["jkt"], JKT);
    }
    let other = actor.post("/v1/tokens", json!({"subject": "a", "format": "jwt"})).await;
    assert_eq!(other.status, 422);
}

#[tokio::test]
async fn a_binding_is_to_exactly_one_key_or_certificate() {
    let node = ServedNode::start().await;
    let head = node.head();
    for cnf in [
        json!({}),
        json!(null),
        json!([JKT]),
        json!(JKT),
        json!({"jkt": JKT, "x5t#S256": CERTIFICATE}),
        json!({"jkt": JKT, "jwk": {}}),
        json!({"jkt": null}),
        json!({"jkt": ""}),
        json!({"jkt": format!("{JKT}=")}),
        json!({"jkt": &JKT[1..]}),
        json!({"jkt": JKT.replace("A4I", "A4J")}),
        json!({"x5t#S256": CERTIFICATE.replace('_', "/")}),
        json!({"x5t": CERTIFICATE}),
    ] {
        let refused = node.root().post("/v1/tokens", json!({"subject": "a", "cnf": cnf})).await;
        assert_eq!(refused.outcome(), (400, "invalid-body".to_owned()), "{cnf}: {}", refused.shown());
    }
    let forged = json!({"subject": "a", "claims": {"cnf": {"jkt": JKT}}});
    assert_eq!(node.root().post("/v1/tokens", forged).await.outcome(), (400, "reserved-claim".to_owned()));
    assert_eq!(node.head(), head);
}

const METHOD: &str = "GET";
const URI: &str = "https://api.example/reports";
const NOW: u64 = START / 1_000;

/// What comes with a token, each time by a name of its own.
fn presentations(prover: &Prover, token: &str) -> Vec<(&'static str, Value)> {
    let proof = |dpop: String| json!({"proof": {"dpop": dpop, "method": METHOD, "uri": URI}});
    let of = |prover: &Prover, of_token: &str, method: &str, uri: &str, jti: &str, at| {
        proof(prover.proof(of_token, method, uri, &format!("{jti} {token}"), at))
    };
    let good = of(prover, token, METHOD, URI, "good", NOW);
    let mut both = of(prover, token, METHOD, URI, "both", NOW);
    both["certificate_sha256"] = json!(CERTIFICATE);
    vec![
        ("nothing", json!({})),
        ("a good proof", good.clone()),
        ("the same again", good),
        ("another key's", of(&Prover::new(), token, METHOD, URI, "other-key", NOW)),
        ("for another method", of(prover, token, "POST", URI, "other-method", NOW)),
        ("for another address", of(prover, token, METHOD, "https://api.example/", "other-uri", NOW)),
        ("an old one", of(prover, token, METHOD, URI, "old", NOW - 66)),
        ("an early one", of(prover, token, METHOD, URI, "early", NOW + 6)),
        ("another token's", of(prover, "al_o_another", METHOD, URI, "other-token", NOW)),
        ("not a proof", proof("e30.e30.e30".to_owned())),
        ("the certificate", json!({"certificate_sha256": CERTIFICATE})),
        ("another certificate", json!({"certificate_sha256": JKT})),
        ("a good proof and the certificate", both),
    ]
}

#[tokio::test]
async fn a_bound_token_is_active_only_with_what_proves_possession() {
    let node = ServedNode::start().await;
    let prover = Prover::new();
    let to_key = ["nothing", "a good proof", "a good proof and the certificate"];
    let to_certificate = ["nothing", "the certificate", "a good proof and the certificate"];
    for format in ["jwt", "opaque"] {
        for (cnf, good) in [
            (Value::Null, None),
            (json!({"jkt": prover.thumbprint()}), Some(to_key)),
            (json!({"x5t#S256": CERTIFICATE}), Some(to_certificate)),
        ] {
            let issued = issue(&node.root(), format, cnf.clone()).await;
            for (name, came_with) in presentations(&prover, issued.text("token")) {
                let mut body = came_with;
                body["credential"] = json!(issued.text("token"));
                let answer = node.root().post("/v1/introspect", body).await;
                // Nothing has to be proven of a bearer token, so nothing that comes with it is looked at.
                let is_good = good.is_none_or(|good| good.contains(&name));
                assert_eq!(answer.json()["active"], is_good, "{format} {cnf} with {name}: {}", answer.shown());
                let shown = if is_good { cnf.clone() } else { Value::Null };
                assert_eq!(answer.json()["cnf"], shown, "an inactive token says nothing");
            }
        }
    }
}

#[tokio::test]
async fn a_proof_is_accepted_again_only_when_it_is_too_old_anyway() {
    let node = ServedNode::start().await;
    let prover = Prover::new();
    let issued = issue(&node.root(), "opaque", json!({"jkt": prover.thumbprint()})).await;
    let (_, mut body) = presentations(&prover, issued.text("token")).remove(1);
    body["credential"] = json!(issued.text("token"));
    let mut active = Vec::new();
    for _ in 0..20 {
        active.push(node.root().post("/v1/introspect", body.clone()).await.json()["active"] == true);
        node.clock.advance(5_000);
    }
    assert_eq!((active[0], active.iter().filter(|active| **active).count()), (true, 1));
}

#[tokio::test]
async fn an_ill_formed_proof_is_the_asking_servers_mistake() {
    let node = ServedNode::start().await;
    let issued = issue(&node.root(), "opaque", json!({"jkt": JKT})).await;
    for more in [
        json!({"proof": null}),
        json!({"proof": "e30.e30.e30"}),
        json!({"proof": {"dpop": "a", "method": "GET"}}),
        json!({"proof": {"dpop": "a", "method": "", "uri": URI}}),
        json!({"proof": {"dpop": "a", "method": "GET /", "uri": URI}}),
        json!({"proof": {"dpop": "a", "method": "GET", "uri": "/reports"}}),
        json!({"proof": {"dpop": "a", "method": "GET", "uri": URI, "nonce": "n"}}),
        json!({"certificate_sha256": ""}),
        json!({"certificate_sha256": "a".repeat(64)}),
    ] {
        let mut body = more.clone();
        body["credential"] = json!(issued.text("token"));
        let answer = node.root().post("/v1/introspect", body).await;
        assert_eq!(answer.outcome(), (400, "invalid-body".to_owned()), "{more}: {}", answer.shown());
    }
}

/// Every operation of every surface, wherever a credential of the caller can be: a bound token gets as far as a text
/// that nobody has issued.
#[tokio::test]
async fn no_place_accepts_a_bound_token_as_a_bearer() {
    let node = ServedNode::start().await;
    let mut bound = Vec::new();
    for format in ["jwt", "opaque"] {
        for cnf in [json!({"jkt": JKT}), json!({"x5t#S256": CERTIFICATE})] {
            bound.push(issue(&node.root(), format, cnf).await.text("token").to_owned());
        }
    }
    let head = node.head();
    let document = node.nobody().get("/openapi.json").await.json();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            for token in &bound {
                let due = answers(&node, &method, path, "al_o_nobody-has-issued-this").await;
                let given = answers(&node, &method, path, token).await;
                asked += given.len();
                for ((place, due), (_, given)) in due.into_iter().zip(given) {
                    let is_public = due < 400 && given == due;
                    assert!(is_public || given >= 400, "{method} {path} with a bound token in {place}: {given}");
                }
            }
        }
    }
    assert!(asked > 1_000, "{asked}");
    assert_eq!(node.head(), head, "nothing was recorded");
}

/// The answers to a request with that credential in each place where callers have theirs.
async fn answers(node: &ServedNode, method: &Method, path: &str, token: &str) -> Vec<(&'static str, u16)> {
    let mut answers = Vec::new();
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { token } else { segment });
    let itself = segments.collect::<Vec<_>>().join("/");
    let other = path.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment });
    let other = other.collect::<Vec<_>>().join("/");
    for (place, path, header, value) in [
        ("Authorization", other.clone(), "authorization", format!("Bearer {token}")),
        ("Authorization, as DPoP", other.clone(), "authorization", format!("DPoP {token}")),
        ("X-Session-Token", other.clone(), "x-session-token", token.to_owned()),
        ("the cookie", other.clone(), "cookie", format!("ory_kratos_session={token}; ticket={token}")),
        ("SlashID-API-Key", other.clone(), "slashid-api-key", token.to_owned()),
        (
            "the query",
            format!("{other}?accessTokenId={token}&token={token}&ticket={token}"),
            "x-nothing",
            String::new(),
        ),
        ("the path", itself, "x-nothing", String::new()),
    ] {
        let actor = node.nobody().with(header, &value).with("content-type", "application/json");
        let body = if *method == Method::GET { String::new() } else { json!({"token": token}).to_string() };
        answers.push((place, actor.send(method.clone(), &path, body).await.status.as_u16()));
    }
    answers
}
