//! Personal data leaves the process in clear only in answers to callers that may have it.

use super::*;

/// Texts that nobody may find.
const PERSONAL: [&str; 5] =
    ["ada@example.org", "192.0.2.77", "a-browser-of-hers", "editor-in-chief", "stolen-in-paris"];

fn assert_sealed(place: &str, bytes: &[u8]) {
    for text in PERSONAL {
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text} is in {place}");
    }
}

/// Looks through every file below a directory; how many there are.
fn search(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let look = |path: PathBuf| {
        if path.is_dir() {
            return search(&path);
        }
        assert_sealed(&path.display().to_string(), &std::fs::read(&path).unwrap());
        1
    };
    entries.map(look).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn log_snapshot_backup_and_feed_hold_nothing_personal_in_clear() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let served = Served::start(&data);
    let client = served.client();
    let identity = json!({"traits": {"email": "ada@example.org"}});
    let device = json!({"ip_address": "192.0.2.77", "user_agent": "a-browser-of-hers"});
    let session = post(&client, "/v1/sessions", json!({"subject": "a", "identity": identity, "device": device})).await;
    let claims = json!({"role": "editor-in-chief"});
    let token = post(&client, "/v1/tokens", json!({"subject": "a", "claims": claims})).await;
    post(&client, "/v1/tokens", json!({"subject": "a", "format": "opaque", "claims": claims})).await;
    let revocation = json!({"credential": token["token"], "note": "stolen-in-paris"});
    post(&client, "/v1/revocations", revocation).await;
    post(&client, "/v1/revocations", json!({"subject": "a", "kinds": ["token"], "note": "stolen-in-paris"})).await;

    for path in
        ["/v1/revocations?after=0", "/v1/revocations/snapshot", "/v1/events?after=0", "/v1/subjects/a", "/metrics"]
    {
        let answer = client.text(client.request(Method::GET, path)).await.unwrap();
        assert_sealed(path, answer.as_bytes());
    }
    let (copy, keys) = (directory.path().join("copy"), directory.path().join("keys"));
    let backup = ["backup", copy.to_str().unwrap(), "--keys", keys.to_str().unwrap(), "--data", data.to_str().unwrap()];
    served.call(&backup).succeeded();
    let path = format!("/v1/sessions/{}", session["session"]["id"].as_str().unwrap());
    let shown = client.text(client.request(Method::GET, &path)).await.unwrap();
    assert!(PERSONAL[..3].iter().all(|text| shown.contains(text)), "a caller that may introspect sees it: {shown}");
    served.stop();
    assert!(search(directory.path()) >= 5, "the log, its snapshot, the keys, and copies");
}
