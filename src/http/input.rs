//! The inputs of requests, in the form that a call takes, or a problem that names what is wrong.

use axum::extract::{FromRequestParts as _, Path, Query};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fields;
use super::problem::{Code, Problem};
use super::wire::JsonObject;
use crate::domain::Origin;
use crate::utf8;

/// The JSON body of a call.
pub fn json<'a, T: Deserialize<'a>>(headers: &HeaderMap, body: &'a [u8]) -> Result<T, Problem> {
    if !is(headers, "application/json") {
        return Err(Code::UnsupportedMediaType.into());
    }
    object(body)
}

/// A text that is one JSON object, with a byte-order mark or without: some clients and spreadsheets write one.
pub fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    let text = utf8::without_mark(text);
    serde_json::from_slice(text).or_else(|_| explain(text)).map(|JsonObject(object)| object)
}

/// The most lines of a body.
const MAX_LINES: usize = 1_000;

/// The lines of a body, each an object that is read by itself. The last one may lack its line feed.
pub fn lines<'a, T, U>(
    body: &'a [u8],
    read: impl Fn(T) -> Result<U, Problem>,
) -> Result<Vec<Result<U, Problem>>, Problem>
where
    T: Deserialize<'a>,
{
    let text = body.strip_suffix(b"\n").unwrap_or(body);
    let lines = text.split(|byte| *byte == b'\n');
    if lines.clone().count() > MAX_LINES {
        return Err(Problem::with_detail(Code::InvalidBody, format!("a body has at most {MAX_LINES} lines")));
    }
    Ok(lines.map(|line| object(line).and_then(&read)).collect())
}

/// Refuses a body that is not lines of JSON.
pub fn ndjson(headers: &HeaderMap) -> Result<(), Problem> {
    if is(headers, "application/x-ndjson") {
        return Ok(());
    }
    Err(Problem::with_detail(Code::UnsupportedMediaType, "Send `Content-Type: application/x-ndjson`."))
}

/// Whether the body has that type, and is in UTF-8 if it names a charset. A body without a type is refused: nobody
/// sends that on purpose.
fn is(headers: &HeaderMap, wanted: &str) -> bool {
    if fields::is_exactly(headers, &CONTENT_TYPE, wanted) {
        return true;
    }
    let types = fields::elements(headers, &CONTENT_TYPE);
    let [media_type] = &*types else { return false };
    let is_utf8 = media_type.parameter("charset").is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8"));
    is_utf8 && media_type.name == wanted
}

/// Reads once more, slower, to name the member that is wrong.
fn explain<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<JsonObject<T>, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| refusal(&error))?;
    json.end().map_err(|error| Problem::with_detail(Code::MalformedJson, error.to_string()))?;
    Ok(read)
}

fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let text = error.inner().to_string();
    if !error.inner().is_data() {
        return Problem::with_detail(Code::MalformedJson, text);
    }
    // The place in the text says less than the name of the member.
    let problem = text.rsplit_once(" at line ").map_or(&*text, |(problem, _)| problem);
    Problem::with_detail(Code::InvalidBody, at_member(&error.path().to_string(), problem))
}

fn at_member(path: &str, problem: &str) -> String {
    // An unknown, missing or doubled member is named by the problem itself.
    let named = path == "." || path == "?" || problem.contains(&format!("`{path}`"));
    if named { problem.to_owned() } else { format!("`{path}`: {problem}") }
}

/// The parameters of a call. Unlike a form's, its percent escapes must be whole and in UTF-8, and a plus is never a space.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let text = uri.query().unwrap_or_default();
    if !well_escaped(text) {
        return Err(Problem::with_detail(Code::InvalidQuery, "a percent escape is incomplete, or not UTF-8"));
    }
    let Some(escaped) = without_plus(text)? else { return parameters(uri) };
    let uri = Uri::builder().path_and_query(format!("/?{escaped}")).build();
    parameters(&uri.map_err(|_| Problem::new(Code::InvalidQuery))?)
}

/// The query with each plus of a time written as `%2B`; nothing if it has no plus.
///
/// Forms write a space as a plus, and RFC 3986 knows no such rule. A reader that takes the plus of `user+tag@example.org` for a space, or
/// the other way about, finds nothing and says so with an empty 200. So a plus is refused wherever both could be meant.
fn without_plus(query: &str) -> Result<Option<String>, Problem> {
    if !query.contains('+') {
        return Ok(None);
    }
    let escaped = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_time = || value.replace("%3A", ":").replace("%3a", ":").parse::<jiff::Timestamp>().is_ok();
        if !pair.contains('+') {
            Ok(pair.to_owned())
        } else if !name.contains('+') && is_time() {
            Ok(format!("{name}={}", value.replace('+', "%2B")))
        } else {
            let detail = format!("`{name}`: write a plus as %2B and a space as %20; a bare plus could mean either");
            Err(Problem::with_detail(Code::InvalidQuery, detail))
        }
    };
    let pairs: Vec<String> = query.split('&').map(escaped).collect::<Result<_, _>>()?;
    Ok(Some(pairs.join("&")))
}

