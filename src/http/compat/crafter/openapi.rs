//! This surface's part of the OpenAPI document, under the documented base.

use std::collections::BTreeMap;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify};

use super::wire::ErrorDetails;
use super::{access_tokens, tickets};

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        tickets::create,
        tickets::create_for,
        tickets::read,
        tickets::invalidate,
        tickets::invalidate_as_token,
        access_tokens::create,
        access_tokens::read,
        access_tokens::list,
        access_tokens::delete,
    ),
    components(schemas(ErrorDetails)),
    tags((
        name = "crafter",
        description = "Crafter Profile's contract: authentication tickets and access tokens. Served without `/crafter-profile` and \
                       under `/profile`, too, and with `.json` behind each path"
    )),
    modifiers(&AccessTokenId),
)]
pub struct CrafterApi;

struct AccessTokenId;

impl Modify for AccessTokenId {
    fn modify(&self, document: &mut OpenApi) {
        let value = ApiKeyValue::with_description("accessTokenId", "An application's secret; in a form, too");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("crafter", SecurityScheme::ApiKey(ApiKey::Query(value)));
    }
}

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
