//! Memory's compact form, under events that fit it and events that do not.

use std::collections::BTreeSet;

use authledger::domain::{
    Aal, Confirmation, CredentialId, CredentialKey, CredentialRef, CredentialRevoked, CredentialView as _, Digest,
    Event, Generation, Issuer, Kind, Kinds, MAX_INTEGER, Origin, Parent, RecordId, Recorded, Renewals, Sealed,
    Sequence, SessionExtended, SessionIssued, State, Subject, SubjectRevoked, Tenant, Thumbprint, TicketIssued,
    Timestamp, TokenId, TokenIssued, Ttl, View as _,
};
use authledger::projection::{Projection, load, save};
use proptest::prelude::*;

use crate::support::log::fold_into;

/// Credentials of each kind that events are about: few, so that they meet.
const NAMES: u64 = 6;

/// Credentials of each kind where many are wanted.
const MANY: u64 = 200;

/// An event about one of the credentials, with numbers that each kind of event makes its own use of.
#[derive(Clone, Debug)]
struct Step {
    what: u8,
    second_origin: bool,
    credential: u64,
    subject: u64,
    odd: u64,
    /// Milliseconds.
    life: u64,
}

fn step() -> impl Strategy<Value = Step> {
    step_of(NAMES)
}

fn step_of(names: u64) -> impl Strategy<Value = Step> {
    let life = prop_oneof![
        4 => (1..400u64).prop_map(|days| days * 86_400_000),
        2 => 1..40_000_000_000u64,
        1 => Just(1u64 << 46),
    ];
    (0..9u8, any::<bool>(), 0..names, 0..5u64, any::<u64>(), life).prop_map(
        |(what, second_origin, credential, subject, odd, life)| Step {
            what,
            second_origin,
            credential,
            subject,
            odd,
            life,
        },
    )
}

fn origin(second: bool) -> Origin {
    Origin::from_random([u8::from(second); Origin::LEN])
}

fn tenant(number: u64) -> Tenant {
    Tenant::new(["default", "acme"][number as usize % 2]).unwrap()
}

/// UUIDs, a UUID in another spelling, and texts.
fn subject(number: u64) -> Subject {
    let uuid = uuid::Uuid::from_u128(0xabcdef00 + u128::from(number / 2)).to_string();
    Subject::new(&[uuid.clone(), "alice".into(), uuid.to_uppercase(), "bob Ω".into(), "c".repeat(255)][number as usize])
        .unwrap()
}

fn digest(number: u64) -> Digest {
    Digest::of(&number.to_be_bytes())
}

fn session(number: u64) -> CredentialId {
    CredentialId::of_session(uuid::Uuid::from_u128(u128::from(number) << 64 | 7))
}

fn token(step: &Step) -> CredentialRef {
    let issuer = Issuer::new("https://ledger.example").unwrap();
    let jti = match step.credential % 3 {
        0 => return CredentialRef::Digest(digest(step.credential)),
        1 => uuid::Uuid::from_u128(u128::from(step.credential)).to_string(),
        _ => format!("token {}", step.credential),
    };
    CredentialRef::Jwt { issuer, jti: TokenId::new(&jti).unwrap() }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis.min(MAX_INTEGER)).unwrap()
}

/// The events as records, each origin's in order, a second or so apart.
fn records(steps: &[Step]) -> Vec<Recorded> {
    let mut sequences = [0; 2];
    let mut now = 1_700_000_000_000;
    let recorded = |step: &Step| {
        let sequence = &mut sequences[usize::from(step.second_origin)];
        *sequence += 1;
        now += step.odd % 2_000;
        Recorded {
            place: RecordId { origin: origin(step.second_origin), sequence: Sequence(*sequence) },
            recorded_at: at(now),
            tenant: Some(tenant(step.subject)),
            actor: None,
            request: None,
            idempotency: None,
            event: event(step, now),
        }
    };
    steps.iter().map(recorded).collect()
}

