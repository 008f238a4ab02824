//! `POST /oauth2/introspect`: RFC 7662.

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::client::{self, Client};
use super::error::{NO_STORE, OauthError, OauthErrorBody};
use super::form::Form;
use crate::domain::{Kind, Method, OauthClient, Scope, Timestamp};
use crate::http::{App, SharedApp, answer, fields};
use crate::jose::MAX_JWT_BYTES;
use crate::service::{Introspection, IssueFacts, SessionFacts};

/// The type of a signed answer: RFC 9701, section 4.
const SIGNED: &str = "application/token-introspection+jwt";
const TYP: &str = "token-introspection+jwt";

/// The parameters of the call. Unknown ones are ignored.
#[derive(ToSchema)]
#[schema(as = OauthIntrospect)]
#[expect(dead_code, reason = "only its description is used; forms are read where clients are")]
pub struct IntrospectForm {
    /// The secret or JWT that was presented to the caller.
    token: String,
    /// What the caller takes it for. It changes nothing.
    token_type_hint: Option<String>,
    /// Scopes, separated by spaces: the token is active only if it has all of them.
    scope: Option<String>,
}

/// An active token: RFC 7662, section 2.2. Any other is `{"active":false}` and nothing else.
#[derive(Serialize, ToSchema)]
#[schema(as = OauthIntrospection)]
pub struct ActiveShown<'a> {
    /// True.
    active: bool,
    /// The subject that it was issued to.
    sub: &'a str,
    /// The issuer: of a JWT as it says, and otherwise this ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    iss: Option<Cow<'a, str>>,
    /// When it expires unless it is used or extended, in whole seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    /// When it was issued, in whole seconds since 1970; left out if that is the second in which it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    /// When a JWT starts to be valid, in whole seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    /// Its public id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    jti: Option<&'a str>,
    /// Of a token: the application that issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    client_id: Option<Cow<'a, str>>,
    /// Of a token: what it allows, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    scope: Option<Cow<'a, str>>,
    /// Of a token: whom it is meant for. Always a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    aud: Vec<&'a str>,
    /// `Bearer`, or `DPoP` for a token that is bound to a key: a caller that presents it must prove possession. Left out for
    /// one that is bound to a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, pattern = "^(Bearer|DPoP)$")]
    token_type: Option<&'static str>,
    /// What a token is bound to: RFC 7800.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    cnf: Option<&'a Map<String, Value>>,
    /// The session that a token is revoked with; of a session its own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid")]
    sid: Option<String>,
    /// When its subject was authenticated, in whole seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    /// The assurance level; of a JWT as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    acr: Option<Cow<'a, Value>>,
    /// The methods of authentication; of a JWT as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>)]
    amr: Option<Cow<'a, Value>>,
    /// As a JWT says: RFC 8693, section 4.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    act: Option<&'a Value>,
    /// As a JWT says: RFC 8693, section 4.4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    may_act: Option<&'a Value>,
    /// As a JWT says: RFC 9396, section 9.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>)]
    authorization_details: Option<&'a Value>,
    /// As a JWT says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    azp: Option<&'a Value>,
    /// The name space of its subject.
    tenant: &'a str,
    /// `ticket`, `session` or `token`.
    kind: &'static str,
    /// Under Hydra's path, of a token: `access_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    token_use: Option<&'static str>,
    /// Under Hydra's path, of a token: an empty object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    ext: Option<Nothing>,
}

/// An empty object.
#[derive(Serialize)]
struct Nothing {}

/// A token that is not active, for whatever reason.
#[derive(Serialize, ToSchema)]
#[schema(as = OauthInactive)]
// Closed in the document, so that it does not describe an active token too.
#[serde(deny_unknown_fields)]
pub struct InactiveShown {
    /// False.
    active: bool,
}

/// Either of both.
#[derive(Serialize, ToSchema)]
#[schema(as = OauthIntrospectionAnswer)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "it is made once for each answer, and written at once")]
pub enum Shown<'a> {
    Active(ActiveShown<'a>),
    Inactive(InactiveShown),
}

const INACTIVE: Shown<'static> = Shown::Inactive(InactiveShown { active: false });

/// The form of the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Json,
    Signed,
}

/// Whether a token, session or ticket is active, and whose it is: RFC 7662, or signed by RFC 9701. Asking does not
/// prolong it. Needs the scope `introspect` in its tenant; a credential of another tenant is not active.
#[utoipa::path(
    post,
    path = "/oauth2/introspect",
    tag = "oauth",
    request_body(content = IntrospectForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The introspection", body = Shown),
        (status = 400, description = "The request can't be used", body = OauthErrorBody),
        (status = 401, description = "The credentials of the client are missing or wrong", body = OauthErrorBody),
        (status = 403, description = "The client may introspect nowhere", body = OauthErrorBody),
        (status = 405, description = "Not a POST", body = OauthErrorBody),
        (status = 406, description = "`Accept` has no type that is answered here", body = OauthErrorBody),
        (status = 413, description = "The body or the token is too large", body = OauthErrorBody),
        (status = 500, description = "The machine failed", body = OauthErrorBody),
        (status = 503, description = "The keys of its issuer are out of reach, or the node is not ready", body = OauthErrorBody),
    ),
)]
pub async fn introspect(State(app): State<SharedApp>, request: Request) -> Result<Response, OauthError> {
    answer(&app, request, false).await
}

