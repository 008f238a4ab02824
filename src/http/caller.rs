//! Who calls.
use axum::http::{HeaderMap, header};

use super::SharedApp;
use super::problem::Problem;
use crate::domain::{Rejection, Secret};
use crate::service::{Authentication, Identity};

/// The application whose secret the request presents.
pub fn identify(app: &SharedApp, headers: &HeaderMap) -> Result<(Identity, Secret), Problem> {
    let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = presented.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Rejection::Unauthenticated)?;
    match app.service.authenticate(secret.as_bytes()) {
        Authentication::Caller(identity) => Ok((identity, Secret::new(secret))),
        Authentication::Expired(_) | Authentication::Unknown => Err(Rejection::Unauthenticated.into()),
    }
}
