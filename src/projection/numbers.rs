//! Numbers for values that many share: the value is kept once, for as long as anything holds its number.

use std::hash::{BuildHasher as _, Hash};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::domain::Hashing;

/// The number of a shared value. Never 0, so that an `Option` of it takes no room.
pub(super) type Number = NonZeroU32;

/// Values by number, and numbers by value.
pub(super) struct Numbers<T> {
    inner: RwLock<Inner<T>>,
    hasher: Hashing,
}

struct Inner<T> {
    by_value: HashTable<Number>,
    /// The value of each number, from 1.
    held: Vec<Option<Held<T>>>,
    free: Vec<Number>,
}

struct Held<T> {
    value: T,
    /// Counted while readers share the table: nearly every issue holds a value that others hold already.
    holders: AtomicU64,
}

impl<T: Eq> Inner<T> {
    fn slot(&self, number: Number) -> Option<&Held<T>> {
        self.held.get(number.get() as usize - 1)?.as_ref()
    }

    fn find(&self, hash: u64, value: &T) -> Option<Number> {
        let is = |number: &Number| self.slot(*number).is_some_and(|own| own.value == *value);
        self.by_value.find(hash, is).copied()
    }

    /// The value's number, held once more.
    fn hold(&self, hash: u64, value: &T) -> Option<Number> {
        let number = self.find(hash, value)?;
        self.slot(number)?.holders.fetch_add(1, Ordering::Relaxed);
        Some(number)
    }
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        let inner = Inner { by_value: HashTable::new(), held: Vec::new(), free: Vec::new() };
        Self { inner: RwLock::new(inner), hasher: Hashing::default() }
    }
}

impl<T: Eq + Hash + Clone> Numbers<T> {
    /// The value's number, if anything holds it.
    pub(super) fn find(&self, value: &T) -> Option<Number> {
        self.inner.read().find(self.hasher.hash_one(value), value)
    }

    /// The value with that number.
    pub(super) fn get(&self, number: Number) -> Option<T> {
        self.inner.read().slot(number).map(|held| held.value.clone())
    }

    /// The value's number, held once more: release it as often.
    pub(super) fn hold(&self, value: &T) -> Number {
        // Each is held by a row or an entry, and there are fewer than 2^32 of those.
        self.hold_within(value, u32::MAX).unwrap_or(NonZeroU32::MAX)
    }

    /// The same; none if the value has no number, and `limit` others have one.
    pub(super) fn hold_within(&self, value: &T, limit: u32) -> Option<Number> {
        let hash = self.hasher.hash_one(value);
        if let Some(number) = self.inner.read().hold(hash, value) {
            return Some(number);
        }
        let mut inner = self.inner.write();
        // Sought again: several threads put a snapshot together.
        inner.hold(hash, value).or_else(|| self.add(&mut inner, hash, value, limit))
    }

    fn add(&self, inner: &mut Inner<T>, hash: u64, value: &T, limit: u32) -> Option<Number> {
        let Inner { by_value, held, free } = inner;
        let next = || NonZeroU32::new(held.len() as u32 + 1).filter(|next| next.get() <= limit);
        let number = free.pop().or_else(next)?;
        let new = Held { value: value.clone(), holders: AtomicU64::new(1) };
        match held.get_mut(number.get() as usize - 1) {
            Some(slot) => *slot = Some(new),
            None => held.push(Some(new)),
        }
        let rehash = |number: &Number| {
            held[number.get() as usize - 1].as_ref().map_or(0, |own| self.hasher.hash_one(&own.value))
        };
        by_value.insert_unique(hash, number, rehash);
        Some(number)
    }

    /// Holds a number once more that is held already.
    pub(super) fn hold_again(&self, number: Number) {
        if let Some(held) = self.inner.read().slot(number) {
            held.holders.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The value's number, held permanently; none if there are `limit` already.
    pub(super) fn keep(&self, value: &T, limit: u32) -> Option<Number> {
        self.find(value).or_else(|| self.hold_within(value, limit))
    }

    /// Releases a number once; the last release removes the value.
    pub(super) fn release(&self, number: Number) {
        let is_last =
            self.inner.read().slot(number).is_some_and(|held| held.holders.fetch_sub(1, Ordering::AcqRel) == 1);
        if is_last {
            self.remove_unheld(number);
        }
    }

    /// Removes a value, unless somebody has come to hold it since.
    fn remove_unheld(&self, number: Number) {
        let mut inner = self.inner.write();
        let Inner { by_value, held, free } = &mut *inner;
        let Some(slot) = held.get_mut(number.get() as usize - 1) else { return };
        let Some(unheld) = slot.take_if(|held| *held.holders.get_mut() == 0) else { return };
        if let Ok(entry) = by_value.find_entry(self.hasher.hash_one(&unheld.value), |own| *own == number) {
            entry.remove();
        }
        free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_values_until_the_last_lets_go() {
        let numbers = Numbers::default();
        let (one, other) = (numbers.hold(&"one"), numbers.hold(&"other"));
        assert_eq!((numbers.hold(&"one"), numbers.find(&"other")), (one, Some(other)));
        numbers.release(one);
        assert_eq!(numbers.get(one), Some("one"), "it is held once more");
        numbers.release(one);
        assert_eq!((numbers.get(one), numbers.find(&"one")), (None, None));
        assert_eq!((numbers.hold(&"third"), numbers.get(other)), (one, Some("other")));
    }

    #[test]
    fn no_more_are_held_than_the_limit() {
        let numbers = Numbers::default();
        let one = numbers.keep(&1, 1);
        assert_eq!((numbers.keep(&1, 1), numbers.keep(&2, 1)), (one, None), "it is kept permanently");
        let numbers = Numbers::default();
        let one = numbers.hold_within(&1, 1);
        assert_eq!(numbers.hold_within(&2, 1), None);
        numbers.release(one.expect("there was room"));
        assert_eq!((numbers.hold_within(&2, 1), numbers.find(&1)), (one, None), "its number is free again");
    }

    #[test]
    fn threads_that_hold_and_release_a_value_leave_none_and_lose_none() {
        let numbers = Numbers::default();
        let kept = numbers.hold(&0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..20_000 {
                        let value = n % 3;
                        let number = numbers.hold(&value);
                        assert_eq!(numbers.get(number), Some(value), "a held number keeps its value");
                        numbers.release(number);
                    }
                });
            }
        });
        assert_eq!([0, 1, 2].map(|value| numbers.find(&value)), [Some(kept), None, None]);
    }
}
