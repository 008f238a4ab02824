//! A follower: what is revoked, kept by a program that enforces it, and the verdict over a credential. No HTTP server.
//!
//! `schema/follower.md` has its rules. [`held`] is the memory, for programs that get snapshot and stream by themselves;
//! [`Follower`] gets both, and stays up to date.

#[cfg(feature = "server")]
mod following;
pub mod held;

#[cfg(feature = "server")]
pub use following::{
    CallFailure, FeedForm, Follower, FollowerError, FollowerRefusal, FollowerSettings, FollowerStanding,
    MISSED_HEARTBEATS, StateDirectoryError, Upstream, UpstreamError,
};
pub use held::{Ancestor, Held, HighestGeneration, PresentedCredential, RefusalReason, RevocationItem};
