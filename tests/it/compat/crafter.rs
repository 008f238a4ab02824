//! Crafter's contract, on a node in this process.

use crate::support::settings::settings;
use std::sync::Arc;

use authledger::clock::Clock;
use authledger::domain::{
    Caller, Digest, Grant, Grants, Kinds, Scope, Scopes, Secret, Subject, Tenant, Timestamp, Ttl,
};
use authledger::event_log::DataDirectory;
use authledger::feed::Hub;
use authledger::http::compat::crafter::{CrafterOptions, PUBLISHED_ACCESS_TOKENS, routes, start};
use authledger::http::{App, HttpOptions, Surface};
use authledger::service::{
    Call, CallerIdentity, NewApplication, NewSubjectRevocation, Party, Running, Service, SingleNode, Why, open,
};
use authledger::telemetry::Metrics;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

/// 2024-06-15T12:00:00Z.
const START: u64 = 1_718_452_800_000;
const ROOT: &str = "root-secret-of-32-characters-0000";
const PREFIXES: [&str; 3] = ["", "/crafter-profile", "/profile"];
const SEED_TOKEN: &str = PUBLISHED_ACCESS_TOKENS[0];
const SEED_PROFILE: &str = "2e911e0b-ac47-423e-9174-4e8896f1b387";
const FORM: &str = "application/x-www-form-urlencoded";

struct CrafterNode {
    service: Arc<Service>,
    clock: Clock,
    router: Router,
    running: Option<Running>,
    _directory: TempDir,
}

struct Answer {
    status: StatusCode,
    allow: Option<String>,
    content_type: Option<String>,
    retry_after: Option<String>,
    body: String,
}

impl CrafterNode {
    async fn start() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(allow_published_access_tokens: bool) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let clock = Clock::manual(Timestamp::from_millis(START).expect("in range"));
        let settings = settings(directory.path().into(), &clock);
        let locked = DataDirectory::lock(directory.path()).expect("nobody else's");
        let root = Digest::of(ROOT.as_bytes());
        let running = open(locked, settings, clock.clone(), root, Arc::new(SingleNode), |_, _| Vec::new(), |_, _| {});
        let running = running.await.expect("a fresh node starts");
        let service = running.service.clone();
        start(&service, &CrafterOptions { allow_published_access_tokens }).await.expect("root may");
        let mut options = HttpOptions { surfaces: vec![Surface::Crafter], ..HttpOptions::default() };
        options.compat.crafter.allow_published_access_tokens = allow_published_access_tokens;
        let hub = Hub::new(service.ledger(), service.projection().base());
        let (_, stop) = tokio::sync::watch::channel(false);
        let app = App::new(service.clone(), hub, stop, Arc::new(Metrics::new()), options);
        let router = routes().with_state(Arc::new(app));
        Self { service, clock, router, running: Some(running), _directory: directory }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router is infallible");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        let (allow, content_type, retry_after) = (header("allow"), header("content-type"), header("retry-after"));
        Answer { status: head.status, allow, content_type, retry_after, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        self.post_as(path, FORM, form.to_owned()).await
    }

    async fn post_as(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header("content-type", content_type);
        self.send(request.body(body.into()).expect("a request")).await
    }

    async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post_as(path, "application/json;charset=UTF-8", body.to_string()).await
    }

    /// An access token with those grants, registered by root.
    async fn application(&self, name: &str, grants: Vec<Grant>, expires_at: Option<Timestamp>) -> String {
        let grants = Grants::new(grants).expect("few");
        let new = NewApplication {
            name: name.into(),
            grants,
            expires_at,
            secret: None,
            attributes: None,
            oauth: Default::default(),
        };
        let registered = self.service.register_application(&root(), new).await.expect("root may");
        registered.secret.expect("a secret").expose().to_owned()
    }

    async fn manager(&self) -> String {
        self.application("manager", vec![grant(None, &TICKETS)], None).await
    }

    async fn ticket(&self, token: &str, profile: &str) -> Value {
        let form = format!("accessTokenId={token}&profileId={profile}");
        let answer = self.post("/api/1/authentication/ticket/create", &form).await;
        ticket(&answer)
    }

    async fn use_ticket(&self, token: &str, id: &str) -> Answer {
        self.get(&format!("/api/1/authentication/ticket/{id}?accessTokenId={token}")).await
    }

    fn head(&self) -> u64 {
        self.service.projection().base().position.0
    }
}

const TICKETS: [Scope; 3] = [Scope::Issue, Scope::Revoke, Scope::Introspect];

fn grant(tenant: Option<&str>, scopes: &[Scope]) -> Grant {
    let tenant = tenant.map(|name| Tenant::new(name).expect("a name"));
    Grant { tenant, scopes: scopes.iter().copied().collect::<Scopes>() }
}

fn root() -> Call {
    let identity = CallerIdentity { caller: Caller::Root, grants: Grants::everything().into(), registration: None };
    Call { identity, request: None, idempotency: None, consistency: None }
}

