//! The parent of a credential, as it is named when the child is issued, and as it is shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::target;
use crate::domain::{Ancestor, CredentialId, CredentialKey, CredentialRef, Issuer, Kind, Timestamp};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{Shown, WireText, present};
use crate::service::{Introspection, Target};

/// The credential that a new one comes from: `credential`, or `kind` and `id`. It is an active one of the same tenant that
/// this ledger issued or imported, of any subject and kind, with six ancestors at most.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewParent)]
pub(super) struct ParentBody {
    /// Its secret, exactly as its bearer presented it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    credential: Option<String>,
    /// Its kind: `ticket`, `session` or `token`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    kind: Option<WireText<Kind>>,
    /// Its public id.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    id: Option<String>,
}

impl ParentBody {
    pub(super) fn asked(self) -> Result<Target, Problem> {
        match (self.credential, self.kind, self.id) {
            (Some(secret), None, None) => Ok(target::presented(&secret)),
            (None, Some(WireText(kind)), Some(id)) => target::named(kind, &id),
            _ => Err(Problem::with_detail(
                Code::InvalidBody,
                "`parent`: must have either `credential`, or `kind` and `id`",
            )),
        }
    }
}

/// The credential that another one came from. What revokes it revokes its child.
#[derive(Serialize, ToSchema)]
#[schema(as = Parent)]
pub(super) struct ParentShown {
    /// `ticket`, `session` or `token`.
    kind: &'static str,
    /// Its public id: 32 hexadecimal digits, a session's UUID, or a JWT's `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    id: Option<String>,
    /// The issuer, if it is a JWT.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    issuer: Option<String>,
    /// The subject that it was issued to. Absent if this node has not heard of its issue yet: then its own parent is not known either.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    subject: Option<String>,
    /// When it was issued, as far as that counts: no earlier than its own parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    issued_at: Option<Shown<Timestamp>>,
    /// The application that issued it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid")]
    application: Option<String>,
    /// The key that signed it, if it is a JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    kid: Option<String>,
    /// The credential that this one came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    parent: Option<Box<ParentShown>>,
}

impl ParentShown {
    /// The parent of a credential, with the ancestors above it.
    pub(super) fn of(found: &Introspection) -> Option<Box<Self>> {
        let unheard_of = found.unheard_of.map(|key| Box::new(Self::named(key)));
        found.ancestors.iter().rev().fold(unheard_of, |above, ancestor| Some(Box::new(Self::above(ancestor, above))))
    }

    /// One of which only the key is known.
    pub(super) fn named(CredentialKey { kind, id }: CredentialKey) -> Self {
        Self {
            kind: kind.as_str(),
            id: public_id(kind, id),
            issuer: None,
            subject: None,
            issued_at: None,
            application: None,
            kid: None,
            parent: None,
        }
    }

    fn above(ancestor: &Ancestor, parent: Option<Box<Self>>) -> Self {
        Self {
            kind: ancestor.kind.as_str(),
            id: ancestor.name.public_id(ancestor.kind),
            issuer: ancestor.name.issuer().map(Issuer::to_string),
            subject: Some(ancestor.subject.to_string()),
            issued_at: ancestor.issued_at.map(Shown),
            application: ancestor.application.map(|id| id.to_string()),
            kid: ancestor.signed_with.as_ref().map(|kid| kid.as_str().to_owned()),
            parent,
        }
    }
}

fn public_id(kind: Kind, id: CredentialId) -> Option<String> {
    CredentialRef::Id(id).public_id(kind)
}
