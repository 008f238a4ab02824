//! Token Status Lists: the bytes, what is published, and what follows from the log.

mod bytes;
mod forged;
pub mod law;
mod nodes;
mod served;
