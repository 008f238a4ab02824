//! What nodes tell one another: its bytes, and what follows from it.

mod identity;
mod other_end;
mod vectors;
mod vouched;
