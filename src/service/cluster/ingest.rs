//! Records of other nodes: judged, appended and folded in one step, and only then held.

use std::sync::Arc;
use std::time::Duration;

use super::Cluster;
use crate::cluster::{
    Foreign, Fork, IngestContext, Parcel, ParcelVerdict, Refusal, SignedHead, Unreadable, judge, other_end,
};
use crate::domain::{Event, RecordId, Sequence, Subject, Tenant};
use crate::event_log::{ChainHash, ForeignError, Queued, Reader, RecordError, decode};
use crate::service::{Error, Failure, Service};

/// How long to wait for a lock on the log before keys are destroyed.
const FORGET_AGAIN: Duration = Duration::from_millis(500);

/// The outcome of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// The origin is held up to there.
    Held(Sequence),
    /// Records are missing, from this one on.
    Gap(Sequence),
    /// It is not trusted.
    Refused(Refusal),
    /// A later release wrote it.
    Unreadable,
}

impl Service {
    /// Takes a parcel of another origin's records. [`crate::cluster::judge`] defines what is verified, and in which
    /// order.
    ///
    /// Parcels of one origin are judged one after the other, in the order in which they are polled first; while one is
    /// on its way to the disk the next one is judged, so that many share a commit. A caller that gives up waiting
    /// leaves nothing half done.
    pub async fn receive(self: &Arc<Self>, text: bytes::Bytes) -> Result<Ingested, Error> {
        let parcel = match Parcel::parse(&text) {
            Ok(parcel) => parcel,
            Err(_) => return Ok(self.refuse(Refusal::Malformed)),
        };
        let (origin, head) = (parcel.origin(), parcel.head);
        if self.cluster.intake.is_recent(&head) {
            return Ok(Ingested::Held(self.cluster.held(origin)));
        }
        let one_at_a_time = self.cluster.intake.one_at_a_time(origin).await;
        match self.judge(parcel).await? {
            ParcelVerdict::Append(records) => {
                self.note_other_end(records.first(), head).await?;
                let erased = records.iter().filter_map(erased_by).collect();
                let queued = self.log.writer.queue(|ledger, batch| ledger.foreign(records, batch))?;
                self.cluster.intake.is_queued(origin, head.head());
                drop(one_at_a_time);
                let service = self.clone();
                let taken = tokio::spawn(async move { service.take(queued, erased, head).await });
                taken.await.map_err(Failure::of_task)?
            }
            ParcelVerdict::Held(sequence) => Ok(Ingested::Held(sequence)),
            ParcelVerdict::Gap(due) => Ok(Ingested::Gap(due)),
            ParcelVerdict::Refused(refusal) => {
                if refusal == Refusal::Twin {
                    self.compare_with_log(head).await?;
                }
                Ok(self.refuse(refusal))
            }
            ParcelVerdict::Fork(fork) => self.note_fork(fork).await,
            ParcelVerdict::Unreadable(unreadable) => self.note_unreadable(unreadable, text).await,
        }
    }

    /// This node has signed that head of its own origin, and nothing that is folded leads to it. If the log does not
    /// lead there either, this directory is an older copy of another: any record that this process would append could
    /// only contradict that.
    async fn compare_with_log(&self, head: SignedHead) -> Result<(), Error> {
        let RecordId { origin, sequence: signed } = head.place;
        if self.read(move |reader| Ok(reader.find_place(head.place)?)).await?.is_some() {
            return Ok(());
        }
        let held = self.cluster.held(origin);
        tracing::error!(%origin, %signed, %held, "this node has signed records of its own origin that its log lacks: the directory is an older copy, or another process uses a copy of it; this process appends nothing more");
        self.cluster.note_set_back(head);
        Ok(())
    }

    /// Takes the parcels that an earlier release could not read.
    pub async fn receive_aside(self: &Arc<Self>) -> Result<(), Error> {
        let cluster = self.cluster.clone();
        let kept = tokio::task::spawn_blocking(move || cluster.aside()).await.map_err(Failure::of_task)?;
        for text in kept {
            self.receive(text.into()).await?;
        }
        Ok(())
    }

    /// Appends another origin's record, exactly as it came, if the chain with it is that hash. The caller has verified
    /// who signed it.
    pub async fn ingest(&self, record: Box<str>, hash: ChainHash) -> Result<Result<Sequence, IngestError>, Error> {
        let recorded = match decode(record.as_bytes()) {
            Ok(recorded) => recorded,
            Err(error) => return Ok(Err(error.into())),
        };
        Ok(self.append_foreign(vec![Foreign { recorded, record, hash }]).await?.map_err(IngestError::from))
    }

    async fn judge(&self, parcel: Parcel) -> Result<ParcelVerdict, Error> {
        let (cluster, ledger, own) = (self.cluster.clone(), self.fixed.ledger, self.origin);
        Ok(self.read(move |reader| Ok(judge_here(parcel, &cluster, reader, ledger, own))).await?)
    }

