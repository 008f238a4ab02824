//! The vectors of `schema/vectors/replication.json`.

use std::collections::BTreeMap;

use authledger::cluster::{Announcement, CarriedAnnouncement, Incarnation, Parcel, RequestSignature, SignedHead};
use authledger::domain::{LedgerId, NodeKey, Origin, Region, Sequence, Timestamp, hex};
use authledger::event_log::{Chain, ChainHash, Head};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

const SEED: [u8; 32] = [1; 32];
const ORIGIN: &str = "k7m2qx4dnzr5a";
const BODY: &[u8] = b"{\"what\":\"body\"}";

pub fn origin() -> Origin {
    ORIGIN.parse().unwrap()
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap()
}

pub fn key() -> NodeKey {
    NodeKey::from_bytes(pair().public_key().as_ref().try_into().unwrap())
}

pub fn sign(message: &[u8]) -> [u8; 64] {
    pair().sign(message).as_ref().try_into().unwrap()
}

fn ledger() -> LedgerId {
    LedgerId("6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a11".parse().unwrap())
}

/// The records of that origin in `chain.json`.
pub fn records() -> Vec<Box<str>> {
    let chain: Value = serde_json::from_str(include_str!("../../../schema/vectors/chain.json")).unwrap();
    let records = chain["records"].as_array().unwrap().iter().filter(|record| record["origin"] == ORIGIN);
    records.map(|record| record["record"].as_str().unwrap().into()).collect()
}

fn head(records: &[Box<str>]) -> SignedHead {
    let chain = Chain::default();
    let hash = records.iter().fold(ChainHash::default(), |hash, record| chain.link(&hash, record.as_bytes()));
    SignedHead::sign(ledger(), origin(), Head { sequence: Sequence(records.len() as u64), hash }, sign)
}

fn parcel() -> Parcel {
    let records = records();
    Parcel { base: Some(head(&records[..1])), head: head(&records), records: records[1..].to_vec() }
}

pub fn announcement() -> Announcement {
    let head = head(&records());
    let run = |n| Incarnation(uuid::Uuid::from_u128(n));
    Announcement {
        ledger: ledger(),
        node: key(),
        incarnation: run(2),
        supersedes: vec![run(1)],
        number: 17,
        now: Timestamp::from_millis(1_800_000_900_000).unwrap(),
        region: Region::new("eu-central").unwrap(),
        origin: origin(),
        head: head.head(),
        applied: BTreeMap::from([("b3ytw6hcpe2sf".parse().unwrap(), Sequence(2)), (origin(), head.place.sequence)]),
        stream: Some("ledger-1".into()),
        farewell: false,
    }
}

fn request() -> RequestSignature {
    let at = Timestamp::from_millis(1_800_000_900_000).unwrap();
    RequestSignature::sign(key(), ledger(), at, ("POST", "/v1/cluster/announcements?one=1", BODY), sign)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn made() -> Value {
    let mut signed = Vec::new();
    let head = SignedHead::sign(ledger(), origin(), head(&records()).head(), |message| {
        signed = message.to_vec();
        sign(message)
    });
    json!({
        "about": "What the node of one origin in chain.json says: a signed head, a parcel of all records but the first, an announcement, a request. Signatures in base64url.",
        "seed": hex::encode(&SEED),
        "key": key().to_string(),
        "ledger": ledger().to_string(),
        "head": {"message": text(&signed), "signature": head.signature.to_string()},
        "parcel": text(&parcel().to_text()),
        "announcement": text(&announcement().speak(sign).text),
        "request": {
            "method": "POST",
            "path": "/v1/cluster/announcements?one=1",
            "body": text(BODY),
            "authorization": request().to_string(),
        },
    })
}

#[test]
fn messages_between_nodes_agree_with_the_vectors() {
    let made = serde_json::to_string_pretty(&made()).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/vectors/replication.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let due = std::fs::read_to_string(path).unwrap();
    assert_eq!(due, made, "UPDATE_SCHEMA=1 writes it anew; bytes that others read must not change");
}

#[test]
fn messages_are_read_back_as_they_were_written_and_an_altered_one_is_not_believed() {
    assert_eq!(Parcel::parse(&parcel().to_text()), Ok(parcel()));
    let spoken = announcement().speak(sign);
    assert_eq!(CarriedAnnouncement::hear(&spoken.text).unwrap().announcement, announcement());
    for at in 0..spoken.text.len() {
        let mut altered = spoken.text.clone();
        altered[at] ^= 1;
        assert!(CarriedAnnouncement::hear(&altered).is_none(), "byte {at}");
    }
    let head = head(&records());
    let text = request().to_string();
    assert!(head.is_signed_by(key(), ledger()));
    assert!(!head.is_signed_by(key(), LedgerId(uuid::Uuid::nil())), "of another ledger");
    let request: RequestSignature = text.parse().unwrap();
    let asked = ("POST", "/v1/cluster/announcements?one=1", BODY);
    assert!(request.is_of(ledger(), asked));
    for other in [("GET", asked.1, BODY), ("POST", "/v1/cluster/announcements?one=2", BODY), (asked.0, asked.1, b"")] {
        assert!(!request.is_of(ledger(), other), "{other:?}");
    }
}
