//! The facts that the log holds.

mod facets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::actor::Actor;
use super::application::Registration;
use super::authentication::{Aal, Method};
use super::credential::{CredentialId, CredentialKey, Digest, Kind, Kinds, Named};
use super::ids::{
    ApplicationId, Issuer, KeyId, LedgerId, NodeName, Origin, Place, Reason, Region, RequestId, Sequence, Subject,
    Tenant,
};
use super::membership::{NodeKey, PeerAddress, Reads};
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
    /// A ticket, session or token was ended before its time.
    Revoked(Revoked),
    /// All that a subject had of some kinds was ended.
    SubjectRevoked(SubjectRevoked),
    /// A subject was forgotten: all that it had was ended for good, and the keys of its personal parts were destroyed.
    SubjectErased(SubjectErased),
    /// A key of ours signs tokens from now on.
    KeyPublished(KeyPublished),
    /// A key of ours signs nothing any more.
    KeyRetired(KeyId),
    /// A node belongs to this ledger: an administrator said so.
    NodeJoined(Box<NodeJoined>),
    /// A node has caught up, or reads other events than before: it says so itself.
    NodeUpgraded(NodeUpgraded),
    /// A node belongs to this ledger no more.
    NodeRemoved(NodeRemoved),
    /// A type that only tests have: it shows all that a new one has to touch.
    #[cfg(test)]
    Example(SubjectRevoked),
}

impl Event {
    /// The event's name in records.
    pub const fn type_name(&self) -> &'static str {
        self.event_type().name
    }

    /// The version of this event's data that is written.
    pub const fn version(&self) -> u64 {
        self.event_type().version
    }

    /// What is sealed in it, and whose that is, if that is known.
    pub fn sealed(&self) -> Option<(Option<&Subject>, &Sealed)> {
        let facets = self.facets();
        Some((facets.subject(), facets.sealed?))
    }
}

/// What an origin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOpened {
    /// The ledger that the origin belongs to.
    pub ledger: LedgerId,
    /// The node whose log it is.
    pub node: NodeName,
    /// The region of that node.
    pub region: Region,
    /// [`LOG_FORMAT`] of whoever wrote it.
    pub format: u64,
    /// Ed25519, what the origin signs with.
    pub public_key: [u8; 32],
    /// The origin that this one continues.
    pub previous: Option<Previous>,
    /// Where subjects are pseudonyms in this ledger: the check of the key that makes them.
    pub pseudonyms: Option<[u8; 32]>,
}

/// Where the origin ended that a new one continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its last record.
    pub place: Place,
    /// The chain up to there.
    pub hash: [u8; 32],
}

/// A ticket's issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketIssued {
    /// The digest of the secret.
    pub digest: Digest,
    /// Who it is for.
    pub subject: Subject,
    /// When it was issued, where that is not when it was recorded: an imported ticket.
    pub issued_at: Option<Timestamp>,
    /// How long it lives without use.
    pub ttl: Ttl,
    /// When it expires if nobody uses it.
    pub expires_at: Timestamp,
    /// The latest instant that any renewal may reach.
    pub not_after: Timestamp,
    /// The subject's generation that the issuer knew.
    pub generation: Generation,
}

/// The uses of tickets that one origin issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewals {
    /// The origin of the tickets' issues.
    pub origin: Origin,
    /// The sequence of each issue, and the ticket's last use.
    pub uses: Vec<(Sequence, Timestamp)>,
}

/// What is personal, encrypted under a key of its subject that is kept outside the log. The hash covers the sealed bytes.
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
    /// Who it is for.
    pub subject: Subject,
    /// When it was issued, where that is not when it was recorded: an imported session.
    pub issued_at: Option<Timestamp>,
    /// When its subject was authenticated, where that is not when it was issued.
    pub authenticated_at: Option<Timestamp>,
    /// How surely.
    pub aal: Aal,
    /// By what.
    pub methods: Vec<Method>,
    /// When it expires unless it is extended.
    pub expires_at: Timestamp,
    /// The latest instant that any extension may reach.
    pub not_after: Timestamp,
    /// The subject's generation that the issuer knew.
    pub generation: Generation,
    /// The identity and device that it was issued for.
    pub sealed: Option<Sealed>,
}

/// A session's longer life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionExtended {
    /// Which session.
    pub id: CredentialId,
    /// Whose it is.
    pub subject: Subject,
    /// When it expires now.
    pub expires_at: Timestamp,
}

