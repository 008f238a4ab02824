//! Revocations of cohorts.

use std::collections::BTreeSet;

use super::super::application::{Grants, Registration, Scope};
use super::super::cohort::Cohort;
use super::super::command::{Context, Decision, Rejection, RevokeCohort, WithdrawKey};
use super::super::credential::{Kind, Kinds};
use super::super::event::{CohortRevoked, Draft, Event};
use super::super::ids::{KeyId, Tenant};
use super::super::rejections::Forbidden;
use super::super::state::View;
use super::super::time::{RETENTION_MARGIN_MILLIS, Timestamp};
use super::allow;
use super::revocations::longest_life;

/// The tenants that a cohort can reach; none stands for all of them.
type Reach = Option<BTreeSet<Tenant>>;

pub fn cohort(
    view: &impl View,
    grants: &Grants,
    revoke: &RevokeCohort,
    context: Context,
) -> Result<Decision, Rejection> {
    if !grants.somewhere(Scope::Revoke) {
        return Err(Rejection::Forbidden);
    }
    let reach = reach(view, grants, revoke)?;
    if revoke.kinds.is_empty() || reach.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Append(vec![draft(view, revoke, reach, false, context)]))
}

/// The revocation of everything that the application issued, if it could issue anything.
pub fn of_application(
    view: &impl View,
    grants: &Grants,
    registration: &Registration,
    context: Context,
) -> Result<Option<Draft>, Forbidden> {
    let reach = reach_of(registration);
    may_revoke_in(grants, reach.as_ref())?;
    let revoke = everything(Cohort::Application(registration.id), Kinds::ALL);
    let can_issue = reach.as_ref().is_none_or(|tenants| !tenants.is_empty());
    Ok(can_issue.then(|| draft(view, &revoke, reach, false, context)))
}

/// A key that others may know signs no more, and verifies no more: what it signed is revoked with it.
pub fn withdraw_key(
    view: &impl View,
    grants: &Grants,
    withdraw: &WithdrawKey,
    context: Context,
) -> Result<Decision, Rejection> {
    let scopes = grants.everywhere();
    if !scopes.contains(Scope::Admin) || !scopes.contains(Scope::Revoke) {
        return Err(Rejection::Forbidden);
    }
    is_known(view, &withdraw.id)?;
    if let Some(place) = view.cohorts().and_then(|cohorts| cohorts.withdrawn_by(&withdraw.id)) {
        return Ok(Decision::Already(place));
    }
    let tokens = Kinds::from_iter([Kind::Token]);
    let revoke =
        RevokeCohort { reason: withdraw.reason.clone(), ..everything(Cohort::Key(withdraw.id.clone()), tokens) };
    Ok(Decision::Append(vec![draft(view, &revoke, None, true, context)]))
}

const fn everything(cohort: Cohort, kinds: Kinds) -> RevokeCohort {
    RevokeCohort { cohort, kinds, keep: None, hold: None, reason: None, note: None }
}

/// Where the revocation applies. The caller must be allowed to revoke in all of it. For a caller that is not, the
/// application does not exist; one that could issue nowhere exists for callers that may revoke everywhere.
fn reach(view: &impl View, grants: &Grants, revoke: &RevokeCohort) -> Result<Reach, Rejection> {
    match &revoke.cohort {
        Cohort::Application(id) => {
            let application = view.application(*id);
            let reach = application.registered.map(|(_, registration)| reach_of(&registration));
            let tenants = |reach: &Reach| reach.clone().filter(|tenants| !tenants.is_empty());
            let reach = reach.filter(|reach| may_revoke_in(grants, tenants(reach).as_ref()).is_ok());
            reach.ok_or(Rejection::UnknownApplication)
        }
        Cohort::Key(id) => {
            may_revoke_in(grants, None)?;
            is_known(view, id).map(|()| None)
        }
        // Each node has its own list of the tenants that an issuer may speak for.
        Cohort::Issuer(_) => {
            may_revoke_in(grants, None)?;
            Ok(None)
        }
        Cohort::Tenant(tenant) => {
            allow(grants, tenant, Scope::Revoke)?;
            Ok(Some(BTreeSet::from([tenant.clone()])))
        }
    }
}

fn is_known(view: &impl View, key: &KeyId) -> Result<(), Rejection> {
    let known = view.keys().get(key).is_some_and(|key| key.published.is_some());
    if known { Ok(()) } else { Err(Rejection::UnknownKey) }
}

/// Where an application may issue, or import.
fn reach_of(registration: &Registration) -> Reach {
    let grants = &registration.grants;
    let anywhere = grants.elsewhere();
    if anywhere.contains(Scope::Issue) || anywhere.contains(Scope::Admin) {
        return None;
    }
    Some(grants.tenants_with(Scope::Issue).chain(grants.tenants_with(Scope::Admin)).cloned().collect())
}

fn may_revoke_in(grants: &Grants, tenants: Option<&BTreeSet<Tenant>>) -> Result<(), Forbidden> {
    let Some(tenants) = tenants else {
        return if grants.everywhere().contains(Scope::Revoke) { Ok(()) } else { Err(Forbidden) };
    };
    tenants.iter().try_for_each(|tenant| allow(grants, tenant, Scope::Revoke))
}

fn draft(
    view: &impl View,
    revoke: &RevokeCohort,
    tenants: Reach,
    withdrawn: bool,
    Context { now, latest, policy, .. }: Context,
) -> Draft {
    let longest = longest_life(view, &policy);
    let keep = revoke.keep.map_or(longest, |keep| keep.max(longest));
    let hold_until = revoke.hold.map(|hold| now.plus(hold));
    let last = latest.plus(keep).max(view.latest_end()).max(hold_until.unwrap_or_default());
    let tenant = match &revoke.cohort {
        Cohort::Tenant(tenant) => Some(tenant.clone()),
        Cohort::Application(_) | Cohort::Key(_) | Cohort::Issuer(_) => None,
    };
    let revoked = CohortRevoked {
        cohort: revoke.cohort.clone(),
        // The tenant of such a cohort is the record's own.
        tenants: tenants.filter(|_| tenant.is_none()),
        kinds: revoke.kinds,
        not_before: latest.as_seconds(),
        hold_until,
        // A thief who has the key can sign a token of any life.
        retain_until: if withdrawn { Timestamp::MAX } else { last.plus_millis(RETENTION_MARGIN_MILLIS) },
        withdrawn,
        reason: revoke.reason.clone(),
        note: revoke.note.clone(),
    };
    Draft { tenant, event: Event::CohortRevoked(Box::new(revoked)) }
}
