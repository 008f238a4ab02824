//! Token Status Lists as draft-ietf-oauth-status-list-21 defines them: the packed array, its compression, and the signed token.
//!
//! Pure: no I/O and no clock. Server and audit tool make the same bytes here.

mod array;
mod encoding;
mod publication;
mod signature;
mod token;

pub use array::{StatusArray, StatusWidth};
pub use encoding::{ENCODER, MAX_ARRAY_BYTES, deflate, inflate};
pub use publication::{aggregation_uri, list_uri, signing_input, token};
pub use signature::verifies;
pub use token::{JWT_MEDIA_TYPE, StatusListToken, array_of, signature_of, with_signature};
