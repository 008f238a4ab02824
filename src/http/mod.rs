//! HTTP: how connections are taken, bounded and closed.

pub mod guard;
pub mod listen;
pub mod tls;
