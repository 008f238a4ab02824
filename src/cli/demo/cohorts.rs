//! The scene with a cohort: everything that one application issued.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::steps::{FeedStream, ask, expect, introspect, text};
use super::{Demo, DemoFailure, claim};
use crate::cli::client::Client;
use crate::domain::Secret;

/// What the application issues: the call, the member of the answer that holds the secret, and the subject.
const ISSUES: [(&str, &str, &str); 3] =
    [("/v1/tickets", "ticket", "ada"), ("/v1/sessions", "session_token", "bob"), ("/v1/tokens", "token", "cyd")];

impl Demo {
    pub(super) async fn leaked_secret(
        &mut self,
        root: &Client,
        gateway: &Client,
        feed: &mut FeedStream,
    ) -> Result<(), DemoFailure> {
        self.narrator.begin("The secret of an application leaks: everything that it issued is revoked by one call");
        let body = json!({"name": "portal", "scopes": ["issue"], "tenants": ["default"]});
        let made = ask(root, root.request(Method::POST, "/v1/applications").json(&body)).await?;
        expect(&made, StatusCode::CREATED)?;
        let (id, secret) = (text(&made.body, "id")?, text(&made.body, "secret")?);
        let portal = self.client(&Secret::new(&secret))?;
        self.secrets.push(secret);
        let mut issued = Vec::new();
        for (path, member, subject) in ISSUES {
            issued.push(self.issued_by(&portal, path, member, subject).await?);
        }
        let (path, member, subject) = ISSUES[0];
        let other = self.issued_by(root, path, member, subject).await?;
        let started = Instant::now();
        let body = json!({"application": id, "reason": "secret-leaked"});
        let revoke = root.request(Method::POST, "/v1/revocations").json(&body);
        let (answer, event) = tokio::join!(ask(root, revoke), feed.next_revoked(started));
        let (answer, (item, heard)) = (answer?, event?);
        self.tell("POST /v1/revocations {\"application\":…}", &answer);
        expect(&answer, StatusCode::CREATED)?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        claim(item["cohort"] == json!({"application": id}), || format!("the event is of another cohort: {item}"))?;
        for credential in &issued {
            let asked = introspect(gateway, credential).await?;
            claim(asked.body == json!({"active": false}), || format!("the answer is {}", asked.body))?;
        }
        let asked = introspect(gateway, &other).await?;
        claim(asked.body["active"] == true, || "what another caller issued was revoked, too".to_owned())?;
        self.narrator.holds("its ticket, session and token are inactive, and nothing else is");
        let (path, member, subject) = ISSUES[1];
        let fresh = self.issued_by(&portal, path, member, subject).await?;
        let asked = introspect(gateway, &fresh).await?;
        claim(asked.body["active"] == true, || "what it issued afterwards is not active".to_owned())?;
        self.narrator.holds("what it issues afterwards is active: no clock is compared");
        Ok(())
    }

    async fn issued_by(
        &mut self,
        caller: &Client,
        path: &str,
        member: &str,
        subject: &str,
    ) -> Result<String, DemoFailure> {
        let issued = ask(caller, caller.request(Method::POST, path).json(&json!({ "subject": subject }))).await?;
        expect(&issued, StatusCode::CREATED)?;
        let secret = text(&issued.body, member)?;
        self.secrets.push(secret.clone());
        Ok(secret)
    }
}
