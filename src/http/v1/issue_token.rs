//! `POST /v1/tokens`

use std::fmt;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::confirmation::{ConfirmationBody, ConfirmationShown};
use super::parent::{ParentBody, ParentShown};
use crate::domain::{CredentialId, CredentialRef, Event, GivenSubject, Issuer, Malformed, Scope, Tenant, Timestamp};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::exact::Exact;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{JsonObject, MAX_TTL_SECONDS, Seconds, Shown, TextForm, WireText, present};
use crate::http::{SharedApp, answer, caller};
use crate::jose::Binding;
use crate::service::{IssuedToken, NewToken, Service, TokenParent};

/// The most audiences of a token, and the longest one in bytes.
const MAX_AUDIENCES: usize = 16;
const MAX_AUDIENCE_BYTES: usize = 255;
/// The longest scope of a token, in bytes.
const MAX_SCOPE_BYTES: usize = 1_024;

/// A token to issue.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
struct IssueTokenBody {
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// The subject that it is issued to: 1 to 255 bytes without control characters. The name stays in the log
    /// permanently, so a pseudonym is best.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    subject: WireText<GivenSubject>,
    /// After how many seconds it expires, at the latest with its parent; the operator's default if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 31_622_400)]
    ttl: Option<Seconds<MAX_TTL_SECONDS>>,
    /// The session that it belongs to: an active session of the same subject. The token is active only while the
    /// session is. It is a parent, in short.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = "uuid")]
    session_id: Option<WireText<Uuid>>,
    /// The credential that it comes from, instead of `session_id`: it is active only while that one is, and expires no
    /// later.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ParentBody)]
    parent: Option<JsonObject<ParentBody>>,
    /// The audience: one, or a list of at most 16, each of 1 to 255 bytes. It stays in the log.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = OneOrMore)]
    audience: Option<Audience>,
    /// The scope: names with single spaces between them, RFC 6749, section 3.3. It stays in the log.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 1_024)]
    scope: Option<WireText<TokenScope>>,
    /// What it is bound to; a bearer token if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ConfirmationBody)]
    cnf: Option<JsonObject<ConfirmationBody>>,
    /// Claims to add to a JWT, exactly as they are sent: a doubled member is refused, and so is a number that could not be kept as it is.
    /// Sealed at rest, at most 32 KiB, and none of the claims that the ledger sets itself.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Object)]
    claims: Option<Exact>,
    /// `jwt`, which its receivers verify by themselves, or `opaque`, which they introspect; `jwt` if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^(jwt|opaque)$")]
    format: Option<WireText<TokenFormat>>,
    /// Whether a JWT gets an entry in a Token Status List, which its claim `status` names; as the operator has set it, if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    status_list: Option<bool>,
}

/// One audience, or a list of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used; `Audience` reads it")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenFormat {
    Jwt,
    Opaque,
}

impl TextForm for TokenFormat {
    fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "jwt" => Ok(Self::Jwt),
            "opaque" => Ok(Self::Opaque),
            _ => Err(Malformed("one of jwt, opaque")),
        }
    }
}

struct TokenScope(Box<str>);

impl TextForm for TokenScope {
    /// RFC 6749, section 3.3: visible ASCII without quotes and backslashes.
    fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(allowed);
        if text.len() <= MAX_SCOPE_BYTES && text.split(' ').all(is_name) {
            Ok(Self(text.into()))
        } else {
            Err(Malformed("names with single spaces between them, 1,024 bytes at most"))
        }
    }
}

struct Audience(Vec<Box<str>>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AudienceVisitor)
    }
}

struct AudienceVisitor;

