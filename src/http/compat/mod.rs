//! Other products' contracts, a folder each: their words stop here.

pub mod crafter;
pub mod cribl;
pub mod ory;
pub mod slashid;
