//! The use cases: the only way in. One function for each, one append each.

mod applications;
mod checks;
mod clients;
mod clock;
mod cluster;
mod consistency;
mod erasure;
mod error;
mod evidence;
mod facts;
mod global_revocations;
mod idempotency;
mod imports;
mod introspection;
mod issue_facts;
mod jwt_revocations;
mod limits;
mod lineage;
mod log_readers;
mod machine;
mod open;
mod pace;
mod pseudonyms;
mod questions;
mod records;
mod revocations;
mod revoked;
mod sealing;
mod sessions;
mod shares;
mod signing;
mod start_error;
mod status_lists;
mod target;
mod tickets;
mod tokens;
mod uses;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::compact::MarkKey;
use crate::domain::{
    Caller, CredentialView as _, Decision, Digest, Grants, Idempotency, LedgerId, Origin, Policy, Position, RecordId,
    Registration, Request, RequestId, Scope, Tenant, Timestamp, UseCase, View as _, decide,
};
use crate::event_log::{Base, Fault, Observed, Reader, Writer, WriterHandle};
use crate::jose::{Proofs, TrustedIssuers};
use crate::projection::{self, MemoryCounts, Projection, SnapshotError, StateSource};
use crate::tree::{Keeper, Trees};

pub use applications::{NewApplication, Registered};
pub use checks::{Reached, RevocableName};
pub use clients::{GrantedScope, WITHIN_FOLLOW};
pub use clock::{Beyond, BeyondCredential, ClockAccepted, ClockShown, MAX_LISTED};
pub use cluster::{
    Cluster, ClusterTrouble, FilesError, Ingested, JoinedNode, MAX_SKEW_MILLIS, Naming, NodeFile, NodeShown,
    ReachShown, RunShown,
};
pub use consistency::{Consistency, ConsistencyLevel, ConsistencyTimeout, Reach, SingleNode};
pub use erasure::SubjectForgotten;
pub use error::{Error, Failure, GrantRefusal, Refusal, RevokeRefusal, TokenRefusal};
pub use evidence::EvidenceError;
pub use global_revocations::{GlobalCallError, GlobalRevocation};
pub use idempotency::KEY_BYTES;
pub use imports::Imported;
pub use introspection::{Introspection, JwtSays, SubjectPage};
pub use issue_facts::{IssueFacts, SessionFacts, TokenFacts};
pub use limits::{MAX_GRANTED, MAX_NOTE_BYTES, MAX_PERSONAL_BYTES};
pub use lineage::TokenParent;
pub use log_readers::LogReaders;
pub use machine::{Committed, Filed, Hook, Ledger, Outcome};
pub use open::{Beginning, NodeSettings, Prepared, open, prepare};
pub use pace::{LONG_ANSWERS, Pace, STEP_ROWS};
pub use pseudonyms::{check_pseudonyms, on_record};
pub use questions::{HistoryPage, IndexedRecord, LogQuestionError, MAX_FOLLOWED, MAX_TOLD};
pub use records::{EventsPage, MAX_EVENTS, Status};
pub use revocations::{NewCohortRevocation, NewSubjectRevocation, RevocationOutcome, Revoker, Why};
pub use revoked::{RevokedTogether, WholeRevocation};
pub use sealing::Lent;
pub use sessions::{
    Holder, IssuedSession, NewSession, OwnRevocation, Personal, PresentedSession, Session, SessionCursor, SessionSweep,
};
pub use shares::{Admitted, Bounds, FairShare, Party, Turn};
pub use signing::{KeyStage, PublishedKey, PublishedKeySet, RESERVED_CLAIMS, RotatedKeys};
pub use start_error::StartError;
pub use status_lists::{ServedStatusList, StatusListAnswer, StatusListSettings};
pub use target::{Target, kind_by_form, looks_like_jwt};
pub use tickets::{IssuedTicket, NewTicket, UsedTicket};
pub use tokens::{IssuedToken, Judged, JwtStanding, NewToken, SessionToken};
pub use uses::{ReportedUse, UseOutcome};

use clients::Clients;
use clock::{Marks, Timekeeper};
use facts::FactsCache;
use idempotency::RecentSecrets;
use pseudonyms::Pseudonyms;
use questions::Questions;
use revoked::OneByOne;
use sealing::Sealer;
use sessions::Facts;
use signing::Signing;
use status_lists::StatusLists;

/// The caller, and what it may do.
#[derive(Clone, Debug)]
pub struct CallerIdentity {
    /// Root or an application.
    pub caller: Caller,
    /// Its scopes, tenant by tenant.
    pub grants: Arc<Grants>,
    /// The application's registration.
    pub registration: Option<Arc<Registration>>,
}

impl CallerIdentity {
    /// Whether the scope is granted in that tenant.
    pub fn may(&self, scope: Scope, tenant: &Tenant) -> bool {
        self.grants.in_tenant(tenant).contains(scope)
    }
}

