//! A directory that is rolled back, or copied: a node that uses it writes no second history.

use serde_json::json;

use super::cluster::{A, B, C, Cluster, assert_one_history, copy, records, until};
use crate::process::node::text;

/// Two nodes, of which B has stopped; C is to be started on a copy of its directory, as the one that it was made of.
async fn with_a_copy() -> Cluster {
    let mut cluster = Cluster::of(3).await;
    cluster.start(A, &[]).await;
    cluster.join(B);
    cluster.start(B, &[]).await;
    cluster.api(B).issue("before").await;
    cluster.agree(&[A, B]).await;
    cluster.stop(B).await;
    copy(&cluster.sites[B].data, &cluster.sites[C].data);
    let (name, region) = (cluster.sites[B].name.clone(), cluster.sites[B].region.clone());
    (cluster.sites[C].name, cluster.sites[C].region) = (name, region);
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_was_rolled_back_goes_on_under_a_new_origin_and_loses_nothing_that_others_hold() {
    let mut cluster = Cluster::over_http(2).await;
    let early = text(&cluster.api(A).issue("early").await, "ticket");
    cluster.agree(&[A, B]).await;
    cluster.stop(A).await;
    let (data, older) = (cluster.sites[A].data.clone(), cluster.sites[A].data.with_file_name("older"));
    copy(&data, &older);
    cluster.start(A, &[]).await;
    let origin = cluster.origin(A).await;
    let late = text(&cluster.api(A).issue("late").await, "ticket");
    cluster.api(A).revoke(&early).await;
    cluster.agree(&[A, B]).await;
    let before = records(&data);
    cluster.stop(A).await;

    std::fs::remove_dir_all(&data).unwrap();
    copy(&older, &data);
    cluster.start(A, &[]).await;
    assert_ne!(
        cluster.origin(A).await,
        origin,
        "it does not continue a copy that is older than the one that others hold"
    );
    assert!(cluster.log(A).contains("it is an older copy"), "{}", cluster.log(A));
    assert!(cluster.api(A).is_active(&late).await);
    assert!(!cluster.api(A).is_active(&early).await);
    let status = cluster.api(A).get("/v1/status").await.expect(200);
    let own =
        status["origins"].as_array().unwrap().iter().find(|one| one["origin"] == status["head"]["origin"]).unwrap();
    assert_eq!(own["previous"], json!(origin));
    cluster.api(A).issue("later").await;
    cluster.agree(&[A, B]).await;
    let after = records(&data);
    assert!(before.iter().all(|(place, hash)| after.get(place) == Some(hash)), "all that was there is there");
    assert_one_history(&[&data, &cluster.sites[B].data]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_copies_of_a_directory_one_continues_the_origin_and_somebody_is_told() {
    let mut cluster = with_a_copy().await;
    cluster.start(B, &[]).await;
    let origin = cluster.origin(B).await;
    cluster.api(B).issue("first").await;

    cluster.start(C, &[]).await;
    assert_eq!(cluster.origin(B).await, origin);
    assert_ne!(cluster.origin(C).await, origin);
    assert!(cluster.log(C).contains("another copy of this directory"), "{}", cluster.log(C));
    let [first, second] = [B, C].map(|which| cluster.api(which));
    let tickets = [text(&first.issue("third").await, "ticket"), text(&second.issue("second").await, "ticket")];
    for ticket in &tickets {
        until("the other node hears of both", || async { cluster.api(A).is_active(ticket).await }).await;
    }
    let warned = || async {
        let (first, second) = (first.get("/health/ready").await, second.get("/health/ready").await);
        [first, second].iter().any(|ready| ready.body["warning"].to_string().contains("directory was copied"))
    };
    until("one of the two warns of the copy", warned).await;
    let directories: Vec<_> = cluster.sites.iter().map(|site| site.data.as_path()).collect();
    assert_one_history(&directories);
}

/// Nobody but the node that joined since knows that there was more.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_was_rolled_back_to_before_another_node_joined_is_told_so_by_that_node() {
    let mut cluster = Cluster::of(2).await;
    cluster.start(A, &[]).await;
    let early = text(&cluster.api(A).issue("early").await, "ticket");
    cluster.stop(A).await;
    let (data, older) = (cluster.sites[A].data.clone(), cluster.sites[A].data.with_file_name("older"));
    copy(&data, &older);
    cluster.start(A, &[]).await;
    cluster.join(B);
    cluster.start(B, &[]).await;
    let origin = cluster.origin(A).await;
    let late = text(&cluster.api(A).issue("late").await, "ticket");
    cluster.api(A).revoke(&early).await;
    cluster.agree(&[A, B]).await;
    let before = records(&data);
    cluster.kill(A);

    std::fs::remove_dir_all(&data).unwrap();
    copy(&older, &data);
    cluster.launch_now(A, &[]);
    let (code, log) = cluster.until_it_exits(A).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("signed records of its own origin that its log lacks"), "{log}");

    cluster.start(A, &[]).await;
    assert_ne!(
        cluster.origin(A).await,
        origin,
        "it does not continue a copy that is older than the one that another holds"
    );
    let node = cluster.api(A);
    until("the records that it had lost have come back", || async {
        node.is_active(&late).await && !node.is_active(&early).await
    })
    .await;
    node.issue("later").await;
    cluster.agree(&[A, B]).await;
    let after = records(&data);
    assert!(before.iter().all(|(place, hash)| after.get(place) == Some(hash)), "all that was there is there");
    assert_one_history(&[&data, &cluster.sites[B].data]);
}

/// Both ask the others before either is heard of.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_copies_that_are_started_at_once_at_most_one_continues_the_origin() {
    let mut cluster = with_a_copy().await;
    cluster.launch_at_once(&[B, C]).await;
    let origin = |which: usize| {
        let file = std::fs::read(cluster.sites[which].data.join("members").join("node.json")).unwrap();
        text(&serde_json::from_slice(&file).unwrap(), "origin")
    };
    assert_ne!(origin(B), origin(C), "both write one origin");
    let api = cluster.api(A);
    let warned = || async { api.get("/health/ready").await.body["warning"].to_string().contains("was copied") };
    until("the third node warns of the copy", warned).await;
    let directories: Vec<_> = cluster.sites.iter().map(|site| site.data.as_path()).collect();
    assert_one_history(&directories);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_all_killed_again_and_again_continue_their_origins() {
    const NODES: [usize; 3] = [A, B, C];
    let mut cluster = Cluster::over_http(3).await;
    let mut origins = Vec::new();
    for which in NODES {
        origins.push(cluster.origin(which).await);
    }
    for round in 0..3 {
        NODES.into_iter().for_each(|which| cluster.kill(which));
        cluster.launch_at_once(&NODES).await;
        for which in NODES {
            cluster.until_ready(which).await;
            assert_eq!(cluster.origin(which).await, origins[which], "round {round}: {}", cluster.log(which));
        }
        let issued = cluster.api(A).post("/v1/tickets", json!({"subject": "ada"})).await;
        assert_eq!(issued.status, 201, "{issued:?}");
        cluster.agree(&NODES).await;
    }
}
