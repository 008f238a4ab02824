//! RFC 7662 at the edge: the bytes that the node would answer.

use reqwest::Method;

use super::credentials::{Form, issue};
use super::place::Place;
use crate::process::node::ROOT;

const SECRET: &str = "the-secret-of-the-resource-servers";

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_answers_an_introspection_with_the_nodes_bytes() {
    let place = Place::new();
    let node = place.node();
    let secret_file = place.path("introspect-secret");
    std::fs::write(&secret_file, SECRET).unwrap();
    let arguments = ["--introspect-listen", "127.0.0.1:0", "--introspect-token-file", secret_file.to_str().unwrap()];
    let token_file = place.token_file(&node.api).await;
    let edge = place.edge(&[node.api.url()], &token_file).args(&arguments).start();
    edge.is_ready().await;
    let at_edge = edge.introspection.clone().unwrap();
    let at_node = format!("{}/oauth2/introspect", node.api.url());
    let ask = async |url: &str, secret: &str, token: &str| {
        let request = edge.request(Method::POST, url).bearer_auth(secret).form(&[("token", token)]);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for form in Form::ALL {
        let one = issue(&node.api, &place.issuer, form, &format!("{form:?}")).await;
        for _ in 0..2 {
            let due = ask(&at_node, ROOT, &one.secret).await;
            assert!(due.1.contains("\"active\":true"), "{form:?}: {due:?}");
            assert_eq!(ask(&at_edge, SECRET, &one.secret).await, due, "{form:?}");
        }
        node.api.revoke(&one.secret).await;
        edge.comes_to("any", &one.secret, 401).await;
        assert_eq!(ask(&at_edge, SECRET, &one.secret).await, (200, "{\"active\":false}".to_owned()), "{form:?}");
    }
    let basic = edge.request(Method::POST, &at_edge).basic_auth("anybody", Some(SECRET)).form(&[("token", "x")]);
    assert_eq!(basic.send().await.unwrap().status(), 200);
    let in_form =
        edge.request(Method::POST, &at_edge).form(&[("token", "x"), ("client_id", "a"), ("client_secret", SECRET)]);
    assert_eq!(in_form.send().await.unwrap().status(), 200);
    for wrong in ["other", ""] {
        assert_eq!(ask(&at_edge, wrong, "x").await.0, 401, "{wrong:?}");
    }
    let nobody = edge.request(Method::POST, &at_edge).form(&[("token", "x")]);
    assert_eq!(nobody.send().await.unwrap().status(), 401);
    // The listener for checks has nothing else.
    let elsewhere = edge.request(Method::POST, &format!("{}/oauth2/introspect", edge.checks)).send().await.unwrap();
    assert_eq!(elsewhere.status(), 403);
}
