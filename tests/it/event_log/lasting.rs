//! The values of the golden records of sessions, tokens and keys.

use authledger::domain::{
    Aal, Actor, Confirmation, CredentialId, CredentialKey, CredentialRef, CredentialRevoked, Digest, Event, GrantType,
    Issuer, KeyId, KeyPublished, Kind, MAX_INTEGER, Method, MethodName, Parent, Reason, Recorded, RequestId, Sealed,
    Sequence, SessionExtended, SessionIssued, StatusIndex, Subject, Tenant, Thumbprint, TicketIssued, TokenId,
    TokenIssued, Ttl,
};

use super::golden::{DAY, a, at, b, by_application, by_root, record, secret};
use crate::support::node::{START_MILLIS as T, subject, tenant};

const ISSUER: &str = "https://ledger.example/";

pub(super) fn sealed() -> Sealed {
    Sealed { slot: 7, sealed: "bm9uY2UgY2lwaGVyIHRhZy1f".into() }
}

fn session(text: &str) -> CredentialId {
    CredentialId::of_session(text.parse().unwrap())
}

fn one() -> CredentialId {
    session("5e551001-0000-4000-8000-000000000001")
}

fn two() -> CredentialId {
    session("5e551001-0000-4000-8000-0000000000ff")
}

fn issuer() -> Issuer {
    Issuer::new(ISSUER).unwrap()
}

fn jwt(jti: &str) -> CredentialRef {
    CredentialRef::Jwt { issuer: issuer(), jti: TokenId::new(jti).unwrap() }
}

fn key() -> KeyId {
    KeyId::new("k-1").unwrap()
}

fn by_default(recorded: Recorded) -> Recorded {
    Recorded { tenant: Some(Tenant::default()), actor: by_application(), ..recorded }
}

fn by_acme(recorded: Recorded) -> Recorded {
    Recorded { tenant: Some(tenant("acme/eu")), actor: by_application(), ..recorded }
}

pub(super) fn sessions() -> Vec<Recorded> {
    let plain = SessionIssued {
        id: one(),
        digest: Some(secret("al_s_example")),
        subject: subject("profile-17"),
        issued_at: None,
        authenticated_at: None,
        aal: Aal::Aal1,
        methods: Vec::new(),
        expires_at: at(T + 400_000 + DAY),
        not_after: at(T + 400_000 + 30 * DAY),
        generation: Default::default(),
        parent: None,
        sealed: None,
    };
    let method = |name: &str| MethodName::new(name).unwrap();
    let full = SessionIssued {
        id: two(),
        digest: Some(secret("zoë")),
        subject: subject("zoë@example.com"),
        issued_at: Some(at(T - 1000)),
        authenticated_at: Some(at(T - 2000)),
        aal: Aal::Aal2,
        methods: vec![
            Method { method: method("password"), aal: None, completed_at: None },
            Method { method: method("totp"), aal: Some(Aal::Aal2), completed_at: Some(at(T - 1500)) },
        ],
        expires_at: at(T + 500_000),
        not_after: at(MAX_INTEGER),
        generation: [(a(), Sequence(MAX_INTEGER)), (b(), Sequence(12))].into_iter().collect(),
        parent: None,
        sealed: Some(sealed()),
    };
    let imported = SessionIssued {
        id: session("00000000-0000-0000-0000-000000000000"),
        digest: None,
        subject: subject("profile-18"),
        issued_at: Some(at(0)),
        aal: Aal::Aal0,
        expires_at: at(T + 500_000),
        not_after: at(T + 500_000),
        ..plain.clone()
    };
    vec![
        by_default(record(14, 400_000, Event::SessionIssued(plain.into()))),
        Recorded {
            request: Some(RequestId::new("r").unwrap()),
            ..by_acme(record(15, 400_001, Event::SessionIssued(full.into())))
        },
        Recorded { actor: by_root(), ..by_default(record(16, 400_002, Event::SessionIssued(imported.into()))) },
    ]
}

pub(super) fn extended() -> Vec<Recorded> {
    let extended = SessionExtended { id: one(), subject: subject("profile-17"), expires_at: at(T + 400_003 + DAY) };
    vec![by_default(record(17, 400_003, Event::SessionExtended(extended)))]
}

