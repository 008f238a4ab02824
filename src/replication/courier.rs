//! Couriers: they carry records and announcements from node to node.
//!
//! A courier decides nothing and is not trusted. It may lose, duplicate, reorder, delay and alter its load; the
//! receiver verifies everything, and requests missing records again.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::domain::{LedgerId, Origin, RecordId, Region, Sequence};

/// A future that a trait object gives.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The node that a courier works for.
#[derive(Clone, Debug)]
pub struct Sender {
    pub ledger: LedgerId,
    /// This node's origin.
    pub origin: Origin,
    /// The key that this node signs with, in 64 hexadecimal digits: its name between nodes.
    pub node: Arc<str>,
    /// This node's region.
    pub region: Region,
}

/// Records of one origin, one after the other, up to a head that the origin has signed.
#[derive(Clone, Debug)]
pub struct OutgoingParcel {
    /// The first record's sequence.
    pub first: Sequence,
    /// The last record's, which is the head's.
    pub last: Sequence,
    /// The records and the head, each on a line, as they are carried.
    pub text: Bytes,
}

/// The outcome of a parcel that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// This node holds the origin's records up to there, by this parcel or before it.
    Held(Sequence),
    /// Records are missing before it: from this sequence on.
    Gap(Sequence),
    /// It is not trusted, and coming again would not change that: the reason, as a code.
    Refused(&'static str),
    /// It can't be taken now: the log has halted, the server is stopping, or a later version wrote it.
    NotNow,
}

/// A stream of a broker with an origin's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOf {
    /// The region whose servers have it.
    pub region: Region,
    pub name: Arc<str>,
}

/// The node, as its couriers see it.
pub trait Post: Send + Sync + 'static {
    fn sender(&self) -> &Sender;

    /// The newest durable record of this node's own origin.
    fn head(&self) -> watch::Receiver<Sequence>;

    /// This node's own records after that one, signed: at least one, and not many more bytes than `bytes`. Nothing, if
    /// there are none.
    fn outgoing(&self, after: Sequence, bytes: usize) -> Doing<'_, Option<OutgoingParcel>>;

    /// The record that made this node a member.
    fn joined_by(&self) -> Option<RecordId>;

    /// The same for another origin's records, up to a head that it has signed.
    fn relayed(&self, origin: Origin, after: Sequence, bytes: usize) -> Doing<'_, Option<OutgoingParcel>>;

    /// How far this node holds an origin's records.
    fn held(&self, origin: Origin) -> Sequence;

    /// Returns once this node holds more of the origin's records than that, whichever way they came.
    fn held_beyond(&self, origin: Origin, after: Sequence) -> Doing<'_, ()>;

    /// A parcel has arrived.
    fn receive(&self, text: Bytes) -> Doing<'_, Receipt>;

    /// This node's newest announcement, signed, which replaces earlier ones. It changes with each record that it
    /// applies, so a sender takes the latest and skips others; and at least once a second.
    fn announcement(&self) -> watch::Receiver<Bytes>;

    /// An announcement of another node has arrived. False if it is not trusted.
    fn hear(&self, announcement: Bytes) -> bool;

    /// Names the stream that this node's own records are in, for its next announcements.
    fn publish_in(&self, stream: &str);

    /// The streams of other origins, as their nodes announce them.
    fn streams(&self) -> watch::Receiver<Arc<BTreeMap<Origin, StreamOf>>>;
}

/// Carries for a node.
pub trait Courier: Send + 'static {
    /// Its name in logs and metrics.
    fn name(&self) -> &'static str;

    /// Carries until `stop` is true. It survives every failure of its transport.
    fn run(self: Box<Self>, post: Arc<dyn Post>, stop: watch::Receiver<bool>) -> Doing<'static, ()>;
}
