//! Other products' contracts, a folder each: their words stop here.

pub mod crafter;
