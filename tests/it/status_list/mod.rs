//! Token Status Lists: the bytes, what is published, and what follows from the log.

mod bytes;
mod law;
mod served;
