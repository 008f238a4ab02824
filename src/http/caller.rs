//! The caller, and the headers of every call: `Authorization`, `X-Request-ID`, `Idempotency-Key`, `Ledger-Consistency`.
//!
//! Authority is checked first, before the body is read and before anything is looked up.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;

use super::coding::{Coding, DecodeError};
use super::problem::{Code, Problem};
use super::{App, body, coding, input};
use crate::domain::{Idempotency, RequestId, Scope, Secret};
use crate::service::{Call, CallerIdentity, Consistency, ConsistencyLevel, KEY_BYTES};

/// The caller's own name of a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How a command is recognised when it comes again.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The nodes that must have applied a command before it is answered.
pub const LEDGER_CONSISTENCY: HeaderName = HeaderName::from_static("ledger-consistency");
/// How many seconds to wait for them.
pub const LEDGER_CONSISTENCY_TIMEOUT: HeaderName = HeaderName::from_static("ledger-consistency-timeout");

const DEFAULT_WAIT_SECONDS: u64 = 30;
const MAX_WAIT_SECONDS: u64 = 120;

/// The caller, if it holds that scope in any tenant at all. The service decides in which ones.
pub async fn authorise(app: &App, headers: &HeaderMap, scope: Scope) -> Result<CallerIdentity, Problem> {
    let identity = authenticate(app, headers).await?;
    if identity.grants.somewhere(scope) { Ok(identity) } else { Err(Code::Forbidden.into()) }
}

/// The caller, if it holds that scope in every tenant.
pub async fn authorise_everywhere(app: &App, headers: &HeaderMap, scope: Scope) -> Result<CallerIdentity, Problem> {
    let identity = authenticate(app, headers).await?;
    if identity.grants.everywhere().contains(scope) { Ok(identity) } else { Err(Code::Forbidden.into()) }
}

/// The caller that may follow somewhere, and the secret that it presented: a stream checks again whether it is still
/// active.
pub async fn follower(app: &App, headers: &HeaderMap) -> Result<(CallerIdentity, Secret), Problem> {
    let identity = authorise(app, headers, Scope::Follow).await?;
    let secret = bearer_secret(headers).and_then(|secret| std::str::from_utf8(secret).ok());
    secret.map(|secret| (identity, Secret::new(secret))).ok_or(Code::Unauthenticated.into())
}

async fn authenticate(app: &App, headers: &HeaderMap) -> Result<CallerIdentity, Problem> {
    let secret = bearer_secret(headers).ok_or(Code::Unauthenticated)?;
    app.service.authenticate_bearer(secret).await?.ok_or(Code::Unauthenticated.into())
}

/// RFC 6750, section 2.1. The scheme's case does not matter; a second header means that nobody is authenticated.
pub fn bearer_secret(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, secret) = once(headers, &AUTHORIZATION).ok()??.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| secret.trim_ascii())
}

/// A question with a JSON body, and its caller.
pub async fn question<T: DeserializeOwned>(
    app: &App,
    request: Request,
    scope: Scope,
) -> Result<(CallerIdentity, T), Problem> {
    let (parts, body) = request.into_parts();
    let identity = authorise(app, &parts.headers, scope).await?;
    let body = body::read(&parts.headers, body, app.options.body_bytes).await?;
    Ok((identity, input::json(&parts.headers, &body)?))
}

/// The same for a caller that holds that scope in every tenant.
pub async fn question_everywhere<T: DeserializeOwned>(
    app: &App,
    request: Request,
    scope: Scope,
) -> Result<(CallerIdentity, T), Problem> {
    let (parts, body) = request.into_parts();
    let identity = authorise_everywhere(app, &parts.headers, scope).await?;
    let body = body::read(&parts.headers, body, app.options.body_bytes).await?;
    Ok((identity, input::json(&parts.headers, &body)?))
}

/// A command with a JSON body, and what comes with it.
pub async fn command<T: DeserializeOwned>(app: &App, request: Request, scope: Scope) -> Result<(Call, T), Problem> {
    let (call, parts, body) = command_bytes(app, request, scope).await?;
    Ok((call, input::json(&parts.headers, &body)?))
}

/// The same for a caller that holds that scope in every tenant.
pub async fn command_everywhere<T: DeserializeOwned>(
    app: &App,
    request: Request,
    scope: Scope,
) -> Result<(Call, T), Problem> {
    authorise_everywhere(app, request.headers(), scope).await?;
    command(app, request, scope).await
}

/// A command about the resource that its path names, whose JSON body may be left out because its members may.
pub async fn command_at_or_default<T: DeserializeOwned + Default>(
    app: &App,
    request: Request,
    scope: Scope,
) -> Result<(Call, Parts, T), Problem> {
    let (call, parts, body) = command_bytes(app, request, scope).await?;
    let body = if body.is_empty() { T::default() } else { input::json(&parts.headers, &body)? };
    Ok((call, parts, body))
}

async fn command_bytes(app: &App, request: Request, scope: Scope) -> Result<(Call, Parts, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let identity = authorise(app, &parts.headers, scope).await?;
    let body = body::read(&parts.headers, body, app.options.body_bytes).await?;
    let call = call(app, identity, &parts, &body)?;
    Ok((call, parts, body))
}

