//! What really happened, which no node knows, and the checks that compare the nodes with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use authledger::cluster::Incarnation;
use authledger::domain::{
    Ancestor, ApplicationId, Cohort, CredentialKey, CredentialRef, Digest, Event, Fingerprint, Inactive, Kind, NodeKey,
    Origin, PresentedToken, RecordId, Recorded, Sequence, State, Subject, Tenant, ancestors,
};
use authledger::event_log::ChainHash;

use super::disk::Entry;
use super::node::{Phase, SimNode, Wait};
use super::world::World;
use crate::support::node::presented_token;

/// How far a node had applied each origin.
pub type Knew = BTreeMap<Origin, Sequence>;

#[derive(Default)]
pub struct Truth {
    /// Every record that exists: one for each place, unless an origin has told two stories.
    records: BTreeMap<RecordId, Vec<(ChainHash, Arc<Recorded>)>>,
    /// The records that the node that recorded it had applied by then.
    pub knew: HashMap<ChainHash, Knew>,
    pub acknowledged: BTreeSet<(RecordId, ChainHash)>,
    /// The records that only a disk held which was replaced, or which nobody reads any more.
    pub lost: BTreeSet<(RecordId, ChainHash)>,
    pub forked: BTreeSet<Origin>,
    /// Origins that some node has found to have told two stories.
    pub evidence: BTreeSet<Origin>,
    pub removed: BTreeSet<NodeKey>,
    /// Runs that another one of the same node has taken the place of.
    pub superseded: BTreeSet<Incarnation>,
    /// Revocations of credentials that were not known where they were revoked.
    pub unseen: BTreeSet<RecordId>,
    /// The records by which any node found a credential revoked.
    inactive: BTreeMap<CredentialKey, BTreeSet<(RecordId, ChainHash)>>,
    /// Every issue: a token says how its ancestors were issued.
    issues: State,
    /// JWTs, as their bearers present them, to whatever node.
    jwts: BTreeMap<CredentialKey, PresentedToken>,
}

/// A check that failed: its name, and the fault.
pub type Checked = Result<(), String>;

fn fail(check: &str, fault: String) -> Checked {
    Err(format!("{check}: {fault}"))
}

impl Truth {
    /// A record exists.
    pub fn exists(&mut self, entry: &Entry) {
        let known = self.records.entry(entry.recorded.place).or_default();
        if known.iter().any(|(hash, _)| *hash == entry.hash) {
            return;
        }
        known.push((entry.hash, entry.recorded.clone()));
        if known.len() > 1 {
            self.forked.insert(entry.recorded.place.origin);
        }
        // The issue of a child needs its parent's, so that was recorded before.
        if entry.recorded.event.facets().issues.is_some() {
            self.issues.fold(&entry.recorded);
        }
        match &entry.recorded.event {
            Event::NodeRemoved(removed) => drop(self.removed.insert(removed.key)),
            Event::Revoked(revoked) if !revoked.known => drop(self.unseen.insert(entry.recorded.place)),
            Event::TokenIssued(issued) if matches!(issued.name, CredentialRef::Jwt { .. }) => {
                let presented = PresentedToken {
                    tenant: entry.recorded.tenant.clone().unwrap_or_default(),
                    issued_at_seconds: Some(entry.recorded.recorded_at.as_seconds()),
                    expires_at: Some(issued.expires_at),
                    generation: Some(issued.generation.clone()),
                    ancestors: ancestors(&self.issues, issued.parent),
                    application: entry.recorded.application(),
                    key: issued.key.clone(),
                    ..presented_token(issued.name.clone(), issued.subject.clone())
                };
                self.jwts.insert(issued.key(), presented);
            }
            _ => {}
        }
    }

    /// The records that only that disk has held are lost.
    pub fn lose(&mut self, disk: &super::disk::Disk, after: &super::disk::Disk, others: &[&SimNode]) {
        for entry in &disk.log[..disk.synced] {
            let (place, hash) = (entry.recorded.place, entry.hash);
            if after.has(place, hash) || others.iter().any(|node| node.disk.has(place, hash)) {
                continue;
            }
            self.lost.insert((place, hash));
            if let Some(known) = self.records.get_mut(&place) {
                known.retain(|(one, _)| *one != hash);
            }
        }
    }

