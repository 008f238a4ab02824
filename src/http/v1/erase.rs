//! `DELETE /v1/subjects/{subject}/personal-data`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{GivenSubject, Reason, Scope, Tenant, Timestamp};
use crate::http::openapi::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{Shown, Text, present};
use crate::http::{SharedApp, answer, caller, input};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Parameters {
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<Text<Tenant>>,
    /// Why: a code of 1 to 64 characters a-z, 0-9, '_', '.' and '-'.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, pattern = "^[a-z0-9_.-]{1,64}$")]
    reason: Option<Text<Reason>>,
}

/// A subject that was forgotten.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
struct Erased<'a> {
    /// The name space of the subject.
    tenant: &'a str,
    /// Who it is.
    subject: &'a str,
    /// When it was forgotten first.
    #[schema(value_type = String, format = DateTime)]
    erased_at: Shown<Timestamp>,
    /// How many keys were destroyed, by this call and by those before.
    keys_destroyed: usize,
    /// The first record of it: its place in this node's log.
    position: u64,
    /// Whether it had been forgotten before this call.
    already: bool,
}

/// Forgets a subject. All that it has ends for good, nothing is issued to it any more, and the keys of everything personal on
/// record of it are destroyed: identities and devices of its sessions, added claims of its tokens, notes of its revocations. The
/// records stay, and so does the subject's own name in them. Nothing undoes it. What is not
/// in the index yet is read in the log. Needs the scope `admin` in the tenant.
#[utoipa::path(
    delete,
    path = "/v1/subjects/{subject}/personal-data",
    tag = "subjects",
    params(("subject" = String, Path, description = "Who it is"), Parameters, CommandHeaders),
    responses((status = 200, description = "Forgotten, by this call or by one before", body = Erased), Refusals),
)]
pub async fn erase(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, mut parts) = caller::bare_command(&app, request, Scope::Admin).await?;
    let given = GivenSubject::new(&input::segment(&mut parts).await?)
        .map_err(|must_be| Problem::with_detail(Code::InvalidPath, format!("`subject` must be {must_be}")))?;
    let Parameters { tenant, reason } = input::query(&parts.uri)?;
    let tenant = tenant.map(|Text(tenant)| tenant).unwrap_or_default();
    let subject = app.service.named(&tenant, &given);
    let reason = reason.map(|Text(reason)| reason);
    let forgotten = app.service.erase_subject(&call, tenant.clone(), subject.clone(), reason).await?;
    let body = Erased {
        tenant: tenant.as_str(),
        subject: subject.as_str(),
        erased_at: Shown(forgotten.erased_at),
        keys_destroyed: forgotten.keys_destroyed,
        position: forgotten.position.0,
        already: forgotten.already,
    };
    Ok(answer::json(StatusCode::OK, &body))
}
