//! The edge says of every credential what the node says at the same place in the log.

use std::collections::HashSet;

use serde_json::json;

use super::credentials::{FOREIGN, Form, Issued, issue};
use super::place::{EdgeProcess, Place, Told, check};
use crate::process::node::{Api, NodeProcess, client, text};
use crate::support::random::Random;

/// Histories, each from another seed; `AUTHLEDGER_EDGE_ROUNDS` sets another number.
const ROUNDS: u64 = 2;
const STEPS: u64 = 60;
const SUBJECTS: u64 = 4;

pub const ROUNDS_VARIABLE: &str = "AUTHLEDGER_EDGE_ROUNDS";

pub fn rounds(default: u64) -> u64 {
    std::env::var(ROUNDS_VARIABLE).map_or(default, |rounds| rounds.parse().unwrap())
}

/// One history, and all who watch it.
struct History {
    place: Place,
    random: Random,
    node: Option<NodeProcess>,
    address: String,
    /// One that follows in the compact form, and one in JSON. Both keep their state.
    edges: Vec<Option<EdgeProcess>>,
    issuing: (String, Api),
    issued: Vec<Issued>,
    /// Nothing more is issued to those.
    erased: HashSet<String>,
    told: Vec<String>,
}

impl History {
    async fn new(seed: u64) -> Self {
        let place = Place::new();
        let node = place.node();
        let address = node.api.url().trim_start_matches("http://").to_owned();
        let issuing = node.api.application("issuing", &["issue"]).await;
        place.token_file(&node.api).await;
        let mut all = Self {
            place,
            random: Random::of(seed),
            node: Some(node),
            address,
            edges: vec![None, None],
            issuing,
            issued: Vec::new(),
            erased: HashSet::new(),
            told: vec![format!("seed {seed}")],
        };
        for n in 0..2 {
            all.start_edge(n).await;
        }
        all
    }

    fn root(&self) -> &Api {
        &self.node.as_ref().unwrap().api
    }

    async fn start_edge(&mut self, n: usize) {
        let (url, token_file) = (format!("http://{}", self.address), self.place.path("edge-token"));
        let state = self.place.path(&format!("state-{n}"));
        let form: &[&str] = if n == 0 { &[] } else { &["--json-feed"] };
        let edge = self.place.edge(&[&url], &token_file).args(&["--state", state.to_str().unwrap()]).args(form).start();
        edge.is_ready().await;
        self.edges[n] = Some(edge);
    }

    async fn step(&mut self) {
        let what = self.random.below(100);
        let subject = format!("subject-{}", self.random.below(SUBJECTS));
        match what {
            0..=34 if self.erased.contains(&subject) => {}
            0..=34 => {
                let form = self.random.pick(&Form::ALL).unwrap();
                let api = if self.random.percent(50) { self.root().clone() } else { self.issuing.1.clone() };
                self.told.push(format!("issue {form:?} to {subject}"));
                self.issued.push(issue(&api, &self.place.issuer, form, &subject).await);
            }
            35..=59 => {
                let Some(one) = self.any() else { return };
                let edge = self.random.below(2) as usize;
                self.told.push(format!("check {:?} {} at edge {edge}", one.form, one.id));
                self.edges[edge].as_ref().unwrap().status(&one.secret).await;
            }
            60..=74 => {
                let Some(one) = self.any() else { return };
                self.told.push(format!("revoke {:?} {}", one.form, one.id));
                self.revoke(json!({"credential": one.secret})).await;
            }
            75..=79 => {
                let Some(session) = self.any().and_then(|one| one.session) else { return };
                self.told.push(format!("revoke the session {session}"));
                self.revoke(json!({"kind": "session", "id": session})).await;
            }
            80..=85 => {
                self.told.push(format!("revoke all of {subject}"));
                self.revoke(json!({"subject": subject})).await;
            }
            86..=88 => {
                self.told.push(format!("revoke the tokens of {subject}"));
                self.revoke(json!({"subject": subject, "kinds": ["token"]})).await;
            }
            89 => {
                self.told.push("revoke all that the application issued".to_owned());
                self.revoke(json!({"application": self.issuing.0})).await;
            }
            90 => {
                self.told.push("revoke all of the other issuer".to_owned());
                self.revoke(json!({"issuer": FOREIGN, "kinds": ["token"]})).await;
            }
            91 => {
                self.told.push(format!("erase {subject}"));
                self.erased.insert(subject.clone());
                let path = format!("/v1/subjects/{subject}/personal-data");
                self.root().send(reqwest::Method::DELETE, &path, None).await.unwrap().expect(200);
            }
            92..=94 => {
                let Some(one) = self.any().filter(|one| one.form == Form::Session) else { return };
                self.told.push(format!("extend {}", one.id));
                self.root().post(&format!("/v1/sessions/{}/extend", one.id), json!({})).await;
            }
            95..=97 => {
                let n = self.random.below(2) as usize;
                self.told.push(format!("restart edge {n}"));
                assert_eq!(self.edges[n].take().unwrap().stop().await, Some(0));
                self.start_edge(n).await;
            }
            _ => {
                self.told.push("restart the node".to_owned());
                assert_eq!(self.node.take().unwrap().stop().await.0, Some(0));
                self.node = Some(self.place.launch("data").listen(&self.address).start());
            }
        }
    }

    fn any(&mut self) -> Option<Issued> {
        let n = self.random.below(self.issued.len() as u64) as usize;
        self.issued.get(n).cloned()
    }

    async fn revoke(&self, body: serde_json::Value) {
        let status = self.root().post("/v1/revocations", body).await.status.as_u16();
        // One that is unknown as revoked and erased subjects may be refused.
        assert!([201, 200, 404, 409, 422].contains(&status), "{status}");
    }

    /// Waits until both edges have what the node has: what comes in order before a revocation that they refuse by.
    async fn meet(&self) {
        let marker = text(&self.root().issue("marker").await, "ticket");
        for edge in self.edges.iter().flatten() {
            edge.comes_to("any", &marker, 200).await;
        }
        self.root().revoke(&marker).await;
        for edge in self.edges.iter().flatten() {
            edge.comes_to("any", &marker, 401).await;
        }
    }

    async fn compare(&self) -> usize {
        self.meet().await;
        let asking = client().build().unwrap();
        let mut active = 0;
        for one in &self.issued {
            let due = check(&asking, &format!("http://{}", self.address), "any", &one.secret).await;
            active += usize::from(due.status == 200);
            for (n, edge) in self.edges.iter().flatten().enumerate() {
                // An answer that was refused by a revocation of others is asked again after two seconds.
                let mut told = edge.check("any", &one.secret).await;
                if told != due && due.status == 200 {
                    edge.comes_to("any", &one.secret, 200).await;
                    told = edge.check("any", &one.secret).await;
                }
                assert_same(&due, &told, || format!("edge {n}, {one:?}\n{}\n{}", self.told.join("\n"), edge.log()));
            }
        }
        active
    }
}

#[track_caller]
fn assert_same(due: &Told, told: &Told, context: impl Fn() -> String) {
    assert_eq!(told, due, "{}", context());
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_in_both_forms_agree_with_their_node_over_restarts() {
    for seed in 0..rounds(ROUNDS) {
        let mut history = History::new(seed).await;
        let mut active = Vec::new();
        for step in 1..=STEPS {
            history.step().await;
            if step % 15 == 0 {
                active.push((history.compare().await, history.issued.len()));
            }
        }
        println!("seed {seed}: active of issued {active:?}");
    }
}
