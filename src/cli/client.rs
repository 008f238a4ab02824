//! The HTTP client of the command line: one server, one secret, and refusals as sentences.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;

use crate::domain::Secret;
use crate::setting::is_loopback;
use crate::utf8;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for an answer that is not a stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest line of a stream: a cursor over many origins, and a record.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Which server, and as which application.
#[derive(Args, Clone)]
pub struct ServerArgs {
    /// The server.
    #[arg(long, env = "AUTHLEDGER_URL", default_value = "http://127.0.0.1:7878", value_name = "URL")]
    pub url: String,

    /// The application's secret. Others on this machine see it in the list of processes: prefer the variable, or
    /// --token-file
    #[arg(long, env = "AUTHLEDGER_TOKEN", hide_env_values = true, value_name = "SECRET")]
    pub token: Option<String>,

    /// A file that holds the application's secret, such as DATA/root-token. It takes precedence over --token
    #[arg(long, env = "AUTHLEDGER_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Trust the certificates in this file, PEM, and no others
    #[arg(long, env = "AUTHLEDGER_CA_CERTIFICATE", value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
}

/// Which server, and how its answer is shown.
#[derive(Args)]
pub(super) struct CallArgs {
    /// JSON on the standard output instead of lines for people: one object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is malformed.
    #[error("use {url:?} as the server's address: {why}; give --url something like http://127.0.0.1:7878")]
    Url {
        /// The given address.
        url: String,
        /// The problem with it.
        why: String,
    },
    /// No secret was given.
    #[error("call the server without a secret: set AUTHLEDGER_TOKEN, or give --token-file DATA/root-token")]
    NoToken,
    /// The secret can't be put into a header.
    #[error("use the secret that was given: it is empty, or has characters that a secret can't have")]
    MalformedToken,
    /// A file that was named can't be read.
    #[error("read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The client can't be set up.
    #[error("set up the HTTP client: {0}")]
    Setup(String),
    /// The server can't be reached.
    #[error("reach {url}: {why}; is the server running there? name another one with --url")]
    Unreachable { url: String, why: String },
    /// The connection broke.
    #[error("read the answer of {url}: {why}")]
    Broken { url: String, why: String },
    /// The server refuses the call.
    #[error("the server refuses: {title} ({} {code}). {detail}", status.as_u16())]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// The last part of the problem's type.
        code: String,
        /// What is wrong, in a few words.
        title: String,
        /// What is wrong with this request.
        detail: String,
    },
    /// The answer is not a problem of an authledger.
    #[error("{url} answered {status}, but not as an authledger does; check --url")]
    NotALedger {
        url: String,
        /// The answer's status.
        status: StatusCode,
    },
}

impl CallError {
    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            // A proxy in front of a restarting server answers in its own words.
            Self::Refused { status, .. } | Self::NotALedger { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            Self::Url { .. } | Self::NoToken | Self::MalformedToken | Self::File { .. } | Self::Setup(_) => false,
        }
    }
}

/// The shown members of an RFC 9457 problem.
#[derive(Deserialize)]
struct ProblemMembers {
    #[serde(rename = "type", default)]
    reference: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

/// One server, and the secret that is presented to it.
pub struct Client {
    http: reqwest::Client,
    url: String,
    authorization: HeaderValue,
}

impl Client {
    /// A client of the server that the arguments name.
    pub fn new(arguments: &ServerArgs) -> Result<Self, CallError> {
        let secret = token(arguments)?;
        let certificates = arguments.ca_certificate.as_deref().map(certificates).transpose()?;
        Self::connect(&arguments.url, &secret, certificates)
    }

