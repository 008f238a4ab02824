//! Introspection by a server that has no applications: every caller presents the same secret.

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use base64::Engine as _;

use super::client::{BASE64, MAX_BODY_BYTES};
use super::error::OauthError;
use super::form::{self, Form};
use super::introspect;
use crate::domain::Timestamp;
use crate::http::{body, caller};
use crate::service::{Introspection, IssueFacts};

/// The longest credentials of a caller.
const MAX_CREDENTIAL_BYTES: usize = 1_024;

/// An introspection that a caller with the right secret asks for.
pub struct PlainQuestion {
    body: axum::body::Bytes,
    headers: axum::http::HeaderMap,
}

impl PlainQuestion {
    /// Reads the request. The secret is in Basic with any name, as bearer, or in the body; nothing else in the body is looked
    /// at before it is known to be right.
    pub async fn read(request: Request, is_right: impl Fn(&str) -> bool) -> Result<Self, OauthError> {
        let takes_json = introspect::takes_json(&request);
        let (parts, body) = request.into_parts();
        form::check_query(&parts.uri)?;
        let value = caller::once(&parts.headers, &AUTHORIZATION);
        let value = value.map_err(|_| OauthError::malformed("`Authorization` must be given once"))?;
        let is_in_header = value.is_some();
        if let Some(value) = value
            && !secrets(value.as_bytes()).iter().any(|secret| is_right(secret))
        {
            return Err(OauthError::WrongClient);
        }
        let body = if is_in_header {
            body::read(&parts.headers, body, MAX_BODY_BYTES).await?
        } else {
            body::read_unauthenticated(&parts.headers, body, MAX_BODY_BYTES).await?
        };
        let question = Self { body, headers: parts.headers };
        if !is_in_header {
            let form = question.form().map_err(|_| OauthError::NoClient)?;
            let secret = form.get("client_secret").ok_or(OauthError::NoClient)?;
            if !is_right(secret) {
                return Err(OauthError::WrongClient);
            }
        }
        if takes_json { Ok(question) } else { Err(OauthError::NotAcceptable) }
    }

    fn form(&self) -> Result<Form<'_>, OauthError> {
        Form::parse(&self.headers, &self.body)
    }

    /// The token that it asks about.
    pub fn token(&self) -> Result<String, OauthError> {
        introspect::token(&self.form()?).map(str::to_owned)
    }

    /// The answer.
    pub fn answer(
        &self,
        found: Option<&(Introspection, IssueFacts)>,
        ours: Option<&str>,
        now: Timestamp,
    ) -> Result<Response, OauthError> {
        Ok(introspect::answer_of(found, &self.form()?, ours, now))
    }
}

/// The secrets that the field may mean: in Basic some clients write each half as in a form, and some do not.
fn secrets(value: &[u8]) -> Vec<String> {
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = (&value[..end], value[end..].trim_ascii());
    if rest.len() > MAX_CREDENTIAL_BYTES {
        return Vec::new();
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return text(rest).into_iter().collect();
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Vec::new();
    }
    let Ok(decoded) = BASE64.decode(rest) else { return Vec::new() };
    let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return Vec::new() };
    let secret = &decoded[colon + 1..];
    [form::decode(secret).map(std::borrow::Cow::into_owned), text(secret)].into_iter().flatten().collect()
}
