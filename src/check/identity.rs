//! Identity headers: what the backend learns of the bearer.
//!
//! All of them are in every answer of 200, empty where there is nothing to say: a gateway passes on what its client sent
//! in the place of a header that is left out.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::standing::Standing;
use crate::domain::Malformed;

/// The bound of an answer's whole head: nginx keeps 4 KB for it, and answers 500 beyond that.
pub const MAX_ANSWER_HEAD_BYTES: usize = 3_000;
/// What else is in a head, rounded up: the status line, `Date`, `Content-Length`, `Cache-Control`, `Connection`, and what
/// a watch adds.
const OTHER_HEAD_BYTES: usize = 256;
/// `: ` and the line's end.
const BYTES_BESIDE_A_VALUE: usize = 4;

const FIELDS: usize = 11;
/// The names behind the prefix, in the order of an identity's values.
const NAMES: [&str; FIELDS] =
    ["subject", "tenant", "kind", "id", "issuer", "session", "client", "scope", "audience", "aal", "expires"];
/// What is left empty where a head would be too large, in this order: scope and audience, client, level, id, issuer.
/// Subject and tenant always fit.
const EMPTIED: [&[usize]; 5] = [&[7, 8], &[6], &[9], &[3], &[4]];

/// The names of the identity headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders([HeaderName; FIELDS]);

/// The identity of a bearer, as headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    values: [HeaderValue; FIELDS],
    /// Whether some value is empty because the head would have been too large.
    pub is_cut: bool,
}

impl IdentityHeaders {
    pub const DEFAULT_PREFIX: &str = "X-Auth-";

    /// The names that begin with that prefix.
    pub fn new(prefix: &str) -> Result<Self, Malformed> {
        const FORM: Malformed =
            Malformed("a letter, then letters, digits and `-`, the last of them a `-`: at most 32 bytes");
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let has_ends = prefix.starts_with(|first: char| first.is_ascii_alphabetic()) && prefix.ends_with('-');
        if !is_plain || !has_ends || prefix.len() > 32 {
            return Err(FORM);
        }
        let names: Result<Vec<HeaderName>, _> = NAMES.iter().map(|name| format!("{prefix}{name}").parse()).collect();
        names.ok().and_then(|names| names.try_into().ok()).map(Self).ok_or(FORM)
    }

    /// The names, in the order of an identity's values.
    pub fn names(&self) -> &[HeaderName] {
        &self.0
    }

    /// The identity of that credential's bearer.
    pub fn of(&self, standing: &Standing) -> Identity {
        let audience = standing.audience.join(" ");
        let expires = standing.expires_at.map(|at| at.as_seconds().to_string());
        let text = |text: &Option<String>| text.as_deref().map_or(EMPTY, value);
        let mut values = [
            value(standing.subject.as_str()),
            value(standing.tenant.as_str()),
            HeaderValue::from_static(standing.kind.as_str()),
            text(&standing.id),
            text(&standing.issuer),
            text(&standing.session),
            text(&standing.client),
            text(&standing.scope),
            value(&audience),
            text(&standing.aal),
            text(&expires),
        ];
        let mut is_cut = false;
        for fields in EMPTIED {
            if self.head_bytes(&values) <= MAX_ANSWER_HEAD_BYTES {
                break;
            }
            is_cut = true;
            fields.iter().for_each(|field| values[*field] = EMPTY);
        }
        Identity { values, is_cut }
    }

    fn head_bytes(&self, values: &[HeaderValue; FIELDS]) -> usize {
        let lines = self.0.iter().zip(values);
        let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + BYTES_BESIDE_A_VALUE);
        OTHER_HEAD_BYTES + lines.sum::<usize>()
    }

    /// Each header of that identity.
    pub fn lines(&self, identity: Identity) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.0.iter().cloned().zip(identity.values)
    }
}

impl Default for IdentityHeaders {
    /// Those with [`IdentityHeaders::DEFAULT_PREFIX`].
    fn default() -> Self {
        Self(
            [
                "x-auth-subject",
                "x-auth-tenant",
                "x-auth-kind",
                "x-auth-id",
                "x-auth-issuer",
                "x-auth-session",
                "x-auth-client",
                "x-auth-scope",
                "x-auth-audience",
                "x-auth-aal",
                "x-auth-expires",
            ]
            .map(HeaderName::from_static),
        )
    }
}

const EMPTY: HeaderValue = HeaderValue::from_static("");

/// A text as the value of a header: bytes that not every gateway passes on are percent-encoded, and so are `%` and a
/// space at either end, so that it decodes to the same text.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(&escaped(text)).unwrap_or(EMPTY)
}

fn escaped(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let is_plain = |at: usize, byte: u8| match byte {
        b'%' => false,
        b' ' => at != 0 && at + 1 != bytes.len(),
        byte => byte.is_ascii_graphic(),
    };
    if bytes.iter().enumerate().all(|(at, byte)| is_plain(at, *byte)) {
        return Cow::Borrowed(text);
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut escaped = String::with_capacity(bytes.len() + 16);
    for (at, byte) in bytes.iter().enumerate() {
        if is_plain(at, *byte) {
            escaped.push(char::from(*byte));
        } else {
            escaped.push('%');
            [byte >> 4, byte & 15].iter().for_each(|digit| escaped.push(char::from(HEX[usize::from(*digit)])));
        }
    }
    Cow::Owned(escaped)
}
