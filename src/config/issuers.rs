//! The issuers of accepted tokens: this server itself, and the tables of trusted issuers.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;

use super::ConfigError;
use crate::domain::{MAX_NAME_BYTES, Malformed, Tenant};
use crate::jose::{CLOCK_LEEWAY_SECONDS, JwksUrl, KeySource, MAX_CLOCK_LEEWAY_SECONDS, Profile, TrustedIssuer};

/// The most issuers that can be trusted, and the most tenants of one.
const MAX_TABLE: usize = 1000;

/// A `[[trusted_issuer]]` table as it was written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerTable {
    /// The tokens' `iss`, to the letter.
    pub issuer: String,
    /// A file with its keys; relative to the settings' file.
    pub jwks_file: Option<PathBuf>,
    /// The address at which its keys are published.
    pub jwks_url: Option<String>,
    /// The tenants that its tokens may be for.
    pub tenants: Vec<String>,
    /// The deviations of its tokens from the standard.
    pub profile: Option<Profile>,
    /// Seconds that its clock may be ahead.
    pub clock_leeway: Option<u64>,
    /// Whether it may revoke what the subjects of its tenants have.
    #[serde(default)]
    pub may_revoke: bool,
}

/// The issuer of the ledger's tokens, if it is valid: verifiers compare it to the letter, and add paths to it.
pub(super) fn checked_public_url(text: &str) -> Result<Arc<str>, Malformed> {
    const FORM: Malformed = Malformed(
        "a URL with http or https and a host, of at most 255 bytes, without name, query, fragment or / at the end",
    );
    let url = Url::parse(text).map_err(|_| FORM)?;
    let has_scheme = text.starts_with("https://") || text.starts_with("http://");
    let is_bare = url.username().is_empty() && url.password().is_none() && !text.contains(['?', '#', '@']);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= MAX_NAME_BYTES;
    if has_scheme && is_bare && is_plain && !text.ends_with('/') { Ok(text.into()) } else { Err(FORM) }
}

/// The issuers of the tables in that file, each different from the others and from this server.
pub(super) fn checked(
    tables: &[IssuerTable],
    file: &Path,
    own: Option<&str>,
) -> Result<Vec<TrustedIssuer>, ConfigError> {
    let mut seen: HashSet<&str> = own.into_iter().collect();
    let mut issuers = Vec::with_capacity(tables.len());
    for table in tables {
        let refuse = |(key, must_be)| ConfigError::TrustedIssuer {
            path: file.to_owned(),
            issuer: table.issuer.clone(),
            key,
            must_be,
        };
        if !seen.insert(&table.issuer) || seen.len() > MAX_TABLE {
            return Err(refuse((
                "issuer",
                Malformed("another one than --public-url and every other table's, at most 1000"),
            )));
        }
        issuers.push(issuer(table, file).map_err(refuse)?);
    }
    Ok(issuers)
}

fn issuer(table: &IssuerTable, file: &Path) -> Result<TrustedIssuer, (&'static str, Malformed)> {
    // The form of a name is the one that the log can hold.
    Tenant::new(&table.issuer).map_err(|must_be| ("issuer", must_be))?;
    if table.tenants.is_empty() || table.tenants.len() > MAX_TABLE {
        return Err(("tenants", Malformed("1 to 1000 tenants")));
    }
    let tenants: Result<Vec<Tenant>, Malformed> = table.tenants.iter().map(|tenant| Tenant::new(tenant)).collect();
    let clock_leeway_seconds = table.clock_leeway.unwrap_or(CLOCK_LEEWAY_SECONDS);
    if clock_leeway_seconds > MAX_CLOCK_LEEWAY_SECONDS {
        return Err(("clock_leeway", Malformed("0 to 60 seconds")));
    }
    Ok(TrustedIssuer {
        issuer: table.issuer.as_str().into(),
        source: source(table, file)?,
        tenants: tenants.map_err(|must_be| ("tenants", must_be))?,
        profile: table.profile,
        clock_leeway_seconds,
        may_revoke: table.may_revoke,
    })
}

