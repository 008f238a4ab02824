//! Other products' contracts.

mod crafter;
mod cribl;
mod slashid;
