use std::fmt::{self, Write as _};
use std::str::FromStr;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::ids::{ApplicationId, Malformed, Origin, Subject};

/// The cause of an event. An event without a request behind it (a ledger opened, tickets renewed) has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A calling program: `application:ID`.
    Application(ApplicationId),
    /// The person concerned: `subject:ID`.
    Subject(Subject),
    /// The bearer of that JWT: `bearer:ISS/JTI`.
    Bearer {
        /// The token's issuer.
        issuer: Box<str>,
        /// The token's id.
        jti: Box<str>,
    },
    /// The holder of a node's root secret: `root@ORIGIN`.
    Root(Origin),
}

/// Percent-encodes `%`, `/` and control characters, so that every actor reads back in one way only.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character == '%' || character == '/' || character.is_control() {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    write!(f, "%{byte:02X}")?;
                }
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let plain = String::from_utf8(bytes).ok()?;
    // Only the spelling that we write: an actor must not have two.
    (Escaped(&plain).to_string() == text).then_some(plain)
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application(id) => write!(f, "application:{id}"),
            Self::Subject(subject) => write!(f, "subject:{}", Escaped(subject.as_str())),
            Self::Bearer { issuer, jti } => write!(f, "bearer:{}/{}", Escaped(issuer), Escaped(jti)),
            Self::Root(origin) => write!(f, "root@{origin}"),
        }
    }
}

impl FromStr for Actor {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("application:ID, subject:ID, bearer:ISS/JTI or root@ORIGIN");
        if let Some(id) = text.strip_prefix("application:") {
            let uuid = Uuid::try_parse(id).map_err(|_| FORM)?;
            let mut spelled = [0; Hyphenated::LENGTH];
            let is_ours = uuid.hyphenated().encode_lower(&mut spelled) == id;
            return is_ours.then_some(Self::Application(ApplicationId(uuid))).ok_or(FORM);
        }
        if let Some(subject) = text.strip_prefix("subject:") {
            return Ok(Self::Subject(Subject::new(&unescape(subject).ok_or(FORM)?).map_err(|_| FORM)?));
        }
        if let Some((issuer, jti)) = text.strip_prefix("bearer:").and_then(|bearer| bearer.split_once('/')) {
            let issuer = unescape(issuer).ok_or(FORM)?.into();
            return Ok(Self::Bearer { issuer, jti: unescape(jti).ok_or(FORM)?.into() });
        }
        text.strip_prefix("root@").ok_or(FORM)?.parse().map(Self::Root).map_err(|_| FORM)
    }
}
