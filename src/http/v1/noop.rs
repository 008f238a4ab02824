//! `POST /v1/noop`, there for measuring only.

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::http::problem::Problem;
use crate::http::{SharedApp, body};

/// About as long as a ticket's answer.
const ANSWER: &str = concat!(
    r#"{"filler":"#,
    "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456\"}",
);

/// Reads the body and does nothing, for anybody: the rates of the other calls are compared with it.
pub async fn noop(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    body::read(&parts.headers, body, app.options.body_bytes).await?;
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    Ok((StatusCode::CREATED, [(CONTENT_TYPE, JSON)], ANSWER).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_json_of_200_bytes() {
        assert_eq!(ANSWER.len(), 200);
        assert!(serde_json::from_str::<serde_json::Value>(ANSWER).is_ok());
    }
}
