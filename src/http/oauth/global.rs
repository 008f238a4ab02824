//! `POST /oauth2/global-token-revocation`: everything that a subject has, as an identity provider asks for it.
//! <https://datatracker.ietf.org/doc/draft-parecki-oauth-global-token-revocation/>

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::client::{self, MAX_BODY_BYTES};
use super::config::EmailSubjects;
use super::error::{NO_STORE, OauthError, OauthErrorBody};
use crate::domain::{Caller, GivenSubject, Scope, Tenant};
use crate::http::caller::{self, bearer_secret, consistency, request_id};
use crate::http::exact::Exact;
use crate::http::{App, SharedApp, body, fields};
use crate::jose::TokenError;
use crate::service::{Call, CallerIdentity, GlobalCallError, GlobalRevocation, looks_like_jwt};

const X_TENANT: HeaderName = HeaderName::from_static("x-tenant");

/// Whose credentials are to be revoked. Other members are ignored.
#[derive(ToSchema)]
#[schema(as = GlobalTokenRevocation)]
#[expect(dead_code, reason = "only its description is used; the body is read as it came")]
pub struct GlobalRevocationBody {
    /// A subject identifier (RFC 9493) of the format `iss_sub` or `opaque`, or, where subjects are addresses, `email` or
    /// `account`.
    #[schema(value_type = Object)]
    sub_id: (),
    /// The same under the name that earlier drafts had. Where both are given, they must be equal.
    #[schema(value_type = Object, required = false)]
    subject: (),
}

/// Revokes everything that a subject has: one record for each tenant. What is issued afterwards is active. The caller is an
/// application with the scope `revoke`, or another issuer with a JWT that it has signed for this call, if the operator lets
/// it revoke in its tenants.
#[utoipa::path(
    post,
    path = "/oauth2/global-token-revocation",
    tag = "oauth",
    params(
        ("X-Tenant" = Option<String>, Header, description = "The name space of the subject, for a caller with several; `default` if left out"),
        (
            "Ledger-Consistency" = Option<String>, Header, pattern = "^(local_region|all_regions)$",
            description = "Which nodes must have applied the revocation before it is answered",
        ),
        (
            "Ledger-Consistency-Timeout" = Option<u64>, Header, minimum = 1, maximum = 120,
            description = "How many seconds to wait for them; 30 if left out",
        ),
    ),
    request_body = GlobalRevocationBody,
    responses(
        (status = 204, description = "Revoked, and durable"),
        (status = 400, description = "The request can't be used", body = OauthErrorBody),
        (status = 401, description = "The credentials of the caller are missing or wrong", body = OauthErrorBody),
        (status = 403, description = "The caller may not revoke there", body = OauthErrorBody),
        (status = 404, description = "The subject is not known, and cannot have been issued anything elsewhere", body = OauthErrorBody),
        (status = 405, description = "Not a POST", body = OauthErrorBody),
        (status = 408, description = "Revoked and durable; the wait timed out, and the revocation is still sent to the other nodes", body = OauthErrorBody),
        (status = 413, description = "The body is too large", body = OauthErrorBody),
        (status = 500, description = "The machine failed", body = OauthErrorBody),
        (status = 503, description = "The keys of the issuer are out of reach, or no commands are taken", body = OauthErrorBody),
    ),
)]
pub async fn revoke_all(State(app): State<SharedApp>, request: Request) -> Result<Response, OauthError> {
    let (parts, body) = request.into_parts();
    super::form::check_query(&parts.uri)?;
    let identity = caller(&app, &parts).await?;
    let headers = &parts.headers;
    let body = body::read(headers, body, MAX_BODY_BYTES.min(app.options.body_bytes)).await?;
    let asked = asked(headers, &body)?;
    let (subject, of_issuer) = subject(&app, &asked)?;
    let tenants = tenants(&identity, headers, of_issuer)?;
    let consistency =
        consistency(headers).map_err(|problem| OauthError::Malformed(problem.detail().to_owned().into()))?;
    let call = Call { identity, request: request_id(headers), idempotency: None, consistency };
    let hold = app.options.compat.oauth.gtr_hold;
    if !app.service.revoke_globally(&call, GlobalRevocation { tenants, subject, hold }).await? {
        return Err(OauthError::UnknownSubject);
    }
    Ok((StatusCode::NO_CONTENT, [(CACHE_CONTROL, NO_STORE)]).into_response())
}

/// An application that may revoke somewhere, or an issuer that the operator lets do so.
async fn caller(app: &App, parts: &Parts) -> Result<CallerIdentity, OauthError> {
    match client::of_headers(app, &parts.headers).await {
        Ok(client) => {
            client.needs(Scope::Revoke)?;
            Ok(client.identity)
        }
        Err(OauthError::WrongBearer) => {
            let secret = bearer_secret(&parts.headers).and_then(|secret| std::str::from_utf8(secret).ok());
            let jwt = secret.filter(|secret| looks_like_jwt(secret)).ok_or(OauthError::WrongBearer)?;
            let called = app.service.authenticate_issuer(jwt, parts.uri.path()).await;
            called.map_err(|error| match error {
                GlobalCallError::Token(TokenError::KeysUnreachable) => OauthError::KeysUnreachable,
                GlobalCallError::Token(_) | GlobalCallError::NotForThis => OauthError::WrongBearer,
            })
        }
        Err(error) => Err(error),
    }
}

