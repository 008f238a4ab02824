//! CSV as RFC 4180 defines it, strictly. Where a comma is part of numbers, spreadsheets separate fields by semicolons;
//! some files have tabs. The header says which.
//!
//! The usual crate takes broken quoting for data. A dump that broke off within a field must not pass for one with a
//! strange last field, and two more crates are a high price for these few lines.

use std::io::{self, BufRead, Read as _};

use super::MAX_LINE_BYTES;

/// Why nothing after that place can be read.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is not CSV.
    #[error("{0}")]
    Malformed(&'static str),
}

/// The records of a file, one after another.
pub struct CsvRecords<R> {
    input: R,
    line: u64,
    /// Known from the first record on.
    separator: Option<char>,
}

/// A record, and the line that it begins on.
pub struct Record {
    pub line: u64,
    pub fields: Vec<String>,
}

impl<R: BufRead> CsvRecords<R> {
    /// From here on; so many lines have been read before.
    pub fn new(input: R, line: u64) -> Self {
        Self { input, line, separator: None }
    }

    /// The line that the last record that was tried ends on.
    pub fn line(&self) -> u64 {
        self.line
    }

    pub fn next(&mut self) -> Result<Option<Record>, CsvError> {
        let line = self.line + 1;
        let (mut text, mut open) = (Vec::new(), false);
        loop {
            let before = text.len();
            let limit = MAX_LINE_BYTES.saturating_sub(text.len()) as u64;
            let read = (&mut self.input).take(limit).read_until(b'\n', &mut text)?;
            self.line += u64::from(text.ends_with(b"\n"));
            // Quotes come in pairs, within a field too: an odd one means that the field continues on the next line.
            open ^= text[before..].iter().filter(|byte| **byte == b'"').count() % 2 == 1;
            match (read, open) {
                (0, _) if limit == 0 => return Err(CsvError::Malformed("a record is longer than any session")),
                (0, true) => return Err(CsvError::Malformed("the file ends within a quoted field")),
                (0, false) if text.is_empty() => return Ok(None),
                (0, false) => break,
                (_, false) if text.ends_with(b"\n") => break,
                _ => {}
            }
        }
        let text = std::str::from_utf8(&text).map_err(|_| CsvError::Malformed("it is not UTF-8"))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let separator = *self.separator.get_or_insert_with(|| separator_in(text));
        let fields = fields(text, separator).map_err(CsvError::Malformed)?;
        Ok(Some(Record { line, fields }))
    }
}

/// What separates the names of a header. No name has any of these in it.
fn separator_in(header: &str) -> char {
    [',', ';', '\t'].into_iter().find(|separator| header.contains(*separator)).unwrap_or(',')
}

fn fields(record: &str, separator: char) -> Result<Vec<String>, &'static str> {
    let (mut fields, mut rest) = (Vec::new(), record);
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => bare(rest, separator)?,
        };
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("something stands between a closing quote and the next field"),
        }
    }
}

fn bare(rest: &str, separator: char) -> Result<(String, &str), &'static str> {
    let (field, after) = rest.split_at(rest.find(separator).unwrap_or(rest.len()));
    if field.contains('"') {
        Err("a quote stands in a field that is not quoted")
    } else {
        Ok((field.to_owned(), after))
    }
}

fn unquote(mut rest: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quoted field does not end")?;
        field.push_str(part);
        let Some(next) = after.strip_prefix('"') else { return Ok((field, after)) };
        field.push('"');
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<(u64, Vec<String>)>, String> {
        let mut records = CsvRecords::new(text.as_bytes(), 0);
        let mut all = Vec::new();
        while let Some(record) = records.next().map_err(|error| format!("{}: {error}", records.line()))? {
            all.push((record.line, record.fields));
        }
        Ok(all)
    }

    fn record(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
        (line, fields.iter().map(|field| (*field).to_owned()).collect())
    }

    #[test]
    fn fields_are_read_as_they_were_written() {
        let text = "a,b,c\r\n1,\"two, \"\"2\"\"\nand a half\",\n,,\"\"\n\"x\",y,z";
        let due = [
            record(1, &["a", "b", "c"]),
            record(2, &["1", "two, \"2\"\nand a half", ""]),
            record(4, &["", "", ""]),
            record(5, &["x", "y", "z"]),
        ];
        assert_eq!(all(text).expect("as it was written"), due);
        assert!(all("").expect("as it was written").is_empty());
    }

    #[test]
    fn the_header_says_what_separates_fields() {
        let due = [record(1, &["a", "b"]), record(2, &["1,5", "x;y"]), record(3, &["", "z"])];
        assert_eq!(all("\"a\";b\r\n1,5;\"x;y\"\r\n;z\r\n").expect("as it was written"), due);
        let due = [record(1, &["a", "b"]), record(2, &["1,5;2", ""])];
        assert_eq!(all("a\tb\n1,5;2\t\n").expect("as it was written"), due);
        assert_eq!(all("a;b,c\n1;2,3\n").expect("as it was written")[1], record(2, &["1;2", "3"]));
    }

    #[test]
    fn broken_quoting_is_no_data() {
        for text in ["a\n\"b", "a\nb\"c\"\n", "a\n\"b\"c\n", "a\n\"b\" ,c\n", "a\n\"b\"\"\n"] {
            assert!(all(text).is_err(), "{text}");
        }
        let unclosed = format!("\"{}", "x,\n".repeat(MAX_LINE_BYTES));
        assert!(all(&unclosed).unwrap_err().ends_with("longer than any session"));
    }
}
