//! Who calls: an application as an OAuth client (RFC 6749, section 2.3).

use std::borrow::Cow;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::error::OauthError;
use super::form::{self, Form};
use crate::domain::{Caller, Scope};
use crate::http::{App, body, caller};
use crate::jose::{AssertionError, TokenError};
use crate::service::{Authentication, CallerIdentity};

/// The largest body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 << 10;
/// The longest id and secret together, in bytes, with the escapes of a form.
const MAX_BASIC_BYTES: usize = 512;
/// RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The name of root as a client.
const ROOT: &str = "root";

pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A client whose credentials are right.
#[derive(Clone)]
pub struct Client {
    pub identity: CallerIdentity,
    by: By,
}

/// How a client has authenticated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// An application's secret in Basic or in the body.
    Secret,
    /// An application's secret as bearer.
    Bearer,
    /// An assertion that its key has signed.
    Assertion,
    /// An access token that was granted to it: it may do what the token allows, and gets no further one.
    AccessToken,
}

impl Client {
    /// Refuses a client that has that scope in no tenant at all.
    pub fn needs(&self, scope: Scope) -> Result<(), OauthError> {
        match self.identity.grants.somewhere(scope) {
            true => Ok(()),
            false => Err(OauthError::InsufficientScope { scope, is_bearer: self.by.is_bearer() }),
        }
    }

    /// Whether it came with an access token instead of credentials of its own.
    pub fn is_by_access_token(&self) -> bool {
        self.by == By::AccessToken
    }

    /// Its `client_id`.
    pub fn id(&self) -> Cow<'static, str> {
        id_of(&self.identity)
    }
}

impl By {
    /// Refusals name the scheme.
    const fn is_bearer(self) -> bool {
        matches!(self, Self::Bearer | Self::AccessToken)
    }
}

fn id_of(identity: &CallerIdentity) -> Cow<'static, str> {
    match &identity.caller {
        Caller::Application(id) => id.to_string().into(),
        Caller::Root | Caller::Session { .. } | Caller::Bearer { .. } | Caller::Issuer { .. } | Caller::Node => {
            ROOT.into()
        }
    }
}

/// A request of a client, before its body is read as a form.
pub struct Asked {
    pub client: Client,
    pub parts: Parts,
    body: Bytes,
}

impl Asked {
    pub fn form(&self) -> Result<Form<'_>, OauthError> {
        Form::parse(&self.parts.headers, &self.body)
    }
}

/// The client that the headers authenticate.
pub async fn of_headers(app: &App, headers: &HeaderMap) -> Result<Client, OauthError> {
    Presented::of(headers)?.ok_or(OauthError::NoClient)?.client(app).await
}

/// The request of a client that has that scope somewhere, if one is needed. Authority comes first: nothing else in the
/// body is looked at before.
pub async fn asked(app: &App, request: Request, scope: Option<Scope>) -> Result<Asked, OauthError> {
    let (parts, body) = request.into_parts();
    form::check_query(&parts.uri)?;
    let limit = MAX_BODY_BYTES.min(app.options.body_bytes);
    let check = |client: &Client| scope.map_or(Ok(()), |scope| client.needs(scope));
    if let Some(presented) = Presented::of(&parts.headers)? {
        let client = presented.client(app).await?;
        check(&client)?;
        let body = body::read(&parts.headers, body, limit).await?;
        let asked = Asked { client, parts, body };
        names_no_other(&asked.client, &asked.form()?)?;
        return Ok(asked);
    }
    let body = body::read_unauthenticated(&parts.headers, body, limit).await?;
    if !form::is_form(&parts.headers) {
        return Err(OauthError::NoClient);
    }
    let client = of_form(app, &Form::parse(&parts.headers, &body)?).await?;
    check(&client)?;
    Ok(Asked { client, parts, body })
}

/// Exactly one method (RFC 6749, section 2.3), and a `client_id` beside it that names the same client.
fn names_no_other(client: &Client, form: &Form<'_>) -> Result<(), OauthError> {
    if form.get("client_secret").is_some() || has_assertion(form) {
        return Err(TWO_METHODS);
    }
    match form.get("client_id") {
        Some(id) if id != client.id() => Err(OauthError::WrongClient),
        _ => Ok(()),
    }
}

const TWO_METHODS: OauthError = OauthError::malformed("the client authenticates in more than one way");

fn has_assertion(form: &Form<'_>) -> bool {
    ["client_assertion", "client_assertion_type"].iter().any(|name| form.get(name).is_some())
}

