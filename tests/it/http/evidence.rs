//! Checkpoints, tiles, entries and proofs.

use authledger::domain::Position;
use authledger::tlog::{InclusionProof, VerifierKey};
use serde_json::json;

use crate::support::served::ServedNode;

const AUDITOR: &[(&str, &[&str])] = &[("*", &["audit"])];

/// A ledger with so many tickets, all of them under the checkpoint.
async fn signed(tickets: u64) -> ServedNode {
    let node = ServedNode::start().await;
    for number in 0..tickets {
        node.root().post("/v1/tickets", json!({"subject": format!("s{number}")})).await;
    }
    let proof = node.root().get(&format!("/v1/events/{}/proof", node.head())).await;
    assert_eq!(proof.status, 200, "{:?}", proof.body);
    node
}

#[tokio::test]
async fn a_checkpoint_and_tiles_are_anybodys_and_entries_an_auditors() {
    let node = signed(260).await;
    let nobody = node.nobody();
    let auditor = node.application(AUDITOR).await;
    // The auditor's registration is a record of its own.
    let last = node.root().get(&format!("/v1/events/{}/proof", node.head())).await;
    assert_eq!(last.status, 200);
    let origin = node.service().origin();
    for prefix in [String::new(), format!("/origins/{origin}")] {
        let checkpoint = nobody.get(&format!("{prefix}/checkpoint")).await;
        assert_eq!((checkpoint.status.as_u16(), checkpoint.header("content-type")), (200, "text/plain; charset=utf-8"));
        assert_eq!(checkpoint.header("cache-control"), "public, max-age=1");
        let full = nobody.get(&format!("{prefix}/tile/0/000")).await;
        assert_eq!((full.status.as_u16(), full.body.len()), (200, 8_192));
        assert_eq!(full.header("content-type"), "application/octet-stream");
        assert_eq!(full.header("cache-control"), "public, max-age=31536000, immutable");
        let narrow = nobody.get(&format!("{prefix}/tile/0/000.p/3")).await;
        assert_eq!(narrow.body, full.body.slice(..96), "a tile that was partial once");
        assert_eq!(nobody.get(&format!("{prefix}/tile/1/000.p/1")).await.body.len(), 32);

        let path = format!("{prefix}/tile/entries/001.p/6");
        assert_eq!(nobody.get(&path).await.outcome(), (401, "unauthenticated".to_owned()));
        let weak = node.application(&[("*", &["follow", "introspect"])]).await;
        assert_eq!(weak.get(&path).await.outcome(), (403, "forbidden".to_owned()));
        let entries = auditor.get(&path).await;
        assert_eq!(entries.header("cache-control"), "private, max-age=31536000, immutable");
        assert_eq!((entries.status.as_u16(), entries.header("vary")), (200, "accept-encoding"));
        let records = node.service().reader().run_from(place(&node, 257), 6).unwrap();
        let due: Vec<u8> = records
            .iter()
            .flat_map(|stored| {
                let length = (stored.record.len() as u16).to_be_bytes();
                length.into_iter().chain(stored.record.bytes()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(entries.body, due);
        let smaller = auditor.with("accept-encoding", "gzip, zstd").get(&path).await;
        assert_eq!((smaller.header("content-encoding"), smaller.body.len() < due.len()), ("zstd", true));
        assert_eq!(zstd::decode_all(&*smaller.body).unwrap(), due);
    }
}

fn place(node: &ServedNode, sequence: u64) -> authledger::domain::RecordId {
    authledger::domain::RecordId { origin: node.service().origin(), sequence: authledger::domain::Sequence(sequence) }
}

#[tokio::test]
async fn a_record_that_the_checkpoint_does_not_cover_is_not_there() {
    let node = signed(3).await;
    let nobody = node.nobody();
    let root = node.root();
    for path in ["/tile/0/000", "/tile/0/000.p/200", "/tile/0/001.p/1", "/tile/1/000.p/1", "/tile/63/000.p/1"] {
        assert_eq!(nobody.get(path).await.outcome(), (404, "unknown-tile".to_owned()), "{path}");
    }
    assert_eq!(root.get("/tile/entries/000").await.outcome(), (404, "unknown-tile".to_owned()));
    for path in [
        "/tile/0/0",
        "/tile/x",
        "/tile/0/000.p/0",
        "/tile/64/000",
        "/tile/0/000/",
        "/origins/x/checkpoint",
        "/origins/x/tile/0/000",
    ] {
        assert_eq!(nobody.get(path).await.outcome(), (400, "invalid-path".to_owned()), "{path}");
    }
    assert_eq!(root.get("/tile/entries/0").await.outcome(), (400, "invalid-path".to_owned()));
    let other = "a".repeat(13);
    assert_eq!(nobody.get(&format!("/origins/{other}/checkpoint")).await.outcome(), (404, "no-checkpoint".to_owned()));
    assert_eq!(
        nobody.get(&format!("/origins/{other}/tile/0/000.p/1")).await.outcome(),
        (404, "unknown-tile".to_owned())
    );
    // Authority is asked for before anything is looked at.
    for path in [format!("/origins/{other}/tile/entries/000"), "/origins/x/tile/entries/0".to_owned()] {
        assert_eq!(nobody.get(&path).await.outcome(), (401, "unauthenticated".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn every_record_has_a_proof_that_the_key_alone_checks() {
    let node = signed(12).await;
    let status = node.root().get("/v1/status").await.json();
    let key: VerifierKey = status["origins"][0]["checkpoint"]["verifier_key"].as_str().unwrap().parse().unwrap();
    for position in 1..=node.head().0 {
        let answer = node.root().get(&format!("/v1/events/{position}/proof")).await;
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        let proof = InclusionProof::parse(std::str::from_utf8(&answer.body).unwrap()).unwrap();
        let checkpoint = proof.verify(&key).unwrap();
        assert!((proof.index, checkpoint.size) == (position - 1, 13));
        let stored = node.service().reader().find(Position(position)).unwrap().unwrap();
        assert_eq!(&*proof.record, stored.record.as_bytes());
    }
    let path = "/v1/events/14/proof";
    assert_eq!(node.root().get(path).await.outcome(), (404, "unknown-position".to_owned()));
    assert_eq!(node.nobody().get(path).await.outcome(), (401, "unauthenticated".to_owned()));
    let weak = node.application(&[("default", &["audit"])]).await;
    assert_eq!(weak.get(path).await.outcome(), (403, "forbidden".to_owned()));
    assert_eq!(node.root().get("/v1/events/x/proof").await.outcome(), (400, "invalid-path".to_owned()));
}
