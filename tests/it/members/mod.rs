//! Nodes that belong together, without a broker: what they ask one another, and what they share.

mod asking;
mod pair;
mod personal;
