//! An attacker that can write to the NATS servers can delay messages, and forge nothing.

use std::path::Path;
use std::time::Duration;

use authledger::audit;
use authledger::cluster::{Parcel, SignedHead};
use authledger::domain::{Position, Sequence};
use authledger::event_log::{Head, Reader};
use futures_util::StreamExt as _;

use super::cluster::{A, B, C, Cluster, until};
use crate::process::node::{NodeProcess, text};
use crate::support::nats::find;

/// One message on a subject, while something is done.
async fn next(subscriber: &mut async_nats::Subscriber) -> String {
    let message = tokio::time::timeout(Duration::from_secs(10), subscriber.next()).await.unwrap().unwrap();
    String::from_utf8(message.payload.to_vec()).unwrap()
}

fn reason(name: &str) -> String {
    format!("authledger_parcels_refused{{reason=\"{name}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_altered_replayed_or_of_strangers_are_refused_and_change_nothing() {
    let Some(program) = find() else { return };
    let mut cluster = Cluster::over_nats(&program).await;
    let address = cluster.servers_address(A);
    let client = async_nats::connect(&address).await.unwrap();
    let ledger = text(&cluster.api(A).get("/v1/status").await.expect(200), "ledger").replace('-', "");
    let (origin, _) = cluster.own_head(A).await;
    let live = format!("authledger.{ledger}.live.{origin}");
    let mut listening = client.subscribe(live.clone()).await.unwrap();
    client.flush().await.unwrap();
    let ticket = text(&cluster.api(A).issue("alice").await, "ticket");
    let first = next(&mut listening).await;
    cluster.agree(&[A, B, C]).await;
    cluster.api(A).revoke(&ticket).await;
    let second = next(&mut listening).await;
    cluster.agree(&[A, B, C]).await;
    let before = cluster.heads(B).await;

    // Each is one that B would have to take if it believed it: it goes on where B stands, or claims to.
    let (_, sequence) = cluster.own_head(A).await;
    let further = second.replace(&format!("\"sequence\":{sequence}"), &format!("\"sequence\":{}", sequence + 1));
    let reordered = {
        let mut lines: Vec<&str> = further.lines().collect();
        lines.reverse();
        lines.join("\n") + "\n"
    };
    let (other_ledger, stranger) = strangers(&cluster);
    let cases = [
        ("bad-signature", further.clone()),
        ("malformed", reordered),
        ("malformed", "nonsense".to_owned()),
        ("other-ledger", other_ledger),
        ("not-a-member", stranger),
    ];
    for (name, message) in cases {
        let (metric, known) = (reason(name), cluster.metric(B, &reason(name)).await);
        client.publish(live.clone(), message.into()).await.unwrap();
        client.flush().await.unwrap();
        until(name, || async { cluster.metric(B, &metric).await > known }).await;
    }
    let log = cluster.log(B);
    for name in ["bad-signature", "malformed", "other-ledger", "not-a-member"] {
        assert!(log.contains(name), "{name} is named in the log lines: {log}");
    }
    // Records that are held come again, in the wrong order too, and are nothing new.
    for message in [&second, &first, &first, &second] {
        client.publish(live.clone(), message.clone().into()).await.unwrap();
    }
    client.publish(format!("authledger.{ledger}.records.{origin}.1"), further.into()).await.unwrap();
    client.publish(format!("authledger.{ledger}.announce.{}", "0".repeat(64)), "{}".into()).await.unwrap();
    client.flush().await.unwrap();
    // After all these comes a genuine record.
    assert_eq!(cluster.heads(B).await, before);
    let genuine = text(&cluster.api(A).issue("bob").await, "ticket");
    until("genuine records pass", || async { cluster.api(B).is_active(&genuine).await }).await;
    cluster.agree(&[A, B, C]).await;
    // Where a stream was written to by a stranger, its records come by another.
    cluster.stop(C).await;
    let away = text(&cluster.api(A).issue("carol").await, "ticket");
    cluster.start(C, &[]).await;
    until("the records that it missed come", || async { cluster.api(C).is_active(&away).await }).await;
    cluster.agree(&[A, B, C]).await;
    for which in [A, B, C] {
        audit::verify(&cluster.sites[which].data.join("ledger.db"), |_, _| {}).unwrap();
        assert_eq!(cluster.metric(which, "authledger_nodes{kind=\"forked_origin\"}").await, 0);
    }
}

/// How another ledger begins; and the same as if it were this one, by a key that nobody has heard of.
fn strangers(cluster: &Cluster) -> (String, String) {
    let data = cluster.directory.path().join("stranger");
    let other = tokio::task::block_in_place(|| NodeProcess::start(&data));
    drop(other);
    let open = |data: &Path| Reader::open(&data.join("ledger.db")).unwrap();
    let (theirs, ours) = (open(&data), open(&cluster.sites[A].data));
    let (their_ledger, ledger) = (theirs.ledger().unwrap().unwrap(), ours.ledger().unwrap().unwrap());
    let first = theirs.find(Position(1)).unwrap().unwrap();
    let alike: Box<str> = first.record.replace(&their_ledger.to_string(), &ledger.to_string()).into();
    assert_ne!(alike, first.record);
    let parcel = |record: Box<str>| {
        let head = Head { sequence: Sequence(1), hash: first.hash };
        let head = SignedHead::sign(ledger, first.place.origin, head, |_| [0; 64]);
        String::from_utf8(Parcel { base: None, records: vec![record], head }.to_text()).unwrap()
    };
    (parcel(first.record.clone()), parcel(alike))
}
