//! Applications as they are recorded.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::forms::{Text, UuidText};
use super::{RecordError, filled, in_order, instant};
use crate::domain::{
    ApplicationId, ClientKeys, Digest, Grant, Grants, OauthClient, Registration, Scope, Tenant, Timestamp,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationData<'a> {
    id: UuidText,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Text<Digest>>,
    grants: Vec<GrantData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    attributes: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    oauth: Option<OauthClientData<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OauthClientData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    audiences: Option<Vec<String>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    jwks: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    jwks_url: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    introspection_signed_response_alg: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    omit_exp: Option<bool>,
}

impl<'a> From<&'a OauthClient> for OauthClientData<'a> {
    fn from(client: &'a OauthClient) -> Self {
        let (jwks, jwks_url) = match &client.keys {
            None => (None, None),
            Some(ClientKeys::Set(jwks)) => (Some((&**jwks).into()), None),
            Some(ClientKeys::Url(url)) => (None, Some((&**url).into())),
        };
        Self {
            audiences: (!client.audiences.is_empty())
                .then(|| client.audiences.iter().map(ToString::to_string).collect()),
            jwks,
            jwks_url,
            introspection_signed_response_alg: client.signed_response_alg.as_deref().map(Cow::Borrowed),
            omit_exp: client.omits_exp.then_some(true),
        }
    }
}

impl OauthClientData<'_> {
    fn into_domain(self) -> Result<OauthClient, RecordError> {
        let keys = match (self.jwks, self.jwks_url) {
            (None, None) => None,
            (Some(jwks), None) => Some(ClientKeys::Set(jwks.into())),
            (None, Some(url)) => Some(ClientKeys::Url(url.into())),
            (Some(_), Some(_)) => return Err(RecordError::malformed("keys and their address")),
        };
        if self.omit_exp == Some(false) {
            return Err(RecordError::malformed("what goes without saying: omit_exp"));
        }
        let client = OauthClient {
            audiences: filled(self.audiences)?.into_iter().map(Into::into).collect(),
            keys,
            signed_response_alg: self.introspection_signed_response_alg.map(Into::into),
            omits_exp: self.omit_exp.is_some(),
        };
        if client.is_empty() {
            Err(RecordError::malformed("an OAuth client of which nothing is said"))
        } else {
            Ok(client)
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantData {
    tenant: String,
    scopes: Vec<Text<Scope>>,
}

impl<'a> From<&'a Registration> for ApplicationData<'a> {
    fn from(registration: &'a Registration) -> Self {
        let grants = registration.grants.as_slice().iter().map(|grant| GrantData {
            tenant: grant.tenant.as_ref().map_or("*", Tenant::as_str).to_owned(),
            scopes: grant.scopes.iter().map(Text).collect(),
        });
        Self {
            id: UuidText(registration.id.0),
            name: (&*registration.name).into(),
            digest: registration.digest.map(Text),
            grants: grants.collect(),
            expires_at: registration.expires_at.map(Timestamp::as_millis),
            attributes: registration.attributes.as_deref().map(Cow::Borrowed),
            oauth: registration.oauth.as_deref().map(OauthClientData::from),
        }
    }
}

impl ApplicationData<'_> {
    /// `oauth`, or a registration without `digest`, is what version 2 has, and version 1 has not.
    pub(super) fn into_domain(self, version: u64) -> Result<Registration, RecordError> {
        if (self.oauth.is_some() || self.digest.is_none()) != (version >= 2) {
            return Err(RecordError::malformed("`oauth`, `digest` and the version do not agree"));
        }
        let grants = self.grants.into_iter().map(|grant| {
            in_order(grant.scopes.iter().map(|scope| scope.0))?;
            let tenant = (grant.tenant != "*").then(|| Tenant::new(&grant.tenant)).transpose();
            Ok(Grant {
                tenant: tenant.map_err(RecordError::malformed)?,
                scopes: grant.scopes.into_iter().map(|scope| scope.0).collect(),
            })
        });
        let grants = grants.collect::<Result<_, RecordError>>()?;
        Ok(Registration {
            id: ApplicationId(self.id.0),
            name: self.name.into(),
            digest: self.digest.map(|digest| digest.0),
            grants: Arc::new(Grants::new(grants).map_err(RecordError::malformed)?),
            expires_at: self.expires_at.map(instant).transpose()?,
            attributes: self.attributes.map(Into::into),
            oauth: self.oauth.map(OauthClientData::into_domain).transpose()?.map(Box::new),
        })
    }
}
