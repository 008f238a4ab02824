//! The members that several calls show of the keys that sign tokens.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::http::wire::Shown;
use crate::service::{KeyStage, PublishedKey};

/// A key that may have signed tokens that are still active, or is to sign.
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
    /// Whether it signs: each node signs with the oldest of its own keys.
    signs: bool,
    /// `signs`; `next`, if a rotation makes it sign; `waits`, if it is the first key of a node that has joined or has
    /// lost its key files, and does not sign yet; `verifies`, if it signs no more.
    state: &'static str,
    /// With `next` and `waits`: from when on it may sign. It has then been published for as long as this node's
    /// --key-publish-ahead says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    signs_from: Option<Shown<Timestamp>>,
    /// With `verifies`: until when it is published, because a token that it signed may be active until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    verifies_until: Option<Shown<Timestamp>>,
}

impl<'a> From<&'a PublishedKey> for KeyShown<'a> {
    fn from(key: &'a PublishedKey) -> Self {
        let (state, signs_from, verifies_until) = match key.stage {
            KeyStage::Signs => ("signs", None, None),
            KeyStage::Waits { from } => ("waits", Some(from), None),
            KeyStage::Next { from } => ("next", Some(from), None),
            KeyStage::Verifies { until } => ("verifies", None, Some(until)),
        };
        Self {
            kid: key.id.as_str(),
            alg: &key.algorithm,
            issuer: key.issuer.as_str(),
            published_at: Shown(key.published_at),
            signs: key.stage == KeyStage::Signs,
            state,
            signs_from: signs_from.map(Shown),
            verifies_until: verifies_until.map(Shown),
        }
    }
}
