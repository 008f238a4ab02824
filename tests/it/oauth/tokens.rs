//! Access tokens for applications, and clients that authenticate with a key.

use std::path::Path;

use authledger::jose::{sign, sign_as};
use authledger::keys::{Algorithm, SigningKey};
use serde_json::{Value, json};

use super::{Client, INTROSPECT, REVOKE, post};
use crate::support::served::{Actor, Answer, Made, ServedNode};

const TOKEN: &str = "/oauth2/token";
const ISSUER: &str = "http://ledger.test";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn granted(actor: &Actor, scope: Option<&str>) -> Answer {
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(scope.map(|scope| ("scope", scope)));
    post(actor, TOKEN, &form).await
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_access_token_allows_what_its_application_may_in_its_scopes() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect", "revoke", "follow"])]).await;
    let head = node.head();
    let answer = granted(&client.on(&node), Some("introspect")).await;
    assert_eq!(answer.status, 200, "{}", answer.shown());
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
    let body = answer.json();
    let rest = json!({"access_token": body["access_token"], "token_type": "Bearer", "expires_in": 3_600, "scope": "introspect"});
    assert_eq!(body, rest);
    assert_eq!(node.head().0, head.0 + 1);
    let record = node.root().get(&format!("/v1/events/{}", head.0 + 1)).await.json();
    assert_eq!((&record["version"], &record["data"]["grant"]), (&json!(2), &json!("client_credentials")));
    assert_eq!(record["data"]["subject"], format!("application:{}", client.id));
    let token = answer.text("access_token");
    let bearer = node.holder(token);
    let ticket = node.root().post("/v1/tickets", json!({"subject": "a"})).await.text("ticket").to_owned();
    assert_eq!(post(&bearer, INTROSPECT, &[("token", &ticket)]).await.json()["active"], true);
    let shown = post(&client.on(&node), INTROSPECT, &[("token", token)]).await.json();
    assert_eq!(
        (&shown["client_id"], &shown["aud"], &shown["scope"]),
        (&json!(client.id), &json!([ISSUER]), &json!("introspect"))
    );
    assert_eq!(refused(&post(&bearer, REVOKE, &[("token", &ticket)]).await), (403, "insufficient_scope".to_owned()));
    let native = bearer.post("/v1/introspect", json!({"credential": ticket})).await;
    assert_eq!((native.status.as_u16(), &native.json()["active"]), (200, &json!(true)));
    for (path, body) in [("/v1/revocations", json!({"credential": ticket})), ("/v1/tickets", json!({"subject": "a"}))] {
        assert_eq!(bearer.post(path, body).await.status, 403, "{path}");
    }
    assert_eq!(bearer.get("/v1/revocations?after=0").await.status, 403);
    assert_eq!(
        refused(&granted(&bearer, None).await),
        (400, "unauthorized_client".to_owned()),
        "it leads to no further one"
    );
    let all = granted(&client.on(&node), None).await;
    assert_eq!(all.json()["scope"], "revoke introspect follow ssf.read ssf.manage");
    let may_revoke = node.holder(all.text("access_token"));
    assert_eq!(may_revoke.get("/v1/revocations?after=0").await.status, 200);
    assert_eq!(post(&may_revoke, REVOKE, &[("token", &ticket)]).await.status, 200);
    assert_eq!(post(&bearer, INTROSPECT, &[("token", &ticket)]).await.json(), json!({"active": false}));
    assert_eq!(post(&client.on(&node), REVOKE, &[("token", token)]).await.status, 200);
    assert_eq!(refused(&post(&bearer, INTROSPECT, &[("token", &ticket)]).await), (401, "invalid_token".to_owned()));
}

