//! Questions about a log file, answered without a server: is it whole, what does it add up to, and what can be proven of it?
//!
//! Everything here opens the file for reading only, in short transactions, so that it can be run beside the server that writes it.

mod bundle;
mod damage;
mod evidence;
mod forest;
mod manifest;
mod pages;
mod papers;
mod prove;
mod replay;
mod report;
mod tiles;
mod trust;
mod verify;

pub use bundle::{BundleError, BundleReader, Contents, ExportError, Exported, Range, export};
pub use damage::AuditError;
pub use evidence::{checkpoints_in, verify_evidence};
pub use manifest::{MANIFEST, Manifest, ManifestCheckpoint, ManifestHead};
pub use prove::{ProveError, Which, prove_consistency, prove_inclusion};
pub use replay::{AgainstError, Compared, Differences, Lives, Replayed, Tally, against, replay};
pub use report::{EvidenceError, Finding, Flaw, Held, Kind, Report};
pub use tiles::TileFlaw;
pub use trust::{Kept, Trust};
pub use verify::{Verified, verify};
