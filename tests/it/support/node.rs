//! A node without threads or files: commands are decided, recorded and folded at once, on a clock that the test moves.

use authledger::domain::{
    Aal, Ancestor, ApplicationId, Caller, Command, Context, Credential, CredentialId, CredentialKey, CredentialRef,
    Decision, Digest, Draft, Event, Grant, Grants, Idempotency, IdempotencyMark, Import, ImportedLife, Inactive,
    IssueSession, IssueTicket, IssueToken, Issuer, KeyId, KeyPublished, Kind, Kinds, LOG_FORMAT, LedgerId,
    LedgerOpened, NodeName, Origin, ParentChoice, Policy, PresentedToken, Previous, PublishKey, RecordId, Recorded,
    Region, Registration, Rejection, Request, Revoke, RevokeSubject, Scope, Sequence, State, Subject, Tenant,
    Timestamp, TokenForm, TokenId, Ttl, UseCase, actor_of, decide, judge,
};
use uuid::Uuid;

/// When every test begins: 2027-01-15T08:00:00Z.
pub const START_MILLIS: u64 = 1_800_000_000_000;

pub fn at(millis_after_start: u64) -> Timestamp {
    Timestamp::from_millis(START_MILLIS + millis_after_start).unwrap()
}

pub fn seconds(seconds: u64) -> Ttl {
    Ttl::from_seconds(seconds).unwrap()
}

pub fn origin(letter: char) -> Origin {
    letter.to_string().repeat(Origin::LEN).parse().unwrap()
}

pub fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

pub fn subject(name: &str) -> Subject {
    Subject::new(name).unwrap()
}

/// The digest of a secret that stands for `n`.
pub fn digest(n: u64) -> Digest {
    Digest::of(format!("secret {n}").as_bytes())
}

pub fn issue(n: u64, name: &str) -> Command {
    issue_in("default", n, name, Some(900))
}

pub fn issue_in(tenant_name: &str, n: u64, name: &str, ttl: Option<u64>) -> Command {
    let ttl = ttl.map(seconds);
    Command::IssueTicket(IssueTicket {
        tenant: tenant(tenant_name),
        subject: subject(name),
        digest: digest(n),
        ttl,
        parent: None,
    })
}

pub fn revoke(n: u64) -> Command {
    Command::Revoke(Revoke {
        kind: Kind::Ticket,
        credential: CredentialRef::Digest(digest(n)),
        reason: None,
        note: None,
    })
}

pub fn revoke_id(n: u64) -> Command {
    Command::Revoke(Revoke {
        kind: Kind::Ticket,
        credential: CredentialRef::Id(digest(n).id()),
        reason: None,
        note: None,
    })
}

pub fn revoke_subject(name: &str, hold: Option<u64>) -> Command {
    Command::RevokeSubject(RevokeSubject {
        tenant: Tenant::default(),
        subject: subject(name),
        kinds: Kinds::ALL,
        issued_before: None,
        keep: None,
        hold: hold.map(seconds),
        reason: None,
        note: None,
    })
}

/// The id of the session that stands for `n`, and the digest of its token.
pub fn session_id(n: u64) -> CredentialId {
    CredentialId::of_session(Uuid::from_u64_pair(0x5e55_0000_0000_4000, 0x8000_0000_0000_0000 | n))
}

pub fn session_digest(n: u64) -> Digest {
    digest(2_000_000 + n)
}

pub fn ticket_key(id: CredentialId) -> CredentialKey {
    CredentialKey { kind: Kind::Ticket, id }
}

pub fn session_key(n: u64) -> CredentialKey {
    CredentialKey { kind: Kind::Session, id: session_id(n) }
}

/// The digest of the opaque token that stands for `n`.
pub fn token_digest(n: u64) -> Digest {
    digest(3_000_000 + n)
}

pub fn issuer() -> Issuer {
    Issuer::new("https://ledger.example").unwrap()
}

/// The `jti` of the JWT that stands for `n`.
pub fn jti(n: u64) -> TokenId {
    TokenId::new(&format!("jti-{n}")).unwrap()
}

