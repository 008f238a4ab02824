//! Messages between nodes: their bytes, and the conclusions that nodes draw from them.

mod identity;
mod other_end;
mod vectors;
mod vouched;
