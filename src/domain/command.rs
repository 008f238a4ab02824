//! What can be asked of the ledger, and what it refuses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::application::Registration;
use super::authentication::{Aal, Method};
use super::credential::{CredentialId, CredentialKey, Digest, Kind, Kinds, Named};
use super::event::{Idempotency, KeyPublished, NodeJoined, NodeUpgraded, Sealed};
use super::ids::{ApplicationId, Issuer, NodeName, Origin, Place, Reason, RequestId, Subject, Tenant, TokenId};
use super::membership::NodeKey;
use super::subject::Generation;
use super::time::{Timestamp, Ttl};

/// Who asks. Grants are looked up when the command is decided, so that a removal holds from its commit on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever holds the node's root secret.
    Root,
    /// A registered application.
    Application(ApplicationId),
    /// A person, by one of its sessions.
    Session {
        /// The session.
        id: CredentialId,
        /// The name space of its subject.
        tenant: Tenant,
        /// Whose it is.
        subject: Subject,
    },
    /// Whoever holds that JWT: that is enough to end it.
    Bearer {
        /// Who made it.
        issuer: Issuer,
        /// What he calls it, or the digest of its payload in hexadecimal digits.
        jti: TokenId,
    },
    /// The node itself, for what nobody asks for.
    Node,
}

/// One use case of the ledger.
#[derive(Clone, Debug)]
pub enum Command {
    /// Register an application.
    RegisterApplication(Arc<Registration>),
    /// Remove an application.
    RemoveApplication(ApplicationId),
    /// Issue a ticket.
    IssueTicket(IssueTicket),
    /// Put uses of tickets on record.
    RenewTickets(Vec<(CredentialId, Timestamp)>),
    /// Issue a session.
    IssueSession(Box<IssueSession>),
    /// Make a session last for that long from now on; the policy's life where absent. It never lasts shorter by it.
    ExtendSession(CredentialId, Option<Ttl>),
    /// Issue a token.
    IssueToken(Box<IssueToken>),
    /// End one credential.
    Revoke(Revoke),
    /// End JWTs that were presented, and whose signatures have been verified: a token, or a token in its container.
    RevokeTokens(RevokeTokens),
    /// End sessions of the caller's own subject.
    RevokeOwn(OwnSessions),
    /// End all that a subject has.
    RevokeSubject(RevokeSubject),
    /// Forget a subject.
    EraseSubject(EraseSubject),
    /// Publish a key that signs our JWTs.
    PublishKey(PublishKey),
    /// Make a node a member.
    JoinNode(Box<JoinNode>),
    /// Say that this node has caught up, and what it reads.
    UpgradeNode(NodeUpgraded),
    /// Remove a member.
    RemoveNode(NodeName, NodeKey),
    /// Take over a credential that was issued elsewhere.
    Import(Box<Import>),
}

/// Issue a ticket whose secret has that digest.
#[derive(Clone, Debug)]
pub struct IssueTicket {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// The digest of the fresh secret.
    pub digest: Digest,
    /// How long it lives without use; the policy's life where absent.
    pub ttl: Option<Ttl>,
}

/// Issue a session whose token has that digest.
#[derive(Clone, Debug)]
pub struct IssueSession {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// A fresh id.
    pub id: CredentialId,
    /// The digest of the fresh session token.
    pub digest: Digest,
    /// How long it lasts unless it is extended; the policy's life where absent.
    pub ttl: Option<Ttl>,
    /// How surely its subject was authenticated.
    pub aal: Aal,
    /// By what.
    pub methods: Vec<Method>,
    /// The identity and device that it is issued for.
    pub sealed: Option<Sealed>,
}

/// Issue a token.
#[derive(Clone, Debug)]
pub struct IssueToken {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// Its form, and its fresh name.
    pub form: TokenForm,
    /// How long it lasts, at most as long as its session; the policy's life where absent.
    pub ttl: Option<Ttl>,
    /// The session that it dies with.
    pub session: Option<CredentialId>,
    /// Whom it is meant for.
    pub audience: Vec<Box<str>>,
    /// What it allows.
    pub scope: Option<Box<str>>,
    /// The claims that its issuer adds.
    pub sealed: Option<Sealed>,
}

