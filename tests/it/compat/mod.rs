//! Other products' contracts.

mod cohorts;
mod crafter;
mod cribl;
mod cross_surface;
mod kratos;
mod lineage;
mod ory;
mod slashid;
