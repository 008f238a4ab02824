//! The facts that the log holds.

mod facets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::actor::Actor;
use super::application::{GrantType, Registration};
use super::authentication::{Aal, Method};
use super::cohort::Cohort;
use super::confirmation::Confirmation;
use super::credential::{CredentialId, CredentialKey, CredentialRef, Digest, Kind, Kinds, Parent};
use super::ids::{
    ApplicationId, Issuer, KeyId, LedgerId, NodeName, Origin, Reason, RecordId, Region, RequestId, Sequence, Subject,
    Tenant,
};
use super::node::{NodeKey, PeerAddress, Reads};
use super::status_list::{StatusIndex, StatusListOpened, StatusListPublished};
use super::subject::Generation;
use super::time::{Timestamp, Ttl};

pub use facets::{EventType, Extends, Facets, Issues, Revokes, RevokesSubject};

/// The format of the log that this version writes, named by every `ledger.opened`.
pub const LOG_FORMAT: u64 = 1;

/// A fact, without the envelope that it is recorded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first record of every origin.
    LedgerOpened(LedgerOpened),
    /// An application may call from now on.
    ApplicationRegistered(Arc<Registration>),
    /// An application may not call any more.
    ApplicationRemoved(ApplicationId),
    /// A ticket was issued.
    TicketIssued(TicketIssued),
    /// Tickets were used since they were last on record.
    TicketsRenewed(Vec<Renewals>),
    /// A session was issued.
    SessionIssued(Box<SessionIssued>),
    /// A session lasts longer.
    SessionExtended(SessionExtended),
    /// A token was issued.
    TokenIssued(Box<TokenIssued>),
    /// A ticket, session or token was revoked.
    Revoked(CredentialRevoked),
    /// Everything that a subject had of some kinds was revoked.
    SubjectRevoked(SubjectRevoked),
    /// Everything of some kinds in a cohort was revoked.
    CohortRevoked(Box<CohortRevoked>),
    /// A subject was erased: everything that it had was revoked permanently, and the keys of its personal data were
    /// destroyed.
    SubjectErased(SubjectErased),
    /// A key signs the ledger's tokens from now on.
    KeyPublished(KeyPublished),
    /// A key no longer signs.
    KeyRetired(KeyId),
    /// A status list takes indexes from now on.
    StatusListOpened(StatusListOpened),
    /// A status list was published.
    StatusListPublished(Box<StatusListPublished>),
    /// A node belongs to this ledger: an administrator said so.
    NodeJoined(Box<NodeJoined>),
    /// A node has caught up, or reads other events than before: it says so itself.
    NodeUpgraded(NodeUpgraded),
    /// A node no longer belongs to this ledger.
    NodeRemoved(NodeRemoved),
    /// A type that only tests have: it shows all that a new one has to touch if it adds nothing to the state.
    #[cfg(test)]
    Example(SubjectRevoked),
}

impl Event {
    /// The event's name in records.
    pub const fn type_name(&self) -> &'static str {
        self.event_type().name
    }

    /// The version of this event's data that is written: the earliest that has all of its members.
    pub fn version(&self) -> u64 {
        match self {
            Self::SubjectRevoked(SubjectRevoked { issued_before: None, .. }) => 1,
            Self::TicketIssued(TicketIssued { parent: None, .. }) => 1,
            Self::SessionIssued(issued) if issued.parent.is_none() => 1,
            Self::TokenIssued(issued) if issued.is_plain() => 1,
            Self::ApplicationRegistered(registration)
                if registration.oauth.is_none() && registration.digest.is_some() =>
            {
                1
            }
            _ => self.event_type().version,
        }
    }

    /// The sealed part, and its subject, if that is known.
    pub fn sealed(&self) -> Option<(Option<&Subject>, &Sealed)> {
        let facets = self.facets();
        Some((facets.subject(), facets.sealed?))
    }
}

/// The opening of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOpened {
    /// The ledger that the origin belongs to.
    pub ledger: LedgerId,
    /// The node whose log it is.
    pub node: NodeName,
    /// The region of that node.
    pub region: Region,
    /// [`LOG_FORMAT`] of the release that wrote it.
    pub format: u64,
    /// The Ed25519 key that the origin signs with.
    pub public_key: [u8; 32],
    /// The origin that this one continues.
    pub previous: Option<Previous>,
    /// If subjects are pseudonyms in this ledger: the check of the key that makes them.
    pub pseudonyms: Option<[u8; 32]>,
}