    fn sound(&self) -> impl Iterator<Item = (ChainHash, &Arc<Recorded>)> {
        let sound = self.records.iter().filter(|(place, _)| !self.forked.contains(&place.origin));
        sound.flat_map(|(_, known)| known.iter().map(|(hash, recorded)| (*hash, recorded)))
    }
}

/// What is revoked as a whole.
#[derive(PartialEq, Eq)]
enum Whole {
    Subject(Tenant, Subject),
    /// What an application issued.
    Application(ApplicationId),
}

/// The revocation of a subject or of what an application issued, and the kinds.
struct WholeRevocation {
    place: RecordId,
    whole: Whole,
    kinds: Vec<Kind>,
}

struct Issue {
    key: CredentialKey,
    digest: Option<Digest>,
    place: RecordId,
    hash: ChainHash,
    wholes: Vec<Whole>,
}

fn issue_of(hash: ChainHash, recorded: &Recorded) -> Option<Issue> {
    let (key, digest, subject) = match &recorded.event {
        Event::TicketIssued(issued) => {
            (CredentialKey { kind: Kind::Ticket, id: issued.digest.id() }, Some(issued.digest), &issued.subject)
        }
        Event::SessionIssued(issued) => {
            (CredentialKey { kind: Kind::Session, id: issued.id }, issued.digest, &issued.subject)
        }
        Event::TokenIssued(issued) => (issued.key(), issued.name.digest().copied(), &issued.subject),
        _ => return None,
    };
    let whose = recorded.tenant.clone().map(|tenant| Whole::Subject(tenant, subject.clone()));
    let wholes = whose.into_iter().chain(recorded.application().map(Whole::Application)).collect();
    Some(Issue { key, digest, place: recorded.place, hash, wholes })
}

fn whole_revocation_of(recorded: &Recorded) -> Option<WholeRevocation> {
    let of = |subject: &Subject| Some(Whole::Subject(recorded.tenant.clone()?, subject.clone()));
    let (whole, kinds) = match &recorded.event {
        Event::SubjectRevoked(revoked) => (of(&revoked.subject)?, revoked.kinds.iter().collect()),
        Event::SubjectErased(erased) => (of(&erased.subject)?, Kind::ALL.to_vec()),
        Event::CohortRevoked(revoked) => {
            let Cohort::Application(id) = revoked.cohort else { return None };
            (Whole::Application(id), revoked.kinds.iter().collect())
        }
        _ => return None,
    };
    Some(WholeRevocation { place: recorded.place, whole, kinds })
}

