//! The settings of Ory's contract.

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::{MAX_NAME_BYTES, Malformed, Ttl};
use crate::http::prefix;
use crate::service::RESERVED_CLAIMS;
use crate::setting::{Chosen, Layers, ValueError};

const DEFAULT_PREFIX: &str = "/auth";
const DEFAULT_COOKIE: &str = "ory_kratos_session";
/// The most templates, the most receivers of one, and the most JSON of its claims.
const MAX_TEMPLATES: usize = 100;
const MAX_AUDIENCE: usize = 16;
const MAX_CLAIMS_BYTES: usize = 4_096;
/// Tokens of a template are short-lived: their readers need not ask whether they are active.
const MAX_TTL_SECONDS: u64 = 86_400;

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct OrySettings {
    /// The path prefix under which Ory's public and admin calls are served in addition; empty for no prefix [default:
    /// /auth]
    #[arg(long, env = "AUTHLEDGER_ORY_PREFIX", value_name = "PATH")]
    pub ory_prefix: Option<String>,

    /// The cookie that carries a session token on Ory's public calls [default: ory_kratos_session]
    #[arg(long, env = "AUTHLEDGER_ORY_COOKIE", value_name = "NAME")]
    pub ory_cookie: Option<String>,

    /// The domain of a cookie that replaces one whose session was extended; empty for the host alone [default: none]
    #[arg(long, env = "AUTHLEDGER_ORY_COOKIE_DOMAIN", value_name = "NAME")]
    pub ory_cookie_domain: Option<String>,

    /// Templates of the tokens that `whoami` makes; only in the file.
    #[arg(skip)]
    pub ory_tokenize: Option<Vec<TemplateTable>>,
}

/// An `[[ory_tokenize]]` table as it was written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateTable {
    /// The value of `tokenize_as`.
    pub name: String,
    /// Seconds after which a token expires.
    pub ttl: u64,
    /// Its `aud`.
    #[serde(default)]
    pub audience: Vec<String>,
    /// Claims that every token of the template has.
    #[serde(default)]
    pub claims: Map<String, Value>,
}

/// The settings, checked and complete.
#[derive(Clone, Debug)]
pub struct OryOptions {
    /// The path prefix of the calls, which are also served without it: empty, or `/` and more.
    pub prefix: String,
    /// The cookie that carries a session token on public calls.
    pub cookie: String,
    /// The domain of a cookie that this server sets; the host alone where absent.
    pub cookie_domain: Option<String>,
    /// The templates of tokens, each with a name of its own.
    pub templates: Vec<Template>,
}

/// A template of the tokens that `whoami` makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The value of `tokenize_as`.
    pub name: String,
    /// How long a token lasts, at most until its session expires.
    pub ttl: Ttl,
    /// Its `aud`.
    pub audience: Vec<Box<str>>,
    /// Claims that every token of the template has.
    pub claims: Map<String, Value>,
}

impl Default for OryOptions {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            cookie: DEFAULT_COOKIE.to_owned(),
            cookie_domain: None,
            templates: Vec::new(),
        }
    }
}

impl OryOptions {
    /// The options that the settings make.
    pub fn check(layers: &Layers<OrySettings>) -> Result<Self, ValueError> {
        Ok(Self {
            prefix: prefix::checked(layers.get("ory_prefix", |s| s.ory_prefix.clone()), DEFAULT_PREFIX)?,
            cookie: cookie(layers.get("ory_cookie", |s| s.ory_cookie.clone()))?,
            cookie_domain: cookie_domain(layers.get("ory_cookie_domain", |s| s.ory_cookie_domain.clone()))?,
            templates: templates(layers)?,
        })
    }
}

/// RFC 6265, section 4.1.1: a cookie's name is a token.
fn cookie(chosen: Chosen<String>) -> Result<String, ValueError> {
    const FORM: Malformed = Malformed("1 to 64 letters, digits, '-', '_' and '.'");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    chosen.formed(DEFAULT_COOKIE.to_owned(), FORM, |name| name.bytes().all(plain) && (1..=64).contains(&name.len()))
}

/// RFC 6265, section 5.2.3: a host's name, perhaps with a dot before it.
fn cookie_domain(chosen: Chosen<String>) -> Result<Option<String>, ValueError> {
    const FORM: Malformed = Malformed("empty, or a domain of at most 253 letters, digits, '-' and '.'");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let domain = chosen.formed(String::new(), FORM, |name| name.bytes().all(plain) && name.len() <= 253)?;
    Ok(Some(domain).filter(|domain| !domain.is_empty()))
}

/// Only the file can describe them.
fn templates(layers: &Layers<OrySettings>) -> Result<Vec<Template>, ValueError> {
    let Chosen { value, place } = layers.get("ory_tokenize", |s| s.ory_tokenize.clone());
    let tables = value.unwrap_or_default();
    let refuse = |must_be| ValueError::Malformed { place: place.clone(), must_be };
    if tables.len() > MAX_TEMPLATES {
        return Err(refuse(Malformed("at most 100 templates")));
    }
    let mut templates: Vec<Template> = Vec::with_capacity(tables.len());
    for table in tables {
        let template = template(table).map_err(refuse)?;
        if templates.iter().any(|other| other.name == template.name) {
            return Err(refuse(Malformed("a template with a `name` that no other template has")));
        }
        templates.push(template);
    }
    Ok(templates)
}

