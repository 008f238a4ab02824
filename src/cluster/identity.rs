//! Identity: whether a starting node may continue its own origin.
//!
//! A directory that was restored from a copy, or copied and started twice, would sign a second history of its origin. So a node
//! with members asks them first what they hold of it.

use std::time::Duration;

use super::announcement::Incarnation;
use crate::domain::{NodeKey, Sequence};
use crate::event_log::Head;

/// How long a run must have been silent to count as over: heartbeats come once a second.
const SILENCE: Duration = Duration::from_secs(3);
/// How long a starting node waits at least: by then its last run is silent for long enough, or is still running.
pub const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// The directory's own knowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// How far its origin goes in its log.
    pub head: Head,
    /// The newest record of it that this node is known to have signed: its log may lack that record.
    pub signed: Sequence,
    /// The run that used it last.
    pub incarnation: Option<Incarnation>,
    /// Runs that were over by then.
    pub past: Vec<Incarnation>,
}

/// What another node holds of the origin in question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The answering node.
    pub node: NodeKey,
    /// The members that it knows: the asking node may not know some of them, or not any more.
    pub members: Vec<NodeKey>,
    /// How far it holds the origin.
    pub head: Head,
    /// How far the origin is known to go, by its own node or by any node that holds more of it. The records need not be
    /// here.
    pub known: Sequence,
    /// Its chain at the end of the asking node's log, if it goes that far.
    pub hash_at_own_head: Option<crate::event_log::ChainHash>,
    /// The runs of that node that it has heard of and that are not known to be over, and how long each has been silent.
    /// They are on its disk: a node that is told of a run can rely on that after a crash, too.
    pub heard: Vec<(Incarnation, Duration)>,
    /// The last slot of the origin's sealing keys that is on record.
    pub slots_used: u64,
}

/// Why an origin is not continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginRenewal {
    /// No member answered in time: it is not known whether this copy is the newest.
    NobodyAnswered,
    /// Some members did not answer in time: they may hold records of it that this copy lacks.
    SomeWereSilent,
    /// Other nodes hold records of it that this copy lacks: this copy is an older one.
    OlderCopy,
    /// Another copy of the directory was started since this one.
    UsedSince,
    /// Another copy of the directory is running.
    Running,
    /// The clock was ahead when it was written, and an earlier time was accepted: times of one origin never fall.
    ClockAccepted,
}

/// The conclusion from the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityDecision {
    /// It may continue its origin; these runs are over.
    Continue(Vec<Incarnation>),
    /// It opens a new origin. These runs are over.
    Renew(OriginRenewal, Vec<Incarnation>),
    /// It is too early to tell: ask again.
    Ask,
    /// Its records differ from those that other nodes hold under the same signature: this directory can't be used with
    /// them.
    Contradicted,
}

/// Whether every other member has answered: those that this node knows, and those that they know. A node that knows of
/// no other knows that there is at least one.
pub fn have_all_answered(own: NodeKey, known: &[NodeKey], answers: &[Holding]) -> bool {
    let mut members = known.iter().chain(answers.iter().flat_map(|holding| &holding.members));
    let has_answered = |key: &NodeKey| *key == own || answers.iter().any(|holding| holding.node == *key);
    !answers.is_empty() && members.all(has_answered)
}