    /// Waits until they are durable. If they erase subjects, this node's keys of them are destroyed before this
    /// returns.
    async fn take(
        &self,
        queued: Queued<Result<Sequence, ForeignError>>,
        erased: Vec<(Tenant, Subject)>,
        head: SignedHead,
    ) -> Result<Ingested, Error> {
        let answer = queued.answer().await;
        self.cluster.intake.is_settled(head.place.origin, matches!(answer, Ok(Ok(_))));
        match answer? {
            Ok(held) => {
                self.forget_all(erased).await?;
                self.cluster.intake.is_taken(head);
                self.cluster.keep(head);
                Ok(Ingested::Held(held))
            }
            Err(ForeignError::Gap(due)) => Ok(Ingested::Gap(due)),
            // All of it was compared with the held records, and only this call appends this origin's records meanwhile.
            Err(ForeignError::Duplicate | ForeignError::Fork | ForeignError::Own) => Ok(self.refuse(Refusal::Altered)),
        }
    }

    async fn append_foreign(&self, records: Vec<Foreign>) -> Result<Result<Sequence, ForeignError>, Error> {
        let erased: Vec<(Tenant, Subject)> = records.iter().filter_map(erased_by).collect();
        let result = self.log.writer.submit(|ledger, batch| ledger.foreign(records, batch)).await?;
        if result.is_ok() {
            self.forget_all(erased).await?;
        }
        Ok(result)
    }

    async fn forget_all(&self, erased: Vec<(Tenant, Subject)>) -> Result<(), Error> {
        for (tenant, subject) in erased {
            loop {
                match self.forget_too(tenant.clone(), subject.clone()).await {
                    // The records are held by now, so no node sends them again. The lock belongs to another program,
                    // and its release is not signalled.
                    Err(Error::Failed(Failure::Locked | Failure::Overloaded)) => tokio::time::sleep(FORGET_AGAIN).await,
                    done => break done?,
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, refusal: Refusal) -> Ingested {
        self.cluster.intake.refuse(refusal);
        Ingested::Refused(refusal)
    }

    /// Notes it if the origin continues another one that ended otherwise in this log. Its own records are taken all the same.
    async fn note_other_end(&self, first: Option<&Foreign>, head: SignedHead) -> Result<(), Error> {
        let opens = |first: &&Foreign| matches!(first.recorded.event, Event::LedgerOpened(_));
        let Some(first) = first.filter(opens).cloned() else { return Ok(()) };
        let (cluster, ledger) = (self.cluster.clone(), self.fixed.ledger);
        let fork = self.read(move |reader| {
            // Damage is found by `verify`, which reads the whole log.
            let hash_at = |place| reader.find_place(place).ok().flatten().map(|stored| stored.hash);
            Ok(other_end(&first, head, ledger, &cluster.members(), hash_at))
        });
        if let Some(fork) = fork.await? {
            self.keep_fork(fork).await;
        }
        Ok(())
    }

    async fn note_fork(&self, fork: Fork) -> Result<Ingested, Error> {
        self.keep_fork(fork).await;
        Ok(self.refuse(Refusal::Fork))
    }

    /// Warns of it, and keeps the evidence.
    async fn keep_fork(&self, fork: Fork) {
        self.cluster.alarms.note_fork(&fork);
        let cluster = self.cluster.clone();
        let kept = tokio::task::spawn_blocking(move || cluster.keep_evidence(&fork)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(%error, "the evidence of two histories could not be kept");
        }
    }

    async fn note_unreadable(&self, unreadable: Unreadable, text: bytes::Bytes) -> Result<Ingested, Error> {
        let origin = unreadable.place.origin;
        if !self.cluster.alarms.note_unreadable(unreadable) {
            return Ok(Ingested::Unreadable);
        }
        let cluster = self.cluster.clone();
        let kept = tokio::task::spawn_blocking(move || cluster.set_aside(origin, &text)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(%error, "a record for a later release could not be set aside");
        }
        Ok(Ingested::Unreadable)
    }
}

impl Cluster {
    /// Keeps a head up to which this node holds the records.
    fn keep(&self, head: SignedHead) {
        let origin = head.place.origin;
        if self.alarms.follows_again(origin) {
            self.is_read(origin);
        }
        if let Err(error) = self.kept.keep(head) {
            // The origin itself signs it again for every node that asks.
            tracing::warn!(%error, "a head could not be kept");
        }
    }
}

/// Why a record is not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// It does not fit the log as this node holds it.
    #[error(transparent)]
    Misplaced(#[from] ForeignError),
    /// It is not a record that this version can fold.
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn judge_here(
    parcel: Parcel,
    cluster: &Cluster,
    reader: &Reader,
    ledger: crate::domain::LedgerId,
    own: crate::domain::Origin,
) -> ParcelVerdict {
    let origin = parcel.origin();
    let members = cluster.members();
    let known = IngestContext {
        ledger,
        own,
        members: &members,
        anchors: &cluster.anchors,
        reads: &cluster.naming.reads,
        head: cluster.intake.head_to_follow(origin, cluster.held_head(origin)),
    };
    let hash_at = |sequence| {
        // Damage is found by `verify`, which reads the whole log.
        reader.find_place(RecordId { origin, sequence }).ok().flatten().map(|stored| stored.hash)
    };
    judge(parcel, &known, hash_at)
}

fn erased_by(foreign: &Foreign) -> Option<(Tenant, Subject)> {
    match &foreign.recorded.event {
        Event::SubjectErased(erased) => {
            Some((foreign.recorded.tenant.clone().unwrap_or_default(), erased.subject.clone()))
        }
        _ => None,
    }
}