/// The form of a token.
#[derive(Clone, Debug)]
pub enum TokenForm {
    /// A JWT with that `jti`.
    Jwt(TokenId),
    /// A secret with that digest, which says nothing by itself.
    Opaque(Digest),
}

/// End one credential.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// What the credential is taken for where this node does not know it.
    pub kind: Kind,
    /// Which one.
    pub credential: Named,
    /// Why: a code.
    pub reason: Option<Reason>,
    /// Why, in somebody's words.
    pub note: Option<Sealed>,
}

/// A JWT whose signature has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedToken {
    /// What it is known by.
    pub credential: Named,
    /// The name space of its subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// When it was issued, in whole seconds since 1970, if it says so.
    pub issued_at_seconds: Option<u64>,
    /// When it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// Until when it is good at most, whatever it says itself.
    pub good_until: Option<Timestamp>,
    /// The generation that one of ours carries.
    pub generation: Option<Generation>,
    /// The session that one of ours dies with.
    pub session: Option<CredentialId>,
    /// How far its issuer's clock may be off, in seconds.
    pub leeway_seconds: u64,
}

impl PresentedToken {
    /// When it is over: by what it says, and by the longest life that anything may have.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.expires_at.into_iter().chain(self.good_until).min()
    }
}

/// End JWTs that were presented together.
#[derive(Clone, Debug)]
pub struct RevokeTokens {
    /// A token; or a container, and the token in it.
    pub tokens: Vec<PresentedToken>,
    /// Why: a code.
    pub reason: Option<Reason>,
    /// Why, in somebody's words: sealed for the first of the tokens.
    pub note: Option<Sealed>,
}

/// Which of its own subject's sessions a session ends.
#[derive(Clone, Debug)]
pub enum OwnSessions {
    /// Another one.
    Other(CredentialId),
    /// Those of these others that are good: all in one append.
    Others(Vec<CredentialId>),
    /// Itself.
    Current,
}

/// Make a node a member.
#[derive(Clone, Debug)]
pub struct JoinNode {
    /// The node that joins.
    pub node: NodeJoined,
    /// The node that is asked: it becomes a member itself with the first other one.
    pub asked: NodeJoined,
}

/// Publish a key that signs our JWTs.
#[derive(Clone, Debug)]
pub struct PublishKey {
    /// The key.
    pub key: KeyPublished,
    /// Whether it takes the place of this node's key; otherwise it is needed only where this node has none.
    pub rotate: bool,
}

/// Take over a credential that was issued elsewhere.
#[derive(Clone, Debug)]
pub struct Import {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// What it is, and how it is named.
    pub life: ImportedLife,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires unless it is used or extended.
    pub expires_at: Timestamp,
    /// The latest instant that any renewal may reach, where that is earlier than the policy says.
    pub not_after: Option<Timestamp>,
    /// What the log says was issued under its id or digest, also what memory has forgotten.
    pub past: Vec<PastIssue>,
}

/// An issue on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastIssue {
    /// What was issued, under which id.
    pub key: CredentialKey,
    /// The digest of its secret, if it has one.
    pub digest: Option<Digest>,
    /// The name space of its subject.
    pub tenant: Tenant,
    /// Who it was for.
    pub subject: Subject,
    /// The record.
    pub place: Place,
}

/// What an imported credential is.
#[derive(Clone, Debug)]
pub enum ImportedLife {
    /// A ticket.
    Ticket {
        /// The digest of its secret.
        digest: Digest,
        /// How long it lives without use: it was last used that long before it expires.
        ttl: Ttl,
    },
    /// A session.
    Session {
        /// Its public id.
        id: CredentialId,
        /// The digest of its session token, if it is to be presented.
        digest: Option<Digest>,
        /// How surely its subject was authenticated.
        aal: Aal,
    },
    /// An opaque token.
    Token {
        /// The digest of its secret.
        digest: Digest,
    },
}

impl ImportedLife {
    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Ticket { .. } => Kind::Ticket,
            Self::Session { .. } => Kind::Session,
            Self::Token { .. } => Kind::Token,
        }
    }

    /// The digest of its secret, if it is to be presented.
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Ticket { digest, .. } | Self::Token { digest } => Some(digest),
            Self::Session { digest, .. } => digest.as_ref(),
        }
    }

    /// What it is kept under.
    pub fn key(&self) -> CredentialKey {
        let id = match self {
            Self::Ticket { digest, .. } | Self::Token { digest } => digest.id(),
            Self::Session { id, .. } => *id,
        };
        CredentialKey { kind: self.kind(), id }
    }
}

