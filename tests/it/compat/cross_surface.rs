//! The product's proof: a credential that is revoked through any surface is inactive through every other.
//!
//! Every way to revoke something is tried on a subject of its own, which has one credential of each sort. Every observer then
//! says what it sees of all of them: the credentials that the way revokes must be inactive, and all others still active.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use authledger::audit::{Replayed, replay};
use authledger::clock::Clock;
use authledger::domain::{
    CredentialId, CredentialKey, CredentialRef, Digest, Issuer, Kind, PresentedToken, Subject, Timestamp, TokenId,
    judge, judge_presented,
};
use authledger::jose;
use authledger::keys::{Algorithm, SigningKey};
use authledger::status_list::array_of;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::node::{Api, BINARY, Launch, NodeProcess, PATIENCE, ROOT, every_surface, text};
use crate::support::node::presented_token;
use crate::support::secrets;

/// The issuer of the tokens that this ledger never issued.
pub(super) const FOREIGN: &str = "https://issuer.example";

/// The credentials that every subject has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    Ticket,
    /// The session that its person is using.
    Current,
    /// The session on a device that was lost.
    Lost,
    Jwt,
    /// A JWT that depends on the lost session.
    BoundJwt,
    Opaque,
    Foreign,
}

pub(super) use Sort::{BoundJwt, Current, Foreign, Jwt, Lost, Opaque, Ticket};

pub(super) const ALL: [Sort; 7] = [Ticket, Current, Lost, Jwt, BoundJwt, Opaque, Foreign];

/// A way to revoke something: what it is called, what it revokes, and how.
struct Way {
    name: &'static str,
    revokes: &'static [Sort],
    request: fn(&World, &Person) -> RequestBuilder,
    status: u16,
}

