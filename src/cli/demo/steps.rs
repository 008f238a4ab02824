//! The steps, in their order.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::narrator::millis;
use super::{Demo, DemoFailure, claim};
use crate::audit;
use crate::cli::client::{AnswerLines, Client};
use crate::clock::wall_clock;
use crate::domain::Secret;

/// How long to wait before something counts as not happening.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const PROFILE: &str = "5925a68def86951f895cf497";
const TICKETS: &str = "/crafter-profile/api/1/authentication/ticket";
const ACCESS_TOKENS: &str = "/crafter-profile/api/1/access_token";
/// How many rows that differ between replay and snapshot are named.
const LISTED_ROWS: usize = 5;

/// An answer: its status, and its body as JSON, or `null` without a body.
pub(super) struct TimedAnswer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    pub(super) took: Duration,
}

/// The feed, as server-sent events.
pub(super) struct FeedStream(AnswerLines);

impl Demo {
    /// Runs all steps. Returns how many events that made.
    pub(super) async fn steps(&mut self) -> Result<u64, DemoFailure> {
        let root = self.client(&self.root)?;
        let gateway = self.applications(&root).await?;
        let access_token = self.access_token(&root).await?;
        let mut feed = self.follow(&gateway).await?;
        let (ticket, id) = self.issue(&gateway, &access_token).await?;
        self.invalidate(&gateway, &access_token, &mut feed, &ticket, &id).await?;
        self.refused_from_now_on(&gateway, &access_token, &ticket).await?;
        self.measure(&gateway, &access_token, &mut feed).await?;
        self.revoke_subject(&root, &gateway, &access_token, &mut feed).await?;
        self.ory(&root, &mut feed).await?;
        self.slashid(&root, &gateway, &mut feed).await?;
        self.cribl(&root, &gateway, &mut feed).await?;
        self.oauth(&root, &mut feed).await?;
        self.edge(&root, &mut feed).await?;
        self.leaked_secret(&root, &gateway, &mut feed).await?;
        self.evidence(&root, &mut feed).await?;
        self.stop(&mut feed).await?;
        self.audit()
    }

    async fn applications(&mut self, root: &Client) -> Result<Client, DemoFailure> {
        self.narrator.begin("An application for a gateway that may follow and ask, and nothing else");
        let body = json!({"name": "gateway", "scopes": ["follow", "introspect"], "tenants": ["default"]});
        let answer = ask(root, root.request(Method::POST, "/v1/applications").json(&body)).await?;
        self.tell("POST /v1/applications", &answer);
        expect(&answer, StatusCode::CREATED)?;
        let secret = text(&answer.body, "secret")?;
        self.secrets.push(secret.clone());
        let gateway = self.client(&Secret::new(&secret))?;
        let forbidden =
            ask(&gateway, gateway.request(Method::POST, "/v1/tickets").json(&json!({"subject": "x"}))).await?;
        self.tell("POST /v1/tickets, as the gateway", &forbidden);
        expect(&forbidden, StatusCode::FORBIDDEN)?;
        self.narrator.holds("its secret was shown once, and does not issue tickets");
        Ok(gateway)
    }

    async fn access_token(&mut self, root: &Client) -> Result<String, DemoFailure> {
        self.narrator.begin("An access token for an application that speaks Crafter's contract");
        let body = json!({
            "application": "portal", "master": false, "expiresOn": null, "id": null,
            "tenantPermissions": [{"allowedActions": ["MANAGE_TICKETS"], "tenant": "default"}],
        });
        let path = format!("{ACCESS_TOKENS}/create.json");
        let request = root.plain(Method::POST, &path).query(&[("accessTokenId", self.root.expose())]).json(&body);
        let answer = ask(root, request).await?;
        self.tell(&format!("POST {path}"), &answer);
        expect(&answer, StatusCode::OK)?;
        let id = text(&answer.body, "id")?;
        self.secrets.push(id.clone());
        self.narrator.holds("its id is its secret, so the ledger keeps only a digest of it");
        Ok(id)
    }

    async fn follow(&mut self, gateway: &Client) -> Result<FeedStream, DemoFailure> {
        self.narrator.begin("The gateway follows what is revoked");
        let started = Instant::now();
        let request = gateway.request(Method::GET, "/v1/revocations").header(ACCEPT, "text/event-stream");
        let mut feed = FeedStream(gateway.lines(request).await?);
        let opening = feed.field("id").await?;
        self.narrator.call("GET /v1/revocations", "200 text/event-stream", started.elapsed());
        claim(!opening.is_empty(), || "the stream began without a cursor".to_owned())?;
        self.narrator.holds("the stream began with the cursor to continue from after a break");
        Ok(feed)
    }

