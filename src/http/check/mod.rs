//! The check: a gateway asks about each request, and gets an answer that it can't misread.
//!
//! Whatever happens, the status is 200, 401, 403 or 503, the body is empty, and the request's own body is never read or
//! waited for. Nothing in the query or in a forwarded header decides anything; policy is named in the path alone.

mod answer;
mod config;
#[cfg(feature = "grpc")]
mod grpc;
mod node;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::any;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Semaphore, watch as signal};
use tokio::time::Instant;

use crate::check::{
    Authority, CheckOutcome, CheckRule, Identity, Presentation, RuleName, Standing, Verdict, presented,
};
use crate::domain::Digest;
use crate::telemetry::CheckMetrics;

pub use config::{CheckArgs, CheckConfigError, CheckOptions};
#[cfg(feature = "grpc")]
pub use grpc::routes as grpc_routes;
pub use node::NodeAuthority;

/// What comes before the name of a rule.
const PREFIX: &str = "/check/";
/// How often an unknown rule is logged at most: its name is whatever somebody asks for.
const WARNING_EVERY: Duration = Duration::from_secs(10);

/// The check, over the authority that it asks.
pub struct Checks<A> {
    authority: Arc<A>,
    options: CheckOptions,
    rules: HashMap<Box<str>, Asked>,
    unknown_rule: Counter,
    metrics: CheckMetrics,
    in_flight: Semaphore,
    watchers: Arc<Semaphore>,
    stop: signal::Receiver<bool>,
    started: Instant,
    /// When an unknown rule was last logged, in milliseconds since the start, plus one; 0 before that.
    warned: AtomicU64,
}

/// A rule with everything that can be made of it before anybody asks.
struct Asked {
    rule: Arc<CheckRule>,
    /// The same, without renewals: that somebody still watches is not a use.
    watched: Arc<CheckRule>,
    challenge: answer::Challenge,
    counters: [Counter; CheckOutcome::ALL.len()],
}

/// What came of a check, and of whom it is if it was allowed.
enum Decision {
    Allowed(Arc<Standing>),
    Denied(CheckOutcome),
}

impl Decision {
    fn outcome(&self) -> CheckOutcome {
        match self {
            Self::Allowed(_) => CheckOutcome::Allowed,
            Self::Denied(outcome) => *outcome,
        }
    }
}

impl<A: Authority> Checks<A> {
    /// The check with these options. Watchers end when `stop` turns true.
    pub fn new(authority: Arc<A>, options: CheckOptions, metrics: CheckMetrics, stop: signal::Receiver<bool>) -> Self {
        let rules = options.rules.iter().map(|rule| (rule.name.as_str().into(), Asked::new(rule, &metrics))).collect();
        Self {
            authority,
            rules,
            unknown_rule: metrics.counter("", CheckOutcome::UnknownRule.as_str()),
            metrics,
            in_flight: Semaphore::new(options.concurrency),
            watchers: Arc::new(Semaphore::new(options.watchers)),
            options,
            stop,
            started: Instant::now(),
            warned: AtomicU64::new(0),
        }
    }

    /// The answer to a request, whatever its method, version and body.
    pub async fn answer(self: &Arc<Self>, request: Request) -> Response {
        let announces_body = !request.body().is_end_stream();
        let (parts, _) = request.into_parts();
        let path = parts.uri.path();
        let mut response = match self.find(path) {
            None => self.refuse_unknown(path),
            Some((asked, behind)) => match watch::Wish::of(&parts, behind) {
                None => self.answer_of(asked, &self.decide(asked, &parts.headers).await),
                Some(wish) => watch::answer(self, asked, &parts.headers, wish).await,
            },
        };
        answer::fit(&mut response, &parts, announces_body);
        response
    }