/// Whether the directory continues its origin. `all` means that every member answered, `patience_is_over` that no more
/// answers are waited for.
pub fn identify(own: &Own, answers: &[Holding], all: bool, patience_is_over: bool) -> IdentityDecision {
    let contradicts = |holding: &Holding| holding.hash_at_own_head.is_some_and(|hash| hash != own.head.hash);
    if answers.iter().any(contradicts) {
        return IdentityDecision::Contradicted;
    }
    if !all && !patience_is_over {
        return IdentityDecision::Ask;
    }
    let past: Vec<Incarnation> = own.incarnation.iter().chain(&own.past).copied().collect();
    if answers.is_empty() {
        return IdentityDecision::Renew(OriginRenewal::NobodyAnswered, past);
    }
    let heard: Vec<(Incarnation, Duration)> =
        answers.iter().flat_map(|holding| holding.heard.iter().copied()).collect();
    // The shortest silence counts: one that hears it is enough.
    let speaks = |incarnation: Incarnation| {
        let mut silences = heard.iter().filter(|(one, _)| *one == incarnation).map(|(_, silence)| *silence);
        silences.any(|silence| silence < SILENCE)
    };
    let others = heard.iter().map(|(one, _)| *one).filter(|one| !past.contains(one));
    let mut others: Vec<Incarnation> = others.collect();
    others.sort_unstable();
    others.dedup();
    if past.iter().any(|run| speaks(*run)) && !patience_is_over {
        // Its last run was heard a moment ago: it was killed just now, or still runs beside a copy.
        return IdentityDecision::Ask;
    }
    // Those that other nodes know of first: only a limited number of the rest is told.
    let known_first =
        own.incarnation.into_iter().chain(heard.iter().map(|(run, _)| *run)).chain(own.past.iter().copied());
    let mut over: Vec<Incarnation> = Vec::new();
    for run in known_first {
        if !speaks(run) && !over.contains(&run) {
            over.push(run);
        }
    }
    if past.iter().chain(&others).any(|run| speaks(*run)) {
        return IdentityDecision::Renew(OriginRenewal::Running, over);
    }
    let newest = answers.iter().map(|holding| holding.head.sequence.max(holding.known)).max();
    let newest = newest.unwrap_or_default().max(own.signed);
    if newest > own.head.sequence {
        return IdentityDecision::Renew(OriginRenewal::OlderCopy, over);
    }
    if !others.is_empty() {
        return IdentityDecision::Renew(OriginRenewal::UsedSince, over);
    }
    if !all {
        // A member that is cut off may be the one that holds the newest record.
        return IdentityDecision::Renew(OriginRenewal::SomeWereSilent, over);
    }
    IdentityDecision::Continue(over)
}

/// Whether every member has heard of this run. A node whose directory may have been copied, or be a copy, answers
/// nobody before that: otherwise a member could take an announcement of another run for its own.
pub fn is_heard(own: Incarnation, answers: &[Holding], all: bool) -> bool {
    all && answers.iter().all(|holding| holding.heard.iter().any(|(run, _)| *run == own))
}

/// The runs beside this one that other nodes hear now and that are not over: copies of the directory that were started
/// with it. Of two that begin at once at least the one that is heard later learns of the other, once [`is_heard`] is
/// true.
pub fn started_with(own: Incarnation, answers: &[Holding], over: &[Incarnation]) -> Vec<Incarnation> {
    let heard = answers.iter().flat_map(|holding| &holding.heard);
    let speaking = heard.filter(|(_, silence)| *silence < SILENCE).map(|(run, _)| *run);
    speaking.filter(|run| *run != own && !over.contains(run)).collect()
}

/// Whether a run may write that has begun, and announced itself to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It may write.
    MayWrite,
    /// These runs began with it, on copies of the directory: it leaves the origin.
    Duplicated(Vec<Incarnation>),
    /// It was not heard of in time. No node could tell an older copy of the directory that this run has used the
    /// origin, so this run leaves it.
    Unheard,
    /// It is not known yet: it announces itself, and asks again.
    TooEarly,
}

/// Whether a run that has begun may write. `all` and `patience_is_over` are as for [`identify`].
pub fn may_write(
    own: Incarnation,
    answers: &[Holding],
    all: bool,
    over: &[Incarnation],
    patience_is_over: bool,
) -> Begun {
    let beside = started_with(own, answers, over);
    if !beside.is_empty() {
        return Begun::Duplicated(beside);
    }
    if is_heard(own, answers, all) {
        return Begun::MayWrite;
    }
    let is_known = |holding: &Holding| holding.heard.iter().any(|(run, _)| *run == own);
    match (patience_is_over, answers.iter().any(is_known)) {
        (false, _) => Begun::TooEarly,
        // A node that puts an older copy back must hear all of them, and this one is among them.
        (true, true) => Begun::MayWrite,
        (true, false) => Begun::Unheard,
    }
}

/// The runs beside this one that other nodes have heard and that are not over.
pub fn beside(answers: &[Holding], over: &[Incarnation]) -> Vec<Incarnation> {
    let heard = answers.iter().flat_map(|holding| holding.heard.iter().map(|(run, _)| *run));
    heard.filter(|run| !over.contains(run)).collect()
}

impl OriginRenewal {
    /// The explanation for the operator.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::NobodyAnswered => {
                "no member answered in time, so it is not known whether this copy of the origin is the newest one"
            }
            Self::SomeWereSilent => {
                "not every member answered in time, and one that is silent may hold records of this origin that are not in this \
                 directory; node remove takes away a member that is gone permanently"
            }
            Self::OlderCopy => {
                "other nodes hold records of this origin that are not in this directory: it is an older copy"
            }
            Self::UsedSince => "another copy of this directory was started after this one",
            Self::Running => "another copy of this directory is running",
            Self::ClockAccepted => "the clock was ahead when it was written, and an earlier time has been accepted",
        }
    }
}
