//! Ory's contract beside a real Kratos: each behaviour with the product's answer and ours.
//!
//! The product's answers follow from its public sources and tests, as they were in July 2026. Where ours is another one
//! on purpose, the row says why.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use authledger::domain::{Policy, Ttl};
use authledger::http::HttpOptions;
use authledger::http::compat::ory::Template;
use authledger::jose::TokenError;
use authledger::service::{Hook, JwtStanding};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::served::{Actor, Answer, Made, ServedNode};

const MALFORMED: &str = "The request was malformed or contained invalid parameters";
const DAY_MILLIS: u64 = 86_400_000;
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// The rows of one test.
#[derive(Default)]
struct Table {
    same: usize,
    different: usize,
}

impl Table {
    /// Ours is the product's answer.
    fn same(&mut self, request: &str, product: impl Into<String>, ours: impl Into<String>) {
        let (product, ours) = (product.into(), ours.into());
        println!("same       {request}\n             both {ours}");
        assert_eq!(ours, product, "{request}");
        self.same += 1;
    }

    /// Ours is another one, for that reason.
    fn differs(&mut self, request: &str, product: &str, ours: impl Into<String>, expected: &str, why: &str) {
        let ours = ours.into();
        println!(
            "different  {request}\n          product {product}\n             ours {ours}\n              why {why}"
        );
        assert_eq!(ours, expected, "{request}");
        assert_ne!(ours, product, "{request}: it is the product's answer by now");
        self.different += 1;
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        println!("{} rows hold, {} differ on purpose", self.same, self.different);
    }
}

struct Session {
    id: String,
    token: String,
}

async fn issue(node: &ServedNode, subject: &str) -> Session {
    let device = json!({"user_agent": "phone"});
    let identity = json!({"traits": {"email": "ada@example.org"}, "metadata_admin": {"risk": 1}});
    let body = json!({"subject": subject, "device": device, "identity": identity});
    let issued = node.root().post("/v1/sessions", body).await.json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    Session { id: text(&issued["session"]["id"]), token: text(&issued["session_token"]) }
}

async fn issue_some(node: &ServedNode, subject: &str, number: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    for _ in 0..number {
        node.clock.advance(1);
        sessions.push(issue(node, subject).await);
    }
    sessions
}

/// A session for each of so many subjects, all at once.
async fn issue_one_each(node: &ServedNode, subjects: usize) {
    let issuing: Vec<_> = (0..subjects)
        .map(|number| {
            let root = node.root();
            let body = json!({"subject": format!("s{number}")});
            tokio::spawn(async move { root.post("/v1/sessions", body).await.status })
        })
        .collect();
    for one in issuing {
        assert_eq!(one.await.expect("an answer"), 201);
    }
}

fn imported_id(number: usize) -> String {
    format!("10000000-0000-4000-8000-{:012}", number * 7_919 % 1_000_003)
}

/// Sessions that are imported: each with its number, which is the millisecond of its issue, and its subject.
async fn import(node: &ServedNode, sessions: impl IntoIterator<Item = (usize, impl Into<String>)>) {
    let importer = node.root().with("content-type", "application/x-ndjson");
    let line = |(number, subject): (usize, _)| {
        let (id, subject): (_, String) = (imported_id(number), Into::into(subject));
        let issued_at =
            format!("2027-01-15T07:{:02}:{:02}.{:03}Z", number / 60_000, number / 1_000 % 60, number % 1_000);
        json!({"kind": "session", "subject": subject, "id": id, "issued_at": issued_at,
            "expires_at": "2027-01-16T07:00:00Z"})
        .to_string()
    };
    let lines: Vec<String> = sessions.into_iter().map(line).collect();
    for some in lines.chunks(300) {
        let answer = importer.send(Method::POST, "/v1/imports", some.join("\n")).await;
        assert_eq!(answer.status, 200, "{}", answer.shown());
    }
}

fn holder(node: &ServedNode, session: &Session) -> Actor {
    node.nobody().with("x-session-token", &session.token)
}

/// The status, and of a refusal its reason and message.
fn told(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return status.to_string();
    }
    let error = &answer.json()["error"];
    let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(error["code"], status, "Ory's shape: {}", answer.shown());
    format!("{status} ({}) {}", part("reason"), part("message"))
}

/// The status, and the members of that name of a session, or of each of a list.
fn members(answer: &Answer, names: &[&str]) -> String {
    let body = answer.json();
    let one = |session: &Value| {
        let members: Vec<String> = names
            .iter()
            .map(|name| match &session[*name] {
                Value::Object(_) => format!("{name} object"),
                other => format!("{name} {other}"),
            })
            .collect();
        members.join(", ")
    };
    let all: BTreeSet<String> = match &body {
        Value::Array(sessions) => sessions.iter().map(one).collect(),
        session => BTreeSet::from([one(session)]),
    };
    format!("{} {}", told(answer), all.into_iter().collect::<Vec<_>>().join("; "))
}

fn ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let list = body.as_array().unwrap_or_else(|| panic!("a list: {}", answer.shown()));
    list.iter().map(|session| session["id"].as_str().expect("an id").to_owned()).collect()
}

/// The links of an answer, each with its relation and the place that it leads to.
fn links(answer: &Answer) -> Vec<(String, String)> {
    let parts = answer.header("link").split(',').filter(|part| !part.is_empty());
    let one = |part: &str| {
        let (uri, rel) = part.trim_start_matches('<').split_once(">; rel=\"").expect("a link");
        (rel.trim_end_matches('"').to_owned(), uri.to_owned())
    };
    parts.map(one).collect()
}

fn rels(answer: &Answer) -> String {
    links(answer).into_iter().map(|(rel, _)| rel).collect::<Vec<_>>().join(" ")
}

fn leads_to(answer: &Answer, rel: &str) -> String {
    links(answer).into_iter().find(|(known, _)| known == rel).map(|(_, uri)| uri).unwrap_or_default()
}

fn offset(offset: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{{\"offset\":\"{offset}\",\"v\":2}}"))
}

/// The device of a session that is issued with these headers.
async fn device(node: &ServedNode, body: Value, headers: &[(&str, &str)]) -> Value {
    let root = headers.iter().fold(node.root(), |actor, (name, value)| actor.with(name, value));
    let issued = root.post("/v1/sessions", body).await.json();
    let path = format!("/admin/sessions/{}?expand=devices", issued["session"]["id"].as_str().expect("an id"));
    node.root().get(&path).await.json()["devices"].clone()
}

