//! The report of a verification: what held, the findings, and the reasons for no answer.

use std::fmt;
use std::time::Duration;

use super::flaw::Flaw;
use crate::domain::LedgerId;
use crate::event_log::{Added, Base};

/// The kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceKind {
    /// A server's directory.
    Data,
    /// A log alone.
    Ledger,
    /// A backup by `authledger backup`.
    Backup,
    /// A range of a log with its proofs.
    Bundle,
    /// A proof that a record is in a log.
    Inclusion,
    /// A proof that a log continues an earlier one.
    Consistency,
    /// A signed head.
    Checkpoint,
    /// None of these.
    Unknown,
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data directory",
            Self::Ledger => "ledger",
            Self::Backup => "backup",
            Self::Bundle => "bundle",
            Self::Inclusion => "proof of inclusion",
            Self::Consistency => "proof of consistency",
            Self::Checkpoint => "checkpoint",
            Self::Unknown => "file",
        })
    }
}

/// A log that is complete.
#[derive(Clone, Debug)]
pub struct VerifiedLog {
    /// How many events it holds.
    pub events: u64,
    /// Its end, and each origin in it with its last sequence and hash.
    pub base: Base,
    /// The ledger that it belongs to; none has been opened in an empty log.
    pub ledger: Option<LedgerId>,
    /// Objects that other programs have added to the file, which do no harm.
    pub added: Vec<Added>,
    /// How long it took to read.
    pub elapsed: Duration,
}

/// The result of a verification.
#[derive(Debug)]
pub struct Report {
    /// The kind of evidence.
    pub kind: EvidenceKind,
    /// The log, if there is one and it is complete.
    pub verified: Option<VerifiedLog>,
    /// Further checks that held.
    pub held: Vec<PassedCheck>,
    /// The findings, in the order in which they were made.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(kind: EvidenceKind) -> Self {
        Self { kind, verified: None, held: Vec::new(), findings: Vec::new() }
    }

    pub(super) fn hold(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.held.push(PassedCheck { place: place.into(), what: what.into() });
    }

    pub(super) fn find(&mut self, place: impl Into<String>, flaw: impl Into<Flaw>) {
        self.findings.push(Finding { place: place.into(), flaw: flaw.into() });
    }

    /// Adds the result of a check: the sentence of what held, or the flaw.
    pub(super) fn take(&mut self, place: impl Into<String>, checked: Result<String, Flaw>) {
        match checked {
            Ok(what) => self.hold(place, what),
            Err(flaw) => self.find(place, flaw),
        }
    }
}

/// A check that held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedCheck {
    /// The path of a file, or the name of a section in a file.
    pub place: String,
    /// What the check has shown.
    pub what: String,
}

/// A check that failed.
#[derive(Debug)]
pub struct Finding {
    /// The path of a file, or the name of a section in a file; empty if the flaw names its place itself.
    pub place: String,
    pub flaw: Flaw,
}

impl Finding {
    /// The position in the log, if it is known.
    pub fn position(&self) -> Option<i64> {
        match &self.flaw {
            Flaw::Log(error) => error.position(),
            Flaw::Record { position, .. } => Some(position.0.cast_signed()),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { write!(f, "{}", self.flaw) } else { write!(f, "{}: {}", self.place, self.flaw) }
    }
}