/// The result of authenticating an application's secret.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// It is active.
    Caller(CallerIdentity),
    /// It belongs to an application that has expired.
    Expired(Arc<Registration>),
    /// It is unknown, or belongs to a removed application.
    Unknown,
}

/// The inputs that every command has.
#[derive(Clone, Debug)]
pub struct Call {
    /// The caller.
    pub identity: CallerIdentity,
    /// The caller's own request id.
    pub request: Option<RequestId>,
    /// How a repetition of the command is recognised.
    pub idempotency: Option<Idempotency>,
    /// The nodes that must have applied it before it is answered.
    pub consistency: Option<Consistency>,
}

impl Call {
    /// The command with its caller.
    fn with<C>(&self, command: C) -> Request<C> {
        Request {
            caller: self.identity.caller.clone(),
            request: self.request.clone(),
            idempotency: self.idempotency,
            command,
        }
    }
}

/// The ledger, as the surfaces see it.
pub struct Service {
    projection: Arc<Projection>,
    log: Log,
    clock: Clock,
    timekeeping: Timekeeping,
    origin: Origin,
    fixed: Fixed,
    reach: Arc<dyn Reach>,
    cluster: Arc<Cluster>,
    recent_secrets: RecentSecrets,
    signing: Signing,
    sealer: Arc<Sealer>,
    facts: FactsCache<Facts>,
    token_facts: FactsCache<TokenFacts>,
    status_lists: StatusLists,
    questions: Questions,
    /// The proofs of possession that this process has accepted.
    proofs: Proofs,
    clients: Clients,
    turns: Turns,
    process: ProcessStart,
}

/// The event log, and the trees over it.
struct Log {
    writer: WriterHandle<Ledger>,
    reader: Arc<Reader>,
    trees: Arc<Trees>,
}

/// What is kept of time besides the clock.
struct Timekeeping {
    marks: Arc<Marks>,
    /// Whether the server is to restart, because an earlier time was accepted.
    starts_again: watch::Sender<bool>,
}

/// What does not change while the process runs.
struct Fixed {
    ledger: LedgerId,
    root: Digest,
    /// The longest life of any credential: tokens of other issuers are not active for longer, either.
    policy: Policy,
    trusted: TrustedIssuers,
    pseudonyms: Pseudonyms,
    mark_key: MarkKey,
}

/// Work that is done by few callers at a time, or by one.
struct Turns {
    long_answers: Arc<FairShare>,
    importing: Arc<FairShare>,
    /// Turns to erase a subject: an erasure may read the whole log, which only one may do at a time.
    erasing: Arc<FairShare>,
    revoking_subjects: OneByOne,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            long_answers: pace::long_answers(),
            importing: imports::importing(),
            erasing: erasure::one_at_a_time(),
            revoking_subjects: OneByOne::default(),
        }
    }
}

/// How this process has started.
struct ProcessStart {
    source: StateSource,
    records_read: u64,
    at: Instant,
}

/// A service with the thread behind it.
pub struct Running {
    /// The ledger.
    pub service: Arc<Service>,
    writer: Writer<Ledger>,
    keeper: Keeper,
    timekeeper: Timekeeper,
    directory: crate::event_log::DataDirectory,
}

impl Service {
    /// The instant by which a revocation is decided now.
    fn earliest(&self) -> Timestamp {
        machine::earliest(self.clock.now(), self.clock.wall(), &self.projection)
    }

    /// The later of ledger time and wall clock: nothing has been issued after it.
    pub fn latest(&self) -> Timestamp {
        self.clock.now().max(self.clock.wall())
    }

    /// Authenticates an application's secret.
    pub fn authenticate(&self, secret: &[u8]) -> Authentication {
        let digest = Digest::of(secret);
        if digest == self.fixed.root {
            let grants = Arc::new(Grants::everything());
            return Authentication::Caller(CallerIdentity { caller: Caller::Root, grants, registration: None });
        }
        let found = self.projection.application_with(&digest);
        let Some((id, registration)) = found.and_then(|(id, one)| Some((id, one.present()?.clone()))) else {
            return Authentication::Unknown;
        };
        if registration.expires_at.is_some_and(|expires_at| expires_at <= self.clock.now()) {
            return Authentication::Expired(registration);
        }
        let grants = registration.grants.clone();
        let registration = Some(registration);
        Authentication::Caller(CallerIdentity { caller: Caller::Application(id), grants, registration })
    }

    /// The state. The layers above ask the functions beside this one instead: it is here for tests.
    pub fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    /// How far the log goes that the state is of, and how far each origin.
    pub fn base(&self) -> Base {
        self.projection.base()
    }

    /// How many of each there are in memory.
    pub fn counts(&self) -> MemoryCounts {
        self.projection.counts()
    }

