//! The data of records about nodes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::forms::{Hex, Text};
use super::{RecordError, integer};
use crate::domain::{
    NodeJoined, NodeKey, NodeName, NodeRemoved, NodeUpgraded, Origin, PeerAddress, Reads, Region, Sequence,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeJoinedData<'a> {
    key: Hex<32>,
    #[serde(borrow)]
    node: Cow<'a, str>,
    #[serde(borrow)]
    region: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    address: Option<Cow<'a, str>>,
    reads: Numbered<String>,
}

impl<'a> From<&'a NodeJoined> for NodeJoinedData<'a> {
    fn from(joined: &'a NodeJoined) -> Self {
        Self {
            key: Hex(*joined.key.as_bytes()),
            node: joined.node.as_str().into(),
            region: joined.region.as_str().into(),
            address: joined.address.as_ref().map(|address| address.as_str().into()),
            reads: reads_data(&joined.reads),
        }
    }
}

impl NodeJoinedData<'_> {
    pub(super) fn into_domain(self) -> Result<NodeJoined, RecordError> {
        Ok(NodeJoined {
            key: NodeKey::from_bytes(self.key.0),
            node: NodeName::new(&self.node).map_err(RecordError::malformed)?,
            region: Region::new(&self.region).map_err(RecordError::malformed)?,
            address: self.address.as_deref().map(PeerAddress::new).transpose().map_err(RecordError::malformed)?,
            reads: reads(self.reads)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeUpgradedData {
    key: Hex<32>,
    reads: Numbered<String>,
}

impl From<&NodeUpgraded> for NodeUpgradedData {
    fn from(upgraded: &NodeUpgraded) -> Self {
        Self { key: Hex(*upgraded.key.as_bytes()), reads: reads_data(&upgraded.reads) }
    }
}

impl NodeUpgradedData {
    pub(super) fn into_domain(self) -> Result<NodeUpgraded, RecordError> {
        Ok(NodeUpgraded { key: NodeKey::from_bytes(self.key.0), reads: reads(self.reads)? })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeRemovedData {
    key: Hex<32>,
    seals: Numbered<Text<Origin>>,
}

impl From<&NodeRemoved> for NodeRemovedData {
    fn from(removed: &NodeRemoved) -> Self {
        let seals = removed.seals.iter().map(|(origin, sequence)| (Text(*origin), sequence.0));
        Self { key: Hex(*removed.key.as_bytes()), seals: Numbered(seals.collect()) }
    }
}

impl NodeRemovedData {
    pub(super) fn into_domain(self) -> Result<NodeRemoved, RecordError> {
        let seals = self.seals.0.into_iter().map(|(origin, sequence)| Ok((origin.0, Sequence(integer(sequence)?))));
        let seals: Vec<_> = seals.collect::<Result<_, RecordError>>()?;
        super::in_order(seals.iter().map(|(origin, _)| origin))?;
        Ok(NodeRemoved { key: NodeKey::from_bytes(self.key.0), seals: seals.into_iter().collect::<BTreeMap<_, _>>() })
    }
}

fn reads_data(reads: &Reads) -> Numbered<String> {
    Numbered(reads.iter().map(|(name, version)| (name.to_owned(), version)).collect())
}

fn reads(data: Numbered<String>) -> Result<Reads, RecordError> {
    super::in_order(data.0.iter().map(|(name, _)| name))?;
    let types = data.0.into_iter().map(|(name, version)| Ok((name.into_boxed_str(), integer(version)?)));
    types.collect::<Result<_, RecordError>>()
}

/// An object of names in order, each with a number.
pub(super) struct Numbered<K>(pub(super) Vec<(K, u64)>);

impl<K: Serialize> Serialize for Numbered<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, number)| (key, number)))
    }
}

impl<'de, K: Deserialize<'de>> Deserialize<'de> for Numbered<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberedVisitor<K>(std::marker::PhantomData<K>);
        impl<'de, K: Deserialize<'de>> Visitor<'de> for NumberedVisitor<K> {
            type Value = Numbered<K>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of names and numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Numbered<K>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<K, u64>()? {
                    if entries.len() == Reads::MAX_TYPES {
                        return Err(A::Error::custom("an object of more than 256 members"));
                    }
                    entries.push(entry);
                }
                Ok(Numbered(entries))
            }
        }
        deserializer.deserialize_map(NumberedVisitor(std::marker::PhantomData))
    }
}
