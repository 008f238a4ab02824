//! The log as auditors and operators read it.

use std::sync::Arc;
use std::time::Duration;

use super::machine::Filed;
use super::shares::Party;
use super::{CallerIdentity, Error, Failure, Service};
use crate::domain::{LedgerOpened, Position, RecordId, Rejection, Scope, View as _};
use crate::event_log::{Base, Reader, StoredRecord};
use crate::projection::{MemoryCounts, StateSource};

/// The most records in one answer.
pub const MAX_EVENTS: usize = 10_000;
/// An answer with that many bytes takes no further chunk of records.
pub(super) const ENOUGH_BYTES: usize = 8 << 20;
/// Records that are read at a time, each 65,535 bytes at most.
const CHUNK: usize = 128;

/// The state of the ledger.
#[derive(Clone, Debug)]
pub struct Status {
    /// The heads of the log and of each origin.
    pub base: Base,
    /// The number of entries in memory.
    pub counts: MemoryCounts,
    /// The source of the state at the start.
    pub source: StateSource,
    /// How many records were read at the start.
    pub records_read: u64,
    /// How long this process has been running.
    pub uptime: Duration,
    /// The origins, in order.
    pub origins: Vec<(RecordId, LedgerOpened)>,
    /// The fault that halted the log, if there is one.
    pub fault: Option<String>,
}

/// A page of the log.
#[derive(Clone, Debug)]
pub struct EventsPage {
    /// The records, byte for byte, one on each line.
    pub lines: Vec<u8>,
    /// The position of the last one.
    pub last: Option<Position>,
}

impl Service {
    /// The state of the ledger. Needs `audit` in every tenant.
    pub fn status(&self, identity: &CallerIdentity) -> Result<Status, Error> {
        audit_everywhere(identity)?;
        Ok(Status {
            base: self.projection.base(),
            counts: self.projection.counts(),
            source: self.process.source,
            records_read: self.process.records_read,
            uptime: self.process.at.elapsed(),
            origins: self.projection.origins().into_iter().collect(),
            fault: self.fault().map(ToString::to_string),
        })
    }

    /// The records after that position, at most `limit` and [`MAX_EVENTS`], and about 8 MiB. Needs `audit` in every
    /// tenant.
    pub async fn events(&self, identity: &CallerIdentity, after: Position, limit: usize) -> Result<EventsPage, Error> {
        audit_everywhere(identity)?;
        let (limit, reader) = (limit.min(MAX_EVENTS), self.log.reader.clone());
        let read = move || {
            let mut base = reader.base_at(after)?;
            let mut page = EventsPage { lines: Vec::new(), last: None };
            let mut count = 0;
            while count < limit && page.lines.len() < ENOUGH_BYTES {
                let records = reader.next_page(&mut base, CHUNK.min(limit - count))?;
                let Some(last) = records.last() else { break };
                (page.last, count) = (Some(last.position), count + records.len());
                for stored in &records {
                    page.lines.extend_from_slice(stored.record.as_bytes());
                    page.lines.push(b'\n');
                }
            }
            Ok::<_, Failure>(page)
        };
        Ok(self.questions.readers.read(&Party::of(identity), read).await??)
    }

    /// The record at that position. Needs `audit` in every tenant.
    pub async fn event(&self, identity: &CallerIdentity, position: Position) -> Result<Option<StoredRecord>, Error> {
        audit_everywhere(identity)?;
        Ok(self.read(move |reader| Ok(reader.find(position)?)).await?)
    }

    /// The sealed part of the record at that position, opened: nothing if there is none, or its key is gone. Needs
    /// `audit` in every tenant.
    pub async fn opened_event(
        &self,
        identity: &CallerIdentity,
        position: Position,
    ) -> Result<Option<Option<serde_json::Value>>, Error> {
        let Some(stored) = self.event(identity, position).await? else { return Ok(None) };
        Ok(Some(self.opened(&Filed { position, recorded: stored.decode()? })))
    }

    /// Reads a number of records of one origin that are durable, from `first` on.
    pub(super) async fn filed(&self, first: RecordId, records: u64) -> Result<Vec<Arc<Filed>>, Failure> {
        self.read(move |reader| {
            let mut filed = Vec::new();
            let mut place = first;
            for _ in 0..records {
                if let Some(stored) = reader.find_place(place)? {
                    filed.push(Arc::new(Filed { position: stored.position, recorded: stored.decode()? }));
                }
                place.sequence = place.sequence.next();
            }
            Ok(filed)
        })
        .await
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let reader = self.log.reader.clone();
        // A task that panicked or was cancelled at shutdown has no answer.
        tokio::task::spawn_blocking(move || read(&reader)).await.map_err(Failure::of_task)?
    }
}

pub(super) fn audit_everywhere(identity: &CallerIdentity) -> Result<(), Error> {
    if identity.grants.everywhere().contains(Scope::Audit) { Ok(()) } else { Err(Rejection::Forbidden.into()) }
}
