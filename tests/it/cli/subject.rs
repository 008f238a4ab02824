//! `authledger subject`

use authledger::audit;

use super::*;

const NOTHING: [u64; 0] = [];

/// Records that seal something of the subject: a session, a token, and the note of a revocation.
async fn live(client: &Client) {
    let identity = json!({"traits": {"email": "ada@example.org"}});
    let device = json!({"ip_address": "192.0.2.77"});
    post(client, "/v1/sessions", json!({"subject": "u 47/11", "identity": identity, "device": device})).await;
    let token = post(client, "/v1/tokens", json!({"subject": "u 47/11", "claims": {"role": "editor-in-chief"}})).await;
    post(client, "/v1/revocations", json!({"credential": token["token"], "note": "stolen-in-paris"})).await;
}

/// The positions at which something can be opened.
async fn open(client: &Client) -> Vec<u64> {
    let events = client.text(client.request(Method::GET, "/v1/events?after=0")).await.unwrap();
    let mut open = Vec::new();
    for position in 1..=events.lines().count() as u64 {
        let path = format!("/v1/events/{position}/sealed");
        if client.exchange(client.request(Method::GET, &path)).await.unwrap().status() == 200 {
            open.push(position);
        }
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_subject_is_in_no_backup_that_has_todays_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (data, copy, old_keys) = (path("data"), path("copy"), path("old-keys"));
    let served = Served::start(&data);
    live(&served.client()).await;
    let personal = open(&served.client()).await;
    assert_eq!(personal.len(), 3);
    let to = ["backup", copy.to_str().unwrap(), "--data", data.to_str().unwrap(), "--keys", old_keys.to_str().unwrap()];
    run(&to).succeeded();

    let refusal = served.call(&["subject", "erase", "u 47/11"]).refused();
    assert!(refusal.contains("nothing was done") && refusal.contains("--yes"), "{refusal}");
    assert_eq!(open(&served.client()).await, personal);
    let erase = ["subject", "erase", "u 47/11", "--yes", "--reason", "gdpr-17"];
    let said = served.call(&erase).succeeded();
    assert!(said.contains("subject         u 47/11") && said.contains("keys destroyed  1"), "{said}");
    let again: Value = serde_json::from_str(&served.call(&[&erase[..], &["--json"]].concat()).succeeded()).unwrap();
    assert_eq!(
        (&again["already"], &again["keys_destroyed"], &again["tenant"]),
        (&json!(true), &json!(1), &json!("default"))
    );
    let client = served.client();
    let view = client.text(client.request(Method::GET, "/v1/subjects/u%2047%2F11")).await.unwrap();
    let view: Value = serde_json::from_str(&view).unwrap();
    assert_eq!((&view["erased_at"], &view["credentials"]), (&again["erased_at"], &json!([])));
    let refused = served.call(&["subject", "erase", "x", "--yes", "--reason", "Not A Code"]).refused();
    assert!(refused.contains("400 invalid-query"), "{refused}");
    assert_eq!(open(&served.client()).await, NOTHING);
    served.stop();
    audit::verify(&data.join("ledger.db"), |_, _| {}).unwrap();

    // The log of before with the keys of today.
    let with_todays = path("restored");
    std::fs::create_dir(&with_todays).unwrap();
    std::fs::copy(copy.join("ledger.db"), with_todays.join("ledger.db")).unwrap();
    let copied = std::process::Command::new("cp").arg("-rp").arg(data.join("keys")).arg(&with_todays).status().unwrap();
    assert!(copied.success());
    let restored = Served::start(&with_todays);
    assert_eq!(open(&restored.client()).await, NOTHING);
    restored.stop();

    // The keys of before with the log of today: they are destroyed again, in the file itself.
    std::fs::copy(old_keys.join("sealing.keys"), data.join("keys/sealing.keys")).unwrap();
    let served = Served::start(&data);
    assert_eq!(open(&served.client()).await, NOTHING);
    served.stop();
    assert!(authledger::keys::SealingKeys::open(&data.join("keys")).unwrap().is_erased(1));
}
