//! Session tokens of public calls: in `X-Session-Token`, else in the cookie, else behind `Authorization: Bearer`.
//!
//! The first one that is present counts, active or not. Only a cookie that is not a token of this ledger gives way: it is
//! one that this server can't read, such as the product's own, which is encrypted.

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::App;
use crate::service::{Holder, PresentedSession, Session};

const X_SESSION_TOKEN: HeaderName = HeaderName::from_static("x-session-token");
/// Between the token in a cookie and the end of the session as the cookie's holder knows it, in seconds since 1970.
const UNTIL: u8 = b'~';

/// The holder of an active session, and how it was presented.
pub struct Presented {
    pub holder: Holder,
    /// The cookie, if it was by one.
    pub cookie: Option<Cookie>,
}

/// A cookie that carried a session token.
pub struct Cookie {
    token: Vec<u8>,
    /// The end of the session that it knows; nothing if another program set it.
    until_seconds: Option<u64>,
}

/// The holder of the presented session token, if it is active.
pub fn holder(app: &App, headers: &HeaderMap) -> Option<Holder> {
    presented(app, headers).map(|presented| presented.holder)
}

/// The presented session, if it is active.
pub fn presented(app: &App, headers: &HeaderMap) -> Option<Presented> {
    let good = |text| match standing(app, text).0 {
        PresentedSession::Active(holder) => Some(Presented { holder, cookie: None }),
        PresentedSession::Inactive | PresentedSession::Unknown => None,
    };
    if let Some(text) = in_header(headers) {
        return good(text);
    }
    if let Some(text) = in_cookie(headers, &app.options.compat.ory.cookie) {
        match standing(app, text) {
            (PresentedSession::Active(holder), token, until_seconds) => {
                return Some(Presented { holder, cookie: Some(Cookie { token: token.to_owned(), until_seconds }) });
            }
            (PresentedSession::Inactive, ..) => return None,
            (PresentedSession::Unknown, ..) => {}
        }
    }
    in_authorization(headers).and_then(good)
}

/// The standing of a session token, or of the value of a cookie that this server has set, wherever it is presented; with
/// the token, and the end of the session that the value names.
pub fn standing<'a>(app: &App, text: &'a [u8]) -> (PresentedSession, &'a [u8], Option<u64>) {
    let standing = app.service.present_session(text);
    match value_parts(text).filter(|_| standing == PresentedSession::Unknown) {
        Some((token, until_seconds)) => (app.service.present_session(token), token, Some(until_seconds)),
        None => (standing, text, None),
    }
}

fn value_parts(text: &[u8]) -> Option<(&[u8], u64)> {
    let at = text.iter().rposition(|byte| *byte == UNTIL)?;
    let until_seconds = std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()?;
    Some((&text[..at], until_seconds))
}

impl Cookie {
    /// The cookie that replaces this one, if the session ends later than its holder knows.
    pub fn renewed(&self, app: &App, session: &Session) -> Option<HeaderValue> {
        let until_seconds = session.expires_at.as_seconds();
        let is_current = self.until_seconds.map_or(!session.is_extended, |known| until_seconds <= known);
        if is_current {
            return None;
        }
        let options = &app.options.compat.ory;
        let token = std::str::from_utf8(&self.token).ok()?;
        let name = &options.cookie;
        let domain = options.cookie_domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        let life = until_seconds.saturating_sub(app.service.clock().now().as_seconds());
        let until = jiff::Timestamp::from_second(until_seconds.try_into().ok()?).ok()?;
        let until = until.strftime("%a, %d %b %Y %H:%M:%S GMT");
        let separator = char::from(UNTIL);
        let cookie = format!(
            "{name}={token}{separator}{until_seconds}; Path=/{domain}; Expires={until}; Max-Age={life}; HttpOnly; \
             Secure; SameSite=Lax"
        );
        let mut value = HeaderValue::try_from(cookie).ok()?;
        value.set_sensitive(true);
        Some(value)
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
    fn a_cookie_may_name_the_end_of_its_session() {
        assert_eq!(value_parts(b"a~b~1800000000"), Some((&b"a~b"[..], 1_800_000_000)));
        for plain in [&b"abc"[..], b"abc~", b"abc~x", b"abc~-1", b"~\xff"] {
            assert_eq!(value_parts(plain), None);
        }
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
