//! Replays a log and compares the resulting state with the server's snapshot.
//!
//! The replay folds into plain maps. It shares nothing with the server's state but `evolve` and the joins, so that comparing
//! the two means something.

use std::cmp::Ordering;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{AuditError, pages};
use crate::domain::{
    Fingerprint, Inactive, Kind, LedgerId, Position, Recorded, State, StateRow, Timestamp, judge_known,
};
use crate::event_log::{Base, ReadError, Reader};
use crate::projection::{SnapshotError, catch_up, load_on};

/// Records between two prunings: memory follows what is live, not what ever was.
pub(super) const PRUNE_EVERY: u64 = 1_000_000;

/// A log folded from its beginning, and pruned.
#[derive(Clone, Debug)]
pub struct Replayed {
    pub state: State,
    /// The end of the reading, and each origin's head there.
    pub base: Base,
    /// The ledger that it belongs to; none has been opened in an empty log.
    pub ledger: Option<LedgerId>,
    /// The instant by which expired entries were left out.
    pub at: Timestamp,
    /// The counts of the state.
    pub tally: Tally,
    /// Over the state's rows.
    pub fingerprint: Fingerprint,
    /// How long reading and folding took.
    pub elapsed: Duration,
}

/// The counts of a state at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub origins: u64,
    /// Applications that may call.
    pub applications: u64,
    /// Applications that were removed or have expired.
    pub applications_inactive: u64,
    pub tickets: Lives,
    pub sessions: Lives,
    pub tokens: Lives,
    /// Keys that sign the ledger's JWTs, and those that did.
    pub keys: u64,
    /// Subjects with a revocation or a hold in force.
    pub subjects: u64,
    /// Uses of tickets whose issue has not arrived.
    pub early_uses: u64,
    /// Commands that are recognised if they are repeated.
    pub idempotency_keys: u64,
}

/// Credentials of one kind, by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    pub active: u64,
    /// Expired, unless a use or extension that has not arrived yet says otherwise.
    pub expired: u64,
    pub revoked: u64,
    /// Revocations of credentials that were never issued here.
    pub unknown: u64,
}

impl Lives {
    fn count<T>(&mut self, judged: Result<T, Inactive>) {
        let counter = match judged {
            Ok(_) => &mut self.active,
            Err(Inactive::Expired) => &mut self.expired,
            Err(Inactive::Revoked(..)) => &mut self.revoked,
            Err(Inactive::Unknown) => &mut self.unknown,
        };
        *counter += 1;
    }
}

/// Folds a log file from its beginning to its end when the replay starts, and leaves out what has expired at `at`.
///
/// `progress` is called once for each page with the position reached and the last one.
pub fn replay(
    path: &Path,
    at: Timestamp,
    mut progress: impl FnMut(Position, Position),
) -> Result<Replayed, AuditError> {
    let reader = Reader::open(path)?;
    let head = reader.head().map_err(|error| AuditError::from_read(error, &Base::default()))?;
    replay_to(&reader, head, at, &mut progress)
}

fn replay_to(
    reader: &Reader,
    head: Position,
    at: Timestamp,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Replayed, AuditError> {
    let started = Instant::now();
    let mut folded = ReplayedState { state: State::default(), unpruned: 0, at };
    let base = pages::read(
        reader,
        head,
        progress,
        |row| row.decode(),
        |records| {
            folded.take(&records);
            Ok(())
        },
    )?;
    let mut state = folded.state;
    state.prune(at);
    let elapsed = started.elapsed();
    let fingerprint = Fingerprint::of_sorted(&state.rows());
    let ledger = state.origins.values().next().map(|opened| opened.ledger);
    let tally = Tally::of(&state, at);
    Ok(Replayed { state, base, ledger, at, tally, fingerprint, elapsed })
}

/// The folded state.
struct ReplayedState {
    state: State,
    unpruned: u64,
    at: Timestamp,
}

impl ReplayedState {
    fn take(&mut self, records: &[Recorded]) {
        records.iter().for_each(|recorded| self.state.fold(recorded));
        self.unpruned += records.len() as u64;
        if self.unpruned >= PRUNE_EVERY {
            // By the log's clock: a later record may still be about a credential that has expired only by ours. And not
            // by a clock that was ahead.
            self.state.prune(records.last().map_or(Timestamp::default(), |last| last.recorded_at).min(self.at));
            self.unpruned = 0;
        }
    }
}

impl Tally {
    pub(super) fn of(state: &State, at: Timestamp) -> Self {
        let mut tally = Self {
            origins: state.origins.len() as u64,
            subjects: state.subjects.len() as u64,
            early_uses: state.early_uses.len() as u64,
            keys: state.keys.len() as u64,
            idempotency_keys: state.answered.len() as u64,
            ..Self::default()
        };
        for application in state.applications.values() {
            let counter = match application.callable(at) {
                Some(_) => &mut tally.applications,
                None => &mut tally.applications_inactive,
            };
            *counter += 1;
        }
        for (key, credential) in &state.credentials {
            let lives = match key.kind {
                Kind::Ticket => &mut tally.tickets,
                Kind::Session => &mut tally.sessions,
                Kind::Token => &mut tally.tokens,
            };
            lives.count(judge_known(state, key.kind, credential.clone(), at));
        }
        tally
    }
}

/// A replay beside the state that the server kept.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The replay.
    pub replayed: Replayed,
    /// The position of the server's snapshot.
    pub snapshot_position: Position,
    /// The rows in which they differ.
    pub differences: Differences,
}

