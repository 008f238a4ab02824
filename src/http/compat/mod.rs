//! Compat.
pub mod crafter;
