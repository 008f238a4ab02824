//! The facets of an event, whatever its type.
//!
//! Feed, index, audit and tools ask here, and so does what members tell one another of the types that they read. A new type of event
//! gets its row and its arms here, in `evolve` and in the record's encoding; none of those need to know of it. State that is new needs more:
//! CONTRIBUTING.md lists it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{
    CohortRevoked, CredentialRevoked, Event, NodeJoined, Renewals, Sealed, SessionIssued, SubjectRevoked, TicketIssued,
    TokenIssued,
};
use crate::domain::credential::{CredentialId, CredentialKey, CredentialRef, Digest, Kind, Kinds, Parent};
use crate::domain::ids::{KeyId, Reason, Subject};
use crate::domain::subject::Generation;
use crate::domain::time::Timestamp;

/// A type of event, as records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType {
    /// Its name.
    pub name: &'static str,
    /// The latest version of its data that this release writes. It reads that one and those before.
    pub version: u64,
    /// Whether it may revoke something. Then the feed decodes its records.
    pub revokes: bool,
}

macro_rules! event_types {
    ($($(#[$when:meta])? $constant:ident = $name:literal, $version:literal, $revokes:literal;)*) => {
        impl EventType {
            $($(#[$when])? const $constant: Self = Self { name: $name, version: $version, revokes: $revokes };)*

            /// Every type that this release reads, by name.
            pub const ALL: &[Self] = &[$($(#[$when])? Self::$constant),*];
        }
    };
}

event_types! {
    APPLICATION_REGISTERED = "application.registered", 2, false;
    APPLICATION_REMOVED = "application.removed", 1, false;
    COHORT_REVOKED = "cohort.revoked", 1, true;
    #[cfg(test)]
    EXAMPLE = "example.revoked", 1, true;
    KEY_PUBLISHED = "key.published", 1, false;
    KEY_RETIRED = "key.retired", 1, false;
    LEDGER_OPENED = "ledger.opened", 1, false;
    NODE_JOINED = "node.joined", 1, false;
    NODE_REMOVED = "node.removed", 1, false;
    NODE_UPGRADED = "node.upgraded", 1, false;
    SESSION_EXTENDED = "session.extended", 1, false;
    SESSION_ISSUED = "session.issued", 2, false;
    SESSION_REVOKED = "session.revoked", 1, true;
    STATUS_LIST_OPENED = "status_list.opened", 1, false;
    STATUS_LIST_PUBLISHED = "status_list.published", 1, false;
    SUBJECT_ERASED = "subject.erased", 1, true;
    SUBJECT_REVOKED = "subject.revoked", 2, true;
    TICKET_ISSUED = "ticket.issued", 2, false;
    TICKET_REVOKED = "ticket.revoked", 1, true;
    TICKETS_RENEWED = "tickets.renewed", 1, false;
    TOKEN_ISSUED = "token.issued", 2, false;
    TOKEN_REVOKED = "token.revoked", 1, true;
}

impl EventType {
    /// The type of that name, if this release knows it.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|one| one.name == name)
    }
}

/// The facets of an event.
#[derive(Clone, Debug, Default)]
pub struct Facets<'a> {
    /// The credential that it issues.
    pub issues: Option<Issues<'a>>,
    /// The credential that it extends.
    pub extends: Option<Extends<'a>>,
    /// The tickets whose uses it puts on record.
    pub uses: &'a [Renewals],
    /// Its revocation.
    pub revokes: Option<Revokes<'a>>,
    /// The node that it makes a member.
    pub joins: Option<&'a NodeJoined>,
    /// Its sealed part.
    pub sealed: Option<&'a Sealed>,
}

/// A credential that an event issues.
#[derive(Clone, Debug)]
pub struct Issues<'a> {
    /// Its kind.
    pub kind: Kind,
    /// The key that it is kept under.
    pub name: Cow<'a, CredentialRef>,
    /// For a session: the digest of its token.
    pub digest: Option<&'a Digest>,
    /// Its subject.
    pub subject: &'a Subject,
    /// The generation of its subject, its cohorts and its ancestors', as its issuer knew it.
    pub generation: &'a Generation,
    /// The credential that it came from.
    pub parent: Option<Parent>,
    /// For a JWT of this ledger: the key that signs it.
    pub key: Option<&'a KeyId>,
    /// When it expires unless it is extended.
    pub expires_at: Timestamp,
    /// When it was issued, if that is not when it was recorded.
    imported_at: Option<Timestamp>,
}

/// A credential that an event extends.
#[derive(Clone, Debug)]
pub struct Extends<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its public id.
    pub id: CredentialId,
    /// Its subject.
    pub subject: &'a Subject,
    /// When it expires from now on.
    pub expires_at: Timestamp,
}

/// The revocation in an event.
#[derive(Clone, Copy, Debug)]
pub enum Revokes<'a> {
    /// One credential.
    Credential(&'a CredentialRevoked),
    /// Everything that a subject has of some kinds.
    Subject(RevokesSubject<'a>),
    /// Everything of some kinds in a cohort.
    Cohort(&'a CohortRevoked),
}

/// An event that revokes everything that a subject has of some kinds.
#[derive(Clone, Copy, Debug)]
pub struct RevokesSubject<'a> {
    /// The subject.
    pub subject: &'a Subject,
    /// The kinds.
    pub kinds: Kinds,
    /// Only what was issued before that.
    pub issued_before: Option<Timestamp>,
    /// Whole seconds since 1970: foreign tokens that were issued then or earlier are revoked.
    pub not_before: u64,
    /// Until when nothing new of these kinds is issued: a hold.
    pub hold_until: Option<Timestamp>,
    /// Until when the revocation is kept.
    pub retain_until: Timestamp,
    /// The reason: a code.
    pub reason: Option<&'a Reason>,
    /// If the subject was erased: the slots of its keys, which were destroyed.
    pub erased: Option<&'a BTreeSet<u64>>,
}

impl<'a> Issues<'a> {
    /// The key that it is kept under.
    pub fn key(&self) -> CredentialKey {
        CredentialKey { kind: self.kind, id: self.name.id() }
    }

    /// When it was issued. A JWT says so in whole seconds.
    pub fn issued_at(&self, recorded_at: Timestamp) -> Timestamp {
        let issued_at = self.imported_at.unwrap_or(recorded_at);
        if self.name.issuer().is_some() { issued_at.floor_to_seconds() } else { issued_at }
    }

    fn ticket(issued: &'a TicketIssued) -> Self {
        Self {
            kind: Kind::Ticket,
            name: Cow::Owned(CredentialRef::Digest(issued.digest)),
            digest: None,
            subject: &issued.subject,
            generation: &issued.generation,
            parent: issued.parent,
            key: None,
            expires_at: issued.expires_at,
            imported_at: issued.issued_at,
        }
    }

    fn session(issued: &'a SessionIssued) -> Self {
        Self {
            kind: Kind::Session,
            name: Cow::Owned(CredentialRef::Id(issued.id)),
            digest: issued.digest.as_ref(),
            subject: &issued.subject,
            generation: &issued.generation,
            parent: issued.parent,
            key: None,
            expires_at: issued.expires_at,
            imported_at: issued.issued_at,
        }
    }

    fn token(issued: &'a TokenIssued) -> Self {
        Self {
            kind: Kind::Token,
            name: Cow::Borrowed(&issued.name),
            digest: None,
            subject: &issued.subject,
            generation: &issued.generation,
            parent: issued.parent,
            key: issued.key.as_ref(),
            expires_at: issued.expires_at,
            imported_at: issued.issued_at,
        }
    }
}

impl<'a> RevokesSubject<'a> {
    fn of(revoked: &'a SubjectRevoked) -> Self {
        Self {
            subject: &revoked.subject,
            kinds: revoked.kinds,
            issued_before: revoked.issued_before,
            not_before: revoked.not_before,
            hold_until: revoked.hold_until,
            retain_until: revoked.retain_until,
            reason: revoked.reason.as_ref(),
            erased: None,
        }
    }
}

impl<'a> Revokes<'a> {
    /// The kinds of credentials that are revoked.
    pub fn kinds(&self) -> Kinds {
        match self {
            Self::Credential(revoked) => Kinds::from_iter([revoked.kind]),
            Self::Subject(all) => all.kinds,
            Self::Cohort(all) => all.kinds,
        }
    }

    /// The reason: a code.
    pub fn reason(&self) -> Option<&'a Reason> {
        match self {
            Self::Credential(revoked) => revoked.reason.as_ref(),
            Self::Subject(all) => all.reason,
            Self::Cohort(all) => all.reason.as_ref(),
        }
    }
}

impl<'a> Facets<'a> {
    /// Its subject, if that is known.
    pub fn subject(&self) -> Option<&'a Subject> {
        let revoked = match self.revokes {
            Some(Revokes::Credential(revoked)) => revoked.subject.as_ref(),
            Some(Revokes::Subject(all)) => Some(all.subject),
            Some(Revokes::Cohort(_)) | None => None,
        };
        let issued = self.issues.as_ref().map(|issues| issues.subject);
        issued.or(self.extends.as_ref().map(|extends| extends.subject)).or(revoked)
    }

    /// The credentials that it names, by id and by the id of their digest.
    pub fn credentials(&self) -> impl Iterator<Item = CredentialId> {
        let issued = self.issues.iter().flat_map(|issues| [Some(issues.name.id()), issues.digest.map(Digest::id)]);
        let extended = self.extends.iter().map(|extends| Some(extends.id));
        let revoked = match self.revokes {
            Some(Revokes::Credential(revoked)) => {
                [Some(revoked.credential.id()), revoked.session_digest.as_ref().map(Digest::id)]
            }
            Some(Revokes::Subject(_) | Revokes::Cohort(_)) | None => [None, None],
        };
        issued.chain(extended).chain(revoked).flatten()
    }
}

impl Event {
    /// The event's type.
    pub const fn event_type(&self) -> &'static EventType {
        match self {
            Self::LedgerOpened(_) => &EventType::LEDGER_OPENED,
            Self::ApplicationRegistered(_) => &EventType::APPLICATION_REGISTERED,
            Self::ApplicationRemoved(_) => &EventType::APPLICATION_REMOVED,
            Self::TicketIssued(_) => &EventType::TICKET_ISSUED,
            Self::TicketsRenewed(_) => &EventType::TICKETS_RENEWED,
            Self::SessionIssued(_) => &EventType::SESSION_ISSUED,
            Self::SessionExtended(_) => &EventType::SESSION_EXTENDED,
            Self::TokenIssued(_) => &EventType::TOKEN_ISSUED,
            Self::Revoked(CredentialRevoked { kind: Kind::Ticket, .. }) => &EventType::TICKET_REVOKED,
            Self::Revoked(CredentialRevoked { kind: Kind::Session, .. }) => &EventType::SESSION_REVOKED,
            Self::Revoked(CredentialRevoked { kind: Kind::Token, .. }) => &EventType::TOKEN_REVOKED,
            Self::SubjectRevoked(_) => &EventType::SUBJECT_REVOKED,
            Self::CohortRevoked(_) => &EventType::COHORT_REVOKED,
            Self::SubjectErased(_) => &EventType::SUBJECT_ERASED,
            Self::KeyPublished(_) => &EventType::KEY_PUBLISHED,
            Self::KeyRetired(_) => &EventType::KEY_RETIRED,
            Self::StatusListOpened(_) => &EventType::STATUS_LIST_OPENED,
            Self::StatusListPublished(_) => &EventType::STATUS_LIST_PUBLISHED,
            Self::NodeJoined(_) => &EventType::NODE_JOINED,
            Self::NodeUpgraded(_) => &EventType::NODE_UPGRADED,
            Self::NodeRemoved(_) => &EventType::NODE_REMOVED,
            #[cfg(test)]
            Self::Example(_) => &EventType::EXAMPLE,
        }
    }

    /// The facets of the event.
    pub fn facets(&self) -> Facets<'_> {
        let none = Facets::default();
        match self {
            Self::TicketIssued(issued) => Facets { issues: Some(Issues::ticket(issued)), ..none },
            Self::TicketsRenewed(uses) => Facets { uses, ..none },
            Self::SessionIssued(issued) => {
                Facets { issues: Some(Issues::session(issued)), sealed: issued.sealed.as_ref(), ..none }
            }
            Self::SessionExtended(extended) => {
                let (kind, expires_at) = (Kind::Session, extended.expires_at);
                Facets {
                    extends: Some(Extends { kind, id: extended.id, subject: &extended.subject, expires_at }),
                    ..none
                }
            }
            Self::TokenIssued(issued) => {
                Facets { issues: Some(Issues::token(issued)), sealed: issued.sealed.as_ref(), ..none }
            }
            Self::Revoked(revoked) => {
                Facets { revokes: Some(Revokes::Credential(revoked)), sealed: revoked.note.as_ref(), ..none }
            }
            Self::SubjectRevoked(revoked) => Facets {
                revokes: Some(Revokes::Subject(RevokesSubject::of(revoked))),
                sealed: revoked.note.as_ref(),
                ..none
            },
            Self::CohortRevoked(revoked) => {
                Facets { revokes: Some(Revokes::Cohort(revoked)), sealed: revoked.note.as_ref(), ..none }
            }
            #[cfg(test)]
            Self::Example(revoked) => Facets { revokes: Some(Revokes::Subject(RevokesSubject::of(revoked))), ..none },
            Self::SubjectErased(erased) => {
                let all = RevokesSubject {
                    subject: &erased.subject,
                    kinds: Kinds::ALL,
                    issued_before: None,
                    not_before: erased.not_before,
                    hold_until: None,
                    // An erased subject stays so.
                    retain_until: Timestamp::MAX,
                    reason: erased.reason.as_ref(),
                    erased: Some(&erased.slots),
                };
                Facets { revokes: Some(Revokes::Subject(all)), ..none }
            }
            Self::NodeJoined(joined) => Facets { joins: Some(joined), ..none },
            Self::LedgerOpened(_)
            | Self::ApplicationRegistered(_)
            | Self::ApplicationRemoved(_)
            | Self::KeyPublished(_)
            | Self::KeyRetired(_)
            | Self::StatusListOpened(_)
            | Self::StatusListPublished(_)
            | Self::NodeUpgraded(_)
            | Self::NodeRemoved(_) => none,
        }
    }
}
