//! OAuth: what the standard's form of a question costs beside the native one, signed answers, and status lists.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use authledger::domain::{Issuer, KeyId, StatusListId, StatusListPublished};
use authledger::keys::{Algorithm, SigningKey};
use authledger::status_list::{ENCODER, StatusArray, StatusWidth, deflate, signing_input};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::checks::{cycles, full, issue};
use crate::bench::Bench;
use crate::children::{find, finish};
use crate::load::{Http, ask};
use crate::ours::Server;
use crate::report::{Spread, Table, count, millis, ratio};
use crate::scripts::{Drain, Numbered, Same};

const NOOP: &str = "authledger: nothing (/v1/noop)";
const NATIVE: &str = "authledger: POST /v1/introspect, an opaque token";
const FORM: &str = "authledger: POST /oauth2/introspect, form and Basic";
const FIRST: &str = "authledger: the first question about each, read from the log";
const SIGNED: &str = "authledger: the same, answered as a JWT (ES256)";
const LIST: &str = "authledger: GET the newest status list";
const PLAIN_ISSUE: &str = "authledger: issue a JWT";
const LISTED_ISSUE: &str = "authledger: issue a JWT with an entry";
const HYDRA: &str = "Ory Hydra: POST /admin/oauth2/introspect";
const CONNECTIONS: usize = 64;

/// Entries of the list that is measured: those of a default one.
const ENTRIES: u32 = 1 << 17;
/// One of so many entries is revoked.
const REVOKED_EVERY: usize = 50;
/// How often the parts of a publication are made, to take the median.
const PUBLICATIONS: usize = 31;

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let live = bench.arguments.sized(50_000, 50_000);
    bench.outcome.settings.insert("live_credentials".into(), json!(live));
    bench.outcome.settings.insert("connections".into(), json!(CONNECTIONS));
    let surfaces = "native,feed,evidence,crafter,ory,slashid,cribl,oauth,metrics,status";
    let server = bench.server("data", &["--surfaces", surfaces])?;
    let at = server.address;
    let body = r#"{"subject":"{}","ttl":86400,"format":"opaque","scope":"read write"}"#;
    let tokens = Arc::new(issue(bench, &server, "/v1/tokens", body, live as usize, b"\"token\":\"")?);
    let caller = Caller::register(&server)?;
    let list = listed(&server)?;
    let hydra = hydra(bench)?;
    let form = Http::form("/oauth2/introspect", &caller.basic, "token={}", 200);
    full(bench, FIRST, at, &form, Drain::shared(tokens.to_vec(), CONNECTIONS))?;
    for round in 0..bench.arguments.rounds() {
        let mut order = [
            Measured::Nothing,
            Measured::List,
            Measured::Native,
            Measured::Form,
            Measured::Signed,
            Measured::Issue,
            Measured::ListedIssue,
        ];
        // What is compared is measured in turn, and every other time in the opposite order.
        if round % 2 == 1 {
            order.reverse();
        }
        for what in order {
            what.measure(bench, &server, &caller, &list, &tokens)?;
        }
        if let Some((address, request)) = &hydra {
            full(bench, HYDRA, *address, request, same())?;
        }
    }
    let head = server.head()?;
    server.settle(head, &[])?;
    table(bench);
    publication(bench)
}

fn same() -> Vec<Same> {
    (0..CONNECTIONS).map(|_| Same(b"")).collect()
}

/// What is measured in every round.
#[derive(Clone, Copy)]
enum Measured {
    Nothing,
    Native,
    Form,
    Signed,
    List,
    Issue,
    ListedIssue,
}

