//! Messages between nodes, and the couriers that carry them.

#[cfg(feature = "nats")]
mod jetstream;
#[cfg(feature = "nats")]
mod jetstream_post;
mod simulation;
