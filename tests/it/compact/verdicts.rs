//! A follower's verdicts are the same, in whatever form and order it was told what is revoked.

use std::sync::Arc;

use authledger::compact::{Change, MarkKey};
use authledger::domain::{Grants, Kinds, Position};
use authledger::feed::{Cursor, FeedFilter, Frame, snapshot_items};
use authledger::follower::held::{Held, PresentedCredential, RefusalReason, RevocationItem};
use authledger::service::Filed;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW, at, hear, key, snapshot, stream};
use crate::process::follower::example;
use crate::properties::{history, live};
use crate::support::log::projection_of;
use crate::support::node::{ModelNode, application_id, digest, issuer, session_digest, session_id, token_digest};
use crate::support::random::Random;

fn items(values: &[Value]) -> Vec<RevocationItem> {
    values.iter().map(|item| serde_json::from_value(item.clone()).unwrap()).collect()
}

fn changes(values: &[Value], key: &MarkKey) -> Vec<Change> {
    items(values).iter().map(|item| item.change(key).unwrap()).collect()
}

/// What follows from the items: as JSON, as a stream, as snapshots with large and small blocks, from nodes with two keys, and from
/// the file of one of these.
fn told(values: &[Value]) -> Vec<(&'static str, Arc<Held>)> {
    let new = || Arc::new(Held::new(at(NOW)));
    let (json, streamed, loaded, blocks, both) = (new(), new(), new(), new(), new());
    for item in items(values) {
        json.apply_item(&item).unwrap();
    }
    hear(&streamed, &stream(&key(1), changes(values, &key(1))), 7).unwrap();
    hear(&loaded, &snapshot(&key(1), changes(values, &key(1)), usize::MAX), 4_096).unwrap();
    hear(&blocks, &snapshot(&key(1), changes(values, &key(1)), 1), usize::MAX).unwrap();
    // The second node repeats some of what the first one said.
    let half = values.len() / 2;
    hear(&both, &snapshot(&key(1), changes(&values[..half], &key(1)), 8), 64).unwrap();
    hear(&both, &stream(&key(2), changes(&values[half / 2..], &key(2))), 64).unwrap();
    let mut file = Vec::new();
    both.save("cursor", &mut file).unwrap();
    let (restored, cursor) = Held::restore(&file).unwrap();
    assert_eq!(
        (&*cursor, restored.counts(), restored.highest_generation()),
        ("cursor", both.counts(), both.highest_generation())
    );
    vec![
        ("json", json),
        ("streamed", streamed),
        ("loaded", loaded),
        ("blocks", blocks),
        ("two keys", both),
        ("restored", Arc::new(restored)),
    ]
}

#[test]
fn every_vector_is_answered_in_whatever_form_its_items_came() {
    let vectors: Value = serde_json::from_str(include_str!("../../../schema/vectors/follower.json")).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let presented: PresentedCredential = serde_json::from_value(case["credential"].clone()).unwrap();
        let due = case["refused"].as_str().filter(|reason| *reason != "stale");
        for (form, held) in told(case["items"].as_array().unwrap()) {
            assert_eq!(held.refuses(&presented).map(RefusalReason::as_str), due, "{form}: {}", case["name"]);
        }
    }
}

fn everything() -> FeedFilter {
    FeedFilter { grants: Grants::everything().into(), tenant: None, kinds: Kinds::ALL }
}

fn streamed_items(node: &ModelNode) -> Vec<Value> {
    let cursor =
        || Arc::new(Cursor { ledger: authledger::domain::LedgerId(uuid::Uuid::nil()), origins: Default::default() });
    let filed =
        |recorded: &authledger::domain::Recorded| Arc::new(Filed { position: Position(1), recorded: recorded.clone() });
    let frames = node.log.iter().filter_map(|recorded| Frame::new(filed(recorded), cursor));
    frames.map(|frame| serde_json::to_value(frame.item(false, "")).unwrap()).collect()
}

