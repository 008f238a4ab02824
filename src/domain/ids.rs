//! Names: a newtype for each, with the form that it accepts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// What is wrong with a name: a fragment for "must be …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The longest subject or tenant, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

fn checked_name(text: &str) -> Result<Arc<str>, Malformed> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return Err(Malformed("1 to 255 bytes of UTF-8"));
    }
    // For ASCII, which is nearly every name, the bytes are enough.
    let has_control = if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    };
    if has_control {
        return Err(Malformed("free of control characters"));
    }
    Ok(text.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name, if it is 1 to 255 bytes without control characters.
            pub fn new(text: &str) -> Result<Self, Malformed> {
                checked_name(text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A name space: `default` unless said otherwise.
    Tenant
);
name!(
    /// The opaque id of a credential's subject, unique in a tenant. It stays in the log permanently, so a pseudonym is
    /// best.
    Subject
);
name!(
    /// An operator's name for a process and its directory.
    NodeName
);
name!(
    /// A label on nodes that share a site.
    Region
);

name!(
    /// The issuer of a JWT: the claim `iss` of RFC 7519, section 4.1.1.
    Issuer
);
name!(
    /// The issuer's id of a JWT: the claim `jti` of RFC 7519, section 4.1.7.
    TokenId
);
name!(
    /// The issuer's id of a key: the parameter `kid` of RFC 7515, section 4.1.4.
    KeyId
);

/// A subject as a caller names it. The ledger keeps it either as it is or as a pseudonym: only the service decides
/// that, and makes a [`Subject`] of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenSubject(Subject);

impl GivenSubject {
    /// The name, if it is 1 to 255 bytes without control characters.
    pub fn new(text: &str) -> Result<Self, Malformed> {
        Subject::new(text).map(Self)
    }

    /// The subject of exactly that name.
    pub const fn as_given(&self) -> &Subject {
        &self.0
    }
}

/// The name space of the UUIDs that stand for subjects: RFC 9562, section 5.5.
const SUBJECT_NAMESPACE: Uuid = Uuid::from_u128(0x6f5a1c1e_5f0e_5c0a_9d3b_2b6f0c9f7a11);

impl Subject {
    /// The UUID that the subject is, if it is one in lower case with hyphens.
    pub fn uuid_itself(&self) -> Option<Uuid> {
        let uuid = Uuid::try_parse(self.as_str()).ok()?;
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        (uuid.hyphenated().encode_lower(&mut text) == self.as_str()).then_some(uuid)
    }

    /// The UUID that stands for the subject where only a UUID will do: itself if it is one, else version 5 of tenant ‖
    /// 0x00 ‖ subject.
    pub fn uuid(&self, tenant: &Tenant) -> Uuid {
        self.uuid_itself().unwrap_or_else(|| {
            let name = [tenant.as_str().as_bytes(), &[0], self.as_str().as_bytes()].concat();
            Uuid::new_v5(&SUBJECT_NAMESPACE, &name)
        })
    }
}

impl Tenant {
    /// The tenant of a request that does not name one.
    pub const DEFAULT: &str = "default";
}

impl Default for Tenant {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

/// One unbroken log of one node: 13 random characters of RFC 4648 base32 in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin([u8; Self::LEN]);

impl Origin {
    /// Characters in an origin's name.
    pub const LEN: usize = 13;
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

    /// The origin that these random bytes name.
    pub fn from_random(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes.map(|byte| Self::ALPHABET[usize::from(byte & 31)]))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The name's 13 ASCII bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("13 characters of a-z and 2-7");
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().map_err(|_| FORM)?;
        if bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) { Ok(Self(bytes)) } else { Err(FORM) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! ordinal {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

ordinal!(
    /// A record's place in its origin: from 1, without gaps. 0 stands before the first.
    Sequence
);
ordinal!(
    /// A record's place in this node's log over all origins: from 1, without gaps. 0 stands before the first.
    Position
);

/// The place of a record, the same on every node that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The log that the record belongs to.
    pub origin: Origin,
    /// Its place there.
    pub sequence: Sequence,
}

/// The ledger's id, the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub Uuid);

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// An application's public name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationId(pub Uuid);

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The caller's own `X-Request-ID`: 1 to 64 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The id, if it is 1 to 64 visible ASCII characters.
    pub fn new(text: &str) -> Result<Self, Malformed> {
        if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(Malformed("1 to 64 visible ASCII characters"))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! code {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(Box<str>);

        impl $name {
            /// The code, if it has the form `[a-z0-9_.-]{1,64}`.
            pub fn new(text: &str) -> Result<Self, Malformed> {
                let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
                if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
                    Ok(Self(text.into()))
                } else {
                    Err(Malformed("1 to 64 characters of a-z, 0-9, '_', '.' and '-'"))
                }
            }

            /// The code as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

code!(
    /// Why something was revoked: a code, `[a-z0-9_.-]{1,64}`.
    Reason
);
code!(
    /// How a subject was authenticated, such as `password`: a code, `[a-z0-9_.-]{1,64}`.
    MethodName
);
