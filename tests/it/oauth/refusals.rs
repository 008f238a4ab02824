//! Every row of the table of errors, with its headers; and every way in which a client authenticates.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Client, INTROSPECT, REVOKE, basic, escaped, post};
use crate::support::served::{Answer, ServedNode};

const BASIC: &str = "Basic realm=\"authledger\", charset=\"UTF-8\"";
const BEARER: &str = "Bearer realm=\"authledger\", error=\"invalid_token\"";
const FORM: &str = "application/x-www-form-urlencoded";

fn refused(answer: &Answer) -> (u16, String) {
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
    let body = answer.json();
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["error", "error_description"], "{body}");
    assert!(body["error_description"].as_str().is_some_and(|text| text.is_ascii() && !text.is_empty()));
    (answer.status.as_u16(), body["error"].as_str().expect("a code").to_owned())
}

/// Name, authorization, type and body; status, code and challenge.
type Row<'a> = (&'a str, Option<&'a str>, &'a str, String, u16, &'a str, &'a str);

#[tokio::test]
async fn every_row_of_the_table_of_errors_is_answered() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect", "revoke"])]).await;
    let nowhere = Client::new(&node, &[("default", &["audit"])]).await;
    let right = client.raw();
    let bearer = format!("Bearer {}", client.secret);
    let long = format!("token={}", "x".repeat(17 * 1_024));
    let huge = format!("token={}", "x".repeat(65 * 1_024));
    let many: String = (0..70).map(|n| format!("p{n}=1&")).collect();
    let own = format!("client_id={}&client_secret={}", client.id, client.secret);
    let good = "token=t";
    let long_basic = basic(&client.id, &"x".repeat(512));
    let upper = basic(&client.id.to_uppercase(), &client.secret);
    let wrong_id = basic(&nowhere.id, &client.secret);
    let wrong_secret = basic(&client.id, "x");
    let rows: Vec<Row<'_>> = vec![
        ("wrong type", Some(&right), "application/json", "{}".into(), 400, "invalid_request", ""),
        ("no type", Some(&right), "", good.into(), 400, "invalid_request", ""),
        ("no token", Some(&right), FORM, String::new(), 400, "invalid_request", ""),
        ("empty token", Some(&right), FORM, "token=".into(), 400, "invalid_request", ""),
        ("repeated token", Some(&right), FORM, "token=a&token=b".into(), 400, "invalid_request", ""),
        (
            "repeated hint",
            Some(&right),
            FORM,
            "token=a&token_type_hint=b&token_type_hint=b".into(),
            400,
            "invalid_request",
            "",
        ),
        ("not UTF-8", Some(&right), FORM, "token=%ff".into(), 400, "invalid_request", ""),
        ("half an escape", Some(&right), FORM, "token=%f".into(), 400, "invalid_request", ""),
        ("too many parameters", Some(&right), FORM, format!("{many}token=t"), 400, "invalid_request", ""),
        ("two methods, Basic", Some(&right), FORM, format!("{good}&{own}"), 400, "invalid_request", ""),
        ("two methods, bearer", Some(&bearer), FORM, format!("{good}&client_secret=x"), 400, "invalid_request", ""),
        (
            "two methods, assertion",
            Some(&right),
            FORM,
            format!("{good}&client_assertion=x"),
            400,
            "invalid_request",
            "",
        ),
        ("too long a token", Some(&right), FORM, long, 413, "invalid_request", ""),
        ("too large", Some(&right), FORM, huge.clone(), 413, "invalid_request", ""),
        ("too large, nobody", None, FORM, huge, 413, "invalid_request", ""),
        ("nobody", None, FORM, good.into(), 401, "invalid_client", BASIC),
        ("only an id", None, FORM, format!("{good}&client_id={}", client.id), 401, "invalid_client", BASIC),
        ("nobody, another type", None, "application/json", own.clone(), 401, "invalid_client", BASIC),
        ("wrong secret", Some(&wrong_secret), FORM, good.into(), 401, "invalid_client", BASIC),
        ("wrong id", Some(&wrong_id), FORM, good.into(), 401, "invalid_client", BASIC),
        ("upper case", Some(&upper), FORM, good.into(), 401, "invalid_client", BASIC),
        ("no colon", Some("Basic YWJj"), FORM, good.into(), 401, "invalid_client", BASIC),
        ("not base64", Some("Basic !"), FORM, good.into(), 401, "invalid_client", BASIC),
        ("a scheme alone", Some("Basic"), FORM, good.into(), 401, "invalid_client", BASIC),
        ("another scheme", Some("Digest abc"), FORM, good.into(), 401, "invalid_client", BASIC),
        ("long Basic", Some(&long_basic), FORM, good.into(), 401, "invalid_client", BASIC),
        ("another's id, Basic", Some(&right), FORM, format!("{good}&client_id=x"), 401, "invalid_client", BASIC),
        ("another's id, bearer", Some(&bearer), FORM, format!("{good}&client_id=x"), 401, "invalid_client", BASIC),
        (
            "post, wrong secret",
            None,
            FORM,
            format!("{good}&client_id={}&client_secret=x", client.id),
            401,
            "invalid_client",
            BASIC,
        ),
        ("post, no id", None, FORM, format!("{good}&client_secret={}", client.secret), 401, "invalid_client", BASIC),
        ("wrong bearer", Some("Bearer x"), FORM, good.into(), 401, "invalid_token", BEARER),
        ("empty bearer", Some("Bearer "), FORM, good.into(), 401, "invalid_token", BEARER),
    ];
    for (name, authorization, media_type, body, status, code, challenge) in &rows {
        for path in [INTROSPECT, REVOKE] {
            let mut actor = node.nobody();
            if let Some(authorization) = authorization {
                actor = actor.with("authorization", authorization);
            }
            if !media_type.is_empty() {
                actor = actor.with("content-type", media_type);
            }
            let answer = actor.send(Method::POST, path, body.clone()).await;
            assert_eq!(refused(&answer), (*status, (*code).to_owned()), "{name} at {path}");
            assert_eq!(answer.header("www-authenticate"), *challenge, "{name} at {path}");
        }
    }
    println!("{} rows at two calls", rows.len());
}