#[tokio::test]
async fn a_grant_that_can_not_be_made_is_refused_without_a_record() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect"])]).await;
    let head = node.head();
    for (form, code) in [
        (vec![], "invalid_request"),
        (vec![("grant_type", "")], "invalid_request"),
        (vec![("grant_type", "authorization_code")], "unsupported_grant_type"),
        (vec![("grant_type", "client_credentials"), ("scope", "revoke")], "invalid_scope"),
        (vec![("grant_type", "client_credentials"), ("scope", "introspect ssf.read")], "invalid_scope"),
        (vec![("grant_type", "client_credentials"), ("scope", "openid")], "invalid_scope"),
    ] {
        assert_eq!(refused(&post(&client.on(&node), TOKEN, &form).await), (400, code.to_owned()), "{form:?}");
    }
    assert_eq!(refused(&granted(&node.root(), None).await), (400, "unauthorized_client".to_owned()));
    assert_eq!(refused(&granted(&node.nobody(), None).await), (401, "invalid_client".to_owned()));
    assert_eq!(node.head(), head);
}

/// A subject is whatever its issuer says, so it makes nobody an application.
#[tokio::test]
async fn a_token_that_says_that_it_is_an_applications_does_not_count_as_it() {
    let node = ServedNode::start().await;
    let admin = Client::new(&node, &[("*", &["issue", "introspect", "admin"])]).await;
    let issuer = node.application(&[("default", &["issue"])]).await;
    for format in ["jwt", "opaque"] {
        for actor in [&issuer, &node.holder(&admin.secret)] {
            let body = json!({
                "subject": format!("application:{}", admin.id), "format": format, "scope": "introspect admin",
                "audience": ISSUER,
            });
            let token = actor.post("/v1/tokens", body).await.text("token").to_owned();
            let answer = post(&node.holder(&token), INTROSPECT, &[("token", &token)]).await;
            assert_eq!(refused(&answer), (401, "invalid_token".to_owned()), "{format}");
            assert_eq!(node.holder(&token).get("/v1/applications").await.status, 401, "{format}");
        }
    }
}

#[tokio::test]
async fn an_access_token_ends_with_its_application() {
    let node = ServedNode::start().await;
    let asker = Client::new(&node, &[("default", &["introspect"])]).await;
    let client = Client::new(&node, &[("default", &["introspect"])]).await;
    let token = granted(&client.on(&node), None).await.text("access_token").to_owned();
    assert_eq!(post(&asker.on(&node), INTROSPECT, &[("token", &token)]).await.json()["active"], true);
    assert_eq!(node.root().delete(&format!("/v1/applications/{}", client.id)).await.status, 204);
    assert_eq!(refused(&post(&node.holder(&token), INTROSPECT, &[("token", &token)]).await).0, 401);
    assert_eq!(node.holder(&token).post("/v1/introspect", json!({"credential": token})).await.status, 401);
    assert_eq!(post(&asker.on(&node), INTROSPECT, &[("token", &token)]).await.json(), json!({"active": false}));
    let native = node.root().post("/v1/introspect", json!({"credential": token})).await;
    assert_eq!(native.json(), json!({"active": false}));
    let body = json!({
        "name": "short", "scopes": ["introspect"], "tenants": ["acme"], "expires_at": "2027-01-15T08:01:00Z",
    });
    let answer = node.root().post("/v1/applications", body).await;
    let short = Client { id: answer.text("id").to_owned(), secret: answer.text("secret").to_owned() };
    let granted = granted(&short.on(&node), None).await;
    assert_eq!(granted.json()["expires_in"], 60);
    let native = node.root().post("/v1/introspect", json!({"credential": granted.text("access_token")})).await.json();
    assert_eq!(native["tenant"], "acme", "its only tenant");
    node.clock.advance(60_000);
    assert_eq!(refused(&post(&node.holder(granted.text("access_token")), INTROSPECT, &[]).await).0, 401);
}

/// A client with a key, and the node that knows it.
struct Keyed {
    node: ServedNode,
    key: SigningKey,
    id: String,
    _directory: tempfile::TempDir,
}

