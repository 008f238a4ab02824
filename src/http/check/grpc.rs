//! The check as Envoy asks it over gRPC: `envoy.service.auth.v3.Authorization`, and `grpc.health.v1` beside it.
//!
//! The messages have the fields that are read or written here, by their numbers in Envoy's protocol; others are skipped.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderName, HeaderValue as HttpValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use prost::Message;
use tokio::sync::watch as signal;
use tokio::time::{Interval, interval, timeout};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status, async_trait};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;
use tower::ServiceExt as _;

use super::{Checks, Decision, answer};
use crate::check::{Authority, CheckOutcome, RuleName};

const SERVICE: &str = "envoy.service.auth.v3.Authorization";
const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH_PATHS: &str = "/grpc.health.v1.Health/{method}";
/// The key among a route's context extensions that names the rule.
const RULE: &str = "rule";
/// The largest request: the heads of the client's, and what Envoy adds.
const MAX_REQUEST_BYTES: usize = 256 << 10;
/// How long a request may take to arrive and be answered.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How often a watcher's health is looked at.
const HEALTH_EVERY: Duration = Duration::from_millis(250);

/// `CheckRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<AttributeContext>,
}

/// `AttributeContext`.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeContext {
    #[prost(message, optional, tag = "4")]
    pub request: Option<RequestAttributes>,
    #[prost(map = "string, string", tag = "10")]
    pub context_extensions: HashMap<String, String>,
}

/// `AttributeContext.Request`.
#[derive(Clone, PartialEq, Message)]
pub struct RequestAttributes {
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

/// `AttributeContext.HttpRequest`. Lines of one header are joined with a comma in `headers`, and apart in `header_map`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpRequest {
    #[prost(map = "string, string", tag = "3")]
    pub headers: HashMap<String, String>,
    #[prost(message, optional, tag = "13")]
    pub header_map: Option<RawHeaders>,
}

/// `HeaderMap`.
#[derive(Clone, PartialEq, Message)]
pub struct RawHeaders {
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<HeaderValue>,
}

/// `HeaderValue`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
    #[prost(bytes = "vec", tag = "3")]
    pub raw_value: Vec<u8>,
}

/// `HeaderValueOption`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    #[prost(int32, tag = "3")]
    pub append_action: i32,
    #[prost(bool, tag = "4")]
    pub keep_empty_value: bool,
}

/// `HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD`: a client's own header of that name is replaced.
const OVERWRITE_IF_EXISTS_OR_ADD: i32 = 2;

/// `CheckResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<RpcStatus>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub http_response: Option<HttpResponse>,
}

/// `CheckResponse.http_response`.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum HttpResponse {
    #[prost(message, tag = "2")]
    Denied(DeniedHttpResponse),
    #[prost(message, tag = "3")]
    Ok(OkHttpResponse),
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// `DeniedHttpResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct DeniedHttpResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
}

/// `HttpStatus`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// `OkHttpResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct OkHttpResponse {
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
}

/// The routes of a listener that answers Envoy's checks over gRPC and nothing else.
pub fn routes<A: Authority>(checks: Arc<Checks<A>>) -> Router {
    let health = HealthServer::new(Condition(checks.clone()));
    let check = move |request: Request| {
        let checks = checks.clone();
        async move {
            let mut grpc =
                Grpc::new(ProstCodec::default()).apply_max_message_size_config(Some(MAX_REQUEST_BYTES), None);
            within(grpc.unary(CheckMethod(checks), request)).await
        }
    };
    let health = move |request: Request| {
        let health = health.clone();
        async move {
            // It can't fail.
            within(async { health.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {}) }).await
        }
    };
    Router::new()
        .route(CHECK_PATH, axum::routing::post(check))
        .route(HEALTH_PATHS, axum::routing::post(health))
        .fallback(|| async {
            Status::unimplemented("this listener has checks and health").into_http::<axum::body::Body>()
        })
}

async fn within<B>(answer: impl Future<Output = axum::http::Response<B>>) -> Response
where
    axum::http::Response<B>: IntoResponse,
{
    match timeout(REQUEST_TIME, answer).await {
        Ok(response) => response.into_response(),
        Err(_) => Status::deadline_exceeded("the request did not arrive in time").into_http::<axum::body::Body>(),
    }
}

struct CheckMethod<A>(Arc<Checks<A>>);

impl<A: Authority> UnaryService<CheckRequest> for CheckMethod<A> {
    type Response = CheckResponse;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<CheckResponse>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let checks = self.0.clone();
        Box::pin(async move { check(&checks, request.into_inner()).await.map(tonic::Response::new) })
    }
}

