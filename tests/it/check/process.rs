//! The built program as gateways meet it: its settings, its listeners, its start and its end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::json;

use crate::process::node::{Launch, NodeProcess, PATIENCE, text};

const RULES: &str = "check_header_prefix = \"X-Who-\"\n[[check]]\nrule = \"reports\"\nkinds = [\"ticket\"]\ncredentials = [\"cookie:c\"]\nrenew = true\n";

fn launch(folder: &Path, settings: &str) -> Launch {
    let file = folder.join("authledger.toml");
    std::fs::write(&file, settings).expect("written");
    Launch::new(&folder.join("data")).arg("--config").arg(&file)
}

/// What the listener tells a connection that sends that, until it closes.
fn told(address: &str, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(sent.as_bytes()).expect("open");
    let mut bytes = Vec::new();
    // The server may reset the connection once it has answered.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).expect("UTF-8")
}

fn checks(node: &NodeProcess) -> String {
    node.check_url().strip_prefix("http://").expect("in clear").to_owned()
}

#[tokio::test]
async fn a_listener_of_its_own_answers_checks_by_the_rules_of_the_file_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a directory");
    let node = launch(folder.path(), RULES).args(&["--check-listen", "127.0.0.1:0"]).start();
    let address = checks(&node);
    let ticket = text(&node.api.post("/v1/tickets", json!({"subject": "alice"})).await.expect(201), "ticket");
    let ask = |path: &str| {
        told(&address, &format!("GET {path} HTTP/1.0\r\nCookie: c={ticket}\r\nContent-Length: 1000000\r\n\r\n"))
    };
    let answer = ask("/check/reports");
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains("x-who-subject: alice\r\n"), "{answer}");
    assert!(answer.contains("x-who-session: \r\n") || answer.contains("x-who-session:\r\n"), "{answer}");
    for (path, status) in [("/check/default", 401), ("/check/none", 403), ("/v1/status", 403), ("/metrics", 403)] {
        let answer = ask(path);
        assert!(answer.starts_with(&format!("HTTP/1.0 {status} ")) && answer.ends_with("\r\n\r\n"), "{path}: {answer}");
    }
    node.api.post("/v1/revocations", json!({"credential": ticket})).await.expect(201);
    assert!(ask("/check/reports").starts_with("HTTP/1.0 401 "));
    let (code, log) = node.stop().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("no rule has that name") && !log.contains(&ticket), "{log}");
}

#[tokio::test]
async fn settings_that_can_not_be_served_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a directory");
    let bad = |settings: &str, arguments: &[&str]| {
        let (code, told) = launch(folder.path(), settings).args(arguments).refuse();
        assert_eq!(code, Some(1), "{told}");
        told
    };
    let told = bad("[[check]]\nrule = \"r\"\nmin_aal = \"high\"\n", &[]);
    assert!(told.contains("use the [[check]] of \"r\": its `min_aal` must be one of aal0"), "{told}");
    let told = bad("[[check]]\nrule = \"r\"\nkind = [\"token\"]\n", &[]);
    assert!(told.contains("unknown field `kind`"), "{told}");
    let told = bad("", &["--check-listen", "192.0.2.1:1"]);
    assert!(told.contains("192.0.2.1:1") && told.contains("--check-listen") && told.contains("not loopback"), "{told}");
    let told = bad("", &["--check-listen", "127.0.0.1:0", "--check-tls"]);
    assert!(told.contains("--check-tls") && told.contains("--tls-certificate"), "{told}");
    let told = bad("", &["--check-header-prefix", "X_Auth_"]);
    assert!(told.contains("--check-header-prefix"), "{told}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let told = bad("", &["--check-listen", &address]);
    assert!(told.contains(&address) && told.contains("choose another address with --check-listen"), "{told}");
    if cfg!(not(feature = "grpc")) {
        let told = bad("", &["--check-grpc-listen", "127.0.0.1:0"]);
        assert!(told.contains("the feature grpc"), "{told}");
    }
}
