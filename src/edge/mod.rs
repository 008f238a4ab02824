//! The edge: a process beside a gateway that answers its checks from memory.
//!
//! It follows the ledger, so it knows within milliseconds what is revoked. JWTs of the ledger and of trusted issuers it judges
//! alone; of every other secret it asks its node once, and keeps the answer for as long as the feed would say that it no
//! longer holds. While it is blind it never says yes by itself.

mod answer;
mod authority;
mod flights;
mod jwt;
mod kept;
mod keys;
mod known;
mod negatives;
mod running;
mod tenants;
mod uses;
mod view;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use self::answer::{Active, Said};
use self::flights::{Flights, Sharing};
use self::kept::{KeptAnswer, KeptAnswers};
use self::keys::LedgerKeys;
use self::known::Known;
use self::negatives::Negatives;
use self::tenants::FollowedTenants;
use self::uses::Uses;
use crate::domain::{Digest, Secret, Ttl};
use crate::follower::{CallFailure, Follower, Held};
use crate::jose::{MAX_CLOCK_LEEWAY_SECONDS, OwnKeys as _, TrustedIssuers};
use crate::telemetry::EdgeMetrics;

pub use running::{EdgeError, RunningEdge};

/// How long a node may take to answer a question: a gateway waits no longer than that.
const QUESTION_PATIENCE: Duration = Duration::from_secs(2);
/// How long the last report may take when the edge stops.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// How long a watcher rests before it looks whether a change concerns its credential.
const WATCHERS_REST: Duration = Duration::from_millis(10);
/// How long a watcher of a credential about which nothing is kept rests, and how long it waits for a change.
const UNKEPT_REST: Duration = Duration::from_secs(1);
const UNKEPT_PATIENCE: Duration = Duration::from_secs(30);
/// A name that begins so may be a pseudonym already.
const PSEUDONYM: &str = "al_p_";
/// The longest answer: a credential with eight generations.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What an edge decides with. Cloning shares it.
#[derive(Clone)]
pub struct Edge(Arc<EdgeCore>);

/// The parts of an edge.
struct EdgeCore {
    follower: Arc<Follower>,
    keys: LedgerKeys,
    trusted: TrustedIssuers,
    tenants: FollowedTenants,
    kept: KeptAnswers,
    negatives: Negatives,
    questions: Arc<Flights<Asked>>,
    uses: Uses,
    metrics: Arc<EdgeMetrics>,
    cache_ttl: Duration,
    longest_life: Ttl,
    /// Milliseconds for which an origin may be silent under a rule that cares.
    behind_limit: u64,
    introspect_secret: Option<Digest>,
    /// Whether subjects go by their own names at the ledger, and not by pseudonyms; not known until a node has said so of a
    /// token of another issuer.
    names_subjects: RwLock<Option<bool>>,
}

/// What came of a question to a node.
#[derive(Clone)]
enum Asked {
    Active(Arc<Known>),
    Inactive,
    /// Nobody can tell.
    Failed,
}

/// What an edge finds out about a credential.
enum Decision {
    Active(Arc<Known>),
    Refused,
    Blind,
}

/// The answers of a node that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// Those about secrets that are not JWTs.
    Secrets,
    /// Those about another issuer's JWTs, too.
    All,
}

/// What a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The token itself, and what is revoked.
    Local,
    /// An answer that was kept.
    Kept,
    /// A node's answer to this question.
    Upstream,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kept => "kept",
            Self::Upstream => "upstream",
        }
    }
}

impl From<Asked> for Decision {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Active(known) => Self::Active(known),
            Asked::Inactive => Self::Refused,
            Asked::Failed => Self::Blind,
        }
    }
}

/// Everything that an edge is made of.
pub struct EdgeParts {
    pub follower: Arc<Follower>,
    pub trusted: TrustedIssuers,
    pub metrics: Arc<EdgeMetrics>,
    /// How long an answer is kept at most.
    pub cache_ttl: Duration,
    /// The bytes that kept answers may take.
    pub cache_bytes: usize,
    /// The longest life of a credential, as the nodes are set.
    pub longest_life: Ttl,
    /// How long an origin may be silent under a rule that cares.
    pub behind_limit: Duration,
    /// The secret of callers that introspect, if there are any.
    pub introspect_secret: Option<Secret>,
}

