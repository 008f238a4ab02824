//! The scenes with tokens: SlashID's and Cribl's contracts, each beside the native API.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::steps::{FeedStream, TimedAnswer, ask, expect, introspect, text};
use super::{Demo, DemoFailure, claim};
use crate::cli::client::Client;

const SLASHID: &str = "/slashid";

impl Demo {
    pub(super) async fn slashid(
        &mut self,
        root: &Client,
        gateway: &Client,
        feed: &mut FeedStream,
    ) -> Result<(), DemoFailure> {
        self.narrator.begin("A JWT, minted and revoked as SlashID's SDK does it");
        let path = format!("{SLASHID}/persons/person-1/mint-token");
        let request = root.plain(Method::POST, &path).header("SlashID-API-Key", self.root.expose());
        let minted = ask(root, request.header("SlashID-OrgID", "default").json(&json!({}))).await?;
        self.tell("POST …/persons/{id}/mint-token", &minted);
        expect(&minted, StatusCode::CREATED)?;
        let token = text(&minted.body, "result")?;
        self.secrets.push(token.clone());
        let good = validate(gateway, &token).await?;
        self.tell("POST …/token/validate", &good);
        claim(good.body["result"]["valid"] == true, || format!("the answer is {}", good.body))?;
        let started = Instant::now();
        let revoke = gateway.plain(Method::POST, &format!("{SLASHID}/token/revoke")).bearer_auth(&token);
        let revoke = revoke.json(&json!({ "token": token }));
        let (revoked, event) = tokio::join!(ask(gateway, revoke), feed.next_revoked(started));
        let (revoked, (item, heard)) = (revoked?, event?);
        self.tell("POST …/token/revoke, as its bearer", &revoked);
        expect(&revoked, StatusCode::NO_CONTENT)?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        claim(text(&item, "subject")? == "person-1", || format!("the event is of another subject: {item}"))?;
        let refused = validate(gateway, &token).await?;
        self.tell("POST …/token/validate", &refused);
        claim(refused.body["result"] == json!({"valid": false, "invalidity_reason": "revoked"}), || {
            format!("the answer is {}", refused.body)
        })?;
        self.narrator.holds("its signature is valid and it has not expired, but the answer says that it was revoked");
        Ok(())
    }

    pub(super) async fn cribl(
        &mut self,
        root: &Client,
        gateway: &Client,
        feed: &mut FeedStream,
    ) -> Result<(), DemoFailure> {
        self.narrator.begin("All tokens of a user are revoked as Cribl's SDK does it");
        let mut tokens = Vec::new();
        for format in ["jwt", "opaque", "jwt"] {
            tokens.push(self.issue_token(root, format).await?);
        }
        let started = Instant::now();
        let request = root.request(Method::DELETE, "/api/v1/auth/users/carol/token").query(&[("ttl", "1h")]);
        let (revoked, event) = tokio::join!(ask(root, request), feed.next_revoked(started));
        let (revoked, (item, heard)) = (revoked?, event?);
        self.tell("DELETE /api/v1/auth/users/{id}/token", &revoked);
        expect(&revoked, StatusCode::OK)?;
        claim(revoked.body["count"] == 3, || format!("the answer is {}", revoked.body))?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        claim(text(&item, "subject")? == "carol", || format!("the event is of another subject: {item}"))?;
        for token in &tokens {
            claim(!is_good(gateway, token).await?, || "a token that was revoked is active".to_owned())?;
        }
        let fresh = self.issue_token(root, "jwt").await?;
        claim(is_good(gateway, &fresh).await?, || "a token that was issued afterwards is not active".to_owned())?;
        self.narrator.holds("one event revoked all three tokens, and a fourth issued at once afterwards is active");
        Ok(())
    }

    async fn issue_token(&mut self, root: &Client, format: &str) -> Result<String, DemoFailure> {
        let body = json!({"subject": "carol", "format": format});
        let answer = ask(root, root.request(Method::POST, "/v1/tokens").json(&body)).await?;
        self.tell(&format!("POST /v1/tokens {{\"format\":\"{format}\"}}"), &answer);
        expect(&answer, StatusCode::CREATED)?;
        let token = text(&answer.body, "token")?;
        self.secrets.push(token.clone());
        Ok(token)
    }
}

/// The holder of a token may ask about it.
async fn validate(client: &Client, token: &str) -> Result<TimedAnswer, DemoFailure> {
    let request = client.plain(Method::POST, &format!("{SLASHID}/token/validate")).json(&json!({ "token": token }));
    let answer = ask(client, request).await?;
    expect(&answer, StatusCode::OK)?;
    Ok(answer)
}

async fn is_good(gateway: &Client, token: &str) -> Result<bool, DemoFailure> {
    let answer = introspect(gateway, token).await?;
    Ok(answer.body["active"] == Value::Bool(true))
}
