//! Published status lists, made again from the log: the same array, and the same bytes.
//!
//! An entry is set by the first publication that follows from a record that revokes its token, unless the token has expired by then. So what
//! is published depends on nothing but the records up to each publication's `upto`, whatever the order in which nodes heard of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::{AuditError, pages};
use crate::domain::{
    CredentialId, CredentialKey, Event, HashMap, Inactive, KeyId, KeyPublished, Kind, Kinds, MAX_ANCESTORS, Origin,
    Position, RecordId, Recorded, Revokes, Sequence, State, StatusListId, StatusListOpened, StatusListPublished,
    Subject, Tenant, Timestamp, View as _, judge,
};
use crate::event_log::{Base, ReadError, Reader, RowRecord};
use crate::status_list::{self, StatusArray, StatusWidth, list_uri, verifies};

/// A publication, made again.
#[derive(Clone, Debug)]
pub struct RebuiltStatusList {
    /// The record.
    pub place: RecordId,
    pub published: Arc<StatusListPublished>,
    /// The address of the list. Nothing, if the log does not have the key that signed it.
    pub uri: Option<String>,
    /// The array that follows from the log.
    pub array: StatusArray,
    /// The token. Nothing, if records are missing, this release does not have the encoder, or the log does not have the key.
    pub token: Option<String>,
    /// Whether this log has all records that it follows from. Those of other nodes may still arrive.
    pub is_whole: bool,
    /// What is wrong with the publication.
    pub flaw: Option<StatusListFlaw>,
}

/// The ways in which a publication can differ from the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusListFlaw {
    /// The records lead to another array.
    #[error("status list {list}, published at {iat}: the records lead to another array")]
    Array { list: StatusListId, iat: u64 },
    /// The signature is not by the published key over these bytes.
    #[error("status list {list}, published at {iat}: the signature by key {kid} does not fit what the records lead to")]
    Signature { list: StatusListId, iat: u64, kid: KeyId },
    /// The log has no such key.
    #[error("status list {list}, published at {iat}: the log has no key {kid}")]
    Key { list: StatusListId, iat: u64, kid: KeyId },
    /// It was published no later than the one before it, or from fewer records.
    #[error(
        "status list {list}, published at {iat}: its time or its records are not after those of the previous publication"
    )]
    Order { list: StatusListId, iat: u64 },
    /// It follows from itself, or from later records of its origin.
    #[error(
        "status list {list}, published at {iat}: it follows from record {origin}/{sequence}, which is not before it"
    )]
    Beyond { list: StatusListId, iat: u64, origin: Origin, sequence: u64 },
    /// The list was never opened.
    #[error("status list {list}, published at {iat}: the log has no opening of it")]
    Unopened { list: StatusListId, iat: u64 },
}

/// The publication of that list with the greatest `iat` up to that one, made again; without `at` the last one. Nothing if there is none.
///
/// `progress` is called once for each page with the position reached and the last one.
pub fn status_list(
    path: &Path,
    list: StatusListId,
    at: Option<u64>,
    mut progress: impl FnMut(Position, Position),
) -> Result<Option<RebuiltStatusList>, AuditError> {
    let gathered = Gathered::read(path, Some(list), &mut progress)?;
    let mut found = None;
    gathered.each_publication(list, at, |rebuilt| found = Some(rebuilt));
    Ok(found.map(|found| gathered.with_token(found)))
}

/// The number of publications in the log, and what is wrong with them.
pub fn status_lists(
    path: &Path,
    mut progress: impl FnMut(Position, Position),
) -> Result<(u64, Vec<(RecordId, StatusListFlaw)>), AuditError> {
    let gathered = Gathered::read(path, None, &mut progress)?;
    let (mut count, mut flaws) = (0, Vec::new());
    for list in gathered.publications.keys() {
        gathered.each_publication(*list, None, |rebuilt| {
            count += 1;
            let rebuilt = gathered.with_token(rebuilt);
            flaws.extend(rebuilt.flaw.map(|flaw| (rebuilt.place, flaw)));
        });
    }
    Ok((count, flaws))
}

