//! The log's bytes, its file, and its writer.

mod golden;
mod lasting;
mod spelling;
mod store;
mod writer;
