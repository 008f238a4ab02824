//! The commands of the ledger, and their rejections.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::application::{GrantType, Grants, Registration};
use super::authentication::{Aal, Method};
use super::cohort::{Cohort, CohortsOf};
use super::confirmation::Confirmation;
use super::credential::{
    Ancestor, CredentialId, CredentialKey, CredentialRef, Digest, Kind, Kinds, MAX_ANCESTORS, MAX_GENERATIONS,
};
use super::event::{Idempotency, KeyPublished, NodeJoined, NodeUpgraded, Sealed};
use super::ids::{
    ApplicationId, Issuer, KeyId, NodeName, Origin, Reason, RecordId, RequestId, Subject, Tenant, TokenId,
};
use super::node::NodeKey;
use super::status_list::{StatusDraws, StatusListOpened, StatusListPublished};
use super::subject::Generation;
use super::time::{Timestamp, Ttl};

/// The caller. Grants are looked up when the command is decided, so that a removal holds from its commit on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The holder of the node's root secret.
    Root,
    /// A registered application.
    Application(ApplicationId),
    /// A person, by one of its sessions.
    Session {
        /// The session.
        id: CredentialId,
        /// The name space of its subject.
        tenant: Tenant,
        subject: Subject,
    },
    /// The bearer of that JWT: that is enough to revoke it.
    Bearer {
        issuer: Issuer,
        /// The issuer's id of it, or the digest of its payload in hexadecimal digits.
        jti: TokenId,
    },
    /// Another issuer, by a JWT that it has signed for this ledger.
    Issuer {
        issuer: Issuer,
        /// As of a bearer.
        jti: TokenId,
        /// What the operator lets it do.
        grants: Arc<Grants>,
    },
    /// The node itself, for commands without a caller.
    Node,
}

impl Caller {
    /// The application, if the caller is one.
    pub const fn application(&self) -> Option<ApplicationId> {
        match self {
            Self::Application(id) => Some(*id),
            Self::Root | Self::Session { .. } | Self::Bearer { .. } | Self::Issuer { .. } | Self::Node => None,
        }
    }
}

/// One use case of the ledger.
#[derive(Clone, Debug)]
pub enum Command {
    RegisterApplication(Arc<Registration>),
    RemoveApplication(RemoveApplication),
    IssueTicket(IssueTicket),
    /// Put uses of tickets on record.
    RenewTickets(Vec<(CredentialId, Timestamp)>),
    IssueSession(Box<IssueSession>),
    /// Extend a session by that long from now on; by the policy's life where absent. It never lasts shorter by it.
    ExtendSession(CredentialId, Option<Ttl>),
    IssueToken(Box<IssueToken>),
    /// Revoke one credential.
    Revoke(Revoke),
    /// Revoke JWTs that were presented, and whose signatures have been verified: a token, or a token in its container.
    RevokeTokens(RevokeTokens),
    /// Revoke sessions of the caller's own subject.
    RevokeOwn(OwnSessions),
    /// Revoke many sessions of one tenant.
    RevokeSessions(RevokeSessions),
    /// Revoke everything that a subject has.
    RevokeSubject(RevokeSubject),
    /// Revoke everything in a cohort.
    RevokeCohort(Box<RevokeCohort>),
    EraseSubject(EraseSubject),
    /// Publish a key that signs the ledger's JWTs.
    PublishKey(PublishKey),
    /// Take a key that signs the ledger's JWTs out of use at once, with all that it signed.
    WithdrawKey(WithdrawKey),
    /// Open a status list, unless one takes indexes.
    OpenStatusList(StatusListOpened),
    /// Publish a status list.
    PublishStatusList(Box<StatusListPublished>),
    /// Make a node a member.
    JoinNode(Box<JoinNode>),
    /// Announce that this node has caught up, and which events it reads.
    UpgradeNode(NodeUpgraded),
    /// Remove a member.
    RemoveNode(NodeName, NodeKey),
    /// Import a credential that was issued elsewhere.
    Import(Box<Import>),
}

#[derive(Clone, Debug)]
pub struct RegisterApplication(pub Arc<Registration>);

/// Remove an application, and perhaps revoke everything that it issued.
#[derive(Clone, Debug)]
pub struct RemoveApplication {
    pub id: ApplicationId,
    /// Whether to revoke everything that it issued, in the same append.
    pub revoke: bool,
}