/// Every documented way.
const WAYS: [Way; 30] = [
    Way {
        name: "native, a ticket by secret",
        revokes: &[Ticket],
        request: |w, p| w.native(json!({"credential": p.secret(Ticket)})),
        status: 201,
    },
    Way {
        name: "native, a ticket by id",
        revokes: &[Ticket],
        request: |w, p| w.native(json!({"kind": "ticket", "id": p.id(Ticket)})),
        status: 201,
    },
    Way {
        name: "native, a session by secret",
        revokes: &[Lost, BoundJwt],
        request: |w, p| w.native(json!({"credential": p.secret(Lost)})),
        status: 201,
    },
    Way {
        name: "native, a session by id",
        revokes: &[Lost, BoundJwt],
        request: |w, p| w.native(json!({"kind": "session", "id": p.id(Lost)})),
        status: 201,
    },
    Way {
        name: "native, a JWT",
        revokes: &[Jwt],
        request: |w, p| w.native(json!({"credential": p.secret(Jwt)})),
        status: 201,
    },
    Way {
        name: "native, a JWT by id",
        revokes: &[Jwt],
        request: |w, p| w.native(json!({"kind": "token", "id": p.id(Jwt)})),
        status: 201,
    },
    Way {
        name: "native, an opaque token by secret",
        revokes: &[Opaque],
        request: |w, p| w.native(json!({"credential": p.secret(Opaque)})),
        status: 201,
    },
    Way {
        name: "native, an opaque token by id",
        revokes: &[Opaque],
        request: |w, p| w.native(json!({"kind": "token", "id": p.id(Opaque)})),
        status: 201,
    },
    Way {
        name: "native, a foreign JWT",
        revokes: &[Foreign],
        request: |w, p| w.native(json!({"credential": p.secret(Foreign)})),
        status: 201,
    },
    Way {
        name: "native, a subject",
        revokes: &ALL,
        request: |w, p| w.native(json!({"subject": p.subject})),
        status: 201,
    },
    Way {
        name: "native, a subject erased",
        revokes: &ALL,
        request: |w, p| w.root(Method::DELETE, &format!("/v1/subjects/{}/personal-data", p.subject)),
        status: 200,
    },
    Way { name: "Crafter, a ticket", revokes: &[Ticket], request: |w, p| w.crafter(p.secret(Ticket)), status: 200 },
    Way {
        name: "Ory, another of my sessions",
        revokes: &[Lost, BoundJwt],
        request: |w, p| w.own(p, Method::DELETE, &format!("/auth/sessions/{}", p.id(Lost))),
        status: 204,
    },
    Way {
        name: "Ory, all my other sessions",
        revokes: &[Lost, BoundJwt],
        request: |w, p| w.own(p, Method::DELETE, "/auth/sessions"),
        status: 200,
    },
    Way {
        name: "Ory, logout",
        revokes: &[Current],
        request: |w, p| {
            w.anybody(Method::DELETE, "/auth/self-service/logout/api")
                .json(&json!({"session_token": p.secret(Current)}))
        },
        status: 204,
    },
    Way {
        name: "Ory, a session by an admin",
        revokes: &[Lost, BoundJwt],
        request: |w, p| w.root(Method::DELETE, &format!("/auth/admin/sessions/{}", p.id(Lost))),
        status: 204,
    },
    Way {
        name: "Ory, an identity's sessions by an admin",
        revokes: &[Current, Lost, BoundJwt],
        request: |w, p| w.root(Method::DELETE, &format!("/auth/admin/identities/{}/sessions", p.subject)),
        status: 204,
    },
    Way {
        name: "SlashID, a JWT by its bearer",
        revokes: &[Jwt],
        request: |w, p| w.slashid(p.secret(Jwt)),
        status: 204,
    },
    Way {
        name: "SlashID, a JWT by an application",
        revokes: &[Jwt],
        request: |w, p| {
            let request = w.anybody(Method::POST, "/slashid/token/revoke").header("slashid-api-key", ROOT);
            request.json(&json!({"token": p.secret(Jwt)}))
        },
        status: 204,
    },
    Way {
        name: "SlashID, a container of a foreign JWT",
        revokes: &[Foreign],
        request: |w, p| w.slashid(&w.container(p)),
        status: 204,
    },
    Way {
        name: "Crafter, a ticket by the older path",
        revokes: &[Ticket],
        request: |w, p| {
            let path =
                format!("/profile/api/1/authentication/token/{}/invalidate?accessTokenId={ROOT}", p.secret(Ticket));
            w.anybody(Method::POST, &path)
        },
        status: 200,
    },
    Way {
        name: "SlashID, a foreign JWT by its bearer",
        revokes: &[Foreign],
        request: |w, p| w.slashid(p.secret(Foreign)),
        status: 204,
    },
    Way {
        name: "Cribl, a user's tokens",
        revokes: &[Jwt, BoundJwt, Opaque, Foreign],
        request: |w, p| w.root(Method::DELETE, &format!("/api/v1/auth/users/{}/token", p.subject)),
        status: 200,
    },
    Way {
        name: "Cribl, all that a user has",
        revokes: &ALL,
        request: |w, p| {
            w.root(Method::DELETE, &format!("/api/v1/auth/users/{}/token?kinds=token,session,ticket", p.subject))
        },
        status: 200,
    },
    Way { name: "OAuth, a ticket", revokes: &[Ticket], request: |w, p| w.oauth(REVOKE, p.secret(Ticket)), status: 200 },
    Way {
        name: "OAuth, a session",
        revokes: &[Lost, BoundJwt],
        request: |w, p| w.oauth(REVOKE, p.secret(Lost)),
        status: 200,
    },
    Way { name: "OAuth, a JWT", revokes: &[Jwt], request: |w, p| w.oauth(REVOKE, p.secret(Jwt)), status: 200 },
    Way {
        name: "OAuth, an opaque token",
        revokes: &[Opaque],
        request: |w, p| w.oauth(REVOKE, p.secret(Opaque)),
        status: 200,
    },
    Way {
        name: "OAuth, a container of a foreign JWT",
        revokes: &[Foreign],
        request: |w, p| w.oauth(REVOKE, &w.container(p)),
        status: 200,
    },
    Way {
        name: "OAuth, all that a subject has",
        revokes: &ALL,
        request: |w, p| {
            let request = w.root(Method::POST, "/oauth2/global-token-revocation");
            request.json(&json!({"sub_id": {"format": "opaque", "id": p.subject}}))
        },
        status: 204,
    },
];

const REVOKE: &str = "/oauth2/revoke";
const INTROSPECT: &str = "/oauth2/introspect";

/// What an observer sees: whether each credential that it has a say about is active.
pub(super) type Seen = BTreeMap<Sort, bool>;

/// A person, and all that was issued to them.
pub(super) struct Person {
    subject: String,
    /// By sort: the secret, and the public id where there is one.
    has: BTreeMap<Sort, (String, String)>,
    /// The foreign token, as its claims present it.
    foreign: PresentedToken,
}