    /// The rule that a path names, and what follows in the path.
    fn find<'a>(&self, path: &'a str) -> Option<(&Asked, &'a str)> {
        let named = path.strip_prefix(PREFIX)?;
        let (name, behind) = named.split_at(named.find('/').unwrap_or(named.len()));
        self.rule(name).map(|asked| (asked, behind))
    }

    fn rule(&self, name: &str) -> Option<&Asked> {
        // A path may be long.
        if name.len() > RuleName::MAX_BYTES { None } else { self.rules.get(name) }
    }

    /// What that rule says of a request with these headers.
    async fn decide(&self, asked: &Asked, headers: &HeaderMap) -> Decision {
        let decision = match presented(&asked.rule.credentials, headers) {
            Presentation::Nothing => Decision::Denied(CheckOutcome::NoCredential),
            Presentation::Malformed => Decision::Denied(CheckOutcome::Malformed),
            Presentation::One(credential) => match self.in_flight.try_acquire() {
                Ok(_room) => self.judge(&asked.rule, credential).await,
                Err(_) => Decision::Denied(CheckOutcome::Busy),
            },
        };
        asked.counters[decision.outcome().index()].inc();
        decision
    }

    /// What that rule says of a credential.
    async fn judge(&self, rule: &CheckRule, credential: &str) -> Decision {
        let decision = match self.authority.verdict(rule, credential).await {
            Verdict::Blind => Decision::Denied(CheckOutcome::Blind),
            Verdict::Refused => Decision::Denied(CheckOutcome::Inactive),
            Verdict::Good(standing) => match rule.judge(&standing) {
                CheckOutcome::Allowed => Decision::Allowed(standing),
                denied => Decision::Denied(denied),
            },
        };
        if let Decision::Denied(outcome) = decision
            && tracing::enabled!(tracing::Level::DEBUG)
        {
            let digest = Digest::of(credential.as_bytes());
            tracing::debug!(rule = rule.name.as_str(), outcome = outcome.as_str(), %digest, "a check was refused");
        }
        decision
    }

    fn answer_of(&self, asked: &Asked, decision: &Decision) -> Response {
        match decision {
            Decision::Denied(outcome) => answer::denied(*outcome, Some(&asked.challenge)),
            Decision::Allowed(standing) => answer::allowed(&self.options.headers, self.identity(standing)),
        }
    }

    fn identity(&self, standing: &Standing) -> Identity {
        let identity = self.options.headers.of(standing);
        if identity.is_cut {
            self.metrics.cut_identities.inc();
        }
        identity
    }

    fn refuse_unknown(&self, path: &str) -> Response {
        let named = path.strip_prefix(PREFIX).unwrap_or_default();
        self.note_unknown(named.split('/').next().unwrap_or_default());
        answer::denied(CheckOutcome::UnknownRule, None)
    }

    /// Counts and logs a rule that does not exist. A text that can't be the name of one is not logged: it is anything that
    /// somebody sends.
    fn note_unknown(&self, named: &str) {
        self.unknown_rule.inc();
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let warned = self.warned.load(Ordering::Relaxed);
        let is_due = warned == 0 || now - warned.min(now) >= WARNING_EVERY.as_millis() as u64;
        if !is_due || self.warned.compare_exchange(warned, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let name = RuleName::new(named).ok();
        let rule = name.as_ref().map_or("(not a name)", RuleName::as_str);
        tracing::warn!(
            rule,
            "a check was refused, because no rule has that name: the gateway's settings and the [[check]] tables differ"
        );
    }
}

impl Asked {
    fn new(rule: &Arc<CheckRule>, metrics: &CheckMetrics) -> Self {
        let counter = |outcome: CheckOutcome| metrics.counter(rule.name.as_str(), outcome.as_str());
        Self {
            rule: rule.clone(),
            watched: if rule.renew { Arc::new(CheckRule { renew: false, ..(**rule).clone() }) } else { rule.clone() },
            challenge: answer::Challenge::of(rule),
            counters: CheckOutcome::ALL.map(counter),
        }
    }
}

/// The routes of a listener that answers checks and nothing else: every other path is an unknown rule.
pub fn routes<A: Authority>(checks: Arc<Checks<A>>) -> Router {
    Router::new().fallback(answer_check::<A>).with_state(checks)
}

async fn answer_check<A: Authority>(State(checks): State<Arc<Checks<A>>>, request: Request) -> Response {
    checks.answer(request).await
}

/// The routes of the surface, beside others.
pub(super) fn surface_routes() -> Router<super::SharedApp> {
    beside_others(any(|State(app): State<super::SharedApp>, request: Request| async move {
        app.checks.answer(request).await
    }))
}

/// The same on a node that can't answer yet.
pub(super) fn blind_routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    beside_others(any(|request: Request| async move {
        let announces_body = !request.body().is_end_stream();
        let (parts, _) = request.into_parts();
        let mut response = answer::denied(CheckOutcome::Blind, None);
        answer::fit(&mut response, &parts, announces_body);
        response
    }))
}

fn beside_others<S: Clone + Send + Sync + 'static>(answer: axum::routing::MethodRouter<S>) -> Router<S> {
    Router::new().route("/check", answer.clone()).route("/check/", answer.clone()).route("/check/{*rule}", answer)
}