/// The same under Ory Hydra's path, with the members that Hydra's clients read. Needs the scope `introspect`.
#[utoipa::path(
    post,
    path = "/admin/oauth2/introspect",
    tag = "oauth",
    request_body(content = IntrospectForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The introspection", body = Shown),
        (status = 400, description = "The request can't be used", body = OauthErrorBody),
        (status = 401, description = "The credentials of the client are missing or wrong", body = OauthErrorBody),
        (status = 403, description = "The client may introspect nowhere", body = OauthErrorBody),
        (status = 405, description = "Not a POST", body = OauthErrorBody),
        (status = 406, description = "`Accept` has no type that is answered here", body = OauthErrorBody),
        (status = 413, description = "The body or the token is too large", body = OauthErrorBody),
        (status = 500, description = "The machine failed", body = OauthErrorBody),
        (status = 503, description = "The keys of its issuer are out of reach, or the node is not ready", body = OauthErrorBody),
    ),
)]
pub async fn introspect_as_hydra(State(app): State<SharedApp>, request: Request) -> Result<Response, OauthError> {
    answer(&app, request, true).await
}

async fn answer(app: &App, request: Request, as_hydra: bool) -> Result<Response, OauthError> {
    let wanted = wanted(&request);
    let asked = client::asked(app, request, Some(Scope::Introspect)).await.map_err(|error| match error {
        // RFC 9701, section 5.
        OauthError::NoClient if wanted == Some(Wanted::Signed) => {
            OauthError::malformed("a signed answer is for an authenticated client only")
        }
        error => error,
    })?;
    let wanted = wanted.ok_or(OauthError::NotAcceptable)?;
    let form = asked.form()?;
    let found = find(app, &asked.client, &form).await?;
    let issuer = app.service.token_issuer();
    let terms = terms(&asked.client);
    let shown = match &found {
        Some((found, facts)) => {
            let ours = issuer.as_ref().map(|issuer| issuer.as_str());
            let mut shown = ActiveShown::of(found, facts, ours, as_hydra);
            shown.exp = shown.exp.filter(|_| terms.is_none_or(|terms| !terms.omits_exp));
            Shown::Active(shown)
        }
        None => INACTIVE,
    };
    let mut response = match wanted {
        Wanted::Json => answer::json(StatusCode::OK, &shown),
        Wanted::Signed => {
            let claims = SignedAnswer {
                iss: issuer.as_ref().ok_or(OauthError::Unavailable)?.as_str(),
                aud: &asked.client.id(),
                iat: app.service.clock().now().as_seconds(),
                token_introspection: &shown,
            };
            let algorithm = terms.and_then(|terms| terms.signed_response_alg.as_deref()?.parse().ok());
            let jwt = app.service.sign_answer(TYP, &claims, algorithm).await?;
            (StatusCode::OK, [(CONTENT_TYPE, HeaderValue::from_static(SIGNED))], jwt).into_response()
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}

/// RFC 9701, section 5. There is no `sub` and no `exp` beside the members: nobody can take it for an access token.
#[derive(Serialize)]
struct SignedAnswer<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    token_introspection: &'a Shown<'a>,
}

/// What was registered of that client.
fn terms(client: &Client) -> Option<&OauthClient> {
    client.identity.registration.as_ref()?.oauth.as_deref()
}

/// The form that the client prefers: JSON, unless it names the other one.
fn wanted(request: &Request) -> Option<Wanted> {
    let accepted = fields::elements(request.headers(), &ACCEPT);
    if accepted.is_empty() {
        return Some(Wanted::Json);
    }
    let weight = |media_type| fields::accepted(&accepted, media_type).filter(|(weight, _)| *weight > 0);
    match (weight("application/json"), weight(SIGNED)) {
        (json, Some(signed)) if json.is_none_or(|json| signed > json) => Some(Wanted::Signed),
        (Some(_), _) => Some(Wanted::Json),
        (None, _) => None,
    }
}

/// The credential, if it is active for that client.
async fn find(app: &App, client: &Client, form: &Form<'_>) -> Result<Option<(Introspection, IssueFacts)>, OauthError> {
    let token = token(form)?;
    let Some(found) = app.service.introspect(&client.identity, token, None).await? else { return Ok(None) };
    if is_over(&found, app.service.clock().now()) {
        return Ok(None);
    }
    let facts = app.service.issue_facts(&found).await?;
    let audience = found.audience(&facts);
    let is_for_client =
        terms(client).is_none_or(|terms| audience.is_empty() || terms.may_use(audience.iter().copied()));
    let is_shown = is_for_client && has_scopes(form, &found, &facts);
    Ok(is_shown.then_some((found, facts)))
}

/// Clients believe `active` beyond `exp`, which has whole seconds.
fn is_over(found: &Introspection, now: Timestamp) -> bool {
    found.expires_at.is_some_and(|expires_at| expires_at.as_seconds() <= now.as_seconds())
}

/// Whether it has all the scopes that the caller asks for.
fn has_scopes(form: &Form<'_>, found: &Introspection, facts: &IssueFacts) -> bool {
    form.get("scope").is_none_or(|wanted| {
        let scope = found.scope(facts);
        let granted: Vec<&str> = scope.as_deref().unwrap_or_default().split(' ').collect();
        wanted.split(' ').filter(|one| !one.is_empty()).all(|one| granted.contains(&one))
    })
}

/// Whether a request takes an answer in JSON, for a server that signs none.
pub fn takes_json(request: &Request) -> bool {
    wanted(request) == Some(Wanted::Json)
}

/// The answer of a server without applications, about a token that is active there, or is not. `ours` is the ledger's name as
/// an issuer.
pub fn answer_of(
    found: Option<&(Introspection, IssueFacts)>,
    form: &Form<'_>,
    ours: Option<&str>,
    now: Timestamp,
) -> Response {
    let found = found.filter(|(found, facts)| !is_over(found, now) && has_scopes(form, found, facts));
    let shown = found.map_or(INACTIVE, |(found, facts)| Shown::Active(ActiveShown::of(found, facts, ours, false)));
    let mut response = answer::json(StatusCode::OK, &shown);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// The parameter `token`.
pub fn token<'a>(form: &'a Form<'_>) -> Result<&'a str, OauthError> {
    let token = form.get("token").ok_or(OauthError::malformed("`token` is missing"))?;
    if token.len() > MAX_JWT_BYTES { Err(OauthError::TooLarge) } else { Ok(token) }
}

impl<'a> ActiveShown<'a> {
    fn of(found: &'a Introspection, facts: &'a IssueFacts, ours: Option<&'a str>, as_hydra: bool) -> Self {
        let jwt = found.jwt.as_deref();
        let says = |name: &str| jwt.and_then(|jwt| jwt.claims.get(name));
        let is_token = found.kind == Kind::Token;
        let exp = found.expires_at.filter(|_| jwt.is_none_or(|jwt| jwt.claims.contains_key("exp")));
        let exp = exp.map(Timestamp::as_seconds);
        let session = match facts {
            IssueFacts::Session(session) => Some(session),
            IssueFacts::Nothing | IssueFacts::Token(_) => None,
        };
        Self {
            active: true,
            sub: found.subject.as_str(),
            iss: found.issuer.as_deref().or(ours).map(Cow::Borrowed),
            exp,
            iat: found.issued_at.map(Timestamp::as_seconds).filter(|iat| exp.is_none_or(|exp| *iat < exp)),
            nbf: jwt.and_then(|jwt| jwt.not_before),
            jti: found.id.as_deref(),
            client_id: found.client().filter(|_| is_token),
            scope: found.scope(facts),
            aud: found.audience(facts),
            token_type: token_type(found).filter(|_| is_token),
            cnf: found.binding.as_ref().map(|binding| &binding.cnf),
            sid: sid(found),
            auth_time: session
                .map(|session| authenticated_at(found, session))
                .or_else(|| says("auth_time").and_then(whole)),
            acr: session.map(|session| Cow::Owned(json!(session.aal.to_string()))).or(says("acr").map(Cow::Borrowed)),
            amr: session.map(|session| Cow::Owned(methods(&session.methods))).or(says("amr").map(Cow::Borrowed)),
            act: says("act"),
            may_act: says("may_act"),
            authorization_details: says("authorization_details"),
            azp: says("azp"),
            tenant: found.tenant.as_str(),
            kind: found.kind.as_str(),
            token_use: (as_hydra && is_token).then_some("access_token"),
            ext: (as_hydra && is_token).then_some(Nothing {}),
        }
    }
}

fn authenticated_at(found: &Introspection, session: &SessionFacts) -> u64 {
    session.authenticated_at.or(found.issued_at).unwrap_or_default().as_seconds()
}

fn methods(methods: &[Method]) -> Value {
    methods.iter().map(|method| method.method.as_str()).collect()
}

/// A number of seconds without its fraction.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64))
}

fn sid(found: &Introspection) -> Option<String> {
    match found.kind {
        Kind::Session => found.id.clone(),
        Kind::Token => found.session().map(|id| id.uuid().to_string()),
        Kind::Ticket => None,
    }
}

/// A token that is bound to a key is never called a bearer token.
fn token_type(found: &Introspection) -> Option<&'static str> {
    match &found.binding {
        None => Some("Bearer"),
        Some(binding) => binding.key.map(|_| "DPoP"),
    }
}
