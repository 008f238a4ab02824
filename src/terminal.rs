//! The way of commands to the standard output and the standard error: what is written there may be read on a terminal. The log lines of
//! the server go another way, and are escaped in the same form.
//!
//! Subjects, names and reasons are other people's texts, kept as they came. A character in them that turns a line around, hides or
//! moves the cursor would let one subject look like another. Such characters are written as `\uXXXX`, which means the same character
//! in a string of JSON, so one rule serves lines for people and for programs.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, StderrLock, StdoutLock, Write};
use std::sync::OnceLock;

/// Code points of the categories Cf, Zl and Zp of Unicode 16, without those of the block of tags, in pairs of first and last.
const UNSEEN: [(char, char); 19] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    // All tags, assigned or not.
    ('\u{e0000}', '\u{e007f}'),
];

/// The first failure of [`say`].
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// A line for the standard output. A failure is not lost: [`said`] returns it at the end.
#[macro_export]
macro_rules! say {
    ($($line:tt)*) => { $crate::terminal::say(::std::format_args!($($line)*)) };
}

/// A line for the standard error. There is nowhere to tell that it failed.
#[macro_export]
macro_rules! tell {
    ($($line:tt)*) => { $crate::terminal::tell(::std::format_args!($($line)*)) };
}

/// The standard output can't be written to.
#[derive(Debug, thiserror::Error)]
#[error("write to the standard output: {0}")]
pub struct SayError(&'static io::Error);

#[doc(hidden)]
pub fn say(line: fmt::Arguments<'_>) {
    match writeln!(out(), "{line}") {
        // A reader that closes the pipe has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => drop(FAILED.set(error)),
        _ => {}
    }
}

#[doc(hidden)]
pub fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(err(), "{line}");
}

/// Whether everything that was said has been written, or its reader has gone.
pub fn said() -> Result<(), SayError> {
    FAILED.get().map_or(Ok(()), |error| Err(SayError(error)))
}

/// The standard output.
pub fn out() -> EscapedWriter<StdoutLock<'static>> {
    EscapedWriter(io::stdout().lock())
}

/// The standard error.
pub fn err() -> EscapedWriter<StderrLock<'static>> {
    EscapedWriter(io::stderr().lock())
}

/// Shows a line of progress in the place of the one before it.
pub fn progress(line: &str) {
    // Progress that can't be shown is not a reason to stop.
    let _ = write!(io::stderr().lock(), "\r{}\x1b[K", escaped(line));
    let _ = io::stderr().flush();
}

/// Leaves the place of a line of progress empty.
pub fn clear_progress() {
    let _ = write!(io::stderr().lock(), "\r\x1b[K");
}

/// Writes a file's contents to the standard output: to a terminal like every other text, elsewhere byte by byte.
pub fn data(text: &str) -> io::Result<()> {
    let mut to = io::stdout().lock();
    let shown = if to.is_terminal() { escaped(text) } else { Cow::Borrowed(text) };
    to.write_all(shown.as_bytes())?;
    to.flush()
}

/// Escapes everything that is written through it, whole characters at a time.
pub struct EscapedWriter<W>(W);

impl<W: Write> EscapedWriter<W> {
    /// Escapes what is written to that.
    pub const fn new(to: W) -> Self {
        Self(to)
    }

    /// The same, behind a buffer.
    pub fn buffered(self) -> EscapedWriter<io::BufWriter<W>> {
        EscapedWriter(io::BufWriter::new(self.0))
    }

    /// Writes it as it is: for our own colours.
    pub fn write_raw(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }
}

impl<W: Write> Write for EscapedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(escaped(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with each character that can't be seen as itself as `\uXXXX`, in UTF-16 as JSON has it.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_where(text, is_unseen)
}

/// The same, and without a break of the line.
pub fn escaped_on_one_line(text: &str) -> Cow<'_, str> {
    escaped_where(text, |character| character == '\n' || is_unseen(character))
}

fn escaped_where(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_escaped(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

fn is_unseen(character: char) -> bool {
    match character {
        '\n' | '\t' | ' '..='~' => false,
        _ if character.is_control() => true,
        '\u{a0}'..='\u{ac}' => false,
        _ => UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&character)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_cannot_be_seen_are_escaped_and_all_others_stay() {
        for (text, shown) in [
            ("plain \t text\n", "plain \t text\n"),
            ("é 漢 🎉 \u{a0}", "é 漢 🎉 \u{a0}"),
            ("eve\u{202e}nimda", "eve\\u202enimda"),
            (
                "\u{2066}a\u{2069}\u{200b}\u{2028}\u{2029}\u{feff}\u{ad}",
                "\\u2066a\\u2069\\u200b\\u2028\\u2029\\ufeff\\u00ad",
            ),
            ("\x1b[31m\r\x07\x7f\u{85}\0", "\\u001b[31m\\u000d\\u0007\\u007f\\u0085\\u0000"),
            ("\u{e0041}\u{1d173}", "\\udb40\\udc41\\ud834\\udd73"),
        ] {
            assert_eq!(escaped(text), shown);
            let mut written = EscapedWriter(Vec::new());
            write!(written, "{text}").expect("memory takes it");
            assert_eq!(written.0, shown.as_bytes());
        }
        assert!(matches!(escaped("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({"a\u{202e}": "\u{2028}\u{e0041}\"\\\u{7}"});
        let shown = escaped(&value.to_string()).into_owned();
        assert!(shown.is_ascii());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("still JSON"), value);
    }
}