impl<'de> Visitor<'de> for AudienceVisitor {
    type Value = Audience;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Audience, E> {
        Ok(Audience(vec![audience(text)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Audience, A::Error> {
        let mut audiences = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            audiences.push(audience(&text)?);
        }
        if (1..=MAX_AUDIENCES).contains(&audiences.len()) {
            Ok(Audience(audiences))
        } else {
            Err(A::Error::custom(format_args!("must be 1 to {MAX_AUDIENCES}")))
        }
    }
}

fn audience<E: Error>(text: &str) -> Result<Box<str>, E> {
    if (1..=MAX_AUDIENCE_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
        Ok(text.into())
    } else {
        Err(E::custom("must be 1 to 255 bytes without control characters"))
    }
}

/// An issued token.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
struct IssuedTokenShown<'a> {
    /// The token, for the bearer. It is shown only once; a JWT that is requested again with the same `Idempotency-Key`
    /// is signed again.
    token: &'a str,
    /// The public id: a JWT's `jti`, else 32 hexadecimal digits.
    id: &'a str,
    /// `jwt` or `opaque`. A token that was not requested as opaque is, if its subject was revoked on more nodes than a
    /// JWT can list.
    format: &'static str,
    /// The issuer, if it is a JWT.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    issuer: Option<&'a str>,
    /// The name space of the subject.
    tenant: &'a str,
    /// The subject that it is issued to.
    subject: &'a str,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    issued_at: Shown<Timestamp>,
    /// When it expires. It cannot be extended.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Shown<Timestamp>,
    /// The credential that it came from, by kind and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ParentShown)]
    parent: Option<ParentShown>,
    /// The session that it came from, if its parent is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid")]
    session_id: Option<String>,
    /// What it is bound to, if it is not a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ConfirmationShown)]
    cnf: Option<Map<String, Value>>,
    /// The position of its issue in this node's log.
    position: u64,
}

/// Issues a token: a JWT that this ledger signs, or an opaque one. Needs the scope `issue` in the tenant.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "tokens",
    params(CommandHeaders),
    request_body = IssueTokenBody,
    responses((status = 201, description = "Issued, and durable", body = IssuedTokenShown), Refusals),
)]
pub async fn issue_token(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, body) = caller::command::<IssueTokenBody>(&app, request, Scope::Issue).await?;
    let issued = app.service.issue_token(&call, body.asked(&app.service)?).await?;
    show(&issued).ok_or(Code::RecordUnreadable.into())
}

impl IssueTokenBody {
    fn asked(self, service: &Service) -> Result<NewToken, Problem> {
        let tenant = self.tenant.map(|WireText(tenant)| tenant).unwrap_or_default();
        Ok(NewToken {
            subject: service.named(&tenant, &self.subject.0),
            tenant,
            ttl: self.ttl.map(|Seconds(ttl)| ttl),
            parent: match (self.session_id, self.parent) {
                (None, None) => None,
                (Some(WireText(id)), None) => Some(TokenParent::OwnSession(CredentialId::of_session(id))),
                (None, Some(JsonObject(parent))) => Some(TokenParent::Any(parent.asked()?)),
                (Some(_), Some(_)) => {
                    return Err(Problem::with_detail(
                        Code::InvalidBody,
                        "`session_id` and `parent`: a token comes from one credential",
                    ));
                }
            },
            audience: self.audience.map(|Audience(list)| list).unwrap_or_default(),
            scope: self.scope.map(|WireText(TokenScope(scope))| scope),
            confirmation: self.cnf.map(|JsonObject(cnf)| cnf.asked()).transpose()?,
            claims: self.claims.unwrap_or_default().0,
            status_list: self.status_list,
            opaque: self.format.is_some_and(|WireText(format)| format == TokenFormat::Opaque),
        })
    }
}

fn show(issued: &IssuedToken) -> Option<Response> {
    let recorded = &issued.filed.recorded;
    let Event::TokenIssued(token) = &recorded.event else { return None };
    let body = IssuedTokenShown {
        token: issued.secret.expose(),
        id: &issued.id,
        format: if matches!(token.name, CredentialRef::Jwt { .. }) { "jwt" } else { "opaque" },
        issuer: token.name.issuer().map(Issuer::as_str),
        tenant: recorded.tenant.as_ref().map_or(Tenant::DEFAULT, |tenant| tenant.as_str()),
        subject: token.subject.as_str(),
        issued_at: Shown(recorded.recorded_at),
        expires_at: Shown(issued.expires_at),
        parent: token.parent.map(|parent| ParentShown::named(parent.key)),
        session_id: token.parent.and_then(|parent| parent.session()).map(|id| id.uuid().to_string()),
        cnf: token.confirmation.map(|confirmation| Binding::from(confirmation).cnf),
        position: issued.filed.position.0,
    };
    Some(answer::secret(StatusCode::CREATED, &body))
}
