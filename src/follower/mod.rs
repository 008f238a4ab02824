//! A follower: what is revoked, kept by a program that enforces it. No HTTP server.
//!
//! `schema/follower.md` has its rules; comments here name their numbers.

pub mod held;
