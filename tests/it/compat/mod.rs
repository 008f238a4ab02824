//! Other products' contracts.

mod crafter;
mod cross_surface;
