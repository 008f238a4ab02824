//! Ory's contract, on a node in this process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use authledger::domain::{
    Aal, Caller, CredentialId, Grants, Import, ImportedLife, Method as Authentication, MethodName, Subject, Tenant,
    Timestamp, Ttl,
};
use authledger::http::HttpOptions;
use authledger::http::compat::ory;
use authledger::service::{Call, CallerIdentity, NewSession, Personal, Service};
use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::support::served::{Actor, Answer, Made, ROOT, START, ServedNode};

const NO_CREDENTIALS: &str = "No valid session credentials found in the request.";
const NO_COOKIE: &str = "No valid session cookie found.";
const PREFIXES: [&str; 2] = ["", "/auth"];
const DAY_MILLIS: u64 = 86_400_000;

/// A session that was issued, and its token.
#[derive(Clone)]
struct Issued {
    id: String,
    token: String,
}

fn as_root() -> Call {
    let identity = CallerIdentity { caller: Caller::Root, grants: Arc::new(Grants::everything()), registration: None };
    Call { identity, request: None, idempotency: None, consistency: None }
}

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).expect("a name")
}

fn new_session(tenant: &Tenant, subject: &str) -> NewSession {
    NewSession {
        tenant: tenant.clone(),
        subject: Subject::new(subject).expect("a name"),
        ttl: None,
        aal: Aal::Aal1,
        methods: Vec::new(),
        personal: Personal::default(),
        parent: None,
    }
}

async fn issue_new(service: &Service, new: NewSession) -> Issued {
    let issued = service.issue_session(&as_root(), new).await.expect("root may");
    Issued { id: issued.session.id.uuid().to_string(), token: issued.secret.expose().to_owned() }
}

async fn issue_in(node: &ServedNode, name: &str, subject: &str) -> Issued {
    issue_new(node.service(), new_session(&tenant(name), subject)).await
}

async fn issue(node: &ServedNode, subject: &str) -> Issued {
    issue_in(node, Tenant::DEFAULT, subject).await
}

fn bearer(node: &ServedNode, session: &Issued) -> Actor {
    node.nobody().with("x-session-token", &session.token)
}

fn object(value: Value) -> Option<Map<String, Value>> {
    value.as_object().cloned()
}

fn outcome(answer: &Answer) -> (u16, Option<String>) {
    (answer.status.as_u16(), answer.json()["error"]["reason"].as_str().map(str::to_owned))
}

fn message(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned())
}

fn ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let sessions = body.as_array().unwrap_or_else(|| panic!("a list: {}", answer.shown()));
    sessions.iter().map(|session| session["id"].as_str().expect("an id").to_owned()).collect()
}

fn sorted(sessions: &[Issued]) -> BTreeSet<String> {
    sessions.iter().map(|session| session.id.clone()).collect()
}

/// Where the link with that relation leads.
fn link(answer: &Answer, rel: &str) -> Option<String> {
    let wanted = format!(">; rel=\"{rel}\"");
    let links = answer.header("link").split(',').find_map(|link| link.strip_suffix(&wanted).map(str::to_owned));
    links.map(|link| link.trim_start_matches('<').to_owned())
}

/// The sessions of every page from that one on, along these links.
async fn walk(actor: &Actor, start: &str, rel: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(start.to_owned());
    while let Some(path) = next {
        let answer = actor.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.shown());
        pages.push(ids(&answer));
        next = link(&answer, rel);
    }
    pages
}

async fn is_alive(node: &ServedNode, session: &Issued) -> bool {
    let answer = bearer(node, session).get("/sessions/whoami").await;
    assert!([200, 401].contains(&answer.status.as_u16()));
    answer.status == 200
}

