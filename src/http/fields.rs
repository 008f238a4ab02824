//! Header fields whose value is a list: elements with parameters, on one line or several (RFC 9110, sections 5.3 and 5.6).
//!
//! One reader for `Accept`, `Accept-Encoding`, `Content-Encoding`, `Content-Type` and `Prefer`. An element that is malformed is left out,
//! and its neighbours still count: what a client prefers is a wish, and none of these fields is refused for its form.

use axum::http::{HeaderMap, HeaderName};

/// The most elements of a field that are read. A head has 16 KiB, which would hold thousands.
const MAX_ELEMENTS: usize = 64;
/// The weight of an element without `q`, in thousandths.
const FULL_WEIGHT: u16 = 1_000;

/// One element of a list: `name`, or `name=value`, and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// In lower case: names, media types and codings are the same in any case.
    pub name: String,
    /// Without its quotes.
    pub value: Option<String>,
    /// Each name in lower case, and its value without quotes.
    pub parameters: Vec<(String, String)>,
}

impl Element {
    /// The parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The weight in thousandths (RFC 9110, section 12.4.2). One that is malformed counts in full, as if it were not there.
    pub fn weight(&self) -> u16 {
        self.parameter("q").and_then(thousandths).unwrap_or(FULL_WEIGHT)
    }
}

/// The elements of all lines of that field, in order.
pub fn elements(headers: &HeaderMap, name: &HeaderName) -> Vec<Element> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| split(line, ',')).filter_map(element).take(MAX_ELEMENTS).collect()
}

/// Whether the field is on one line that is exactly this text. Most clients write a media type so, and no element need be read.
pub fn is_exactly(headers: &HeaderMap, name: &HeaderName, text: &str) -> bool {
    let mut lines = headers.get_all(name).iter();
    lines.next().is_some_and(|line| line.as_bytes() == text.as_bytes()) && lines.next().is_none()
}

/// The weight that the client gives to that media type, and how exactly it names it: by nothing (0), `*/*`, `type/*` or in full (3).
/// The most exact element decides (RFC 9110, section 12.5.1).
pub fn accepted(elements: &[Element], media_type: &str) -> Option<(u16, u8)> {
    let (main, _) = media_type.split_once('/')?;
    let exactness = |element: &Element| match element.name.split_once('/') {
        Some(_) if element.name == media_type => 3,
        Some((range, "*")) if range == main => 2,
        Some(("*", "*")) => 1,
        _ => 0,
    };
    let best = elements.iter().rev().max_by_key(|element| exactness(element))?;
    (exactness(best) > 0).then(|| (best.weight(), exactness(best)))
}

/// Whether the client takes that coding of an answer, by its name or by `*`.
pub fn accepts_coding(headers: &HeaderMap, coding: &str) -> bool {
    let elements = elements(headers, &axum::http::header::ACCEPT_ENCODING);
    let named = elements.iter().find(|element| element.name == coding);
    named.or_else(|| elements.iter().find(|element| element.name == "*")).is_some_and(|element| element.weight() > 0)
}

fn element(text: &str) -> Option<Element> {
    let mut parts = split(text, ';');
    let (name, value) = pair(parts.next()?)?;
    let parameters = parts.filter_map(pair).map(|(name, value)| (name, value.unwrap_or_default())).collect();
    Some(Element { name, value, parameters })
}

/// `name`, or `name=value`, with blanks around the sign or without.
fn pair(text: &str) -> Option<(String, Option<String>)> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim(), Some(unquoted(value.trim())?)),
        None => (text.trim(), None),
    };
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte == b'/' || is_token(byte));
    is_name.then(|| (name.to_ascii_lowercase(), value))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The text of a token or of a quoted string (RFC 9110, section 5.6.4).
fn unquoted(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else { return text.bytes().all(is_token).then(|| text.to_owned()) };
    let mut plain = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(plain),
            '\\' => plain.push(rest.next()?),
            other => plain.push(other),
        }
    }
}