#[tokio::test]
async fn a_device_is_taken_from_the_headers_of_proxies_if_the_operator_says_so() {
    let mut table = Table::default();
    let headers = [
        ("x-forwarded-for", "203.0.113.1, 198.51.100.2, 10.0.0.1"),
        ("user-agent", "Mozilla/5.0"),
        ("cf-ipcity", "Berlin"),
        ("cf-ipcountry", "DE"),
    ];
    let mut options = HttpOptions::default();
    let node = ServedNode::start().await;
    assert_eq!(device(&node, json!({"subject": "ada"}), &headers).await, json!([]), "not unless it is told to");
    options.device_headers = true;
    let node = ServedNode::made(Made { options, ..Made::default() }).await;
    let found = device(&node, json!({"subject": "ada"}), &headers).await;
    let part = |name: &str| found[0][name].as_str().unwrap_or_default().to_owned();
    table.same("a device's address, behind proxies", "198.51.100.2", part("ip_address"));
    table.same("its user agent", "Mozilla/5.0", part("user_agent"));
    table.same("its location", "Berlin, DE", part("location"));
    let real = device(&node, json!({"subject": "ada"}), &[headers[0], ("true-client-ip", "192.0.2.7")]).await;
    table.same("its address by True-Client-IP", "192.0.2.7", real[0]["ip_address"].as_str().expect("text"));
    let given = json!({"subject": "ada", "device": {"user_agent": "phone"}});
    let found = device(&node, given, &headers).await;
    assert_eq!((&found[0]["user_agent"], &found[0]["ip_address"]), (&json!("phone"), &Value::Null), "the caller's own");
    let large = json!({"subject": "ada", "identity": {"traits": {"x": "x".repeat(32_700)}}});
    assert_eq!(device(&node, large, &headers).await, json!([]), "what headers say refuses no login");
}

async fn with_templates() -> ServedNode {
    with_templates_and(Vec::new()).await
}

async fn with_templates_and(hooks: Vec<Hook>) -> ServedNode {
    let ttl = |seconds| Ttl::from_seconds(seconds).expect("in range");
    let mut options = HttpOptions::default();
    options.compat.ory.templates = vec![
        Template { name: "plain".into(), ttl: ttl(600), audience: Vec::new(), claims: serde_json::Map::new() },
        Template {
            name: "gateway".into(),
            ttl: ttl(60),
            audience: vec!["api".into()],
            claims: json!({"tier": "gold"}).as_object().expect("an object").clone(),
        },
    ];
    ServedNode::made(Made { options, hooks, ..Made::default() }).await
}

/// A hook that says that a commit has begun to wait, and lets it go on when it is told to, after the switch is on.
fn waiting_commits(is_on: Arc<AtomicBool>) -> (Hook, UnboundedReceiver<()>, std::sync::mpsc::Sender<()>) {
    let ((begun, commits), (release, released)) = (unbounded_channel(), std::sync::mpsc::channel());
    let hook = move |_: &[_], _| {
        if is_on.load(Ordering::Acquire) {
            let _ = begun.send(());
            let _ = released.recv();
        }
    };
    (Box::new(hook), commits, release)
}

/// The claims of the token in an answer of `whoami`.
fn claims(answer: &Answer) -> Value {
    let body = answer.json();
    let token = body["tokenized"].as_str().unwrap_or_else(|| panic!("a token: {}", answer.shown()));
    let payload = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("claims")
}

async fn standing(node: &ServedNode, answer: &Answer) -> Result<JwtStanding, TokenError> {
    let body = answer.json();
    let judged = node.service().judge_jwt(body["tokenized"].as_str().expect("a token")).await;
    judged.map(|judged| judged.standing)
}

#[tokio::test]
async fn whoami_beside_the_product() {
    let (mut table, node) = (Table::default(), ServedNode::start().await);
    let (session, ended) = (issue(&node, "ada").await, issue(&node, "ada").await);
    let me = holder(&node, &session);
    assert_eq!(me.delete(&format!("/sessions/{}", ended.id)).await.status, 204);

    let nobody = "401 (No valid session credentials found in the request.) The request could not be authorized";
    table.same("whoami without credentials", nobody, told(&node.nobody().get("/sessions/whoami").await));
    for verb in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let verb = Method::from_bytes(verb.as_bytes()).expect("a verb");
        let request = format!("{verb} whoami");
        table.same(&request, "200", told(&me.send(verb, "/sessions/whoami", "").await));
    }
    let traced = me.send(Method::TRACE, "/sessions/whoami", "").await;
    let why = "scanners report every server that answers TRACE, and no gateway sends it";
    table.differs("TRACE whoami", "200", traced.status.as_str(), "405", why);

    let cookie = |value: &str| format!("theme=dark; ory_kratos_session={value}");
    let unreadable = cookie("MTczMjE5MjEwNXxEWDhFQVFMX2dBQUJFQUVRQUFEX3pQLUFBQU09fA==");
    let by = |cookie: &str, token: &str| {
        let actor = node.nobody().with("cookie", cookie);
        if token.is_empty() { actor } else { actor.with("authorization", &format!("Bearer {token}")) }
    };
    let unread = by(&unreadable, &session.token).get("/sessions/whoami").await;
    table.same("an unreadable cookie, a good bearer", "200", told(&unread));
    table.same("an unreadable cookie alone", nobody, told(&by(&unreadable, "").get("/sessions/whoami").await));
    let ended_first = by(&cookie(&ended.token), &session.token).get("/sessions/whoami").await;
    table.same("the cookie of an ended session, a good bearer", nobody, told(&ended_first));
    let bad_header = node.nobody().with("x-session-token", "bad").with("cookie", &cookie(&session.token));
    table.same("a bad X-Session-Token, a good cookie", nobody, told(&bad_header.get("/sessions/whoami").await));
    let shown = me.get("/sessions/whoami").await;
    let has_identity = !shown.header("x-kratos-authenticated-identity-id").is_empty();
    table.same("X-Kratos-Authenticated-Identity-Id", "true", has_identity.to_string());
    let metadata = |answer: &Answer| answer.json()["identity"]["metadata_admin"].to_string();
    table.same("the identity's metadata_admin in whoami", "null", metadata(&shown));
}

