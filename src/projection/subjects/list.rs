//! The credentials of a subject. Most have one, and then it takes no memory of its own.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::super::handle::Handle;
use super::super::slab::Slab;
use super::Locate;
use super::timeline::{Place, Timeline};
use crate::domain::{CredentialId, CredentialKey, Kind, Kinds};

/// The credentials of a subject.
#[derive(Clone, Copy)]
pub(super) enum Credentials {
    None,
    One(Handle),
    /// A list of its own, at that place.
    Several(u32),
}

impl Credentials {
    pub(super) const fn is_empty(self) -> bool {
        matches!(self, Self::None)
    }
}

enum List {
    /// In no order: a few are sorted when they are asked for.
    Few(Vec<Handle>),
    /// In the orders of listing, so that a page of very many costs no more than one of few.
    Many(Box<Many>),
}

#[derive(Default)]
struct Many {
    keys: BTreeSet<CredentialKey>,
    sessions: Timeline,
}

impl Default for List {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

/// The longest list that is sorted for each question.
const FEW: usize = 32;
/// How a short list grows.
const FEW_MORE: usize = 4;

/// The lists of subjects with several credentials.
#[derive(Default)]
pub(super) struct Lists(Slab<List>);

impl Lists {
    /// The credentials with that one.
    pub(super) fn insert(&mut self, mine: Credentials, credential: Handle, locate: &impl Locate) -> Credentials {
        match mine {
            Credentials::None => Credentials::One(credential),
            Credentials::One(one) if one == credential => mine,
            Credentials::One(one) => Credentials::Several(self.0.put(List::Few(vec![one, credential]))),
            Credentials::Several(at) => {
                if let Some(list) = self.0.get_mut(at) {
                    list.insert(credential, locate);
                }
                mine
            }
        }
    }

    /// The credentials without that one.
    pub(super) fn remove(&mut self, mine: Credentials, credential: Handle, key: CredentialKey) -> Credentials {
        match mine {
            Credentials::One(one) if one == credential => Credentials::None,
            Credentials::None | Credentials::One(_) => mine,
            Credentials::Several(at) => {
                let Some(list) = self.0.get_mut(at) else { return Credentials::None };
                let rest = list.remove(credential, key);
                rest.map_or(mine, |rest| {
                    self.0.vacate(at);
                    rest
                })
            }
        }
    }

    pub(super) fn has_session(&self, mine: Credentials) -> bool {
        match mine {
            Credentials::None => false,
            Credentials::One(one) => one.kind() == Kind::Session,
            Credentials::Several(at) => match self.0.get(at) {
                Some(List::Few(few)) => few.iter().any(|handle| handle.kind() == Kind::Session),
                Some(List::Many(many)) => of_kind(&many.keys, Kind::Session, None).next().is_some(),
                None => false,
            },
        }
    }

    /// The credentials of these kinds beyond that one, by kind and in the order of their ids.
    pub(super) fn after(
        &self,
        mine: Credentials,
        kinds: Kinds,
        after: Option<CredentialKey>,
        limit: usize,
        locate: &impl Locate,
    ) -> Vec<CredentialKey> {
        let few = match self.few(&mine) {
            Ok(few) => few,
            // Kind by kind, so that a hundred thousand of one do not have to be passed to get to another.
            Err(many) => {
                return kinds.iter().flat_map(|kind| of_kind(&many.keys, kind, after)).take(limit).copied().collect();
            }
        };
        let wanted = few.iter().filter(|handle| kinds.contains(handle.kind()));
        let wanted = wanted.filter_map(|handle| locate.key(*handle));
        let mut keys: Vec<CredentialKey> = wanted.filter(|key| after.is_none_or(|after| *key > after)).collect();
        keys.sort_unstable();
        keys.truncate(limit);
        keys
    }

    /// The sessions that were issued before that one, the newest first, without the first so many; and the number of all.
    pub(super) fn sessions(
        &self,
        mine: Credentials,
        before: Option<Place>,
        skip: usize,
        limit: usize,
        locate: &impl Locate,
    ) -> (Vec<Place>, usize) {
        let few = match self.few(&mine) {
            Ok(few) => few,
            Err(many) => return (many.sessions.before(before, skip, limit), many.sessions.len()),
        };
        let sessions = few.iter().filter(|handle| handle.kind() == Kind::Session);
        let mut places: Vec<Place> = sessions.filter_map(|handle| locate.place(*handle)).collect();
        let number = places.len();
        places.retain(|place| before.is_none_or(|before| *place < before));
        places.sort_unstable_by(|one, other| other.cmp(one));
        (places.into_iter().skip(skip).take(limit).collect(), number)
    }

    /// Takes the session out of the order of issues, if one is kept.
    pub(super) fn forget_session(&mut self, mine: Credentials, place: Place) {
        if let Credentials::Several(at) = mine
            && let Some(List::Many(many)) = self.0.get_mut(at)
        {
            many.sessions.remove(place);
        }
    }

    fn few<'a>(&'a self, mine: &'a Credentials) -> Result<&'a [Handle], &'a Many> {
        match mine {
            Credentials::None => Ok(&[]),
            Credentials::One(one) => Ok(std::slice::from_ref(one)),
            Credentials::Several(at) => match self.0.get(*at) {
                Some(List::Few(few)) => Ok(few),
                Some(List::Many(many)) => Err(many),
                None => Ok(&[]),
            },
        }
    }
}

impl Many {
    fn insert(&mut self, credential: Handle, locate: &impl Locate) {
        self.keys.extend(locate.key(credential));
        if credential.kind() == Kind::Session {
            locate.place(credential).into_iter().for_each(|place| self.sessions.insert(place));
        }
    }
}

impl List {
    fn insert(&mut self, credential: Handle, locate: &impl Locate) {
        match self {
            Self::Many(many) => many.insert(credential, locate),
            Self::Few(few) if few.contains(&credential) => {}
            Self::Few(few) if few.len() == FEW => {
                let mut many = Box::new(Many::default());
                few.iter().chain([&credential]).for_each(|handle| many.insert(*handle, locate));
                *self = Self::Many(many);
            }
            Self::Few(few) => {
                // Not by half, because there are very many such lists.
                if few.len() == few.capacity() {
                    few.reserve_exact(FEW_MORE);
                }
                few.push(credential);
            }
        }
    }

    /// Removes the credential; returns what is left, if that needs no list.
    fn remove(&mut self, credential: Handle, key: CredentialKey) -> Option<Credentials> {
        match self {
            Self::Few(few) => {
                few.retain(|other| *other != credential);
                match few[..] {
                    [] => Some(Credentials::None),
                    [one] => Some(Credentials::One(one)),
                    _ => None,
                }
            }
            Self::Many(many) => {
                many.keys.remove(&key);
                many.keys.is_empty().then_some(Credentials::None)
            }
        }
    }
}

fn of_kind(
    many: &BTreeSet<CredentialKey>,
    kind: Kind,
    after: Option<CredentialKey>,
) -> impl Iterator<Item = &CredentialKey> {
    let first = CredentialKey { kind, id: CredentialId::from_bytes([0; 16]) };
    let last = CredentialKey { kind, id: CredentialId::from_bytes([255; 16]) };
    let start = after.map_or(Bound::Included(first), |after| {
        if after < first { Bound::Included(first) } else { Bound::Excluded(after.min(last)) }
    });
    // A range must not start beyond its end.
    let some = after.is_none_or(|after| after < last);
    some.then(|| many.range((start, Bound::Included(last)))).into_iter().flatten()
}
