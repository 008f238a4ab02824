//! The scene with sessions: a person lists and revokes their own sessions by Ory's contract.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::steps::{FeedStream, TimedAnswer, ask, expect, text};
use super::{Demo, DemoFailure, claim};
use crate::cli::client::Client;

const ORY: &str = "/auth";

impl Demo {
    pub(super) async fn ory(&mut self, root: &Client, feed: &mut FeedStream) -> Result<(), DemoFailure> {
        self.narrator.begin("A person revokes the session of a lost phone as Ory's SDK does it");
        let (laptop, _) = self.issue_session(root, "laptop").await?;
        let (phone, id) = self.issue_session(root, "phone").await?;
        let own = whoami(root, &phone).await?;
        self.tell("GET  …/sessions/whoami, by the phone", &own);
        expect(&own, StatusCode::OK)?;
        claim(own.body["id"] == *id, || format!("it is another session: {}", own.body))?;
        let started = Instant::now();
        let request = root.plain(Method::DELETE, &format!("{ORY}/sessions/{id}")).header("X-Session-Token", &laptop);
        let (revoked, event) = tokio::join!(ask(root, request), feed.next_revoked(started));
        let (revoked, (item, heard)) = (revoked?, event?);
        self.tell("DELETE …/sessions/{id}, by the laptop", &revoked);
        expect(&revoked, StatusCode::NO_CONTENT)?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        claim(text(&item, "id")? == id, || format!("the event is of another session: {item}"))?;
        let refused = whoami(root, &phone).await?;
        self.tell("GET  …/sessions/whoami, by the phone", &refused);
        expect(&refused, StatusCode::UNAUTHORIZED)?;
        expect(&whoami(root, &laptop).await?, StatusCode::OK)?;
        self.narrator.holds("the phone is logged out, the laptop is not, without an administrator");
        Ok(())
    }

    /// The session token, and the session's id.
    async fn issue_session(&mut self, root: &Client, device: &str) -> Result<(String, String), DemoFailure> {
        let body = json!({"subject": "dave", "methods": ["password"], "device": {"user_agent": device}});
        let answer = ask(root, root.request(Method::POST, "/v1/sessions").json(&body)).await?;
        self.tell(&format!("POST /v1/sessions, for the {device}"), &answer);
        expect(&answer, StatusCode::CREATED)?;
        let token = text(&answer.body, "session_token")?;
        self.secrets.push(token.clone());
        let id = answer.body["session"].get("id").and_then(Value::as_str).unwrap_or_default();
        Ok((token, id.to_owned()))
    }
}

async fn whoami(client: &Client, token: &str) -> Result<TimedAnswer, DemoFailure> {
    let request = client.plain(Method::GET, &format!("{ORY}/sessions/whoami"));
    ask(client, request.header("X-Session-Token", token)).await
}
