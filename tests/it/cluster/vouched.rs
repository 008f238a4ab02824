//! Heads that a member signs in place of an origin's node that is gone.

use authledger::cluster::{Anchors, IngestContext, Parcel, ParcelVerdict, Refusal, SignedHead, Vouch, judge};
use authledger::domain::{Event, LedgerId, Members, NodeKey, Reads, Sequence};
use authledger::event_log::{Chain, ChainHash, Head, decode};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::vectors::{origin, records};

struct Voucher(Ed25519KeyPair);

impl Voucher {
    fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn key(&self) -> NodeKey {
        NodeKey::from_bytes(self.0.public_key().as_ref().try_into().unwrap())
    }

    /// The records up to that one, under a head that this member has signed.
    fn shows(&self, count: usize) -> Parcel {
        let records = records()[..count].to_vec();
        let head = SignedHead::sign(ledger(), origin(), head(count), |message| {
            self.0.sign(message).as_ref().try_into().unwrap()
        });
        Parcel { base: None, records, head }
    }
}

fn head(count: usize) -> Head {
    let chain = Chain::default();
    let hash =
        records()[..count].iter().fold(ChainHash::default(), |hash, record| chain.link(&hash, record.as_bytes()));
    Head { sequence: Sequence(count as u64), hash }
}

/// That of the first record.
fn ledger() -> LedgerId {
    match decode(records()[0].as_bytes()).unwrap().event {
        Event::LedgerOpened(opened) => opened.ledger,
        other => panic!("{other:?}"),
    }
}

/// The verdict of a node that holds nothing, and was told that when it joined.
fn judged(parcel: Parcel, vouched: Vec<Vouch>) -> ParcelVerdict {
    let anchors = Anchors::new(ledger(), [], Vec::new()).with_vouched(vouched);
    let known = IngestContext {
        ledger: ledger(),
        own: "aaaaaaaaaaaaa".parse().unwrap(),
        members: &Members::default(),
        anchors: &anchors,
        reads: &Reads::of_this_release(),
        head: Head::default(),
    };
    judge(parcel, &known, |_| None)
}

#[test]
fn records_of_a_node_that_is_gone_are_taken_up_to_where_a_member_vouches_for_them_and_no_further() {
    let (voucher, other) = (Voucher::new(7), Voucher::new(8));
    let all = records().len();
    let vouch = Vouch { origin: origin(), head: head(all), by: voucher.key() };
    let refused =
        |verdict: ParcelVerdict, why: Refusal| matches!(verdict, ParcelVerdict::Refused(refusal) if refusal == why);

    let ParcelVerdict::Append(taken) = judged(voucher.shows(all), vec![vouch]) else { panic!("it is not taken") };
    assert_eq!(taken.len(), all);
    assert!(matches!(judged(voucher.shows(1), vec![vouch]), ParcelVerdict::Append(taken) if taken.len() == 1));
    assert!(refused(judged(voucher.shows(all), Vec::new()), Refusal::NotAMember), "nobody vouches");
    assert!(refused(judged(other.shows(all), vec![vouch]), Refusal::BadSignature), "another one signs");
    let less = Vouch { head: head(all - 1), ..vouch };
    assert!(
        refused(judged(voucher.shows(all), vec![less]), Refusal::BadSignature),
        "beyond the head that is vouched for"
    );
    let another = Vouch { head: Head { hash: ChainHash([9; 32]), ..head(all) }, ..vouch };
    assert!(refused(judged(voucher.shows(all), vec![another]), Refusal::BadSignature), "it leads somewhere else");
    let of_another = Vouch { origin: "bbbbbbbbbbbbb".parse().unwrap(), ..vouch };
    assert!(refused(judged(voucher.shows(all), vec![of_another]), Refusal::NotAMember), "of another origin");
    let mut altered = voucher.shows(all);
    altered.records[all - 1] = altered.records[all - 1].replace("\"sequence\":", "\"sequence\": ").into();
    assert!(refused(judged(altered, vec![vouch]), Refusal::Altered));
}

#[test]
fn heads_that_are_vouched_for_are_kept_with_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let vouch = Vouch { origin: origin(), head: head(2), by: Voucher::new(7).key() };
    let anchors = Anchors::new(ledger(), [Voucher::new(1).key()], vec!["https://a.example".to_owned()]);
    anchors.store(directory.path()).unwrap();
    let file = directory.path().join("members").join("anchors.json");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("vouched"), "as it was before there were any");
    let anchors = anchors.with_vouched(vec![vouch]);
    anchors.store(directory.path()).unwrap();
    assert_eq!(Anchors::load(directory.path()).unwrap(), anchors);
}