    async fn issue(&mut self, gateway: &Client, access_token: &str) -> Result<(String, String), DemoFailure> {
        self.narrator.begin("A ticket, issued and used as Crafter's client does it");
        let (ticket, created) = create(gateway, access_token, PROFILE).await?;
        self.tell(&format!("POST {TICKETS}/create.json"), &created);
        self.secrets.push(ticket.clone());
        let read = read(gateway, access_token, &ticket).await?;
        self.tell(&format!("GET  {TICKETS}/{{id}}.json"), &read);
        expect(&read, StatusCode::OK)?;
        let used = |answer: &TimedAnswer| answer.body["lastRequestTime"].as_u64().unwrap_or_default();
        claim(text(&read.body, "profileId")? == PROFILE, || "the ticket is somebody else's".to_owned())?;
        claim(used(&read) > used(&created), || "its use did not count".to_owned())?;
        let asked = introspect(gateway, &ticket).await?;
        self.tell("POST /v1/introspect, as the gateway", &asked);
        claim(asked.body["active"] == true, || format!("the native API answers {}", asked.body))?;
        self.narrator.holds("both surfaces know it: one ledger, two contracts");
        Ok((ticket, text(&asked.body, "id")?))
    }

    async fn invalidate(
        &mut self,
        gateway: &Client,
        access_token: &str,
        feed: &mut FeedStream,
        ticket: &str,
        id: &str,
    ) -> Result<(), DemoFailure> {
        self.narrator.begin("The ticket is invalidated, and the gateway hears of it");
        let started = Instant::now();
        let (answer, event) = tokio::join!(invalidate(gateway, access_token, ticket), feed.next_revoked(started));
        let (answer, (item, heard)) = (answer?, event?);
        self.tell(&format!("POST {TICKETS}/{{id}}/invalidate.json"), &answer);
        expect(&answer, StatusCode::OK)?;
        claim(answer.body.is_null(), || "the answer has a body".to_owned())?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        claim(text(&item, "id")? == id, || format!("the event is of another ticket: {item}"))?;
        claim(text(&item, "subject")? == PROFILE, || format!("the event is of another subject: {item}"))?;
        self.narrator.holds(&format!("heard {} after the request was sent, durable by then", millis(heard)));
        Ok(())
    }

    async fn refused_from_now_on(
        &mut self,
        gateway: &Client,
        access_token: &str,
        ticket: &str,
    ) -> Result<(), DemoFailure> {
        self.narrator.begin("It is refused from now on, on every surface");
        let read = read(gateway, access_token, ticket).await?;
        self.tell(&format!("GET  {TICKETS}/{{id}}.json"), &read);
        expect(&read, StatusCode::NOT_FOUND)?;
        claim(read.body["errorCode"] == "NO_SUCH_TICKET", || format!("the error is {}", read.body))?;
        let asked = introspect(gateway, ticket).await?;
        self.tell("POST /v1/introspect, as the gateway", &asked);
        claim(asked.body == json!({"active": false}), || format!("the native API answers {}", asked.body))?;
        let again = invalidate(gateway, access_token, ticket).await?;
        self.tell(&format!("POST {TICKETS}/{{id}}/invalidate.json"), &again);
        expect(&again, StatusCode::OK)?;
        self.narrator.holds("a revocation is permanent; revoking again changes nothing");
        Ok(())
    }

    async fn measure(
        &mut self,
        gateway: &Client,
        access_token: &str,
        feed: &mut FeedStream,
    ) -> Result<(), DemoFailure> {
        self.narrator.begin("The same again and again, to see how long that takes");
        let mut heard = Vec::new();
        let mut answered = Vec::new();
        for _ in 0..self.rounds {
            let (ticket, _) = create(gateway, access_token, PROFILE).await?;
            let id = text(&introspect(gateway, &ticket).await?.body, "id")?;
            let started = Instant::now();
            let (answer, event) = tokio::join!(invalidate(gateway, access_token, &ticket), feed.next_revoked(started));
            let (answer, (item, after)) = (answer?, event?);
            expect(&answer, StatusCode::OK)?;
            claim(text(&item, "id")? == id, || format!("the event is of another ticket: {item}"))?;
            heard.push(after);
            answered.push(answer.took);
        }
        self.narrator.fact(&format!("from the request to its answer:    {}", percentiles(&mut answered)));
        self.narrator.fact(&format!("from the request to the follower:  {}", percentiles(&mut heard)));
        self.narrator.holds(&format!("{} tickets revoked one by one, each heard of, in order", self.rounds));
        Ok(())
    }

