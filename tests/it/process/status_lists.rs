//! Status lists of a server that is killed over and over, and that others' verifiers and a cache read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use authledger::audit;
use authledger::domain::{Event, StatusListId};
use authledger::event_log::{Base, Reader};
use authledger::status_list::array_of;
use reqwest::Method;
use serde_json::{Value, json};

use super::node::{Api, Launch, NodeProcess, PATIENCE, client};
use crate::clients;
use crate::status_list::law::claims;
use crate::support::nginx::{self, Nginx};
use crate::support::python;
use crate::support::random::Random;

const ROUNDS: u64 = 25;
const CLIENTS: u64 = 6;

fn launch(data: &Path) -> NodeProcess {
    let arguments =
        ["--surfaces", "native,status,metrics", "--status-list-interval", "1", "--status-list-entries", "16384"];
    // The issuer of the tokens stays, whatever port a later start listens on.
    Launch::new(data).args(&arguments).args(&["--public-url", "http://ledger.test"]).start()
}

/// A token with an entry.
#[derive(Clone)]
struct Listed {
    list: String,
    index: u32,
    revoked: bool,
}

fn listed(token: &str) -> Listed {
    let entry = claims(token)["status"]["status_list"].clone();
    let list = entry["uri"].as_str().expect("an address").rsplit('/').next().expect("a name").to_owned();
    Listed { list, index: u32::try_from(entry["idx"].as_u64().expect("an index")).expect("small"), revoked: false }
}

/// Issues tokens, and revokes every second one, until the server is gone.
async fn work(api: Api, client: u64, done: Arc<Mutex<Vec<Listed>>>) {
    for number in 0.. {
        // Both classes.
        let ttl = if number % 3 == 0 { 100_000 } else { 80_000 };
        let body = json!({"subject": format!("{client}-{number}"), "status_list": true, "ttl": ttl});
        let Ok(answer) = api.send(Method::POST, "/v1/tokens", Some(&body)).await else { return };
        if answer.status != 201 {
            assert_eq!(answer.status, 503, "{}", answer.body);
            return;
        }
        let token = answer.body["token"].as_str().expect("a token").to_owned();
        let mut made = listed(&token);
        if number % 2 == 0 {
            let revoked = api.send(Method::POST, "/v1/revocations", Some(&json!({"credential": token}))).await;
            made.revoked = revoked.is_ok_and(|answer| answer.status == 201);
        }
        done.lock().expect("whole").push(made);
    }
}

/// The list, once it says that of the entries that must be set.
async fn settled(api: &Api, list: &str, set: &BTreeSet<u32>) -> usize {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = client().build().unwrap().get(format!("{}/status-lists/{list}", api.url())).send().await.unwrap();
        let status = answer.status();
        let token = answer.text().await.unwrap();
        if status == 200 {
            let array = array_of(&token).expect("a list");
            if set.iter().all(|index| array.get(*index) == Some(1)) {
                return array.set_entries();
            }
        }
        assert!(Instant::now() < until, "list {list} does not say so: {status}");
        // A publication tells nobody, so it is asked again.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_entry_is_given_twice_however_often_the_server_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("ledger");
    let done: Arc<Mutex<Vec<Listed>>> = Arc::default();
    let mut random = Random::of(17);
    let rounds = std::env::var("AUTHLEDGER_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    for _ in 0..rounds {
        let server = launch(&data);
        let workers: Vec<_> =
            (0..CLIENTS).map(|client| tokio::spawn(work(server.api.apart(), client, done.clone()))).collect();
        // The moment of the kill is what the test is about.
        tokio::time::sleep(Duration::from_millis(20 + random.below(380))).await;
        server.kill();
        for worker in workers {
            worker.await.unwrap();
        }
    }
    let done = done.lock().unwrap().clone();
    let mut entries = BTreeSet::new();
    for made in &done {
        assert!(entries.insert((made.list.clone(), made.index)), "entry {} of {} twice", made.index, made.list);
    }
    let mut base = Base::default();
    let reader = Reader::open(&data.join("ledger.db")).unwrap();
    let mut recorded: BTreeSet<(StatusListId, u32)> = BTreeSet::new();
    loop {
        let page = reader.next_page(&mut base, 10_000).unwrap();
        if page.is_empty() {
            break;
        }
        for stored in page {
            if let Event::TokenIssued(issued) = stored.decode().unwrap().event
                && let Some(status) = issued.status
            {
                assert!(recorded.insert((status.list, status.index)), "on record twice");
            }
        }
    }
    assert!(entries.len() <= recorded.len() && entries.len() > 50, "{} of {}", entries.len(), recorded.len());
    // What was acknowledged as revoked is said, and the log leads to every publication.
    let server = launch(&data);
    let mut revoked: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for made in done.iter().filter(|made| made.revoked) {
        revoked.entry(made.list.clone()).or_default().insert(made.index);
    }
    for (list, set) in &revoked {
        let found = settled(&server.api, list, set).await;
        assert!(found >= set.len());
    }
    assert_eq!(server.stop().await.0, Some(0));
    let (publications, flaws) = audit::status_lists(&data.join("ledger.db"), |_, _| {}).unwrap();
    assert_eq!(flaws, []);
    println!(
        "{rounds} kills: {} tokens on record, {} answered, {} revoked, {} lists, {publications} publications",
        recorded.len(),
        done.len(),
        revoked.values().map(BTreeSet::len).sum::<usize>(),
        recorded.iter().map(|(list, _)| list).collect::<BTreeSet<_>>().len(),
    );
}

