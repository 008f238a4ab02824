//! Cohorts through the whole server: what is revoked by one record is inactive for every observer, and nothing else is.
//!
//! Each cohort is tried on a server of its own, with two persons for whom two applications issued one credential of each
//! sort. Afterwards both applications issue again: that is active everywhere, also after a restart and in a replay.

use std::collections::BTreeSet;

use authledger::audit::replay;
use authledger::clock::Clock;
use authledger::domain::Digest;
use reqwest::Method;
use serde_json::{Value, json};

use super::cross_surface::{
    ALL, BoundJwt, Current, FOREIGN, Foreign, Jwt, Lost, Opaque, Person, Seen, Sort, Ticket, World, claims_of,
    crafter_get, introspect, replayed, subject_view, whoami,
};
use crate::process::follower::example::{Credential, Revocations};
use crate::process::node::{Api, text};

/// A cohort that is revoked: what is asked for, and what becomes inactive of the first application's and of the other's.
struct Case {
    name: &'static str,
    request: fn(&Place) -> Value,
    of_one: &'static [Sort],
    of_other: &'static [Sort],
}

const OURS: [Sort; 6] = [Ticket, Current, Lost, Jwt, BoundJwt, Opaque];
const OUR_JWTS: [Sort; 2] = [Jwt, BoundJwt];

const CASES: [Case; 7] = [
    Case { name: "an application", request: |place| json!({"application": place.one.0}), of_one: &OURS, of_other: &[] },
    Case {
        name: "the sessions of an application",
        request: |place| json!({"application": place.one.0, "kinds": ["session"]}),
        of_one: &[Current, Lost, BoundJwt],
        of_other: &[],
    },
    Case { name: "a key", request: |place| json!({"key": place.kid}), of_one: &OUR_JWTS, of_other: &OUR_JWTS },
    Case {
        name: "this ledger as an issuer",
        request: |place| json!({"issuer": place.issuer}),
        of_one: &OUR_JWTS,
        of_other: &OUR_JWTS,
    },
    Case { name: "another issuer", request: |_| json!({"issuer": FOREIGN}), of_one: &[Foreign], of_other: &[Foreign] },
    Case { name: "a tenant", request: |_| json!({"tenant": "default"}), of_one: &ALL, of_other: &ALL },
    Case { name: "another tenant", request: |_| json!({"tenant": "acme"}), of_one: &[], of_other: &[] },
];

/// A server with two applications, each by its id and its calls.
pub(super) struct Place {
    pub(super) world: World,
    pub(super) one: (String, Api),
    pub(super) other: (String, Api),
    kid: String,
    issuer: String,
}

impl Place {
    pub(super) async fn start(directory: &std::path::Path) -> Self {
        let world = World::start(directory);
        let scopes = ["issue", "revoke", "introspect", "follow"];
        let (one, other) =
            (world.node.api.application("one", &scopes).await, world.node.api.application("other", &scopes).await);
        let keys = world.node.api.get("/v1/keys").await.expect(200);
        let signs = keys["keys"].as_array().unwrap().iter().find(|key| key["signs"] == true).unwrap().clone();
        Self { world, one, other, kid: text(&signs, "kid"), issuer: text(&signs, "issuer") }
    }
}

/// All that a follower knows.
pub(super) async fn revocations(world: &World) -> Revocations {
    let snapshot = world.node.api.get("/v1/revocations/snapshot").await.expect(200);
    let lines = snapshot.as_str().expect("lines").lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut held = Revocations::default();
    for item in lines.filter(|line| line["type"].is_string()) {
        held.apply(serde_json::from_value(item).expect("an item"));
    }
    held
}

/// Judges by the snapshot alone, with the follower that others start from.
async fn followed(world: &World, person: &Person, application: &str) -> Seen {
    let held = revocations(world).await;
    ALL.into_iter().map(|sort| (sort, held.refuses(&described(person, sort, application)).is_none())).collect()
}

