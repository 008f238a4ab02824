//! The refusals that calls share, as the OpenAPI document describes them.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

/// The refusals that every call can have.
pub struct CrafterRefusals;

/// The additional refusals of a call that reads its body.
pub struct BodyRefusals;

impl IntoResponses for CrafterRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            ("400", "A parameter is missing or can't be used"),
            ("403", "The access token is missing, unknown or expired, or may not do this"),
            ("405", "Another verb is served here"),
            ("500", "The machine failed"),
            ("503", "No commands are taken for now"),
        ])
    }
}

impl IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[("408", "The body did not arrive in time"), ("413", "The body is larger than this server takes")])
    }
}

fn refusals(all: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let refusal = |(status, description): &(&str, &str)| {
        let body = Content::new(Some(Ref::from_schema_name("CrafterError")));
        let response = ResponseBuilder::new().description(*description).content("application/json", body).build();
        ((*status).to_owned(), response.into())
    };
    all.iter().map(refusal).collect()
}
