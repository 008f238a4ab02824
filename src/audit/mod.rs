//! Questions about a log file, answered without a server: is it whole, what does it add up to, and what was when?
//!
//! Everything here opens the file for reading only, in short transactions, so that it can be run beside the server that writes it.

mod as_of;
mod asked;
mod changes;
mod damage;
mod diff;
mod gathered;
mod history;
mod pages;
mod point;
mod question_error;
mod replay;
mod stats;
mod verify;

pub use as_of::{EndedBy, Issued, Standing, USES_FLUSHED_EVERY_MILLIS, Verdict, as_of, tally_as_of};
pub use asked::{Asked, AskedCredential};
pub use changes::{Change, Counted, Counts, MAX_ACTORS, Who};
pub use damage::AuditError;
pub use diff::{Changed, diff};
pub use history::{Told, history};
pub use point::{Point, Prefix};
pub use question_error::QuestionError;
pub use replay::{AgainstError, Compared, Differences, Lives, Replayed, Tally, against, replay};
pub use stats::{Day, Stats, stats};
pub use verify::{Verified, verify};
