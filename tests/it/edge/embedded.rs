//! The follower as another program embeds it: `examples/embedded.rs` in this process.

use std::time::{Duration, Instant};

use authledger::domain::{Digest, Secret};
use authledger::follower::{FeedForm, FollowerSettings};
use serde_json::{Value, json};

use super::place::Place;
use crate::process::node::{PATIENCE, ROOT, text};

#[allow(dead_code, reason = "its main function is for those who run it")]
#[path = "../../../examples/embedded.rs"]
mod example;

fn described(issued: &Value) -> String {
    let digest = Digest::of(text(issued, "ticket").as_bytes());
    json!({"kind": "ticket", "tenant": "default", "subject": issued["subject"], "digest": digest.to_string()})
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_follower_refuses_what_is_revoked_and_everything_when_it_is_stale() {
    for form in [FeedForm::Compact, FeedForm::Json] {
        let place = Place::new();
        let node = place.node();
        let state = place.path("embedded");
        let settings = || FollowerSettings {
            heartbeat: Duration::from_secs(1),
            form,
            state: Some(state.clone()),
            ..FollowerSettings::new(node.api.url(), Secret::new(ROOT))
        };
        let comes_to = async |follower: &authledger::follower::Follower, credential: &str, due: Value| {
            let (until, wanted) = (Instant::now() + PATIENCE, json!({"refused": due}).to_string());
            while example::answer(follower, credential).unwrap() != wanted {
                assert!(Instant::now() < until, "{} and not {wanted}", example::answer(follower, credential).unwrap());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let (one, other) = (node.api.issue("one").await, node.api.issue("other").await);
        let (follower, stop) = example::follow(settings()).unwrap();
        assert_eq!(example::answer(&follower, &described(&one)).unwrap(), "{\"refused\":\"stale\"}");
        comes_to(&follower, &described(&one), Value::Null).await;
        assert!(example::condition(&follower).starts_with("fresh: "), "{}", example::condition(&follower));
        node.api.revoke(&text(&one, "ticket")).await;
        comes_to(&follower, &described(&one), json!("revoked")).await;
        drop(stop);
        comes_to(&follower, &described(&other), json!("stale")).await;
        let until = Instant::now() + PATIENCE;
        while !state.join("follower.state").exists() {
            assert!(Instant::now() < until, "the state is not written");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (again, _stop) = example::follow(settings()).unwrap();
        assert_eq!(example::answer(&again, &described(&one)).unwrap(), "{\"refused\":\"revoked\"}", "from its state");
        comes_to(&again, &described(&other), Value::Null).await;
    }
}