/// The end of the origin that a new one continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its last record.
    pub place: RecordId,
    /// The chain up to there.
    pub hash: [u8; 32],
}

/// A ticket's issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketIssued {
    /// The digest of the secret.
    pub digest: Digest,
    pub subject: Subject,
    /// When it was issued, if that is not when it was recorded: an imported ticket.
    pub issued_at: Option<Timestamp>,
    /// After how long without use it expires.
    pub ttl: Ttl,
    /// When it expires unless it is used.
    pub expires_at: Timestamp,
    /// The latest instant to which any renewal can prolong it.
    pub not_after: Timestamp,
    /// The generation of its subject, its cohorts and its ancestors', as its issuer knew it.
    pub generation: Generation,
    /// The credential that it came from.
    pub parent: Option<Parent>,
}

/// The uses of tickets that one origin issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewals {
    /// The origin of the tickets' issues.
    pub origin: Origin,
    /// The sequence of each issue, and the ticket's last use.
    pub uses: Vec<(Sequence, Timestamp)>,
}

/// Personal data, encrypted under a key of its subject that is kept outside the log. The hash covers the sealed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The key's slot in the store of the record's origin.
    pub slot: u64,
    /// Nonce, ciphertext and tag in base64url without padding: RFC 4648, section 5.
    pub sealed: Box<str>,
}

/// A session's issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionIssued {
    /// Its public id.
    pub id: CredentialId,
    /// The digest of its session token; absent for an imported session that can be named but not presented.
    pub digest: Option<Digest>,
    pub subject: Subject,
    /// When it was issued, if that is not when it was recorded: an imported session.
    pub issued_at: Option<Timestamp>,
    /// When its subject was authenticated, if that is not when it was issued.
    pub authenticated_at: Option<Timestamp>,
    /// The assurance level.
    pub aal: Aal,
    /// The methods of authentication.
    pub methods: Vec<Method>,
    /// When it expires unless it is extended.
    pub expires_at: Timestamp,
    /// The latest instant to which any extension can prolong it.
    pub not_after: Timestamp,
    /// The generation of its subject, its cohorts and its ancestors', as its issuer knew it.
    pub generation: Generation,
    /// The credential that it came from.
    pub parent: Option<Parent>,
    /// The identity and device that it was issued for.
    pub sealed: Option<Sealed>,
}

/// A session's extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionExtended {
    /// The session.
    pub id: CredentialId,
    pub subject: Subject,
    /// When it expires now.
    pub expires_at: Timestamp,
}

/// A token's issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIssued {
    /// The digest of an opaque token, or issuer and `jti` of a JWT.
    pub name: CredentialRef,
    /// The key that signs the JWT.
    pub key: Option<KeyId>,
    pub subject: Subject,
    /// When it was issued, if that is not when it was recorded: an imported token.
    pub issued_at: Option<Timestamp>,
    /// The credential that it came from.
    pub parent: Option<Parent>,
    /// The audience: RFC 7519, section 4.1.3.
    pub audience: Vec<Box<str>>,
    /// The scope, separated by spaces: RFC 8693, section 4.2.
    pub scope: Option<Box<str>>,
    /// What it is bound to, if it is.
    pub confirmation: Option<Confirmation>,
    /// Its entry in a status list, if it has one.
    pub status: Option<StatusIndex>,
    /// The OAuth grant that it was issued by, to an application itself.
    pub grant: Option<GrantType>,
    /// When it expires. It cannot be extended.
    pub expires_at: Timestamp,
    /// The generation of its subject, its cohorts and its ancestors', as its issuer knew it.
    pub generation: Generation,
    /// The claims that its issuer added.
    pub sealed: Option<Sealed>,
}

impl TokenIssued {
    /// The key that it is kept under.
    pub fn key(&self) -> CredentialKey {
        CredentialKey { kind: Kind::Token, id: self.name.id() }
    }

    /// Whether the first version of its data has all of it.
    fn is_plain(&self) -> bool {
        let Self { confirmation, status, grant, .. } = self;
        confirmation.is_none() && status.is_none() && grant.is_none() && self.other_parent().is_none()
    }

    /// Its parent, unless that is a session of its own subject: then it is recorded as such.
    pub fn other_parent(&self) -> Option<Parent> {
        self.parent.filter(|parent| parent.as_own_session().is_none())
    }
}

