//! A log with one record of a clock that was ahead, and a million after it: folding it forgets nothing too early.

use authledger::audit::against;
use authledger::domain::{
    Command, Event, Inactive, PresentedToken, RecordId, Recorded, RevokeTokens, Sequence, Timestamp, TokenForm,
    judge_presented,
};
use authledger::event_log::Reader;
use authledger::projection::{RebuildTimes, StateSource, rebuild, save};

use crate::support::log::LogFile;
use crate::support::node::{
    ModelNode, application_id, at, jti, jwt, new_token, presented_token, publish, seconds, subject,
};

/// More than the records between two prunings.
const RECORDS: u64 = 1_000_100;
const HOUR: u64 = 3_600_000;

#[test]
fn a_record_that_was_made_too_far_ahead_makes_a_fold_forget_nothing() {
    let mut node = ModelNode::lone();
    node.ask(publish("key-1")).unwrap();
    let mut token = new_token("default", TokenForm::Jwt(jti(1)), "alice", None);
    token.ttl = Some(seconds(3_600));
    node.ask(Command::IssueToken(token.into())).unwrap();
    let presented = PresentedToken {
        issued_at_seconds: Some(at(0).as_seconds()),
        expires_at: Some(at(HOUR)),
        generation: Some(Default::default()),
        leeway_seconds: 0,
        ..presented_token(jwt(1), subject("alice"))
    };
    let tokens = vec![presented.clone()];
    node.ask(Command::RevokeTokens(RevokeTokens { tokens, reason: None, note: None })).unwrap();
    let first = node.last_place().sequence.0 + 1;
    // Later records were stamped no earlier.
    let ahead = |number: u64| Recorded {
        place: RecordId { origin: node.origin, sequence: Sequence(number) },
        recorded_at: at(2 * HOUR),
        tenant: None,
        actor: None,
        request: None,
        idempotency: None,
        event: Event::ApplicationRemoved(application_id(1)),
    };
    let records: Vec<Recorded> = node.log.iter().cloned().chain((first..first + RECORDS).map(ahead)).collect();
    let log = LogFile::of(&records);
    drop(records);
    let reader = Reader::open(&log.path()).unwrap();
    let snapshots = log.directory.path().join("snapshot");
    let now = at(600_000);
    let times = RebuildTimes { forget_at: now, judged_at: Timestamp::MAX };
    let rebuilt = rebuild(&reader, &snapshots, times, |_, _| {}).unwrap();
    assert_eq!(rebuilt.source, StateSource::Log);
    let judged = |now| judge_presented(&rebuilt.projection, &presented, now);
    assert!(matches!(judged(now), Err(Inactive::Revoked(..))), "{:?}", judged(now));
    assert!(rebuilt.projection.forgotten_at() <= now);
    // The other reader of the log agrees.
    save(&rebuilt.projection, &snapshots).unwrap();
    let compared = against(&log.path(), log.directory.path(), now, 10, |_, _| {}).unwrap();
    assert_eq!(compared.differences.total, 0);
    assert!(matches!(judge_presented(&compared.replayed.state, &presented, now), Err(Inactive::Revoked(..))));
    // A snapshot that has forgotten more than an accepted time allows is not used.
    rebuilt.projection.prune(at(2 * HOUR));
    assert_eq!(judge_presented(&rebuilt.projection, &presented, now), Ok(()), "it was forgotten");
    save(&rebuilt.projection, &snapshots).unwrap();
    let times = RebuildTimes { forget_at: now, judged_at: now };
    let again = rebuild(&reader, &snapshots, times, |_, _| {}).unwrap();
    assert_eq!(again.source, StateSource::Log);
    assert!(matches!(judge_presented(&again.projection, &presented, now), Err(Inactive::Revoked(..))));
    let times = RebuildTimes { forget_at: now, judged_at: at(2 * HOUR) };
    let loaded = rebuild(&reader, &snapshots, times, |_, _| {}).unwrap();
    assert!(matches!(loaded.source, StateSource::Snapshot(_)));
    assert_eq!(loaded.projection.forgotten_at(), at(2 * HOUR), "a snapshot says what it has forgotten");
}
