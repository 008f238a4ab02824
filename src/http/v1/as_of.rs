//! `GET` and `POST /v1/as-of`

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::LINK;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::asked::{NameParameters, query};
use crate::audit::{CredentialStanding, CredentialVerdict, LogPrefix, Lookup, LookupCredential, Point, RevokedBy};
use crate::domain::{Actor, Digest, GivenSubject, Issuer, Kind, Position, Reason, Scope, Secret, Tenant, Timestamp};
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::wire::{Shown, Whole, WireText, present};
use crate::http::{SharedApp, answer, caller, input};

/// The default number of a subject's credentials on a page.
const DEFAULT_LIMIT: usize = 100;
/// The most credentials that a page has.
const MAX_LIMIT: usize = 1_000;

/// Which credentials, and at which point in the past.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AsOfParameters {
    /// An RFC 3339 time: what each node had recorded by then, on its own clock. Or a position: the first so many records.
    #[param(value_type = String)]
    at: WireText<Point>,
    /// With a time: what this node had stored by then, on its own clock.
    #[serde(default)]
    known_here: bool,
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// A subject: each of its credentials.
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
    /// The position of the last issue of the page before.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = u64)]
    after: Option<WireText<Whole>>,
    /// The most credentials in the page; 100 if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = u64, minimum = 1, maximum = 1_000)]
    limit: Option<WireText<Whole>>,
}

/// The credential that is asked about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PresentedAsOf)]
struct AsOfBody {
    /// An RFC 3339 time, or a position.
    #[schema(value_type = String)]
    at: WireText<Point>,
    /// With a time: what this node had stored by then, on its own clock.
    #[serde(default)]
    known_here: bool,
    /// The secret or JWT, exactly as its bearer presented it. A JWT's signature is not checked.
    credential: String,
}

/// The credentials at that point.
#[derive(Serialize, ToSchema)]
#[schema(as = AsOf)]
struct AsOfShown {
    /// The instant at which it is judged: the time that was asked for, or when the record at the position was recorded.
    #[schema(value_type = String, format = DateTime)]
    at: Shown<Timestamp>,
    /// The last position that was looked at.
    position: u64,
    /// The credential, or the credentials that had been issued to the subject, in the order of their records. The
    /// verdict on a credential without a record is `never_issued`.
    credentials: Vec<Stood>,
}

/// A credential at that point.
#[derive(Serialize, ToSchema)]
#[schema(as = StoodAsOf)]
struct Stood {
    /// `ticket`, `session` or `token`, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    kind: Option<&'static str>,
    /// Its public id: 32 hexadecimal digits, a session's UUID, or a JWT's `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    id: Option<String>,
    /// The issuer, if it is a JWT.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    issuer: Option<String>,
    /// The name space of its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    tenant: Option<String>,
    /// The subject that it was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    subject: Option<String>,
    /// When it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    issued_at: Option<Shown<Timestamp>>,
    /// The position of its issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    position: Option<u64>,
    /// `active`, `revoked`, `erased` (revoked by erasing its subject), `expired`, `never_issued`, or `indeterminate`: a
    /// ticket that was active or expired, depending on a use that was not yet on record.
    verdict: &'static str,
    /// When it would expire, or had expired, according to the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Option<Shown<Timestamp>>,
    /// With `indeterminate`: the time by which it had expired in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    indeterminate_until: Option<Shown<Timestamp>>,
    /// The record that revoked it first. A credential that was never issued can have one too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = RevokedByShown)]
    revoked: Option<RevokedByShown>,
    /// The record that erased its subject, whatever had revoked the credential before. The personal parts cannot be
    /// read any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = RevokedByShown)]
    erased: Option<RevokedByShown>,
}

/// The record that revoked it.
#[derive(Serialize, ToSchema)]
#[schema(as = RevokedBy)]
struct RevokedByShown {
    /// Its place in this node's log.
    position: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    at: Shown<Timestamp>,
    /// `ticket.revoked`, `session.revoked`, `token.revoked`, `subject.revoked` or `subject.erased`.
    #[serde(rename = "type")]
    event: &'static str,
    /// The application that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    actor: Option<Shown<Actor>>,
    /// Why: a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    reason: Option<String>,
}

