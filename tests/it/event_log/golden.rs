//! The bytes that are a contract: golden records, and the vectors for other implementations. Only ever added to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use authledger::domain::{
    Actor, ApplicationId, ClientKeys, Cohort, CohortRevoked, CredentialRef, CredentialRevoked, Digest, Event,
    Fingerprint, Grants, Idempotency, IdempotencyMark, Issuer, Kind, Kinds, LedgerId, LedgerOpened, MAX_INTEGER,
    NodeName, OauthClient, Origin, Previous, Reason, RecordId, Recorded, Region, Registration, Renewals, RequestId,
    Scope, Secret, Sequence, State, Subject, SubjectErased, SubjectRevoked, Tenant, TicketIssued, Timestamp, TokenId,
    Ttl, hex,
};
use authledger::event_log::{Chain, ChainHash, MAX_RECORD_BYTES, RecordError, decode, encode};
use authledger::keys::PseudonymKey;
use serde_json::Value;

use super::{lasting, nodes, status_lists};
use crate::support::log::projection_of;
use crate::support::node::{START_MILLIS as T, grants, seconds, subject, tenant};

pub(super) const DAY: u64 = 86_400_000;

fn schema_file(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(path);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The file of a type in its first version, or in the one that is named behind it.
fn event_file(type_name: &str) -> String {
    match type_name.strip_suffix(".v2") {
        Some(_) => format!("events/{type_name}.json"),
        None => format!("events/{type_name}.v1.json"),
    }
}

fn golden(type_name: &str) -> Vec<String> {
    let file = schema_file(&event_file(type_name));
    file["x-golden"].as_array().unwrap().iter().map(|record| text(record).to_owned()).collect()
}

/// Every golden record of every type.
pub(super) fn golden_records() -> Vec<String> {
    values().into_iter().flat_map(|(type_name, _)| golden(type_name)).collect()
}

/// The registration of an application of that name.
pub(super) fn registration_named(name: &str) -> Recorded {
    let registration = Registration {
        id: application(),
        name: name.into(),
        digest: Some(secret("al_a_example")),
        grants: Grants::default().into(),
        expires_at: None,
        attributes: None,
        oauth: None,
    };
    Recorded { actor: by_root(), ..record(2, 1, Event::ApplicationRegistered(Arc::new(registration))) }
}

pub(super) fn a() -> Origin {
    "k7m2qx4dnzr5a".parse().unwrap()
}

pub(super) fn b() -> Origin {
    "b3ytw6hcpe2sf".parse().unwrap()
}

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

pub(super) fn secret(text: &str) -> Digest {
    Secret::new(text).digest()
}

fn application() -> ApplicationId {
    ApplicationId("0c5be1d2-77aa-4f0e-8f6c-3b1d2a4e5f60".parse().unwrap())
}

pub(super) fn by_application() -> Option<Actor> {
    Some(Actor::Application(application()))
}

pub(super) fn by_root() -> Option<Actor> {
    Some(Actor::Root(a()))
}

pub(super) fn record(sequence: u64, millis: u64, event: Event) -> Recorded {
    Recorded {
        place: RecordId { origin: a(), sequence: Sequence(sequence) },
        recorded_at: at(T + millis),
        tenant: None,
        actor: None,
        request: None,
        idempotency: None,
        event,
    }
}

fn mark(records: u64) -> Option<IdempotencyMark> {
    let key = std::array::from_fn(|n| n as u8);
    let body = std::array::from_fn(|n| (15 - n as u8) << 4);
    Some(IdempotencyMark { digests: Idempotency { key, body }, records })
}

/// The domain's values of every golden record, type by type, in the order of the files.
fn values() -> Vec<(&'static str, Vec<Recorded>)> {
    vec![
        ("ledger.opened", opened()),
        ("application.registered", registered()),
        ("application.registered.v2", registered_clients()),
        (
            "application.removed",
            vec![Recorded {
                actor: Some(Actor::Bearer { issuer: "https://issuer.example/".into(), jti: "100%".into() }),
                ..record(5, 3, Event::ApplicationRemoved(application()))
            }],
        ),
        ("ticket.issued", issued()),
        ("ticket.issued.v2", lasting::tickets_of_parents()),
        ("tickets.renewed", vec![renewed()]),
        ("ticket.revoked", revoked()),
        ("subject.revoked", subject_revoked()),
        ("cohort.revoked", cohorts_revoked()),
        ("subject.revoked.v2", subject_revoked_by_age()),
        ("subject.erased", subject_erased()),
        ("session.issued", lasting::sessions()),
        ("session.issued.v2", lasting::sessions_of_parents()),
        ("session.extended", lasting::extended()),
        ("token.issued", lasting::tokens()),
        ("token.issued.v2", lasting::bound_tokens()),
        ("session.revoked", lasting::sessions_revoked()),
        ("token.revoked", lasting::tokens_revoked()),
        ("key.published", lasting::published()),
        ("key.retired", lasting::retired()),
        ("status_list.opened", status_lists::opened()),
        ("status_list.published", status_lists::published()),
        ("node.joined", nodes::joined()),
        ("node.upgraded", nodes::upgraded()),
        ("node.removed", nodes::removed()),
    ]
}

fn opened() -> Vec<Recorded> {
    let opened = LedgerOpened {
        ledger: LedgerId("6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a11".parse().unwrap()),
        node: NodeName::new("node-1").unwrap(),
        region: Region::new("eu-central").unwrap(),
        format: 1,
        public_key: *b"\x01\x23\x45\x67\x89\xab\xcd\xef".repeat(4).first_chunk().unwrap(),
        previous: None,
        pseudonyms: None,
    };
    let continued = LedgerOpened {
        node: NodeName::new("nœud \"2\"").unwrap(),
        region: Region::new("\\west/1").unwrap(),
        previous: Some(Previous { place: RecordId { origin: a(), sequence: Sequence(41) }, hash: [0xab; 32] }),
        ..opened.clone()
    };
    let mut second = record(1, 5, Event::LedgerOpened(continued));
    second.place.origin = b();
    let of_pseudonyms = LedgerOpened { pseudonyms: Some([0xcd; 32]), ..opened.clone() };
    vec![record(1, 0, Event::LedgerOpened(opened)), second, record(1, 7, Event::LedgerOpened(of_pseudonyms))]
}

fn cohorts_revoked() -> Vec<Recorded> {
    let revoked = |cohort, tenants: Option<&[&str]>, kinds: Kinds| CohortRevoked {
        cohort,
        tenants: tenants.map(|tenants| tenants.iter().map(|name| tenant(name)).collect()),
        kinds,
        not_before: T / 1000 + 300,
        hold_until: None,
        retain_until: at(T + 366 * DAY + 300_000),
        withdrawn: false,
        reason: None,
        note: None,
    };
    let token = Kinds::from_iter([Kind::Token]);
    let of_application = CohortRevoked {
        reason: Some(Reason::new("secret-leaked").unwrap()),
        note: Some(authledger::domain::Sealed { slot: 0, sealed: "bm9uY2UgY2lwaGVyIHRhZy1f".into() }),
        hold_until: Some(at(T + 360_000)),
        ..revoked(Cohort::Application(application()), Some(&["acme", "default"]), Kinds::ALL)
    };
    let key = Cohort::Key(authledger::domain::KeyId::new("k-1").unwrap());
    let withdrawn = CohortRevoked { withdrawn: true, ..revoked(key.clone(), None, token) };
    let foreign = Cohort::Issuer(Issuer::new("https://issuer.example/").unwrap());
    let of_tenant = revoked(Cohort::Tenant(tenant("zoë")), None, Kinds::from_iter([Kind::Ticket, Kind::Session]));
    let all =
        [of_application, revoked(key, None, token), withdrawn, revoked(foreign, Some(&["default"]), token), of_tenant];
    let named = |(n, one): (usize, CohortRevoked)| {
        let tenant = match &one.cohort {
            Cohort::Tenant(tenant) => Some(tenant.clone()),
            _ => None,
        };
        let event = Event::CohortRevoked(Box::new(one));
        Recorded { tenant, actor: by_root(), ..record(40 + n as u64, 300_000 + n as u64, event) }
    };
    all.into_iter().enumerate().map(named).collect()
}

fn registered() -> Vec<Recorded> {
    let registration = |name: &str, grants: Grants| Registration {
        id: application(),
        name: name.into(),
        digest: Some(secret("al_a_example")),
        grants: grants.into(),
        expires_at: None,
        attributes: None,
        oauth: None,
    };
    let event = |registration| Event::ApplicationRegistered(Arc::new(registration));
    let everywhere = grants(&[("acme", &[]), ("*", &Scope::ALL)]);
    let full = Registration {
        expires_at: Some(at(T + DAY)),
        attributes: Some("{\"note\":\"line\nbreak\",\"path\":\"a/b\\\\c\",\"bell\":\"\u{8}\u{c}\r\"}".into()),
        ..registration("tab\there, \"quoted\", \u{1}\u{1f}\u{7f}\u{2028} and 😀", everywhere)
    };
    let gateway = registration("gateway", grants(&[("*", &[Scope::Introspect, Scope::Follow])]));
    vec![
        Recorded { actor: by_root(), ..record(2, 1, event(gateway)) },
        Recorded {
            actor: by_application(),
            request: Some(RequestId::new("req-1/~!\"\\").unwrap()),
            idempotency: mark(1),
            ..record(3, 2, event(full))
        },
        Recorded { actor: by_root(), ..record(4, 2, event(registration("nothing granted", Grants::default()))) },
    ]
}

fn registered_clients() -> Vec<Recorded> {
    let client = |digest, expires_at, oauth| {
        let registration = Registration {
            id: application(),
            name: "api".into(),
            digest,
            grants: grants(&[("*", &[Scope::Introspect])]).into(),
            expires_at,
            attributes: None,
            oauth: Some(Box::new(oauth)),
        };
        Event::ApplicationRegistered(Arc::new(registration))
    };
    let keys = |keys| OauthClient { keys: Some(keys), ..OauthClient::default() };
    let jwks =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k-1"}]}"#;
    let resource = OauthClient {
        audiences: vec!["https://api.example".into(), "reports".into()],
        keys: None,
        signed_response_alg: Some("RS256".into()),
        omits_exp: true,
    };
    let url = ClientKeys::Url("https://api.example/keys".into());
    let events = [
        client(Some(secret("al_a_example")), None, resource),
        client(None, Some(at(T + DAY)), keys(ClientKeys::Set(jwks.into()))),
        client(None, None, keys(url)),
    ];
    let numbered = events.into_iter().zip(0..);
    numbered.map(|(event, n)| Recorded { actor: by_root(), ..record(54 + n, 400_010 + n, event) }).collect()
}

#[test]
fn a_client_says_something_and_nothing_that_goes_without_saying() {
    let [resource, keys, _] = golden("application.registered.v2").try_into().unwrap();
    for (whole, from, to) in [
        (&resource, "\"omit_exp\":true", "\"omit_exp\":false"),
        (&resource, "[\"https://api.example\",\"reports\"]", "[]"),
        (&resource, "\"version\":2", "\"version\":1"),
        (&keys, "\"jwks\":", "\"jwks_url\":\"https://x\",\"jwks\":"),
        (&keys, "{\"jwks\":", "{\"omit_exp\":true,\"jwks\":"),
    ] {
        let broken = whole.replace(from, to);
        assert_ne!(broken, *whole);
        assert!(matches!(decode(broken.as_bytes()), Err(RecordError::Malformed(_))), "{broken}");
    }
    let plain = &golden("application.registered")[0];
    assert!(decode(plain.replace("\"version\":1", "\"version\":2").as_bytes()).is_err());
    let empty = plain.replace("\"version\":1", "\"version\":2").replace("]}}", "],\"oauth\":{}}}");
    assert!(empty.contains("oauth") && decode(empty.as_bytes()).is_err());
}

fn issued() -> Vec<Recorded> {
    let plain = TicketIssued {
        digest: secret("7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2"),
        subject: subject("profile-17"),
        issued_at: None,
        ttl: seconds(900),
        expires_at: at(T + 4 + 900_000),
        not_after: at(T + 4 + DAY),
        generation: Default::default(),
        parent: None,
    };
    let full = TicketIssued {
        digest: secret("secret two"),
        subject: subject("zoë@example.com"),
        issued_at: Some(at(T - 1000)),
        ttl: Ttl::MAX,
        expires_at: at(T + 9),
        not_after: at(MAX_INTEGER),
        generation: [(a(), Sequence(MAX_INTEGER)), (b(), Sequence(12))].into_iter().collect(),
        parent: None,
    };
    vec![
        Recorded {
            tenant: Some(Tenant::default()),
            actor: by_application(),
            ..record(6, 4, Event::TicketIssued(plain))
        },
        Recorded {
            tenant: Some(tenant("acme/eu")),
            actor: Some(Actor::Subject(subject("zoë/1"))),
            request: Some(RequestId::new("r").unwrap()),
            idempotency: mark(2),
            ..record(7, 4, Event::TicketIssued(full))
        },
    ]
}

fn renewed() -> Recorded {
    let uses = |pairs: &[(u64, u64)]| pairs.iter().map(|(n, millis)| (Sequence(*n), at(T + millis))).collect();
    let renewals = vec![
        Renewals { origin: b(), uses: uses(&[(3, 90_000)]) },
        Renewals { origin: a(), uses: uses(&[(6, 99_000), (7, 99_999)]) },
    ];
    record(8, 100_000, Event::TicketsRenewed(renewals))
}

fn revoked() -> Vec<Recorded> {
    let second = secret("secret two");
    let revoked = |credential, subject: Option<&str>, until, reason: Option<&str>| {
        Event::Revoked(CredentialRevoked {
            kind: Kind::Ticket,
            credential,
            session_digest: None,
            known: subject.is_some(),
            subject: subject.map(|name| Subject::new(name).unwrap()),
            note: None,
            retain_until: at(T + until),
            reason: reason.map(|code| Reason::new(code).unwrap()),
        })
    };
    let first = CredentialRef::Digest(secret("7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2"));
    let year = 366 * DAY + 300_000;
    vec![
        Recorded {
            tenant: Some(Tenant::default()),
            actor: by_application(),
            ..record(9, 200_000, revoked(first, Some("profile-17"), 4 + DAY + 300_000, Some("logout")))
        },
        Recorded {
            tenant: Some(tenant("acme/eu")),
            actor: by_application(),
            ..record(10, 200_001, revoked(CredentialRef::Id(second.id()), None, 200_001 + year, None))
        },
        Recorded {
            actor: by_root(),
            ..record(11, 200_002, revoked(CredentialRef::Digest(second), None, 200_002 + year, None))
        },
        Recorded {
            tenant: Some(Tenant::default()),
            actor: by_application(),
            ..record(33, 600_002, noted(revoked(CredentialRef::Digest(second), Some("profile-17"), DAY, None)))
        },
    ]
}

fn noted(event: Event) -> Event {
    match event {
        Event::Revoked(revoked) => Event::Revoked(CredentialRevoked { note: Some(lasting::sealed()), ..revoked }),
        other => other,
    }
}

fn subject_revoked_by_age() -> Vec<Recorded> {
    let revoked = SubjectRevoked {
        subject: subject("profile-17"),
        kinds: [Kind::Session, Kind::Token].into_iter().collect(),
        issued_before: Some(at(T + 250_001)),
        not_before: (T + 250_000) / 1000,
        hold_until: None,
        retain_until: at(T + 366 * DAY),
        reason: Some(Reason::new("password-changed").unwrap()),
        note: None,
    };
    let event = Event::SubjectRevoked(revoked);
    vec![Recorded { tenant: Some(Tenant::default()), actor: by_root(), ..record(50, 300_000, event) }]
}

fn subject_revoked() -> Vec<Recorded> {
    let year = 366 * DAY + 300_000;
    let all = SubjectRevoked {
        subject: subject("profile-17"),
        kinds: Kinds::ALL,
        issued_before: None,
        not_before: (T + 300_000) / 1000,
        hold_until: None,
        retain_until: at(T + 300_000 + year),
        reason: None,
        note: None,
    };
    let tickets = SubjectRevoked {
        subject: subject("profile-18"),
        kinds: [Kind::Ticket].into_iter().collect(),
        issued_before: None,
        not_before: (T + 300_001) / 1000,
        hold_until: Some(at(T + 360_001)),
        retain_until: at(T + 300_001 + year),
        reason: Some(Reason::new("a-z_0.9").unwrap()),
        note: None,
    };
    let noted = SubjectRevoked {
        subject: subject("profile-17"),
        kinds: [Kind::Session, Kind::Token].into_iter().collect(),
        issued_before: None,
        not_before: (T + 600_003) / 1000,
        hold_until: None,
        retain_until: at(T + 366 * DAY),
        reason: Some(Reason::new("r").unwrap()),
        note: Some(lasting::sealed()),
    };
    vec![
        Recorded {
            tenant: Some(Tenant::default()),
            actor: Some(Actor::Subject(subject("profile-17"))),
            ..record(12, 300_000, Event::SubjectRevoked(all))
        },
        Recorded {
            tenant: Some(Tenant::default()),
            actor: by_root(),
            ..record(13, 300_001, Event::SubjectRevoked(tickets))
        },
        Recorded {
            tenant: Some(Tenant::default()),
            actor: by_application(),
            ..record(34, 600_003, Event::SubjectRevoked(noted))
        },
    ]
}

fn subject_erased() -> Vec<Recorded> {
    let erased = |millis: u64, name: &str, slots: &[u64], reason: Option<&str>| {
        Event::SubjectErased(SubjectErased {
            subject: subject(name),
            not_before: (T + millis) / 1000,
            slots: slots.iter().copied().collect(),
            reason: reason.map(|reason| Reason::new(reason).unwrap()),
        })
    };
    let known = record(35, 700_000, erased(700_000, "profile-17", &[3, 7, 1 << 32], Some("gdpr-17")));
    let unknown = record(36, 700_001, erased(700_001, "zoë@example.com", &[], None));
    let elsewhere = record(2, 699_999, erased(699_999, "profile-17", &[7], None));
    vec![
        Recorded { tenant: Some(Tenant::default()), actor: by_application(), ..known },
        Recorded { tenant: Some(tenant("acme/eu")), actor: by_root(), ..unknown },
        Recorded {
            place: RecordId { origin: b(), sequence: Sequence(2) },
            tenant: Some(Tenant::default()),
            actor: by_application(),
            ..elsewhere
        },
    ]
}

#[test]
fn every_golden_record_is_what_its_value_is_written_as_and_reads_back_as() {
    for (type_name, values) in values() {
        let records = golden(type_name);
        assert_eq!(records.len(), values.len(), "{type_name}");
        for (record, value) in records.iter().zip(values) {
            assert_eq!(value.event.type_name(), type_name.trim_end_matches(".v2"));
            assert_eq!(encode(&value), *record);
            assert_eq!(decode(record.as_bytes()).unwrap(), value);
        }
    }
}

#[test]
fn every_type_has_a_file_and_every_file_a_type() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/events");
    let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().trim_end_matches(".v1").to_owned();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| name(entry.unwrap().path())).collect();
    let mut types: Vec<_> = values().into_iter().map(|(type_name, _)| type_name.to_owned()).collect();
    files.sort_unstable();
    types.sort_unstable();
    assert_eq!(files, types);
}

