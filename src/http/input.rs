//! The inputs of requests, in the form that a call takes, or a problem that names what is wrong.

use axum::extract::{FromRequestParts as _, Path, Query};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use super::wire::Object;
use crate::domain::Origin;

/// The JSON body of a call.
pub fn json<'a, T: Deserialize<'a>>(headers: &HeaderMap, body: &'a [u8]) -> Result<T, Problem> {
    if !is(headers, "application/json") {
        return Err(Code::UnsupportedMediaType.into());
    }
    object(body)
}

/// A text that is one JSON object.
pub fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).or_else(|_| explain(text)).map(|Object(object)| object)
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
    let Some(Ok(media_type)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let (essence, parameter) = media_type.split_once(';').unwrap_or((media_type, ""));
    let charset = parameter.trim();
    let utf8 = charset.is_empty()
        || charset.eq_ignore_ascii_case("charset=utf-8")
        || charset.eq_ignore_ascii_case("charset=\"utf-8\"");
    utf8 && essence.trim().eq_ignore_ascii_case(wanted)
}

/// Reads once more, slower, to name the member that is wrong.
fn explain<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<Object<T>, Problem> {
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

/// The parameters of a call. Unlike a form's, its percent escapes must be whole and in UTF-8.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    if !well_escaped(uri.query().unwrap_or_default()) {
        return Err(Problem::with_detail(Code::InvalidQuery, "a percent escape is incomplete, or not UTF-8"));
    }
    Query::try_from_uri(uri).map(|Query(parameters)| parameters).map_err(|rejection| {
        let text = rejection.body_text();
        // The problem, with the parameter in front if one's value was wrong.
        let problem = text.split_once(": ").map_or(&*text, |(_, problem)| problem);
        let (parameter, problem) = problem.split_once(": ").unwrap_or((".", problem));
        Problem::with_detail(Code::InvalidQuery, at_member(parameter, problem))
    })
}

/// The limit of a page, if it is within the call's bounds.
pub fn limit(asked: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(default);
    if (1..=max).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::with_detail(Code::InvalidQuery, format!("`limit`: must be 1 to {max}")))
}

/// The one variable part of a call's path.
pub async fn segment(parts: &mut Parts) -> Result<String, Problem> {
    let escapes = Problem::with_detail(Code::InvalidPath, "a percent escape is incomplete, or not UTF-8");
    if !well_escaped(parts.uri.path()) {
        return Err(escapes);
    }
    Path::<String>::from_request_parts(parts, &()).await.map(|Path(segment)| segment).map_err(|_| escapes)
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
    fn only_json_in_utf8_is_json() {
        let json = |media_type: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, axum::http::HeaderValue::from_static(media_type))]);
            is(&headers, "application/json")
        };
        assert!(json("application/json") && json("Application/JSON; charset=UTF-8"));
        assert!(!json("text/json") && !json("application/json; charset=latin1") && !json("application/jsonl"));
        assert!(!is(&HeaderMap::new(), "application/json"));
    }
}
