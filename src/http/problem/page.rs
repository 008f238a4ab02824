//! `GET /problems/{code}`: what a problem's `type` resolves to.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{Html, IntoResponse, Response};

use super::{Code, Problem};
use crate::http::fields;

/// What a problem means and what to do about it: a page for people, or JSON if the request asks for it.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "explain_problem",
    tag = "about",
    params(("code" = String, Path, description = "The last part of a problem's `type`")),
    responses(
        (status = 200, description = "The meaning of the code", content((String = "text/html"), (super::ProblemBody = "application/json"))),
        (status = 404, description = "No problem has this code", body = super::ProblemBody, content_type = "application/problem+json"),
    ),
    security(()),
)]
pub async fn page(headers: HeaderMap, name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let Ok(Path(name)) = name else { return Err(Problem::new(Code::InvalidPath)) };
    let code = Code::find(&name).ok_or(Problem::new(Code::UnknownProblem))?;
    let varies = [(VARY, HeaderValue::from(ACCEPT))];
    if prefers_json(&headers) {
        return Ok((varies, [(CONTENT_TYPE, "application/json")], Problem::new(code).body()).into_response());
    }
    Ok((varies, Html(html(code))).into_response())
}

/// A page for people unless the request prefers JSON to it, so that a browser and a bare `curl` get the page.
fn prefers_json(headers: &HeaderMap) -> bool {
    let accepted = fields::elements(headers, &ACCEPT);
    let json = ["application/json", "application/problem+json"].map(|json| fields::accepted(&accepted, json));
    json.into_iter().max() > Some(fields::accepted(&accepted, "text/html"))
}

/// The table holds nothing that HTML would have to escape.
fn html(code: Code) -> String {
    let (title, meaning) = (code.title(), code.meaning());
    let (status, name) = (code.status(), code.as_str());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n\
         <p><code>{name}</code>, answered with {status}</p>\n<p>{meaning}</p>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_stand_in_html_and_its_codes_are_kebab_case_and_different() {
        let mut names = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(!format!("{}{}", code.title(), code.meaning()).contains(['<', '>', '&']), "{code:?}");
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code:?}");
            assert!(names.insert(code.as_str()), "{code:?}");
            assert_eq!(Code::find(code.as_str()), Some(*code));
        }
    }
}
