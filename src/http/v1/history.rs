//! `GET` and `POST /v1/history`

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::asked::{NameParameters, query};
use crate::audit::{Lookup, LookupCredential};
use crate::domain::{Digest, GivenSubject, Issuer, Kind, Position, Scope, Secret, Tenant};
use crate::event_log::StoredRecord;
use crate::http::answer::NDJSON;
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{Whole, WireText, present};
use crate::http::{SharedApp, answer, caller, input};
use crate::service::{HistoryPage, MAX_TOLD, Pace, Party};

/// The default number of records on a page.
const DEFAULT_LIMIT: usize = 100;

/// A subject or credential, and a page of its history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryParameters {
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// A subject.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, min_length = 1, max_length = 255)]
    subject: Option<WireText<GivenSubject>>,
    /// A credential, by the digest of a credential's secret, or with `issuer`, of the payload of a JWT without `jti`.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, pattern = "^[0-9a-f]{64}$")]
    digest: Option<WireText<Digest>>,
    /// With `id`: `ticket`, `session` or `token`.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, pattern = "^(ticket|session|token)$")]
    kind: Option<WireText<Kind>>,
    /// A credential, by its public id: 32 hexadecimal digits, a session's UUID, or with `issuer` a JWT's `jti`.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, min_length = 1)]
    id: Option<String>,
    /// The issuer of the JWT.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, min_length = 1, max_length = 255)]
    issuer: Option<WireText<Issuer>>,
    /// The position after which the page starts; 0, which is before the first, if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = u64)]
    after: Option<WireText<Whole>>,
    /// The most records in the page; 100 if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = u64, minimum = 1, maximum = 1_000)]
    limit: Option<WireText<Whole>>,
}

/// The credential, and a page of its history.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PresentedHistory)]
struct HistoryBody {
    /// The secret or JWT, exactly as its bearer presented it. A JWT's signature is not checked: the answer is what the
    /// log has under the JWT's name.
    credential: String,
    /// The position after which the page starts; 0, which is before the first, if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64)]
    after: Option<u64>,
    /// The most records in the page; 100 if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 1_000)]
    limit: Option<u64>,
}

/// The history of a subject or a credential, one record on each line: `{"position","stored_at","record"}`, with the
/// record byte for byte. Needs the scope `audit` in every tenant. The history of a credential includes the revocations
/// of its session and of its subject that reached it. If there is more, the header `Link` names the next page.
#[utoipa::path(
    get,
    path = "/v1/history",
    tag = "audit",
    params(HistoryParameters),
    responses(
        (
            status = 200,
            description = "A page of records",
            body = String,
            content_type = "application/x-ndjson",
            headers(("link" = String, description = "The next page, `rel=\"next\"`, if there is one")),
        ),
        Refusals,
    ),
)]
pub async fn history(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Audit).await?;
    let page: HistoryParameters = input::query(&parts.uri)?;
    let limit = input::limit(page.limit.map(|WireText(limit)| limit.saturating()), DEFAULT_LIMIT, MAX_TOLD)?;
    let after = Position(page.after.map_or(0, |WireText(Whole(after))| after));
    let HistoryParameters { tenant, subject, digest, kind, id, issuer, .. } = page;
    let asked = NameParameters { tenant, subject, digest, kind, id, issuer }.asked(&app.service)?;
    let told = app.service.history(&identity, asked.clone(), after, limit).await?;
    show(told, &asked, limit, app.service.pace(Party::of(&identity)))
}

/// The history of a credential that is presented in the body, because an address must not hold a secret. Needs the
/// scope `audit` in every tenant.
#[utoipa::path(
    post,
    path = "/v1/history",
    tag = "audit",
    request_body = HistoryBody,
    responses(
        (
            status = 200,
            description = "A page of records",
            body = String,
            content_type = "application/x-ndjson",
            headers(("link" = String, description = "The next page, `rel=\"next\"`, if there is one; it names the credential by its digest")),
        ),
        Refusals,
    ),
)]
pub async fn presented_history(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (identity, body) = caller::question_everywhere::<HistoryBody>(&app, request, Scope::Audit).await?;
    let asked = Lookup::Credential(LookupCredential::presented(&Secret::new(&body.credential)));
    let asked_for = body.limit.map(|limit| Whole(limit).saturating());
    let limit = input::limit(asked_for, DEFAULT_LIMIT, MAX_TOLD)
        .map_err(|problem| Problem::with_detail(Code::InvalidBody, problem.detail().to_owned()))?;
    let after = Position(body.after.unwrap_or_default());
    let told = app.service.history(&identity, asked.clone(), after, limit).await?;
    show(told, &asked, limit, app.service.pace(Party::of(&identity)))
}

fn show(told: HistoryPage, asked: &Lookup, limit: usize, pace: Pace) -> Result<Response, Problem> {
    let last = told.records.last().filter(|_| told.more).map(|last| last.position);
    let write = |stored: &StoredRecord, body: &mut Vec<u8>| {
        let stored_at = stored.stored_at.as_millis();
        // The record is embedded as its own JSON text, so that its bytes stay the ones that are hashed.
        body.extend(format!("{{\"position\":{},\"stored_at\":{stored_at},\"record\":", stored.position).as_bytes());
        body.extend(stored.record.as_bytes());
        body.extend(b"}\n");
    };
    let body = answer::list(["", "", ""], told.records, write, pace)?;
    let mut response = (StatusCode::OK, [(CONTENT_TYPE, NDJSON)], body).into_response();
    let next = last.map(|last| format!("</v1/history?{}&after={last}&limit={limit}>; rel=\"next\"", query(asked)));
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
        response.headers_mut().insert(LINK, next);
    }
    Ok(response)
}