pub fn jwt(n: u64) -> CredentialRef {
    CredentialRef::Jwt { issuer: issuer(), jti: jti(n) }
}

/// A JWT that another issuer signed, as it is presented; it does not say when it was issued or when it expires.
pub fn presented_token(credential: CredentialRef, subject: Subject) -> PresentedToken {
    PresentedToken {
        credential,
        tenant: Tenant::default(),
        subject,
        issued_at_seconds: None,
        expires_at: None,
        good_until: None,
        generation: None,
        ancestors: Vec::new(),
        application: None,
        key: None,
        leeway_seconds: 5,
    }
}

/// The session of a token that says no more of it than its id.
pub fn own_session(id: CredentialId, subject: Subject) -> Ancestor {
    let name = CredentialRef::Id(id);
    Ancestor { kind: Kind::Session, name, subject, application: None, signed_with: None, issued_at: None }
}

pub fn token_key(named: &CredentialRef) -> CredentialKey {
    CredentialKey { kind: Kind::Token, id: named.id() }
}

pub fn new_session(tenant_name: &str, n: u64, name: &str, ttl: Option<u64>) -> IssueSession {
    IssueSession {
        tenant: tenant(tenant_name),
        subject: subject(name),
        id: session_id(n),
        digest: session_digest(n),
        ttl: ttl.map(seconds),
        aal: Aal::Aal1,
        methods: Vec::new(),
        sealed: None,
        parent: None,
    }
}

pub fn issue_session(n: u64, name: &str) -> Command {
    Command::IssueSession(new_session("default", n, name, None).into())
}

pub fn new_token(tenant_name: &str, form: TokenForm, name: &str, session: Option<u64>) -> IssueToken {
    IssueToken {
        tenant: tenant(tenant_name),
        subject: subject(name),
        form,
        ttl: None,
        parent: session.map(|session| ParentChoice::OwnSession(session_id(session))),
        audience: Vec::new(),
        scope: None,
        confirmation: None,
        status: None,
        sealed: None,
    }
}

pub fn issue_opaque(n: u64, name: &str, session: Option<u64>) -> Command {
    Command::IssueToken(new_token("default", TokenForm::Opaque(token_digest(n)), name, session).into())
}

pub fn issue_jwt(n: u64, name: &str, session: Option<u64>) -> Command {
    Command::IssueToken(new_token("default", TokenForm::Jwt(jti(n)), name, session).into())
}

pub fn revoke_named(kind: Kind, credential: CredentialRef) -> Command {
    Command::Revoke(Revoke { kind, credential, reason: None, note: None })
}

pub fn revoke_kinds(name: &str, kinds: &[Kind]) -> Command {
    let Command::RevokeSubject(revoke) = revoke_subject(name, None) else { unreachable!() };
    Command::RevokeSubject(RevokeSubject { kinds: kinds.iter().copied().collect(), ..revoke })
}

/// A key of the tests' issuer, with which no other is retired.
pub fn publish(name: &str) -> Command {
    publish_for(name, issuer(), &[""; 0])
}

/// A key of the tests' issuer, with which those are retired.
pub fn replace(retires: &[impl AsRef<str>], name: &str) -> Command {
    publish_for(name, issuer(), retires)
}

pub fn publish_for(name: &str, issuer: Issuer, retires: &[impl AsRef<str>]) -> Command {
    let key = KeyPublished { id: KeyId::new(name).unwrap(), issuer, jwk: format!("{{\"kid\":\"{name}\"}}").into() };
    Command::PublishKey(PublishKey {
        key,
        retires: retires.iter().map(|name| KeyId::new(name.as_ref()).unwrap()).collect(),
    })
}

/// An import into the tenant `default`: issued and expiring so many seconds from the start.
pub fn import(life: ImportedLife, name: &str, issued_at: Timestamp, expires_at: Timestamp) -> Import {
    Import {
        tenant: Tenant::default(),
        subject: subject(name),
        life,
        issued_at,
        expires_at,
        not_after: None,
        past: Vec::new(),
    }
}

