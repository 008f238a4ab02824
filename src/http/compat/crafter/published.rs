//! The access tokens that Crafter ships with. Everybody knows them, so they work only where the operator allows them.

use std::sync::Arc;

use super::access_tokens::{application, find};
use super::wire::{AccessToken, TenantPermission};
use crate::domain::{Caller, Grants, Rejection, Secret};
use crate::service::{Call, CallerIdentity, Error, Service};

/// The published ids.
pub const PUBLISHED_ACCESS_TOKENS: [&str; 3] = [
    "e8f5170c-877b-416f-b70f-4b09772f8e2d",
    "b4d44030-d0af-11e3-9c1a-0800200c9a66",
    "2ba3ac10-c43e-11e3-9c1a-0800200c9a66",
];

/// Crafter's name of each, and what Crafter allows it; the first is a master there, but not here.
const SHIPPED: [(&str, &[&str]); 3] = [
    ("profile-admin", &["*"]),
    ("engine", &["READ_TENANT", "MANAGE_PROFILES", "MANAGE_TICKETS"]),
    ("social", &["READ_TENANT", "MANAGE_PROFILES", "MANAGE_TICKETS"]),
];

/// Whether Crafter has published that access token, in either case of its letters.
pub fn is_published(id: &str) -> bool {
    PUBLISHED_ACCESS_TOKENS.iter().any(|published| published.eq_ignore_ascii_case(id))
}

/// Registers the published access tokens that are missing. Call it at every start with a configuration that allows
/// them.
pub async fn ensure_published_access_tokens(service: &Service) -> Result<(), Error> {
    for (id, (name, actions)) in PUBLISHED_ACCESS_TOKENS.into_iter().zip(SHIPPED) {
        if find(service, id).is_none() {
            register(service, id, name, actions).await?;
        }
    }
    Ok(())
}

/// Removes the published access tokens that are there, so that no surface accepts them. Call it at every start with a
/// configuration that does not allow them: an earlier one may have allowed them.
pub async fn remove_published_access_tokens(service: &Service) -> Result<(), Error> {
    for id in PUBLISHED_ACCESS_TOKENS {
        if let Some(registration) = find(service, id) {
            service.remove_application(&as_root(), registration.id).await?;
        }
    }
    Ok(())
}

async fn register(service: &Service, id: &str, name: &str, actions: &[&str]) -> Result<(), Error> {
    let everywhere = TenantPermission {
        allowed_actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        tenant: "*".to_owned(),
    };
    let token = AccessToken {
        application: name.to_owned(),
        master: false,
        tenant_permissions: vec![everywhere],
        expires_on: None,
        id: None,
    };
    // The shipped access tokens are well-formed, so there is always something to register.
    let Ok(new) = application(&token, Secret::new(id)) else { return Ok(()) };
    match service.register_application(&as_root(), new).await {
        Ok(_) | Err(Error::Rejected(Rejection::ApplicationExists)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn as_root() -> Call {
    let identity = CallerIdentity { caller: Caller::Root, grants: Arc::new(Grants::everything()), registration: None };
    Call { identity, request: None, idempotency: None, consistency: None }
}
