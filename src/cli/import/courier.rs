//! Batches on their way to the server, sent again for as long as that may help.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use super::{ImportError, notice};
use crate::cli::client::{CallError, Client};

/// How long one batch may take, its answer included.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two attempts: together most of a minute, in which a server can start again.
const MAX_ATTEMPTS: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The outcome of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineOutcome {
    /// The ledger has recorded it.
    Made,
    /// The ledger had it before.
    Known,
    /// The ledger does not take it.
    Refused,
}

/// The server's answer to a line; its number is the body's, until it becomes the dump's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LineAnswer {
    pub line: u64,
    pub outcome: LineOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Brings batches to one server.
pub struct BatchSender {
    client: Client,
    answered: AtomicBool,
}

impl BatchSender {
    /// To that server.
    pub fn new(client: Client) -> Self {
        Self { client, answered: AtomicBool::new(false) }
    }

    /// Sends a batch of so many lines: an answer for each of them, in their order.
    pub async fn bring(&self, body: &str, lines: usize) -> Result<Vec<LineAnswer>, ImportError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..MAX_ATTEMPTS {
            match self.attempt(body, lines).await {
                Err(ImportError::Call(error)) if self.may_pass(&error) => notice(&format!("{error}; trying again")),
                done => return done,
            }
            // An overloaded server is helped by a pause, longer each time. There are MAX_ATTEMPTS.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.attempt(body, lines).await
    }

    /// Whether to wait. If no call was ever answered, the address is wrong rather than the time.
    fn may_pass(&self, error: &CallError) -> bool {
        let never_there = matches!(error, CallError::Unreachable { .. }) && !self.answered.load(Ordering::Relaxed);
        error.is_passing() && !never_there
    }

    async fn attempt(&self, body: &str, lines: usize) -> Result<Vec<LineAnswer>, ImportError> {
        let request = self.client.request(Method::POST, "/v1/imports").body(body.to_owned()).timeout(BATCH_TIMEOUT);
        let request = request.header(CONTENT_TYPE, "application/x-ndjson").header(ACCEPT, "application/x-ndjson");
        let mut said = self.client.lines(request).await?;
        self.answered.store(true, Ordering::Relaxed);
        let mut answers = Vec::with_capacity(lines);
        while let Some(text) = said.next().await? {
            answers.push(numbered(&text, answers.len(), lines)?);
        }
        if answers.len() < lines {
            // The answer broke off. The lines that are missing in it may have been made: sent again they are known.
            let why = format!("it told of {} lines where {lines} were sent", answers.len());
            return Err(CallError::Broken { url: self.client.url().to_owned(), why }.into());
        }
        Ok(answers)
    }
}

/// The answer to the line after so many.
fn numbered(text: &str, before: usize, lines: usize) -> Result<LineAnswer, ImportError> {
    let answer: LineAnswer = serde_json::from_str(text).map_err(|error| ImportError::Answer(error.to_string()))?;
    if before == lines || answer.line != before as u64 + 1 {
        return Err(ImportError::Answer(format!("line {} is told of where {} is due", answer.line, before + 1)));
    }
    Ok(answer)
}
