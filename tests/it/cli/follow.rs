//! `authledger follow`

use std::fs;

use authledger::domain::Origin;
use authledger::feed::Cursor;
use rustix::process::Signal;

use super::*;

struct Following {
    process: Process,
    items: LinesOf,
    notices: LinesOf,
}

impl Following {
    fn start(served: &Served, arguments: &[&str]) -> Self {
        let arguments = [&["follow", "--heartbeat", "1"], arguments].concat();
        let mut process = Process(served.command(&arguments).spawn().unwrap());
        let items = LinesOf::new(process.0.stdout.take().unwrap());
        let notices = LinesOf::new(process.0.stderr.take().unwrap());
        Self { process, items, notices }
    }

    /// The next items; one that comes again counts once.
    fn ids(&self, count: usize, seen: &mut Vec<String>) -> Vec<String> {
        let mut fresh: Vec<String> = Vec::new();
        while fresh.len() < count {
            let item = self.items.next_json();
            assert!(item["event"] == "revoked" && item["cursor"].is_string(), "{item}");
            let id = item["id"].as_str().unwrap().to_owned();
            if !seen.contains(&id) {
                seen.push(id.clone());
                fresh.push(id);
            }
        }
        fresh
    }
}

async fn revoke_some(served: &Served, count: usize) -> Vec<String> {
    let client = served.client();
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(issue_and_revoke(&client, "alice").await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn following_with_a_state_file_misses_nothing_over_restarts_of_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let state = directory.path().join("state");
    let arguments = ["--json", "--after", "0", "--state", state.to_str().unwrap()];
    let mut seen = Vec::new();
    let served = Served::start(&data);
    let address = served.address.clone();
    let first = revoke_some(&served, 5).await;
    let following = Following::start(&served, &arguments);
    assert_eq!(following.ids(5, &mut seen), first, "from the beginning, in order");
    let live = revoke_some(&served, 5).await;
    assert_eq!(following.ids(5, &mut seen), live);

    served.stop();
    following.notices.until("the server ends the stream: stopping");
    let served = Served::start_at(&data, &address);
    let restarted = revoke_some(&served, 5).await;
    assert_eq!(following.ids(5, &mut seen), restarted, "the server was away");

    following.process.signal(Signal::KILL);
    drop(following);
    let missed = revoke_some(&served, 5).await;
    let following = Following::start(&served, &arguments);
    assert_eq!(following.ids(5, &mut seen), missed, "the follower was away");
    following.process.signal(Signal::TERM);
    let output = following.process.wait();
    assert!(output.status.success());
    let kept: Cursor = fs::read_to_string(&state).unwrap().trim().parse().unwrap();
    assert_eq!(kept.origins.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_a_space_is_followed_and_a_cursor_that_fits_no_query() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(&directory.path().join("data"));
    let revocation = json!({"tenant": "north west", "subject": "alice"});
    post(&served.client(), "/v1/revocations", revocation).await;
    let following = Following::start(&served, &["--json", "--after", "0", "--tenant", "north west"]);
    let item = following.items.next_json();
    assert_eq!((&item["tenant"], &item["subject"]), (&json!("north west"), &json!("alice")));

    let mut cursor: Cursor = item["cursor"].as_str().unwrap().parse().unwrap();
    let reached = *cursor.origins.values().next().unwrap();
    for number in 0..600_u16 {
        let mut bytes = [0; Origin::LEN];
        for (bit, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from(number >> bit & 1 == 1);
        }
        cursor.origins.insert(Origin::from_random(bytes), reached);
    }
    let state = directory.path().join("state");
    fs::write(&state, cursor.to_string()).unwrap();
    assert!(cursor.to_string().len() > 16_384, "no head holds it");
    let following = Following::start(&served, &["--json", "--state", state.to_str().unwrap()]);
    let next = revoke_some(&served, 1).await;
    assert_eq!(following.ids(1, &mut Vec::new()), next, "the server has read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_kinds_are_followed_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(&directory.path().join("data"));
    let revoked = revoke_some(&served, 1).await;
    for kinds in [&["--kind", "session,ticket"][..], &["--kind", "session", "--kind", "ticket"]] {
        let following = Following::start(&served, &[&["--json", "--after", "0"], kinds].concat());
        assert_eq!(following.ids(1, &mut Vec::new()), revoked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_a_place_where_the_log_has_never_been_leads_to_the_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(&directory.path().join("data"));
    let state = directory.path().join("state");
    let revoked = revoke_some(&served, 3).await;
    let following = Following::start(&served, &["--json", "--after", "0"]);
    let mut items: Vec<Value> = (0..3).map(|_| following.items.next_json()).collect();
    let mut ahead: Cursor = items.remove(2)["cursor"].as_str().unwrap().parse().unwrap();
    ahead.origins.values_mut().for_each(|reached| reached.sequence.0 += 1000);
    drop(following);

    fs::write(&state, ahead.to_string()).unwrap();
    let following = Following::start(&served, &["--json", "--state", state.to_str().unwrap()]);
    assert_eq!(following.items.next_json()["event"], "gap");
    let mut snapshot: Vec<String> = Vec::new();
    let end = loop {
        let line = following.items.next_json();
        match line["event"].as_str() {
            Some("snapshot") => snapshot.push(line["id"].as_str().unwrap().to_owned()),
            Some("snapshot_end") => break line,
            _ => panic!("{line}"),
        }
    };
    snapshot.sort();
    let mut due = revoked.clone();
    due.sort();
    assert_eq!((snapshot, end["count"].as_u64()), (due, Some(3)));
    let later = revoke_some(&served, 2).await;
    assert_eq!(following.ids(2, &mut revoked.clone()), later, "it goes on from the snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_hears_nothing_says_so_and_catches_up() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(&directory.path().join("data"));
    let following = Following::start(&served, &["--after", "0"]);
    revoke_some(&served, 1).await;
    let line = following.items.next();
    assert!(line.contains("ticket") && line.contains("default/alice"), "{line}");
    served.process.signal(Signal::STOP);
    following.notices.until("STALE: nothing heard for 3 s, 3 heartbeats");
    served.process.signal(Signal::CONT);
    following.notices.until("fresh again");
    let id = revoke_some(&served, 1).await.remove(0);
    following.items.until(&id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_application_is_removed_stops_and_one_in_another_tenant_hears_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(&directory.path().join("data"));
    let body = json!({"name": "gateway", "scopes": ["follow"], "tenants": ["default", "other"]});
    let gateway = post(&served.client(), "/v1/applications", body).await;
    let secret = gateway["secret"].as_str().unwrap();
    let following = Following::start(&served, &["--json", "--after", "0", "--token", secret]);
    let elsewhere = Following::start(&served, &["--json", "--after", "0", "--token", secret, "--tenant", "other"]);
    let id = revoke_some(&served, 1).await.remove(0);
    let item = following.items.next_json();
    assert_eq!((item["id"].as_str(), item.get("reason")), (Some(&*id), None), "reasons are for auditors");
    // A follower that has not connected by then is refused instead.
    post(&served.client(), "/v1/revocations", json!({"subject": "bob", "tenant": "other"})).await;
    for following in [&following, &elsewhere] {
        assert_eq!(following.items.next_json()["tenant"], "other");
    }
    served.call(&["application", "remove", gateway["id"].as_str().unwrap()]).succeeded();
    for following in [following, elsewhere] {
        following.notices.until("the application was removed");
        let output = following.process.wait();
        assert_eq!(output.status.code(), Some(1));
        assert!(following.items.0.recv_timeout(LIMIT).is_err(), "nothing more was shown");
    }
}
