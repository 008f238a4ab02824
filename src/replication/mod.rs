//! How nodes learn of one another's records: couriers carry them, and arriving records are verified, appended and
//! folded in.
//!
//! Nothing here runs on a node without members.

pub mod admission;
pub mod client;
pub mod courier;
pub mod identity;
#[cfg(feature = "nats")]
pub mod jetstream;
pub mod keys;
pub mod node;
pub mod peers;
