//! `authledger restore`

use std::fs;

use authledger::audit::{self, VerifiedLog};
use authledger::domain::Sequence;

use super::{Path, run};
use crate::audit::real::{Real, start};
use crate::process::node::text;

fn verified(data: &Path) -> VerifiedLog {
    let report = audit::verify_evidence(data, &audit::Trust::default(), |_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    report.verified.unwrap()
}

fn backup(real: &Real) -> (String, String) {
    let (copy, keys) = (real.fresh("backup").display().to_string(), real.fresh("backup-keys").display().to_string());
    run(&["backup", &copy, "--data", real.data().to_str().unwrap(), "--keys", &keys]).succeeded();
    (copy, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_ledger_goes_on_next_to_the_original_and_both_hold() {
    let real = Real::copy();
    let node = start(real.data());
    let (kept, revoked) = (node.api.issue("alice").await, node.api.issue("bob").await);
    let (kept, revoked) = (text(&kept, "ticket"), text(&revoked, "ticket"));
    let session = node.api.post("/v1/sessions", serde_json::json!({"subject": "carol"})).await.expect(201);
    let session = text(&session, "session_token");
    node.api.revoke(&revoked).await;
    let page = node.api.get("/v1/revocations").await.expect(200);
    node.stop().await;
    let (copy, keys) = backup(&real);
    let restored = real.fresh("restored");
    let said = run(&["restore", &copy, "--keys", &keys, "--data", restored.to_str().unwrap()]).succeeded();
    assert!(said.contains(&format!("continues {} at sequence {}", real.origin, 705)), "{said}");
    let at_first = verified(&restored);

    // Both go on.
    for data in [real.data(), &restored] {
        let node = start(data);
        assert!(node.api.is_active(&kept).await && node.api.is_active(&session).await);
        assert!(!node.api.is_active(&revoked).await, "a revoked ticket stays revoked");
        let cursor = text(&page, "cursor");
        node.api.get(&format!("/v1/revocations?after={cursor}")).await.expect(200);
        node.api.issue_and_revoke("default", "dave").await;
        assert_eq!(node.stop().await.0, Some(0));
    }
    let original = verified(real.data());
    let copy = verified(&restored);
    let head = |of: &VerifiedLog| of.base.heads[&real.origin];
    assert_eq!(head(&copy), head(&at_first), "the copy adds nothing to the origin that it was copied from");
    assert_eq!((head(&copy).sequence, head(&original).sequence), (Sequence(705), Sequence(707)));
    assert_eq!((original.base.heads.len(), copy.base.heads.len()), (1, 2), "the origins tell the two apart");
    assert_eq!(original.ledger, copy.ledger);
    let own = copy.base.heads.iter().find(|(origin, _)| **origin != real.origin).unwrap();
    assert_eq!(own.1.sequence, Sequence(3), "its opening, and its own two records");

    // Nor does the old key make a fork: an origin that has a successor is not continued.
    fs::copy(real.data().join("keys/origin.key"), restored.join("keys/origin.key")).unwrap();
    let node = start(&restored);
    node.api.issue("erin").await;
    node.stop().await;
    let copy = verified(&restored);
    assert_eq!((copy.base.heads.len(), head(&copy)), (3, head(&at_first)));
}

#[test]
fn a_bundle_from_the_beginning_is_restored_and_its_checkpoint_kept() {
    let real = Real::copy();
    let (bundle, part) = (real.bundle("all.bundle", &["--to", "701"]), real.bundle("part.bundle", &["--from", "2"]));
    let restored = real.fresh("restored");
    let target = restored.to_str().unwrap();
    let refused = run(&["restore", part.to_str().unwrap(), "--data", target]).refused();
    // A range without the opening can't even be verified without a key.
    assert!(refused.contains("no key is known") && !restored.exists(), "{refused}");
    run(&["restore", bundle.to_str().unwrap(), "--data", target]).succeeded();
    let kept = restored.join("checkpoints").join(real.origin.as_str());
    assert_eq!(fs::read(kept).unwrap(), fs::read(real.checkpoint()).unwrap());
    assert_eq!(verified(&restored).events, 702);
    let again = run(&["restore", bundle.to_str().unwrap(), "--data", target]).refused();
    assert!(again.contains("it holds files already"), "{again}");
    assert_eq!(verified(&restored).events, 702);
}

#[test]
fn a_bundle_that_does_not_hold_is_not_restored_and_nothing_is_left() {
    let real = Real::copy();
    let (copy, keys) = backup(&real);
    let restored = real.fresh("restored");
    let restore = || run(&["restore", &copy, "--keys", &keys, "--data", restored.to_str().unwrap()]).refused();
    let ledger = format!("{copy}/ledger.db");
    let whole = fs::read(&ledger).unwrap();
    // A log whose chain is right, and which is not the one that was signed.
    real.rewrite(400);
    fs::copy(real.log.path(), &ledger).unwrap();
    let refused = restore();
    assert!(refused.contains("rewritten") || refused.contains("manifest"), "{refused}");
    assert!(!restored.exists());
    fs::write(&ledger, &whole[..whole.len() - 16_384]).unwrap();
    assert!(!restore().is_empty() && !restored.exists());
    fs::write(&ledger, &whole).unwrap();
    fs::remove_file(format!("{copy}/manifest.json")).unwrap();
    // Without a manifest it is a data directory, which is a source too.
    run(&["restore", &copy, "--data", restored.to_str().unwrap()]).succeeded();
}
