//! Wall clocks that jump under a real server: revoked credentials stay revoked, expired ones expired, and lives are as long as they say.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use authledger::clock::wall_clock;
use authledger::domain::Event as Fact;
use authledger::event_log::Reader;
use authledger::jose;
use authledger::keys::{Algorithm, SigningKey};
use reqwest::Method;
use serde_json::{Value, json};

use super::node::{Api, BINARY, NodeProcess, PATIENCE, ROOT, text};
use crate::support::faketime::WallClock;

const FOREIGN: &str = "https://issuer.example";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A ledger whose server's wall clock the test moves.
struct World {
    wall: WallClock,
    directory: tempfile::TempDir,
    signer: SigningKey,
}

impl World {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let wall = WallClock::new(directory.path())?;
        let signer = SigningKey::generate(&directory.path().join("issuer"), Algorithm::EdDsa).expect("a key");
        let jwks = directory.path().join("jwks.json");
        std::fs::write(&jwks, format!("{{\"keys\":[{}]}}", signer.public_jwk())).expect("written");
        let config = format!(
            "[[trusted_issuer]]\nissuer = \"{FOREIGN}\"\njwks_file = \"{}\"\ntenants = [\"default\"]\n",
            jwks.display()
        );
        std::fs::write(directory.path().join("ledger.toml"), config).expect("written");
        Some(Self { wall, directory, signer })
    }

    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    fn start(&self) -> NodeProcess {
        let config = self.directory.path().join("ledger.toml");
        self.wall.launch(&self.data()).args(&["--config", config.to_str().expect("UTF-8"), "--log", "info"]).start()
    }

    /// Starts it again, in one of the ways in which that happens.
    async fn restart(&self, node: NodeProcess, how: Restart) -> NodeProcess {
        match how {
            Restart::Killed => tokio::task::spawn_blocking(move || node.kill()).await.expect("killed"),
            Restart::Stopped | Restart::WithoutSnapshot => {
                let (code, log) = node.stop().await;
                assert_eq!(code, Some(0), "{log}");
            }
        }
        if matches!(how, Restart::WithoutSnapshot) {
            std::fs::remove_dir_all(self.data().join("snapshot")).expect("there is one");
        }
        self.start()
    }

    /// A JWT of the trusted issuer, whose clock is right.
    fn foreign(&self, subject: &str) -> String {
        let now = wall_clock().as_seconds();
        let claims = json!({"iss": FOREIGN, "oid": "default", "sub": subject, "jti": uuid::Uuid::new_v4(), "iat": now, "exp": now + 3_600});
        jose::sign(&self.signer, &claims).expect("a token")
    }
}

#[derive(Clone, Copy, Debug)]
enum Restart {
    Stopped,
    Killed,
    WithoutSnapshot,
}

const RESTARTS: [Restart; 3] = [Restart::Stopped, Restart::Killed, Restart::WithoutSnapshot];

/// One credential of each kind.
struct Kinds {
    named: Vec<(&'static str, String)>,
    session: String,
}

impl Kinds {
    /// Issues them to a subject, for so many seconds.
    async fn issue(api: &Api, subject: &str, ttl: u64) -> Self {
        let ticket = api.post("/v1/tickets", json!({"subject": subject, "ttl": ttl})).await.expect(201);
        let session = api.post("/v1/sessions", json!({"subject": subject, "ttl": ttl})).await.expect(201);
        let token = async |more: Value| {
            let mut body = json!({"subject": subject, "ttl": ttl});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            text(&api.post("/v1/tokens", body).await.expect(201), "token")
        };
        let id = session["session"]["id"].as_str().expect("an id").to_owned();
        let named = vec![
            ("ticket", text(&ticket, "ticket")),
            ("session", text(&session, "session_token")),
            ("opaque token", token(json!({"format": "opaque"})).await),
            ("jwt", token(json!({"format": "jwt"})).await),
        ];
        Self { named, session: id }
    }