#[tokio::test]
async fn a_session_is_shown_as_the_sdks_read_it() {
    let node = ServedNode::start().await;
    let method = |method, aal, completed_at| Authentication {
        method: MethodName::new(method).expect("a name"),
        aal,
        completed_at,
    };
    let at = |millis| Timestamp::from_millis(millis);
    let personal = Personal {
        identity: object(json!({
            "id": "not the ledger's", "traits": {"email": "ada@example.com"}, "schema_id": "person", "metadata_public": {"plan": "pro"},
            "metadata_admin": {"risk": 3}, "credentials": {"password": {}}, "state": "odd", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "yesterday", "nickname": "a",
        })),
        device: object(json!({"ip_address": "192.0.2.7", "user_agent": "Mozilla/5.0", "location": 7, "else": "x"})),
    };
    let methods = vec![
        method("password", Some(Aal::Aal1), at(START - 5_000)),
        method("totp", None, None),
        method("carrier-pigeon", Some(Aal::Aal1), None),
    ];
    let new = NewSession { aal: Aal::Aal2, methods, personal, ..new_session(&Tenant::default(), "ada") };
    let full = issue_new(node.service(), new).await;
    node.clock.advance(1);
    let plain = issue(&node, "6ba7b810-9dad-11d1-80b4-00c04fd430c8").await;

    let answer = bearer(&node, &full).get("/auth/sessions/whoami").await;
    assert_eq!(answer.json()["id"], full.id);
    let subject = Subject::new("ada").expect("a name").uuid(&Tenant::default()).to_string();
    assert_eq!(answer.json()["identity"]["id"], subject);
    assert_eq!(answer.header("x-kratos-authenticated-identity-id"), subject);
    insta::assert_snapshot!("whoami", answer.shown().replace(&subject, "[identity]"));
    let answer = bearer(&node, &plain).get("/sessions/whoami").await;
    assert_eq!(answer.json()["identity"]["id"], "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    insta::assert_snapshot!("whoami of a subject of which nothing else is known", answer.shown());
    let root = node.root();
    insta::assert_snapshot!("admin get", root.get(&format!("/admin/sessions/{}", full.id)).await.shown());
    let expanded = format!("/admin/sessions/{}?expand=Identity&expand=DEVICES", full.id);
    insta::assert_snapshot!("admin get expanded", root.get(&expanded).await.shown());
    insta::assert_snapshot!(
        "admin list",
        root.get("/admin/sessions?page_size=1&expand=devices")
            .await
            .shown()
            .lines()
            .filter(|line| !line.starts_with("link"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    for answer in [answer, root.get("/admin/sessions?expand=identity").await] {
        let body = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
        assert!(!body.contains(&full.token) && !body.contains(&plain.token));
    }
}

/// Each credential absent, unknown or active: the first that is there counts.
#[tokio::test]
async fn the_first_credential_that_is_there_counts_on_every_call() {
    let node = ServedNode::start().await;
    let session = issue(&node, "ada").await;
    let other = issue(&node, "bob").await.id;
    let tokens = [None, Some("MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj"), Some(&*session.token)];
    for (header, cookie, authorization) in every_three(&tokens) {
        let mut actor = node.nobody();
        if let Some(token) = header {
            actor = actor.with("x-session-token", token);
        }
        if let Some(token) = cookie {
            actor = actor.with("cookie", &format!("theme=dark; ory_kratos_session={token}"));
        }
        if let Some(token) = authorization {
            actor = actor.with("authorization", &format!("bEaReR {token}"));
        }
        // A cookie that is not a token of this ledger gives way.
        let cookie_read = cookie.filter(|cookie| *cookie == session.token);
        let is_active = header.or(cookie_read).or(authorization) == Some(&*session.token);
        for prefix in PREFIXES {
            {
                let expected = |status, reason: &str| {
                    if is_active { (status, None) } else { (401, Some(reason.to_owned())) }
                };
                let path = |path: &str| format!("{prefix}{path}");
                for slash in ["", "/"] {
                    let whoami = actor.get(&path(&format!("/sessions/whoami{slash}"))).await;
                    let told = outcome(&whoami);
                    assert_eq!(told, expected(200, NO_CREDENTIALS), "{header:?} {cookie:?} {authorization:?}");
                }
                assert_eq!(outcome(&actor.get(&path("/sessions")).await), expected(200, NO_COOKIE));
                assert_eq!(outcome(&actor.delete(&path("/sessions")).await), expected(200, NO_COOKIE));
                for slash in ["", "/"] {
                    let disabled = actor.delete(&path(&format!("/sessions/{other}{slash}"))).await;
                    assert_eq!(outcome(&disabled), expected(204, NO_COOKIE));
                }
            }
        }
    }
    for cookie in ["ory_kratos_session=", "ory_kratos_session=é", "other=1"] {
        let actor = node.holder(&session.token).with("cookie", cookie);
        assert_eq!(actor.get("/sessions/whoami").await.status, 200, "{cookie} falls through");
    }
    let twice = node.nobody().with("authorization", &format!("Bearer {} x", session.token));
    assert_eq!(twice.get("/sessions/whoami").await.status, 401);
}

fn every_three<'a>(one: &[Option<&'a str>]) -> Vec<(Option<&'a str>, Option<&'a str>, Option<&'a str>)> {
    let pairs = one.iter().flat_map(|a| one.iter().map(move |b| (*a, *b)));
    pairs.flat_map(|(a, b)| one.iter().map(move |c| (a, b, *c))).collect()
}

#[tokio::test]
async fn whoami_answers_every_verb_and_every_other_route_its_own() {
    let node = ServedNode::start().await;
    let session = issue(&node, "ada").await;
    let actor = bearer(&node, &session);
    for verb in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let answer = actor.send(verb.clone(), "/sessions/whoami", "some=form").await;
        assert_eq!((answer.status.as_u16(), answer.json()["id"].as_str()), (200, Some(&*session.id)), "{verb}");
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "private, no-cache, no-store, must-revalidate");
    }
    let answer = actor.delete("/sessions/%77hoami").await;
    assert_eq!(answer.json()["id"], *session.id, "however it is spelled");
    let head = actor.send(Method::HEAD, "/auth/sessions/whoami/", "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let wrong = node.nobody().with("x-request-id", "r-1").post("/sessions/x", json!({})).await;
    assert_eq!(wrong.header("allow"), "DELETE");
    insta::assert_snapshot!("wrong verb", wrong.shown());
    assert!(is_alive(&node, &session).await, "nothing of that revoked it");
}

#[tokio::test]
async fn a_cookie_and_a_prefix_are_called_as_the_operator_says() {
    let mut options = HttpOptions::default();
    options.compat.ory =
        ory::OryOptions { prefix: "/id/ory".into(), cookie: "sid".into(), ..ory::OryOptions::default() };
    let node = ServedNode::made(Made { options, ..Made::default() }).await;
    let session = issue(&node, "ada").await;
    let actor = node.nobody().with("cookie", &format!("sid={}", session.token));
    assert_eq!(actor.get("/id/ory/sessions/whoami").await.status, 200);
    assert_eq!(actor.get("/sessions/whoami").await.status, 200);
    assert_eq!(actor.get("/auth/sessions/whoami").await.status, 404);
    let other = node.nobody().with("cookie", &format!("ory_kratos_session={}", session.token));
    assert_eq!(other.get("/sessions/whoami").await.status, 401);
}

#[tokio::test]
async fn a_session_revokes_another_one_and_never_itself() {
    let node = ServedNode::start().await;
    let (current, other, foreign) = (issue(&node, "ada").await, issue(&node, "ada").await, issue(&node, "bob").await);
    let me = bearer(&node, &current).with("x-request-id", "request-7");
    let disable = async |id: &str| me.delete(&format!("/auth/sessions/{id}")).await;

    insta::assert_snapshot!("disable without credentials", node.nobody().delete("/sessions/BADUUID").await.shown());
    insta::assert_snapshot!("disable a text that is not an id", disable("BADUUID").await.shown());
    let misplaced = disable("6ba7b810+9dad-11d1-80b4-00c04fd430c8").await;
    insta::assert_snapshot!("disable an id out of place", misplaced.shown());
    assert_eq!(message(&disable("g".repeat(32).as_str()).await), (400, "uuid: invalid UUID format".into()));
    assert_eq!(disable("%zz").await.status, 400);
    insta::assert_snapshot!("disable the current one", disable(&current.id).await.shown());
    let plain = current.id.replace('-', "");
    for spelled in
        [plain.clone(), current.id.to_uppercase(), format!("%7B{plain}%7D"), format!("urn:uuid:{}", current.id)]
    {
        assert_eq!(message(&disable(&spelled).await), (400, "cannot revoke current session".into()), "{spelled}");
    }
    assert!(is_alive(&node, &current).await);

    let head = node.head();
    for unknown in [&foreign.id, "00000000-0000-4000-8000-000000000000"] {
        let answer = disable(unknown).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "no oracle");
    }
    assert_eq!(node.head(), head, "nothing happened");
    assert!(is_alive(&node, &foreign).await);
    assert_eq!(disable(&format!("urn:uuid:{}", other.id)).await.status, 204);
    assert_eq!(disable(&other.id).await.status, 204, "again");
    assert_eq!(node.head().0, head.0 + 1, "recorded once");
    assert!(!is_alive(&node, &other).await);
    let shown = node.root().get(&format!("/admin/sessions/{}", other.id)).await.json();
    assert_eq!((&shown["id"], &shown["active"]), (&json!(other.id), &json!(false)), "its data stay");
    // A revoked session revokes nothing.
    assert_eq!(bearer(&node, &other).delete(&format!("/sessions/{}", current.id)).await.status, 401);
}

