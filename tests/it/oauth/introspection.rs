//! An introspection by RFC 7662 says what the native call says, for every kind of credential in every state.

use authledger::jose::sign;
use authledger::keys::SigningKey;
use serde_json::{Value, json};

use super::{Client, FOREIGN, INTROSPECT, post, trusting};
use crate::support::served::{Actor, ServedNode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Ticket,
    Session,
    Jwt,
    Opaque,
    JwtOfSession,
    OpaqueOfSession,
    BoundToKey,
    BoundToCertificate,
    Foreign,
    Container,
}

const SORTS: [Sort; 10] = [
    Sort::Ticket,
    Sort::Session,
    Sort::Jwt,
    Sort::Opaque,
    Sort::JwtOfSession,
    Sort::OpaqueOfSession,
    Sort::BoundToKey,
    Sort::BoundToCertificate,
    Sort::Foreign,
    Sort::Container,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    Expired,
    Revoked,
    SessionRevoked,
    SubjectRevoked,
    Held,
    Erased,
    TenantRevoked,
    OtherTenant,
}

const STATES: [State; 9] = [
    State::Good,
    State::Expired,
    State::Revoked,
    State::SessionRevoked,
    State::SubjectRevoked,
    State::Held,
    State::Erased,
    State::TenantRevoked,
    State::OtherTenant,
];

const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// A credential, and the session that it belongs to.
struct Issued {
    secret: String,
    session: Option<String>,
}

async fn issue(actor: &Actor, signer: &SigningKey, sort: Sort, subject: &str, now: u64) -> Issued {
    let session = async || {
        let body = json!({
            "tenant": "acme", "subject": subject, "ttl": 600, "aal": "aal2", "methods": ["password", {"method": "totp"}],
        });
        let answer = actor.post("/v1/sessions", body).await;
        (answer.text("session_token").to_owned(), answer.json()["session"]["id"].as_str().expect("an id").to_owned())
    };
    let token = async |more: Value| {
        let mut body = json!({
            "tenant": "acme", "subject": subject, "ttl": 300, "audience": ["api", "reports"], "scope": "read write",
        });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = actor.post("/v1/tokens", body).await;
        assert_eq!(answer.status, 201, "{}", answer.shown());
        answer.text("token").to_owned()
    };
    let foreign = |claims: Value| {
        let mut all = json!({"iss": FOREIGN, "sub": subject, "oid": "acme", "iat": now - 60, "exp": now + 300});
        all.as_object_mut().expect("an object").extend(claims.as_object().expect("an object").clone());
        sign(signer, &all).expect("a token")
    };
    let alone = |secret: String| Issued { secret, session: None };
    match sort {
        Sort::Ticket => alone(
            actor
                .post("/v1/tickets", json!({"tenant": "acme", "subject": subject, "ttl": 300}))
                .await
                .text("ticket")
                .to_owned(),
        ),
        Sort::Session => {
            let (secret, id) = session().await;
            Issued { secret, session: Some(id) }
        }
        Sort::Jwt => alone(token(json!({})).await),
        Sort::Opaque => alone(token(json!({"format": "opaque"})).await),
        Sort::JwtOfSession => {
            let (_, id) = session().await;
            Issued { secret: token(json!({"session_id": id})).await, session: Some(id) }
        }
        Sort::OpaqueOfSession => {
            let (_, id) = session().await;
            Issued { secret: token(json!({"session_id": id, "format": "opaque"})).await, session: Some(id) }
        }
        Sort::BoundToKey => alone(token(json!({"cnf": {"jkt": THUMBPRINT}})).await),
        Sort::BoundToCertificate => alone(token(json!({"cnf": {"x5t#S256": THUMBPRINT}, "format": "opaque"})).await),
        Sort::Foreign => alone(foreign(json!({
            "jti": format!("of-{subject}"), "aud": "one", "azp": "their-app", "scope": "a b", "nbf": now - 60, "acr": "gold",
            "amr": ["pwd"], "auth_time": now - 90, "act": {"sub": "another"}, "email": "not@repeated.example",
        }))),
        Sort::Container => {
            let inner = foreign(json!({"jti": format!("in-{subject}")}));
            alone(foreign(json!({"jti": format!("of-{subject}"), "user_token": inner})))
        }
    }
}

/// Whether a credential is still active in that state.
fn is_active(state: State, has_session: bool) -> bool {
    match state {
        State::Good => true,
        State::SessionRevoked => !has_session,
        State::Expired
        | State::Revoked
        | State::SubjectRevoked
        | State::Held
        | State::Erased
        | State::TenantRevoked
        | State::OtherTenant => false,
    }
}

