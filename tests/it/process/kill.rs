//! SIGKILL at a random moment, over and over: everything acknowledged is there, in order, once, and a follower misses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use authledger::clock;
use authledger::domain::{CredentialId, Event, Position};
use authledger::event_log::{Base, Lineage, Reader};
use authledger::tlog::{Checkpoint, SignedNote};
use reqwest::Method;
use serde_json::json;

use super::evidence;
use super::node::{Api, Events, Launch, NodeProcess, text};

const CLIENTS: usize = 8;
const ROUNDS: u64 = 25;
/// How long the clients work before the server is killed, in milliseconds.
const WORK_MILLIS: std::ops::RangeInclusive<u64> = 20..=400;

/// A ticket that a client was told of.
#[derive(Clone)]
struct Acknowledged {
    ticket: String,
    id: String,
    position: u64,
    /// The position of its revocation, if that was acknowledged too.
    revoked_at_position: Option<u64>,
    /// Its revocation was asked for: without an answer, it may be revoked or not.
    revoke_asked: bool,
}

/// The log's contents, as read back.
#[derive(Default)]
struct Held {
    base: Base,
    lineage: Lineage,
    issued: BTreeMap<String, u64>,
    revoked_at_position: BTreeMap<String, u64>,
    revocations_in_order: Vec<String>,
}

impl Held {
    /// Reads the records that have been added. The reader checks every hash, sequence and position.
    fn catch_up(&mut self, reader: &Reader) {
        loop {
            let page = reader.next_page(&mut self.base, 10_000).expect("a chain that is whole");
            if page.is_empty() {
                return;
            }
            for stored in page {
                let recorded = stored.decode().expect("a record");
                self.lineage.check(stored.position, &recorded).expect("a history that is sound");
                self.hold(stored.position, &recorded.event);
            }
        }
    }

    fn hold(&mut self, position: Position, event: &Event) {
        match event {
            Event::TicketIssued(issued) => {
                let before = self.issued.insert(issued.digest.id().to_string(), position.0);
                assert_eq!(before, None, "a ticket was issued twice");
            }
            Event::Revoked(revoked) => {
                let id: CredentialId = revoked.credential.id();
                let before = self.revoked_at_position.insert(id.to_string(), position.0);
                assert_eq!(before, None, "a ticket was revoked twice");
                self.revocations_in_order.push(id.to_string());
            }
            _ => {}
        }
    }
}

/// The revocations that a follower has heard, over all the servers that it has followed.
#[derive(Default)]
struct Heard {
    cursor: Option<String>,
    ids: Vec<String>,
}

/// Checkpoints that anybody was shown, over all the servers.
type Shown = Arc<Mutex<BTreeSet<String>>>;

/// How many tickets a client issues between two looks at the checkpoint.
const LOOK_EVERY: usize = 8;

/// Issues and revokes tickets until the server is gone; every second ticket is revoked.
async fn work(api: Api, client: usize, done: Arc<Mutex<Vec<Acknowledged>>>, shown: Shown) {
    for number in 0.. {
        if number % LOOK_EVERY == 0 {
            let Ok(checkpoint) = api.send(Method::GET, "/checkpoint", None).await else { return };
            if checkpoint.status == 200 {
                shown.lock().expect("whole").extend(checkpoint.body.as_str().map(str::to_owned));
            }
        }
        let body = json!({"subject": format!("client-{client}-{number}")});
        let Ok(issued) = api.send(Method::POST, "/v1/tickets", Some(&body)).await else { return };
        if issued.status == 503 {
            return;
        }
        let issued = issued.expect(201);
        let revokes = number % 2 == 0;
        let made = Acknowledged {
            ticket: text(&issued, "ticket"),
            id: text(&issued, "id"),
            position: issued["position"].as_u64().expect("a position"),
            revoked_at_position: None,
            revoke_asked: revokes,
        };
        let ticket = made.ticket.clone();
        done.lock().expect("no client panicked").push(made);
        if !revokes {
            continue;
        }
        let body = json!({"credential": ticket});
        let Ok(revoked) = api.send(Method::POST, "/v1/revocations", Some(&body)).await else { return };
        let position = revoked.expect(201)["revocations"][0]["position"].as_u64();
        done.lock().expect("no client panicked").last_mut().expect("it was pushed").revoked_at_position = position;
    }
}

/// Follows from where it stopped until the server is gone.
async fn follow(api: Api, heard: Arc<Mutex<Heard>>) {
    let cursor = heard.lock().expect("whole").cursor.clone().unwrap_or_else(|| "0".to_owned());
    let request = api.request(Method::GET, &format!("/v1/revocations?after={cursor}"));
    let Some(mut events) = Events::find(request.header("accept", "text/event-stream")).await else { return };
    while let Some(event) = events.next().await {
        assert_ne!(event.name, "gap", "a cursor of this ledger is known");
        let mut heard = heard.lock().expect("whole");
        if event.name == "revoked" {
            heard.ids.push(text(&event.data, "id"));
        }
        heard.cursor = event.id.or(heard.cursor.take());
    }
}

