//! The check over gRPC, asked by a client with messages of its own: all fields by their numbers in Envoy's protocol.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use authledger::http::check;
use authledger::http::listen::{HttpServer, Limits};
use prost::Message;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;

use super::{node, token};
use crate::support::served::ServedNode;

#[derive(Clone, PartialEq, Message)]
struct Ask {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "4")]
    request: Option<Attribute>,
    #[prost(map = "string, string", tag = "10")]
    context_extensions: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "2")]
    http: Option<Http>,
}

#[derive(Clone, PartialEq, Message)]
struct Http {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(map = "string, string", tag = "3")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "11")]
    body: String,
    #[prost(message, optional, tag = "13")]
    header_map: Option<Lines>,
}

#[derive(Clone, PartialEq, Message)]
struct Lines {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "vec", tag = "3")]
    raw_value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(message, optional, tag = "1")]
    status: Option<Number>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    ok: Option<Allowed>,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<Number>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<Put>,
    #[prost(string, tag = "3")]
    body: String,
}

#[derive(Clone, PartialEq, Message)]
struct Allowed {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<Put>,
    #[prost(string, repeated, tag = "5")]
    headers_to_remove: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(message, optional, tag = "1")]
    header: Option<Line>,
    #[prost(int32, tag = "3")]
    append_action: i32,
    #[prost(bool, tag = "4")]
    keep_empty_value: bool,
}

async fn serve(node: &ServedNode, stop: &watch::Sender<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let router = check::grpc_routes(node.checks().clone());
    let server = HttpServer { router, tls: None, limits: Limits::default(), metrics: std::sync::Arc::default() };
    tokio::spawn(server.run_for_gateways(listener, stop.subscribe()));
    address
}

async fn connect(address: SocketAddr) -> Channel {
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URL");
    channel.connect().await.expect("it listens")
}

async fn ask(channel: &Channel, ask: Ask) -> Result<Told, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("connected");
    let path = "/envoy.service.auth.v3.Authorization/Check".parse().expect("a path");
    let codec: ProstCodec<Ask, Told> = ProstCodec::default();
    grpc.unary(tonic::Request::new(ask), path, codec).await.map(tonic::Response::into_inner)
}

fn with(rule: Option<&str>, http: Http) -> Ask {
    let context_extensions = rule.map(|rule| ("rule".to_owned(), rule.to_owned())).into_iter().collect();
    Ask { attributes: Some(Attributes { request: Some(Attribute { http: Some(http) }), context_extensions }) }
}

fn headers(lines: &[(&str, &str)]) -> Http {
    let headers = lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Http { headers, path: "/check/none".into(), method: "CONNECT".into(), ..Http::default() }
}

fn raw(lines: &[(&str, &[u8])]) -> Http {
    let line =
        |(key, value): &(&str, &[u8])| Line { key: (*key).to_owned(), raw_value: value.to_vec(), ..Line::default() };
    Http { header_map: Some(Lines { headers: lines.iter().map(line).collect() }), ..Http::default() }
}

