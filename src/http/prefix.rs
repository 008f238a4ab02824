//! The path prefix of a surface's calls.

use crate::domain::Malformed;
use crate::setting::{Chosen, ValueError};

/// The first segments of this server's own paths: a prefix that starts with one could give one path two answers.
const OWN_SEGMENTS: [&str; 14] = [
    ".well-known",
    "admin",
    "api",
    "crafter-profile",
    "health",
    "metrics",
    "oauth2",
    "openapi.json",
    "persons",
    "problems",
    "profile",
    "self-service",
    "sessions",
    "v1",
];

const FORM: Malformed = Malformed(
    "empty, or segments of letters, digits, '-', '_' and '.', each after a '/'; the first one not used by this server itself",
);

/// The prefix or its default, if it can't be mistaken for a path of this server.
pub(super) fn checked(chosen: Chosen<String>, default: &str) -> Result<String, ValueError> {
    chosen.formed(default.to_owned(), FORM, |prefix| prefix.is_empty() || is_whole(prefix))
}

fn is_whole(prefix: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let segment = |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(plain);
    let own = prefix.split('/').nth(1).is_some_and(|first| OWN_SEGMENTS.contains(&first));
    !own && prefix.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::SettingPlace;

    #[test]
    fn a_prefix_is_whole_segments_and_none_of_our_own() {
        let chosen = |text: &str| Chosen { value: Some(text.to_owned()), place: SettingPlace::Arguments("key") };
        for good in ["", "/auth", "/kratos/public", "/a-b_c.d"] {
            assert_eq!(checked(chosen(good), "/x").ok().as_deref(), Some(good));
        }
        for bad in ["auth", "/", "/auth/", "//a", "/a b", "/{id}", "/v1", "/admin/x", "/sessions", "/api/1", "/../x"] {
            assert!(checked(chosen(bad), "/x").is_err(), "{bad}");
        }
        let default = Chosen { value: None, place: SettingPlace::Default("key") };
        assert_eq!(checked(default, "/auth").ok().as_deref(), Some("/auth"));
    }
}
