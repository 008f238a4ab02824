//! Forms as RFC 6749, appendix B, has them: read strictly, so that no parameter is taken for another.

use std::borrow::Cow;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};

use super::error::OauthError;
use crate::http::fields;

/// Parameters that a request may have several of: RFC 8707, section 2, and RFC 8693, section 2.1.
const MANY: [&str; 2] = ["resource", "audience"];
/// Parameters that hold a secret, or say whose it is: they would be logged with the address of a request.
const NOT_IN_QUERY: [&str; 6] =
    ["token", "client_id", "client_secret", "client_assertion", "access_token", "refresh_token"];
const FORM: &str = "application/x-www-form-urlencoded";
/// The most parameters of a request; clients send ten at most.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a request's body.
#[derive(Debug, Default)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// The form in a body of that type. Each parameter is there once, and one without a value is left out (RFC 6749,
    /// sections 3.1 and 3.2).
    pub fn parse(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, OauthError> {
        if !is_form(headers) {
            return Err(OauthError::malformed("the body must be application/x-www-form-urlencoded"));
        }
        let mut all: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(4);
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = (decode(&pair[..end]), decode(pair.get(end + 1..).unwrap_or_default()));
            let (Some(name), Some(value)) = (name, value) else {
                return Err(OauthError::malformed("the body has a broken percent escape, or is not UTF-8"));
            };
            if all.iter().any(|(known, _)| *known == name) && !MANY.contains(&&*name) {
                return Err(OauthError::malformed("a parameter is given twice"));
            }
            if all.len() == MAX_PARAMETERS {
                return Err(OauthError::malformed("the body has more than 64 parameters"));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// The parameter's value, if it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| &**value)
    }
}

/// Whatever its charset: the standard has UTF-8 alone, and clients name others without meaning them.
pub fn is_form(headers: &HeaderMap) -> bool {
    if fields::is_exactly(headers, &CONTENT_TYPE, FORM) {
        return true;
    }
    let types = fields::elements(headers, &CONTENT_TYPE);
    matches!(&*types, [one] if one.name == FORM)
}

/// Refuses what belongs in the body: RFC 6749, section 2.3.1.
pub fn check_query(uri: &Uri) -> Result<(), OauthError> {
    let Some(query) = uri.query() else { return Ok(()) };
    let name =
        |pair: &'_ [u8]| decode(pair.split(|byte| *byte == b'=').next().unwrap_or_default()).map(Cow::into_owned);
    let mut names = query.as_bytes().split(|byte| *byte == b'&').filter_map(name);
    match names.any(|name| NOT_IN_QUERY.contains(&&*name)) {
        true => Err(OauthError::malformed("a token or the credentials of a client do not belong in the address")),
        false => Ok(()),
    }
}

/// A name or value without its escapes, or nothing if they are broken or not UTF-8.
pub fn decode(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.iter().any(|byte| b"%+".contains(byte)) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => plain.push(b' '),
            b'%' => {
                let [high, low, tail @ ..] = tail else { return None };
                plain.push((nibble(*high)? << 4) | nibble(*low)?);
                rest = tail;
            }
            other => plain.push(*other),
        }
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|nibble| nibble as u8)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn parse(body: &str) -> Result<Form<'_>, OauthError> {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=ISO-8859-1");
        Form::parse(&HeaderMap::from_iter([(CONTENT_TYPE, form)]), body.as_bytes())
    }

    #[test]
    fn a_form_is_decoded_and_a_parameter_without_a_value_is_not_there() {
        let form = parse("a=1+2%2B&b=%C3%A9&&c=&d&e=x=y&resource=1&resource=2").expect("well formed");
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|name| form.get(name)),
            [Some("1 2+"), Some("é"), None, None, Some("x=y")]
        );
    }

    #[test]
    fn broken_and_repeated_parameters_are_refused() {
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff", "%+1=a", "a=1&a=1", "a=&a=1", "a=1&%61=2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Form::parse(&HeaderMap::new(), b"a=1").is_err());
    }

    #[test]
    fn secrets_are_refused_in_the_address() {
        let check = |uri: &'static str| check_query(&Uri::from_static(uri));
        assert!(check("/x").is_ok() && check("/x?tokens=1&scope=a").is_ok());
        assert!(check("/x?a=1&token=1").is_err() && check("/x?client%5Fsecret=1").is_err());
    }
}
