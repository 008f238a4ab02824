//! The laws of published lists, over stories that a seed tells: whatever is issued, revoked, erased, restarted and thrown away, a list says
//! of each token what introspection said when it was published, and the log alone makes the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use authledger::audit;
use authledger::domain::StatusListId;
use authledger::http::HttpOptions;
use authledger::service::{StatusListAnswer, StatusListSettings};
use authledger::status_list::{StatusArray, array_of};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::random::Random;
use crate::support::served::{Actor, Made, ServedNode};

const SUBJECTS: [&str; 4] = ["ada", "bob", "cyd", "dee"];
const STORIES: u64 = 12;
const STEPS: u64 = 90;

pub fn made(every_token: bool) -> Made {
    let mut options = HttpOptions::default();
    options.status_lists.lists = Some(StatusListSettings {
        are_given: true,
        every_token,
        entries: 1 << 14,
        interval: Duration::from_secs(10),
        life: Duration::from_secs(600),
    });
    Made { options, ..Made::default() }
}

/// The claims of a JWT.
pub fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// A token with an entry.
struct Listed {
    token: String,
    list: StatusListId,
    index: u32,
    expires_at: u64,
}

struct Story {
    node: ServedNode,
    random: Random,
    applications: Vec<(String, Actor)>,
    sessions: Vec<(String, &'static str)>,
    tokens: Vec<Listed>,
    /// What each list said last.
    said: BTreeMap<StatusListId, (StatusArray, String)>,
    publications: usize,
}

impl Story {
    async fn begin(seed: u64) -> Self {
        let node = ServedNode::made(made(false)).await;
        let mut applications = Vec::new();
        for _ in 0..2 {
            let grants = json!([{"tenant": "default", "scopes": ["issue", "introspect"]}]);
            let answer = node.root().post("/v1/applications", json!({"name": "a", "grants": grants})).await;
            applications.push((answer.text("id").to_owned(), node.holder(answer.text("secret"))));
        }
        let (sessions, tokens, said) = Default::default();
        Self { node, random: Random::of(seed), applications, sessions, tokens, said, publications: 0 }
    }

    fn actor(&mut self) -> Actor {
        let secrets: Vec<_> = self.applications.iter().map(|(_, actor)| actor.bearer().unwrap().to_owned()).collect();
        match self.random.below(3) {
            0 => self.node.root(),
            n => self.node.holder(&secrets[n as usize - 1]),
        }
    }

    async fn step(&mut self) {
        let subject = SUBJECTS[self.random.below(4) as usize];
        match self.random.below(100) {
            0..40 => self.issue(subject).await,
            40..50 => {
                let answer = self.actor().post("/v1/sessions", json!({"subject": subject, "ttl": 3_000})).await;
                if answer.status == 201 {
                    self.sessions.push((answer.json()["session"]["id"].as_str().unwrap().to_owned(), subject));
                }
            }
            50..58 => {
                if let Some(token) = self.random.below(self.tokens.len() as u64 + 1).checked_sub(1) {
                    let token = self.tokens[token as usize].token.clone();
                    self.revoke(json!({"credential": token})).await;
                }
            }
            58..63 => {
                if let Some(n) = self.random.below(self.sessions.len() as u64 + 1).checked_sub(1) {
                    let id = self.sessions[n as usize].0.clone();
                    self.revoke(json!({"kind": "session", "id": id})).await;
                }
            }
            63..67 => self.revoke(json!({"subject": subject})).await,
            67..69 => self.revoke(json!({"subject": subject, "kinds": ["session"]})).await,
            69..71 => self.revoke(json!({"subject": subject, "kinds": ["ticket"]})).await,
            71..73 => {
                let id = self.applications[self.random.below(2) as usize].0.clone();
                self.revoke(json!({"application": id})).await;
            }
            73 => self.revoke(json!({"issuer": "http://ledger.test"})).await,
            74 => {
                let path = format!("/v1/subjects/{subject}/personal-data");
                if self.random.percent(30) {
                    self.node.root().delete(&path).await;
                }
            }
            75..85 => self.node.clock.advance(self.random.below(120_000)),
            85..95 => self.publish().await,
            95..97 => self.node.restart_with(made(false)).await,
            97 => {
                let path = self.node.ledger().with_file_name("status-lists");
                self.node.restart_damaged(made(false), || fs::remove_dir_all(path).unwrap_or_default()).await;
            }
            _ => self.restart_without_snapshot().await,
        }
    }

