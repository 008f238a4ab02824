//! What authledger is held against: a server that does nothing, the disk, and what people build instead.
//!
//! Each runs on the same machine in the same minutes, on the same file system, and is driven by the same generator as far as its
//! protocol allows. One that is not there is left out, and the report says how to install it.

pub mod bare;
pub mod disk;
pub mod postgres;
pub mod redis;
