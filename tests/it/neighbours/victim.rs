//! The calls of another tenant meanwhile, and how long they take.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::calls::request;
use super::wire::Wire;

/// The measures, in this order.
pub const MEASURES: [&str; 4] = ["introspect", "revoke", "follow", "reconnect"];
/// An answer that takes longer counts as if it had taken so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds of each measure.
#[derive(Default)]
pub struct Samples([Vec<f64>; 4]);

impl Samples {
    /// Each window's 99th percentile of each measure, the smallest first.
    pub fn of_windows(windows: &mut [Self]) -> [Vec<f64>; 4] {
        std::array::from_fn(|measure| {
            let mut all: Vec<f64> = windows.iter_mut().map(|window| p99(&mut window.0[measure])).collect();
            all.sort_unstable_by(f64::total_cmp);
            all
        })
    }
}

fn p99(all: &mut [f64]) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    let at = (all.len() * 99).div_ceil(100).max(1) - 1;
    all.get(at).copied().unwrap_or_default()
}

/// The other tenant: its commands, and a follower.
pub struct Victim {
    address: SocketAddr,
    secret: String,
    commands: Wire,
    follower: Wire,
    cursor: String,
}

impl Victim {
    pub async fn new(address: SocketAddr, secret: &str) -> Self {
        let mut follower = Wire::connect(address).await;
        follower.send(&follow(secret, "")).await.expect("it is sent");
        assert_eq!(follower.head().await.expect("a head").0, 200);
        let first = follower.line("{").await.expect("a heartbeat");
        let commands = Wire::connect(address).await;
        Self { address, secret: secret.to_owned(), commands, follower, cursor: cursor(&first) }
    }

    /// Does everything over and over, for that long and at least a few times.
    pub async fn measure(&mut self, window: Duration) -> Samples {
        const AT_LEAST: usize = 3;
        let mut samples = Samples::default();
        let until = Instant::now() + window;
        while Instant::now() < until || samples.0[0].len() < AT_LEAST {
            let cycle = tokio::time::timeout(PATIENCE, self.cycle()).await;
            let taken = cycle.unwrap_or([PATIENCE; 4]);
            if cycle_failed(&taken) {
                // Its connections may be in the middle of an answer.
                *self = Self::new(self.address, &self.secret).await;
            }
            for (all, one) in samples.0.iter_mut().zip(taken) {
                all.push(one.as_secs_f64() * 1_000.0);
            }
        }
        samples
    }

    async fn cycle(&mut self) -> [Duration; 4] {
        let issued = self.command("/v1/tickets", &json!({"tenant": "zeta", "subject": "somebody"}), 201).await;
        let ticket = json!({"credential": issued["ticket"]});
        let started = Instant::now();
        let found = self.command("/v1/introspect", &ticket, 200).await;
        let introspect = started.elapsed();
        assert_eq!(found["active"], true, "{found}");
        let started = Instant::now();
        self.command("/v1/revocations", &ticket, 201).await;
        let revoke = started.elapsed();
        let line = self.follower.line("{\"event\":\"revoked\"").await.expect("the stream goes on");
        let follow_took = started.elapsed();
        self.cursor = cursor(&line);
        let started = Instant::now();
        let mut again = Wire::connect(self.address).await;
        again.send(&follow(&self.secret, &self.cursor)).await.expect("it is sent");
        assert_eq!(again.head().await.expect("a head").0, 200);
        again.line("{").await.expect("a heartbeat");
        [introspect, revoke, follow_took, started.elapsed()]
    }

    async fn command(&mut self, path: &str, body: &Value, expected: u16) -> Value {
        let json = Some(("application/json", body.to_string()));
        let bytes = request("POST", path, &[("authorization", format!("Bearer {}", self.secret))], json);
        let (status, answer) = self.commands.ask_for(&bytes).await.expect("an answer");
        assert_eq!(status, expected, "{path}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).expect("JSON")
    }
}

fn cycle_failed(taken: &[Duration; 4]) -> bool {
    taken.contains(&PATIENCE)
}

fn follow(secret: &str, cursor: &str) -> Vec<u8> {
    let after = if cursor.is_empty() { String::new() } else { format!("&after={cursor}") };
    let headers = [("authorization", format!("Bearer {secret}")), ("accept", "application/x-ndjson".to_owned())];
    request("GET", &format!("/v1/revocations?tenant=zeta{after}"), &headers, None)
}

fn cursor(line: &str) -> String {
    let item: Value = serde_json::from_str(line).expect("a line of JSON");
    item["cursor"].as_str().expect("a cursor").to_owned()
}