    /// With tokens that depend on the session.
    async fn with_tokens_of_the_session(mut self, api: &Api, subject: &str) -> Self {
        for (name, format) in [("jwt of the session", "jwt"), ("opaque token of the session", "opaque")] {
            let body = json!({"subject": subject, "ttl": 3_600, "session_id": self.session, "format": format});
            self.named.push((name, text(&api.post("/v1/tokens", body).await.expect(201), "token")));
        }
        self
    }

    async fn active(&self, api: &Api) -> Vec<&'static str> {
        let mut active = Vec::new();
        for (name, credential) in &self.named {
            if api.is_active(credential).await {
                active.push(*name);
            }
        }
        active
    }
}

/// Waits until that is so: clocks are looked at a few times a second, and nobody tells when.
async fn until<T>(due: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{due}");
        // Nobody tells when a clock was looked at.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn clock(api: &Api) -> Value {
    api.get("/v1/clock").await.expect(200)
}

async fn until_unsettled(api: &Api) -> String {
    until("the jump is noticed", async || {
        let ready = api.get("/health/ready").await.expect(200);
        ready["warning"].as_str().filter(|warning| warning.contains("ledger time is")).map(str::to_owned)
    })
    .await
}

async fn until_settled(api: &Api) {
    until("the clock is followed again", async || clock(api).await["settled"].as_bool().filter(|settled| *settled))
        .await;
}

async fn accept(api: &Api) -> Value {
    let accepted = api.post("/v1/clock/accept", Value::Null).await.expect(200);
    assert_eq!(accepted["changed"], json!(true));
    if accepted["starts_again"] == json!(true) {
        until("it starts again, and follows the clock", async || {
            let answer = api.send(Method::GET, "/v1/clock", None).await.ok()?;
            (answer.status == 200 && answer.body["settled"] == json!(true)).then_some(())
        })
        .await;
    }
    accepted
}

/// How far ledger time is from the right time, in seconds.
async fn off_by(api: &Api) -> i64 {
    let shown: jiff::Timestamp = text(&clock(api).await, "ledger_time").parse().expect("a time");
    shown.as_second() - i64::try_from(wall_clock().as_seconds()).expect("a time")
}

/// The program on that server.
fn run(program: &str, arguments: &[&str], url: &str) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments)
        .env("AUTHLEDGER_URL", url)
        .env("AUTHLEDGER_TOKEN", ROOT)
        .output()
        .expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("UTF-8"))
}

