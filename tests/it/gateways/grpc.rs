//! Envoy's `envoy.service.auth.v3.Authorization/Check`, as a stand-in serves it: the few fields that a test looks at, and the answer to
//! health checks.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::authority::{Answer, Asked};

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;
/// `grpc-status` of a success, and of a service that can't answer now.
const OK: u64 = 0;
const UNAVAILABLE: &str = "14";
/// `google.rpc.Code` of a refusal.
const PERMISSION_DENIED: u64 = 7;
const UNAUTHENTICATED: u64 = 16;
/// `OVERWRITE_IF_EXISTS_OR_ADD`.
const OVERWRITE: u64 = 2;
/// The flag and the length before each message.
const PREFIX: usize = 5;

/// Serves one connection.
pub async fn serve<F>(stream: TcpStream, answer: impl Fn(Asked) -> F + Clone + Send + Sync + 'static)
where
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            if request.uri().path() == HEALTH {
                return Ok::<_, Infallible>(success(&number(1, SERVING)));
            }
            assert_eq!(request.uri().path(), CHECK);
            let message = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            let said = answer(asked(&message.unwrap_or_default()[PREFIX..])).await;
            Ok(respond(said))
        }
    });
    // Envoy may close a connection at any time.
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn respond((status, headers): Answer) -> Response<Body> {
    // The check is not ready: the call fails, and Envoy's own rule for failures decides.
    if status == 503 {
        let response = Response::builder().header(CONTENT_TYPE, "application/grpc").header("grpc-status", UNAVAILABLE);
        return response.body(Full::default().boxed()).expect("a response");
    }
    let set: Vec<u8> = headers.iter().flat_map(|(name, value)| inner(2, &set_header(name, value))).collect();
    let message = if status == 200 {
        [inner(1, &number(1, OK)), inner(3, &set)].concat()
    } else {
        let code = if status == 401 { UNAUTHENTICATED } else { PERMISSION_DENIED };
        let denied = [inner(1, &number(1, status.into())), set].concat();
        [inner(1, &number(1, code)), inner(2, &denied)].concat()
    };
    success(&message)
}

/// A call that succeeds with that message.
fn success(message: &[u8]) -> Response<Body> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).expect("a short message").to_be_bytes());
    framed.extend(message);
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))));
    Response::builder().header(CONTENT_TYPE, "application/grpc").body(body.boxed()).expect("a response")
}

/// A `HeaderValueOption`.
fn set_header(name: &str, value: &str) -> Vec<u8> {
    let header = [inner(1, name.as_bytes()), inner(2, value.as_bytes())].concat();
    [inner(1, &header), number(3, OVERWRITE)].concat()
}

/// The rule, the method and the headers of a `CheckRequest`.
fn asked(message: &[u8]) -> Asked {
    let attributes = one(message, 1);
    let http = one(one(attributes, 4), 2);
    let pair = |entry: &[u8], value: u32| (text(one(entry, 1)), text(one(entry, value)));
    let extensions = fields(attributes).into_iter().filter(|(field, _)| *field == 10);
    let rule = extensions.map(|(_, entry)| pair(entry, 2)).find(|(name, _)| name == "rule");
    let plain = fields(http).into_iter().filter(|(field, _)| *field == 3).map(|(_, entry)| pair(entry, 2));
    // `header_map`, with raw values.
    let raw = fields(one(http, 13)).into_iter().map(|(_, entry)| pair(entry, 3));
    Asked {
        method: text(one(http, 2)),
        target: format!("/check/{}", rule.map_or_else(|| "default".to_owned(), |(_, rule)| rule)),
        headers: plain.chain(raw).collect(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last field of that number; empty if there is none.
fn one(message: &[u8], number: u32) -> &[u8] {
    let found = fields(message).into_iter().rev().find(|(field, _)| *field == number);
    found.map(|(_, bytes)| bytes).unwrap_or_default()
}

/// The fields of a message that have a length.
fn fields(mut rest: &[u8]) -> Vec<(u32, &[u8])> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = read_varint(&mut rest);
        match key & 7 {
            0 => drop(read_varint(&mut rest)),
            1 => rest = &rest[8..],
            2 => {
                let length = usize::try_from(read_varint(&mut rest)).expect("a length");
                let (bytes, after) = rest.split_at(length);
                found.push((u32::try_from(key >> 3).expect("a number of a field"), bytes));
                rest = after;
            }
            5 => rest = &rest[4..],
            other => panic!("a field of the type {other}"),
        }
    }
    found
}

fn read_varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().expect("a byte");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field that is a message or a text.
fn inner(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

#[test]
fn messages_are_read_as_they_are_written() {
    let header = |name: &str, value: &str| inner(1, &[inner(1, name.as_bytes()), inner(3, value.as_bytes())].concat());
    let headers = [header("authorization", "a"), header("authorization", "b")].concat();
    let http = [inner(2, b"GET"), number(8, 300), inner(13, &headers)].concat();
    let rule = inner(10, &[inner(1, b"rule"), inner(2, b"reports")].concat());
    let read = asked(&inner(1, &[inner(4, &inner(2, &http)), rule].concat()));
    assert_eq!((read.method.as_str(), read.target.as_str()), ("GET", "/check/reports"));
    assert_eq!(read.values("authorization"), ["a", "b"]);
}
