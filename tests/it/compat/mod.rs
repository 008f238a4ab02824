//! Other products' contracts.

mod crafter;
mod cribl;
mod cross_surface;
mod ory;
mod slashid;
