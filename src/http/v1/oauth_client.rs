//! The members that say what an application is as an OAuth client.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::{ClientKeys, MAX_AUDIENCES, Malformed, OauthClient, Tenant};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{TextForm, WireText, present};
use crate::jose::{JwksUrl, checked_client_jwks};
use crate::keys::Algorithm;

/// What an application is as an OAuth client.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOauthClient {
    /// A token with an audience is active for it only if one of these is among them; any, if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 16)]
    audiences: Option<Vec<WireText<AudienceName>>>,
    /// The public keys with which it authenticates, a JWK set of at most 16 KiB (RFC 7517, section 5), instead of a secret.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Object)]
    jwks: Option<Box<RawValue>>,
    /// The address at which it publishes these keys, with https, or http on this machine.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = "uri")]
    jwks_url: Option<WireText<JwksUrl>>,
    /// The algorithm of the introspections that are signed for it (RFC 9701, section 6): one that a key of this ledger signs with. The
    /// newest key's, if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^(ES256|EdDSA|RS256)$")]
    introspection_signed_response_alg: Option<WireText<Algorithm>>,
    /// Whether introspections for it leave out when a token expires: some clients keep an answer until then.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    omit_exp: Option<bool>,
}

/// What an application is as an OAuth client.
#[derive(Serialize, ToSchema)]
#[schema(as = OauthClient)]
pub struct OauthClientShown<'a> {
    /// A token with an audience is active for it only if one of these is among them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    audiences: &'a [Box<str>],
    /// The public keys with which it authenticates.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    jwks: Option<Map<String, Value>>,
    /// The address at which it publishes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    jwks_url: Option<&'a str>,
    /// The algorithm of the introspections that are signed for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    introspection_signed_response_alg: Option<&'a str>,
    /// True if introspections for it leave out when a token expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    omit_exp: Option<bool>,
}

struct AudienceName(Box<str>);

impl TextForm for AudienceName {
    /// An audience has a tenant's form.
    fn parse(text: &str) -> Result<Self, Malformed> {
        Tenant::new(text).map(|name| Self(name.as_str().into()))
    }
}

impl TextForm for JwksUrl {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl TextForm for Algorithm {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl NewOauthClient {
    /// The client in the domain's words. Its answers are signed with one of these algorithms.
    pub fn checked(self, signs_with: &[Box<str>]) -> Result<OauthClient, Problem> {
        let keys = match (self.jwks, self.jwks_url) {
            (None, None) => None,
            (Some(jwks), None) => {
                let jwks = checked_client_jwks(jwks.get());
                Some(ClientKeys::Set(jwks.map_err(|must_be| refusal(&format!("`oauth.jwks`: must be {must_be}")))?))
            }
            (None, Some(WireText(url))) => Some(ClientKeys::Url(url.as_url().as_str().into())),
            (Some(_), Some(_)) => return Err(refusal("`oauth`: give either `jwks` or `jwks_url`")),
        };
        let audiences = self.audiences.map(|all| all.into_iter().map(|WireText(AudienceName(name))| name).collect());
        let audiences: Option<Vec<Box<str>>> = audiences;
        if audiences.as_ref().is_some_and(|all| all.is_empty() || all.len() > MAX_AUDIENCES) {
            return Err(refusal("`oauth.audiences`: must be 1 to 16"));
        }
        let algorithm = self.introspection_signed_response_alg.map(|WireText(one)| Box::from(one.as_str()));
        if algorithm.as_ref().is_some_and(|one| !signs_with.contains(one)) {
            let known = signs_with.join(", ");
            return Err(refusal(&format!(
                "`oauth.introspection_signed_response_alg`: this ledger's keys sign with {known}"
            )));
        }
        Ok(OauthClient {
            audiences: audiences.unwrap_or_default(),
            keys,
            signed_response_alg: algorithm,
            omits_exp: self.omit_exp.unwrap_or_default(),
        })
    }
}

fn refusal(detail: &str) -> Problem {
    Problem::with_detail(Code::InvalidBody, detail.to_owned())
}

impl<'a> From<&'a OauthClient> for OauthClientShown<'a> {
    fn from(client: &'a OauthClient) -> Self {
        let (jwks, jwks_url) = match &client.keys {
            None => (None, None),
            Some(ClientKeys::Set(text)) => (serde_json::from_str(text).ok(), None),
            Some(ClientKeys::Url(url)) => (None, Some(&**url)),
        };
        Self {
            audiences: &client.audiences,
            jwks,
            jwks_url,
            introspection_signed_response_alg: client.signed_response_alg.as_deref(),
            omit_exp: client.omits_exp.then_some(true),
        }
    }
}
