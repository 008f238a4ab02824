//! Cribl's contract, on a node in this process.

use std::collections::HashSet;
use std::sync::Arc;

use authledger::domain::{Aal, CredentialId, Secret, Subject, Tenant, Ttl};
use authledger::keys::Algorithm;
use authledger::service::{
    Authentication, Call, CallerIdentity, NewSession, NewTicket, NewToken, Personal, Service, TokenParent,
};
use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::jose::{Signer, claims};
use crate::support::served::{Actor, Answer, Made, ROOT, START, ServedNode};

/// An id as Cribl's own: of an identity provider, its tenant and an address.
const USER: &str = "samlp|x|nico.jones@example.com";
const RAW: &str = "/auth/users/samlp|x|nico.jones@example.com/token";
const ESCAPED: &str = "/api/v1/auth/users/samlp%7Cx%7cnico.jones%40example.com/token";
const NOW: &str = "2027-01-15T08:00:00.000Z";

/// A subject and its credentials.
struct Issuer {
    service: Arc<Service>,
    tenant: Tenant,
    subject: Subject,
}

impl Issuer {
    fn new(node: &ServedNode, tenant: &str, subject: &str) -> Self {
        let (tenant, subject) = (Tenant::new(tenant).unwrap(), Subject::new(subject).unwrap());
        Self { service: node.service().clone(), tenant, subject }
    }

    fn call(&self) -> Call {
        let Authentication::Caller(identity) = self.service.authenticate(ROOT.as_bytes()) else { panic!("root") };
        Call { identity, request: None, idempotency: None, consistency: None }
    }

    fn identity(&self) -> CallerIdentity {
        self.call().identity
    }

    async fn token(&self, session: Option<CredentialId>, opaque: bool) -> (String, Secret) {
        let tenant = self.tenant.clone();
        let subject = self.subject.clone();
        let ttl = None;
        let new = NewToken {
            tenant,
            subject,
            ttl,
            parent: session.map(TokenParent::OwnSession),
            audience: Vec::new(),
            scope: None,
            confirmation: None,
            claims: Map::new(),
            status_list: None,
            opaque,
        };
        let issued = self.service.issue_token(&self.call(), new).await.unwrap();
        (issued.id, issued.secret)
    }

    async fn session(&self) -> (CredentialId, Secret) {
        let tenant = self.tenant.clone();
        let subject = self.subject.clone();
        let personal = Personal::default();
        let new =
            NewSession { tenant, subject, ttl: None, aal: Aal::default(), methods: Vec::new(), personal, parent: None };
        let issued = self.service.issue_session(&self.call(), new).await.unwrap();
        (issued.session.id, issued.secret)
    }

    async fn ticket(&self) -> Secret {
        let (tenant, subject) = (self.tenant.clone(), self.subject.clone());
        let new = NewTicket { tenant, subject, ttl: Ttl::from_seconds(60), parent: None };
        self.service.issue_ticket(&self.call(), new).await.unwrap().secret
    }

    async fn is_active(&self, secret: &Secret) -> bool {
        self.service.introspect(&self.identity(), secret.expose(), None).await.unwrap().is_some()
    }
}

/// The items, where the answer is a success to the letter.
#[track_caller]
fn items(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"), "{answer:?}");
    let body = answer.json();
    assert_eq!(body.as_object().map(Map::len), Some(2), "items and count alone: {body}");
    let items = body["items"].as_array().expect("items").clone();
    assert_eq!(body["count"], items.len());
    assert!(answer.body.ends_with(format!("],\"count\":{}}}", items.len()).as_bytes()), "the count comes last");
    items
}

/// Status and message, where the answer is an error to the letter.
#[track_caller]
fn refusal(answer: &Answer) -> (u16, String) {
    let message = answer.json()["message"].as_str().expect("a message").to_owned();
    assert_eq!(answer.json(), json!({"status": "error", "message": message}));
    assert_eq!(answer.header("content-type"), "application/json");
    (answer.status.as_u16(), message)
}

fn kinds(items: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = items.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds
}