    async fn revoke_subject(
        &mut self,
        root: &Client,
        gateway: &Client,
        access_token: &str,
        feed: &mut FeedStream,
    ) -> Result<(), DemoFailure> {
        self.narrator.begin("Everything that a subject has is revoked at once, by the native API");
        let mut tickets = Vec::new();
        for _ in 0..3 {
            tickets.push(create(gateway, access_token, "mallory").await?.0);
        }
        let (other, _) = create(gateway, access_token, "alice").await?;
        let body = json!({"subject": "mallory", "reason": "laptop-stolen"});
        let started = Instant::now();
        let request = root.request(Method::POST, "/v1/revocations").json(&body);
        let (answer, event) = tokio::join!(ask(root, request), feed.next_revoked(started));
        let (answer, (item, heard)) = (answer?, event?);
        self.tell("POST /v1/revocations {\"subject\":\"mallory\"}", &answer);
        expect(&answer, StatusCode::CREATED)?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        claim(text(&item, "subject")? == "mallory", || format!("the event is of another subject: {item}"))?;
        claim(item.get("reason").is_none(), || "the gateway may not know the reason, and was told".to_owned())?;
        for ticket in &tickets {
            expect(&read(gateway, access_token, ticket).await?, StatusCode::NOT_FOUND)?;
        }
        expect(&read(gateway, access_token, &other).await?, StatusCode::OK)?;
        let (fresh, _) = create(gateway, access_token, "mallory").await?;
        expect(&read(gateway, access_token, &fresh).await?, StatusCode::OK)?;
        self.narrator.holds("one event revoked all three tickets, and no other subject's");
        self.narrator.holds("a ticket issued afterwards is active: a login is possible again");
        self.secrets.extend(tickets.into_iter().chain([other, fresh]));
        Ok(())
    }

    async fn stop(&mut self, feed: &mut FeedStream) -> Result<(), DemoFailure> {
        self.narrator.begin("The server stops");
        let server = self.server.take().ok_or_else(|| DemoFailure::Claim("it has stopped already".to_owned()))?;
        let started = Instant::now();
        let (healthy, end) = tokio::join!(server.stop(), feed.next_event("end"));
        let end = end?;
        claim(healthy, || "the event log had halted".to_owned())?;
        claim(end["reason"] == "stopping", || format!("the stream ended with {end}"))?;
        claim(end["cursor"].is_string(), || "the stream ended without a cursor".to_owned())?;
        self.narrator.holds(&format!("in {}; followers were told, with their cursor", millis(started.elapsed())));
        Ok(())
    }

    fn audit(&mut self) -> Result<u64, DemoFailure> {
        self.narrator.begin("The ledger is verified and replayed from its file alone");
        let ledger = self.data.join("ledger.db");
        let verified = audit::verify(&ledger, |_, _| {})?;
        self.narrator.holds(&format!("{} events, every hash, sequence and record as it should be", verified.events));
        let now = wall_clock();
        let compared = audit::against(&ledger, &self.data, now, LISTED_ROWS, |_, _| {})?;
        claim(compared.differences.total == 0, || {
            let rows = compared.differences.only_replayed.iter().chain(&compared.differences.only_snapshot);
            let rows: Vec<&str> = rows.map(crate::domain::StateRow::as_str).collect();
            format!("replay and snapshot differ in {} rows: {}", compared.differences.total, rows.join("; "))
        })?;
        self.narrator.holds("folded again from the first event, it equals the server's state in memory");
        let tally = &compared.replayed.tally;
        claim(tally.tickets.active == 3, || format!("{} tickets are active, and 3 should be", tally.tickets.active))?;
        claim(!holds_any(&self.data, &self.secrets)?, || "a secret is in the ledger's directory".to_owned())?;
        self.narrator.holds("no secret that was used is in any of its files");
        self.narrator.fact(&format!("state's fingerprint {}", compared.replayed.fingerprint));
        Ok(verified.events)
    }

    pub(super) fn tell(&self, call: &str, answer: &TimedAnswer) {
        let problem = answer.body["type"].as_str().and_then(|reference| reference.strip_prefix("/problems/"));
        let code = answer.body["errorCode"].as_str().or(problem).unwrap_or_default();
        let status = answer.status.as_u16();
        let call = call.replace(TICKETS, "…/ticket").replace(ACCESS_TOKENS, "…/access_token");
        self.narrator.call(&call, format!("{status} {code}").trim_end(), answer.took);
    }
}

