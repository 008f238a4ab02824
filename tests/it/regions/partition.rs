//! A region that is cut off goes on, and agrees with the others once it is not.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::cluster::{A, B, C, Cluster, NAMES, is_full, list, until};
use crate::process::node::{Api, ROOT, text};
use crate::support::nats::{find, with_each_release};

/// Commands of every kind, one after the other, until the flag is set. None of them may fail.
async fn work(api: Api, name: &'static str, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let subject = format!("{name}-{number}");
        let ticket = text(&api.issue(&subject).await, "ticket");
        let session = api.post("/v1/sessions", json!({"subject": subject, "ttl": 3_600})).await.expect(201);
        let token = api
            .post("/v1/tokens", json!({"subject": subject, "session_id": session["session"]["id"]}))
            .await
            .expect(201);
        match number % 4 {
            0 => drop(api.revoke(&ticket).await),
            1 => drop(api.revoke(&text(&session, "session_token")).await),
            2 => drop(api.revoke(&text(&token, "token")).await),
            _ => {
                // Both sides revoke the same subjects, some of them with a hold.
                let shared = format!("shared-{}", number % 8);
                api.post("/v1/tickets", json!({"subject": shared})).await;
                let hold = json!({"subject": shared, "hold": 1 + number % 3});
                api.post("/v1/revocations", hold).await.expect(201);
            }
        }
        done.fetch_add(5, Ordering::Relaxed);
    }
}

async fn a_region_that_was_cut_off_fails_nobody_and_agrees_with_the_others_when_it_is_back(program: &Path) {
    let cluster = Cluster::over_nats(program).await;
    let ticket = text(&cluster.api(A).issue("cut off").await, "ticket");
    cluster.agree(&[A, B, C]).await;
    cluster.cut(A);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = [A, B, C]
        .map(|which| tokio::spawn(work(cluster.api(which).apart(), NAMES[which], stop.clone(), done.clone())))
        .into();
    cluster.api(C).revoke(&ticket).await;
    let cut_for = Duration::from_secs(if is_full() { 15 } else { 5 });
    // The length of the cut is under test; nothing waits for it to be long enough.
    tokio::time::sleep(cut_for).await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    assert!(cluster.api(A).is_active(&ticket).await, "it is cut off");
    assert!(cluster.refused(A) > 0, "it was cut off");
    cluster.heal();
    let took = cluster.agree(&[A, B, C]).await;
    let commands = done.load(Ordering::Relaxed);
    println!("cut off for {cut_for:?}, {commands} commands on all sides; the same everywhere {took:?} after");
    assert!(!cluster.api(A).is_active(&ticket).await);
}

/// How a region is told of by `reach`.
fn reached(reach: &Value, region: &str) -> bool {
    let regions = list(reach, "regions");
    let one = regions.iter().find(|one| one["region"] == region).unwrap_or_else(|| panic!("no {region} in {reach}"));
    assert_eq!(one["reached"] == true, one["reached_at"].is_string(), "{reach}");
    one["reached"] == true
}

/// A call in SlashID's way, for all regions.
async fn slashid(api: &Api, path: &str, body: Value) -> (StatusCode, String) {
    let request = api.request(Method::POST, &format!("/slashid{path}")).header("slashid-api-key", ROOT);
    let request = request.header("slashid-orgid", "one").header("slashid-required-consistency", "all_regions");
    let answer = request.header("slashid-required-consistency-timeout", "2").json(&body).send().await.unwrap();
    let status = answer.status();
    (status, answer.text().await.unwrap())
}

