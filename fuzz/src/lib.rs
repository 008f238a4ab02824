//! The entry points that are fuzzed. They are the tests', and use the tests' node.
#![allow(dead_code, reason = "the node does more for the tests")]

#[path = "../../tests/it/support/node.rs"]
mod node;

pub mod entries;
