//! The golden values of the records about nodes.

use std::collections::BTreeMap;

use authledger::domain::{
    Event, NodeJoined, NodeKey, NodeName, NodeRemoved, NodeUpgraded, PeerAddress, Reads, Recorded, Region, Sequence,
};
use authledger::event_log::{RecordError, decode, encode};

use super::golden::{b, by_root, record};

fn key() -> NodeKey {
    "0123456789abcdef".repeat(4).parse().unwrap()
}

fn other_key() -> NodeKey {
    "fedcba9876543210".repeat(4).parse().unwrap()
}

fn reads(types: &[(&str, u64)]) -> Reads {
    types.iter().map(|(name, version)| ((*name).into(), *version)).collect()
}

pub(super) fn joined() -> Vec<Recorded> {
    let one = NodeJoined {
        key: key(),
        node: NodeName::new("node-1").unwrap(),
        region: Region::new("eu-central").unwrap(),
        address: Some(PeerAddress::new("https://node-1.example:8443").unwrap()),
        reads: reads(&[("ledger.opened", 1), ("node.joined", 1), ("ticket.issued", 2)]),
    };
    let other = NodeJoined {
        key: other_key(),
        node: NodeName::new("nœud \"2\"").unwrap(),
        region: Region::new("\\west/1").unwrap(),
        address: None,
        reads: Reads::default(),
    };
    let joined = |sequence, joined: NodeJoined| Recorded {
        actor: by_root(),
        ..record(sequence, 800_000, Event::NodeJoined(Box::new(joined)))
    };
    vec![joined(37, one), joined(38, other)]
}

pub(super) fn upgraded() -> Vec<Recorded> {
    let reads = reads(&[("ledger.opened", 1), ("node.joined", 1), ("ticket.issued", 3)]);
    vec![record(39, 800_000, Event::NodeUpgraded(NodeUpgraded { key: key(), reads }))]
}

pub(super) fn removed() -> Vec<Recorded> {
    let seals = BTreeMap::from([(b(), Sequence(12)), ("c3ytw6hcpe2sf".parse().unwrap(), Sequence(0))]);
    let removed = |sequence, millis, key, seals| Recorded {
        actor: by_root(),
        ..record(sequence, millis, Event::NodeRemoved(NodeRemoved { key, seals }))
    };
    vec![removed(40, 800_001, other_key(), seals), removed(41, 800_002, key(), BTreeMap::new())]
}

#[test]
fn a_text_that_breaks_the_form_of_a_node_is_not_a_record() {
    let [joined, removed] = [&joined()[0], &removed()[0]].map(encode);
    let broken = [
        (&joined, "\"key\":\"0123", "\"key\":\"A123"),
        (&joined, "https://node-1.example:8443", "https://node-1.example:8443/"),
        (&joined, "https://node-1.example:8443", "ftp://node-1.example"),
        (&joined, "\"ledger.opened\":1,\"node.joined\":1", "\"node.joined\":1,\"ledger.opened\":1"),
        (&joined, "\"ledger.opened\":1,\"node.joined\":1", "\"node.joined\":1,\"node.joined\":1"),
        (&joined, "\"ticket.issued\":2", "\"ticket.issued\":9007199254740992"),
        (&joined, ",\"reads\":{", ",\"more\":1,\"reads\":{"),
        (&removed, "\"b3ytw6hcpe2sf\":12,\"c3ytw6hcpe2sf\":0", "\"c3ytw6hcpe2sf\":0,\"b3ytw6hcpe2sf\":12"),
        (&removed, "b3ytw6hcpe2sf", "b3ytw6hcpe2s1"),
        (&removed, ",\"seals\"", ",\"seal\""),
    ];
    for (whole, old, new) in broken {
        assert!(whole.contains(old), "{old} is not in {whole}");
        let error = decode(whole.replace(old, new).as_bytes());
        assert!(matches!(error, Err(RecordError::Malformed(_))), "{new}: {error:?}");
    }
}