fn event(step: &Step, now: u64) -> Event {
    let Step { credential, odd, life, .. } = *step;
    let generation: Generation =
        (odd % 3 == 0).then_some((origin(odd % 2 == 0), Sequence(odd % 4 + 1))).into_iter().collect();
    let sealed = (odd % 4 == 0).then(|| Sealed { slot: odd >> (odd % 64), sealed: "AA".into() });
    let issued_at = (odd % 5 == 0).then(|| at(now - odd % 100_000));
    let subject = subject(step.subject);
    // Sessions of the same subject are the parents of most.
    let key = match odd % 6 {
        0 => CredentialKey { kind: Kind::Ticket, id: digest(odd % NAMES).id() },
        1 => CredentialKey { kind: Kind::Token, id: digest(odd % NAMES).id() },
        _ => CredentialKey { kind: Kind::Session, id: session(odd % NAMES) },
    };
    let parent = (odd % 2 == 0).then_some(Parent { key, same_subject: odd % 10 != 0 });
    let ttl = Ttl::from_seconds(life / 1000 % Ttl::MAX.as_seconds() + 1).unwrap();
    match step.what {
        0 | 1 => Event::TicketIssued(TicketIssued {
            digest: digest(credential),
            subject,
            issued_at,
            ttl,
            expires_at: at(now + odd % life),
            not_after: at(now + life),
            generation,
            parent,
        }),
        2 => Event::SessionIssued(Box::new(SessionIssued {
            id: session(credential),
            // Some share a secret, and of some none is known.
            digest: (odd % 7 != 0).then(|| digest(100 + credential % 4)),
            subject,
            issued_at,
            authenticated_at: None,
            aal: Aal::Aal1,
            methods: Vec::new(),
            expires_at: at(now + odd % life),
            not_after: at(now + life),
            generation,
            parent,
            sealed,
        })),
        3 | 4 => Event::TokenIssued(Box::new(TokenIssued {
            name: token(step),
            key: None,
            subject,
            issued_at,
            parent,
            audience: Vec::new(),
            scope: None,
            status: None,
            grant: None,
            confirmation: (odd % 5 == 0)
                .then(|| Confirmation::Key(Thumbprint::from_bytes([(credential % 251) as u8; 32]))),
            expires_at: at(now + life),
            generation,
            sealed,
        })),
        5 => Event::TicketsRenewed(vec![Renewals {
            origin: origin(odd % 2 == 0),
            uses: vec![(Sequence(odd / 2 % 20 + 1), at(now + odd % life))],
        }]),
        6 => Event::SessionExtended(SessionExtended {
            id: session(credential),
            subject,
            expires_at: at((now + odd % life).saturating_sub(odd % 3 * 50_000)),
        }),
        7 => Event::SubjectRevoked(SubjectRevoked {
            subject,
            kinds: Kinds::ALL,
            issued_before: None,
            not_before: now / 1000,
            hold_until: None,
            retain_until: at(now + life),
            reason: None,
            note: None,
        }),
        _ => revoked(step, now),
    }
}

fn revoked(step: &Step, now: u64) -> Event {
    let kind = Kind::ALL[step.odd as usize % 3];
    let credential = match kind {
        Kind::Ticket => CredentialRef::Digest(digest(step.credential)),
        Kind::Session => CredentialRef::Id(session(step.credential)),
        Kind::Token => token(step),
    };
    Event::Revoked(CredentialRevoked {
        kind,
        credential,
        session_digest: None,
        subject: Some(subject(step.subject)),
        known: step.odd.is_multiple_of(2),
        retain_until: at(now + step.life),
        reason: None,
        note: None,
    })
}

/// The credentials of each subject, by the plain state.
fn listed(state: &State, whose: (&Tenant, &Subject)) -> BTreeSet<CredentialKey> {
    let of_subject = state.credentials.iter().filter(|(_, credential)| {
        credential.issue.as_ref().is_some_and(|issue| (&issue.tenant, &issue.subject) == whose)
    });
    of_subject.map(|(key, _)| *key).collect()
}

