//! The members that several calls show of applications.

use serde::Serialize;
use utoipa::ToSchema;

use super::oauth_client::OauthClientShown;
use crate::domain::{ApplicationId, Grant, Grants, Registration, Scope, Timestamp};
use crate::http::wire::Shown;

/// Scopes in one tenant, or in all.
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
pub struct GrantShown<'a> {
    /// The tenant, or `*` for all of them.
    tenant: &'a str,
    /// The allowed scopes.
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
    id: Shown<ApplicationId>,
    /// Its display name.
    name: &'a str,
    /// Its scopes, tenant by tenant. The first grant whose tenant is `*` or equal decides.
    grants: Vec<GrantShown<'a>>,
    /// When its secret stops working, if ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Option<Shown<Timestamp>>,
    /// What it is as an OAuth client, if anything was said of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = OauthClientShown)]
    oauth: Option<OauthClientShown<'a>>,
}

impl<'a> From<&'a Registration> for ApplicationShown<'a> {
    fn from(registration: &'a Registration) -> Self {
        Self {
            id: Shown(registration.id),
            name: &registration.name,
            grants: grants(&registration.grants),
            expires_at: registration.expires_at.map(Shown),
            oauth: registration.oauth.as_deref().map(OauthClientShown::from),
        }
    }
}

fn grants(grants: &Grants) -> Vec<GrantShown<'_>> {
    grants.as_slice().iter().map(GrantShown::from).collect()
}