impl FeedStream {
    /// The text of the next line of that field.
    async fn field(&mut self, name: &str) -> Result<String, DemoFailure> {
        let read = async {
            while let Some(line) = self.0.next().await? {
                if let Some(value) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")) {
                    return Ok(value.to_owned());
                }
            }
            Err(DemoFailure::Claim(format!("the stream ended, and {name} was due")))
        };
        let late = |_| DemoFailure::Claim(format!("{name} did not come within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, read).await.map_err(late)?
    }

    /// The data of the next event of that name.
    async fn next_event(&mut self, name: &str) -> Result<Value, DemoFailure> {
        while self.field("event").await? != name {}
        let data = self.field("data").await?;
        serde_json::from_str(&data)
            .map_err(|error| DemoFailure::Claim(format!("the event's data is not JSON: {error}")))
    }

    /// The next revocation, and how long after that instant it came.
    pub(super) async fn next_revoked(&mut self, since: Instant) -> Result<(Value, Duration), DemoFailure> {
        let item = self.next_event("revoked").await?;
        Ok((item, since.elapsed()))
    }
}

async fn create(client: &Client, access_token: &str, profile: &str) -> Result<(String, TimedAnswer), DemoFailure> {
    let form = [("accessTokenId", access_token), ("profileId", profile)];
    let answer = ask(client, client.plain(Method::POST, &format!("{TICKETS}/create.json")).form(&form)).await?;
    expect(&answer, StatusCode::OK)?;
    Ok((text(&answer.body, "id")?, answer))
}

async fn read(client: &Client, access_token: &str, ticket: &str) -> Result<TimedAnswer, DemoFailure> {
    let path = format!("{TICKETS}/{ticket}.json");
    ask(client, client.plain(Method::GET, &path).query(&[("accessTokenId", access_token)])).await
}

async fn invalidate(client: &Client, access_token: &str, ticket: &str) -> Result<TimedAnswer, DemoFailure> {
    let path = format!("{TICKETS}/{ticket}/invalidate.json");
    ask(client, client.plain(Method::POST, &path).form(&[("accessTokenId", access_token)])).await
}

pub(super) async fn introspect(client: &Client, credential: &str) -> Result<TimedAnswer, DemoFailure> {
    let body = json!({ "credential": credential });
    let answer = ask(client, client.request(Method::POST, "/v1/introspect").json(&body)).await?;
    expect(&answer, StatusCode::OK)?;
    Ok(answer)
}

pub(super) async fn ask(client: &Client, request: RequestBuilder) -> Result<TimedAnswer, DemoFailure> {
    let started = Instant::now();
    let response = client.exchange(request).await?;
    let status = response.status();
    let bytes = response.bytes().await.map_err(|error| DemoFailure::Request { what: "read an answer", error })?;
    let took = started.elapsed();
    if bytes.is_empty() {
        return Ok(TimedAnswer { status, body: Value::Null, took });
    }
    let body = serde_json::from_slice(&bytes)
        .map_err(|error| DemoFailure::Claim(format!("an answer is not JSON: {error}")))?;
    Ok(TimedAnswer { status, body, took })
}

pub(super) fn expect(answer: &TimedAnswer, status: StatusCode) -> Result<(), DemoFailure> {
    claim(answer.status == status, || format!("{status} was due, and {} came: {}", answer.status, answer.body))
}

pub(super) fn text(body: &Value, member: &str) -> Result<String, DemoFailure> {
    let text = body[member].as_str().map(str::to_owned);
    text.ok_or_else(|| DemoFailure::Claim(format!("{member} is missing in {body}")))
}

/// Whether a file below that directory holds one of the texts.
fn holds_any(directory: &Path, texts: &[String]) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            if holds_any(&path, texts)? {
                return Ok(true);
            }
            continue;
        }
        let bytes = std::fs::read(&path)?;
        if texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes())) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn percentiles(samples: &mut [Duration]) -> String {
    samples.sort_unstable();
    let rank = |percent: usize| samples[(samples.len() * percent).div_ceil(100).max(1) - 1];
    let most = samples[samples.len() - 1];
    format!("p50 {}, p99 {}, at most {} ({} times)", millis(rank(50)), millis(rank(99)), millis(most), samples.len())
}
