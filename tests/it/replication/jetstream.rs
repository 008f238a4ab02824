//! The courier `jetstream` with servers that are killed, wiped, rolled back, cut off and late.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::PersistenceMode;
use authledger::domain::Region;
use authledger::replication::courier::Post as _;
use authledger::replication::jetstream::{RegionServers, START_RECORDS};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use serde_json::json;
use uuid::Uuid;

use super::jetstream_post::{Fake, PATIENCE, Running, settings};
use crate::support::nats::{Proxy, Server, find, with_each_release};

/// How soon all must have come after a server or a network is there again.
const CATCH_UP: Duration = Duration::from_secs(2);

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The servers of a region, at a place that stays.
struct Site {
    server: Server,
    proxy: Proxy,
}

impl Site {
    async fn new(program: &Path) -> Self {
        let mut server = Server::new(program);
        let proxy = Proxy::to(server.start().await).await;
        Self { server, proxy }
    }

    fn url(&self) -> String {
        url(&self.proxy)
    }

    async fn restart(&mut self) {
        self.server.kill();
        self.start().await;
    }

    async fn start(&mut self) {
        self.proxy.lead_to(self.server.start().await);
    }
}

fn url(proxy: &Proxy) -> String {
    format!("nats://{}", proxy.address())
}

/// Two regions with a node in each.
struct Pair {
    east: Site,
    west: Site,
    ada: Arc<Fake>,
    bob: Arc<Fake>,
    files: tempfile::TempDir,
    ledger: Uuid,
}

impl Pair {
    async fn new(program: &Path, at_once: usize) -> Self {
        let ledger = Uuid::new_v4();
        Self {
            east: Site::new(program).await,
            west: Site::new(program).await,
            ada: Fake::new(ledger, 0, "east", at_once),
            bob: Fake::new(ledger, 1, "west", at_once),
            files: tempfile::tempdir().unwrap(),
            ledger,
        }
    }

