//! `DELETE /v1/keys/{kid}`

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::revoke::{Made, answer_with};
use crate::domain::{KeyId, Reason, Scope};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::wire::WireText;
use crate::http::{SharedApp, caller, input};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WithdrawParameters {
    /// Why: a code of 1 to 64 characters a-z, 0-9, '_', '.' and '-'.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9_.-]{1,64}$")]
    reason: Option<WireText<Reason>>,
}

/// Withdraws a key that signs or signed the ledger's JWTs, because somebody else may have it: it leaves the published set
/// at once, it signs and verifies no more, and every token that it signed is revoked, in one record. If it was the key
/// that signs, the next one takes over, as soon as it has been published for --key-publish-ahead. Verifiers that hold the
/// former set accept its tokens until they fetch the keys again, or follow the feed. Needs the scopes `admin` and `revoke`
/// in every tenant.
#[utoipa::path(
    delete,
    path = "/v1/keys/{kid}",
    tag = "keys",
    params(("kid" = String, Path, description = "The key's name, as `GET /v1/keys` shows it"), WithdrawParameters, CommandHeaders),
    responses(
        (status = 201, description = "Withdrawn; the revocation of what it signed", body = Made),
        (status = 200, description = "It was withdrawn already; that revocation", body = Made),
        Refusals,
    ),
)]
pub async fn withdraw_key(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, mut parts) = caller::bare_command_everywhere(&app, request, Scope::Admin).await?;
    let kid = KeyId::new(&input::segment(&mut parts).await?)
        .map_err(|must_be| Problem::with_detail(Code::InvalidPath, format!("`kid` must be {must_be}")))?;
    let WithdrawParameters { reason } = input::query(&parts.uri)?;
    let withdrawn = app.service.withdraw_key(&call, kid, reason.map(|WireText(reason)| reason)).await?;
    answer_with(&app, withdrawn).await
}
