//! `POST /v1/sessions`

use std::fmt;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::device;
use super::parent::{ParentBody, ParentShown};
use super::session::SessionShown;
use crate::domain::{Aal, Event, GivenSubject, Method, MethodName, Scope, Tenant, Timestamp};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::exact::Exact;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{JsonObject, MAX_TTL_SECONDS, Seconds, TextForm as _, WireText, present};
use crate::http::{SharedApp, answer, caller};
use crate::service::{IssuedSession, NewSession, Personal, Service};

/// The most methods by which a session was authenticated.
const MAX_METHODS: usize = 16;

/// A session to issue.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSession)]
struct IssueSessionBody {
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// The subject that it is issued to: 1 to 255 bytes without control characters. The name stays in the log
    /// permanently, so a pseudonym is best.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    subject: WireText<GivenSubject>,
    /// After how many seconds it expires unless it is extended; the operator's default if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 31_622_400)]
    ttl: Option<Seconds<MAX_TTL_SECONDS>>,
    /// The authenticator assurance level of its subject, `aal0` to `aal3`; `aal1` if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^aal[0-3]$")]
    aal: Option<WireText<Aal>>,
    /// How the subject was authenticated: names such as `password`, or objects with a `method`, its `aal`, and when it
    /// was completed.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<EitherForm>, max_items = 16)]
    methods: Option<Vec<RequestedMethod>>,
    /// The identity that its bearer is to see, exactly as it is sent: a doubled member is refused, and so is a number that could not be
    /// kept as it is. Sealed at rest; together with the device at most 32 KiB.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Object)]
    identity: Option<Exact>,
    /// The device that the session is issued to. Sealed at rest. If it is left out, a server that is told to do so takes it
    /// from the headers of proxies.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Device)]
    device: Option<JsonObject<Device>>,
    /// The credential that it comes from: it is active only while that one is, and expires no later.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ParentBody)]
    parent: Option<JsonObject<ParentBody>>,
}

/// The device that a session is issued to.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Device {
    /// Its address.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    ip_address: Option<String>,
    /// Its user agent.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    user_agent: Option<String>,
    /// Its presumed location.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    location: Option<String>,
}

/// One way in which the subject was authenticated: its name, or an object.
#[derive(ToSchema)]
#[schema(as = NewMethod)]
#[expect(dead_code, reason = "only its description is used; `RequestedMethod` reads it")]
enum EitherForm {
    #[schema(title = "Its name")]
    Name(String),
    #[schema(title = "With details")]
    Detailed(Detailed),
}

/// A method, with details.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DetailedMethod)]
struct Detailed {
    /// Its name: 1 to 64 characters a-z, 0-9, '_', '.' and '-'.
    #[schema(value_type = String, pattern = "^[a-z0-9_.-]{1,64}$")]
    method: WireText<MethodName>,
    /// The assurance level that it gave.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^aal[0-3]$")]
    aal: Option<WireText<Aal>>,
    /// When it was completed.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = DateTime)]
    completed_at: Option<WireText<Timestamp>>,
}

/// A method in either form.
struct RequestedMethod(Method);

impl<'de> Deserialize<'de> for RequestedMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequestedMethodVisitor)
    }
}

struct RequestedMethodVisitor;

impl<'de> Visitor<'de> for RequestedMethodVisitor {
    type Value = RequestedMethod;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a method's name, or an object with `method`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RequestedMethod, E> {
        let method = MethodName::parse(text).map_err(|must_be| E::custom(format_args!("must be {must_be}")))?;
        Ok(RequestedMethod(Method { method, aal: None, completed_at: None }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RequestedMethod, A::Error> {
        let Detailed { method: WireText(method), aal, completed_at } =
            Detailed::deserialize(MapAccessDeserializer::new(map))?;
        let (aal, completed_at) = (aal.map(|WireText(aal)| aal), completed_at.map(|WireText(at)| at));
        Ok(RequestedMethod(Method { method, aal, completed_at }))
    }
}

/// An issued session.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedSession)]
struct IssuedSessionShown<'a> {
    session: SessionShown<'a>,
    /// The credential that it came from, by kind and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ParentShown)]
    parent: Option<ParentShown>,
    /// The secret, for the bearer. It is shown only once.
    session_token: &'a str,
}

/// Issues a session: a logged-in device, whose bearer presents the session token. Needs the scope `issue` in the
/// tenant.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    tag = "sessions",
    params(CommandHeaders),
    request_body = IssueSessionBody,
    responses((status = 201, description = "Issued, and durable", body = IssuedSessionShown), Refusals),
)]
pub async fn issue_session(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let described = app.options.device_headers.then(|| device::described(request.headers())).flatten();
    let (call, body) = caller::command::<IssueSessionBody>(&app, request, Scope::Issue).await?;
    let mut new = body.checked(&app.service)?;
    // A device that headers describe is dropped before it refuses a login: the caller has not sent it.
    if new.personal.device.is_none() {
        new.personal.device = described;
        if !new.personal.fits() {
            new.personal.device = None;
        }
    }
    let issued = app.service.issue_session(&call, new).await?;
    show(&issued).ok_or(Code::RecordUnreadable.into())
}

impl IssueSessionBody {
    fn checked(self, service: &Service) -> Result<NewSession, Problem> {
        let methods: Vec<Method> = self.methods.into_iter().flatten().map(|RequestedMethod(method)| method).collect();
        if methods.len() > MAX_METHODS {
            return Err(Problem::with_detail(Code::InvalidBody, format!("`methods`: at most {MAX_METHODS}")));
        }
        let tenant = self.tenant.map(|WireText(tenant)| tenant).unwrap_or_default();
        Ok(NewSession {
            subject: service.named(&tenant, &self.subject.0),
            tenant,
            ttl: self.ttl.map(|Seconds(ttl)| ttl),
            aal: self.aal.map(|WireText(aal)| aal).unwrap_or_default(),
            methods,
            personal: Personal {
                identity: self.identity.map(|Exact(identity)| identity),
                device: self.device.map(|JsonObject(device)| device.members()),
            },
            parent: self.parent.map(|JsonObject(parent)| parent.asked()).transpose()?,
        })
    }
}

impl Device {
    fn members(self) -> Map<String, Value> {
        let members = [("ip_address", self.ip_address), ("user_agent", self.user_agent), ("location", self.location)];
        let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))));
        given.collect()
    }
}

fn show(issued: &IssuedSession) -> Option<Response> {
    let Event::SessionIssued(record) = &issued.filed.recorded.event else { return None };
    let session = SessionShown::as_issued(&issued.session, record.expires_at, issued.filed.position.0);
    let parent = record.parent.map(|parent| ParentShown::named(parent.key));
    let body = IssuedSessionShown { session, parent, session_token: issued.secret.expose() };
    Some(answer::secret(StatusCode::CREATED, &body))
}
