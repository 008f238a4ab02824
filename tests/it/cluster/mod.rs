//! What nodes tell one another: its bytes, and what follows from it.

mod identity;
mod vectors;
mod vouched;
