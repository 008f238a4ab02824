//! SlashID's contract, on a node in this process.

mod bound;
mod confusion;
mod consistency;
mod containers;
mod cors;
mod mint;
mod revoke;
mod validate;

use authledger::domain::Position;
use authledger::keys::Algorithm;
use axum::http::Method;
use serde_json::{Value, json};

use crate::jose::{ISSUER, Signer, merged};
use crate::support::served::{Actor, Answer, Made, ROOT, START, ServedNode};

/// Where the clock stands, in seconds.
const NOW: u64 = START / 1000;

/// A node that trusts one issuer, and that issuer, which signs.
struct Place {
    node: ServedNode,
    issuer: Signer,
}

impl Place {
    async fn start() -> Self {
        Self::made(Made::default()).await
    }

    async fn made(made: Made) -> Self {
        let issuer = Signer::new(Algorithm::Es256);
        let trusted = vec![issuer.trusted(None)];
        Self { node: ServedNode::made(Made { trusted, ..made }).await, issuer }
    }

    /// A token of the trusted issuer for a person, with these claims more or, where null, less.
    fn token(&self, more: Value) -> String {
        self.issuer.token(&claims(more))
    }

    /// A container of the trusted issuer with that token in it.
    fn container(&self, inner: &str, more: Value) -> String {
        let claims = merged(claims(json!({"jti": "container", "user_token": inner})), more);
        self.issuer.raw(&self.issuer.header(), &claims.to_string())
    }

    /// A token of this ledger, from its own mint.
    async fn mint(&self, person: &str) -> String {
        let path = format!("/persons/{person}/mint-token");
        let answer = self.root().with("slashid-orgid", "one").post(&path, json!({})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("result").to_owned()
    }

    /// Root, in SlashID's way.
    fn root(&self) -> Actor {
        self.keyed(ROOT)
    }

    /// A caller that has that key.
    fn keyed(&self, key: &str) -> Actor {
        self.node.nobody().with("slashid-api-key", key)
    }

    /// An application's key.
    async fn key(&self, grants: &[(&str, &[&str])]) -> String {
        let grants: Vec<Value> =
            grants.iter().map(|(tenant, scopes)| json!({"tenant": tenant, "scopes": scopes})).collect();
        let answer = self.node.root().post("/v1/applications", json!({"name": "a test's", "grants": grants})).await;
        answer.text("secret").to_owned()
    }

    /// A caller that has nothing but that token revokes it.
    async fn log_out(&self, token: &str) -> Answer {
        revoke(&self.node.holder(token), token).await
    }

    /// Why the token is not valid; nothing if it is.
    async fn invalidity(&self, token: &str) -> Option<String> {
        let answer = self.node.nobody().post("/token/validate", json!({"token": token})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            answer.json().as_object().map(|members| members.keys().collect::<Vec<_>>()),
            Some(vec![&"result".to_owned()])
        );
        let result = &answer.json()["result"];
        assert_eq!(result["valid"].as_bool().expect("valid"), result["invalidity_reason"].is_null());
        result["invalidity_reason"].as_str().map(str::to_owned)
    }

    fn head(&self) -> Position {
        self.node.head()
    }

    /// The records from there on.
    async fn records_after(&self, position: Position) -> Vec<Value> {
        let answer = self.node.root().get(&format!("/v1/events?after={position}")).await;
        let lines = std::str::from_utf8(&answer.body).expect("UTF-8").lines();
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn claims(more: Value) -> Value {
    let valid = json!({"iss": ISSUER, "sub": "person", "oid": "one", "jti": "a", "iat": NOW - 10, "exp": NOW + 600});
    merged(valid, more)
}

async fn revoke(actor: &Actor, token: &str) -> Answer {
    actor.post("/token/revoke", json!({"token": token})).await
}

/// The message, where the answer is an error to the letter.
#[track_caller]
fn refusal(answer: &Answer) -> (u16, String) {
    let status = answer.status.as_u16();
    let message = answer.json()["errors"][0]["message"].as_str().expect("a message").to_owned();
    assert_eq!(answer.json(), json!({"errors": [{"httpcode": status, "message": message}]}));
    assert_eq!(answer.header("content-type"), "application/json");
    (status, message)
}

#[track_caller]
fn is_done(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), &*answer.body), (204, &b""[..]), "{answer:?}");
}

#[tokio::test]
async fn another_verb_is_refused_in_the_contracts_shape() {
    let node = ServedNode::start().await;
    for path in ["/token/revoke", "/slashid/token/validate", "/persons/p/mint-token"] {
        let answer = node.nobody().send(Method::PUT, path, "").await;
        assert_eq!(refusal(&answer), (405, "this path does not take PUT".to_owned()));
        assert_eq!(answer.header("allow"), "POST");
    }
}

#[tokio::test]
async fn the_keys_under_the_base_verify_what_is_minted() {
    let place = Place::start().await;
    let configuration = place.node.nobody().get("/slashid/.well-known/openid-configuration").await;
    let issuer = crate::support::settings::ISSUER;
    assert_eq!(configuration.json()["issuer"], issuer);
    assert_eq!(configuration.json()["jwks_uri"], format!("{issuer}/slashid/.well-known/jwks.json"));
    let token = place.mint("p").await;
    let keys = place.node.nobody().get("/slashid/.well-known/jwks.json").await;
    assert_eq!(keys.header("cache-control"), "public, max-age=60");
    let header = jsonwebtoken::decode_header(&token).expect("a header");
    let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys.body).expect("a key set");
    let jwk = jwks.find(&header.kid.expect("a kid")).expect("the key");
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk).expect("a public key");
    let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).expect("a valid signature");
    assert_eq!((&read.claims["sub"], &read.claims["person_id"]), (&json!("p"), &json!("p")));
    let configuration = place.node.nobody().get("/slashid/.well-known/openid-configuration").await;
    assert_eq!(configuration.json()["id_token_signing_alg_values_supported"], json!(["ES256"]));
}