async fn check<A: Authority>(checks: &Checks<A>, request: CheckRequest) -> Result<CheckResponse, Status> {
    let AttributeContext { request, context_extensions } = request.attributes.unwrap_or_default();
    let name = context_extensions.get(RULE).map_or(RuleName::DEFAULT, String::as_str);
    let Some(asked) = checks.rule(name) else {
        checks.note_unknown(name);
        return Ok(denied(CheckOutcome::UnknownRule, None));
    };
    let headers = headers(request.and_then(|request| request.http).unwrap_or_default());
    match checks.decide(asked, &headers).await {
        // Envoy's own failure mode decides.
        Decision::Denied(CheckOutcome::Blind | CheckOutcome::Busy) => {
            Err(Status::unavailable("the check can't tell now"))
        }
        Decision::Denied(outcome) => Ok(denied(outcome, answer::challenge(outcome, Some(&asked.challenge)))),
        Decision::Allowed(standing) => {
            let identity = checks.identity(&standing);
            let lines = checks.options.headers.lines(identity);
            let ok = OkHttpResponse { headers: lines.map(|(name, value)| option(&name, &value)).collect() };
            Ok(CheckResponse { status: Some(status(Code::Ok)), http_response: Some(HttpResponse::Ok(ok)) })
        }
    }
}

/// The client's headers.
fn headers(request: HttpRequest) -> HeaderMap {
    let joined = request.headers.into_iter().map(|(name, value)| (name, value.into_bytes()));
    let apart =
        request.header_map.unwrap_or_default().headers.into_iter().map(|HeaderValue { key, value, raw_value }| {
            let value = if raw_value.is_empty() { value.into_bytes() } else { raw_value };
            (key, value)
        });
    // Envoy fills one of both.
    let mut headers = HeaderMap::new();
    for (name, value) in joined.chain(apart) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.extend(value_of(value).map(|value| (name, value)));
        }
    }
    headers
}

/// The value, with a byte that no credential has in the place of each that no header has.
fn value_of(mut value: Vec<u8>) -> Option<HttpValue> {
    value.iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = 0xff);
    HttpValue::from_bytes(&value).ok()
}

fn denied(outcome: CheckOutcome, challenge: Option<HttpValue>) -> CheckResponse {
    let http = outcome.status();
    let code =
        if http == axum::http::StatusCode::UNAUTHORIZED { Code::Unauthenticated } else { Code::PermissionDenied };
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(http.as_u16()) }),
        headers: challenge.iter().map(|challenge| option(&WWW_AUTHENTICATE, challenge)).collect(),
    };
    CheckResponse { status: Some(status(code)), http_response: Some(HttpResponse::Denied(denied)) }
}

fn status(code: Code) -> RpcStatus {
    RpcStatus { code: code as i32 }
}

/// An empty value is kept: without its header the client's own would pass.
fn option(name: &HeaderName, value: &HttpValue) -> HeaderValueOption {
    let value = value.to_str().unwrap_or_default().to_owned();
    HeaderValueOption {
        header: Some(HeaderValue { key: name.as_str().to_owned(), value, raw_value: Vec::new() }),
        append_action: OVERWRITE_IF_EXISTS_OR_ADD,
        keep_empty_value: true,
    }
}

/// The health of the check, for a client that balances between several.
struct Condition<A>(Arc<Checks<A>>);

impl<A: Authority> Condition<A> {
    fn of(&self, service: &str) -> ServingStatus {
        if !service.is_empty() && service != SERVICE {
            ServingStatus::ServiceUnknown
        } else if self.0.authority.is_ready() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

const fn shown(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}

#[async_trait]
impl<A: Authority> Health for Condition<A> {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        match self.of(&request.into_inner().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("this listener has no such service")),
            status => Ok(tonic::Response::new(shown(status))),
        }
    }

    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let watch = HealthWatch {
            condition: Self(self.0.clone()),
            service: request.into_inner().service,
            told: None,
            looks: interval(HEALTH_EVERY),
            stop: self.0.stop.clone(),
        };
        let changes = stream::unfold(watch, |mut watch| async move {
            let next = watch.next().await?;
            Some((Ok(shown(next)), watch))
        });
        Ok(tonic::Response::new(Box::pin(changes)))
    }
}

/// A client that is told whenever its service's health changes.
struct HealthWatch<A> {
    condition: Condition<A>,
    service: String,
    told: Option<ServingStatus>,
    looks: Interval,
    stop: signal::Receiver<bool>,
}

impl<A: Authority> HealthWatch<A> {
    /// The next status; nothing once the server stops.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            tokio::select! {
                _ = self.looks.tick() => {}
                _ = self.stop.wait_for(|stop| *stop) => return None,
            }
            let status = self.condition.of(&self.service);
            if self.told != Some(status) {
                self.told = Some(status);
                return Some(status);
            }
        }
    }
}
