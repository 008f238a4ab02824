//! NATS servers that are killed, wiped and rolled back: the records that they lost are sent again, and nothing comes twice.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::{A, B, C, Cluster, copy, records, until};
use crate::process::node::text;
use crate::support::nats::{find, with_each_release};

/// How soon all must have come after a server is there again.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Issues so many tickets there, and revokes each.
async fn write(cluster: &Cluster, which: usize, count: usize) {
    for number in 0..count {
        cluster.api(which).issue_and_revoke("default", &format!("s-{number}")).await;
    }
}

/// Waits until all are the same, which must not take longer than it may.
async fn catches_up(cluster: &Cluster, after: &str) {
    let took = cluster.agree(&[A, B, C]).await;
    println!("the same everywhere {took:?} after {after}");
    assert!(took < CATCH_UP, "{took:?} after {after}");
    let counts: Vec<usize> = cluster.sites.iter().map(|site| records(&site.data).len()).collect();
    assert!(counts.windows(2).all(|two| two[0] == two[1]), "nothing is lost or doubled: {counts:?}");
}

async fn records_that_a_nats_server_loses_are_sent_again_and_nothing_comes_twice(program: &Path) {
    let mut cluster = Cluster::over_nats(program).await;
    write(&cluster, A, 20).await;
    cluster.agree(&[A, B, C]).await;
    // The servers are under test, so that nothing may come another way.
    cluster.cut_http();

    cluster.servers[A].kill();
    write(&cluster, A, 20).await;
    write(&cluster, B, 20).await;
    cluster.start_server(A).await;
    catches_up(&cluster, "a restart of the server").await;

    let store = cluster.servers[A].store();
    let older = cluster.directory.path().join("older");
    cluster.servers[A].kill();
    copy(&store, &older);
    cluster.start_server(A).await;
    write(&cluster, A, 20).await;
    catches_up(&cluster, "another one").await;
    cluster.servers[A].kill();
    write(&cluster, A, 20).await;
    std::fs::remove_dir_all(&store).unwrap();
    cluster.start_server(A).await;
    catches_up(&cluster, "the loss of the server's store").await;

    cluster.servers[A].kill();
    write(&cluster, A, 20).await;
    std::fs::remove_dir_all(&store).unwrap();
    copy(&older, &store);
    let address = cluster.start_server(A).await;
    catches_up(&cluster, "an older store was put back").await;

    let context = async_nats::jetstream::new(async_nats::connect(address.to_string()).await.unwrap());
    let origin = cluster.origin(A).await;
    let mut names = context.stream_names();
    let mut deleted = 0;
    while let Some(name) = futures_util::StreamExt::next(&mut names).await {
        let name = name.unwrap();
        if name.contains(&origin) {
            context.delete_stream(&name).await.unwrap();
            deleted += 1;
        }
    }
    assert!(deleted > 0);
    write(&cluster, A, 20).await;
    catches_up(&cluster, "its streams were deleted").await;
    // A node that was away finds the records that it missed in the new stream.
    cluster.stop(C).await;
    write(&cluster, A, 20).await;
    cluster.heal();
    cluster.start(C, &[]).await;
    cluster.agree(&[A, B, C]).await;
    assert!(cluster.metric(A, "authledger_nats{kind=\"streams_abandoned\"}").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_being_asked_for_when_the_node_stopped_is_fetched_after_its_restart() {
    let Some(program) = find() else { return };
    let mut cluster = Cluster::over_nats(&program).await;
    // Records come over NATS, keys over HTTP alone: a node that asks for one waits now, and is not answered.
    cluster.hold_http();
    let session = json!({"subject": "alice", "identity": {"traits": {"email": "alice@example.com"}}});
    let issued = cluster.api(A).post("/v1/sessions", session).await.expect(201);
    let path = format!("/v1/sessions/{}", text(&issued["session"], "id"));
    let email = async |cluster: &Cluster| {
        let shown = cluster.api(C).get(&path).await;
        (shown.status == 200, shown.body["identity"]["traits"]["email"].as_str().map(str::to_owned))
    };
    until("the session has come", async || email(&cluster).await == (true, None)).await;
    let stopping = Instant::now();
    cluster.stop(C).await;
    assert!(stopping.elapsed() < Duration::from_secs(8), "a node that nobody answers stops: {:?}", stopping.elapsed());
    cluster.heal();
    cluster.start(C, &[]).await;
    until("the key has come", async || email(&cluster).await.1.as_deref() == Some("alice@example.com")).await;
}

with_each_release! {
    records_that_a_nats_server_loses_are_sent_again_and_nothing_comes_twice
}