/// `client_secret_post` or `private_key_jwt`.
async fn of_form(app: &App, form: &Form<'_>) -> Result<Client, OauthError> {
    match (form.get("client_secret"), has_assertion(form)) {
        (Some(_), true) => Err(TWO_METHODS),
        (None, true) => of_assertion(app, form).await,
        (None, false) => Err(OauthError::NoClient),
        (Some(secret), false) => {
            let id = form.get("client_id").ok_or(OauthError::WrongClient)?;
            with_secret(app, id.as_bytes(), secret.as_bytes())
                .map(|identity| Client { identity, by: By::Secret })
                .ok_or(OauthError::WrongClient)
        }
    }
}

/// RFC 7523, section 2.2.
async fn of_assertion(app: &App, form: &Form<'_>) -> Result<Client, OauthError> {
    let is_jwt = form.get("client_assertion_type") == Some(JWT_BEARER);
    let assertion = form.get("client_assertion").filter(|_| is_jwt).ok_or(OauthError::BadAssertion)?;
    let identity = app.service.authenticate_assertion(assertion).await.map_err(|error| match error {
        AssertionError::Token(TokenError::KeysUnreachable) => OauthError::KeysUnreachable,
        _ => OauthError::BadAssertion,
    })?;
    let client = Client { identity, by: By::Assertion };
    match form.get("client_id") {
        Some(id) if id != client.id() => Err(OauthError::BadAssertion),
        _ => Ok(client),
    }
}

/// The client with that secret, if it has that id: a right secret under a wrong id, a removed and an expired application
/// can't be told apart.
fn with_secret(app: &App, id: &[u8], secret: &[u8]) -> Option<CallerIdentity> {
    match app.service.authenticate(secret) {
        Authentication::Caller(identity) => (id_of(&identity).as_bytes() == id).then_some(identity),
        Authentication::Expired(_) | Authentication::Unknown => None,
    }
}

/// The field `Authorization`.
enum Presented<'a> {
    Basic(&'a [u8]),
    Bearer(&'a [u8]),
    Other,
}

impl<'a> Presented<'a> {
    fn of(headers: &'a HeaderMap) -> Result<Option<Self>, OauthError> {
        let value = caller::once(headers, &AUTHORIZATION);
        let value = value.map_err(|_| OauthError::malformed("`Authorization` must be given once"))?;
        Ok(value.map(|value| {
            let value = value.as_bytes();
            let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
            let (scheme, rest) = (&value[..end], value[end..].trim_ascii());
            if scheme.eq_ignore_ascii_case(b"basic") {
                Self::Basic(rest)
            } else if scheme.eq_ignore_ascii_case(b"bearer") {
                Self::Bearer(rest)
            } else {
                Self::Other
            }
        }))
    }

    async fn client(self, app: &App) -> Result<Client, OauthError> {
        match self {
            Self::Basic(encoded) => {
                basic(app, encoded).map(|identity| Client { identity, by: By::Secret }).ok_or(OauthError::WrongClient)
            }
            Self::Bearer(secret) => match app.service.authenticate(secret) {
                Authentication::Caller(identity) => Ok(Client { identity, by: By::Bearer }),
                Authentication::Expired(_) => Err(OauthError::WrongBearer),
                Authentication::Unknown => {
                    let identity = app.service.authenticate_access_token(secret).await?;
                    identity.map(|identity| Client { identity, by: By::AccessToken }).ok_or(OauthError::WrongBearer)
                }
            },
            Self::Other => Err(OauthError::WrongClient),
        }
    }
}

/// `client_secret_basic`: each half is written as in a form before both are joined. Some clients do not, so the halves
/// count as they are, too.
fn basic(app: &App, encoded: &[u8]) -> Option<CallerIdentity> {
    if encoded.len() > MAX_BASIC_BYTES.div_ceil(3) * 4 {
        return None;
    }
    let decoded = BASE64.decode(encoded).ok().filter(|decoded| decoded.len() <= MAX_BASIC_BYTES)?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (id, secret) = (&decoded[..colon], &decoded[colon + 1..]);
    let as_form = form::decode(id).zip(form::decode(secret));
    let found = as_form.and_then(|(id, secret)| with_secret(app, id.as_bytes(), secret.as_bytes()));
    let is_escaped = decoded.iter().any(|byte| b"%+".contains(byte));
    found.or_else(|| is_escaped.then(|| with_secret(app, id, secret)).flatten())
}
