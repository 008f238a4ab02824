//! Every row of the table of answers, at the listener for gateways and at the one for callers; and heads of all forms.

use std::sync::Arc;

use authledger::check::{Authority, CheckRule, Standing, Verdict};
use authledger::domain::Timestamp;
use authledger::http::HttpOptions;
use authledger::http::check::{CheckOptions, Checks, routes};
use authledger::jose::{JwksUrl, KeySource, TrustedIssuer};
use authledger::keys::Algorithm;
use authledger::telemetry::Metrics;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tower::ServiceExt as _;

use super::{issue, node, options, rules, token};
use crate::jose::{self, Signer};
use crate::support::served::{Made, ROOT, START, ServedNode};

const NO_CREDENTIAL: &str = "Bearer realm=\"authledger\"";
const INVALID: &str = "Bearer realm=\"authledger\", error=\"invalid_token\"";
const INSUFFICIENT: &str = "Bearer realm=\"authledger\", error=\"insufficient_scope\"";
const READ_WRITE: &str = "Bearer realm=\"authledger\", error=\"insufficient_scope\", scope=\"read write\"";
/// The identity headers, sorted.
const IDENTITY: [&str; 11] = [
    "x-auth-aal",
    "x-auth-audience",
    "x-auth-client",
    "x-auth-expires",
    "x-auth-id",
    "x-auth-issuer",
    "x-auth-kind",
    "x-auth-scope",
    "x-auth-session",
    "x-auth-subject",
    "x-auth-tenant",
];

/// The answer, once it has what every answer of a check has.
async fn asked(router: &Router, request: Request<Body>) -> Response<()> {
    let shown = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
    let is_connect = request.method() == Method::CONNECT;
    let response = router.clone().oneshot(request).await.expect("a router always answers");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
    let status = parts.status.as_u16();
    assert!([200, 401, 403, 503].contains(&status), "{status} to {shown}");
    assert!(body.is_empty(), "a body to {shown}");
    let value = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(value(header::CACHE_CONTROL), "no-store", "{shown}");
    assert_eq!(value(header::CONTENT_LENGTH), if is_connect && status == 200 { "" } else { "0" }, "{shown}");
    assert_eq!(value(header::RETRY_AFTER), if status == 503 { "1" } else { "" }, "{shown}");
    assert!(value(header::WWW_AUTHENTICATE).is_empty() || [401, 403].contains(&status), "{shown}");
    assert!(!value(header::WWW_AUTHENTICATE).is_empty() || status != 401, "{shown}");
    let mut names: Vec<_> =
        parts.headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with("x-")).collect();
    names.sort_unstable();
    assert_eq!(names, if status == 200 { IDENTITY.to_vec() } else { Vec::new() }, "{shown}");
    Response::from_parts(parts, ())
}

fn get(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).expect("a request")
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> String {
    headers.get(name).map_or(String::new(), |value| value.to_str().expect("ASCII").to_owned())
}

/// Everything that is issued for the rows.
struct Issued {
    jwt: String,
    opaque: String,
    session: String,
    strong: String,
    ticket: String,
    elsewhere: String,
    bound: String,
    expired: String,
    revoked: String,
}

