//! What is known of an active credential: enough to compare it with what is revoked, to apply a rule to it, and to answer
//! an introspection.
//!
//! It is kept as bytes, because millions are kept.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::check::Standing;
use crate::domain::{
    Aal, ApplicationId, CredentialId, CredentialKey, Digest, GivenSubject, Kind, Malformed, Method, MethodName,
    Subject, Tenant, Timestamp,
};
use crate::follower::{Ancestor, HighestGeneration, PresentedCredential};
use crate::jose::Binding;
use crate::service::{Introspection, IssueFacts, SessionFacts, TokenFacts, on_record};

/// An active credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) kind: KnownKind,
    pub(super) id: Option<Name>,
    pub(super) tenant: String,
    pub(super) subject: String,
    /// Milliseconds since 1970, as are all instants here.
    pub(super) issued_at: Option<u64>,
    pub(super) expires_at: Option<u64>,
    /// Of a ticket: the milliseconds that it lives without a use, and when it was last used.
    pub(super) life: Option<TicketLife>,
    /// The application that issued it.
    pub(super) application: Option<Name>,
    /// The client that a token of another issuer was issued to.
    pub(super) client: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) audience: Vec<String>,
    pub(super) aal: Option<String>,
    pub(super) authentication: Option<Authentication>,
    /// The claim `cnf`, as JSON, if it is not a bearer token.
    pub(super) cnf: Option<String>,
    /// What a JWT says of itself beyond that.
    pub(super) jwt: Option<KnownJwt>,
    /// The parent first.
    pub(super) ancestors: Vec<KnownAncestor>,
    /// Its own generation, or that at which it was asked about: the numbers of origins, and sequences.
    pub(super) generation: Vec<(u16, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KnownKind {
    Ticket,
    Session,
    Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TicketLife {
    pub(super) ttl_millis: u64,
    pub(super) used_at: u64,
}

/// How the subject of a session was authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Authentication {
    pub(super) at: u64,
    pub(super) methods: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownJwt {
    pub(super) issuer: String,
    /// Of a JWT without `jti`: the digest of its payload.
    pub(super) payload: Option<[u8; 32]>,
    pub(super) kid: Option<Name>,
    /// Another issuer made it.
    pub(super) is_foreign: bool,
    /// `iat`, in whole seconds since 1970.
    pub(super) issued_at_seconds: Option<u64>,
    pub(super) leeway_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownAncestor {
    pub(super) kind: KnownKind,
    pub(super) name: Name,
    /// Of a JWT, whose name is its `jti`.
    pub(super) issuer: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) application: Option<Name>,
    pub(super) kid: Option<Name>,
    pub(super) issued_at: Option<u64>,
}

/// A name. Most are UUIDs or the halves of digests, which are kept in 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Name {
    Uuid([u8; 16]),
    Half([u8; 16]),
    Text(String),
}

impl Name {
    pub(super) fn new(text: &str) -> Self {
        let parsed = Uuid::try_parse(text).ok();
        match parsed {
            Some(uuid) if uuid.hyphenated().to_string() == text => Self::Uuid(uuid.into_bytes()),
            Some(uuid) if uuid.simple().to_string() == text => Self::Half(uuid.into_bytes()),
            _ => Self::Text(text.to_owned()),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Uuid(bytes) => Uuid::from_bytes(*bytes).hyphenated().to_string(),
            Self::Half(bytes) => Uuid::from_bytes(*bytes).simple().to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl From<Kind> for KnownKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ticket => Self::Ticket,
            Kind::Session => Self::Session,
            Kind::Token => Self::Token,
        }
    }
}

impl From<KnownKind> for Kind {
    fn from(kind: KnownKind) -> Self {
        match kind {
            KnownKind::Ticket => Self::Ticket,
            KnownKind::Session => Self::Session,
            KnownKind::Token => Self::Token,
        }
    }
}

impl Known {
    /// The bytes in which it is kept.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(self).ok()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    /// The session that it came from, or its own id if it is one.
    pub(super) fn session(&self) -> Option<String> {
        match self.kind {
            KnownKind::Session => self.id.as_ref().map(Name::text),
            KnownKind::Token => {
                let parent = self.ancestors.first().filter(|parent| parent.kind == KnownKind::Session);
                parent.map(|parent| parent.name.text())
            }
            KnownKind::Ticket => None,
        }
    }

    /// When it expires, if it does.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at.and_then(Timestamp::from_millis)
    }

    /// The application, or the client that a token of another issuer names.
    pub(super) fn client(&self) -> Option<String> {
        self.application.as_ref().map(Name::text).or_else(|| self.client.clone())
    }

    pub(super) fn tenant(&self) -> Result<Tenant, Malformed> {
        Tenant::new(&self.tenant)
    }

    pub(super) fn subject(&self) -> Result<Subject, Malformed> {
        GivenSubject::new(&self.subject).map(|given| on_record(&given))
    }

    /// The same in the service's words, with what its issue says; nothing if that is malformed. A JWT is not among them: it
    /// is read again for an introspection.
    pub(super) fn introspection(&self) -> Option<(Introspection, IssueFacts)> {
        let kind = Kind::from(self.kind);
        let at = |millis: Option<u64>| millis.and_then(Timestamp::from_millis);
        let session = self.session().filter(|_| kind == Kind::Token);
        let parent = match session {
            Some(id) => Some(CredentialKey { kind: Kind::Session, id: CredentialId::parse(Kind::Session, &id).ok()? }),
            None => None,
        };
        let found = Introspection {
            kind,
            id: self.id.as_ref().map(Name::text),
            issuer: self.jwt.as_ref().map(|jwt| jwt.issuer.clone()),
            tenant: self.tenant().ok()?,
            subject: self.subject().ok()?,
            issued_at: at(self.issued_at),
            expires_at: at(self.expires_at),
            not_after: None,
            last_used_at: None,
            application: self
                .application
                .as_ref()
                .and_then(|id| uuid::Uuid::try_parse(&id.text()).ok().map(ApplicationId)),
            parent,
            ancestors: Vec::new(),
            unheard_of: None,
            binding: self.binding()?.map(Box::new),
            place: None,
            jwt: None,
        };
        Some((found, self.facts()?))
    }

    /// It as a rule of a check asks about it, and as a backend sees it; nothing if it is bound, or malformed. `ours` is the
    /// ledger's name as an issuer.
    pub(super) fn standing(&self, ours: Option<&str>) -> Option<Standing> {
        if self.cnf.is_some() {
            return None;
        }
        let is_token = self.kind == KnownKind::Token;
        let issuer = self.jwt.as_ref().map(|jwt| jwt.issuer.as_str()).or(ours);
        Some(Standing {
            kind: self.kind.into(),
            id: self.id.as_ref().map(Name::text),
            issuer: issuer.map(str::to_owned),
            tenant: self.tenant().ok()?,
            subject: self.subject().ok()?,
            session: self.session(),
            client: self.client().filter(|_| is_token),
            scope: self.scope.clone(),
            audience: self.audience.clone(),
            aal: self.aal.clone(),
            expires_at: self.expires_at(),
        })
    }

    /// It as the rules of followers ask about it, with that digest of its secret and that generation.
    pub(super) fn presented(&self, digest: &Digest, generation: HighestGeneration) -> PresentedCredential {
        let id = self.id.as_ref().map(Name::text);
        let seconds = |millis: u64| millis as f64 / 1_000.0;
        let own = PresentedCredential {
            kind: Kind::from(self.kind).as_str().to_owned(),
            tenant: Some(self.tenant.clone()),
            subject: Some(self.subject.clone()),
            client_id: self.application.as_ref().map(Name::text),
            generation,
            parent: self.parent(),
            ..PresentedCredential::default()
        };
        match &self.jwt {
            None => {
                PresentedCredential { digest: Some(digest.to_string()), id, iat: self.issued_at.map(seconds), ..own }
            }
            Some(jwt) => PresentedCredential {
                iss: Some(jwt.issuer.clone()),
                jti: id,
                payload: jwt.payload.map(|digest| Digest::from_bytes(digest).to_string()),
                kid: jwt.kid.as_ref().map(Name::text),
                foreign: jwt.is_foreign,
                iat: jwt.issued_at_seconds.map(|seconds| seconds as f64),
                leeway: jwt.leeway_seconds,
                ..own
            },
        }
    }

    fn parent(&self) -> Option<Box<Ancestor>> {
        let above = |above, ancestor: &KnownAncestor| {
            let (id, jti) = match ancestor.issuer {
                None => (Some(ancestor.name.text()), None),
                Some(_) => (None, Some(ancestor.name.text())),
            };
            Some(Box::new(Ancestor {
                kind: Kind::from(ancestor.kind).as_str().to_owned(),
                id,
                jti,
                iss: ancestor.issuer.clone(),
                sub: ancestor.subject.clone(),
                client_id: ancestor.application.as_ref().map(Name::text),
                kid: ancestor.kid.as_ref().map(Name::text),
                iat: ancestor.issued_at.map(|millis| millis as f64 / 1_000.0),
                parent: above,
            }))
        };
        self.ancestors.iter().rev().fold(None, above)
    }

    fn binding(&self) -> Option<Option<Binding>> {
        let Some(cnf) = &self.cnf else { return Some(None) };
        let cnf: Value = serde_json::from_str(cnf).ok()?;
        Binding::of_claims(&Map::from_iter([("cnf".to_owned(), cnf)])).ok()
    }

    fn facts(&self) -> Option<IssueFacts> {
        match self.kind {
            KnownKind::Ticket => Some(IssueFacts::Nothing),
            KnownKind::Session => {
                let authentication = self.authentication.as_ref()?;
                let method =
                    |name: &String| Some(Method { method: MethodName::new(name).ok()?, aal: None, completed_at: None });
                Some(IssueFacts::Session(SessionFacts {
                    authenticated_at: Timestamp::from_millis(authentication.at),
                    aal: self.aal.as_deref()?.parse::<Aal>().ok()?,
                    methods: authentication.methods.iter().map(method).collect::<Option<_>>()?,
                }))
            }
            KnownKind::Token => Some(IssueFacts::Token(
                TokenFacts {
                    audience: self.audience.iter().map(|one| one.as_str().into()).collect(),
                    scope: self.scope.as_deref().map(Into::into),
                    grant: None,
                }
                .into(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_comes_back_as_it_was() {
        for (text, short) in [
            ("5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d1", true),
            ("767144e68e8aac2056101e6880efbb8f", true),
            ("767144E68E8AAC2056101E6880EFBB8F", false),
            ("{5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d1}", false),
            ("alice", false),
            ("", false),
        ] {
            let name = Name::new(text);
            assert_eq!(name.text(), text);
            assert_eq!(!matches!(name, Name::Text(_)), short, "{text}");
        }
    }

    #[test]
    fn an_answer_about_a_token_of_a_session_takes_less_than_170_bytes() {
        let session = KnownAncestor {
            kind: KnownKind::Session,
            name: Name::new("5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d1"),
            issuer: None,
            subject: None,
            application: Some(Name::new("5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d2")),
            kid: None,
            issued_at: Some(1_795_271_302_000),
        };
        let known = Known {
            kind: KnownKind::Token,
            id: Some(Name::new("767144e68e8aac2056101e6880efbb8f")),
            tenant: "default".to_owned(),
            subject: "5925a68def86951f895cf497".to_owned(),
            issued_at: Some(1_795_271_302_000),
            expires_at: Some(1_795_274_902_000),
            life: None,
            application: Some(Name::new("5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d2")),
            client: None,
            scope: Some("read write".to_owned()),
            audience: vec!["reports".to_owned()],
            aal: None,
            authentication: None,
            cnf: None,
            jwt: None,
            ancestors: vec![session],
            generation: vec![(0, 1_000_000), (1, 500)],
        };
        let bytes = known.encode().expect("encodable");
        assert!(bytes.len() < 170, "{}", bytes.len());
        assert_eq!(Known::decode(&bytes), Some(known));
    }
}
