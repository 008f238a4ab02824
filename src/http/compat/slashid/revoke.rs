//! `POST /token/revoke`

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::asked::{self, API_KEY};
use super::error::{Challenge, SlashidError};
use super::wire::{Errors, TokenBody};
use crate::domain::{Scope, Secret};
use crate::http::caller::{bearer_secret, request_id};
use crate::http::{App, SharedApp, caller};
use crate::jose::{ProofError, TokenError};
use crate::service::{Authentication, Call, CallerIdentity, Consistency, Judged, Revoker, Service, Why};

const DPOP: HeaderName = HeaderName::from_static("dpop");

const NOBODY: SlashidError = SlashidError::Unauthenticated("send `SlashID-API-Key`, or the token itself as bearer");
const NOT_ITS_OWN: SlashidError =
    SlashidError::Unauthenticated("the bearer is neither this token nor an application's key");
const NOT_THERE: SlashidError =
    SlashidError::Unauthenticated("the application may not revoke tokens of the organization that this one is for");

/// The caller that wants a token revoked.
enum Claimant {
    Application(CallerIdentity),
    /// It presented something that is not an application's secret.
    Holder(Presented),
}

/// A token that is presented as its own authorisation.
struct Presented {
    token: Secret,
    /// With the scheme `DPoP`: the proof that came with it, and the path that it was sent to.
    proof: Option<(Box<str>, Box<str>)>,
}

/// Revokes a user token, or a token container and the token in it. An application with the scope `revoke` in its
/// organisation may, and so may the holder of the token, which counts as its own proof; the holder of a bound token sends it
/// with the scheme `DPoP`, and a proof for this path of the ledger's issuer (RFC 9449, section 7.1). A token that is revoked or
/// expired already is refused, unless a repetition has to wait for the consistency that it asks for.
#[utoipa::path(
    post,
    path = "/token/revoke",
    tag = "slashid",
    params(
        ("SlashID-SdkVersion" = Option<String>, Header, description = "The SDK's version; it changes nothing"),
        (
            "SlashID-Required-Consistency" = Option<String>, Header, pattern = "^(local_region|all_regions)$",
            description = "Which nodes must have applied the revocation before the answer: local_region if left out",
        ),
        (
            "SlashID-Required-Consistency-Timeout" = Option<u64>, Header, minimum = 1, maximum = 120,
            description = "How many seconds to wait for them; 30 if left out",
        ),
    ),
    request_body = TokenBody,
    responses(
        (status = 204, description = "Revoked, durable, and applied by the requested nodes"),
        (status = 400, description = "The request or token is refused, or the token was revoked or has expired already", body = Errors),
        (status = 401, description = "The caller is not an application with that scope, and did not present the token itself", body = Errors),
        (status = 405, description = "Not a POST", body = Errors),
        (status = 408, description = "Revoked and durable; the wait timed out, and the revocation is still sent to the other nodes", body = Errors),
        (status = 500, description = "The machine failed", body = Errors),
        (status = 503, description = "The keys of its issuer are out of reach, or no commands are taken", body = Errors),
    ),
    security(("slashid" = []), ("application" = [])),
)]
pub async fn revoke(State(app): State<SharedApp>, request: Request) -> Result<StatusCode, SlashidError> {
    let (parts, body) = request.into_parts();
    let claimant = claimant(&app, &parts)?;
    let consistency = asked::consistency(&parts.headers)?;
    let body: TokenBody = match claimant {
        Claimant::Application(_) => asked::json(&app, &parts.headers, body, TokenBody::FORM).await?,
        Claimant::Holder(_) => asked::json_unauthenticated(&app, &parts.headers, body, TokenBody::FORM).await?,
    };
    let token = presented(body)?;
    let (revoker, judged) = revoker(&app.service, claimant, &token, consistency, &parts.headers).await?;
    let revocations = app.service.revoke_jwt(revoker, &judged, Why::default()).await?;
    // A caller that repeats a call to learn how a 408 went on has to be told that it is done.
    if revocations.made || revocations.waited { Ok(StatusCode::NO_CONTENT) } else { Err(SlashidError::AlreadyRevoked) }
}

impl TokenBody {
    /// The form of a body with a token.
    pub const FORM: &str = "the body must be a JSON object whose `token` is a string";
}