pub fn import_session(n: u64, name: &str, issued_at: Timestamp, expires_at: Timestamp) -> Command {
    let life = ImportedLife::Session { id: session_id(n), digest: Some(session_digest(n)), aal: Aal::Aal1 };
    Command::Import(import(life, name, issued_at, expires_at).into())
}

/// The holder of that session.
pub fn holder(n: u64, name: &str) -> Caller {
    Caller::Session { id: session_id(n), tenant: Tenant::default(), subject: subject(name) }
}

pub fn renew(n: u64, used_at: Timestamp) -> Command {
    Command::RenewTickets(vec![(digest(n).id(), used_at)])
}

pub fn application_id(n: u64) -> ApplicationId {
    ApplicationId(Uuid::from_u64_pair(0x0000_0000_0000_4000, 0x8000_0000_0000_0000 | n))
}

/// Grants as pairs of tenant (or `*`) and scopes.
pub fn grants(pairs: &[(&str, &[Scope])]) -> Grants {
    let grant = |(name, scopes): &(&str, &[Scope])| Grant {
        tenant: (*name != "*").then(|| tenant(name)),
        scopes: scopes.iter().copied().collect(),
    };
    Grants::new(pairs.iter().map(grant).collect()).unwrap()
}

pub fn register(n: u64, grants: Grants) -> Command {
    register_until(n, grants, None)
}

pub fn register_until(n: u64, grants: Grants, expires_at: Option<Timestamp>) -> Command {
    let registration = Registration {
        id: application_id(n),
        name: format!("application {n}").into(),
        digest: Some(digest(1_000_000 + n)),
        grants: grants.into(),
        expires_at,
        attributes: None,
        oauth: None,
    };
    Command::RegisterApplication(registration.into())
}

/// One node's origin, its clock, and everything that it holds.
pub struct ModelNode {
    pub origin: Origin,
    pub state: State,
    pub now: Timestamp,
    /// A wall clock that differs from the time that the node goes by.
    pub wall: Option<Timestamp>,
    pub policy: Policy,
    /// Every record that it holds, in the order of its own log.
    pub log: Vec<Recorded>,
    next: Sequence,
}

impl ModelNode {
    /// The only node of its ledger.
    pub fn lone() -> Self {
        Self::named('a')
    }

    /// A node that has opened its origin in the ledger that all tests share.
    pub fn named(letter: char) -> Self {
        let mut node = Self {
            origin: origin(letter),
            state: State::default(),
            now: at(0),
            wall: None,
            policy: Policy::default(),
            log: Vec::new(),
            next: Sequence(1),
        };
        node.open(letter, None);
        node
    }

    /// Goes on under a new origin that names the old one.
    pub fn renew_origin(&mut self, letter: char) {
        let last = self.own().last().map(|recorded| recorded.place);
        let previous = last.map(|place| Previous { place, hash: [0; 32] });
        (self.origin, self.next) = (origin(letter), Sequence(1));
        self.open(letter, previous);
    }

    fn open(&mut self, letter: char, previous: Option<Previous>) {
        let opened = LedgerOpened {
            ledger: LedgerId(Uuid::from_u64_pair(0x4000, 0x8000_0000_0000_0000)),
            node: NodeName::new(&format!("node-{letter}")).unwrap(),
            region: Region::new("here").unwrap(),
            format: LOG_FORMAT,
            public_key: [7; 32],
            previous,
            pseudonyms: None,
        };
        self.append(&Caller::Node, None, vec![Draft { tenant: None, event: Event::LedgerOpened(opened) }]);
    }

    /// Two nodes that know of each other.
    pub fn pair() -> (Self, Self) {
        let (mut one, mut other) = (Self::named('a'), Self::named('b'));
        one.receive(&other.log[0].clone());
        other.receive(&one.log[0].clone());
        (one, other)
    }

    pub fn after_seconds(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now.plus_millis(seconds * 1000);
        self
    }

    /// Carries out a command of the root's.
    pub fn ask(&mut self, command: Command) -> Result<Decision, Rejection> {
        self.ask_as(Caller::Root, command)
    }

