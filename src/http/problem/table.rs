//! The table of everything that the native surface refuses: code, status, and what people read.

use axum::http::StatusCode;

/// A line of the table.
struct ProblemRow {
    status: StatusCode,
    code: &'static str,
    retry_after_seconds: Option<u64>,
    title: &'static str,
    meaning: &'static str,
}

macro_rules! table {
    ($($variant:ident $status:ident $code:literal $retry:expr; $title:literal $meaning:literal)*) => {
        /// Why a request is refused. The codes are stable: callers branch on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the statuses.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            const fn row(self) -> ProblemRow {
                match self {
                    $(Self::$variant => ProblemRow {
                        status: StatusCode::$status,
                        code: $code,
                        retry_after_seconds: $retry,
                        title: $title,
                        meaning: $meaning,
                    },)*
                }
            }
        }
    };
}

table! {
    MalformedJson BAD_REQUEST "malformed-json" None; "The body is not JSON"
        "The body must be one JSON object in UTF-8."
    InvalidBody BAD_REQUEST "invalid-body" None; "The body does not have the form of this call"
        "A member is unknown, missing, given twice, or has a value that is not allowed. Unknown members are refused, because a misspelt one would be ignored in silence."
    BodyIncomplete BAD_REQUEST "body-incomplete" None; "The body ended early"
        "The connection broke before the whole body had arrived. Nothing was done; send it again."
    InvalidQuery BAD_REQUEST "invalid-query" None; "The query does not have the form of this call"
        "A parameter is unknown, given twice, or has a value that is not allowed, or a percent escape is not UTF-8."
    InvalidCursor BAD_REQUEST "invalid-cursor" None; "The cursor is not one of this ledger's"
        "It is mangled, or another ledger gave it. Load GET /v1/revocations/snapshot and follow from the cursor in its first line, or follow from 0."
    InvalidPath BAD_REQUEST "invalid-path" None; "The path does not have the form of this call"
        "A part of the path has a value that is not allowed, or a percent escape is not UTF-8."
    InvalidHeader BAD_REQUEST "invalid-header" None; "A header does not have its form"
        "Idempotency-Key is 16 to 255 bytes, Ledger-Consistency is local_region or all_regions, Ledger-Consistency-Timeout is 1 to 120 seconds, and each is given once."
    InvalidHost BAD_REQUEST "invalid-host" None; "The request does not name one host"
        "A request has one Host header, which is a host with an optional port; before HTTP/1.1 it may have none. RFC 9112, section 3.2. The connection is closed."
    InvalidToken BAD_REQUEST "invalid-token" None; "The JWT is refused"
        "It is not well formed, its signer is not trusted by this ledger, or it does not name its subject. The member detail says which."
    ReservedClaim BAD_REQUEST "reserved-claim" None; "A claim is not the caller's to add"
        "The ledger itself says iss, sub, aud, exp, nbf, iat, jti, oid, gen, sid, sid_client_id, sid_iat, parent, client_id and scope; user_token marks a container; azp, act, may_act, cnf and status are kept for it."
    StatusListsOff BAD_REQUEST "status-lists-off" None; "This node gives tokens no entry in a status list"
        "Leave status_list out. The operator gives entries by serving the surface status, with --status-lists asked or all; an opaque token never has one."
    ImplausibleTimes BAD_REQUEST "implausible-times" None; "The times are implausible"
        "The credential was issued in the future, expires before it was issued, or expires after its own not_after or later than the operator's --longest-life allows."
    IssuedBeforeInFuture BAD_REQUEST "issued-before-in-future" None; "`issued_before` is in the future"
        "Only what was issued before a past instant can be revoked by its age. Leave the member out to revoke everything that was issued until now."
    Unauthenticated UNAUTHORIZED "unauthenticated" None; "An application's secret is needed"
        "Send Authorization: Bearer and an application's secret. This one is missing, unknown, removed or expired."
    Forbidden FORBIDDEN "forbidden" None; "The application's grants do not allow this"
        "The application's grants lack the scope that this call needs in this tenant. An application with admin can register one that has it."
    GrantExceedsOwn FORBIDDEN "grant-exceeds-own" None; "Cannot grant a scope that you do not hold"
        "An application can only grant scopes and tenants that it holds itself."
    NotFound NOT_FOUND "not-found" None; "There is nothing at this path"
        "No call has this path, or its surface is switched off. GET /openapi.json lists the native calls."
    UnknownApplication NOT_FOUND "unknown-application" None; "No application has this id"
        "It was never registered, has been removed, or has grants that this caller does not hold."
    UnknownKey NOT_FOUND "unknown-key" None; "No key of this ledger has this name"
        "This ledger never published a key with this kid. GET /v1/keys lists those whose tokens may still be active."
    UnknownIssuer NOT_FOUND "unknown-issuer" None; "No known issuer has this name"
        "It is neither this ledger's own issuer nor one that the operator trusts. GET /.well-known/openid-configuration has the ledger's own."
    UnknownCredential NOT_FOUND "unknown-credential" None; "This ledger does not know this credential"
        "It was never issued here, it expired long ago, or it belongs to a tenant where this caller may not do this. Nothing was recorded."
    UnknownPosition NOT_FOUND "unknown-position" None; "The log has no such position"
        "Positions start at 1 and end at the head, which GET /v1/status shows."
    UnknownTile NOT_FOUND "unknown-tile" None; "The newest checkpoint's tree has no such tile"
        "Full tiles have 256 hashes, and a partial one is named with its width. GET /checkpoint says how many records the tree has; c2sp.org/tlog-tiles, which tiles that makes."
    NoCheckpoint NOT_FOUND "no-checkpoint" None; "No checkpoint of this origin is held here"
        "An origin signs its own checkpoints, and this node has none of it. This node's own comes within a second of its first start."
    SealedDataUnavailable NOT_FOUND "sealed-data-unavailable" None; "Nothing in this record can be opened"
        "The record has no sealed part, or the key that opens it is not on this node: it was erased, was lost, or is another node's."
    UnknownStatusList NOT_FOUND "unknown-status-list" None; "There is no such status list"
        "This ledger never opened it, or retired it after the last of its tokens had expired; or, with `time`, nothing of it was valid then."
    UnknownProblem NOT_FOUND "unknown-problem" None; "No problem has this code"
        "This server never answers with such a code."
    UnknownNode NOT_FOUND "unknown-node" None; "No member has this name"
        "It never joined under this name, or has been removed. GET /v1/nodes lists the members."
    MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" None; "This path does not take this method"
        "The Allow header lists the methods that it takes."
    BodyTimeout REQUEST_TIMEOUT "body-timeout" None; "The body did not arrive in time"
        "A body has 30 seconds to arrive. Nothing was done; send it again."
    ConsistencyTimeout REQUEST_TIMEOUT "consistency-timeout" None; "Durable here, and not yet everywhere that was asked for"
        "The command stands and is still sent to the other nodes; only the wait for them timed out. Repeat it with the same Idempotency-Key to wait again."
    CredentialExpired CONFLICT "credential-expired" None; "The credential has expired"
        "It has passed its own expiry, so there is nothing left to revoke or to import. Nothing was recorded."
    SessionInactive CONFLICT "session-inactive" None; "The session is not active, or is not this subject's"
        "A session that has expired or was revoked cannot be extended. A token is active only while its session is, so the session must be active when the token is issued, and belong to the same subject and tenant."
    ParentInactive CONFLICT "parent-inactive" None; "The parent is not active, or is of another tenant"
        "What comes from a credential is active only while that credential is, so it must be active, of the same tenant, and issued by this ledger. On a ledger of several nodes this node must have heard of it, of its own ancestors, and of what their nodes had heard of by then; try again shortly."
    LineageTooDeep CONFLICT "lineage-too-deep" None; "The parent has too many ancestors"
        "A lineage has at most 8 generations: the parent may have 6 ancestors. Issue from an earlier one."
    CurrentSession CONFLICT "current-session" None; "It is the current session"
        "A session cannot revoke itself with this call. Log out instead."
    IdUnavailable CONFLICT "id-unavailable" None; "This id or digest is not available"
        "Ids and digests tell credentials apart, over all tenants. This one is taken. What it names, and whose it is, is not disclosed."
    NoSigningKey CONFLICT "no-signing-key" None; "This node does not have a signing key yet"
        "Another request is creating it, or the key that signed the token before is gone. Try again, without the Idempotency-Key if you sent one."
    NextKeyTooNew CONFLICT "next-key-too-new" None; "The next key was published too recently"
        "Verifiers keep the keys that they have fetched, and would refuse what a key signs that they have not seen. The next key may sign once it has been published for --key-publish-ahead; the member detail says from when. In an emergency, send now: true."
    GenerationTooLarge CONFLICT "generation-too-large" None; "A JWT can't carry this subject's generation"
        "The subject was revoked on more nodes than a JWT can list. Ask for an opaque token."
    IssuerDiffers CONFLICT "issuer-differs" None; "The ledger's tokens have another issuer"
        "The issuer was fixed with the first JWT and is the same on every node. Start this node with that --public-url."
    SubjectOnHold CONFLICT "subject-on-hold" None; "The subject, or a cohort of the credential, is on hold"
        "Everything that this subject had, or everything in the tenant, of the application, key or issuer, was revoked with a hold: nothing new is issued for a while. The hold expires by itself and cannot be lifted."
    SubjectErased CONFLICT "subject-erased" None; "The subject was erased"
        "The subject was erased from this ledger: everything that it had is revoked permanently, and nothing is issued, imported or noted for it any more. A person who comes back needs another subject name."
    NodeExists CONFLICT "node-exists" None; "Another member has this name"
        "The name of a member is unique. Give the new node another name with --node, or remove the old one first. The first node of the ledger changes its own entry itself: send the request to it."
    NodeRemoved CONFLICT "node-removed" None; "This node was removed"
        "A removal is permanent, because the other nodes no longer hold what this one would have to know. Start it on an empty directory, and join that."
    NodeTooOld CONFLICT "node-too-old" None; "The new node cannot read what the members write"
        "It is of an older release than all members. Upgrade it first, then join it."
    CannotRemoveSelf CONFLICT "cannot-remove-self" None; "A node cannot remove itself"
        "Ask another member to remove it: that member records up to where the removed node's records count."
    ApplicationExists CONFLICT "application-exists" None; "An application with this secret exists"
        "The secret identifies the application, so it must be unique."
    SecretAlreadyShown CONFLICT "secret-already-shown" None; "The secret has been shown already"
        "The command was carried out before with this Idempotency-Key, and its result stands. Its secret is kept for a minute only and cannot be shown again. The member id names what was created: revoke or remove it and create another."
    BodyTooLarge PAYLOAD_TOO_LARGE "body-too-large" None; "The body is too large"
        "The operator bounds bodies, at 65,536 bytes unless set otherwise."
    RecordTooLarge PAYLOAD_TOO_LARGE "record-too-large" None; "What would be recorded is too large"
        "A record of the log has at most 65,535 bytes."
    PersonalDataTooLarge PAYLOAD_TOO_LARGE "personal-data-too-large" None; "The personal parts or added claims are too large"
        "Identity and device of a session, and the claims that are added to a token, have at most 32 KiB as JSON."
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" None; "The body has another media type"
        "Send Content-Type: application/json; to POST /v1/imports and /v1/uses, application/x-ndjson. The charset, if given, is utf-8."
    UnsupportedContentEncoding UNSUPPORTED_MEDIA_TYPE "unsupported-content-encoding" None; "The body is encoded in a way that is not taken"
        "Send the body without Content-Encoding, or in one of the codings that Accept-Encoding in this answer lists: POST /v1/imports and /v1/uses take gzip and zstd, other calls take none."
    IdempotencyMismatch UNPROCESSABLE_ENTITY "idempotency-mismatch" None; "This Idempotency-Key was used with another body"
        "A key belongs to one body for 24 hours. Use a fresh key for a fresh command."
    TooManyUnknownRevocations TOO_MANY_REQUESTS "too-many-unknown-revocations" None; "Too many revocations of unknown credentials"
        "This application has reached its limit of revocations in force of credentials that this ledger never issued."
    HeadTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "head-too-large" None; "The request's head is too large"
        "A head has at most 64 header lines and 16 KiB. The connection is closed, and the answer has no body."
    RecordUnreadable INTERNAL_SERVER_ERROR "record-unreadable" None; "A durable record could not be read"
        "What was asked for may have been done. The operator finds the cause in the log lines, and with authledger-audit verify."
    TreeUnreadable INTERNAL_SERVER_ERROR "tree-unreadable" None; "The Merkle tree could not be read"
        "A tile can't be read, or is damaged. The operator finds the cause in the log lines; tiles are derived from the log, and the next start makes them again."
    KeyUnusable INTERNAL_SERVER_ERROR "key-unusable" None; "A key can't be used"
        "A file below DATA/keys can't be read or written. The operator finds the cause in the log lines. Nothing was recorded."
    NoRandomness INTERNAL_SERVER_ERROR "no-randomness" None; "No secret can be made"
        "The operating system has no random bytes to give. Nothing was done."
    Internal INTERNAL_SERVER_ERROR "internal" None; "A fault of the server"
        "A case that cannot happen has happened: a fault of authledger. Whether the command was carried out is unknown. The operator finds the case in the log lines, with the request id, and reports it."
    StatusHistoryOff NOT_IMPLEMENTED "status-history-off" None; "Earlier publications are not shown here"
        "What a list said before shows the past of a token to everybody who has seen it. The operator decides, with --status-list-history."
    KeysUnreachable SERVICE_UNAVAILABLE "keys-unreachable" Some(60); "The keys of the token's issuer are out of reach"
        "The issuer is trusted, but its keys could not be loaded. They are requested again once a minute. Nothing was done."
    IssuerNotConfigured SERVICE_UNAVAILABLE "issuer-not-configured" None; "This server signs no JWTs yet"
        "Other hosts reach this server, but its public address is not configured: the operator sets --public-url, which becomes the issuer. Opaque tokens do not need it."
    NoStatusList SERVICE_UNAVAILABLE "no-status-list" Some(1); "No status list takes indexes here now"
        "This node is opening a list. Nothing was recorded; try again."
    StatusListUnavailable SERVICE_UNAVAILABLE "status-list-unavailable" Some(1); "No valid publication of this list is here"
        "The list is known, and nothing of it that has not expired can be shown: the node has just started, or can't publish. If this lasts, the operator finds the cause in the log lines."
    SigningKeyTooNew SERVICE_UNAVAILABLE "signing-key-too-new" Some(60); "This node's key was published too recently"
        "The node has joined, or has lost its key files, and verifiers that have fetched the keys before would refuse what it signs. It signs once its key has been published for --key-publish-ahead; the member detail says from when. Ask another node, or for an opaque token. Nothing was recorded."
    NodeNotReady SERVICE_UNAVAILABLE "node-not-ready" Some(1); "This node has not caught up with the others"
        "It is starting, has just joined, or is a standby, and does not answer until it holds what the other nodes hold. Ask another node. Nothing was done."
    ClockUnsettled SERVICE_UNAVAILABLE "clock-unsettled" Some(60); "The clock is unsettled"
        "The wall clock has been more than a minute from ledger time for more than an hour, so nothing is issued, extended or imported. Revoking and checking go on. The operator checks with authledger clock, and sets the clock or accepts it. Nothing was recorded."
    MemberTooOld SERVICE_UNAVAILABLE "member-too-old" Some(60); "A member cannot read this event"
        "A member node is of an older release, and an event that it can't read would stop its copy of this node's log. Upgrade every member, or remove that one; GET /v1/nodes shows which events each reads. Nothing was recorded."
    CheckpointPending SERVICE_UNAVAILABLE "checkpoint-pending" Some(1); "No checkpoint covers this record yet"
        "A checkpoint covers a record of this node within a second. A record of another origin needs a checkpoint that this origin has signed. If this lasts, the operator finds the cause in the log lines."
    MemoryFull SERVICE_UNAVAILABLE "memory-full" Some(60); "This node has no room for more credentials"
        "There are as many live credentials of this kind, or as many subjects, as a node keeps: some 2^30 and 2^32. Revoking goes on. Nothing was recorded."
    Overloaded SERVICE_UNAVAILABLE "overloaded" Some(1); "Too many requests are waiting"
        "Nothing was done. Try again after Retry-After."
    Stopping SERVICE_UNAVAILABLE "stopping" Some(5); "The server is stopping"
        "Whether the command was carried out is unknown. Repeat it with the same Idempotency-Key once the server is back."
    LogLocked SERVICE_UNAVAILABLE "log-locked" Some(1); "Another process has locked the event log"
        "A program beside the server holds the write lock of ledger.db, so nothing was recorded. Try again after Retry-After; /health/ready names the program where the system tells which one it is."
    DiskFull SERVICE_UNAVAILABLE "disk-full" Some(30); "The disk of the event log is full"
        "Less space is free than one batch of commands may need. Make room: a write that fails halts the log."
    LogHalted SERVICE_UNAVAILABLE "log-halted" Some(30); "The event log has halted"
        "A write to the disk failed, a file of the log was deleted or replaced, or another program wrote to it, so nothing more is written until the operator has fixed the cause and restarted the server. Reads and streams go on."
}

impl Code {
    /// The answer's status.
    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    /// The code as it stands in the problem's `type`.
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }

    /// What is wrong, in a few words.
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// What it means and what to do about it.
    pub const fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// After how many seconds trying again makes sense, where that is known.
    pub const fn retry_after_seconds(self) -> Option<u64> {
        self.row().retry_after_seconds
    }

    /// The code with that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}
