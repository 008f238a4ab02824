//! `DELETE /v1/subjects/{subject}/personal-data`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{GivenSubject, Reason, Scope, Tenant, Timestamp};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{Shown, WireText, present};
use crate::http::{SharedApp, answer, caller, input};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EraseParameters {
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// Why: a code of 1 to 64 characters a-z, 0-9, '_', '.' and '-'.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, pattern = "^[a-z0-9_.-]{1,64}$")]
    reason: Option<WireText<Reason>>,
}

/// An erased subject.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
struct Erased<'a> {
    /// The name space of the subject.
    tenant: &'a str,
    /// The subject.
    subject: &'a str,
    /// When it was first erased.
    #[schema(value_type = String, format = DateTime)]
    erased_at: Shown<Timestamp>,
    /// How many keys were destroyed, by this call and by earlier ones.
    keys_destroyed: usize,
    /// The first record of the erasure: its place in this node's log.
    position: u64,
    /// Whether it had been erased before this call.
    already: bool,
}

/// Erases a subject. Everything that it has is revoked permanently, nothing is issued to it any more, and the keys of
/// all its personal data on record are destroyed: identities and devices of its sessions, added claims of its tokens,
/// notes of its revocations. The records stay, and so does the subject's name in them. An erasure cannot be undone.
/// Where the index is behind, the rest of the log is read. Needs the scope `admin` in the tenant.
#[utoipa::path(
    delete,
    path = "/v1/subjects/{subject}/personal-data",
    tag = "subjects",
    params(("subject" = String, Path, description = "The subject"), EraseParameters, CommandHeaders),
    responses((status = 200, description = "Erased, by this call or by an earlier one", body = Erased), Refusals),
)]
pub async fn erase(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, mut parts) = caller::bare_command(&app, request, Scope::Admin).await?;
    let given = GivenSubject::new(&input::segment(&mut parts).await?)
        .map_err(|must_be| Problem::with_detail(Code::InvalidPath, format!("`subject` must be {must_be}")))?;
    let EraseParameters { tenant, reason } = input::query(&parts.uri)?;
    let tenant = tenant.map(|WireText(tenant)| tenant).unwrap_or_default();
    let subject = app.service.named(&tenant, &given);
    let reason = reason.map(|WireText(reason)| reason);
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