fn key(directory: &Path, algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(&directory.join("keys"), algorithm).expect("a key")
}

impl Keyed {
    async fn new(algorithm: Algorithm) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let key = key(directory.path(), algorithm);
        let node = ServedNode::start().await;
        let jwk: Value = serde_json::from_str(&key.public_jwk()).expect("a JWK");
        let id = Self::register(&node, json!({"jwks": {"keys": [jwk]}})).await;
        Self { node, key, id, _directory: directory }
    }

    async fn register(node: &ServedNode, oauth: Value) -> String {
        let body = json!({"name": "keyed", "scopes": ["introspect"], "tenants": ["default"], "oauth": oauth});
        let answer = node.root().post("/v1/applications", body).await;
        assert_eq!(answer.status, 201, "{}", answer.shown());
        assert_eq!(answer.json().get("secret"), None, "it has a key instead");
        answer.text("id").to_owned()
    }

    fn claims(&self, jti: &str) -> Value {
        let now = self.node.clock.now().as_seconds();
        json!({"iss": self.id, "sub": self.id, "aud": ISSUER, "jti": jti, "iat": now, "exp": now + 60})
    }

    async fn ask(&self, assertion: &str) -> Answer {
        self.ask_with(assertion, &[]).await
    }

    async fn ask_with(&self, assertion: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![("token", "t"), ("client_assertion_type", JWT_BEARER), ("client_assertion", assertion)];
        form.extend(more);
        post(&self.node.nobody(), INTROSPECT, &form).await
    }
}

#[tokio::test]
async fn a_client_authenticates_with_its_key_and_each_assertion_counts_once() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let client = Keyed::new(algorithm).await;
        for (n, typ) in ["JWT", "jwt", "client-authentication+jwt"].into_iter().enumerate() {
            let assertion = sign_as(&client.key, typ, &client.claims(&n.to_string())).expect("a JWT");
            let first = client.ask(&assertion).await;
            assert_eq!((first.status.as_u16(), first.json()), (200, json!({"active": false})), "{algorithm} {typ}");
            assert_eq!(refused(&client.ask(&assertion).await), (400, "invalid_client".to_owned()));
        }
        let mut listed = client.claims("listed");
        listed["aud"] = json!([ISSUER]);
        let assertion = sign(&client.key, &listed).expect("a JWT");
        assert_eq!(client.ask_with(&assertion, &[("client_id", &client.id)]).await.status, 200);
        let form = [("grant_type", "client_credentials"), ("client_assertion_type", JWT_BEARER)];
        let assertion = sign(&client.key, &client.claims("granted")).expect("a JWT");
        let form = [&form[..], &[("client_assertion", &*assertion)]].concat();
        assert_eq!(post(&client.node.nobody(), TOKEN, &form).await.status, 200);
    }
}

