//! `authledger import` against a server that takes lines as `POST /v1/imports` is meant to, and fails as it is told.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rustix::process::Signal;
use tokio::sync::{Barrier, mpsc};

use super::*;
use crate::support::stub;

const TICKET: &str = "7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2";
const TICKET_DIGEST: &str = "a96b33a619a03ea084d3fff2bae4b90e2465464f35bee5bb0cf4e15771e49253";

/// The server's answer to the next request instead of taking its lines.
enum Failure {
    /// A problem with that status.
    Problem(StatusCode),
    /// Takes all lines, and tells of the first one only.
    Short,
    /// Something in front of it answers.
    Proxy,
}

#[derive(Default)]
struct Taken {
    failures: VecDeque<Failure>,
    bodies: Vec<String>,
    known: HashSet<String>,
    /// Everybody waits here, for so many at once.
    meet: Option<Arc<Barrier>>,
    /// Told of each request, which is then never answered.
    held: Option<mpsc::UnboundedSender<()>>,
}

#[derive(Clone)]
struct Importer {
    taken: Arc<Mutex<Taken>>,
    url: Arc<str>,
}

impl Importer {
    async fn start(taken: Taken) -> Self {
        let taken = Arc::new(Mutex::new(taken));
        let router = Router::new().route("/v1/imports", post(take)).with_state(Arc::clone(&taken));
        let url = format!("http://{}", stub::serve(router).await);
        Self { taken, url: url.into() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&[&["import"], arguments].concat());
        command.env("AUTHLEDGER_URL", &*self.url).env("AUTHLEDGER_TOKEN", ROOT);
        command
    }

    fn import(&self, arguments: &[&str]) -> Exited {
        finish(&mut self.command(arguments))
    }

    fn bodies(&self) -> Vec<String> {
        self.taken.lock().unwrap().bodies.clone()
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: String) -> Response {
    assert_eq!(headers["authorization"], format!("Bearer {ROOT}"));
    assert_eq!(headers["content-type"], "application/x-ndjson");
    let (meet, held) = {
        let mut taken = taken.lock().unwrap();
        taken.bodies.push(body.clone());
        (taken.meet.clone(), taken.held.clone())
    };
    if let Some(meet) = meet {
        meet.wait().await;
    }
    if let Some(held) = held {
        held.send(()).unwrap();
        std::future::pending::<()>().await;
    }
    taken.lock().unwrap().answer(&body)
}

impl Taken {
    fn answer(&mut self, body: &str) -> Response {
        let lines: Vec<&str> = body.lines().collect();
        let told = match self.failures.pop_front() {
            Some(Failure::Problem(status)) => {
                let kind = [("content-type", "application/problem+json")];
                let body = json!({"type": "/problems/as-it-was-told", "title": "No", "detail": "Not now."});
                return (status, kind, body.to_string()).into_response();
            }
            Some(Failure::Proxy) => return (StatusCode::BAD_GATEWAY, "<html>").into_response(),
            Some(Failure::Short) => 1,
            None => lines.len(),
        };
        let answers: Vec<String> = (1..).zip(lines).map(|(number, line)| self.line(number, line)).collect();
        ([("content-type", "application/x-ndjson")], answers[..told].concat()).into_response()
    }

