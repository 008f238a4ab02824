//! The integration tests: one binary, one folder for each layer.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that can't go on says so by panicking, and looks at the program from outside; tests are their own docs"
)]

mod audit;
mod check;
mod circles;
mod cli;
mod clients;
mod clocks;
mod cluster;
mod compact;
mod compat;
mod dependencies;
mod documents;
mod domain;
mod edge;
mod event_log;
mod feed;
mod fuzz;
mod gateways;
mod http;
mod index;
mod jose;
#[cfg(feature = "nats")]
mod members;
mod neighbours;
mod oauth;
mod process;
mod projection;
mod properties;
mod regions;
mod replication;
mod service;
mod status_list;
mod support;
mod tidy;
mod tlog;
mod tree;