/// Rows of the state that only one of two sides has. An entity that differs has a row on both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Rows that only the replay has: the first `limit` of them.
    pub only_replayed: Vec<StateRow>,
    /// Rows that only the snapshot has: the first `limit` of them.
    pub only_snapshot: Vec<StateRow>,
    /// How many there are in all.
    pub total: u64,
}

/// Why a replay and a snapshot could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum AgainstError {
    /// The log can't be replayed.
    #[error(transparent)]
    Log(#[from] AuditError),
    /// There is no snapshot yet.
    #[error("there is no snapshot in {}; a server writes one when it stops, and every so often", .0.display())]
    Absent(std::path::PathBuf),
    /// The snapshot can't be used.
    #[error("the snapshot in {} can't be compared: {error}; a server ignores it and writes another", path.display())]
    Snapshot {
        /// Its directory.
        path: std::path::PathBuf,
        /// The problem with it.
        error: SnapshotError,
    },
}

impl AgainstError {
    /// Whether the log or the snapshot is damaged, rather than the attempt to read them failed.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Log(error) => error.is_damage(),
            Self::Absent(_) => false,
            Self::Snapshot { error, .. } => matches!(error, SnapshotError::Damaged(_) | SnapshotError::Foreign(_)),
        }
    }
}

/// Replays a log and compares the result with the snapshot in `data`, the data directory of a server, which may be running.
///
/// Both sides are brought to the same head and pruned at the same instant: the server's own fold adds the records after
/// the snapshot to it. That instant is `at`, or the snapshot's last sweep, if that is later. At most `limit` rows of
/// each side are listed.
pub fn against(
    path: &Path,
    data: &Path,
    at: Timestamp,
    limit: usize,
    mut progress: impl FnMut(Position, Position),
) -> Result<Compared, AgainstError> {
    let reader = Reader::open(path).map_err(AuditError::from)?;
    let failed = |error: ReadError| AuditError::from_read(error, &Base::default());
    let directory = data.join("snapshot");
    let projection = load_on(&reader, &directory).map_err(failed)?.map_err(|error| match error {
        SnapshotError::Absent => AgainstError::Absent(directory.clone()),
        error => AgainstError::Snapshot { path: directory.clone(), error },
    })?;
    let (snapshot_position, at) = (projection.base().position, at.max(projection.forgotten_at()));
    // Parts of a snapshot may be ahead of its position, but not of a head that is read later.
    let head = reader.head().map_err(failed)?;
    catch_up(&projection, &reader, Some(head), at, &mut |_, _| {}).map_err(failed)?;
    projection.prune(at);
    let replayed = replay_to(&reader, head, at, &mut progress)?;
    let differences = Differences::between(&replayed.state.rows(), &projection.rows(), limit);
    Ok(Compared { replayed, snapshot_position, differences })
}

impl Differences {
    /// Compares sorted rows.
    fn between(replayed: &[StateRow], snapshot: &[StateRow], limit: usize) -> Self {
        let mut found = Self::default();
        let (mut left, mut right) = (replayed.iter().peekable(), snapshot.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return found,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => left.cmp(right),
            };
            let (only, rows) = match order {
                Ordering::Equal => {
                    left.next();
                    right.next();
                    continue;
                }
                Ordering::Less => (left.next(), &mut found.only_replayed),
                Ordering::Greater => (right.next(), &mut found.only_snapshot),
            };
            found.total += 1;
            if rows.len() < limit {
                rows.extend(only.cloned());
            }
        }
    }
}
