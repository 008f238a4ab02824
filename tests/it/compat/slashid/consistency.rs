//! Durable first, wait second; and a repetition learns the outcome.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use authledger::domain::RecordId as Record;
use authledger::service::{Consistency, ConsistencyLevel, ConsistencyTimeout, Reach};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{Place, is_done, refusal};
use crate::support::served::{Actor, Made};

/// The behaviour of the other nodes.
#[derive(Clone, Copy, PartialEq)]
enum Others {
    /// Nothing yet: a caller that asks waits.
    Lag,
    /// They have the records up to that sequence, and nothing more comes before the time is up.
    Have(u64),
}

const AWAY: Others = Others::Have(0);
const CAUGHT_UP: Others = Others::Have(u64::MAX);

impl Others {
    fn has(self, record: Record) -> bool {
        matches!(self, Self::Have(sequence) if record.sequence.0 <= sequence)
    }
}

/// Other nodes that do as the test says.
struct Delayed {
    others: watch::Sender<Others>,
    asked: Mutex<Vec<Consistency>>,
    waits: mpsc::UnboundedSender<()>,
}

impl Reach for Delayed {
    fn has_reached(&self, record: Record, _: ConsistencyLevel) -> bool {
        self.others.borrow().has(record)
    }

    fn reached(
        &self,
        record: Record,
        consistency: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<(), ConsistencyTimeout>> + Send + '_>> {
        self.asked.lock().push(consistency);
        self.waits.send(()).expect("the test looks on");
        let mut others = self.others.subscribe();
        Box::pin(async move {
            let settled = *others.wait_for(|others| *others != Others::Lag).await.expect("they are there");
            if settled.has(record) { Ok(()) } else { Err(ConsistencyTimeout) }
        })
    }
}

async fn among_others(others: Others) -> (Place, Arc<Delayed>, mpsc::UnboundedReceiver<()>) {
    let (waits, waiting) = mpsc::unbounded_channel();
    let reach = Arc::new(Delayed { others: watch::Sender::new(others), asked: Mutex::default(), waits });
    let place = Place::made(Made { reach: reach.clone(), ..Made::default() }).await;
    (place, reach, waiting)
}

/// Asks for a revocation of the token, and says how far it must reach, and how long that may take.
async fn revoke(actor: &Actor, token: &str) -> crate::support::served::Answer {
    let actor = actor.with("slashid-required-consistency", "all_regions");
    super::revoke(&actor.with("slashid-required-consistency-timeout", "7"), token).await
}

const STANDS: &str = "the request stands, but has not reached every requested region in time; it will";

#[tokio::test]
async fn a_revocation_that_has_not_reached_all_nodes_stands_and_its_repetition_learns_the_outcome() {
    let (place, reach, mut waiting) = among_others(AWAY).await;
    let container =
        |name: &str| place.container(&place.token(json!({"jti": format!("in {name}")})), json!({"jti": name}));
    let plain = place.token(json!({"jti": "plain"}));
    let held = container("held");
    for (token, actor, revocations) in [(&plain, place.root(), 1), (&held, place.node.holder(&held), 2)] {
        reach.others.send_replace(AWAY);
        let before = place.head();
        assert_eq!(refusal(&revoke(&actor, token).await), (408, STANDS.to_owned()));
        assert_eq!(place.invalidity(token).await.as_deref(), Some("revoked"), "it is durable here");
        assert_eq!(place.records_after(before).await.len(), revocations);
        assert_eq!(refusal(&revoke(&actor, token).await), (408, STANDS.to_owned()), "it waits again");
        let asked = Consistency { level: ConsistencyLevel::AllRegions, timeout: Duration::from_secs(7) };
        assert!(reach.asked.lock().drain(..).all(|one| one == asked));
        while waiting.try_recv().is_ok() {}

        reach.others.send_replace(Others::Lag);
        let done = async {
            waiting.recv().await.expect("a repetition waits");
            reach.others.send_replace(CAUGHT_UP);
        };
        let (answer, ()) = tokio::join!(revoke(&actor, token), done);
        is_done(&answer);
        let settled = (400, "the token has been revoked already".to_owned());
        assert_eq!(refusal(&revoke(&actor, token).await), settled, "nothing is left to wait for");
        assert_eq!(place.records_after(before).await.len(), revocations, "nothing is appended twice");
        reach.asked.lock().clear();
    }
}

#[tokio::test]
async fn by_default_the_region_is_waited_for_half_a_minute() {
    let (place, reach, _waiting) = among_others(AWAY).await;
    let token = place.token(json!({}));
    assert_eq!(refusal(&place.log_out(&token).await), (408, STANDS.to_owned()));
    let asked = Consistency { level: ConsistencyLevel::LocalRegion, timeout: Duration::from_secs(30) };
    assert_eq!(*reach.asked.lock(), [asked]);
}

#[tokio::test]
async fn both_revocations_of_a_container_are_waited_for() {
    let (place, reach, _waiting) = among_others(CAUGHT_UP).await;
    let container = place.container(&place.token(json!({"jti": "inner"})), json!({}));
    is_done(&revoke(&place.root(), &container).await);
    let last = place.head().0;
    reach.others.send_replace(Others::Have(last - 1));
    assert_eq!(refusal(&revoke(&place.root(), &container).await), (408, STANDS.to_owned()));
    reach.others.send_replace(Others::Have(last));
    assert_eq!(revoke(&place.root(), &container).await.status, 400);
}
