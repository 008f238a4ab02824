//! `POST /v1/keys`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::key::KeyShown;
use crate::domain::Scope;
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateKey)]
struct RotateKeyBody {
    /// Let the next key sign even if it was published too recently: because the key that signs is no longer secret.
    /// Verifiers that do not fetch the keys again at once refuse good tokens until they do.
    #[serde(default)]
    now: bool,
}

/// The keys after a rotation: the key that signs now, and the one that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = RotatedKeys)]
struct RotatedKeysShown<'a> {
    #[serde(flatten)]
    signs: KeyShown<'a>,
    /// The key that was made, and is next.
    next: KeyShown<'a>,
}

/// Makes the next key sign this node's tokens from now on, and makes and publishes another one, which is next. The
/// previous key stays published until the last token that it signed has expired. Refused while the next key has not
/// been published for --key-publish-ahead, because verifiers that have fetched the keys would not find it among them.
/// Needs the scope `admin` in every tenant.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "keys",
    params(CommandHeaders),
    request_body = RotateKeyBody,
    responses((status = 201, description = "The key that signs now, and the new one, published and durable", body = RotatedKeysShown), Refusals),
)]
pub async fn rotate_key(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    caller::authorise_everywhere(&app, request.headers(), Scope::Admin).await?;
    let (call, _, body) = caller::command_at_or_default::<RotateKeyBody>(&app, request, Scope::Admin).await?;
    let keys = app.service.rotate_key(&call, body.now).await?;
    let rotated = RotatedKeysShown { signs: KeyShown::from(&keys.signs), next: KeyShown::from(&keys.next) };
    Ok(answer::json(StatusCode::CREATED, &rotated))
}
