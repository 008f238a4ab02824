//! Questions about a log file, answered without a server: is it complete, what state does it lead to, what was active
//! when, and what can be proven of it?
//!
//! Everything here opens the file for reading only, in short transactions, so that it can be run beside the server that writes it.

mod as_of;
mod bundle;
mod changes;
mod damage;
mod diff;
mod evidence;
mod flaw;
mod forest;
mod gathered;
mod history;
mod lookup;
mod manifest;
mod pages;
mod papers;
mod point;
mod prove;
mod question_error;
mod replay;
mod report;
mod stats;
mod status_lists;
mod tiles;
mod trust;
mod verify;

pub use as_of::{
    CredentialStanding, CredentialVerdict, IssueFound, RevokedBy, USES_FLUSHED_EVERY_MILLIS, as_of, tally_as_of,
};
pub use bundle::{BundleContents, BundleError, BundleRange, BundleReader, ExportError, Exported, export};
pub use changes::{Change, ChangeActor, ChangeCounts, ChangeTotals, MAX_ACTORS};
pub use damage::AuditError;
pub use diff::{PointDifference, diff};
pub use evidence::{checkpoints_in, verify_evidence};
pub use flaw::{EvidenceCheckError, Flaw, TileFlaw};
pub use history::{HistoryRecord, history};
pub use lookup::{Lookup, LookupCredential};
pub use manifest::{MANIFEST, Manifest, ManifestCheckpoint, ManifestHead};
pub use point::{LogPrefix, Point};
pub use prove::{ProveError, Which, prove_consistency, prove_inclusion};
pub use question_error::QuestionError;
pub use replay::{AgainstError, Compared, Differences, Lives, Replayed, Tally, against, replay};
pub use report::{EvidenceKind, Finding, PassedCheck, Report, VerifiedLog};
pub use stats::{Day, Stats, stats};
pub use status_lists::{RebuiltStatusList, StatusListFlaw, status_list, status_lists};
pub use trust::{KeptCheckpoint, Trust};
pub use verify::verify;
