//! `POST /v1/introspect`

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::confirmation::ConfirmationShown;
use super::parent::ParentShown;
use crate::domain::{Kind, Malformed, Scope, Thumbprint, Timestamp};
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::wire::{JsonObject, Shown, TextForm, WireText, present};
use crate::http::{SharedApp, answer, caller};
use crate::jose::{Possession, Proof, TargetUri};
use crate::service::{Introspection, IssueFacts};

/// A credential to ask about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Introspect)]
struct IntrospectBody {
    /// The secret, exactly as its bearer presented it.
    credential: String,
    /// The proof that came with it, and the request that it came with. A token that is bound to a key is then active only
    /// if the proof is valid, and is used for the first time: RFC 9449, section 4.3.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ProofBody)]
    proof: Option<JsonObject<ProofBody>>,
    /// The SHA-256 thumbprint, in base64url, of the client certificate of the connection that it came by. A token that is
    /// bound to a certificate is then active only if it is this one: RFC 8705, section 3.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    certificate_sha256: Option<WireText<Thumbprint>>,
    /// Whether the answer has a member `details`: what the issue of the credential says.
    #[serde(default)]
    #[schema(default = false)]
    details: bool,
}

/// A proof of possession, and the request that it came with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Proof)]
struct ProofBody {
    /// The header `DPoP`.
    dpop: String,
    /// The method of the request.
    #[schema(value_type = String, min_length = 1, max_length = 64)]
    method: WireText<RequestMethod>,
    /// The address of the request, as its client wrote it. Query and fragment do not count.
    #[schema(value_type = String, format = "uri")]
    uri: WireText<TargetUri>,
}

struct RequestMethod(Box<str>);

impl TextForm for RequestMethod {
    fn parse(text: &str) -> Result<Self, Malformed> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(is_token) {
            Ok(Self(text.into()))
        } else {
            Err(Malformed("the method of a request: RFC 9110, section 9.1"))
        }
    }
}

impl TextForm for TargetUri {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl IntrospectBody {
    /// What came with the credential, if the caller says so.
    fn possession(&self) -> Option<Possession<'_>> {
        let proof = self.proof.as_ref().map(|JsonObject(ProofBody { dpop, method, uri })| Proof {
            text: dpop,
            method: &method.0.0,
            uri: &uri.0,
        });
        let certificate = self.certificate_sha256.as_ref().map(|WireText(thumbprint)| *thumbprint);
        (proof.is_some() || certificate.is_some()).then_some(Possession { proof, certificate })
    }
}

/// The introspection of a credential: its members if it is active, else `{"active":false}` and nothing else.
#[derive(Serialize, ToSchema)]
#[schema(as = Introspection)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "it is made once for each answer, and written at once")]
enum IntrospectionShown<'a> {
    Good(Good<'a>),
    Inactive(InactiveCredential),
}

/// An active credential.
#[derive(Serialize, ToSchema)]
#[schema(as = ActiveCredential)]
struct Good<'a> {
    /// True.
    active: bool,
    /// `ticket`, `session` or `token`.
    kind: &'static str,
    /// Its public id: 32 hexadecimal digits, a session's UUID, or a JWT's `jti` if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    id: Option<&'a str>,
    /// The issuer, if it is a JWT.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    issuer: Option<&'a str>,
    /// The name space of its subject.
    tenant: &'a str,
    /// The subject that it was issued to.
    subject: &'a str,
    /// When it was issued; a JWT of another issuer may not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    issued_at: Option<Shown<Timestamp>>,
    /// When it expires unless it is used or extended; a JWT of another issuer may not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Option<Shown<Timestamp>>,
    /// The latest instant to which any use or extension can prolong it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    not_after: Option<Shown<Timestamp>>,
    /// Of a ticket: the latest use that this process knows of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Option<Shown<Timestamp>>,
    /// The credential that it came from. It is active only while that one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ParentShown)]
    parent: Option<Box<ParentShown>>,
    /// The session that it came from, if its parent is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    session_id: Option<String>,
    /// When that session was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    session_issued_at: Option<Shown<Timestamp>>,
    /// The application that issued that session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid")]
    session_application: Option<String>,
    /// The application that issued it. Absent for root, for a token that belongs to a session and that the node issued by
    /// its settings, and for a JWT of another issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid")]
    application: Option<String>,
    /// `DPoP` for a token that is bound to a key: a caller that presents it must prove possession (RFC 9449, section 6.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, pattern = "^DPoP$")]
    token_type: Option<&'static str>,
    /// What a token is bound to, if it is not a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ConfirmationShown)]
    cnf: Option<&'a Map<String, Value>>,
    /// What its issue says, if the caller has asked for details.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = DetailsShown)]
    details: Option<DetailsShown<'a>>,
}

