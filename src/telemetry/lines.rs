//! The form of log lines. What a field holds may be other people's text: a character that can't be seen as itself is
//! written as `\uXXXX`, so that no text can end a line early, turn it around or colour it.

use std::fmt;
use std::io;

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt as _;

use super::LogFormat;
use crate::json;
use crate::terminal::{EscapedWriter, escaped_on_one_line};

/// Writes the lines that pass the filter to what `open` returns.
pub(super) fn logger<W: io::Write + 'static>(
    filter: Targets,
    format: LogFormat,
    coloured: bool,
    open: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn Subscriber + Send + Sync> {
    // The filter is next to the registry, so that the most detailed level that it lets through is known to each line's place.
    let filtered = tracing_subscriber::registry().with(filter);
    let log = tracing_subscriber::fmt::layer().with_ansi(coloured);
    match format {
        LogFormat::Text => Box::new(filtered.with(log.fmt_fields(EscapedFields).with_writer(open))),
        // A line of JSON has no colours, and strings are the only place of such characters.
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_writer(move || EscapedWriter::new(open()));
            Box::new(filtered.with(log))
        }
    }
}

/// Fields as tracing writes them, each value escaped.
struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = FieldWriter { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct FieldWriter<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl FieldWriter<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.write(field.name(), &escaped_on_one_line(value));
        }
    }

    fn write(&mut self, name: &str, value: &str) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        match name {
            "message" => self.writer.write_str(value),
            name if self.writer.has_ansi_escapes() => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
            name => write!(self.writer, "{name}={value}"),
        }
    }
}

impl Visit for FieldWriter<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.put(field, value) } else { self.put(field, &json::text(&value)) }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const FOREIGN: &str = "eve\u{202e}nimda\u{2066}\u{2028}\u{ad}\u{7f}\u{85}\r\n\x1b[31mforged";
    const SHOWN: &str = "eve\\u202enimda\\u2066\\u2028\\u00ad\\u007f\\u0085\\u000d\\u000a\\u001b[31mforged";

    fn logged(format: LogFormat, coloured: bool) -> String {
        let lines = Lines::default();
        let (to, filter) = (lines.clone(), Targets::from_str("info").expect("a filter"));
        tracing::subscriber::with_default(logger(filter, format, coloured, move || to.clone()), || {
            tracing::warn!(subject = FOREIGN, error = %FOREIGN, debugged = ?FOREIGN, count = 7, "said {FOREIGN}");
        });
        let written = lines.0.lock().clone();
        String::from_utf8(written).expect("UTF-8")
    }

    fn is_one_plain_line(line: &str) -> bool {
        line.strip_suffix('\n').is_some_and(|line| line.is_ascii() && !line.contains(|c: char| c.is_control()))
    }

    #[test]
    fn no_text_in_a_field_ends_turns_or_colours_a_line() {
        let line = logged(LogFormat::Text, false);
        assert!(is_one_plain_line(&line), "{line:?}");
        let quoted = SHOWN.replace("\\u000d\\u000a", "\\r\\n");
        for part in
            [format!("said {SHOWN} "), format!("error={SHOWN}"), format!("subject=\"{quoted}\" "), "count=7".into()]
        {
            assert!(line.contains(&part), "{part} is not in {line}");
        }
        let coloured = logged(LogFormat::Text, true);
        assert!(coloured.contains("\x1b[3merror\x1b[0m\x1b[2m=\x1b[0m"), "{coloured:?}");
        assert!(!coloured.contains("\x1b[31m") && coloured.contains(SHOWN), "{coloured:?}");
    }

    #[test]
    fn a_line_of_json_is_escaped_and_means_the_same() {
        let line = logged(LogFormat::Json, false);
        assert!(is_one_plain_line(&line), "{line:?}");
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&value["subject"], &value["error"]), (&FOREIGN.into(), &FOREIGN.into()));
        assert_eq!(value["message"], format!("said {FOREIGN}"));
    }
}
