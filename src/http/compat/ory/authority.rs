//! Applications, which make the admin calls: which one calls, in which tenant it acts, and whether it may.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};

use super::error::OryError;
use crate::domain::{Grants, Scope, Tenant};
use crate::http::wire::TextForm as _;
use crate::http::{App, caller};
use crate::service::{Authentication, Call, CallerIdentity};

const X_TENANT: HeaderName = HeaderName::from_static("x-tenant");

/// An application that may make its call in the tenant that it acts in.
pub struct Administrator {
    /// The caller.
    pub call: Call,
    /// The tenant that it acts in.
    pub tenant: Tenant,
}

/// The caller, if it holds that scope in the tenant that it acts in.
pub fn administrator(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Administrator, OryError> {
    let identity = authenticate(app, headers)?;
    let tenant = match own_tenant(&identity.grants) {
        Some(tenant) => tenant.clone(),
        None => named_tenant(headers)?,
    };
    if !identity.may(scope, &tenant) {
        return Err(OryError::Forbidden);
    }
    let request = caller::request_id(headers);
    Ok(Administrator { call: Call { identity, request, idempotency: None, consistency: None }, tenant })
}

fn authenticate(app: &App, headers: &HeaderMap) -> Result<CallerIdentity, OryError> {
    let secret = secret(headers).ok_or(OryError::NoApplication)?;
    match app.service.authenticate(secret) {
        Authentication::Caller(identity) => Ok(identity),
        Authentication::Expired(_) | Authentication::Unknown => Err(OryError::NoApplication),
    }
}

/// Behind the scheme `Bearer`, or bare: the older SDKs send an API key as it is. A second header means that nobody is
/// authenticated.
fn secret(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.as_bytes();
    let behind_scheme = value.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    Some(behind_scheme.map_or(value, |(_, secret)| secret).trim_ascii())
}

/// The application's tenant, if all its grants name the same one.
fn own_tenant(grants: &Grants) -> Option<&Tenant> {
    let mut tenants = grants.as_slice().iter().map(|grant| grant.tenant.as_ref());
    let first = tenants.next()??;
    tenants.all(|tenant| tenant == Some(first)).then_some(first)
}

fn named_tenant(headers: &HeaderMap) -> Result<Tenant, OryError> {
    const MALFORMED: OryError = OryError::Malformed("X-Tenant must be given once, and name one tenant");
    let mut values = headers.get_all(X_TENANT).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(Tenant::default()),
        (Some(name), None) => {
            let name = std::str::from_utf8(name.as_bytes()).map_err(|_| MALFORMED)?;
            Tenant::parse(name).map_err(|_| MALFORMED)
        }
        (Some(_), Some(_)) => Err(MALFORMED),
    }
}
