//! `POST /v1/applications`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::application::ApplicationShown;
use super::oauth_client::NewOauthClient;
use crate::domain::{Grant, Grants, Scope, Scopes, Secret, Timestamp};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{ApplicationName, JsonObject, Tenants, WireText, present};
use crate::http::{SharedApp, answer, caller};
use crate::service::NewApplication;

/// An application to register: with `scopes` in `tenants`, or with `grants`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApplication)]
struct RegisterBody {
    /// Its display name: 1 to 255 bytes without control characters.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    name: WireText<ApplicationName>,
    /// Its scopes in each of the `tenants`: `issue`, `revoke`, `introspect`, `follow`, `audit`, `admin`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<String>, min_items = 1)]
    scopes: Option<Vec<WireText<Scope>>>,
    /// The tenants: their names, or `*` for all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 64)]
    tenants: Option<Vec<WireText<Tenants>>>,
    /// Its scopes, tenant by tenant. The first grant whose tenant is `*` or equal decides.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<NewGrant>, min_items = 1, max_items = 64)]
    grants: Option<Vec<JsonObject<NewGrant>>>,
    /// When its secret stops working, an instant in the future; never if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Option<WireText<Timestamp>>,
    /// What it is as an OAuth client.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = NewOauthClient)]
    oauth: Option<JsonObject<NewOauthClient>>,
}

/// Scopes in one tenant, or in all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    /// The tenant, or `*` for all of them.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    tenant: WireText<Tenants>,
    /// The allowed scopes.
    #[schema(value_type = Vec<String>, min_items = 1)]
    scopes: Vec<WireText<Scope>>,
}

/// A registered application.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisteredApplication)]
struct RegisteredApplication<'a> {
    #[serde(flatten)]
    application: ApplicationShown<'a>,
    /// The secret that it calls with. It is shown only once. An application with keys has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    secret: Option<&'a str>,
}

/// Registers an application, and shows its secret only this once; one with keys authenticates with these and gets no secret. Needs the scope `admin`, and every grant that the
/// application is to have.
#[utoipa::path(
    post,
    path = "/v1/applications",
    tag = "applications",
    params(CommandHeaders),
    request_body = RegisterBody,
    responses((status = 201, description = "Registered", body = RegisteredApplication), Refusals),
)]
pub async fn register_application(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, body) = caller::command::<RegisterBody>(&app, request, Scope::Admin).await?;
    let new = body.checked(app.service.clock().now(), &app.service.answer_algorithms())?;
    let registered = app.service.register_application(&call, new).await?;
    let application = ApplicationShown::from(&*registered.registration);
    let secret = registered.secret.as_ref().map(Secret::expose);
    Ok(answer::secret(StatusCode::CREATED, &RegisteredApplication { application, secret }))
}

impl RegisterBody {
    fn checked(self, now: Timestamp, signs_with: &[Box<str>]) -> Result<NewApplication, Problem> {
        let grants = match (self.grants, self.scopes, self.tenants) {
            (Some(grants), None, None) => listed(grants)?,
            (None, Some(scopes), Some(tenants)) => spread(scopes, tenants)?,
            _ => return Err(refusal("give either `grants`, or `scopes` and `tenants`".to_owned())),
        };
        let expires_at = self.expires_at.map(|WireText(instant)| instant);
        if expires_at.is_some_and(|instant| instant <= now) {
            return Err(refusal("`expires_at`: must be in the future".to_owned()));
        }
        let grants = checked(grants)?;
        let oauth = self.oauth.map(|JsonObject(client)| client.checked(signs_with)).transpose()?.unwrap_or_default();
        Ok(NewApplication { name: self.name.0.0, grants, expires_at, secret: None, attributes: None, oauth })
    }
}

fn listed(grants: Vec<JsonObject<NewGrant>>) -> Result<Vec<Grant>, Problem> {
    let grant = |JsonObject(NewGrant { tenant: WireText(Tenants(tenant)), scopes })| {
        Ok(Grant { tenant, scopes: some_scopes(scopes)? })
    };
    grants.into_iter().map(grant).collect()
}

fn spread(scopes: Vec<WireText<Scope>>, tenants: Vec<WireText<Tenants>>) -> Result<Vec<Grant>, Problem> {
    let scopes = some_scopes(scopes)?;
    Ok(tenants.into_iter().map(|WireText(Tenants(tenant))| Grant { tenant, scopes }).collect())
}

fn some_scopes(scopes: Vec<WireText<Scope>>) -> Result<Scopes, Problem> {
    if scopes.is_empty() {
        return Err(refusal("`scopes`: must name at least one scope".to_owned()));
    }
    Ok(scopes.into_iter().map(|WireText(scope)| scope).collect())
}

fn checked(grants: Vec<Grant>) -> Result<Grants, Problem> {
    if grants.is_empty() {
        return Err(refusal("the application needs a grant: name at least one tenant, or `*`".to_owned()));
    }
    Grants::new(grants).map_err(|must_be| refusal(format!("the grants must be {must_be}")))
}

fn refusal(detail: String) -> Problem {
    Problem::with_detail(Code::InvalidBody, detail)
}
