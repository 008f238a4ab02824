//! What becomes of each answer of the check, and of no answer: the table of the guide.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::Stage;
use super::authority::{Answer, CHALLENGE, GOOD, IDENTITY, Says};
use super::client::{Got, ask};
use super::program::Gateway;
use crate::documents::{pages, tables};

const PAGE: &str = "docs/guide/gateways.md";
const TABLE: &str = "answers";
/// A header that no gateway knows.
const OTHER: (&str, &str) = ("x-other", "other");
/// Answers that the check never gives, but other programs do.
const STRANGE: [u16; 9] = [201, 204, 302, 400, 404, 410, 429, 500, 502];

/// How much longer a busy machine may take.
const SLACK: Duration = Duration::from_secs(10);

/// What the authority does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Status(u16),
    Silence,
    Gone,
}

impl Act {
    /// In the order of the table: the check's own answers first.
    fn all() -> impl Iterator<Item = Self> {
        let answers = [200, 401, 403, 503].into_iter().chain(STRANGE).map(Self::Status);
        answers.chain([Self::Silence, Self::Gone])
    }

    fn title(self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::Silence => "no answer".to_owned(),
            Self::Gone => "no connection".to_owned(),
        }
    }

    fn answer(status: u16) -> Answer {
        let mut headers = vec![OTHER];
        match status {
            200 | 201 | 204 => headers.extend(IDENTITY),
            401 | 403 => headers.push(("www-authenticate", CHALLENGE)),
            302 => headers.push(("location", "https://login.example/")),
            503 => headers.push(("retry-after", "1")),
            _ => {}
        }
        (status, headers)
    }
}

/// One cell: what the client got.
fn outcome(got: &Got, is_passed: bool) -> String {
    if is_passed {
        assert_eq!(got.status, 200, "the backend's answer");
        return "passes".to_owned();
    }
    let challenge = got.header("www-authenticate").map(|value| if value == CHALLENGE { ", challenge" } else { "" });
    let whole = got.header(OTHER.0).map(|_| ", all headers");
    format!("{}{}{}", got.status, challenge.unwrap_or_default(), whole.unwrap_or_default())
}

/// What a gateway makes of everything, each held against what no configuration of ours may do.
async fn column(gateway: Gateway) -> Option<BTreeMap<Act, String>> {
    let Stage { gateway: running, mut authority, backend } = Stage::set(gateway).await?;
    let mut cells = BTreeMap::new();
    for act in Act::all() {
        match act {
            Act::Status(status) => authority.say(Says::Always(Act::answer(status))),
            Act::Silence => authority.say(Says::Silence),
            Act::Gone => authority.go().await,
        }
        let got = ask(running.address(), "GET /", &[GOOD]).await;
        let is_passed = !backend.reached().is_empty();
        let is_success = matches!(act, Act::Status(200..300));
        assert!(is_success || !is_passed, "{gateway:?} lets a request pass after {act:?}");
        match act {
            Act::Status(200) => assert!(is_passed, "{gateway:?}: {got:?}"),
            Act::Status(401 | 403) => assert_eq!(act.title(), got.status.to_string(), "{gateway:?}"),
            // A client that is told 401 logs out, and one that is told 403 gives up.
            Act::Status(503) | Act::Gone => assert!(got.status >= 500, "{gateway:?}, {act:?}: {got:?}"),
            Act::Silence => {
                assert!(got.status >= 500, "{gateway:?}: {got:?}");
                assert!(got.took < gateway.waits() + SLACK, "{gateway:?} waits {:?}", got.took);
            }
            Act::Status(_) => {}
        }
        cells.insert(act, outcome(&got, is_passed));
    }
    Some(cells)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gateway_does_with_each_answer_what_the_guide_says() {
    let columns = join_all(Gateway::ALL.map(column)).await;
    let documented = tables::cells(PAGE, TABLE);
    let titles: Vec<_> = Gateway::ALL.iter().map(|gateway| gateway.title()).collect();
    let mut table = format!("| the check | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
    for act in Act::all() {
        let known = documented.get(&act.title());
        let cells = columns.iter().enumerate().map(|(index, column)| match column {
            Some(cells) => cells[&act].clone(),
            // Of a gateway that is not installed nothing is known.
            None => known.and_then(|row| row.get(index).cloned()).unwrap_or_default(),
        });
        table += &format!("| {} | {} |\n", act.title(), cells.collect::<Vec<_>>().join(" | "));
    }
    println!("{table}");
    tables::compare(PAGE, TABLE, &table);
    assert!(pages::read(PAGE).contains("all headers"), "the page explains the word");
}