/// What a gateway knows of the credential: the claims of a JWT; otherwise its digest, and what introspection answered.
fn described(person: &Person, sort: Sort, application: &str) -> Credential {
    let secret = person.secret(sort);
    let kind = match sort {
        Ticket => "ticket",
        Current | Lost => "session",
        Jwt | BoundJwt | Opaque | Foreign => "token",
    };
    let mut described = json!({"kind": kind, "tenant": "default", "subject": person.subject()});
    let claims = claims_of(secret);
    if claims.is_null() {
        described["digest"] = json!(Digest::of(secret.as_bytes()).to_string());
        described["client_id"] = json!(application);
    } else {
        for claim in ["iss", "jti", "sid", "client_id", "sid_client_id", "gen", "iat"] {
            if !claims[claim].is_null() {
                described[claim] = claims[claim].clone();
            }
        }
        described["kid"] = header_of(secret)["kid"].clone();
        described["foreign"] = json!(sort == Foreign);
    }
    serde_json::from_value(described).expect("a credential")
}

pub(super) fn header_of(token: &str) -> Value {
    use base64::Engine as _;
    let header = token.split('.').next().expect("a header");
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64url");
    serde_json::from_slice(&header).expect("JSON")
}

/// Every observer that has a say about a person's credentials.
async fn observe(world: &World, person: &Person, application: &str, revoked: &[Sort], case: &str) {
    let seen = [
        ("whoami", whoami(world, person).await),
        ("introspect", introspect(world, person).await),
        ("Crafter GET", crafter_get(world, person).await),
        ("subject view", subject_view(world, person).await),
        ("a follower", followed(world, person, application).await),
    ];
    for (observer, seen) in seen {
        for (sort, is_active) in seen {
            assert_eq!(
                is_active,
                !revoked.contains(&sort),
                "{case}: {observer} on the {sort:?} of {}",
                person.subject()
            );
        }
    }
}

#[tokio::test]
async fn a_revoked_cohort_is_inactive_for_every_observer_and_what_is_issued_afterwards_is_active() {
    for case in &CASES {
        let directory = tempfile::tempdir().expect("a directory");
        let place = Place::start(directory.path()).await;
        let (one, other) = (&place.one, &place.other);
        let world = &place.world;
        let (ada, bob) = (world.person_by(&one.1, "ada").await, world.person_by(&other.1, "bob").await);
        for (person, application) in [(&ada, &one.0), (&bob, &other.0)] {
            observe(world, person, application, &[], case.name).await;
        }
        let answer = world.native((case.request)(&place)).send().await.expect("an answer");
        let (status, body) = (answer.status().as_u16(), answer.text().await.expect("a body"));
        assert_eq!(status, 201, "{}: {body}", case.name);
        observe(world, &ada, &one.0, case.of_one, case.name).await;
        observe(world, &bob, &other.0, case.of_other, case.name).await;

        let later = world.person_by(&one.1, "cyd").await;
        // What another issuer says to have issued a minute ago is as old as the revocation.
        let foreign: Vec<Sort> = case.of_one.iter().copied().filter(|sort| *sort == Foreign).collect();
        assert!(introspect(world, &later).await.iter().all(|(sort, is_active)| *is_active != foreign.contains(sort)));

        let Place { world, one, other, .. } = place;
        let world = world.restart(directory.path()).await;
        observe(&world, &ada, &one.0, case.of_one, "after a restart").await;
        observe(&world, &bob, &other.0, case.of_other, "after a restart").await;
        assert!(introspect(&world, &later).await.iter().all(|(sort, is_active)| *is_active != foreign.contains(sort)));
        let (code, log) = world.node.stop().await;
        assert_eq!(code, Some(0), "{log}");
        let audited =
            replay(&directory.path().join("data/ledger.db"), Clock::system().now(), |_, _| {}).expect("a whole log");
        for (person, revoked) in [(&ada, case.of_one), (&bob, case.of_other), (&later, &*foreign)] {
            for (sort, is_active) in replayed(&audited, person) {
                assert_eq!(is_active, !revoked.contains(&sort), "{}: a replay on the {sort:?}", case.name);
            }
        }
    }
}

