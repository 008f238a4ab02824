//! Lineage through the whole server: what revokes a credential revokes all that came from it, for every observer, and nothing
//! else.
//!
//! A line has eight generations, each of another form and another subject. One application issues the first generation, and
//! another the rest. Each way to revoke a generation has a line of its own.

use authledger::audit::{Replayed, replay};
use authledger::clock::Clock;
use authledger::domain::{CredentialId, CredentialKey, Digest, Issuer, Kind, MAX_GENERATIONS, TokenId, judge};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::cohorts::{Place, header_of, revocations};
use super::cross_surface::{World, claims_of};
use crate::process::follower::example::Credential;
use crate::process::node::{Api, ROOT, text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Session,
    Jwt,
    Ticket,
    Opaque,
}

const FORMS: [Form; 4] = [Form::Session, Form::Jwt, Form::Ticket, Form::Opaque];

impl Form {
    fn kind(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Ticket => "ticket",
            Self::Jwt | Self::Opaque => "token",
        }
    }
}

/// One generation of a line.
struct Member {
    form: Form,
    subject: String,
    secret: String,
    id: String,
    /// The generation that a follower noted before it asked.
    reached: Value,
    /// Its introspection while it was active.
    shown: Value,
}

impl Member {
    async fn issue(api: &Api, form: Form, subject: &str, parent: Option<Value>) -> Self {
        let mut body = json!({"subject": subject});
        if let Some(parent) = parent {
            body["parent"] = parent;
        }
        let (path, secret) = match form {
            Form::Session => ("/v1/sessions", "session_token"),
            Form::Ticket => ("/v1/tickets", "ticket"),
            Form::Jwt => ("/v1/tokens", "token"),
            Form::Opaque => {
                body["format"] = json!("opaque");
                ("/v1/tokens", "token")
            }
        };
        let issued = api.post(path, body).await.expect(201);
        let secret = text(&issued, secret);
        let id = text(if form == Form::Session { &issued["session"] } else { &issued }, "id");
        let reached = reached(api).await;
        let shown = api.post("/v1/introspect", json!({"credential": secret})).await.expect(200);
        Self { form, subject: subject.to_owned(), secret, id, reached, shown }
    }

    /// The two ways to name it as a parent, in turn.
    fn as_parent(&self, number: usize) -> Value {
        if number.is_multiple_of(2) {
            json!({"kind": self.form.kind(), "id": self.id})
        } else {
            json!({"credential": self.secret})
        }
    }

    fn key(&self) -> CredentialKey {
        let digest = Digest::of(self.secret.as_bytes());
        match self.form {
            Form::Ticket => CredentialKey { kind: Kind::Ticket, id: digest.id() },
            Form::Opaque => CredentialKey { kind: Kind::Token, id: digest.id() },
            Form::Session => {
                let id = CredentialId::parse(Kind::Session, &self.id).expect("a UUID");
                CredentialKey { kind: Kind::Session, id }
            }
            Form::Jwt => {
                let issuer = Issuer::new(&text(&claims_of(&self.secret), "iss")).expect("an issuer");
                let jti = TokenId::new(&self.id).expect("a jti");
                CredentialKey { kind: Kind::Token, id: CredentialId::of_jwt(&issuer, &jti) }
            }
        }
    }

    /// What a gateway knows of it: the claims of a JWT; otherwise its digest, and what introspection answered.
    fn described(&self) -> Credential {
        let mut described = json!({"kind": self.form.kind(), "tenant": "default", "subject": self.subject});
        if self.form == Form::Jwt {
            let claims = claims_of(&self.secret);
            for claim in ["iss", "jti", "sid", "client_id", "sid_client_id", "sid_iat", "gen", "iat", "parent"] {
                if !claims[claim].is_null() {
                    described[claim] = claims[claim].clone();
                }
            }
            described["kid"] = header_of(&self.secret)["kid"].clone();
        } else {
            described["digest"] = json!(Digest::of(self.secret.as_bytes()).to_string());
            described["client_id"] = self.shown["application"].clone();
            described["gen"] = self.reached.clone();
            described["parent"] = as_claim(&self.shown["parent"]);
        }
        serde_json::from_value(described).expect("a credential")
    }
}

/// For each origin the largest sequence in any generation that a follower holds.
async fn reached(api: &Api) -> Value {
    let snapshot = api.get("/v1/revocations/snapshot").await.expect(200);
    let mut reached = Map::new();
    for line in snapshot.as_str().expect("lines").lines() {
        let item: Value = serde_json::from_str(line).expect("JSON");
        for (origin, sequence) in item["generation"].as_object().into_iter().flatten() {
            let largest = reached.get(origin).and_then(Value::as_u64).max(sequence.as_u64());
            reached.insert(origin.clone(), json!(largest));
        }
    }
    Value::Object(reached)
}