impl World {
    /// At a node: a credential that was found revoked by a record stays so wherever that record has been applied.
    pub fn nothing_comes_back(&mut self, slot: usize) -> Checked {
        let node = &self.nodes[slot];
        let now = self.clock(slot);
        let held = node.state.credentials.keys().copied();
        let keys: BTreeSet<CredentialKey> = held.chain(self.truth.jwts.keys().copied()).collect();
        let mut forgotten_jwts = 0;
        for key in keys {
            let jwt = self.truth.jwts.get(&key);
            let judged = node.weakness.judge(&node.state, &self.truth.unseen, key, jwt, now);
            let credential = node.state.credentials.get(&key);
            forgotten_jwts +=
                u64::from(jwt.is_some() && credential.is_none_or(|credential| credential.issue.is_none()));
            // A removal is not a revocation: its extent is known only once all records about joined nodes have arrived.
            let revocations = |place: RecordId| {
                node.disk.at(place).is_some_and(|entry| !matches!(entry.recorded.event, Event::NodeRemoved(_)))
            };
            if let Err(Inactive::Revoked(place, _)) = judged
                && revocations(place)
            {
                // A record that was not synced may be gone after a crash, and another one stand in its place.
                let hash = node.disk.hash_at(place.origin, place.sequence).unwrap();
                self.truth.inactive.entry(key).or_default().insert((place, hash));
            }
            // The revocation of an ancestor revokes its descendants where all between them are known.
            let issue = credential.and_then(|credential| credential.issue.as_ref());
            let lineage = || -> Vec<CredentialKey> {
                match (issue, jwt) {
                    (Some(issue), _) => {
                        ancestors(&self.truth.issues, issue.parent()).iter().map(Ancestor::key).collect()
                    }
                    (None, Some(jwt)) => jwt.ancestors.iter().map(Ancestor::key).collect(),
                    (None, None) => Vec::new(),
                }
            };
            if judged.is_ok()
                && let Some(places) = self.truth.inactive.get(&key)
                && let Some((place, _)) = places.iter().find(|(place, hash)| {
                    node.disk.hash_at(place.origin, place.sequence) == Some(*hash)
                        && !self.truth.forked.contains(&place.origin)
                })
                && lineage().into_iter().all(|ancestor| node.disk.has_issued(ancestor))
            {
                let by = node.disk.at(*place).map(|entry| &*entry.text);
                let issued = node
                    .disk
                    .log
                    .iter()
                    .find(|entry| issue_of(entry.hash, &entry.recorded).is_some_and(|issue| issue.key == key));
                let by = by.unwrap_or_default();
                let issued = issued.map_or("", |entry| &entry.text);
                return fail(
                    "nothing revoked comes back",
                    format!("{issued}, revoked by {by}, is active at node {slot}"),
                );
            }
        }
        self.count_by("JWT judged without its issue in memory", forgotten_jwts);
        Ok(())
    }

    /// At the moment when a node says that all have applied a record.
    pub fn reached_in_truth(&self, asked: usize, wait: &Wait) -> Checked {
        // Two processes with one key are one member: as long as they have not met, each may speak for both.
        let is_copied = self.counts.get("clone").is_some_and(|clones| *clones > 0);
        let is_removed = self.truth.removed.contains(&self.nodes[asked].key());
        if is_copied || is_removed || self.truth.forked.contains(&wait.place.origin) {
            return Ok(());
        }
        for (slot, node) in self.nodes.iter().enumerate() {
            let counts = node.disk.admitted
                && !self.replaced[slot]
                && node.disk.incarnation.is_some_and(|run| !self.truth.superseded.contains(&run))
                && node.phase != Phase::Halted
                && !self.truth.removed.contains(&node.key())
                && wait.region.as_ref().is_none_or(|region| *region == node.disk.region);
            if counts && node.disk.durable(wait.place.origin) < wait.place.sequence {
                let there = &self.nodes[asked];
                let said: Vec<_> =
                    there.positions.of(node.key()).map(|heard| heard.applied(wait.place.origin)).collect();
                let waited_for = there.members().counting(None).any(|(key, _)| key == node.key());
                return fail(
                    "nobody is told too early",
                    format!(
                        "node {asked} says that all have applied {wait:?}, node {slot} has not: it said {said:?}, is waited for: {waited_for}"
                    ),
                );
            }
        }
        Ok(())
    }

    /// The nodes that can talk, and belong together.
    pub fn participants(&self) -> Vec<usize> {
        let fit = |slot: &usize| {
            let node = &self.nodes[*slot];
            node.phase == Phase::Running && !self.truth.removed.contains(&node.key())
        };
        let Some(first) = (0..self.nodes.len()).find(|slot| fit(slot) && self.nodes[*slot].disk.admitted) else {
            return Vec::new();
        };
        let members = self.nodes[first].members();
        // Two that were started at once on one origin take nothing of it from one another.
        let is_twin = |slot: &usize| {
            let twins = self.slots(|node| node.disk.own == self.nodes[*slot].disk.own && node.phase == Phase::Running);
            twins.len() > 1
        };
        let present = |slot: &usize| members.present().any(|(key, _, _)| key == self.nodes[*slot].key());
        (0..self.nodes.len()).filter(fit).filter(present).filter(|slot| !is_twin(slot)).collect()
    }

