//! The audit library, its tool, and the second implementation of the chain.

mod asking;
mod chain;
mod evidence;
mod questions;
pub mod real;
mod replay;
mod tamper;
mod tool;
mod verify;
mod watch;