impl Edge {
    /// An edge that decides with these parts. It says nothing by itself before its follower has heard a heartbeat.
    pub fn new(parts: EdgeParts) -> Self {
        let EdgeParts {
            follower,
            trusted,
            metrics,
            cache_ttl,
            cache_bytes,
            longest_life,
            behind_limit,
            introspect_secret,
        } = parts;
        Self(Arc::new(EdgeCore {
            follower,
            keys: LedgerKeys::default(),
            trusted,
            tenants: FollowedTenants::default(),
            kept: KeptAnswers::new(cache_bytes),
            negatives: Negatives::default(),
            questions: Flights::new(),
            uses: Uses::default(),
            metrics,
            cache_ttl,
            longest_life,
            behind_limit: behind_limit.as_millis().try_into().unwrap_or(u64::MAX),
            introspect_secret: introspect_secret.map(|secret| Digest::of(secret.expose().as_bytes())),
            names_subjects: RwLock::new(None),
        }))
    }

    /// Its follower.
    pub fn follower(&self) -> &Arc<Follower> {
        &self.0.follower
    }

    /// Fetches keys, reports uses and forgets what another ledger said, until `stop` holds true; then it reports the rest.
    pub async fn keep_up(&self, mut stop: watch::Receiver<bool>) {
        let core = &self.0;
        tokio::select! {
            () = core.fetch_keys() => {}
            () = core.report_uses() => {}
            () = core.watch_ledger() => {}
            // An error means that the sender is gone, and so is whatever wanted this to run.
            _ = stop.wait_for(|stop| *stop) => {}
        }
        if tokio::time::timeout(LAST_PATIENCE, core.report(true)).await.is_err() {
            tracing::warn!("the last uses of tickets were not reported in time");
        }
    }
}

impl EdgeCore {
    async fn fetch_keys(&self) {
        let mut ticks = tokio::time::interval(keys::FETCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.keys.fetch(self.follower.upstream()).await;
        }
    }

    async fn report_uses(&self) {
        let mut ticks = tokio::time::interval(uses::REPORT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.report(false).await;
        }
    }

    async fn report(&self, is_last: bool) {
        if let Err(failure) = self.uses.report(self.follower.upstream(), is_last).await {
            tracing::warn!(%failure, "uses of tickets were not reported; they are tried again while this edge runs");
        }
    }