    fn line(&mut self, number: usize, text: &str) -> String {
        let line: Value = serde_json::from_str(text).unwrap();
        let answer = if line["subject"] == "refused" {
            json!({"line": number, "outcome": "refused", "code": "subject-refused", "detail": "Not this one."})
        } else {
            let outcome = if self.known.insert(text.to_owned()) { "made" } else { "known" };
            json!({"line": number, "outcome": outcome, "kind": line["kind"], "id": line["digest"]})
        };
        format!("{answer}\n")
    }
}

fn line(secret: &str, subject: &str) -> String {
    format!(
        "{{\"kind\":\"ticket\",\"subject\":\"{subject}\",\"secret\":\"{secret}\",\"issued_at\":\"2026-11-21T09:00:00Z\",\"expires_at\":\"2099-11-21T09:00:00Z\"}}\n"
    )
}

fn lines(count: usize) -> String {
    (0..count).map(|number| line(&format!("secret-{number}"), "alice")).collect()
}

/// A dump in a directory of its own.
fn dump(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (directory, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_goes_in_batches_each_line_once_and_again_harmlessly() {
    let importer = Importer::start(Taken::default()).await;
    let (_directory, file) = dump(&lines(2_500));
    let shown = importer.import(&[&file]).succeeded();
    insta::assert_snapshot!(shown, @r"
    lines    2500
    made     2500
    known    0
    refused  0
    skipped  0 that had expired already
    ");
    let bodies = importer.bodies();
    assert!(bodies.iter().all(|body| body.len() <= 60_000 && body.lines().count() <= 1_000));
    assert!(!bodies.concat().contains("secret"), "digests only");
    let shown = importer.import(&[&file, "--json"]).succeeded();
    let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (end, outcomes) = shown.split_last().unwrap();
    assert_eq!(*end, json!({"end": true, "lines": 2500, "made": 0, "known": 2500, "refused": 0, "skipped": 0}));
    let numbers: Vec<u64> = outcomes.iter().map(|outcome| outcome["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=2_500).collect::<Vec<u64>>(), "in the dump's order, with its numbers");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_batches_are_on_their_way_at_once() {
    let importer = Importer::start(Taken { meet: Some(Arc::new(Barrier::new(4))), ..Taken::default() }).await;
    // Each alone is more than half of a batch.
    let long = |number: usize| line(&number.to_string(), &"x".repeat(40_000));
    let (_directory, file) = dump(&(0..8).map(long).collect::<String>());
    importer.import(&[&file]).succeeded();
    assert_eq!(importer.bodies().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_failure_is_waited_out_and_nothing_is_lost() {
    let failures = [
        Failure::Problem(StatusCode::SERVICE_UNAVAILABLE),
        Failure::Proxy,
        Failure::Short,
        Failure::Problem(StatusCode::TOO_MANY_REQUESTS),
    ];
    let importer = Importer::start(Taken { failures: failures.into(), ..Taken::default() }).await;
    let (_directory, file) = dump(&lines(50));
    let output = importer.import(&[&file]);
    assert_eq!(output.stderr.matches("trying again").count(), 4, "{}", output.stderr);
    assert!(output.stderr.contains("told of 1 lines where 50 were sent"), "{}", output.stderr);
    let shown = output.succeeded();
    assert!(shown.contains("made     0\nknown    50\n"), "those of the answer that broke off are known: {shown}");
    assert_eq!(importer.bodies().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_lines_keep_their_numbers_and_reasons() {
    let importer = Importer::start(Taken::default()).await;
    let unknown = line("s-7", "alice").replace("subject", "token");
    let text = [line("s-1", "alice"), "s-2\n".to_owned(), line("s-3", "refused"), unknown, line("s-5", "bob")].concat();
    let (directory, file) = dump(&text);
    let kept = directory.path().join("refused");
    let output = importer.import(&[&file, "--refused", kept.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(output.stderr, @r"
    authledger import: line 2: malformed-line: the line is not an object with kind, subject, issued_at and expires_at, and beside them nothing but tenant, id, digest or secret, ttl, not_after and aal; see its column 1
    authledger import: line 3: subject-refused: Not this one.
    authledger import: line 4: malformed-line: the line is not an object with kind, subject, issued_at and expires_at, and beside them nothing but tenant, id, digest or secret, ttl, not_after and aal; see its column 24
    authledger: import every line: 3 were refused; correct them and import again, which is harmless
    ");
    let kept = fs::read_to_string(kept).unwrap();
    let numbers: Vec<Value> =
        kept.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].take()).collect();
    assert_eq!(numbers, [2, 3, 4]);
    assert!(!format!("{kept}{}{}", output.stdout, output.stderr).contains("s-"), "no secret is shown");
    assert!(!importer.bodies().concat().contains("s-"), "no secret is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_shown_twenty_refusals_and_a_file_gets_all() {
    let importer = Importer::start(Taken::default()).await;
    let (directory, file) = dump(&"nothing\n".repeat(1_500));
    let kept = directory.path().join("refused");
    let output = importer.import(&[&file, "--refused", kept.to_str().unwrap()]);
    assert_eq!(output.stderr.matches(": malformed-line: ").count(), 20);
    assert!(output.stderr.contains("and 1480 more refused lines; the file has all of them"), "{}", output.stderr);
    assert_eq!(fs::read_to_string(kept).unwrap().lines().count(), 1_500);
    assert!(importer.bodies().is_empty(), "there was nothing to ask");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_failure_stops_the_import_at_once() {
    let failures = [Failure::Problem(StatusCode::FORBIDDEN)];
    let importer = Importer::start(Taken { failures: failures.into(), ..Taken::default() }).await;
    let (directory, file) = dump(&lines(10));
    let said = importer.import(&[&file]).refused();
    insta::assert_snapshot!(said, @r"
    authledger import: stopped after 0 lines; begin again: lines that were made are known then
    authledger: the server refuses: No (403 as-it-was-told). Not now.
    ");
    assert_eq!(importer.bodies().len(), 1);
    let nobody = importer.import(&[&file, "--url", "http://127.0.0.1:1"]).refused();
    assert!(nobody.contains("is the server running there?") && !nobody.contains("trying again"), "{nobody}");
    let missing = directory.path().join("missing");
    let missing = importer.import(&[missing.to_str().unwrap()]).refused();
    assert!(missing.contains("open ") && missing.contains("No such file"), "{missing}");
    let (_directory, broken) = dump(&format!("[{}", line("s-1", "alice")));
    let broken = importer.import(&[&broken]).refused();
    assert!(broken.contains("it ends before its array does (after line 1); nothing after that place"), "{broken}");
    assert!(broken.contains("stopped after 1 lines"), "the lines before it were sent: {broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_says_so_and_goes_on_when_it_is_begun_again() {
    let (told, mut requests) = mpsc::unbounded_channel();
    let importer = Importer::start(Taken { held: Some(told), ..Taken::default() }).await;
    let (_directory, file) = dump(&lines(10));
    let running = Process(importer.command(&[&file]).spawn().unwrap());
    requests.recv().await.unwrap();
    running.signal(Signal::TERM);
    let said = running.wait().refused();
    assert!(said.contains("import to the end: interrupted"), "{said}");
    importer.taken.lock().unwrap().held = None;
    assert!(importer.import(&[&file]).succeeded().contains("made     10\n"));
}

/// Runs it without a server, a secret, or anything else of this machine's.
fn rehearse(arguments: &[&str], dump: &str) -> Exited {
    let (_directory, file) = self::dump(dump);
    let input = fs::File::open(file).unwrap();
    finish(program(&[&["import", "-", "--dry-run"], arguments].concat()).stdin(input))
}

#[test]
fn a_rehearsal_needs_no_server_and_turns_a_dump_into_lines() {
    let last = "{\"$date\":\"2099-01-01T00:00:00.000Z\"}";
    let document = |id: &str| format!("{{\"_id\":\"{id}\",\"profileId\":\"p\",\"lastRequestTime\":{last}}}");
    let dump = format!("[{},{}]\n", document(TICKET), document("old").replace("2099", "2019"));
    let shown = rehearse(&["--from", "crafter", "--tenant", "acme", "--ttl", "60"], &dump).succeeded();
    insta::assert_snapshot!(shown, @r"
    lines    2
    to send  1 tickets
    refused  0
    skipped  1 that have expired already
    Nothing was sent.
    ");
    let shown = rehearse(&["--from", "crafter", "--tenant", "acme", "--ttl", "60", "--json"], &dump).succeeded();
    let line: Value = serde_json::from_str(&shown).unwrap();
    let due = json!({
        "kind": "ticket", "tenant": "acme", "subject": "p", "digest": TICKET_DIGEST,
        "issued_at": "2099-01-01T00:00:00.000Z", "expires_at": "2099-01-01T00:01:00.000Z", "ttl": 60,
    });
    assert_eq!(line, due);
    let again = rehearse(&["--json"], &shown).succeeded();
    assert_eq!(again, shown, "it reads the lines that it prints");
}

#[test]
fn sessions_come_from_csv_and_from_json() {
    let csv = "id,issued_at,expires_at,token,identity_id,active,aal,authentication_methods\n\
        0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10,2026-11-21 08:00:00.5,2099-11-22 08:00:00,TICKET,alice,t,aal2,\"[{\"\"method\"\":\n\"\"password\"\"}]\"\n\
        0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e11,2026-11-21 08:00:00.5,2099-11-22 08:00:00,x,alice,f,aal2,[]\n";
    let shown = rehearse(&["--from", "kratos", "--json"], &csv.replace("TICKET", TICKET)).succeeded();
    let due = json!({
        "kind": "session", "subject": "alice", "id": "0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10", "digest": TICKET_DIGEST,
        "issued_at": "2026-11-21T08:00:00.500Z", "expires_at": "2099-11-22T08:00:00.000Z", "aal": "aal2",
    });
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), due);
    let row = json!({
        "id": due["id"], "issued_at": "2026-11-21T08:00:00.5", "expires_at": "2099-11-22T08:00:00", "token": TICKET,
        "identity_id": "alice", "active": true, "aal": "aal2", "authentication_methods": [{"method": "password"}],
    });
    assert_eq!(rehearse(&["--from", "kratos", "--json"], &row.to_string()).succeeded(), shown);
    let broken = rehearse(&["--from", "kratos"], &format!("{csv}\"x")).refused();
    assert!(broken.contains("the file ends within a quoted field"), "{broken}");
}

#[test]
fn the_guides_shell_expression_makes_the_digests_of_the_vectors() {
    let guide = include_str!("../../../docs/guide/importing.md");
    let expression = guide.lines().find(|line| line.starts_with("printf ") && line.ends_with("| sha256sum")).unwrap();
    let vectors: Value = serde_json::from_str(include_str!("../../../schema/vectors/digest.json")).unwrap();
    for vector in vectors["digests"].as_array().unwrap() {
        let secret = vector["secret"].as_str().unwrap();
        let output = Command::new("sh").args(["-c", expression]).env("SECRET", secret).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.split_whitespace().next(), vector["digest"].as_str(), "{secret}");
    }
}
