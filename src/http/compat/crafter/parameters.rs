//! Parameters as `application/x-www-form-urlencoded` has them, in a query or a body; read strictly.

use crate::domain::Malformed;

/// The most parameters that a request has; with more, looking for duplicates would cost too much.
const MAX_PARAMETERS: usize = 64;

/// A request's parameters, each name once.
pub struct CrafterParameters(Vec<(String, String)>);

impl CrafterParameters {
    /// Reads all parts as one: a name may occur once in all of them together.
    pub fn parse(parts: &[&[u8]]) -> Result<Self, Malformed> {
        let mut all: Vec<(String, String)> = Vec::new();
        for pair in parts.iter().flat_map(|part| pairs(part)) {
            let (name, value) = pair?;
            if all.iter().any(|(known, _)| *known == name) {
                return Err(Malformed("named once each"));
            }
            if all.len() == MAX_PARAMETERS {
                return Err(Malformed("64 at most"));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// The parameter's value, if it was sent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// The first readable value with that name, although other parts may be unreadable.
pub fn find(text: &[u8], name: &str) -> Option<String> {
    pairs(text).flatten().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Text with its percent escapes resolved; `+` stays as it is, for it stands for a space only in forms.
pub fn decode(text: &[u8]) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { escaped(rest.next(), rest.next())? } else { byte });
    }
    String::from_utf8(bytes).map_err(|_| Malformed("UTF-8"))
}

fn pairs(text: &[u8]) -> impl Iterator<Item = Result<(String, String), Malformed>> {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(pair)
}

fn pair(text: &[u8]) -> Result<(String, String), Malformed> {
    let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    Ok((decode_form(&text[..end])?, decode_form(text.get(end + 1..).unwrap_or_default())?))
}

fn decode_form(text: &[u8]) -> Result<String, Malformed> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    decode(&spaced)
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Result<u8, Malformed> {
    let nibble = |digit: Option<u8>| char::from(digit?).to_digit(16);
    match (nibble(high), nibble(low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low) as u8),
        _ => Err(Malformed("free of broken percent escapes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_strictly() {
        let parsed = CrafterParameters::parse(&[b"a=1+2&b=%C3%A9%2B", b"&&c=x=y&d&=e"]).expect("well-formed");
        assert_eq!(parsed.get("a"), Some("1 2"));
        assert_eq!(parsed.get("b"), Some("é+"));
        assert_eq!(parsed.get("c"), Some("x=y"));
        assert_eq!(parsed.get("d"), Some(""));
        assert_eq!(parsed.get(""), Some("e"));
        assert_eq!(parsed.get("z"), None);
    }

    #[test]
    fn broken_and_doubled_parameters_are_refused() {
        let broken: [&[u8]; 8] = [b"a=%", b"a=%2", b"a=%zz", b"%+1=a", b"a=%ff", b"a=\xff", b"a=1&a=1", b"a=1&%61=2"];
        for text in broken {
            assert!(CrafterParameters::parse(&[text]).is_err(), "{}", text.escape_ascii());
        }
        assert!(CrafterParameters::parse(&[b"a=1", b"a=1"]).is_err());
        let many = (0..65).map(|n| format!("p{n}=")).collect::<Vec<_>>().join("&");
        assert!(CrafterParameters::parse(&[many.as_bytes()]).is_err());
    }

    #[test]
    fn one_value_is_found_beside_what_is_broken() {
        assert_eq!(find(b"x=%zz&id=1&id=2", "id").as_deref(), Some("1"));
        assert_eq!(find(b"x=1", "id"), None);
    }
}