#[tokio::test]
async fn an_assertion_for_anything_else_authenticates_nobody() {
    let client = Keyed::new(Algorithm::Es256).await;
    let other = Keyed::register(&client.node, json!({"jwks_url": "http://127.0.0.1:1/keys"})).await;
    let plain = Client::new(&client.node, &[("default", &["introspect"])]).await;
    let now = client.node.clock.now().as_seconds();
    let head = client.node.head();
    let changes: Vec<(&str, Value)> = vec![
        ("aud", json!(format!("{ISSUER}{INTROSPECT}"))),
        ("aud", json!(format!("{ISSUER}/"))),
        ("aud", json!([ISSUER, "https://other.example"])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("sub", json!(other)),
        ("sub", json!(client.id.to_uppercase())),
        ("iss", json!(other)),
        ("exp", json!(now)),
        ("exp", json!(now + 3_601)),
        ("exp", Value::Null),
        ("exp", json!("soon")),
        ("nbf", json!(now + 61)),
        ("iat", json!(now + 61)),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(256))),
        ("jti", json!(1)),
    ];
    let mut refusals = 0;
    for (name, value) in changes {
        let mut claims = client.claims("one");
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value,
        }
        let assertion = sign(&client.key, &claims).expect("a JWT");
        let answer = client.ask(&assertion).await;
        assert_eq!(refused(&answer), (400, "invalid_client".to_owned()), "{claims}");
        assert_eq!(answer.header("www-authenticate"), "", "only where Authorization was used");
        refusals += 1;
    }
    println!("{refusals} changed assertions");
    let mut both = client.claims("two");
    for id in [&plain.id, "root", "nobody"] {
        (both["iss"], both["sub"]) = (json!(id), json!(id));
        assert_eq!(refused(&client.ask(&sign(&client.key, &both).expect("a JWT")).await).0, 400, "{id}");
    }
    let typed = sign_as(&client.key, "at+jwt", &client.claims("three")).expect("a JWT");
    assert_eq!(refused(&client.ask(&typed).await).0, 400);
    let directory = tempfile::tempdir().expect("a directory");
    let stranger = sign(&key(directory.path(), Algorithm::Es256), &client.claims("four")).expect("a JWT");
    assert_eq!(refused(&client.ask(&stranger).await).0, 400);
    for garbage in ["", "x", "e30.e30.e30"] {
        let answer = client.ask(garbage).await;
        assert_eq!(refused(&answer), (400, "invalid_client".to_owned()), "{garbage}");
    }
    let good = sign(&client.key, &client.claims("five")).expect("a JWT");
    assert_eq!(refused(&client.ask_with(&good, &[("client_id", &other)]).await), (400, "invalid_client".to_owned()));
    let good = sign(&client.key, &client.claims("six")).expect("a JWT");
    assert_eq!(refused(&client.ask_with(&good, &[("client_secret", "x")]).await), (400, "invalid_request".to_owned()));
    let saml = [("token", "t"), ("client_assertion_type", "urn:saml"), ("client_assertion", &*good)];
    assert_eq!(refused(&post(&client.node.nobody(), INTROSPECT, &saml).await), (400, "invalid_client".to_owned()));
    assert_eq!(client.ask(&good).await.status, 200, "none of these has used it up");
    assert_eq!(client.node.head(), head);
}

