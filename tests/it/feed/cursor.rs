//! A cursor's bytes: golden, because followers keep them.

use authledger::domain::{LedgerId, Origin, Position, Sequence};
use authledger::event_log::{Base, ChainHash, Head};
use authledger::feed::{Cursor, NoCursor};
use uuid::Uuid;

fn cursor(origins: &[(char, u64, u8)]) -> Cursor {
    let mut base = Base { position: Position(9), heads: Default::default() };
    for (letter, sequence, byte) in origins {
        let origin: Origin = letter.to_string().repeat(Origin::LEN).parse().unwrap();
        base.heads.insert(origin, Head { sequence: Sequence(*sequence), hash: ChainHash([*byte; 32]) });
    }
    Cursor::at(LedgerId(Uuid::from_u64_pair(0x0123_4567_89ab_4def, 0x8123_4567_89ab_cdef)), &base)
}

#[test]
fn the_bytes_of_a_cursor_are_what_they_were() {
    let none = cursor(&[]).to_string();
    let two = cursor(&[('b', 1, 0xff), ('a', 0x1234_5678, 0x5a)]).to_string();
    insta::assert_snapshot!(format!("{none}\n{two}"));
    assert_eq!(two.parse(), Ok(cursor(&[('a', 0x1234_5678, 0x5a), ('b', 1, 0xff)])));
}

#[test]
fn no_byte_of_a_cursor_can_be_changed_added_or_taken() {
    let valid = cursor(&[('a', 7, 1), ('b', 8, 2)]).to_string();
    for at in 0..valid.len() {
        for letter in ['A', 'z', '-', '=', ' '] {
            let mut bad = valid.clone();
            bad.replace_range(at..=at, &letter.to_string());
            // The last character has bits that no byte uses, and base64 refuses them unless they are zero.
            assert!(bad == valid || bad.parse::<Cursor>() == Err(NoCursor), "{bad}");
        }
        assert_eq!(valid[..at].parse::<Cursor>(), Err(NoCursor));
        assert_eq!(format!("{valid}{}", &valid[..=at]).parse::<Cursor>(), Err(NoCursor));
    }
}
