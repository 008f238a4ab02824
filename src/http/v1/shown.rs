//! What several calls show alike.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::domain::{CredentialId, Grant, Grants, Kind, Registration, Scope, Timestamp};
use crate::http::wire::Shown;

/// Scopes in one tenant, or in all.
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
pub struct GrantShown<'a> {
    /// The tenant, or `*` for all of them.
    tenant: &'a str,
    /// What is allowed there.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<&'static str>,
}

impl<'a> From<&'a Grant> for GrantShown<'a> {
    fn from(grant: &'a Grant) -> Self {
        let tenant = grant.tenant.as_ref().map_or("*", |tenant| tenant.as_str());
        Self { tenant, scopes: grant.scopes.iter().map(Scope::as_str).collect() }
    }
}

/// An application without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Application)]
pub struct ApplicationShown<'a> {
    /// Its public name.
    #[schema(value_type = String, format = "uuid")]
    id: Shown<crate::domain::ApplicationId>,
    /// What people call it.
    name: &'a str,
    /// What it may do where; the first grant whose tenant is `*` or equal decides.
    grants: Vec<GrantShown<'a>>,
    /// When its secret stops working, if ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Option<Shown<Timestamp>>,
}

impl<'a> From<&'a Registration> for ApplicationShown<'a> {
    fn from(registration: &'a Registration) -> Self {
        Self {
            id: Shown(registration.id),
            name: &registration.name,
            grants: grants(&registration.grants),
            expires_at: registration.expires_at.map(Shown),
        }
    }
}

fn grants(grants: &Grants) -> Vec<GrantShown<'_>> {
    grants.as_slice().iter().map(GrantShown::from).collect()
}

/// A kind, as text.
pub fn kind<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

/// A credential that is good, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
pub struct CredentialShown {
    /// `ticket`, `session` or `token`.
    #[serde(serialize_with = "kind")]
    #[schema(value_type = String)]
    pub kind: Kind,
    /// Its public id.
    #[schema(value_type = String)]
    pub id: Shown<CredentialId>,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    pub issued_at: Shown<Timestamp>,
    /// When it expires if nobody uses it.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Shown<Timestamp>,
    /// The latest instant that any renewal may reach.
    #[schema(value_type = String, format = DateTime)]
    pub not_after: Shown<Timestamp>,
    /// The latest use that this process knows of.
    #[schema(value_type = String, format = DateTime)]
    pub last_used_at: Shown<Timestamp>,
}

impl From<&crate::service::Introspection> for CredentialShown {
    fn from(found: &crate::service::Introspection) -> Self {
        Self {
            kind: found.kind,
            id: Shown(found.id),
            issued_at: Shown(found.issued_at),
            expires_at: Shown(found.expires_at),
            not_after: Shown(found.not_after),
            last_used_at: Shown(found.last_used_at),
        }
    }
}