/// Extend a session by that long from now on; by the policy's life where absent.
#[derive(Clone, Debug)]
pub struct ExtendSession(pub CredentialId, pub Option<Ttl>);

/// Issue a ticket whose secret has that digest.
#[derive(Clone, Debug)]
pub struct IssueTicket {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// The digest of the fresh secret.
    pub digest: Digest,
    /// After how long without use it expires; the policy's life where absent.
    pub ttl: Option<Ttl>,
    /// The credential that it comes from.
    pub parent: Option<CredentialKey>,
}

/// Issue a session whose token has that digest.
#[derive(Clone, Debug)]
pub struct IssueSession {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// A fresh id.
    pub id: CredentialId,
    /// The digest of the fresh session token.
    pub digest: Digest,
    /// How long it lasts unless it is extended; the policy's life where absent.
    pub ttl: Option<Ttl>,
    /// The assurance level of its subject.
    pub aal: Aal,
    /// The methods of authentication.
    pub methods: Vec<Method>,
    /// The identity and device that it is issued for.
    pub sealed: Option<Sealed>,
    /// The credential that it comes from.
    pub parent: Option<CredentialKey>,
}

#[derive(Clone, Debug)]
pub struct IssueToken {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// Its form, and its fresh name.
    pub form: TokenForm,
    /// How long it lasts, at most until its parent expires; the policy's life where absent.
    pub ttl: Option<Ttl>,
    /// The credential that it comes from.
    pub parent: Option<ParentChoice>,
    pub audience: Vec<Box<str>>,
    pub scope: Option<Box<str>>,
    /// What it is bound to, if it is.
    pub confirmation: Option<Confirmation>,
    /// If a JWT is to have an entry in a status list: random numbers that stand for indexes.
    pub status: Option<StatusDraws>,
    /// The added claims.
    pub sealed: Option<Sealed>,
}

/// The credential that a token is to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentChoice {
    /// A session of its own subject.
    OwnSession(CredentialId),
    /// Any credential of its tenant.
    Any(CredentialKey),
}

impl ParentChoice {
    /// The key of the credential.
    pub const fn key(self) -> CredentialKey {
        match self {
            Self::OwnSession(id) => CredentialKey { kind: Kind::Session, id },
            Self::Any(key) => key,
        }
    }
}

/// Issue an opaque token to the application that calls, by that grant.
#[derive(Clone, Debug)]
pub struct GrantToken {
    pub grant: GrantType,
    pub issue: IssueToken,
}

#[derive(Clone, Debug)]
pub enum TokenForm {
    /// A JWT with that `jti`.
    Jwt(TokenId),
    /// A secret with that digest, which says nothing by itself.
    Opaque(Digest),
}

/// Revoke one credential.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// The kind that the credential is taken for where this node does not know it.
    pub kind: Kind,
    pub credential: CredentialRef,
    /// The reason: a code.
    pub reason: Option<Reason>,
    /// A note in free text.
    pub note: Option<Sealed>,
}

/// The same command by a caller that presents the credential's secret: it may also revoke what it issued itself, and is
/// refused openly where it may not, because it knows of the credential already. RFC 7009, section 2.1.
#[derive(Clone, Debug)]
pub struct Presented<C>(pub C);

/// A JWT whose signature has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedToken {
    /// The name of the credential.
    pub credential: CredentialRef,
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// When it was issued, in whole seconds since 1970, if it says so.
    pub issued_at_seconds: Option<u64>,
    /// When it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// Until when it can be active at most, whatever it says itself.
    pub good_until: Option<Timestamp>,
    /// The generation, of a JWT of this ledger.
    pub generation: Option<Generation>,
    /// What it says of its ancestors, the parent first, of a JWT of this ledger.
    pub ancestors: Vec<Ancestor>,
    /// The application that issued it, of a JWT of this ledger.
    pub application: Option<ApplicationId>,
    /// The key that signed it, of a JWT of this ledger.
    pub key: Option<KeyId>,
    /// How far its issuer's clock may be wrong, in seconds.
    pub leeway_seconds: u64,
}

impl PresentedToken {
    /// When it was issued, in whole seconds. One that does not say so is taken for the oldest.
    pub fn issued_at(&self) -> Timestamp {
        Timestamp::default().plus_millis(self.issued_at_seconds.unwrap_or_default().saturating_mul(1_000))
    }