fn source(table: &IssuerTable, file: &Path) -> Result<KeySource, (&'static str, Malformed)> {
    match (&table.jwks_file, &table.jwks_url) {
        // An absolute path stays as it is.
        (Some(keys), None) => Ok(KeySource::File(file.parent().unwrap_or(Path::new("")).join(keys))),
        (None, Some(url)) => JwksUrl::new(url).map(KeySource::Url).map_err(|must_be| ("jwks_url", must_be)),
        (Some(_), Some(_)) => Err(("jwks_file", Malformed("left out where there is a jwks_url"))),
        (None, None) => Err(("jwks_url", Malformed("given, or jwks_file: its tokens can't be verified without keys"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuers(toml: &str) -> Result<Vec<TrustedIssuer>, String> {
        #[derive(Deserialize)]
        struct IssuersFile {
            trusted_issuer: Vec<IssuerTable>,
        }
        let file: IssuersFile = toml::from_str(toml).map_err(|error| error.to_string())?;
        let own = Some("https://own.example");
        checked(&file.trusted_issuer, Path::new("/etc/authledger.toml"), own).map_err(|error| error.to_string())
    }

    fn refusal(toml: &str) -> String {
        issuers(&format!("[[trusted_issuer]]\n{toml}")).expect_err("a refusal")
    }

    #[test]
    fn a_table_is_an_issuer_with_its_keys_beside_the_file() {
        let one = issuers(
            "[[trusted_issuer]]\nissuer = \"https://a.example\"\njwks_file = \"a.json\"\ntenants = [\"x\", \"y\"]\n\
             [[trusted_issuer]]\nissuer = \"b\"\njwks_url = \"http://[::1]:8/keys\"\ntenants = [\"x\"]\n\
             profile = \"slashid\"\nclock_leeway = 0\n",
        );
        let [a, b] = one.expect("good tables").try_into().expect("two");
        assert_eq!(a.source, KeySource::File("/etc/a.json".into()));
        assert_eq!((a.tenants.len(), a.profile, a.clock_leeway_seconds), (2, None, 5));
        assert_eq!((b.profile, b.clock_leeway_seconds), (Some(Profile::SlashId), 0));
        assert_eq!(b.source, KeySource::Url(JwksUrl::new("http://[::1]:8/keys").expect("a loopback host")));
    }

    #[test]
    fn a_table_that_can_not_be_used_is_refused_with_its_issuer_and_key() {
        let refused = refusal("issuer = \"a\"\ntenants = [\"x\"]");
        assert_eq!(
            refused,
            "use the [[trusted_issuer]] of \"a\" in /etc/authledger.toml: its `jwks_url` must be given, or jwks_file: its \
             tokens can't be verified without keys"
        );
        let keys = "jwks_file = \"k\"\n";
        for (toml, wrong) in [
            ("issuer = \"\"\ntenants = [\"x\"]", "`issuer` must be 1 to 255 bytes"),
            ("issuer = \"https://own.example\"\ntenants = [\"x\"]", "`issuer` must be another one than --public-url"),
            ("issuer = \"a\"\ntenants = []", "`tenants` must be 1 to 1000"),
            ("issuer = \"a\"\ntenants = [\"\"]", "`tenants` must be 1 to 255 bytes"),
            ("issuer = \"a\"\ntenants = [\"x\"]\nclock_leeway = 61", "`clock_leeway` must be 0 to 60 seconds"),
            ("issuer = \"a\"\ntenants = [\"x\"]\njwks_url = \"https://a\"", "`jwks_file` must be left out"),
            ("issuer = \"a\"\ntenants = [\"x\"]\nleeway = 1", "unknown field `leeway`"),
            ("issuer = \"a\"\ntenants = [\"x\"]\nprofile = \"other\"", "unknown variant `other`"),
        ] {
            let refused = refusal(&format!("{keys}{toml}"));
            assert!(refused.contains(wrong), "{refused}");
        }
        let twice = "[[trusted_issuer]]\nissuer = \"a\"\njwks_file = \"k\"\ntenants = [\"x\"]\n".repeat(2);
        assert!(issuers(&twice).expect_err("twice").contains("every other table's"));
    }

    #[test]
    fn our_own_issuer_is_a_bare_address() {
        for good in ["https://auth.example", "http://127.0.0.1:7878", "https://auth.example/ledger"] {
            assert_eq!(checked_public_url(good).as_deref(), Ok(good));
        }
        let long = format!("https://auth.example/{}", "x".repeat(255));
        for bad in [
            "https://auth.example/",
            "auth.example",
            "ftp://auth.example",
            "https://auth.example?x",
            "https://auth.example#x",
            "https://me@auth.example",
            "https://",
            "https://aúth.example",
            &long,
        ] {
            assert!(checked_public_url(bad).is_err(), "{bad}");
        }
    }
}
