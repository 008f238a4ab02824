//! A standby that follows one node, and takes its place.

use std::collections::BTreeSet;

use serde_json::json;

use super::cluster::{A, B, Cluster, authledger, list, until};
use crate::process::node::text;

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_the_place_of_the_node_that_is_lost_and_followers_go_on_there() {
    let mut cluster = Cluster::of(2).await;
    cluster.start(A, &[]).await;
    cluster.join(B);
    cluster.launch_now(B, &["--standby"]);
    let a = cluster.api(A);
    let mut revoked = Vec::new();
    for number in 0..20 {
        revoked.push(a.issue_and_revoke("default", &format!("s-{number}")).await);
    }
    let kept = text(&a.issue("kept").await, "ticket");
    let first = a.get("/v1/revocations?limit=10&after=0").await.expect(200);
    let cursor = text(&first, "cursor");
    let mut heard: Vec<String> = list(&first, "items").iter().map(|item| text(item, "id")).collect();
    let (origin, sequence) = cluster.own_head(A).await;
    let follows = || async {
        let nodes = a.get("/v1/nodes").await.expect(200);
        let runs = nodes["nodes"].as_array().unwrap().iter().flat_map(|node| list(node, "runs"));
        runs.filter_map(|run| run["applied"][&origin].as_u64()).any(|applied| applied >= sequence)
    };
    until("the standby holds the same as the first node", follows).await;
    let refused = cluster.api(B).post("/v1/tickets", json!({"subject": "early"})).await;
    assert_eq!((refused.status.as_u16(), &refused.body["type"]), (503, &json!("/problems/node-not-ready")));

    cluster.kill(A);
    authledger(&["node", "promote", "--remove", "a", "--url", cluster.api(B).url()]);
    let took = cluster.until_ready(B).await;
    println!("a standby answers {took:?} after its promotion");
    let b = cluster.api(B);
    assert!(b.is_active(&kept).await);
    let late = b.issue_and_revoke("default", "late").await;
    revoked.push(late);
    let rest = b.get(&format!("/v1/revocations?limit=1000&after={cursor}")).await.expect(200);
    heard.extend(list(&rest, "items").iter().map(|item| text(item, "id")));
    assert_eq!(heard.len(), revoked.len(), "nothing is told twice");
    assert_eq!(heard.into_iter().collect::<BTreeSet<_>>(), revoked.into_iter().collect());
}
