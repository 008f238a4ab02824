//! Accepting records of other origins: signed by a node that joined, in order, without gaps, on one chain.

use super::anchors::Anchors;
use super::head::SignedHead;
use super::parcel::Parcel;
use crate::domain::{Event, LedgerId, Members, NodeKey, Origin, Previous, Reads, RecordId, Recorded, Sequence};
use crate::event_log::{Chain, ChainHash, Head, RecordError, decode};

/// The state of this node when a parcel arrives.
pub struct IngestContext<'a> {
    pub ledger: LedgerId,
    /// This node's own origin, which only this node continues.
    pub own: Origin,
    /// The nodes of the ledger, as far as this one has heard.
    pub members: &'a Members,
    /// The keys that this node was told to trust when it joined.
    pub anchors: &'a Anchors,
    /// The events that this node reads.
    pub reads: &'a Reads,
    /// The head of the parcel's origin here.
    pub head: Head,
}

/// A record of another origin to be appended.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// The fact.
    pub recorded: Recorded,
    /// Its bytes.
    pub record: Box<str>,
    /// The origin's chain up to and with it.
    pub hash: ChainHash,
}

/// Why a parcel is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not a parcel.
    #[error("it is not a parcel of records")]
    Malformed,
    /// No member has the key, as far as this node knows.
    #[error("its origin does not belong to a member")]
    NotAMember,
    /// The head was not signed by the origin.
    #[error("its head was not signed by its origin")]
    BadSignature,
    /// The records do not lead to the head.
    #[error("its records do not lead to its head")]
    Altered,
    /// It claims to be this node's own.
    #[error("it is of this node's own origin")]
    Own,
    /// It continues this node's own origin, signed with its key.
    #[error("it continues this node's own origin, signed with this node's key")]
    Twin,
    /// The origin belongs to another ledger.
    #[error("it is of another ledger")]
    OtherLedger,
    /// The origin has signed two histories.
    #[error("its origin has signed another history than the one that is held here")]
    Fork,
}

impl Refusal {
    /// Its code in metrics and for couriers.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotAMember => "not-a-member",
            Self::BadSignature => "bad-signature",
            Self::Altered => "altered",
            Self::Own => "own",
            Self::Twin => "twin",
            Self::OtherLedger => "other-ledger",
            Self::Fork => "fork",
        }
    }

    /// Every refusal.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::NotAMember,
        Self::BadSignature,
        Self::Altered,
        Self::Own,
        Self::Twin,
        Self::OtherLedger,
        Self::Fork,
    ];
}

/// Proof that the key of an origin was used for two histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// A record at which they differ.
    pub place: RecordId,
    /// The chain there in the other history.
    pub theirs: ChainHash,
    /// The chain there in the history that is held here.
    pub held: ChainHash,
    /// The signed head that proves the other one: the origin's own, or that of the origin that continues it.
    pub shown_by: SignedHead,
    /// Of an origin that continues it: the first record, which names the end of the one before.
    pub opening: Option<Box<str>>,
}

/// A record of a later release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub place: RecordId,
    /// The event's type.
    pub type_name: String,
    /// The version of its data.
    pub version: u64,
}

/// The decision about a parcel.
#[derive(Clone, Debug)]
pub enum ParcelVerdict {
    /// Append these.
    Append(Vec<Foreign>),
    /// Nothing: all of it is held.
    Held(Sequence),
    /// Nothing, before this record and those up to the parcel are there.
    Gap(Sequence),
    /// Nothing, ever.
    Refused(Refusal),
    /// Nothing of this origin any more: it has signed two histories.
    Fork(Fork),
    /// Nothing of this origin, until this node is upgraded.
    Unreadable(Unreadable),
}

/// The decision about the parcel. `hash_at` gives the chain at a record of the origin that is held here.
pub fn judge(
    parcel: Parcel,
    known: &IngestContext<'_>,
    hash_at: impl Fn(Sequence) -> Option<ChainHash>,
) -> ParcelVerdict {
    let origin = parcel.origin();
    if origin == known.own {
        return of_own(&parcel, known, hash_at);
    }
    let key = match key_of(&parcel, known) {
        Ok(Some(key)) => key,
        Ok(None) => return ParcelVerdict::Gap(Sequence(1)),
        Err(refusal) => return ParcelVerdict::Refused(refusal),
    };
    let signed = |head: &SignedHead| head.is_signed_by(key, known.ledger);
    // If the origin's node is gone, a member may have signed in its place.
    let shown = |head: &SignedHead| signed(head) || known.anchors.vouches_for(head, known.ledger);
    if !shown(&parcel.head) || parcel.base.as_ref().is_some_and(|base| !shown(base)) {
        return ParcelVerdict::Refused(Refusal::BadSignature);
    }
    if let Some(fork) = fork(&parcel, known.head, hash_at) {
        // A member's signature that contradicts the held records says nothing about what the origin has signed.
        return if signed(&fork.shown_by) {
            ParcelVerdict::Fork(fork)
        } else {
            ParcelVerdict::Refused(Refusal::Altered)
        };
    }
    if parcel.head.place.sequence <= known.head.sequence {
        return ParcelVerdict::Held(known.head.sequence);
    }
    if parcel.first() > known.head.sequence.next() {
        return ParcelVerdict::Gap(known.head.sequence.next());
    }
    new_records(parcel, known)
}

/// Only this node continues its origin. If another process does, with the right key, it acts as this node.
fn of_own(
    parcel: &Parcel,
    known: &IngestContext<'_>,
    hash_at: impl Fn(Sequence) -> Option<ChainHash>,
) -> ParcelVerdict {
    let key = known.members.key_of(known.own);
    if !key.is_some_and(|key| parcel.head.is_signed_by(key, known.ledger)) {
        return ParcelVerdict::Refused(Refusal::Own);
    }
    match fork(parcel, known.head, hash_at) {
        Some(fork) => ParcelVerdict::Fork(fork),
        None if parcel.head.place.sequence > known.head.sequence => ParcelVerdict::Refused(Refusal::Twin),
        None => ParcelVerdict::Refused(Refusal::Own),
    }
}

