//! The members that several calls show of the keys that sign tokens.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::http::wire::Shown;
use crate::service::PublishedKey;

/// A key that may have signed tokens that are still active.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyShown<'a> {
    /// Its name in tokens and in the published set: its thumbprint, RFC 7638.
    kid: &'a str,
    /// The algorithm that it signs with.
    alg: &'a str,
    /// The issuer that its tokens name.
    issuer: &'a str,
    /// When it was published.
    #[schema(value_type = String, format = DateTime)]
    published_at: Shown<Timestamp>,
    /// Whether it still signs: each node signs with its own latest key.
    signs: bool,
    /// Of a key that no longer signs: until when it is published, because a token that it signed may be active until
    /// then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    verifies_until: Option<Shown<Timestamp>>,
}

impl<'a> From<&'a PublishedKey> for KeyShown<'a> {
    fn from(key: &'a PublishedKey) -> Self {
        Self {
            kid: key.id.as_str(),
            alg: &key.algorithm,
            issuer: key.issuer.as_str(),
            published_at: Shown(key.published_at),
            signs: key.verifies_until.is_none(),
            verifies_until: key.verifies_until.map(Shown),
        }
    }
}
