//! What nodes tell one another, and by what they hear of it.

#[cfg(feature = "nats")]
mod jetstream;
#[cfg(feature = "nats")]
mod jetstream_post;
mod simulation;
