//! Questions to a node: one for each secret at a time, and so many in all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::domain::Digest;

/// Questions that wait for a node at a time. More wait for their turn.
const ASKED: usize = 64;
/// Secrets that are asked about or wait for their turn. A request beyond that learns that nobody can tell.
const WAITING: usize = 4_096;

/// The questions that are open.
pub(super) struct Flights<A> {
    open: Mutex<OpenFlights<A>>,
    turns: Semaphore,
}

struct OpenFlights<A> {
    by_digest: HashMap<Digest, OpenFlight<A>>,
    /// Counts the questions that have begun.
    begun: u64,
}

struct OpenFlight<A> {
    number: u64,
    answer: watch::Receiver<Option<A>>,
}

/// Which open question a request may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Any: what is revoked after the question is in the feed, and the answer is judged by that.
    Any,
    /// One that begins after the request came: without the feed, an earlier answer may be out of date.
    Later,
}

impl<A: Clone + Send + Sync + 'static> Flights<A> {
    pub(super) fn new() -> Arc<Self> {
        let open = OpenFlights { by_digest: HashMap::new(), begun: 0 };
        Arc::new(Self { open: Mutex::new(open), turns: Semaphore::new(ASKED) })
    }

    /// The answer to a question about that secret; nothing, if too many are open or the question came to nothing.
    ///
    /// The question is a task of its own: a request that hangs up does not end it for the others.
    pub(super) async fn ask<F>(self: &Arc<Self>, digest: Digest, sharing: Sharing, question: F) -> Option<A>
    where
        F: Future<Output = A> + Send + 'static,
    {
        let mut question = Some(question);
        let came = self.open.lock().begun;
        loop {
            let (mut answer, is_shared) = self.join(digest, sharing, came, &mut question)?;
            let answered = answer.wait_for(Option::is_some).await.map(|answer| answer.clone());
            if is_shared {
                // A question that panicked has no answer.
                return answered.ok().flatten();
            }
        }
    }

    /// The answer of an open question, and whether the request may take it; or of one that is begun here.
    fn join<F>(
        self: &Arc<Self>,
        digest: Digest,
        sharing: Sharing,
        came: u64,
        question: &mut Option<F>,
    ) -> Option<(watch::Receiver<Option<A>>, bool)>
    where
        F: Future<Output = A> + Send + 'static,
    {
        let mut open = self.open.lock();
        let is_full = open.by_digest.len() >= WAITING;
        let number = open.begun + 1;
        match open.by_digest.entry(digest) {
            Entry::Occupied(flight) => {
                let flight = flight.get();
                Some((flight.answer.clone(), sharing == Sharing::Any || flight.number > came))
            }
            Entry::Vacant(_) if is_full => None,
            Entry::Vacant(place) => {
                let question = question.take()?;
                let (tell, answer) = watch::channel(None);
                place.insert(OpenFlight { number, answer: answer.clone() });
                open.begun = number;
                drop(open);
                tokio::spawn(self.clone().fly(digest, tell, question));
                Some((answer, true))
            }
        }
    }

    async fn fly(self: Arc<Self>, digest: Digest, tell: watch::Sender<Option<A>>, question: impl Future<Output = A>) {
        // Removed also if the question panics.
        let _landing = Landing { flights: &self, digest };
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        tell.send_replace(Some(question.await));
    }

    /// How many secrets are asked about.
    #[cfg(test)]
    fn open(&self) -> usize {
        self.open.lock().by_digest.len()
    }
}

struct Landing<'a, A> {
    flights: &'a Flights<A>,
    digest: Digest,
}

impl<A> Drop for Landing<'_, A> {
    fn drop(&mut self) {
        self.flights.open.lock().by_digest.remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn digest(n: usize) -> Digest {
        Digest::of(&n.to_le_bytes())
    }

    /// A question that answers its number once it is let go.
    fn question(asked: &Arc<AtomicU32>, go: &Arc<Notify>) -> impl Future<Output = u32> + Send + 'static {
        let (asked, go) = (asked.clone(), go.clone());
        async move {
            let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
            go.notified().await;
            number
        }
    }

    #[tokio::test]
    async fn requests_for_one_secret_share_a_question_and_a_cautious_one_only_a_later_one() {
        let (flights, asked, go) = (Flights::new(), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let ask = |sharing| {
            let (flights, question) = (flights.clone(), question(&asked, &go));
            tokio::spawn(async move { flights.ask(digest(1), sharing, question).await })
        };
        let first = ask(Sharing::Any);
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let (shares, later) = (ask(Sharing::Any), ask(Sharing::Later));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        go.notify_one();
        assert_eq!((first.await.unwrap(), shares.await.unwrap()), (Some(1), Some(1)));
        while asked.load(Ordering::SeqCst) == 1 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        assert_eq!(later.await.unwrap(), Some(2));
        assert_eq!(flights.open(), 0);
    }

    #[tokio::test]
    async fn a_flood_of_secrets_is_bounded() {
        let (flights, asked, go) = (Flights::new(), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let mut open = Vec::new();
        for n in 0..WAITING {
            let (flights, question) = (flights.clone(), question(&asked, &go));
            open.push(tokio::spawn(async move { flights.ask(digest(n), Sharing::Any, question).await }));
        }
        while flights.open() < WAITING || asked.load(Ordering::SeqCst) < ASKED as u32 {
            tokio::task::yield_now().await;
        }
        assert_eq!(flights.ask(digest(WAITING), Sharing::Any, question(&asked, &go)).await, None);
        assert_eq!(asked.load(Ordering::SeqCst), ASKED as u32, "the others wait for their turn");
        open.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