async fn issued(node: &ServedNode) -> Issued {
    let root = node.root();
    let rights = json!({"subject": "alice", "audience": ["reports", "x"], "scope": "write read"});
    let opaque = json!({"subject": "alice", "audience": ["invoices"], "scope": "read", "format": "opaque"});
    let bound = json!({"subject": "alice", "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}});
    let revoked = token(node).await;
    assert_eq!(root.post("/v1/revocations", json!({"credential": revoked})).await.status, 201);
    let expired = issue(&root, "token", json!({"subject": "alice", "ttl": 1})).await;
    let issued = Issued {
        jwt: issue(&root, "token", rights).await,
        opaque: issue(&root, "token", opaque).await,
        session: issue(&root, "session", json!({"subject": "alice"})).await,
        strong: issue(&root, "session", json!({"subject": "bø b%", "aal": "aal2"})).await,
        ticket: issue(&root, "ticket", json!({"subject": "alice"})).await,
        elsewhere: issue(&root, "session", json!({"subject": "alice", "tenant": "acme"})).await,
        bound: issue(&root, "token", bound).await,
        expired,
        revoked,
    };
    node.clock.advance(1_000);
    issued
}

#[tokio::test]
async fn every_case_has_its_status_and_challenge_at_both_listeners() {
    let node = node().await;
    let all = issued(&node).await;
    let long = "x".repeat(17_000);
    // The rule, the credential as a bearer's, the status and the challenge.
    let rows: Vec<(&str, Option<&str>, u16, &str)> = vec![
        ("default", None, 401, NO_CREDENTIAL),
        ("default", Some(&all.jwt), 200, ""),
        ("default", Some(&all.opaque), 200, ""),
        ("default", Some(&all.session), 200, ""),
        ("default", Some(&all.elsewhere), 200, ""),
        ("default", Some(&all.ticket), 401, INVALID),
        ("reports", Some(&all.ticket), 200, ""),
        ("reports", Some(&all.elsewhere), 401, INVALID),
        ("sessions", Some(&all.session), 200, ""),
        ("sessions", Some(&all.jwt), 401, INVALID),
        ("audience", Some(&all.jwt), 200, ""),
        ("audience", Some(&all.opaque), 200, ""),
        ("audience", Some(&all.session), 401, INVALID),
        ("scope", Some(&all.jwt), 200, ""),
        ("scope", Some(&all.opaque), 403, READ_WRITE),
        ("scope", Some(&all.session), 403, READ_WRITE),
        ("aal2", Some(&all.strong), 200, ""),
        ("aal2", Some(&all.session), 403, INSUFFICIENT),
        ("aal2", Some(&all.jwt), 403, INSUFFICIENT),
        ("issuer", Some(&all.jwt), 401, INVALID),
        ("default", Some(&all.bound), 401, INVALID),
        ("default", Some(&all.expired), 401, INVALID),
        ("default", Some(&all.revoked), 401, INVALID),
        ("default", Some("al_o_unknown"), 401, INVALID),
        ("default", Some("a.b.c"), 401, INVALID),
        ("default", Some(ROOT), 401, INVALID),
        ("default", Some("a,b"), 401, INVALID),
        ("default", Some(&long), 401, INVALID),
        ("renewing", Some(&all.ticket), 200, ""),
        ("none", Some(&all.jwt), 403, ""),
        ("none", None, 403, ""),
        ("%64efault", Some(&all.jwt), 403, ""),
        ("DEFAULT", Some(&all.jwt), 403, ""),
    ];
    for router in [node.gateways(), node.router()] {
        for (rule, credential, status, challenge) in &rows {
            let bearer = credential.map(|credential| format!("Bearer {credential}"));
            let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", &**bearer)).collect();
            for behind in ["", "/", "/orders/1", "?rule=none&token=x", "/../../v1/status", "/watch"] {
                let answer = asked(&router, get(&format!("/check/{rule}{behind}"), &headers)).await;
                let shown = (answer.status().as_u16(), text(answer.headers(), header::WWW_AUTHENTICATE));
                assert_eq!(shown, (*status, (*challenge).to_owned()), "{rule}{behind} {credential:?}");
            }
        }
        let elsewhere = format!("Bearer {}", all.jwt);
        for path in ["/check", "/check/", "/check//default", "/check/default%2F", "/check/default;x"] {
            let answer = asked(&router, get(path, &[("authorization", &elsewhere)])).await;
            assert_eq!(answer.status(), 403, "{path}");
        }
    }
    for path in ["/", "/health/ready", "/metrics", "/v1/status", "/checks/default", "/favicon.ico"] {
        assert_eq!(asked(&node.gateways(), get(path, &[])).await.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn a_backend_learns_who_the_bearer_is_and_forwarded_headers_decide_nothing() {
    let node = node().await;
    let all = issued(&node).await;
    let forged = [
        ("x-auth-subject", "mallory"),
        ("x-original-uri", "/check/none"),
        ("x-forwarded-uri", "/check/none"),
        ("x-forwarded-method", "DELETE"),
        ("x-http-method-override", "POST"),
        ("if-none-match", "*"),
        ("range", "bytes=0-0"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("expect", "100-continue"),
        ("accept", "text/html"),
    ];
    let identity = async |rule: &str, place: (&str, String)| {
        let headers: Vec<_> = forged.into_iter().chain([(place.0, &*place.1)]).collect();
        let answer = asked(&node.gateways(), get(&format!("/check/{rule}"), &headers)).await;
        assert_eq!(answer.status(), 200);
        IDENTITY.map(|name| text(answer.headers(), name))
    };
    let [aal, audience, client, expires, id, issuer, kind, scope, session, subject, tenant] =
        identity("default", ("authorization", format!("Bearer {}", all.jwt))).await;
    assert_eq!([&*aal, &*audience, &*client, &*session], ["", "reports x", "", ""]);
    assert_eq!(
        [&*issuer, &*kind, &*scope, &*subject, &*tenant],
        ["http://ledger.test", "token", "write read", "alice", "default"]
    );
    let shown = node.root().post("/v1/introspect", json!({"credential": all.jwt})).await.json();
    assert_eq!(id, shown["id"].as_str().expect("an id"));
    let expires_at: jiff::Timestamp = shown["expires_at"].as_str().expect("a time").parse().expect("RFC 3339");
    assert_eq!(expires, expires_at.as_second().to_string());
    let [aal, .., session, subject, _] =
        identity("reports", ("cookie", format!("theme=dark; session={}", all.strong))).await;
    assert_eq!((&*aal, &*subject), ("aal2", "b%C3%B8 b%25"));
    assert_eq!(uuid::Uuid::parse_str(&session).expect("its own id").get_version_num(), 4);
    let [_, _, client, _, _, _, kind, ..] = identity("reports", ("x-session-token", all.ticket)).await;
    assert_eq!((&*client, &*kind), ("", "ticket"));
}

#[tokio::test]
async fn a_token_of_a_trusted_issuer_is_judged_by_its_own_claims() {
    let signer = Signer::new(Algorithm::Es256);
    // Nothing listens there.
    let unreachable = KeySource::Url(JwksUrl::new("http://127.0.0.1:1/keys").expect("a loopback host"));
    let silent = TrustedIssuer { issuer: "https://silent.example".into(), ..jose::trusted(unreachable, None) };
    let table = "[[check]]\nrule = \"theirs\"\nissuers = [\"https://issuer.example\"]\naudience = [\"reports\"]\nscope = \"read\"\n\
                 min_aal = \"aal2\"\ntenants = [\"one\"]";
    let check = CheckOptions { rules: rules(table), ..CheckOptions::default() };
    let options = HttpOptions { check, ..HttpOptions::default() };
    let node = ServedNode::made(Made { trusted: vec![signer.trusted(None), silent], options, ..Made::default() }).await;
    let claims = |more: Value| {
        let suits = json!({"aud": ["one", "reports"], "scope": ["read", "write"], "acr": "aal3", "azp": "app", "iat": START / 1_000});
        let mut all = jose::claims(suits);
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        all
    };
    let rows = [
        (claims(json!({})), 200),
        (claims(json!({"scope": "x read"})), 200),
        (claims(json!({"scope": "readwrite"})), 403),
        (claims(json!({"acr": "aal1"})), 403),
        (claims(json!({"acr": 2})), 403),
        (claims(json!({"aud": "one"})), 401),
        (claims(json!({"oid": "two", "aud": ["two", "reports"]})), 401),
        (claims(json!({"exp": START / 1_000})), 401),
        (claims(json!({"nbf": START / 1_000 + 60})), 401),
        (claims(json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})), 401),
        // Whether it is active can't be told without its issuer's keys.
        (claims(json!({"iss": "https://silent.example"})), 503),
        (claims(json!({"iss": "https://unknown.example"})), 401),
    ];
    for (claims, status) in rows {
        let bearer = format!("Bearer {}", signer.token(&claims));
        let answer = asked(&node.gateways(), get("/check/theirs", &[("authorization", &bearer)])).await;
        assert_eq!(answer.status(), status, "{claims}");
        if status == 200 {
            assert_eq!(text(answer.headers(), "x-auth-issuer"), "https://issuer.example");
            assert_eq!(text(answer.headers(), "x-auth-client"), "app");
        }
    }
}

#[tokio::test]
async fn any_head_gets_one_of_four_statuses_and_no_body() {
    let node = node().await;
    let credential = token(&node).await;
    let (runtime, routers) = (tokio::runtime::Handle::current(), [node.gateways(), node.router()]);
    let piece = || prop_oneof![Just(String::new()), "[!-~]{0,20}", "[a-z0-9/._%-]{0,40}"];
    let name = prop_oneof![
        Just("authorization".to_owned()),
        Just("cookie".to_owned()),
        Just("x-session-token".to_owned()),
        Just("prefer".to_owned()),
        Just("accept".to_owned()),
        Just("transfer-encoding".to_owned()),
        Just("content-length".to_owned()),
        "[a-z_-]{1,20}",
    ];
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        Just(format!("Bearer {credential}").into_bytes()),
        Just(format!("session={credential}").into_bytes()),
    ];
    let heads = (
        prop_oneof![Just("GET".to_owned()), Just("CONNECT".to_owned()), Just("OPTIONS".to_owned()), "[A-Z]{1,9}"],
        prop_oneof![Just("reports".to_owned()), Just("default".to_owned()), piece()],
        piece(),
        proptest::collection::vec((name, value), 0..8),
        0..2_usize,
        prop_oneof![Just(Version::HTTP_10), Just(Version::HTTP_11), Just(Version::HTTP_2)],
        any::<bool>(),
    );
    tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config { cases: 512, ..Config::default() });
        let all = runner.run(&heads, |(method, rule, behind, lines, router, version, has_body)| {
            let Ok(request) = Request::builder().method(&*method).uri(format!("/check/{rule}{behind}")).body(()) else {
                return Ok(());
            };
            let body = if has_body {
                Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>())
            } else {
                Body::empty()
            };
            let mut request = request.map(|()| body);
            *request.version_mut() = version;
            for (name, value) in lines {
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value)) {
                    request.headers_mut().append(name, value);
                }
            }
            let answer = runtime.block_on(asked(&routers[router], request));
            let closes = text(answer.headers(), header::CONNECTION) == "close";
            prop_assert_eq!(closes, has_body && version != Version::HTTP_2);
            Ok(())
        });
        all.expect("every head is answered so");
    })
    .await
    .expect("no panic");
}