fn snapshot_of(node: &ModelNode) -> Vec<Value> {
    let projection = projection_of(&node.log);
    let tenants =
        std::iter::successors(projection.revoked_after(None), |tenant| projection.revoked_after(Some(tenant)));
    let mut found = Vec::new();
    for tenant in tenants {
        let mut mark = None;
        loop {
            let (revocations, next) = projection.revocations(&tenant, Kinds::ALL, mark, 16, node.now);
            let items = revocations.iter().flat_map(|revocation| snapshot_items(revocation, &everything()));
            found.extend(items.map(|item| serde_json::to_value(item).unwrap()));
            mark = next;
            if next.is_none() {
                break;
            }
        }
    }
    found
}

/// The names of a credential of that number in each of its forms.
fn forms(number: u64) -> [Value; 6] {
    let jwt = format!("jti-{number}");
    [
        json!({"kind": "ticket", "digest": digest(number).to_string()}),
        json!({"kind": "session", "id": session_id(number).uuid().to_string(), "digest": session_digest(number).to_string()}),
        json!({"kind": "session", "digest": session_digest(number).to_string()}),
        json!({"kind": "token", "digest": token_digest(number).to_string()}),
        json!({"kind": "token", "id": token_digest(number).id().to_string()}),
        json!({"kind": "token", "iss": issuer().as_str(), "jti": jwt}),
    ]
}

/// Credentials that bearers of a history could present, and some that nobody has.
fn presented(random: &mut Random, origins: &[String]) -> Value {
    let number = random.below(13);
    let mut one = forms(number)[random.below(6) as usize].clone();
    let mut put = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            one[member] = value;
        }
    };
    let mut some = |values: &[&str]| random.pick(values).filter(|text| !text.is_empty()).map(|text| json!(text));
    put("tenant", some(&["default", "acme", "other", ""]));
    put("subject", some(&["alice", "bob", "carol", "dave", ""]));
    put("kid", some(&["key-1", "key-2", "", ""]));
    let applications: Vec<String> = (0..3).map(|n| application_id(n).0.to_string()).collect();
    put("client_id", random.pick(&[0, 1, 2, 3, 4]).and_then(|n| applications.get(n)).map(|id| json!(id)));
    put("foreign", random.percent(15).then_some(json!(true)));
    put("iat", random.percent(80).then(|| json!((NOW / 1_000 + random.below(300_000)) as f64 + 0.25)));
    if random.percent(40) {
        put("sid", Some(json!(session_id(random.below(13)).uuid().to_string())));
        put("sid_iat", random.percent(50).then(|| json!(NOW / 1_000 + random.below(10_000))));
    } else if random.percent(50) {
        let mut parent = forms(random.below(13))[random.below(6) as usize].clone();
        parent.as_object_mut().unwrap().remove("digest");
        parent["sub"] = json!("bob");
        put("parent", Some(parent));
    }
    let reached = origins.iter().filter(|_| random.percent(60)).cloned().collect::<Vec<_>>();
    let generation = reached.into_iter().map(|origin| (origin, json!(random.below(60)))).collect();
    put("gen", Some(Value::Object(generation)));
    one
}

/// The follower of the examples, which keeps the names as they are.
fn by_name(values: &[Value]) -> example::Revocations {
    let mut revocations = example::Revocations::default();
    values.iter().for_each(|item| revocations.apply(serde_json::from_value(item.clone()).unwrap()));
    revocations
}

