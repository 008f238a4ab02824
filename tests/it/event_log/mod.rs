//! The log's bytes, its file, and its writer.

mod golden;
mod lasting;
mod store;
mod writer;
