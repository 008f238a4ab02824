//! The scene with evidence: an auditor is given a proof, checks it without help, and still has it when a subject is
//! erased.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::steps::{FeedStream, ask, expect, text};
use super::{Demo, DemoFailure, claim};
use crate::cli::client::Client;
use crate::tlog::{InclusionProof, VerifierKey};

const SUBJECT: &str = "dave";
const EMAIL: &str = "dave@example.org";

impl Demo {
    pub(super) async fn evidence(&mut self, root: &Client, feed: &mut FeedStream) -> Result<(), DemoFailure> {
        self.narrator.begin("An auditor asks about the past, keeps a proof, and a subject is erased");
        let body = json!({"subject": SUBJECT, "identity": {"traits": {"email": EMAIL}}});
        let issued = ask(root, root.request(Method::POST, "/v1/sessions").json(&body)).await?;
        self.tell("POST /v1/sessions, with an identity", &issued);
        expect(&issued, StatusCode::CREATED)?;
        // The address is not a secret, but it must be as hard to find as one.
        self.secrets.extend([text(&issued.body, "session_token")?, EMAIL.to_owned()]);
        let session = &issued.body["session"];
        let (id, position) = (text(session, "id")?, session["position"].as_u64().unwrap_or_default());
        self.erase(root, feed).await?;
        self.as_of(root, position, "active").await?;
        self.as_of(root, position + 1, "erased").await?;
        let proof = self.proof(root, position).await?;
        self.narrator.holds(&proof);
        let shown = ask(root, root.request(Method::GET, &format!("/v1/sessions/{id}"))).await?;
        self.tell("GET /v1/sessions/{id}", &shown);
        claim(shown.body["identity"].is_null(), || "the personal data can still be read".to_owned())?;
        self.narrator.holds("the record is there and proven, and the personal data in it can't be read any more");
        Ok(())
    }

    async fn erase(&mut self, root: &Client, feed: &mut FeedStream) -> Result<(), DemoFailure> {
        let (started, path) = (Instant::now(), format!("/v1/subjects/{SUBJECT}/personal-data"));
        let (erased, event) = tokio::join!(ask(root, root.request(Method::DELETE, &path)), feed.next_revoked(started));
        let (erased, (item, heard)) = (erased?, event?);
        self.tell("DELETE /v1/subjects/{subject}/personal-data", &erased);
        expect(&erased, StatusCode::OK)?;
        claim(erased.body["keys_destroyed"] == 1, || format!("the answer is {}", erased.body))?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        Ok(())
    }

    async fn as_of(&self, root: &Client, position: u64, due: &str) -> Result<(), DemoFailure> {
        let query = [("at", position.to_string()), ("subject", SUBJECT.to_owned())];
        let answer = ask(root, root.request(Method::GET, "/v1/as-of").query(&query)).await?;
        expect(&answer, StatusCode::OK)?;
        let verdict = text(&answer.body["credentials"][0], "verdict")?;
        self.narrator.call(&format!("GET /v1/as-of?at={position}&subject={SUBJECT}"), &verdict, answer.took);
        claim(verdict == due, || format!("as of {position} it was {verdict}, and {due} was due"))
    }

    /// The proof is checked here, with the key alone.
    async fn proof(&self, root: &Client, position: u64) -> Result<String, DemoFailure> {
        let status = ask(root, root.request(Method::GET, "/v1/status")).await?;
        let key = text(&status.body["head"], "verifier_key")?;
        let key: VerifierKey = key.parse().map_err(|error| DemoFailure::Claim(format!("{key}: {error}")))?;
        let started = Instant::now();
        let file = root.text(root.request(Method::GET, &format!("/v1/events/{position}/proof"))).await?;
        self.narrator.call(&format!("GET /v1/events/{position}/proof"), "200", started.elapsed());
        let proof = InclusionProof::parse(&file).map_err(|error| DemoFailure::Claim(format!("the proof: {error}")))?;
        let checkpoint = proof.verify(&key).map_err(|error| DemoFailure::Claim(format!("the proof: {error}")))?;
        let (hashes, size) = (proof.hashes.len(), checkpoint.size);
        Ok(format!("{hashes} hashes and a signature prove that the record is among the first {size} of {}", key.name()))
    }
}
