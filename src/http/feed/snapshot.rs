//! Every ending in force: where a follower starts who has none, or whose cursor is of no use.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use serde::Serialize;

use crate::domain::Timestamp;
use crate::feed::{Filter, snapshot_items};
use crate::http::SharedApp;
use crate::projection::Projection;

#[derive(Serialize)]
struct First<'a> {
    ledger: String,
    cursor: &'a str,
}

#[derive(Serialize)]
struct Last {
    end: bool,
    count: u64,
}

struct Walk {
    app: SharedApp,
    filter: Filter,
    now: Timestamp,
    /// The next part of the state; one beyond the parts is the last line.
    part: usize,
    count: u64,
    started: bool,
}

/// The snapshot as lines of JSON: `{ledger, cursor}`, the endings, `{end, count}`.
///
/// The cursor is taken first, so that following from it misses nothing; what ends meanwhile may come twice.
pub(super) fn body(app: SharedApp, filter: Filter) -> Body {
    let now = app.service.clock().now();
    let walk = Walk { app, filter, now, part: 0, count: 0, started: false };
    Body::from_stream(tokio_stream::iter(walk.map(Ok::<_, Infallible>)))
}

/// The chunks of the body: a part of the state at a time, so that none is held for long.
impl Iterator for Walk {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if !self.started {
            self.started = true;
            let cursor = self.app.hub.tip().cursor.to_string();
            return Some(line(&First { ledger: self.app.service.ledger().to_string(), cursor: &cursor }).into());
        }
        while self.part < Projection::ENDING_PARTS {
            let lines = self.lines();
            self.part += 1;
            if !lines.is_empty() {
                return Some(lines.into());
            }
        }
        if self.part == Projection::ENDING_PARTS {
            self.part += 1;
            return Some(line(&Last { end: true, count: self.count }).into());
        }
        None
    }
}

impl Walk {
    fn lines(&mut self) -> String {
        let mut lines = String::new();
        for ending in self.app.service.projection().endings(self.part, self.now) {
            if !self.filter.passes_in_force(&ending) {
                continue;
            }
            for item in snapshot_items(&ending, &self.filter) {
                lines.push_str(&line(&item));
                self.count += 1;
            }
        }
        lines
    }
}

fn line(value: &impl Serialize) -> String {
    // Strings and numbers: there is nothing in it that can't be written.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}