/// The key that the origin's records must be signed with. Nothing, if its first record is missing, which names it.
fn key_of(parcel: &Parcel, known: &IngestContext<'_>) -> Result<Option<NodeKey>, Refusal> {
    let key = match known.members.key_of(parcel.origin()) {
        Some(key) => key,
        // A node that holds nothing of an origin learns its key from its first record, and must have heard of that
        // node.
        None if parcel.first() == Sequence(1) => opened(&parcel.records[0], known.ledger)?,
        None => return Ok(None),
    };
    // Earlier origins of this node are its own even if no record made it a member.
    let is_own = || known.members.key_of(known.own) == Some(key);
    let is_vouched = || known.anchors.has_vouch(parcel.origin());
    let is_taken = known.members.takes_from(key) || known.anchors.trusts(key) || is_own() || is_vouched();
    if is_taken { Ok(Some(key)) } else { Err(Refusal::NotAMember) }
}

fn opened(record: &str, ledger: LedgerId) -> Result<NodeKey, Refusal> {
    match decode(record.as_bytes()).map(|recorded| recorded.event) {
        Ok(Event::LedgerOpened(opened)) if opened.ledger == ledger => Ok(NodeKey::from_bytes(opened.public_key)),
        Ok(Event::LedgerOpened(_)) => Err(Refusal::OtherLedger),
        _ => Err(Refusal::Malformed),
    }
}

/// Whether the origin has signed something else than the records that are held here.
fn fork(parcel: &Parcel, have: Head, hash_at: impl Fn(Sequence) -> Option<ChainHash>) -> Option<Fork> {
    let signed = [Some(parcel.head), parcel.base].into_iter().flatten();
    let mut within = signed.filter(|head| head.place.sequence <= have.sequence && head.place.sequence.0 > 0);
    within.find_map(|theirs| {
        let at_head = theirs.place.sequence == have.sequence;
        let held = if at_head { Some(have.hash) } else { hash_at(theirs.place.sequence) }?;
        let Head { hash, .. } = theirs.head();
        (held != hash).then_some(Fork { place: theirs.place, theirs: hash, held, shown_by: theirs, opening: None })
    })
}

/// The fork that the first record of an origin shows, if it continues another origin of the same node, and names an end of that one
/// which is not held here.
///
/// A node that was rolled back and has written since leaves its origin when it learns of it. A member that holds the
/// records from before, and could not be reached then, learns here that there are two histories. Only the key of both origins proves
/// it: a restored ledger continues an origin of another key, and any member could name a false end.
pub fn other_end(
    first: &Foreign,
    head: SignedHead,
    ledger: LedgerId,
    members: &Members,
    hash_at: impl Fn(RecordId) -> Option<ChainHash>,
) -> Option<Fork> {
    let Event::LedgerOpened(opened) = &first.recorded.event else { return None };
    let Previous { place, hash } = opened.previous.as_ref()?;
    let key = NodeKey::from_bytes(opened.public_key);
    if members.key_of(place.origin) != Some(key) || !head.is_signed_by(key, ledger) {
        return None;
    }
    let (theirs, held) = (ChainHash(*hash), hash_at(*place)?);
    let opening = Some(first.record.clone());
    (held != theirs).then_some(Fork { place: *place, theirs, held, shown_by: head, opening })
}

/// The records beyond those that are held, decoded, if they lead from the held head to the parcel's.
fn new_records(parcel: Parcel, known: &IngestContext<'_>) -> ParcelVerdict {
    let (origin, mut place) = (parcel.origin(), known.head.sequence);
    let held = (known.head.sequence.0 + 1 - parcel.first().0) as usize;
    let (chain, mut hash) = (Chain::default(), known.head.hash);
    let mut hashes = Vec::with_capacity(parcel.records.len() - held);
    for record in &parcel.records[held..] {
        hash = chain.link(&hash, record.as_bytes());
        hashes.push(hash);
    }
    if hash != parcel.head.hash {
        return ParcelVerdict::Refused(Refusal::Altered);
    }
    let mut foreign = Vec::with_capacity(hashes.len());
    for (record, hash) in parcel.records.into_iter().skip(held).zip(hashes) {
        place = place.next();
        let due = RecordId { origin, sequence: place };
        match readable(&record, due, known) {
            Ok(recorded) => foreign.push(Foreign { recorded, record, hash }),
            Err(verdict) => return *verdict,
        }
    }
    ParcelVerdict::Append(foreign)
}

fn readable(record: &str, due: RecordId, known: &IngestContext<'_>) -> Result<Recorded, Box<ParcelVerdict>> {
    let recorded = match decode(record.as_bytes()) {
        Ok(recorded) => recorded,
        Err(RecordError::Unreadable { type_name, version }) => {
            return Err(Box::new(ParcelVerdict::Unreadable(Unreadable { place: due, type_name, version })));
        }
        Err(RecordError::Malformed(_)) => return Err(Box::new(ParcelVerdict::Refused(Refusal::Malformed))),
    };
    if recorded.place != due {
        return Err(Box::new(ParcelVerdict::Refused(Refusal::Malformed)));
    }
    let (type_name, version) = (recorded.event.type_name(), recorded.event.version());
    if !known.reads.covers(type_name, version) {
        let type_name = type_name.to_owned();
        return Err(Box::new(ParcelVerdict::Unreadable(Unreadable { place: due, type_name, version })));
    }
    Ok(recorded)
}
