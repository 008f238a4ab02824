//! The log as C2SP's tools read it (`tlog-tiles`): checkpoints, tiles and entry bundles, of this node's origin at the
//! root and of every other below `/origins/{origin}`.

use axum::extract::{Path, State};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::descriptions::Refusals;
use super::problem::{Code, Problem};
use super::{SharedApp, caller, fields, input};
use crate::domain::{Origin, Scope};
use crate::service::EvidenceError;
use crate::tlog::Tile;

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(paths(checkpoint, checkpoint_of, tile, tile_of))]
pub struct TlogApi;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A new checkpoint comes within a second.
const FOR_A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");
/// A year: a tile never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A response that only an auditor may see may be kept by the auditor's own cache alone.
const FOR_EVER_PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// Records shrink to a quarter at this level, at some hundred megabytes a second.
const ZSTD_LEVEL: i32 = 3;

/// The newest signed head of this node's log: a signed note (c2sp.org/tlog-checkpoint), at most a second behind the log.
#[utoipa::path(
    get,
    path = "/checkpoint",
    tag = "evidence",
    responses((status = 200, description = "The checkpoint", body = String, content_type = "text/plain; charset=utf-8"), Refusals),
    security(()),
)]
pub async fn checkpoint(State(app): State<SharedApp>) -> Result<Response, Problem> {
    show_checkpoint(&app, app.service.origin())
}

/// The newest checkpoint of an origin that this node holds, as that origin signed it.
#[utoipa::path(
    get,
    path = "/origins/{origin}/checkpoint",
    tag = "evidence",
    params(("origin" = String, Path, description = "Its 13 characters")),
    responses((status = 200, description = "The checkpoint", body = String, content_type = "text/plain; charset=utf-8"), Refusals),
    security(()),
)]
pub async fn checkpoint_of(State(app): State<SharedApp>, Path(name): Path<String>) -> Result<Response, Problem> {
    show_checkpoint(&app, input::origin(&name)?)
}

/// Hashes of this node's log, within the newest checkpoint (c2sp.org/tlog-tiles): `{level}/{index}`, with `.p/{width}`
/// after it if the tile is partial. Under `entries/{index}` the records themselves, which needs the scope `audit` in
/// every tenant.
#[utoipa::path(
    get,
    path = "/tile/{path}",
    tag = "evidence",
    params(("path" = String, Path, description = "Such as `0/x001/234.p/56`, or `entries/000`; its slashes as they are")),
    responses((status = 200, description = "The hashes, or the entries", body = String, content_type = "application/octet-stream"), Refusals),
)]
pub async fn tile(
    State(app): State<SharedApp>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    show_tile(&app, &headers, app.service.origin(), &path).await
}

/// The same for an origin that this node holds.
#[utoipa::path(
    get,
    path = "/origins/{origin}/tile/{path}",
    tag = "evidence",
    params(
        ("origin" = String, Path, description = "Its 13 characters"),
        ("path" = String, Path, description = "Such as `0/x001/234.p/56`, or `entries/000`; its slashes as they are"),
    ),
    responses((status = 200, description = "The hashes, or the entries", body = String, content_type = "application/octet-stream"), Refusals),
)]
pub async fn tile_of(
    State(app): State<SharedApp>,
    Path((name, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // Entries need authority before anything is looked at, and before a malformed name is reported.
    if path.starts_with(ENTRIES) {
        caller::authorise_everywhere(&app, &headers, Scope::Audit).await?;
    }
    show_tile(&app, &headers, input::origin(&name)?, &path).await
}

const ENTRIES: &str = "entries/";

fn show_checkpoint(app: &SharedApp, origin: Origin) -> Result<Response, Problem> {
    let signed = app.service.checkpoint(origin).ok_or(Code::NoCheckpoint)?;
    let body = signed.note.as_str().to_owned();
    Ok(([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, FOR_A_SECOND)], body).into_response())
}

async fn show_tile(app: &SharedApp, headers: &HeaderMap, origin: Origin, path: &str) -> Result<Response, Problem> {
    let refused = |error: crate::tlog::TilePathError| Problem::with_detail(Code::InvalidPath, error.to_string());
    if let Some(index) = path.strip_prefix(ENTRIES) {
        let identity = caller::authorise_everywhere(app, headers, Scope::Audit).await?;
        let tile = Tile::from_index_path(0, index).map_err(refused)?;
        let entries = app.service.entries(&identity, origin, tile).await.map_err(problem)?;
        return Ok(compressed(headers, entries.ok_or(Code::UnknownTile)?));
    }
    let tile = path.parse().map_err(refused)?;
    let hashes = app.service.tile(origin, tile).await.map_err(problem)?.ok_or(Code::UnknownTile)?;
    Ok(([(CONTENT_TYPE, BYTES), (CACHE_CONTROL, FOR_EVER)], hashes).into_response())
}

/// Entries, compressed for a client that can read it.
fn compressed(headers: &HeaderMap, entries: Vec<u8>) -> Response {
    let head = [(CONTENT_TYPE, BYTES), (CACHE_CONTROL, FOR_EVER_PRIVATE), (VARY, HeaderValue::from(ACCEPT_ENCODING))];
    let zstd = fields::accepts_coding(headers, "zstd");
    match zstd.then(|| zstd::encode_all(&*entries, ZSTD_LEVEL)) {
        Some(Ok(smaller)) => (head, [(CONTENT_ENCODING, "zstd")], smaller).into_response(),
        // A client that can't read the compressed form gets the plain one.
        Some(Err(_)) | None => (StatusCode::OK, head, entries).into_response(),
    }
}

/// The problem that tells callers why there is no evidence.
pub(super) fn problem(error: EvidenceError) -> Problem {
    match error {
        EvidenceError::CheckpointPending => Code::CheckpointPending.into(),
        EvidenceError::Tree(error) => {
            tracing::error!(%error, "the Merkle tree could not be read");
            Code::TreeUnreadable.into()
        }
        EvidenceError::Service(error) => error.into(),
    }
}
