//! The members that this surface adds to every document about the issuer: RFC 8414, section 2.

use serde_json::{Map, Value, json};

use crate::domain::{GrantType, Issuer, Scope};
use crate::http::App;
use crate::keys::Algorithm;
use crate::service::WITHIN_FOLLOW;

/// How a client authenticates at each of the calls.
const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// The calls, as members name them.
const CALLS: [(&str, &str); 3] =
    [("introspection", "/oauth2/introspect"), ("revocation", "/oauth2/revoke"), ("token", "/oauth2/token")];

/// The members that this surface adds to a document about the issuer.
pub fn members_of(app: &App, issuer: &Issuer) -> Map<String, Value> {
    let endpoint = |path: &str| json!(format!("{issuer}{}{path}", app.options.compat.oauth.prefix));
    let mut members = Map::new();
    members.insert("scopes_supported".to_owned(), json!(scopes()));
    members.insert("grant_types_supported".to_owned(), json!([GrantType::ClientCredentials.as_str()]));
    let algorithms = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256].map(Algorithm::as_str);
    // Some clients take it for RS256 alone where it is missing.
    let signed = app.service.answer_algorithms();
    members.insert("introspection_signing_alg_values_supported".to_owned(), json!(signed));
    members.insert("global_token_revocation_endpoint".to_owned(), endpoint("/oauth2/global-token-revocation"));
    // Its body is JSON, so that nothing but the header can authenticate.
    let methods = "global_token_revocation_endpoint_auth_methods_supported";
    members.insert(methods.to_owned(), json!(["client_secret_basic"]));
    if let Some(lists) = app.service.status_list_aggregation()
        && app.options.serves_status_lists()
    {
        members.insert("status_list_aggregation_endpoint".to_owned(), json!(lists));
    }
    for (name, path) in CALLS {
        members.insert(format!("{name}_endpoint"), endpoint(path));
        members.insert(format!("{name}_endpoint_auth_methods_supported"), json!(METHODS));
        members.insert(format!("{name}_endpoint_auth_signing_alg_values_supported"), json!(algorithms));
    }
    members
}

/// The scopes of a client.
pub fn scopes() -> Vec<&'static str> {
    Scope::ALL.into_iter().map(Scope::as_str).chain(WITHIN_FOLLOW).collect()
}
