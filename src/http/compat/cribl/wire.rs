//! Cribl's JSON.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Kind, Timestamp};
use crate::http::wire::Shown;

/// A refusal. Older clients read `message` alone.
#[derive(Serialize, ToSchema)]
#[schema(as = CriblError)]
pub struct CriblErrorBody<'a> {
    /// `error`.
    pub status: &'static str,
    /// The error.
    pub message: &'a str,
}

/// A credential that was active until the call revoked it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CriblItem)]
pub struct CriblItem<'a> {
    /// Its public id.
    pub id: &'a str,
    /// Its kind.
    #[schema(value_type = String)]
    pub kind: Shown<Kind>,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    pub issued_at: Shown<Timestamp>,
    /// When it would have expired.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Shown<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = String, format = DateTime)]
    pub invalidated_at: Shown<Timestamp>,
}

/// All credentials that the call revoked, as OpenAPI describes them.
#[derive(ToSchema)]
#[schema(as = CriblItems)]
#[expect(dead_code, reason = "only its description is used; the items are written page by page")]
pub struct Items<'a> {
    /// The credentials.
    items: Vec<CriblItem<'a>>,
    /// The number of items. It comes last.
    count: u64,
}