pub(super) fn tokens() -> Vec<Recorded> {
    let opaque = TokenIssued {
        name: CredentialRef::Digest(secret("al_o_example")),
        key: None,
        subject: subject("profile-17"),
        issued_at: None,
        parent: None,
        audience: Vec::new(),
        scope: None,
        confirmation: None,
        status: None,
        grant: None,
        expires_at: at(T + 4_000_000),
        generation: Default::default(),
        sealed: None,
    };
    let full = TokenIssued {
        name: jwt("6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a12"),
        key: Some(key()),
        subject: subject("zoë@example.com"),
        parent: Some(Parent::own_session(two())),
        audience: vec!["https://api.example".into(), "b".into()],
        scope: Some("read write".into()),
        expires_at: at(T + 500_000),
        generation: [(a(), Sequence(MAX_INTEGER)), (b(), Sequence(12))].into_iter().collect(),
        sealed: Some(sealed()),
        ..opaque.clone()
    };
    let imported = TokenIssued {
        name: CredentialRef::Digest(secret("zoë")),
        subject: subject("profile-18"),
        issued_at: Some(at(T - 1)),
        expires_at: at(MAX_INTEGER),
        ..opaque.clone()
    };
    vec![
        by_default(record(18, 400_004, Event::TokenIssued(opaque.into()))),
        by_acme(record(19, 400_005, Event::TokenIssued(full.into()))),
        Recorded { actor: by_root(), ..by_default(record(20, 400_006, Event::TokenIssued(imported.into()))) },
    ]
}

/// A parent of another subject, and one of the same.
fn parents() -> [Option<Parent>; 2] {
    let (session, ticket) = (two(), secret("secret two").id());
    [(Kind::Session, session, false), (Kind::Ticket, ticket, true)]
        .map(|(kind, id, same_subject)| Some(Parent { key: CredentialKey { kind, id }, same_subject }))
}

pub(super) fn tickets_of_parents() -> Vec<Recorded> {
    let issued = |parent| TicketIssued {
        digest: secret("child"),
        subject: subject("profile-17"),
        issued_at: None,
        ttl: Ttl::from_seconds(900).unwrap(),
        expires_at: at(T + 400_009 + DAY),
        not_after: at(T + 400_009 + DAY),
        generation: [(b(), Sequence(12))].into_iter().collect(),
        parent,
    };
    let [of_session, _] = parents();
    vec![by_default(record(53, 400_009, Event::TicketIssued(issued(of_session))))]
}

pub(super) fn sessions_of_parents() -> Vec<Recorded> {
    let issued = |parent| SessionIssued {
        id: one(),
        digest: Some(secret("al_s_child")),
        subject: subject("profile-17"),
        issued_at: None,
        authenticated_at: None,
        aal: Aal::Aal1,
        methods: Vec::new(),
        expires_at: at(T + 400_010 + DAY),
        not_after: at(T + 400_010 + DAY),
        generation: Default::default(),
        parent,
        sealed: Some(sealed()),
    };
    let [_, of_ticket] = parents();
    vec![by_default(record(54, 400_010, Event::SessionIssued(issued(of_ticket).into())))]
}

pub(super) fn bound_tokens() -> Vec<Recorded> {
    let thumbprint = |text: &str| text.parse::<Thumbprint>().unwrap();
    let opaque = TokenIssued {
        name: CredentialRef::Digest(secret("al_o_bound")),
        key: None,
        subject: subject("profile-17"),
        issued_at: None,
        parent: None,
        audience: Vec::new(),
        scope: None,
        confirmation: Some(Confirmation::Certificate(thumbprint("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0"))),
        status: None,
        grant: None,
        expires_at: at(T + 4_000_000),
        generation: Default::default(),
        sealed: None,
    };
    let signed = TokenIssued {
        name: jwt("6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a12"),
        key: Some(key()),
        parent: Some(Parent::own_session(two())),
        scope: Some("read write".into()),
        confirmation: Some(Confirmation::Key(thumbprint("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"))),
        grant: None,
        expires_at: at(T + 500_000),
        generation: [(b(), Sequence(12))].into_iter().collect(),
        sealed: Some(sealed()),
        ..opaque.clone()
    };
    let [of_session, of_ticket] = parents();
    let exchanged = TokenIssued { parent: of_session, confirmation: None, ..signed.clone() };
    let bound = TokenIssued { parent: of_ticket, ..opaque.clone() };
    let listed = TokenIssued {
        name: jwt("6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a13"),
        key: Some(key()),
        confirmation: None,
        status: Some(StatusIndex { list: super::status_lists::list(), index: 413 }),
        ..opaque.clone()
    };
    let granted = TokenIssued {
        name: CredentialRef::Digest(secret("al_o_granted")),
        subject: subject("application:0c5be1d2-77aa-4f0e-8f6c-3b1d2a4e5f60"),
        audience: vec!["https://ledger.example".into()],
        scope: Some("introspect ssf.read".into()),
        confirmation: None,
        grant: Some(GrantType::ClientCredentials),
        ..opaque.clone()
    };
    vec![
        by_default(record(51, 400_007, Event::TokenIssued(opaque.into()))),
        by_default(record(52, 400_008, Event::TokenIssued(signed.into()))),
        by_default(record(55, 400_011, Event::TokenIssued(exchanged.into()))),
        by_default(record(56, 400_012, Event::TokenIssued(bound.into()))),
        by_default(record(57, 400_013, Event::TokenIssued(listed.into()))),
        by_default(record(61, 400_017, Event::TokenIssued(granted.into()))),
    ]
}

