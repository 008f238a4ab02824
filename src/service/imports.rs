//! Imports: credentials that were issued elsewhere, one append for each.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::machine::Outcome;
use super::shares::{Bounds, FairShare, Party};
use super::{Call, CallerIdentity, Error, Service};
use crate::domain::{
    Command, CredentialId, CredentialKey, CredentialView as _, Event, HashMap, Import, Kind, PastIssue, Position,
    RETENTION_MARGIN_MILLIS, Recorded, Scope,
};
use crate::index::Sought;

/// Imports that are on their way into the log, and those of one tenant: enough to be worth a commit, few enough that no
/// other command waits long behind them. A caller with more than are admitted is told to come again.
const IMPORTING: Bounds = Bounds { turns: 512, turns_of_tenant: 128, caller: 65_536, tenant: 65_536, all: 524_288 };

pub(super) fn importing() -> Arc<FairShare> {
    FairShare::new(IMPORTING)
}

/// The outcome of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is on record now.
    Made,
    /// It was on record before.
    Known,
}

impl Service {
    /// Looks up every credential that was ever issued under the ids and digests of these imports, all at once: expired
    /// ones leave memory, but not the log. Memory has every record that is appended after this look-up when the import
    /// is decided.
    pub async fn recall<'a>(
        &self,
        identity: &CallerIdentity,
        imports: impl Iterator<Item = &'a mut Import>,
    ) -> Result<(), Error> {
        let unknown = |import: &&mut Import| identity.may(Scope::Admin, &import.tenant) && !self.remembers(import);
        let mut imports: Vec<&mut Import> = imports.filter(unknown).collect();
        let mut ids: Vec<CredentialId> = imports.iter().flat_map(|import| names(import)).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(());
        }
        let sought: Vec<Sought> = ids.into_iter().map(|id| Sought::credential(id, None)).collect();
        let party = Party::of(identity);
        let issues = self.look_up(&party, move |finder| {
            let mut issues = HashMap::<CredentialId, Vec<PastIssue>>::default();
            let until = finder.head();
            let _ = finder.find(&sought, Position(0), until, &mut |_, _| (), &mut |_, recorded| {
                if let Some(issue) = issue_of(&recorded) {
                    let digest = issue.digest.map(|digest| digest.id()).filter(|id| *id != issue.key.id);
                    let ids = [issue.key.id].into_iter().chain(digest);
                    ids.for_each(|id| issues.entry(id).or_default().push(issue.clone()));
                }
                ControlFlow::Continue(())
            })?;
            Ok(issues)
        });
        let issues = issues.await?;
        for import in &mut imports {
            let found = names(import).filter_map(|id| issues.get(&id)).flatten().cloned().collect();
            import.past = found;
        }
        Ok(())
    }

    /// Whether memory has everything that matters for the import, and will have it when the import is decided: then the
    /// log need not be asked.
    fn remembers(&self, import: &Import) -> bool {
        let key = import.life.key();
        let not_after = self.projection.credential(key).issue.map(|issue| issue.not_after);
        let stays_until = self.clock.now().plus_millis(RETENTION_MARGIN_MILLIS);
        not_after.is_some_and(|not_after| stays_until < not_after)
            && import.life.digest().is_none_or(|digest| self.projection.issued_with(digest) == Some(key))
    }

    /// Imports a credential that was issued elsewhere. The same one twice is made once. Needs `admin` in its tenant.
    /// Call [`Service::recall`] before it.
    pub async fn import(&self, call: &Call, import: Import) -> Result<Imported, Error> {
        let admitted = self.turns.importing.admit(&Party::of(&call.identity))?;
        let _turn = admitted.turn().await;
        match self.execute(call, Command::Import(Box::new(import))).await.map_err(Error::widened)? {
            Outcome::Appended(_) => Ok(Imported::Made),
            Outcome::Already(_) | Outcome::Repeated(..) | Outcome::Nothing => Ok(Imported::Known),
        }
    }
}

/// The names by which the index knows it: its id, and the id of its digest if that is different.
fn names(import: &Import) -> impl Iterator<Item = CredentialId> + use<> {
    let id = import.life.key().id;
    let digest = import.life.digest().map(|digest| digest.id()).filter(|digest| *digest != id);
    [id].into_iter().chain(digest)
}

fn issue_of(recorded: &Recorded) -> Option<PastIssue> {
    let (kind, id, digest, subject) = match &recorded.event {
        Event::TicketIssued(issued) => (Kind::Ticket, issued.digest.id(), Some(issued.digest), &issued.subject),
        Event::SessionIssued(issued) => (Kind::Session, issued.id, issued.digest, &issued.subject),
        Event::TokenIssued(issued) => (Kind::Token, issued.name.id(), issued.name.digest().copied(), &issued.subject),
        _ => return None,
    };
    Some(PastIssue {
        key: CredentialKey { kind, id },
        digest,
        tenant: recorded.tenant.clone().unwrap_or_default(),
        subject: subject.clone(),
        place: recorded.place,
    })
}
