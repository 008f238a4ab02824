//! Parameters: of several with the same name the first counts, and an empty one counts as absent.

use axum::extract;
use axum::http::Uri;

use super::error::OryError;

/// The default number of sessions on a page.
pub const DEFAULT_PAGE_SIZE: usize = 250;
/// The most sessions on a page. A caller that asks for more gets so many, and a `Link` that says so.
pub const MAX_PAGE_SIZE: usize = 1_000;

/// The query of a request.
pub struct Query(pub Vec<(String, String)>);

/// The parts of sessions that a list shows in addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expand {
    pub identity: bool,
    pub devices: bool,
}

impl Expand {
    /// Everything.
    pub const ALL: Self = Self { identity: true, devices: true };
    /// Nothing.
    pub const NONE: Self = Self { identity: false, devices: false };
}

impl Query {
    /// Reads the query.
    pub fn of(uri: &Uri) -> Result<Self, OryError> {
        let pairs = extract::Query::try_from_uri(uri);
        pairs.map(|extract::Query(pairs)| Self(pairs)).map_err(|_| OryError::Malformed("The query can't be read."))
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the query asks for active sessions only, or for inactive ones only. Booleans are written as Go takes
    /// them: https://pkg.go.dev/strconv#ParseBool
    pub fn active(&self) -> Result<Option<bool>, OryError> {
        match self.get("active") {
            None => Ok(None),
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(Some(false)),
            Some(_) => Err(OryError::Parameter("active")),
        }
    }

    /// The requested size of a page, by the first of these names that is present.
    pub fn page_size(&self, names: &[&'static str]) -> Result<usize, OryError> {
        Ok(self.number(names)?.unwrap_or(DEFAULT_PAGE_SIZE).min(MAX_PAGE_SIZE))
    }

    /// A number from 1 on, by the first of these names that is present.
    pub fn number(&self, names: &[&'static str]) -> Result<Option<usize>, OryError> {
        let Some((name, text)) = names.iter().find_map(|name| Some((*name, self.get(name)?))) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number >= 1);
        number.map(Some).ok_or(OryError::Parameter(name))
    }

    /// The parts to expand.
    pub fn expand(&self) -> Result<Expand, OryError> {
        let mut expand = Expand::NONE;
        for (_, option) in self.0.iter().filter(|(name, _)| name == "expand") {
            if option.eq_ignore_ascii_case("identity") {
                expand.identity = true;
            } else if option.eq_ignore_ascii_case("devices") {
                expand.devices = true;
            } else {
                return Err(OryError::Expand(option.clone()));
            }
        }
        Ok(expand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        let uri: Uri = format!("/sessions?{text}").parse().expect("a URI");
        Query::of(&uri).expect("a query")
    }

    #[test]
    fn booleans_are_go_s() {
        let active = |text: &str| query(&format!("active={text}")).active();
        for yes in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(active(yes), Ok(Some(true)), "{yes}");
        }
        for no in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(active(no), Ok(Some(false)), "{no}");
        }
        assert_eq!(active(""), Ok(None));
        for other in ["2", "yes", "tRUE", "%20true", "null"] {
            assert_eq!(active(other), Err(OryError::Parameter("active")), "{other}");
        }
    }

    #[test]
    fn sizes_start_at_one_and_end_at_a_thousand() {
        let size = |text: &str| query(text).page_size(&["page_size", "per_page"]);
        assert_eq!(size("a=1"), Ok(250));
        assert_eq!(size("per_page=7"), Ok(7));
        assert_eq!(size("per_page=7&page_size=9&page_size=x"), Ok(9));
        assert_eq!(size("page_size=1001"), Ok(1_000));
        for bad in ["0", "-1", "1.5", "many", "99999999999999999999999"] {
            assert_eq!(size(&format!("page_size={bad}")), Err(OryError::Parameter("page_size")), "{bad}");
        }
        assert_eq!(size("per_page=0"), Err(OryError::Parameter("per_page")));
    }

    #[test]
    fn what_is_expanded_is_named_in_any_case() {
        assert_eq!(query("a=b").expand(), Ok(Expand::NONE));
        assert_eq!(query("expand=IDENTITY").expand(), Ok(Expand { identity: true, devices: false }));
        assert_eq!(query("expand=identity&expand=Devices").expand(), Ok(Expand::ALL));
        assert_eq!(query("expand=identity,devices").expand(), Err(OryError::Expand("identity,devices".into())));
        assert_eq!(query("expand=").expand(), Err(OryError::Expand(String::new())));
    }
}
