//! The ancestors of a credential, as far as their issues are known.

use super::lineage::{Ancestor, MAX_ANCESTORS, Parent};
use super::{CredentialKey, Issue};
use crate::domain::state::CredentialView;

/// The first ancestor whose issue is not known, the parent included.
pub fn unheard_of(view: &impl CredentialView, parent: Option<Parent>) -> Option<CredentialKey> {
    let mut next = parent?;
    for _ in 0..MAX_ANCESTORS {
        match view.credential(next.key).issue {
            None => return Some(next.key),
            Some(issue) => next = issue.parent()?,
        }
    }
    None
}

/// The parent of a credential and the ancestors above, as far as their issues are known; the parent first.
pub fn ancestors(view: &impl CredentialView, parent: Option<Parent>) -> Vec<Ancestor> {
    let mut issues: Vec<(CredentialKey, Issue)> = Vec::new();
    let mut next = parent;
    while let Some(parent) = next
        && issues.len() < MAX_ANCESTORS
        && let Some(issue) = view.credential(parent.key).issue
    {
        next = issue.parent();
        issues.push((parent.key, issue));
    }
    // From the first generation on: none is older than its parent.
    let (mut shown, mut parent_issued_at) = (Vec::with_capacity(issues.len()), None);
    for (key, issue) in issues.into_iter().rev() {
        parent_issued_at = Some(issue.age(parent_issued_at));
        shown.push(Ancestor {
            kind: key.kind,
            name: issue.named(key),
            application: issue.application,
            signed_with: issue.signed_with().cloned(),
            issued_at: parent_issued_at,
            subject: issue.subject,
        });
    }
    shown.reverse();
    shown
}
