//! Releases that differ: a type that not every member reads is not written, and a record that one can't read is not skipped.

use reqwest::Method;
use serde_json::json;

use super::cluster::{A, B, C, Cluster, list, until};
use crate::process::node::{Answer, Api, text};

const UNREADABLE: &str = "authledger_nodes{kind=\"unreadable_origin\"}";
const OLD: [&str; 2] = ["--without-events", "subject.erased"];

async fn erase(api: &Api, subject: &str) -> Answer {
    api.send(Method::DELETE, &format!("/v1/subjects/{subject}/personal-data"), None).await.unwrap()
}

async fn hears_of(api: &Api, ticket: &str) {
    until("a ticket of another node is active here", || async { api.is_active(ticket).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_an_older_release_does_not_read_is_not_written_before_it_is_upgraded() {
    let mut cluster = Cluster::over_http(2).await;
    cluster.stop(B).await;
    cluster.start(B, &OLD).await;
    until("the types that it reads are known", || async {
        let nodes = list(&cluster.api(A).get("/v1/nodes").await.expect(200), "nodes");
        let b = nodes.into_iter().find(|node| node["node"] == "b").expect("it is a member");
        b["reads"]["ticket.issued"].is_u64() && b["reads"]["subject.erased"].is_null()
    })
    .await;
    let ticket = text(&cluster.api(A).issue("alice").await, "ticket");
    let refused = erase(&cluster.api(A), "alice").await;
    assert_eq!((refused.status.as_u16(), &refused.body["type"]), (503, &json!("/problems/member-too-old")));
    hears_of(&cluster.api(B), &ticket).await;
    let theirs = text(&cluster.api(B).issue("bob").await, "ticket");
    hears_of(&cluster.api(A), &theirs).await;
    assert_eq!(cluster.metric(B, UNREADABLE).await, 0);

    cluster.stop(B).await;
    cluster.start(B, &[]).await;
    let erases = || async { erase(&cluster.api(A), "alice").await.status == 200 };
    until("the upgrade is known, and the erasure is made", erases).await;
    cluster.agree(&[A, B]).await;
    assert!(!cluster.api(B).is_active(&ticket).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_later_release_stops_its_origin_alone_until_the_upgrade() {
    let mut cluster = Cluster::over_http(3).await;
    let ticket = text(&cluster.api(A).issue("alice").await, "ticket");
    cluster.agree(&[A, B, C]).await;
    cluster.stop(B).await;
    erase(&cluster.api(A), "alice").await.expect(200);
    let behind = text(&cluster.api(A).issue("behind").await, "ticket");

    cluster.start(B, &OLD).await;
    until("the record is seen and not read", || async { cluster.metric(B, UNREADABLE).await == 1 }).await;
    let ready = cluster.api(B).get("/health/ready").await.expect(200);
    assert!(text(&ready, "warning").contains("upgrade this node"), "{ready}");
    assert!(cluster.log(B).contains("a later release wrote this record"), "{}", cluster.log(B));
    let other = text(&cluster.api(C).issue("carol").await, "ticket");
    hears_of(&cluster.api(B), &other).await;
    assert!(!cluster.api(B).is_active(&behind).await, "nothing of the origin is taken after it");
    assert!(cluster.api(B).is_active(&ticket).await, "the records before it stand");

    cluster.stop(B).await;
    cluster.start(B, &[]).await;
    cluster.agree(&[A, B, C]).await;
    assert!(cluster.api(B).is_active(&behind).await && !cluster.api(B).is_active(&ticket).await);
    assert_eq!(cluster.metric(B, UNREADABLE).await, 0);
}
