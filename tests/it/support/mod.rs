//! What tests of several layers share.

pub mod log;
pub mod nginx;
pub mod node;
pub mod python;
pub mod secrets;
pub mod served;
pub mod settings;
pub mod stub;