#[tokio::test]
async fn with_other_members_an_unknown_session_is_revoked_if_it_is_the_subjects() {
    let node = ServedNode::start().await;
    let current = issue(&node, "ada").await;
    let now = node.clock.now();
    let import = Import {
        tenant: Tenant::default(),
        subject: Subject::new("somebody").expect("a name"),
        life: ImportedLife::Session { id: CredentialId::from_bytes([9; 16]), digest: None, aal: Aal::Aal1 },
        issued_at: now,
        expires_at: now.plus(Ttl::from_seconds(600).expect("in range")),
        not_after: None,
        past: Vec::new(),
    };
    node.service().import(&as_root(), import).await.expect("root may");
    let head = node.head();
    let unknown = |number| format!("/sessions/00000000-0000-4000-8000-{number:012}");
    for number in 0..100 {
        assert_eq!(bearer(&node, &current).delete(&unknown(number)).await.status, 204);
    }
    assert_eq!(bearer(&node, &current).delete(&unknown(0)).await.status, 204, "it is on record");
    assert_eq!(node.head().0, head.0 + 100);
    insta::assert_snapshot!("too many unknown", bearer(&node, &current).delete(&unknown(100)).await.shown());
    assert_eq!(node.root().delete(&format!("/admin{}", unknown(100))).await.status, 204);
    assert_eq!(node.root().get(&format!("/admin{}", unknown(100))).await.status, 404);
}