#[tokio::test]
async fn the_rows_that_depend_on_address_verb_and_scope_are_answered() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect", "revoke"])]).await;
    let nowhere = Client::new(&node, &[("default", &["audit"])]).await;
    for query in ["token=x", "client_secret=x", "client%5Fid=x", "a=b&client_assertion=x"] {
        for path in [INTROSPECT, REVOKE] {
            let answer = post(&client.on(&node), &format!("{path}?{query}"), &[("token", "t")]).await;
            assert_eq!(refused(&answer), (400, "invalid_request".to_owned()), "{query}");
        }
    }
    let harmless = post(&client.on(&node), &format!("{INTROSPECT}?tenant=x"), &[("token", "t")]).await;
    assert_eq!((harmless.status.as_u16(), harmless.json()), (200, json!({"active": false})));
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for path in [INTROSPECT, "/admin/oauth2/introspect", REVOKE] {
            let answer = client.on(&node).send(method.clone(), path, "").await;
            assert_eq!(refused(&answer), (405, "invalid_request".to_owned()), "{method} {path}");
            assert_eq!(answer.header("allow"), "POST");
        }
    }
    let twice = client.on(&node).with("authorization", &client.raw());
    assert_eq!(refused(&post(&twice, INTROSPECT, &[("token", "t")]).await), (400, "invalid_request".to_owned()));
    for (accept, status) in
        [("text/html", 406), ("text/html, */*;q=0.1", 200), ("application/*", 200), ("application/json;q=0", 406)]
    {
        let answer = post(&client.on(&node).with("accept", accept), INTROSPECT, &[("token", "t")]).await;
        assert_eq!(answer.status.as_u16(), status, "{accept}");
    }
    let basic = post(&nowhere.on(&node), INTROSPECT, &[]).await;
    assert_eq!((refused(&basic), basic.header("www-authenticate")), ((403, "insufficient_scope".to_owned()), ""));
    let bearer = post(&node.holder(&nowhere.secret), INTROSPECT, &[]).await;
    assert_eq!(refused(&bearer), (403, "insufficient_scope".to_owned()));
    let challenge = "Bearer realm=\"authledger\", error=\"insufficient_scope\", scope=\"introspect\"";
    assert_eq!(bearer.header("www-authenticate"), challenge);
    let posted = [("client_id", &*nowhere.id), ("client_secret", &*nowhere.secret)];
    assert_eq!(refused(&post(&node.nobody(), INTROSPECT, &posted).await), (403, "insufficient_scope".to_owned()));
    let elsewhere = Client::new(&node, &[("other", &["introspect"])]).await;
    let token =
        node.root().post("/v1/tokens", json!({"subject": "a", "format": "opaque"})).await.text("token").to_owned();
    let answer = post(&elsewhere.on(&node), INTROSPECT, &[("token", &token)]).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"active": false})));
}