/// A revocation: with the subject known, or named as a condition, or anybody's; kept until so long after the start.
fn revocation(kind: Kind, credential: CredentialRef, subject: Option<&str>, until: u64) -> CredentialRevoked {
    CredentialRevoked {
        kind,
        credential,
        session_digest: None,
        subject: subject.map(|name| Subject::new(name).unwrap()),
        known: subject.is_some(),
        retain_until: at(T + until),
        reason: None,
        note: None,
    }
}

pub(super) fn sessions_revoked() -> Vec<Recorded> {
    let kind = Kind::Session;
    let known = CredentialRevoked {
        session_digest: Some(secret("al_s_example")),
        reason: Some(Reason::new("logout").unwrap()),
        note: Some(sealed()),
        ..revocation(kind, CredentialRef::Id(one()), Some("profile-17"), 400_000 + 30 * DAY + 300_000)
    };
    let own = CredentialRevoked {
        known: false,
        ..revocation(kind, CredentialRef::Id(two()), Some("zoë@example.com"), 366 * DAY)
    };
    let by_secret = revocation(kind, CredentialRef::Digest(secret("zoë")), None, 366 * DAY);
    let by_id = revocation(kind, CredentialRef::Id(two()), None, 366 * DAY);
    let unpresentable = revocation(kind, CredentialRef::Id(one()), Some("profile-17"), DAY);
    vec![
        by_default(record(21, 500_000, Event::Revoked(known))),
        Recorded {
            actor: Some(Actor::Subject(subject("zoë@example.com"))),
            ..by_acme(record(22, 500_001, Event::Revoked(own)))
        },
        Recorded { actor: by_root(), ..record(23, 500_002, Event::Revoked(by_secret)) },
        by_default(record(24, 500_003, Event::Revoked(by_id))),
        by_default(record(25, 500_004, Event::Revoked(unpresentable))),
    ]
}

pub(super) fn tokens_revoked() -> Vec<Recorded> {
    let kind = Kind::Token;
    let opaque = revocation(kind, CredentialRef::Digest(secret("al_o_example")), Some("profile-17"), 4_300_000);
    let ours = CredentialRevoked {
        reason: Some(Reason::new("a").unwrap()),
        ..revocation(kind, jwt("100%/ü"), Some("profile-17"), 4_300_000)
    };
    let payload = CredentialRef::Payload {
        issuer: Issuer::new("https://idp.example").unwrap(),
        digest: Digest::of_payload(b"{\"sub\":\"profile-17\"}"),
    };
    let foreign = CredentialRevoked {
        note: Some(sealed()),
        retain_until: at(MAX_INTEGER),
        ..revocation(kind, payload, Some("profile-17"), 0)
    };
    let unseen = revocation(kind, CredentialRef::Id(secret("zoë").id()), None, 366 * DAY);
    let unseen_jwt = revocation(kind, jwt("j"), None, 366 * DAY);
    let bearer = Actor::Bearer { issuer: ISSUER.into(), jti: "100%/ü".into() };
    vec![
        by_default(record(26, 500_005, Event::Revoked(opaque))),
        Recorded { actor: Some(bearer), ..by_default(record(27, 500_006, Event::Revoked(ours))) },
        by_default(record(28, 500_007, Event::Revoked(foreign))),
        Recorded { actor: by_root(), ..record(29, 500_008, Event::Revoked(unseen)) },
        by_acme(record(30, 500_009, Event::Revoked(unseen_jwt))),
    ]
}

pub(super) fn published() -> Vec<Recorded> {
    let jwk =
        "{\"crv\":\"Ed25519\",\"kid\":\"k-1\",\"kty\":\"OKP\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    let key = KeyPublished { id: key(), issuer: issuer(), jwk: jwk.into() };
    vec![record(31, 600_000, Event::KeyPublished(key))]
}

pub(super) fn retired() -> Vec<Recorded> {
    vec![Recorded { actor: by_root(), ..record(32, 600_001, Event::KeyRetired(key())) }]
}
