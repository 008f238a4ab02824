//! A server that is nothing but hyper: what the do-nothing handler of authledger is held to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;

use crate::children::Program;

/// The hidden subcommand that serves it, in a process of its own.
pub const SUBCOMMAND: &str = "serve-bare";
const PATIENCE: Duration = Duration::from_secs(20);
/// As long as what the do-nothing handler answers.
const ANSWER: [u8; 200] = [b'0'; 200];

/// Serves until the process is ended.
pub fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                // A connection that fails is the client's to notice.
                let _ = connection.await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // Read, and not looked at.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(&ANSWER)));
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Starts it in a process of its own, as authledger is in one.
pub fn start(work: &Path) -> anyhow::Result<(Program, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    let mut program = Program::start("the bare server", command.arg(SUBCOMMAND), &work.join("bare.log"), Signal::KILL)?;
    let address = program.wait_for(PATIENCE, |line| line.strip_prefix("listening on ")?.parse().ok())?;
    Ok((program, address))
}
