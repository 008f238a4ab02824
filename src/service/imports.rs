//! Imports: credentials that were issued elsewhere, one append for each.

use super::machine::Outcome;
use super::{Call, Error, Service};
use crate::domain::{Command, Import};

/// What came of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is on record now.
    Made,
    /// It was before.
    Known,
}

impl Service {
    /// Takes over a credential that was issued elsewhere. The same one twice is made once. Needs `admin` in its tenant.
    pub async fn import(&self, call: &Call, import: Import) -> Result<Imported, Error> {
        match self.execute(call, Command::Import(Box::new(import))).await? {
            Outcome::Appended(_) => Ok(Imported::Made),
            Outcome::Already(_) | Outcome::Repeated(..) | Outcome::Nothing => Ok(Imported::Known),
        }
    }
}
