//! `POST /v1/imports`

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{
    Aal, CredentialId, Digest, GivenSubject, Import, ImportedLife, Kind, Rejection, Scope, Tenant, Timestamp, Ttl,
};
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{MAX_TTL_SECONDS, Seconds, WireText, present};
use crate::http::{SharedApp, answer, caller, input};
use crate::service::{Call, Error, Imported, Refusal, Service};

/// Lines that wait for the writer at once: they share its commits, and leave room in its queue for others.
const MAX_AT_ONCE: usize = 256;

/// A credential that was issued elsewhere: one line of the body.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewImport)]
struct ImportLine {
    /// Its kind: `ticket`, `session` or `token`.
    #[schema(value_type = String)]
    kind: WireText<Kind>,
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// The subject that it was issued to.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    subject: WireText<GivenSubject>,
    /// Of a session: its public id. A session without one gets the first half of its digest as its id.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = "uuid")]
    id: Option<WireText<Uuid>>,
    /// The digest of the secret that its bearer presents, 64 hexadecimal digits. A session without a digest can be
    /// revoked but not presented.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    digest: Option<WireText<Digest>>,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    issued_at: WireText<Timestamp>,
    /// When it expires unless it is used or extended.
    #[schema(value_type = String, format = DateTime)]
    expires_at: WireText<Timestamp>,
    /// Of a ticket: after how many seconds without use it expires. Its last use was that long before `expires_at`. If
    /// left out, or longer than the time from `issued_at` to `expires_at`, it is that time.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 31_622_400)]
    ttl: Option<Seconds<MAX_TTL_SECONDS>>,
    /// Of a ticket or session: the latest instant to which any use or extension can prolong it, if that is earlier than
    /// the operator's longest life after its issue.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = DateTime)]
    not_after: Option<WireText<Timestamp>>,
    /// Of a session: the authenticator assurance level of its subject, `aal0` to `aal3`; `aal1` if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^aal[0-3]$")]
    aal: Option<WireText<Aal>>,
}

/// The outcome of a line: one line of the answer, in the order of the body.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportedLine)]
struct ImportedLine {
    /// The line's number in the body, from 1.
    line: usize,
    /// `made`; `known`, if the ledger already had it; or `refused`.
    outcome: &'static str,
    /// Its kind, unless it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    kind: Option<&'static str>,
    /// Its public id, unless it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    id: Option<String>,
    /// Why it was refused: the code of a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    code: Option<&'static str>,
    /// The problem with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    detail: Option<String>,
}

/// Imports credentials that were issued elsewhere, by digest or id, one on each line and at most 1,000 lines. Each line
/// stands alone: a refused line does not stop the others, and a line that is sent again is `known`. The body may be
/// compressed with `Content-Encoding: gzip` or `zstd`; its limit holds before and after. Needs the scope `admin` in each
/// line's tenant.
#[utoipa::path(
    post,
    path = "/v1/imports",
    tag = "credentials",
    request_body(content = ImportLine, content_type = "application/x-ndjson", description = "One object on each line"),
    responses(
        (status = 200, description = "The outcome of each line", body = ImportedLine, content_type = "application/x-ndjson"),
        Refusals,
    ),
)]
pub async fn import(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, body) = caller::commands(&app, request, Scope::Admin).await?;
    let mut lines = input::lines(&body, |line: ImportLine| line.asked(&app.service))?;
    app.service.recall(&call.identity, lines.iter_mut().flatten()).await?;
    let told = (1..).zip(lines).map(|(number, line)| take(&app.service, &call, number, line));
    let told: Vec<ImportedLine> = stream::iter(told).buffered(MAX_AT_ONCE).try_collect().await?;
    Ok(answer::lines(&told))
}

