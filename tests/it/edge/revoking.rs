//! Whatever revokes a credential at the node: the edge refuses it, and nothing else.

use std::time::{Duration, Instant};

use authledger::clock::wall_clock;
use authledger::domain::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::credentials::{FOREIGN, Form, Issued, issue};
use super::place::Place;
use crate::process::node::Api;

/// How a credential is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By its secret.
    Secret,
    /// By its kind and id.
    Id,
    /// With everything that its subject has.
    Subject,
    /// With everything that its subject was issued before now.
    Age,
    /// With its session.
    Parent,
    /// With the application that issued it.
    Application,
    /// With its key.
    Key,
    /// With its issuer.
    Issuer,
    /// With its subject's personal data.
    Erased,
    /// With its tenant.
    Tenant,
}

impl Way {
    /// Those that spare the other credentials come first.
    const ALL: [Self; 10] = [
        Self::Secret,
        Self::Id,
        Self::Subject,
        Self::Age,
        Self::Parent,
        Self::Erased,
        Self::Application,
        Self::Key,
        Self::Issuer,
        Self::Tenant,
    ];

    fn revokes(self, form: Form) -> bool {
        match self {
            Self::Secret | Self::Subject | Self::Erased => true,
            // By then all of the other issuer's are refused: they say that they were issued a minute ago.
            Self::Tenant => form != Form::Foreign,
            // By a foreign token's name nobody but its bearer revokes it.
            Self::Id => form != Form::Foreign && form != Form::Jwt && form != Form::SessionJwt,
            Self::Age => form != Form::Foreign,
            Self::Parent => matches!(form, Form::SessionJwt | Form::SessionOpaque),
            Self::Application => form != Form::Foreign,
            Self::Key => matches!(form, Form::Jwt | Form::SessionJwt),
            Self::Issuer => form == Form::Foreign,
        }
    }

    async fn revoke(self, root: &Api, issuing: &str, one: &Issued) {
        let kind = match one.form {
            Form::Ticket => "ticket",
            Form::Session => "session",
            _ => "token",
        };
        let subject = &one.subject;
        let body: Value = match self {
            Self::Secret => json!({"credential": one.secret}),
            Self::Id => json!({"kind": kind, "id": one.id}),
            Self::Subject => json!({"subject": subject}),
            Self::Age => json!({"subject": subject, "issued_before": just_now()}),
            Self::Parent => json!({"kind": "session", "id": one.session}),
            Self::Application => json!({"application": issuing}),
            Self::Key => {
                let keys = root.get("/v1/keys").await.expect(200);
                let signs = keys["keys"].as_array().unwrap().iter().find(|key| key["signs"] == true).unwrap();
                json!({"key": signs["kid"]})
            }
            Self::Issuer => json!({"issuer": FOREIGN}),
            Self::Tenant => json!({"tenant": "default"}),
            Self::Erased => {
                let path = format!("/v1/subjects/{subject}/personal-data");
                root.send(Method::DELETE, &path, None).await.unwrap().expect(200);
                return;
            }
        };
        root.post("/v1/revocations", body).await.expect(201);
    }
}

/// The past instant that is nearest to now: everything here was issued before.
fn just_now() -> String {
    let now = wall_clock().as_millis();
    Timestamp::from_millis(now - 1).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_revoke_a_credential_reaches_the_edge() {
    for form_of_feed in [&[][..], &["--json-feed"][..]] {
        let place = Place::new();
        let node = place.node();
        let token_file = place.token_file(&node.api).await;
        let edge = place.edge(&[node.api.url()], &token_file).args(form_of_feed).start();
        edge.is_ready().await;
        let (issuing, issuer) = node.api.application("issuing", &["issue"]).await;
        let mut slowest = Duration::ZERO;
        for way in Way::ALL {
            // The other person's must stay as they are, unless the way takes everything.
            let spares = !matches!(way, Way::Application | Way::Key | Way::Issuer | Way::Tenant);
            for form in Form::ALL.into_iter().filter(|form| way.revokes(*form)) {
                let one = issue(&issuer, &place.issuer, form, &format!("{way:?}-{form:?}")).await;
                let other = issue(&issuer, &place.issuer, form, &format!("{way:?}-{form:?}-other")).await;
                for credential in [&one, &other, &one] {
                    let told = edge.check("any", &credential.secret).await;
                    assert_eq!(told.status, 200, "{way:?} {form:?}: {}", edge.log());
                    let subject = ("x-auth-subject".to_owned(), credential.subject.clone());
                    assert!(told.identity.contains(&subject), "{told:?}");
                }
                let started = Instant::now();
                way.revoke(&node.api, &issuing, &one).await;
                edge.comes_to("any", &one.secret, 401).await;
                slowest = slowest.max(started.elapsed());
                assert_eq!(edge.status(&other.secret).await, if spares { 200 } else { 401 }, "{way:?} {form:?}");
                assert!(!node.api.is_active(&one.secret).await, "{way:?} {form:?}");
                // It may come again as something new.
                if way == Way::Key {
                    node.api.post("/v1/keys", json!({})).await;
                }
            }
        }
        println!("the slowest of all took {slowest:?} from the call to the refusal");
        let names = edge.metric("authledger_edge_dropped").await.unwrap();
        assert!(names > 0.0, "answers that were kept are dropped");
    }
}
