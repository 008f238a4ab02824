//! The values of the golden records of status lists.

use authledger::domain::{
    Event, KeyId, Recorded, Sequence, StatusListClass, StatusListId, StatusListOpened, StatusListPublished,
};

use super::golden::{a, b, record};

pub(super) fn list() -> StatusListId {
    "7f3kq2mzn5xw4dba".parse().unwrap()
}

pub(super) fn opened() -> Vec<Recorded> {
    let day = StatusListOpened { list: list(), entries: 1 << 17, class: StatusListClass::Day };
    let list = "aaaaaaaaaaaaaaaa".parse().unwrap();
    let long = StatusListOpened { list, entries: 1 << 20, class: StatusListClass::Long };
    vec![record(58, 400_014, Event::StatusListOpened(day)), record(59, 400_015, Event::StatusListOpened(long))]
}

pub(super) fn published() -> Vec<Recorded> {
    let published = StatusListPublished {
        list: list(),
        iat: 1_800_000_460,
        exp: 1_800_004_060,
        ttl: 60,
        kid: KeyId::new("k-1").unwrap(),
        algorithm: "ES256".into(),
        upto: [(a(), Sequence(55)), (b(), Sequence(12))].into_iter().collect(),
        array: [0xab; 32],
        deflate: "miniz_oxide-0.9 level 9".into(),
        signature: "c2lnbmF0dXJl".into(),
    };
    vec![record(60, 400_016, Event::StatusListPublished(published.into()))]
}