/// A token's issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIssued {
    /// The digest of an opaque token, or issuer and `jti` of a JWT.
    pub name: Named,
    /// The key that signs the JWT.
    pub key: Option<KeyId>,
    /// Who it is for.
    pub subject: Subject,
    /// When it was issued, where that is not when it was recorded: an imported token.
    pub issued_at: Option<Timestamp>,
    /// The session that it dies with.
    pub session: Option<CredentialId>,
    /// Whom it is meant for: RFC 7519, section 4.1.3.
    pub audience: Vec<Box<str>>,
    /// What it allows, separated by spaces: RFC 8693, section 4.2.
    pub scope: Option<Box<str>>,
    /// When it expires. Nothing extends it.
    pub expires_at: Timestamp,
    /// The subject's generation that the issuer knew.
    pub generation: Generation,
    /// The claims that its issuer added.
    pub sealed: Option<Sealed>,
}

impl TokenIssued {
    /// What it is kept under.
    pub fn key(&self) -> CredentialKey {
        CredentialKey { kind: Kind::Token, id: self.name.id() }
    }
}

/// A credential's end before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub credential: Named,
    /// Of a session that is named by its id: the digest of its token, for those who are presented nothing else.
    pub session_digest: Option<Digest>,
    /// Whose it was; of one that was not known, whose it must be to be ended.
    pub subject: Option<Subject>,
    /// Whether this node knew it.
    pub known: bool,
    /// Until when the ending is kept.
    pub retain_until: Timestamp,
    /// Why: a code.
    pub reason: Option<Reason>,
    /// Why, in somebody's words.
    pub note: Option<Sealed>,
}

impl Revoked {
    /// What the ending is kept under.
    pub fn key(&self) -> CredentialKey {
        CredentialKey { kind: self.kind, id: self.credential.id() }
    }
}

/// A key that signs our JWTs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPublished {
    /// Its name.
    pub id: KeyId,
    /// The issuer whose tokens it signs: the ledger's, the same on every node.
    pub issuer: Issuer,
    /// The public key as a JWK: RFC 7517, section 4, a JSON object.
    pub jwk: Box<str>,
}

/// The end of all that a subject had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRevoked {
    /// Whose credentials ended.
    pub subject: Subject,
    /// Which kinds of them.
    pub kinds: Kinds,
    /// Whole seconds since 1970: foreign tokens issued then or earlier are dead.
    pub not_before: u64,
    /// Until when nothing new of these kinds is issued.
    pub hold_until: Option<Timestamp>,
    /// Until when the ending is kept.
    pub retain_until: Timestamp,
    /// Why: a code.
    pub reason: Option<Reason>,
    /// Why, in somebody's words.
    pub note: Option<Sealed>,
}

/// A subject forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectErased {
    /// Who was forgotten.
    pub subject: Subject,
    /// Whole seconds since 1970, as of a [`SubjectRevoked`].
    pub not_before: u64,
    /// The slots of its keys in the store of the record's origin: what they sealed can't be opened any more.
    pub slots: BTreeSet<u64>,
    /// Why: a code.
    pub reason: Option<Reason>,
}

/// A node that belongs to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeJoined {
    /// What it signs with.
    pub key: NodeKey,
    /// Its name.
    pub node: NodeName,
    /// Where it is.
    pub region: Region,
    /// Where other nodes reach it over HTTP, if they can.
    pub address: Option<PeerAddress>,
    /// The events that it reads.
    pub reads: Reads,
}

/// What a node reads from now on. Its first such word says that it has caught up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUpgraded {
    /// Which node.
    pub key: NodeKey,
    /// The events that it reads.
    pub reads: Reads,
}

/// A node removed: its endings count whenever they arrive; what it issued after its seal is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRemoved {
    /// Which node.
    pub key: NodeKey,
    /// The last record of each of its origins that counts in full. Of an origin that is not named, none does.
    pub seals: BTreeMap<Origin, Sequence>,
}

/// Digests by which a command is recognised when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// Of the caller's key, in its scope of application, method and path.
    pub key: [u8; 16],
    /// Of the body that came with it.
    pub body: [u8; 16],
}

/// On the first record of a command that came with an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyMark {
    /// The digests.
    pub digests: Idempotency,
    /// How many records the command appended, this one included.
    pub records: u64,
}

/// A fact with its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Which record of which origin.
    pub place: Place,
    /// The origin's clock; it never goes back within an origin.
    pub recorded_at: Timestamp,
    /// The name space that the fact belongs to, if it belongs to one.
    pub tenant: Option<Tenant>,
    /// Who caused it, if anybody asked for it.
    pub actor: Option<Actor>,
    /// The caller's own request id.
    pub request: Option<RequestId>,
    /// How the command is recognised when it comes again.
    pub idempotency: Option<IdempotencyMark>,
    /// The fact.
    pub event: Event,
}

/// A fact that was decided and has no place in the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The name space that the fact belongs to, if it belongs to one.
    pub tenant: Option<Tenant>,
    /// The fact.
    pub event: Event,
}
