//! Rules: what is asked of a request, by the name in the path of the check.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use serde::Deserialize;

use crate::domain::{Aal, Kind, Kinds, Malformed, Tenant};

/// The name of a rule, as a gateway's settings have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName(Arc<str>);

impl RuleName {
    /// The rule that exists without any settings.
    pub const DEFAULT: &str = "default";
    /// The longest name.
    pub const MAX_BYTES: usize = 64;

    /// The name, if it has the form of one. It stands in paths, so it needs no escapes.
    pub fn new(text: &str) -> Result<Self, Malformed> {
        let is_one = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(is_one) {
            Ok(Self(text.into()))
        } else {
            Err(Malformed("1 to 64 lower-case letters, digits, `_` and `-`"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a request where a credential may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// `Authorization: Bearer`.
    Bearer,
    /// A header that holds nothing else.
    Header(HeaderName),
    /// The cookie of that name.
    Cookie(Box<str>),
}

impl FromStr for CredentialSource {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("`bearer`, `header:NAME` or `cookie:NAME`");
        match text.split_once(':') {
            None if text == "bearer" => Ok(Self::Bearer),
            Some(("header", name)) => match HeaderName::from_str(name) {
                Ok(name) if name == AUTHORIZATION || name == COOKIE => {
                    Err(Malformed("`bearer` for `Authorization`, and `cookie:NAME` for a cookie"))
                }
                Ok(name) => Ok(Self::Header(name)),
                Err(_) => Err(FORM),
            },
            // A cookie's name has the form of a header's: RFC 6265, section 4.1.1.
            Some(("cookie", name)) if HeaderName::from_str(name).is_ok() => Ok(Self::Cookie(name.into())),
            None | Some(_) => Err(FORM),
        }
    }
}

/// What an edge does while it has not heard from its node for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenStale {
    /// It asks the node about each request.
    #[default]
    Ask,
    /// It answers 503.
    Refuse,
    /// It goes on with what it has.
    Allow,
}

/// What an edge does while a member of the ledger is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenOriginBehind {
    /// Nothing: a quiet region must not blind every edge.
    #[default]
    Allow,
    /// It is stale then.
    Refuse,
}

/// What is asked of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRule {
    pub name: RuleName,
    /// The places where the credential may be. The first one that has any decides.
    pub credentials: Vec<CredentialSource>,
    /// The kinds that are taken.
    pub kinds: Kinds,
    /// The tenants that are taken; any, if that is not said.
    pub tenants: Option<Vec<Tenant>>,
    /// The issuers that are taken; this ledger and every trusted issuer, if that is not said.
    pub issuers: Option<Vec<Box<str>>>,
    /// The credential must be meant for one of these, if there are any.
    pub audience: Vec<Box<str>>,
    /// The credential must have all of these scopes.
    pub scope: Vec<Box<str>>,
    /// The least assurance level.
    pub min_aal: Option<Aal>,
    /// Whether a check renews a ticket.
    pub renew: bool,
    /// For an edge.
    pub when_stale: WhenStale,
    /// For an edge.
    pub when_origin_behind: WhenOriginBehind,
}

impl CheckRule {
    /// The rule of that name that takes any session or token by `Authorization: Bearer`. A ticket is for a single
    /// purpose, so it is only taken where a rule names tickets.
    pub fn plain(name: RuleName) -> Self {
        Self {
            name,
            credentials: vec![CredentialSource::Bearer],
            kinds: [Kind::Session, Kind::Token].into_iter().collect(),
            tenants: None,
            issuers: None,
            audience: Vec::new(),
            scope: Vec::new(),
            min_aal: None,
            renew: false,
            when_stale: WhenStale::default(),
            when_origin_behind: WhenOriginBehind::default(),
        }
    }
}

/// All rules by name. `default` is always among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRules(HashMap<RuleName, Arc<CheckRule>>);

impl CheckRules {
    /// These, and `default`, unless it is one of them.
    pub fn new(rules: impl IntoIterator<Item = CheckRule>) -> Self {
        let default = CheckRule::plain(RuleName(RuleName::DEFAULT.into()));
        Self([default].into_iter().chain(rules).map(|rule| (rule.name.clone(), Arc::new(rule))).collect())
    }

    pub fn find(&self, name: &str) -> Option<&Arc<CheckRule>> {
        // Only a text of the right form can be the name of a rule, so nothing longer is hashed.
        let name = RuleName::new(name).ok()?;
        self.0.get(&name)
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CheckRule>> {
        self.0.values()
    }
}

impl Default for CheckRules {
    fn default() -> Self {
        Self::new([])
    }
}
