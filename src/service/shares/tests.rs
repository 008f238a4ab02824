use std::pin::pin;

use futures_util::FutureExt as _;

use super::*;
use crate::domain::{Grant, Scope, Scopes};

const BOUNDS: Bounds = Bounds { turns: 1, turns_of_tenant: 1, caller: 100, tenant: 150, all: 1_000 };

fn application(tenant: &str, number: u128) -> Party {
    let tenant = Tenant::new(tenant).expect("a name");
    let grants = Grants::new(vec![Grant { tenant: Some(tenant), scopes: Scopes::from_iter([Scope::Follow]) }]);
    let caller = Caller::Application(ApplicationId(uuid::Uuid::from_u128(number)));
    Party::of(&CallerIdentity { caller, grants: grants.expect("few").into(), registration: None })
}

fn admit(share: &Arc<FairShare>, party: &Party) -> Admitted {
    share.admit(party).expect("there is room")
}

#[test]
fn an_application_that_can_act_everywhere_is_at_home_in_no_tenant() {
    let everything = CallerIdentity { caller: Caller::Root, grants: Grants::everything().into(), registration: None };
    assert_eq!(Party::of(&everything).home, Home::Everywhere);
    assert_eq!(application("acme", 1).home, Home::Tenant(Tenant::new("acme").expect("a name")));
}

#[tokio::test]
async fn turns_go_round_the_tenants_and_in_a_tenant_round_its_callers() {
    let share = FairShare::new(BOUNDS);
    let first = admit(&share, &application("acme", 0)).turn().await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for (tenant, number, count) in [("acme", 1, 5), ("acme", 2, 2), ("zeta", 3, 1)] {
        for _ in 0..count {
            let (admitted, order) = (admit(&share, &application(tenant, number)), order.clone());
            let mut turn = Box::pin(async move {
                let turn = admitted.turn().await;
                order.lock().push(number);
                drop(turn);
            });
            assert!(turn.as_mut().now_or_never().is_none());
            waiting.push(turn);
        }
    }
    drop(first);
    futures_util::future::join_all(waiting).await;
    // Zeta's only request waits for one of acme's eight, and acme's second caller for none but one of its first.
    assert_eq!(*order.lock(), [1, 3, 2, 1, 2, 1, 1, 1]);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_place_in_the_queue_and_takes_no_turn_along() {
    let share = FairShare::new(BOUNDS);
    let (one, other) = (admit(&share, &application("acme", 1)), admit(&share, &application("zeta", 2)));
    let turn = one.turn().await;
    for _ in 0..1_000 {
        let given_up = admit(&share, &application("acme", 1));
        assert!(given_up.turn().now_or_never().is_none());
    }
    assert_eq!((share.waiting(), share.admitted()), (0, 2));
    {
        // Given up after the turn was handed over, and before anybody noticed.
        let mut late = pin!(one.turn());
        assert!(late.as_mut().now_or_never().is_none());
        drop(turn);
    }
    assert!(other.turn().now_or_never().is_some(), "the turn came back");
}

#[tokio::test]
async fn one_tenant_has_no_more_turns_at_a_time_than_are_its_own() {
    let share = FairShare::new(Bounds { turns: 3, turns_of_tenant: 2, ..BOUNDS });
    let acme = admit(&share, &application("acme", 1));
    let (first, _second) = (acme.turn().await, acme.turn().await);
    let mut third = Box::pin(acme.turn());
    assert!(third.as_mut().now_or_never().is_none(), "the last one is for others");
    let zeta = admit(&share, &application("zeta", 2));
    assert!(zeta.turn().now_or_never().is_some());
    drop(first);
    assert!(third.now_or_never().is_some());
}

#[test]
fn too_many_of_one_caller_or_one_tenant_are_told_to_come_again_and_others_are_let_in() {
    let share = FairShare::new(BOUNDS);
    let of_one: Vec<_> = (0..100).map(|_| admit(&share, &application("acme", 1))).collect();
    assert!(matches!(share.admit(&application("acme", 1)), Err(Failure::Overloaded)));
    let of_another: Vec<_> = (0..50).map(|_| admit(&share, &application("acme", 2))).collect();
    assert!(matches!(share.admit(&application("acme", 3)), Err(Failure::Overloaded)), "the tenant has enough");
    let _other_tenant = admit(&share, &application("zeta", 4));
    drop((of_one, of_another));
    let _again = admit(&share, &application("acme", 1));
    assert_eq!(share.admitted(), 2);
}