impl Answer {
    #[track_caller]
    fn is_error(&self, status: u16, code: &str, message: &str) {
        let expected = format!(r#"{{"errorCode":{},"message":{}}}"#, json!(code), json!(message));
        assert_eq!((self.status.as_u16(), &*self.body), (status, &*expected));
        assert_eq!(self.content_type.as_deref(), Some("application/json"));
    }

    /// Some error of that status and code, in the shape that the client reads.
    #[track_caller]
    fn is_error_with(&self, status: u16, code: &str) {
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        self.is_error(status, code, body["message"].as_str().expect("a message"));
    }

    #[track_caller]
    fn is_empty(&self) {
        assert_eq!((self.status.as_u16(), &*self.body), (200, ""));
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.status.as_u16(), 200, "{}", self.body);
        assert_eq!(self.content_type.as_deref(), Some("application/json"));
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// The ticket, if the answer is one to the letter: these members in this order, no others, and a UUID of version 4.
#[track_caller]
fn ticket(answer: &Answer) -> Value {
    let value = answer.json();
    let again = format!(
        r#"{{"tenant":{},"profileId":{},"lastRequestTime":{},"id":{}}}"#,
        value["tenant"], value["profileId"], value["lastRequestTime"], value["id"]
    );
    assert_eq!(answer.body, again);
    assert!(value["lastRequestTime"].is_u64());
    let id = value["id"].as_str().expect("an id");
    assert_eq!(uuid::Uuid::parse_str(id).expect("a UUID").get_version_num(), 4);
    assert_eq!((id.len(), id.to_lowercase()), (36, id.to_owned()));
    value
}

/// The access token, if it is one to the letter.
#[track_caller]
fn access_token(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).expect("JSON");
    let permissions = value["tenantPermissions"].as_array().expect("an array").iter();
    let permissions = permissions
        .map(|one| format!(r#"{{"allowedActions":{},"tenant":{}}}"#, one["allowedActions"], one["tenant"]))
        .collect::<Vec<_>>()
        .join(",");
    let again = format!(
        r#"{{"application":{},"master":{},"tenantPermissions":[{permissions}],"expiresOn":{},"id":{}}}"#,
        value["application"], value["master"], value["expiresOn"], value["id"]
    );
    assert_eq!(text, again);
    value
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[tokio::test]
async fn the_seeds_requests_are_answered_as_printed_where_published_access_tokens_are_allowed() {
    let node = CrafterNode::start_with(true).await;
    let form = format!("accessTokenId={SEED_TOKEN}");
    let created = node.post(&format!("/api/1/authentication/ticket/{SEED_PROFILE}"), &form).await;
    let created = ticket(&created);
    assert_eq!((text(&created["tenant"]), text(&created["profileId"])), ("default", SEED_PROFILE));
    assert_eq!(created["lastRequestTime"], START);

    for unknown in ["fdc5fc1f-83ba-4cbd-9cdb-d345db8b89c6", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"] {
        node.post(&format!("/api/1/authentication/ticket/{unknown}/invalidate"), &form).await.is_empty();
    }
    let id = text(&created["id"]);
    node.post(&format!("/api/1/authentication/token/{id}/invalidate"), &format!("{form}&ticketId={id}"))
        .await
        .is_empty();
    node.use_ticket(SEED_TOKEN, id).await.is_error(404, "NO_SUCH_TICKET", &format!("No ticket with ID \"{id}\" found"));
}

#[tokio::test]
async fn the_seeds_requests_are_refused_to_the_letter_where_published_access_tokens_are_not_allowed() {
    let node = CrafterNode::start().await;
    let form = format!("accessTokenId={SEED_TOKEN}");
    for path in [SEED_PROFILE, "fdc5fc1f-83ba-4cbd-9cdb-d345db8b89c6/invalidate"] {
        let answer = node.post(&format!("/crafter-profile/api/1/authentication/ticket/{path}"), &form).await;
        assert_eq!(answer.status, 403);
        assert_eq!(
            answer.body,
            r#"{"errorCode":"NO_SUCH_ACCESS_TOKEN_ID","message":"No access token found for ID \"e8f5170c-877b-416f-b70f-4b09772f8e2d\""}"#
        );
    }
    assert_eq!(node.head(), 1);
}

#[tokio::test]
async fn published_access_tokens_are_refused_even_if_they_are_registered() {
    let node = CrafterNode::start().await;
    for id in PUBLISHED_ACCESS_TOKENS {
        let new = NewApplication {
            name: "somebody".into(),
            grants: Grants::everything(),
            expires_at: None,
            secret: Some(Secret::new(id)),
            attributes: None,
            oauth: Default::default(),
        };
        node.service.register_application(&root(), new).await.expect("root may");
        let message = format!("No access token found for ID \"{id}\"");
        node.use_ticket(id, SEED_PROFILE).await.is_error(403, "NO_SUCH_ACCESS_TOKEN_ID", &message);
        let read = node.get(&format!("/api/1/access_token/{id}?accessTokenId={ROOT}")).await;
        read.is_error(404, "NO_SUCH_ACCESS_TOKEN_ID", &message);
        let body = json!({"application": "x", "id": id});
        let create = node.post_json(&format!("/api/1/access_token/create?accessTokenId={ROOT}"), &body).await;
        create.is_error_with(400, "OTHER");
    }
    // The next start removes them, so that no other surface takes them either.
    start(&node.service, &CrafterOptions { allow_published_access_tokens: false }).await.expect("root may");
    let root = root().identity;
    let mut pace = node.service.pace(Party::of(&root));
    assert!(node.service.applications(&root, &mut pace).await.expect("root may").is_empty());
}

#[tokio::test]
async fn allowing_published_access_tokens_is_idempotent_and_makes_no_masters() {
    let node = CrafterNode::start_with(true).await;
    let head = node.head();
    start(&node.service, &CrafterOptions { allow_published_access_tokens: true }).await.expect("root may");
    assert_eq!(node.head(), head);
    for id in PUBLISHED_ACCESS_TOKENS {
        node.ticket(id, "p").await;
        node.get(&format!("/api/1/access_token/all?accessTokenId={id}")).await.is_error_with(403, "ACTION_DENIED");
    }
    let message = format!("Access token \"{SEED_TOKEN}\" already exists");
    let body = json!({"application": "x", "id": SEED_TOKEN});
    let create = node.post_json(&format!("/api/1/access_token/create?accessTokenId={ROOT}"), &body).await;
    create.is_error(409, "ACCESS_TOKEN_EXISTS", &message);
}

#[tokio::test]
async fn every_endpoint_answers_under_every_prefix_with_and_without_json() {
    let node = CrafterNode::start().await;
    for prefix in PREFIXES {
        for suffix in ["", ".json"] {
            let base = format!("{prefix}/api/1");
            let form = format!("accessTokenId={ROOT}");
            let tickets = format!("{base}/authentication/ticket");
            for content_type in [FORM, "application/x-www-form-urlencoded;charset=UTF-8"] {
                let form = format!("{form}&profileId=p.json");
                let created = node.post_as(&format!("{tickets}/create{suffix}"), content_type, form).await;
                assert_eq!(ticket(&created)["profileId"], "p.json");
            }
            let created = ticket(&node.post(&format!("{tickets}/p%2Fq{suffix}"), &form).await);
            assert_eq!(created["profileId"], "p/q");
            let id = text(&created["id"]);
            let used = node.get(&format!("{tickets}/{id}{suffix}?{form}")).await;
            assert_eq!(ticket(&used)["id"], id);
            for kind in ["ticket", "token"] {
                let path = format!("{base}/authentication/{kind}/{id}/invalidate{suffix}");
                node.post(&path, &form).await.is_empty();
                node.post(&format!("{path}?{form}"), "").await.is_empty();
            }
            node.get(&format!("{tickets}/{id}{suffix}?{form}")).await.is_error_with(404, "NO_SUCH_TICKET");

            let tokens = format!("{base}/access_token");
            let body = json!({"application": "a", "id": null});
            let created = node.post_json(&format!("{tokens}/create{suffix}?{form}"), &body).await;
            let created = access_token(&created.body);
            let id = text(&created["id"]);
            let read = node.get(&format!("{tokens}/{id}{suffix}?{form}")).await;
            assert_eq!(access_token(&read.body), created);
            assert_eq!(
                node.get(&format!("{tokens}/all{suffix}?{form}")).await.json().as_array().map(Vec::len),
                Some(1)
            );
            node.post(&format!("{tokens}/{id}/delete{suffix}"), &form).await.is_empty();
            node.post(&format!("{tokens}/{id}/delete{suffix}"), &form).await.is_empty();
            node.get(&format!("{tokens}/{id}{suffix}?{form}")).await.is_error_with(404, "NO_SUCH_ACCESS_TOKEN_ID");
        }
    }
}

#[tokio::test]
async fn json_is_taken_from_the_last_segment_only() {
    let node = CrafterNode::start().await;
    let created = node.ticket(ROOT, "p").await;
    let id = text(&created["id"]);
    let form = format!("accessTokenId={ROOT}");
    node.post(&format!("/api/1/authentication/ticket/{id}.json/invalidate"), &form).await.is_empty();
    ticket(&node.use_ticket(ROOT, id).await);
    node.use_ticket(ROOT, &format!("{id}.json.json")).await.is_error_with(404, "NO_SUCH_TICKET");
}

#[tokio::test]
async fn unknown_paths_and_wrong_verbs_come_before_the_access_token() {
    let node = CrafterNode::start().await;
    for prefix in PREFIXES {
        for path in [
            "",
            "/",
            "/x",
            "/authentication",
            "/authentication/ticket",
            "/authentication/ticket/a/b",
            "/authentication/token/a",
            "/access_token/a/b",
            "/profile/get",
        ] {
            let path = format!("{prefix}/api/1{path}");
            node.get(&path).await.is_error_with(404, "OTHER");
            node.post(&path, "").await.is_error_with(404, "OTHER");
        }
        let wrong = [
            (Method::GET, "/authentication/ticket/create", "POST"),
            (Method::GET, "/authentication/ticket/create.json", "POST"),
            (Method::GET, "/authentication/ticket/x/invalidate.json", "POST"),
            (Method::GET, "/authentication/token/x/invalidate", "POST"),
            (Method::DELETE, "/authentication/ticket/x", "GET,HEAD,POST"),
            (Method::POST, "/access_token/x", "GET,HEAD"),
            (Method::PUT, "/access_token/create", "POST"),
            (Method::POST, "/access_token/all", "GET,HEAD"),
            (Method::GET, "/access_token/x/delete", "POST"),
        ];
        for (method, path, allow) in wrong {
            let request = Request::builder().method(method.clone()).uri(format!("{prefix}/api/1{path}"));
            let answer = node.send(request.body(Body::empty()).expect("a request")).await;
            answer.is_error(405, "OTHER", &format!("Request method '{method}' is not supported"));
            let mut allowed: Vec<_> = answer.allow.as_deref().expect("Allow").split(',').collect();
            allowed.sort_unstable();
            assert_eq!(allowed.join(","), allow);
        }
    }
}

#[tokio::test]
async fn the_access_token_comes_before_the_parameters() {
    let node = CrafterNode::start().await;
    let missing = "Access token ID param missing from request";
    let create = "/api/1/authentication/ticket/create";
    for form in ["", "accessTokenId=", "profileId=%zz", "x=1&x=2"] {
        node.post(create, form).await.is_error(403, "ACCESS_DENIED", missing);
    }
    node.get("/api/1/authentication/ticket/x").await.is_error(403, "ACCESS_DENIED", missing);
    node.get("/api/1/access_token/all").await.is_error(403, "ACCESS_DENIED", missing);
    node.post_json("/api/1/access_token/create", &json!({})).await.is_error(403, "ACCESS_DENIED", missing);
    // A body that is not a form holds no parameters.
    node.post_as(create, "text/plain", format!("accessTokenId={ROOT}")).await.is_error(403, "ACCESS_DENIED", missing);

    let unknown = "No access token found for ID \"a \\\"b\"".replace("\\\"", "\"");
    for form in ["accessTokenId=a+%22b", "accessTokenId=a+%22b&profileId=%zz", "accessTokenId=a%20%22b&x=1&x=2"] {
        node.post(create, form).await.is_error(403, "NO_SUCH_ACCESS_TOKEN_ID", &unknown);
        node.get(&format!("/api/1/authentication/ticket/x?{form}")).await.is_error_with(403, "NO_SUCH_ACCESS_TOKEN_ID");
    }
    let long = "y".repeat(70_000);
    let answer = node.post(&format!("{create}?accessTokenId=a"), &format!("profileId={long}")).await;
    answer.is_error_with(403, "NO_SUCH_ACCESS_TOKEN_ID");
}

#[tokio::test]
async fn bad_input_is_refused_in_crafters_shape_and_nothing_is_appended() {
    let node = CrafterNode::start().await;
    let head = node.head();
    let create = "/api/1/authentication/ticket/create.json";
    let missing = "Required request parameter 'profileId' for method parameter type String is not present";
    node.post(create, &format!("accessTokenId={ROOT}")).await.is_error(400, "OTHER", missing);
    let bad = [
        "profileId=",
        "profileId=%00",
        "profileId=a%0Ab",
        "profileId=%zz",
        "profileId=%f",
        "profileId=%ff",
        "profileId=a&profileId=a",
        "profileId=a&accessTokenId=x",
        "profileId=a&tenantName=",
        "profileId=a&tenantName=*",
        "profileId=a&x=%ff",
    ];
    for form in bad {
        node.post(create, &format!("accessTokenId={ROOT}&{form}")).await.is_error_with(400, "OTHER");
    }
    let doubled = node.post(&format!("{create}?accessTokenId={ROOT}&profileId=a"), "profileId=a").await;
    doubled.is_error_with(400, "OTHER");
    let raw = [format!("accessTokenId={ROOT}&profileId=").into_bytes(), vec![0xff]].concat();
    node.post_as(create, FORM, raw).await.is_error_with(400, "OTHER");
    let latin = format!("{FORM};charset=ISO-8859-1");
    node.post_as(create, &latin, format!("accessTokenId={ROOT}&profileId=a")).await.is_error_with(400, "OTHER");
    let subject = "x".repeat(256);
    let long = node.post(create, &format!("accessTokenId={ROOT}&profileId={subject}")).await;
    long.is_error(400, "OTHER", "Request parameter 'profileId' must be 1 to 255 bytes of UTF-8");
    let huge = format!("accessTokenId={ROOT}&profileId={}", "x".repeat(10 << 20));
    node.post(create, &huge).await.is_error_with(413, "OTHER");
    let path = "/api/1/authentication/ticket";
    let form = format!("accessTokenId={ROOT}");
    node.post(&format!("{path}/%ff"), &form).await.is_error_with(400, "OTHER");
    node.post(&format!("{path}/%zz"), &form).await.is_error_with(400, "OTHER");
    node.get(&format!("{path}/%ff?{form}")).await.is_error_with(400, "OTHER");
    node.post(&format!("{path}/%ff/invalidate"), &form).await.is_error_with(400, "OTHER");
    node.post(&format!("{path}//invalidate"), &form).await.is_error_with(400, "OTHER");
    node.get(&format!("{path}/.json?{form}")).await.is_error_with(400, "OTHER");
    node.post(&format!("{path}/a/invalidate"), &format!("{form}&ticketId=b")).await.is_error_with(400, "OTHER");
    node.post(&format!("{path}/a"), &format!("{form}&profileId=b")).await.is_error_with(400, "OTHER");
    assert_eq!(node.head(), head);
}

#[tokio::test]
async fn bad_access_tokens_are_refused_and_nothing_is_appended() {
    let node = CrafterNode::start().await;
    let head = node.head();
    let create = format!("/api/1/access_token/create?accessTokenId={ROOT}");
    let many = vec![json!({"allowedActions": [], "tenant": "t"}); 65];
    let bad = [
        json!(null),
        json!([]),
        json!({}),
        json!({"application": null}),
        json!({"application": ""}),
        json!({"application": "x".repeat(256)}),
        json!({"application": "a", "extra": 1}),
        json!({"application": "a", "master": "yes"}),
        json!({"application": "a", "expiresOn": -1}),
        json!({"application": "a", "expiresOn": "never"}),
        json!({"application": "a", "expiresOn": 1_u64 << 53}),
        json!({"application": "a", "id": ""}),
        json!({"application": "a", "id": "al_a_x"}),
        json!({"application": "a", "id": "f929b400c35811e39c1a0800200c9a66"}),
        json!({"application": "a", "tenantPermissions": [{"tenant": ""}]}),
        json!({"application": "a", "tenantPermissions": [{"scope": "*"}]}),
        json!({"application": "a", "tenantPermissions": many}),
    ];
    for body in bad {
        node.post_json(&create, &body).await.is_error_with(400, "OTHER");
    }
    let doubled = r#"{"application":"a","application":"b"}"#;
    for text in ["", "{", doubled, "{\"application\":\"a\"} x"] {
        node.post_as(&create, "application/json", text.to_owned()).await.is_error_with(400, "OTHER");
    }
    node.post_as(&create, "application/json", b"{\"application\":\"\xff\"}".to_vec()).await.is_error_with(400, "OTHER");
    node.post_as(&create, "text/plain", "{}").await.is_error_with(415, "OTHER");
    node.post_as(&create, "application/json", " ".repeat(10 << 20)).await.is_error_with(413, "OTHER");
    let secret = "f929b400-c358-11e3-9c1a-0800200c9a6";
    let answer = node.post_json(&create, &json!({"application": "a", "id": secret})).await;
    answer.is_error(400, "OTHER", "Access token's 'id' must be a UUID");
    assert_eq!(node.head(), head);
}

#[tokio::test]
async fn an_expired_access_token_is_told_so() {
    let node = CrafterNode::start().await;
    let expires_at = Timestamp::from_millis(START + 1000);
    let token = node.application("billing", vec![grant(None, &TICKETS)], expires_at).await;
    let id = node.ticket(&token, "p").await["id"].clone();
    node.clock.advance(1000);
    let message = format!("Access token \"{token}\" for application \"billing\" expired on 06/15/2024");
    node.use_ticket(&token, text(&id)).await.is_error(403, "ACCESS_DENIED", &message);
    let create = node.post("/api/1/authentication/ticket/create", &format!("accessTokenId={token}")).await;
    create.is_error(403, "ACCESS_DENIED", &message);
    let read = node.get(&format!("/api/1/access_token/{token}?accessTokenId={ROOT}")).await;
    assert_eq!(access_token(&read.body)["expiresOn"], START + 1000);
}

#[tokio::test]
async fn an_action_that_is_not_allowed_names_the_tenant() {
    let node = CrafterNode::start().await;
    let denied = |tenant: &str| {
        format!("Current subject does not have permission to execute action \"MANAGE_TICKETS\" on tenant \"{tenant}\"")
    };
    let follower = node.application("follower", vec![grant(Some("acme"), &[Scope::Follow])], None).await;
    let wide = node.application("wide", vec![grant(None, &[Scope::Follow])], None).await;
    let create = "/api/1/authentication/ticket/create";
    for (token, tenant) in [(&follower, "acme"), (&wide, "default")] {
        let form = format!("accessTokenId={token}&profileId=p");
        node.post(create, &form).await.is_error(403, "ACTION_DENIED", &denied(tenant));
        node.use_ticket(token, "x").await.is_error(403, "ACTION_DENIED", &denied(tenant));
        let form = format!("accessTokenId={token}");
        let invalidate = node.post("/api/1/authentication/ticket/x/invalidate", &form).await;
        invalidate.is_error(403, "ACTION_DENIED", &denied(tenant));
        // Parameters come first.
        node.post(create, &form).await.is_error_with(400, "OTHER");
    }
    let acme = node.application("acme", vec![grant(Some("acme"), &TICKETS)], None).await;
    let elsewhere = node.post(create, &format!("accessTokenId={acme}&profileId=p&tenantName=other")).await;
    elsewhere.is_error(403, "ACTION_DENIED", &denied("other"));
}

#[tokio::test]
async fn a_ticket_of_another_tenant_is_denied_and_stays_as_it_is() {
    let node = CrafterNode::start().await;
    let acme = node.application("acme", vec![grant(Some("acme"), &TICKETS)], None).await;
    let other = node.application("other", vec![grant(Some("other"), &TICKETS)], None).await;
    let created = node.ticket(&acme, "p").await;
    assert_eq!(created["tenant"], "acme");
    let id = text(&created["id"]);
    let denied = "Current subject does not have permission to execute action \"MANAGE_TICKETS\" on tenant \"acme\"";
    node.use_ticket(&other, id).await.is_error(403, "ACTION_DENIED", denied);
    let form = format!("accessTokenId={other}");
    let path = format!("/api/1/authentication/ticket/{id}/invalidate");
    node.post(&path, &form).await.is_error(403, "ACTION_DENIED", denied);
    ticket(&node.use_ticket(&acme, id).await);
}

#[tokio::test]
async fn the_tenant_is_the_applications_only_one_or_default_or_the_named_one() {
    let node = CrafterNode::start().await;
    let two = vec![grant(Some("a"), &TICKETS), grant(Some("default"), &TICKETS)];
    let two = node.application("two", two, None).await;
    assert_eq!(node.ticket(&two, "p").await["tenant"], "default");
    assert_eq!(node.ticket(&two, "p&tenantName=a").await["tenant"], "a");
    let master = json!({"application": "m", "master": true, "tenantPermissions": [
        {"allowedActions": ["MANAGE_TICKETS"], "tenant": "only"}]});
    let master = node.post_json(&format!("/api/1/access_token/create?accessTokenId={ROOT}"), &master).await;
    let master = access_token(&master.body);
    assert_eq!(node.ticket(text(&master["id"]), "p").await["tenant"], "only");
}

#[tokio::test]
async fn a_subject_on_hold_gets_no_tickets() {
    let node = CrafterNode::start().await;
    let revocation = NewSubjectRevocation {
        tenant: Tenant::default(),
        subject: subject("p"),
        kinds: Kinds::ALL,
        issued_before: None,
        keep: None,
        hold: Ttl::from_seconds(60),
        why: Why::default(),
    };
    let before = node.ticket(ROOT, "p").await;
    node.service.revoke_subject(&root(), revocation).await.expect("root may");
    let message = "Profile \"p\" of tenant \"default\" is disabled";
    let answer = node.post("/api/1/authentication/ticket/p", &format!("accessTokenId={ROOT}")).await;
    answer.is_error(403, "DISABLED_PROFILE", message);
    node.use_ticket(ROOT, text(&before["id"])).await.is_error_with(404, "NO_SUCH_TICKET");
    node.clock.advance(60_000);
    node.ticket(ROOT, "p").await;
}

#[tokio::test]
async fn last_request_time_is_strictly_increasing() {
    let node = CrafterNode::start().await;
    let token = node.manager().await;
    let created = node.ticket(&token, "p").await;
    let id = text(&created["id"]);
    let mut last = START;
    for step in [0, 0, 0, 1, 0, 5000, 0] {
        node.clock.advance(step);
        let now = ticket(&node.use_ticket(&token, id).await)["lastRequestTime"].as_u64().expect("a number");
        assert!(now > last && now >= node.clock.now().as_millis(), "{now} after {last}");
        last = now;
    }
    assert_eq!(last, START + 5002);
}

#[tokio::test]
async fn a_ticket_expires_between_nine_tenths_and_the_whole_of_its_life_after_its_last_use() {
    const LIFE: u64 = 900_000;
    let node = CrafterNode::start().await;
    let token = node.manager().await;
    for last_use in [1, LIFE / 20, LIFE / 10 - 1, LIFE / 10, LIFE / 2, LIFE - 1] {
        let created = node.ticket(&token, "p").await;
        let id = text(&created["id"]);
        node.clock.advance(last_use);
        ticket(&node.use_ticket(&token, id).await);
        let head = node.head();
        node.service.flush_uses().await.expect("the node runs");
        assert_eq!(node.head() - head, u64::from(last_use >= LIFE / 10), "one record for a tenth of a life");
        node.clock.advance(LIFE / 10 * 9 - 1);
        assert_eq!(peek(&node, id).await, last_use + LIFE / 10 * 9 - 1 < LIFE || last_use >= LIFE / 10);
        node.clock.advance(LIFE / 10 + 1);
        node.use_ticket(&token, id).await.is_error(404, "NO_SUCH_TICKET", &format!("No ticket with ID \"{id}\" found"));
    }
}

#[tokio::test]
async fn a_ticket_that_was_used_does_not_expire_while_its_use_waits_to_go_on_record() {
    const LIFE: u64 = 900_000;
    let node = CrafterNode::start().await;
    let token = node.manager().await;
    let created = node.ticket(&token, "p").await;
    let id = text(&created["id"]);
    node.clock.advance(LIFE - 1);
    ticket(&node.use_ticket(&token, id).await);
    node.clock.advance(500);
    assert!(peek(&node, id).await);
    ticket(&node.use_ticket(&token, id).await);
    node.clock.advance(400);
    let head = node.head();
    node.service.flush_uses().await.expect("the node runs");
    assert_eq!(node.head() - head, 1);
    node.clock.advance(LIFE - 901);
    assert!(peek(&node, id).await, "a life after the use that is on record has not expired");
    node.clock.advance(1);
    assert!(!peek(&node, id).await);
}

/// Whether the ticket is active, without using it.
async fn peek(node: &CrafterNode, id: &str) -> bool {
    node.service.introspect(&root().identity, id, None).await.expect("root may").is_some()
}

#[tokio::test]
async fn a_ticket_that_is_used_often_stays_active_up_to_its_longest_life() {
    let node = CrafterNode::start().await;
    let token = node.manager().await;
    let created = node.ticket(&token, "p").await;
    let id = text(&created["id"]);
    for _ in 0..107 {
        node.clock.advance(800_000);
        ticket(&node.use_ticket(&token, id).await);
        node.service.flush_uses().await.expect("the node runs");
    }
    // A day after its issue, used or not.
    node.clock.advance(800_000);
    node.use_ticket(&token, id).await.is_error_with(404, "NO_SUCH_TICKET");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_use_that_races_invalidation_never_resurrects_a_ticket() {
    const ROUNDS: usize = 10_000;
    const AT_ONCE: usize = 100;
    let node = Arc::new(CrafterNode::start().await);
    let token: Arc<str> = node.manager().await.into();
    for _ in 0..ROUNDS / AT_ONCE {
        let created = together((0..AT_ONCE).map(|_| {
            let (node, token) = (node.clone(), token.clone());
            async move { text(&node.ticket(&token, "p").await["id"]).to_owned() }
        }));
        let ids = created.await;
        // A tenth of a life goes by, so that each use is worth a record, which is the only way in which it could matter later.
        node.clock.advance(90_000);
        together(ids.into_iter().map(|id| race(node.clone(), token.clone(), id))).await;
    }
    let page = node.service.subject(&root().identity, &Tenant::default(), &subject("p"), None, 1).await;
    assert!(page.expect("root may").credentials.is_empty());
    assert!(node.head() > 2 + 2 * ROUNDS as u64, "uses went on record between issues and invalidations");
}

/// Runs all at once; the order of the results is that of their ends.
async fn together<T: Send + 'static>(all: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: tokio::task::JoinSet<T> = all.collect();
    tasks.join_all().await
}

/// Uses the ticket over and over while it is invalidated; once it is gone, it stays gone.
async fn race(node: Arc<CrafterNode>, token: Arc<str>, id: String) {
    let user = {
        let (node, token, id) = (node.clone(), token.clone(), id.clone());
        tokio::spawn(async move {
            loop {
                let used = node.use_ticket(&token, &id).await;
                node.service.flush_uses().await.expect("the node runs");
                if used.status != 200 {
                    return used;
                }
            }
        })
    };
    if id.ends_with(|last: char| last.is_ascii_digit()) {
        // Otherwise the invalidation is always ahead of the use's record in the writer's queue.
        node.use_ticket(&token, &id).await;
    }
    let path = format!("/api/1/authentication/ticket/{id}/invalidate");
    node.post(&path, &format!("accessTokenId={token}")).await.is_empty();
    node.use_ticket(&token, &id).await.is_error_with(404, "NO_SUCH_TICKET");
    user.await.expect("no use panics").is_error_with(404, "NO_SUCH_TICKET");
    node.use_ticket(&token, &id).await.is_error_with(404, "NO_SUCH_TICKET");
}

fn subject(name: &str) -> Subject {
    Subject::new(name).expect("a name")
}

#[tokio::test]
async fn an_access_token_is_kept_verbatim_works_and_is_deleted() {
    let node = CrafterNode::start().await;
    let create = format!("/api/1/access_token/create?accessTokenId={ROOT}");
    let chosen = "f929b400-c358-41e3-9c1a-0800200c9a66";
    let body = format!(
        r#"{{"application":"shop \"é\"","master":true,"tenantPermissions":[{{"allowedActions":["READ_TENANT","MANAGE_TICKETS"],"tenant":"acme"}},{{"allowedActions":["*"],"tenant":"*"}}],"expiresOn":{},"id":"{chosen}"}}"#,
        START + 60_000
    );
    let created = node.post_as(&create, "application/json", body.clone()).await;
    assert_eq!((created.status.as_u16(), &created.body), (200, &body));
    access_token(&created.body);
    let again = node.post_as(&create, "application/json", body.clone()).await;
    again.is_error(409, "ACCESS_TOKEN_EXISTS", &format!("Access token \"{chosen}\" already exists"));

    node.ticket(chosen, "p").await;
    let read = node.get(&format!("/api/1/access_token/{chosen}.json?accessTokenId={chosen}")).await;
    assert_eq!(read.body, body);
    let native =
        node.application("native", vec![grant(Some("acme"), &TICKETS), grant(None, &[Scope::Audit])], None).await;
    let all = node.get(&format!("/api/1/access_token/all?accessTokenId={chosen}")).await;
    let native_shown = r#"{"application":"native","master":false,"tenantPermissions":[{"allowedActions":["MANAGE_TICKETS"],"tenant":"acme"},{"allowedActions":[],"tenant":"*"}],"expiresOn":null,"id":null}"#;
    assert_eq!(all.body, format!("[{body},{native_shown}]"));
    let all = node.get(&format!("/api/1/access_token/all?accessTokenId={ROOT}")).await;
    assert!(!all.body.contains(chosen) && !all.body.contains(&native));

    let delete = format!("/api/1/access_token/{chosen}/delete.json");
    node.post(&delete, &format!("accessTokenId={chosen}")).await.is_empty();
    let gone = format!("No access token found for ID \"{chosen}\"");
    node.use_ticket(chosen, "x").await.is_error(403, "NO_SUCH_ACCESS_TOKEN_ID", &gone);
    let read = node.get(&format!("/api/1/access_token/{chosen}?accessTokenId={ROOT}")).await;
    read.is_error(404, "NO_SUCH_ACCESS_TOKEN_ID", &gone);
    node.post(&delete, &format!("accessTokenId={ROOT}")).await.is_empty();
}

#[tokio::test]
async fn members_that_the_client_leaves_out_or_null_are_filled_in() {
    let node = CrafterNode::start().await;
    let create = format!("/api/1/access_token/create?accessTokenId={ROOT}");
    let body = json!({"id": null, "expiresOn": null, "tenantPermissions": null, "master": false, "application": "a"});
    let created = access_token(&node.post_json(&create, &body).await.body);
    assert_eq!(created["tenantPermissions"], json!([]));
    let body = json!({"application": "b", "tenantPermissions": [{"allowedActions": ["MANAGE_TICKETS"]}]});
    let created = access_token(&node.post_json(&create, &body).await.body);
    assert_eq!(created["tenantPermissions"][0]["tenant"], "*");
    node.ticket(text(&created["id"]), "p").await;
}

#[tokio::test]
async fn the_first_permission_for_a_tenant_decides() {
    let node = CrafterNode::start().await;
    let body = json!({"application": "a", "tenantPermissions": [
        {"allowedActions": ["READ_TENANT"], "tenant": "closed"}, {"allowedActions": ["*"], "tenant": "*"},
        {"allowedActions": [], "tenant": "open"}]});
    let created = node.post_json(&format!("/api/1/access_token/create?accessTokenId={ROOT}"), &body).await;
    let created = access_token(&created.body);
    let token = text(&created["id"]);
    node.ticket(token, "p&tenantName=open").await;
    let form = format!("accessTokenId={token}&profileId=p&tenantName=closed");
    node.post("/api/1/authentication/ticket/create", &form).await.is_error_with(403, "ACTION_DENIED");
}

#[tokio::test]
async fn only_masters_handle_access_tokens() {
    let node = CrafterNode::start().await;
    let token = node.manager().await;
    let head = node.head();
    let denied =
        |action: &str| format!("Current subject does not have permission to execute global action \"{action}\"");
    let base = "/api/1/access_token";
    let query = format!("accessTokenId={token}");
    let create = node.post_json(&format!("{base}/create?{query}"), &json!({"application": "a"})).await;
    create.is_error(403, "ACTION_DENIED", &denied("CREATE_TOKEN"));
    for path in ["all", "x", &token] {
        let read = node.get(&format!("{base}/{path}?{query}")).await;
        read.is_error(403, "ACTION_DENIED", &denied("READ_TOKEN"));
    }
    for id in ["x", &token] {
        let delete = node.post(&format!("{base}/{id}/delete"), &query).await;
        delete.is_error(403, "ACTION_DENIED", &denied("DELETE_TOKEN"));
    }
    assert_eq!(node.head(), head);
}

#[tokio::test]
async fn a_master_grants_and_removes_nothing_that_exceeds_it() {
    let node = CrafterNode::start().await;
    let create = |token: &str| format!("/api/1/access_token/create?accessTokenId={token}");
    let small = json!({"application": "small", "master": true, "tenantPermissions": [
        {"allowedActions": ["MANAGE_TICKETS"], "tenant": "acme"}]});
    let small = access_token(&node.post_json(&create(ROOT), &small).await.body);
    let small = text(&small["id"]);
    let head = node.head();
    let exceeding = [("*", "acme"), ("MANAGE_TICKETS", "other"), ("MANAGE_TICKETS", "*"), ("*", "*")];
    for (action, tenant) in exceeding {
        let body =
            json!({"application": "more", "tenantPermissions": [{"allowedActions": [action], "tenant": tenant}]});
        let answer = node.post_json(&create(small), &body).await;
        let message = "Current subject does not have permission to execute global action \"CREATE_TOKEN\"";
        answer.is_error(403, "ACTION_DENIED", message);
    }
    let big = json!({"application": "big", "tenantPermissions": [{"allowedActions": ["*"], "tenant": "*"}]});
    let big = access_token(&node.post_json(&create(ROOT), &big).await.body);
    let big = text(&big["id"]);
    let delete = node.post(&format!("/api/1/access_token/{big}/delete"), &format!("accessTokenId={small}")).await;
    delete.is_error_with(403, "ACTION_DENIED");
    node.ticket(big, "p").await;
    assert_eq!(node.head(), head + 2);

    let child = json!({"application": "child", "master": true, "tenantPermissions": [
        {"allowedActions": ["MANAGE_TICKETS"], "tenant": "acme"}]});
    let child = access_token(&node.post_json(&create(small), &child).await.body);
    let shown = node.get(&format!("/api/1/access_token/all?accessTokenId={small}")).await.json();
    let names: Vec<_> = shown.as_array().expect("a list").iter().map(|one| text(&one["application"])).collect();
    assert_eq!(names, ["small", "child"]);
    let path = format!("/api/1/access_token/{}/delete", text(&child["id"]));
    node.post(&path, &format!("accessTokenId={small}")).await.is_empty();
}

#[tokio::test]
async fn a_removed_access_token_is_unknown() {
    let node = CrafterNode::start().await;
    let token = node.manager().await;
    node.post(&format!("/api/1/access_token/{token}/delete"), &format!("accessTokenId={ROOT}")).await.is_empty();
    let message = format!("No access token found for ID \"{token}\"");
    node.use_ticket(&token, "x").await.is_error(403, "NO_SUCH_ACCESS_TOKEN_ID", &message);
}

#[tokio::test]
async fn a_ledger_that_takes_no_commands_says_when_to_come_back() {
    let mut node = CrafterNode::start().await;
    let token = node.manager().await;
    node.running.take().expect("it runs").stop().expect("it stops");
    let answer = node.post("/api/1/authentication/ticket/p", &format!("accessTokenId={token}")).await;
    answer.is_error_with(503, "OTHER");
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_callers_request_id_is_on_record() {
    let node = CrafterNode::start().await;
    let head = node.head();
    for (id, recorded) in [("abc-1", true), ("has space", false)] {
        let request = Request::post("/api/1/authentication/ticket/p")
            .header("content-type", FORM)
            .header("x-request-id", id)
            .body(Body::from(format!("accessTokenId={ROOT}")));
        ticket(&node.send(request.expect("a request")).await);
        let last = authledger::domain::Position(node.head());
        let stored = node.service.reader().find(last).expect("readable").expect("there");
        assert_eq!(stored.record.contains(&format!("\"request\":\"{id}\"")), recorded);
    }
    assert_eq!(node.head(), head + 2);
}