/// Commands in a body of lines, each one recognised by what it is, so that an idempotency key does nothing for them. It may be
/// compressed.
pub async fn commands(app: &App, request: Request, scope: Scope) -> Result<(Call, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let identity = authorise(app, &parts.headers, scope).await?;
    input::ndjson(&parts.headers)?;
    let coding = coding::of(&parts.headers).map_err(|_| Problem::of_coding(coding::TAKEN))?;
    let mut body = body::read_as_sent(body, app.options.body_bytes).await?;
    if let Some(coding) = coding {
        body = decoded(coding, body, app.options.body_bytes).await?;
    }
    Ok((Call { idempotency: None, ..call(app, identity, &parts, &body)? }, body))
}

/// The body as it was before its coding, which has the same limit: a few bytes may hold many.
async fn decoded(coding: Coding, body: Bytes, limit: usize) -> Result<Bytes, Problem> {
    // A limit of a mebibyte is a millisecond and more.
    let decoded = tokio::task::spawn_blocking(move || coding.decode(&body, limit)).await;
    decoded.map_err(|_| Problem::new(Code::Internal))?.map_err(|error| match error {
        DecodeError::TooLarge => Problem::new(Code::BodyTooLarge),
        DecodeError::Malformed(_) => Problem::with_detail(Code::InvalidBody, error.to_string()),
    })
}

/// A command that is entirely in its path, and the headers of a command. A body only matters for the idempotency key.
pub async fn bare_command(app: &App, request: Request, scope: Scope) -> Result<(Call, Parts), Problem> {
    let (parts, body) = request.into_parts();
    let identity = authorise(app, &parts.headers, scope).await?;
    bare(app, identity, parts, body).await
}

/// The same for a caller that holds that scope in every tenant.
pub async fn bare_command_everywhere(app: &App, request: Request, scope: Scope) -> Result<(Call, Parts), Problem> {
    let (parts, body) = request.into_parts();
    let identity = authorise_everywhere(app, &parts.headers, scope).await?;
    bare(app, identity, parts, body).await
}

async fn bare(app: &App, identity: CallerIdentity, parts: Parts, body: Body) -> Result<(Call, Parts), Problem> {
    let body = body::read(&parts.headers, body, app.options.body_bytes).await?;
    Ok((call(app, identity, &parts, &body)?, parts))
}

fn call(app: &App, identity: CallerIdentity, parts: &Parts, body: &Bytes) -> Result<Call, Problem> {
    Ok(Call {
        request: request_id(&parts.headers),
        idempotency: idempotency(app, &identity, parts, body)?,
        consistency: consistency(&parts.headers)?,
        identity,
    })
}

/// The caller's own id of this request. An id that the log could not hold is ignored: it is a courtesy.
pub fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    RequestId::new(headers.get(X_REQUEST_ID)?.to_str().ok()?).ok()
}

fn idempotency(
    app: &App,
    identity: &CallerIdentity,
    parts: &Parts,
    body: &Bytes,
) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = once(&parts.headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    if !KEY_BYTES.contains(&key.len()) {
        return Err(Problem::with_detail(Code::InvalidHeader, "`Idempotency-Key` must be 16 to 255 bytes"));
    }
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    // The query is part of the request that an idempotency key belongs to.
    let query = parts.uri.query().map(|query| format!("\n?{query}")).unwrap_or_default();
    let asked = [body, query.as_bytes()].concat();
    Ok(Some(app.service.idempotency(&identity.caller, method, path, key.as_bytes(), &asked)))
}

/// The nodes that the caller waits for, if it names any.
pub fn consistency(headers: &HeaderMap) -> Result<Option<Consistency>, Problem> {
    let timeout = wait(headers)?;
    let Some(level) = once(headers, &LEDGER_CONSISTENCY)? else { return Ok(None) };
    let level = match level.as_bytes() {
        b"local_region" => ConsistencyLevel::LocalRegion,
        b"all_regions" => ConsistencyLevel::AllRegions,
        _ => {
            let detail = "`Ledger-Consistency` must be local_region or all_regions";
            return Err(Problem::with_detail(Code::InvalidHeader, detail));
        }
    };
    Ok(Some(Consistency { level, timeout }))
}

fn wait(headers: &HeaderMap) -> Result<Duration, Problem> {
    let Some(seconds) = once(headers, &LEDGER_CONSISTENCY_TIMEOUT)? else {
        return Ok(Duration::from_secs(DEFAULT_WAIT_SECONDS));
    };
    let seconds = seconds.to_str().ok().and_then(|text| text.parse().ok());
    seconds.filter(|seconds| (1..=MAX_WAIT_SECONDS).contains(seconds)).map(Duration::from_secs).ok_or_else(|| {
        Problem::with_detail(Code::InvalidHeader, "`Ledger-Consistency-Timeout` must be 1 to 120 whole seconds")
    })
}

/// A header that is given more than once, so that it is unclear which one is meant.
#[derive(Debug)]
pub struct Doubled(HeaderName);

impl From<Doubled> for Problem {
    fn from(Doubled(name): Doubled) -> Self {
        Self::with_detail(Code::InvalidHeader, format!("`{name}` must be given once"))
    }
}

/// The header's value, if it is given once.
pub fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Doubled> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Doubled(name.clone())),
    }
}