/// The subject identifier.
fn asked(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, OauthError> {
    let types = fields::elements(headers, &CONTENT_TYPE);
    if !matches!(&*types, [one] if one.name == "application/json") {
        return Err(OauthError::malformed("the body must be application/json"));
    }
    let Exact(mut body) =
        serde_json::from_slice(body).map_err(|_| OauthError::malformed("the body is not a JSON object"))?;
    let one = match (body.remove("sub_id"), body.remove("subject")) {
        (Some(one), Some(other)) if one != other => {
            return Err(OauthError::malformed("`sub_id` and `subject` are not equal"));
        }
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => return Err(OauthError::malformed("`sub_id` is missing")),
    };
    match one {
        Value::Object(one) => Ok(one),
        _ => Err(OauthError::malformed("`sub_id` is not a JSON object")),
    }
}

/// The subject, and the tenants of the issuer that names it, if it is another one.
fn subject(app: &App, asked: &Map<String, Value>) -> Result<(GivenSubject, Option<Vec<Tenant>>), OauthError> {
    let member = |name: &str| asked.get(name).and_then(Value::as_str);
    let needed =
        |name: &str| member(name).ok_or(OauthError::malformed("a member of the subject identifier is missing"));
    let emails = app.options.compat.oauth.email_subjects;
    let address = |text: &str| match emails {
        EmailSubjects::No => Err(OauthError::malformed("subjects are not addresses here")),
        EmailSubjects::Exact => Ok(text.to_owned()),
        EmailSubjects::Lowercase => Ok(text.to_lowercase()),
    };
    let (text, tenants) = match member("format") {
        Some("opaque") => (needed("id")?.to_owned(), None),
        Some("iss_sub") => {
            let tenants = app.service.tenants_of_issuer(needed("iss")?);
            (needed("sub")?.to_owned(), tenants.ok_or(OauthError::malformed("`iss` is not a trusted issuer"))?)
        }
        Some("email") => (address(needed("email")?)?, None),
        Some("account") => {
            let account = needed("uri")?.strip_prefix("acct:");
            (address(account.ok_or(OauthError::malformed("`uri` is not an `acct:` URI"))?)?, None)
        }
        _ => return Err(OauthError::malformed("the format of the subject identifier is not one that is known here")),
    };
    let subject =
        GivenSubject::new(&text).map_err(|_| OauthError::malformed("the subject is not 1 to 255 bytes of text"))?;
    Ok((subject, tenants))
}

/// The tenants that are meant: of the issuer that names the subject, or of the caller. It may revoke in all of them.
fn tenants(
    identity: &CallerIdentity,
    headers: &HeaderMap,
    of_issuer: Option<Vec<Tenant>>,
) -> Result<Vec<Tenant>, OauthError> {
    const FORBIDDEN: OauthError = OauthError::InsufficientScope { scope: Scope::Revoke, is_bearer: false };
    let named = caller::once(headers, &X_TENANT).map_err(|_| OauthError::malformed("`X-Tenant` must be given once"))?;
    let named = named.map(|name| name.to_str().ok().and_then(|name| Tenant::new(name).ok()));
    let named = named.map(|name| name.ok_or(OauthError::malformed("`X-Tenant` is not a tenant's name"))).transpose()?;
    let own: Vec<&Tenant> = identity.grants.tenants_with(Scope::Revoke).collect();
    let mut tenants = match (named, of_issuer, &*own) {
        (Some(one), None, _) => vec![one],
        (Some(one), Some(all), _) => all.into_iter().filter(|tenant| *tenant == one).collect(),
        (None, Some(all), _) => all,
        (None, None, [only]) if !identity.grants.elsewhere().contains(Scope::Revoke) => vec![(*only).clone()],
        // Another issuer speaks for all of its tenants.
        (None, None, all) if is_issuer(identity) => all.iter().map(|tenant| (*tenant).clone()).collect(),
        (None, None, _) => vec![Tenant::default()],
    };
    if is_issuer(identity) {
        tenants.retain(|tenant| identity.may(Scope::Revoke, tenant));
    }
    // A success must be true of all of them.
    let may_all = tenants.iter().all(|tenant| identity.may(Scope::Revoke, tenant));
    if tenants.is_empty() || !may_all { Err(FORBIDDEN) } else { Ok(tenants) }
}

fn is_issuer(identity: &CallerIdentity) -> bool {
    matches!(identity.caller, Caller::Issuer { .. })
}
