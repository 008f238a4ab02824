//! `POST /token/revoke`

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};

use super::asked::{self, API_KEY};
use super::error::Refusal;
use super::wire::{Errors, TokenBody};
use crate::domain::{Scope, Secret};
use crate::http::caller::{bearer_secret, request_id};
use crate::http::{App, SharedApp};
use crate::jose::TokenError;
use crate::service::{Authentication, Call, Consistency, Identity, Judged, Revoker, Service, Why};

const NOBODY: Refusal = Refusal::Unauthenticated("send `SlashID-API-Key`, or the token itself as bearer");
const NOT_HIS: Refusal = Refusal::Unauthenticated("the bearer is neither this token nor an application's key");
const NOT_THERE: Refusal =
    Refusal::Unauthenticated("the application may not revoke tokens of the organization that this one is for");

/// Whoever wants a token ended.
enum Claimant {
    Application(Identity),
    /// Has something to show that is no application's secret.
    Bearer(Secret),
}

/// Ends a user token, or a token container and the token in it. An application with the scope `revoke` in its organisation
/// may, and so may whoever holds it: it counts as its own proof. What is ended or expired already is refused, unless a repetition
/// has to wait for the consistency that it asks for.
#[utoipa::path(
    post,
    path = "/token/revoke",
    tag = "slashid",
    params(
        ("SlashID-SdkVersion" = Option<String>, Header, description = "The SDK's version; it changes nothing"),
        (
            "SlashID-Required-Consistency" = Option<String>, Header, pattern = "^(local_region|all_regions)$",
            description = "Which nodes must have applied it before it is answered: local_region if left out",
        ),
        (
            "SlashID-Required-Consistency-Timeout" = Option<u64>, Header, minimum = 1, maximum = 120,
            description = "How many seconds to wait for them; 30 if left out",
        ),
    ),
    request_body = TokenBody,
    responses(
        (status = 204, description = "Ended, durable, and applied by those that were asked for"),
        (status = 400, description = "The request or token is refused, or it was ended or has expired already", body = Errors),
        (status = 401, description = "Neither an application that may, nor the token itself", body = Errors),
        (status = 405, description = "Not a POST", body = Errors),
        (status = 408, description = "Ended and durable; the wait was given up, and the ending goes on", body = Errors),
        (status = 500, description = "The machine failed", body = Errors),
        (status = 503, description = "The keys of its issuer are out of reach, or no commands are taken", body = Errors),
    ),
    security(("slashid" = []), ("application" = [])),
)]
pub async fn revoke(State(app): State<SharedApp>, request: Request) -> Result<StatusCode, Refusal> {
    let (parts, body) = request.into_parts();
    let claimant = claimant(&app, &parts.headers)?;
    let consistency = asked::consistency(&parts.headers)?;
    let body: TokenBody = match claimant {
        Claimant::Application(_) => asked::json(&app, body, TokenBody::FORM).await?,
        Claimant::Bearer(_) => asked::json_unauthenticated(&app, body, TokenBody::FORM).await?,
    };
    let token = presented(body)?;
    let (revoker, judged) = revoker(&app.service, claimant, &token, consistency, &parts.headers).await?;
    let revocations = app.service.revoke_jwt(revoker, &judged, Why::default()).await?;
    // Who repeats a call to learn how a 408 ended has to be told that it is done.
    if revocations.made || revocations.waited { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::AlreadyRevoked) }
}

impl TokenBody {
    /// What a body with a token must be.
    pub const FORM: &str = "the body must be a JSON object whose `token` is a string";
}

/// The token that the body names.
pub fn presented(body: TokenBody) -> Result<Secret, Refusal> {
    match body.token.as_deref() {
        None => Err(Refusal::Malformed("`token` is missing".into())),
        Some("") => Err(Refusal::Malformed("`token` must not be empty".into())),
        Some(token) => Ok(Secret::new(token)),
    }
}

/// A key that is sent is meant: a wrong one is refused, whatever else is shown.
fn claimant(app: &App, headers: &HeaderMap) -> Result<Claimant, Refusal> {
    if let Some(key) = asked::once(headers, &API_KEY, "SlashID-API-Key")? {
        return asked::application(app, key).map(Claimant::Application);
    }
    asked::once(headers, &AUTHORIZATION, "Authorization")?;
    let secret = bearer_secret(headers).ok_or(NOBODY)?;
    match app.service.authenticate(secret) {
        Authentication::Caller(identity) => Ok(Claimant::Application(identity)),
        Authentication::Expired(_) => Err(NOT_HIS),
        Authentication::Unknown => {
            std::str::from_utf8(secret).map(|text| Claimant::Bearer(Secret::new(text))).map_err(|_| NOT_HIS)
        }
    }
}

/// Who ends it, and what it is. Every signature is verified, the bearer's too.
async fn revoker(
    service: &Service,
    claimant: Claimant,
    token: &Secret,
    consistency: Consistency,
    headers: &HeaderMap,
) -> Result<(Revoker, Judged), Refusal> {
    let request = request_id(headers);
    match claimant {
        Claimant::Application(identity) => {
            let judged = service.judge_jwt(token.expose()).await?;
            if !identity.may(Scope::Revoke, &judged.presented.tenant) {
                return Err(NOT_THERE);
            }
            let call = Call { identity, request, idempotency: None, consistency: Some(consistency) };
            Ok((Revoker::Application(Box::new(call)), judged))
        }
        Claimant::Bearer(own) if own == *token => {
            let judged = service.judge_jwt(token.expose()).await?;
            let own = service.judge_jwt(own.expose()).await?;
            Ok((Revoker::Bearer(Box::new(own), request, Some(consistency)), judged))
        }
        Claimant::Bearer(own) => {
            let own = service.judge_jwt(own.expose()).await.map_err(|error| match error {
                TokenError::KeysUnreachable => Refusal::KeysUnreachable,
                // What is wrong with it is nobody's business who is not let in by it.
                _ => NOT_HIS,
            })?;
            let judged = service.judge_jwt(token.expose()).await?;
            if !Service::is_same_token(&own, &judged) {
                return Err(NOT_HIS);
            }
            Ok((Revoker::Bearer(Box::new(own), request, Some(consistency)), judged))
        }
    }
}