/// A server whose lists say that of the first of three tokens, of each algorithm.
async fn with_tokens(directory: &Path, algorithm: &str) -> (NodeProcess, Vec<(String, bool)>) {
    let arguments =
        ["--surfaces", "native,status,metrics", "--status-list-interval", "1", "--token-algorithm", algorithm];
    let server = Launch::new(&directory.join(algorithm)).args(&arguments).start();
    let mut tokens = Vec::new();
    for subject in ["ada", "bob", "cyd"] {
        let body = json!({"subject": subject, "status_list": true});
        let issued = server.api.post("/v1/tokens", body).await.expect(201);
        tokens.push((issued["token"].as_str().unwrap().to_owned(), subject == "ada"));
    }
    server.api.post("/v1/revocations", json!({"credential": tokens[0].0})).await.expect(201);
    let ada = listed(&tokens[0].0);
    settled(&server.api, &ada.list, &BTreeSet::from([ada.index])).await;
    (server, tokens)
}

fn run(mut command: Command, input: &Value) -> String {
    command.stdin(clients::holding(input)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn verifiers_of_others_read_the_lists_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    for algorithm in ["ES256", "RS256", "EdDSA"] {
        let (server, tokens) = with_tokens(directory.path(), algorithm).await;
        let tokens: Vec<_> =
            tokens.iter().map(|(token, revoked)| json!({"token": token, "revoked": revoked})).collect();
        let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/read_status_list.py");
        let input = json!({"issuer": server.api.url(), "reader": reader, "tokens": tokens});
        if let Some(node) = clients::node("@sd-jwt/jwt-status-list") {
            print!("{algorithm} {}", run(clients::script(node, "status_list_node.mjs", &[]), &input));
        }
        if let Some(python) = python::with("token_status_list").filter(|_| python::with("jwcrypto").is_some()) {
            print!("{algorithm} {}", run(clients::script(python, "status_list_python.py", &[]), &input));
        }
        // A success means something only if it can fail.
        let mut wrong = input.clone();
        wrong["tokens"][0]["revoked"] = json!(false);
        if let Some(node) = clients::node("@sd-jwt/jwt-status-list") {
            let mut command = clients::script(node, "status_list_node.mjs", &[]);
            let status = command.stdin(clients::holding(&wrong)).stdout(Stdio::null()).stderr(Stdio::null()).status();
            assert!(!status.unwrap().success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_reads_through_a_cache_reach_the_server_once_for_each_coding() {
    const READS: usize = 10_000;
    let Some(program) = nginx::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (server, tokens) = with_tokens(directory.path(), "ES256").await;
    let path = format!("/status-lists/{}", listed(&tokens[0].0).list);
    let fetches = || async {
        let metrics = server.api.get("/metrics").await.body;
        let lines = metrics.as_str().unwrap().lines().filter(|line| line.contains("/status-lists/{id}"));
        let counts = lines.filter(|line| line.contains("_count") || line.contains("_total"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, f64::max)
    };
    let cache = Arc::new(Nginx::caching(program, server.api.url()).await);
    let before = fetches().await;
    let first = cache.ask(&format!("GET {path}"), "").await;
    let field =
        |line: &str| Some(line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("etag"))?.1.to_owned());
    let etag = first.lines().find_map(field).unwrap_or_else(|| panic!("no tag: {first}"));
    let readers = (0..8).map(|_| {
        let (cache, path, etag) = (cache.clone(), path.clone(), etag.clone());
        tokio::spawn(async move {
            for _ in 0..READS / 8 {
                let answer = cache.ask(&format!("GET {path}"), "").await;
                assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&etag), "{answer}");
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    let known = cache.ask(&format!("GET {path}"), &format!("If-None-Match: {etag}\r\n")).await;
    assert!(known.starts_with("HTTP/1.1 304"), "{known}");
    let packed = cache.ask_bytes(&format!("GET {path}"), "Accept-Encoding: gzip\r\n").await;
    let head = String::from_utf8_lossy(&packed[..packed.len().min(600)]).to_ascii_lowercase();
    assert!(head.contains("content-encoding: gzip") && head.contains("-gzip\""), "{head}");
    let fetched = fetches().await - before;
    println!("{READS} reads, 304 and gzip: {fetched} fetches");
    assert!((2.0..=3.0).contains(&fetched), "one for each coding, and one more if a minute has passed: {fetched}");
}
