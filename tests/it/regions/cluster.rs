//! Nodes of one ledger, with a proxy on every way from one to another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use authledger::audit::replay;
use authledger::domain::{Origin, Timestamp};
use authledger::event_log::{Base, ChainHash, Reader};
use serde_json::Value;

use crate::process::node::{Api, BINARY, Launch, NodeProcess, PATIENCE, ROOT, text};
use crate::support::faketime::WallClock;
#[cfg(feature = "nats")]
use crate::support::nats::Server;
use crate::support::proxy::Proxy;

/// The nodes' names.
pub const NAMES: [&str; 3] = ["a", "b", "c"];
/// Where each is.
pub const REGIONS: [&str; 3] = ["europe", "america", "asia"];
/// The first, the second and the third node.
pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;

/// One node's directory, and its process while that runs.
pub struct Site {
    pub name: String,
    pub region: String,
    pub data: PathBuf,
    listen: String,
    node: Option<NodeProcess>,
    /// The wall clock that its process reads, where that is not the machine's.
    pub wall: Option<WallClock>,
}

/// The nodes, and the ways between them.
pub struct Cluster {
    pub sites: Vec<Site>,
    /// From one node to another, over HTTP.
    http: BTreeMap<(usize, usize), Proxy>,
    /// From a node to a region's NATS servers, its own among them.
    nats: BTreeMap<(usize, usize), Proxy>,
    #[cfg(feature = "nats")]
    pub servers: Vec<Server>,
    /// Removed with the cluster.
    #[cfg_attr(
        not(feature = "nats"),
        expect(dead_code, reason = "it is held, and looked into where servers are rolled back")
    )]
    pub directory: tempfile::TempDir,
}

impl Cluster {
    /// So many nodes of one ledger that hear of one another over HTTP, all of which answer.
    pub async fn over_http(count: usize) -> Self {
        let mut cluster = Self::of(count).await;
        cluster.start(A, &[]).await;
        for which in 1..count {
            cluster.join(which);
            cluster.start(which, &[]).await;
        }
        cluster
    }

    /// Three nodes, each in a region with a NATS server.
    #[cfg(feature = "nats")]
    pub async fn over_nats(program: &Path) -> Self {
        let mut cluster = Self::of(3).await;
        cluster.servers = (0..3).map(|_| Server::new(program)).collect();
        for region in 0..3 {
            for from in 0..3 {
                cluster.nats.insert((from, region), Proxy::to_nothing().await);
            }
            cluster.start_server(region).await;
        }
        cluster.start(A, &[]).await;
        for which in [B, C] {
            cluster.join(which);
            cluster.start(which, &[]).await;
        }
        cluster
    }

