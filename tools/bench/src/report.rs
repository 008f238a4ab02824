//! What was measured: kept as JSON, shown as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Machine;

/// A table, ready to be shown.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// What it is about.
    pub title: String,
    /// The heads of its columns. The first column is text, the others are numbers.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// One without rows.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn markdown(&self) -> String {
        let mut text = format!("**{}**\n\n| {} |\n|", self.title, self.columns.join(" | "));
        self.columns.iter().enumerate().for_each(|(number, _)| text += if number == 0 { "---|" } else { "---:|" });
        text.push('\n');
        for row in &self.rows {
            // Writing to memory can't fail.
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }
}

/// One number, with what each round had of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measure {
    /// Who, and doing what.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// What it was measured at: connections, followers, events.
    pub at: u64,
    /// What each round had.
    pub rounds: Vec<f64>,
    /// The median of them.
    pub median: f64,
}

/// What came of a scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// What it was run with.
    pub settings: BTreeMap<String, Value>,
    /// What is shown.
    pub tables: Vec<Table>,
    /// Every number.
    pub measures: Vec<Measure>,
    /// What a reader must know: what was left out, and what a number means.
    pub notes: Vec<String>,
    /// What did not hold. With one of these, no number counts.
    pub failures: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// When it ended, RFC 3339.
    pub ended_at: String,
    /// The digest of the program that was measured.
    pub program: String,
    /// Whether it was the short form.
    pub quick: bool,
}

impl Outcome {
    /// Adds what one round had of a number.
    pub fn add(&mut self, name: &str, unit: &str, at: u64, value: f64) {
        let found = self.measures.iter_mut().find(|one| one.name == name && one.unit == unit && one.at == at);
        if let Some(measure) = found {
            measure.rounds.push(value);
            measure.median = median(&measure.rounds);
        } else {
            let (name, unit) = (name.to_owned(), unit.to_owned());
            self.measures.push(Measure { name, unit, at, rounds: vec![value], median: value });
        }
    }

    /// The median of a number, if there is one.
    pub fn median(&self, name: &str, unit: &str, at: u64) -> Option<f64> {
        self.measures.iter().find(|one| one.name == name && one.unit == unit && one.at == at).map(|one| one.median)
    }

    /// What each round had of a number, if there is one.
    pub fn rounds(&self, name: &str, unit: &str, at: u64) -> Option<&[f64]> {
        let found = self.measures.iter().find(|one| one.name == name && one.unit == unit && one.at == at);
        found.map(|one| one.rounds.as_slice())
    }

    /// Says something to the reader, once.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Notes that something does not hold.
    pub fn fail(&mut self, failure: impl Into<String>) {
        let failure = failure.into();
        eprintln!("authledger-bench: FAILED: {failure}");
        self.failures.push(failure);
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// How far numbers lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// A quarter of them is not above it.
    pub lower: f64,
    /// The middle one.
    pub median: f64,
    /// A quarter of them is not below it.
    pub upper: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these numbers, if there are any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let quarter = (sorted.len() - 1) / 4;
        let (lower, upper) = (sorted[quarter], sorted[sorted.len() - 1 - quarter]);
        Some(Self { least, lower, median: median(&sorted), upper, most })
    }
}

/// All results in a work directory, written again after each scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// What it was measured on.
    pub machine: Machine,
    /// Of everything that took part.
    pub versions: BTreeMap<String, String>,
    /// By name of the scenario.
    pub scenarios: BTreeMap<String, Outcome>,
}

impl Results {
    /// Those of earlier runs, or none.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("read {}: delete it to begin anew", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Keeps them: written beside and renamed, so that an interrupted run loses none.
    pub fn keep(&self, path: &Path) -> anyhow::Result<()> {
        let beside: PathBuf = path.with_extension("new");
        fs::write(&beside, serde_json::to_vec_pretty(self)?).with_context(|| format!("write {}", beside.display()))?;
        fs::rename(&beside, path).with_context(|| format!("write {}", path.display()))
    }