/// The records that published lists depend on.
#[derive(Default)]
struct Gathered {
    opened: BTreeMap<StatusListId, StatusListOpened>,
    publications: BTreeMap<StatusListId, Vec<(RecordId, Arc<StatusListPublished>)>>,
    keys: BTreeMap<KeyId, KeyPublished>,
    /// The tokens with an entry, list by list.
    tokens: BTreeMap<StatusListId, Vec<Recorded>>,
    /// The issues of their ancestors.
    ancestors: HashMap<CredentialKey, Vec<Recorded>>,
    /// Everything that revokes, and every opening, join and removal of a node.
    others: Vec<Recorded>,
    heads: BTreeMap<Origin, Sequence>,
}

impl Gathered {
    fn read(
        path: &Path,
        only: Option<StatusListId>,
        progress: &mut impl FnMut(Position, Position),
    ) -> Result<Self, AuditError> {
        let reader = Reader::open(path)?;
        let head = reader.head().map_err(|error| AuditError::from_read(error, &Base::default()))?;
        let mut gathered = Self::default();
        let base = pages::read(&reader, head, progress, relevant, |records| {
            records.into_iter().flatten().for_each(|recorded| gathered.take(recorded, only));
            Ok(())
        })?;
        gathered.heads = base.heads.iter().map(|(origin, head)| (*origin, head.sequence)).collect();
        gathered.publications.values_mut().for_each(|all| all.sort_by_key(|(place, one)| (one.iat, *place)));
        gathered.read_ancestors(&reader, head)?;
        Ok(gathered)
    }

    fn take(&mut self, recorded: Recorded, only: Option<StatusListId>) {
        let is_wanted = |list: &StatusListId| only.is_none_or(|only| only == *list);
        match &recorded.event {
            Event::StatusListOpened(opened) => drop(self.opened.entry(opened.list).or_insert(*opened)),
            Event::StatusListPublished(published) if is_wanted(&published.list) => {
                let publication = (recorded.place, Arc::new((**published).clone()));
                self.publications.entry(published.list).or_default().push(publication);
            }
            Event::KeyPublished(key) => drop(self.keys.entry(key.id.clone()).or_insert_with(|| key.clone())),
            Event::TokenIssued(issued) => match issued.status {
                Some(status) if is_wanted(&status.list) => {
                    self.tokens.entry(status.list).or_default().push(recorded);
                }
                _ => {}
            },
            Event::StatusListPublished(_) => {}
            _ => self.others.push(recorded),
        }
    }