#[test]
fn schemas_name_the_members_that_records_have() {
    for (type_name, values) in values() {
        let schema = schema_file(&event_file(type_name));
        for value in values {
            let record: Value = serde_json::from_str(&encode(&value)).unwrap();
            let data = record["data"].as_object().unwrap();
            let unnamed: Vec<_> = data.keys().filter(|member| schema["properties"].get(member).is_none()).collect();
            assert!(unnamed.is_empty(), "{type_name}: {unnamed:?}");
            let required = schema["required"].as_array().unwrap();
            assert!(required.iter().all(|member| data.contains_key(text(member))), "{type_name}");
        }
    }
}

#[test]
fn a_text_that_breaks_the_form_is_not_a_record() {
    let whole = &golden("ticket.issued")[0];
    let broken = [
        whole.replace("\"sequence\":6", "\"sequence\":0"),
        whole.replace("\"sequence\":6", "\"sequence\":06"),
        whole.replace("\"sequence\":6", "\"sequence\":6.0"),
        whole.replace("\"sequence\":6", "\"sequence\":-6"),
        whole.replace("\"sequence\":6", "\"sequence\":9007199254740992"),
        whole.replace("\"ttl\":900", "\"ttl\":0"),
        whole.replace("\"ttl\":900", "\"ttl\":31622401"),
        whole.replace("\"ttl\":900", "\"ttl\":900,\"ttl\":900"),
        whole.replace("\"ttl\":900", "\"ttl\":900,\"generation\":{}"),
        whole.replace("\"ttl\":900,", ""),
        whole.replace("\"tenant\":\"default\"", "\"tenant\":\"\""),
        whole.replace("\"tenant\":\"default\"", "\"tenant\":null"),
        whole.replace("\"subject\":\"profile-17\"", "\"subject\":\"\\n\""),
        whole.replace("k7m2qx4dnzr5a", "K7M2QX4DNZR5A"),
        whole.replace("\"version\":1,\"tenant\":\"default\"", "\"tenant\":\"default\",\"version\":1"),
        whole[..whole.len() - 1].to_owned(),
        format!("{whole} "),
        format!("{whole}{whole}"),
    ];
    for record in &broken {
        assert_ne!(record, whole);
        assert!(matches!(decode(record.as_bytes()), Err(RecordError::Malformed(_))), "{record}");
    }
    assert!(decode(&[whole.as_bytes(), &[0xff]].concat()).is_err());
}