/// An authority that answers when the test says so.
#[derive(Default)]
struct Slow {
    entered: Notify,
    open: Notify,
}

impl Authority for Slow {
    async fn verdict(&self, _: &CheckRule, credential: &str) -> Verdict {
        if credential == "blind" {
            return Verdict::Blind;
        }
        self.entered.notify_one();
        self.open.notified().await;
        Verdict::Refused
    }

    async fn changed(&self, _: &str) {
        std::future::pending().await
    }

    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

#[tokio::test]
async fn a_check_beyond_the_bound_or_that_nobody_can_answer_is_503_and_all_are_counted() {
    let metrics = Metrics::new();
    let (_stop, stopping) = watch::channel(false);
    let authority = Arc::new(Slow::default());
    let options = CheckOptions { concurrency: 1, ..options() };
    let checks = Checks::new(authority.clone(), options, metrics.checks.clone(), stopping);
    let router = routes(Arc::new(checks));
    assert_eq!(asked(&router, get("/check/default", &[("authorization", "Bearer blind")])).await.status(), 503);
    let first = {
        let router = router.clone();
        tokio::spawn(async move { asked(&router, get("/check/default", &[("authorization", "Bearer a")])).await })
    };
    authority.entered.notified().await;
    assert_eq!(asked(&router, get("/check/default", &[("authorization", "Bearer b")])).await.status(), 503);
    // What needs no verdict is answered all the same.
    assert_eq!(asked(&router, get("/check/default", &[])).await.status(), 401);
    assert_eq!(asked(&router, get("/check/none", &[])).await.status(), 403);
    authority.open.notify_one();
    assert_eq!(first.await.expect("no panic").status(), 401);
    let text = metrics.encode();
    for (rule, outcome, count) in [
        ("default", "blind", 1),
        ("default", "busy", 1),
        ("default", "inactive", 1),
        ("default", "no_credential", 1),
        ("default", "allowed", 0),
        ("reports", "allowed", 0),
        ("", "unknown_rule", 1),
    ] {
        let line = format!("authledger_checks_total{{rule=\"{rule}\",outcome=\"{outcome}\"}} {count}");
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_standing_says_the_same_as_introspection_unless_the_node_can_not_tell() {
    let node = node().await;
    let all = issued(&node).await;
    let application = node.application(&[("default", &["issue", "introspect"])]).await;
    let own = issue(&application, "token", json!({"subject": "carol", "scope": "a b", "audience": ["c"]})).await;
    for credential in [&all.jwt, &all.opaque, &all.session, &all.ticket, &own] {
        let standing: Standing = node.service().check(credential).await.expect("an answer").expect("it is active");
        let form = format!("token={credential}");
        let root = node.root().with("content-type", "application/x-www-form-urlencoded");
        let shown = root.send(Method::POST, "/oauth2/introspect", form).await.json();
        let text = |member: &str| shown[member].as_str().map(str::to_owned);
        assert_eq!(standing.scope, text("scope"));
        assert_eq!(standing.client, text("client_id"));
        assert_eq!(standing.session, text("sid"));
        assert_eq!(standing.aal, text("acr"));
        assert_eq!(standing.issuer, text("iss"));
        assert_eq!(standing.id, text("jti"));
        assert_eq!(json!(standing.audience), shown.get("aud").cloned().unwrap_or(json!([])));
        assert_eq!(standing.expires_at.map(Timestamp::as_seconds), shown["exp"].as_u64());
        assert_eq!(
            (Some(standing.subject.to_string()), Some(standing.tenant.to_string())),
            (text("sub"), text("tenant"))
        );
        assert_eq!(standing.kind.as_str(), shown["kind"]);
    }
    // A node that has not caught up with the others can't tell, whatever it is asked about.
    let bearer = format!("Bearer {}", all.jwt);
    for (is_admitted, status) in [(false, 503), (true, 200)] {
        node.service().cluster().admit(is_admitted);
        for router in [node.gateways(), node.router()] {
            assert_eq!(asked(&router, get("/check/default", &[("authorization", &bearer)])).await.status(), status);
        }
    }
    // A node that does not serve the surface has no check beside its other calls.
    let mut made = Made::default();
    made.options.surfaces.retain(|surface| *surface != authledger::http::Surface::Check);
    let without = ServedNode::made(made).await;
    assert_eq!(without.root().get("/check/default").await.status, 404);
    let own = token(&without).await;
    let bearer = format!("Bearer {own}");
    assert_eq!(asked(&without.gateways(), get("/check/default", &[("authorization", &bearer)])).await.status(), 200);
}
