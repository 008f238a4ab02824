//! Rules as the settings' file has them: the tables `[[check]]`.

use std::collections::HashSet;

use serde::Deserialize;

use super::rule::{CheckRule, CheckRules, CredentialSource, RuleName, WhenOriginBehind, WhenStale};
use crate::domain::{Kind, Malformed, Tenant};

/// The most rules, and the most values of a key that is a list.
pub const MAX_RULES: usize = 1_000;
const MAX_LIST: usize = 64;
/// The longest text in a list, in bytes. A challenge with a rule's scopes must fit the head of an answer.
const MAX_TEXT_BYTES: usize = 255;
const MAX_SCOPE_BYTES: usize = 1_024;

/// A `[[check]]` table as it was written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckTable {
    /// The name of the rule.
    pub rule: String,
    /// Where the credential may be: `bearer`, `header:NAME`, `cookie:NAME`.
    pub credentials: Option<Vec<String>>,
    /// The kinds that are taken.
    pub kinds: Option<Vec<String>>,
    /// The tenants that are taken.
    pub tenants: Option<Vec<String>>,
    /// The issuers that are taken.
    pub issuers: Option<Vec<String>>,
    /// The audiences of which one must be the credential's.
    pub audience: Option<Vec<String>>,
    /// The scopes, separated by spaces.
    pub scope: Option<String>,
    /// The least assurance level.
    pub min_aal: Option<String>,
    /// Whether a check renews a ticket.
    #[serde(default)]
    pub renew: bool,
    /// For an edge.
    #[serde(default)]
    pub when_stale: WhenStale,
    /// For an edge.
    #[serde(default)]
    pub when_origin_behind: WhenOriginBehind,
}

/// Why a table can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use the [[check]] of {rule:?}: its `{key}` must be {must_be}")]
pub struct RuleError {
    /// The name as written.
    pub rule: String,
    /// The key in the table.
    pub key: &'static str,
    pub must_be: Malformed,
}

type WrongKey = (&'static str, Malformed);

impl CheckRules {
    /// The rules of these tables.
    pub fn of_tables(tables: &[CheckTable]) -> Result<Self, RuleError> {
        let (mut seen, mut rules) = (HashSet::new(), Vec::with_capacity(tables.len()));
        for table in tables {
            let refuse = |(key, must_be)| RuleError { rule: table.rule.clone(), key, must_be };
            if !seen.insert(&table.rule) || seen.len() > MAX_RULES {
                return Err(refuse(("rule", Malformed("another name than every other table's, at most 1000"))));
            }
            rules.push(table.checked().map_err(refuse)?);
        }
        Ok(Self::new(rules))
    }
}

impl CheckTable {
    fn checked(&self) -> Result<CheckRule, WrongKey> {
        let plain = CheckRule::plain(RuleName::new(&self.rule).map_err(|must_be| ("rule", must_be))?);
        let source = |text: &str| text.parse::<CredentialSource>();
        let credentials = some(list("credentials", self.credentials.as_deref(), source)?, "credentials")?;
        let kinds = some(list("kinds", self.kinds.as_deref(), |text| text.parse::<Kind>())?, "kinds")?;
        let kinds = kinds.map_or(plain.kinds, |kinds| kinds.into_iter().collect());
        if self.renew && !kinds.contains(Kind::Ticket) {
            return Err((
                "renew",
                Malformed("left out unless `kinds` names tickets: nothing else is renewed by its use"),
            ));
        }
        let min_aal = self.min_aal.as_ref().map(|text| text.parse()).transpose();
        Ok(CheckRule {
            credentials: credentials.unwrap_or(plain.credentials),
            kinds,
            tenants: some(list("tenants", self.tenants.as_deref(), Tenant::new)?, "tenants")?,
            issuers: list("issuers", self.issuers.as_deref(), text)?.filter(|issuers| !issuers.is_empty()),
            audience: some(list("audience", self.audience.as_deref(), text)?, "audience")?.unwrap_or_default(),
            scope: self.scope.as_deref().map(scopes).transpose()?.unwrap_or_default(),
            min_aal: min_aal.map_err(|must_be| ("min_aal", must_be))?,
            renew: self.renew,
            when_stale: self.when_stale,
            when_origin_behind: self.when_origin_behind,
            name: plain.name,
        })
    }
}

fn list<T>(
    key: &'static str,
    texts: Option<&[String]>,
    read: impl Fn(&str) -> Result<T, Malformed>,
) -> Result<Option<Vec<T>>, WrongKey> {
    let Some(texts) = texts else { return Ok(None) };
    if texts.len() > MAX_LIST {
        return Err((key, Malformed("a list of at most 64")));
    }
    let read: Result<Vec<T>, Malformed> = texts.iter().map(|text| read(text)).collect();
    read.map(Some).map_err(|must_be| (key, must_be))
}

/// An empty list would take nothing, and who empties a list may mean the opposite.
fn some<T>(list: Option<Vec<T>>, key: &'static str) -> Result<Option<Vec<T>>, WrongKey> {
    if list.as_ref().is_some_and(Vec::is_empty) {
        return Err((key, Malformed("left out, or a list that is not empty")));
    }
    Ok(list)
}

fn text(text: &str) -> Result<Box<str>, Malformed> {
    if text.is_empty() || text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
        return Err(Malformed("texts of 1 to 255 bytes without control characters"));
    }
    Ok(text.into())
}

/// RFC 6749, section 3.3: such a text needs no escapes in a challenge.
fn scopes(text: &str) -> Result<Vec<Box<str>>, WrongKey> {
    let is_scope =
        |one: &str| !one.is_empty() && one.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
    if text.len() > MAX_SCOPE_BYTES || !text.split(' ').all(is_scope) {
        return Err(("scope", Malformed("scopes with one space between two, at most 1024 bytes")));
    }
    Ok(text.split(' ').map(Into::into).collect())
}
