//! The outcomes of the lines: counted, shown, and kept.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use super::courier::{LineAnswer, LineOutcome};
use super::entry::EntryRefusal;
use super::source::ImportBatch;
use super::{ImportError, notice};
use crate::cli::Progress;
use crate::domain::Kind;
use crate::terminal;

/// How many refusals are shown to people; a file has all of them.
const MAX_SHOWN_REFUSALS: u64 = 20;

/// How many lines had which outcome.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct OutcomeCounts {
    lines: u64,
    made: u64,
    known: u64,
    pub refused: u64,
    /// Expired already, so not sent.
    skipped: u64,
}

impl OutcomeCounts {
    /// The number of lines whose outcome is known.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// Counts, shows and keeps the outcomes.
pub struct ImportTally {
    pub counts: OutcomeCounts,
    json: bool,
    refusals: Option<(PathBuf, BufWriter<File>)>,
    progress: Progress,
}

/// A refusal in the file of refusals.
#[derive(Serialize)]
struct RefusedLine<'a> {
    line: u64,
    code: &'a str,
    detail: &'a str,
}

/// The last line for a pipe.
#[derive(Serialize)]
struct ImportSummary {
    end: bool,
    #[serde(flatten)]
    counts: OutcomeCounts,
}

impl ImportTally {
    /// Begins with an empty file of refusals, if one is requested.
    pub fn new(json: bool, refusals: Option<PathBuf>) -> Result<Self, ImportError> {
        let open = |path: PathBuf| match File::create(&path) {
            Ok(file) => Ok((path, BufWriter::new(file))),
            Err(source) => Err(ImportError::Refusals { path, source }),
        };
        let refusals = refusals.map(open).transpose()?;
        Ok(Self { counts: OutcomeCounts::default(), json, refusals, progress: Progress::new("imported") })
    }

    /// Takes the outcomes of a batch, in the order of the dump.
    pub fn settle(&mut self, batch: ImportBatch, answers: Vec<LineAnswer>) -> Result<(), ImportError> {
        self.skip(batch.over);
        let mut refused = batch.refused.into_iter().peekable();
        for (mut answer, line) in answers.into_iter().zip(batch.sent) {
            while let Some((line, refusal)) = refused.next_if(|(before, _)| *before < line) {
                self.refuse(line, refusal)?;
            }
            answer.line = line;
            self.take(&answer)?;
        }
        refused.try_for_each(|(line, refusal)| self.refuse(line, refusal))?;
        self.show_progress();
        Ok(())
    }

    /// Takes a batch that is not sent, only counted.
    pub fn rehearse(&mut self, batch: ImportBatch) -> Result<(), ImportError> {
        self.counts.lines += batch.sent.len() as u64;
        self.skip(batch.over);
        if self.json {
            print(&batch.body)?;
        }
        batch.refused.into_iter().try_for_each(|(line, refusal)| self.refuse(line, refusal))
    }

    fn skip(&mut self, over: u64) {
        self.counts.lines += over;
        self.counts.skipped += over;
    }

    fn refuse(&mut self, line: u64, refusal: EntryRefusal) -> Result<(), ImportError> {
        let (code, detail) = (Some(refusal.code.to_owned()), Some(refusal.detail));
        self.take(&LineAnswer { line, outcome: LineOutcome::Refused, kind: None, id: None, code, detail })
    }

    fn take(&mut self, answer: &LineAnswer) -> Result<(), ImportError> {
        self.counts.lines += 1;
        match answer.outcome {
            LineOutcome::Made => self.counts.made += 1,
            LineOutcome::Known => self.counts.known += 1,
            LineOutcome::Refused => self.keep_refusal(answer)?,
        }
        if self.json { print_json(answer) } else { Ok(()) }
    }

    fn keep_refusal(&mut self, answer: &LineAnswer) -> Result<(), ImportError> {
        self.counts.refused += 1;
        let code = answer.code.as_deref().unwrap_or("no-code");
        let detail = answer.detail.as_deref().unwrap_or_default();
        if self.counts.refused <= MAX_SHOWN_REFUSALS {
            notice(&format!("line {}: {code}: {detail}", answer.line));
        }
        if let Some((path, file)) = &mut self.refusals {
            let kept = serde_json::to_string(&RefusedLine { line: answer.line, code, detail }).map_err(io::Error::from);
            let written = kept.and_then(|kept| writeln!(file, "{kept}"));
            written.map_err(|source| ImportError::Refusals { path: path.clone(), source })?;
        }
        Ok(())
    }

    fn show_progress(&mut self) {
        let OutcomeCounts { lines, made, known, refused, skipped } = self.counts;
        self.progress.tell(|| {
            format!("imported {lines} lines: {made} made, {known} known, {refused} refused, {skipped} skipped")
        });
    }

    /// Shows the sums, and completes the file of refusals.
    pub fn finish(&mut self) -> Result<(), ImportError> {
        self.end()?;
        let OutcomeCounts { lines, made, known, refused, skipped } = self.counts;
        if self.json {
            return print_json(&ImportSummary { end: true, counts: self.counts });
        }
        print(&format!(
            "lines    {lines}\nmade     {made}\nknown    {known}\nrefused  {refused}\nskipped  {skipped} that had expired already\n"
        ))
    }

    /// Like [`ImportTally::finish`], if nothing was sent.
    pub fn finish_rehearsal(&mut self, kinds: [u64; Kind::ALL.len()]) -> Result<(), ImportError> {
        self.end()?;
        if self.json {
            return Ok(());
        }
        let OutcomeCounts { lines, refused, skipped, .. } = self.counts;
        let kinds = Kind::ALL.into_iter().zip(kinds).filter(|(_, count)| *count > 0);
        let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{count} {kind}s")).collect();
        let sent = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
        print(&format!(
            "lines    {lines}\nto send  {sent}\nrefused  {refused}\nskipped  {skipped} that have expired already\nNothing was sent.\n"
        ))
    }

    /// Completes the terminal's line and the file of refusals.
    pub fn end(&mut self) -> Result<(), ImportError> {
        self.progress.clear();
        let more = self.counts.refused.saturating_sub(MAX_SHOWN_REFUSALS);
        if more > 0 {
            let whole =
                if self.refusals.is_some() { "the file has all of them" } else { "--refused FILE keeps all of them" };
            notice(&format!("and {more} more refused lines; {whole}"));
        }
        let Some((path, file)) = &mut self.refusals else { return Ok(()) };
        file.flush().map_err(|source| ImportError::Refusals { path: path.clone(), source })
    }
}

fn print_json(line: &impl Serialize) -> Result<(), ImportError> {
    let text = serde_json::to_string(line).map_err(|error| ImportError::Output(error.into()))?;
    print(&(text + "\n"))
}

fn print(text: &str) -> Result<(), ImportError> {
    let mut out = terminal::out();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(ImportError::Output)
}
