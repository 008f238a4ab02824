//! schemathesis against `/openapi.json`: no 5xx, no undocumented status or body, and nearly every operation succeeds.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::process::node::{Launch, Process, ROOT, every_surface};
use crate::support::python;

/// How long schemathesis generates requests.
const SECONDS: &str = "75";
/// How long its run may take in all: a request that has begun is finished.
const PATIENCE: Duration = Duration::from_secs(240);
/// Its seed: the same requests every time, as far as time allows.
const SEED: &str = "20260101";
/// The checks that hold for every answer. The meaning of a generated request is not judged: that is for the other tests.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// Operations that no run gets a 2xx from, and why.
const OUT_OF_REACH: [(&str, &str); 6] = [
    ("POST /oauth2/token", "root, which calls here, gets no access token"),
    ("POST /v1/nodes/announcements", "only an announcement that a member has signed is heard"),
    ("GET /v1/nodes/holdings", "it needs a member's signature"),
    ("GET /v1/origins/{origin}/records", "it needs a member's signature"),
    ("POST /v1/origins/{origin}/records", "only records that a known origin has signed are taken"),
    ("GET /v1/origins/{origin}/sealing-keys", "it needs a member's signature"),
];

#[tokio::test]
async fn the_server_does_what_the_document_says() {
    let Some(python) = python::with("schemathesis") else { return };
    let directory = tempfile::tempdir().unwrap();
    // A key that takes over from one that a request withdraws signs at once.
    let node = Launch::new(&directory.path().join("data")).args(&["--key-publish-ahead", "0"]);
    // What a list said before is shown to root: a refusal by 501 would count as a fault.
    let node = node.args(&["--surfaces", &every_surface(), "--status-list-history", "audit"]).start();
    let (out, report) = (directory.path().join("statuses.json"), directory.path().join("report.txt"));
    let hooks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis_hooks.py");
    let said = std::fs::File::create(&report).unwrap();
    let mut command = Command::new(python.with_file_name("schemathesis"));
    command
        .args(["run", &format!("{}/openapi.json", node.api.url())])
        .args(["--seed", SEED, "--max-time", SECONDS, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        // With several, `ast` fails now and then in Python before 3.12.2: it keeps the depth of its recursion once for all threads.
        .args(["--workers", "1", "--continue-on-failure", "--no-shrink", "--warnings", "off"])
        .args(["--header", &format!("Authorization: Bearer {ROOT}")])
        .env("SCHEMATHESIS_HOOKS", hooks)
        .env("FUZZ_URL", node.api.url())
        .env("FUZZ_TOKEN", ROOT)
        .env("FUZZ_OUT", &out)
        .env("NO_COLOR", "1")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stderr(said.try_clone().unwrap())
        .stdout(said);
    let mut process = Process::new(command.spawn().unwrap());
    let status = tokio::task::spawn_blocking(move || process.wait_at_most(PATIENCE)).await.unwrap();
    let report = std::fs::read_to_string(&report).unwrap();
    assert!(status.success(), "{report}");
    let statuses: BTreeMap<String, BTreeMap<String, u64>> =
        serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    let document = node.api.get("/openapi.json").await.expect(200);
    let operations = operations(&document);
    let succeeded = |operation: &&String| {
        statuses.get(*operation).is_some_and(|statuses| statuses.keys().any(|status| status.starts_with('2')))
    };
    let missed: Vec<&String> = operations.iter().filter(|one| !succeeded(one)).collect();
    let calls: u64 = statuses.values().flat_map(BTreeMap::values).sum();
    println!("{calls} calls of {} operations; without a 2xx: {missed:?}", operations.len());
    for (operation, why) in OUT_OF_REACH {
        assert!(missed.iter().any(|missed| *missed == operation), "{operation} is within reach after all: {why}");
    }
    assert!(missed.len() * 10 <= operations.len(), "more than a tenth never succeeds: {missed:?}");
}

fn operations(document: &Value) -> Vec<String> {
    const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "head"];
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let methods = METHODS.into_iter().filter(|method| item.get(method).is_some());
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}