fn shuffled(values: &[Value], random: &mut Random) -> Vec<Value> {
    let mut values = values.to_vec();
    for at in (1..values.len()).rev() {
        values.swap(at, random.below(at as u64 + 1) as usize);
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_forms_of_snapshot_and_stream_lead_to_the_same_verdict(history in history(false), seed in any::<u64>()) {
        let mut world = live(false, &history);
        world.exchange_all();
        let node = &world.nodes[0];
        let origins: Vec<String> = node.log.iter().map(|recorded| recorded.place.origin.to_string()).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let mut random = Random::of(seed);
        for values in [streamed_items(node), snapshot_of(node)] {
            let oracle = by_name(&values);
            let told: Vec<_> = told(&values).into_iter().chain(told(&shuffled(&values, &mut random))).collect();
            let mut refused = 0;
            for _ in 0..250 {
                let one = presented(&mut random, &origins);
                let due = oracle.refuses(&serde_json::from_value(one.clone()).unwrap());
                refused += usize::from(due.is_some());
                let credential: PresentedCredential = serde_json::from_value(one.clone()).unwrap();
                for (form, held) in &told {
                    prop_assert_eq!(held.refuses(&credential).map(RefusalReason::as_str), due, "{}: {}", form, one);
                }
            }
            prop_assert!(values.len() < 5 || refused > 0, "nothing is refused of {} items", values.len());
        }
    }
}

#[test]
fn a_follower_forgets_in_time_and_keeps_erased_subjects() {
    let day = 86_400_000;
    let later = |millis: u64| at(NOW + millis).to_string();
    let ticket = |number: u64, retained: u64| json!({"type": "ticket.revoked", "kind": "ticket", "digest": digest(number).to_string(), "retain_until": later(retained)});
    let whole = |name: &str, subject: &str, retained: String| json!({"type": name, "tenant": "default", "subject": subject, "kinds": ["ticket"], "generation": {"aaaaaaaaaaaaa": 1}, "retain_until": retained});
    let mut values: Vec<Value> = (0..200).map(|n| ticket(n, n * day / 10 + 1)).collect();
    values.push(json!({"type": "session.revoked", "kind": "session", "id": "s", "known": false, "tenant": "acme", "retain_until": later(day)}));
    values.push(whole("subject.revoked", "alice", later(day)));
    values.push(whole("subject.erased", "bob", "9999-12-30T22:00:00.999Z".to_owned()));
    let forms = told(&values);
    for (form, held) in &forms {
        let mut left = held.counts();
        for days in 1..=40 {
            let now = at(NOW + days * day);
            let forgotten = held.forget(now);
            let counts = held.counts();
            assert_eq!(left.marks + left.wholes - forgotten, counts.marks + counts.wholes, "{form}");
            left = counts;
            // Never too early, and late by no more than a quarter of what was left when it was told.
            for number in 0..200 {
                let presented: PresentedCredential = serde_json::from_value(forms_of_ticket(number)).unwrap();
                let retained = number * day / 10 + 1;
                match held.refuses(&presented) {
                    Some(_) => {
                        assert!(days * day <= retained + retained / 2 + 600_000, "{form}: {number} on day {days}")
                    }
                    None => assert!(days * day >= retained, "{form}: {number} on day {days}"),
                }
            }
        }
        assert_eq!(left.marks, 0, "{form}");
        let of = |subject: &str| {
            let presented = json!({"kind": "ticket", "tenant": "default", "subject": subject});
            held.refuses(&serde_json::from_value(presented).unwrap())
        };
        assert_eq!((of("alice"), of("bob")), (None, Some(RefusalReason::Erased)), "{form}");
    }
}

fn forms_of_ticket(number: u64) -> Value {
    json!({"kind": "ticket", "digest": digest(number).to_string(), "tenant": "default", "subject": "carol"})
}

#[test]
fn a_file_of_what_is_held_that_was_cut_or_changed_is_refused() {
    let held = Held::new(at(NOW));
    for number in 0..50 {
        let item = json!({"type": "ticket.revoked", "kind": "ticket", "digest": digest(number).to_string()});
        held.apply_item(&serde_json::from_value(item).unwrap()).unwrap();
    }
    let mut file = Vec::new();
    held.save("c", &mut file).unwrap();
    let mut random = Random::of(7);
    for _ in 0..40 {
        let at = random.below(file.len() as u64) as usize;
        assert!(Held::restore(&file[..at]).is_err(), "cut at {at}");
        let mut changed = file.clone();
        changed[at] ^= 1 << random.below(8);
        assert!(Held::restore(&changed).is_err(), "changed at {at}");
    }
    assert!(Held::restore(&file).is_ok());
}