#[tokio::test]
async fn an_opaque_token_goes_with_the_application_that_issued_its_session() {
    let directory = tempfile::tempdir().expect("a directory");
    let Place { world, one, other, .. } = Place::start(directory.path()).await;
    let api = &world.node.api;
    let session = one.1.post("/v1/sessions", json!({"subject": "ada"})).await.expect(201);
    let body = json!({"subject": "ada", "session_id": session["session"]["id"], "format": "opaque"});
    let secret = text(&other.1.post("/v1/tokens", body).await.expect(201), "token");
    let shown = api.post("/v1/introspect", json!({"credential": secret})).await.expect(200);
    assert_eq!((text(&shown, "application"), text(&shown, "session_application")), (other.0, one.0.clone()));
    api.post("/v1/revocations", json!({"application": one.0, "kinds": ["session"]})).await.expect(201);
    assert!(!api.is_active(&secret).await);
    let described = json!({
        "kind": "token", "tenant": "default", "subject": "ada", "digest": Digest::of(secret.as_bytes()).to_string(),
        "client_id": shown["application"], "sid": shown["session_id"], "sid_client_id": shown["session_application"],
    });
    let held = revocations(&world).await;
    let credential: Credential = serde_json::from_value(described).expect("a credential");
    assert_eq!(held.refuses(&credential), Some("generation"));
}

#[tokio::test]
async fn an_application_is_removed_with_all_that_it_issued() {
    let directory = tempfile::tempdir().expect("a directory");
    let Place { world, one, other, .. } = Place::start(directory.path()).await;
    let (ada, bob) = (world.person_by(&one.1, "ada").await, world.person_by(&other.1, "bob").await);
    let removed = world.root(Method::DELETE, &format!("/v1/applications/{}?revoke=true", one.0)).send().await.unwrap();
    assert_eq!(removed.status().as_u16(), 204);
    observe(&world, &ada, &one.0, &OURS, "removed").await;
    observe(&world, &bob, &other.0, &[], "not removed").await;
    let removed = world.root(Method::DELETE, &format!("/v1/applications/{}", other.0)).send().await.unwrap();
    assert_eq!(removed.status().as_u16(), 204);
    observe(&world, &bob, &other.0, &[], "removed, and nothing revoked").await;
}

#[tokio::test]
async fn a_withdrawn_key_is_in_no_set_and_the_next_one_signs() {
    let directory = tempfile::tempdir().expect("a directory");
    let Place { world, one, kid, .. } = Place::start(directory.path()).await;
    let ada = world.person_by(&one.1, "ada").await;
    let withdraw = || world.root(Method::DELETE, &format!("/v1/keys/{kid}?reason=leaked"));
    assert_eq!(withdraw().send().await.unwrap().status().as_u16(), 201);
    let again = withdraw().send().await.unwrap();
    assert_eq!(again.status().as_u16(), 200);
    let again: Value = again.json().await.unwrap();
    assert_eq!(
        (&again["revocations"][0]["type"], &again["revocations"][0]["cohort"]),
        (&json!("cohort.revoked"), &json!({"key": kid}))
    );
    let api = &world.node.api;
    let set = api.get("/.well-known/jwks.json").await.expect(200);
    let kids: BTreeSet<String> = set["keys"].as_array().unwrap().iter().map(|key| text(key, "kid")).collect();
    assert!(kids.len() == 2 && !kids.contains(&kid), "{kids:?}");
    observe(&world, &ada, &one.0, &OUR_JWTS, "withdrawn").await;
    let unknown = world.root(Method::DELETE, "/v1/keys/nobody-has-it").send().await.unwrap();
    assert_eq!(unknown.status().as_u16(), 404);
    let issued = api.post("/v1/tokens", json!({"subject": "ada"})).await;
    // The next key was published at the start: it signs once that is long enough ago.
    assert_eq!(issued.expect(503)["type"], "/problems/signing-key-too-new");
    let opaque = api.post("/v1/tokens", json!({"subject": "ada", "format": "opaque"})).await.expect(201);
    assert!(api.is_active(&text(&opaque, "token")).await);
}