/// Whether a credential, or each credential that had been issued to a subject, was active at a point in the past, and
/// what had revoked it. Needs the scope `audit` in every tenant.
#[utoipa::path(
    get,
    path = "/v1/as-of",
    tag = "audit",
    params(AsOfParameters),
    responses(
        (
            status = 200,
            description = "The verdicts",
            body = AsOfShown,
            headers(("link" = String, description = "The next page, `rel=\"next\"`, if there is one")),
        ),
        Refusals,
    ),
)]
pub async fn as_of(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Audit).await?;
    let page: AsOfParameters = input::query(&parts.uri)?;
    let limit = input::limit(page.limit.map(|WireText(limit)| limit.saturating()), DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = Position(page.after.map_or(0, |WireText(Whole(after))| after));
    let (WireText(at), known_here) = (page.at, page.known_here);
    let AsOfParameters { tenant, subject, digest, kind, id, issuer, .. } = page;
    let asked = NameParameters { tenant, subject, digest, kind, id, issuer }.asked(&app.service)?;
    let point = if known_here { at.known_here() } else { at };
    let (prefix, mut standings) = app.service.as_of(&identity, asked.clone(), point, after, limit).await?;
    let more = standings.len() > limit;
    standings.truncate(limit);
    let last = standings.last().and_then(|last| last.issued.as_ref()).map(|issued| issued.position);
    let mut response = show(&prefix, &standings);
    if let (Some(last), true) = (last, more) {
        let at = match at {
            Point::Position(position) => position.to_string(),
            Point::Recorded(at) | Point::KnownHere(at) => at.to_string(),
        };
        let next = format!(
            "</v1/as-of?at={at}&known_here={known_here}&{}&after={last}&limit={limit}>; rel=\"next\"",
            query(&asked)
        );
        response.headers_mut().extend(HeaderValue::try_from(next).ok().map(|next| (LINK, next)));
    }
    Ok(response)
}

/// The same for a credential that is presented in the body, because an address must not hold a secret. Needs the scope
/// `audit` in every tenant.
#[utoipa::path(
    post,
    path = "/v1/as-of",
    tag = "audit",
    request_body = AsOfBody,
    responses((status = 200, description = "The verdicts", body = AsOfShown), Refusals),
)]
pub async fn presented_as_of(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (identity, body) = caller::question_everywhere::<AsOfBody>(&app, request, Scope::Audit).await?;
    let asked = Lookup::Credential(LookupCredential::presented(&Secret::new(&body.credential)));
    let WireText(at) = body.at;
    let point = if body.known_here { at.known_here() } else { at };
    let (prefix, standings) = app.service.as_of(&identity, asked, point, Position(0), MAX_LIMIT).await?;
    Ok(show(&prefix, &standings))
}

fn show(prefix: &LogPrefix, standings: &[CredentialStanding]) -> Response {
    let credentials = standings.iter().map(Stood::of).collect();
    answer::json(StatusCode::OK, &AsOfShown { at: Shown(prefix.at), position: prefix.until.0, credentials })
}

impl Stood {
    fn of(standing: &CredentialStanding) -> Self {
        let (expires_at, indeterminate_until, revoked) = match &standing.verdict {
            CredentialVerdict::Active { expires_at } => (Some(*expires_at), None, None),
            CredentialVerdict::Expired { at } => (Some(*at), None, None),
            CredentialVerdict::Indeterminate { from, until } => (Some(*from), Some(*until), None),
            CredentialVerdict::Revoked(by) | CredentialVerdict::Erased(by) => (None, None, Some(by)),
            CredentialVerdict::NeverIssued { revoked } => (None, None, revoked.as_ref()),
        };
        let issued = standing.issued.as_ref();
        Self {
            kind: standing.kind.map(Kind::as_str),
            id: standing.kind.and_then(|kind| standing.name.public_id(kind)),
            issuer: standing.name.issuer().map(ToString::to_string),
            tenant: issued.map(|issued| issued.tenant.to_string()),
            subject: issued.map(|issued| issued.subject.to_string()),
            issued_at: issued.map(|issued| Shown(issued.at)),
            position: issued.map(|issued| issued.position.0),
            verdict: standing.verdict.as_str(),
            expires_at: expires_at.map(Shown),
            indeterminate_until: indeterminate_until.map(Shown),
            revoked: revoked.map(RevokedByShown::of),
            erased: standing.erased.as_ref().map(RevokedByShown::of),
        }
    }
}

impl RevokedByShown {
    fn of(by: &RevokedBy) -> Self {
        Self {
            position: by.position.0,
            at: Shown(by.at),
            event: by.event,
            actor: by.actor.clone().map(Shown),
            reason: by.reason.as_ref().map(Reason::as_str).map(str::to_owned),
        }
    }
}
