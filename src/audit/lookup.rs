//! The subject or credential of a question, and the ways in which a credential can be named.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::domain::{CredentialId, CredentialRef, Digest, Issuer, Kind, Malformed, Secret, Subject, Tenant, TokenId};
use crate::index::{About, Sought};

/// The subject or credential of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A subject of that tenant.
    Subject(Tenant, Subject),
    Credential(LookupCredential),
}

/// A credential that a question names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupCredential {
    /// Its kind, if it is known: ids of two kinds may be the same 16 bytes.
    pub kind: Option<Kind>,
    /// Its possible names; several if a text can be read in several ways.
    pub names: Vec<CredentialRef>,
}

/// The longest JWT that is parsed, in bytes.
const MAX_JWT_BYTES: usize = 16 * 1024;

impl LookupCredential {
    /// The credential that is presented: a JWT by its issuer and `jti`, or by its payload if it has no `jti`, and every
    /// other credential by its digest.
    ///
    /// No signature is checked: the question is what the log has under that name, regardless of its origin. A text that
    /// is not a JWT with a name is some other secret.
    pub fn presented(secret: &Secret) -> Self {
        match jwt(secret.expose()) {
            Some(name) => Self { kind: Some(Kind::Token), names: vec![name] },
            None => Self { kind: None, names: vec![CredentialRef::Digest(secret.digest())] },
        }
    }

    /// The credential whose secret has that digest.
    pub fn digest(digest: Digest) -> Self {
        Self { kind: None, names: vec![CredentialRef::Digest(digest)] }
    }

    /// The JWT without `jti` whose payload has that digest.
    pub fn payload(issuer: Issuer, digest: Digest) -> Self {
        Self { kind: Some(Kind::Token), names: vec![CredentialRef::Payload { issuer, digest }] }
    }

    /// The credential with that public id: a session's UUID, 32 hexadecimal digits, or with an issuer a JWT's `jti`.
    pub fn named(kind: Kind, id: &str, issuer: Option<&str>) -> Result<Self, Malformed> {
        let name = match (kind, issuer) {
            (Kind::Token, Some(issuer)) => CredentialRef::Jwt { issuer: Issuer::new(issuer)?, jti: TokenId::new(id)? },
            (Kind::Ticket | Kind::Session, Some(_)) => {
                return Err(Malformed("without an issuer, which only a JWT has"));
            }
            (kind, None) => CredentialRef::Id(CredentialId::parse(kind, id)?),
        };
        Ok(Self { kind: Some(kind), names: vec![name] })
    }

    /// A text that is the credential itself, its digest or its public id. It is taken for each whose form it has,
    /// because a secret may have the form of an id: a ticket has the form of a session's.
    pub fn any(text: &str) -> Self {
        let Self { kind, mut names } = Self::presented(&Secret::new(text));
        names.extend(text.parse().ok().map(CredentialRef::Digest));
        let id = [Kind::Ticket, Kind::Session].into_iter().find_map(|kind| CredentialId::parse(kind, text).ok());
        names.extend(id.map(CredentialRef::Id));
        Self { kind, names }
    }

    /// Whether the question may be about a credential of that kind.
    pub(super) fn of(&self, kind: Kind) -> bool {
        self.kind.is_none_or(|asked| asked == kind)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = CredentialId> {
        self.names.iter().map(CredentialRef::id)
    }
}

impl Lookup {
    /// The index keys of records that name it.
    pub(super) fn sought(&self) -> Vec<Sought> {
        match self {
            // A revocation that was recorded for an unseen credential may name a subject and no tenant: it holds in
            // every tenant.
            Self::Subject(tenant, subject) => {
                [Some(tenant.clone()), None].map(|tenant| About::Subject(tenant, subject.clone()).into()).into()
            }
            Self::Credential(credential) => {
                credential.names.iter().map(|name| Sought::credential(name.id(), name.jti().cloned())).collect()
            }
        }
    }
}

/// The name of a JWT, of which only the payload is read.
fn jwt(text: &str) -> Option<CredentialRef> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
        jti: Option<String>,
    }
    if text.len() > MAX_JWT_BYTES || !text.starts_with("ey") {
        return None;
    }
    let mut parts = text.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let issuer = Issuer::new(&claims.iss).ok()?;
    match claims.jti {
        Some(jti) => Some(CredentialRef::Jwt { issuer, jti: TokenId::new(&jti).ok()? }),
        None => Some(CredentialRef::Payload { issuer, digest: Digest::of_payload(&payload) }),
    }
}