/// End all that a subject has of some kinds.
#[derive(Clone, Debug)]
pub struct RevokeSubject {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Whose credentials end.
    pub subject: Subject,
    /// Which kinds of them.
    pub kinds: Kinds,
    /// Keep the ending at least that long.
    pub keep: Option<Ttl>,
    /// Refuse new issues for that long.
    pub hold: Option<Ttl>,
    /// Why: a code.
    pub reason: Option<Reason>,
    /// Why, in somebody's words.
    pub note: Option<Sealed>,
}

/// Forget a subject: end all that it has for good, and put on record which keys of its personal parts are destroyed.
#[derive(Clone, Debug)]
pub struct EraseSubject {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Who is forgotten.
    pub subject: Subject,
    /// The slots of its keys in this node's store.
    pub slots: BTreeSet<u64>,
    /// Why: a code.
    pub reason: Option<Reason>,
}

/// A command with who sent it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// The caller's own request id.
    pub request: Option<RequestId>,
    /// How the command is recognised when it comes again.
    pub idempotency: Option<Idempotency>,
    /// What is asked.
    pub command: Command,
}

/// What the operator has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a ticket lives without use where its issuer does not say.
    pub ticket_ttl: Ttl,
    /// How long a ticket lives at most, used or not.
    pub ticket_max_life: Ttl,
    /// How long a session lasts where its issuer does not say, and from each extension on.
    pub session_ttl: Ttl,
    /// How long extensions can make a session last in all.
    pub session_max_life: Ttl,
    /// How long a token lasts where its issuer does not say.
    pub token_ttl: Ttl,
    /// The longest life that any node gives a credential: how long an ending is kept when its end is not known.
    pub longest_life: Ttl,
    /// How many endings of unknown credentials one application may have in force.
    pub max_unknown_revocations: u64,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY: Ttl = Ttl::from_seconds(86_400).expect("a day is within the bounds");
        const QUARTER_HOUR: Ttl = Ttl::from_seconds(900).expect("a quarter of an hour is within the bounds");
        const HOUR: Ttl = Ttl::from_seconds(3_600).expect("an hour is within the bounds");
        const MONTH: Ttl = Ttl::from_seconds(30 * 86_400).expect("30 days are within the bounds");
        Self {
            ticket_ttl: QUARTER_HOUR,
            ticket_max_life: DAY,
            session_ttl: DAY,
            session_max_life: MONTH,
            token_ttl: HOUR,
            longest_life: Ttl::MAX,
            max_unknown_revocations: 100_000,
        }
    }
}

/// What a decision depends on beside state and command.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// What will be the records' `recorded_at`: ledger time.
    pub now: Timestamp,
    /// The later of ledger time and wall clock. While the two are apart nobody knows which is right, and what ends others'
    /// credentials must reach whatever was issued until now by either.
    pub latest: Timestamp,
    /// The earlier of the two, but no instant of which something has been forgotten: what is over by it is over by either. What
    /// may still be good by one of them can be revoked.
    pub earliest: Timestamp,
    /// Whether it is known what time it is: without that, nothing is issued.
    pub is_settled: bool,
    /// This node's origin, which is the records' own.
    pub origin: Origin,
    /// What the operator has settled.
    pub policy: Policy,
}

/// What came of a command that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These facts are to be appended, all or none.
    Append(Vec<super::event::Draft>),
    /// It holds already, since that record.
    Already(Place),
    /// It was carried out before, under the same idempotency key, by that many records from there on.
    Repeated(Place, u64),
    /// There is nothing to do.
    Nothing,
}

