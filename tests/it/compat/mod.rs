//! Other products' contracts.

mod crafter;
mod cribl;
mod cross_surface;
mod kratos;
mod ory;
mod slashid;