/// A refusal that would be different in a moment is not a line's outcome: the whole body is to be sent again.
async fn take(
    service: &Service,
    call: &Call,
    line: usize,
    asked: Result<Import, Problem>,
) -> Result<ImportedLine, Problem> {
    let import = match asked {
        Ok(import) => import,
        Err(problem) => return Ok(ImportedLine::refused(line, &problem)),
    };
    let (kind, id) = name(&import.life);
    let outcome = match service.import(call, import).await {
        Ok(Imported::Made) => "made",
        Ok(Imported::Known) => "known",
        Err(Error::Refused(Refusal::Rejected(rejection)))
            if !matches!(rejection, Rejection::Unauthenticated | Rejection::MemoryFull) =>
        {
            return Ok(ImportedLine::refused(line, &Problem::new(rejection.into())));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(ImportedLine { line, outcome, kind: Some(kind.as_str()), id: Some(id), code: None, detail: None })
}

fn name(life: &ImportedLife) -> (Kind, String) {
    match life {
        ImportedLife::Ticket { digest, .. } => (Kind::Ticket, digest.id().to_string()),
        ImportedLife::Session { id, .. } => (Kind::Session, id.uuid().to_string()),
        ImportedLife::Token { digest } => (Kind::Token, digest.id().to_string()),
    }
}

impl ImportLine {
    fn asked(self, service: &Service) -> Result<Import, Problem> {
        let life = self.life()?;
        let tenant = self.tenant.map(|WireText(tenant)| tenant).unwrap_or_default();
        Ok(Import {
            subject: service.named(&tenant, &self.subject.0),
            tenant,
            life,
            issued_at: self.issued_at.0,
            expires_at: self.expires_at.0,
            not_after: self.not_after.map(|WireText(instant)| instant),
            past: Vec::new(),
        })
    }

    fn life(&self) -> Result<ImportedLife, Problem> {
        let kind = self.kind.0;
        if let Some(member) = self.foreign_member() {
            return Err(refusal(format!("`{member}` does not go with a {kind}")));
        }
        let digest = self.digest.as_ref().map(|WireText(digest)| *digest);
        let needed = || digest.ok_or_else(|| refusal(format!("`digest`: it is the only name of a {kind}")));
        Ok(match kind {
            Kind::Ticket => ImportedLife::Ticket { digest: needed()?, ttl: self.sliding_life() },
            Kind::Token => ImportedLife::Token { digest: needed()? },
            Kind::Session => {
                let id = self.id.as_ref().map(|WireText(id)| CredentialId::of_session(*id));
                let id = id.or(digest.map(|digest| digest.id()));
                let id = id.ok_or_else(|| refusal("a session needs its `id`, its `digest`, or both".to_owned()))?;
                ImportedLife::Session {
                    id,
                    digest,
                    aal: self.aal.as_ref().map(|WireText(aal)| *aal).unwrap_or_default(),
                }
            }
        })
    }

    /// A member that would be ignored for this kind of credential.
    fn foreign_member(&self) -> Option<&'static str> {
        let kind = self.kind.0;
        let members = [
            ("id", self.id.is_some() && kind != Kind::Session),
            ("ttl", self.ttl.is_some() && kind != Kind::Ticket),
            ("not_after", self.not_after.is_some() && kind == Kind::Token),
            ("aal", self.aal.is_some() && kind != Kind::Session),
        ];
        members.into_iter().find_map(|(member, foreign)| foreign.then_some(member))
    }

    fn sliding_life(&self) -> Ttl {
        let whole = self.expires_at.0.millis_since(self.issued_at.0) / 1_000;
        let all = Ttl::from_seconds(whole.clamp(1, MAX_TTL_SECONDS)).unwrap_or(Ttl::MAX);
        self.ttl.as_ref().map_or(all, |Seconds(ttl)| *ttl)
    }
}

fn refusal(detail: String) -> Problem {
    Problem::with_detail(Code::InvalidBody, detail)
}

impl ImportedLine {
    fn refused(line: usize, problem: &Problem) -> Self {
        let (code, detail) = (problem.code().as_str(), problem.detail().to_owned());
        Self { line, outcome: "refused", kind: None, id: None, code: Some(code), detail: Some(detail) }
    }
}
