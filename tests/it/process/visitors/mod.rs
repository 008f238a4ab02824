//! Other programs in the data directory of a running server: the log's file belongs to the operator, too.
//!
//! Whatever they do, everything acknowledged is there afterwards, and the server says what they did.

mod added;
mod locked;
mod locks;
mod matrix;
mod readers;
mod room;
mod rounds;
mod taken;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use authledger::domain::Event;
use authledger::event_log::{Base, Reader};
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::node::{Api, NodeProcess, PATIENCE, text};

/// How many clients write next to a visitor.
pub const CLIENTS: usize = 8;
/// Acknowledgements before a visitor comes, and again after it has gone: the server works next to it.
pub const SOME: u64 = 40;

/// The id of a ticket, and the position that its issue was acknowledged with.
pub type Acknowledged = BTreeMap<String, u64>;

/// Clients that issue tickets until the server is gone.
pub struct Crowd {
    acknowledged: Arc<Mutex<Acknowledged>>,
    count: watch::Receiver<u64>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Starts them.
    pub fn start(api: &Api) -> Self {
        let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
        let (counter, count) = watch::channel(0);
        let counter = Arc::new(counter);
        let clients = (0..CLIENTS).map(|client| {
            let api = api.apart();
            let acknowledged = acknowledged.clone();
            let counter = counter.clone();
            tokio::spawn(async move {
                while let Some((id, position)) = issue(&api, client).await {
                    acknowledged.lock().expect("whole").insert(id, position);
                    counter.send_modify(|count| *count += 1);
                }
            })
        });
        let clients = clients.collect();
        Self { acknowledged, count, clients }
    }

    /// Returns when that many more were acknowledged.
    pub async fn work(&self, more: u64) {
        let mut count = self.count.clone();
        let from = *count.borrow();
        let worked = tokio::time::timeout(PATIENCE, count.wait_for(|count| *count >= from + more)).await;
        worked.expect("the clients go on").expect("they are there");
    }

    /// All that they were told, once they have noticed that the server is gone.
    pub async fn told(self) -> Acknowledged {
        for client in self.clients {
            client.await.expect("answers only, or none");
        }
        self.acknowledged.lock().expect("whole").clone()
    }
}

/// One ticket; nothing where the server is gone or halted. A log that is locked is asked again.
async fn issue(api: &Api, client: usize) -> Option<(String, u64)> {
    loop {
        let body = json!({"subject": format!("client-{client}")});
        let answer = api.send(Method::POST, "/v1/tickets", Some(&body)).await.ok()?;
        if answer.status == 503 && answer.body["type"] == "/problems/log-locked" {
            continue;
        }
        if answer.status == 503 {
            return None;
        }
        let issued = answer.expect(201);
        return Some((text(&issued, "id"), issued["position"].as_u64().expect("a position")));
    }
}

/// Every ticket that a log holds, with its position; each hash is checked.
pub fn held(ledger: &Path) -> Acknowledged {
    let reader = Reader::open(ledger).expect("a log");
    let mut base = Base::default();
    let mut held = Acknowledged::new();
    loop {
        let page = reader.next_page(&mut base, 10_000).expect("a chain that is whole");
        if page.is_empty() {
            return held;
        }
        for stored in page {
            if let Event::TicketIssued(issued) = stored.decode().expect("a record").event {
                held.insert(issued.digest.id().to_string(), stored.position.0);
            }
        }
    }
}

/// Everything that was acknowledged is where its answer said.
#[track_caller]
pub fn assert_held(acknowledged: &Acknowledged, ledger: &Path) {
    let held = held(ledger);
    let lost: Vec<_> = acknowledged.iter().filter(|(id, position)| held.get(*id) != Some(*position)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged records are lost: {lost:?}", lost.len(), acknowledged.len());
}

/// The words of `authledger-audit verify` about it, which must be that it is whole.
#[track_caller]
pub fn verify(path: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_authledger-audit")).arg("verify").arg(path).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

/// Kills the server, and shows that nothing is missing: before a start, to the audit tool, and after it.
pub async fn assert_survives(node: NodeProcess, crowd: Crowd, data: &Path) -> NodeProcess {
    tokio::task::spawn_blocking(move || node.kill()).await.expect("killed");
    let acknowledged = crowd.told().await;
    verify(data);
    let node = NodeProcess::start(data);
    assert_held(&acknowledged, &data.join("ledger.db"));
    node
}

/// Waits until readiness has a warning with that in it, and gives all of readiness.
pub async fn warned(node: &NodeProcess, due: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let ready = node.api.get("/health/ready").await.expect(200).to_string();
        if ready.contains(due) {
            return ready;
        }
        assert!(Instant::now() < until, "{ready}");
        tokio::task::yield_now().await;
    }
}

/// Waits until readiness has no warning.
pub async fn quiet(node: &NodeProcess) {
    let until = Instant::now() + PATIENCE;
    loop {
        let ready = node.api.get("/health/ready").await.expect(200);
        if ready.get("warning").is_none() {
            return;
        }
        assert!(Instant::now() < until, "{ready}");
        tokio::task::yield_now().await;
    }
}

/// A program of those names, the first that there is; or nothing, in which case the test that asks leaves it out, and says so.
pub fn program(names: &[&str]) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [own.join(".tools/go/bin")].into_iter().chain(std::env::split_paths(&path)).collect::<Vec<_>>();
    let found =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file());
    if found.is_none() {
        println!("left out: {} is not installed; run tools/test", names[0]);
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    }
    found
}
