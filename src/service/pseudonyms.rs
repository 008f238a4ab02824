//! Pseudonyms: the names of subjects in a ledger that must not have their own names on record.
//!
//! Every input names a [`GivenSubject`], and every use case takes a [`Subject`], so nothing gets past
//! [`Service::named`].

use std::path::Path;

use super::{Service, StartError};
use crate::domain::{Caller, Event, GivenSubject, Idempotency, Position, Subject, Tenant};
use crate::event_log::Reader;
use crate::keys::PseudonymKey;

/// The key that makes them; none if subjects go by their own names.
pub(super) struct Pseudonyms(Option<PseudonymKey>);

impl Pseudonyms {
    /// Settled with the first record, permanently: `fixed` is the check in that record, if there is one. A ledger that
    /// changed over would not find the credentials that it issued under the other names.
    pub(super) fn open(keys: &Path, wanted: bool, fixed: Option<Option<[u8; 32]>>) -> Result<Self, StartError> {
        match (wanted, fixed) {
            (false, None | Some(None)) => Ok(Self(None)),
            (true, None) => Ok(Self(Some(PseudonymKey::load_or_create(keys)?))),
            (true, Some(None)) => Err(StartError::PseudonymsTooLate),
            (false, Some(Some(_))) => Err(StartError::PseudonymsNeeded),
            (true, Some(Some(check))) => match PseudonymKey::load(keys)? {
                Some(key) if *key.check() == check => Ok(Self(Some(key))),
                key => Err(StartError::PseudonymKey { path: keys.join("pseudonym.key"), gone: key.is_none() }),
            },
        }
    }

    /// The check of the key in the first record of an origin.
    pub(super) fn check(&self) -> Option<[u8; 32]> {
        self.0.as_ref().map(|key| *key.check())
    }

    fn of(&self, tenant: &Tenant, subject: &GivenSubject) -> Subject {
        let given = subject.as_given();
        self.0.as_ref().map_or_else(|| given.clone(), |key| key.pseudonym(tenant, given))
    }
}

/// The subject of a name that is on record already: this ledger's own tokens and its answers have those names alone.
pub fn on_record(name: &GivenSubject) -> Subject {
    name.as_given().clone()
}

/// Whether a start with that setting would be refused because of it. Creates nothing.
pub fn check_pseudonyms(data: &Path, wanted: bool, reader: &Reader) -> Result<(), StartError> {
    let first = reader.find(Position(1))?.map(|stored| stored.decode()).transpose()?;
    match first.map(|recorded| recorded.event) {
        Some(Event::LedgerOpened(opened)) => {
            Pseudonyms::open(&data.join("keys"), wanted, Some(opened.pseudonyms)).map(drop)
        }
        _ => Ok(()),
    }
}

impl Service {
    /// The subject of that name, as the ledger knows it.
    pub fn named(&self, tenant: &Tenant, subject: &GivenSubject) -> Subject {
        self.fixed.pseudonyms.of(tenant, subject)
    }

    /// How a repetition of a command is recognised: by digests. If subjects are pseudonyms, nobody may find out by
    /// trial which subject the path or the body named.
    pub fn idempotency(&self, caller: &Caller, method: &str, path: &str, key: &[u8], body: &[u8]) -> Idempotency {
        let blind = |text: &[u8]| self.fixed.pseudonyms.0.as_ref().map(|key| key.blind(text));
        let path = blind(path.as_bytes()).map_or_else(|| path.to_owned(), |blind| crate::domain::hex::encode(&blind));
        let blinded = blind(body);
        super::idempotency::digests(caller, method, &path, key, blinded.as_ref().map_or(body, |blind| &blind[..]))
    }
}
