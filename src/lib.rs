//! authledger: every issue and every revocation of a ticket, session or token as an event in one append-only log, and a stream
//! that tells those who enforce it.
//!
//! The modules stand in the order of their dependencies: each uses only those above it. `tests/it/tidy.rs` reads the order here.
//! A blank line between two keeps the formatter from sorting them.

pub mod json;

pub mod utf8;

pub mod terminal;

pub mod domain;

pub mod tlog;

pub mod status_list;

pub mod event_log;

#[cfg(feature = "server")]
pub mod keys;

pub mod projection;

pub mod tree;

pub mod index;

pub mod audit;

#[cfg(feature = "server")]
pub mod clock;

#[cfg(feature = "server")]
pub mod telemetry;

#[cfg(feature = "server")]
pub mod setting;

#[cfg(feature = "server")]
pub mod jose;

#[cfg(feature = "server")]
pub mod check;

pub mod compact;

#[cfg(feature = "server")]
pub mod cluster;

#[cfg(feature = "server")]
pub mod service;

#[cfg(feature = "server")]
pub mod feed;

pub mod follower;

#[cfg(feature = "server")]
pub mod http;

#[cfg(feature = "server")]
pub mod replication;

#[cfg(feature = "server")]
pub mod config;

#[cfg(feature = "server")]
pub mod edge;

#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "server")]
pub mod cli;
