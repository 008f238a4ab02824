//! A page's commands and the output that it shows, and how that is compared with the output that came.
//!
//! Ids, secrets and times are those of the run that the page was written with. So members and their kinds are compared,
//! booleans to the letter; and where another text came than the page shows, later commands get the one that came.

use std::collections::BTreeMap;

use serde_json::Value;

/// Shorter texts are words that may stand anywhere in a command.
const SHORTEST_REPLACED: usize = 12;

/// A command, and the lines that the page shows as its output.
pub struct Step {
    pub command: String,
    pub shown: Vec<String>,
}

/// The steps of a page: lines that begin with `$ ` in fenced blocks without a language, and the lines that follow each.
pub fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut open = false;
    let mut step: Option<Step> = None;
    let mut is_transcript = false;
    for line in text.lines() {
        if line.starts_with("```") {
            open = !open;
            is_transcript = open && line == "```";
            steps.extend(step.take());
        } else if !is_transcript || line.is_empty() {
            continue;
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.extend(step.replace(Step { command: command.to_owned(), shown: Vec::new() }));
        } else if let Some(step) = &mut step {
            step.shown.push(line.to_owned());
        }
    }
    steps
}

/// The texts that came instead of those that the page shows.
#[derive(Default)]
pub struct Replaced(BTreeMap<String, String>);

impl Replaced {
    /// From now on the one stands for the other.
    pub fn learn(&mut self, shown: &str, came: &str) {
        if shown != came && shown.len() >= SHORTEST_REPLACED {
            self.0.insert(shown.to_owned(), came.to_owned());
        }
    }

    /// The command as it is to be run. Longer texts first: one may begin with another.
    pub fn apply(&self, command: &str) -> String {
        let mut shown: Vec<_> = self.0.iter().collect();
        shown.sort_by_key(|(shown, _)| std::cmp::Reverse(shown.len()));
        shown.into_iter().fold(command.to_owned(), |command, (shown, came)| command.replace(shown, came))
    }

    /// Compares the output that a page shows with the one that came: the difference, if there is one.
    pub fn compare(&mut self, shown: &[String], came: &str) -> Result<(), String> {
        let mut values = came.lines().filter_map(json);
        for line in shown {
            if let Some(shown) = json(line) {
                let came = values.next().ok_or_else(|| format!("nothing came for {line}"))?;
                self.compare_values(&shown, &came, "")?;
            } else if line.starts_with("HTTP/") {
                let is_there = came.lines().any(|other| other.trim_end() == line);
                is_there.then_some(()).ok_or_else(|| format!("the status is not {line}"))?;
            } else if let Some((name, shown)) = pair(line) {
                let found = came.lines().filter_map(pair).find(|(other, _)| *other == name);
                let (_, came) = found.ok_or_else(|| format!("there is no line {line}"))?;
                self.learn(shown, came);
            }
        }
        Ok(())
    }

    fn compare_values(&mut self, shown: &Value, came: &Value, place: &str) -> Result<(), String> {
        match (shown, came) {
            (Value::Object(shown), Value::Object(came)) => {
                for (name, shown) in shown {
                    let place = format!("{place}.{name}");
                    let came = came.get(name).ok_or_else(|| format!("{place} is missing"))?;
                    self.compare_values(shown, came, &place)?;
                }
                Ok(())
            }
            (Value::Array(shown), Value::Array(came)) => {
                for (index, shown) in shown.iter().enumerate() {
                    let place = format!("{place}[{index}]");
                    let came = came.get(index).ok_or_else(|| format!("{place} is missing"))?;
                    self.compare_values(shown, came, &place)?;
                }
                Ok(())
            }
            (Value::String(shown), Value::String(came)) => {
                self.learn(shown, came);
                Ok(())
            }
            (Value::Number(_), Value::Number(_)) | (Value::Null, Value::Null) => Ok(()),
            (Value::Bool(shown), Value::Bool(came)) if shown == came => Ok(()),
            _ => Err(format!("{place} is {came}, and the page shows {shown}")),
        }
    }
}

/// A line of JSON, or of an event stream with JSON in it.
fn json(line: &str) -> Option<Value> {
    let text = line.strip_prefix("data: ").unwrap_or(line);
    let is_json = text.starts_with(['{', '[']);
    is_json.then(|| serde_json::from_str(text).ok()).flatten()
}

/// `secret   al_a_…`: a name and one value.
fn pair(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let pair = (words.next()?, words.next()?);
    words.next().is_none().then_some(pair)
}

#[test]
fn steps_are_taken_from_blocks_without_a_language() {
    let page = "```sh\n$ not this\n```\n```\n$ one\nsaid\n\n$ two\n```\n$ nor this\n```text\n$ nor this\n```\n```\n$ three\n```\n";
    let steps: Vec<_> = steps(page).into_iter().map(|step| (step.command, step.shown)).collect();
    assert_eq!(steps, [("one".into(), vec!["said".into()]), ("two".into(), vec![]), ("three".into(), vec![])]);
}

#[test]
fn output_is_compared_and_remembered() {
    let mut replaced = Replaced::default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let shown = lines(r#"{"id":"0123456789ab…","active":true,"list":[{"at":1}]}"#);
    let came = r#"{"id":"fedcba9876543210","active":true,"list":[{"at":2,"more":null}],"more":0}"#;
    assert_eq!(replaced.compare(&shown, came), Ok(()));
    assert_eq!(replaced.apply("ask 0123456789ab…"), "ask fedcba9876543210");
    for other in [r#"{"id":"x","active":false,"list":[{"at":2}]}"#, r#"{"id":"x","active":true,"list":[]}"#, "{}", ""] {
        assert!(replaced.compare(&shown, other).is_err(), "{other}");
    }
    assert_eq!(replaced.compare(&lines("secret  al_a_0123456789"), "id 1\nsecret al_a_9876543210\n"), Ok(()));
    assert_eq!(replaced.apply("al_a_0123456789"), "al_a_9876543210");
    assert!(replaced.compare(&lines("HTTP/1.1 204 No Content"), "HTTP/1.1 401 Unauthorized\r\n").is_err());
}