    /// A client of that server, with that secret. If certificates are given, only those are trusted.
    pub fn connect(url: &str, secret: &Secret, certificates: Option<Vec<Certificate>>) -> Result<Self, CallError> {
        let parsed = checked(url)?;
        let bearer = format!("Bearer {}", secret.expose());
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| CallError::MalformedToken)?;
        authorization.set_sensitive(true);
        // A default that was installed before in this process is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("authledger/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none());
        if is_loopback(&parsed) {
            builder = builder.no_proxy();
        }
        match certificates {
            Some(certificates) => builder = builder.tls_certs_only(certificates),
            // Plain HTTP must not fail because this machine has no certificates to trust.
            None if parsed.scheme() == "http" => builder = builder.tls_certs_only([]),
            None => {}
        }
        let http = builder.build().map_err(|error| CallError::Setup(cause(&error)))?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), authorization })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A request with the secret.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.plain(method, path).header(reqwest::header::AUTHORIZATION, self.authorization.clone())
    }

    /// A request without the secret, for contracts that carry theirs elsewhere.
    pub fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request, and takes its answer if that is a success.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        self.succeeded(self.exchange(request).await?).await
    }

    /// Sends a request, and takes its answer whatever it is.
    pub async fn exchange(&self, request: RequestBuilder) -> Result<Response, CallError> {
        self.execute(request.timeout(ANSWER_TIMEOUT)).await.map_err(|error| self.unreachable(&error))
    }

    /// Sends a request with each space of its query as `%20`. Forms write a plus, which the server refuses, because it could be meant.
    async fn execute(&self, request: RequestBuilder) -> reqwest::Result<Response> {
        let mut request = request.build()?;
        let escaped = request.url().query().filter(|query| query.contains('+')).map(|query| query.replace('+', "%20"));
        if let Some(query) = escaped {
            request.url_mut().set_query(Some(&query));
        }
        self.http.execute(request).await
    }

    /// Sends a request, and takes the text that answers it if that is a success.
    pub async fn text(&self, request: RequestBuilder) -> Result<String, CallError> {
        let response = self.send(request.header(ACCEPT, "application/json")).await?;
        response.text().await.map_err(|error| self.broken(&error))
    }

    /// Opens a stream of lines that does not end by itself.
    pub async fn lines(&self, request: RequestBuilder) -> Result<AnswerLines, CallError> {
        // The answer goes on for ever, so only its beginning has a deadline. The reader watches the time.
        let opened = async {
            let response = self.execute(request).await.map_err(|error| self.unreachable(&error))?;
            self.succeeded(response).await
        };
        let late = |_| CallError::Unreachable { url: self.url.clone(), why: "it took too long".to_owned() };
        let response = tokio::time::timeout(ANSWER_TIMEOUT, opened).await.map_err(late)??;
        Ok(AnswerLines { response, url: self.url.clone(), buffer: Vec::new(), taken: 0 })
    }

    async fn succeeded(&self, response: Response) -> Result<Response, CallError> {
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    async fn refusal(&self, response: Response) -> CallError {
        let status = response.status();
        let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/problem+json");
        let not_a_ledger = CallError::NotALedger { url: self.url.clone(), status };
        if !is_problem {
            return not_a_ledger;
        }
        let Ok(body) = response.bytes().await else { return not_a_ledger };
        let Ok(ProblemMembers { reference, title, detail }) = serde_json::from_slice(&body) else {
            return not_a_ledger;
        };
        let code = reference.rsplit('/').next().unwrap_or_default().to_owned();
        CallError::Refused { status, code, title, detail }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        CallError::Unreachable { url: self.url.clone(), why: cause(error) }
    }

    fn broken(&self, error: &reqwest::Error) -> CallError {
        CallError::Broken { url: self.url.clone(), why: cause(error) }
    }
}

/// The lines of an answer, as they arrive.
pub struct AnswerLines {
    response: Response,
    url: String,
    buffer: Vec<u8>,
    taken: usize,
}

impl AnswerLines {
    /// The next line without its end, or nothing if the answer has ended. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Result<Option<String>, CallError> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                let why = format!("a line is longer than {MAX_LINE_BYTES} bytes");
                return Err(CallError::Broken { url: self.url.clone(), why });
            }
            let chunk = self.response.chunk().await;
            let chunk = chunk.map_err(|error| CallError::Broken { url: self.url.clone(), why: cause(&error) })?;
            // A line that breaks off was incomplete.
            let Some(chunk) = chunk else { return Ok(None) };
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// Whether another whole line has arrived already.
    pub fn has_more(&self) -> bool {
        self.buffer[self.taken..].contains(&b'\n')
    }

    fn take(&mut self) -> Option<String> {
        let rest = &self.buffer[self.taken..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            return None;
        };
        let line = String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned();
        self.taken += end + 1;
        Some(line)
    }
}

fn token(arguments: &ServerArgs) -> Result<Secret, CallError> {
    let text = match (&arguments.token_file, &arguments.token) {
        (Some(path), _) => utf8::read(path).map_err(|source| CallError::File { path: path.clone(), source })?,
        (None, Some(token)) => token.clone(),
        (None, None) => return Err(CallError::NoToken),
    };
    let text = text.trim();
    if text.is_empty() { Err(CallError::MalformedToken) } else { Ok(Secret::new(text)) }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, CallError> {
    let pem = std::fs::read(path).map_err(|source| CallError::File { path: path.to_owned(), source })?;
    let read = Certificate::from_pem_bundle(&pem);
    read.map_err(|error| CallError::Setup(format!("{} holds no certificates: {}", path.display(), cause(&error))))
}

fn checked(url: &str) -> Result<Url, CallError> {
    let refuse = |why: &str| CallError::Url { url: url.to_owned(), why: why.to_owned() };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(refuse("it must start with http:// or https://"));
    }
    let parsed = Url::parse(url).map_err(|error| refuse(&error.to_string()))?;
    if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty() {
        return Err(refuse("it must end with the host, the port or a path"));
    }
    Ok(parsed)
}

/// The innermost cause: the layers above only say that there is one.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    // Without the number: it is the system's, and says the same again.
    let text = deepest.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The subject as one part of a path.
pub(super) fn segment(subject: &str) -> String {
    // Only so that its path can be written: the host is not used.
    let mut url = Url::parse("http://localhost").ok();
    let path = url.as_mut().and_then(|url| {
        url.path_segments_mut().ok()?.clear().push(subject);
        Some(url.path().trim_start_matches('/').to_owned())
    });
    path.unwrap_or_else(|| subject.to_owned())
}
