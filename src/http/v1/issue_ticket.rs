//! `POST /v1/tickets`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parent::{ParentBody, ParentShown};
use crate::domain::{CredentialId, Event, GivenSubject, Scope, Tenant, Timestamp};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{JsonObject, MAX_TTL_SECONDS, Seconds, Shown, WireText, present};
use crate::http::{SharedApp, answer, caller, descriptions::Refusals};
use crate::service::{IssuedTicket, NewTicket};

/// A ticket to issue.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTicket)]
struct IssueTicketBody {
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// The subject that it is issued to: 1 to 255 bytes without control characters. The name stays in the log
    /// permanently, so a pseudonym is best.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    subject: WireText<GivenSubject>,
    /// After how many seconds without use it expires; the operator's default if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 31_622_400)]
    ttl: Option<Seconds<MAX_TTL_SECONDS>>,
    /// The credential that it comes from: it is active only while that one is, and expires no later.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ParentBody)]
    parent: Option<JsonObject<ParentBody>>,
}

/// An issued ticket.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedTicket)]
struct IssuedTicketShown<'a> {
    /// The secret, for the bearer. It is shown only once.
    ticket: &'a str,
    /// The public id.
    #[schema(value_type = String)]
    id: Shown<CredentialId>,
    /// The name space of the subject.
    tenant: &'a str,
    /// The subject that it is issued to.
    subject: &'a str,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    issued_at: Shown<Timestamp>,
    /// When it expires unless it is used.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Shown<Timestamp>,
    /// The credential that it came from, by kind and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ParentShown)]
    parent: Option<ParentShown>,
    /// The position of its issue in this node's log.
    position: u64,
}

/// Issues a ticket: a bearer secret that each use prolongs. Needs the scope `issue` in the tenant.
#[utoipa::path(
    post,
    path = "/v1/tickets",
    tag = "tickets",
    params(crate::http::descriptions::CommandHeaders),
    request_body = IssueTicketBody,
    responses((status = 201, description = "Issued, and durable", body = IssuedTicketShown), Refusals),
)]
pub async fn issue_ticket(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, body) = caller::command::<IssueTicketBody>(&app, request, Scope::Issue).await?;
    let tenant = body.tenant.map(|WireText(tenant)| tenant).unwrap_or_default();
    let subject = app.service.named(&tenant, &body.subject.0);
    let parent = body.parent.map(|JsonObject(parent)| parent.asked()).transpose()?;
    let new = NewTicket { tenant, subject, ttl: body.ttl.map(|Seconds(ttl)| ttl), parent };
    let issued = app.service.issue_ticket(&call, new).await?;
    show(&issued).ok_or(Code::RecordUnreadable.into())
}

fn show(issued: &IssuedTicket) -> Option<Response> {
    let recorded = &issued.filed.recorded;
    let Event::TicketIssued(ticket) = &recorded.event else { return None };
    let body = IssuedTicketShown {
        ticket: issued.secret.expose(),
        id: Shown(ticket.digest.id()),
        tenant: recorded.tenant.as_ref().map_or(Tenant::DEFAULT, |tenant| tenant.as_str()),
        subject: ticket.subject.as_str(),
        issued_at: Shown(ticket.issued_at.unwrap_or(recorded.recorded_at)),
        expires_at: Shown(ticket.expires_at),
        parent: ticket.parent.map(|parent| ParentShown::named(parent.key)),
        position: issued.filed.position.0,
    };
    Some(answer::secret(StatusCode::CREATED, &body))
}
