//! Two nodes of one ledger, each with the records of the other that a test has carried over.

use crate::support::settings::settings;
use std::sync::{Arc, OnceLock};

use authledger::clock::Clock;
use authledger::domain::{
    Caller, Digest, Grants, Kinds, LedgerId, LedgerOpened, NodeName, Origin, Position, RecordId, Recorded, Region,
    Sequence, Subject, Tenant,
};
use authledger::event_log::{Base, Chain, ChainHash, DataDirectory, Reader, encode};
use authledger::feed::{Cursor, FeedFilter, FollowError, FollowStart, Follower, Hub};
use authledger::service::{self, Call, CallerIdentity, NewTicket, Party, Running, SingleNode, Target};
use tempfile::TempDir;

/// A node with its files and its hub.
pub struct HubNode {
    directory: TempDir,
    pub running: Running,
    pub hub: Arc<Hub>,
}

impl HubNode {
    /// The first node of a ledger.
    pub async fn first() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn open(directory: TempDir) -> Self {
        let settings = settings(directory.path().to_owned(), &Clock::system());
        let hub: OnceLock<Arc<Hub>> = OnceLock::new();
        let hooks = |ledger, base: &Base| vec![hub.get_or_init(|| Hub::new(ledger, base.clone())).hook()];
        let lock = DataDirectory::lock(directory.path()).unwrap();
        let root = Digest::of(b"root");
        let reach = Arc::new(SingleNode);
        let running = service::open(lock, settings, Clock::system(), root, reach, hooks, |_, _| {}).await.unwrap();
        Self { running, hub: hub.into_inner().unwrap(), directory }
    }

    pub fn origin(&self) -> Origin {
        self.running.service.origin()
    }

    pub fn ledger(&self) -> LedgerId {
        self.running.service.ledger()
    }

    /// Stops it, and starts it on the same files.
    pub async fn restart(self) -> Self {
        let Self { directory, running, hub } = self;
        drop(hub);
        tokio::task::spawn_blocking(move || running.stop()).await.unwrap().unwrap();
        Self::open(directory).await
    }

    /// Issues a ticket and revokes it; the place of the revocation.
    pub async fn revoke_one(&self, subject: &str) -> RecordId {
        let identity =
            CallerIdentity { caller: Caller::Root, grants: Arc::new(Grants::everything()), registration: None };
        let call = Call { identity, request: None, idempotency: None, consistency: None };
        let subject = Subject::new(subject).unwrap();
        let new = NewTicket { tenant: Tenant::default(), subject, ttl: None, parent: None };
        let issued = self.running.service.issue_ticket(&call, new).await.unwrap();
        let target = Target::Credential(authledger::domain::Kind::Ticket, issued.secret);
        let revoked = self.running.service.revoke(&call, target, authledger::service::Why::default()).await.unwrap();
        self.running.service.records_of(revoked).await.unwrap()[0].recorded.place
    }

    /// Takes in the records of that log from the place up to which it has them.
    pub async fn receive(&self, from: &Foreign) {
        let head = self.running.service.projection().base().heads.get(&from.origin).copied().unwrap_or_default();
        for (record, hash) in &from.records[head.sequence.0 as usize..] {
            self.running.service.ingest(record.as_str().into(), *hash).await.unwrap().unwrap();
        }
    }

    /// Everything in its log as another node would send it, up to its own head or so many records.
    pub fn own_records(&self, at_most: usize) -> Foreign {
        let reader = Reader::open(&self.directory.path().join("ledger.db")).unwrap();
        let mut base = Base::default();
        let mut foreign = Foreign { origin: self.origin(), records: Vec::new() };
        loop {
            let page = reader.next_page(&mut base, 1_000).unwrap();
            if page.is_empty() {
                foreign.records.truncate(at_most);
                return foreign;
            }
            let own = page.into_iter().filter(|stored| stored.place.origin == foreign.origin);
            foreign.records.extend(own.map(|stored| (stored.record.into(), stored.hash)));
        }
    }