/// Follows page by page to the end of the log.
async fn catch_up(api: &Api, heard: &Mutex<Heard>) {
    loop {
        let cursor = heard.lock().expect("whole").cursor.clone().unwrap_or_else(|| "0".to_owned());
        let page = api.get(&format!("/v1/revocations?limit=1000&after={cursor}")).await.expect(200);
        let items = page["items"].as_array().expect("items").clone();
        let mut heard = heard.lock().expect("whole");
        heard.cursor = Some(text(&page, "cursor"));
        heard.ids.extend(items.iter().map(|item| text(item, "id")));
        if items.is_empty() {
            return;
        }
    }
}

/// A server whose snapshots come often, so that some are cut too.
fn start(data: &Path) -> NodeProcess {
    Launch::new(data).args(&["--snapshot-every", "1000", "--log", "warn"]).start()
}

/// One life of the server: clients work, a follower follows, and the kill comes without warning.
async fn live(data: &Path, heard: &Arc<Mutex<Heard>>, shown: &Shown) -> Vec<Acknowledged> {
    let node = start(data);
    let done: Vec<_> = (0..CLIENTS).map(|_| Arc::new(Mutex::new(Vec::new()))).collect();
    let clients: Vec<_> = done
        .iter()
        .enumerate()
        .map(|(client, done)| tokio::spawn(work(node.api.apart(), client, done.clone(), shown.clone())))
        .collect();
    let follower = tokio::spawn(follow(node.api.apart(), heard.clone()));
    // The random moment is under test; nothing waits for it to be long enough.
    tokio::time::sleep(random_time()).await;
    tokio::task::spawn_blocking(move || node.kill()).await.expect("killed");
    for client in clients {
        client.await.expect("a client saw answers only, or none");
    }
    follower.await.expect("the follower saw whole frames only");
    done.iter().flat_map(|done| in_order(done.lock().expect("whole").clone())).collect()
}

/// A client's own commands are in the log in the order in which it sent them.
fn in_order(done: Vec<Acknowledged>) -> Vec<Acknowledged> {
    let positions = done.iter().flat_map(|made| [Some(made.position), made.revoked_at_position]).flatten();
    assert!(positions.collect::<Vec<_>>().is_sorted_by(|before, after| before < after), "out of order");
    done
}

fn random_time() -> Duration {
    let random = u64::from_le_bytes(clock::random().expect("randomness"));
    let (low, high) = WORK_MILLIS.into_inner();
    Duration::from_millis(low + random % (high - low + 1))
}

/// Every acknowledged event is where the answer said, and the server's state says so too.
async fn check(api: &Api, held: &Held, done: &[Acknowledged]) {
    for made in done {
        assert_eq!(held.issued.get(&made.id), Some(&made.position), "an acknowledged issue");
        if made.revoked_at_position.is_some() {
            assert_eq!(
                held.revoked_at_position.get(&made.id).copied(),
                made.revoked_at_position,
                "an acknowledged revocation"
            );
        }
        assert!(
            made.revoke_asked || !held.revoked_at_position.contains_key(&made.id),
            "nobody asked for that revocation"
        );
    }
    for made in done.iter().rev().take(CLIENTS) {
        assert_eq!(api.is_active(&made.ticket).await, !held.revoked_at_position.contains_key(&made.id));
    }
}

fn rounds() -> u64 {
    std::env::var("AUTHLEDGER_KILL_ROUNDS").ok().map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

#[tokio::test]
async fn everything_acknowledged_before_a_kill_is_there_after_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let mut held = Held::default();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let shown = Shown::default();
    let mut acknowledged = 0;
    let started = Instant::now();
    for round in 1..=rounds() {
        let done = live(&data, &heard, &shown).await;
        let node = start(&data);
        held.catch_up(&Reader::open(&data.join("ledger.db")).expect("a log"));
        check(&node.api, &held, &done).await;
        catch_up(&node.api, &heard).await;
        assert_eq!(
            heard.lock().expect("whole").ids,
            held.revocations_in_order,
            "the follower's revocations are the log's"
        );
        acknowledged += done.iter().map(|made| 1 + u64::from(made.revoked_at_position.is_some())).sum::<u64>();
        node.kill();
        println!("round {round}: {acknowledged} acknowledged, {} in the log", held.base.position);
    }
    assert_eq!(whole(&data), held.base, "read from its first byte once more");
    let shown = shown.lock().expect("whole").clone();
    let parse =
        |note: &String| Checkpoint::parse(SignedNote::parse(note).expect("a note").text()).expect("a checkpoint");
    let checkpoints: Vec<_> = shown.iter().map(parse).collect();
    evidence::agree(&data, &checkpoints);
    println!("{} checkpoints, none of which contradicts another or the log", checkpoints.len());
    println!("{} rounds in {:.0} s", rounds(), started.elapsed().as_secs_f64());
}

fn whole(data: &Path) -> Base {
    let mut held = Held::default();
    held.catch_up(&Reader::open(&data.join("ledger.db")).expect("a log"));
    held.base
}
