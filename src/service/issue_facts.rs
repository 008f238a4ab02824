//! What the issue of a credential says, besides what memory holds of it.

use std::sync::Arc;

use super::facts::Weighed;
use super::sessions::recorded;
use super::{Failure, Introspection, Party, Service};
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