/// A credential's revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRevoked {
    pub kind: Kind,
    pub credential: CredentialRef,
    /// Of a session that is named by its id: the digest of its token, for readers that are presented only that.
    pub session_digest: Option<Digest>,
    /// Its subject; of an unknown credential, the subject that it must have to be revoked.
    pub subject: Option<Subject>,
    /// Whether this node knew it.
    pub known: bool,
    /// Until when the revocation is kept.
    pub retain_until: Timestamp,
    /// The reason: a code.
    pub reason: Option<Reason>,
    /// A note in free text.
    pub note: Option<Sealed>,
}

impl CredentialRevoked {
    /// The key that the revocation is kept under.
    pub fn key(&self) -> CredentialKey {
        CredentialKey { kind: self.kind, id: self.credential.id() }
    }
}

/// A key that signs the ledger's JWTs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPublished {
    /// Its name.
    pub id: KeyId,
    /// The issuer whose tokens it signs: the ledger's, the same on every node.
    pub issuer: Issuer,
    /// The public key as a JWK: RFC 7517, section 4, a JSON object.
    pub jwk: Box<str>,
}

/// The revocation of everything that a subject had, or of all that is older than an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRevoked {
    pub subject: Subject,
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
    pub reason: Option<Reason>,
    /// A note in free text.
    pub note: Option<Sealed>,
}

/// The revocation of everything of some kinds in a cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortRevoked {
    pub cohort: Cohort,
    /// The tenants that it can reach; none stands for all of them.
    pub tenants: Option<BTreeSet<Tenant>>,
    pub kinds: Kinds,
    /// Whole seconds since 1970, as in [`SubjectRevoked`].
    pub not_before: u64,
    /// Until when nothing new of these kinds is issued: a hold.
    pub hold_until: Option<Timestamp>,
    /// Until when the revocation is kept.
    pub retain_until: Timestamp,
    /// Whether the cohort is of a key that neither signs nor verifies any more: then no generation reaches this.
    pub withdrawn: bool,
    /// The reason: a code.
    pub reason: Option<Reason>,
    /// A note in free text.
    pub note: Option<Sealed>,
}

/// A subject's erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectErased {
    pub subject: Subject,
    /// Whole seconds since 1970, as in [`SubjectRevoked`].
    pub not_before: u64,
    /// The slots of its keys in the store of the record's origin: what they sealed can't be opened any more.
    pub slots: BTreeSet<u64>,
    /// The reason: a code.
    pub reason: Option<Reason>,
}

/// A node that belongs to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeJoined {
    /// The key that it signs with.
    pub key: NodeKey,
    pub node: NodeName,
    pub region: Region,
    /// The address at which other nodes reach it over HTTP, if they can.
    pub address: Option<PeerAddress>,
    /// The events that it reads.
    pub reads: Reads,
}

/// The events that a node reads from now on. The first such record says that it has caught up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUpgraded {
    pub key: NodeKey,
    /// The events that it reads.
    pub reads: Reads,
}

/// A node's removal: its revocations count whenever they arrive; the credentials that it issued after its seal are
/// inactive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRemoved {
    pub key: NodeKey,
    /// The last record of each of its origins that counts in full. Of an origin that is not named, no record does.
    pub seals: BTreeMap<Origin, Sequence>,
}

/// Digests by which the repetition of a command is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// The digest of the caller's idempotency key, in its scope of application, method and path.
    pub key: [u8; 16],
    /// The digest of the body that came with it.
    pub body: [u8; 16],
}

/// On the first record of a command that came with an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyMark {
    pub digests: Idempotency,
    /// How many records the command appended, this one included.
    pub records: u64,
}

/// A fact with its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The place of the record.
    pub place: RecordId,
    /// The origin's clock; it never goes back within an origin.
    pub recorded_at: Timestamp,
    /// The name space that the fact belongs to, if it belongs to one.
    pub tenant: Option<Tenant>,
    /// The cause, if there was a request.
    pub actor: Option<Actor>,
    /// The caller's own request id.
    pub request: Option<RequestId>,
    /// How a repetition of the command is recognised.
    pub idempotency: Option<IdempotencyMark>,
    /// The fact.
    pub event: Event,
}

impl Recorded {
    /// The application that caused it, if one did.
    pub const fn application(&self) -> Option<ApplicationId> {
        match &self.actor {
            Some(Actor::Application(id)) => Some(*id),
            Some(Actor::Subject(_) | Actor::Bearer { .. } | Actor::Root(_)) | None => None,
        }
    }
}

/// A fact that was decided and has no place in the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The name space that the fact belongs to, if it belongs to one.
    pub tenant: Option<Tenant>,
    /// The fact.
    pub event: Event,
}
