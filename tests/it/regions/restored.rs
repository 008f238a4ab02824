//! All nodes are lost, and only a backup of one is left.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::cluster::{A, B, C, Cluster, authledger, list};
use crate::process::node::text;

/// Makes a backup of that node's directory, and restores it into another one.
fn restored(data: &Path, origin: &str, at: &Path) -> PathBuf {
    let [backup, keys, data, restored] =
        [at.join("backup"), at.join("backup-keys"), data.to_owned(), at.join("restored")]
            .map(|path| path.to_str().unwrap().to_owned());
    authledger(&["backup", &backup, "--data", &data, "--keys", &keys]);
    authledger(&["restore", &backup, "--keys", &keys, "--data", &restored, "--origin", origin]);
    restored.into()
}

/// Names the restored node's own key, as the guide has it.
async fn name_own_key(cluster: &Cluster, which: usize, name: &str, region: &str) {
    let api = cluster.api(which);
    let nodes = api.get("/v1/nodes").await.expect(200);
    let nodes = list(&nodes, "nodes");
    let own = nodes.iter().find(|node| node["own"] == true).expect("it shows itself");
    let named = json!({"key": own["key"], "node": name, "region": region, "reads": own["reads"]});
    api.post("/v1/nodes", named).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_one_node_is_restored_when_all_are_lost_and_other_nodes_join_it() {
    let mut cluster = Cluster::over_http(3).await;
    let mut kept = Vec::new();
    let mut revoked = Vec::new();
    for which in [A, B, C] {
        let api = cluster.api(which);
        kept.push(text(&api.issue("kept").await, "ticket"));
        let ticket = text(&api.issue("revoked").await, "ticket");
        api.revoke(&ticket).await;
        revoked.push(ticket);
    }
    cluster.agree(&[A, B, C]).await;
    let mut origins = Vec::new();
    for which in [A, B, C] {
        origins.push(cluster.origin(which).await);
    }
    [A, B, C].into_iter().for_each(|which| cluster.kill(which));
    let at = tempfile::tempdir().unwrap();
    let data = restored(&cluster.sites[B].data, &origins[B], at.path());

    for (which, name) in [(A, "r"), (B, "d"), (C, "e")] {
        let site = &mut cluster.sites[which];
        site.name = name.to_owned();
        site.data = if which == A { data.clone() } else { at.path().join(name) };
    }
    cluster.launch_now(A, &["--standby"]);
    name_own_key(&cluster, A, "r", "europe").await;
    for lost in ["a", "b"] {
        authledger(&["node", "remove", lost, "--url", cluster.api(A).url()]);
    }
    authledger(&["node", "promote", "--remove", "c", "--url", cluster.api(A).url()]);
    cluster.until_ready(A).await;

    cluster.join(B);
    cluster.start(B, &[]).await;
    // The third one through the second, which has its records from the first.
    let site = &cluster.sites[C];
    let url = cluster.address(C, B);
    let data = site.data.to_str().unwrap();
    authledger(&["node", "join", "--data", data, "--node", "e", "--region", &site.region, "--url", &url]);
    cluster.start(C, &[]).await;
    cluster.agree(&[A, B, C]).await;
    let heads = cluster.heads(C).await;
    assert!(origins.iter().all(|origin| heads.contains_key(origin)), "{heads:?}");
    for which in [A, B, C] {
        let api = cluster.api(which);
        for ticket in &kept {
            assert!(api.is_active(ticket).await, "a ticket of a node that is lost is active");
        }
        for ticket in &revoked {
            assert!(!api.is_active(ticket).await, "a ticket that was revoked at a node that is lost stays revoked");
        }
    }
    for which in [A, B, C] {
        cluster.api(which).revoke(&kept[which]).await;
    }
    cluster.agree(&[A, B, C]).await;
    for ticket in &kept {
        assert!(!cluster.api(C).is_active(ticket).await);
    }
    // The heads that were vouched for are known after a restart.
    cluster.stop(C).await;
    cluster.start(C, &[]).await;
    cluster.agree(&[A, B, C]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_one_node_that_was_restored_can_be_joined() {
    let mut cluster = Cluster::of(2).await;
    cluster.start(A, &[]).await;
    let kept = text(&cluster.api(A).issue("kept").await, "ticket");
    let revoked = text(&cluster.api(A).issue("revoked").await, "ticket");
    cluster.api(A).revoke(&revoked).await;
    let origin = cluster.origin(A).await;
    cluster.stop(A).await;
    let at = tempfile::tempdir().unwrap();
    cluster.sites[A].data = restored(&cluster.sites[A].data, &origin, at.path());
    cluster.start(A, &[]).await;
    cluster.join(B);
    cluster.start(B, &[]).await;
    cluster.agree(&[A, B]).await;
    assert!(cluster.heads(B).await.contains_key(&origin));
    assert!(cluster.api(B).is_active(&kept).await && !cluster.api(B).is_active(&revoked).await);
}