    pub async fn follow(&self, start: FollowStart) -> Result<Follower, FollowError> {
        let filter = FeedFilter { grants: Arc::new(Grants::everything()), tenant: None, kinds: Kinds::ALL };
        let reader = self.running.service.reader().clone();
        Follower::start(self.hub.clone(), reader, self.origin(), Party::NODE, filter, start).await
    }

    pub async fn follow_text(&self, cursor: &str) -> Follower {
        self.follow(FollowStart::Cursor(cursor.parse().unwrap())).await.unwrap()
    }
}

/// The log of an origin, on its way to another node.
pub struct Foreign {
    pub origin: Origin,
    pub records: Vec<(String, ChainHash)>,
}

impl Foreign {
    /// Another node of that ledger, of which only the log is there: it revoked the subjects with the numbers 1 to `revocations`.
    pub fn made_up(ledger: LedgerId, origin: Origin, revocations: u64) -> Self {
        let mut made = Self { origin, records: Vec::new() };
        let opened = LedgerOpened {
            ledger,
            node: NodeName::new("far").unwrap(),
            region: Region::new("away").unwrap(),
            format: authledger::domain::LOG_FORMAT,
            public_key: [9; 32],
            previous: None,
            pseudonyms: None,
        };
        made.append(authledger::domain::Event::LedgerOpened(opened));
        for number in 1..=revocations {
            made.append(revocation(number));
        }
        made
    }

    /// The same up to so many records.
    pub fn first(&self, records: usize) -> Self {
        Self { origin: self.origin, records: self.records[..records].to_vec() }
    }

    pub fn append(&mut self, event: authledger::domain::Event) {
        let opening = matches!(event, authledger::domain::Event::LedgerOpened(_));
        let place = RecordId { origin: self.origin, sequence: Sequence(self.records.len() as u64 + 1) };
        let recorded = Recorded {
            place,
            recorded_at: Clock::system().now(),
            tenant: (!opening).then(Tenant::default),
            actor: (!opening).then(|| authledger::domain::actor_of(&Caller::Root, self.origin)).flatten(),
            request: None,
            idempotency: None,
            event,
        };
        let record = encode(&recorded);
        let before = self.records.last().map(|(_, hash)| *hash).unwrap_or_default();
        let hash = Chain::default().link(&before, record.as_bytes());
        self.records.push((record, hash));
    }
}

/// The revocation of everything that a subject has.
pub fn revocation(number: u64) -> authledger::domain::Event {
    let now = Clock::system().now();
    authledger::domain::Event::SubjectRevoked(authledger::domain::SubjectRevoked {
        subject: Subject::new(&format!("far-{number}")).unwrap(),
        kinds: Kinds::ALL,
        issued_before: None,
        not_before: now.as_millis() / 1000,
        hold_until: None,
        retain_until: now.plus_millis(86_400_000),
        reason: None,
        note: None,
    })
}

/// The places of all revocations that the follower gets without waiting, and the cursor that the last of them carries.
pub async fn drain(follower: &mut Follower) -> Vec<RecordId> {
    let mut places = Vec::new();
    loop {
        let taken = follower.take(3).await.unwrap();
        places.extend(taken.frames.iter().map(|frame| frame.filed().recorded.place));
        if !taken.more {
            return places;
        }
    }
}

/// The cursor of a follower that has all of that log up to there and nothing else.
pub fn cursor_at(node: &HubNode, foreign: &Foreign, sequence: usize) -> Cursor {
    let mut base = Base { position: Position(0), heads: Default::default() };
    let head =
        authledger::event_log::Head { sequence: Sequence(sequence as u64), hash: foreign.records[sequence - 1].1 };
    base.heads.insert(foreign.origin, head);
    Cursor::at(node.ledger(), &base)
}