#[tokio::test]
async fn a_cookie_is_replaced_after_an_extension() {
    let (mut table, node) = (Table::default(), ServedNode::start().await);
    let session = issue(&node, "ada").await;
    let set = |answer: &Answer| {
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().cloned().collect();
        cookies.into_iter().map(|cookie| cookie.to_str().expect("ASCII").to_owned()).collect::<Vec<_>>()
    };
    let with = |value: &str| node.nobody().with("cookie", &format!("ory_kratos_session={value}"));
    let whoami = async |actor: &Actor| set(&actor.get("/sessions/whoami").await);
    let how_many = |cookies: &[String]| cookies.len().to_string();

    table.same("whoami by an up-to-date cookie sets cookies", "0", how_many(&whoami(&with(&session.token)).await));
    node.clock.advance(DAY_MILLIS / 2);
    let extend = format!("/admin/sessions/{}/extend", session.id);
    assert_eq!(node.root().send(Method::PATCH, &extend, "").await.status, 200);
    let by_token = holder(&node, &session);
    table.same("whoami by token after an extension sets cookies", "0", how_many(&whoami(&by_token).await));
    let fresh = whoami(&with(&session.token)).await;
    table.same("whoami by cookie after an extension sets cookies", "1", how_many(&fresh));
    let (value, attributes) = fresh[0].split_once("; ").expect("attributes");
    assert_eq!(
        attributes,
        "Path=/; Expires=Sat, 16 Jan 2027 20:00:00 GMT; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"
    );
    let value = value.strip_prefix("ory_kratos_session=").expect("its name").to_owned();
    table.same("whoami by the fresh cookie sets cookies", "0", how_many(&whoami(&with(&value)).await));
    let answer = with(&value).get("/sessions").await;
    table.same("a list by the fresh cookie", "200", told(&answer));
    node.clock.advance(DAY_MILLIS / 4);
    assert_eq!(node.root().send(Method::PATCH, &extend, "").await.status, 200);
    table.same("the fresh cookie, after one more extension", "1", how_many(&whoami(&with(&value)).await));
    // A caller that takes the value from the cookie and presents it elsewhere presents the same session.
    for actor in [node.nobody().with("x-session-token", &value), node.holder(&value)] {
        assert_eq!(actor.get("/sessions/whoami").await.json()["id"], *session.id);
    }
    let other = with(&format!("{}~x", session.token));
    assert_eq!(other.get("/sessions/whoami").await.status, 401);

    let mut options = HttpOptions::default();
    options.compat.ory.cookie_domain = Some("example.org".into());
    let node = ServedNode::made(Made { options, ..Made::default() }).await;
    let session = issue(&node, "ada").await;
    node.clock.advance(1_000);
    node.root().send(Method::PATCH, &format!("/admin/sessions/{}/extend", session.id), "").await;
    let actor = node.nobody().with("cookie", &format!("ory_kratos_session={}", session.token));
    let answer = actor.get("/sessions/whoami").await;
    assert!(answer.header("set-cookie").contains("; Path=/; Domain=example.org; "), "{}", answer.shown());
}

#[tokio::test]
async fn tokens_are_made_of_templates() {
    let (mut table, node) = (Table::default(), with_templates().await);
    let session = issue(&node, "ada").await;
    let me = holder(&node, &session);
    let as_of = |template: &str| format!("/sessions/whoami?tokenize_as={template}");
    let unknown = format!("400 (Unable to find tokenizer template \"other\".) {MALFORMED}");
    table.same("tokenize_as without such a template", unknown, told(&me.get(&as_of("other")).await));
    let nobody = node.nobody().get(&as_of("other")).await;
    table.same("the same without credentials", "401", nobody.status.as_str());
    let plain = me.get("/sessions/whoami").await;
    table.same("whoami without tokenize_as has a token", "null", plain.json()["tokenized"].to_string());

    let head = node.head().0;
    let answer = me.get(&as_of("gateway")).await;
    let token = claims(&answer);
    table.same("its sid is the session", &*session.id, token["sid"].as_str().expect("text"));
    let life = token["exp"].as_u64().expect("seconds") - token["iat"].as_u64().expect("seconds");
    table.same("its life is the template's", "60", life.to_string());
    table.same("it has an issuer", "true", token["iss"].is_string().to_string());
    table.same("it has an id", "true", token["jti"].is_string().to_string());
    let identity = answer.json()["identity"]["id"].as_str().expect("an id").to_owned();
    let why = "every token of the ledger names its subject, so that the ledger knows whose it is";
    table.differs("its sub", &identity, token["sub"].as_str().expect("text"), "ada", why);
    assert_eq!((&token["aud"], &token["tier"]), (&json!("api"), &json!("gold")));
    assert_eq!(standing(&node, &answer).await, Ok(JwtStanding::Active));
    assert_eq!(node.head().0, head + 3, "one event, after those of the ledger's two keys");

    // A template of another session, another template of this one, and this one again.
    let again = async |actor: &Actor, template: &str| claims(&actor.get(&as_of(template)).await)["jti"].clone();
    let (first, head) = (token["jti"].clone(), node.head().0);
    node.clock.advance(29_000);
    assert_eq!(again(&me, "gateway").await, first, "it is given again for half of its life");
    assert_eq!(node.head().0, head, "which is not an event");
    node.clock.advance(2_000);
    let second = again(&me, "gateway").await;
    assert_ne!(second, first);
    let other = issue(&node, "ada").await;
    let others = again(&holder(&node, &other), "gateway").await;
    assert!(others != second && again(&me, "plain").await != second);

    // Near the end of its session a fresh one would not last longer.
    let short = node.root().post("/v1/sessions", json!({"subject": "bob", "ttl": 40})).await.json();
    let short = node.nobody().with("x-session-token", short["session_token"].as_str().expect("text"));
    let first = again(&short, "gateway").await;
    node.clock.advance(39_000);
    assert_eq!(again(&short, "gateway").await, first);

    // Revoked by itself, it is not given again; and with its session it is inactive.
    let revoke = json!({"id": second, "kind": "token"});
    assert!(node.root().post("/v1/revocations", revoke).await.status.is_success());
    let third = me.get(&as_of("gateway")).await;
    assert_ne!(claims(&third)["jti"], second);
    assert_eq!(node.root().delete(&format!("/admin/sessions/{}", session.id)).await.status, 204);
    assert!(matches!(standing(&node, &third).await, Ok(JwtStanding::Revoked(..))));
    let gone = me.get(&as_of("gateway")).await;
    table.same("tokenize_as of an ended session", "401", gone.status.as_str());
    let hold = json!({"subject": "ada", "kinds": ["token"], "hold": 600});
    assert!(node.root().post("/v1/revocations", hold).await.status.is_success());
    assert_eq!(holder(&node, &other).get(&as_of("gateway")).await.status, 403, "nothing is issued to it");
    assert_eq!(holder(&node, &other).get("/sessions/whoami").await.status, 200);
}

