//! The scene with an edge beside a gateway.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::narrator::millis;
use super::steps::{FeedStream, PATIENCE, ask, expect, text};
use super::{Demo, DemoFailure, claim};
use crate::cli::client::Client;
use crate::config::{EdgeArgs, EdgeSettings};
use crate::domain::Secret;
use crate::edge::RunningEdge;

/// Between two looks at something that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Demo {
    pub(super) async fn edge(&mut self, root: &Client, feed: &mut FeedStream) -> Result<(), DemoFailure> {
        self.narrator.begin("An edge beside a gateway answers its checks from memory, and knows what is revoked");
        let edge = self.start_edge(root).await?;
        let body = json!({"subject": "erin", "format": "opaque", "scope": "read"});
        let issued = ask(root, root.request(Method::POST, "/v1/tokens").json(&body)).await?;
        expect(&issued, StatusCode::CREATED)?;
        let token = text(&issued.body, "token")?;
        self.secrets.push(token.clone());
        let checks = format!("http://{}", edge.listeners().checks);
        // As a gateway asks for a request with that token.
        let gateway = Client::connect(&checks, &Secret::new(&token), None)?;
        let check = || gateway.request(Method::GET, "/check/default");
        let first = ask(&gateway, check()).await?;
        self.tell("GET  /check/default at the edge, at first sight", &first);
        expect(&first, StatusCode::OK)?;
        let second = ask(&gateway, check()).await?;
        self.tell("GET  /check/default at the edge, from memory", &second);
        expect(&second, StatusCode::OK)?;
        let started = Instant::now();
        let revoke = root.request(Method::POST, "/v1/revocations").json(&json!({"credential": token}));
        let refused = async {
            loop {
                let told = ask(&gateway, check()).await?;
                if told.status == StatusCode::UNAUTHORIZED {
                    return Ok::<_, DemoFailure>((told, started.elapsed()));
                }
                claim(started.elapsed() < PATIENCE, || "the edge lets a revoked token pass".to_owned())?;
                // The edge tells nobody when it has heard, so it is asked again. The loop ends with the refusal, or after PATIENCE.
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let (answer, event, refused) = tokio::join!(ask(root, revoke), feed.next_revoked(started), refused);
        let (answer, (item, heard), (told, after)) = (answer?, event?, refused?);
        self.tell("POST /v1/revocations at the node", &answer);
        expect(&answer, StatusCode::CREATED)?;
        self.narrator.call("event: revoked", text(&item, "type")?.as_str(), heard);
        self.tell("GET  /check/default at the edge", &told);
        edge.stop().await;
        self.narrator.holds(&format!("refused {} after the revocation was sent, without a question", millis(after)));
        Ok(())
    }

    /// An edge that follows this server, with a secret that may follow and ask, once it answers from memory.
    async fn start_edge(&mut self, root: &Client) -> Result<RunningEdge, DemoFailure> {
        let body = json!({"name": "edge", "scopes": ["follow", "introspect"], "tenants": ["default"]});
        let registered = ask(root, root.request(Method::POST, "/v1/applications").json(&body)).await?;
        expect(&registered, StatusCode::CREATED)?;
        let secret = text(&registered.body, "secret")?;
        let token_file = self.data.with_file_name("edge-token");
        std::fs::write(&token_file, &secret)?;
        self.secrets.push(secret);
        let own = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let arguments = EdgeArgs {
            upstream: Some(vec![root.url().to_owned()]),
            token_file: Some(token_file),
            listen: own,
            admin_listen: own,
            ..EdgeArgs::default()
        };
        let started = Instant::now();
        let edge = RunningEdge::start(EdgeSettings::load(&arguments)?).await?;
        while !edge.edge().follower().is_fresh() {
            claim(started.elapsed() < PATIENCE, || "the edge does not become ready".to_owned())?;
            // A load balancer would ask like this, too. The loop ends with the first heartbeat, or after PATIENCE.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let command = "authledger edge --upstream URL --token-file FILE";
        self.narrator.call(command, "ready", started.elapsed());
        Ok(edge)
    }
}