/// What the issue of a credential says: of a token its scope and audience, of a session how its subject was authenticated.
#[derive(Serialize, ToSchema)]
#[schema(as = CredentialDetails)]
struct DetailsShown<'a> {
    /// Of a token: what it allows, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    scope: Option<Cow<'a, str>>,
    /// Of a token: the parties that it is meant for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    audience: Vec<&'a str>,
    /// Of a session: the authenticator assurance level of its subject, `aal0` to `aal3`; of a JWT its `acr`, if that is a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    aal: Option<&'a str>,
    /// Of a session: when its subject was authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    authenticated_at: Option<Shown<Timestamp>>,
    /// Of a session: the names of the methods by which its subject was authenticated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    methods: Vec<&'a str>,
    /// Of a token that another issuer made: the client that it was issued to, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    client: Option<Cow<'a, str>>,
    /// Whether an application was granted it for itself. It is then inactive once the application is removed, which no
    /// revocation says.
    granted: bool,
}

impl<'a> DetailsShown<'a> {
    fn of(found: &'a Introspection, facts: &'a IssueFacts) -> Self {
        let session = match facts {
            IssueFacts::Session(session) => Some(session),
            IssueFacts::Nothing | IssueFacts::Token(_) => None,
        };
        let granted = match facts {
            IssueFacts::Token(token) => token.grant.is_some(),
            IssueFacts::Nothing | IssueFacts::Session(_) => false,
        };
        let methods = session.into_iter().flat_map(|session| &session.methods);
        Self {
            scope: found.scope(facts),
            audience: found.audience(facts),
            aal: session.map(|session| session.aal.as_str()).or_else(|| found.level()),
            authenticated_at: session.and_then(|session| session.authenticated_at.or(found.issued_at)).map(Shown),
            methods: methods.map(|method| method.method.as_str()).collect(),
            client: found.client().filter(|_| found.kind == Kind::Token && found.application.is_none()),
            granted,
        }
    }
}

/// An inactive credential. The answer does not say why it is inactive, or whose it was.
#[derive(Serialize, ToSchema)]
// Closed in the document, so that it does not describe an active credential too.
#[serde(deny_unknown_fields)]
struct InactiveCredential {
    /// False.
    active: bool,
}

/// Whether a credential is active, and whose it is. Asking does not prolong it. Needs the scope `introspect` in its
/// tenant; a credential of another tenant is not active. Without a proof the answer only says what a bound token is bound
/// to, and the caller checks possession itself.
#[utoipa::path(
    post,
    path = "/v1/introspect",
    tag = "credentials",
    request_body = IntrospectBody,
    responses((status = 200, description = "The introspection", body = IntrospectionShown), Refusals),
)]
pub async fn introspect(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (identity, body) = caller::question::<IntrospectBody>(&app, request, Scope::Introspect).await?;
    let shown = body.possession();
    let found = app.service.introspect(&identity, &body.credential, shown.as_ref()).await?;
    let facts = match &found {
        Some(found) if body.details => Some(app.service.issue_facts(found).await?),
        Some(_) | None => None,
    };
    let body = found.as_ref().map_or(IntrospectionShown::Inactive(InactiveCredential { active: false }), |found| {
        IntrospectionShown::Good(good(found, facts.as_ref()))
    });
    Ok(answer::json(StatusCode::OK, &body))
}

fn good<'a>(found: &'a Introspection, facts: Option<&'a IssueFacts>) -> Good<'a> {
    let session = found.ancestors.first().filter(|parent| parent.kind == Kind::Session);
    Good {
        active: true,
        kind: found.kind.as_str(),
        id: found.id.as_deref(),
        issuer: found.issuer.as_deref(),
        tenant: found.tenant.as_str(),
        subject: found.subject.as_str(),
        issued_at: found.issued_at.map(Shown),
        expires_at: found.expires_at.map(Shown),
        not_after: found.not_after.map(Shown),
        last_used_at: found.last_used_at.map(Shown),
        parent: ParentShown::of(found),
        session_id: found.session().map(|id| id.uuid().to_string()),
        session_issued_at: session.and_then(|session| session.issued_at).map(Shown),
        session_application: session.and_then(|session| session.application).map(|id| id.to_string()),
        application: found.application.map(|id| id.to_string()),
        token_type: found.binding.as_ref().and_then(|binding| binding.key).map(|_| "DPoP"),
        cnf: found.binding.as_ref().map(|binding| &binding.cnf),
        details: facts.map(|facts| DetailsShown::of(found, facts)),
    }
}