    /// The cohorts that it belongs to.
    pub fn cohorts(&self) -> CohortsOf<'_> {
        let Self { tenant, credential, application, key, .. } = self;
        CohortsOf { tenant, application: *application, issuer: credential.issuer(), key: key.as_ref() }
    }

    /// When it expires at the latest: by what it says, and by the longest life of any credential.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.expires_at.into_iter().chain(self.good_until).min()
    }
}

/// Revoke JWTs that were presented together.
#[derive(Clone, Debug)]
pub struct RevokeTokens {
    /// A token; or a container, and the token in it.
    pub tokens: Vec<PresentedToken>,
    /// The reason: a code.
    pub reason: Option<Reason>,
    /// A note in free text, sealed for the first of the tokens.
    pub note: Option<Sealed>,
}

/// The sessions of its own subject that a session revokes.
#[derive(Clone, Debug)]
pub enum OwnSessions {
    /// Another one.
    Other(CredentialId),
    /// Those of these others that are active: all in one append.
    Others(Vec<CredentialId>),
    /// Itself.
    Current,
}

/// Revoke many sessions of one tenant, all in one append.
#[derive(Clone, Debug)]
pub struct RevokeSessions {
    /// The name space of the subjects.
    pub tenant: Tenant,
    pub which: ManySessions,
}

/// The sessions of one tenant that are revoked by one command.
#[derive(Clone, Debug)]
pub enum ManySessions {
    /// Those of these that are active, one by one.
    These(Vec<CredentialId>),
    /// All that each of these subjects has, as [`RevokeSubject`] revokes it.
    OfSubjects(Vec<Subject>),
}

/// Make a node a member.
#[derive(Clone, Debug)]
pub struct JoinNode {
    /// The node that joins.
    pub node: NodeJoined,
    /// The node that is asked: it becomes a member together with the first other one.
    pub asked: NodeJoined,
}

/// Publish a key that is to sign the ledger's JWTs once the keys before it are retired. A node has two keys: the older
/// signs, and the younger is next.
#[derive(Clone, Debug)]
pub struct PublishKey {
    pub key: KeyPublished,
    /// The keys of this node that are retired with it: the one that signs, for a rotation, or those that can't be used.
    pub retires: Vec<KeyId>,
}

/// Withdraw a key: it neither signs nor verifies any more, and everything that it signed is revoked.
#[derive(Clone, Debug)]
pub struct WithdrawKey {
    pub id: KeyId,
    /// The reason: a code.
    pub reason: Option<Reason>,
}

/// Import a credential that was issued elsewhere.
#[derive(Clone, Debug)]
pub struct Import {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// Its kind, with its name.
    pub life: ImportedLife,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires unless it is used or extended.
    pub expires_at: Timestamp,
    /// The latest instant to which any renewal can prolong it, if that is earlier than by the policy.
    pub not_after: Option<Timestamp>,
    /// Everything that the log has as issued under its id or digest, also if memory no longer has it.
    pub past: Vec<PastIssue>,
}

/// An issue on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastIssue {
    /// The credential that was issued.
    pub key: CredentialKey,
    /// The digest of its secret, if it has one.
    pub digest: Option<Digest>,
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// The record.
    pub place: RecordId,
}

/// The kind of an imported credential, with its parts.
#[derive(Clone, Debug)]
pub enum ImportedLife {
    Ticket {
        /// The digest of its secret.
        digest: Digest,
        /// After how long without use it expires: its last use was that long before it expires.
        ttl: Ttl,
    },
    Session {
        /// Its public id.
        id: CredentialId,
        /// The digest of its session token, if it is to be presented.
        digest: Option<Digest>,
        /// The assurance level of its subject.
        aal: Aal,
    },
    /// An opaque token.
    Token {
        /// The digest of its secret.
        digest: Digest,
    },
}

impl ImportedLife {
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

    /// The key that it is kept under.
    pub fn key(&self) -> CredentialKey {
        let id = match self {
            Self::Ticket { digest, .. } | Self::Token { digest } => digest.id(),
            Self::Session { id, .. } => *id,
        };
        CredentialKey { kind: self.kind(), id }
    }
}

