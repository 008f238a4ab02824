//! What several calls show of the keys that sign tokens.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::http::wire::Shown;
use crate::service::PublishedKey;

/// A key whose tokens may be good still.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyShown<'a> {
    /// Its name in tokens and in the published set: its thumbprint, RFC 7638.
    kid: &'a str,
    /// What it signs with.
    alg: &'a str,
    /// Who its tokens say made them.
    issuer: &'a str,
    /// When it was published.
    #[schema(value_type = String, format = DateTime)]
    published_at: Shown<Timestamp>,
    /// Whether it signs still: each node signs with the latest key of its own.
    signs: bool,
    /// Of one that signs no more: until when it is published, because a token of its may be good until then.
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
