//! Several nodes, each a process of its own: over HTTP alone, and over NATS servers in three regions that are cut off, killed and
//! rolled back.

mod clocks;
mod cluster;
mod copies;
#[cfg(feature = "nats")]
mod couriers;
mod members;
#[cfg(feature = "nats")]
mod partition;
mod restored;
mod standby;
#[cfg(feature = "nats")]
mod steady;
#[cfg(feature = "nats")]
mod tampering;
mod upgrades;