/// The parts between separators that do not stand in a quoted string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let parts = text.split(move |c: char| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match c {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        c == separator && !is_quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

/// `0`, `1`, and up to three digits after a point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let is_weight = matches!(whole, "0" | "1") && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let parsed: u16 = format!("{whole}{digits:0<3}").parse().ok()?;
    (is_weight && parsed <= FULL_WEIGHT).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use axum::http::header::{ACCEPT, ACCEPT_ENCODING};

    use super::*;

    fn list(lines: &[&str]) -> Vec<Element> {
        let mut all = HeaderMap::new();
        for line in lines {
            all.append(ACCEPT, line.parse().expect("a field's value"));
        }
        elements(&all, &ACCEPT)
    }

    #[test]
    fn a_list_may_be_spread_over_lines_and_hold_quoted_separators() {
        let names = |lines: &[&str]| list(lines).into_iter().map(|element| element.name).collect::<Vec<_>>();
        assert_eq!(names(&["a, B ,,c", "d;x=\"1,2;3\",e"]), ["a", "b", "c", "d", "e"]);
        let elements = list(&["Wait = \"2\" ; Foo=bar;empty, text/html;q=0.5, x=\"a\\\"b, c\""]);
        assert_eq!((&*elements[0].name, elements[0].value.as_deref()), ("wait", Some("2")));
        assert_eq!((elements[0].parameter("foo"), elements[0].parameter("empty")), (Some("bar"), Some("")));
        assert_eq!(elements[1].weight(), 500);
        assert_eq!(elements[2].value.as_deref(), Some("a\"b, c"));
        assert_eq!(names(&["a, =b, c d, \"e\", f=\"g, h"]), ["a"]);
        assert_eq!(list(&["a,".repeat(10_000).as_str()]).len(), MAX_ELEMENTS);
    }

    #[test]
    fn a_field_is_exactly_a_text_on_one_line_alone() {
        let mut headers = HeaderMap::new();
        assert!(!is_exactly(&headers, &ACCEPT, "a/b"));
        headers.append(ACCEPT, "a/b".parse().expect("a field's value"));
        assert!(is_exactly(&headers, &ACCEPT, "a/b") && !is_exactly(&headers, &ACCEPT, "A/b"));
        headers.append(ACCEPT, "a/b".parse().expect("a field's value"));
        assert!(!is_exactly(&headers, &ACCEPT, "a/b"), "it is on two lines");
    }

    #[test]
    fn the_most_exact_range_decides() {
        let weight = |accept: &str, media_type: &str| accepted(&list(&[accept]), media_type);
        assert_eq!(weight("*/*, text/*;q=0.3, text/html;q=0", "text/html"), Some((0, 3)));
        assert_eq!(weight("*/*, text/*;q=0.3", "text/plain"), Some((300, 2)));
        assert_eq!(weight("*/*;q=0.25, text/*;q=0.3", "application/json"), Some((250, 1)));
        assert_eq!(weight("text/html", "application/json"), None);
        for (text, thousandths) in [("1", 1_000), ("0.5", 500), ("0.", 0), ("1.000", 1_000), ("0.123", 123)] {
            assert_eq!(weight(&format!("a/b;q={text}"), "a/b"), Some((thousandths, 3)), "{text}");
        }
        for malformed in ["2", "1.1", "-1", "0.1234", "x", ""] {
            assert_eq!(weight(&format!("a/b;q={malformed}"), "a/b"), Some((1_000, 3)), "{malformed}");
        }
    }

    #[test]
    fn a_coding_is_accepted_by_its_name_before_the_star() {
        let accepts = |accepted: &str| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accepted.parse().expect("a field's value"))]);
            accepts_coding(&headers, "zstd")
        };
        assert!(accepts("gzip, ZSTD;q=0.5") && accepts("*") && accepts("gzip;q=0, *;q=0.1"));
        assert!(!accepts("gzip") && !accepts("zstd;q=0, *") && !accepts("*;q=0.000") && !accepts(""));
    }
}