    /// As one page, with the scenarios in that order.
    pub fn markdown(&self, order: &[&str]) -> String {
        let mut text = format!("# authledger, measured\n\n{}\n\n", self.machine.sentence());
        let versions: Vec<_> = self.versions.iter().map(|(name, version)| format!("{name}: {version}")).collect();
        let _ = writeln!(text, "{}\n", versions.join("; "));
        for (name, outcome) in order.iter().filter_map(|name| Some((name, self.scenarios.get(*name)?))) {
            let quick = if outcome.quick { ", the short form" } else { "" };
            let _ = writeln!(
                text,
                "## {name}\n\nEnded {} after {:.0} s{quick}. Program {}.\n",
                outcome.ended_at, outcome.seconds, outcome.program
            );
            let settings: Vec<_> = outcome.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let _ = writeln!(text, "Settings: {}.\n", settings.join(", "));
            outcome.tables.iter().for_each(|table| text += &format!("{}\n", table.markdown()));
            outcome.notes.iter().for_each(|note| text += &format!("- {note}\n"));
            outcome.failures.iter().for_each(|failure| text += &format!("- **does not count**: {failure}\n"));
            text.push('\n');
        }
        text
    }
}

/// A count with its thousands apart.
pub fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// Milliseconds, with as many digits as say something.
pub fn millis(value: f64) -> String {
    if value >= 100.0 { count(value) } else { format!("{value:.2}") }
}

/// One number divided by another.
pub fn ratio(value: Option<f64>, by: Option<f64>) -> String {
    match (value, by) {
        (Some(value), Some(by)) if by > 0.0 => format!("{:.2}", value / by),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0.0, 999.4, 1_000.0, 1_234_567.0].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0])], [2.0, 2.5]);
        assert_eq!(ratio(Some(1.0), Some(4.0)), "0.25");
        assert_eq!(ratio(None, Some(4.0)), "–");
    }

    #[test]
    fn the_middle_half_of_eleven_leaves_out_the_two_at_each_end() {
        let values = [11.0, 1.0, 5.0, 4.0, 3.0, 2.0, 6.0, 10.0, 9.0, 8.0, 7.0];
        let spread = Spread { least: 1.0, lower: 3.0, median: 6.0, upper: 9.0, most: 11.0 };
        assert_eq!((Spread::of(&values), Spread::of(&[])), (Some(spread), None));
        assert_eq!(Spread::of(&[2.0]).map(|one| (one.lower, one.upper)), Some((2.0, 2.0)));
    }

    #[test]
    fn a_number_has_its_rounds_and_their_median() {
        let mut outcome = Outcome::default();
        [5.0, 1.0, 3.0].into_iter().for_each(|value| outcome.add("tickets", "requests/s", 64, value));
        outcome.add("tickets", "requests/s", 1, 9.0);
        assert_eq!(outcome.median("tickets", "requests/s", 64), Some(3.0));
        assert_eq!(outcome.measures.len(), 2);
    }

    #[test]
    fn kept_results_are_read_again() -> anyhow::Result<()> {
        let path = std::env::temp_dir().join(format!("authledger-bench-{}.json", std::process::id()));
        let mut results = Results::default();
        let mut table = Table::new("Rates", &["what", "a second"]);
        table.row(vec!["tickets".into(), "1".into()]);
        let outcome = Outcome { tables: vec![table], ..Outcome::default() };
        results.scenarios.insert("commands".into(), outcome);
        results.keep(&path)?;
        let read = Results::load(&path)?;
        fs::remove_file(&path)?;
        assert_eq!(read.markdown(&["commands"]), results.markdown(&["commands"]));
        assert!(read.markdown(&["commands"]).contains("| what | a second |\n|---|---:|\n| tickets | 1 |\n"));
        assert!(Results::load(&path)?.scenarios.is_empty());
        Ok(())
    }
}
