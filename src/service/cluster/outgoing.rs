//! Records for other nodes: this node's own, signed on request, and those of other origins up to the heads that these
//! have signed.

use super::Cluster;
use crate::cluster::{CarriedAnnouncement, Holding, MAX_VOUCHED, Parcel, SignedHead, Vouch};
use crate::domain::{NodeKey, Origin, RecordId, Sequence};
use crate::event_log::{ChainHash, Head, ReadError, Reader, StoredRecord};
use crate::service::{Failure, Service};

/// Rows that are read at a time.
const PAGE_ROWS: usize = 1_024;
/// Records that a page of another origin has at most, where its heads allow.
const RELAYED_RECORDS: u64 = 10_000;

impl Service {
    /// The records of that origin after that one: at least one, and at most about that many bytes. Nothing, if this
    /// node holds none, or none that it can prove to be the origin's.
    pub async fn parcel_after(&self, origin: Origin, after: Sequence, bytes: usize) -> Result<Option<Parcel>, Failure> {
        if self.cluster.held(origin) <= after {
            return Ok(None);
        }
        if origin == self.origin {
            self.signed_here(origin, after, bytes, Sequence(u64::MAX)).await
        } else {
            self.relayed(origin, after, bytes).await
        }
    }

    /// Records of the origin in which this node removed another, for that other node, so that it learns of it. It was a member until
    /// the removal, and is shown nothing beyond.
    pub async fn removal_after(
        &self,
        removal: RecordId,
        origin: Origin,
        after: Sequence,
        bytes: usize,
    ) -> Result<Option<Parcel>, Failure> {
        // Also of an origin that this node has left since.
        let is_own = self.cluster.members().key_of(origin) == Some(self.cluster.node());
        if origin != removal.origin || !is_own || after >= removal.sequence {
            return Ok(None);
        }
        self.signed_here(origin, after, bytes, removal.sequence).await
    }

    /// The newest announcement of this node.
    pub fn speak(&self) -> Option<CarriedAnnouncement> {
        self.cluster.speak(self.fixed.ledger, self.origin)
    }

    /// The parcel ends at a head that this node signs: of its own origin, of an origin that it wrote before, or in
    /// place of a node that is gone. It has nothing beyond `last`.
    async fn signed_here(
        &self,
        origin: Origin,
        after: Sequence,
        bytes: usize,
        last: Sequence,
    ) -> Result<Option<Parcel>, Failure> {
        let (cluster, ledger) = (self.cluster.clone(), self.fixed.ledger);
        self.read(move |reader| {
            let base = hash_at(reader, origin, after)?;
            let records = run(reader, origin, after, |taken, size| taken < PAGE_ROWS && size < bytes, last.0)?;
            let Some(last) = records.last() else { return Ok(None) };
            let sign = |message: &[u8]| cluster.key.sign(message);
            let head = Head { sequence: last.place.sequence, hash: last.hash };
            let head = SignedHead::sign(ledger, origin, head, sign);
            let base = base.map(|hash| SignedHead::sign(ledger, origin, Head { sequence: after, hash }, sign));
            Ok(Some(Parcel { base, records: texts(records), head }))
        })
        .await
    }

    /// The parcel ends at a head that the origin has signed: it has more bytes than were asked for, if the next head is
    /// far.
    async fn relayed(&self, origin: Origin, after: Sequence, bytes: usize) -> Result<Option<Parcel>, Failure> {
        let kept = |records| self.cluster.kept.beyond(origin, after, records);
        let Some((next, farthest)) = kept(0).zip(kept(RELAYED_RECORDS)) else {
            return if self.cluster.signs_for(origin) {
                self.signed_here(origin, after, bytes, Sequence(u64::MAX)).await
            } else {
                Ok(None)
            };
        };
        let least = (next.place.sequence.0 - after.0) as usize;
        let goes_on = move |taken, size| taken < least || size < bytes;
        let records = self.read(move |reader| Ok(run(reader, origin, after, goes_on, farthest.place.sequence.0)?));
        let mut records = records.await?;
        if records.len() < least {
            return Ok(None);
        }
        let Some(head) = kept(records.len() as u64) else { return Ok(None) };
        records.truncate((head.place.sequence.0 - after.0) as usize);
        Ok(Some(Parcel { base: None, records: texts(records), head }))
    }
}