impl Person {
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    pub(super) fn secret(&self, sort: Sort) -> &str {
        &self.has[&sort].0
    }

    fn id(&self, sort: Sort) -> &str {
        &self.has[&sort].1
    }
}

/// A server, and another issuer that signs tokens.
pub(super) struct World {
    pub(super) node: NodeProcess,
    signer: SigningKey,
    client: reqwest::Client,
}

impl World {
    pub(super) fn start(directory: &Path) -> Self {
        let keys = directory.join("issuer");
        std::fs::create_dir_all(&keys).expect("a directory");
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o700)).expect("ours");
        let signer = SigningKey::generate(&keys, Algorithm::Es256).expect("a key");
        let jwks = directory.join("jwks.json");
        std::fs::write(&jwks, format!("{{\"keys\":[{}]}}", signer.public_jwk())).expect("a file");
        let config = format!(
            "[[trusted_issuer]]\nissuer = \"{FOREIGN}\"\njwks_file = \"{}\"\ntenants = [\"default\"]\n\
             [[check]]\nrule = \"any\"\nkinds = [\"ticket\", \"session\", \"token\"]\n",
            jwks.display()
        );
        std::fs::write(directory.join("ledger.toml"), config).expect("a file");
        Self {
            node: launch(directory),
            signer,
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
        }
    }

    pub(super) async fn restart(self, directory: &Path) -> Self {
        let (code, log) = self.node.stop().await;
        assert_eq!(code, Some(0), "{log}");
        Self { node: launch(directory), ..self }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.node.api.url())
    }

    pub(super) fn anybody(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(super) fn root(&self, method: Method, path: &str) -> RequestBuilder {
        self.anybody(method, path).bearer_auth(ROOT)
    }

    pub(super) fn native(&self, body: Value) -> RequestBuilder {
        self.root(Method::POST, "/v1/revocations").json(&body)
    }

    fn crafter(&self, ticket: &str) -> RequestBuilder {
        let path = format!("/api/1/authentication/ticket/{ticket}/invalidate?accessTokenId={ROOT}");
        self.anybody(Method::POST, &path)
    }

    fn own(&self, person: &Person, method: Method, path: &str) -> RequestBuilder {
        self.anybody(method, path).header("x-session-token", person.secret(Current))
    }

    fn slashid(&self, token: &str) -> RequestBuilder {
        self.anybody(Method::POST, "/token/revoke").bearer_auth(token).json(&json!({"token": token}))
    }

    fn oauth(&self, path: &str, token: &str) -> RequestBuilder {
        self.anybody(Method::POST, path).basic_auth("root", Some(ROOT)).form(&[("token", token)])
    }

    /// A token that holds the person's foreign one.
    fn container(&self, person: &Person) -> String {
        let expires_at = Clock::system().now().as_seconds() + 3_000;
        let jti = Uuid::new_v4().to_string();
        let claims = json!({
            "iss": FOREIGN, "sub": person.subject, "oid": "default", "jti": jti, "exp": expires_at,
            "user_token": person.secret(Foreign),
        });
        jose::sign(&self.signer, &claims).expect("a token")
    }

    async fn person(&self, number: usize) -> Person {
        self.person_by(&self.node.api, &format!("person-{number}")).await
    }

    /// A person to whom that caller issues one of each.
    pub(super) async fn person_by(&self, api: &Api, subject: &str) -> Person {
        let subject = subject.to_owned();
        let mut has = BTreeMap::new();
        let ticket = api.issue(&subject).await;
        has.insert(Ticket, (text(&ticket, "ticket"), text(&ticket, "id")));
        for sort in [Current, Lost] {
            let issued = api.post("/v1/sessions", json!({"subject": subject})).await.expect(201);
            has.insert(sort, (text(&issued, "session_token"), text(&issued["session"], "id")));
        }
        let lost = has[&Lost].1.clone();
        let bodies = [
            (Jwt, json!({"subject": subject, "status_list": true})),
            (BoundJwt, json!({"subject": subject, "session_id": lost, "status_list": true})),
            (Opaque, json!({"subject": subject, "format": "opaque"})),
        ];
        for (sort, body) in bodies {
            let issued = api.post("/v1/tokens", body).await.expect(201);
            has.insert(sort, (text(&issued, "token"), text(&issued, "id")));
        }
        let (token, foreign) = self.foreign(&subject);
        has.insert(Foreign, (token, String::new()));
        Person { subject, has, foreign }
    }

    /// A token that this ledger has never heard of.
    fn foreign(&self, subject: &str) -> (String, PresentedToken) {
        let issued_at = Clock::system().now().as_seconds() - 60;
        let jti = Uuid::new_v4().to_string();
        let claims = json!({
            "iss": FOREIGN, "sub": subject, "oid": "default", "jti": jti, "iat": issued_at, "exp": issued_at + 3_600,
        });
        let presented = PresentedToken {
            issued_at_seconds: Some(issued_at),
            expires_at: Timestamp::from_millis((issued_at + 3_600) * 1_000),
            ..presented_token(
                CredentialRef::Jwt { issuer: Issuer::new(FOREIGN).unwrap(), jti: TokenId::new(&jti).unwrap() },
                Subject::new(subject).unwrap(),
            )
        };
        (jose::sign(&self.signer, &claims).expect("a token"), presented)
    }
}