/// Revoke everything that a subject has of some kinds.
#[derive(Clone, Debug)]
pub struct RevokeSubject {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    pub kinds: Kinds,
    /// Only what was issued before that.
    pub issued_before: Option<Timestamp>,
    /// Keep the revocation for at least that long.
    pub keep: Option<Ttl>,
    /// Refuse new issues for that long.
    pub hold: Option<Ttl>,
    /// The reason: a code.
    pub reason: Option<Reason>,
    /// A note in free text.
    pub note: Option<Sealed>,
}

/// Revoke everything of some kinds in a cohort.
#[derive(Clone, Debug)]
pub struct RevokeCohort {
    pub cohort: Cohort,
    pub kinds: Kinds,
    /// Keep the revocation for at least that long.
    pub keep: Option<Ttl>,
    /// Refuse new issues for that long.
    pub hold: Option<Ttl>,
    /// The reason: a code.
    pub reason: Option<Reason>,
    /// A note in free text.
    pub note: Option<Sealed>,
}

/// Erase a subject: revoke everything that it has permanently, and put on record which keys of its personal data are
/// destroyed.
#[derive(Clone, Debug)]
pub struct EraseSubject {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// The slots of its keys in this node's store.
    pub slots: BTreeSet<u64>,
    /// The reason: a code.
    pub reason: Option<Reason>,
}

/// A command with its caller: any command, or one of a single use case.
#[derive(Clone, Debug)]
pub struct Request<C = Command> {
    pub caller: Caller,
    /// The caller's own request id.
    pub request: Option<RequestId>,
    /// How a repetition of the command is recognised.
    pub idempotency: Option<Idempotency>,
    pub command: C,
}

/// The operator's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After how long without use a ticket expires, if its issuer does not say.
    pub ticket_ttl: Ttl,
    /// How long a ticket can be active at most, used or not.
    pub ticket_max_life: Ttl,
    /// How long a session lasts if its issuer does not say, and from each extension on.
    pub session_ttl: Ttl,
    /// How long a session can last at most with all extensions.
    pub session_max_life: Ttl,
    /// How long a token lasts if its issuer does not say.
    pub token_ttl: Ttl,
    /// The longest life that any node gives a credential: a revocation is kept that long if the expiry is not known.
    pub longest_life: Ttl,
    /// The most revocations of unknown credentials that one application may have in force.
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

/// The inputs of a decision beside state and command.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The `recorded_at` of the records to come: ledger time.
    pub now: Timestamp,
    /// The later of ledger time and wall clock. While the two are apart it is not known which is right, and a
    /// revocation of other callers' credentials must reach everything that was issued until now by either.
    pub latest: Timestamp,
    /// The earlier of the two, but not before an instant of which something has left memory: what has expired by it has
    /// expired by either. What may still be active by one of them can be revoked.
    pub earliest: Timestamp,
    /// Whether the clock is settled: if not, nothing is issued.
    pub is_settled: bool,
    /// This node's origin, which is the records' own.
    pub origin: Origin,
    /// The operator's settings.
    pub policy: Policy,
}

/// The outcome of a command that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These facts are to be appended, all or none.
    Append(Vec<super::event::Draft>),
    /// It holds already, since that record.
    Already(RecordId),
    /// It was carried out before with the same idempotency key: the first of its records, and their number.
    Repeated(RecordId, u64),
    /// There is nothing to do.
    Nothing,
}

