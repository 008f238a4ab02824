//! Uses of tickets, which the edge sees and the node does not: collected, and reported well before a ticket would expire.
//!
//! What is not reported when the edge dies costs a ticket at most a tenth of its life.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};

use super::known::TicketLife;
use crate::clock::boot_millis;
use crate::domain::{Digest, Timestamp};
use crate::follower::{CallFailure, Upstream};

/// How often it is looked for uses that are due.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The tickets whose uses are remembered. A use of a further one is not reported, so that ticket expires as if it were not used.
const MAX_TICKETS: usize = 1 << 20;
/// The uses of one report: well below the bytes of a body that a node takes by default.
const MAX_LINES: usize = 400;
/// A use is reported when so many parts of a ticket's life have passed since the last one that was.
const PARTS_OF_LIFE: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer to a report: a line for each use.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The uses that are known here.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<Digest, TicketUse>>);

/// The uses of one ticket, by the boot clock.
#[derive(Clone, Copy)]
struct TicketUse {
    used_at: u64,
    /// The last use that the node knows of.
    reported_at: u64,
    life_millis: u64,
}

impl TicketUse {
    fn is_due(&self) -> bool {
        self.is_news() && self.used_at - self.reported_at >= self.life_millis / PARTS_OF_LIFE
    }

    const fn is_news(&self) -> bool {
        self.used_at > self.reported_at
    }
}

impl Uses {
    /// Notes that a ticket is used now; `life` is what the node said of it, and `now` the time by which it is judged.
    pub(super) fn note(&self, digest: Digest, life: TicketLife, now: Timestamp) {
        let used_at = boot_millis();
        let mut uses = self.0.lock();
        if let Some(held) = uses.get_mut(&digest) {
            held.used_at = used_at;
            return;
        }
        if uses.len() == MAX_TICKETS {
            return;
        }
        let since = now.as_millis().saturating_sub(life.used_at);
        let reported_at = used_at.saturating_sub(since);
        uses.insert(digest, TicketUse { used_at, reported_at, life_millis: life.ttl_millis });
    }

    /// Reports what is due, or at the end all that is news. What can't be reported is tried again.
    pub(super) async fn report(&self, upstream: &Upstream, is_last: bool) -> Result<(), CallFailure> {
        loop {
            let due = self.due(is_last);
            if due.is_empty() {
                return Ok(());
            }
            let now = boot_millis();
            let line = |(digest, one): &(Digest, TicketUse)| {
                format!(
                    "{{\"kind\":\"ticket\",\"digest\":\"{digest}\",\"age_ms\":{}}}\n",
                    now.saturating_sub(one.used_at)
                )
            };
            let body: String = due.iter().map(line).collect();
            let request = upstream.request(Method::POST, "/v1/uses").header(CONTENT_TYPE, "application/x-ndjson");
            let (status, _) = upstream.exchange(request.body(body), MAX_ANSWER_BYTES, PATIENCE).await?;
            if status != StatusCode::OK {
                return Err(CallFailure::Status(status));
            }
            self.reported(&due);
        }
    }

    fn due(&self, is_last: bool) -> Vec<(Digest, TicketUse)> {
        let mut uses = self.0.lock();
        // A ticket that has not been used for its life has expired, or its use is known elsewhere.
        let now = boot_millis();
        uses.retain(|_, one| one.is_news() || now.saturating_sub(one.used_at) <= one.life_millis);
        let is_due = |one: &TicketUse| if is_last { one.is_news() } else { one.is_due() };
        uses.iter().filter(|(_, one)| is_due(one)).take(MAX_LINES).map(|(digest, one)| (*digest, *one)).collect()
    }

    fn reported(&self, reported: &[(Digest, TicketUse)]) {
        let mut uses = self.0.lock();
        for (digest, one) in reported {
            if let Some(held) = uses.get_mut(digest) {
                held.reported_at = held.reported_at.max(one.used_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_due_after_a_tenth_of_the_life_and_at_the_end_at_once() {
        let uses = Uses::default();
        let now = Timestamp::default().plus_millis(2_000_000_000_000);
        let life = |ago: u64| TicketLife { ttl_millis: 900_000, used_at: now.as_millis() - ago };
        let digests = [1_u8, 2, 3].map(|n| Digest::of(&[n]));
        uses.note(digests[0], life(90_000), now);
        uses.note(digests[1], life(80_000), now);
        uses.note(digests[2], life(0), now);
        let due = |is_last| uses.due(is_last).into_iter().map(|(digest, _)| digest).collect::<Vec<_>>();
        assert_eq!(due(false), [digests[0]]);
        assert_eq!(due(true).len(), 2, "the third was not used since the node heard of it");
        uses.reported(&uses.due(false));
        assert!(due(false).is_empty());
        assert_eq!(due(true), [digests[1]]);
    }
}