/// Why a command is refused. Stable codes: callers branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// The secret belongs to nobody who may call.
    #[error("authenticate: the secret belongs to no registered application, or to one that has expired or was removed")]
    Unauthenticated,
    /// The caller lacks the scope in that tenant.
    #[error("authorise: the application's grants do not allow this there")]
    Forbidden,
    /// The caller would grant what it lacks.
    #[error("grant: nobody grants a scope or tenant that he lacks")]
    GrantExceedsOwn,
    /// An application with that secret exists.
    #[error("register: an application with this secret exists")]
    ApplicationExists,
    /// No application has that id.
    #[error("find the application: none has this id")]
    UnknownApplication,
    /// This node knows no such credential, and no other can.
    #[error("find the credential: this ledger never issued it, or its time is long up")]
    UnknownCredential,
    /// The credential's own time is up: there is nothing left to end.
    #[error("end the credential: it has expired")]
    CredentialExpired,
    /// The session that the token was to die with is not good, or is somebody else's.
    #[error("issue: the session is not good, or is not this subject's")]
    SessionInactive,
    /// A session does not end itself this way.
    #[error("revoke: it is the current session")]
    CurrentSession,
    /// What is imported has an id or digest that is taken, by whomever.
    #[error("import: this id or digest is not available")]
    IdUnavailable,
    /// What is imported was issued in the future, expired before it was issued, or outlives all that this ledger keeps.
    #[error("import: it was issued in the future, expired before it was issued, or expires beyond the longest life")]
    ImplausibleTimes,
    /// This node has published no key to sign with.
    #[error("issue: this node has no signing key yet")]
    NoSigningKey,
    /// The subject was ended on more nodes than a JWT can say.
    #[error("issue: the subject's generation has more entries than a JWT carries; an opaque token has no such bound")]
    GenerationTooLarge,
    /// The ledger's tokens have another issuer.
    #[error("publish the key: this ledger's tokens have another issuer")]
    IssuerDiffers,
    /// The subject gets no new credentials for now.
    #[error("issue: the subject is on hold")]
    SubjectOnHold,
    /// The subject was forgotten.
    #[error("issue: the subject was erased, so nothing is issued or noted for it any more")]
    SubjectErased,
    /// The application has too many endings of unknown credentials in force.
    #[error("record the ending: this application has too many endings of unknown credentials in force")]
    TooManyUnknownRevocations,
    /// A member has this name.
    #[error("join: a member has this name")]
    NodeExists,
    /// The node was removed, or no member has this name.
    #[error("find the node: no member has this name")]
    UnknownNode,
    /// A node that was removed stays so: its key counts no more.
    #[error("join: a node with this key was removed, and stays removed")]
    NodeRemoved,
    /// A node that joins could not read what is written.
    #[error("join: the node is of a release that can't read what the members write")]
    NodeTooOld,
    /// A node does not remove itself.
    #[error("remove: it is the node that was asked")]
    CannotRemoveSelf,
    /// Nobody knows what time it is, and has not for too long.
    #[error(
        "issue: wall clock and ledger time have been apart for more than an hour, so nothing is issued, extended or imported"
    )]
    ClockUnsettled,
    /// A member could not read the event.
    #[error("record: a member node is of a release that can't read this event")]
    MemberTooOld,
    /// The idempotency key came with another body before.
    #[error("repeat: this idempotency key was used with a different body")]
    IdempotencyMismatch,
    /// What would be recorded is larger than a record may be.
    #[error("record: it is larger than 65,535 bytes")]
    RecordTooLarge,
    /// There are as many credentials or subjects as this node keeps.
    #[error("issue: this node has no room for more credentials of this kind, or for more subjects")]
    MemoryFull,
}

impl Rejection {
    /// Every rejection.
    pub const ALL: [Self; 27] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::GrantExceedsOwn,
        Self::ApplicationExists,
        Self::UnknownApplication,
        Self::UnknownCredential,
        Self::CredentialExpired,
        Self::SessionInactive,
        Self::CurrentSession,
        Self::IdUnavailable,
        Self::ImplausibleTimes,
        Self::NoSigningKey,
        Self::GenerationTooLarge,
        Self::IssuerDiffers,
        Self::SubjectOnHold,
        Self::SubjectErased,
        Self::TooManyUnknownRevocations,
        Self::NodeExists,
        Self::UnknownNode,
        Self::NodeRemoved,
        Self::NodeTooOld,
        Self::CannotRemoveSelf,
        Self::ClockUnsettled,
        Self::MemberTooOld,
        Self::IdempotencyMismatch,
        Self::RecordTooLarge,
        Self::MemoryFull,
    ];
}