fn launch(directory: &Path) -> NodeProcess {
    // The issuer of our tokens stays, whatever port the second start listens on.
    let config = directory.join("ledger.toml");
    let launch = Launch::new(&directory.join("data")).arg("--config").arg(config).arg("--log").arg("trace");
    launch.args(&["--surfaces", &every_surface(), "--status-list-interval", "1"]).start()
}

pub(super) async fn whoami(world: &World, person: &Person) -> Seen {
    let mut seen = Seen::new();
    for sort in [Current, Lost] {
        let request = world.anybody(Method::GET, "/sessions/whoami").header("x-session-token", person.secret(sort));
        let status = request.send().await.expect("an answer").status().as_u16();
        assert!(matches!(status, 200 | 401), "whoami answers {status}");
        seen.insert(sort, status == 200);
    }
    seen
}

async fn validate(world: &World, person: &Person) -> Seen {
    let mut seen = Seen::new();
    for sort in [Jwt, BoundJwt, Foreign] {
        let body = json!({"token": person.secret(sort)});
        let answer = world.anybody(Method::POST, "/token/validate").json(&body).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        let body: Value = answer.json().await.expect("JSON");
        let valid = body["result"]["valid"].as_bool().expect("valid");
        assert!(valid || body["result"]["invalidity_reason"] == "revoked", "{body}");
        seen.insert(sort, valid);
    }
    seen
}

pub(super) async fn introspect(world: &World, person: &Person) -> Seen {
    let mut seen = Seen::new();
    for sort in ALL {
        seen.insert(sort, world.node.api.is_active(person.secret(sort)).await);
    }
    seen
}

/// RFC 7662.
async fn oauth_introspect(world: &World, person: &Person) -> Seen {
    let mut seen = Seen::new();
    for sort in ALL {
        let answer = world.oauth(INTROSPECT, person.secret(sort)).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        let body: Value = answer.json().await.expect("JSON");
        seen.insert(sort, body["active"].as_bool().expect("active"));
    }
    seen
}

/// What a gateway is told.
async fn check(world: &World, person: &Person) -> Seen {
    let mut seen = Seen::new();
    for sort in ALL {
        let request = world.anybody(Method::GET, "/check/any").bearer_auth(person.secret(sort));
        let answer = request.send().await.expect("an answer");
        assert!(matches!(answer.status().as_u16(), 200 | 401), "{answer:?}");
        seen.insert(sort, answer.status() == 200);
    }
    seen
}

/// RFC 9701.
async fn signed_introspect(world: &World, person: &Person) -> Seen {
    let mut seen = Seen::new();
    for sort in ALL {
        let request = world.oauth(INTROSPECT, person.secret(sort));
        let answer = request.header("accept", "application/token-introspection+jwt").send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        let claims = claims_of(&answer.text().await.expect("a JWT"));
        seen.insert(sort, claims["token_introspection"]["active"].as_bool().expect("active"));
    }
    seen
}

pub(super) async fn crafter_get(world: &World, person: &Person) -> Seen {
    let path = format!("/api/1/authentication/ticket/{}?accessTokenId={ROOT}", person.secret(Ticket));
    let answer = world.anybody(Method::GET, &path).send().await.expect("an answer");
    let status = answer.status().as_u16();
    assert!(matches!(status, 200 | 404), "Crafter answers {status}");
    Seen::from([(Ticket, status == 200)])
}