fn parameters<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    Query::try_from_uri(uri).map(|Query(parameters)| parameters).map_err(|rejection| {
        let text = rejection.body_text();
        // The problem, with the parameter in front if one's value was wrong.
        let problem = text.split_once(": ").map_or(&*text, |(_, problem)| problem);
        let (parameter, problem) = problem.split_once(": ").unwrap_or((".", problem));
        Problem::with_detail(Code::InvalidQuery, at_member(parameter, problem))
    })
}

/// The limit of a page in a query, if it is within the call's bounds.
pub fn limit(asked: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    limit_in(Code::InvalidQuery, asked, default, max)
}

/// The same; `code` says where the limit was written.
pub fn limit_in(code: Code, asked: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(default);
    if (1..=max).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::with_detail(code, format!("`limit`: must be 1 to {max}")))
}

/// The one variable part of a call's path.
pub async fn segment(parts: &mut Parts) -> Result<String, Problem> {
    let escapes = Problem::with_detail(Code::InvalidPath, "a percent escape is incomplete, or not UTF-8");
    if !well_escaped(parts.uri.path()) {
        return Err(escapes);
    }
    let Path(segment) = Path::<String>::from_request_parts(parts, &()).await.map_err(|_| escapes)?;
    if is_dotted(&segment) {
        return Err(Problem::with_detail(Code::InvalidPath, "`.` and `..` name nothing here"));
    }
    Ok(segment)
}

/// Whether a segment of a path is one that clients and proxies resolve: a call that reaches us with it was meant for another resource.
pub fn is_dotted(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// An origin that is named in a path.
pub fn origin(name: &str) -> Result<Origin, Problem> {
    let must_be = |_| Problem::with_detail(Code::InvalidPath, "`origin` must be 13 characters of a-z and 2-7");
    name.parse().map_err(must_be)
}

/// Whether every percent sign starts an escape, and the whole is UTF-8 once decoded.
fn well_escaped(text: &str) -> bool {
    if !text.contains('%') {
        return true;
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else { return false };
        let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16)) else {
            return false;
        };
        decoded.push((high << 4 | low) as u8);
        rest = tail;
    }
    std::str::from_utf8(&decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes_are_whole_and_utf8() {
        for good in ["", "plain", "a%2Fb", "%C3%A9", "%c3%a9"] {
            assert!(well_escaped(good), "{good}");
        }
        for bad in ["%", "%4", "%zz", "%+1", "%ff", "%C3", "a%C3b"] {
            assert!(!well_escaped(bad), "{bad}");
        }
    }

    #[test]
    fn a_plus_is_a_plus_in_a_time_and_refused_elsewhere() {
        let escaped = |query: &str| without_plus(query).map_err(|problem| problem.detail().to_owned());
        assert_eq!(escaped("subject=a%2Bb&at=1"), Ok(None));
        let time = "at=2026-11-29T10%3a00:00+02:00&subject=a%2Bb%20c";
        assert_eq!(escaped(time), Ok(Some(time.replace('+', "%2B"))));
        for ambiguous in ["subject=a+b", "x=1&subject=+", "a+t=2026-11-29T10:00:00+02:00", "at=2026+", "+"] {
            assert!(escaped(ambiguous).expect_err(ambiguous).contains("%2B"), "{ambiguous}");
        }
    }

    #[test]
    fn only_json_in_utf8_is_json() {
        let json = |media_type: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, axum::http::HeaderValue::from_static(media_type))]);
            is(&headers, "application/json")
        };
        assert!(json("application/json") && json("Application/JSON; charset=UTF-8"));
        assert!(!json("text/json") && !json("application/json; charset=latin1") && !json("application/jsonl"));
        assert!(!is(&HeaderMap::new(), "application/json"));
        let mut twice = HeaderMap::from_iter([(CONTENT_TYPE, super::super::answer::JSON)]);
        twice.append(CONTENT_TYPE, super::super::answer::JSON);
        assert!(!is(&twice, "application/json"));
    }
}