#[tokio::test]
async fn all_other_sessions_are_revoked_and_counted() {
    let node = ServedNode::start().await;
    let current = issue(&node, "ada").await;
    let others = [issue(&node, "ada").await, issue(&node, "ada").await, issue(&node, "ada").await];
    let foreign = issue(&node, "bob").await;
    let same_name = issue_in(&node, "acme", "ada").await;
    let me = bearer(&node, &current);
    assert_eq!(me.delete(&format!("/sessions/{}", others[0].id)).await.status, 204);
    insta::assert_snapshot!("disable all others", me.delete("/sessions").await.shown());
    assert_eq!(me.delete("/sessions").await.json(), json!({"count": 0}), "revoked ones do not count");
    for session in &others {
        assert!(!is_alive(&node, session).await);
    }
    for session in [&current, &foreign, &same_name] {
        assert!(is_alive(&node, session).await);
    }
    insta::assert_snapshot!("no others", me.get("/auth/sessions").await.shown());
}

#[tokio::test]
async fn logging_out_takes_a_token_in_the_body() {
    let node = ServedNode::start().await;
    let (leaving, staying) = (issue(&node, "ada").await, issue(&node, "ada").await);
    let nobody = node.nobody().with("content-type", "application/json");
    let log_out = async |body: &str| nobody.send(Method::DELETE, "/self-service/logout/api", body.to_owned()).await;
    let of = |token: &str| json!({"session_token": token}).to_string();
    assert_eq!(log_out(&of(&leaving.token)).await.status, 204);
    assert!(!is_alive(&node, &leaving).await && is_alive(&node, &staying).await);
    assert_eq!(log_out(&of(&leaving.token)).await.status, 204, "it was inactive already");
    insta::assert_snapshot!("log out nobody", log_out(&of("MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj")).await.shown());
    for unknown in [of(""), "{}".into(), json!({"session_token": null}).to_string()] {
        assert_eq!(log_out(&unknown).await.status, 403, "{unknown}");
    }
    insta::assert_snapshot!("log out without a body", log_out("").await.shown());
    for malformed in ["[]", "\"x\"", "{\"session_token\":7}", "{"] {
        assert_eq!(log_out(malformed).await.status, 400, "{malformed}");
    }
    let large = of(&"x".repeat(70_000));
    insta::assert_snapshot!("too large a body", log_out(&large).await.shown());
}

