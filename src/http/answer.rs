//! Answers with a JSON body.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use crate::json;
use crate::service::{Failure, Pace};

/// The type of a JSON body.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The type of a body of lines, each of which is JSON.
pub const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// The usual size of an answer, in bytes.
const USUAL_BYTES: usize = 320;
/// A list of that many is written at once.
const FEW: usize = 16;
/// A piece of a longer list takes no further items beyond that.
const PIECE_BYTES: usize = 16 << 10;

/// An answer with that body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    json::append(&mut bytes, body);
    (status, [(CONTENT_TYPE, JSON)], bytes).into_response()
}

/// An answer with a line for each of these.
pub fn lines(told: &[impl Serialize]) -> Response {
    let mut bytes = Vec::new();
    for line in told {
        json::append(&mut bytes, line);
        bytes.push(b'\n');
    }
    (StatusCode::OK, [(CONTENT_TYPE, NDJSON)], bytes).into_response()
}

/// An answer that shows a secret only once: nobody on the way may keep it.
pub fn secret(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = json(status, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The body with a list of everything, with the text before it, between two items and after it. A long list is written
/// piece by piece, while its reader takes it.
pub fn list<T: Send + 'static>(
    [head, between, tail]: [&'static str; 3],
    items: Vec<T>,
    mut write: impl FnMut(&T, &mut Vec<u8>) + Send + 'static,
    mut pace: Pace,
) -> Result<Body, Failure> {
    let is_long = items.len() > FEW;
    if is_long {
        pace.admit()?;
    }
    let mut items = items.into_iter();
    let mut piece = head.as_bytes().to_vec();
    let mut is_first = true;
    let mut next = move |piece: &mut Vec<u8>| {
        let item = items.next()?;
        if !std::mem::replace(&mut is_first, false) {
            piece.extend_from_slice(between.as_bytes());
        }
        write(&item, piece);
        Some(())
    };
    if !is_long {
        while next(&mut piece).is_some() {}
        piece.extend_from_slice(tail.as_bytes());
        return Ok(piece.into());
    }
    let pieces = stream::unfold(Some((next, piece, pace)), move |state| async move {
        let (mut next, mut piece, mut pace) = state?;
        while piece.len() < PIECE_BYTES {
            pace.go_on().await;
            if next(&mut piece).is_none() {
                piece.extend_from_slice(tail.as_bytes());
                return Some((Ok::<_, Infallible>(Bytes::from(piece)), None));
            }
        }
        // The reader may take its time, and holds nobody up meanwhile.
        pace.rest();
        Some((Ok(Bytes::from(piece)), Some((next, Vec::new(), pace))))
    });
    Ok(Body::from_stream(pieces))
}