    /// Directories and ways for so many nodes, none of which runs.
    pub async fn of(count: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut http = BTreeMap::new();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                http.insert((from, to), Proxy::to_nothing().await);
            }
        }
        let site = |which: usize| Site {
            name: NAMES[which].to_owned(),
            region: REGIONS[which].to_owned(),
            data: directory.path().join(NAMES[which]).join("data"),
            listen: "127.0.0.1:0".to_owned(),
            node: None,
            wall: None,
        };
        let sites: Vec<Site> = (0..count).map(site).collect();
        sites.iter().for_each(|site| std::fs::create_dir_all(site.data.parent().unwrap()).unwrap());
        Self {
            sites,
            http,
            nats: BTreeMap::new(),
            #[cfg(feature = "nats")]
            servers: Vec::new(),
            directory,
        }
    }

    /// Starts a region's server, and leads all ways there.
    #[cfg(feature = "nats")]
    pub async fn start_server(&mut self, region: usize) -> std::net::SocketAddr {
        let address = self.servers[region].start().await;
        self.nats.iter().filter(|((_, to), _)| *to == region).for_each(|(_, proxy)| proxy.lead_to(address));
        address
    }

    /// Where a client of its own reaches the server of that region.
    #[cfg(feature = "nats")]
    pub fn servers_address(&self, region: usize) -> String {
        self.nats[&(region, region)].address().to_string()
    }

    /// Makes that node's directory one of the first node's ledger.
    pub fn join(&self, which: usize) {
        let url = self.address(which, A);
        let site = &self.sites[which];
        let data = site.data.to_str().unwrap();
        authledger(&["node", "join", "--data", data, "--node", &site.name, "--region", &site.region, "--url", &url]);
    }

    /// Where that node reaches the other.
    pub fn address(&self, from: usize, to: usize) -> String {
        format!("http://{}", self.http[&(from, to)].address())
    }

    /// A start of that node, as `start` makes it.
    pub fn launch(&self, which: usize, more: &[&str]) -> Launch {
        let site = &self.sites[which];
        let peers: Vec<String> =
            (0..self.sites.len()).filter(|to| *to != which).map(|to| self.address(which, to)).collect();
        let mut launch = Launch::new(&site.data).listen(&site.listen);
        launch = launch.args(&["--node", &site.name, "--region", &site.region, "--peers", &peers.join(",")]);
        launch = launch.args(&["--public-url", "https://ledger.example", "--member-wait", "8", "--heartbeat", "1"]);
        // Each region signs from its start on.
        launch = launch.args(&["--key-publish-ahead", "0"]);
        if !self.nats.is_empty() {
            launch = launch.arg("--config").arg(self.servers_file(which));
        }
        match &site.wall {
            Some(wall) => wall.give(launch.args(more)),
            None => launch.args(more),
        }
    }

    fn servers_file(&self, which: usize) -> PathBuf {
        let file = self.sites[which].data.with_file_name("settings.toml");
        let table = |region: usize| {
            let url = self.nats[&(which, region)].address();
            format!("[[nats]]\nregion = \"{}\"\nurls = [\"nats://{url}\"]\n", REGIONS[region])
        };
        std::fs::write(&file, (0..3).map(table).collect::<String>()).unwrap();
        file
    }

    /// Starts that node, and returns when it listens. It stays at its address from then on.
    pub fn launch_now(&mut self, which: usize, more: &[&str]) {
        let launch = self.launch(which, more);
        // The others answer it meanwhile, through proxies that run in this process.
        let node = tokio::task::block_in_place(|| launch.start());
        self.is_launched(which, node);
    }

    fn is_launched(&mut self, which: usize, node: NodeProcess) {
        let address = node.api.url().trim_start_matches("http://").to_owned();
        let ways = self.http.iter().filter(|((_, to), _)| *to == which);
        ways.for_each(|(_, proxy)| proxy.lead_to(address.parse().unwrap()));
        self.sites[which].listen = address;
        self.sites[which].node = Some(node);
    }

    /// Starts these nodes at once, and returns when all of them listen.
    pub async fn launch_at_once(&mut self, these: &[usize]) {
        let launches = these.iter().map(|which| (*which, self.launch(*which, &[])));
        let starting: Vec<_> =
            launches.map(|(which, launch)| (which, tokio::task::spawn_blocking(|| launch.start()))).collect();
        for (which, starting) in starting {
            let node = starting.await.unwrap();
            self.is_launched(which, node);
        }
    }

    /// Starts that node, and waits until it answers callers.
    pub async fn start(&mut self, which: usize, more: &[&str]) {
        self.launch_now(which, more);
        self.until_ready(which).await;
    }

    /// Waits until that node answers callers.
    pub async fn until_ready(&self, which: usize) -> Duration {
        let api = self.api(which);
        until(&format!("{} is ready", NAMES[which]), || async { api.get("/health/ready").await.status == 200 }).await
    }

    /// Stops that node by SIGKILL.
    pub fn kill(&mut self, which: usize) {
        self.sites[which].node.take().expect("it runs").kill();
    }

    /// Stops that node by SIGTERM; its log lines.
    pub async fn stop(&mut self, which: usize) -> String {
        let (code, log) = self.sites[which].node.take().expect("it runs").stop().await;
        assert_eq!(code, Some(0), "{log}");
        log
    }

    /// Waits until that node exits by itself; its exit code and log lines.
    pub async fn until_it_exits(&mut self, which: usize) -> (Option<i32>, String) {
        self.sites[which].node.take().expect("it runs").exited().await
    }

    /// The lines that the node has logged since its start.
    pub fn log(&self, which: usize) -> String {
        self.node(which).log()
    }

    pub fn node(&self, which: usize) -> &NodeProcess {
        self.sites[which].node.as_ref().expect("it runs")
    }

    /// Root's calls to that node.
    pub fn api(&self, which: usize) -> Api {
        self.node(which).api.clone()
    }

    /// Cuts every way between that node's region and the others.
    pub fn cut(&self, which: usize) {
        self.of_region(which).for_each(Proxy::cut);
    }

    /// Cuts the ways over HTTP between all nodes.
    #[cfg(feature = "nats")]
    pub fn cut_http(&self) {
        self.http.values().for_each(Proxy::cut);
    }

    /// Lets nothing pass over HTTP any more, and tells nobody.
    #[cfg(feature = "nats")]
    pub fn hold_http(&self) {
        self.http.values().for_each(Proxy::hold);
    }

    /// Mends every way.
    pub fn heal(&self) {
        self.http.values().chain(self.nats.values()).for_each(Proxy::heal);
    }

    /// How many connections between that node's region and the others were refused.
    pub fn refused(&self, which: usize) -> u64 {
        self.of_region(which).map(Proxy::refused).sum()
    }

    fn of_region(&self, which: usize) -> impl Iterator<Item = &Proxy> {
        let ways = self.http.iter().chain(&self.nats);
        ways.filter(move |((from, to), _)| from != to && (*from == which || *to == which)).map(|(_, proxy)| proxy)
    }

    /// How far that node holds each origin, and the chain there.
    pub async fn heads(&self, which: usize) -> BTreeMap<String, (u64, String)> {
        let status = self.api(which).get("/v1/status").await.expect(200);
        let origins = status["origins"].as_array().expect("origins").iter();
        origins.map(|one| (text(one, "origin"), (one["sequence"].as_u64().unwrap(), text(one, "hash")))).collect()
    }

    /// The origin that the node writes.
    pub async fn origin(&self, which: usize) -> String {
        text(&self.api(which).get("/v1/status").await.expect(200)["head"], "origin")
    }

    /// The newest record of the node's own origin.
    pub async fn own_head(&self, which: usize) -> (String, u64) {
        let head = self.api(which).get("/v1/status").await.expect(200)["head"].clone();
        (text(&head, "origin"), head["sequence"].as_u64().unwrap())
    }

    /// Waits until those nodes hold the same of every origin; how long that took.
    pub async fn converged(&self, nodes: &[usize]) -> Duration {
        let due = format!("nodes {nodes:?} hold the same");
        let same = || async {
            let mut heads = Vec::new();
            for which in nodes {
                heads.push(self.heads(*which).await);
            }
            heads.windows(2).all(|two| two[0] == two[1])
        };
        until(&due, same).await
    }

    /// Waits until those nodes hold the same, and asserts that their logs add up to the same state, read from the first byte.
    pub async fn agree(&self, nodes: &[usize]) -> Duration {
        let took = self.converged(nodes).await;
        let at = authledger::clock::Clock::system().now();
        let until = Instant::now() + PATIENCE;
        loop {
            let states: Vec<_> = nodes.iter().map(|which| state(&self.sites[*which].data, at)).collect();
            // A node may have written something of its own between two of them.
            if states.windows(2).all(|two| two[0].0.heads == two[1].0.heads) {
                assert!(states.windows(2).all(|two| two[0].1 == two[1].1), "the same records add up to other states");
                return took;
            }
            assert!(Instant::now() < until, "nodes {nodes:?} do not come to hold the same");
            self.converged(nodes).await;
        }
    }

    /// The value of a metric of that node; 0 where it is not there.
    pub async fn metric(&self, which: usize, name: &str) -> u64 {
        let all = self.api(which).get("/metrics").await.body;
        let lines = all.as_str().expect("text").lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        values.next().unwrap_or_default() as u64
    }
}

