//! The audit library, its tool, and the second implementation of the chain.

mod chain;
mod evidence;
pub mod real;
mod replay;
mod tamper;
mod tool;
mod verify;
mod watch;
