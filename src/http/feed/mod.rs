//! The feed over HTTP: a stream of server-sent events or lines, a page of JSON, and the snapshot of the revocations in
//! force.

mod compact;
mod page;
mod query;
mod snapshot;
mod stream;
mod walk;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;

use self::query::{FeedLayout, StreamForm, Wanted};
use super::descriptions::Refusals;
use super::problem::{Code, Problem};
use super::{App, SharedApp, body, caller};
use crate::domain::{Kinds, Scope, Secret, Tenant};
use crate::feed::{FeedFilter, FollowError, Follower, MAX_CURSOR_CHARS};
use crate::service::{CallerIdentity, Failure, Party};

/// The path of the snapshot.
pub const SNAPSHOT_PATH: &str = "/v1/revocations/snapshot";
/// The path at which the cursor comes in a body.
pub const FOLLOW_PATH: &str = "/v1/revocations/follow";
/// The largest body with a cursor, whatever the operator allows for others.
const FOLLOW_BODY_BYTES: usize = MAX_CURSOR_CHARS + 4_096;

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(paths(follow, follow_body, snapshot))]
pub struct FeedApi;

/// Every revocation, in order, from the cursor on. Needs the scope `follow`.
///
/// `Accept` decides: `text/event-stream` and `application/x-ndjson` get a stream that goes on until an event ends it
/// and says why, `application/vnd.authledger.revocations` the same for machines, with marks instead of names
/// (`schema/compact-revocations.md`); anything else gets one page. Events are `revoked`, `gap` (load the snapshot), `heartbeat` and `end`; a
/// line names its event in the member `event`.
#[utoipa::path(
    get,
    path = "/v1/revocations",
    tag = "feed",
    params(
        query::FeedParameters,
        query::FollowerHeaders,
    ),
    responses(
        (
            status = 200,
            description = "A page, or a stream that does not end",
            content(
                (page::PageSchema = "application/json"),
                (String = "text/event-stream"),
                (String = "application/x-ndjson"),
                (String = "application/vnd.authledger.revocations"),
            ),
        ),
        Refusals,
    ),
)]
pub async fn follow(State(app): State<SharedApp>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let (identity, secret) = caller::follower(&app, &headers).await?;
    answer(&app, identity, secret, Wanted::read(&uri, &headers)?).await
}

/// The same with the cursor in the body, for a ledger with so many origins that a cursor does not fit a header or a query. Any node
/// takes it. Needs the scope `follow`.
#[utoipa::path(
    post,
    path = "/v1/revocations/follow",
    tag = "feed",
    params(
        query::FollowerHeaders,
    ),
    request_body = query::FollowBody,
    responses(
        (
            status = 200,
            description = "A page, or a stream that does not end",
            content(
                (page::PageSchema = "application/json"),
                (String = "text/event-stream"),
                (String = "application/x-ndjson"),
                (String = "application/vnd.authledger.revocations"),
            ),
        ),
        Refusals,
    ),
)]
pub async fn follow_body(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (identity, secret) = caller::follower(&app, &parts.headers).await?;
    let body = body::read(&parts.headers, body, FOLLOW_BODY_BYTES).await?;
    answer(&app, identity, secret, Wanted::read_body(&body, &parts.headers)?).await
}

async fn answer(
    app: &SharedApp,
    identity: CallerIdentity,
    secret: Secret,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let filter = filter(&identity, wanted.tenant.clone(), wanted.kinds)?;
    let (hub, reader, party) = (app.hub.clone(), app.service.reader().clone(), Party::of(&identity));
    let follower = Follower::start(hub, reader, app.service.origin(), party, filter.clone(), wanted.start);
    let follower = follower.await.map_err(refuse)?;
    let mut answer = match wanted.layout {
        FeedLayout::Page => {
            let pace = app.service.pace(Party::of(&identity));
            let page = page::answer(app, follower, wanted.limit, wanted.wait, pace).await.map_err(refuse)?;
            // The request may have waited for long: a caller that lost its rights meanwhile learns nothing.
            still_following(app, &secret, &filter).await.ok_or(Code::Unauthenticated)?;
            page
        }
        FeedLayout::Stream(form) => {
            streamed(form, stream::FollowerConnection::new(app, follower, secret, form).into_body())
        }
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from(header::ACCEPT));
    Ok(answer)
}

/// Every revocation in force, as lines of JSON. Needs the scope `follow`.
///
/// The first line is `{ledger, cursor}`; the last is `{end: true, count}`. Without the last line, the reader discards
/// what it has. With `Accept: application/vnd.authledger.revocations` it is the form for machines, with marks instead of
/// names (`schema/compact-revocations.md`).
#[utoipa::path(
    get,
    path = "/v1/revocations/snapshot",
    tag = "feed",
    params(query::SnapshotParameters),
    responses(
        (
            status = 200,
            description = "Lines of JSON, or frames",
            content(
                (String = "application/x-ndjson"),
                (String = "application/vnd.authledger.revocations"),
            ),
        ),
        Refusals,
    ),
)]
pub async fn snapshot(State(app): State<SharedApp>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let (identity, _) = caller::follower(&app, &headers).await?;
    let (tenant, kinds) = query::of_snapshot(&uri)?;
    let form = query::snapshot_form(&headers);
    let filter = filter(&identity, tenant, kinds)?;
    let party = Party::of(&identity);
    let mut pace = app.service.pace(party.clone());
    pace.admit()?;
    let body = match form {
        StreamForm::Text(_) => snapshot::body(app, filter, pace),
        StreamForm::Compact => compact::body(app, filter, pace, party),
    };
    let mut answer = streamed(form, body);
    answer.headers_mut().insert(header::VARY, HeaderValue::from(header::ACCEPT));
    Ok(answer)
}

fn filter(identity: &CallerIdentity, tenant: Option<Tenant>, kinds: Kinds) -> Result<FeedFilter, Problem> {
    let filter = FeedFilter { grants: identity.grants.clone(), tenant, kinds };
    if may_follow(identity, &filter) { Ok(filter) } else { Err(Code::Forbidden.into()) }
}

/// Whether the identity may follow anything that the filter asks for.
fn may_follow(identity: &CallerIdentity, filter: &FeedFilter) -> bool {
    match &filter.tenant {
        Some(tenant) => identity.may(Scope::Follow, tenant),
        None => identity.grants.somewhere(Scope::Follow),
    }
}

/// The filter, narrowed to what its follower may see by now; nothing if its secret is inactive, or it may no longer
/// follow.
async fn still_following(app: &App, secret: &Secret, filter: &FeedFilter) -> Option<FeedFilter> {
    // A log that can't be read says nothing about the rights of an access token, so its bearer is asked to come again.
    let identity = app.service.authenticate_bearer(secret.expose().as_bytes()).await.ok()??;
    let filter = FeedFilter { grants: identity.grants.clone(), ..filter.clone() };
    may_follow(&identity, &filter).then_some(filter)
}

fn refuse(error: FollowError) -> Problem {
    match error {
        FollowError::OtherLedger => Problem::with_detail(Code::InvalidCursor, error.to_string()),
        FollowError::Read(error) => Failure::from(error).into(),
        FollowError::Overloaded => Failure::Overloaded.into(),
        FollowError::Stopping => Failure::Stopping.into(),
    }
}

fn streamed(form: StreamForm, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that buffers a response before it passes it on would hold every revocation back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
