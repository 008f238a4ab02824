//! The parts of a session that only the log holds: read from its record, opened, and kept in a bounded cache.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::sealing::Belongs;
use super::{Personal, key};
use crate::domain::{Aal, Event, Method, RecordId, Recorded, SessionIssued, Timestamp};
use crate::event_log::Reader;
use crate::service::{Failure, Party, Service};

/// About how many bytes the cache holds at most: two halves of 32 MiB.
const HALF_BYTES: usize = 32 << 20;
/// So many records are read and opened at once; more wait for the tenant's turn.
const FEW: usize = 8;

/// The parts of every session that memory does not hold.
pub(in super::super) struct Facts {
    pub(super) authenticated_at: Option<Timestamp>,
    pub(super) aal: Aal,
    pub(super) methods: Vec<Method>,
    pub(super) personal: Personal,
    bytes: usize,
}

/// Recently used facts. Facts that were not used while a half filled up are dropped with the half before.
#[derive(Default)]
pub(in super::super) struct FactsCache(Mutex<Halves>);

/// How often the cache had been emptied at the time of a reading.
#[derive(Clone, Copy)]
struct Emptied(u64);

#[derive(Default)]
struct Halves {
    young: HashMap<RecordId, Arc<Facts>>,
    young_bytes: usize,
    old: HashMap<RecordId, Arc<Facts>>,
    emptied: u64,
}

impl FactsCache {
    fn find(&self, place: RecordId) -> Option<Arc<Facts>> {
        let mut halves = self.0.lock();
        if let Some(facts) = halves.young.get(&place) {
            return Some(facts.clone());
        }
        let facts = halves.old.remove(&place)?;
        halves.insert(place, facts.clone());
        Some(facts)
    }

    fn emptied(&self) -> Emptied {
        Emptied(self.0.lock().emptied)
    }

    /// Keeps the facts that were read since; facts that were opened before the cache was emptied may be the reason for
    /// emptying it.
    fn keep(&self, place: RecordId, facts: Arc<Facts>, since: Emptied) {
        let mut halves = self.0.lock();
        if halves.emptied == since.0 {
            halves.insert(place, facts);
        }
    }

    /// Removes everything.
    pub(in super::super) fn empty(&self) {
        let mut halves = self.0.lock();
        *halves = Halves { emptied: halves.emptied + 1, ..Halves::default() };
    }
}

impl Halves {
    fn insert(&mut self, place: RecordId, facts: Arc<Facts>) {
        self.young_bytes += facts.bytes;
        self.young.insert(place, facts);
        if self.young_bytes > HALF_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

impl Service {
    /// The facts of the sessions that were issued at these places, in that order.
    pub(super) async fn session_facts(
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

fn recorded(reader: &Reader, place: RecordId) -> Result<Option<Recorded>, Failure> {
    Ok(reader.find_place(place)?.map(|stored| stored.decode()).transpose()?)
}
