//! The command line: for people and scripts in a terminal.
//!
//! `serve` runs a server and `edge` an edge beside a gateway, `application`, `key`, `clock`, `node`, `subject`, `follow` and `import` call one, `backup`
//! and `restore` work on the files and need no server, and `demo` starts one of its own.

pub mod application;
pub mod backup;
pub mod client;
pub mod clock;
pub mod demo;
pub mod directory;
pub mod edge;
pub mod follow;
pub mod import;
pub mod key;
pub mod node;
pub mod restore;
pub mod serve;
pub mod subject;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::domain::Position;
use crate::{tell, terminal};

/// Between two lines of progress: often on a terminal, seldom in a file of messages.
const WATCHED_EVERY: Duration = Duration::from_millis(200);
const LOGGED_EVERY: Duration = Duration::from_secs(5);

/// Shows on the standard error how far a long piece of work has come. A short one shows nothing.
struct Progress {
    verb: &'static str,
    watched: bool,
    shown_at: Instant,
    line_is_open: bool,
}

impl Progress {
    fn new(verb: &'static str) -> Self {
        Self { verb, watched: std::io::stderr().is_terminal(), shown_at: Instant::now(), line_is_open: false }
    }

    fn show(&mut self, reached: Position, head: Position) {
        let verb = self.verb;
        self.tell(|| format!("{verb} {reached} of {head} events ({} %)", reached.0 * 100 / head.0.max(1)));
    }

    /// Shows it in other words, if it is time for another line.
    fn tell(&mut self, line: impl FnOnce() -> String) {
        let every = if self.watched { WATCHED_EVERY } else { LOGGED_EVERY };
        if self.shown_at.elapsed() < every {
            return;
        }
        self.shown_at = Instant::now();
        let line = line();
        if self.watched {
            terminal::progress(&line);
            self.line_is_open = true;
        } else {
            tell!("{line}");
        }
    }
}

impl Progress {
    /// Leaves the terminal's line to others.
    fn clear(&mut self) {
        if std::mem::take(&mut self.line_is_open) {
            terminal::clear_progress();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether output there may be coloured: it is a terminal, and <https://no-color.org> is not requested.
fn may_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