async fn reach(node: &ServedNode, state: State, subject: &str, issued: &Issued) {
    let revoke = async |body: Value| {
        let answer = node.root().post("/v1/revocations", body).await;
        assert!(answer.status.is_success(), "{}", answer.shown());
    };
    match state {
        State::Good | State::OtherTenant => {}
        State::Expired => node.clock.advance(601_000),
        State::Revoked => revoke(json!({"credential": issued.secret})).await,
        State::SessionRevoked => {
            if let Some(id) = &issued.session {
                revoke(json!({"kind": "session", "id": id})).await;
            }
        }
        State::SubjectRevoked => revoke(json!({"tenant": "acme", "subject": subject})).await,
        State::Held => revoke(json!({"tenant": "acme", "subject": subject, "hold": 60})).await,
        State::Erased => {
            let path = format!("/v1/subjects/{subject}/personal-data?tenant=acme");
            assert!(node.root().delete(&path).await.status.is_success());
        }
        State::TenantRevoked => revoke(json!({"tenant": "acme"})).await,
    }
}

/// The members of the native answer that this one has in another form.
fn translated(native: &Value) -> Value {
    if native["active"] != true {
        return json!({"active": false});
    }
    let seconds = |member: &str| {
        let instant = native[member].as_str()?.parse::<jiff::Timestamp>().expect("a time");
        Some(instant.as_second())
    };
    let mut due = json!({
        "active": true, "sub": native["subject"], "tenant": native["tenant"], "kind": native["kind"],
        "iss": native["iss"].as_str().unwrap_or("http://ledger.test"),
    });
    let mut say = |name: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            due[name] = value;
        }
    };
    say("jti", Some(native["id"].clone()));
    say("exp", seconds("expires_at").map(Value::from));
    say("iat", seconds("issued_at").map(Value::from));
    let is_token = native["kind"] == "token";
    let sid = if native["kind"] == "session" { &native["id"] } else { &native["session_id"] };
    say("sid", Some(sid.clone()));
    say("client_id", Some(native["application"].clone()).filter(|_| is_token));
    say("cnf", Some(native["cnf"].clone()));
    let kind = if native["cnf"].is_null() { json!("Bearer") } else { native["token_type"].clone() };
    say("token_type", Some(kind).filter(|_| is_token));
    due
}

#[tokio::test]
async fn an_introspection_says_what_the_native_call_says() {
    let mut cells = 0;
    for state in STATES {
        let (node, signer, _directory) = trusting().await;
        let issuer = node.application(&[("acme", &["issue"])]).await;
        let asked = if state == State::OtherTenant { "other" } else { "acme" };
        let client = Client::new(&node, &[(asked, &["introspect"])]).await;
        let native = node.holder(&client.secret);
        let now = node.clock.now().as_seconds();
        let mut all = Vec::new();
        for (n, sort) in SORTS.into_iter().enumerate() {
            let subject = format!("person-{n}");
            all.push((sort, issue(&issuer, &signer, sort, &subject, now).await, subject));
        }
        for (sort, issued, subject) in &all {
            if !(state == State::Expired && *sort != Sort::Ticket) {
                reach(&node, state, subject, issued).await;
            }
        }
        for (sort, issued, _) in &all {
            let case = format!("{sort:?}, {state:?}");
            let told = native.post("/v1/introspect", json!({"credential": issued.secret})).await.json();
            let answer = post(&client.on(&node), INTROSPECT, &[("token", &issued.secret)]).await;
            assert_eq!(answer.status, 200, "{case}");
            assert_eq!(
                (answer.header("content-type"), answer.header("cache-control")),
                ("application/json", "no-store")
            );
            let shown = answer.json();
            let active = is_active(state, issued.session.is_some());
            assert_eq!((&told["active"], &shown["active"]), (&json!(active), &json!(active)), "{case}");
            let due = translated(&told);
            for (name, value) in due.as_object().expect("an object") {
                assert_eq!(shown[name], *value, "{name} of {case}");
            }
            if active {
                extras(*sort, &shown, &due, now, &case);
            } else {
                assert_eq!(shown, json!({"active": false}), "{case}");
            }
            cells += 1;
        }
    }
    println!("{} sorts x {} states = {cells} cells", SORTS.len(), STATES.len());
}

/// The members that the native answer does not have, and none besides.
fn extras(sort: Sort, shown: &Value, due: &Value, now: u64, case: &str) {
    let token = json!({"scope": "read write", "aud": ["api", "reports"]});
    let more = match sort {
        Sort::Ticket => json!({}),
        Sort::Session => json!({"auth_time": now, "acr": "aal2", "amr": ["password", "totp"]}),
        Sort::Jwt
        | Sort::Opaque
        | Sort::JwtOfSession
        | Sort::OpaqueOfSession
        | Sort::BoundToKey
        | Sort::BoundToCertificate => token,
        Sort::Foreign => json!({
            "aud": ["one"], "azp": "their-app", "client_id": "their-app", "scope": "a b", "nbf": now - 60, "acr": "gold",
            "amr": ["pwd"], "auth_time": now - 90, "act": {"sub": "another"},
        }),
        Sort::Container => json!({}),
    };
    let mut all = due.as_object().expect("an object").clone();
    all.extend(more.as_object().expect("an object").clone());
    assert_eq!(*shown, Value::Object(all), "{case}");
}

