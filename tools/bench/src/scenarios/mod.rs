//! What is measured, a file for each.

pub mod audit;
pub mod checks;
pub mod commands;
pub mod compare;
pub mod edge;
pub mod fanout;
pub mod growth;
pub mod oauth;
pub mod snapshots;
pub mod storm;
pub mod stream;