#[tokio::test]
async fn published_keys_are_fetched_and_an_unknown_name_fetches_them_once_a_minute() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let directory = tempfile::tempdir().expect("a directory");
    let key = key(directory.path(), Algorithm::Es256);
    let served = Arc::new(AtomicUsize::new(0));
    let (set, count) = (format!("{{\"keys\":[{}]}}", key.public_jwk()), served.clone());
    let router = axum::Router::new().fallback(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let set = set.clone();
        async move { set }
    });
    let address = crate::support::stub::serve(router).await;
    let node = ServedNode::start().await;
    let id = Keyed::register(&node, json!({"jwks_url": format!("http://{address}/keys")})).await;
    let client = Keyed { node, key, id, _directory: directory };
    let assertion = sign(&client.key, &client.claims("one")).expect("a JWT");
    assert_eq!(client.ask(&assertion).await.status, 200);
    let other = tempfile::tempdir().expect("a directory");
    let unknown = self::key(other.path(), Algorithm::Es256);
    for n in 0..20 {
        let assertion = sign(&unknown, &client.claims(&format!("u{n}"))).expect("a JWT");
        assert_eq!(refused(&client.ask(&assertion).await), (400, "invalid_client".to_owned()));
    }
    assert_eq!(served.load(Ordering::SeqCst), 1);
    client.node.clock.advance(61_000);
    let assertion = sign(&unknown, &client.claims("late")).expect("a JWT");
    assert_eq!(refused(&client.ask(&assertion).await).0, 400);
    assert_eq!(served.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_registration_says_what_its_client_is() {
    let node = ServedNode::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let key = key(directory.path(), Algorithm::Es256);
    let public: Value = serde_json::from_str(&key.public_jwk()).expect("a JWK");
    let mut private = public.clone();
    private["d"] = json!("AAAA");
    let body = |oauth: Value| json!({"name": "a", "scopes": ["introspect"], "tenants": ["default"], "oauth": oauth});
    let oauth = json!({"audiences": ["api"], "introspection_signed_response_alg": "ES256", "omit_exp": true});
    let answer = node.root().post("/v1/applications", body(oauth.clone())).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["oauth"]), (201, &oauth));
    assert!(answer.json()["secret"].is_string());
    let keyed = json!({"jwks": {"keys": [public]}});
    assert_eq!(
        node.root().keyed("a-key-of-the-tests-0001").post("/v1/applications", body(keyed.clone())).await.status,
        201
    );
    let again = node.root().keyed("a-key-of-the-tests-0001").post("/v1/applications", body(keyed.clone())).await;
    assert_eq!((again.status.as_u16(), &again.json()["oauth"]), (201, &keyed));
    let listed = node.root().get("/v1/applications").await.json();
    assert_eq!((&listed["applications"][0]["oauth"], &listed["applications"][1]["oauth"]), (&oauth, &keyed));
    let head = node.head();
    for bad in [
        json!({"audiences": []}),
        json!({"audiences": ["\n"]}),
        json!({"audiences": vec!["a"; 17]}),
        json!({"jwks": {"keys": []}}),
        json!({"jwks": {"keys": [private]}}),
        json!({"jwks": {"keys": [public, {"kty": "oct", "k": "AAAA"}]}}),
        json!({"jwks": "x"}),
        json!({"jwks_url": "http://keys.example/"}),
        json!({"jwks": {"keys": [public]}, "jwks_url": "https://keys.example/"}),
        json!({"introspection_signed_response_alg": "HS256"}),
        // No key of this ledger signs with it.
        json!({"introspection_signed_response_alg": "RS256"}),
        json!({"more": 1}),
        Value::Null,
    ] {
        assert_eq!(
            node.root().post("/v1/applications", body(bad.clone())).await.outcome(),
            (400, "invalid-body".to_owned()),
            "{bad}"
        );
    }
    assert_eq!(node.head(), head);
    let empty = node.root().post("/v1/applications", body(json!({}))).await;
    assert_eq!((empty.status.as_u16(), empty.json().get("oauth")), (201, None));
}

#[tokio::test]
async fn a_clients_terms_hold_for_what_it_is_told_and_over_a_restart() {
    let mut node = ServedNode::start().await;
    let oauth = json!({"audiences": ["api", "reports"], "omit_exp": true});
    let body = json!({"name": "a", "scopes": ["introspect"], "tenants": ["default"], "oauth": oauth});
    let answer = node.root().post("/v1/applications", body).await;
    let client = Client { id: answer.text("id").to_owned(), secret: answer.text("secret").to_owned() };
    let mut secrets = Vec::new();
    for (audience, active) in
        [(json!(["api", "x"]), true), (json!("reports"), true), (json!("x"), false), (json!(null), true)]
    {
        for format in ["jwt", "opaque"] {
            let mut body = json!({"subject": "a", "format": format, "audience": audience});
            if audience.is_null() {
                body.as_object_mut().expect("an object").remove("audience");
            }
            secrets.push((node.root().post("/v1/tokens", body).await.text("token").to_owned(), active));
        }
    }
    let ticket = node.root().post("/v1/tickets", json!({"subject": "a"})).await;
    secrets.push((ticket.text("ticket").to_owned(), true));
    for round in 0..2 {
        for (secret, active) in &secrets {
            let shown = post(&client.on(&node), INTROSPECT, &[("token", secret)]).await.json();
            assert_eq!((&shown["active"], shown.get("exp")), (&json!(active), None), "{round}");
        }
        node.restart_with(Made::default()).await;
    }
}