    /// Ancestors come before their descendants, so which of them count is known at the end, generation by generation.
    fn read_ancestors(&mut self, reader: &Reader, head: Position) -> Result<(), AuditError> {
        let mut wanted: BTreeSet<CredentialKey> = self.tokens.values().flatten().filter_map(parent_of).collect();
        for _ in 0..MAX_ANCESTORS {
            if wanted.is_empty() {
                break;
            }
            let kinds: Kinds = wanted.iter().map(|key| key.kind).collect();
            let of_wanted = |type_name: &str| kinds.iter().any(|kind| issued_as(kind) == type_name);
            let issue = |row: &RowRecord<'_>| -> Result<Option<(CredentialKey, Recorded)>, ReadError> {
                if !type_of(row.record).is_some_and(of_wanted) {
                    return Ok(None);
                }
                let recorded = row.decode()?;
                let key = recorded.event.facets().issues.map(|issues| issues.key());
                Ok(key.filter(|key| wanted.contains(key)).map(|key| (key, recorded)))
            };
            let mut found: Vec<(CredentialKey, Recorded)> = Vec::new();
            pages::read(reader, head, &mut |_, _| {}, issue, |records| {
                found.extend(records.into_iter().flatten());
                Ok(())
            })?;
            let above: BTreeSet<_> = found.iter().filter_map(|(_, recorded)| parent_of(recorded)).collect();
            found.into_iter().for_each(|(key, recorded)| self.ancestors.entry(key).or_default().push(recorded));
            wanted = above.into_iter().filter(|key| !self.ancestors.contains_key(key)).collect();
        }
        Ok(())
    }

    /// Makes the publications of a list again, one after the other, up to the last with an `iat` of at most `at`.
    fn each_publication(&self, list: StatusListId, at: Option<u64>, mut show: impl FnMut(RebuiltStatusList)) {
        let publications = self.publications.get(&list).map(Vec::as_slice).unwrap_or_default();
        let tokens = self.tokens.get(&list).map(Vec::as_slice).unwrap_or_default();
        let entries = self.opened.get(&list).map(|opened| opened.entries);
        let mut making = Making::new(self, tokens, entries.unwrap_or_default());
        let mut before: Option<&StatusListPublished> = None;
        for (place, published) in publications.iter().take_while(|(_, one)| at.is_none_or(|at| one.iat <= at)) {
            making.reach(published);
            let is_there = |(origin, sequence)| self.heads.get(origin).is_some_and(|head| sequence <= head);
            let is_whole = published.upto.iter().all(is_there);
            let differs = is_whole && making.array.hash() != published.array;
            let flaw = match (entries, misplaced(*place, published, before)) {
                (None, _) => Some(StatusListFlaw::Unopened { list, iat: published.iat }),
                (Some(_), Some(flaw)) => Some(flaw),
                (Some(_), None) => differs.then_some(StatusListFlaw::Array { list, iat: published.iat }),
            };
            let array = making.array.clone();
            before = Some(published);
            let (published, uri, token) = (published.clone(), None, None);
            show(RebuiltStatusList { place: *place, published, uri, array, token, is_whole, flaw });
        }
    }

    /// The same with its token, whose signature is checked.
    fn with_token(&self, rebuilt: RebuiltStatusList) -> RebuiltStatusList {
        let published = &rebuilt.published;
        let (list, iat, kid) = (published.list, published.iat, published.kid.clone());
        let Some(key) = self.keys.get(&kid) else {
            let flaw = rebuilt.flaw.or(Some(StatusListFlaw::Key { list, iat, kid }));
            return RebuiltStatusList { flaw, ..rebuilt };
        };
        let token = status_list::token(published, &key.issuer, &rebuilt.array).filter(|_| rebuilt.is_whole);
        let is_signed = |token: &String| {
            let signed = token.rsplit_once('.').zip(status_list::signature_of(token));
            signed.is_some_and(|((input, _), signature)| {
                verifies(&key.jwk, &published.algorithm, input.as_bytes(), &signature)
            })
        };
        let forged = token.as_ref().is_some_and(|token| !is_signed(token));
        let flaw = rebuilt.flaw.or(forged.then_some(StatusListFlaw::Signature { list, iat, kid }));
        RebuiltStatusList { uri: Some(list_uri(&key.issuer, list)), token, flaw, ..rebuilt }
    }
}

/// Whether it is later than the publication before, and follows from records before it.
fn misplaced(
    place: RecordId,
    published: &StatusListPublished,
    before: Option<&StatusListPublished>,
) -> Option<StatusListFlaw> {
    let (list, iat) = (published.list, published.iat);
    let shrinks = |before: &StatusListPublished| {
        let reached = |origin: &Origin| published.upto.get(origin).copied().unwrap_or_default();
        before.iat >= iat || before.upto.iter().any(|(origin, sequence)| reached(origin) < *sequence)
    };
    if before.is_some_and(shrinks) {
        return Some(StatusListFlaw::Order { list, iat });
    }
    let own = published.upto.get(&place.origin).filter(|own| **own >= place.sequence)?;
    Some(StatusListFlaw::Beyond { list, iat, origin: place.origin, sequence: own.0 })
}

/// The credential that the one in that record came from.
fn parent_of(recorded: &Recorded) -> Option<CredentialKey> {
    recorded.event.facets().issues?.parent.map(|parent| parent.key)
}