/// Some clients escape each half of Basic and some do not, so both must do, with any character.
#[tokio::test]
async fn a_client_authenticates_in_each_way() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect"])]).await;
    let token = node.root().post("/v1/tickets", json!({"subject": "a"})).await.text("ticket").to_owned();
    let active = async |answer: Answer| {
        assert_eq!((answer.status.as_u16(), &answer.json()["active"]), (200, &json!(true)), "{}", answer.shown());
    };
    let escapes = basic(&escaped(&client.id), &escaped(&client.secret));
    let unpadded = client.raw().trim_end_matches('=').to_owned();
    let lower = client.raw().replace("Basic ", "bAsIc   ");
    let root = basic("root", crate::support::served::ROOT);
    let bearer = format!("bearer {}", client.secret);
    for authorization in [&client.raw(), &escapes, &unpadded, &lower, &root, &bearer] {
        active(post(&node.nobody().with("authorization", authorization), INTROSPECT, &[("token", &token)]).await).await;
    }
    let posted = [("client_id", &*client.id), ("token", &*token), ("client_secret", &*client.secret)];
    active(post(&node.nobody(), INTROSPECT, &posted).await).await;
    let named = [("client_id", &*client.id), ("token", &*token)];
    active(post(&client.on(&node), INTROSPECT, &named).await).await;
    // A secret that somebody chose, with every character that is escaped, and some that read as escapes.
    let chosen = "a b+c%2Bd:e&f=g/h?~-._%(secret)";
    let odd = ServedNode::made(crate::support::served::Made { root: chosen, ..Default::default() }).await;
    let ticket = odd.holder(chosen).post("/v1/tickets", json!({"subject": "a"})).await;
    assert_eq!(ticket.status, 201, "{}", ticket.shown());
    for authorization in [basic("root", &escaped(chosen)), basic("root", chosen)] {
        active(
            post(&odd.nobody().with("authorization", &authorization), INTROSPECT, &[("token", ticket.text("ticket"))])
                .await,
        )
        .await;
    }
}

#[tokio::test]
async fn a_removed_and_an_expired_application_are_refused_alike() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect"])]).await;
    let wrong =
        post(&node.nobody().with("authorization", &basic(&client.id, "x")), INTROSPECT, &[("token", "t")]).await;
    assert_eq!(node.root().delete(&format!("/v1/applications/{}", client.id)).await.status, 204);
    let removed = post(&client.on(&node), INTROSPECT, &[("token", "t")]).await;
    let expires = "2027-01-15T08:00:01Z";
    let body = json!({"name": "a", "scopes": ["introspect"], "tenants": ["default"], "expires_at": expires});
    let answer = node.root().post("/v1/applications", body).await;
    let late = Client { id: answer.text("id").to_owned(), secret: answer.text("secret").to_owned() };
    node.clock.advance(1_000);
    let expired = post(&late.on(&node), INTROSPECT, &[("token", "t")]).await;
    for answer in [&removed, &expired] {
        assert_eq!((answer.status, &answer.headers, &answer.body), (wrong.status, &wrong.headers, &wrong.body));
    }
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_not_an_answer() {
    use authledger::domain::Tenant;
    use authledger::jose::{JwksUrl, KeySource, TrustedIssuer, sign};
    use authledger::keys::{Algorithm, SigningKey};
    let directory = tempfile::tempdir().expect("a directory");
    let key = SigningKey::generate(&directory.path().join("keys"), Algorithm::Es256).expect("a key");
    let trusted = TrustedIssuer {
        issuer: "https://away.example".into(),
        // Nobody listens there.
        source: KeySource::Url(JwksUrl::new("http://127.0.0.1:1/keys").expect("a loopback address")),
        tenants: vec![Tenant::new("default").expect("a name")],
        profile: None,
        clock_leeway_seconds: 5,
        may_revoke: false,
    };
    let made = crate::support::served::Made { trusted: vec![trusted], ..Default::default() };
    let node = ServedNode::made(made).await;
    let client = Client::new(&node, &[("default", &["introspect", "revoke"])]).await;
    let claims: Value = json!({"iss": "https://away.example", "sub": "a", "oid": "default", "jti": "1"});
    let token = sign(&key, &claims).expect("a token");
    let head = node.head();
    for path in [INTROSPECT, REVOKE] {
        let answer = post(&client.on(&node), path, &[("token", &token)]).await;
        assert_eq!(refused(&answer), (503, "temporarily_unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), "60");
    }
    assert_eq!(node.head(), head);
}