#[tokio::test]
async fn a_list_has_every_session_on_one_page_in_both_directions() {
    let node = ServedNode::start().await;
    let current = issue(&node, "ada").await;
    let mut others = Vec::new();
    for number in 0..23 {
        // Some at the same instant, as it happens.
        node.clock.advance(number % 3);
        others.push(issue(&node, "ada").await);
    }
    issue(&node, "bob").await;
    let me = bearer(&node, &current);
    let whole = me.get("/sessions").await;
    assert_eq!((whole.header("x-total-count"), ids(&whole).len()), ("23", 23));
    let issued = |answer: &Answer| -> Vec<String> {
        let body = answer.json();
        body.as_array()
            .expect("a list")
            .iter()
            .map(|one| one["issued_at"].as_str().expect("a time").to_owned())
            .collect()
    };
    assert!(issued(&whole).is_sorted_by(|one, other| one >= other), "the newest first");
    for size in ["page_size=5", "per_page=1", "page_size=22"] {
        for prefix in PREFIXES {
            let start = format!("{prefix}/sessions?{size}");
            let forward = walk(&me, &start, "next").await;
            assert_eq!(forward.concat(), ids(&whole), "{start}");
            let last = link(&me.get(&start).await, "last").expect("a last page");
            let mut backward = walk(&me, &last, "prev").await;
            backward.reverse();
            assert_eq!(backward, forward, "{start}");
        }
    }
    assert_eq!(ids(&me.get("/sessions?page=1&per_page=10").await), ids(&whole)[..10]);
    assert_eq!(ids(&me.get("/sessions?page=2&per_page=10").await), ids(&whole)[10..20]);
    assert_eq!(ids(&me.get("/sessions?page=0&per_page=10").await), ids(&whole)[..10]);
    let beyond = me.get("/sessions?page=9&per_page=10").await;
    assert_eq!((ids(&beyond).len(), beyond.header("x-total-count")), (0, "23"));
    assert_eq!(ids(&me.get("/sessions?page_size=0").await), ids(&whole)[..1]);

    let identity = Subject::new("ada").expect("a name").uuid(&Tenant::default());
    for name in ["ada".to_owned(), identity.to_string(), identity.simple().to_string()] {
        let start = format!("/admin/identities/{name}/sessions?active=t&page_size=7");
        let found = walk(&node.root(), &start, "next").await.concat();
        assert_eq!(found.len(), 24, "{name}");
        assert_eq!(
            found.into_iter().collect::<BTreeSet<_>>(),
            &sorted(&others) | &sorted(std::slice::from_ref(&current))
        );
    }
}

#[tokio::test]
async fn an_application_lists_the_sessions_of_its_own_tenant_alone() {
    let node = ServedNode::start().await;
    let mut sessions = Vec::new();
    for number in 0..9 {
        node.clock.advance(number % 2);
        sessions.push(issue_in(&node, "acme", &format!("s{}", number % 4)).await);
    }
    let foreign = issue_in(&node, "other", "s1").await;
    let acme = node.application(&[("acme", &["introspect", "revoke", "issue"])]).await;
    let root = node.root().with("x-tenant", "acme");
    for actor in [&acme, &acme.with("x-tenant", "other"), &root] {
        let pages = walk(actor, "/auth/admin/sessions?page_size=2", "next").await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 2, 1]);
        assert_eq!(pages.concat().into_iter().collect::<BTreeSet<_>>(), sorted(&sessions));
    }
    assert_eq!(ids(&node.root().get("/admin/sessions").await), [] as [String; 0], "nobody is in `default`");

    for revoked in &sessions[..4] {
        assert_eq!(acme.delete(&format!("/admin/sessions/{}", revoked.id)).await.status, 204);
    }
    for (active, wanted) in [("true", &sessions[4..]), ("F", &sessions[..4])] {
        let found = walk(&acme, &format!("/admin/sessions?page_size=2&active={active}"), "next").await.concat();
        assert_eq!((found.len(), found.into_iter().collect::<BTreeSet<_>>()), (wanted.len(), sorted(wanted)));
    }

    let token = link(&acme.get("/admin/sessions?page_size=2").await, "next").expect("a next page");
    let elsewhere = node.application(&[("other", &["introspect", "revoke", "issue"])]).await;
    assert_eq!(elsewhere.get(&token).await.status, 400, "a token of another tenant");
    for malformed in ["x", "AAAA", "1"] {
        assert_eq!(acme.get(&format!("/admin/sessions?page_token={malformed}")).await.status, 400);
    }
    insta::assert_snapshot!("active is not a boolean", acme.get("/admin/sessions?active=maybe").await.shown());
    assert_eq!(message(&acme.get("/admin/sessions?page_size=x").await).1, "could not parse parameter page_size");
    insta::assert_snapshot!(
        "expand a part that is unknown",
        acme.get("/admin/sessions?expand=everything").await.shown()
    );

    // A session of another tenant is the same as an unknown one, and stays as it is.
    let head = node.head();
    for actor in [&acme, &root] {
        for (verb, path) in by_id(&foreign.id) {
            let answer = actor.send(verb.clone(), &path, "").await;
            assert_eq!(message(&answer), (404, "Unable to locate the resource".into()), "{verb} {path}");
        }
    }
    let identity = Subject::new("s1").expect("a name").uuid(&tenant("other"));
    assert_eq!(ids(&acme.get(&format!("/admin/identities/{identity}/sessions")).await), [] as [String; 0]);
    assert_eq!(acme.delete(&format!("/admin/identities/{identity}/sessions")).await.status, 404);
    assert_eq!(node.head(), head);
    assert!(is_alive(&node, &foreign).await);
}

