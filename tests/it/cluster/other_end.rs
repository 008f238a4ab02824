//! The end of an origin, as the first record of the next one names it.

use authledger::cluster::{Foreign, SignedHead, other_end};
use authledger::domain::{
    Event, LOG_FORMAT, LedgerId, LedgerOpened, Members, NodeName, Origin, Previous, RecordId, Recorded, Region,
    Sequence, State, Timestamp, View as _,
};
use authledger::event_log::{Chain, ChainHash, Head, encode};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use uuid::Uuid;

const LEDGER: LedgerId = LedgerId(Uuid::from_u128(1));
const HELD: ChainHash = ChainHash([1; 32]);
const OTHER: ChainHash = ChainHash([2; 32]);

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn origin(letter: char) -> Origin {
    letter.to_string().repeat(13).parse().unwrap()
}

fn opened(origin: Origin, seed: u8, previous: Option<Previous>) -> Recorded {
    Recorded {
        place: RecordId { origin, sequence: Sequence(1) },
        recorded_at: Timestamp::default(),
        tenant: None,
        actor: None,
        request: None,
        idempotency: None,
        event: Event::LedgerOpened(LedgerOpened {
            ledger: LEDGER,
            node: NodeName::new("node").unwrap(),
            region: Region::new("region").unwrap(),
            format: LOG_FORMAT,
            public_key: key(seed).public_key().as_ref().try_into().unwrap(),
            previous,
            pseudonyms: None,
        }),
    }
}

/// Whether a node that holds origin `a` of the key 7, with [`HELD`] at its fifth record, is shown a fork by the opening of `b`: by that
/// key, under a head that this key has signed, after that end of `a`.
fn is_shown(opened_by: u8, signed_by: u8, end: ChainHash, sequence: u64) -> bool {
    let mut state = State::default();
    state.fold(&opened(origin('a'), 7, None));
    let members: Members = (*state.members()).clone();
    let place = RecordId { origin: origin('a'), sequence: Sequence(sequence) };
    let recorded = opened(origin('b'), opened_by, Some(Previous { place, hash: end.0 }));
    let record = encode(&recorded).into_boxed_str();
    let hash = Chain::default().link(&ChainHash::default(), record.as_bytes());
    let sign = |message: &[u8]| key(signed_by).sign(message).as_ref().try_into().unwrap();
    let head = SignedHead::sign(LEDGER, origin('b'), Head { sequence: Sequence(1), hash }, sign);
    let held = |place: RecordId| (place.sequence == Sequence(5)).then_some(HELD);
    let first = Foreign { recorded, record: record.clone(), hash };
    let fork = other_end(&first, head, LEDGER, &members, held);
    if let Some(fork) = &fork {
        assert_eq!((fork.place, fork.theirs, fork.held, fork.opening.as_ref()), (place, end, HELD, Some(&record)));
    }
    fork.is_some()
}

#[test]
fn another_end_of_the_origin_before_is_a_fork_by_the_key_of_both_alone() {
    assert!(is_shown(7, 7, OTHER, 5));
    assert!(!is_shown(7, 7, HELD, 5), "the end is the one that is held");
    assert!(!is_shown(7, 7, OTHER, 9), "nothing is held there");
    assert!(!is_shown(8, 8, OTHER, 5), "a node with another key names an end of an origin that is not its own");
    assert!(!is_shown(7, 8, OTHER, 5), "the head was signed by another key, as a member does that vouches");
}