#[test]
fn a_generation_is_bounded_and_in_order() {
    let whole = &golden("ticket.issued")[1];
    let entries = "{\"b3ytw6hcpe2sf\":12,\"k7m2qx4dnzr5a\":9007199254740991}";
    assert!(whole.contains(entries));
    for other in [
        "{\"k7m2qx4dnzr5a\":9007199254740991,\"b3ytw6hcpe2sf\":12}",
        "{\"b3ytw6hcpe2sf\":12,\"k7m2qx4dnzr5a\":9007199254740992}",
        "{\"b3ytw6hcpe2sf\":12,\"b3ytw6hcpe2sf\":12,\"k7m2qx4dnzr5a\":9007199254740991}",
    ] {
        assert!(decode(whole.replace(entries, other).as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn types_and_versions_of_a_later_release_are_said_to_be_that() {
    let whole = &golden("ticket.issued")[0];
    let later = whole.replace("ticket.issued", "ticket.borrowed").replace("\"version\":1", "\"version\":3");
    let error = decode(later.as_bytes()).unwrap_err();
    assert_eq!(error, RecordError::Unreadable { type_name: "ticket.borrowed".to_owned(), version: 3 });
}

#[test]
fn a_record_has_at_most_so_many_bytes() {
    let sized = |name: usize| {
        let mut value = registered().swap_remove(2);
        let Event::ApplicationRegistered(registration) = &mut value.event else { unreachable!() };
        Arc::make_mut(registration).attributes = Some("a".repeat(name).into());
        encode(&value)
    };
    let overhead = sized(0).len();
    assert!(decode(sized(MAX_RECORD_BYTES - overhead).as_bytes()).is_ok());
    assert!(decode(sized(MAX_RECORD_BYTES - overhead + 1).as_bytes()).is_err());
}

#[test]
fn the_chain_agrees_with_its_vectors() {
    let vectors = schema_file("vectors/chain.json");
    let chain = Chain::default();
    let mut heads = std::collections::BTreeMap::<&str, ChainHash>::new();
    for vector in vectors["records"].as_array().unwrap() {
        let head = heads.entry(text(&vector["origin"])).or_default();
        *head = chain.link(head, text(&vector["record"]).as_bytes());
        assert_eq!(head.to_string(), text(&vector["hash"]));
        assert_eq!(decode(text(&vector["record"]).as_bytes()).unwrap().place.origin.as_str(), text(&vector["origin"]));
    }
    assert_eq!(heads.len(), 2);
}

#[test]
fn digests_agree_with_their_vectors() {
    for vector in schema_file("vectors/digest.json")["digests"].as_array().unwrap() {
        let digest = secret(text(&vector["secret"]));
        assert_eq!(digest.to_string(), text(&vector["digest"]));
        assert_eq!(digest.id().to_string(), text(&vector["id"]));
    }
}

#[test]
fn the_ids_that_jwts_are_kept_under_agree_with_the_vectors() {
    let vectors = schema_file("vectors/digest.json");
    for vector in vectors["payloads"].as_array().unwrap() {
        let digest = Digest::of_payload(text(&vector["payload"]).as_bytes());
        let named = CredentialRef::Payload { issuer: Issuer::new("https://idp.example").unwrap(), digest };
        assert_eq!((digest.to_string(), named.id().to_string()), (member(vector, "digest"), member(vector, "id")));
    }
    for vector in vectors["identities"].as_array().unwrap() {
        let (issuer, jti) = (Issuer::new(text(&vector["iss"])).unwrap(), TokenId::new(text(&vector["jti"])).unwrap());
        assert_eq!(CredentialRef::Jwt { issuer, jti }.id().to_string(), member(vector, "id"));
    }
}

#[test]
fn the_uuids_that_stand_for_subjects_agree_with_the_vectors() {
    for vector in schema_file("vectors/digest.json")["subjects"].as_array().unwrap() {
        let uuid = subject(text(&vector["subject"])).uuid(&tenant(text(&vector["tenant"])));
        assert_eq!(uuid.to_string(), member(vector, "uuid"), "{vector}");
    }
}

fn member(value: &Value, name: &str) -> String {
    text(&value[name]).to_owned()
}

/// Golden records of that type, each way in which one may be broken, and the text that stands there instead.
fn refused(type_name: &str, broken: &[(usize, &str, &str)]) {
    let records = golden(type_name);
    for (which, old, new) in broken {
        let whole = &records[*which];
        assert!(whole.contains(old), "{old} is not in {whole}");
        let record = whole.replace(old, new);
        let error = decode(record.as_bytes());
        assert!(matches!(error, Err(RecordError::Malformed(_))), "{record}: {error:?}");
    }
}

#[test]
fn a_text_that_breaks_the_form_of_a_session_is_not_a_record() {
    let upper = "\"id\":\"5E551001-0000-4000-8000-000000000001\"";
    let id = "\"id\":\"5e551001-0000-4000-8000-000000000001\"";
    refused(
        "session.issued",
        &[
            (0, id, upper),
            (0, id, "\"id\":\"5e551001000040008000000000000001\""),
            (0, id, "\"id\":\"{5e551001-0000-4000-8000-000000000001}\""),
            (0, "\"aal\":\"aal1\"", "\"aal\":\"aal4\""),
            (0, "\"aal\":\"aal1\",", ""),
            (0, "\"aal\":\"aal1\"", "\"aal\":\"aal1\",\"methods\":[]"),
            (0, "\"aal\":\"aal1\"", "\"aal\":\"aal1\",\"more\":1"),
            (0, "\"digest\":\"", "\"digest\":\"A"),
            (0, "\"digest\":\"1735", "\"digest\":\""),
            (1, "\"method\":\"totp\"", "\"method\":\"TOTP\""),
            (1, "\"method\":\"totp\"", "\"method\":\"totp\",\"more\":1"),
            (1, "bm9uY2UgY2lwaGVyIHRhZy1f", "bm9uY2UgY2lwaGVyIHRhZy1f="),
            (1, "bm9uY2UgY2lwaGVyIHRhZy1f", "bm9uY2U+Y2lwaGVyIHRhZy1f"),
            (1, "bm9uY2UgY2lwaGVyIHRhZy1f", ""),
            (1, "\"slot\":7,", ""),
            (1, "\"slot\":7", "\"slot\":9007199254740992"),
            (1, "\"not_after\":9007199254740991", "\"not_after\":9007199254740992"),
            (1, "\"issued_at\":1799999999000", "\"issued_at\":null"),
        ],
    );
    refused(
        "session.extended",
        &[(0, "\"subject\":\"profile-17\",", ""), (0, id, upper), (0, ",\"expires_at\"", ",\"more\":1,\"expires_at\"")],
    );
}

#[test]
fn a_text_that_breaks_the_form_of_a_token_is_not_a_record() {
    let digest = format!("\"digest\":\"{}\"", secret("al_o_example"));
    let both = format!("{digest},\"iss\":\"https://ledger.example/\",\"jti\":\"j\"");
    let with_key = format!("{digest},\"kid\":\"k-1\"");
    let jti = "\"jti\":\"6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a12\",";
    refused(
        "token.issued",
        &[
            (0, &digest, &both),
            (0, &digest, &with_key),
            (0, &format!("{digest},"), ""),
            (0, "\"not_after\":1800004000000", "\"not_after\":1800004000001"),
            (0, ",\"not_after\":1800004000000", ""),
            (1, jti, ""),
            (1, "\"iss\":\"https://ledger.example/\",", ""),
            (1, jti, "\"jti\":\"\","),
            (1, "\"kid\":\"k-1\"", "\"kid\":\"\\n\""),
            (1, "\"audience\":[\"https://api.example\",\"b\"]", "\"audience\":[]"),
            (1, "\"audience\":[\"https://api.example\",\"b\"]", "\"audience\":\"b\""),
            (1, "5e551001-0000-4000-8000-0000000000ff", "5E551001-0000-4000-8000-0000000000FF"),
            (1, "\"slot\":7", "\"slot\":7,\"more\":1"),
        ],
    );
}

#[test]
fn a_text_that_breaks_the_form_of_a_bound_token_is_not_a_record() {
    let certificate = "{\"x5t#S256\":\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0\"}";
    let cnf = format!(",\"cnf\":{certificate}");
    let with = |from: &str, to: &str| certificate.replace(from, to);
    let both = with("}", ",\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}");
    refused(
        "token.issued.v2",
        &[
            (0, "\"version\":2", "\"version\":1"),
            (0, &cnf, ""),
            (0, certificate, "{}"),
            (0, certificate, &both),
            (0, certificate, &with("x5t#S256", "x5t")),
            (0, certificate, &with("dg0", "dg1")),
            (0, certificate, &with("dg0", "dg0=")),
            (0, certificate, &with("dg0", "dg")),
            (0, certificate, &with("_", "/")),
        ],
    );
    refused("token.issued", &[(0, "\"version\":1", "\"version\":2")]);
}

#[test]
fn a_text_that_breaks_the_form_of_a_revocation_is_not_a_record() {
    let uuid = "\"id\":\"5e551001-0000-4000-8000-000000000001\"";
    let hex = format!("\"id\":\"{}\"", secret("zoë").id());
    refused(
        "session.revoked",
        &[
            (4, "\"subject\":\"profile-17\",", ""),
            (4, "\"subject\":\"profile-17\",", "\"subject\":\"profile-17\",\"known\":true,"),
            (4, uuid, "\"id\":\"5E551001-0000-4000-8000-000000000001\""),
            (4, uuid, &hex),
            (4, &format!("{uuid},"), ""),
            (4, uuid, &format!("{uuid},\"iss\":\"i\",\"jti\":\"j\"")),
            (4, uuid, "\"iss\":\"i\",\"jti\":\"j\""),
            (2, "\"known\":false", "\"known\":null"),
        ],
    );
    let payload = format!("\"payload\":\"{}\"", Digest::of_payload(b"{\"sub\":\"profile-17\"}"));
    let digest = format!("\"digest\":\"{}\"", secret("al_o_example"));
    refused(
        "token.revoked",
        &[
            (0, &digest, &format!("{digest},{hex}")),
            (0, &digest, &format!("{digest},\"iss\":\"i\",\"jti\":\"j\"")),
            (1, "\"iss\":\"https://ledger.example/\",", ""),
            (1, "\"jti\":\"100%/ü\",", ""),
            (2, "\"iss\":\"https://idp.example\",", ""),
            (2, &payload, &payload[..payload.len() - 1]),
            (2, &payload, &format!("\"jti\":\"j\",{payload}")),
            (3, &hex, uuid),
            (3, "\"known\":false,", ""),
            (3, &hex, &hex.to_uppercase().replace("\"ID\"", "\"id\"")),
        ],
    );
    let ticket = format!("\"digest\":\"{}\"", secret("secret two"));
    refused(
        "ticket.revoked",
        &[
            (3, &ticket, &format!("{ticket},{hex}")),
            (3, &ticket, uuid),
            (3, &ticket, "\"iss\":\"i\",\"jti\":\"j\""),
            (3, "bm9uY2UgY2lwaGVyIHRhZy1f", "bm9uY2UgY2lwaGVyIHRhZy1f=="),
        ],
    );
    refused(
        "subject.revoked",
        &[(2, "[\"session\",\"token\"]", "[\"token\",\"session\"]"), (2, "[\"session\",\"token\"]", "[]")],
    );
    refused(
        "subject.revoked.v2",
        &[(0, "\"version\":2", "\"version\":1"), (0, "\"issued_before\":1800000250001,", "")],
    );
    refused("subject.revoked", &[(0, "\"version\":1", "\"version\":2")]);
    refused(
        "cohort.revoked",
        &[
            (0, "[\"acme\",\"default\"]", "[\"default\",\"acme\"]"),
            (0, "{\"application\":", "{\"key\":\"k\",\"application\":"),
            (1, "{\"key\":\"k-1\"}", "{}"),
            (1, "[\"token\"]", "[]"),
            (2, "\"withdrawn\":true", "\"withdrawn\":false"),
            (3, "\"retain_until\":1831622700000", "\"retain_until\":1831622700000,\"withdrawn\":true"),
            (4, "\"kinds\":", "\"tenants\":[\"default\"],\"kinds\":"),
        ],
    );
    refused(
        "subject.erased",
        &[
            (0, "[3,7,", "[7,3,"),
            (0, "[3,7,", "[3,3,7,"),
            (0, "4294967296", "9007199254740992"),
            (1, ",\"slots\":[]", ""),
            (1, "\"slots\":[]", "\"slots\":[],\"more\":1"),
        ],
    );
}

#[test]
fn a_text_that_breaks_the_form_of_a_key_is_not_a_record() {
    refused(
        "key.published",
        &[
            (0, "\"kid\":\"k-1\",\"iss\"", "\"kid\":\"\",\"iss\""),
            (0, "\"kid\":\"k-1\",\"iss\"", "\"iss\""),
            (0, "\"iss\":\"https://ledger.example/\",", ""),
            (0, "\"jwk\":\"", "\"more\":1,\"jwk\":\""),
        ],
    );
    refused("key.retired", &[(0, "\"kid\":\"k-1\"", "\"kid\":\"k-1\",\"more\":1"), (0, "{\"kid\":\"k-1\"}", "{}")]);
}

#[test]
fn a_revocation_may_name_a_digest_that_is_not_a_sessions_only_alone() {
    let record = golden("session.revoked")[2].clone();
    let Event::Revoked(revoked) = decode(record.as_bytes()).unwrap().event else { panic!("not a revocation") };
    assert_eq!((revoked.credential.digest(), revoked.session_digest), (Some(&secret("zoë")), None));
}

#[test]
fn actors_agree_with_their_vectors() {
    let vectors = schema_file("vectors/actor.json");
    for vector in vectors["actors"].as_array().unwrap() {
        let member = |name: &str| text(&vector[name]);
        let actor = match member("kind") {
            "application" => Actor::Application(ApplicationId(member("id").parse().unwrap())),
            "subject" => Actor::Subject(subject(member("id"))),
            "bearer" => Actor::Bearer { issuer: member("issuer").into(), jti: member("jti").into() },
            "root" => Actor::Root(member("origin").parse().unwrap()),
            other => panic!("{other} is not an actor"),
        };
        assert_eq!(actor.to_string(), member("text"));
        assert_eq!(member("text").parse::<Actor>().unwrap(), actor);
    }
    for refused in vectors["refused"].as_array().unwrap() {
        assert!(text(refused).parse::<Actor>().is_err(), "{refused}");
    }
}

#[test]
fn pseudonyms_agree_with_their_vectors() {
    let vectors = schema_file("vectors/pseudonym.json");
    for vector in vectors["keys"].as_array().unwrap() {
        let key = PseudonymKey::from_bytes(hex::parse(text(&vector["key"])).unwrap());
        assert_eq!(hex::encode(key.check()), text(&vector["check"]));
        for case in vector["pseudonyms"].as_array().unwrap() {
            let made = key.pseudonym(&tenant(text(&case["tenant"])), &subject(text(&case["subject"])));
            assert_eq!(made.as_str(), text(&case["pseudonym"]), "{case}");
        }
    }
}

#[test]
fn fingerprints_agree_with_their_vectors() {
    for vector in [
        "fingerprint",
        "fingerprint-sessions",
        "fingerprint-erased",
        "fingerprint-bound",
        "fingerprint-oauth",
        "fingerprint-status-lists",
    ]
    .map(|name| format!("vectors/{name}.json"))
    .iter()
    .map(|path| schema_file(path))
    {
        let read = |record: &Value| decode(text(record).as_bytes()).unwrap();
        let records: Vec<Recorded> = vector["records"].as_array().unwrap().iter().map(read).collect();
        let now = at(vector["at"].as_u64().unwrap());
        let mut state = State::default();
        records.iter().for_each(|recorded| state.fold(recorded));
        state.prune(now);
        let live = projection_of(&records);
        live.prune(now);
        for rows in [state.rows(), live.rows()] {
            let texts: Vec<_> = rows.iter().map(|row| row.as_str()).collect();
            let due: Vec<_> = vector["rows"].as_array().unwrap().iter().map(text).collect();
            assert_eq!(texts, due);
            assert_eq!(Fingerprint::of_sorted(&rows).to_string(), text(&vector["fingerprint"]));
        }
    }
}
