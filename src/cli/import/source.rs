//! A dump, read once from its beginning to its end, as batches that a server takes.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::csv::{CsvError, CsvRecords};
use super::documents::{DocumentError, Documents, JsonDocument, first_byte};
use super::entry::{DumpRow, EntryRefusal, ImportEntry};
use super::input::{BUFFER_BYTES, DumpInput, SourceError};
use super::kratos::CsvHeader;
use super::unpacked::unpack;
use super::{DumpFormat, ImportError, ImportSettings, MAX_LINE_BYTES, crafter, kratos, ndjson};
use crate::domain::Kind;

/// A batch holds at most so many lines, whatever their outcome.
pub const MAX_BATCH_LINES: usize = 1_000;
/// A batch's body has at most so many bytes: it passes where 64 KiB do.
pub const MAX_BATCH_BYTES: usize = 60_000;
/// Opens the file of that name; `-` is the standard input.
pub fn open(path: &Path) -> Result<DumpInput, ImportError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())));
    }
    let file = File::open(path).map_err(|source| ImportError::Input { path: path.to_owned(), source })?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

/// Consecutive lines of a dump, and the outcome of each.
#[derive(Debug, Default)]
pub struct ImportBatch {
    /// The lines to send, one object on each line.
    pub body: String,
    /// For each line of the body, its number in the dump.
    pub sent: Vec<u64>,
    /// The lines that can't be sent, with their numbers.
    pub refused: Vec<(u64, EntryRefusal)>,
    /// How many had expired already.
    pub over: u64,
    /// How many of each kind are sent, in the order of [`Kind::ALL`].
    pub kinds: [u64; Kind::ALL.len()],
    lines: usize,
}

/// The batches of a dump.
pub struct Batches {
    rows: DumpRows,
    settings: ImportSettings,
    /// A line that the last batch had no room for.
    held: Option<(u64, ImportEntry, String)>,
    failed: Option<SourceError>,
}

impl Batches {
    /// Looks at the beginning of the dump.
    pub fn open(input: DumpInput, format: DumpFormat, settings: ImportSettings) -> Result<Self, SourceError> {
        Ok(Self { rows: DumpRows::open(input, format)?, settings, held: None, failed: None })
    }

    /// The next batch. Lines that were read before an error come before it.
    pub fn next(&mut self) -> Result<Option<ImportBatch>, SourceError> {
        let mut batch = ImportBatch::default();
        if let Some((line, entry, text)) = self.held.take() {
            batch.send(line, &entry, &text);
        }
        while self.failed.is_none() && batch.lines < MAX_BATCH_LINES {
            match self.rows.next(&self.settings) {
                Ok(Some((line, row))) => {
                    self.held = batch.take(line, row);
                    if self.held.is_some() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => self.failed = Some(error),
            }
        }
        match self.failed.take_if(|_| batch.lines == 0) {
            Some(error) => Err(error),
            None => Ok((batch.lines > 0).then_some(batch)),
        }
    }
}

impl ImportBatch {
    /// Takes the content of a line, or gives it back for the next batch.
    fn take(&mut self, line: u64, row: Result<DumpRow, EntryRefusal>) -> Option<(u64, ImportEntry, String)> {
        match row.and_then(written) {
            Ok(Some((entry, text))) if self.body.len() + text.len() > MAX_BATCH_BYTES => {
                return Some((line, entry, text));
            }
            Ok(Some((entry, text))) => self.send(line, &entry, &text),
            Ok(None) => {
                self.over += 1;
                self.lines += 1;
            }
            Err(refusal) => {
                self.refused.push((line, refusal));
                self.lines += 1;
            }
        }
        None
    }

    fn send(&mut self, line: u64, entry: &ImportEntry, text: &str) {
        self.body.push_str(text);
        self.sent.push(line);
        self.kinds[entry.kind().index()] += 1;
        self.lines += 1;
    }
}

/// An entry as its line, which has to fit a batch of its own.
fn written(row: DumpRow) -> Result<Option<(ImportEntry, String)>, EntryRefusal> {
    let DumpRow::Entry(entry) = row else { return Ok(None) };
    let text =
        serde_json::to_string(&entry).map_err(|error| EntryRefusal::unreadable(&error, "one that can be written"))?;
    let text = text + "\n";
    if text.len() > MAX_BATCH_BYTES { Err(EntryRefusal::too_long(MAX_BATCH_BYTES)) } else { Ok(Some((*entry, text))) }
}

type ReadRow = fn(&[u8], &ImportSettings) -> Result<DumpRow, EntryRefusal>;
/// A line's number, and its content.
type NumberedRow = (u64, Result<DumpRow, EntryRefusal>);

/// The dump's lines, whatever its format.
enum DumpRows {
    Json(Documents<DumpInput>, ReadRow),
    Csv(CsvRecords<DumpInput>, CsvHeader),
    Empty,
}

impl DumpRows {
    fn open(input: DumpInput, format: DumpFormat) -> Result<Self, SourceError> {
        let mut input = unpack(input)?;
        let read: ReadRow = match format {
            DumpFormat::Ndjson => ndjson::row,
            DumpFormat::Crafter => crafter::row,
            DumpFormat::Kratos => kratos::row,
        };
        let (first, lines) = first_byte(&mut input)?;
        match first {
            None => Ok(Self::Empty),
            Some(b'[') => Ok(Self::Json(Documents::array(input), read)),
            Some(first) if format != DumpFormat::Kratos || first == b'{' => {
                Ok(Self::Json(Documents::lines(input, lines), read))
            }
            Some(_) => Self::csv(CsvRecords::new(input, lines)),
        }
    }

