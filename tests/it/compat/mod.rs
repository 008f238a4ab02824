//! Other products' contracts.

mod crafter;
mod ory;