/// Whether verify passes, and a replay adds up to the stopped server's snapshot.
fn audit(data: &Path) {
    let tool = env!("CARGO_BIN_EXE_authledger-audit");
    let data = data.to_str().expect("UTF-8");
    for arguments in [vec!["verify", data], vec!["replay", data, "--against", data]] {
        let (succeeded, said) = run(tool, &arguments, "");
        assert!(succeeded, "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn nothing_revoked_comes_back_when_a_start_finds_the_clock_ahead_and_it_is_corrected() {
    for (ahead, how) in [2 * HOUR, 40 * DAY].into_iter().flat_map(|ahead| RESTARTS.map(|how| (ahead, how))) {
        let Some(world) = World::new() else { return };
        let node = world.start();
        let revoked = Kinds::issue(&node.api, "carol", 3_600).await;
        for (_, credential) in &revoked.named {
            node.api.revoke(credential).await;
        }
        let foreign = world.foreign("dave");
        assert!(node.api.is_active(&foreign).await);
        node.api.revoke(&foreign).await;
        let with_session = Kinds::issue(&node.api, "erin", 3_600).await;
        let with_session = with_session.with_tokens_of_the_session(&node.api, "erin").await;
        node.api.post("/v1/revocations", json!({"kind": "session", "id": with_session.session})).await.expect(201);
        let all = Kinds::issue(&node.api, "frank", 3_600).await.with_tokens_of_the_session(&node.api, "frank").await;
        let foreign_of_frank = world.foreign("frank");
        node.api.post("/v1/revocations", json!({"subject": "frank"})).await.expect(201);
        let check = async |api: &Api, when: &str| {
            assert_eq!(revoked.active(api).await, Vec::<&str>::new(), "{when}: revoked one by one");
            assert_eq!(all.active(api).await, Vec::<&str>::new(), "{when}: revoked with their subject");
            let of_session = ["session", "jwt of the session", "opaque token of the session"];
            let active = with_session.active(api).await;
            assert!(of_session.iter().all(|name| !active.contains(name)), "{when}: {active:?}");
            assert!(!api.is_active(&foreign).await && !api.is_active(&foreign_of_frank).await, "{when}: foreign");
            active
        };
        let still = check(&node.api, "before").await;
        world.wall.set_by(ahead);
        let node = world.restart(node, how).await;
        check(&node.api, "while the clock is ahead").await;
        world.wall.set_by(0);
        let warning = until_unsettled(&node.api).await;
        assert!(warning.contains("behind"), "{warning}");
        check(&node.api, "after the correction").await;
        let node = world.restart(node, how).await;
        until_unsettled(&node.api).await;
        check(&node.api, "after a restart").await;
        accept(&node.api).await;
        assert_eq!(
            check(&node.api, "after the right time was accepted").await,
            still,
            "the credentials that were not revoked are active again"
        );
        assert!(off_by(&node.api).await.abs() < 5);
        let node = world.restart(node, how).await;
        assert_eq!(check(&node.api, "after another restart").await, still);
        let (code, log) = node.stop().await;
        assert_eq!(code, Some(0), "{log}");
        audit(&world.data());
    }
}

#[tokio::test]
async fn nothing_revoked_comes_back_when_the_clock_jumps_while_the_server_runs() {
    let Some(world) = World::new() else { return };
    let node = world.start();
    let revoked = Kinds::issue(&node.api, "carol", 3_600).await;
    for (_, credential) in &revoked.named {
        node.api.revoke(credential).await;
    }
    let kept = Kinds::issue(&node.api, "dave", 3_600).await;
    let names: Vec<&str> = kept.named.iter().map(|(name, _)| *name).collect();
    for jump in [70 * 60, 40 * DAY, -70 * 60] {
        world.wall.set_by(jump);
        let warning = until_unsettled(&node.api).await;
        assert!(warning.contains(if jump > 0 { "ahead" } else { "behind" }), "{warning}");
        assert_eq!(kept.active(&node.api).await, names, "nothing expires by a jump");
        assert_eq!(revoked.active(&node.api).await, Vec::<&str>::new());
        // Credentials that are issued and revoked meanwhile are like any others.
        let fresh = Kinds::issue(&node.api, "erin", 3_600).await;
        assert_eq!(fresh.active(&node.api).await, names);
        node.api.post("/v1/revocations", json!({"subject": "erin"})).await.expect(201);
        assert_eq!(fresh.active(&node.api).await, Vec::<&str>::new());
        world.wall.set_by(0);
        until_settled(&node.api).await;
        assert!(off_by(&node.api).await.abs() < 5);
        for credentials in [&fresh, &revoked] {
            assert_eq!(credentials.active(&node.api).await, Vec::<&str>::new());
        }
    }
    assert!(node.log().contains("the wall clock is followed again"));
    let node = world.restart(node, Restart::Killed).await;
    assert_eq!(revoked.active(&node.api).await, Vec::<&str>::new());
    assert_eq!(kept.active(&node.api).await, names);
}

#[tokio::test]
async fn records_written_while_the_clock_was_ahead_are_healed_by_accepting_the_right_time() {
    let Some(world) = World::new() else { return };
    let node = world.start();
    let before = Kinds::issue(&node.api, "carol", 3_600).await;
    let names: Vec<&str> = before.named.iter().map(|(name, _)| *name).collect();
    world.wall.set_by(30 * DAY);
    let node = world.restart(node, Restart::Stopped).await;
    let ahead = Kinds::issue(&node.api, "dave", 60).await;
    node.api.post("/v1/revocations", json!({"subject": "erin", "hold": 5})).await.expect(201);
    world.wall.set_by(0);
    until_unsettled(&node.api).await;
    let node = world.restart(node, Restart::Killed).await;
    let warning = until_unsettled(&node.api).await;
    assert!(warning.contains("30 d behind") || warning.contains("29 d 23 h behind"), "{warning}");
    // Lives are as long as they say, though ledger time is ahead.
    let short = Kinds::issue(&node.api, "frank", 8).await;
    assert_eq!(short.active(&node.api).await, names, "each is active at once");
    until("each expires in time", async || short.active(&node.api).await.is_empty().then_some(())).await;
    until("the hold has passed", async || {
        let issued = node.api.post("/v1/tickets", json!({"subject": "erin"})).await;
        (issued.status == 201).then_some(())
    })
    .await;
    let (succeeded, said) = run(BINARY, &["clock"], node.api.url());
    assert!(succeeded && said.contains("unsettled") && said.contains("dave"), "{said}");
    let (succeeded, said) = run(BINARY, &["clock", "accept"], node.api.url());
    assert!(
        succeeded && said.contains("accepted") && said.contains("dave") && said.contains("restarts by itself"),
        "{said}"
    );
    until("it starts again, and follows the clock", async || {
        let answer = node.api.send(Method::GET, "/v1/clock", None).await.ok()?;
        (answer.status == 200 && answer.body["settled"] == json!(true)).then_some(())
    })
    .await;
    assert!(off_by(&node.api).await.abs() < 5);
    assert_eq!(
        ahead.active(&node.api).await,
        Vec::<&str>::new(),
        "credentials that were recorded too late are revoked"
    );
    assert_eq!(before.active(&node.api).await, names, "and nothing else");
    let short = Kinds::issue(&node.api, "grace", 8).await;
    assert_eq!(short.active(&node.api).await, names);
    until("each expires in time", async || short.active(&node.api).await.is_empty().then_some(())).await;
    let foreign = world.foreign("heidi");
    assert!(node.api.is_active(&foreign).await, "a token of another issuer is active");
    import(&node.api).await;
    let now = jiff::Timestamp::now();
    let as_of = node.api.get(&format!("/v1/as-of?kind=session&id={}&at={now}", before.session)).await.expect(200);
    assert!(as_of.to_string().contains("active"), "{as_of}");
    let (code, log) = node.stop().await;
    assert_eq!(code, Some(0), "{log}");
    new_origin_names_the_old_one(&world.data());
    audit(&world.data());
    let node = world.start();
    assert_eq!(clock(&node.api).await["settled"], json!(true));
    assert_eq!(before.active(&node.api).await, names);
    assert_eq!(ahead.active(&node.api).await, Vec::<&str>::new());
}

async fn import(api: &Api) {
    let now = jiff::Timestamp::now();
    let later = now + jiff::SignedDuration::from_hours(1);
    let line = json!({"kind": "session", "id": uuid::Uuid::new_v4(), "subject": "ivan", "issued_at": now.to_string(), "expires_at": later.to_string()});
    let request = api.request(Method::POST, "/v1/imports").header("content-type", "application/x-ndjson");
    let answer = request.body(format!("{line}\n")).send().await.expect("an answer").text().await.expect("a body");
    assert!(answer.contains("\"made\""), "{answer}");
}

fn new_origin_names_the_old_one(data: &Path) {
    let reader = Reader::open(&data.join("ledger.db")).expect("a log");
    let mut base = Default::default();
    let page = reader.next_page(&mut base, 10_000).expect("it can be read");
    let records: Vec<_> = page.iter().map(|stored| stored.decode().expect("a record")).collect();
    let openings: Vec<_> = records.iter().filter(|one| matches!(one.event, Fact::LedgerOpened(_))).collect();
    assert_eq!(openings.len(), 2, "one of the ledger, one after the right time was accepted");
    let Fact::LedgerOpened(second) = &openings[1].event else { unreachable!("it was filtered") };
    let previous = second.previous.as_ref().expect("it names the origin that it goes on from");
    assert_eq!(previous.place.origin, openings[0].place.origin);
    let last_of_old = records.iter().rfind(|one| one.place.origin == previous.place.origin).expect("records");
    assert_eq!(previous.place.sequence, last_of_old.place.sequence);
    assert!(openings[1].recorded_at < last_of_old.recorded_at, "at the true time");
    let reasons = records.iter().filter_map(|one| match &one.event {
        Fact::Revoked(revoked) => revoked.reason.as_ref().map(|reason| reason.as_str().to_owned()),
        _ => None,
    });
    // Four of dave's, the short ones that were still in memory, and the ticket after the hold.
    assert!(reasons.filter(|reason| reason == "clock-accepted").count() >= 5);
}

#[tokio::test]
async fn a_start_with_the_clock_ahead_and_nothing_written_leaves_no_trace_once_the_right_time_is_accepted() {
    let Some(world) = World::new() else { return };
    let node = world.start();
    let kept = Kinds::issue(&node.api, "carol", 3_600).await;
    let names: Vec<&str> = kept.named.iter().map(|(name, _)| *name).collect();
    world.wall.set_by(2 * HOUR);
    let node = world.restart(node, Restart::Stopped).await;
    assert_eq!(kept.active(&node.api).await, Vec::<&str>::new(), "their time is up, as far as anybody knows");
    world.wall.set_by(0);
    until_unsettled(&node.api).await;
    let accepted = accept(&node.api).await;
    assert_eq!(accepted["starts_again"], json!(false), "{accepted}");
    assert_eq!(kept.active(&node.api).await, names);
    let node = world.restart(node, Restart::Killed).await;
    assert_eq!(clock(&node.api).await["settled"], json!(true));
    assert_eq!(kept.active(&node.api).await, names);
}

#[tokio::test]
async fn a_small_step_back_expires_nothing_and_ledger_time_does_not_fall() {
    let Some(world) = World::new() else { return };
    let node = world.start();
    let mut last = text(&clock(&node.api).await, "ledger_time");
    world.wall.set_by(-8);
    for number in 0..20 {
        let fresh = Kinds::issue(&node.api, &format!("subject-{number}"), 60).await;
        assert_eq!(fresh.active(&node.api).await.len(), fresh.named.len(), "each is active at once");
        let shown = clock(&node.api).await;
        assert_eq!(shown["settled"], json!(true));
        let now = text(&shown, "ledger_time");
        assert!(now >= last, "it fell from {last} to {now}");
        last = now;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_revives_nothing_that_has_expired() {
    for how in RESTARTS {
        let Some(world) = World::new() else { return };
        let node = world.start();
        let short = Kinds::issue(&node.api, "carol", 1).await;
        until("each expires", async || short.active(&node.api).await.is_empty().then_some(())).await;
        let none = Vec::<&str>::new();
        // So that even a killed server's successor knows.
        node.api.issue("dave").await;
        world.wall.set_by(-HOUR);
        until_unsettled(&node.api).await;
        assert_eq!(short.active(&node.api).await, none);
        let (_, session) = &short.named[1];
        let whoami = node.api.request(Method::GET, "/sessions/whoami").header("x-session-token", session).send().await;
        assert_eq!(whoami.expect("an answer").status(), 401);
        let node = world.restart(node, how).await;
        assert!(until_unsettled(&node.api).await.contains("behind"));
        assert_eq!(short.active(&node.api).await, none, "{how:?}");
        world.wall.set_to("2006-01-01 00:00:00");
        let node = world.restart(node, how).await;
        let warning = until_unsettled(&node.api).await;
        assert!(warning.contains("2006-01-01T00:00"), "{warning}");
        assert!(node.log().contains("2006-01-01T00:00"), "{}", node.log());
        assert_eq!(short.active(&node.api).await, none, "{how:?}");
        let fresh = Kinds::issue(&node.api, "erin", 60).await;
        assert_eq!(fresh.active(&node.api).await.len(), fresh.named.len());
        world.wall.set_by(0);
        until_settled(&node.api).await;
        assert_eq!(short.active(&node.api).await, none, "{how:?}");
    }
}