fn by_id(id: &str) -> [(Method, String); 3] {
    [
        (Method::GET, format!("/admin/sessions/{id}")),
        (Method::DELETE, format!("/auth/admin/sessions/{id}")),
        (Method::PATCH, format!("/admin/sessions/{id}/extend/")),
    ]
}

/// Every admin call, and the scope that it takes.
fn admin_calls(id: &str) -> [(Method, String, &'static str); 7] {
    let [get, disable, extend] = by_id(id);
    [
        (get.0, get.1, "introspect"),
        (disable.0, disable.1, "revoke"),
        (extend.0, extend.1, "issue"),
        (Method::GET, "/admin/sessions".to_owned(), "introspect"),
        (Method::POST, "/admin/sessions".to_owned(), "revoke"),
        (Method::GET, "/admin/identities/nobody/sessions".to_owned(), "introspect"),
        (Method::DELETE, "/admin/identities/nobody/sessions".to_owned(), "revoke"),
    ]
}

#[tokio::test]
async fn admin_calls_take_an_application_with_their_scope() {
    let node = ServedNode::start().await;
    let session = issue(&node, "ada").await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    insta::assert_snapshot!("admin without a secret", node.nobody().get("/admin/sessions").await.shown());
    let narrow = node.application(&[("default", &["follow"])]).await;
    let refused = narrow.with("x-request-id", "r-9").get("/admin/sessions").await;
    insta::assert_snapshot!("admin without the scope", refused.shown());
    let strangers = [
        node.nobody(),
        node.holder("al_a_nobody"),
        node.holder(&session.token),
        node.nobody().with("x-session-token", &session.token),
        node.nobody().with("authorization", "Basic eDp5"),
        node.root().with("authorization", &format!("Bearer {ROOT}")),
    ];
    // Authority comes before the id in question, whether it is there, unknown or malformed.
    for id in [&*session.id, unknown, "BADUUID"] {
        for (verb, path, _) in admin_calls(id) {
            for stranger in &strangers {
                assert_eq!(stranger.send(verb.clone(), &path, "").await.status, 401, "{verb} {path}");
            }
            assert_eq!(narrow.send(verb.clone(), &path, "").await.status, 403, "{verb} {path}");
        }
    }
    for scope in ["introspect", "revoke", "issue"] {
        let actor = node.application(&[("default", &[scope])]).await;
        for (verb, path, needed) in admin_calls(unknown) {
            let status = actor.send(verb.clone(), &path, "").await.status.as_u16();
            assert_eq!(status == 403, scope != needed, "{scope}: {verb} {path}");
        }
    }
    // The older clients send an API key as it is.
    for value in [ROOT.to_owned(), format!("bearer {ROOT}")] {
        let actor = node.nobody().with("authorization", &value);
        assert_eq!(actor.get("/admin/sessions").await.status, 200);
        assert_eq!(actor.with("x-tenant", "*").get("/admin/sessions").await.status, 400);
    }
    assert!(is_alive(&node, &session).await);
}

#[tokio::test]
async fn an_application_shows_revokes_and_extends_a_session() {
    let node = ServedNode::start().await;
    let (session, short) = (issue(&node, "ada").await, issue(&node, "bob").await);
    let root = node.root();
    let of = |session: &Issued| format!("/admin/sessions/{}", session.id);
    for (verb, path) in by_id("BADUUID") {
        let told = (400, "uuid: incorrect UUID length 7 in string \"BADUUID\"".to_owned());
        assert_eq!(message(&root.send(verb, &path, "").await), told);
    }
    for (verb, path) in by_id("00000000-0000-4000-8000-000000000000") {
        assert_eq!(root.send(verb, &path, "").await.status, 404);
    }
    insta::assert_snapshot!(
        "admin get nobody's",
        root.get("/admin/sessions/00000000000040008000000000000000").await.shown()
    );

    node.clock.advance(DAY_MILLIS / 2);
    let form = root.with("content-type", "application/x-www-form-urlencoded");
    let extended = form.send(Method::PATCH, &format!("{}/extend", of(&session)), "").await;
    insta::assert_snapshot!("extend", extended.shown());
    assert_eq!(extended.json()["expires_at"], "2027-01-16T20:00:00.000Z", "a day from now");
    node.clock.advance(DAY_MILLIS * 3 / 4);
    assert!(is_alive(&node, &session).await && !is_alive(&node, &short).await);
    let inactive = root.send(Method::PATCH, &format!("{}/extend", of(&short)), "").await;
    assert_eq!(
        (inactive.status.as_u16(), &inactive.json()["active"]),
        (200, &json!(false)),
        "an expired one stays inactive"
    );
    assert_eq!(root.delete(&of(&short)).await.status, 204, "it is inactive, as was asked for");

    assert_eq!(root.delete(&of(&session)).await.status, 204);
    assert_eq!(root.delete(&of(&session)).await.status, 204, "again");
    assert!(!is_alive(&node, &session).await);
    let revoked = root.send(Method::PATCH, &format!("{}/extend", of(&session)), "").await;
    assert_eq!(
        (revoked.status.as_u16(), &revoked.json()["active"]),
        (200, &json!(false)),
        "a revoked one stays revoked"
    );
    // Beyond the reach of any extension it has expired, and the answer says so until it is forgotten.
    node.clock.advance(40 * DAY_MILLIS);
    assert_eq!(root.delete(&of(&short)).await.status, 204);
}

#[tokio::test]
async fn all_sessions_of_an_identity_are_revoked() {
    let node = ServedNode::start().await;
    let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    for (subject, named) in [
        ("ada", Subject::new("ada").expect("a name").uuid(&Tenant::default()).to_string()),
        ("bob", "bob".to_owned()),
        ("o'neill, é", "o%27neill%2C%20%C3%A9".to_owned()),
        (uuid, uuid.to_owned()),
    ] {
        let sessions = [issue(&node, subject).await, issue(&node, subject).await];
        let path = format!("/admin/identities/{named}/sessions");
        let listed = node.root().get(&path).await;
        assert_eq!((ids(&listed).len(), listed.header("x-total-count")), (2, "2"), "{subject}");
        assert!(listed.json()[0]["identity"].is_object() && listed.json()[0]["devices"].is_array(), "expanded");
        assert_eq!(node.root().delete(&path).await.status, 204);
        for session in &sessions {
            assert!(!is_alive(&node, session).await);
        }
        assert_eq!(node.root().delete(&path).await.status, 404, "none are left");
        for query in ["", "?active=true", "?active=false"] {
            let left = node.root().get(&format!("{path}{query}")).await;
            assert_eq!((ids(&left).len(), left.header("x-total-count")), (0, "0"), "{subject} {query}");
        }
        for session in &sessions {
            let of = format!("/admin/sessions/{}", session.id);
            for (verb, path) in by_id(&session.id) {
                assert_eq!(node.root().send(verb, &path, "").await.status, 404);
            }
            let native = node.root().get(&format!("/v1/sessions/{}", session.id)).await;
            assert_eq!(native.json()["active"], false, "{of}: the native API still has it: {}", native.shown());
        }
        assert!(is_alive(&node, &issue(&node, subject).await).await, "later ones are active");
    }
    for nobody in ["nobody", "00000000-0000-4000-8000-000000000000", "%ff", "%00"] {
        let path = format!("/admin/identities/{nobody}/sessions");
        assert_eq!(ids(&node.root().get(&path).await).len(), 0, "{nobody}");
        assert_eq!(node.root().delete(&path).await.status, 404, "{nobody}");
    }
}

/// After the answer that a session is revoked, nobody is told that it is active.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoami_refuses_a_session_once_it_is_revoked() {
    let node = ServedNode::start().await;
    for round in 0..60 {
        let (current, other) = (issue(&node, "ada").await, issue(&node, "ada").await);
        let revoked = Arc::new(AtomicBool::new(false));
        let asking: Vec<_> = (0..3)
            .map(|_| {
                let actor = bearer(&node, &other);
                let revoked = revoked.clone();
                tokio::spawn(async move {
                    loop {
                        let was_revoked = revoked.load(Ordering::SeqCst);
                        let status = actor.get("/sessions/whoami").await.status;
                        assert!(!was_revoked || status == 401, "a {status} after it was revoked");
                        if was_revoked {
                            return;
                        }
                        assert!([200, 401].contains(&status.as_u16()));
                    }
                })
            })
            .collect();
        let answer = match round % 4 {
            0 => bearer(&node, &current).delete(&format!("/sessions/{}", other.id)).await.status,
            1 => bearer(&node, &current).delete("/sessions").await.status,
            2 => node.root().delete(&format!("/admin/sessions/{}", other.id)).await.status,
            _ => node.root().delete("/admin/identities/ada/sessions").await.status,
        };
        assert!(answer.is_success());
        revoked.store(true, Ordering::SeqCst);
        for one in asking {
            one.await.expect("it is told the truth");
        }
    }
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let mut node = ServedNode::start().await;
    let personal = Personal { identity: object(json!({"traits": {"name": "Ada"}})), device: None };
    let current = issue_new(node.service(), NewSession { personal, ..new_session(&Tenant::default(), "ada") }).await;
    let (kept, revoked) = (issue(&node, "ada").await, issue(&node, "ada").await);
    node.root().send(Method::PATCH, &format!("/admin/sessions/{}/extend", kept.id), "").await;
    bearer(&node, &current).delete(&format!("/sessions/{}", revoked.id)).await;
    let look = async |node: &ServedNode| {
        let me = bearer(node, &current);
        let mut seen = vec![me.get("/sessions/whoami").await, me.get("/sessions").await];
        let gone = bearer(node, &revoked).get("/sessions/whoami").await;
        seen.push(node.root().get("/admin/sessions?expand=identity&expand=devices").await);
        seen.push(gone);
        seen.into_iter().map(|answer| (answer.status, answer.body)).collect::<Vec<_>>()
    };
    let before = look(&node).await;
    assert_eq!(before[3].0, 401);
    node.restart().await;
    assert_eq!(look(&node).await, before);
}

