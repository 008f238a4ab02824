//! The address of a request, as proofs name it.

use std::fmt;

use reqwest::Url;

use crate::domain::{Malformed, hex};

/// The address of a request without query and fragment, in one spelling: RFC 9449, section 4.3, point 9, and RFC 3986,
/// sections 6.2.2 and 6.2.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUri(Box<str>);

impl TargetUri {
    /// Reads an absolute `http` or `https` URI. Its query and fragment do not count.
    pub fn new(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("an absolute http or https URI without a name or password");
        // A browser's parser takes more than RFC 3986 has: white space, and a backslash for a slash.
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(FORM);
        }
        let mut url = Url::parse(text).map_err(|_| FORM)?;
        let is_named = !url.username().is_empty() || url.password().is_some();
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() || is_named {
            return Err(FORM);
        }
        url.set_query(None);
        url.set_fragment(None);
        // The parser has settled the case of scheme and host, the port, and the dots; the escapes are left.
        escaped_once(url.as_str()).map(|text| Self(text.into())).ok_or(FORM)
    }
}

impl fmt::Display for TargetUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Percent escapes in capital letters, and only of characters that need one; nothing, if a percent sign starts none.
fn escaped_once(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let [byte] = hex::parse::<1>(&digits.to_ascii_lowercase()).ok()?;
        match char::from(byte) {
            unreserved if unreserved.is_ascii_alphanumeric() || "-._~".contains(unreserved) => plain.push(unreserved),
            _ => plain.push_str(&format!("%{}", digits.to_ascii_uppercase())),
        }
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_equal() {
        let one = TargetUri::new("https://api.example/a/b~c").expect("an address");
        for same in [
            "HTTPS://API.example:443/a/b~c",
            "https://api.example/a/b~c?x=y",
            "https://api.example/a/b~c#part",
            "https://api.example/a/./x/../b~c",
            "https://api.example/%61/b%7Ec",
            "https://api.example/a/%2e/b%7ec",
        ] {
            assert_eq!(TargetUri::new(same).as_ref(), Ok(&one), "{same}");
        }
        for other in [
            "http://api.example/a/b~c",
            "https://api.example:8443/a/b~c",
            "https://api.example.evil/a/b~c",
            "https://api.example/a/b~c/",
            "https://api.example/A/b~c",
            "https://api.example/a%2Fb~c",
            "https://api.example//a/b~c",
        ] {
            assert_ne!(TargetUri::new(other).as_ref(), Ok(&one), "{other}");
        }
        let escaped = ["https://a.example/%2f%C3%a9", "https://a.example/%2F%c3%A9"].map(TargetUri::new);
        assert_eq!(escaped[0], escaped[1]);
        assert_eq!(TargetUri::new("https://a.example").map(|uri| uri.to_string()), Ok("https://a.example/".to_owned()));
        assert!(TargetUri::new("https://a.example/?%zz").is_ok(), "the query does not count");
    }

    #[test]
    fn other_texts_are_not_an_address_of_a_request() {
        for bad in ["", "/a", "a.example/a", "ftp://a.example/", "https://u@a.example/", "https://u:p@a.example/"] {
            assert!(TargetUri::new(bad).is_err(), "{bad}");
        }
        for bad in ["https://a.example/%", "https://a.example/%4", "https://a.example/%4%31", "https://a.example/%+4"] {
            assert!(TargetUri::new(bad).is_err(), "{bad}");
        }
        for bad in ["https:\\\\a.example\\", "https://a.exa\tmple/", " https://a.example/", "https://bücher.example/"]
        {
            assert!(TargetUri::new(bad).is_err(), "{bad}");
        }
    }
}