#[tokio::test]
async fn hydras_path_adds_its_members_and_asks_for_scopes() {
    let (node, signer, _directory) = trusting().await;
    let client = Client::new(&node, &[("acme", &["introspect", "issue"])]).await;
    let actor = node.holder(&client.secret);
    let now = node.clock.now().as_seconds();
    let hydra = "/admin/oauth2/introspect";
    for (sort, is_token) in [(Sort::Opaque, true), (Sort::Foreign, true), (Sort::Session, false), (Sort::Ticket, false)]
    {
        let issued = issue(&actor, &signer, sort, "a", now).await;
        let plain = post(&client.on(&node), INTROSPECT, &[("token", &issued.secret)]).await.json();
        let mut due = plain.clone();
        if is_token {
            due["token_use"] = json!("access_token");
            due["ext"] = json!({});
        }
        assert_eq!(post(&client.on(&node), hydra, &[("token", &issued.secret)]).await.json(), due, "{sort:?}");
        let scope = plain["scope"].as_str().unwrap_or("").to_owned();
        let first = scope.split(' ').next().unwrap_or("").to_owned();
        for (wanted, active) in [(&*scope, true), (&*first, true), ("read write more", false), ("READ", false)] {
            for path in [hydra, INTROSPECT] {
                let asked = [("token", &*issued.secret), ("scope", wanted)];
                assert_eq!(post(&client.on(&node), path, &asked).await.json()["active"], active, "{sort:?} {wanted:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_hint_and_unknown_parameters_change_nothing_and_a_ticket_is_not_renewed() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect"])]).await;
    let ticket = node.root().post("/v1/tickets", json!({"subject": "a", "ttl": 60})).await.text("ticket").to_owned();
    let first = post(&client.on(&node), INTROSPECT, &[("token", &ticket)]).await;
    node.clock.advance(30_000);
    for hint in ["access_token", "refresh_token", "pumpkin", "urn:x:y"] {
        let more = [("token", &*ticket), ("token_type_hint", hint), ("resource", "a"), ("resource", "b"), ("x", "")];
        assert_eq!(post(&client.on(&node), INTROSPECT, &more).await.body, first.body);
    }
    node.clock.advance(30_000);
    assert_eq!(post(&client.on(&node), INTROSPECT, &[("token", &ticket)]).await.json(), json!({"active": false}));
}

/// Clients keep `active` until `exp`, which has whole seconds.
#[tokio::test]
async fn nothing_is_active_beyond_its_exp_and_no_exp_equals_its_iat() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect"])]).await;
    node.clock.advance(400);
    let ticket = node.root().post("/v1/tickets", json!({"subject": "a", "ttl": 1})).await.text("ticket").to_owned();
    let now = node.clock.now().as_seconds();
    let shown = post(&client.on(&node), INTROSPECT, &[("token", &ticket)]).await.json();
    assert_eq!((&shown["iat"], &shown["exp"]), (&json!(now), &json!(now + 1)));
    node.clock.advance(600);
    assert_eq!(post(&client.on(&node), INTROSPECT, &[("token", &ticket)]).await.json(), json!({"active": false}));
    let foreign_forever = json!({"subject": "b", "ttl": 5});
    let session = node.root().post("/v1/sessions", foreign_forever).await;
    let shown = post(&client.on(&node), INTROSPECT, &[("token", session.text("session_token"))]).await.json();
    assert!(shown["iat"].as_u64() < shown["exp"].as_u64());
}

#[tokio::test]
async fn a_live_token_is_read_from_the_log_once() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect"])]).await;
    let body = json!({"subject": "a", "format": "opaque", "scope": "read", "audience": "api"});
    let token = node.root().post("/v1/tokens", body).await.text("token").to_owned();
    let first = post(&client.on(&node), INTROSPECT, &[("token", &token)]).await;
    assert_eq!((&first.json()["scope"], &first.json()["aud"]), (&json!("read"), &json!(["api"])));
    // A log that can't be read any more.
    let ledger = node.ledger();
    std::fs::rename(&ledger, ledger.with_extension("away")).expect("our own file");
    assert_eq!(post(&client.on(&node), INTROSPECT, &[("token", &token)]).await.body, first.body);
    std::fs::rename(ledger.with_extension("away"), &ledger).expect("our own file");
}
