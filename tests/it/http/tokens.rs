//! Tokens, through the native API.

use authledger::domain::{
    Caller, Event, Kinds, LOG_FORMAT, LedgerOpened, NodeName, Origin, RecordId, Recorded, Region, Sequence, Subject,
    SubjectRevoked, Tenant, Ttl, actor_of,
};
use authledger::event_log::{Chain, ChainHash, encode};
use authledger::jose::sign;
use authledger::jose::{KeySource, TrustedIssuer};
use authledger::keys::{Algorithm, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::served::{Actor, Answer, Made, ServedNode};

const KEY: &str = "a-key-of-the-tests-0001";

async fn issue(actor: &Actor, body: Value) -> Answer {
    let answer = actor.post("/v1/tokens", body).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer
}

/// The claims of a JWT.
fn claims(issued: &Answer) -> Value {
    let payload = issued.text("token").split('.').nth(1).expect("three parts").to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

async fn is_active(node: &ServedNode, token: &str) -> bool {
    node.root().post("/v1/introspect", json!({"credential": token})).await.json()["active"] == true
}

fn everything() -> Value {
    json!({
        "tenant": "acme", "subject": "person-1", "ttl": 600, "audience": ["api", "reports"],
        "scope": "read write", "claims": {"email": "ada@example.org", "roles": ["editor"]},
    })
}

#[tokio::test]
async fn a_jwt_names_its_subject_and_is_active_until_it_is_revoked() {
    let node = ServedNode::start().await;
    let issued = issue(&node.root(), everything()).await;
    insta::assert_snapshot!("token", issued.shown().replace(issued.text("token"), "[jwt]"));
    let claims = claims(&issued);
    let due = json!({
        "iss": "http://ledger.test", "jti": issued.text("id"), "sub": "person-1", "oid": "acme", "iat": 1_800_000_000,
        "exp": 1_800_000_600, "aud": ["api", "reports"], "scope": "read write", "email": "ada@example.org",
        "roles": ["editor"],
    });
    assert_eq!(claims, due);
    let asked = node.root().post("/v1/introspect", json!({"credential": issued.text("token")})).await;
    insta::assert_snapshot!("token_introspected", asked.shown());
    let by_id = json!({"kind": "token", "id": issued.text("id")});
    let revoked = node.root().post("/v1/revocations", by_id.clone()).await;
    insta::assert_snapshot!("token_revoked", revoked.shown());
    assert!(!is_active(&node, issued.text("token")).await);
    for again in [by_id, json!({"credential": issued.text("token")})] {
        let again = node.root().post("/v1/revocations", again).await;
        assert_eq!((again.status.as_u16(), &again.body), (200, &revoked.body));
    }
}

#[tokio::test]
async fn an_opaque_token_says_nothing_by_itself() {
    let node = ServedNode::start().await;
    let issued = issue(&node.root(), json!({"subject": "a", "format": "opaque"})).await;
    assert!(issued.text("token").starts_with("al_o_") && issued.json().get("iss").is_none());
    assert_eq!(node.head().0, 2, "it needs no key");
    assert!(is_active(&node, issued.text("token")).await);
    let by_id = json!({"kind": "token", "id": issued.text("id")});
    assert_eq!(node.root().post("/v1/revocations", by_id).await.status, 201);
    assert!(!is_active(&node, issued.text("token")).await);
}

#[tokio::test]
async fn a_token_lasts_as_long_as_its_session_and_is_revoked_with_it() {
    let node = ServedNode::start().await;
    let session = node.root().post("/v1/sessions", json!({"subject": "a", "ttl": 60})).await;
    let id = session.json()["session"]["id"].clone();
    let mut tokens = Vec::new();
    for format in ["jwt", "opaque"] {
        let issued = issue(&node.root(), json!({"subject": "a", "session_id": id, "format": format})).await;
        assert_eq!((&issued.json()["session_id"], issued.text("expires_at")), (&id, "2027-01-15T08:01:00.000Z"));
        assert!(is_active(&node, issued.text("token")).await);
        tokens.push(issued);
    }
    assert_eq!(claims(&tokens[0])["sid"], id);
    let other = node.root().post("/v1/tokens", json!({"subject": "b", "session_id": id})).await;
    assert_eq!(other.outcome(), (409, "session-inactive".to_owned()));
    assert_eq!(node.root().post("/v1/revocations", json!({"kind": "session", "id": id})).await.status, 201);
    for token in tokens {
        assert!(!is_active(&node, token.text("token")).await, "{}", token.text("format"));
    }
    let late = node.root().post("/v1/tokens", json!({"subject": "a", "session_id": id})).await;
    assert_eq!(late.outcome(), (409, "session-inactive".to_owned()));
}

#[tokio::test]
async fn the_credentials_of_a_subject_come_in_pages_across_the_kinds() {
    let node = ServedNode::start().await;
    for path in ["/v1/tickets", "/v1/sessions", "/v1/tokens", "/v1/tokens", "/v1/sessions", "/v1/tickets"] {
        assert_eq!(node.root().post(path, json!({"subject": "a"})).await.status, 201);
    }
    let (mut kinds, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = node.root().get(&format!("/v1/subjects/a?limit=1{after}")).await.json();
        let credentials = page["credentials"].as_array().expect("a list");
        kinds.extend(credentials.iter().map(|one| one["kind"].as_str().expect("a kind").to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!((kinds.join(" "), pages), ("ticket ticket session session token token".to_owned(), 6));
}

#[tokio::test]
async fn a_repeated_issue_signs_the_same_claims_again_and_shows_an_opaque_token_for_a_minute() {
    let mut node = ServedNode::start().await;
    let first = issue(&node.root().keyed(KEY), everything()).await;
    let opaque = json!({"subject": "a", "format": "opaque"});
    let shown = issue(&node.root().keyed("another-key-0001"), opaque.clone()).await;
    assert_eq!(issue(&node.root().keyed("another-key-0001"), opaque.clone()).await.body, shown.body);
    node.clock.advance(60_000);
    node.restart().await;
    let again = issue(&node.root().keyed(KEY), everything()).await;
    assert_eq!(claims(&again), claims(&first));
    assert!(is_active(&node, again.text("token")).await);
    let late = node.root().keyed("another-key-0001").post("/v1/tokens", opaque).await;
    assert_eq!((late.outcome(), late.text("id")), ((409, "secret-already-shown".to_owned()), shown.text("id")));
}

#[tokio::test]
async fn claims_that_the_ledger_says_itself_and_claims_without_bound_are_refused() {
    let node = ServedNode::start().await;
    let head = node.head();
    for reserved in authledger::service::RESERVED_CLAIMS {
        let body = json!({"subject": "a", "claims": {reserved: 1}});
        assert_eq!(node.root().post("/v1/tokens", body).await.outcome(), (400, "reserved-claim".to_owned()));
    }
    assert_eq!(node.head(), head);
    let body = json!({"subject": "a", "claims": {"many": "x".repeat(32 * 1_024)}});
    assert_eq!(node.root().post("/v1/tokens", body).await.outcome(), (413, "personal-data-too-large".to_owned()));
}

#[tokio::test]
async fn a_jwt_carries_the_generation_that_it_must_reach() {
    let mut node = ServedNode::start().await;
    let before = issue(&node.root(), json!({"subject": "a"})).await;
    assert!(claims(&before).get("gen").is_none(), "nothing was revoked yet");
    let revoked = node.root().post("/v1/revocations", json!({"subject": "a", "kinds": ["token"]})).await;
    assert_eq!(revoked.status, 201);
    let after = issue(&node.root(), json!({"subject": "a"})).await;
    let origin = node.service().origin().to_string();
    assert_eq!(claims(&after)["gen"], json!({ &*origin: revoked.json()["revocations"][0]["sequence"] }));
    for _ in 0..2 {
        assert!(!is_active(&node, before.text("token")).await && is_active(&node, after.text("token")).await);
        node.restart().await;
    }
    node.root().post("/v1/revocations", json!({"subject": "a"})).await;
    assert!(!is_active(&node, after.text("token")).await);
}

#[tokio::test]
async fn revoking_a_subjects_sessions_revokes_their_tokens_and_not_those_without_a_session() {
    let node = ServedNode::start().await;
    let session = node.root().post("/v1/sessions", json!({"subject": "a"})).await;
    let id = session.json()["session"]["id"].clone();
    let with = issue(&node.root(), json!({"subject": "a", "session_id": id})).await;
    let without = issue(&node.root(), json!({"subject": "a"})).await;
    node.root().post("/v1/revocations", json!({"subject": "a", "kinds": ["session"]})).await;
    assert!(!is_active(&node, session.text("session_token")).await);
    assert!(!is_active(&node, with.text("token")).await && is_active(&node, without.text("token")).await);
    let fresh = node.root().post("/v1/sessions", json!({"subject": "a"})).await;
    let id = fresh.json()["session"]["id"].clone();
    let with = issue(&node.root(), json!({"subject": "a", "session_id": id})).await;
    assert!(is_active(&node, fresh.text("session_token")).await && is_active(&node, with.text("token")).await);
}

/// Another node's log: it opens, and revokes all that the subject has.
async fn revoke_elsewhere(node: &ServedNode, number: u8, subject: &str) {
    let origin = Origin::from_random([number; Origin::LEN]);
    let opened = LedgerOpened {
        ledger: node.service().ledger(),
        node: NodeName::new("far").expect("a name"),
        region: Region::new("away").expect("a name"),
        format: LOG_FORMAT,
        public_key: [number; 32],
        previous: None,
        pseudonyms: None,
    };
    let now = node.clock.now();
    let revoked = SubjectRevoked {
        subject: Subject::new(subject).expect("a name"),
        kinds: Kinds::ALL,
        issued_before: None,
        not_before: now.as_seconds(),
        hold_until: None,
        retain_until: now.plus(Ttl::MAX),
        reason: None,
        note: None,
    };
    let mut hash = ChainHash::default();
    for (sequence, event) in [(1, Event::LedgerOpened(opened)), (2, Event::SubjectRevoked(revoked))] {
        let opening = sequence == 1;
        let recorded = Recorded {
            place: RecordId { origin, sequence: Sequence(sequence) },
            recorded_at: now,
            tenant: (!opening).then(Tenant::default),
            actor: (!opening).then(|| actor_of(&Caller::Root, origin)).flatten(),
            request: None,
            idempotency: None,
            event,
        };
        let record = encode(&recorded);
        hash = Chain::default().link(&hash, record.as_bytes());
        node.service().ingest(record.into(), hash).await.expect("it runs").expect("it follows");
    }
}

#[tokio::test]
async fn a_generation_that_no_jwt_carries_makes_the_token_opaque() {
    let node = ServedNode::start().await;
    for number in 0..16 {
        revoke_elsewhere(&node, number, "a").await;
    }
    let sixteen = issue(&node.root(), json!({"subject": "a"})).await;
    assert_eq!(claims(&sixteen)["gen"].as_object().map(serde_json::Map::len), Some(16));
    assert!(is_active(&node, sixteen.text("token")).await);
    revoke_elsewhere(&node, 16, "a").await;
    assert!(!is_active(&node, sixteen.text("token")).await, "a credential that is revoked elsewhere is revoked here");
    let keyed = node.root().keyed(KEY);
    let opaque = issue(&keyed, json!({"subject": "a"})).await;
    assert_eq!(opaque.text("format"), "opaque");
    assert!(is_active(&node, opaque.text("token")).await);
    assert_eq!(issue(&keyed, json!({"subject": "a"})).await.body, opaque.body);
    assert_eq!(issue(&node.root(), json!({"subject": "b"})).await.text("format"), "jwt");
}

/// A trusted issuer with its key, and a node that trusts it in the tenant `acme`.
async fn trusting() -> (ServedNode, SigningKey, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let key = SigningKey::generate(&directory.path().join("keys"), Algorithm::EdDsa).expect("a key");
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, format!("{{\"keys\":[{}]}}", key.public_jwk())).expect("a file");
    let trusted = TrustedIssuer {
        issuer: "https://login.example".into(),
        source: KeySource::File(file),
        tenants: vec![Tenant::new("acme").expect("a name")],
        profile: None,
        clock_leeway_seconds: 5,
        may_revoke: false,
    };
    (ServedNode::made(Made { trusted: vec![trusted], ..Made::default() }).await, key, directory)
}

/// All that its subject had is revoked for as long as anything may live: a token that lives longer would be active again afterwards.
#[tokio::test]
async fn a_trusted_issuers_jwt_is_active_no_longer_than_the_longest_life() {
    let (node, key, _directory) = trusting().await;
    let issued_days_ago = |days: u64| {
        let iat = 1_800_000_000 - days * 86_400;
        let claims = json!({"iss": "https://login.example", "sub": "a", "oid": "acme", "jti": "x", "iat": iat});
        sign(&key, &claims).expect("signed")
    };
    let shown = node.root().post("/v1/introspect", json!({"credential": issued_days_ago(365)})).await.json();
    assert_eq!(
        (&shown["active"], &shown["expires_at"]),
        (&json!(true), &json!("2027-01-16T08:00:00.000Z")),
        "it names no expiry"
    );
    assert!(!is_active(&node, &issued_days_ago(367)).await);
    node.clock.advance(2 * 86_400_000);
    assert!(!is_active(&node, &issued_days_ago(365)).await);
}

#[tokio::test]
async fn a_trusted_issuers_jwt_is_active_until_it_or_its_subject_is_revoked() {
    let (node, key, _directory) = trusting().await;
    let token = |jti: &str, iat: u64| {
        let claims = json!({
            "iss": "https://login.example", "sub": "a", "oid": "acme", "jti": jti, "iat": iat, "exp": 1_800_001_000,
        });
        sign(&key, &claims).expect("signed")
    };
    let (one, other) = (token("one", 1_799_999_000), token("other", 1_799_999_000));
    let asked = node.root().post("/v1/introspect", json!({"credential": one})).await.json();
    assert_eq!((&asked["iss"], &asked["id"]), (&json!("https://login.example"), &json!("one")));
    let elsewhere = node.application(&[("default", &["revoke", "introspect"])]).await;
    let foreign = elsewhere.post("/v1/revocations", json!({"credential": one})).await;
    assert_eq!(foreign.outcome(), (403, "forbidden".to_owned()));
    assert_eq!(elsewhere.post("/v1/introspect", json!({"credential": one})).await.json(), json!({"active": false}));
    let revoked = node.root().post("/v1/revocations", json!({"credential": one, "note": "stolen"})).await;
    let shown = &revoked.json()["revocations"][0];
    assert_eq!((revoked.status.as_u16(), &shown["iss"], &shown["id"]), (201, &asked["iss"], &asked["id"]));
    let sealed = node.root().get(&format!("/v1/events/{}/sealed", shown["position"])).await;
    assert_eq!(sealed.json(), json!({"note": "stolen"}));
    assert!(!is_active(&node, &one).await && is_active(&node, &other).await);
    assert_eq!(node.root().post("/v1/revocations", json!({"credential": one})).await.status, 200);
    node.root().post("/v1/revocations", json!({"tenant": "acme", "subject": "a"})).await;
    assert!(!is_active(&node, &other).await, "it was issued before");
    let late = token("late", 1_800_000_006);
    node.clock.advance(6_000);
    assert!(is_active(&node, &late).await, "it was issued after, by more than the clocks may differ");
    let forged = one.replace(&one[one.len() - 8..], "AAAAAAAA");
    let refused = node.root().post("/v1/revocations", json!({"credential": forged})).await;
    assert_eq!(refused.outcome(), (400, "invalid-token".to_owned()));
}
