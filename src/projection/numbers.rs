//! Numbers for values that many share: the value is kept once, for as long as anything holds its number.

use std::hash::{BuildHasher as _, Hash};
use std::num::NonZeroU32;

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
    /// The value of each number, from 1, and how many holders it has.
    held: Vec<Option<(T, u64)>>,
    free: Vec<Number>,
}

impl<T> Inner<T> {
    fn slot(&self, number: Number) -> Option<&(T, u64)> {
        self.held.get(number.get() as usize - 1)?.as_ref()
    }

    fn slot_mut(&mut self, number: Number) -> Option<&mut Option<(T, u64)>> {
        self.held.get_mut(number.get() as usize - 1)
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
        let inner = self.inner.read();
        let is = |number: &Number| inner.slot(*number).is_some_and(|(own, _)| own == value);
        inner.by_value.find(self.hasher.hash_one(value), is).copied()
    }

    /// The value with that number.
    pub(super) fn get(&self, number: Number) -> Option<T> {
        self.inner.read().slot(number).map(|(value, _)| value.clone())
    }

    /// The value's number, held once more: release it as often.
    pub(super) fn hold(&self, value: &T) -> Number {
        self.hold_in(&mut self.inner.write(), value)
    }

    fn hold_in(&self, inner: &mut Inner<T>, value: &T) -> Number {
        let hash = self.hasher.hash_one(value);
        let Inner { by_value, held, free } = inner;
        let at = |number: &Number| number.get() as usize - 1;
        let is = |number: &Number| held[at(number)].as_ref().is_some_and(|(own, _)| own == value);
        if let Some(number) = by_value.find(hash, is).copied() {
            held[at(&number)].iter_mut().for_each(|(_, holders)| *holders += 1);
            return number;
        }
        let number = free.pop().unwrap_or_else(|| {
            held.push(None);
            // Each is held by a row or an entry, and there are fewer than 2^32 of those.
            NonZeroU32::new(held.len() as u32).unwrap_or(NonZeroU32::MAX)
        });
        held[at(&number)] = Some((value.clone(), 1));
        let rehash = |number: &Number| held[at(number)].as_ref().map_or(0, |(own, _)| self.hasher.hash_one(own));
        by_value.insert_unique(hash, number, rehash);
        number
    }

    /// Holds a number once more that is held already.
    pub(super) fn hold_again(&self, number: Number) {
        if let Some(Some((_, holders))) = self.inner.write().slot_mut(number) {
            *holders += 1;
        }
    }

    /// The value's number, held permanently; none if there are `limit` already.
    pub(super) fn keep(&self, value: &T, limit: u32) -> Option<Number> {
        if let Some(number) = self.find(value) {
            return Some(number);
        }
        // Checked again: several threads put a snapshot together.
        let mut inner = self.inner.write();
        let is = |number: &Number| inner.slot(*number).is_some_and(|(own, _)| own == value);
        let known = inner.by_value.find(self.hasher.hash_one(value), is).copied();
        let room = inner.held.len() < limit as usize;
        known.or_else(|| room.then(|| self.hold_in(&mut inner, value)))
    }

    /// Releases a number once; the last release removes the value.
    pub(super) fn release(&self, number: Number) {
        let mut inner = self.inner.write();
        let Some(slot) = inner.slot_mut(number) else { return };
        let Some((value, holders)) = slot else { return };
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&*value);
        *slot = None;
        if let Ok(entry) = inner.by_value.find_entry(hash, |own| *own == number) {
            entry.remove();
        }
        inner.free.push(number);
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
    fn no_more_are_kept_for_good_than_the_limit() {
        let numbers = Numbers::default();
        let one = numbers.keep(&1, 1);
        assert_eq!((numbers.keep(&1, 1), numbers.keep(&2, 1)), (one, None));
    }
}
