//! `POST /token/validate`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::asked;
use super::error::SlashidError;
use super::revoke::presented;
use super::wire::{Errors, Invalidity, Success, TokenBody, Validity, success};
use crate::domain::Timestamp;
use crate::http::SharedApp;
use crate::http::wire::Shown;
use crate::jose::TokenError;
use crate::service::{Judged, JwtStanding, Service};

/// Whether a token is active now. Its holder may ask. A bound token (RFC 9449, RFC 8705) is not valid here: the answer has no
/// room to say that its text alone must not be accepted.
#[utoipa::path(
    post,
    path = "/token/validate",
    tag = "slashid",
    request_body = TokenBody,
    responses(
        (status = 200, description = "Whether it is active, and why not", body = Success<Validity>),
        (status = 400, description = "The body does not name a token", body = Errors),
        (status = 405, description = "Not a POST", body = Errors),
        (status = 503, description = "The keys of its issuer are out of reach", body = Errors),
    ),
    security(()),
)]
pub async fn validate(State(app): State<SharedApp>, request: Request) -> Result<Response, SlashidError> {
    let (parts, body) = request.into_parts();
    let token = presented(asked::json_unauthenticated(&app, &parts.headers, body, TokenBody::FORM).await?)?;
    let validity = match app.service.judge_jwt(token.expose()).await {
        Ok(judged) => validity(&app.service, &judged),
        Err(error) => invalid(reason(error).ok_or(SlashidError::KeysUnreachable)?),
    };
    Ok(success(StatusCode::OK, validity))
}

fn validity(service: &Service, judged: &Judged) -> Validity {
    match judged.standing {
        // The caller has the text alone, and would accept it from anyone.
        JwtStanding::Active if judged.binding().is_some() => invalid(Invalidity::InvalidTokenContent),
        JwtStanding::Active => good(judged, service.clock().now()),
        JwtStanding::NotYetValid => invalid(Invalidity::InvalidTokenContent),
        JwtStanding::Expired => invalid(Invalidity::Expired),
        // A hold refuses new tokens and revokes none: it says more of one that is revoked, and nothing of one that is not.
        JwtStanding::Revoked(..) if service.is_on_hold(&judged.presented) => invalid(Invalidity::PersonNotActive),
        JwtStanding::Revoked(..) => invalid(Invalidity::Revoked),
    }
}

/// A container expires at the earlier expiry of the two: it is active while both are.
fn good(judged: &Judged, now: Timestamp) -> Validity {
    let tokens = std::iter::once(&judged.presented).chain(&judged.inner);
    let expires_at = tokens.filter_map(|token| token.expires_at).min();
    Validity {
        valid: true,
        expires_in_seconds: expires_at.map(|at| at.millis_since(now) / 1000),
        expires_at: expires_at.map(Shown),
        invalidity_reason: None,
    }
}

fn invalid(reason: Invalidity) -> Validity {
    Validity { invalidity_reason: Some(reason), ..Validity::default() }
}

/// The reason in SlashID's words; nothing if it can't be known yet.
const fn reason(error: TokenError) -> Option<Invalidity> {
    match error {
        TokenError::KeysUnreachable => None,
        TokenError::MissingIssuer | TokenError::UnknownIssuer | TokenError::ForeignTenant => {
            Some(Invalidity::InvalidIssuer)
        }
        TokenError::TooLong
        | TokenError::NotThreeParts
        | TokenError::NotBase64Url
        | TokenError::MalformedHeader
        | TokenError::DuplicateHeader
        | TokenError::TwoKeyIds
        | TokenError::MalformedKeyId
        | TokenError::Critical
        | TokenError::MissingAlgorithm
        | TokenError::Unsigned
        | TokenError::Hmac
        | TokenError::UnsupportedAlgorithm
        | TokenError::MalformedClaims
        | TokenError::DuplicateClaim
        | TokenError::KeyIdNeeded
        | TokenError::UnknownKey
        | TokenError::BadSignature
        | TokenError::MissingSubject
        | TokenError::MalformedSubject
        | TokenError::MissingTenant
        | TokenError::MalformedTenant
        | TokenError::MalformedId
        | TokenError::MalformedTime(_)
        | TokenError::MalformedSession
        | TokenError::MalformedGeneration
        | TokenError::MalformedConfirmation
        | TokenError::NestedContainer
        | TokenError::ContainerMismatch => Some(Invalidity::InvalidTokenContent),
    }
}