#[tokio::test]
async fn secrets_are_in_no_refusal() {
    let node = ServedNode::start().await;
    let secret = "al_s_very-much-a-secret-that-nobody-else-has";
    let actor =
        node.holder(secret).with("x-session-token", secret).with("cookie", &format!("ory_kratos_session={secret}"));
    for path in ["/sessions/whoami", "/sessions", "/admin/sessions", "/admin/sessions/x"] {
        let answer = actor.get(path).await;
        assert!(!answer.shown().contains("very-much"), "{}", answer.shown());
    }
}

/// A subject with very many sessions: each is on one page, and the cost of a page depends on its own length, not on their number.
#[tokio::test(flavor = "multi_thread")]
async fn very_many_sessions_of_one_subject_are_listed_and_revoked() {
    const MANY: usize = 20_000;
    const AT_ONCE: usize = 2_000;
    let node = ServedNode::start().await;
    let current = issue(&node, "ada").await;
    let started = Instant::now();
    for _ in 0..MANY / AT_ONCE {
        let issuing: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let service = node.service().clone();
                tokio::spawn(async move { issue_new(&service, new_session(&Tenant::default(), "ada")).await })
            })
            .collect();
        for one in issuing {
            one.await.expect("issued");
        }
    }
    println!("{MANY} issued in {:?}", started.elapsed());
    let me = bearer(&node, &current);
    let root = node.root();
    for (actor, path, all) in [
        (&me, "/sessions?page_size=1000", MANY),
        (&root, "/admin/sessions?page_size=1000", MANY + 1),
        (&root, "/admin/sessions?page_size=1000&active=true", MANY + 1),
        (&root, "/admin/identities/ada/sessions?page_size=1000", MANY + 1),
    ] {
        let started = Instant::now();
        let first = actor.get(path).await;
        println!("{path}: {} bytes, first page cold in {:?}", first.body.len(), started.elapsed());
        assert_eq!(ids(&first).len(), 1_000);
        let started = Instant::now();
        assert_eq!(ids(&actor.get(path).await).len(), 1_000);
        println!("{path}: again in {:?}", started.elapsed());
        let started = Instant::now();
        let found = walk(actor, path, "next").await.concat();
        println!("{path}: all pages in {:?}", started.elapsed());
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (all, all));
    }
    let started = Instant::now();
    assert_eq!(me.get("/sessions?page_size=1").await.header("x-total-count"), MANY.to_string());
    println!("a page of one in {:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(me.delete("/sessions").await.json(), json!({"count": MANY}));
    println!("all others revoked in {:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(ids(&root.get("/admin/sessions?active=true").await), std::slice::from_ref(&current.id));
    println!("the one that is left found in {:?}", started.elapsed());
}
