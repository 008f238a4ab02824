//! The documents that clients read before they call.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::served::{Made, ServedNode};

const SERVER: &str = "/.well-known/oauth-authorization-server";
const RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// RFC 8414, section 3.2: no empty list and no empty value.
fn is_filled(document: &Value) {
    for (name, value) in document.as_object().expect("an object") {
        assert!(!value.is_null() && *value != json!([]) && *value != json!(""), "{name}");
    }
}

#[tokio::test]
async fn the_documents_lead_to_every_call() {
    let node = ServedNode::start().await;
    let server = node.nobody().get(SERVER).await;
    insta::assert_snapshot!("server", server.shown());
    is_filled(&server.json());
    let resource = node.nobody().get(RESOURCE).await;
    insta::assert_snapshot!("resource", resource.shown());
    is_filled(&resource.json());
    let openid = node.nobody().get("/.well-known/openid-configuration").await.json();
    for (name, value) in server.json().as_object().expect("an object") {
        assert_eq!(openid[name], *value, "{name}");
        if let Some(path) = name.ends_with("_endpoint").then(|| value.as_str()).flatten() {
            let path = path.strip_prefix("http://ledger.test").expect("our own address");
            let method = if path == "/status-lists" { Method::GET } else { Method::POST };
            let answer = node.nobody().send(method, path, "").await;
            assert!(![404, 405].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn the_path_of_an_issuer_comes_after_the_well_known_one() {
    let node = ServedNode::made(Made { issuer: "http://ledger.test/a/b", ..Made::default() }).await;
    for (path, status) in [("", 200), ("/a/b", 200), ("/a", 404), ("/a/b/c", 404), ("/x", 404)] {
        for document in [SERVER, RESOURCE] {
            assert_eq!(
                node.nobody().get(&format!("{document}{path}")).await.status.as_u16(),
                status,
                "{document}{path}"
            );
        }
    }
    let server = node.nobody().get(&format!("{SERVER}/a/b")).await.json();
    assert_eq!(server["introspection_endpoint"], "http://ledger.test/a/b/oauth2/introspect");
}

#[tokio::test]
async fn a_page_of_any_origin_reads_them_and_nothing_else() {
    let node = ServedNode::start().await;
    let page = node.nobody().with("origin", "https://app.example");
    assert_eq!(page.get(SERVER).await.header("access-control-allow-origin"), "*");
    assert_eq!(page.send(Method::POST, SERVER, "").await.header("allow"), "GET, HEAD");
    let call = page.send(Method::POST, super::INTROSPECT, "").await;
    assert_eq!(call.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_prefix_moves_the_calls_and_not_the_documents() {
    let mut made = Made::default();
    made.options.compat.oauth.prefix = "/o".to_owned();
    let node = ServedNode::made(made).await;
    for (path, status) in
        [("/o/oauth2/introspect", 401), ("/o/admin/oauth2/introspect", 401), ("/oauth2/introspect", 404)]
    {
        assert_eq!(super::post(&node.nobody(), path, &[("token", "t")]).await.status.as_u16(), status, "{path}");
    }
    let server = node.nobody().get(SERVER).await.json();
    assert_eq!(server["revocation_endpoint"], "http://ledger.test/o/oauth2/revoke");
}
