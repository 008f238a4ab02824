//! This surface's part of the OpenAPI document: its calls and security schemes.

use utoipa::Modify;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::{admin, public};

/// Ory's contract. Its calls are served under a prefix too, `/auth` unless it is configured otherwise.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        public::whoami,
        public::list,
        public::disable_others,
        public::disable,
        public::log_out,
        admin::list,
        admin::manage,
        admin::get,
        admin::disable,
        admin::extend,
        admin::list_of_identity,
        admin::revoke_all_of_identity,
    ),
    tags((name = "ory", description = "Sessions by Ory's contract, as its SDKs call it; under the prefix `/auth` too")),
    modifiers(&Schemes),
)]
pub struct OryApi;

/// The three ways to present a session token.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let header = ApiKeyValue::with_description("X-Session-Token", "A session token");
        let cookie = ApiKeyValue::with_description("ory_kratos_session", "A session token; the name is configurable");
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A session token"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("ory_session_token", SecurityScheme::ApiKey(ApiKey::Header(header)));
        components.add_security_scheme("ory_session_cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme("ory_session_bearer", SecurityScheme::Http(bearer.build()));
    }
}
