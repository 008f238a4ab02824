//! Pages of other origins.

use axum::http::Method;
use serde_json::json;

use super::{Place, revoke};
use crate::support::served::{Actor, Answer, Made};

const LISTED: &str = "https://app.example";
const WANTED: [&str; 9] = [
    "content-type",
    "authorization",
    "dpop",
    "cache-control",
    "slashid-sdkversion",
    "slashid-orgid",
    "slashid-api-key",
    "slashid-required-consistency",
    "slashid-required-consistency-timeout",
];

async fn place() -> Place {
    let mut made = Made::default();
    made.options.compat.slashid.cors_origins = vec!["http://localhost:3000".to_owned(), LISTED.to_owned()];
    Place::made(made).await
}

async fn preflight(actor: &Actor, origin: &str, path: &str) -> Answer {
    let asking = actor.with("origin", origin).with("access-control-request-method", "POST");
    asking.with("access-control-request-headers", &WANTED.join(",")).send(Method::OPTIONS, path, "").await
}

fn allowed(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.keys().map(|name| name.as_str());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test]
async fn a_listed_origin_may_send_what_the_sdk_sends() {
    let place = place().await;
    for path in ["/token/revoke", "/slashid/token/validate", "/slashid/.well-known/jwks.json", "/persons/p/mint-token"]
    {
        let answer = preflight(&place.node.nobody(), LISTED, path).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
        assert_eq!(answer.header("access-control-allow-origin"), LISTED);
        assert_eq!(answer.header("access-control-allow-methods"), "GET, POST");
        let headers: Vec<&str> = answer.header("access-control-allow-headers").split(", ").collect();
        assert_eq!(headers, WANTED);
        assert_eq!(answer.header("access-control-max-age"), "600");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(answer.header("vary"), "Origin");
    }
    let other = preflight(&place.node.nobody(), "http://localhost:3000", "/token/revoke").await;
    assert_eq!(other.header("access-control-allow-origin"), "http://localhost:3000");
}

#[tokio::test]
async fn a_page_of_a_listed_origin_reads_successes_and_refusals() {
    let place = place().await;
    let token = place.mint("p").await;
    let bearer = place.node.holder(&token).with("origin", LISTED);
    for status in [204, 400] {
        let answer = revoke(&bearer, &token).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(allowed(&answer), ["access-control-allow-origin"]);
        assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (LISTED, "Origin"));
    }
}

#[tokio::test]
async fn other_origins_are_told_nothing() {
    let place = place().await;
    let unlisted =
        ["https://app.example:444", "https://app.example.evil.example", "http://app.example", "null", "*", ""];
    for origin in unlisted {
        let answer = preflight(&place.node.nobody(), origin, "/token/revoke").await;
        assert_eq!(
            (answer.status.as_u16(), allowed(&answer), answer.header("vary")),
            (204, vec![], "Origin"),
            "{origin}"
        );
        let answer = place.node.nobody().with("origin", origin).post("/token/validate", json!({"token": "x"})).await;
        assert_eq!((answer.status.as_u16(), allowed(&answer), answer.header("vary")), (200, vec![], "Origin"));
    }
    let nobody_listed = Place::start().await;
    assert_eq!(allowed(&preflight(&nobody_listed.node.nobody(), LISTED, "/token/revoke").await), Vec::<&str>::new());
    let answer = place.node.nobody().with("origin", LISTED).get("/v1/status").await;
    assert_eq!(allowed(&answer), Vec::<&str>::new(), "other surfaces have no such origins");
}

/// Public keys are public: whatever is configured, pages of every origin may fetch what verifies tokens.
#[tokio::test]
async fn pages_of_every_origin_read_each_answer_about_the_keys() {
    const UNLISTED: &str = "https://elsewhere.example";
    let place = Place::start().await;
    let page = place.node.nobody().with("origin", UNLISTED);
    let (keys, configuration) = ("/.well-known/jwks.json", "/.well-known/openid-configuration");
    for (verb, path, status) in [
        (Method::GET, keys, 200),
        (Method::HEAD, keys, 200),
        (Method::GET, configuration, 200),
        (Method::POST, keys, 405),
        (Method::OPTIONS, keys, 405),
        (Method::GET, "/.well-known/security.txt", 404),
        (Method::GET, "/.well-known/jwks.json/", 404),
    ] {
        let answer = page.send(verb.clone(), path, "").await;
        assert_eq!(
            (answer.status.as_u16(), allowed(&answer)),
            (status, vec!["access-control-allow-origin"]),
            "{verb} {path}"
        );
        assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), ("*", ""), "{verb} {path}");
    }
    assert_eq!(allowed(&place.node.nobody().get(keys).await), ["access-control-allow-origin"], "one answer for all");
    for path in [keys, configuration, "/.well-known/security.txt"] {
        let answer = preflight(&place.node.nobody(), UNLISTED, path).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-methods"), "GET");
        assert_eq!(answer.header("access-control-allow-headers"), "*");
        assert_eq!(answer.header("access-control-max-age"), "600");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    let answer = page.get("/slashid/.well-known/jwks.json").await;
    assert_eq!(allowed(&answer), Vec::<&str>::new(), "SlashID's contract has an origin's pages listed");
}
