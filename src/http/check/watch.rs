//! A check that stays: it answers at once as any check does, and again when the credential is over. For those who hold a
//! WebSocket or a stream open, which a gateway checks only at its start.
//!
//! It is asked for by its path and a header together: a gateway may add its client's path to the check's, and a client
//! that asks for `/watch` must get a plain check.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::{Asked, Checks, Decision, answer};
use crate::check::{Authority, CheckOutcome, CheckRule, Presentation, Standing, presented};
use crate::domain::Secret;
use crate::http::fields;
use crate::telemetry::LevelGauge;

/// What follows the name of the rule in the path.
const PATH: &str = "/watch";
/// The client's wishes about how an answer is made (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");
const EVENT_STREAM: &str = "text/event-stream";
/// The longest that an answer waits.
const MAX_WAIT: Duration = Duration::from_secs(120);
/// After an expiry has passed, a credential is looked at again no sooner: a clock may run at another pace than the timer.
const LEAST_SLEEP: Duration = Duration::from_millis(50);

/// How a watcher wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// By server-sent events.
    Events,
    /// By an answer that waits, at most that long.
    Answer(Duration),
}

impl Wish {
    /// The wish of a request whose path has that behind the rule's name; nothing if it is a plain check.
    pub fn of(request: &Parts, behind: &str) -> Option<Self> {
        if behind != PATH || request.method != Method::GET {
            return None;
        }
        let accepted = fields::elements(&request.headers, &ACCEPT);
        if accepted.iter().any(|one| one.name == EVENT_STREAM && one.weight() > 0) {
            return Some(Self::Events);
        }
        let wishes = fields::elements(&request.headers, &PREFER);
        let wait = wishes.iter().find(|one| one.name == "wait")?.value.as_deref()?.parse().ok()?;
        Some(Self::Answer(Duration::from_secs(wait).min(MAX_WAIT)))
    }
}

/// The answer to a watcher.
pub async fn answer<A: Authority>(checks: &Arc<Checks<A>>, asked: &Asked, headers: &HeaderMap, wish: Wish) -> Response {
    let decision = checks.decide(asked, headers).await;
    let Decision::Allowed(standing) = &decision else { return checks.answer_of(asked, &decision) };
    let Presentation::One(credential) = presented(&asked.rule.credentials, headers) else {
        return answer::denied(CheckOutcome::Malformed, None);
    };
    let Some(mut watch) = Watch::begin(checks, asked, credential, standing.clone()) else {
        return checks.answer_of(asked, &Decision::Denied(CheckOutcome::Busy));
    };
    match wish {
        Wish::Answer(wait) => {
            let over = watch.until_over(Instant::now() + wait).await;
            let last = over.map_or(Decision::Allowed(watch.standing), |over| Decision::Denied(over.outcome()));
            checks.answer_of(asked, &last)
        }
        Wish::Events => {
            let mut response = checks.answer_of(asked, &decision);
            response.headers_mut().remove(CONTENT_LENGTH);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
            *response.body_mut() = watch.into_body();
            response
        }
    }
}

/// Why a watch ends.
#[derive(Clone, Copy)]
enum Over {
    /// The rule does not hold any more, or nobody can tell whether it does.
    Denied(CheckOutcome),
    /// The server stops; another one may know.
    Stopping,
}

impl Over {
    const fn outcome(self) -> CheckOutcome {
        match self {
            Self::Denied(outcome) => outcome,
            Self::Stopping => CheckOutcome::Blind,
        }
    }

    fn event(self) -> Bytes {
        let reason = match self {
            Self::Denied(_) => "over",
            Self::Stopping => "stopping",
        };
        format!("event: over\ndata: {{\"status\":{},\"reason\":\"{reason}\"}}\n\n", self.outcome().status().as_u16())
            .into()
    }
}

/// One watcher.
struct Watch<A> {
    checks: Arc<Checks<A>>,
    rule: Arc<CheckRule>,
    credential: Secret,
    standing: Arc<Standing>,
    step: Step,
    _counted: CountedWatcher,
}

#[derive(Clone, Copy)]
enum Step {
    Start,
    Watch,
    Done,
}

/// Counts the watcher for as long as it is connected.
struct CountedWatcher(LevelGauge, #[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl Drop for CountedWatcher {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl<A: Authority> Watch<A> {
    /// A watcher of a credential that is good; nothing if there are too many.
    fn begin(checks: &Arc<Checks<A>>, asked: &Asked, credential: &str, standing: Arc<Standing>) -> Option<Self> {
        let permit = checks.watchers.clone().try_acquire_owned().ok()?;
        let gauge = checks.metrics.watchers.clone();
        gauge.inc();
        Some(Self {
            checks: checks.clone(),
            rule: asked.watched.clone(),
            credential: Secret::new(credential),
            standing,
            step: Step::Start,
            _counted: CountedWatcher(gauge, permit),
        })
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut watch| async move {
            let chunk = watch.next().await?;
            Some((Ok::<_, Infallible>(chunk), watch))
        }))
    }

    async fn next(&mut self) -> Option<Bytes> {
        match self.step {
            Step::Done => None,
            Step::Start => {
                self.step = Step::Watch;
                Some(Bytes::from_static(b"event: good\ndata: {\"status\":200}\n\n"))
            }
            Step::Watch => match self.until_over(Instant::now() + self.checks.options.heartbeat).await {
                None => Some(Bytes::from_static(b":\n\n")),
                Some(over) => {
                    self.step = Step::Done;
                    Some(over.event())
                }
            },
        }
    }

    /// Why it is over; nothing if it is not by then. It is looked at by then in any case: an application that expires,
    /// or a disk that fills up, has no record.
    async fn until_over(&mut self, until: Instant) -> Option<Over> {
        let mut stop = self.checks.stop.clone();
        loop {
            let look_at = self.expires_at().map_or(until, |at| at.min(until));
            tokio::select! {
                // A sender that is gone means the same.
                _ = stop.wait_for(|stop| *stop) => return Some(Over::Stopping),
                _ = timeout_at(look_at, self.checks.authority.changed(self.credential.expose())) => {}
            }
            match self.look().await {
                Decision::Denied(outcome) => return Some(Over::Denied(outcome)),
                Decision::Allowed(standing) => self.standing = standing,
            }
            if Instant::now() >= until {
                return None;
            }
        }
    }

    /// What the rule says now. A watcher waits where there are many checks: it must not be over because of them.
    async fn look(&self) -> Decision {
        let _room = self.checks.in_flight.acquire().await;
        self.checks.judge(&self.rule, self.credential.expose()).await
    }

    /// When it expires, by the timer's clock.
    fn expires_at(&self) -> Option<Instant> {
        let left = self.standing.expires_at?.millis_since(self.checks.authority.now());
        Instant::now().checked_add(Duration::from_millis(left).max(LEAST_SLEEP))
    }
}