    fn csv(mut records: CsvRecords<DumpInput>) -> Result<Self, SourceError> {
        let header = records.next().map_err(|error| malformed_csv(error, &records))?;
        let names = header.map(|record| record.fields).unwrap_or_default();
        let header = CsvHeader::new(names).map_err(|why| SourceError::Malformed { line: 0, why })?;
        Ok(Self::Csv(records, header))
    }

    fn next(&mut self, settings: &ImportSettings) -> Result<Option<NumberedRow>, SourceError> {
        match self {
            Self::Empty => Ok(None),
            Self::Json(documents, read) => {
                let found = match documents.next() {
                    Ok(found) => found.map(|JsonDocument { number, text }| {
                        let row = text.ok_or_else(|| EntryRefusal::too_long(MAX_LINE_BYTES));
                        (number, row.and_then(|text| read(text, settings)))
                    }),
                    Err(DocumentError::Io(error)) => return Err(error.into()),
                    Err(error) => {
                        return Err(SourceError::Malformed { line: documents.number(), why: error.to_string() });
                    }
                };
                Ok(found)
            }
            Self::Csv(records, header) => {
                let record = records.next().map_err(|error| malformed_csv(error, records))?;
                Ok(record.map(|record| (record.line, header.row(&record.fields, settings))))
            }
        }
    }
}

fn malformed_csv(error: CsvError, records: &CsvRecords<DumpInput>) -> SourceError {
    match error {
        CsvError::Io(error) => error.into(),
        CsvError::Malformed(why) => SourceError::Malformed { line: records.line(), why: why.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    fn batches(text: &str, format: DumpFormat) -> (Vec<ImportBatch>, Option<String>) {
        let input = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        let mut batches = match Batches::open(input, format, settings()) {
            Ok(batches) => batches,
            Err(error) => return (Vec::new(), Some(error.to_string())),
        };
        let mut all = Vec::new();
        loop {
            match batches.next() {
                Ok(Some(batch)) => all.push(batch),
                Ok(None) => return (all, None),
                Err(error) => return (all, Some(error.to_string())),
            }
        }
    }

    fn ticket(subject: &str) -> String {
        format!(
            "{{\"kind\":\"ticket\",\"subject\":\"{subject}\",\"secret\":\"s-{subject}\",\"issued_at\":\"2026-11-21T09:00:00Z\",\"expires_at\":\"2026-11-21T10:00:00Z\"}}\n"
        )
    }

    #[test]
    fn a_batch_is_full_by_lines_or_by_bytes() {
        let short: String = (0..2_500).map(|number| ticket(&number.to_string())).collect();
        let (short, error) = batches(&short, DumpFormat::Ndjson);
        assert_eq!(error, None);
        assert!(short.iter().all(|batch| batch.body.len() <= MAX_BATCH_BYTES && batch.sent.len() <= MAX_BATCH_LINES));
        let numbers: Vec<u64> = short.iter().flat_map(|batch| batch.sent.clone()).collect();
        assert_eq!(numbers, (1..=2_500).collect::<Vec<u64>>(), "each line once, in order");
        let (nothing, _) = batches(&"7\n".repeat(2_500), DumpFormat::Ndjson);
        assert_eq!(nothing.iter().map(|batch| batch.refused.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    }

    #[test]
    fn a_line_that_fits_no_batch_is_refused_alone() {
        let text = [ticket("a"), ticket(&"b".repeat(MAX_BATCH_BYTES)), ticket("c")].concat();
        let (all, _) = batches(&text, DumpFormat::Ndjson);
        assert_eq!((&*all[0].sent, all[0].refused[0].0, all[0].refused[0].1.code), (&[1, 3][..], 2, "line-too-long"));
    }

    #[test]
    fn no_secret_is_in_what_is_sent_or_said() {
        let unknown = ticket("x").replace("\"secret\"", "\"token\"");
        let text = [ticket("a"), unknown, "s-b\n".to_owned(), ticket("c").replace("ticket", "s-c")].concat();
        let (all, _) = batches(&text, DumpFormat::Ndjson);
        assert_eq!((all[0].sent.len(), all[0].refused.len()), (1, 3));
        let said = format!("{all:?}");
        assert!(!said.contains("s-"), "{said}");
    }

    #[test]
    fn every_format_is_recognised_by_its_beginning() {
        let tickets = r#"[{"_id":"a","profileId":"p","lastRequestTime":1795251600123},{"_id":"b","profileId":"p","lastRequestTime":1}]"#;
        let (all, error) = batches(tickets, DumpFormat::Crafter);
        assert_eq!((all[0].sent.len(), all[0].over, error), (1, 1, None));
        let (all, _) = batches(&tickets.replace("},{", "}\n{").replace(['[', ']'], ""), DumpFormat::Crafter);
        assert_eq!((all[0].sent.len(), all[0].over), (1, 1));
        let rows = "id,identity_id,issued_at,expires_at,active,token\n0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10,i,2026-11-21 08:00:00,2026-11-22 08:00:00,t,x\n,,,,,\n";
        let (all, _) = batches(rows, DumpFormat::Kratos);
        assert_eq!((&*all[0].sent, all[0].refused[0].0, all[0].kinds), (&[2][..], 3, [0, 1, 0]));
        assert!(batches("", DumpFormat::Kratos).0.is_empty());
    }

    #[test]
    fn entries_before_a_broken_place_are_sent_and_those_after_it_are_not() {
        let (all, error) = batches(&format!("[{},{{", ticket("a").trim_end()), DumpFormat::Ndjson);
        assert_eq!((all.len(), error.as_deref()), (1, Some("it ends before its array does (after line 2)")));
        let (all, error) = batches("id,identity_id\n", DumpFormat::Kratos);
        assert!(all.is_empty());
        assert_eq!(error.as_deref(), Some("its first line does not name the column issued_at (after line 0)"));
    }
}