    /// What another ledger said is void. Kept answers have its number; the rest is dropped here.
    async fn watch_ledger(&self) {
        let mut news = self.follower.news();
        let mut exchanged = self.follower.exchanged();
        while news.changed().await.is_ok() {
            if self.follower.exchanged() != exchanged {
                exchanged = self.follower.exchanged();
                self.kept.clear();
                self.negatives.clear();
                self.tenants.clear();
                *self.names_subjects.write() = None;
                self.keys.clear().await;
                self.keys.fetch(self.follower.upstream()).await;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Whether an origin has been silent for longer than a rule allows that cares.
    fn is_behind(&self) -> bool {
        self.follower.behind_millis().values().any(|millis| *millis > self.behind_limit)
    }

    /// The decision on a credential from memory, or by a question where memory says nothing.
    async fn decide(self: &Arc<Self>, credential: &str) -> (Decision, By) {
        let digest = jwt::digest_of(credential);
        if let Some(decision) = self.recall(&digest) {
            return (decision, By::Kept);
        }
        match self.read_jwt(credential).await {
            Ok(token) if token.is_foreign() && *self.names_subjects.read() != Some(true) => {
                return (self.ask_about_foreign(digest, credential, &token).await, By::Upstream);
            }
            Ok(token) => return (self.decide_jwt(digest, &token).await, By::Local),
            Err(jwt::NotSigned::Refused) => return (Decision::Refused, By::Local),
            Err(jwt::NotSigned::KeysUnreachable) => return (Decision::Blind, By::Local),
            Err(jwt::NotSigned::Unknown) => {}
        }
        if self.negatives.has(&digest) {
            return (Decision::Refused, By::Kept);
        }
        (self.ask(digest, credential, Sharing::Any, Keeping::Secrets).await, By::Upstream)
    }

    async fn read_jwt(&self, credential: &str) -> Result<jwt::SignedToken, jwt::NotSigned> {
        jwt::read(credential, &self.trusted, &self.keys, self.follower.upstream(), self.longest_life).await
    }

    /// The decision that is kept, if what is revoked by now leaves it standing.
    fn recall(&self, digest: &Digest) -> Option<Decision> {
        let exchanged = self.follower.exchanged();
        let answer = self.kept.find(digest, self.follower.now(), exchanged)?;
        let known = answer.known()?;
        let held = self.follower.held();
        // Read before the judgement: what changes meanwhile is looked at the next time.
        let version = held.version();
        if version != answer.judged_at() {
            if self.is_revoked(&held, digest, &known) {
                self.kept.drop_revoked(digest);
                // The node that is asked next may not have heard of it yet.
                self.negatives.add(*digest);
                return Some(Decision::Refused);
            }
            self.kept.judged(digest, &answer, version);
        }
        Some(Decision::Active(Arc::new(known)))
    }

    fn is_revoked(&self, held: &Held, digest: &Digest, known: &Known) -> bool {
        held.refuses(&known.presented(digest, self.kept.named(&known.generation))).is_some()
    }

    /// The decision on a JWT whose signature is valid.
    async fn decide_jwt(&self, digest: Digest, token: &jwt::SignedToken) -> Decision {
        let exchanged = self.follower.exchanged();
        let held = self.follower.held();
        let (version, now) = (held.version(), self.follower.now());
        for part in &token.parts {
            if !part.is_valid_at(now) || held.refuses(&part.known.presented(&digest, part.generation.clone())).is_some()
            {
                return Decision::Refused;
            }
            match self.tenants.has(&part.known.tenant, self.follower.upstream()).await {
                Ok(true) => {}
                Ok(false) => return Decision::Refused,
                Err(failure) => {
                    self.note(&failure);
                    return Decision::Blind;
                }
            }
        }
        let Some(own) = token.parts.first() else { return Decision::Refused };
        let mut known = Known { generation: self.kept.numbered(&own.generation), ..own.known.clone() };
        if token.is_bound() {
            known.cnf = Some(jwt::BOUND.to_owned());
        }
        if token.parts.len() == 1
            && let Some(answer) = KeptAnswer::new(&known, self.cache_ttl, version, exchanged)
        {
            self.kept.keep(digest, answer);
        }
        Decision::Active(Arc::new(known))
    }

    /// The decision on a token of another issuer, where its subject may go by a pseudonym at the ledger: only a node has the
    /// key that makes those.
    async fn ask_about_foreign(
        self: &Arc<Self>,
        digest: Digest,
        credential: &str,
        token: &jwt::SignedToken,
    ) -> Decision {
        if self.negatives.has(&digest) {
            return Decision::Refused;
        }
        // A container is not kept: the token in it can be revoked, too.
        let is_one = token.parts.len() == 1 && *self.names_subjects.read() == Some(false);
        let keeping = if is_one { Keeping::All } else { Keeping::Secrets };
        let decision = self.ask(digest, credential, Sharing::Any, keeping).await;
        if let (Decision::Active(known), Some(given)) = (&decision, token.subject())
            && !given.starts_with(PSEUDONYM)
        {
            *self.names_subjects.write() = Some(known.subject == given);
        }
        decision
    }

    /// Asks a node, and shares a question that is open already.
    async fn ask(self: &Arc<Self>, digest: Digest, credential: &str, sharing: Sharing, keeping: Keeping) -> Decision {
        let (core, secret) = (self.clone(), Secret::new(credential));
        let question = async move { core.question(digest, &secret, keeping).await };
        match self.questions.ask(digest, sharing, question).await {
            Some(asked) => asked.into(),
            None => {
                self.metrics.question_failed("too_many");
                Decision::Blind
            }
        }
    }

    async fn question(&self, digest: Digest, secret: &Secret, keeping: Keeping) -> Asked {
        // Before the question: what is revoked after this is judged by generations (rule 5 of the follower's rules).
        let exchanged = self.follower.exchanged();
        let generation = self.follower.held().highest_generation();
        let started = tokio::time::Instant::now();
        let answered = self.answer(secret).await;
        self.metrics.upstream_seconds.observe(started.elapsed().as_secs_f64());
        let active = match answered {
            Ok(Said::Active(active)) => *active,
            Ok(Said::Inactive) => {
                self.negatives.add(digest);
                return Asked::Inactive;
            }
            Err(failure) => {
                self.note(&failure);
                return Asked::Failed;
            }
        };
        let Active { mut known, is_followed } = active;
        known.generation = self.kept.numbered(&generation);
        if let Some(jwt) = &mut known.jwt {
            jwt.is_foreign = self.keys.issuer().is_none_or(|ours| *ours != *jwt.issuer);
            let leeway = self.trusted.find(&jwt.issuer).map(|terms| terms.clock_leeway_seconds);
            jwt.leeway_seconds = leeway.unwrap_or(MAX_CLOCK_LEEWAY_SECONDS);
        }
        let held = self.follower.held();
        let version = held.version();
        if self.is_revoked(&held, &digest, &known) {
            self.negatives.add(digest);
            return Asked::Inactive;
        }
        // A JWT of the ledger is read again: its own generation counts.
        let is_kept_here = known.jwt.as_ref().is_none_or(|jwt| keeping == Keeping::All && jwt.is_foreign);
        if is_followed
            && is_kept_here
            && self.tenants.has(&known.tenant, self.follower.upstream()).await.is_ok_and(|is_followed| is_followed)
            && let Some(answer) = KeptAnswer::new(&known, self.cache_ttl, version, exchanged)
        {
            self.kept.keep(digest, answer);
        }
        Asked::Active(Arc::new(known))
    }

    async fn answer(&self, secret: &Secret) -> Result<Said, CallFailure> {
        let upstream = self.follower.upstream();
        let body = json!({"credential": secret.expose(), "details": true});
        let request = upstream.request(Method::POST, "/v1/introspect").json(&body);
        match upstream.exchange(request, MAX_ANSWER_BYTES, QUESTION_PATIENCE).await? {
            (StatusCode::OK, body) => answer::read(&body).ok_or(CallFailure::Unusable("it is not an answer".into())),
            (status, _) => Err(CallFailure::Status(status)),
        }
    }

    fn note(&self, failure: &CallFailure) {
        self.metrics.question_failed(match failure {
            CallFailure::Broken(_) => "unreachable",
            CallFailure::Late => "late",
            CallFailure::Status(_) => "status",
            CallFailure::Unusable(_) | CallFailure::Full => "unusable",
        });
        tracing::debug!(%failure, "a question to a node has no answer");
    }

    /// Notes that a ticket was used, to report it later.
    fn note_use(&self, credential: &str, known: &Known) {
        if let Some(life) = known.life {
            self.uses.note(jwt::digest_of(credential), life, self.follower.now());
        }
    }

    /// Returns when the decision on a credential may have changed, and at once if it is not good any more.
    async fn changed(&self, credential: &str) {
        let digest = jwt::digest_of(credential);
        let mut news = self.follower.news();
        loop {
            news.mark_unchanged();
            match self.recall(&digest) {
                Some(Decision::Active(_)) => {}
                Some(Decision::Refused | Decision::Blind) => return,
                // Nothing is kept of it, so no change can be told to concern it. The caller asks its node again, at most once in
                // UNKEPT_REST; this returns with the next change, or after UNKEPT_PATIENCE.
                None => {
                    tokio::time::sleep(UNKEPT_REST).await;
                    let _ = tokio::time::timeout(UNKEPT_PATIENCE, news.changed()).await;
                    return;
                }
            }
            if news.changed().await.is_err() {
                return;
            }
            // A storm of revocations wakes thousands of watchers: each looks no more often than this. The loop ends when the
            // credential is not active any more, and with the watcher's connection.
            tokio::time::sleep(WATCHERS_REST).await;
        }
    }

    /// Whether the secret is that of a caller that may introspect.
    fn is_introspecting(&self, secret: &str) -> bool {
        // Digests are compared, so that the time taken says nothing about the secret.
        self.introspect_secret.is_some_and(|digest| digest == Digest::of(secret.as_bytes()))
    }
}