    async fn issue(&mut self, subject: &'static str) {
        let ttl = if self.random.percent(20) { 100_000 } else { 60 + self.random.below(900) };
        let mut body = json!({"subject": subject, "ttl": ttl, "status_list": true});
        let own: Vec<_> = self.sessions.iter().filter(|(_, whose)| *whose == subject).map(|(id, _)| id).collect();
        let other = self.random.below(self.tokens.len() as u64 + 1) as usize;
        match self.random.below(4) {
            0 if other < self.tokens.len() => body["parent"] = json!({"credential": self.tokens[other].token}),
            1 if !self.sessions.is_empty() => {
                let (id, _) = &self.sessions[other % self.sessions.len()];
                body["parent"] = json!({"kind": "session", "id": id});
            }
            0..=2 if !own.is_empty() => body["session_id"] = json!(own.last()),
            _ => {}
        }
        let answer = self.actor().post("/v1/tokens", body).await;
        if answer.status != 201 {
            // The parent is inactive, or the subject was erased.
            assert_eq!(answer.status, 409, "{}", answer.json());
            return;
        }
        let token = answer.text("token").to_owned();
        let claims = claims(&token);
        let entry = &claims["status"]["status_list"];
        let uri = entry["uri"].as_str().unwrap();
        let list = uri.strip_prefix("http://ledger.test/status-lists/").unwrap().parse().unwrap();
        let index = u32::try_from(entry["idx"].as_u64().unwrap()).unwrap();
        assert!(
            !self.tokens.iter().any(|known| (known.list, known.index) == (list, index)),
            "an entry is given only once"
        );
        assert!(
            matches!(self.node.service().status_list(list), StatusListAnswer::Found(_)),
            "it can be checked at once"
        );
        self.tokens.push(Listed { token, list, index, expires_at: claims["exp"].as_u64().unwrap() });
    }

    async fn revoke(&self, body: Value) {
        let answer = self.node.root().post("/v1/revocations", body).await;
        assert!([200, 201, 404, 409].contains(&answer.status.as_u16()), "{}", answer.json());
    }

    /// A start that folds the whole log. The snapshot that a stop writes is damaged before the next start, which it survives.
    async fn restart_without_snapshot(&mut self) {
        let path = self.node.ledger().with_file_name("snapshot").join("state");
        self.node.restart_damaged(made(false), || fs::write(&path, b"aledsnap").unwrap()).await;
    }

    /// Publishes, and compares every list with introspection.
    async fn publish(&mut self) {
        self.node.service().keep_status_lists().await;
        self.node.clock.advance(10_000);
        let now = self.node.clock.now().as_seconds();
        // The clock stands still from here on, so what is asked now is what the publication follows from.
        self.node.service().keep_status_lists().await;
        let lists: BTreeSet<_> = self.tokens.iter().map(|token| token.list).collect();
        for id in lists {
            let StatusListAnswer::Found(served) = self.node.service().status_list(id) else { continue };
            let token = std::str::from_utf8(&served.token).unwrap().to_owned();
            let array = array_of(&token).unwrap();
            assert_eq!(array.entries(), 1 << 14, "the whole list, from the beginning");
            if let Some((before, _)) = self.said.get(&id) {
                assert!(array.contains(before), "entries are only ever set");
            }
            let mut set = 0;
            for listed in self.tokens.iter().filter(|token| token.list == id) {
                let bit = array.get(listed.index) == Some(1);
                set += usize::from(bit);
                if now < listed.expires_at {
                    let asked = self.node.root().post("/v1/introspect", json!({"credential": listed.token})).await;
                    assert_eq!(bit, asked.json()["active"] == false, "entry {} of {id}", listed.index);
                }
            }
            assert_eq!(array.set_entries(), set, "nothing else is set");
            self.remade(id, &token);
            self.publications += 1;
            self.said.insert(id, (array, token));
        }
    }

    /// The log alone makes it again.
    fn remade(&self, id: StatusListId, token: &str) {
        let remade = audit::status_list(&self.node.ledger(), id, None, |_, _| {}).unwrap().unwrap();
        assert_eq!((remade.flaw, remade.token.as_deref()), (None, Some(token)));
    }
}

#[tokio::test]
async fn every_published_list_equals_introspection_and_is_made_again_from_the_log() {
    let (mut publications, mut tokens, mut lists) = (0, 0, 0);
    for seed in 0..STORIES {
        let mut story = Story::begin(seed).await;
        for _ in 0..STEPS {
            story.step().await;
        }
        story.publish().await;
        let (count, flaws) = audit::status_lists(&story.node.ledger(), |_, _| {}).unwrap();
        assert_eq!(flaws, [], "seed {seed}: none of {count} publications differs from the log");
        publications += story.publications;
        tokens += story.tokens.len();
        lists += story.said.len();
    }
    println!("{STORIES} stories: {tokens} tokens in {lists} lists, {publications} publications compared");
    assert!(publications > 50 && tokens > 200);
}
