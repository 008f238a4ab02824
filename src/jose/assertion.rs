//! Assertions by which a client authenticates with its key: RFC 7523, section 3. Their audience is this issuer and nothing
//! else, so that one that was made for another server, or for one call, is of no use here.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::claims::numeric_date;
use super::{ParsedToken, PublicKey, TokenError, verify_signature};
use crate::domain::{ApplicationId, Digest, Timestamp};
use crate::keys::Algorithm;

/// The longest time from now until an assertion expires, in seconds. Minutes would do, but Authlib gives an hour.
pub const MAX_ASSERTION_SECONDS: u64 = 3_600;
/// How far a client's clock may be ahead, in seconds. A used assertion is remembered for that long after it has expired.
const LEEWAY_SECONDS: u64 = 60;
/// The longest `jti`, in bytes.
const MAX_ID_BYTES: usize = 255;
/// Clients whose used assertions are remembered although all have expired.
const MAX_CLIENTS: usize = 1_024;
/// Assertions of one client that are remembered at the same time.
pub const MAX_USED_ASSERTIONS: usize = 10_000;

/// Why an assertion authenticates nobody. None holds a byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// It is not a JWT, or its signature is not one of the client's key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Its `typ` is that of something else.
    #[error("accept the assertion: its `typ` is not that of one")]
    OtherType,
    /// Its `iss` and `sub` are not the same client, or not one that has a key.
    #[error("accept the assertion: `iss` and `sub` do not name one client that has a key")]
    OtherClient,
    /// Its audience is not this issuer alone.
    #[error("accept the assertion: its audience is not this issuer alone")]
    OtherAudience,
    /// It has expired, is not valid yet, or lasts too long.
    #[error("accept the assertion: it is not valid now, or for longer than {MAX_ASSERTION_SECONDS} seconds")]
    NotNow,
    /// It has no `jti` of 1 to 255 bytes.
    #[error("accept the assertion: it has no `jti` of 1 to 255 bytes")]
    MissingId,
    /// It was used before.
    #[error("accept the assertion: it was used before")]
    UsedBefore,
    /// The client has used too many that have not expired.
    #[error("accept the assertion: its client has used {MAX_USED_ASSERTIONS} that have not expired")]
    TooMany,
}

/// An assertion whose signature has not been verified.
pub struct ClientAssertion<'a> {
    parsed: ParsedToken<'a>,
    client: String,
    jti: String,
    expires_at: Timestamp,
}

impl<'a> ClientAssertion<'a> {
    /// What the text says, if it may be an assertion for that issuer now.
    pub fn read(text: &'a str, issuer: &str, now: Timestamp) -> Result<Self, AssertionError> {
        let (parsed, header) = ParsedToken::with_header(text)?;
        if !is_of_type(&header) {
            return Err(AssertionError::OtherType);
        }
        let claim = |name: &str| parsed.claims.get(name).and_then(Value::as_str);
        let client =
            claim("iss").filter(|iss| claim("sub") == Some(iss)).ok_or(AssertionError::OtherClient)?.to_owned();
        if !is_for(&parsed.claims, issuer) {
            return Err(AssertionError::OtherAudience);
        }
        let jti = claim("jti").filter(|jti| (1..=MAX_ID_BYTES).contains(&jti.len()));
        let jti = jti.ok_or(AssertionError::MissingId)?.to_owned();
        let expires_at = expires_at(&parsed.claims, now).ok_or(AssertionError::NotNow)?;
        Ok(Self { parsed, client, jti, expires_at })
    }

    /// The client that it says it is of.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// The key that it names.
    pub fn kid(&self) -> Option<&str> {
        self.parsed.kid.as_deref()
    }

    /// The algorithm that it claims.
    pub const fn algorithm(&self) -> Algorithm {
        self.parsed.algorithm
    }

    /// Refuses it unless that key has signed it.
    pub fn verify(&self, key: &PublicKey) -> Result<(), AssertionError> {
        Ok(verify_signature(&self.parsed, key)?)
    }
}

