//! The token that a publication has on record: the record names everything in it but the array, which follows from the log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{StatusArray, StatusListToken, deflate, with_signature};
use crate::domain::{Issuer, StatusListId, StatusListPublished};

/// Where the addresses of an issuer's lists are.
pub fn aggregation_uri(issuer: &Issuer) -> String {
    format!("{}/status-lists", issuer.as_str())
}

/// The address of a list: the member `uri` of its tokens, and `sub` of the list.
pub fn list_uri(issuer: &Issuer, list: StatusListId) -> String {
    format!("{}/status-lists/{list}", issuer.as_str())
}

/// The text that is signed, or nothing if this release does not have the encoder.
pub fn signing_input(published: &StatusListPublished, issuer: &Issuer, array: &StatusArray) -> Option<String> {
    let token = StatusListToken {
        algorithm: &published.algorithm,
        kid: published.kid.as_str(),
        uri: &list_uri(issuer, published.list),
        issuer: issuer.as_str(),
        aggregation_uri: &aggregation_uri(issuer),
        iat: published.iat,
        exp: published.exp,
        ttl: published.ttl,
        width: array.width(),
        compressed: &deflate(&published.deflate, array.bytes())?,
    };
    Some(token.signing_input())
}

/// The token as it was published, byte for byte; nothing if this release does not have the encoder.
pub fn token(published: &StatusListPublished, issuer: &Issuer, array: &StatusArray) -> Option<String> {
    let signature = URL_SAFE_NO_PAD.decode(&*published.signature).ok()?;
    Some(with_signature(signing_input(published, issuer, array)?, &signature))
}
