//! `POST /v1/uses`

use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{CredentialId, Digest, Kind, Malformed, Scope};
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{TextForm, WireText, present};
use crate::http::{SharedApp, answer, caller, input};
use crate::service::{ReportedUse, UseOutcome};

/// The use of a ticket that another process has seen: one line of the body.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUse)]
struct UseLine {
    /// `ticket`: nothing else is prolonged by its use.
    #[schema(value_type = String, pattern = "^ticket$")]
    kind: WireText<Kind>,
    /// Its public id, 32 hexadecimal digits. Either this or the digest.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    id: Option<WireText<TicketId>>,
    /// The digest of its secret, 64 hexadecimal digits.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    digest: Option<WireText<Digest>>,
    /// How many milliseconds ago it was used when the request was sent.
    #[schema(minimum = 0)]
    age_ms: u64,
}

struct TicketId(CredentialId);

impl TextForm for TicketId {
    fn parse(text: &str) -> Result<Self, Malformed> {
        CredentialId::parse(Kind::Ticket, text).map(Self)
    }
}

/// The outcome of a line: one line of the answer, in the order of the body.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportedUse)]
struct UseShown {
    /// The line's number in the body, from 1.
    line: usize,
    /// `counted`; `known`, if a use of nearly the same time is known; `inactive`, if the ticket was not active then, is
    /// revoked, or the caller may not ask about it; or `refused`.
    outcome: &'static str,
    /// Why it was refused: the code of a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    code: Option<&'static str>,
    /// The problem with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    detail: Option<String>,
}

/// Reports uses of tickets that another process has seen, such as an edge that answers a gateway's checks: one on each
/// line, and at most 1,000 lines. A use prolongs its ticket as one at this node does, never beyond its `not_after`, and
/// never moves its life backwards, so a report may be sent again. Each line stands alone. The body may be compressed with
/// `Content-Encoding: gzip` or `zstd`; its limit holds before and after. Needs the scope `introspect` in each ticket's
/// tenant.
#[utoipa::path(
    post,
    path = "/v1/uses",
    tag = "tickets",
    request_body(content = UseLine, content_type = "application/x-ndjson", description = "One object on each line"),
    responses(
        (status = 200, description = "The outcome of each line", body = UseShown, content_type = "application/x-ndjson"),
        Refusals,
    ),
)]
pub async fn report_uses(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, body) = caller::commands(&app, request, Scope::Introspect).await?;
    let lines = input::lines(&body, UseLine::asked)?;
    let uses: Vec<ReportedUse> = lines.iter().filter_map(|line| line.as_ref().ok().copied()).collect();
    let mut outcomes = app.service.report_uses(&call.identity, &uses).await?.into_iter();
    let mut told = Vec::new();
    for (line, read) in (1..).zip(lines) {
        let shown = match read {
            Ok(_) => UseShown { line, outcome: name(outcomes.next()), code: None, detail: None },
            Err(problem) => UseShown {
                line,
                outcome: "refused",
                code: Some(problem.code().as_str()),
                detail: Some(problem.detail().to_owned()),
            },
        };
        told.push(shown);
    }
    Ok(answer::lines(&told))
}

/// Each use has an outcome, so there is always a next one.
fn name(outcome: Option<UseOutcome>) -> &'static str {
    match outcome {
        Some(UseOutcome::Counted) => "counted",
        Some(UseOutcome::Known) => "known",
        Some(UseOutcome::Inactive) | None => "inactive",
    }
}

impl UseLine {
    fn asked(self) -> Result<ReportedUse, Problem> {
        let refusal = |detail: &'static str| Problem::with_detail(Code::InvalidBody, detail);
        if self.kind.0 != Kind::Ticket {
            return Err(refusal("`kind` must be ticket: nothing else is prolonged by its use"));
        }
        let (id, digest) = match (self.id, self.digest) {
            (Some(WireText(TicketId(id))), None) => (id, None),
            (None, Some(WireText(digest))) => (digest.id(), Some(digest)),
            (Some(_), Some(_)) | (None, None) => return Err(refusal("a ticket is named by its `id` or its `digest`")),
        };
        Ok(ReportedUse { id, digest, age_millis: self.age_ms })
    }
}
