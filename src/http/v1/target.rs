//! One credential, as callers name it in a body: by its secret, or by its kind and public id.

use uuid::Uuid;

use crate::domain::{CredentialId, Kind, Secret, TokenId};
use crate::http::problem::{Code, Problem};
use crate::service::{Target, kind_by_form};

/// What a secret that this node does not know is taken for: the ledger's own secrets show their kind.
pub(super) fn presented(secret: &str) -> Target {
    let secret = Secret::new(secret);
    Target::Credential(kind_by_form(&secret), secret)
}

pub(super) fn named(kind: Kind, id: &str) -> Result<Target, Problem> {
    // A token is an opaque one, named by the first half of its digest, or a JWT of this ledger, named by its `jti`.
    if kind == Kind::Token
        && let Ok(jti) = Uuid::try_parse(id)
        && id.contains('-')
    {
        return TokenId::new(&jti.to_string()).map(Target::Jti).map_err(|_| Code::InvalidBody.into());
    }
    let id = CredentialId::parse(kind, id)
        .map_err(|must_be| Problem::with_detail(Code::InvalidBody, format!("`id`: must be {must_be}")))?;
    Ok(Target::Id(kind, id))
}
