//! Helpers that tests of several layers share.

pub mod faketime;
pub mod log;
#[cfg(feature = "nats")]
pub mod nats;
pub mod nginx;
pub mod node;
pub mod prover;
pub mod proxy;
pub mod python;
pub mod random;
pub mod secrets;
pub mod served;
pub mod settings;
pub mod stub;
