//! `DELETE /auth/users/{id}/token`

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;

use super::asked::{self, CriblParameters};
use super::error::CriblError;
use super::wire::{CriblErrorBody, CriblItem, Items};
use crate::domain::CredentialKey;
use crate::http::SharedApp;
use crate::http::caller::request_id;
use crate::http::wire::Shown;
use crate::json;
use crate::service::{Call, NewSubjectRevocation, Pace, Party, RevokedTogether, Service, WholeRevocation, Why};

/// A part of the body takes no further items beyond that.
const PAGE_BYTES: usize = 16 << 10;

/// Revokes all tokens that have been issued to a user until now; a token that is issued afterwards is active. Needs the
/// scope `revoke` in the tenant. One event is recorded, however many tokens there are. It is also recorded for a user
/// that this ledger does not know, because tokens may have been issued elsewhere.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/users/{id}/token",
    tag = "cribl",
    params(
        ("id" = String, Path, min_length = 1, max_length = 255, description = "The user: any subject"),
        (
            "ttl" = Option<String>, Query, pattern = "^[0-9]+[smhdw]?$",
            description = "The life of the tokens, at most 366 days: the record is kept for at least that long",
        ),
        (
            "kinds" = Option<String>, Query,
            description = "The kinds to revoke, separated by commas: token, session, ticket; tokens if left out",
        ),
        ("X-Tenant" = Option<String>, Header, description = "The name space of the user; `default` if left out"),
    ),
    responses(
        (status = 200, description = "Revoked, and durable: each credential that was active", body = Items),
        (status = 400, description = "The request is refused", body = CriblErrorBody),
        (status = 401, description = "No application's secret", body = CriblErrorBody),
        (status = 403, description = "The application may not revoke there", body = CriblErrorBody),
        (status = 405, description = "Not a DELETE", body = CriblErrorBody),
        (status = 500, description = "The machine failed", body = CriblErrorBody),
        (status = 503, description = "No commands are taken for now", body = CriblErrorBody),
    ),
)]
pub async fn invalidate(State(app): State<SharedApp>, request: Request) -> Result<Response, CriblError> {
    let (mut parts, _) = request.into_parts();
    let identity = asked::administrator(&app, &parts.headers)?;
    let (tenant, given) = asked::user(&mut parts).await?;
    let subject = app.service.named(&tenant, &given);
    let parameters = CriblParameters::of(&parts)?;
    let call = Call { identity, request: request_id(&parts.headers), idempotency: None, consistency: None };
    let new = NewSubjectRevocation {
        tenant,
        subject,
        kinds: parameters.kinds(),
        issued_before: None,
        keep: parameters.keep(),
        hold: None,
        why: Why::default(),
    };
    // Before anything is revoked: a caller that has too many of these answers in progress is told to come again.
    let mut pace = app.service.pace(Party::of(&call.identity));
    pace.admit()?;
    let (_, revoked) = app.service.revoke_all_of(&call, new).await?;
    // Without an idempotency key the call is never a repetition, so it has a record of its own.
    let revoked = revoked.ok_or(CriblError::Internal)?;
    Ok(streamed(Listing { service: app.service.clone(), revoked, pace, count: 0, next: Next::First }))
}

/// The credentials that one record has revoked, read page by page: a hundred thousand items are never in memory
/// together.
struct Listing {
    service: Arc<Service>,
    revoked: WholeRevocation,
    pace: Pace,
    count: u64,
    next: Next,
}

/// The part of the body that comes next.
enum Next {
    First,
    After(CredentialKey),
    Nothing,
}

fn streamed(listing: Listing) -> Response {
    let pages = stream::unfold(listing, |mut listing| async move {
        let page = listing.page().await?;
        // The reader may take its time, and holds nobody up meanwhile.
        listing.pace.rest();
        Some((Ok::<_, Infallible>(page), listing))
    });
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (json, Body::from_stream(pages)).into_response()
}

impl Listing {
    /// The next part of the body. The last part has the number of items, which is not known before.
    async fn page(&mut self) -> Option<Bytes> {
        let (mut text, after) = match self.next {
            Next::First => (b"{\"items\":[".to_vec(), None),
            Next::After(key) => (Vec::new(), Some(key)),
            Next::Nothing => return None,
        };
        let mut after = after;
        loop {
            self.pace.go_on().await;
            let (revoked, next) = self.service.revoked_together(&self.revoked, after);
            revoked.iter().for_each(|one| self.write(one, &mut text));
            (after, self.next) = (next, next.map_or(Next::Nothing, Next::After));
            if next.is_none() || text.len() >= PAGE_BYTES || self.pace.is_over() {
                break;
            }
        }
        if matches!(self.next, Next::Nothing) {
            text.extend_from_slice(format!("],\"count\":{}}}", self.count).as_bytes());
        }
        Some(text.into())
    }

    fn write(&mut self, one: &RevokedTogether, text: &mut Vec<u8>) {
        if self.count > 0 {
            text.push(b',');
        }
        self.count += 1;
        let item = CriblItem {
            id: &one.id,
            kind: Shown(one.kind),
            issued_at: Shown(one.issued_at),
            expires_at: Shown(one.expires_at),
            invalidated_at: Shown(self.revoked.revoked_at()),
        };
        json::append(text, &item);
    }
}