const fn issued_as(kind: Kind) -> &'static str {
    match kind {
        Kind::Ticket => "ticket.issued",
        Kind::Session => "session.issued",
        Kind::Token => "token.issued",
    }
}

/// Records that no list depends on, except those of a token's ancestors, and that most logs have most of.
const OF_NO_LIST: [&str; 4] = ["ticket.issued", "tickets.renewed", "session.issued", "session.extended"];

/// The type that the record names: no member before that has quotes in its value.
fn type_of(record: &str) -> Option<&str> {
    Some(record.split_once(r#""type":""#)?.1.split_once('"')?.0)
}

/// The record, if a list may depend on it.
fn relevant(row: &RowRecord<'_>) -> Result<Option<Recorded>, ReadError> {
    if type_of(row.record).is_some_and(|name| OF_NO_LIST.contains(&name)) {
        return Ok(None);
    }
    let recorded = row.decode()?;
    Ok(match &recorded.event {
        Event::TokenIssued(issued) => issued.status.is_some(),
        // Of a ticket that was known it is that ticket's alone.
        Event::Revoked(revoked) => revoked.kind != Kind::Ticket || !revoked.known,
        Event::LedgerOpened(_)
        | Event::SubjectRevoked(_)
        | Event::CohortRevoked(_)
        | Event::SubjectErased(_)
        | Event::KeyPublished(_)
        | Event::StatusListOpened(_)
        | Event::StatusListPublished(_)
        | Event::NodeJoined(_)
        | Event::NodeRemoved(_) => true,
        _ => false,
    }
    .then_some(recorded))
}

/// A list that is being made: the fold of the records so far, and the array that was published last.
struct Making<'a> {
    state: State,
    array: StatusArray,
    /// The tokens whose entries are not settled: their index, and when they expire.
    open: HashMap<CredentialKey, (u32, u64)>,
    by_subject: HashMap<(Tenant, Subject), Vec<CredentialKey>>,
    by_ancestor: HashMap<CredentialId, Vec<CredentialKey>>,
    /// What is not folded in yet, origin by origin, the earliest last.
    waiting: BTreeMap<Origin, Vec<&'a Recorded>>,
}

impl<'a> Making<'a> {
    fn new(gathered: &'a Gathered, tokens: &'a [Recorded], entries: u32) -> Self {
        let mut making = Self {
            state: State::default(),
            array: StatusArray::new(StatusWidth::One, entries),
            open: HashMap::default(),
            by_subject: HashMap::default(),
            by_ancestor: HashMap::default(),
            waiting: BTreeMap::new(),
        };
        tokens.iter().for_each(|token| making.expect(token, gathered));
        let ancestors = gathered.ancestors.iter().filter(|(key, _)| making.by_ancestor.contains_key(&key.id));
        let ancestors = ancestors.flat_map(|(_, issues)| issues);
        let others = gathered.others.iter().filter(|recorded| making.concerns(recorded));
        let mut waiting: BTreeMap<Origin, Vec<&Recorded>> = BTreeMap::new();
        for recorded in tokens.iter().chain(ancestors).chain(others) {
            waiting.entry(recorded.place.origin).or_default().push(recorded);
        }
        waiting.values_mut().for_each(|all| all.sort_by_key(|one| std::cmp::Reverse(one.place.sequence)));
        making.waiting = waiting;
        making
    }

    fn expect(&mut self, recorded: &Recorded, gathered: &Gathered) {
        let Event::TokenIssued(issued) = &recorded.event else { return };
        let Some(status) = issued.status else { return };
        let (key, tenant) = (issued.key(), recorded.tenant.clone().unwrap_or_default());
        self.open.insert(key, (status.index, issued.expires_at.as_seconds()));
        self.by_subject.entry((tenant, issued.subject.clone())).or_default().push(key);
        let (mut next, mut above) = (vec![recorded], 0);
        while above < MAX_ANCESTORS {
            let parents: BTreeSet<CredentialKey> = next.into_iter().filter_map(parent_of).collect();
            // An id may have been issued twice, and either issue may be the one that counts.
            next = parents.iter().filter_map(|parent| gathered.ancestors.get(parent)).flatten().collect();
            parents.iter().for_each(|parent| self.by_ancestor.entry(parent.id).or_default().push(key));
            for issues in next.iter().filter_map(|recorded| recorded.event.facets().issues) {
                let whose = (recorded.tenant.clone().unwrap_or_default(), issues.subject.clone());
                self.by_subject.entry(whose).or_default().push(key);
            }
            above += 1;
        }
    }

    /// Whether the record may decide about a token of the list. The secret of a session is known only by its issue.
    fn concerns(&self, recorded: &Recorded) -> bool {
        match &recorded.event {
            Event::Revoked(revoked) => match revoked.kind {
                Kind::Token => {
                    self.open.contains_key(&revoked.key())
                        || self.by_ancestor.contains_key(&revoked.credential.id())
                        || revoked.credential.digest().is_some()
                }
                Kind::Session | Kind::Ticket => {
                    self.by_ancestor.contains_key(&revoked.credential.id()) || revoked.credential.digest().is_some()
                }
            },
            Event::SubjectRevoked(revoked) => self.has_subject(recorded, &revoked.subject),
            Event::SubjectErased(erased) => self.has_subject(recorded, &erased.subject),
            _ => true,
        }
    }

    fn has_subject(&self, recorded: &Recorded, subject: &Subject) -> bool {
        self.by_subject.contains_key(&(recorded.tenant.clone().unwrap_or_default(), subject.clone()))
    }

    /// Folds the records in that the publication follows from, and sets the entries of tokens that they have revoked and that have not expired.
    fn reach(&mut self, published: &StatusListPublished) {
        let mut touched = BTreeSet::new();
        let mut all = false;
        for (origin, until) in &published.upto {
            let waiting = self.waiting.get_mut(origin);
            let due = waiting.map(|waiting| {
                let first = waiting.partition_point(|recorded| recorded.place.sequence > *until);
                waiting.split_off(first)
            });
            for recorded in due.unwrap_or_default().into_iter().rev() {
                self.state.fold(recorded);
                all |= self.touch(recorded, &mut touched);
            }
        }
        if all {
            touched.extend(self.open.keys().copied());
        }
        for key in touched {
            let Some((index, expires_at)) = self.open.get(&key).copied() else { continue };
            // A revocation counts before an expiry, so the instant does not matter.
            if let Err(Inactive::Revoked(..)) = judge(&self.state, key, Timestamp::default()) {
                self.open.remove(&key);
                if published.iat < expires_at {
                    self.array.set(index, 1);
                }
            }
        }
    }

    /// Names the tokens that the record may revoke. True, if that is any.
    fn touch(&self, recorded: &Recorded, touched: &mut BTreeSet<CredentialKey>) -> bool {
        let mut add = |tokens: Option<&Vec<CredentialKey>>| touched.extend(tokens.into_iter().flatten());
        let facets = recorded.event.facets();
        if let Some(issues) = &facets.issues {
            let id = issues.name.id();
            add((issues.kind == Kind::Token).then_some(&vec![CredentialKey { kind: Kind::Token, id }]));
            add(self.by_ancestor.get(&id));
        }
        match &recorded.event {
            Event::NodeRemoved(_) => return true,
            _ => match facets.revokes {
                None => {}
                Some(Revokes::Cohort(_)) => return true,
                Some(Revokes::Subject(all)) => {
                    let tenant = recorded.tenant.clone().unwrap_or_default();
                    add(self.by_subject.get(&(tenant, all.subject.clone())));
                }
                Some(Revokes::Credential(revoked)) => {
                    add((revoked.kind == Kind::Token).then_some(&vec![revoked.key()]));
                    // A session's secret may have been revoked while nobody knew whose it is.
                    let session = revoked.credential.digest().and_then(|digest| self.state.session_with(digest));
                    for id in session.into_iter().chain([revoked.credential.id()]) {
                        add(self.by_ancestor.get(&id));
                    }
                }
            },
        }
        false
    }
}
