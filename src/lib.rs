//! authledger: every issue and every end of a ticket, session or token as an event in one append-only log, and a stream
//! that tells whoever enforces.
//!
//! The modules below stand in the order of their dependencies: each uses only those above it.

pub mod audit;
pub mod domain;
pub mod event_log;
pub mod projection;
