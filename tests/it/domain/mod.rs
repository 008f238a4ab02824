//! The rules: given what is recorded, when this is asked, then that is recorded or refused.

mod applications;
mod idempotency;
mod renewals;
mod subjects;
mod tickets;
mod unknown;
