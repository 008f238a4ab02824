//! The parts of a session that only the log holds: read from its record, and opened.

use std::sync::Arc;

use super::super::facts::Weighed;
use super::super::sealing::Belongs;
use super::{Personal, key};
use crate::domain::{Aal, Event, Method, RecordId, Recorded, SessionIssued, Timestamp};
use crate::event_log::Reader;
use crate::service::{Failure, Party, Service};

/// So many records are read and opened at once; more wait for the tenant's turn.
const FEW: usize = 8;

/// The parts of every session that memory does not hold.
pub(in super::super) struct Facts {
    pub(in super::super) authenticated_at: Option<Timestamp>,
    pub(in super::super) aal: Aal,
    pub(in super::super) methods: Vec<Method>,
    pub(super) personal: Personal,
    bytes: usize,
}

impl Weighed for Facts {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Service {
    /// The facts of the sessions that were issued at these places, in that order.
    pub(in super::super) async fn session_facts(
        &self,
        party: &Party,
        places: Vec<RecordId>,
    ) -> Result<Vec<Option<Arc<Facts>>>, Failure> {
        let mut facts: Vec<Option<Arc<Facts>>> = places.iter().map(|place| self.facts.find(*place)).collect();
        let missing: Vec<RecordId> =
            places.iter().zip(&facts).filter(|(_, facts)| facts.is_none()).map(|(place, _)| *place).collect();
        if missing.is_empty() {
            return Ok(facts);
        }
        let since = self.facts.emptied();
        let (reader, is_few) = (self.log.reader.clone(), missing.len() <= FEW);
        let read = move || missing.iter().map(|place| recorded(&reader, *place)).collect();
        let records: Result<Vec<Option<Recorded>>, Failure> = match is_few {
            true => self.read(move |_| read()).await,
            false => self.questions.readers.read(party, read).await?,
        };
        let (mut records, mut pace) = (records?.into_iter(), self.pace(party.clone()));
        for (place, facts) in places.iter().zip(&mut facts).filter(|(_, facts)| facts.is_none()) {
            let Some(recorded) = records.next().flatten() else { continue };
            let Event::SessionIssued(issued) = &recorded.event else { continue };
            if !is_few {
                pace.step().await?;
            }
            let read = Arc::new(self.facts_of(*place, issued));
            self.facts.keep(*place, read.clone(), since);
            *facts = Some(read);
        }
        Ok(facts)
    }

    fn facts_of(&self, place: RecordId, issued: &SessionIssued) -> Facts {
        let sealed = issued.sealed.as_ref();
        let plain = sealed.and_then(|sealed| self.open_sealed(place.origin, &Belongs::Session(key(issued.id)), sealed));
        let personal = plain.as_deref().and_then(|plain| serde_json::from_slice(plain).ok()).unwrap_or_default();
        Facts {
            authenticated_at: issued.authenticated_at,
            aal: issued.aal,
            methods: issued.methods.clone(),
            personal,
            // Parsed JSON takes several times its text.
            bytes: 256 + issued.methods.len() * 64 + plain.map_or(0, |plain| plain.len() * 4),
        }
    }
}

/// The record at that place, if it is there.
pub(in super::super) fn recorded(reader: &Reader, place: RecordId) -> Result<Option<Recorded>, Failure> {
    Ok(reader.find_place(place)?.map(|stored| stored.decode()).transpose()?)
}
