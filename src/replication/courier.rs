//! Couriers: what carries records and announcements from node to node.
//!
//! A courier decides nothing and is believed nothing. It may lose, double, reorder, delay and alter what it carries; who
//! receives verifies everything, and what is missing is asked for again.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::domain::{LedgerId, Origin, Place, Region, Sequence};

/// A future that a trait object gives.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who a courier works for.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The ledger.
    pub ledger: LedgerId,
    /// This node's origin.
    pub origin: Origin,
    /// The key that this node signs with, in 64 hexadecimal digits: its name between nodes.
    pub node: Arc<str>,
    /// Where this node is.
    pub region: Region,
}

/// Records of one origin, one after the other, up to a head that the origin has signed.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The first record's sequence.
    pub first: Sequence,
    /// The last record's, which is the head's.
    pub last: Sequence,
    /// The records and the head, each in a line: what is carried.
    pub text: Bytes,
}

/// What came of a parcel that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// This node holds the origin's records up to there, by this parcel or before it.
    Held(Sequence),
    /// Records are missing before it: from this sequence on.
    Gap(Sequence),
    /// It is not to be believed, and coming again would not change that: why, in a code.
    Refused(&'static str),
    /// It can't be taken now: the log has halted, the server stops, or a later version wrote it.
    NotNow,
}

/// A stream of a broker that an origin's records are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOf {
    /// The region whose servers have it.
    pub region: Region,
    /// Its name.
    pub name: Arc<str>,
}

/// The node, as its couriers see it.
pub trait Post: Send + Sync + 'static {
    /// Who sends.
    fn sender(&self) -> &Sender;

    /// The newest durable record of this node's own origin.
    fn head(&self) -> watch::Receiver<Sequence>;

    /// This node's own records after that one, signed: at least one, and not many more bytes than `bytes`. Nothing, where there
    /// are none.
    fn outgoing(&self, after: Sequence, bytes: usize) -> Doing<'_, Option<Parcel>>;

    /// The record that made this node a member.
    fn joined_by(&self) -> Option<Place>;

    /// The same of another origin's records, up to a head that it has signed.
    fn relayed(&self, origin: Origin, after: Sequence, bytes: usize) -> Doing<'_, Option<Parcel>>;

    /// How far this node holds an origin's records.
    fn held(&self, origin: Origin) -> Sequence;

    /// Returns once this node holds more of the origin's records than that, whichever way they came.
    fn held_beyond(&self, origin: Origin, after: Sequence) -> Doing<'_, ()>;

    /// A parcel has arrived.
    fn receive(&self, text: Bytes) -> Doing<'_, Receipt>;

    /// What this node has to say of itself, signed: the newest, which makes those before it needless. It changes with each record
    /// that it applies, so whoever sends it takes the latest and lets others pass; and at least once a second.
    fn announcement(&self) -> watch::Receiver<Bytes>;

    /// An announcement of another node has arrived. False if it is not to be believed.
    fn hear(&self, announcement: Bytes) -> bool;

    /// Names the stream that this node's own records are in, for its next announcements.
    fn publish_in(&self, stream: &str);

    /// The streams of other origins, as their nodes announce them.
    fn streams(&self) -> watch::Receiver<Arc<BTreeMap<Origin, StreamOf>>>;
}

/// Carries for a node.
pub trait Courier: Send + 'static {
    /// What it is called in logs and metrics.
    fn name(&self) -> &'static str;

    /// Carries until `stop` is true. It goes on through every failure of what it carries by.
    fn run(self: Box<Self>, post: Arc<dyn Post>, stop: watch::Receiver<bool>) -> Doing<'static, ()>;
}
