//! The log's bytes, its file, and its writer.

mod golden;
mod lasting;
mod nodes;
mod observed;
mod ordered;
mod spelling;
mod status_lists;
mod store;
mod writer;
