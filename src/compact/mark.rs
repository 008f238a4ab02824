//! Marks: what stands for the name of a credential, a subject or a cohort.

use std::fmt;

use super::written::put_text;

/// The length of a mark. 88 bits: at ten million marks a wrong hit is rarer than one in 2^64.
pub const MARK_BYTES: usize = 11;
const KEY_BYTES: usize = 32;
/// The length of half a digest, in hexadecimal digits.
const HALF_CHARS: usize = 32;
/// Most names with their scope are shorter.
const USUAL_BYTES: usize = 160;

/// The first 88 bits of a keyed hash over a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub [u8; MARK_BYTES]);

/// The key of marks. A caller without it can't choose a name whose mark is that of another one.
#[derive(Clone, PartialEq, Eq)]
pub struct MarkKey([u8; KEY_BYTES]);

impl fmt::Debug for MarkKey {
    /// Only that it is a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkKey")
    }
}

/// A name of a credential. The kind is a text, because a later release may have more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialName<'a> {
    /// The first half of the digest of its secret.
    Secret { kind: &'a str, half: &'a str },
    /// Its id, where the id does not follow from the digest, or the digest was not recorded.
    Id { kind: &'a str, id: &'a str },
    /// A JWT with `jti`.
    Jwt { iss: &'a str, jti: &'a str },
    /// A JWT without `jti`, by the digest of its payload.
    Payload { iss: &'a str, payload: &'a str },
}

/// A part of the target of a revocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due<'a> {
    /// Anybody's.
    #[default]
    Anybody,
    /// Only credentials of that tenant or subject.
    Named(&'a str),
    /// The same, for a reader that does not know the credential's.
    Unknown,
}

/// The target of a revocation: the credentials that it may revoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whose<'a> {
    pub tenant: Due<'a>,
    pub subject: Due<'a>,
}

impl Whose<'_> {
    /// Anybody's.
    pub const ANYBODY: Self = Self { tenant: Due::Anybody, subject: Due::Anybody };
    /// Every revocation with a target has this one too, so that a reader asks for the others only where this one is found.
    pub const SOMEBODY: Self = Self { tenant: Due::Unknown, subject: Due::Unknown };
}

/// What is revoked as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeName<'a> {
    Subject {
        tenant: &'a str,
        subject: &'a str,
    },
    /// A cohort by the member that names it in an item.
    Cohort {
        what: &'a str,
        name: &'a str,
    },
}

impl MarkKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a follower that may have them.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The mark of a credential's name, for a revocation with that target.
    pub fn credential(&self, name: CredentialName<'_>, whose: Whose<'_>) -> Mark {
        let mut message = Vec::with_capacity(USUAL_BYTES);
        let (form, first, second) = match name {
            CredentialName::Secret { kind, half } => (1, kind, half),
            CredentialName::Id { kind, id } => (2, kind, id),
            CredentialName::Jwt { iss, jti } => (3, iss, jti),
            CredentialName::Payload { iss, payload } => (4, iss, payload),
        };
        put_name(form, first, second, &mut message);
        for due in [whose.tenant, whose.subject] {
            match due {
                Due::Anybody => message.push(0),
                Due::Named(name) => {
                    message.push(1);
                    put_text(name, &mut message);
                }
                Due::Unknown => message.push(2),
            }
        }
        self.mark(&message)
    }

    /// The mark of a subject or cohort. For a kind that has no bit of its own, the kind is part of the name.
    pub fn whole(&self, name: WholeName<'_>, other_kind: Option<&str>) -> Mark {
        let mut message = Vec::with_capacity(USUAL_BYTES);
        let (form, first, second) = match name {
            WholeName::Subject { tenant, subject } => (5, tenant, subject),
            WholeName::Cohort { what, name } => (6, what, name),
        };
        put_name(form, first, second, &mut message);
        if let Some(kind) = other_kind {
            put_text(kind, &mut message);
        }
        self.mark(&message)
    }

    fn mark(&self, message: &[u8]) -> Mark {
        let hash = blake3::keyed_hash(&self.0, message);
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&hash.as_bytes()[..MARK_BYTES]);
        Mark(mark)
    }
}

