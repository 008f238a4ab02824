//! Applications: registered, listed, removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::machine::Outcome;
use super::pace::{Pace, STEP_ROWS};
use super::{Call, CallerIdentity, Error, Failure, Service};
use crate::clock::fresh_uuid;
use crate::domain::{
    ApplicationId, Event, Forbidden, Grants, OauthClient, RegisterApplication, RegisterRejection, Registration,
    RemoveApplication, RemoveRejection, Scope, Secret, Timestamp, may_see,
};
use crate::keys::{SecretPrefix, mint};

/// An application to register.
#[derive(Clone)]
pub struct NewApplication {
    /// Its display name.
    pub name: Box<str>,
    /// Its scopes, tenant by tenant.
    pub grants: Grants,
    /// When its secret stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// The secret, if the caller chooses it; otherwise a fresh one is made, unless it has keys to authenticate with.
    pub secret: Option<Secret>,
    /// The parts that a vendor's contract shows and the ledger has no word for.
    pub attributes: Option<Box<str>>,
    /// What it is as an OAuth client.
    pub oauth: OauthClient,
}

/// A registered application, with its secret for this one answer.
pub struct Registered {
    pub registration: Arc<Registration>,
    /// The secret in clear, for its owner's answer only, if it has one.
    pub secret: Option<Secret>,
}

impl Service {
    /// Registers an application. Needs `admin`, and every grant that it is to have.
    pub async fn register_application(
        &self,
        call: &Call,
        new: NewApplication,
    ) -> Result<Registered, Error<RegisterRejection>> {
        if !call.identity.grants.somewhere(Scope::Admin) {
            return Err(Forbidden.into());
        }
        let secret = match new.secret {
            Some(secret) => Some(secret),
            None if new.oauth.keys.is_some() => None,
            None => Some(mint(SecretPrefix::Application).map_err(|_| Failure::NoRandomness)?),
        };
        let registration = Arc::new(Registration {
            id: ApplicationId(fresh_uuid()?),
            name: new.name,
            digest: secret.as_ref().map(Secret::digest),
            grants: Arc::new(new.grants),
            expires_at: new.expires_at,
            attributes: new.attributes,
            oauth: (!new.oauth.is_empty()).then(|| new.oauth.into()),
        });
        secret.iter().for_each(|secret| self.keep_for_repetition(call, secret));
        match self.execute(call, RegisterApplication(registration.clone())).await? {
            Outcome::Repeated(first, _) => self.registered_before(first).await,
            _ => Ok(Registered { registration, secret }),
        }
    }

    /// Removes an application: its secret is refused from the commit on. Needs `admin`, and every grant that it has; to
    /// revoke what it issued with it, `revoke` in every tenant where it could issue.
    pub async fn remove_application(
        &self,
        call: &Call,
        id: ApplicationId,
        revoke: bool,
    ) -> Result<(), Error<RemoveRejection>> {
        self.execute(call, RemoveApplication { id, revoke }).await.map(|_| ())
    }

    /// The applications whose grants are within the caller's, in the order of registration. Needs `admin`.
    pub async fn applications(
        &self,
        identity: &CallerIdentity,
        pace: &mut Pace,
    ) -> Result<Vec<Arc<Registration>>, Error<Forbidden>> {
        if !identity.grants.somewhere(Scope::Admin) {
            return Err(Forbidden.into());
        }
        let (mut seen, mut last) = (BTreeMap::new(), None);
        loop {
            pace.step().await?;
            let scanned = self.projection.applications_after(last, STEP_ROWS);
            last = scanned.last().map(|(id, _)| *id);
            let is_last = scanned.len() < STEP_ROWS;
            for (id, application) in scanned {
                if let (Some((place, _)), Some(registration)) = (&application.registered, application.present())
                    && may_see(&identity.grants, &application)
                {
                    seen.insert((*place, id), registration.clone());
                }
            }
            if is_last {
                pace.rest();
                return Ok(seen.into_values().collect());
            }
        }
    }

    pub(super) fn keep_for_repetition(&self, call: &Call, secret: &Secret) {
        if call.idempotency.is_some() {
            self.recent_secrets.keep(secret, self.clock.now());
        }
    }

    async fn registered_before(&self, first: crate::domain::RecordId) -> Result<Registered, Error<RegisterRejection>> {
        let filed = self.filed(first, 1).await?;
        let Some(Event::ApplicationRegistered(registration)) = filed.first().map(|filed| &filed.recorded.event) else {
            return Err(Failure::not_on_record().into());
        };
        let registration = registration.clone();
        let Some(digest) = registration.digest else { return Ok(Registered { registration, secret: None }) };
        let secret = self.recent_secrets.find(digest.id(), self.clock.now());
        let secret = secret.ok_or_else(|| Error::SecretAlreadyShown { id: registration.id.to_string() })?;
        Ok(Registered { registration, secret: Some(secret) })
    }
}
