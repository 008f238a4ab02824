//! The rules: given what is recorded, when this is asked, then that is recorded or refused.

mod applications;
mod cohorts;
mod erasures;
mod idempotency;
mod imports;
mod keys;
mod many;
mod membership;
mod oauth;
mod own;
mod renewals;
mod sessions;
mod subjects;
mod tickets;
mod tokens;
mod unknown;
