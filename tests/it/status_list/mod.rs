//! Token Status Lists: the bytes, what is published, and what follows from the log.

mod bytes;
pub mod law;
mod served;
