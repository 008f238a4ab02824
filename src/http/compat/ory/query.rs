//! Parameters: of several with the same name the first counts, and an empty one counts as absent.

use axum::extract;
use axum::http::Uri;

use super::error::OryError;
use super::wire::Expand;

/// The query of a request.
#[derive(Default)]
pub struct Query(pub Vec<(String, String)>);

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

    /// Whether the query has that name, even without a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The first value of that name that is not empty.
    pub fn first_given(&self, name: &str) -> Option<&str> {
        let mut given = self.0.iter().filter(|(known, value)| known == name && !value.is_empty());
        given.next().map(|(_, value)| value.as_str())
    }

    /// The number of that name; nothing if it is absent or not a whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
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
    fn the_parts_to_expand_are_named_in_any_case() {
        assert_eq!(query("a=b").expand(), Ok(Expand::NONE));
        assert_eq!(query("expand=IDENTITY").expand(), Ok(Expand { identity: true, devices: false }));
        assert_eq!(query("expand=identity&expand=Devices").expand(), Ok(Expand::ALL));
        assert_eq!(query("expand=identity,devices").expand(), Err(OryError::Expand("identity,devices".into())));
        assert_eq!(query("expand=").expand(), Err(OryError::Expand(String::new())));
    }
}