#[tokio::test]
async fn a_session_whose_token_was_revoked_by_itself_gets_another_one_when_half_of_its_life_is_over() {
    let node = with_templates().await;
    let session = issue(&node, "ada").await;
    let ask = async || holder(&node, &session).get("/sessions/whoami?tokenize_as=gateway").await;
    let token = ask().await.json()["tokenized"].as_str().expect("a token").to_owned();
    assert_eq!(node.root().post("/v1/revocations", json!({"credential": token})).await.status, 201);
    let head = node.head();
    assert_eq!(ask().await.status, 403);
    assert_eq!(node.head(), head, "a bearer that revokes each token has no more records made");
    node.clock.advance(31_000);
    assert_eq!(ask().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_requests_at_once_make_one_token() {
    let node = with_templates().await;
    let session = issue(&node, "ada").await;
    let head = node.head().0;
    let asking: Vec<_> = (0..32)
        .map(|_| {
            let actor = holder(&node, &session);
            tokio::spawn(async move { claims(&actor.get("/sessions/whoami?tokenize_as=plain").await)["jti"].clone() })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for one in asking {
        ids.insert(one.await.expect("a token").to_string());
    }
    // The first token ever makes two keys, too.
    assert!(ids.len() == 1 && node.head().0 <= head + 3, "{ids:?}");
}

/// A slow disk delays the session that needs a token, and no other session that has one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_that_is_being_made_keeps_no_other_session_waiting() {
    // Several times as many as there are parts, so that some share the part of the one that waits.
    const OTHERS: usize = 300;
    let is_on = Arc::new(AtomicBool::new(false));
    let (hook, mut commits, release) = waiting_commits(is_on.clone());
    let node = with_templates_and(vec![hook]).await;
    let path = "/sessions/whoami?tokenize_as=plain";
    let mut others = Vec::new();
    for session in issue_some(&node, "ada", OTHERS).await {
        let actor = holder(&node, &session);
        others.push((claims(&actor.get(path).await)["jti"].clone(), actor));
    }
    let slow = holder(&node, &issue(&node, "eve").await);
    is_on.store(true, Ordering::Release);
    let slow = tokio::spawn(async move { slow.get(path).await.status });
    commits.recv().await.expect("a commit");
    for (token, actor) in &others {
        assert_eq!(claims(&actor.get(path).await)["jti"], *token);
    }
    assert!(!slow.is_finished());
    is_on.store(false, Ordering::Release);
    release.send(()).expect("it waits");
    assert_eq!(slow.await.expect("an answer"), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bearer_who_hangs_up_has_one_token_made() {
    let is_on = Arc::new(AtomicBool::new(false));
    let (hook, mut commits, release) = waiting_commits(is_on.clone());
    let node = with_templates_and(vec![hook]).await;
    let path = "/sessions/whoami?tokenize_as=plain";
    // The first token ever makes keys, too.
    assert_eq!(holder(&node, &issue(&node, "ada").await).get(path).await.status, 200);
    let bearer = holder(&node, &issue(&node, "ada").await);
    let head = node.head().0;
    is_on.store(true, Ordering::Release);
    let hanging_up = bearer.clone();
    let request = tokio::spawn(async move { hanging_up.get(path).await.status });
    commits.recv().await.expect("a commit");
    request.abort();
    assert!(request.await.expect_err("it was dropped").is_cancelled());
    let again = tokio::spawn(async move { bearer.get(path).await.status });
    is_on.store(false, Ordering::Release);
    release.send(()).expect("it waits");
    assert_eq!(again.await.expect("an answer"), 200);
    assert_eq!(node.head().0, head + 1);
}

#[tokio::test]
async fn pages_of_a_subject_beside_the_product() {
    let (mut table, node) = (Table::default(), ServedNode::start().await);
    let current = issue(&node, "ada").await;
    let me = holder(&node, &current);
    let get = async |query: &str| me.get(&format!("/auth/sessions{query}")).await;
    table.same("links of an empty list", "first next prev", rels(&get("").await));
    let first = issue_some(&node, "ada", 1).await;
    table.same("links of one session", "first", rels(&get("").await));
    let to = format!("/auth/sessions?page=0&page_size=1&page_token={}&per_page=1", offset(0));
    table.same("the first link of one session", to, leads_to(&get("").await, "first"));
    let mut newest: Vec<String> =
        issue_some(&node, "ada", 4).await.into_iter().map(|session| session.id).rev().collect();
    newest.extend(first.into_iter().map(|session| session.id));

    for lenient in ["?page_size=many", "?page_token=garbage!", "?page=x", "?per_page=x", "?page_size=", "?page=-3"] {
        let answer = get(lenient).await;
        table.same(&format!("GET /sessions{lenient}"), "200 5", format!("{} {}", told(&answer), ids(&answer).len()));
    }
    for one in ["?page_size=0", "?page_size=-1", "?per_page=0"] {
        let answer = get(one).await;
        table.same(&format!("GET /sessions{one}"), "200 1", format!("{} {}", told(&answer), ids(&answer).len()));
    }
    let page = async |from: i64| get(&format!("?page_size=2&page_token={}&x=%C3%A9%20~", offset(from))).await;
    table.same("links of the first page", "next last", rels(&page(0).await));
    table.same("links of a page between", "first next prev last", rels(&page(2).await));
    table.same("links of the last page", "first prev", rels(&page(4).await));
    let next = leads_to(&page(0).await, "next");
    let to = format!("/auth/sessions?page=1&page_size=2&page_token={}&per_page=2&x=%C3%A9+~", offset(2));
    table.same("the next link", to, next);
    table.same(
        "the last link",
        "2",
        leads_to(&page(0).await, "last").split("page=").nth(1).expect("a page")[..1].to_owned(),
    );
    table.same("X-Total-Count", "5", page(2).await.header("x-total-count"));
    for (number, from) in [(0, 0), (1, 0), (2, 2)] {
        let answer = get(&format!("?page={number}&per_page=2")).await;
        let request = format!("rows of page={number}&per_page=2");
        table.same(&request, newest[from..from + 2].join(" "), ids(&answer).join(" "));
    }
    let why = "along its links the product shows the first page twice, and the last one never";
    let product = newest[..2].join(" ");
    let ours = ids(&page(2).await).join(" ");
    table.differs("rows of the page from the second on", &product, ours, &newest[2..4].join(" "), why);
    let path = format!("/admin/identities/ada/sessions?page_size=many&page_token={}", offset(0));
    let answer = node.root().get(&path).await;
    table.same("an identity's sessions, page_size=many", "200 6", format!("{} {}", told(&answer), ids(&answer).len()));
    table.same("links of it", "first", rels(&answer));
}

#[tokio::test]
async fn pages_of_a_tenant_beside_the_product() {
    let (mut table, node) = (Table::default(), ServedNode::start().await);
    let sessions = issue_some(&node, "ada", 5).await;
    let newest: Vec<String> = sessions.iter().rev().map(|session| session.id.clone()).collect();
    let root = node.root();
    let get = async |query: &str| root.get(&format!("/admin/sessions{query}")).await;
    let unreadable = "400 () could not parse parameter page_size";
    let crafted = format!("400 (The page token is invalid, do not craft your own page tokens) {MALFORMED}");
    table.same("page_size=many", unreadable, told(&get("?page_size=many").await));
    table.same("a page_token that is not base64", unreadable, told(&get("?page_token=!").await));
    let token = |text: &str| format!("?page_size=3&page_token={}", STANDARD_NO_PAD.encode(text));
    table.same("a page_token without an id", &*crafted, told(&get(&token("a=b")).await));
    for all in ["?page_size=0", "?page_size=-1", "?page_size=5000", "?page_size=&page_token="] {
        let answer = get(all).await;
        table.same(all, "200 5", format!("{} {}", told(&answer), ids(&answer).len()));
    }
    table.same(
        "active=maybe",
        "400 () could not parse parameter active",
        told(&get("?active=maybe&page_size=x").await),
    );
    let expand = format!("400 (Could not parse expand option: all) {MALFORMED}");
    table.same("expand=all", expand, told(&get("?expand=all").await));

    let page = get("?page_size=3&active=true&expand=devices").await;
    table.same("links of the first page", "first next", rels(&page));
    let default = STANDARD_NO_PAD.encode("created_at=2200-12-31 23:59:59/id=00000000-0000-0000-0000-000000000000");
    let to = format!("/admin/sessions?active=true&expand=devices&page_size=3&page_token={default}");
    table.same("the first link", to, leads_to(&page, "first"));
    assert_eq!(ids(&root.get(&leads_to(&page, "first")).await), newest[..3]);
    let last = root.get(&leads_to(&page, "next")).await;
    table.same("links of the last page", "first", rels(&last));
    assert_eq!([ids(&page), ids(&last)].concat(), newest);

    let third = root.get(&format!("/v1/sessions/{}", newest[2])).await.json();
    let issued_at = third["issued_at"].as_str().expect("a time").trim_end_matches('Z').replace('T', " ");
    let after = get(&token(&format!("id={}/created_at={issued_at}", newest[2]))).await;
    let why =
        "the product's order within an instant is another one: its last session comes again, so that none is missed";
    table.differs(
        "the product's own token, after the third session",
        &newest[3..].join(" "),
        ids(&after).join(" "),
        &newest[2..].join(" "),
        why,
    );
}

#[tokio::test]
async fn an_administrators_calls_beside_the_product() {
    let (mut table, node) = (Table::default(), ServedNode::start().await);
    let (session, short) = (issue(&node, "ada").await, issue(&node, "bob").await);
    let root = node.root();
    let of = |session: &Session| format!("/admin/sessions/{}", session.id);
    let why = "one listener serves public and admin calls, so an admin call names its caller";
    table.differs("without a secret", "200", node.nobody().get(&of(&session)).await.status.as_str(), "401", why);

    let parts = ["identity", "devices"];
    let one = root.get(&of(&session)).await;
    table.same("a session, not expanded", "200 identity null, devices []", members(&one, &parts));
    let expanded = root.get(&format!("{}?expand=Identity", of(&session))).await;
    table.same("its identity", "200 identity object, devices []", members(&expanded, &parts));
    let devices = root.get(&format!("{}/?expand=Devices", of(&session))).await;
    table.same(
        "its devices, behind a slash",
        "1",
        devices.json()["devices"].as_array().expect("a list").len().to_string(),
    );
    table.same(
        "a list, not expanded",
        "200 identity null, devices null",
        members(&root.get("/admin/sessions").await, &parts),
    );
    let invalid = root.get(&format!("{}/?expand=invalid", of(&session))).await;
    table.same("expand=invalid", format!("400 (Could not parse expand option: invalid) {MALFORMED}"), told(&invalid));
    let why = "the public call is on the same listener, and no id is called `whoami`";
    table.differs(
        "/admin/sessions/whoami",
        "307",
        root.get("/admin/sessions/whoami").await.status.as_str(),
        "400",
        why,
    );
    let length = "400 () uuid: incorrect UUID length 7 in string \"BADUUID\"";
    table.same("an id that is none", length, told(&root.get("/admin/sessions/BADUUID").await));
    let unknown = "404 () Unable to locate the resource";
    table.same("an unknown id", unknown, told(&root.delete(&format!("/admin/sessions/{NOBODY}")).await));

    let extend = async |id: &str| root.send(Method::PATCH, &format!("/admin/sessions/{id}/extend"), "").await;
    node.clock.advance(1_000);
    let extended = extend(&session.id).await;
    table.same("extend", "200 identity object, devices []", members(&extended, &parts));
    let metadata = extended.json()["identity"]["metadata_admin"].to_string();
    table.same("the identity's metadata_admin there", "null", metadata);
    table.same("extend what is not an id", length, told(&extend("BADUUID").await));
    table.same("extend what is unknown", unknown, told(&extend(NOBODY).await));
    node.clock.advance(DAY_MILLIS - 1);
    let why = "an expired session has ended, and what has ended stays so";
    let revived = extend(&short.id).await.json()["active"].to_string();
    table.differs("extend an expired session: active", "true", revived, "false", why);

    let path = "/admin/identities/ada/sessions";
    table.same("delete an identity's sessions", "204", told(&root.delete(path).await));
    table.same("the same again", unknown, told(&root.delete(path).await));
    table.same("the identity's list", "200 0", format!("200 {}", ids(&root.get(path).await).len()));
    table.same("a deleted session", unknown, told(&root.get(&of(&session)).await));
    table.same("revoke a deleted session", unknown, told(&root.delete(&of(&session)).await));
    table.same("extend a deleted session", unknown, told(&extend(&session.id).await));
    let all = ids(&root.get("/admin/sessions").await);
    table.same("the list of all", &*short.id, all.join(" "));
    let native = root.get(&format!("/v1/sessions/{}", session.id)).await;
    assert_eq!(native.json()["active"], false, "the ledger still has it");
}

#[tokio::test]
async fn logging_out_beside_the_product() {
    let (mut table, node) = (Table::default(), ServedNode::start().await);
    let sessions = issue_some(&node, "ada", 3).await;
    let body = |token: &str| json!({"session_token": token}).to_string();
    let log_out = async |content_type: &str, body: String| {
        let actor = node.nobody();
        let actor = if content_type.is_empty() { actor } else { actor.with("content-type", content_type) };
        actor.send(Method::DELETE, "/self-service/logout/api", body).await
    };
    for other in ["", "text/plain", "application/x-www-form-urlencoded"] {
        let answer = log_out(other, body(&sessions[0].token)).await;
        table.same(&format!("a body of type {other:?}"), "400", answer.status.as_str());
    }
    assert_eq!(holder(&node, &sessions[0]).get("/sessions/whoami").await.status, 200);
    let json = "application/json; charset=utf-8";
    table.same("without a body", "400", log_out(json, String::new()).await.status.as_str());
    table.same("a token", "204", told(&log_out(json, body(&sessions[0].token)).await));
    table.same("the same again", "204", told(&log_out(json, body(&sessions[0].token)).await));
    let unknown = "403 (The provided Ory Session Token could not be found, is invalid, or otherwise malformed.) The \
                   requested action was forbidden";
    table.same("an unknown token", unknown, told(&log_out(json, body("MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj")).await));
    assert_eq!(node.root().delete("/admin/identities/ada/sessions").await.status, 204);
    table.same("the token of a deleted session", unknown, told(&log_out(json, body(&sessions[1].token)).await));
}

#[tokio::test]
async fn many_sessions_at_once_beside_the_product() {
    let (mut table, node) = (Table::default(), ServedNode::start().await);
    let root = node.root();
    let manage = async |body: Value| root.post("/admin/sessions", body).await;
    let identity = async |session: &Session| {
        let whoami = holder(&node, session).get("/sessions/whoami").await;
        whoami.header("x-kratos-authenticated-identity-id").to_owned()
    };
    let done = |processed: usize, more: bool| format!("200 {}", json!({"processed": processed, "more": more}));
    let shown = |answer: &Answer| match answer.status.is_success() {
        true => format!("{} {}", answer.status.as_u16(), answer.json()),
        false => told(answer),
    };
    let active = async |session: &Session| {
        let answer = root.get(&format!("/admin/sessions/{}", session.id)).await;
        if answer.status == 404 { "gone".to_owned() } else { answer.json()["active"].to_string() }
    };

    let ada = issue_some(&node, "ada", 2).await;
    let disable = json!({"action": "disable", "identities": [identity(&ada[0]).await]});
    table.same("disable by identities", done(2, false), shown(&manage(disable.clone()).await));
    table.same("then a session is active", "false", active(&ada[0]).await);
    table.same("disable them again", done(0, false), shown(&manage(disable).await));
    let bob = issue_some(&node, "bob", 2).await;
    let twice = json!({"action": "disable", "sessions": [bob[0].id, bob[0].id, NOBODY]});
    table.same("disable by sessions", done(1, false), shown(&manage(twice).await));
    table.same("then a session is active", "false", active(&bob[0]).await);
    table.same("and another one", "true", active(&bob[1]).await);
    let delete = json!({"action": "delete", "identities": [identity(&bob[1]).await]});
    table.same("delete by identities", done(2, false), shown(&manage(delete.clone()).await));
    table.same("then a session is", "gone", active(&bob[1]).await);
    table.same("delete them again", done(0, false), shown(&manage(delete).await));
    let eve = issue_some(&node, "eve", 2).await;
    let delete = json!({"action": "delete", "sessions": [eve[0].id]});
    table.same("delete by sessions", done(1, false), shown(&manage(delete.clone()).await));
    assert_eq!(holder(&node, &eve[0]).get("/sessions/whoami").await.status, 401);
    let why =
        "the ledger keeps what it has revoked: only what is deleted with an identity's other sessions leaves the lists";
    table.differs("then a session is", "gone", active(&eve[0]).await, "false", why);
    let again = shown(&manage(delete).await);
    table.differs("delete by sessions again", &done(0, false), again, &done(1, false), why);

    let head = node.head();
    let id = |number: u32| format!("00000000-0000-4000-8000-{number:012}");
    let many: Vec<String> = (0..501).map(id).collect();
    let refused = |reason: &str| format!("400 ({reason}) {MALFORMED}");
    let exactly = "Exactly one of 'identities' or 'sessions' must be a non-empty array.";
    let wildcard = |list: &str| format!("Could not parse '{list}' field: the wildcard '*' is not accepted here");
    for (request, body, reason) in [
        (
            "another action",
            json!({"action": "flarble", "identities": [id(1)]}),
            "The 'action' field must be one of 'disable' or 'delete'.".to_owned(),
        ),
        ("both lists", json!({"action": "disable", "identities": [id(1)], "sessions": [id(2)]}), exactly.to_owned()),
        ("no list", json!({"action": "disable"}), exactly.to_owned()),
        ("an empty list", json!({"action": "disable", "identities": []}), exactly.to_owned()),
        (
            "an identity that is none",
            json!({"action": "disable", "identities": ["not-a-uuid"]}),
            "Could not parse 'identities' field: could not parse \"not-a-uuid\" as UUID: uuid: incorrect UUID length 10 in \
             string \"not-a-uuid\""
                .to_owned(),
        ),
        ("a wildcard among ids", json!({"action": "disable", "identities": ["*", id(1)]}), wildcard("identities")),
        ("disable the session *", json!({"action": "disable", "sessions": ["*"]}), wildcard("sessions")),
        ("delete the session *", json!({"action": "delete", "sessions": ["*"]}), wildcard("sessions")),
        (
            "501 ids",
            json!({"action": "disable", "identities": many}),
            "Could not parse 'identities' field: at most 500 IDs may be provided per call".to_owned(),
        ),
    ] {
        table.same(request, refused(&reason), shown(&manage(body).await));
    }
    let ghost = json!({"action": "disable", "identities": [NOBODY]});
    table.same("an unknown identity", done(0, false), shown(&manage(ghost).await));
    let why = "calls take an identity by its subject's name, too";
    let by_name = manage(json!({"action": "disable", "identities": ["bob"]})).await;
    table.differs("an identity by its name", "400", shown(&by_name), &done(0, false), why);
    assert_eq!(node.head(), head, "nothing of that is an event");

    let all = json!({"action": "disable", "identities": ["*"]});
    table.same("disable all", done(1, false), shown(&manage(all.clone()).await));
    assert_eq!(holder(&node, &eve[1]).get("/sessions/whoami").await.status, 401);
    table.same("disable all again", done(0, false), shown(&manage(all).await));
    let all = json!({"action": "delete", "identities": ["*"]});
    // Of ada and of eve; bob's are deleted.
    table.same("delete all", done(4, false), shown(&manage(all.clone()).await));
    table.same("the list of all", "200 0", format!("200 {}", ids(&root.get("/admin/sessions").await).len()));
    table.same("delete all again", done(0, false), shown(&manage(all).await));
}

/// A tenant's sessions are beyond the reach of another tenant's application, and authority comes first.
#[tokio::test]
async fn many_sessions_are_revoked_in_the_callers_tenant_alone() {
    let node = ServedNode::start().await;
    let session = issue(&node, "ada").await;
    let elsewhere = node.application(&[("other", &["introspect", "revoke", "issue"])]).await;
    let reader = node.application(&[("default", &["introspect", "issue"])]).await;
    let head = node.head();
    for action in ["disable", "delete"] {
        for list in [json!({"identities": ["*"]}), json!({"identities": ["ada"]}), json!({"sessions": [session.id]})] {
            let mut body = list;
            body["action"] = action.into();
            assert_eq!(reader.post("/admin/sessions", body.clone()).await.status, 403);
            assert_eq!(node.nobody().post("/admin/sessions", body.clone()).await.status, 401);
            let answer = elsewhere.post("/admin/sessions", body.clone()).await;
            if body["identities"][0] == "ada" {
                assert_eq!(answer.status, 400, "another tenant's subject is not known");
            } else {
                assert_eq!(answer.json(), json!({"processed": 0, "more": false}), "{body}");
            }
        }
    }
    assert_eq!(node.head(), head);
    assert_eq!(holder(&node, &session).get("/sessions/whoami").await.status, 200);
}

#[tokio::test]
async fn known_sessions_are_revoked_although_the_unknown_ones_beside_them_are_too_many() {
    let policy = Policy { max_unknown_revocations: 1, ..Policy::default() };
    let node = ServedNode::made(Made { policy, ..Made::default() }).await;
    let line = json!({"kind": "session", "subject": "eve", "id": NOBODY, "issued_at": "2027-01-15T07:00:00Z",
        "expires_at": "2027-01-16T07:00:00Z"});
    let importer = node.root().with("content-type", "application/x-ndjson");
    assert_eq!(importer.send(Method::POST, "/v1/imports", line.to_string()).await.status, 200);
    let session = issue(&node, "ada").await;
    let application = node.application(&[("default", &["revoke"])]).await;
    let unknown = ["0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10", "0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e11"];
    let body = json!({"action": "disable", "sessions": [unknown[0], session.id, unknown[1]]});
    let head = node.head().0;
    assert_eq!(application.post("/admin/sessions", body).await.status, 429);
    assert_eq!(holder(&node, &session).get("/sessions/whoami").await.status, 401, "it is revoked");
    assert_eq!(node.head().0, head + 1, "and no more is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_tenant_is_revoked_in_turns() {
    const MANY: usize = 20_001;
    let node = ServedNode::start().await;
    import(&node, (0..MANY).map(|number| (number, format!("i{number}")))).await;
    for action in ["disable", "delete"] {
        let body = json!({"action": action, "identities": ["*"]});
        for (processed, more) in [(20_000, true), (1, false), (0, false)] {
            let answer = node.root().post("/admin/sessions", body.clone()).await;
            assert_eq!(answer.json(), json!({"processed": processed, "more": more}), "{action}");
        }
    }
}

/// On every contract: a path that lacks its id, or has one that clients and proxies resolve, names nothing.
#[tokio::test]
async fn an_empty_or_dotted_id_never_means_the_larger_thing() {
    let (mut table, node) = (Table::default(), ServedNode::start().await);
    let sessions = issue_some(&node, "ada", 2).await;
    let (me, root) = (holder(&node, &sessions[0]), node.root());
    let empty = "400 () uuid: incorrect UUID length 0 in string \"\"";
    let why = "an empty id must not reach all of them";
    let head = node.head();
    table.differs("DELETE /sessions/", "200", told(&me.delete("/sessions/").await), empty, why);
    table.differs("GET /sessions/", "200", told(&me.get("/sessions/").await), empty, why);
    table.differs("GET /admin/sessions/", "200", told(&root.get("/admin/sessions/").await), empty, why);
    for verb in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for prefix in ["", "/auth"] {
            for path in ["/sessions/", "/admin/sessions/", "/admin/identities//sessions", "/admin/sessions//extend"] {
                let verb = Method::from_bytes(verb.as_bytes()).expect("a verb");
                for actor in [&me, &root, &node.nobody()] {
                    let answer = actor.send(verb.clone(), &format!("{prefix}{path}"), "").await;
                    assert_eq!(answer.status, 400, "{verb} {prefix}{path}");
                    if verb != Method::HEAD {
                        assert_eq!(told(&answer), empty, "{verb} {prefix}{path}");
                    }
                }
            }
        }
    }
    table.same("GET /admin/identities//sessions", "400", root.get("/admin/identities//sessions").await.status.as_str());
    let why = "it was meant for another resource";
    for (dotted, length) in [("..", 2), (".", 1), ("%2e%2E", 2), (".%2e", 2)] {
        let expected = format!("400 () uuid: incorrect UUID length {length} in string \"{}\"", ".".repeat(length));
        let path = format!("/admin/identities/{dotted}/sessions");
        table.differs(&format!("GET {path}"), "200", told(&root.get(&path).await), &expected, why);
        assert_eq!(told(&root.delete(&path).await), expected);
        assert_eq!(told(&me.delete(&format!("/sessions/{dotted}")).await), expected);
        assert_eq!(told(&root.get(&format!("/admin/sessions/{dotted}")).await), expected);
        assert_eq!(node.nobody().get(&path).await.status, 401, "authority comes first");
    }
    let form = format!("accessTokenId={}", crate::support::served::ROOT);
    let crafter = root.with("content-type", "application/x-www-form-urlencoded");
    for id in ["", ".", "..", "%2e", "%2E%2e"] {
        let invalidate = format!("/api/1/authentication/ticket/{id}/invalidate");
        assert_eq!(crafter.post_text(&invalidate, form.clone()).await.status, 400, "{invalidate}");
        if !id.is_empty() {
            let create = format!("/api/1/authentication/ticket/{id}");
            assert_eq!(crafter.post_text(&create, form.clone()).await.status, 400, "{create}");
            assert_eq!(root.get(&format!("{create}?{form}")).await.status, 400, "{create}");
        }
        let cribl = root.delete(&format!("/auth/users/{id}/token")).await;
        assert_eq!(cribl.status, 400, "{id}: {}", cribl.shown());
        let slashid =
            node.nobody().with("slashid-api-key", crate::support::served::ROOT).with("slashid-orgid", "default");
        let minted = slashid.post(&format!("/persons/{id}/mint-token"), json!({})).await;
        assert_eq!(minted.status, 400, "{id}: {}", minted.shown());
    }
    assert_eq!(node.head(), head, "nothing happened");
}

/// However many sessions an identity has, each is on one page, and in its place; also after a start from a snapshot, and
/// after some are gone.
#[tokio::test(flavor = "multi_thread")]
async fn every_session_of_an_identity_with_many_is_on_exactly_one_page() {
    // More than a list of few, and more than a block of the index.
    const MANY: usize = 700;
    let mut node = ServedNode::start().await;
    // Imported in another order than that of their issues.
    import(&node, (0..MANY).map(|number| (number * 333 % MANY, "ada"))).await;
    import(&node, [(MANY, "bob"), (MANY + 1, "bob")]).await;
    let pages = async |node: &ServedNode, filter: &str| {
        let (mut found, mut from) = (Vec::new(), 0);
        loop {
            let query = format!("page_size=100&page_token={}{filter}", offset(from));
            let answer = node.root().get(&format!("/admin/identities/ada/sessions?{query}")).await;
            let page = ids(&answer);
            if page.is_empty() {
                return (found, answer.header("x-total-count").to_owned());
            }
            found.extend(page);
            from += 100;
        }
    };
    let newest_first: Vec<String> = (0..MANY).rev().map(imported_id).collect();
    for _ in 0..2 {
        assert_eq!(pages(&node, "").await, (newest_first.clone(), MANY.to_string()));
        assert_eq!(pages(&node, "&active=true").await, (newest_first.clone(), MANY.to_string()));
        node.restart().await;
    }
    let revoked: Vec<String> = newest_first.iter().step_by(7).cloned().collect();
    for id in &revoked {
        assert_eq!(node.root().delete(&format!("/admin/sessions/{id}")).await.status, 204);
    }
    for _ in 0..2 {
        assert_eq!(pages(&node, "").await.0, newest_first, "the revoked ones, too");
        assert_eq!(pages(&node, "&active=false").await, (revoked.clone(), revoked.len().to_string()));
        let active: Vec<String> = newest_first.iter().filter(|id| !revoked.contains(id)).cloned().collect();
        assert_eq!(pages(&node, "&active=true").await, (active.clone(), active.len().to_string()));
        node.restart().await;
    }
    assert_eq!(node.root().delete("/admin/identities/ada/sessions").await.status, 204);
    assert_eq!(pages(&node, "").await, (Vec::new(), "0".to_owned()));
    let again = issue_some(&node, "ada", 2).await;
    let due = vec![again[1].id.clone(), again[0].id.clone()];
    assert_eq!(pages(&node, "").await, (due, "2".to_owned()));
}

/// A page of a tenant or of an identity costs what the page holds, however many sessions there are besides.
#[tokio::test(flavor = "multi_thread")]
async fn lists_cost_the_same_among_very_many_sessions() {
    const MANY: usize = 5_000;
    let node = ServedNode::start().await;
    let root = node.root();
    issue_some(&node, "ada", 10).await;
    let many = "/admin/identities/bob/sessions?page_size=10";
    let late = format!("{many}&page_token={}", offset(3_000));
    let lists = [
        ("/admin/identities/ada/sessions", "/admin/identities/ada/sessions"),
        ("/admin/sessions?page_size=10", "/admin/sessions?page_size=10"),
        ("/admin/sessions?page_size=10&active=t", "/admin/sessions?page_size=10&active=t"),
        ("/admin/identities/ada/sessions", many),
        ("/admin/identities/ada/sessions", &late),
    ];
    // The quickest of many calls is the one that nothing else has disturbed.
    let quickest = async |path: &str| {
        let mut quickest = Duration::MAX;
        for _ in 0..50 {
            let started = Instant::now();
            assert_eq!(ids(&root.get(path).await).len(), 10);
            quickest = quickest.min(started.elapsed());
        }
        quickest
    };
    let mut before = Vec::new();
    for (path, _) in lists {
        before.push(quickest(path).await);
    }
    import(&node, (0..2 * MANY).map(|number| (number, if number < MANY { "bob" } else { "eve" }))).await;
    issue_one_each(&node, MANY).await;
    for ((_, path), before) in lists.into_iter().zip(before) {
        let after = quickest(path).await;
        println!("{path}: {before:?} among 10 sessions, {after:?} among {MANY} and more");
        assert!(after < before * 10, "{path}: {before:?}, then {after:?}");
    }
}
