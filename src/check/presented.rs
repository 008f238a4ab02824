//! The one credential that a request presents.
//!
//! Gateways pass doubled headers on, or join them with a comma. A request that can be read in two ways has no good
//! credential: the gateway, the backend and the check must never look at different ones.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::rule::CredentialSource;

/// The longest credential.
pub const MAX_CREDENTIAL_BYTES: usize = 16 << 10;

const SCHEME: &[u8] = b"bearer";

/// What a request presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation<'a> {
    /// This credential. It may be anything else than a good one.
    One(&'a str),
    /// None, in any place where the rule looks.
    Nothing,
    /// One that is doubled, too long, or has other characters than a credential has.
    Malformed,
}

/// The credential in the first of these places that has one. If that is malformed, no other place is looked at.
pub fn presented<'a>(sources: &[CredentialSource], headers: &'a HeaderMap) -> Presentation<'a> {
    let found = sources.iter().map(|source| match source {
        CredentialSource::Bearer => bearer(headers),
        CredentialSource::Header(name) => header(headers, name),
        CredentialSource::Cookie(name) => cookie(headers, name),
    });
    found.into_iter().find(|one| *one != Presentation::Nothing).unwrap_or(Presentation::Nothing)
}

/// RFC 6750, section 2.1. A header with another scheme has no bearer's credential.
fn bearer(headers: &HeaderMap) -> Presentation<'_> {
    let value = match once(headers, &AUTHORIZATION) {
        Ok(Some(value)) => value.as_bytes(),
        Ok(None) => return Presentation::Nothing,
        Err(Doubled) => return Presentation::Malformed,
    };
    let end = value.iter().position(|byte| !is_token(*byte)).unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Presentation::Nothing;
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    if spaces == 0 { Presentation::Malformed } else { credential(&rest[spaces..]) }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Presentation<'a> {
    match once(headers, name) {
        Ok(Some(value)) => credential(value.as_bytes()),
        Ok(None) => Presentation::Nothing,
        Err(Doubled) => Presentation::Malformed,
    }
}

/// RFC 6265, section 5.4, and RFC 9113, section 8.2.3: pairs may be spread over several headers.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Presentation<'a> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let (own, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        (own == name.as_bytes()).then(|| &value[1..])
    });
    match values.next() {
        None => Presentation::Nothing,
        Some(first) if values.all(|other| other == first) => credential(first),
        Some(_) => Presentation::Malformed,
    }
}

struct Doubled;

fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Doubled> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Doubled),
    }
}

/// The credential, if it has the form of one: RFC 6750, section 2.1, with `=` anywhere.
fn credential(bytes: &[u8]) -> Presentation<'_> {
    let is_one = !bytes.is_empty()
        && bytes.len() <= MAX_CREDENTIAL_BYTES
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_one => Presentation::One(text),
        _ => Presentation::Malformed,
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