/// A log read from its beginning: its heads, and the fingerprint of the state that it adds up to.
fn state(data: &Path, at: Timestamp) -> (Base, String) {
    let replayed = replay(&data.join("ledger.db"), at, |_, _| {}).expect("a log that is whole");
    (replayed.base, replayed.fingerprint.to_string())
}

/// Every record of a log, by where it stands.
pub fn records(data: &Path) -> BTreeMap<(Origin, u64), ChainHash> {
    let reader = Reader::open(&data.join("ledger.db")).unwrap();
    let (mut base, mut all) = (Base::default(), BTreeMap::new());
    loop {
        let page = reader.next_page(&mut base, 10_000).expect("a chain that is whole");
        if page.is_empty() {
            return all;
        }
        all.extend(page.into_iter().map(|stored| ((stored.place.origin, stored.place.sequence.0), stored.hash)));
    }
}

/// Asserts that no two of those logs have different records at one place.
pub fn assert_one_history(directories: &[&Path]) {
    let mut all = BTreeMap::new();
    for data in directories {
        for (place, hash) in records(data) {
            let other = all.insert(place, hash);
            assert!(other.is_none_or(|other| other == hash), "two records at {place:?}");
        }
    }
}

/// Runs the program, which must succeed; its output.
#[track_caller]
pub fn authledger(arguments: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command.args(arguments).env("AUTHLEDGER_TOKEN", ROOT).env_remove("AUTHLEDGER_ROUNDS_REGIONS");
    let output = tokio::task::block_in_place(|| command.output()).expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "authledger {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks again and again, for nothing tells when it is so; how long it took.
pub async fn until<F: Future<Output = bool>>(due: &str, is_so: impl Fn() -> F) -> Duration {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {due}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Whether the tests run at their full size.
pub fn is_full() -> bool {
    std::env::var("AUTHLEDGER_ROUNDS_REGIONS").as_deref() == Ok("full")
}

/// The member of a JSON value that is a list.
#[track_caller]
pub fn list(value: &Value, member: &str) -> Vec<Value> {
    value[member].as_array().unwrap_or_else(|| panic!("no {member} in {value}")).clone()
}