async fn revoke(api: &Api, ticket: &str, level: &str) -> (StatusCode, Duration) {
    let request = api.request(Method::POST, "/v1/revocations").header("ledger-consistency", level);
    let request = request.header("ledger-consistency-timeout", "2").json(&json!({"credential": ticket}));
    let began = Instant::now();
    (request.send().await.unwrap().status(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_all_regions_times_out_while_one_is_cut_off_and_what_it_did_arrives_without_it() {
    let Some(program) = find() else { return };
    let cluster = Cluster::over_nats(&program).await;
    let api = cluster.api(A);
    let mut tickets = Vec::new();
    for name in ["everywhere", "cut", "here"] {
        tickets.push(text(&api.issue(name).await, "ticket"));
    }
    let minted = slashid(&api, "/persons/person/mint-token", json!({})).await.1;
    let token = text(&serde_json::from_str(&minted).unwrap(), "result");
    cluster.agree(&[A, B, C]).await;
    let (status, took) = revoke(&api, &tickets[0], "all_regions").await;
    println!("a revocation for all regions takes {took:?} where all are there");
    assert_eq!(status, 201);

    cluster.cut(C);
    let (status, took) = revoke(&api, &tickets[1], "all_regions").await;
    assert_eq!(status, 408);
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert!(!api.is_active(&tickets[1]).await, "it is durable here");
    let (status, said) = slashid(&api, "/token/revoke", json!({"token": token})).await;
    assert_eq!(status, 408, "{said}");
    assert!(!api.is_active(&token).await, "it is durable here");
    let (origin, sequence) = cluster.own_head(A).await;
    let path = format!("/v1/revocations/{origin}/{sequence}/reach");
    let reach = api.get(&path).await.expect(200);
    assert!(reached(&reach, "europe") && reached(&reach, "america") && !reached(&reach, "asia"), "{reach}");
    assert_eq!((&reach["local_region"], &reach["all_regions"]), (&json!(true), &json!(false)));
    let wait = api.request(reqwest::Method::POST, "/v1/revocations").header("Ledger-Consistency", "all_regions");
    let wait = wait.header("Ledger-Consistency-Timeout", "1").json(&json!({"subject": "somebody"}));
    let said: serde_json::Value = wait.send().await.unwrap().json().await.unwrap();
    let (_, newest) = cluster.own_head(A).await;
    assert_eq!(
        (&said["origin"], &said["sequence"]),
        (&json!(origin), &json!(newest)),
        "the command that goes on can be asked for: {said}"
    );
    let (status, took) = revoke(&api, &tickets[2], "local_region").await;
    println!("a revocation for the own region takes {took:?} meanwhile");
    assert_eq!(status, 201);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(cluster.refused(C) > 0, "it was cut off");

    cluster.heal();
    let took = until("it has reached all", || async { api.get(&path).await.expect(200)["all_regions"] == true }).await;
    println!("the command that timed out has reached all {took:?} after");
    assert!(reached(&api.get(&path).await.expect(200), "asia"));
    cluster.agree(&[A, B, C]).await;
}

/// Issues and revokes tickets until the server is gone: the ids of those whose revocation was acknowledged.
async fn until_killed(api: Api) -> Vec<String> {
    let mut revoked = Vec::new();
    for number in 0.. {
        let body = json!({"subject": format!("s-{number}")});
        let Ok(issued) = api.send(Method::POST, "/v1/tickets", Some(&body)).await else { break };
        let ticket = text(&issued.expect(201), "ticket");
        let body = json!({"credential": ticket});
        let Ok(answer) = api.send(Method::POST, "/v1/revocations", Some(&body)).await else { break };
        revoked.push(text(&answer.expect(201)["revocations"][0], "id"));
    }
    revoked
}

async fn a_node_that_was_killed_at_work_continues_its_origin_with_all_that_was_acknowledged(program: &Path) {
    let mut cluster = Cluster::over_nats(program).await;
    let origin = cluster.origin(A).await;
    for round in 0..2 {
        let workers: Vec<_> = (0..8).map(|_| tokio::spawn(until_killed(cluster.api(A).apart()))).collect();
        // The moment is under test; nothing waits for it.
        tokio::time::sleep(Duration::from_millis(400 + 300 * round)).await;
        cluster.kill(A);
        let mut revoked = Vec::new();
        for worker in workers {
            revoked.extend(worker.await.unwrap());
        }
        assert!(!revoked.is_empty());
        cluster.converged(&[B, C]).await;
        let data = |which: usize| cluster.sites[which].data.clone();
        let (own, theirs) = (super::cluster::records(&data(A)), super::cluster::records(&data(B)));
        let ahead = theirs.iter().filter(|(place, hash)| own.get(place) != Some(hash));
        assert_eq!(ahead.filter(|((of, _), _)| of.as_str() == origin).count(), 0, "others hold a prefix of it");

        cluster.start(A, &[]).await;
        let took = cluster.agree(&[A, B, C]).await;
        assert_eq!(cluster.origin(A).await, origin, "{}", cluster.log(A));
        for id in &revoked {
            let path = format!("/v1/history?kind=ticket&id={id}");
            let history = cluster.api(B).get(&path).await.expect(200);
            assert_eq!(history.as_str().expect("lines").matches("\"ticket.revoked\"").count(), 1, "{history}");
        }
        println!("{} acknowledged revocations; the same everywhere {took:?} after the restart", revoked.len());
    }
}

with_each_release! {
    a_region_that_was_cut_off_fails_nobody_and_agrees_with_the_others_when_it_is_back
    a_node_that_was_killed_at_work_continues_its_origin_with_all_that_was_acknowledged
}
