//! Other products' contracts.

mod crafter;
