//! The check: what a rule asks of a request, and what a gateway is told.
//!
//! A gateway asks about each request before it passes the request on. A rule says where the credential is, and what has
//! to be true of it; an [`Authority`] says whether it is active. Nothing here does I/O or knows a server, so the node and
//! the edge answer with the same bytes.

mod authority;
mod identity;
mod outcome;
mod presented;
mod rule;
mod standing;
mod table;

pub use authority::{Authority, Verdict};
pub use identity::{Identity, IdentityHeaders, MAX_ANSWER_HEAD_BYTES};
pub use outcome::CheckOutcome;
pub use presented::{MAX_CREDENTIAL_BYTES, Presentation, presented};
pub use rule::{CheckRule, CheckRules, CredentialSource, RuleName, WhenOriginBehind, WhenStale};
pub use standing::Standing;
pub use table::{CheckTable, MAX_RULES, RuleError};
