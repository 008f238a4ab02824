//! The edge: a real node, a real edge beside it, and gateways that ask.

mod agreement;
mod credentials;
mod embedded;
mod flood;
mod introspection;
mod outages;
pub mod place;
mod race;
mod revoking;
mod state;
mod uses;
mod websocket;
