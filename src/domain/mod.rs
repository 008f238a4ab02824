//! The rules of the ledger. Pure: no clock, no I/O, no logging, nothing asynchronous; so nothing here can fail to work,
//! only refuse.

mod actor;
mod application;
mod authentication;
mod cohort;
mod command;
mod confirmation;
mod credential;
mod decide;
mod event;
mod evolve;
mod fingerprint;
mod hashing;
mod ids;
mod membership;
mod node;
mod rejections;
mod signing;
mod state;
mod status_list;
mod subject;
mod time;

pub use actor::Actor;
pub use application::{
    Application, ClientKeys, Grant, GrantType, Grants, MAX_AUDIENCES, MAX_CLIENT_JWKS_BYTES, MAX_GRANTS, OauthClient,
    Registration, Scope, Scopes,
};
pub use authentication::{Aal, Method};
pub use cohort::{Cohort, CohortState, Cohorts, CohortsOf, RevokedCohorts, Withdrawal};
pub use command::{
    Caller, Command, Context, Decision, EraseSubject, ExtendSession, GrantToken, Import, ImportedLife, IssueSession,
    IssueTicket, IssueToken, JoinNode, ManySessions, OwnSessions, ParentChoice, PastIssue, Policy, Presented,
    PresentedToken, PublishKey, RegisterApplication, Rejection, RemoveApplication, Request, Revoke, RevokeCohort,
    RevokeSessions, RevokeSubject, RevokeTokens, TokenForm, WithdrawKey,
};
pub use confirmation::{Confirmation, Thumbprint};
pub use credential::{
    Active, Ancestor, Credential, CredentialId, CredentialKey, CredentialRef, Digest, Inactive, Issue, IssuedAs,
    IssuedJwt, Kind, Kinds, Lifetime, MAX_ANCESTORS, MAX_GENERATIONS, Parent, Revocation, RevocationTarget,
    Revocations, Secret, UnknownRevoker, ancestors, hex, judge, judge_known, judge_presented, unheard_of,
};
pub use decide::{
    MAX_ERASED_SLOTS, MAX_JWT_GENERATION, MAX_OWN_SESSIONS, UseCase, actor_of, alone, decide, grants_of, issuer,
    keys_before, keys_by_node, lineage, may_see, open_list, own_keys, signing_key, worth_recording,
};
pub use event::{
    CohortRevoked, CredentialRevoked, Draft, Event, EventType, Extends, Facets, Idempotency, IdempotencyMark, Issues,
    KeyPublished, LOG_FORMAT, LedgerOpened, NodeJoined, NodeRemoved, NodeUpgraded, Previous, Recorded, Renewals,
    Revokes, RevokesSubject, Sealed, SessionExtended, SessionIssued, SubjectErased, SubjectRevoked, TicketIssued,
    TokenIssued,
};
pub use evolve::{Answered, IDEMPOTENCY_MILLIS, Patch, evolve};
pub use fingerprint::{Fingerprint, StateRow};
pub use hashing::{HashMap, Hashing};
pub use ids::{
    ApplicationId, GivenSubject, Issuer, KeyId, LedgerId, MAX_NAME_BYTES, Malformed, MethodName, NodeName, Origin,
    Position, Reason, RecordId, Region, RequestId, Sequence, Subject, Tenant, TokenId,
};
pub use membership::{Member, Members, Removal};
pub use node::{NodeKey, PeerAddress, Reads};
pub use rejections::{
    AnyRejection, ExtendRejection, Forbidden, IssueRejection, IssueTokenRejection, PublishKeyRejection,
    RegisterRejection, RemoveRejection, RevokeOwnRejection, RevokeRejection, RevokeSessionsRejection,
    RevokeSubjectRejection, RevokeTokensRejection,
};
pub use signing::SigningKeyState;
pub use state::{CredentialView, Overlay, State, View, forget_use_at};
pub use status_list::{
    IndexSet, StatusDraws, StatusIndex, StatusListClass, StatusListId, StatusListOpened, StatusListPublished,
    StatusListState, StatusListView,
};
pub use subject::{AgeRevocation, AgeRevocations, Erasure, Generation, KindRevocation, KindState, SubjectState};
pub use time::{MAX_INTEGER, RETENTION_MARGIN_MILLIS, Timestamp, Ttl};
