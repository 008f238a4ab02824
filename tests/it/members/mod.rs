//! Nodes that belong together, without a broker: their requests to one another, and the data that they share.

mod asking;
mod pair;
mod personal;
mod signing;
