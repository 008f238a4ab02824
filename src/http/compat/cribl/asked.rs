//! The inputs of a request: its caller, the user, and the parameters.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;

use super::error::CriblError;
use crate::domain::{GivenSubject, Kind, Kinds, Malformed, Scope, Tenant, Ttl};
use crate::http::caller::{bearer_secret, once};
use crate::http::problem::Problem;
use crate::http::wire::{TextForm, WireText};
use crate::http::{App, input};
use crate::service::{Authentication, CallerIdentity};

const X_TENANT: HeaderName = HeaderName::from_static("x-tenant");

/// The call's parameters. A misspelt one is refused: revoking less than was meant would look like success.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriblParameters {
    ttl: Option<WireText<TokenLife>>,
    kinds: Option<WireText<Kinds>>,
}

impl CriblParameters {
    /// Reads the query.
    pub fn of(parts: &Parts) -> Result<Self, CriblError> {
        input::query(&parts.uri).map_err(|problem| CriblError::Malformed(problem.detail().to_owned().into()))
    }

    /// How long the record must be kept at least.
    pub fn keep(&self) -> Option<Ttl> {
        self.ttl.as_ref().map(|WireText(TokenLife(ttl))| *ttl)
    }

    /// The kinds to revoke. Cribl has only tokens.
    pub fn kinds(&self) -> Kinds {
        self.kinds.as_ref().map_or_else(|| Kinds::from_iter([Kind::Token]), |WireText(kinds)| *kinds)
    }
}

/// The life of the tokens that are to be revoked.
struct TokenLife(Ttl);

impl TextForm for TokenLife {
    /// Digits, and perhaps a unit.
    fn parse(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed =
            Malformed("whole seconds, or a whole number with s, m, h, d or w behind it, 1 s to 366 d");
        let (digits, unit_seconds) = match text.as_bytes().last() {
            Some(b's') => (&text[..text.len() - 1], 1),
            Some(b'm') => (&text[..text.len() - 1], 60),
            Some(b'h') => (&text[..text.len() - 1], 3_600),
            Some(b'd') => (&text[..text.len() - 1], 86_400),
            Some(b'w') => (&text[..text.len() - 1], 7 * 86_400),
            _ => (text, 1),
        };
        // Parsing by itself would also accept a sign.
        let number = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let number: Option<u64> = number.and_then(|digits| digits.parse().ok());
        let seconds = number.and_then(|number| number.checked_mul(unit_seconds));
        seconds.and_then(Ttl::from_seconds).map(Self).ok_or(FORM)
    }
}

/// The application, if it may revoke anywhere at all.
pub fn administrator(app: &App, headers: &HeaderMap) -> Result<CallerIdentity, CriblError> {
    let secret = bearer_secret(headers).ok_or(CriblError::Unauthorized)?;
    let Authentication::Caller(identity) = app.service.authenticate(secret) else {
        return Err(CriblError::Unauthorized);
    };
    if identity.grants.somewhere(Scope::Revoke) { Ok(identity) } else { Err(CriblError::Forbidden) }
}

/// The user whose tokens are to be revoked.
pub async fn user(parts: &mut Parts) -> Result<(Tenant, GivenSubject), CriblError> {
    let tenant = match once(&parts.headers, &X_TENANT) {
        Err(_) => return Err(CriblError::Malformed("`X-Tenant` must be given once".into())),
        Ok(None) => Tenant::default(),
        Ok(Some(value)) => {
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Malformed("in UTF-8"));
            text.and_then(Tenant::parse).map_err(|must_be| malformed("`X-Tenant`", must_be))?
        }
    };
    let refuse = |problem: Problem| CriblError::Malformed(format!("the path: {}", problem.detail()).into());
    let id = input::segment(parts).await.map_err(refuse)?;
    Ok((tenant, GivenSubject::new(&id).map_err(|must_be| malformed("the user's id", must_be))?))
}

fn malformed(what: &str, must_be: Malformed) -> CriblError {
    CriblError::Malformed(format!("{what} must be {must_be}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_seconds_or_a_number_with_a_unit() {
        let seconds = |text: &str| TokenLife::parse(text).ok().map(|TokenLife(ttl)| ttl.as_seconds());
        for (text, life) in [
            ("3600", 3600),
            ("007", 7),
            ("1s", 1),
            ("2m", 120),
            ("24h", 86_400),
            ("366d", 31_622_400),
            ("52w", 31_449_600),
        ] {
            assert_eq!(seconds(text), Some(life), "{text}");
        }
        let bad =
            ["", "0", "0d", "s", "-1", "+1", "1.5h", "1e3", " 1", "1 h", "1H", "1y", "1hh", "367d", "53w", "31622401"];
        for text in bad.into_iter().chain(["99999999999999999999", "99999999999999999999w", "９", "1ｈ"]) {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn kinds_are_named_with_commas_between_them() {
        let kinds = |text: &str| <Kinds as TextForm>::parse(text).ok();
        assert_eq!(kinds("token,session,ticket"), Some(Kinds::ALL));
        assert_eq!(kinds("session,session"), Some(Kinds::from_iter([Kind::Session])));
        for bad in ["", ",", "token,", "tokens", "Token", "token, session", "*"] {
            assert_eq!(kinds(bad), None, "{bad}");
        }
    }
}
