//! Three nodes, of which one has a wall clock that jumps.

use std::time::{Duration, Instant};

use authledger::clock::{ClockMark, wall_clock};
use authledger::domain::Timestamp;
use serde_json::{Value, json};

use super::cluster::{A, B, C, Cluster, until};
use crate::process::node::{Api, PATIENCE, text};
use crate::support::faketime::WallClock;

const HOUR: i64 = 3_600;

/// Three nodes, and the wall clock of the third; nothing where it can't be moved.
async fn three() -> Option<Cluster> {
    let mut cluster = Cluster::of(3).await;
    let wall = WallClock::new(cluster.sites[C].data.parent().expect("a directory"))?;
    cluster.sites[C].wall = Some(wall);
    cluster.start(A, &[]).await;
    for which in [B, C] {
        cluster.join(which);
        cluster.start(which, &[]).await;
    }
    Some(cluster)
}

fn set_by(cluster: &Cluster, seconds: i64) {
    cluster.sites[C].wall.as_ref().expect("it has one").set_by(seconds);
}

async fn clock(api: &Api) -> Value {
    api.get("/v1/clock").await.expect(200)
}

async fn until_settled(cluster: &Cluster, settled: bool) {
    let api = cluster.api(C);
    until("the clock is settled, or not", || async { clock(&api).await["settled"] == json!(settled) }).await;
}

async fn token(api: &Api, subject: &str) -> String {
    text(&api.post("/v1/tokens", json!({"subject": subject, "format": "jwt"})).await.expect(201), "token")
}

async fn until_inactive(cluster: &Cluster, credential: &str) {
    for which in [A, B, C] {
        let api = cluster.api(which);
        until("it is inactive everywhere", || async { !api.is_active(credential).await }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_jumps_goes_on_with_the_others_and_revives_nothing() {
    let Some(cluster) = three().await else { return };
    let revoked = token(&cluster.api(A), "alice").await;
    let lasting = token(&cluster.api(B), "bob").await;
    cluster.converged(&[A, B, C]).await;
    cluster.api(B).revoke(&revoked).await;
    until_inactive(&cluster, &revoked).await;
    for jump in [70 * 60, 40 * 24 * HOUR, -2 * HOUR] {
        set_by(&cluster, jump);
        until_settled(&cluster, false).await;
        // Each still hears the others.
        let meanwhile = token(&cluster.api(C), "carol").await;
        cluster.converged(&[A, B, C]).await;
        cluster.api(A).post("/v1/revocations", json!({"subject": "carol"})).await.expect(201);
        until_inactive(&cluster, &meanwhile).await;
        cluster.api(C).revoke(&text(&cluster.api(C).issue("dave").await, "ticket")).await;
        cluster.converged(&[A, B, C]).await;
        assert!(cluster.api(C).is_active(&lasting).await, "nothing expires by a jump");
        set_by(&cluster, 0);
        until_settled(&cluster, true).await;
        until_inactive(&cluster, &meanwhile).await;
        until_inactive(&cluster, &revoked).await;
    }
    cluster.agree(&[A, B, C]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_confirm_a_wall_clock_and_an_operator_accepts_what_would_revoke() {
    let Some(mut cluster) = three().await else { return };
    let revoked = token(&cluster.api(A), "alice").await;
    cluster.converged(&[A, B, C]).await;
    cluster.api(B).revoke(&revoked).await;
    until_inactive(&cluster, &revoked).await;
    let origin = cluster.origin(C).await;
    cluster.stop(C).await;
    // It is started with its clock ahead, and stopped before it has written anything but how far its time has got.
    set_by(&cluster, 2 * HOUR);
    let data = cluster.sites[C].data.clone();
    let launch = cluster.launch(C, &[]);
    let is_marked = move || {
        let hour_ahead = wall_clock().plus_millis(3_600_000);
        let began = Instant::now();
        let marked = || ClockMark::load(&data).ok().flatten().map(|mark| mark.ledger_time);
        while marked().unwrap_or(Timestamp::default()) < hour_ahead {
            assert!(began.elapsed() < PATIENCE, "not in time: a mark an hour ahead");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    tokio::task::block_in_place(|| launch.terminate_when(is_marked));
    set_by(&cluster, 0);
    cluster.start(C, &[]).await;
    until_settled(&cluster, true).await;
    let said = || async { cluster.log(C).contains("because two members say that it is right") };
    until("it says why", said).await;
    assert_eq!(cluster.origin(C).await, origin, "nothing was recorded too late, so it goes on as it was");
    until_inactive(&cluster, &revoked).await;
    // Now it writes while its clock is ahead: it can't ask the others, so it opens a new origin, and issues.
    cluster.kill(C);
    set_by(&cluster, 2 * HOUR);
    cluster.start(C, &[]).await;
    let late = text(&cluster.api(C).issue("carol").await, "ticket");
    set_by(&cluster, 0);
    until_settled(&cluster, false).await;
    let api = cluster.api(C);
    until("the members say which is right", || async {
        let ready = api.get("/health/ready").await.expect(200);
        ready["warning"].as_str().is_some_and(|warning| warning.contains("two members say it is right"))
    })
    .await;
    assert_eq!(
        clock(&api).await["settled"],
        json!(false),
        "only an operator accepts a time that would revoke something"
    );
    cluster.converged(&[A, B, C]).await;
    assert!(cluster.api(A).is_active(&late).await);
    let accepted = api.post("/v1/clock/accept", Value::Null).await.expect(200);
    assert_eq!(accepted["starts_again"], json!(true), "{accepted}");
    until("it starts again", || async {
        let clock = api.send(reqwest::Method::GET, "/v1/clock", None).await;
        clock.is_ok_and(|clock| clock.body["settled"] == json!(true))
    })
    .await;
    until_inactive(&cluster, &late).await;
    until_inactive(&cluster, &revoked).await;
    let fresh = token(&cluster.api(C), "erin").await;
    cluster.converged(&[A, B, C]).await;
    assert!(cluster.api(A).is_active(&fresh).await && cluster.api(C).is_active(&fresh).await);
    cluster.agree(&[A, B, C]).await;
}
