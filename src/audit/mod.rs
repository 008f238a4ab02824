//! Questions about a log file, answered without a server: is it whole, and what does it add up to?
//!
//! Everything here opens the file for reading only, in short transactions, so that it can be run beside the server that writes it.

mod damage;
mod pages;
mod replay;
mod verify;

pub use damage::AuditError;
pub use replay::{AgainstError, Compared, Differences, Lives, Replayed, Tally, against, replay};
pub use verify::{Verified, verify};