#[tokio::test]
async fn all_tokens_of_a_user_are_revoked_in_one_record_and_the_next_one_is_active() {
    let node = ServedNode::start().await;
    let user = Issuer::new(&node, "default", USER);
    let (jwt, opaque) = (user.token(None, false).await, user.token(None, true).await);
    let session = user.session().await.1;
    let ticket = user.ticket().await;
    let other = Issuer::new(&node, "default", "somebody else").token(None, true).await.1;
    let before = node.head();
    let revoked = items(&node.root().delete(RAW).await);
    assert_eq!(node.head(), before.next(), "one record, however many tokens");
    let ids: HashSet<&str> = revoked.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids, HashSet::from([&*jwt.0, &*opaque.0]));
    for item in &revoked {
        assert_eq!(item.as_object().map(Map::len), Some(5), "{item}");
        assert_eq!(
            (&item["kind"], &item["issuedAt"], &item["invalidatedAt"]),
            (&json!("token"), &json!(NOW), &json!(NOW))
        );
        assert_eq!(item["expiresAt"], "2027-01-15T09:00:00.000Z");
    }
    for secret in [&jwt.1, &opaque.1] {
        assert!(!user.is_active(secret).await);
    }
    for secret in [&session, &ticket, &other] {
        assert!(user.is_active(secret).await);
    }
    let next = user.token(None, false).await.1;
    assert!(user.is_active(&next).await, "in the very same millisecond");
}

#[tokio::test]
async fn asking_again_revokes_nothing_and_says_so() {
    let node = ServedNode::start().await;
    let user = Issuer::new(&node, "default", USER);
    user.token(None, true).await;
    assert_eq!(items(&node.root().delete(ESCAPED).await).len(), 1);
    for path in [RAW, ESCAPED, "/auth/users/nobody/token"] {
        assert_eq!(items(&node.root().delete(path).await), Vec::<Value>::new(), "{path}");
    }
    // A call that is not a DELETE asks nothing.
    let answer = node.root().get(RAW).await;
    assert_eq!((refusal(&answer), answer.header("allow")), ((405, "GET is not served here".to_owned()), "DELETE"));
}

#[tokio::test]
async fn other_kinds_are_revoked_if_they_are_named_and_a_token_with_its_session() {
    let node = ServedNode::start().await;
    let user = Issuer::new(&node, "default", "u");
    let (session, secret) = user.session().await;
    let bound = user.token(Some(session), false).await;
    let free = user.token(None, true).await;
    let ticket = user.ticket().await;
    let revoked = items(&node.root().delete("/auth/users/u/token?kinds=session").await);
    assert_eq!(kinds(&revoked), ["session", "token"]);
    assert!(
        revoked.iter().any(|item| item["id"] == bound.0)
            && revoked.iter().any(|item| item["id"] == session.uuid().to_string())
    );
    assert!(!user.is_active(&secret).await && !user.is_active(&bound.1).await);
    assert!(user.is_active(&free.1).await && user.is_active(&ticket).await);
    user.session().await;
    let revoked = items(&node.root().delete("/auth/users/u/token?kinds=token,session,ticket").await);
    assert_eq!(kinds(&revoked), ["session", "ticket", "token"]);
}

#[tokio::test]
async fn only_credentials_that_were_active_until_then_are_listed() {
    let node = ServedNode::start().await;
    let user = Issuer::new(&node, "default", "u");
    let revoked = user.token(None, true).await;
    let expired = user.ticket().await;
    let revocation = json!({"credential": revoked.1.expose()});
    assert_eq!(node.root().post("/v1/revocations", revocation).await.status, 201);
    node.clock.advance(60_000);
    let active = user.token(None, true).await.0;
    let listed = items(&node.root().delete("/auth/users/u/token?kinds=token,ticket").await);
    assert_eq!(listed.iter().map(|item| &item["id"]).collect::<Vec<_>>(), [&json!(active)]);
    assert!(!user.is_active(&expired).await);
}