#[tokio::test]
async fn a_cohort_is_named_in_exactly_one_way_by_a_caller_that_may_revoke_all_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let Place { world, one, kid, .. } = Place::start(directory.path()).await;
    let api = &world.node.api;
    for (body, status, code) in [
        (json!({"application": one.0, "tenant": "default"}), 400, "invalid-body"),
        (json!({"application": one.0, "subject": "ada"}), 400, "invalid-body"),
        (json!({"key": kid, "issuer": FOREIGN}), 400, "invalid-body"),
        (json!({"application": "one"}), 400, "invalid-body"),
        (json!({"kinds": ["token"]}), 400, "invalid-body"),
        (json!({"key": kid, "kinds": ["session"]}), 400, "invalid-body"),
        (json!({"tenant": "*"}), 400, "invalid-body"),
        (json!({"application": "6f1c3f6e-4d0c-4f7e-9a51-0a5c4d1c2b3a"}), 404, "unknown-application"),
        (json!({"key": "nobody-has-it"}), 404, "unknown-key"),
        (json!({"issuer": "https://nobody.example"}), 404, "unknown-issuer"),
    ] {
        let refused = api.post("/v1/revocations", body.clone()).await.expect(status);
        assert_eq!(refused["type"], format!("/problems/{code}"), "{body}");
    }
    let few = json!({"name": "few", "scopes": ["revoke"], "tenants": ["default"]});
    let few = api.as_caller(&text(&api.post("/v1/applications", few).await.expect(201), "secret"));
    for (body, status) in [
        (json!({"application": one.0}), 404),
        (json!({"key": kid}), 403),
        (json!({"key": "nobody-has-it"}), 403),
        (json!({"issuer": FOREIGN}), 403),
        (json!({"issuer": "https://nobody.example"}), 403),
        (json!({"tenant": "acme"}), 403),
        (json!({"tenant": "default", "note": "the whole tenant"}), 201),
    ] {
        few.post("/v1/revocations", body).await.expect(status);
    }
    let removed = few.request(Method::DELETE, &format!("/v1/keys/{kid}")).send().await.unwrap();
    assert_eq!(removed.status().as_u16(), 403);
}

#[tokio::test]
async fn the_feed_shows_a_cohort_to_callers_that_follow_where_it_reaches() {
    let directory = tempfile::tempdir().expect("a directory");
    let Place { world, one, .. } = Place::start(directory.path()).await;
    let api = &world.node.api;
    let in_tenant = |tenant: &'static str| async move {
        let body = json!({"name": tenant, "scopes": ["issue", "follow"], "tenants": [tenant]});
        let made = api.post("/v1/applications", body).await.expect(201);
        (text(&made, "id"), api.as_caller(&text(&made, "secret")))
    };
    let (acme, follows_acme) = in_tenant("acme").await;
    let (_, follows_default) = in_tenant("default").await;
    for body in [json!({"application": acme}), json!({"application": one.0}), json!({"tenant": "default"})] {
        api.post("/v1/revocations", body).await.expect(201);
    }
    let cohorts = |caller: Api| async move {
        let page = caller.get("/v1/revocations?after=0").await.expect(200);
        let items = page["items"].as_array().unwrap();
        let snapshot = caller.get("/v1/revocations/snapshot").await.expect(200);
        let lines = snapshot.as_str().unwrap().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let in_force: BTreeSet<String> =
            lines.filter(|line| line["cohort"].is_object()).map(|line| line["cohort"].to_string()).collect();
        let followed: BTreeSet<String> = items.iter().map(|item| item["cohort"].to_string()).collect();
        assert_eq!(followed, in_force);
        followed
    };
    let (of_acme, of_all) = (json!({"application": acme}).to_string(), json!({"application": one.0}).to_string());
    let of_default = json!({"tenant": "default"}).to_string();
    assert_eq!(cohorts(follows_acme).await, [of_acme.clone(), of_all.clone()].into());
    assert_eq!(cohorts(follows_default).await, [of_default.clone(), of_all.clone()].into());
    assert_eq!(cohorts(api.clone()).await, [of_acme, of_default, of_all].into());
}
