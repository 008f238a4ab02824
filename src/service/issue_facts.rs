//! What the issue of a credential says, besides what memory holds of it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::facts::Weighed;
use super::introspection::{Introspection, JwtSays};
use super::sessions::recorded;
use super::{Failure, Party, Service};
use crate::domain::{Aal, Event, GrantType, Kind, Method, RecordId, Timestamp, TokenIssued};

/// What the issue of a credential says besides what memory holds.
pub enum IssueFacts {
    /// Nothing: of a ticket memory holds all, and a JWT says it itself.
    Nothing,
    Session(SessionFacts),
    Token(Arc<TokenFacts>),
}

/// How the subject of a session was authenticated.
pub struct SessionFacts {
    /// When, if that is not when the session was issued.
    pub authenticated_at: Option<Timestamp>,
    pub aal: Aal,
    pub methods: Vec<Method>,
}

/// Whom an opaque token is meant for, and what it allows.
pub struct TokenFacts {
    pub audience: Vec<Box<str>>,
    /// Separated by spaces.
    pub scope: Option<Box<str>>,
    /// The grant by which an application got it for itself.
    pub grant: Option<GrantType>,
}

impl Weighed for TokenFacts {
    /// With the entry in the cache, its key and what the allocator takes.
    fn bytes(&self) -> usize {
        let audience: usize = self.audience.iter().map(|one| 32 + one.len()).sum();
        160 + audience + self.scope.as_ref().map_or(0, |scope| 16 + scope.len())
    }
}

impl TokenFacts {
    fn of(issued: TokenIssued) -> Self {
        Self { audience: issued.audience, scope: issued.scope, grant: issued.grant }
    }
}

impl Introspection {
    /// The client that a token was issued to: of our own by its record, of others by what they say.
    pub fn client(&self) -> Option<Cow<'_, str>> {
        if let Some(application) = self.application {
            return Some(application.to_string().into());
        }
        let claims = &self.jwt.as_ref()?.claims;
        claims.get("client_id").or_else(|| claims.get("azp"))?.as_str().map(Cow::Borrowed)
    }

    /// What it allows, as one text, whatever an issuer writes.
    pub fn scope<'a>(&'a self, facts: &'a IssueFacts) -> Option<Cow<'a, str>> {
        let scope = match (&self.jwt, facts) {
            (Some(jwt), _) => jwt.scope(),
            (None, IssueFacts::Token(facts)) => facts.scope.as_deref().map(Cow::Borrowed),
            (None, IssueFacts::Nothing | IssueFacts::Session(_)) => None,
        };
        scope.filter(|scope| !scope.is_empty())
    }

    /// Whom it is meant for, as a list, whatever an issuer writes.
    pub fn audience<'a>(&'a self, facts: &'a IssueFacts) -> Vec<&'a str> {
        match (&self.jwt, facts) {
            (Some(jwt), _) => match jwt.claims.get("aud") {
                Some(Value::String(one)) => vec![one],
                Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            },
            (None, IssueFacts::Token(facts)) => facts.audience.iter().map(|one| &**one).collect(),
            (None, IssueFacts::Nothing | IssueFacts::Session(_)) => Vec::new(),
        }
    }

    /// The assurance level of a JWT, as it says.
    pub fn level(&self) -> Option<&str> {
        self.jwt.as_ref()?.claims.get("acr")?.as_str()
    }
}

impl JwtSays {
    fn scope(&self) -> Option<Cow<'_, str>> {
        match self.claims.get("scope")? {
            Value::String(scope) => Some(scope.into()),
            Value::Array(scopes) => Some(scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ").into()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }
}

impl Service {
    /// What the issue of an active credential says. It is read from the log at most once as long as it is remembered.
    pub async fn issue_facts(&self, found: &Introspection) -> Result<IssueFacts, Failure> {
        let Some(place) = found.place else { return Ok(IssueFacts::Nothing) };
        match found.kind {
            Kind::Ticket => Ok(IssueFacts::Nothing),
            Kind::Session => {
                let facts = self.session_facts(&Party::of_tenant(&found.tenant), vec![place]).await?.pop().flatten();
                let facts = facts.ok_or_else(Failure::not_on_record)?;
                Ok(IssueFacts::Session(SessionFacts {
                    authenticated_at: facts.authenticated_at,
                    aal: facts.aal,
                    methods: facts.methods.clone(),
                }))
            }
            Kind::Token => self.token_facts(place).await.map(IssueFacts::Token),
        }
    }

    /// The facts of the token that was issued at that place.
    pub(super) async fn token_facts(&self, place: RecordId) -> Result<Arc<TokenFacts>, Failure> {
        if let Some(facts) = self.token_facts.find(place) {
            return Ok(facts);
        }
        let since = self.token_facts.emptied();
        let record = self.read(move |reader| recorded(reader, place)).await?;
        let Some(Event::TokenIssued(issued)) = record.map(|recorded| recorded.event) else {
            return Err(Failure::not_on_record());
        };
        let facts = Arc::new(TokenFacts::of(*issued));
        self.token_facts.keep(place, facts.clone(), since);
        Ok(facts)
    }
}
