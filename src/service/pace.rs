//! The pace of long answers: a request that reads many rows of the state lets others in between.
//!
//! Such a request works in steps of a few rows. The first step is free. Every further step needs a turn, of which there
//! are few; the request keeps a turn for well below a millisecond, and lets everything else run before it takes the
//! next one. So however many such requests there are, they never hold more threads than there are turns, and no other
//! request waits for more than one step of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shares::{Admitted, Bounds, FairShare, Party, Turn};
use super::{Failure, Service};

/// Rows of the state that are read in one step.
pub const STEP_ROWS: usize = 64;
/// How long a turn lasts, but for the step in which it ends.
const TURN: Duration = Duration::from_micros(250);
/// The most long answers of one caller at the same time; a caller that asks for more is told to come again.
pub const LONG_ANSWERS: usize = 64;

/// The share of all long answers together. More turns would take all threads from other requests.
pub(super) fn long_answers() -> Arc<FairShare> {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let turns = (threads / 2).max(1);
    let turns_of_tenant = (turns / 2).max(1);
    FairShare::new(Bounds {
        turns,
        turns_of_tenant,
        caller: LONG_ANSWERS,
        tenant: 2 * LONG_ANSWERS,
        all: 16 * LONG_ANSWERS,
    })
}

/// The pace of one answer.
pub struct Pace {
    share: Arc<FairShare>,
    party: Party,
    started: bool,
    /// Whether a turn was taken in the current poll, so that others are due before the next.
    worked: bool,
    // The turn goes before the admission that it belongs to.
    turn: Option<(Turn, Instant)>,
    admitted: Option<Admitted>,
}

impl Service {
    /// The pace of an answer to that caller.
    pub fn pace(&self, party: Party) -> Pace {
        Pace {
            share: self.turns.long_answers.clone(),
            party,
            started: false,
            worked: false,
            turn: None,
            admitted: None,
        }
    }
}

impl Pace {
    /// Call it before each step. Waits for a turn, except before the first; refuses if the caller has too many long
    /// answers.
    pub async fn step(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        self.admit()?;
        self.go_on().await;
        Ok(())
    }

    /// Admits the answer now, while it can still be refused.
    pub fn admit(&mut self) -> Result<(), Failure> {
        if self.admitted.is_none() {
            self.admitted = Some(self.share.admit(&self.party)?);
        }
        Ok(())
    }

    /// The same as [`Pace::step`] for an answer that was admitted.
    pub async fn go_on(&mut self) {
        if self.turn.as_ref().is_some_and(|(_, since)| since.elapsed() < TURN) {
            return;
        }
        self.turn = None;
        if std::mem::replace(&mut self.worked, true) {
            tokio::task::yield_now().await;
        }
        let Some(admitted) = &self.admitted else { return };
        self.turn = Some((admitted.turn().await, Instant::now()));
    }

    /// Whether the turn is over, so that the next step would wait for another.
    pub fn is_over(&self) -> bool {
        self.turn.as_ref().is_none_or(|(_, since)| since.elapsed() >= TURN)
    }

    /// Gives the turn back: the answer waits for something else, such as its reader.
    pub fn rest(&mut self) {
        self.turn = None;
    }
}
