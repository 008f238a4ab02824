//! A request of a known application: read, and checked in the contract's order.

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;

use super::error::CrafterError;
use super::parameters::{self, CrafterParameters};
use super::published::is_published;
use crate::domain::{Malformed, RequestId};
use crate::http::body::{self, UNAUTHENTICATED_BYTES};
use crate::http::{App, input};
use crate::service::{Authentication, Call, CallerIdentity};

const ACCESS_TOKEN_ID: &str = "accessTokenId";

/// The use that an endpoint makes of a request's body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// Reads parameters from it, as it does from the query.
    Form,
    /// Reads JSON from it.
    Json,
}

/// A request whose access token is active and whose parameters can be read.
pub struct CrafterRequest {
    /// The access token, which is the application's secret.
    pub access_token_id: String,
    /// The application.
    pub call: Call,
    /// Query and form.
    pub parameters: CrafterParameters,
    /// The body, where the endpoint takes one.
    pub body: Bytes,
    path: String,
}

impl CrafterRequest {
    /// Reads the request. The access token comes first: a caller without one learns nothing about the rest.
    pub async fn read(app: &App, request: Request, takes: Takes) -> Result<Self, CrafterError> {
        let (head, body) = request.into_parts();
        let form = if takes == Takes::Form { FormEncoding::of(&head.headers) } else { FormEncoding::None };
        let shown = access_token_id(&head, FormEncoding::None, &Ok(Bytes::new())).ok();
        // An access token in the query is checked before the body is read; if it can only be in the body, little of the
        // body is read.
        let known = shown.map(|id| authenticate(app, &id).map(|identity| (id, identity))).transpose()?;
        let limit =
            if known.is_some() { app.options.body_bytes } else { app.options.body_bytes.min(UNAUTHENTICATED_BYTES) };
        let body = match (takes, &known, form) {
            (Takes::Nothing, ..) => Ok(Bytes::new()),
            (_, None, FormEncoding::None) => return Err(CrafterError::MissingAccessToken),
            (Takes::Form | Takes::Json, ..) => body::read(&head.headers, body, limit).await,
        };
        let (access_token_id, identity) = match known {
            Some(known) => known,
            None => {
                let id = access_token_id(&head, form, &body)?;
                let identity = authenticate(app, &id)?;
                (id, identity)
            }
        };
        let body = body?;
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let parameters = match form {
            FormEncoding::Utf8 => CrafterParameters::parse(&[query, &body]),
            FormEncoding::None => CrafterParameters::parse(&[query]),
            FormEncoding::Other => Err(Malformed("in UTF-8")),
        };
        if takes == Takes::Json && !is_json(&head.headers) {
            return Err(CrafterError::ContentType);
        }
        Ok(Self {
            access_token_id,
            call: Call { identity, request: request_id(&head.headers), idempotency: None, consistency: None },
            parameters: parameters.map_err(|problem| malformed("Request parameters", problem))?,
            body,
            path: head.uri.path().to_owned(),
        })
    }

    /// The path's last segment as an id, without the `.json` that the client puts behind it.
    pub fn last_segment(&self) -> Result<String, CrafterError> {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        segment(last.strip_suffix(".json").unwrap_or(last))
    }

    /// The path's last segment but one as an id.
    pub fn last_segment_but_one(&self) -> Result<String, CrafterError> {
        segment(self.path.rsplit('/').nth(1).unwrap_or_default())
    }

    /// Checks that a parameter, if it was sent, says what the path says.
    pub fn agrees(&self, name: &str, path: &str) -> Result<(), CrafterError> {
        match self.parameters.get(name) {
            Some(other) if other != path => {
                Err(CrafterError::Malformed(format!("Request parameter '{name}' must equal the one in the path")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The refusal of a malformed value.
pub fn malformed(what: &str, Malformed(form): Malformed) -> CrafterError {
    CrafterError::Malformed(format!("{what} must be {form}"))
}

fn segment(text: &str) -> Result<String, CrafterError> {
    match parameters::decode(text.as_bytes()) {
        Ok(id) if id.is_empty() => Err(malformed("Path", Malformed("without an empty id"))),
        // Clients and proxies resolve these, so the call was meant for another resource.
        Ok(id) if input::is_dotted(&id) => Err(malformed("Path", Malformed("without . or .. as an id"))),
        other => other.map_err(|problem| malformed("Path", problem)),
    }
}

/// Whether a body holds parameters.
#[derive(Clone, Copy)]
enum FormEncoding {
    Utf8,
    Other,
    None,
}

impl FormEncoding {
    fn of(headers: &HeaderMap) -> Self {
        match media_type(headers) {
            (kind, charset) if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") => {
                if is_utf8(charset) {
                    Self::Utf8
                } else {
                    Self::Other
                }
            }
            _ => Self::None,
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let (kind, charset) = media_type(headers);
    kind.eq_ignore_ascii_case("application/json") && is_utf8(charset)
}

fn is_utf8(charset: Option<&str>) -> bool {
    charset.is_none_or(|charset| ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known)))
}

/// The body's type and charset, as far as they were sent.
fn media_type(headers: &HeaderMap) -> (&str, Option<&str>) {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let charset = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("charset"));
    (kind, charset.map(|(_, charset)| charset.trim_matches('"')))
}

fn access_token_id(
    head: &Parts,
    form: FormEncoding,
    body: &Result<Bytes, body::BodyError>,
) -> Result<String, CrafterError> {
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let found = match (parameters::find(query, ACCESS_TOKEN_ID), form, body) {
        (Some(id), _, _) => Some(id),
        (None, FormEncoding::None, _) => None,
        // The access token may have stood in the part that could not be read.
        (None, FormEncoding::Utf8 | FormEncoding::Other, Err(error)) => return Err((*error).into()),
        (None, FormEncoding::Utf8 | FormEncoding::Other, Ok(body)) => parameters::find(body, ACCESS_TOKEN_ID),
    };
    found.filter(|id| !id.is_empty()).ok_or(CrafterError::MissingAccessToken)
}

fn authenticate(app: &App, id: &str) -> Result<CallerIdentity, CrafterError> {
    let unknown = || CrafterError::UnknownAccessToken(id.to_owned());
    if is_published(id) && !app.options.compat.crafter.allow_published_access_tokens {
        return Err(unknown());
    }
    match app.service.authenticate(id.as_bytes()) {
        Authentication::Caller(identity) => Ok(identity),
        Authentication::Expired(registration) => Err(CrafterError::ExpiredAccessToken {
            id: id.to_owned(),
            application: registration.name.to_string(),
            expired_at: registration.expires_at.unwrap_or_default(),
        }),
        Authentication::Unknown => Err(unknown()),
    }
}

/// The caller's own request id, if it has the form of one; a header is not a reason to refuse a ticket.
fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    headers.get("x-request-id").and_then(|value| RequestId::new(value.to_str().ok()?).ok())
}
