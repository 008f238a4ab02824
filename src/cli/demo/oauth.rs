//! The scene with a standard OAuth client.

use std::time::Instant;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use super::steps::{FeedStream, ask, expect, text};
use super::{Demo, DemoFailure, claim};
use crate::cli::client::Client;

impl Demo {
    pub(super) async fn oauth(&mut self, root: &Client, feed: &mut FeedStream) -> Result<(), DemoFailure> {
        self.narrator.begin("A standard OAuth client asks about a token, and revokes it");
        let body = json!({"name": "api", "scopes": ["introspect", "revoke"], "tenants": ["default"]});
        let client = ask(root, root.request(Method::POST, "/v1/applications").json(&body)).await?;
        self.tell("POST /v1/applications", &client);
        expect(&client, StatusCode::CREATED)?;
        let (id, secret) = (text(&client.body, "id")?, text(&client.body, "secret")?);
        self.secrets.push(secret.clone());
        let body = json!({"subject": "dave", "format": "opaque", "scope": "read write", "audience": "api"});
        let issued = ask(root, root.request(Method::POST, "/v1/tokens").json(&body)).await?;
        self.tell("POST /v1/tokens {\"format\":\"opaque\"}", &issued);
        expect(&issued, StatusCode::CREATED)?;
        let token = text(&issued.body, "token")?;
        self.secrets.push(token.clone());
        // As any client of RFC 6749 sends it.
        let call = |path: &str| -> RequestBuilder {
            root.plain(Method::POST, path).basic_auth(&id, Some(&secret)).form(&[("token", &token)])
        };
        let good = ask(root, call("/oauth2/introspect")).await?;
        self.tell("POST /oauth2/introspect", &good);
        claim(good.body["active"] == true && good.body["scope"] == "read write", || {
            format!("the answer is {}", good.body)
        })?;
        let started = Instant::now();
        let (revoked, event) = tokio::join!(ask(root, call("/oauth2/revoke")), feed.next_revoked(started));
        let (revoked, (item, heard)) = (revoked?, event?);
        self.tell("POST /oauth2/revoke", &revoked);
        expect(&revoked, StatusCode::OK)?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        claim(text(&item, "subject")? == "dave", || format!("the event is of another subject: {item}"))?;
        let over = ask(root, call("/oauth2/introspect")).await?;
        self.tell("POST /oauth2/introspect", &over);
        claim(over.body == json!({"active": false}), || format!("the answer is {}", over.body))?;
        self.narrator.holds("the client knows nothing of this ledger, and hears that the token is not active");
        Ok(())
    }
}
