//! Contracts of other products, a folder each: their words stop here.

pub mod crafter;
pub mod cribl;
pub mod ory;
pub mod slashid;

/// A record, for tests of refusals.
#[cfg(test)]
fn a_place() -> crate::domain::Place {
    let origin = "k7m2qx4dnzr5a".parse().expect("an origin");
    crate::domain::Place { origin, sequence: crate::domain::Sequence(7) }
}