async fn admin_list(world: &World, person: &Person) -> Seen {
    let path = format!("/admin/identities/{}/sessions", person.subject);
    let listed: Vec<Value> =
        world.root(Method::GET, &path).send().await.expect("an answer").json().await.expect("a list");
    let active = |sort| {
        let of = |session: &&Value| session["id"] == person.id(sort);
        // One that was revoked with everything that its subject had is in no list of Ory's.
        listed.iter().find(of).is_some_and(|session| session["active"].as_bool().expect("active"))
    };
    Seen::from([(Current, active(Current)), (Lost, active(Lost))])
}

pub(super) async fn subject_view(world: &World, person: &Person) -> Seen {
    let view = world.node.api.get(&format!("/v1/subjects/{}", person.subject)).await.expect(200);
    let listed: BTreeSet<&str> =
        view["credentials"].as_array().expect("a list").iter().filter_map(|one| one["id"].as_str()).collect();
    // A credential that was issued elsewhere is not listed.
    ALL.into_iter().filter(|sort| *sort != Foreign).map(|sort| (sort, listed.contains(person.id(sort)))).collect()
}

/// A follower that judges by what it heard, as `schema/follower.md` says.
async fn follower(world: &World, person: &Person) -> Seen {
    let mut items = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let page = world.node.api.get(&format!("/v1/revocations?after={after}&limit=1000")).await.expect(200);
        let page_items = page["items"].as_array().expect("items").clone();
        if page_items.is_empty() {
            break;
        }
        items.extend(page_items);
        after = text(&page, "cursor");
    }
    ALL.into_iter().map(|sort| (sort, !items.iter().any(|item| revokes(item, person, sort)))).collect()
}

fn revokes(item: &Value, person: &Person, sort: Sort) -> bool {
    let secret = person.secret(sort);
    let digest = Digest::of(secret.as_bytes()).to_string();
    let claims = claims_of(secret);
    let names_it = item["digest"] == digest
        || (item["kind"] == "session" && claims["sid"].is_string() && item["id"] == claims["sid"])
        || (item["jti"].is_string() && item["iss"] == claims["iss"] && item["jti"] == claims["jti"]);
    let kinds: Vec<&str> = item["kinds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let about = item["tenant"] == "default" && item["subject"] == *person.subject;
    let kind = match sort {
        Ticket => "ticket",
        Current | Lost => "session",
        Jwt | BoundJwt | Opaque | Foreign => "token",
    };
    let with_all = kinds.contains(&kind) || (sort == BoundJwt && kinds.contains(&"session"));
    // Each was issued before any revocation, and none of ours carries a generation; a foreign one is judged by its age.
    let reaches = sort == Foreign && claims["iat"].as_u64() > item["not_before"].as_u64().map(|seconds| seconds + 5);
    names_it || (about && with_all && !reaches)
}

pub(super) fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let payload =
        token.split('.').nth(1).and_then(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok());
    payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
}

/// An auditor that has nothing but the file.
pub(super) fn replayed(replayed: &Replayed, person: &Person) -> Seen {
    let (state, at) = (&replayed.state, replayed.at);
    let is_active = |sort| match sort {
        Ticket => {
            let id = Digest::of(person.secret(sort).as_bytes()).id();
            judge(state, CredentialKey { kind: Kind::Ticket, id }, at).is_ok()
        }
        Current | Lost => {
            let id = CredentialId::parse(Kind::Session, person.id(sort)).expect("a UUID");
            judge(state, CredentialKey { kind: Kind::Session, id }, at).is_ok()
        }
        Opaque => {
            let id = Digest::of(person.secret(sort).as_bytes()).id();
            judge(state, CredentialKey { kind: Kind::Token, id }, at).is_ok()
        }
        Jwt | BoundJwt => {
            let claims = claims_of(person.secret(sort));
            let issuer = Issuer::new(claims["iss"].as_str().expect("iss")).unwrap();
            let jti = TokenId::new(person.id(sort)).unwrap();
            let key = CredentialKey { kind: Kind::Token, id: CredentialId::of_jwt(&issuer, &jti) };
            judge(state, key, at).is_ok()
        }
        Foreign => judge_presented(state, &person.foreign, at).is_ok(),
    };
    ALL.into_iter().map(|sort| (sort, is_active(sort))).collect()
}

