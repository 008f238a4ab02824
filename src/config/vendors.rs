//! The paths and origins of other products' contracts.

use super::{Chosen, SettingsError};
use crate::domain::Malformed;

/// The first segments of this server's own paths: a prefix that starts with one could give one path two answers.
const OWN_SEGMENTS: [&str; 13] = [
    ".well-known",
    "admin",
    "api",
    "crafter-profile",
    "health",
    "metrics",
    "openapi.json",
    "persons",
    "problems",
    "profile",
    "self-service",
    "sessions",
    "v1",
];

/// The path prefix of a vendor's calls.
pub(super) fn prefix(chosen: Chosen<String>, default: &str) -> Result<String, SettingsError> {
    const FORM: Malformed = Malformed(
        "empty, or segments of letters, digits, '-', '_' and '.', each after a '/'; the first one not used by this server itself",
    );
    let place = chosen.place.clone();
    let prefix = chosen.or(default.to_owned());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let segment = |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(plain);
    let own = prefix.split('/').nth(1).is_some_and(|first| OWN_SEGMENTS.contains(&first));
    let whole = !own && prefix.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    if prefix.is_empty() || whole { Ok(prefix) } else { Err(SettingsError::Malformed { place, must_be: FORM }) }
}

/// RFC 6265, section 4.1.1: a cookie's name is a token.
pub(super) fn cookie(chosen: Chosen<String>) -> Result<String, SettingsError> {
    const FORM: Malformed = Malformed("1 to 64 letters, digits, '-', '_' and '.'");
    let place = chosen.place.clone();
    let name = chosen.or("ory_kratos_session".to_owned());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain && (1..=64).contains(&name.len()) {
        Ok(name)
    } else {
        Err(SettingsError::Malformed { place, must_be: FORM })
    }
}

/// RFC 6454, section 6.2: a scheme, a host and perhaps a port.
pub(super) fn cors_origins(chosen: Chosen<Vec<String>>) -> Result<Vec<String>, SettingsError> {
    const FORM: Malformed = Malformed("origins such as https://app.example, without a path");
    let place = chosen.place.clone();
    let origins = chosen.or(Vec::new());
    let is_origin = |origin: &String| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@,*".contains(&byte))
        })
    };
    if origins.iter().all(is_origin) { Ok(origins) } else { Err(SettingsError::Malformed { place, must_be: FORM }) }
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    fn chosen<T>(value: T) -> Chosen<T> {
        Chosen { value: Some(value), place: Place::Arguments("key") }
    }

    #[test]
    fn a_prefix_is_whole_segments_and_none_of_our_own() {
        for good in ["", "/auth", "/kratos/public", "/a-b_c.d"] {
            assert_eq!(prefix(chosen(good.to_owned()), "/x").ok().as_deref(), Some(good));
        }
        for bad in ["auth", "/", "/auth/", "//a", "/a b", "/{id}", "/v1", "/admin/x", "/sessions", "/api/1", "/../x"] {
            assert!(prefix(chosen(bad.to_owned()), "/x").is_err(), "{bad}");
        }
        let default = Chosen { value: None, place: Place::Default("key") };
        assert_eq!(prefix(default, "/auth").ok().as_deref(), Some("/auth"));
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        let origins = |origin: &str| cors_origins(chosen(vec![origin.to_owned()])).is_ok();
        assert!(origins("https://app.example") && origins("http://127.0.0.1:3000"));
        for bad in ["*", "app.example", "https://", "https://a/", "https://a?x", "https://u@a", "null"] {
            assert!(!origins(bad), "{bad}");
        }
        assert!(cookie(chosen("ory_session".to_owned())).is_ok() && cookie(chosen("a=b".to_owned())).is_err());
    }
}
