//! One credential that a call is about.

use crate::domain::{CredentialId, Kind, Secret, TokenId};
use crate::keys::SecretPrefix;

/// One credential, as its caller names it.
#[derive(Clone)]
pub enum Target {
    /// By its secret, and the kind that it is taken for if this node does not know it.
    Credential(Kind, Secret),
    /// By its public id.
    Id(Kind, CredentialId),
    /// By its `jti`: a JWT of this ledger.
    Jti(TokenId),
}

/// Whether a text could be a JWT: three parts with dots between them, the first of which starts like a JSON object.
pub fn looks_like_jwt(text: &str) -> bool {
    text.starts_with("ey") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// The kind that a secret which this node does not know is taken for: the ledger's own secrets show theirs.
pub fn kind_by_form(secret: &Secret) -> Kind {
    if secret.expose().starts_with(SecretPrefix::Session.as_str()) {
        Kind::Session
    } else if secret.expose().starts_with(SecretPrefix::OpaqueToken.as_str()) {
        Kind::Token
    } else {
        Kind::Ticket
    }
}
