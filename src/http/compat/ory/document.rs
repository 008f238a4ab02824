//! What the OpenAPI document says of parameters and identities.

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// The identity of a session: the members that were given when it was issued, and these members always.
#[derive(ToSchema)]
#[schema(as = OryIdentity)]
#[expect(dead_code, reason = "only its description is used; an identity is made of what was given")]
pub struct OryIdentity {
    /// The subject if it is a UUID in canonical form, else the UUID, version 5, that stands for it.
    #[schema(value_type = String, format = "uuid")]
    id: (),
    /// Its schema; `default` if none was given.
    schema_id: String,
    /// The address of its schema; a URN if none was given.
    schema_url: String,
    /// `active` or `inactive`.
    state: String,
    /// Its traits.
    #[schema(value_type = Object)]
    traits: Value,
    /// Public metadata, which the holder of the session may see.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    metadata_public: (),
    /// The organisation that it belongs to.
    organization_id: Option<String>,
}

/// A token for the session.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; queries are read where they are needed")]
pub struct TokenizeAs {
    /// The template of a token that the answer is to have: one of the server's settings.
    #[param(value_type = String, required = false)]
    tokenize_as: (),
}

/// A session.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used; paths are read where ids are")]
pub struct OrySessionId {
    /// The session's UUID: canonical, 32 digits, in braces, or behind `urn:uuid:`.
    id: String,
}

/// An identity.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used; paths are read where ids are")]
pub struct IdentityId {
    /// The subject, or the UUID that stands for it.
    id: String,
}

/// A page of a list that is counted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; queries are read where pages are")]
pub struct ListPage {
    /// How many sessions the page has, 1 to 1000; 250 if it is left out or is not a number.
    #[param(value_type = i64, required = false)]
    page_size: (),
    /// The token of the page, as in `Link`. The first page if it can't be read.
    #[param(value_type = String, required = false)]
    page_token: (),
    /// An older name of `page_size`; counts without `page_size` and `page_token` only.
    #[param(value_type = i64, required = false)]
    per_page: (),
    /// The number of the page, from 1 on; counts without `page_size` and `page_token` only.
    #[param(value_type = i64, required = false)]
    page: (),
}

/// A page of a tenant's sessions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; queries are read where pages are")]
pub struct TenantPage {
    /// How many sessions the page has: 250 if left out or below 1. A larger number counts as 1000.
    #[param(value_type = i64, required = false)]
    page_size: (),
    /// The token of the page, as in `Link`; or one of Kratos.
    #[param(value_type = String, required = false)]
    page_token: (),
}

/// A filter.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; queries are read where they are needed")]
pub struct ActiveOnly {
    /// Only active sessions, or only inactive ones.
    #[param(value_type = String, required = false, pattern = "^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$")]
    active: (),
}

/// The parts to show.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; queries are read where they are needed")]
pub struct ToExpand {
    /// `identity` and `devices`, each given by itself; a part that is not named is null.
    #[param(value_type = Vec<String>, required = false, style = Form, explode)]
    expand: (),
}

/// The tenant.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used; the header is read where callers are")]
pub struct TenantHeader {
    /// The tenant of an application whose grants name several, or all: `default` if left out.
    #[param(rename = "X-Tenant", value_type = String, required = false, min_length = 1, max_length = 255)]
    x_tenant: (),
}
