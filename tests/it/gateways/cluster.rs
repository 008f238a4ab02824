//! Two checks behind one cluster of Envoy, with health checks: one of them goes, and comes back, while clients go on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::authority::{Authority, GOOD, Protocol, REFUSED, Says};
use super::backend::Backend;
use super::client::ask;
use super::program::Gateway;

/// How long it may take until Envoy has noticed.
const PATIENCE: Duration = Duration::from_secs(60);
const CLIENTS: usize = 4;
/// How many requests a check is asked about before the next change.
const AT_LEAST: usize = 100;

/// Statuses, and how often each was told.
pub type Told = BTreeMap<u16, usize>;

/// Clients that send one request after the other until they are told to stop.
pub struct Clients {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Told>>,
}

impl Clients {
    pub fn start(address: SocketAddr, credential: &Arc<str>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let send = |credential: Arc<str>, stopped: watch::Receiver<bool>| async move {
            let mut told = Told::new();
            while !*stopped.borrow() {
                *told.entry(ask(address, "GET /", &[&credential]).await.status).or_default() += 1;
            }
            told
        };
        let tasks = (0..CLIENTS).map(|_| tokio::spawn(send(Arc::clone(credential), stopped.clone()))).collect();
        Self { stop, tasks }
    }

    pub async fn stop(self) -> Told {
        self.stop.send_replace(true);
        let mut all = Told::new();
        for task in self.tasks {
            for (status, count) in task.await.expect("a client") {
                *all.entry(status).or_default() += count;
            }
        }
        all
    }
}

/// The configuration with another check beside the first.
pub fn with_second(text: &str, second: SocketAddr) -> String {
    let (one, other) = ("port_value: 7879", format!("port_value: {}", second.port()));
    let line = text.lines().find(|line| line.contains(one)).expect("the endpoint of the check");
    text.replacen(line, &format!("{line}\n{}", line.replace(one, &other)), 1)
}

/// Nobody is told anything but that status, or that nobody can say.
pub fn is_told_nothing_else(told: &Told, due: u16) {
    assert!(told.keys().all(|status| [due, 503].contains(status)), "{told:?}");
    assert!(told.contains_key(&due), "{told:?}");
}

/// Waits until so many more requests have been asked about at that check.
async fn until_it_is_asked(check: &Authority) {
    let (until, mut asked) = (Instant::now() + PATIENCE, 0);
    check.asked();
    while asked < AT_LEAST {
        asked += check.asked().len();
        assert!(Instant::now() < until, "Envoy asks a check that answers");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_of_two_checks_goes_and_comes_no_client_is_told_that_its_credential_is_refused() {
    let Some(program) = Gateway::Envoy.find() else { return };
    let mut checks = [
        Authority::start(Protocol::Http, Says::Judgement).await,
        Authority::start(Protocol::Http, Says::Judgement).await,
    ];
    let backend = Backend::start().await;
    let [first, second] = [checks[0].address(), checks[1].address()];
    let change = |text: String| with_second(&text, second);
    let gateway = Gateway::Envoy.start_with(&program, first, backend.address(), change).await;
    let good = Clients::start(gateway.address(), &GOOD.into());
    let refused = Clients::start(gateway.address(), &REFUSED.into());
    for _ in 0..2 {
        for one in 0..checks.len() {
            checks[one].go().await;
            until_it_is_asked(&checks[1 - one]).await;
            checks[one].come_back();
            // Only then may the other one go: Envoy has to notice that this one is back.
            until_it_is_asked(&checks[one]).await;
        }
    }
    let (good, refused) = (good.stop().await, refused.stop().await);
    println!("good: {good:?}, refused: {refused:?}");
    for (told, due) in [(good, 200), (refused, 401)] {
        is_told_nothing_else(&told, due);
        // Envoy asks the other one instead; a busy machine may take longer than the check's time.
        assert!(told.get(&503).copied().unwrap_or_default() * 20 <= told[&due], "{told:?}");
    }
}
