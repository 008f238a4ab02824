//! `authledger import` against the real server: an imported credential is active, can be revoked, and is known when it comes again.

use super::*;

const TICKET: &str = "7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2";
const SESSION: &str = "0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10";
const SESSION_TOKEN: &str = "MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj";

fn import(served: &Served, dump: &str, arguments: &[&str]) -> Exited {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    std::fs::write(&file, dump).unwrap();
    served.call(&[&["import", file.to_str().unwrap()], arguments].concat())
}

/// Dumps of tickets that were used just now, and of sessions that were issued just now.
fn dumps() -> (String, String) {
    let now = authledger::clock::Clock::system().now();
    let ticket =
        |id: &str| format!("{{\"_id\":\"{id}\",\"profileId\":\"alice\",\"lastRequestTime\":{}}}\n", now.as_millis());
    let tickets = (0..1_500).map(|number| ticket(&format!("{number:08}-2a55-4be2-a0d1-40c8e4a1b6d2")));
    let day = authledger::domain::Ttl::from_seconds(86_400).unwrap();
    let sessions = format!(
        "id,identity_id,issued_at,expires_at,active,token,aal\n{SESSION},alice,{now},{},t,{SESSION_TOKEN},aal2\n",
        now.plus(day)
    );
    (ticket(TICKET) + &tickets.collect::<String>(), sessions)
}

async fn ask(client: &Client, credential: &str) -> Value {
    post(client, "/v1/introspect", json!({ "credential": credential })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_from_crafter_and_kratos_are_active_here_and_known_when_they_come_again() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let (tickets, sessions) = dumps();
    let crafter = ["--from", "crafter", "--ttl", "900"];
    let shown = import(&served, &tickets, &crafter).succeeded();
    assert!(shown.contains("lines    1501\nmade     1501\nknown    0\nrefused  0\n"), "{shown}");
    let shown = import(&served, &sessions, &["--from", "kratos"]).succeeded();
    assert!(shown.contains("made     1\n"), "{shown}");
    assert!(import(&served, &tickets, &crafter).succeeded().contains("made     0\nknown    1501\n"));
    assert!(import(&served, &sessions, &["--from", "kratos"]).succeeded().contains("made     0\nknown    1\n"));

    let client = served.client();
    let ticket = ask(&client, TICKET).await;
    assert_eq!((&ticket["kind"], &ticket["subject"]), (&json!("ticket"), &json!("alice")));
    let session = ask(&client, SESSION_TOKEN).await;
    assert_eq!((&session["kind"], &session["id"]), (&json!("session"), &json!(SESSION)));
    let revoked = post(&client, "/v1/revocations", json!({"kind": "session", "id": SESSION})).await;
    assert_eq!(revoked["revocations"][0]["subject"], "alice");
    assert_eq!(ask(&client, SESSION_TOKEN).await, json!({"active": false}));
    assert!(import(&served, &sessions, &["--from", "kratos"]).succeeded().contains("known    1\n"));
    assert_eq!(ask(&client, SESSION_TOKEN).await, json!({"active": false}), "an import brings nothing back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_revoked_before_its_import_stays_revoked() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let client = served.client();
    let (tickets, sessions) = dumps();
    import(&served, &tickets, &["--from", "crafter"]).succeeded();
    let revoked = post(&client, "/v1/revocations", json!({"kind": "session", "id": SESSION})).await;
    assert_eq!(revoked["revocations"][0]["known"], false, "it may have been issued where the tickets come from");
    import(&served, &sessions, &["--from", "kratos"]).succeeded();
    assert_eq!(ask(&client, SESSION_TOKEN).await, json!({"active": false}));
}
