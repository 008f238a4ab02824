//! `GET` and `POST /v1/origins/{origin}/records`

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{PeerRefusals, signed_now};
use crate::cluster::wire::{HEAD_HEADER, HeldRecords};
use crate::cluster::{Parcel, Refusal, SignedHead};
use crate::domain::{Origin, Sequence};
use crate::http::problem::{Code, Problem};
use crate::http::{App, SharedApp, answer, body, input};
use crate::service::{Ingested, Party};

/// The longest that a question waits for records that are not there yet, in seconds.
const MAX_WAIT_SECONDS: u64 = 30;
/// About how many bytes of records a page has.
const PAGE_BYTES: usize = 4 << 20;
/// About how many bytes a page has for a node that was removed.
const REMOVAL_PAGE_BYTES: usize = 256 << 10;
/// The most bytes of offered records that are taken.
pub const OFFERED_BYTES: usize = 1 << 20;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RecordsQuery {
    /// The record after which the page starts; 0, which is before the first, if left out.
    #[serde(default)]
    after: u64,
    /// How many seconds to wait for a record after it, at most 30; none if left out.
    #[serde(default)]
    #[param(maximum = 30)]
    wait: u64,
}

/// Records of one origin, byte for byte, one on each line, and on the last line the head that they lead to, signed by
/// that origin. Needs a member's signature.
///
/// Of its own origin this node signs any head; of another origin it shows records up to a head that it was given. A node that
/// was removed is shown the origin of the removal, up to the removal, by the node that recorded it, and nothing else.
#[utoipa::path(
    get,
    path = "/v1/origins/{origin}/records",
    tag = "peers",
    params(("origin" = String, Path, description = "Its 13 characters"), RecordsQuery),
    responses(
        (status = 200, description = "Records, and a signed head", body = String, content_type = "application/x-ndjson"),
        (status = 204, description = "This node has no records after that one, or none that it can show"),
        PeerRefusals,
    ),
    security(()),
)]
pub async fn records(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let service = &app.service;
    let signed = signed_now(service.cluster(), service.ledger(), service.clock(), &parts, b"")?;
    let asked: RecordsQuery = input::query(&parts.uri)?;
    let origin = input::origin(&name)?;
    let after = Sequence(asked.after);
    if let Some(removal) = signed.removed_by {
        // It may have been removed because it is hostile.
        let _admitted = service.cluster().intake().announcements.admit(&Party::of_member(signed.node))?;
        return match service.removal_after(removal, origin, after, REMOVAL_PAGE_BYTES).await? {
            Some(parcel) => Ok(page(&parcel)),
            None => Err(Problem::removed_by(removal)),
        };
    }
    wait(&app, origin, after, Duration::from_secs(asked.wait.min(MAX_WAIT_SECONDS))).await;
    match service.parcel_after(origin, after, PAGE_BYTES).await? {
        Some(parcel) => Ok(page(&parcel)),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

fn page(parcel: &Parcel) -> Response {
    ([(CONTENT_TYPE, "application/x-ndjson")], parcel.to_text()).into_response()
}

/// Takes records that another node offers, in the form in which this node shows them. Also a member that this node does
/// not know may offer the records that made it a member. The records are signed by their origin, so no other signature
/// is needed. The last line, which is the head, is also in the header `Authledger-Head`, and is checked before the body
/// is read.
///
/// A node that is offered records of its own origin beyond the last one in its log has been rolled back: it stops, and
/// continues under a new origin when it is started again.
#[utoipa::path(
    post,
    path = "/v1/origins/{origin}/records",
    tag = "peers",
    params(
        ("origin" = String, Path, description = "Its 13 characters"),
        ("Authledger-Head" = String, Header, description = "The last line of the body"),
    ),
    request_body(content = String, content_type = "application/x-ndjson", description = "Records, and a signed head"),
    responses(
        (status = 200, description = "How far this node holds them now: not so far, if some before them are missing", body = HeldRecords),
        PeerRefusals,
    ),
    security(()),
)]
pub async fn offer(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (service, origin) = (&app.service, input::origin(&name)?);
    let cluster = service.cluster();
    let unsigned = || Problem::with_detail(Code::Unauthenticated, "No member of this ledger has signed these records.");
    // Not one byte is read of an origin that this node does not know.
    let key = cluster.members().key_of(origin).ok_or_else(unsigned)?;
    let (parts, body) = request.into_parts();
    let head = parts.headers.get(HEAD_HEADER).and_then(|head| SignedHead::from_line(head.to_str().ok()?));
    let head = head.filter(|head| head.place.origin == origin && head.is_signed_by(key, service.ledger()));
    head.ok_or_else(unsigned)?;
    let _turn = cluster.intake().offers.try_acquire().map_err(|_| Code::Overloaded)?;
    let parcel = body::read(&parts.headers, body, OFFERED_BYTES).await?;
    if Parcel::parse(&parcel).map_err(|_| unsigned())?.origin() != origin {
        return Err(unsigned());
    }
    // A caller without anything signed by this origin does not learn how far it is held.
    let sequence = match service.receive(parcel).await? {
        Ingested::Held(held) => held,
        Ingested::Gap(_) | Ingested::Refused(Refusal::Twin) | Ingested::Unreadable => cluster.held(origin),
        Ingested::Refused(_) => return Err(unsigned()),
    };
    Ok(answer::json(StatusCode::OK, &HeldRecords { sequence: sequence.0 }))
}

/// Waits until there is something beyond that record, the time is up, or the server stops.
async fn wait(app: &App, origin: Origin, after: Sequence, at_most: Duration) {
    let cluster = app.service.cluster();
    let mut applied = cluster.applied();
    let mut stop = app.stop.clone();
    let come_or_stopping = async {
        tokio::select! {
            _ = applied.wait_for(|_| cluster.held(origin) > after) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    };
    // A caller that waited in vain is told that there is nothing.
    let _ = tokio::time::timeout(at_most, come_or_stopping).await;
}
