//! The names of streams, subjects, buckets and headers.

use crate::domain::Origin;
use crate::replication::courier::Sender;

/// The header of a message in a stream with the sequence of its last record, in decimal.
pub const LAST_HEADER: &str = "Authledger-Last";

/// The names that belong to a ledger and to this node in it.
#[derive(Clone, Debug)]
pub(super) struct JetStreamNames {
    /// The ledger's UUID without hyphens.
    ledger: String,
    origin: Origin,
    node: String,
}

impl JetStreamNames {
    pub(super) fn new(sender: &Sender) -> Self {
        Self { ledger: sender.ledger.0.simple().to_string(), origin: sender.origin, node: sender.node.to_string() }
    }

    /// The stream of that number for this origin's records.
    pub(super) fn stream(&self, number: u32) -> String {
        self.stream_of(self.origin, number)
    }

    fn stream_of(&self, origin: Origin, number: u32) -> String {
        format!("authledger_{}_{origin}_{number}", self.ledger)
    }

    /// The number of a stream, if it is one of this origin's.
    pub(super) fn number(&self, stream: &str) -> Option<u32> {
        self.number_of(self.origin, stream)
    }

    /// Whether a stream has the name of one of that origin's, so that no node can make us read a foreign stream.
    pub(super) fn is_stream_of(&self, origin: Origin, stream: &str) -> bool {
        self.number_of(origin, stream).is_some()
    }

    fn number_of(&self, origin: Origin, stream: &str) -> Option<u32> {
        let number = stream.rsplit('_').next()?.parse().ok()?;
        (self.stream_of(origin, number) == stream).then_some(number)
    }

    /// The subject of the messages in the stream of that number.
    pub(super) fn records(&self, number: u32) -> String {
        format!("authledger.{}.records.{}.{number}", self.ledger, self.origin)
    }

    /// The subject of this origin's newest records, which no stream keeps.
    pub(super) fn live(&self) -> String {
        format!("authledger.{}.live.{}", self.ledger, self.origin)
    }

    /// The same for every origin.
    pub(super) fn all_live(&self) -> String {
        format!("authledger.{}.live.*", self.ledger)
    }

    /// The subject of this node's announcements.
    pub(super) fn announce(&self) -> String {
        format!("authledger.{}.announce.{}", self.ledger, self.node)
    }

    /// The same for every node.
    pub(super) fn all_announce(&self) -> String {
        format!("authledger.{}.announce.*", self.ledger)
    }

    /// The bucket that keeps the newest announcement of each node of the region.
    pub(super) fn bucket(&self) -> String {
        format!("authledger_{}_nodes", self.ledger)
    }

    /// This node's key in it.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// This node's origin.
    pub(super) const fn origin(&self) -> Origin {
        self.origin
    }
}

/// The last token of a subject: the sender of the message.
pub(super) fn last_token(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LedgerId, Region};

    #[test]
    fn a_stream_is_an_origins_only_by_its_exact_name() {
        let (ours, theirs) = (Origin::from_random([0; 13]), Origin::from_random([1; 13]));
        let region = Region::new("east").expect("a name");
        let names = JetStreamNames::new(&Sender {
            ledger: LedgerId(uuid::Uuid::nil()),
            origin: ours,
            node: "00".into(),
            region,
        });
        let stream = names.stream(12);
        assert_eq!(
            (stream.as_str(), names.number(&stream)),
            ("authledger_00000000000000000000000000000000_aaaaaaaaaaaaa_12", Some(12))
        );
        assert!(names.is_stream_of(ours, &stream) && !names.is_stream_of(theirs, &stream));
        for other in ["", "12", "KV_x", "authledger_00000000000000000000000000000000_aaaaaaaaaaaaa_"] {
            assert!(!names.is_stream_of(ours, other), "{other}");
        }
        assert!(
            ["_012", "_+12", "_1.2", "_>"].iter().all(|end| !names.is_stream_of(ours, &stream.replace("_12", end)))
        );
    }
}