fn assert_same(projection: &Projection, state: &State) -> Result<(), TestCaseError> {
    prop_assert_eq!(projection.rows(), state.rows());
    for number in 0..10 {
        let tenant = tenant(number);
        let subject = subject(number % 5);
        let mine = projection.credentials_of(&tenant, &subject, Kinds::ALL, None, usize::MAX);
        prop_assert_eq!(mine, Vec::from_iter(listed(state, (&tenant, &subject))));
        prop_assert_eq!(projection.subject(&tenant, &subject), state.subject(&tenant, &subject));
        let sessions = projection.sessions_before(&tenant, None, usize::MAX).len();
        let of_tenant = |key: &CredentialKey| {
            key.kind == Kind::Session
                && state.credentials[key].issue.as_ref().is_some_and(|issue| issue.tenant == tenant)
        };
        prop_assert_eq!(sessions, state.credentials.keys().filter(|key| of_tenant(key)).count());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn memory_knows_the_same_as_plain_maps_whatever_happens(
        steps in prop::collection::vec(step(), 1..120),
        prune_after in any::<prop::sample::Index>(),
        later in 0..(500u64 * 86_400_000),
    ) {
        let records = records(&steps);
        let (projection, mut state) = (Projection::default(), State::default());
        let prune_at = prune_after.index(records.len());
        for (number, recorded) in records.iter().enumerate() {
            fold_into(&projection, recorded);
            state.fold(recorded);
            if number == prune_at {
                projection.prune(recorded.recorded_at);
                state.prune(recorded.recorded_at);
            }
        }
        assert_same(&projection, &state)?;

        let directory = tempfile::tempdir().unwrap();
        save(&projection, directory.path()).unwrap();
        let loaded = load(directory.path()).unwrap();
        assert_same(&loaded, &state)?;
        prop_assert_eq!(loaded.counts(), projection.counts());

        for number in 0..NAMES {
            let secret = digest(100 + number);
            prop_assert_eq!(loaded.session_with(&secret), projection.session_with(&secret));
        }

        let later = records[records.len() - 1].recorded_at.plus_millis(later);
        for projection in [&projection, &loaded] {
            projection.prune(later);
        }
        state.prune(later);
        prop_assert_eq!(loaded.rows(), state.rows());
        assert_same(&projection, &state)?;

        loaded.prune(at(MAX_INTEGER));
        let counts = loaded.counts();
        prop_assert_eq!((counts.tickets, counts.sessions, counts.tokens, counts.subjects), (0, 0, 0, 0));
    }
}

/// Folds the same into both, and forgets expired credentials after one of the records.
fn fold_both(projection: &Projection, records: &[Recorded], prune_after: prop::sample::Index) -> State {
    let mut state = State::default();
    let prune_at = prune_after.index(records.len());
    for (number, recorded) in records.iter().enumerate() {
        fold_into(projection, recorded);
        state.fold(recorded);
        if number == prune_at {
            projection.prune(recorded.recorded_at);
            state.prune(recorded.recorded_at);
        }
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A shard has room for one credential, so that many stand in another one than their own.
    #[test]
    fn a_credential_that_its_shard_has_no_room_for_works_as_well_in_another(
        steps in prop::collection::vec(step_of(MANY), 300..700),
        prune_after in any::<prop::sample::Index>(),
        later in 0..(500u64 * 86_400_000),
    ) {
        let records = records(&steps);
        let projection = Projection::cramped(1, u32::MAX);
        let mut state = fold_both(&projection, &records, prune_after);
        assert_same(&projection, &state)?;
        let directory = tempfile::tempdir().unwrap();
        save(&projection, directory.path()).unwrap();
        assert_same(&load(directory.path()).unwrap(), &state)?;
        let later = records[records.len() - 1].recorded_at.plus_millis(later);
        projection.prune(later);
        state.prune(later);
        assert_same(&projection, &state)?;
        projection.prune(at(MAX_INTEGER));
        let counts = projection.counts();
        prop_assert_eq!((counts.tickets, counts.sessions, counts.tokens, counts.subjects), (0, 0, 0, 0));
    }

    /// Where no shard has room, for credentials or for subjects, nothing is lost: a snapshot of it is the whole state.
    #[test]
    fn a_credential_that_no_shard_has_room_for_is_kept_all_the_same(
        steps in prop::collection::vec(step_of(NAMES), 1..200),
        prune_after in any::<prop::sample::Index>(),
        later in 0..(500u64 * 86_400_000),
        (credentials, subjects) in prop_oneof![Just((0, 0)), Just((0, u32::MAX)), Just((u32::MAX, 0))],
    ) {
        // A use names a place, and a ticket that is known by its id alone is not found by that.
        let steps: Vec<Step> = steps.into_iter().filter(|step| step.what != 5).collect();
        prop_assume!(!steps.is_empty());
        let records = records(&steps);
        let projection = Projection::cramped(credentials, subjects);
        let mut state = fold_both(&projection, &records, prune_after);
        prop_assert_eq!(projection.rows(), state.rows());
        for number in 0..10 {
            let tenant = tenant(number);
            let subject = subject(number % 5);
            prop_assert_eq!(projection.subject(&tenant, &subject), state.subject(&tenant, &subject));
        }
        for key in state.credentials.keys() {
            prop_assert_eq!(projection.credential(*key), state.credential(*key));
        }
        let directory = tempfile::tempdir().unwrap();
        save(&projection, directory.path()).unwrap();
        assert_same(&load(directory.path()).unwrap(), &state)?;
        let later = records[records.len() - 1].recorded_at.plus_millis(later);
        projection.prune(later);
        state.prune(later);
        prop_assert_eq!(projection.rows(), state.rows());
        projection.prune(at(MAX_INTEGER));
        prop_assert_eq!(projection.counts().tokens, 0);
    }
}