/// What introspection shows of a parent, in the words of the claim.
fn as_claim(parent: &Value) -> Value {
    let Some(parent) = parent.as_object() else { return Value::Null };
    let mut claim = Map::new();
    let is_jwt = parent.contains_key("iss");
    for (name, value) in parent {
        match name.as_str() {
            "id" if is_jwt => drop(claim.insert("jti".to_owned(), value.clone())),
            "subject" => drop(claim.insert("sub".to_owned(), value.clone())),
            "application" => drop(claim.insert("client_id".to_owned(), value.clone())),
            "parent" => drop(claim.insert("parent".to_owned(), as_claim(value))),
            // No way here revokes by age.
            "issued_at" => {}
            _ => drop(claim.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(claim)
}

/// The generations of a line, the first one of that form.
async fn line(place: &Place, name: &str, first: usize) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for number in 0..MAX_GENERATIONS {
        let api = if number == 0 { &place.one.1 } else { &place.other.1 };
        let form = FORMS[(first + number) % FORMS.len()];
        let parent = members.last().map(|parent| parent.as_parent(first + number));
        members.push(Member::issue(api, form, &format!("{name}-{number}"), parent).await);
    }
    members
}

/// Whether each observer finds each generation active; one that has no say about a form is left out.
async fn observe(world: &World, members: &[Member], first_revoked: usize, case: &str) {
    let held = revocations(world).await;
    for (number, member) in members.iter().enumerate() {
        let mut seen = vec![
            ("introspection", world.node.api.is_active(&member.secret).await),
            ("a follower", held.refuses(&member.described()).is_none()),
            ("the subject's view", listed(world, member).await),
        ];
        seen.extend(match member.form {
            Form::Session => {
                let whoami = world.anybody(Method::GET, "/sessions/whoami").header("x-session-token", &member.secret);
                Some(("whoami", whoami.send().await.expect("an answer").status().as_u16() == 200))
            }
            Form::Ticket => {
                let path = format!("/api/1/authentication/ticket/{}?accessTokenId={ROOT}", member.secret);
                let answer = world.anybody(Method::GET, &path).send().await.expect("an answer");
                Some(("Crafter GET", answer.status().as_u16() == 200))
            }
            Form::Jwt => {
                let validate = world.anybody(Method::POST, "/token/validate").json(&json!({"token": member.secret}));
                let answer: Value = validate.send().await.expect("an answer").json().await.expect("JSON");
                Some(("validate", answer["result"]["valid"] == true))
            }
            Form::Opaque => None,
        });
        for (observer, is_active) in seen {
            let form = member.form;
            assert_eq!(is_active, number < first_revoked, "{case}: {observer} on generation {number}, a {form:?}");
        }
    }
}

async fn listed(world: &World, member: &Member) -> bool {
    let view = world.node.api.get(&format!("/v1/subjects/{}", member.subject)).await.expect(200);
    view["credentials"].as_array().expect("a list").iter().any(|one| one["id"] == *member.id)
}

fn replayed(audited: &Replayed, members: &[Member], first_revoked: usize, case: &str) {
    for (number, member) in members.iter().enumerate() {
        let is_active = judge(&audited.state, member.key(), audited.at).is_ok();
        assert_eq!(is_active, number < first_revoked, "{case}: a replay on generation {number}");
    }
}

#[tokio::test]
async fn a_revoked_generation_takes_all_below_it_along_for_every_observer() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Place::start(directory.path()).await;
    let api = &place.world.node.api;
    // Each generation by its secret and by its subject, and the first form in turn; the generation from which on all is revoked.
    let mut lines = Vec::new();
    for number in 0..2 * MAX_GENERATIONS {
        let (generation, by_subject) = (number / 2, number % 2 == 1);
        let members = line(&place, &format!("line-{number}"), number).await;
        observe(&place.world, &members, MAX_GENERATIONS, "before").await;
        let member = &members[generation];
        let body = if by_subject {
            json!({"subject": member.subject, "kinds": [member.form.kind()]})
        } else {
            json!({"credential": member.secret})
        };
        api.post("/v1/revocations", body.clone()).await.expect(201);
        observe(&place.world, &members, generation, &format!("{body}")).await;
        lines.push((members, generation));
    }
    let untouched = line(&place, "untouched", 0).await;
    let too_deep = json!({"subject": "x", "parent": untouched[MAX_GENERATIONS - 1].as_parent(0)});
    assert_eq!(api.post("/v1/tokens", too_deep).await.expect(409)["type"], "/problems/lineage-too-deep");
    let tree = json!({"credential": untouched[MAX_GENERATIONS - 1].secret});
    let mut shown = &api.post("/v1/introspect", tree).await.expect(200)["parent"];
    for member in untouched[..MAX_GENERATIONS - 1].iter().rev() {
        assert_eq!((text(shown, "kind"), text(shown, "id")), (member.form.kind().to_owned(), member.id.clone()));
        assert_eq!(text(shown, "subject"), member.subject);
        shown = &shown["parent"];
    }
    assert!(shown.is_null());

    // What one application issued is the first generation of every line.
    api.post("/v1/revocations", json!({"application": place.one.0})).await.expect(201);
    for (members, _) in &lines {
        observe(&place.world, members, 0, "the application of the first generation").await;
    }
    observe(&place.world, &untouched, 0, "the application of the first generation").await;
    let later = line(&place, "later", 1).await;
    observe(&place.world, &later, MAX_GENERATIONS, "issued afterwards").await;

    let world = place.world.restart(directory.path()).await;
    for (members, _) in &lines {
        observe(&world, members, 0, "after a restart").await;
    }
    observe(&world, &later, MAX_GENERATIONS, "after a restart").await;
    let (code, log) = world.node.stop().await;
    assert_eq!(code, Some(0), "{log}");
    let audited =
        replay(&directory.path().join("data/ledger.db"), Clock::system().now(), |_, _| {}).expect("a whole log");
    for (members, _) in &lines {
        replayed(&audited, members, 0, "revoked");
    }
    replayed(&audited, &later, MAX_GENERATIONS, "issued afterwards");
}

#[tokio::test]
async fn a_parent_is_named_in_one_way_and_no_caller_can_claim_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Place::start(directory.path()).await;
    let api = &place.world.node.api;
    let session = Member::issue(api, Form::Session, "ada", None).await;
    let elsewhere = api.post("/v1/sessions", json!({"subject": "ada", "tenant": "acme"})).await.expect(201);
    let named = session.as_parent(0);
    for (path, body, status, code) in [
        ("/v1/tokens", json!({"parent": named, "session_id": session.id}), 400, "invalid-body"),
        ("/v1/tokens", json!({"parent": {}}), 400, "invalid-body"),
        ("/v1/tokens", json!({"parent": {"kind": "session"}}), 400, "invalid-body"),
        ("/v1/tickets", json!({"parent": {"kind": "session", "id": "x"}}), 400, "invalid-body"),
        ("/v1/sessions", json!({"parent": {"credential": "x", "kind": "token", "id": "y"}}), 400, "invalid-body"),
        ("/v1/tickets", json!({"parent": {"credential": "nobody-has-it"}}), 409, "parent-inactive"),
        ("/v1/sessions", json!({"parent": {"credential": elsewhere["session_token"]}}), 409, "parent-inactive"),
        ("/v1/tokens", json!({"parent": {"credential": "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"}}), 409, "parent-inactive"),
        ("/v1/tokens", json!({"session_id": elsewhere["session"]["id"]}), 409, "session-inactive"),
        ("/v1/tokens", json!({"claims": {"parent": {"kind": "session", "id": session.id}}}), 400, "reserved-claim"),
        ("/v1/tokens", json!({"claims": {"gen": {}}}), 400, "reserved-claim"),
        ("/v1/tokens", json!({"claims": {"cnf": {}}}), 400, "reserved-claim"),
    ] {
        let mut body = body;
        body["subject"] = json!("bob");
        let refused = api.post(path, body.clone()).await.expect(status);
        assert_eq!(refused["type"], format!("/problems/{code}"), "{path} {body}");
    }
    // A token of an agent, which says whose session it came from.
    let jwt = Member::issue(api, Form::Jwt, "agent", Some(named.clone())).await;
    let claims = claims_of(&jwt.secret);
    assert_eq!((&claims["sid"], &claims["parent"]["id"]), (&json!(session.id), &json!(session.id)));
    assert_eq!((&claims["parent"]["sub"], &claims["sub"]), (&json!("ada"), &json!("agent")));
    // The token of a session of its own subject says no more than before.
    let own = Member::issue(api, Form::Jwt, "ada", Some(named)).await;
    let claims = claims_of(&own.secret);
    assert_eq!((&claims["sid"], claims["sid_iat"].is_number()), (&json!(session.id), true));
    assert!(claims["parent"].is_null());
    assert_eq!(own.shown["parent"]["id"], own.shown["session_id"]);
}
