//! Problems (RFC 9457).
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::domain::Rejection;
use crate::service::Error;

/// A problem.
#[derive(Debug)]
pub struct Problem(StatusCode, String);

impl Problem {
    /// A malformed request.
    pub fn bad_request(detail: String) -> Self {
        Self(StatusCode::BAD_REQUEST, detail)
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        Self(StatusCode::FORBIDDEN, rejection.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}
