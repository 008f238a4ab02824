//! A subject that was erased: none of its sealed data opens any more, whichever key sealed it, and whenever.

use authledger::domain::{
    Event, Kind, Kinds, LedgerOpened, Position, RecordId, Recorded, Rejection, Sequence, SubjectErased, Timestamp,
    View as _,
};
use authledger::event_log::{Chain, ChainHash, encode};
use authledger::keys::SealingKeys;
use authledger::service::{
    Error, NewSession, NewSubjectRevocation, NewToken, Personal, Refusal, SubjectForgotten, Target, Why,
};
use serde_json::json;

use super::*;

const DAY_MILLIS: u64 = 86_400_000;

fn session(name: &str) -> NewSession {
    let identity = json!({"traits": {"email": format!("{name}@example.org")}});
    NewSession {
        tenant: Tenant::default(),
        subject: Subject::new(name).unwrap(),
        ttl: None,
        aal: Default::default(),
        methods: Vec::new(),
        personal: Personal { identity: identity.as_object().cloned(), device: None },
        parent: None,
    }
}

fn token(name: &str, opaque: bool) -> NewToken {
    NewToken {
        tenant: Tenant::default(),
        subject: Subject::new(name).unwrap(),
        ttl: None,
        parent: None,
        audience: Vec::new(),
        scope: None,
        confirmation: None,
        claims: json!({"role": name}).as_object().cloned().unwrap(),
        status_list: None,
        opaque,
    }
}

fn why() -> Why {
    Why { reason: None, note: Some("in her own words".into()) }
}

/// Something of every sort, each sealed: notes on revocations of single credentials, and one on the revocation of all.
async fn live_through(service: &Service, name: &str) {
    let call = call(service);
    let revoked = service.issue_session(&call, session(name)).await.unwrap();
    service.issue_session(&call, session(name)).await.unwrap();
    for opaque in [true, false] {
        service.issue_token(&call, token(name, opaque)).await.unwrap();
    }
    let jwt = service.issue_token(&call, token(name, false)).await.unwrap();
    let ticket = service.issue_ticket(&call, super::ticket(name, 900)).await.unwrap();
    for (kind, secret) in [(Kind::Token, jwt.secret), (Kind::Ticket, ticket.secret), (Kind::Session, revoked.secret)] {
        service.revoke(&call, Target::Credential(kind, secret), why()).await.unwrap();
    }
    let tickets = Kinds::from_iter([Kind::Ticket]);
    let tenant = Tenant::default();
    let subject = Subject::new(name).unwrap();
    let revocation = NewSubjectRevocation {
        tenant,
        subject,
        kinds: tickets,
        issued_before: None,
        keep: None,
        hold: None,
        why: why(),
    };
    service.revoke_subject(&call, revocation).await.unwrap();
}

async fn erase(service: &Arc<Service>, name: &str) -> SubjectForgotten {
    service.erase_subject(&call(service), Tenant::default(), Subject::new(name).unwrap(), None).await.unwrap()
}

/// How many records seal something of that subject, and how many of those open.
async fn sealed(service: &Service, name: &str) -> (usize, usize) {
    let identity = call(service).identity;
    let (mut sealed, mut open) = (0, 0);
    let mut base = service.reader().base_at(Position(0)).unwrap();
    for stored in service.reader().next_page(&mut base, 10_000).unwrap() {
        let recorded = stored.decode().unwrap();
        if recorded.event.sealed().is_some_and(|(subject, _)| subject.is_some_and(|subject| subject.as_str() == name)) {
            sealed += 1;
            open += usize::from(service.opened_event(&identity, stored.position).await.unwrap().unwrap().is_some());
        }
    }
    (sealed, open)
}