    fn regions(&self) -> [(&'static str, String); 2] {
        [("east", self.east.url()), ("west", self.west.url())]
    }

    fn state(&self, post: &Fake) -> PathBuf {
        self.files.path().join(post.origin().as_str())
    }

    fn start(&self, post: &Arc<Fake>) -> Running {
        Running::start(post, self.state(post), &self.regions())
    }

    /// A node that begins with nothing and has heard of nobody.
    fn newcomer(&self, letter: u8, region: &str) -> Arc<Fake> {
        Fake::new(self.ledger, letter, region, usize::MAX)
    }
}

/// Waits until everything that was sent is acknowledged; nothing tells of that but the counters.
async fn settled(post: &Fake, running: &Running, records: u64) {
    let until = Instant::now() + PATIENCE;
    while count(&running.counted.acknowledged) < records {
        assert!(
            Instant::now() < until,
            "{} of {records} are acknowledged in {}",
            count(&running.counted.acknowledged),
            post.stream()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a region's bucket has a node's announcement of itself.
async fn is_in_bucket(site: &Site, ledger: Uuid, post: &Fake) {
    let context = async_nats::jetstream::new(async_nats::connect(site.url()).await.unwrap());
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(bucket) = context.get_key_value(format!("authledger_{}_nodes", ledger.simple())).await
            && let Ok(Some(_)) = bucket.get(post.sender().node.to_string()).await
        {
            return;
        }
        assert!(Instant::now() < until, "nothing is in the bucket");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn records_pass_both_ways_and_to_nodes_that_come_later(program: &Path) {
    let pair = Pair::new(program, usize::MAX).await;
    let (ada, bob) = (pair.start(&pair.ada), pair.start(&pair.bob));
    pair.ada.append(100);
    pair.bob.append(100);
    pair.ada.has_all_of(&pair.bob).await;
    pair.bob.has_all_of(&pair.ada).await;
    pair.ada.has_heard_of(pair.bob.origin()).await;
    pair.bob.append(1);
    let live = pair.ada.has_all_of(&pair.bob).await;
    println!("a record passed in {live:?}");
    settled(&pair.bob, &bob, 2).await;
    // The bucket has enough to find the stream of a node that is gone.
    is_in_bucket(&pair.west, pair.ledger, &pair.bob).await;
    bob.stop().await;
    let cyd = pair.newcomer(2, "east");
    let running = pair.start(&cyd);
    cyd.has_all_of(&pair.bob).await;
    cyd.has_all_of(&pair.ada).await;
    assert_eq!(count(&running.counted.abandoned) + count(&ada.counted.abandoned), 0);
    assert!(running.counted.refused_by_reason().is_empty());
    running.stop().await;
    ada.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_parcels_arrive_in_order_and_once() {
    const PARCELS: u64 = 10_000;
    let Some(program) = find() else { return };
    let pair = Pair::new(&program, 1).await;
    let ada = pair.start(&pair.ada);
    let started = Instant::now();
    pair.ada.append(PARCELS / 2);
    settled(&pair.ada, &ada, PARCELS / 4).await;
    // It begins in the middle: earlier records come from the stream, later ones both ways.
    let bob = pair.start(&pair.bob);
    pair.ada.append(PARCELS / 2);
    pair.bob.has_all_of(&pair.ada).await;
    settled(&pair.ada, &ada, PARCELS).await;
    let rate = PARCELS as f64 / started.elapsed().as_secs_f64();
    let (live, streamed) = (count(&bob.counted.received_live), count(&bob.counted.received_from_streams));
    println!(
        "{rate:.0} parcels per second; {live} came live, {streamed} by the stream, {} held nothing new",
        pair.bob.needless.lock().unwrap()
    );
    assert_eq!(count(&ada.counted.acknowledged), PARCELS);
    assert_eq!(count(&ada.counted.published), PARCELS);
    bob.stop().await;
    ada.stop().await;
}

async fn a_killed_server_is_caught_up_with_within_two_seconds(program: &Path) {
    let mut pair = Pair::new(program, 10).await;
    let (ada, bob) = (pair.start(&pair.ada), pair.start(&pair.bob));
    for round in 0..3 {
        // In the middle of publishing.
        pair.ada.append(2000);
        settled(&pair.ada, &ada, 50 + 200 * round).await;
        pair.east.server.kill();
        pair.ada.append(500);
        pair.bob.append(10);
        // The other region goes on.
        pair.ada.has_all_of(&pair.bob).await;
        pair.east.start().await;
        let took = pair.bob.has_all_of(&pair.ada).await;
        println!("caught up in {took:?}");
        assert!(took < CATCH_UP, "{took:?}");
    }
    assert_eq!(count(&ada.counted.abandoned), 0);
    assert!(count(&ada.counted.reconnects) >= 3);
    assert_eq!(pair.ada.published_in.borrow().len(), 1);
    bob.stop().await;
    ada.stop().await;
}

async fn a_wiped_store_makes_a_stream_of_another_name_with_all_that_is_needed(program: &Path) {
    let mut pair = Pair::new(program, 10).await;
    let (ada, bob) = (pair.start(&pair.ada), pair.start(&pair.bob));
    pair.ada.append(500);
    pair.bob.has_all_of(&pair.ada).await;
    settled(&pair.ada, &ada, 1).await;
    bob.stop().await;
    pair.ada.append(500);
    pair.east.server.kill();
    std::fs::remove_dir_all(pair.east.server.store()).unwrap();
    pair.east.start().await;
    pair.ada.publishes_in(2).await;
    pair.ada.append(10);
    // A node that was away, and one that has nothing.
    let bob = pair.start(&pair.bob);
    let cyd = pair.newcomer(2, "west");
    let other = pair.start(&cyd);
    pair.bob.has_all_of(&pair.ada).await;
    cyd.has_all_of(&pair.ada).await;
    assert_eq!(count(&ada.counted.abandoned), 1);
    for running in [ada, bob, other] {
        running.stop().await;
    }
}

async fn a_deleted_stream_is_followed_by_one_of_another_name(program: &Path) {
    let pair = Pair::new(program, 10).await;
    let (ada, bob) = (pair.start(&pair.ada), pair.start(&pair.bob));
    pair.ada.append(500);
    pair.bob.has_all_of(&pair.ada).await;
    settled(&pair.ada, &ada, 1).await;
    let client = async_nats::connect(pair.east.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    for number in [2, 3] {
        // A stream that never acknowledged anything would be made anew under its name.
        let before = count(&ada.counted.acknowledged);
        context.delete_stream(pair.ada.stream()).await.unwrap();
        if number == 2 {
            pair.ada.append(10);
        }
        // Without a record that wants to be published it is noticed as well, a little later.
        pair.ada.publishes_in(number).await;
        pair.ada.append(10);
        pair.bob.has_all_of(&pair.ada).await;
        settled(&pair.ada, &ada, before + 1).await;
    }
    assert_eq!(count(&ada.counted.abandoned), 2);
    bob.stop().await;
    ada.stop().await;
}

async fn a_store_that_was_rolled_back_is_not_refilled_and_loses_nothing(program: &Path) {
    let mut pair = Pair::new(program, 10).await;
    let ada = pair.start(&pair.ada);
    pair.ada.append(300);
    settled(&pair.ada, &ada, 30).await;
    let store = pair.east.server.store();
    let older = pair.files.path().join("older");
    pair.east.server.kill();
    copy(&store, &older);
    pair.east.start().await;
    pair.ada.append(300);
    settled(&pair.ada, &ada, 60).await;
    // The node is restarted too, so that only its file knows the acknowledged parcels.
    ada.stop().await;
    pair.east.server.kill();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&older, &store);
    pair.east.start().await;
    let ada = pair.start(&pair.ada);
    pair.ada.publishes_in(2).await;
    pair.ada.append(10);
    let bob = pair.start(&pair.bob);
    pair.bob.has_all_of(&pair.ada).await;
    assert_eq!(count(&ada.counted.abandoned), 1);
    // Without the file the newest stream is found and written on.
    ada.stop().await;
    std::fs::remove_file(pair.state(&pair.ada)).unwrap();
    let ada = pair.start(&pair.ada);
    pair.ada.append(10);
    pair.bob.has_all_of(&pair.ada).await;
    settled(&pair.ada, &ada, 1).await;
    assert_eq!(pair.ada.published_in.borrow().len(), 2);
    assert_eq!(count(&ada.counted.abandoned), 0);
    bob.stop().await;
    ada.stop().await;
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

async fn a_network_that_is_cut_stops_only_what_goes_through_it(program: &Path) {
    let pair = Pair::new(program, 10).await;
    // Each node has a way of its own to the east.
    let east = pair.east.proxy.address();
    let (to_ada, to_bob) = (Proxy::to(east).await, Proxy::to(east).await);
    let start = |post: &Arc<Fake>, way: &Proxy| {
        Running::start(post, pair.state(post), &[("east", url(way)), ("west", pair.west.url())])
    };
    let (ada, bob) = (start(&pair.ada, &to_ada), start(&pair.bob, &to_bob));
    pair.ada.append(100);
    pair.bob.has_all_of(&pair.ada).await;
    // First the way of the node that listens, then the way of the one that publishes.
    for cut in [&to_bob, &to_ada] {
        cut.cut();
        let before = cut.refused();
        cut.until_refused(before + 1).await;
        pair.ada.append(500);
        pair.bob.append(10);
        cut.until_refused(before + 8).await;
        assert!(pair.bob.log(pair.ada.origin()).len() < pair.ada.log(pair.ada.origin()).len());
        pair.ada.has_all_of(&pair.bob).await;
        cut.heal();
        let took = pair.bob.has_all_of(&pair.ada).await;
        println!("after {} refused connections caught up in {took:?}", cut.refused());
        assert!(took < CATCH_UP, "{took:?}");
        assert!(cut.refused() > 0);
    }
    assert_eq!(count(&ada.counted.abandoned), 0);
    bob.stop().await;
    ada.stop().await;
}

async fn a_network_that_loses_everything_in_silence_is_noticed(program: &Path) {
    let pair = Pair::new(program, 10).await;
    let east = Proxy::to(pair.east.proxy.address()).await;
    let ada = pair.start(&pair.ada);
    let bob = Running::start(&pair.bob, pair.state(&pair.bob), &[("east", url(&east)), ("west", pair.west.url())]);
    pair.ada.append(100);
    pair.bob.has_all_of(&pair.ada).await;
    east.hold();
    pair.ada.append(500);
    pair.bob.append(10);
    pair.ada.has_all_of(&pair.bob).await;
    // The courier gives the connection up by itself, which the proxy sees as a new one that is refused.
    east.refuse_new();
    east.until_refused(1).await;
    assert_eq!(pair.bob.log(pair.ada.origin()).len(), 100);
    east.heal();
    let took = pair.bob.has_all_of(&pair.ada).await;
    assert!(took < CATCH_UP, "{took:?}");
    bob.stop().await;
    ada.stop().await;
}

async fn a_stream_that_begins_late_is_read_once_the_older_records_have_come_another_way(program: &Path) {
    let pair = Pair::new(program, 100).await;
    pair.ada.append(START_RECORDS + 2000);
    let (ada, bob) = (pair.start(&pair.ada), pair.start(&pair.bob));
    settled(&pair.ada, &ada, START_RECORDS / 100).await;
    pair.bob.has_heard_of(pair.ada.origin()).await;
    let older = pair.ada.log(pair.ada.origin());
    assert!(pair.bob.log(pair.ada.origin()).is_empty());
    // A peer brings them, and a few more than are missing.
    pair.bob.take_in(&older[..2042].join("\n"));
    pair.bob.has_all_of(&pair.ada).await;
    pair.ada.append(1);
    pair.bob.has_all_of(&pair.ada).await;
    bob.stop().await;
    ada.stop().await;
}

async fn a_region_whose_servers_come_late_keeps_nobody_waiting(program: &Path) {
    let ledger = Uuid::new_v4();
    let (ada, bob) = (Fake::new(ledger, 0, "east", 10), Fake::new(ledger, 1, "west", 10));
    let east = Site::new(program).await;
    let mut west = Site { server: Server::new(program), proxy: Proxy::to_nothing().await };
    let files = tempfile::tempdir().unwrap();
    let regions = [("east", east.url()), ("west", west.url())];
    let for_ada = Running::start(&ada, files.path().join("ada"), &regions);
    let for_bob = Running::start(&bob, files.path().join("bob"), &regions);
    ada.append(100);
    bob.append(100);
    bob.has_all_of(&ada).await;
    west.proxy.until_refused(4).await;
    assert!(ada.log(bob.origin()).is_empty());
    west.start().await;
    let took = ada.has_all_of(&bob).await;
    assert!(took < CATCH_UP, "{took:?}");
    west.restart().await;
    bob.append(1);
    ada.has_all_of(&bob).await;
    for_bob.stop().await;
    for_ada.stop().await;
}

async fn messages_that_are_not_to_be_believed_are_counted_and_parcels_that_cannot_be_taken_now_come_again(
    program: &Path,
) {
    let pair = Pair::new(program, 10).await;
    let (ada, bob) = (pair.start(&pair.ada), pair.start(&pair.bob));
    pair.ada.append(10);
    pair.bob.has_all_of(&pair.ada).await;
    pair.bob.has_heard_of(pair.ada.origin()).await;
    let client = async_nats::connect(pair.east.url()).await.unwrap();
    let ledger = pair.ledger.simple();
    client.publish(format!("authledger.{ledger}.live.{}", pair.ada.origin()), "forged".into()).await.unwrap();
    client.publish(format!("authledger.{ledger}.announce.somebody"), "forged".into()).await.unwrap();
    let until = Instant::now() + PATIENCE;
    let refused = || bob.counted.refused_by_reason();
    while !(refused().contains_key("unreadable") && refused().contains_key("announcement")) {
        assert!(Instant::now() < until, "{:?}", refused());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pair.bob.is_busy.store(true, Ordering::Relaxed);
    let streamed = count(&bob.counted.received_from_streams);
    pair.ada.append(1000);
    while count(&bob.counted.received_from_streams) == streamed {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(pair.bob.log(pair.ada.origin()).len(), 10);
    pair.bob.is_busy.store(false, Ordering::Relaxed);
    pair.bob.has_all_of(&pair.ada).await;
    // Not skipped: nothing had to be fetched twice.
    assert_eq!(count(&bob.counted.received_from_streams) - streamed, 100);
    bob.stop().await;
    ada.stop().await;
}

async fn servers_may_ask_for_tls_and_a_password(program: &Path) {
    let files = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (files.path().join("certificate.pem"), files.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let more = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\" }}\nauthorization {{ user: ada, password: \"s@crt:/%\" }}",
        certificate.display(),
        key.display()
    );
    let mut server = Server::with(program, &more);
    let address = server.start().await;
    let ledger = Uuid::new_v4();
    let (ada, bob) = (Fake::new(ledger, 0, "east", 10), Fake::new(ledger, 1, "east", 10));
    let servers = |user: &str| RegionServers {
        region: Region::new("east").unwrap(),
        urls: vec![format!("tls://{user}@{address}")],
        credentials: None,
        ca: Some(certificate.clone()),
    };
    let start = |post: &Arc<Fake>, name: &str, user| {
        Running::with(post, &settings(post, files.path().join(name), vec![servers(user)]))
    };
    let for_ada = start(&ada, "ada", "ada:s%40crt%3A%2F%25");
    let for_bob = start(&bob, "bob", "ada:s%40crt%3A%2F%25");
    ada.append(100);
    bob.has_all_of(&ada).await;
    let cyd = Fake::new(ledger, 2, "east", 10);
    let for_cyd = start(&cyd, "cyd", "ada:wrong");
    ada.append(100);
    bob.has_all_of(&ada).await;
    assert!(cyd.log(ada.origin()).is_empty());
    for running in [for_cyd, for_bob, for_ada] {
        running.stop().await;
    }
}

async fn servers_may_ask_for_a_credentials_file(program: &Path) {
    let (operator, system, account, user) = (Nkey::new(b'O'), Nkey::new(b'A'), Nkey::new(b'A'), Nkey::new(b'U'));
    let limits = |storage: i64| {
        json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
        })
    };
    let for_operator = operator.signs(&operator, json!({"type": "operator", "version": 2}));
    // The servers' own account can't have streams.
    let for_system = operator.signs(&system, json!({"type": "account", "version": 2, "limits": limits(0)}));
    let for_account = operator.signs(&account, json!({"type": "account", "version": 2, "limits": limits(-1)}));
    let for_user = account.signs(&user, json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}));
    let more = format!(
        "operator: \"{for_operator}\"\nsystem_account: {0}\nresolver: MEMORY\nresolver_preload: {{ {0}: \"{for_system}\", {1}: \"{for_account}\" }}",
        system.public, account.public
    );
    let mut server = Server::with(program, &more);
    let address = server.start().await;
    let files = tempfile::tempdir().unwrap();
    let credentials = files.path().join("user.creds");
    let written = format!(
        "-----BEGIN NATS USER JWT-----\n{for_user}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed
    );
    std::fs::write(&credentials, written).unwrap();
    let ledger = Uuid::new_v4();
    let (ada, bob) = (Fake::new(ledger, 0, "east", 10), Fake::new(ledger, 1, "east", 10));
    let start = |post: &Arc<Fake>, name: &str| {
        let servers = RegionServers {
            region: Region::new("east").unwrap(),
            urls: vec![format!("nats://{address}")],
            credentials: Some(credentials.clone()),
            ca: None,
        };
        Running::with(post, &settings(post, files.path().join(name), vec![servers]))
    };
    let for_ada = start(&ada, "ada");
    ada.append(100);
    settled(&ada, &for_ada, 10).await;
    let for_bob = start(&bob, "bob");
    bob.has_all_of(&ada).await;
    for_bob.stop().await;
    for_ada.stop().await;
}

/// A key as NATS writes them: https://docs.nats.io, "NKeys" and "JWT".
struct Nkey {
    pair: Ed25519KeyPair,
    public: String,
    seed: String,
}

impl Nkey {
    /// A key whose name begins with that letter: O for operators, A for accounts, U for users.
    fn new(letter: u8) -> Self {
        let prefix = (letter - b'A') << 3;
        let seed = rand_seed();
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        // The letter S in five bits, then the key's own letter in eight.
        let head = [(b'S' - b'A') << 3 | prefix >> 5, (prefix & 31) << 3];
        let public = checked(&[&[prefix], pair.public_key().as_ref()].concat());
        Self { pair, public, seed: checked(&[&head[..], &seed].concat()) }
    }

    /// A JWT of that other key with these claims.
    fn signs(&self, other: &Self, claims: serde_json::Value) -> String {
        let body = json!({"jti": "1", "iat": 1_700_000_000, "iss": self.public, "sub": other.public, "name": "test", "nats": claims});
        let encoded = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encoded(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), encoded(&body));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }
}

fn rand_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    seed
}

/// In base32 without padding, with a CRC-16 (XMODEM) after it.
fn checked(bytes: &[u8]) -> String {
    let step = |crc: u16, byte: &u8| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    };
    let crc = bytes.iter().fold(0, step).to_le_bytes();
    let bits: String = [bytes, &crc].concat().iter().map(|byte| format!("{byte:08b}")).collect();
    let letter = |five: &[u8]| {
        let value = usize::from_str_radix(&format!("{:0<5}", std::str::from_utf8(five).unwrap()), 2).unwrap();
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[value])
    };
    bits.as_bytes().chunks(5).map(letter).collect()
}

async fn a_stream_that_is_there_is_given_the_limits_of_the_present_settings(program: &Path) {
    let pair = Pair::new(program, 10).await;
    let ada = pair.start(&pair.ada);
    pair.ada.append(10);
    settled(&pair.ada, &ada, 1).await;
    ada.stop().await;
    let servers = pair.regions().map(|(region, url)| RegionServers {
        region: Region::new(region).unwrap(),
        urls: vec![url],
        credentials: None,
        ca: None,
    });
    let mut others = settings(&pair.ada, pair.state(&pair.ada), servers.into());
    (others.max_bytes, others.max_age) = (others.max_bytes / 2, others.max_age * 2);
    let ada = Running::with(&pair.ada, &others);
    pair.ada.append(10);
    settled(&pair.ada, &ada, 1).await;
    let context = async_nats::jetstream::new(async_nats::connect(pair.east.url()).await.unwrap());
    let stream = context.get_stream(pair.ada.stream()).await.unwrap();
    let info = stream.cached_info();
    assert_eq!((info.config.max_bytes, info.config.max_age), (others.max_bytes as i64, others.max_age));
    assert_eq!((info.state.messages, count(&ada.counted.abandoned)), (2, 0));
    ada.stop().await;
}

async fn a_stream_whose_acknowledgements_mean_less_is_refused_until_it_is_deleted(program: &Path) {
    let pair = Pair::new(program, 10).await;
    let context = async_nats::jetstream::new(async_nats::connect(pair.east.url()).await.unwrap());
    let name = format!("authledger_{}_{}_1", pair.ledger.simple(), pair.ada.origin());
    context
        .create_stream(async_nats::jetstream::stream::Config {
            name: name.clone(),
            subjects: vec![format!("authledger.{}.records.{}.1", pair.ledger.simple(), pair.ada.origin())],
            persist_mode: Some(PersistenceMode::Async),
            ..Default::default()
        })
        .await
        .unwrap();
    let (ada, bob) = (pair.start(&pair.ada), pair.start(&pair.bob));
    pair.ada.append(100);
    let until = Instant::now() + PATIENCE;
    while count(&ada.counted.unfit) < 2 {
        assert!(Instant::now() < until, "nobody minds it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Records travel without it.
    pair.ada.append(10);
    until_live(&bob).await;
    assert_eq!((count(&ada.counted.published), count(&ada.counted.acknowledged)), (0, 0));
    let state = context.get_stream(&name).await.unwrap().cached_info().state.clone();
    assert_eq!(state.messages, 0, "nothing was published in it");
    context.delete_stream(&name).await.unwrap();
    pair.bob.has_all_of(&pair.ada).await;
    settled(&pair.ada, &ada, 1).await;
    let made = context.get_stream(pair.ada.stream()).await.unwrap().cached_info().config.clone();
    assert_eq!(made.persist_mode.unwrap_or_default(), PersistenceMode::Default);
    bob.stop().await;
    ada.stop().await;
}

/// Waits until a plain message has brought records.
async fn until_live(running: &Running) {
    let until = Instant::now() + PATIENCE;
    while count(&running.counted.received_live) == 0 {
        assert!(Instant::now() < until, "no record comes at once");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

with_each_release! {
    records_pass_both_ways_and_to_nodes_that_come_later
    a_killed_server_is_caught_up_with_within_two_seconds
    a_wiped_store_makes_a_stream_of_another_name_with_all_that_is_needed
    a_deleted_stream_is_followed_by_one_of_another_name
    a_store_that_was_rolled_back_is_not_refilled_and_loses_nothing
    a_network_that_is_cut_stops_only_what_goes_through_it
    a_network_that_loses_everything_in_silence_is_noticed
    a_stream_that_begins_late_is_read_once_the_older_records_have_come_another_way
    a_region_whose_servers_come_late_keeps_nobody_waiting
    messages_that_are_not_to_be_believed_are_counted_and_parcels_that_cannot_be_taken_now_come_again
    servers_may_ask_for_tls_and_a_password
    servers_may_ask_for_a_credentials_file
    a_stream_that_is_there_is_given_the_limits_of_the_present_settings
    a_stream_whose_acknowledgements_mean_less_is_refused_until_it_is_deleted
}
