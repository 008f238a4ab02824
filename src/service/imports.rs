//! Imports: credentials that were issued elsewhere, one append for each.

use std::sync::Arc;

use super::machine::Outcome;
use super::shares::{Bounds, FairShare, Party};
use super::{Call, Error, Service};
use crate::domain::{Command, Import};

/// Imports that are on their way into the log, and those of one tenant: so many that a commit is worth it, so few that nobody else's
/// command waits long behind them. Whoever has more than those that are let in is told to come again.
const IMPORTING: Bounds = Bounds { turns: 512, turns_of_tenant: 128, caller: 65_536, tenant: 65_536, all: 524_288 };

pub(super) fn importing() -> Arc<FairShare> {
    FairShare::new(IMPORTING)
}

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
        let admitted = self.importing.admit(&Party::of(&call.identity))?;
        let _turn = admitted.turn().await;
        match self.execute(call, Command::Import(Box::new(import))).await? {
            Outcome::Appended(_) => Ok(Imported::Made),
            Outcome::Already(_) | Outcome::Repeated(..) | Outcome::Nothing => Ok(Imported::Known),
        }
    }
}