    /// Carries out a command.
    pub fn ask_as(&mut self, caller: Caller, command: Command) -> Result<Decision, Rejection> {
        self.carry_out(Request { caller, request: None, idempotency: None, command })
    }

    /// Carries out a command of the root's that came with an idempotency key.
    pub fn ask_once(&mut self, key: u8, body: u8, command: Command) -> Result<Decision, Rejection> {
        let idempotency = Some(Idempotency { key: [key; 16], body: [body; 16] });
        self.carry_out(Request { caller: Caller::Root, request: None, idempotency, command })
    }

    /// What a use case would add to the log.
    pub fn decided<C: UseCase>(&self, caller: Caller, command: C) -> Result<Decision, C::Rejection> {
        decide(&self.state, &Request { caller, request: None, idempotency: None, command }, self.context())
    }

    fn context(&self) -> Context {
        Context {
            now: self.now,
            latest: self.wall.map_or(self.now, |wall| wall.max(self.now)),
            earliest: self.wall.map_or(self.now, |wall| wall.min(self.now)),
            is_settled: true,
            origin: self.origin,
            policy: self.policy,
        }
    }

    pub fn carry_out(&mut self, request: Request) -> Result<Decision, Rejection> {
        let decision = decide(&self.state, &request, self.context())?;
        if let Decision::Append(drafts) = &decision {
            self.append(&request.caller, request.idempotency, drafts.clone());
        }
        Ok(decision)
    }

    /// Folds another node's record in.
    pub fn receive(&mut self, recorded: &Recorded) {
        self.state.fold(recorded);
        self.log.push(recorded.clone());
    }

    /// The newest record.
    pub fn last(&self) -> &Recorded {
        self.log.last().unwrap()
    }

    /// The place of the newest record.
    pub fn last_place(&self) -> RecordId {
        self.last().place
    }

    pub fn ticket(&self, n: u64) -> Credential {
        self.state.credentials.get(&ticket_key(digest(n).id())).cloned().unwrap_or_default()
    }

    /// Whether the ticket with that secret is active now.
    pub fn is_active(&self, n: u64) -> bool {
        self.judge(digest(n).id()).is_ok()
    }

    /// Whether the session or token is active now, or why not.
    pub fn judge_key(&self, key: CredentialKey) -> Result<(), Inactive> {
        judge(&self.state, key, self.now).map(drop)
    }

    pub fn judge_session(&self, n: u64) -> Result<(), Inactive> {
        self.judge_key(session_key(n))
    }

    pub fn judge_token(&self, named: &CredentialRef) -> Result<(), Inactive> {
        self.judge_key(token_key(named))
    }

    /// Takes in everything of the other's own that it lacks.
    pub fn catch_up(&mut self, other: &Self) {
        let held: std::collections::BTreeSet<RecordId> = self.log.iter().map(|recorded| recorded.place).collect();
        let missing: Vec<Recorded> = other.own().filter(|one| !held.contains(&one.place)).cloned().collect();
        missing.iter().for_each(|recorded| self.receive(recorded));
    }

    pub fn judge(&self, id: CredentialId) -> Result<(), authledger::domain::Inactive> {
        self.judge_key(ticket_key(id))
    }

    /// This origin's own records.
    pub fn own(&self) -> impl Iterator<Item = &Recorded> {
        self.log.iter().filter(|recorded| recorded.place.origin == self.origin)
    }

    fn append(&mut self, caller: &Caller, idempotency: Option<Idempotency>, drafts: Vec<Draft>) {
        let records = drafts.len() as u64;
        for (n, draft) in drafts.into_iter().enumerate() {
            // The first record of a command has the mark of its idempotency key.
            let digests = if n == 0 { idempotency } else { None };
            let recorded = Recorded {
                place: RecordId { origin: self.origin, sequence: self.next },
                recorded_at: self.now,
                tenant: draft.tenant,
                actor: actor_of(caller, self.origin),
                request: None,
                idempotency: digests.map(|digests| IdempotencyMark { digests, records }),
                event: draft.event,
            };
            self.next = self.next.next();
            self.receive(&recorded);
        }
    }
}