/// The token that the body names.
pub fn presented(body: TokenBody) -> Result<Secret, SlashidError> {
    match body.token.as_deref() {
        None => Err(SlashidError::Malformed("`token` is missing".into())),
        Some("") => Err(SlashidError::Malformed("`token` must not be empty".into())),
        Some(token) => Ok(Secret::new(token)),
    }
}

/// A key that was sent counts: a wrong one is refused, whatever else is presented.
fn claimant(app: &App, parts: &Parts) -> Result<Claimant, SlashidError> {
    let headers = &parts.headers;
    if let Some(key) = asked::once(headers, &API_KEY, "SlashID-API-Key")? {
        return asked::application(app, key).map(Claimant::Application);
    }
    if let Some(token) = asked::once(headers, &AUTHORIZATION, "Authorization")?.and_then(proven_secret) {
        return Ok(Claimant::Holder(Presented { token, proof: Some(proof(parts)?) }));
    }
    let secret = bearer_secret(headers).ok_or(NOBODY)?;
    match app.service.authenticate(secret) {
        Authentication::Caller(identity) => Ok(Claimant::Application(identity)),
        Authentication::Expired(_) => Err(NOT_ITS_OWN),
        Authentication::Unknown => {
            let token = std::str::from_utf8(secret).map(Secret::new).map_err(|_| NOT_ITS_OWN)?;
            Ok(Claimant::Holder(Presented { token, proof: None }))
        }
    }
}

/// RFC 9449, section 7.1. An application's secret is not bound, so it never comes in this way.
fn proven_secret(value: &HeaderValue) -> Option<Secret> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("dpop").then(|| Secret::new(token.trim()))
}

/// The one proof, and the path that it must be for.
fn proof(parts: &Parts) -> Result<(Box<str>, Box<str>), SlashidError> {
    let proof = caller::once(&parts.headers, &DPOP).ok().flatten().and_then(|proof| proof.to_str().ok());
    let proof = proof.ok_or(SlashidError::Bound(Challenge::OtherProof))?;
    Ok((proof.into(), parts.uri.path().into()))
}

/// Whether the holder may present the token: a bearer token as it is, and a bound one with a proof.
fn may_present(service: &Service, own: &Judged, presented: &Presented) -> Result<(), SlashidError> {
    let challenge = match (own.binding(), &presented.proof) {
        (None, None) => return Ok(()),
        // RFC 9449, section 7.1: what comes with this scheme must be bound to the proof's key.
        (None, Some(_)) => Challenge::BoundToken,
        (Some(binding), _) if binding.key.is_none() || binding.certificate.is_some() => Challenge::OtherToken,
        (Some(_), None) => Challenge::Proof,
        (Some(binding), Some((proof, path))) => {
            match service.proves_possession(&binding, presented.token.expose(), proof, "POST", path) {
                Ok(()) => return Ok(()),
                Err(ProofError::TooMany) => return Err(SlashidError::Unavailable),
                Err(_) => Challenge::OtherProof,
            }
        }
    };
    Err(SlashidError::Bound(challenge))
}

/// The identity that revokes the token, and the token. Every signature is verified, the bearer's too.
async fn revoker(
    service: &Service,
    claimant: Claimant,
    token: &Secret,
    consistency: Consistency,
    headers: &HeaderMap,
) -> Result<(Revoker, Judged), SlashidError> {
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
        Claimant::Holder(presented) if presented.token == *token => {
            let judged = service.judge_jwt(token.expose()).await?;
            let own = service.judge_jwt(token.expose()).await?;
            may_present(service, &own, &presented)?;
            Ok((Revoker::Bearer(Box::new(own), request, Some(consistency)), judged))
        }
        Claimant::Holder(presented) => {
            let own = service.judge_jwt(presented.token.expose()).await.map_err(|error| match error {
                TokenError::KeysUnreachable => SlashidError::KeysUnreachable,
                // Do not tell an unauthenticated caller why the token was rejected.
                _ => NOT_ITS_OWN,
            })?;
            let judged = service.judge_jwt(token.expose()).await?;
            if !Service::is_same_token(&own, &judged) {
                return Err(NOT_ITS_OWN);
            }
            may_present(service, &own, &presented)?;
            Ok((Revoker::Bearer(Box::new(own), request, Some(consistency)), judged))
        }
    }
}