/// A verifier that reads status lists. A list may be a second late: it is read until it says what is expected.
async fn status_list(world: &World, person: &Person, expected: impl Fn(Sort) -> bool) -> Seen {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut seen = Seen::new();
        for sort in [Jwt, BoundJwt] {
            let entry = claims_of(person.secret(sort))["status"]["status_list"].clone();
            let list = entry["uri"].as_str().expect("an address").rsplit('/').next().expect("a name").to_owned();
            let answer = world.anybody(Method::GET, &format!("/status-lists/{list}")).send().await.expect("an answer");
            let array = array_of(&answer.text().await.expect("a token")).expect("a list");
            let index = u32::try_from(entry["idx"].as_u64().expect("an index")).expect("small");
            seen.insert(sort, array.get(index) == Some(0));
        }
        if seen.iter().all(|(sort, is_active)| *is_active == expected(*sort)) || Instant::now() > until {
            return seen;
        }
        // A publication tells nobody, so it is asked again.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The assertions that were made, for the table.
#[derive(Default)]
struct Table {
    cells: BTreeMap<(&'static str, &'static str), usize>,
}

impl Table {
    fn assert(&mut self, way: &Way, observer: &'static str, seen: &Seen) {
        assert!(!seen.is_empty(), "{observer} sees nothing");
        for (sort, is_active) in seen {
            assert_eq!(*is_active, !way.revokes.contains(sort), "{}: {observer} on the {sort:?}", way.name);
        }
        let before = self.cells.insert((way.name, observer), seen.len());
        assert_eq!(before, None, "a cell is asserted once");
    }

    fn print(&self) {
        let observers: BTreeSet<&str> = self.cells.keys().map(|(_, observer)| *observer).collect();
        println!(
            "{} ways x {} observers = {} cells; a cell is how many credentials were looked at",
            WAYS.len(),
            observers.len(),
            self.cells.len()
        );
        for way in &WAYS {
            let row: Vec<String> =
                observers.iter().map(|observer| format!("{observer} {}", self.cells[&(way.name, *observer)])).collect();
            println!("  {:<42} {}", way.name, row.join(", "));
        }
        assert_eq!(self.cells.len(), WAYS.len() * observers.len(), "every way meets every observer");
    }
}

async fn observe(world: &World, person: &Person, way: &Way, table: &mut Table) {
    table.assert(way, "whoami", &whoami(world, person).await);
    table.assert(way, "validate", &validate(world, person).await);
    table.assert(way, "introspect", &introspect(world, person).await);
    table.assert(way, "OAuth introspection", &oauth_introspect(world, person).await);
    table.assert(way, "signed introspection", &signed_introspect(world, person).await);
    table.assert(way, "check", &check(world, person).await);
    table.assert(way, "Crafter GET", &crafter_get(world, person).await);
    table.assert(way, "admin list", &admin_list(world, person).await);
    table.assert(way, "subject view", &subject_view(world, person).await);
    table.assert(way, "follower", &follower(world, person).await);
}

#[tokio::test]
async fn a_credential_revoked_through_one_surface_is_inactive_on_every_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::start(directory.path());
    let mut people = Vec::new();
    for number in 0..WAYS.len() {
        people.push(world.person(number).await);
    }
    let mut table = Table::default();
    for (way, person) in WAYS.iter().zip(&people) {
        assert!(
            introspect(&world, person).await.values().all(|is_active| *is_active),
            "{}: all are active before",
            way.name
        );
        let answer = (way.request)(&world, person).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.text().await.expect("a body");
        assert_eq!(status, way.status, "{}: {body}", way.name);
        observe(&world, person, way, &mut table).await;
    }
    for (way, person) in WAYS.iter().zip(&people) {
        let seen = status_list(&world, person, |sort| !way.revokes.contains(&sort)).await;
        table.assert(way, "status list", &seen);
    }
    let world = world.restart(directory.path()).await;
    for (way, person) in WAYS.iter().zip(&people) {
        table.assert(way, "introspect after a restart", &introspect(&world, person).await);
    }
    let backup = directory.path().join("backup");
    let made = std::process::Command::new(BINARY)
        .args(["backup", backup.to_str().unwrap(), "--data"])
        .arg(directory.path().join("data"))
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    secrets::search(&backup);
    let (code, log) = world.node.stop().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("answered"), "the traces of every call are looked through, too");
    let audited =
        replay(&directory.path().join("data/ledger.db"), Clock::system().now(), |_, _| {}).expect("a whole log");
    for (way, person) in WAYS.iter().zip(&people) {
        table.assert(way, "replay", &replayed(&audited, person));
    }
    table.print();
}