impl Measured {
    fn measure(
        self,
        bench: &mut Bench<'_>,
        server: &Server,
        caller: &Caller,
        list: &str,
        tokens: &Arc<Vec<Box<[u8]>>>,
    ) -> anyhow::Result<()> {
        let at = server.address;
        let form = |headers: &str| Http::form("/oauth2/introspect", headers, "token={}", 200);
        match self {
            Self::Nothing => {
                let body = r#"{"credential":"00000000-0000-4000-8000-000000000000"}"#;
                full(bench, NOOP, at, &Http::post("/v1/noop", "", body, 201), same())
            }
            Self::Native => {
                let native = Http::post("/v1/introspect", &caller.bearer, r#"{"credential":"{}"}"#, 200);
                full(bench, NATIVE, at, &native, cycles(tokens))
            }
            Self::Form => full(bench, FORM, at, &form(&caller.basic), cycles(tokens)),
            Self::Signed => {
                let accept = format!("{}Accept: application/token-introspection+jwt\r\n", caller.basic);
                full(bench, SIGNED, at, &form(&accept), cycles(tokens))
            }
            Self::List => full(bench, LIST, at, &Http::get(list, "", 200), same()),
            Self::Issue => issue_jwts(bench, server, PLAIN_ISSUE, false),
            Self::ListedIssue => issue_jwts(bench, server, LISTED_ISSUE, true),
        }
    }
}

/// An application that may introspect, in the two ways in which it says who it is.
struct Caller {
    bearer: String,
    basic: String,
}

impl Caller {
    fn register(server: &Server) -> anyhow::Result<Self> {
        let body = r#"{"name":"resource server","scopes":["introspect"],"tenants":["default"]}"#;
        let made =
            ask(server.address, &Http::post("/v1/applications", &server.authorization(), body, 201), "")?.json()?;
        let member = |name: &str| made[name].as_str().with_context(|| format!("the application has no {name}"));
        let (id, secret) = (member("id")?, member("secret")?);
        let basic = STANDARD.encode(format!("{id}:{secret}"));
        Ok(Self {
            bearer: format!("Authorization: Bearer {secret}\r\n"),
            basic: format!("Authorization: Basic {basic}\r\n"),
        })
    }
}

/// The path of a list, of which a token is revoked.
fn listed(server: &Server) -> anyhow::Result<String> {
    let root = server.authorization();
    let body = r#"{"subject":"listed","format":"jwt","status_list":true}"#;
    let issued = ask(server.address, &Http::post("/v1/tokens", &root, body, 201), "")?.json()?;
    let credential = issued["token"].as_str().context("the answer has no token")?;
    let body = r#"{"credential":"{}"}"#;
    ask(server.address, &Http::post("/v1/revocations", &root, body, 201), credential)?.json()?;
    let all = ask(server.address, &Http::get("/status-lists", "", 200), "")?.json()?;
    let uri = all["status_lists"][0].as_str().context("there is no status list")?;
    let (_, name) = uri.rsplit_once('/').context("the address of the list has no path")?;
    Ok(format!("/status-lists/{name}"))
}

/// JWTs without or with an entry.
fn issue_jwts(bench: &mut Bench<'_>, server: &Server, name: &str, is_listed: bool) -> anyhow::Result<()> {
    let scripts = (0..CONNECTIONS).map(|line| Numbered::new(format!("{is_listed}-{line}-"))).collect();
    let body = format!(r#"{{"subject":"{{}}","format":"jwt","status_list":{is_listed}}}"#);
    let request = Http::post("/v1/tokens", &server.authorization(), &body, 201);
    full(bench, name, server.address, &request, scripts)
}

fn hydra(bench: &Bench<'_>) -> anyhow::Result<Option<(SocketAddr, Http)>> {
    let Some(address) = bench.arguments.hydra else { return Ok(None) };
    let token = std::env::var("AUTHLEDGER_BENCH_HYDRA_TOKEN").context("read AUTHLEDGER_BENCH_HYDRA_TOKEN")?;
    let request = Http::form("/admin/oauth2/introspect", "", &format!("token={token}"), 200);
    let answer = ask(address, &request, "").context("ask Hydra")?.json()?;
    ensure!(answer["active"] == true, "Hydra says that its access token is not active");
    Ok(Some((address, request)))
}

fn table(bench: &mut Bench<'_>) {
    let columns = ["what", "a second", ": nothing", ": native", ": Hydra", "p50 ms", "p99 ms"];
    let title = format!("OAuth over {CONNECTIONS} connections, closed loop");
    let mut table = Table::new(&title, &columns);
    let at = CONNECTIONS as u64;
    let median = |name: &str, unit: &str| bench.outcome.median(name, unit, at);
    for name in [NOOP, NATIVE, FORM, FIRST, SIGNED, LIST, PLAIN_ISSUE, LISTED_ISSUE, HYDRA] {
        let Some(rate) = median(name, "a second") else { continue };
        let against = |other: &str| ratio(Some(rate), median(other, "a second"));
        let mut row = vec![name.to_owned(), count(rate), against(NOOP), against(NATIVE), against(HYDRA)];
        row.extend(["p50 ms", "p99 ms"].map(|unit| median(name, unit).map_or_else(|| "–".to_owned(), millis)));
        table.row(row);
    }
    let pairs = [(FORM, NATIVE), (SIGNED, FORM), (LIST, NOOP), (LISTED_ISSUE, PLAIN_ISSUE)];
    let within = pairs.map(|(one, other)| format!("{one} : {other} {}", within_rounds(bench, one, other)));
    let note = format!("Medians of the ratios within a round: {}.", within.join("; "));
    bench.outcome.tables.push(table);
    bench.outcome.note(note);
    if bench.arguments.hydra.is_none() {
        bench.outcome.note("Ory Hydra was not measured: start one and give its admin address with --hydra.");
    }
}

/// The median of the ratios of two that were measured in turn, and the middle half of them.
fn within_rounds(bench: &Bench<'_>, one: &str, other: &str) -> String {
    let rounds = |name: &str| bench.outcome.rounds(name, "a second", CONNECTIONS as u64).unwrap_or_default();
    let ratios: Vec<f64> = rounds(one).iter().zip(rounds(other)).map(|(one, other)| one / other).collect();
    let Some(Spread { median, lower, upper, .. }) = Spread::of(&ratios) else { return "–".to_owned() };
    format!("{median:.2} ({lower:.2} to {upper:.2})")
}

/// What a publication takes besides the commit, and what compressing its array takes alone.
fn publication(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut array = StatusArray::new(StatusWidth::One, ENTRIES);
    // Any spread will do; a regular one would compress too well.
    let mut place = 1_u32;
    for _ in 0..ENTRIES as usize / REVOKED_EVERY {
        place = place.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        array.set((place >> 8) % ENTRIES, 1);
    }
    let key = SigningKey::generate(&bench.work.join("keys"), Algorithm::Es256).context("make a key")?;
    let published = StatusListPublished {
        list: StatusListId::from_random([7; StatusListId::LEN]),
        iat: 1_800_000_000,
        exp: 1_800_003_600,
        ttl: 60,
        kid: KeyId::new(key.kid()).context("name the key")?,
        algorithm: Algorithm::Es256.as_str().into(),
        upto: BTreeMap::new(),
        array: array.hash(),
        deflate: ENCODER.into(),
        signature: Box::default(),
    };
    let issuer = Issuer::new("https://auth.example").context("name the issuer")?;
    let whole = median_time(|| {
        let input = signing_input(&published, &issuer, &array).context("the list has no form")?;
        key.sign(input.as_bytes()).context("sign the list")?;
        Ok(())
    })?;
    let alone = median_time(|| deflate(ENCODER, array.bytes()).map(drop).context("compress the array"))?;
    let mut table = Table::new(&format!("A publication of {ENTRIES} entries, 2 % revoked"), &["what", "ms", ": zlib"]);
    let zlib = zlib(array.bytes())?;
    let in_millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    for (name, time) in [
        ("array, compression, form and signature", Some(whole)),
        ("the compression alone", Some(alone)),
        ("zlib alone, level 9 (Python's)", zlib),
    ] {
        let Some(time) = time.map(in_millis) else { continue };
        table.row(vec![name.to_owned(), millis(time), ratio(Some(time), zlib.map(in_millis))]);
    }
    bench.outcome.tables.push(table);
    Ok(())
}

fn median_time(mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..PUBLICATIONS {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[PUBLICATIONS / 2])
}

/// What zlib itself takes for these bytes, if Python is there to call it.
fn zlib(bytes: &[u8]) -> anyhow::Result<Option<Duration>> {
    let Some(python) = find("python3", &[]) else { return Ok(None) };
    let script = format!(
        "import base64, statistics, time, zlib\nbits = base64.b64decode('{}')\ntimes = []\nfor _ in range({PUBLICATIONS}):\n    start = time.perf_counter()\n    zlib.compress(bits, 9)\n    times.append(time.perf_counter() - start)\nprint(statistics.median(times))",
        STANDARD.encode(bytes)
    );
    let ran = finish(Command::new(python).args(["-c", &script]), Duration::from_secs(60))?;
    ensure!(ran.success, "Python could not time zlib");
    Ok(Some(Duration::from_secs_f64(ran.output.trim().parse().context("read what Python printed")?)))
}
