//! The rules: given what is recorded, when this is asked, then that is recorded or refused.

mod applications;
mod cohorts;
mod erasures;
mod idempotency;
mod imports;
mod keys;
mod lineage;
mod many;
mod membership;
mod oauth;
mod own;
mod renewals;
mod sessions;
mod status_lists;
mod subjects;
mod tickets;
mod tokens;
mod unknown;