#[tokio::test]
async fn every_key_that_ever_sealed_something_of_a_subject_is_destroyed() {
    let data = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000).unwrap());
    let running = start(data.path(), &clock, 64).await;
    let service = running.service.clone();
    for _ in 0..3 {
        live_through(&service, "ada").await;
        live_through(&service, "bob").await;
        // All of it leaves memory, and later data have another key.
        clock.advance(400 * DAY_MILLIS);
        service.projection().prune(clock.now());
    }
    let ada = service.issue_session(&call(&service), session("ada")).await.unwrap();
    let shown = || async { service.session(&call(&service).identity, ada.session.id).await.unwrap().unwrap() };
    assert!(shown().await.personal.identity.is_some(), "it is in the cache of opened data");
    assert_eq!((sealed(&service, "ada").await, sealed(&service, "bob").await), ((28, 28), (27, 27)));
    let old_keys = std::fs::read(data.path().join("keys/sealing.keys")).unwrap();

    let first = erase(&service, "ada").await;
    assert_eq!((first.keys_destroyed, first.already), (4, false), "one key for each time, and the last");
    assert_eq!((sealed(&service, "ada").await, sealed(&service, "bob").await), ((28, 0), (27, 27)));
    let after = shown().await;
    assert!(after.personal.identity.is_none() && !after.active, "nothing of it is left in memory either");
    let refused = service.issue_session(&call(&service), session("ada")).await.err();
    assert!(matches!(refused, Some(Error::Refused(Refusal::Rejected(Rejection::SubjectErased)))), "{refused:?}");
    let again = erase(&service, "ada").await;
    assert_eq!(
        (again.position, again.erased_at, again.keys_destroyed, again.already),
        (first.position, first.erased_at, 4, true)
    );
    let nobody = erase(&service, "carol").await;
    assert_eq!((nobody.keys_destroyed, nobody.already), (0, false));
    drop(service);
    running.stop().unwrap();

    // The chain stands; and the old keys do not come back, from the snapshot or from the log alone.
    let verified = authledger::audit::verify(&data.path().join("ledger.db"), |_, _| {}).unwrap();
    assert_eq!(verified.events, nobody.position.0);
    for snapshot in [true, false] {
        std::fs::write(data.path().join("keys/sealing.keys"), &old_keys).unwrap();
        if !snapshot {
            std::fs::remove_dir_all(data.path().join("snapshot")).unwrap();
        }
        let running = start(data.path(), &clock, 64).await;
        assert_eq!((sealed(&running.service, "ada").await, sealed(&running.service, "bob").await), ((28, 0), (27, 27)));
        running.stop().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_slips_past_an_erasure_that_is_being_made() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &Clock::system(), 4_096).await;
    let service = running.service.clone();
    for round in 0..10 {
        let name = format!("person-{round}");
        let issues: Vec<_> = (0..40)
            .map(|_| {
                let (service, name) = (service.clone(), name.clone());
                tokio::spawn(async move { service.issue_session(&call(&service), session(&name)).await.map(drop) })
            })
            .collect();
        // Some callers hang up in the middle; their commands go on.
        issues.iter().step_by(7).for_each(|issue| issue.abort());
        let erased = erase(&service, &name).await;
        let mut refused = 0;
        for issue in issues {
            let Ok(issued) = issue.await else { continue };
            refused += usize::from(issued.is_err());
        }
        let (sealed, open) = sealed(&service, &name).await;
        assert_eq!(open, 0, "{sealed} sealed, {refused} refused, {} keys", erased.keys_destroyed);
    }
    drop(service);
    running.stop().unwrap();
    let keys = SealingKeys::open(&data.path().join("keys")).unwrap();
    assert!(!keys.is_erased(0), "the node's own key stays");
}

#[tokio::test]
async fn a_subject_that_another_node_has_erased_is_erased_here_too() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &Clock::system(), 64).await;
    let service = running.service.clone();
    live_through(&service, "ada").await;
    live_through(&service, "bob").await;
    let opened = service.projection().origins().into_values().next().unwrap();
    let other = "b3ytw6hcpe2sf".parse().unwrap();
    let erased = SubjectErased {
        subject: Subject::new("ada").unwrap(),
        not_before: 1_800_000_000,
        slots: [1, 2].into_iter().collect(),
        reason: None,
    };
    let mut hash = ChainHash::default();
    for (sequence, event) in
        [(1, Event::LedgerOpened(LedgerOpened { public_key: [7; 32], ..opened })), (2, Event::SubjectErased(erased))]
    {
        let recorded = Recorded {
            place: RecordId { origin: other, sequence: Sequence(sequence) },
            recorded_at: Clock::system().now(),
            tenant: (sequence == 2).then(Tenant::default),
            actor: None,
            request: None,
            idempotency: None,
            event,
        };
        let record = encode(&recorded);
        hash = Chain::default().link(&hash, record.as_bytes());
        service.ingest(record.into(), hash).await.unwrap().unwrap();
    }
    assert_eq!(
        (sealed(&service, "ada").await.1, sealed(&service, "bob").await),
        (0, (9, 9)),
        "the other's slots are not ours"
    );
    let again = erase(&service, "ada").await;
    assert_eq!((again.already, again.keys_destroyed), (true, 1));
    let own = service.projection().erased()[0].2.slots_of(&[service.origin()]);
    assert_eq!(own.len(), 1, "and this node's is on record by itself");
    drop(service);
    running.stop().unwrap();
}

#[tokio::test]
async fn erasures_that_were_hung_up_on_before_their_turn_are_not_made_and_hold_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000).unwrap());
    let running = start(data.path(), &clock, 100).await;
    let service = &running.service;
    let name = |number: usize| Subject::new(&format!("subject-{number}")).unwrap();
    let tenant = Tenant::new("acme").unwrap();
    let root = call(service);
    let begun = service.erase_subject(&root, tenant.clone(), name(0), None);
    let mut begun = Box::pin(begun);
    assert!(futures_util::FutureExt::now_or_never(begun.as_mut()).is_none());
    for number in 1..=50 {
        let hung_up = service.erase_subject(&root, tenant.clone(), name(number), None);
        assert!(futures_util::FutureExt::now_or_never(hung_up).is_none());
    }
    // A command that has begun goes on where nobody waits for it.
    drop(begun);
    service.erase_subject(&root, Tenant::new("zeta").unwrap(), name(0), None).await.unwrap();
    let erased: Vec<_> = service.projection().erased().into_iter().map(|(tenant, ..)| tenant.to_string()).collect();
    assert_eq!(erased.len(), 2, "{erased:?}");
    running.stop().unwrap();
}