/// Whether TOML has written something that JSON does not have: a date, which serde shows as an object of its own, or a number that is
/// not finite, which becomes `null`. TOML itself has no `null`.
fn has_no_json(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_no_json),
        Value::Object(members) => members.iter().any(|(name, value)| name.starts_with("$__toml") || has_no_json(value)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn template(table: TemplateTable) -> Result<Template, Malformed> {
    let TemplateTable { name, ttl, audience, claims } = table;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.bytes().all(plain) || !(1..=64).contains(&name.len()) {
        return Err(Malformed("a template whose `name` is 1 to 64 letters, digits, '-', '_' and '.'"));
    }
    let ttl = Ttl::from_seconds(ttl).filter(|_| (1..=MAX_TTL_SECONDS).contains(&ttl));
    let ttl = ttl.ok_or(Malformed("a template whose `ttl` is 1 to 86400 seconds"))?;
    if audience.len() > MAX_AUDIENCE || audience.iter().any(|one| one.is_empty() || one.len() > MAX_NAME_BYTES) {
        return Err(Malformed("a template whose `audience` is at most 16 names of 1 to 255 bytes"));
    }
    if RESERVED_CLAIMS.iter().any(|reserved| claims.contains_key(*reserved)) {
        return Err(Malformed("a template without `claims` that the ledger sets itself"));
    }
    if claims.values().any(has_no_json) {
        return Err(Malformed(
            "a template without dates and without numbers that are not finite in its `claims`: JSON has neither",
        ));
    }
    if serde_json::to_vec(&claims).is_ok_and(|json| json.len() > MAX_CLAIMS_BYTES) {
        return Err(Malformed("a template whose `claims` are at most 4096 bytes as JSON"));
    }
    let audience = audience.into_iter().map(String::into_boxed_str).collect();
    Ok(Template { name, ttl, audience, claims })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::SettingPlace;

    fn read(toml: &str) -> Result<OryOptions, String> {
        let file: OrySettings = toml::from_str(toml).map_err(|error| error.to_string())?;
        let path = std::path::Path::new("/etc/authledger.toml");
        let layers = Layers { arguments: &OrySettings::default(), file: Some((path, &file)) };
        OryOptions::check(&layers).map_err(|error| error.to_string())
    }

    #[test]
    fn a_template_is_a_table_of_the_file() {
        let options = read(
            "[[ory_tokenize]]\nname = \"gateway\"\nttl = 600\naudience = [\"api\"]\nclaims = { tier = \"gold\" }\n\
             [[ory_tokenize]]\nname = \"plain\"\nttl = 60\n",
        );
        let [gateway, plain] = options.expect("good tables").templates.try_into().expect("two");
        assert_eq!((gateway.ttl.as_seconds(), &*gateway.audience[0]), (600, "api"));
        assert_eq!(gateway.claims["tier"], "gold");
        assert!(plain.audience.is_empty() && plain.claims.is_empty());
        for (toml, wrong) in [
            ("name = \"\"\nttl = 60", "`name` is 1 to 64"),
            ("name = \"a b\"\nttl = 60", "`name` is 1 to 64"),
            ("name = \"a\"\nttl = 0", "`ttl` is 1 to 86400"),
            ("name = \"a\"\nttl = 86401", "`ttl` is 1 to 86400"),
            ("name = \"a\"", "missing field `ttl`"),
            ("name = \"a\"\nttl = 60\naudience = [\"\"]", "`audience` is at most 16"),
            ("name = \"a\"\nttl = 60\nclaims = { sub = \"x\" }", "`claims` that the ledger sets itself"),
            ("name = \"a\"\nttl = 60\nclaims = { a = [2026-11-29] }", "JSON has neither"),
            ("name = \"a\"\nttl = 60\nclaims = { a = { b = nan } }", "JSON has neither"),
            ("name = \"a\"\nttl = 60\nlife = 1", "unknown field `life`"),
        ] {
            let refused = read(&format!("[[ory_tokenize]]\n{toml}\n")).expect_err("a refusal");
            assert!(refused.contains(wrong), "{refused}");
        }
        let twice = read(&"[[ory_tokenize]]\nname = \"a\"\nttl = 60\n".repeat(2)).expect_err("twice");
        assert!(twice.contains("no other template has"), "{twice}");
    }

    #[test]
    fn a_cookies_domain_is_a_hosts_name() {
        let domain = |name: &str| read(&format!("ory_cookie_domain = \"{name}\"")).map(|options| options.cookie_domain);
        assert_eq!((domain(""), domain(".example.com")), (Ok(None), Ok(Some(".example.com".into()))));
        assert!(domain("example.com; Secure").is_err());
    }

    #[test]
    fn the_cookies_name_is_a_token() {
        let cookie =
            |name: &str| cookie(Chosen { value: Some(name.to_owned()), place: SettingPlace::Arguments("key") });
        assert!(cookie("ory_session").is_ok() && cookie("a=b").is_err() && cookie("").is_err());
    }
}
