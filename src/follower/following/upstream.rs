//! The HTTP client for one node: bounded waits, bounded answers, no redirects.

use std::borrow::Cow;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};

use crate::domain::Secret;
use crate::setting::is_loopback;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a node may take to begin its answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a node can't be called at all.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("follow no node: name at least one")]
    None,
    /// The address is malformed.
    #[error("use {url:?} as the address of a node: it must be http or https, a host, and perhaps a port and a path")]
    Url { url: String },
    /// The secret can't be put into a header.
    #[error("use the secret that was given: it is empty, or has characters that a secret can't have")]
    Secret,
    /// The client can't be set up.
    #[error("set up the HTTP client: {0}")]
    Client(String),
}

/// Why a call has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CallFailure {
    /// The node can't be reached, or the connection broke.
    #[error("{0}")]
    Broken(String),
    /// It took too long.
    #[error("it took too long")]
    Late,
    /// The node answers with another status.
    #[error("the answer's status is {}", .0.as_u16())]
    Status(StatusCode),
    /// The answer is too long, or is not what was asked for.
    #[error("the answer can't be used: {0}")]
    Unusable(Cow<'static, str>),
    /// It comes under one key more than a follower holds.
    #[error("revocations under too many keys are held")]
    Full,
}

impl From<reqwest::Error> for CallFailure {
    /// Only the innermost cause, without the address: the layers above say that there is one.
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Late;
        }
        let error = error.without_url();
        let mut deepest: &dyn std::error::Error = &error;
        while let Some(source) = deepest.source() {
            deepest = source;
        }
        Self::Broken(deepest.to_string())
    }
}

/// One node, and the secret that is presented to it. Its connections are kept.
pub struct Upstream {
    http: Client,
    url: String,
    authorization: HeaderValue,
}

impl Upstream {
    /// The node at that address. If certificates are given, only those are trusted.
    pub fn new(url: &str, secret: &Secret, certificates: Option<&[Certificate]>) -> Result<Self, UpstreamError> {
        let parsed = checked(url).ok_or_else(|| UpstreamError::Url { url: url.to_owned() })?;
        let bearer = format!("Bearer {}", secret.expose());
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| UpstreamError::Secret)?;
        authorization.set_sensitive(true);
        // A default that was installed before in this process is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("authledger/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none());
        if is_loopback(&parsed) {
            builder = builder.no_proxy();
        }
        match certificates {
            Some(certificates) => builder = builder.tls_certs_only(certificates.to_vec()),
            // Plain HTTP must not fail because this machine has no certificates to trust.
            None if parsed.scheme() == "http" => builder = builder.tls_certs_only([]),
            None => {}
        }
        let http = builder.build().map_err(|error| UpstreamError::Client(error.to_string()))?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), authorization })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A request with the secret.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.public(method, path).header(AUTHORIZATION, self.authorization.clone())
    }

    /// A request without the secret, for what everybody may read.
    pub fn public(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request; the head of the answer has a deadline, and its body is the caller's business.
    pub async fn begin(&self, request: RequestBuilder) -> Result<Response, CallFailure> {
        let mut request = request.build()?;
        // Forms write a plus for a space, which a node refuses, because it could be meant.
        let escaped = request.url().query().filter(|query| query.contains('+')).map(|query| query.replace('+', "%20"));
        if let Some(query) = escaped {
            request.url_mut().set_query(Some(&query));
        }
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, self.http.execute(request)).await;
        Ok(answered.map_err(|_| CallFailure::Late)??)
    }

    /// Sends a request, and takes a whole answer of at most that many bytes within that time, whatever its status.
    pub async fn exchange(
        &self,
        request: RequestBuilder,
        limit: usize,
        patience: Duration,
    ) -> Result<(StatusCode, Vec<u8>), CallFailure> {
        let exchanged = async {
            let response = self.begin(request).await?;
            let status = response.status();
            Ok((status, bounded(response, limit).await?))
        };
        tokio::time::timeout(patience, exchanged).await.map_err(|_| CallFailure::Late)?
    }
}

async fn bounded(mut response: Response, limit: usize) -> Result<Vec<u8>, CallFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(CallFailure::Unusable("it is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn checked(url: &str) -> Option<Url> {
    let parsed = Url::parse(url).ok()?;
    let is_bare = parsed.query().is_none() && parsed.fragment().is_none();
    let is_named = !parsed.username().is_empty() || parsed.password().is_some();
    (matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && is_bare && !is_named).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_name() {
        for good in ["http://127.0.0.1:1", "https://a.example/", "https://a.example/ledger"] {
            assert!(checked(good).is_some(), "{good}");
        }
        for bad in
            ["a.example", "ftp://a.example", "http://u@a.example", "http://:p@a.example", "http://a/?q", "http://a/#f"]
        {
            assert!(checked(bad).is_none(), "{bad}");
        }
    }
}