/// Why a command is refused. Stable codes: callers branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// The secret does not belong to an application that may call.
    #[error(
        "authenticate: the secret does not belong to a registered application, or belongs to one that has expired or was removed"
    )]
    Unauthenticated,
    /// The caller lacks the scope in that tenant.
    #[error("authorise: the application's grants do not allow this")]
    Forbidden,
    /// The caller would grant a scope that it does not hold.
    #[error("grant: cannot grant a scope or tenant that the caller does not hold")]
    GrantExceedsOwn,
    /// An application with that secret exists.
    #[error("register: an application with this secret exists")]
    ApplicationExists,
    /// No application has that id.
    #[error("find the application: none has this id")]
    UnknownApplication,
    /// This node does not know the credential, and no other node can.
    #[error("find the credential: this ledger never issued it, or it expired long ago")]
    UnknownCredential,
    /// The credential has expired: there is nothing left to revoke.
    #[error("revoke the credential: it has expired")]
    CredentialExpired,
    /// The token's session is not active, or belongs to another subject.
    #[error("issue: the session is not active, or is not this subject's")]
    SessionInactive,
    /// The parent is not active, is of another tenant, or this node has not heard all that its issuer had.
    #[error("issue: the parent is not active, as far as this node knows, or is of another tenant")]
    ParentInactive,
    /// The parent is of the last generation.
    #[error("issue: the parent has {MAX_ANCESTORS} ancestors, and a lineage has at most {MAX_GENERATIONS} generations")]
    LineageTooDeep,
    /// A session cannot revoke itself with this command.
    #[error("revoke: it is the current session")]
    CurrentSession,
    /// The id or digest of the imported credential is taken, by any subject.
    #[error("import: this id or digest is not available")]
    IdUnavailable,
    /// The imported credential was issued in the future, expired before it was issued, or lasts longer than this ledger
    /// allows.
    #[error("import: it was issued in the future, expired before it was issued, or expires beyond the longest life")]
    ImplausibleTimes,
    /// No key of this ledger has that name.
    #[error("find the key: this ledger has published none with this name")]
    UnknownKey,
    /// Neither this ledger nor an issuer that it trusts has that name.
    #[error("find the issuer: neither this ledger nor a trusted issuer has this name")]
    UnknownIssuer,
    /// This node has published no key to sign with.
    #[error("issue: this node has no signing key yet")]
    NoSigningKey,
    /// No status list takes indexes here now.
    #[error("issue: no status list of this node takes indexes at the moment")]
    NoStatusList,
    /// The subject was revoked on more nodes than a JWT can list.
    #[error("issue: the subject's generation has more entries than a JWT carries; an opaque token has no such bound")]
    GenerationTooLarge,
    /// The ledger's tokens have another issuer.
    #[error("publish the key: this ledger's tokens have another issuer")]
    IssuerDiffers,
    /// The subject, or a cohort of the credential, does not get new credentials while the hold lasts.
    #[error("issue: the subject, or what the credential would belong to, is on hold")]
    SubjectOnHold,
    /// The subject was erased.
    #[error("issue: the subject was erased, so nothing is issued or noted for it any more")]
    SubjectErased,
    /// The application has too many revocations of unknown credentials in force.
    #[error("record the revocation: this application has too many revocations of unknown credentials in force")]
    TooManyUnknownRevocations,
    /// A member has this name.
    #[error("join: a member has this name")]
    NodeExists,
    /// The node was removed, or no member has this name.
    #[error("find the node: no member has this name")]
    UnknownNode,
    /// A removed node stays removed: its key no longer counts.
    #[error("join: a node with this key was removed, and stays removed")]
    NodeRemoved,
    /// The joining node could not read the events that the members write.
    #[error("join: the node is of a release that can't read what the members write")]
    NodeTooOld,
    /// A node cannot remove itself.
    #[error("remove: it is the node that received the request")]
    CannotRemoveSelf,
    /// The clock has been unsettled for too long.
    #[error(
        "issue: wall clock and ledger time have been apart for more than an hour, so nothing is issued, extended or imported"
    )]
    ClockUnsettled,
    /// A member cannot read the event.
    #[error("record: a member node is of a release that can't read this event")]
    MemberTooOld,
    /// The idempotency key was used with another body.
    #[error("repeat: this idempotency key was used with a different body")]
    IdempotencyMismatch,
    /// The record would be larger than a record may be.
    #[error("record: it is larger than 65,535 bytes")]
    RecordTooLarge,
    /// This node has no room for another credential or subject.
    #[error("issue: this node has no room for more credentials of this kind, or for more subjects")]
    MemoryFull,
}

impl Rejection {
    /// Every rejection.
    pub const ALL: [Self; 32] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::GrantExceedsOwn,
        Self::ApplicationExists,
        Self::UnknownApplication,
        Self::UnknownCredential,
        Self::CredentialExpired,
        Self::SessionInactive,
        Self::ParentInactive,
        Self::LineageTooDeep,
        Self::CurrentSession,
        Self::IdUnavailable,
        Self::ImplausibleTimes,
        Self::UnknownKey,
        Self::UnknownIssuer,
        Self::NoSigningKey,
        Self::NoStatusList,
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
