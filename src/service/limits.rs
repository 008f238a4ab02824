//! Limits of what callers give, which errors name too.

/// The longest `note` of a revocation, in bytes.
pub const MAX_NOTE_BYTES: usize = 1_024;

/// The longest identity and device of a session, or added claims of a token, as JSON, in bytes.
pub const MAX_PERSONAL_BYTES: usize = 32 * 1_024;
/// The most access tokens that one application may have from this process at a time: each is a record, and a row in memory.
pub const MAX_GRANTED: usize = 10_000;
