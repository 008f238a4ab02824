//! The log's bytes, its file, and its writer.

mod golden;
mod store;
mod writer;
