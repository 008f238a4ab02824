//! Session tokens of public calls. The first one that is present counts, active or not: the others are never tried.

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderName};

use crate::http::App;
use crate::service::{Holder, PresentedSession};

const X_SESSION_TOKEN: HeaderName = HeaderName::from_static("x-session-token");

/// The holder of the presented session token, if it is active.
pub fn holder(app: &App, headers: &HeaderMap) -> Option<Holder> {
    let token = in_header(headers)
        .or_else(|| in_cookie(headers, &app.options.compat.ory.cookie))
        .or_else(|| in_authorization(headers))?;
    match app.service.present_session(token) {
        PresentedSession::Good(holder) => Some(holder),
        PresentedSession::Inactive | PresentedSession::Unknown => None,
    }
}

/// An empty header counts as absent.
fn in_header(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(X_SESSION_TOKEN).map(|value| value.as_bytes()).filter(|token| !token.is_empty())
}

/// The first readable cookie of that name: RFC 6265, section 4.2.1.
fn in_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| cookie_value(pair, name)).next()
}

fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let readable = |byte: &u8| byte.is_ascii_graphic() && !b"\",\\".contains(byte);
    (!unquoted.is_empty() && unquoted.iter().all(readable)).then_some(unquoted)
}

/// `Bearer`, in any case, one space, and the token: nothing else is a session token.
fn in_authorization(headers: &HeaderMap) -> Option<&[u8]> {
    let mut parts = headers.get(AUTHORIZATION)?.as_bytes().split(|byte| *byte == b' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(scheme), Some(token), None) if scheme.eq_ignore_ascii_case(b"bearer") => Some(token),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn cookies_are_found_among_others() {
        let found = |value: &str| {
            let headers = headers(&[("cookie", value)]);
            in_cookie(&headers, "s").map(|token| String::from_utf8_lossy(token).into_owned())
        };
        for good in ["s=abc", "a=1; s=abc", "s=abc; s=def", "xs=1;s=abc ;b=2", "s=\"abc\"", "s=; s=abc", "s=é; s=abc"]
        {
            assert_eq!(found(good).as_deref(), Some("abc"), "{good}");
        }
        for none in ["", "s", "s=", "S=abc", "ss=abc", "s=a b", "s=a\"b", "s=\u{e9}", "s=\"\""] {
            assert_eq!(found(none), None, "{none}");
        }
        let mut twice = headers(&[("cookie", "a=1")]);
        twice.append(COOKIE, HeaderValue::from_static("s=a=b"));
        assert_eq!(in_cookie(&twice, "s"), Some(&b"a=b"[..]));
    }

    #[test]
    fn bearer_tokens_have_exactly_two_parts() {
        let token = |value| in_authorization(&headers(&[("authorization", value)])).map(<[u8]>::to_vec);
        assert_eq!(token("Bearer abc").as_deref(), Some(&b"abc"[..]));
        assert_eq!(token("bEARER abc").as_deref(), Some(&b"abc"[..]));
        for none in ["abc", "Bearer  abc", "Bearer a b", "Basic abc", "Bearer"] {
            assert_eq!(token(none), None, "{none}");
        }
    }
}