#[tokio::test]
async fn envoy_gets_the_same_answers_over_grpc() {
    let node = node().await;
    let (stop, _) = watch::channel(false);
    let channel = connect(serve(&node, &stop).await).await;
    let credential = token(&node).await;
    let bearer = format!("Bearer {credential}");
    let good = |rule| with(rule, headers(&[(":path", "/x"), ("authorization", &bearer)]));
    let twice = format!("{bearer},{bearer}");
    let scope = "Bearer realm=\"authledger\", error=\"insufficient_scope\", scope=\"read write\"";
    let invalid = "Bearer realm=\"authledger\", error=\"invalid_token\"";
    let none = "Bearer realm=\"authledger\"";
    for (asked, code, status, challenge) in [
        (good(None), 0, 0, ""),
        (good(Some("default")), 0, 0, ""),
        (with(None, raw(&[("authorization", bearer.as_bytes())])), 0, 0, ""),
        (good(Some("scope")), 7, 403, scope),
        (good(Some("none")), 7, 403, ""),
        (good(Some("sessions")), 16, 401, invalid),
        (with(None, headers(&[("authorization", &twice)])), 16, 401, invalid),
        (
            with(None, raw(&[("authorization", bearer.as_bytes()), ("authorization", bearer.as_bytes())])),
            16,
            401,
            invalid,
        ),
        (with(None, raw(&[("authorization", b"Bearer a\r\nb")])), 16, 401, invalid),
        (with(None, headers(&[("Authorization", "Basic a")])), 16, 401, none),
        (Ask::default(), 16, 401, none),
    ] {
        let told = ask(&channel, asked.clone()).await.expect("an answer");
        assert_eq!(told.status.map(|status| status.code), Some(code), "{asked:?}");
        let denied = told.denied.unwrap_or_default();
        let shown: Vec<_> =
            denied.headers.into_iter().filter_map(|put| put.header).map(|line| (line.key, line.value)).collect();
        let expected =
            if challenge.is_empty() { Vec::new() } else { vec![("www-authenticate".to_owned(), challenge.to_owned())] };
        assert_eq!(
            (denied.status.map_or(0, |status| status.code), shown, denied.body),
            (status, expected, String::new()),
            "{asked:?}"
        );
        let ok = told.ok.unwrap_or_default();
        assert_eq!(ok.headers.len(), if code == 0 { 11 } else { 0 }, "{asked:?}");
        assert!(ok.headers.iter().all(|put| put.append_action == 2 && put.keep_empty_value), "{asked:?}");
        assert!(ok.headers_to_remove.is_empty());
    }
    let told = ask(&channel, good(None)).await.expect("an answer").ok.expect("allowed");
    let value = |name: &str| {
        let line = told.headers.iter().filter_map(|put| put.header.as_ref()).find(|line| line.key == name);
        line.map(|line| line.value.clone())
    };
    assert_eq!((value("x-auth-subject").as_deref(), value("x-auth-session").as_deref()), (Some("alice"), Some("")));
    assert_eq!(node.root().post("/v1/revocations", json!({"credential": credential})).await.status, 201);
    assert_eq!(
        ask(&channel, good(None)).await.expect("an answer").denied.expect("denied").status.expect("one").code,
        401
    );
    let large = with(None, Http { body: "x".repeat(300 << 10), ..headers(&[]) });
    assert_eq!(ask(&channel, large).await.expect_err("a refusal").code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_node_that_can_not_tell_is_unavailable_and_its_health_says_so() {
    let node = node().await;
    let (stop, _) = watch::channel(false);
    let channel = connect(serve(&node, &stop).await).await;
    let bearer = format!("Bearer {}", token(&node).await);
    let mut health = HealthClient::new(channel.clone());
    let mut condition = async |service: &str| {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await;
        answer.map(|answer| answer.into_inner().status).map_err(|status| status.code())
    };
    let authorization = "envoy.service.auth.v3.Authorization";
    assert_eq!(
        (condition("").await, condition(authorization).await, condition("x").await),
        (Ok(1), Ok(1), Err(Code::NotFound))
    );
    let mut changes = HealthClient::new(channel.clone());
    let mut changes = changes.watch(HealthCheckRequest::default()).await.expect("a stream").into_inner();
    assert_eq!(changes.message().await.expect("open").expect("a status").status, 1);
    node.service().cluster().admit(false);
    let change = timeout(Duration::from_secs(20), changes.message()).await.expect("a change");
    assert_eq!(change.expect("open").expect("a status").status, 2);
    assert_eq!(condition(authorization).await, Ok(2));
    let asked = with(None, headers(&[("authorization", &bearer)]));
    assert_eq!(ask(&channel, asked.clone()).await.expect_err("a failure").code(), Code::Unavailable);
    node.service().cluster().admit(true);
    assert_eq!(ask(&channel, asked).await.expect("an answer").status.expect("one").code, 0);
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("connected");
    let codec: ProstCodec<Ask, Told> = ProstCodec::default();
    let other = grpc.unary(tonic::Request::new(Ask::default()), "/a.B/C".parse().expect("a path"), codec).await;
    assert_eq!(other.expect_err("a refusal").code(), Code::Unimplemented);
}
