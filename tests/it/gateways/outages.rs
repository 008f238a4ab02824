//! A check that is killed, hangs and comes back, while clients go on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::authority::{GOOD, REFUSED, Says};
use super::client::ask;
use super::program::Gateway;
use super::{Stage, with_each_gateway};

with_each_gateway!(while_the_check_is_out_nothing_passes_and_nobody_is_told_to_log_in_again);

/// How long it may take until a gateway asks again.
const PATIENCE: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 8;

/// So many requests at the same time; the statuses.
async fn together(stage: &Stage, credential: &str) -> Vec<u16> {
    let asking = (0..AT_ONCE).map(|_| async { ask(stage.gateway.address(), "GET /", &[credential]).await.status });
    join_all(asking).await
}

/// Asks until a good request passes.
async fn until_it_passes(stage: &Stage) {
    let until = Instant::now() + PATIENCE;
    while ask(stage.gateway.address(), "GET /", &[GOOD]).await.status != 200 {
        assert!(Instant::now() < until, "the gateway does not ask again: {}", stage.gateway.log());
    }
    stage.backend.reached();
}

async fn while_the_check_is_out_nothing_passes_and_nobody_is_told_to_log_in_again(gateway: Gateway) {
    let Some(mut stage) = Stage::set(gateway).await else { return };
    let is_out = |statuses: &[u16]| statuses.iter().all(|status| *status >= 500);
    assert_eq!(together(&stage, GOOD).await, [200; AT_ONCE]);
    stage.backend.reached();
    for _ in 0..2 {
        stage.authority.go().await;
        for credential in [GOOD, REFUSED] {
            let statuses = together(&stage, credential).await;
            assert!(is_out(&statuses), "{statuses:?}");
        }
        assert!(stage.backend.reached().is_empty());
        stage.authority.come_back();
        until_it_passes(&stage).await;
        assert_eq!(together(&stage, REFUSED).await, [401; AT_ONCE]);
    }
    stage.authority.say(Says::Silence);
    let statuses = together(&stage, GOOD).await;
    assert!(is_out(&statuses), "{statuses:?}");
    assert!(stage.backend.reached().is_empty());
    stage.authority.say(Says::Judgement);
    until_it_passes(&stage).await;
    assert_eq!(together(&stage, REFUSED).await, [401; AT_ONCE]);
    assert!(stage.backend.reached().is_empty());
}
