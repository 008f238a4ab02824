//! The text of the demonstration.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use crate::cli::may_colour;
use crate::terminal;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// Tells the story on the standard output; in colour only to a terminal.
pub(super) struct Narrator {
    colour: bool,
    step: usize,
    current: &'static str,
}

impl Narrator {
    pub(super) fn new() -> Self {
        Self { colour: may_colour(&io::stdout()), step: 0, current: "" }
    }

    /// The number of the current step.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// The title of the current step.
    pub(super) fn current(&self) -> &'static str {
        self.current
    }

    pub(super) fn title(&self, text: &str) {
        say(&format!("\n{}\n", self.painted(BOLD, text)));
    }

    /// Begins the next step.
    pub(super) fn begin(&mut self, title: &'static str) {
        self.step += 1;
        self.current = title;
        say(&format!("\n{:>2}  {}\n", self.step, self.painted(BOLD, title)));
    }

    /// A call, and its answer.
    pub(super) fn call(&self, call: &str, answer: &str, took: Duration) {
        let line = format!("    {call:46} {answer:22} {:>9}", millis(took));
        say(&(self.painted(DIM, &line) + "\n"));
    }

    /// A claim that was checked and holds.
    pub(super) fn holds(&self, text: &str) {
        say(&format!("    {} {text}\n", self.painted(GREEN, "✓")));
    }

    /// A fact that needs no check.
    pub(super) fn fact(&self, text: &str) {
        say(&format!("    {text}\n"));
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let mut painted = String::new();
        // Writing to a string can't fail.
        let _ = write!(painted, "{colour}{text}{PLAIN}");
        painted
    }
}

/// Milliseconds with as many digits as are meaningful.
pub(super) fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

fn say(text: &str) {
    // The exit code tells what held, even if nobody reads this.
    let _ = terminal::out().write_raw(text);
}
