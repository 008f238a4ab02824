//! The audit library, its tool, and the second implementation of the chain.

mod asking;
mod chain;
mod questions;
mod replay;
mod tool;
mod verify;