impl Cluster {
    /// Whether this node signs heads of that origin: its own, and those of nodes that are gone, for which it vouches
    /// for nodes that join through it. Other nodes do not trust these.
    fn signs_for(&self, origin: Origin) -> bool {
        let members = self.members();
        members.key_of(origin).is_some_and(|key| key == self.node() || !members.is_present(key))
    }

    /// The origins for which this node vouches for nodes that join through it: origins whose nodes are gone, and of
    /// which it holds more than their signed heads lead to. And the vouches that it was given itself.
    pub(super) fn vouches(&self) -> Vec<Vouch> {
        let (members, own) = (self.members(), self.node());
        let is_gone = |origin: Origin| members.key_of(origin).is_some_and(|key| key != own && !members.is_present(key));
        let shown = |origin: Origin| self.kept.newest(origin).map(|head| head.place.sequence).unwrap_or_default();
        let base = self.projection.base();
        let unshown = base.heads.iter().filter(|(origin, head)| is_gone(**origin) && shown(**origin) < head.sequence);
        let own = unshown.map(|(origin, head)| Vouch { origin: *origin, head: *head, by: own });
        own.chain(self.anchors.vouched().iter().copied()).take(MAX_VOUCHED).collect()
    }

    /// This node's holding of an origin of the asking node, whose own copy of it ends at `own`.
    pub fn holding(&self, reader: &Reader, of: NodeKey, origin: Origin, own: Sequence) -> Result<Holding, ReadError> {
        let head = self.held_head(origin);
        let hash_at_own_head = hash_at(reader, origin, own)?;
        // A run that is reported as heard is known after a crash, too.
        self.keep_runs(of);
        let now = self.clock.now();
        let kept = self.kept_runs.lock().clone();
        let (heard, known) = self.positions(|positions| {
            let silence = |heard: &crate::cluster::HeardAnnouncement| match heard.announcement().farewell {
                true => std::time::Duration::MAX,
                false => std::time::Duration::from_millis(now.millis_since(heard.at)),
            };
            let heard = positions.of(of).map(|heard| (heard.announcement().incarnation, silence(heard)));
            let heard: Vec<_> = heard.filter(|(run, _)| kept.contains(run)).collect();
            (heard, positions.known(origin))
        });
        let slots_used = self.projection.last_slot(origin).unwrap_or_default();
        let members = self.members().present().map(|(key, _, _)| key).collect();
        Ok(Holding { node: self.node(), members, head, known, hash_at_own_head, heard, slots_used })
    }
}

/// The chain at that record; nothing before the first, or for a record that is not there.
fn hash_at(reader: &Reader, origin: Origin, sequence: Sequence) -> Result<Option<ChainHash>, ReadError> {
    if sequence == Sequence(0) {
        return Ok(None);
    }
    Ok(reader.find_place(RecordId { origin, sequence })?.map(|stored| stored.hash))
}

/// Records after that one, up to `last`, for as long as `goes_on` allows by their number and bytes.
fn run(
    reader: &Reader,
    origin: Origin,
    after: Sequence,
    goes_on: impl Fn(usize, usize) -> bool,
    last: u64,
) -> Result<Vec<StoredRecord>, ReadError> {
    let (mut records, mut bytes, mut next) = (Vec::new(), 0, after.next());
    while next.0 <= last && goes_on(records.len(), bytes) {
        let limit = PAGE_ROWS.min((last - next.0).saturating_add(1).try_into().unwrap_or(PAGE_ROWS));
        let page = reader.run_from(RecordId { origin, sequence: next }, limit)?;
        let Some(end) = page.last() else { break };
        next = end.place.sequence.next();
        for stored in page {
            if !goes_on(records.len(), bytes) {
                return Ok(records);
            }
            bytes += stored.record.len();
            records.push(stored);
        }
    }
    Ok(records)
}

fn texts(records: Vec<StoredRecord>) -> Vec<Box<str>> {
    records.into_iter().map(|stored| stored.record).collect()
}