fn is_of_type(header: &Map<String, Value>) -> bool {
    match header.get("typ") {
        None => true,
        Some(Value::String(typ)) => {
            ["jwt", "client-authentication+jwt"].iter().any(|one| typ.eq_ignore_ascii_case(one))
        }
        Some(_) => false,
    }
}

fn is_for(claims: &Map<String, Value>, issuer: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == issuer,
        Some(Value::Array(several)) => matches!(&**several, [Value::String(one)] if one == issuer),
        _ => false,
    }
}

/// When it expires, if it is valid now.
fn expires_at(claims: &Map<String, Value>, now: Timestamp) -> Option<Timestamp> {
    let at = |seconds: u64| Timestamp::default().plus_millis(seconds * 1_000);
    let expires_at = at(claims.get("exp").and_then(numeric_date)?);
    let begins = ["nbf", "iat"].into_iter().filter_map(|name| claims.get(name));
    for begin in begins {
        if at(numeric_date(begin)?) > now.plus_millis(LEEWAY_SECONDS * 1_000) {
            return None;
        }
    }
    let latest = now.plus_millis(MAX_ASSERTION_SECONDS * 1_000);
    (now < expires_at && expires_at <= latest).then_some(expires_at)
}

/// The assertions that this process has accepted and that have not expired: each counts once.
#[derive(Default)]
pub struct UsedAssertions(Mutex<HashMap<ApplicationId, HashMap<[u8; 16], Timestamp>>>);

impl UsedAssertions {
    /// Notes the use of an assertion whose signature is valid, which must be its first.
    pub fn take(
        &self,
        client: ApplicationId,
        assertion: &ClientAssertion<'_>,
        now: Timestamp,
    ) -> Result<(), AssertionError> {
        let mut all = self.0.lock();
        if all.len() >= MAX_CLIENTS && !all.contains_key(&client) {
            all.retain(|_, used| used.values().any(|until| now < *until));
        }
        let used = all.entry(client).or_default();
        let mark = *Digest::of(assertion.jti.as_bytes()).id().as_bytes();
        if used.get(&mark).is_some_and(|until| now < *until) {
            return Err(AssertionError::UsedBefore);
        }
        if used.len() >= MAX_USED_ASSERTIONS {
            used.retain(|_, until| now < *until);
        }
        // One that is forgotten early could be used again.
        if used.len() >= MAX_USED_ASSERTIONS {
            return Err(AssertionError::TooMany);
        }
        used.insert(mark, assertion.expires_at.plus_millis(LEEWAY_SECONDS * 1_000));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000).expect("an instant");
    const CLIENT: ApplicationId = ApplicationId(uuid::Uuid::from_u128(7));

    /// Nobody's signature is looked at.
    fn assertion(jti: String, seconds: u64) -> ClientAssertion<'static> {
        let parsed = ParsedToken::new("eyJhbGciOiJFUzI1NiJ9.e30.c2ln").expect("a JWT");
        ClientAssertion { parsed, client: String::new(), jti, expires_at: NOW.plus_millis(seconds * 1_000) }
    }

    #[test]
    fn used_assertions_are_remembered_until_they_can_not_be_valid_and_no_more_than_there_is_room_for() {
        let used = UsedAssertions::default();
        for n in 0..MAX_USED_ASSERTIONS {
            assert_eq!(used.take(CLIENT, &assertion(n.to_string(), 60), NOW), Ok(()));
        }
        let more = assertion("more".to_owned(), 60);
        assert_eq!(used.take(CLIENT, &more, NOW), Err(AssertionError::TooMany));
        assert_eq!(
            used.take(ApplicationId(uuid::Uuid::from_u128(8)), &more, NOW),
            Ok(()),
            "another client has its own"
        );
        let last = assertion("0".to_owned(), 60);
        for later in [0, 59_999, 119_999] {
            assert_eq!(used.take(CLIENT, &last, NOW.plus_millis(later)), Err(AssertionError::UsedBefore), "{later}");
        }
        assert_eq!(used.take(CLIENT, &more, NOW.plus_millis(120_000)), Ok(()));
        assert_eq!(used.0.lock()[&CLIENT].len(), 1, "the others are forgotten");
    }
}
