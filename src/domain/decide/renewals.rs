//! Uses of tickets, recorded seldom.

use super::super::command::Decision;
use super::super::credential::{CredentialId, CredentialKey, Issue, Kind, Lifetime, judge_known};
use super::super::event::{Draft, Event, Renewals};
use super::super::ids::RecordId;
use super::super::state::View;
use super::super::time::Timestamp;

/// The most uses that one record holds: each takes at most 76 bytes, its origin included, so that it fits a record.
const MAX_USES: usize = 850;

/// A use counts if the ticket was active then and is not revoked now, and its last record is a tenth of its life old.
pub fn renew(view: &impl View, uses: &[(CredentialId, Timestamp)], now: Timestamp) -> Decision {
    let mut counted: Vec<(RecordId, Timestamp)> = Vec::with_capacity(uses.len());
    for (id, used_at) in uses {
        let ticket = view.credential(CredentialKey { kind: Kind::Ticket, id: *id });
        let used_at = (*used_at).min(now);
        // A ticket that has expired on this record's own clock may have left memory where the record is read.
        if ticket.issue.as_ref().is_some_and(|issue| worth_recording(issue, ticket.latest, used_at))
            && let Ok(active) = judge_known(view, Kind::Ticket, ticket, used_at)
            && now < active.issue.not_after
        {
            counted.push((active.issue.place, used_at));
        }
    }
    counted.sort_unstable();
    // A ticket that was named twice is recorded with its latest use.
    counted.reverse();
    counted.dedup_by_key(|(place, _)| *place);
    counted.reverse();
    if counted.is_empty() {
        return Decision::Nothing;
    }
    Decision::Append(counted.chunks(MAX_USES).map(|chunk| Draft { tenant: None, event: renewed(chunk) }).collect())
}

/// Whether the ticket's last record is a tenth of its life older than that use.
pub fn worth_recording(issue: &Issue, recorded_use_at: Timestamp, used_at: Timestamp) -> bool {
    let Lifetime::Sliding(ttl) = issue.lifetime else { return false };
    let moves = issue.expires_with(used_at) > issue.expires_with(recorded_use_at);
    moves && used_at.millis_since(recorded_use_at) >= ttl.as_millis() / 10
}

fn renewed(uses: &[(RecordId, Timestamp)]) -> Event {
    let by_origin = uses.chunk_by(|(one, _), (other, _)| one.origin == other.origin);
    Event::TicketsRenewed(
        by_origin
            .map(|uses| Renewals {
                origin: uses[0].0.origin,
                uses: uses.iter().map(|(place, at)| (place.sequence, *at)).collect(),
            })
            .collect(),
    )
}