fn put_name(form: u8, first: &str, second: &str, message: &mut Vec<u8>) {
    message.push(form);
    put_text(first, message);
    put_text(second, message);
}

/// The names under which the revocation of a credential is kept: one for a ticket or a token, up to two for a session.
pub fn revoked_names<'a>(
    kind: &'a str,
    digest: Option<&'a str>,
    id: Option<&'a str>,
    jwt: Option<(&'a str, Option<&'a str>, Option<&'a str>)>,
) -> impl Iterator<Item = CredentialName<'a>> {
    if let Some((iss, jti, payload)) = jwt {
        return [jwt_name(iss, jti, payload), None].into_iter().flatten();
    }
    let half = digest.map(half_of);
    let secret = half.map(|half| CredentialName::Secret { kind, half });
    // The id of a ticket or an opaque token follows from its digest.
    let id = id.filter(|id| Some(*id) != half).map(|id| CredentialName::Id { kind, id });
    [secret, id].into_iter().flatten()
}

/// The names under which a presented credential may be revoked.
#[derive(Clone, Copy, Debug, Default)]
pub struct PresentedNames<'a> {
    pub kind: &'a str,
    pub digest: Option<&'a str>,
    pub id: Option<&'a str>,
    /// Issuer, `jti` and payload of a JWT.
    pub jwt: Option<(&'a str, Option<&'a str>, Option<&'a str>)>,
    /// Its id counts under every kind: a node that did not know it may have taken it for another one.
    pub any_kind: bool,
}

/// The kinds that a digest or an ancestor's id may have been recorded under.
const KINDS: [&str; 3] = ["ticket", "session", "token"];

/// Calls back with each name under which the credential may be revoked, until the answer is yes.
pub fn presented_names<'a>(
    presented: PresentedNames<'a>,
    mut is_revoked: impl FnMut(CredentialName<'a>) -> bool,
) -> bool {
    let PresentedNames { kind, digest, id, jwt, any_kind } = presented;
    if let Some((iss, jti, payload)) = jwt {
        return jwt_name(iss, jti, payload).is_some_and(is_revoked);
    }
    let half = digest.map(half_of);
    let id = id.filter(|id| Some(*id) != half);
    let mut by_secret = |kind| half.is_some_and(|half| is_revoked(CredentialName::Secret { kind, half }));
    // A digest names one secret, whatever it was taken for.
    if KINDS.into_iter().any(&mut by_secret) || !KINDS.contains(&kind) && by_secret(kind) {
        return true;
    }
    // An id of another length is not half of a digest.
    let mut by_id = |kind, id: &'a str| {
        is_revoked(CredentialName::Id { kind, id })
            || id.len() == HALF_CHARS && is_revoked(CredentialName::Secret { kind, half: id })
    };
    let own = id.is_some_and(|id| by_id(kind, id));
    let others = KINDS.into_iter().filter(|other| any_kind && *other != kind);
    if own || id.is_some_and(|id| others.into_iter().any(|kind| by_id(kind, id))) {
        return true;
    }
    half.is_some_and(|id| is_revoked(CredentialName::Id { kind, id }))
}

fn jwt_name<'a>(iss: &'a str, jti: Option<&'a str>, payload: Option<&'a str>) -> Option<CredentialName<'a>> {
    match (jti, payload) {
        (Some(jti), _) => Some(CredentialName::Jwt { iss, jti }),
        (None, Some(payload)) => Some(CredentialName::Payload { iss, payload }),
        (None, None) => None,
    }
}

/// The first half of a digest, which is the id of a ticket or an opaque token.
fn half_of(digest: &str) -> &str {
    digest.get(..HALF_CHARS).unwrap_or(digest)
}
