//! One tenant next to another: the answers about credentials of others, and about forgotten ones.

use authledger::audit::against;
use authledger::domain::{CredentialId, Digest, Issuer, TokenId, hex};
use authledger::event_log::Reader;
use authledger::index::{Builder, Shape, beside};
use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::support::served::{Actor, Answer, ServedNode};
use crate::support::settings::ISSUER;

const DAY: u64 = 86_400_000;

fn digest(secret: &str) -> String {
    Digest::of(secret.as_bytes()).to_string()
}

async fn import(actor: &Actor, lines: &[Value]) -> Vec<Value> {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let answer = actor.with("content-type", "application/x-ndjson").send(Method::POST, "/v1/imports", body).await;
    assert_eq!(answer.status, 200, "{}", answer.shown());
    let text = std::str::from_utf8(&answer.body).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Something imported, so that a credential that the ledger does not know may have been issued elsewhere.
async fn start() -> ServedNode {
    let node = ServedNode::start().await;
    let line = json!({
        "kind": "token", "subject": "somebody", "digest": digest("somebody's"),
        "issued_at": "2027-01-15T07:00:00Z", "expires_at": "2027-01-15T09:00:00Z",
    });
    assert_eq!(import(&node.root(), &[line]).await[0]["outcome"], "made");
    node
}

/// A credential of the tenant `acme`, and how it can be named.
struct Issued {
    kind: &'static str,
    secret: String,
    id: String,
}

async fn issue(node: &ServedNode, kind: &'static str) -> Issued {
    let new = json!({"tenant": "acme", "subject": "alice", "ttl": 60});
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let root = node.root();
    match kind {
        "ticket" => {
            let made = root.post("/v1/tickets", new).await.json();
            Issued { kind, secret: text(&made["ticket"]), id: text(&made["id"]) }
        }
        "session" => {
            let made = root.post("/v1/sessions", new).await.json();
            Issued { kind, secret: text(&made["session_token"]), id: text(&made["session"]["id"]) }
        }
        _ => {
            let format = if kind == "jwt" { "jwt" } else { "opaque" };
            let mut new = new;
            new["format"] = json!(format);
            let made = root.post("/v1/tokens", new).await.json();
            Issued { kind: "token", secret: text(&made["token"]), id: text(&made["id"]) }
        }
    }
}

/// The kept id of a JWT of ours: anybody that knows its `jti` can compute it.
fn derived(jti: &str) -> String {
    let id = CredentialId::of_jwt(&Issuer::new(ISSUER).unwrap(), &TokenId::new(jti).unwrap());
    hex::encode(id.as_bytes())
}

/// An answer without the parts that differ from call to call, and without the names in the request.
fn likeness(answer: &Answer, asked: &[&str]) -> String {
    let mut text = format!("{} {}", answer.status.as_u16(), String::from_utf8_lossy(&answer.body));
    asked.iter().for_each(|asked| text = text.replace(asked, "[asked]"));
    let value: Option<Value> = serde_json::from_str(text.split_once(' ').expect("a status").1).ok();
    match value {
        Some(mut value) => {
            for revocation in value["revocations"].as_array_mut().into_iter().flatten() {
                for member in ["position", "sequence"] {
                    revocation.as_object_mut().expect("an object").remove(member);
                }
            }
            format!("{} {value}", answer.status.as_u16())
        }
        None => text,
    }
}

async fn snapshot(actor: &Actor) -> String {
    let answer = actor.get("/v1/revocations/snapshot").await;
    String::from_utf8(answer.body.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn revoking_what_another_tenant_has_is_as_revoking_what_nobody_has() {
    let node = start().await;
    let beta = node.application(&[("beta", &["revoke", "follow", "introspect", "admin", "issue"])]).await;
    for kind in ["ticket", "session", "token", "jwt"] {
        let theirs = issue(&node, kind).await;
        let none = match kind {
            "ticket" => "7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2".to_owned(),
            "session" => format!("al_s_{}", "0".repeat(40)),
            _ => format!("al_o_{}", "0".repeat(40)),
        };
        let none_id = match kind {
            "session" | "jwt" => "0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10".to_owned(),
            _ => digest(&none)[..32].to_owned(),
        };
        let mut names = vec![(
            json!({"kind": theirs.kind, "id": theirs.id}),
            json!({"kind": theirs.kind, "id": none_id}),
            vec![theirs.id.clone(), none_id.clone()],
        )];
        if kind == "jwt" {
            let ids = [derived(&theirs.id), derived(&none_id)];
            let [named, none_named] = [0, 1].map(|which| json!({"kind": "token", "id": ids[which]}));
            // It is on record under the `jti` that was presented first.
            let asked = [&ids[..], &[theirs.id.clone(), none_id.clone()]].concat();
            names.push((named, none_named, asked));
        } else {
            let ids = [&theirs.secret, &none].map(|secret| digest(secret)[..32].to_owned());
            names.push((json!({"credential": theirs.secret}), json!({"credential": none}), ids.to_vec()));
        }
        for (theirs_named, none_named, asked) in names {
            let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
            let answers = [
                beta.post("/v1/revocations", theirs_named.clone()).await,
                beta.post("/v1/revocations", none_named.clone()).await,
            ];
            let [one, other] = answers.map(|answer| likeness(&answer, &asked));
            assert_eq!(one, other, "{kind} {theirs_named}");
            // A ticket or token that was named by its id already is on record under it.
            assert!(one.starts_with("201 ") || one.starts_with("200 "), "{one}");
            // Again: it is on record.
            let [one, other] = [
                likeness(&beta.post("/v1/revocations", theirs_named.clone()).await, &asked),
                likeness(&beta.post("/v1/revocations", none_named.clone()).await, &asked),
            ];
            assert_eq!(one, other, "{kind} {theirs_named} again");
        }
        let told = snapshot(&beta).await;
        assert!(!told.contains("alice") && !told.contains("acme"), "{told}");
        // For a ticket or token its id is on record, and for a session the digest of the secret that was presented.
        assert_eq!(told.contains(&digest(&theirs.secret)), kind == "session", "{kind}: {told}");
        let found = node.root().post("/v1/introspect", json!({"credential": theirs.secret})).await.json();
        assert_eq!(found["active"], true, "{kind}: it revokes nothing");
        assert_eq!(
            beta.post("/v1/introspect", json!({"credential": theirs.secret})).await.json(),
            json!({"active": false})
        );
    }
}

#[tokio::test]
async fn a_snapshot_does_not_tell_the_digest_of_a_token_that_was_named_by_its_id() {
    let node = start().await;
    let beta = node.application(&[("beta", &["revoke", "follow"])]).await;
    for kind in ["ticket", "session", "token", "jwt"] {
        let theirs = issue(&node, kind).await;
        let named =
            json!({"kind": theirs.kind, "id": if kind == "jwt" { derived(&theirs.id) } else { theirs.id.clone() }});
        assert_eq!(beta.post("/v1/revocations", named).await.status, 201);
        let told = snapshot(&beta).await;
        for secret in [digest(&theirs.secret).as_str(), "alice", "acme"] {
            assert!(!told.contains(secret), "{kind}: {told}");
        }
        assert!(kind != "jwt" || !told.contains(&theirs.id), "its jti was not presented: {told}");
    }
}

/// The holder of the credential that an import names, and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Nobody,
    OtherTenant,
    OtherSubject,
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Active,
    /// It expired long ago, and memory has forgotten it.
    Forgotten,
    /// It was revoked as well.
    RevokedAndForgotten,
}

fn line(kind: &str, tenant: &str, subject: &str, secret: &str, expires_at: &str) -> Value {
    let mut line = Map::new();
    for (member, value) in [
        ("kind", kind),
        ("tenant", tenant),
        ("subject", subject),
        ("digest", &digest(secret)),
        ("issued_at", "2027-01-15T07:00:00Z"),
        ("expires_at", expires_at),
    ] {
        line.insert(member.to_owned(), json!(value));
    }
    if kind == "session" {
        line.insert("not_after".to_owned(), json!(expires_at));
    }
    Value::Object(line)
}

/// Files of an index over all that is in the log.
fn make_index(node: &ServedNode) {
    let reader = Reader::open(&node.ledger()).unwrap();
    let shape = Shape { segment_records: 4, fan_in: 4 };
    let mut builder = Builder::open(reader, &beside(&node.ledger()), shape, |_| ()).unwrap();
    builder.catch_up(|_| true).unwrap();
    builder.flush().unwrap();
}

#[tokio::test]
async fn an_import_tells_a_taken_id_from_a_free_one_and_nothing_of_who_has_it() {
    for standing in [Standing::Active, Standing::Forgotten, Standing::RevokedAndForgotten] {
        for indexed in [false, true] {
            imports_next_to(standing, indexed).await;
        }
    }
}

async fn imports_next_to(standing: Standing, indexed: bool) {
    let node = start().await;
    let beta = node.application(&[("beta", &["admin"])]).await;
    let mut lines = Vec::new();
    for kind in ["ticket", "session", "token"] {
        for holder in [Holder::Nobody, Holder::OtherTenant, Holder::OtherSubject, Holder::Own] {
            let secret = format!("{kind} of {holder:?}");
            let (tenant, subject) = match holder {
                Holder::OtherTenant => ("acme", "alice"),
                Holder::OtherSubject => ("beta", "bob"),
                Holder::Own | Holder::Nobody => ("beta", "alice"),
            };
            if holder != Holder::Nobody {
                let first = line(kind, tenant, subject, &secret, "2027-01-15T09:00:00Z");
                assert_eq!(import(&node.root(), &[first]).await[0]["outcome"], "made");
                if standing == Standing::RevokedAndForgotten {
                    let id = if kind == "session" { None } else { Some(digest(&secret)[..32].to_owned()) };
                    let named = id.map_or(json!({"credential": secret}), |id| json!({"kind": kind, "id": id}));
                    assert_eq!(node.root().post("/v1/revocations", named).await.status, 201);
                }
            }
            lines.push((holder, line(kind, "beta", "alice", &secret, "2027-02-20T08:00:00Z")));
        }
    }
    if standing != Standing::Active {
        node.clock.advance(2 * DAY);
        node.service().projection().prune(node.clock.now());
        assert_eq!(node.service().projection().counts().tokens, 0, "it is forgotten");
    }
    if indexed {
        make_index(&node);
    }
    let asked: Vec<Value> = lines.iter().map(|(_, line)| line.clone()).collect();
    let told = import(&beta, &asked).await;
    let mut refused = Vec::new();
    for ((holder, _), told) in lines.iter().zip(&told) {
        let due = match holder {
            Holder::Nobody => "made",
            Holder::Own => "known",
            Holder::OtherTenant | Holder::OtherSubject => "refused",
        };
        assert_eq!(told["outcome"], due, "{holder:?} {standing:?} indexed {indexed}: {told}");
        if due == "refused" {
            let mut told = told.clone();
            told.as_object_mut().unwrap().remove("line");
            refused.push(told);
        }
    }
    assert!(refused.iter().all(|one| *one == refused[0] && one["code"] == "id-unavailable"), "{refused:?}");
    // The first issue counts: nothing comes back by a second one.
    for (holder, secret) in
        lines.iter().map(|(holder, _)| holder).zip(["ticket", "session", "token"].iter().flat_map(|kind| {
            [Holder::Nobody, Holder::OtherTenant, Holder::OtherSubject, Holder::Own].map(|h| format!("{kind} of {h:?}"))
        }))
    {
        let found = node.root().post("/v1/introspect", json!({"credential": secret})).await.json();
        let is_active = *holder == Holder::Nobody || standing == Standing::Active;
        assert_eq!(found["active"], is_active, "{secret} {standing:?}");
    }
    same_by_replay(node).await;
}

/// Memory holds the same as a replay finds.
async fn same_by_replay(mut node: ServedNode) {
    let now = node.clock.now();
    node.restart().await;
    let (ledger, data) = (node.ledger(), node.ledger().parent().unwrap().to_owned());
    let compared = against(&ledger, &data, now, 10, |_, _| ()).unwrap();
    let differences = compared.differences;
    assert_eq!(differences.total, 0, "{:?} {:?}", differences.only_replayed, differences.only_snapshot);
}

#[tokio::test]
async fn a_credential_that_was_issued_here_and_is_forgotten_is_known_to_an_import() {
    let node = ServedNode::start().await;
    let issued = [issue(&node, "ticket").await, issue(&node, "session").await, issue(&node, "token").await];
    node.clock.advance(31 * DAY);
    node.service().projection().prune(node.clock.now());
    let lines: Vec<Value> = issued
        .iter()
        .map(|one| {
            let mut line = line(one.kind, "acme", "alice", &one.secret, "2027-02-20T08:00:00Z");
            if one.kind == "session" {
                line["id"] = json!(one.id);
            }
            line
        })
        .collect();
    let head = node.head();
    let told = import(&node.root(), &lines).await;
    assert!(told.iter().all(|told| told["outcome"] == "known"), "{told:?}");
    assert_eq!(node.head(), head, "nothing is appended");
    for one in &issued {
        let found = node.root().post("/v1/introspect", json!({"credential": one.secret})).await.json();
        assert_eq!(found, json!({"active": false}));
    }
    same_by_replay(node).await;
}

#[tokio::test]
async fn a_revocation_of_what_is_forgotten_is_the_same_in_memory_and_by_a_replay() {
    let node = start().await;
    let beta = node.application(&[("beta", &["revoke"])]).await;
    let issued = [
        issue(&node, "ticket").await,
        issue(&node, "session").await,
        issue(&node, "token").await,
        issue(&node, "jwt").await,
    ];
    node.clock.advance(31 * DAY);
    node.service().projection().prune(node.clock.now());
    for (actor, way) in [(node.root(), "by root"), (beta, "by a stranger")] {
        for one in &issued {
            let revoked = actor.post("/v1/revocations", json!({"kind": one.kind, "id": one.id})).await;
            assert_eq!(revoked.status, 201, "{way}: {}", revoked.shown());
            assert_eq!(revoked.json()["revocations"][0]["known"], false);
        }
    }
    same_by_replay(node).await;
}
