//! What Crafter's contract does at each start of the server.

use std::sync::Arc;

use super::access_tokens::{application, find};
use super::config::CrafterOptions;
use super::published::PUBLISHED_ACCESS_TOKENS;
use super::wire::{AccessToken, TenantPermission};
use crate::domain::{Caller, Grants, RegisterRejection, Secret};
use crate::service::{Call, CallerIdentity, Error, Service};

/// Crafter's name of each, and what Crafter allows it; the first is a master there, but not here.
const SHIPPED: [(&str, &[&str]); 3] = [
    ("profile-admin", &["*"]),
    ("engine", &["READ_TENANT", "MANAGE_PROFILES", "MANAGE_TICKETS"]),
    ("social", &["READ_TENANT", "MANAGE_PROFILES", "MANAGE_TICKETS"]),
];

/// Makes the published access tokens work if the options allow them, and else removes them, because an earlier start may have allowed
/// them.
pub async fn start(service: &Service, options: &CrafterOptions) -> Result<(), Error> {
    if options.allow_published_access_tokens {
        ensure_published_access_tokens(service).await
    } else {
        remove_published_access_tokens(service).await
    }
}

/// Registers the published access tokens that are missing.
async fn ensure_published_access_tokens(service: &Service) -> Result<(), Error> {
    for (id, (name, actions)) in PUBLISHED_ACCESS_TOKENS.into_iter().zip(SHIPPED) {
        if find(service, id).is_none() {
            register(service, id, name, actions).await?;
        }
    }
    Ok(())
}

/// Removes the published access tokens that are there, so that no surface accepts them.
async fn remove_published_access_tokens(service: &Service) -> Result<(), Error> {
    for id in PUBLISHED_ACCESS_TOKENS {
        if let Some(registration) = find(service, id) {
            service.remove_application(&as_root(), registration.id, false).await.map_err(Error::widened)?;
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
        Ok(_) | Err(Error::Refused(RegisterRejection::ApplicationExists)) => Ok(()),
        Err(error) => Err(error.widened()),
    }
}

fn as_root() -> Call {
    let identity = CallerIdentity { caller: Caller::Root, grants: Arc::new(Grants::everything()), registration: None };
    Call { identity, request: None, idempotency: None, consistency: None }
}