    /// Writes a snapshot while the writer goes on. It takes long, and blocks.
    pub fn save_snapshot(&self, data: &std::path::Path) -> Result<Position, SnapshotError> {
        projection::save(&self.projection, &snapshots(data))
    }

    /// The log, for those who only read.
    pub fn reader(&self) -> &Arc<Reader> {
        &self.log.reader
    }

    /// The Merkle trees over the log, and their signed checkpoints.
    pub fn trees(&self) -> &Arc<Trees> {
        &self.log.trees
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The ledger's id.
    pub fn ledger(&self) -> LedgerId {
        self.fixed.ledger
    }

    /// This node's origin.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The fault that halted the log, if there is one.
    pub fn fault(&self) -> Option<&Fault> {
        self.log.writer.fault()
    }

    /// The writer's observations around the log's files.
    pub fn observed(&self) -> Observed {
        self.log.writer.observed()
    }

    /// The key of the marks that this node tells followers.
    pub fn mark_key(&self) -> &MarkKey {
        &self.fixed.mark_key
    }

    /// Whether subjects are pseudonyms in this ledger.
    pub fn has_pseudonyms(&self) -> bool {
        self.fixed.pseudonyms.check().is_some()
    }

    /// This node among others.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    async fn execute<C: UseCase>(&self, call: &Call, command: C) -> Result<Outcome, Error<C::Rejection>> {
        let outcome = self.submit(call.with(command)).await?;
        if let Some(consistency) = call.consistency {
            self.wait(&outcome, consistency).await?;
        }
        Ok(outcome)
    }

    async fn submit<C: UseCase>(&self, request: Request<C>) -> Result<Outcome, Error<C::Rejection>> {
        if self.cluster.is_set_back() {
            return Err(Failure::Stopping.into());
        }
        if let Some(outcome) = self.holds_already(&request) {
            return Ok(outcome);
        }
        let decided = self.log.writer.submit(move |ledger, batch| ledger.request(&request, batch)).await?;
        decided.map_err(Error::Refused)
    }

    /// The answer to a revocation of a credential that is revoked already. What holds does not become untrue, so the state answers it,
    /// and a caller who revokes the same over and over takes no time of the writer from anybody.
    fn holds_already<C: UseCase>(&self, request: &Request<C>) -> Option<Outcome> {
        let key = request.command.revokes()?;
        let is_plain = request.idempotency.is_none() && self.log.writer.fault().is_none();
        if !is_plain || self.projection.credential(key).revocations.is_empty() {
            return None;
        }
        let context = machine::context(self.clock.now(), &self.clock, &self.projection, self.origin, self.fixed.policy);
        match decide(&*self.projection, request, context) {
            Ok(Decision::Already(place)) => Some(Outcome::Already(place)),
            _ => None,
        }
    }

    async fn wait<R>(&self, outcome: &Outcome, consistency: Consistency) -> Result<(), Error<R>> {
        let last: Option<RecordId> = match outcome {
            Outcome::Appended(filed) => filed.last().map(|filed| filed.recorded.place),
            Outcome::Already(place) | Outcome::Repeated(place, _) => Some(*place),
            Outcome::Nothing => None,
        };
        self.wait_for(last.as_slice(), consistency).await.map(drop)
    }

    /// Waits until all of these have reached the requested nodes, and tells whether any had not when it was called.
    async fn wait_for<R>(&self, places: &[RecordId], consistency: Consistency) -> Result<bool, Error<R>> {
        let Consistency { level, mut timeout } = consistency;
        let mut waited = false;
        for place in places {
            if self.reach.has_reached(*place, level) {
                continue;
            }
            waited = true;
            let started = Instant::now();
            let reached = self.reach.reached(*place, Consistency { level, timeout }).await;
            reached.map_err(|ConsistencyTimeout| Error::ConsistencyTimeout(*place))?;
            timeout = timeout.saturating_sub(started.elapsed());
        }
        Ok(waited)
    }
}

impl Running {
    /// Commits what is queued, stops the writer and writes a snapshot.
    pub fn stop(self) -> Result<(), SnapshotError> {
        let faulty = self.service.fault().is_some();
        let projection = self.service.projection.clone();
        if self.writer.stop().is_err() {
            tracing::error!("the writer thread panicked; its last answers were never sent");
        }
        // The writer is gone, and the feed of the tree with it.
        self.keeper.stop();
        self.service.stop_index();
        // Before the snapshot: it must not have been swept further than the last mark says.
        self.timekeeper.stop();
        if faulty {
            return Ok(());
        }
        projection::save(&projection, &snapshots(self.directory.path())).map(|_| ())
    }

    /// The data directory.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

/// The snapshots' place in a data directory.
pub fn snapshots(data: &std::path::Path) -> std::path::PathBuf {
    data.join("snapshot")
}