#[tokio::test]
async fn a_callers_ttl_only_lengthens_what_is_kept() {
    let made = Made::default();
    let node = ServedNode::made(made).await;
    let mut kept = Vec::new();
    for query in ["", "?ttl=1", "?ttl=3600", "?ttl=2h", "?ttl=366d"] {
        let before = node.head();
        items(&node.root().delete(&format!("/auth/users/u/token{query}")).await);
        let answer = node.root().get(&format!("/v1/events?after={before}")).await;
        let record: Value = serde_json::from_slice(&answer.body).expect("one record");
        assert_eq!((&record["type"], &record["data"]["kinds"]), (&json!("subject.revoked"), &json!(["token"])));
        kept.push(record["data"]["retain_until"].as_u64().unwrap());
    }
    // The ledger keeps all of them for its longest life already.
    assert!(kept.iter().all(|until| *until == START + 366 * 86_400_000 + 300_000), "{kept:?}");
}

#[tokio::test]
async fn a_bad_request_is_refused_in_the_contracts_shape_and_revokes_nothing() {
    let node = ServedNode::start().await;
    let user = Issuer::new(&node, "default", "u");
    let token = user.token(None, true).await.1;
    let before = node.head();
    let mut told = Vec::new();
    let queries = [
        "ttl=",
        "ttl=soon",
        "ttl=-1",
        "ttl=%2B1",
        "ttl=0",
        "ttl=367d",
        "ttl=31622401",
        "ttl=1&ttl=2",
        "ttl=%ff",
        "kinds=",
        "kinds=tokens",
        "kinds=token,",
        "kind=session",
        "ttl=1h%20",
    ];
    for query in queries {
        let (status, message) = refusal(&node.root().delete(&format!("/auth/users/u/token?{query}")).await);
        told.push(format!("{query}: {status} {message}"));
    }
    for id in ["%ff", "%4", "%zz", "%00", &"x".repeat(256)] {
        let (status, message) = refusal(&node.root().delete(&format!("/auth/users/{id}/token")).await);
        told.push(format!("{}: {status} {message}", &id[..id.len().min(8)]));
    }
    for tenant in ["", "*", &"x".repeat(256)] {
        let (status, message) = refusal(&node.root().with("x-tenant", tenant).delete("/auth/users/u/token").await);
        told.push(format!("tenant {}: {status} {message}", &tenant[..tenant.len().min(8)]));
    }
    let twice = node.root().with("x-tenant", "a").with("x-tenant", "b").delete("/auth/users/u/token").await;
    told.push(format!("two tenants: {}", refusal(&twice).1));
    assert_eq!(node.head(), before);
    assert!(user.is_active(&token).await);
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_caller_is_an_application_that_may_revoke_in_the_tenant() {
    let node = ServedNode::start().await;
    let user = Issuer::new(&node, "default", "u");
    let token = user.token(None, true).await.1;
    let unauthorised = (401, "Unauthorized".to_owned());
    let basic = node.nobody().with("authorization", "Basic eDp5");
    for actor in [node.nobody(), node.holder("nobody's"), node.holder(token.expose()), basic] {
        // The caller is authenticated before its request is looked at.
        for path in ["/auth/users/u/token", "/api/v1/auth/users/%ff/token?ttl=soon"] {
            let answer = actor.delete(path).await;
            assert_eq!((refusal(&answer), answer.header("www-authenticate")), (unauthorised.clone(), "Bearer"));
        }
    }
    let forbidden = (403, "Forbidden".to_owned());
    let idle = node.application(&[("*", &["issue", "introspect", "follow"])]).await;
    assert_eq!(refusal(&idle.delete("/auth/users/u/token?ttl=soon").await), forbidden);
    let elsewhere = node.application(&[("other", &["revoke"])]).await;
    assert_eq!(refusal(&elsewhere.delete("/auth/users/u/token").await), forbidden);
    assert!(user.is_active(&token).await);
    let other = Issuer::new(&node, "other", "u");
    other.token(None, true).await;
    assert_eq!(items(&elsewhere.with("x-tenant", "other").delete("/auth/users/u/token").await).len(), 1);
    assert!(user.is_active(&token).await, "the same name in another tenant is somebody else");
    let here = node.application(&[("default", &["revoke"])]).await;
    assert_eq!(items(&here.delete("/auth/users/u/token").await).len(), 1);
}

#[tokio::test]
async fn ids_come_raw_or_escaped() {
    let node = ServedNode::start().await;
    for (id, spellings) in [
        (
            USER,
            vec![
                "samlp|x|nico.jones@example.com",
                "samlp%7Cx%7Cnico.jones%40example.com",
                "samlp|x%7Cnico.jones@example.com",
            ],
        ),
        ("a/b", vec!["a%2Fb", "a%2fb", "%61%2Fb"]),
        ("a+b c", vec!["a+b%20c", "a%2Bb%20c"]),
        ("zoë", vec!["zo%C3%AB", "zo%c3%ab"]),
        ("%41", vec!["%2541"]),
        (".json", vec![".json", "%2Ejson"]),
    ] {
        let user = Issuer::new(&node, "default", id);
        for base in ["", "/api/v1"] {
            for spelling in &spellings {
                user.token(None, true).await;
                let answer = node.root().delete(&format!("{base}/auth/users/{spelling}/token")).await;
                assert_eq!(items(&answer).len(), 1, "{spelling}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_of_a_trusted_issuer_are_revoked_by_their_time_of_issue() {
    let signer = Signer::new(Algorithm::EdDsa);
    let node = ServedNode::made(Made { trusted: vec![signer.trusted(None)], ..Made::default() }).await;
    let seconds = START / 1000;
    let valid = async |iat: u64| {
        let token = signer.token(&claims(json!({"sub": "u", "iat": iat})));
        let answer = node.nobody().post("/token/validate", json!({"token": token})).await;
        answer.json()["result"]["valid"] == true
    };
    assert!(valid(seconds - 60).await);
    assert_eq!(items(&node.root().with("x-tenant", "one").delete("/auth/users/u/token").await).len(), 0);
    assert!(!valid(seconds - 60).await && !valid(seconds + 5).await);
    node.clock.advance(6_000);
    assert!(valid(seconds + 6).await);
}

#[tokio::test]
async fn concurrent_calls_share_what_they_revoke_and_count_nothing_twice() {
    const CALLS: usize = 8;
    const TOKENS: usize = 50;
    let node = ServedNode::start().await;
    let user = Issuer::new(&node, "default", "u");
    for _ in 0..TOKENS {
        user.token(None, true).await;
    }
    let calls = (0..CALLS).map(|_| {
        let root = node.root();
        tokio::spawn(async move { root.delete("/auth/users/u/token").await })
    });
    let mut listed = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        listed.extend(items(&call.await.unwrap()).iter().map(|item| item["id"].to_string()));
    }
    assert_eq!((listed.len(), listed.iter().collect::<HashSet<_>>().len()), (TOKENS, TOKENS));
}

/// More than two pages.
const MANY: usize = 2_500;

#[tokio::test]
async fn a_user_with_thousands_of_credentials_is_one_record_and_each_is_listed_once() {
    let node = ServedNode::start().await;
    let user = Arc::new(Issuer::new(&node, "default", "many"));
    let issuing = (0..MANY).map(|_| {
        let user = user.clone();
        tokio::spawn(async move { (user.session().await.0.uuid().to_string(), user.token(None, true).await.0) })
    });
    let mut issued = HashSet::new();
    for one in issuing.collect::<Vec<_>>() {
        let (session, token) = one.await.unwrap();
        issued.extend([session, token]);
    }
    let before = node.head();
    let answer = node.root().delete("/auth/users/many/token?kinds=token,session,ticket").await;
    assert_eq!(node.head(), before.next());
    let listed = items(&answer);
    assert_eq!(listed.len(), 2 * MANY);
    let listed: HashSet<String> = listed.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, issued);
}

#[tokio::test]
async fn an_answer_to_another_verb_is_json_too() {
    let node = ServedNode::start().await;
    let nobody: Actor = node.nobody();
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let answer = nobody.send(method.clone(), ESCAPED, "").await;
        assert_eq!(refusal(&answer), (405, format!("{method} is not served here")));
    }
}
