//! Questions about the past, and the printing of their answers.

mod show;

use std::io::{self, Read as _, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use authledger::audit::{self, AuditError, HistoryRecord, LogPrefix, Lookup, LookupCredential, Point, QuestionError};
use authledger::domain::{Digest, Event, Issuer, Kind, LedgerOpened, Position, Subject, Tenant};
use authledger::event_log::Reader;
use authledger::index::{self, Finder};
use authledger::{tell, terminal};
use clap::Args;

use crate::{ledger_file, print};

/// The prefix of every pseudonym of a subject.
const PSEUDONYM_PREFIX: &str = "al_p_";
/// The largest file that a credential is read from, in bytes.
const MAX_CREDENTIAL_BYTES: u64 = 65_536;

/// The subject or credential that a question is about.
#[derive(Args)]
struct Whom {
    /// A subject.
    #[arg(long, value_name = "SUBJECT", value_parser = subject, conflicts_with_all = ["credential", "kind", "id"])]
    subject: Option<Subject>,
    /// The subject's tenant.
    #[arg(long, value_name = "TENANT", value_parser = tenant, requires = "subject")]
    tenant: Option<Tenant>,
    /// A credential: the secret or JWT itself, its digest (64 hexadecimal digits), or its public id; `-` reads it from
    /// the standard input and `@FILE` from a file, so that it does not appear in a list of processes.
    ///
    /// A JWT is named by its issuer and jti, or its payload; its signature is not checked.
    #[arg(long, value_name = "CREDENTIAL|-|@FILE", conflicts_with_all = ["kind", "id"])]
    credential: Option<String>,
    /// The kind of the credential with that --id: ticket, session or token.
    #[arg(long, value_name = "KIND", value_parser = kind, requires = "id")]
    kind: Option<Kind>,
    /// A credential's public id: 32 hexadecimal digits, a session's UUID, or with --issuer a JWT's jti.
    #[arg(long, value_name = "ID", requires = "kind")]
    id: Option<String>,
    /// The issuer of the JWT.
    #[arg(long, value_name = "ISSUER", conflicts_with = "subject")]
    issuer: Option<String>,
}

/// `history`
#[derive(Args)]
pub(crate) struct History {
    /// The ledger.db, or the data directory that it is in.
    ledger: PathBuf,
    #[command(flatten)]
    whom: Whom,
    /// One JSON object for each record, the record in it byte for byte.
    #[arg(long)]
    json: bool,
}

/// `as-of`
#[derive(Args)]
pub(crate) struct AsOf {
    /// The ledger.db, or the data directory that it is in.
    ledger: PathBuf,
    /// An RFC 3339 time, such as 2026-06-01T14:03:00Z, or a position: the first so many records.
    #[arg(value_name = "TIME|POSITION", value_parser = point)]
    at: Point,
    #[command(flatten)]
    whom: Whom,
    /// With a time: what this node had stored by then, rather than what each node had recorded.
    #[arg(long)]
    known_here: bool,
    /// One JSON object on the standard output instead of lines for people.
    #[arg(long)]
    json: bool,
}

/// `diff`
#[derive(Args)]
pub(crate) struct Diff {
    /// The ledger.db, or the data directory that it is in.
    ledger: PathBuf,
    /// The earlier point: an RFC 3339 time or a position.
    #[arg(value_name = "FROM", value_parser = point)]
    from: Point,
    /// The later point.
    #[arg(value_name = "TO", value_parser = point)]
    to: Point,
    /// List each change too.
    #[arg(long)]
    list: bool,
    /// JSON on the standard output: with --list one object for each change, and the counts in the last one.
    #[arg(long)]
    json: bool,
}

/// `stats`
#[derive(Args)]
pub(crate) struct Stats {
    /// The ledger.db, or the data directory that it is in.
    ledger: PathBuf,
    /// One JSON object on the standard output instead of a chart.
    #[arg(long)]
    json: bool,
}

/// True if the log could be read.
pub(crate) fn history(arguments: &History) -> anyhow::Result<bool> {
    let path = ledger_file(&arguments.ledger);
    let asked = arguments.whom.asked()?.ok_or_else(|| anyhow!("{NOBODY}"))?;
    answered(&path, arguments.json, |out| {
        let reader = Reader::open(&path).map_err(AuditError::from)?;
        refuse_own_name(&reader, &asked)?;
        let mut finder = Finder::new(&reader, &index::beside(&path), None)?;
        let (mut progress, mut written) = (print::Progress::new("read"), Ok(()));
        let mut take = |told: HistoryRecord| {
            written = if arguments.json { show::told_json(out, &told) } else { show::told(out, &told) };
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let mut progress = |reached, head| progress.show(reached, head);
        let told = audit::history(&mut finder, &asked, Position(0), usize::MAX, &mut progress, &mut take);
        say_unusable(&finder);
        told?;
        Ok(written?)
    })
}

/// True if the log could be read.
pub(crate) fn as_of(arguments: &AsOf) -> anyhow::Result<bool> {
    let path = ledger_file(&arguments.ledger);
    let asked = arguments.whom.asked()?;
    let point = if arguments.known_here { arguments.at.known_here() } else { arguments.at };
    answered(&path, arguments.json, |out| {
        let reader = Reader::open(&path).map_err(AuditError::from)?;
        let mut progress = print::Progress::new("read");
        let mut progress = |reached, head| progress.show(reached, head);
        let Some(asked) = &asked else {
            let prefix = LogPrefix::of(point, &reader, reader.head()?)?;
            let tally = audit::tally_as_of(&reader, &prefix, &mut progress)?;
            return Ok(show::tally(out, &prefix, &tally, arguments.json)?);
        };
        refuse_own_name(&reader, asked)?;
        let mut finder = Finder::new(&reader, &index::beside(&path), None)?;
        let prefix = LogPrefix::of(point, &reader, finder.head())?;
        let standings = audit::as_of(&reader, &mut finder, asked, &prefix, usize::MAX, &mut progress);
        say_unusable(&finder);
        Ok(show::standings(out, &prefix, &standings?, arguments.json)?)
    })
}

/// True if the log could be read.
pub(crate) fn diff(arguments: &Diff) -> anyhow::Result<bool> {
    let path = ledger_file(&arguments.ledger);
    answered(&path, arguments.json, |out| {
        let reader = Reader::open(&path).map_err(AuditError::from)?;
        let head = reader.head()?;
        let from = LogPrefix::of(arguments.from, &reader, head)?;
        let to = LogPrefix::of(arguments.to, &reader, head)?;
        let (mut progress, mut written) = (print::Progress::new("read"), Ok(()));
        let changed = audit::diff(
            &reader,
            &from,
            &to,
            |reached, last| progress.show(reached, last),
            |stored, recorded, _| {
                if arguments.list && written.is_ok() {
                    let told =
                        HistoryRecord { stored: stored.clone(), recorded: recorded.clone(), used_at: Vec::new() };
                    written = if arguments.json { show::told_json(out, &told) } else { show::told(out, &told) };
                }
            },
        )?;
        written?;
        Ok(show::changed(out, &arguments.from.to_string(), &arguments.to.to_string(), &changed, arguments.json)?)
    })
}

/// True if the log could be read.
pub(crate) fn stats(arguments: &Stats) -> anyhow::Result<bool> {
    let path = ledger_file(&arguments.ledger);
    answered(&path, arguments.json, |out| {
        let reader = Reader::open(&path).map_err(AuditError::from)?;
        let mut progress = print::Progress::new("counted");
        let stats = audit::stats(&reader, |reached, head| progress.show(reached, head))?;
        drop(progress);
        Ok(show::stats(out, &stats, arguments.json)?)
    })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Log(#[from] AuditError),
    #[error(transparent)]
    Question(QuestionError),
    #[error(
        "this ledger's subjects are pseudonyms (al_p_…), and only its server can match them to names: give the pseudonym, or ask the server (GET /v1/history, GET /v1/as-of)"
    )]
    OwnName,
    #[error("write the answer: {0}")]
    Write(#[from] io::Error),
}

impl From<QuestionError> for Failed {
    fn from(error: QuestionError) -> Self {
        error.into_audit().map_or_else(Self::Question, Self::Log)
    }
}

impl From<authledger::event_log::ReadError> for Failed {
    fn from(error: authledger::event_log::ReadError) -> Self {
        QuestionError::from(error).into()
    }
}

/// Gives an answer on the standard output. Damage is an answer too; a reader that closes the pipe has read enough.
fn answered(
    path: &Path,
    as_json: bool,
    answer: impl FnOnce(&mut dyn Write) -> Result<(), Failed>,
) -> anyhow::Result<bool> {
    let mut out = terminal::out().buffered();
    let answered = answer(&mut out).and_then(|()| Ok(out.flush()?));
    match answered {
        Ok(()) => Ok(true),
        Err(Failed::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(Failed::Log(error)) if error.is_damage() => {
            out.flush()?;
            drop(out);
            print::damage(path, &error, error.position(), as_json);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// If subjects are pseudonyms, only the server has the key that makes them.
fn refuse_own_name(reader: &Reader, asked: &Lookup) -> Result<(), Failed> {
    let Lookup::Subject(_, subject) = asked else { return Ok(()) };
    let first = reader.find(Position(1))?.map(|stored| stored.decode()).transpose()?;
    let pseudonyms =
        first.is_some_and(|first| matches!(first.event, Event::LedgerOpened(LedgerOpened { pseudonyms: Some(_), .. })));
    if pseudonyms && !subject.as_str().starts_with(PSEUDONYM_PREFIX) {
        return Err(Failed::OwnName);
    }
    Ok(())
}

fn say_unusable(finder: &Finder<'_>) {
    for unusable in finder.unusable() {
        tell!("authledger-audit: the damaged part of the index is not used, and the log is read instead: {unusable}");
    }
}

const NOBODY: &str = "name a subject or a credential: --subject, --credential, or --kind and --id";

impl Whom {
    fn asked(&self) -> anyhow::Result<Option<Lookup>> {
        if let Some(subject) = &self.subject {
            return Ok(Some(Lookup::Subject(self.tenant.clone().unwrap_or_default(), subject.clone())));
        }
        if let (Some(kind), Some(id)) = (self.kind, &self.id) {
            let named = LookupCredential::named(kind, id, self.issuer.as_deref());
            return named
                .map(|named| Some(Lookup::Credential(named)))
                .map_err(|must_be| anyhow!("--id must be {must_be}"));
        }
        match (&self.credential, &self.issuer) {
            (None, None) => Ok(None),
            (None, Some(_)) => bail!("--issuer goes with --credential, or with --kind token and --id"),
            (Some(credential), None) => Ok(Some(Lookup::Credential(LookupCredential::any(&presented(credential)?)))),
            (Some(id), Some(issuer)) => Ok(Some(Lookup::Credential(issued_by(id, issuer)?))),
        }
    }
}

/// The JWT of that issuer with that `jti`, or with that payload's digest.
fn issued_by(id: &str, issuer: &str) -> anyhow::Result<LookupCredential> {
    let named = LookupCredential::named(Kind::Token, id, Some(issuer));
    let mut asked = named.map_err(|must_be| anyhow!("--issuer and --credential must each be {must_be}"))?;
    if let (Ok(digest), Ok(issuer)) = (id.parse::<Digest>(), Issuer::new(issuer)) {
        asked.names.extend(LookupCredential::payload(issuer, digest).names);
    }
    Ok(asked)
}

/// The text itself, or the contents of the standard input or a file, without the line's end.
fn presented(argument: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    if argument == "-" {
        io::stdin().take(MAX_CREDENTIAL_BYTES).read_to_string(&mut text).context("read the standard input")?;
    } else if let Some(path) = argument.strip_prefix('@') {
        let file = std::fs::File::open(path).with_context(|| format!("open {path}"))?;
        file.take(MAX_CREDENTIAL_BYTES).read_to_string(&mut text).with_context(|| format!("read {path}"))?;
    } else {
        text.push_str(argument);
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(anyhow!("the credential is empty")) } else { Ok(text.to_owned()) }
}

fn subject(text: &str) -> Result<Subject, String> {
    Subject::new(text).map_err(|must_be| format!("a subject must be {must_be}"))
}

fn tenant(text: &str) -> Result<Tenant, String> {
    Tenant::new(text).map_err(|must_be| format!("a tenant must be {must_be}"))
}

fn kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|must_be| format!("a kind must be {must_be}"))
}

fn point(text: &str) -> Result<Point, String> {
    text.parse().map_err(|must_be| format!("a point must be {must_be}"))
}