    /// When everything has been healed and delivered.
    pub fn check_at_the_end(&mut self) -> Checked {
        self.forks_are_noticed()?;
        let participants = self.participants();
        for slot in 0..self.nodes.len() {
            self.nothing_comes_back(slot)?;
        }
        self.revocations_hold(&participants)?;
        self.revocations_of_wholes_hold(&participants)?;
        self.seals_hold(&participants)?;
        if !self.truth.forked.is_empty() {
            self.count("run with a fork");
            return Ok(());
        }
        self.nothing_is_lost(&participants)?;
        self.all_agree(&participants)
    }

    /// Where two of the nodes that are left hold two stories, one has noticed. A story that only disks held which are lost, or nodes which
    /// are removed or were refused when they joined, and which nobody asks, can be noticed by nobody: the origin is whole again.
    fn forks_are_noticed(&mut self) -> Checked {
        let mut left: BTreeMap<RecordId, ChainHash> = BTreeMap::new();
        let mut forked = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| self.is_asked(node)) {
            for entry in &node.disk.log[..node.disk.synced] {
                let place = entry.recorded.place;
                if left.insert(place, entry.hash).is_some_and(|other| other != entry.hash) {
                    forked.insert(place.origin);
                }
            }
        }
        if let Some(origin) = forked.difference(&self.truth.evidence).next() {
            return fail("no fork goes unnoticed", format!("{origin} has told two stories, and nobody knows"));
        }
        let healed = self.truth.forked.difference(&forked).filter(|origin| !self.truth.evidence.contains(origin));
        let healed: BTreeSet<Origin> = healed.copied().collect();
        for (place, known) in self.truth.records.iter_mut().filter(|(place, _)| healed.contains(&place.origin)) {
            known.retain(|(hash, _)| left.get(place) == Some(hash));
        }
        self.count_by("fork whose other story is lost", healed.len() as u64);
        self.truth.forked = forked.union(&self.truth.evidence).copied().collect();
        Ok(())
    }

    fn nothing_is_lost(&self, participants: &[usize]) -> Checked {
        for (place, hash) in self.truth.acknowledged.difference(&self.truth.lost) {
            let has = |node: &SimNode| node.disk.has(*place, *hash);
            // A record that only a node held which was removed since is lost with it.
            let gone = self.nodes.iter().any(|node| self.truth.removed.contains(&node.key()) && has(node));
            if gone && !participants.iter().any(|slot| has(&self.nodes[*slot])) {
                continue;
            }
            if let Some(slot) = participants.iter().find(|slot| !has(&self.nodes[**slot])) {
                return fail("nothing acknowledged is lost", format!("{place:?} is not at node {slot}"));
            }
        }
        Ok(())
    }

    fn all_agree(&mut self, participants: &[usize]) -> Checked {
        let Some((first, rest)) = participants.split_first() else { return Ok(()) };
        // Later than any clock: all forget what one has swept.
        let at = self.latest_clock();
        // A sweep forgets expired credentials, and later records of the same ones stand alone: then replays are compared.
        let swept = self.counts.contains_key("sweep");
        let pruned = |node: &SimNode| {
            let mut state = if swept { node.disk.state() } else { node.state.clone() };
            state.prune(at);
            state.rows()
        };
        let applied = self.nodes[*first].disk.applied();
        let rows = pruned(&self.nodes[*first]);
        for slot in rest {
            let other = &self.nodes[*slot];
            if other.disk.applied() != applied {
                let ours = other.disk.applied();
                return fail("all agree", format!("node {first} holds {applied:?}, node {slot} {ours:?}"));
            }
            let theirs = pruned(other);
            if Fingerprint::of_sorted(&rows) != Fingerprint::of_sorted(&theirs) {
                let odd = rows.iter().zip(&theirs).find(|(one, other)| one != other);
                return fail("all agree", format!("nodes {first} and {slot} differ in {odd:?}"));
            }
        }
        self.count_by("credential that all agree on", rows.len() as u64);
        Ok(())
    }

    /// A credential that was revoked by its id or its secret, known there or not, is inactive wherever issue and revocation are applied.
    fn revocations_hold(&self, participants: &[usize]) -> Checked {
        let issues: Vec<Issue> = self.truth.sound().filter_map(|(hash, recorded)| issue_of(hash, recorded)).collect();
        for (_, recorded) in self.truth.sound() {
            let Event::Revoked(revoked) = &recorded.event else { continue };
            let digest = revoked.credential.digest();
            let is_it =
                |issue: &&Issue| issue.key == revoked.key() || digest.is_some() && issue.digest.as_ref() == digest;
            for issue in issues.iter().filter(is_it) {
                self.inactive_where_both_are("a revoked credential is inactive", participants, issue, recorded.place)?;
            }
        }
        Ok(())
    }

    /// A credential of a node that had not applied the revocation of its subject or application is inactive wherever both
    /// are applied.
    fn revocations_of_wholes_hold(&self, participants: &[usize]) -> Checked {
        let revocations: Vec<WholeRevocation> =
            self.truth.sound().filter_map(|(_, recorded)| whole_revocation_of(recorded)).collect();
        for issue in self.truth.sound().filter_map(|(hash, recorded)| issue_of(hash, recorded)) {
            let Some(knew) = self.truth.knew.get(&issue.hash) else { continue };
            let knew = |place: RecordId| knew.get(&place.origin).is_some_and(|far| *far >= place.sequence);
            let of_it = revocations.iter().filter(|revocation| {
                issue.wholes.contains(&revocation.whole)
                    && revocation.kinds.contains(&issue.key.kind)
                    && !knew(revocation.place)
            });
            for revocation in of_it {
                self.inactive_where_both_are(
                    "a credential issued before its subject or application was revoked is inactive",
                    participants,
                    &issue,
                    revocation.place,
                )?;
            }
        }
        Ok(())
    }

    /// A credential of a removed node that was not known where it was removed is inactive wherever both are applied.
    fn seals_hold(&self, participants: &[usize]) -> Checked {
        let removals = self.truth.sound().filter_map(|(hash, recorded)| match &recorded.event {
            Event::NodeRemoved(removed) => Some((recorded.place, self.truth.knew.get(&hash)?, removed.key)),
            _ => None,
        });
        for (place, knew, key) in removals {
            let of_it = |issue: &Issue| {
                let opening = RecordId { origin: issue.place.origin, sequence: Sequence(1) };
                let opened = self.truth.records.get(&opening).and_then(|known| known.first());
                opened.is_some_and(|(_, opened)| matches!(&opened.event, Event::LedgerOpened(opened) if opened.public_key == *key.as_bytes()))
            };
            for issue in self.truth.sound().filter_map(|(hash, recorded)| issue_of(hash, recorded)).filter(of_it) {
                if knew.get(&issue.place.origin).is_none_or(|far| *far < issue.place.sequence) {
                    self.inactive_where_both_are(
                        "a credential that a removed node issued beyond its seal is inactive",
                        participants,
                        &issue,
                        place,
                    )?;
                }
            }
        }
        Ok(())
    }

    fn inactive_where_both_are(&self, check: &str, participants: &[usize], issue: &Issue, by: RecordId) -> Checked {
        for slot in participants {
            let node = &self.nodes[*slot];
            let both = [issue.place, by].iter().all(|place| node.disk.held(place.origin) >= place.sequence);
            let jwt = self.truth.jwts.get(&issue.key);
            let judged = node.weakness.judge(&node.state, &self.truth.unseen, issue.key, jwt, self.clock(*slot));
            if both && judged.is_ok() {
                return fail(
                    check,
                    format!(
                        "{:?}, issued at {:?}, is active at node {slot} in spite of {by:?}",
                        issue.key, issue.place
                    ),
                );
            }
        }
        Ok(())
    }
}
