//! Applications as OAuth clients: authenticated by a key, granted access tokens of their own, and by these.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::limits::MAX_GRANTED;
use super::machine::Issued;
use super::tokens::issued;
use super::{Authentication, Call, CallerIdentity, Error, Failure, GrantRefusal, IssuedToken, Service};
use crate::clock::Clock;
use crate::domain::{
    AnyRejection, ApplicationId, Caller, CredentialView as _, Digest, GivenSubject, GrantToken, GrantType, Grants,
    IssueToken, Kind, Registration, Scope, Tenant, Timestamp, TokenForm, Ttl, View as _,
};
use crate::jose::{AssertionError, ClientAssertion, ClientKeyring, UsedAssertions};
use crate::keys::{SecretPrefix, mint};

/// How long an access token of an application lasts at most.
const ACCESS_SECONDS: u64 = 3_600;
/// Scopes of access tokens within `follow`: receivers of the Shared Signals Framework ask for them.
pub const WITHIN_FOLLOW: [&str; 2] = ["ssf.read", "ssf.manage"];

/// What is remembered of clients.
pub(super) struct Clients {
    keys: ClientKeyring,
    used: UsedAssertions,
    granted: Granted,
}

impl Clients {
    pub(super) fn new(clock: Clock) -> Self {
        Self { keys: ClientKeyring::new(clock), used: UsedAssertions::default(), granted: Granted::default() }
    }
}

/// When the access tokens of each application expire, the first one first: they last equally long.
#[derive(Default)]
struct Granted(Mutex<HashMap<ApplicationId, VecDeque<Timestamp>>>);

impl Granted {
    /// Makes room for a token that expires then, unless its application has too many.
    fn take(&self, id: ApplicationId, expires_at: Timestamp, now: Timestamp) -> Result<(), GrantRefusal> {
        let mut all = self.0.lock();
        let live = all.entry(id).or_default();
        while live.front().is_some_and(|expires_at| *expires_at <= now) {
            live.pop_front();
        }
        if live.len() >= MAX_GRANTED {
            return Err(GrantRefusal::TooManyGranted);
        }
        live.push_back(expires_at);
        Ok(())
    }

    /// Gives back the room of a token that was not issued.
    fn give_back(&self, id: ApplicationId) {
        self.0.lock().entry(id).or_default().pop_back();
    }
}

/// The scopes of an access token, as text: all of them are its application's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedScope(Box<str>);

impl GrantedScope {
    /// The scopes that are asked for, if they are all granted; without any, all that are granted.
    pub fn of(grants: &Grants, asked: Option<&str>) -> Option<Self> {
        let all = names(grants);
        let asked: Vec<&str> = asked.unwrap_or_default().split(' ').filter(|name| !name.is_empty()).collect();
        if !asked.iter().all(|name| all.contains(name)) {
            return None;
        }
        let mut granted = all;
        granted.retain(|name| asked.is_empty() || asked.contains(name));
        (!granted.is_empty()).then(|| Self(granted.join(" ").into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The names of all scopes that are granted anywhere.
fn names(grants: &Grants) -> Vec<&'static str> {
    let own = Scope::ALL.into_iter().filter(|scope| grants.somewhere(*scope)).map(Scope::as_str);
    let within = WITHIN_FOLLOW.into_iter().filter(|_| grants.somewhere(Scope::Follow));
    own.chain(within).collect()
}

impl Service {
    /// The registration of an application, if it may call now.
    pub(super) fn callable(&self, id: ApplicationId, now: Timestamp) -> Option<Arc<Registration>> {
        let application = self.projection.application(id);
        let (place, _) = application.registered.as_ref()?;
        application.callable(now).filter(|_| self.projection.beyond_seal(*place).is_none()).cloned()
    }

    /// The application that has signed that assertion, which is used up by it: RFC 7523, section 2.2.
    pub async fn authenticate_assertion(&self, text: &str) -> Result<CallerIdentity, AssertionError> {
        let now = self.clock.now();
        let issuer = self.token_issuer().ok_or(AssertionError::OtherAudience)?;
        let assertion = ClientAssertion::read(text, issuer.as_str(), now)?;
        let id = uuid::Uuid::try_parse(assertion.client()).map(ApplicationId);
        let id = id.ok().filter(|id| id.to_string() == assertion.client()).ok_or(AssertionError::OtherClient)?;
        let registration = self.callable(id, now).ok_or(AssertionError::OtherClient)?;
        let client = registration.oauth.as_deref().and_then(|client| client.keys.as_ref());
        let keys = client.ok_or(AssertionError::OtherClient)?;
        let key = self.clients.keys.find(id, keys, assertion.kid(), assertion.algorithm()).await?;
        assertion.verify(&key)?;
        self.clients.used.take(id, &assertion, now)?;
        let grants = registration.grants.clone();
        Ok(CallerIdentity { caller: Caller::Application(id), grants, registration: Some(registration) })
    }

    /// Grants an access token to the application that calls: RFC 6749, section 4.4. It lasts an hour, or as long as the
    /// application. An application may have [`MAX_GRANTED`] at a time.
    pub async fn grant_access(&self, call: &Call, scope: &GrantedScope) -> Result<IssuedToken, Error<GrantRefusal>> {
        let registration = call.identity.registration.as_ref();
        let Some(registration) = registration else { return Err(refused(AnyRejection::Forbidden)) };
        let (id, now) = (registration.id, self.clock.now());
        let left = registration.expires_at.map_or(u64::MAX, |end| end.millis_since(now) / 1_000);
        let ttl = Ttl::from_seconds(left.min(ACCESS_SECONDS)).ok_or_else(|| refused(AnyRejection::Unauthenticated))?;
        let tenant = only_tenant(&registration.grants);
        let subject = GivenSubject::new(&format!("application:{}", registration.id)).map_err(Failure::key)?;
        let secret = mint(SecretPrefix::OpaqueToken).map_err(|_| Failure::NoRandomness)?;
        let issue = IssueToken {
            subject: self.named(&tenant, &subject),
            tenant,
            form: TokenForm::Opaque(secret.digest()),
            ttl: Some(ttl),
            parent: None,
            audience: self.token_issuer().map(|issuer| issuer.as_str().into()).into_iter().collect(),
            scope: Some(scope.as_str().into()),
            confirmation: None,
            status: None,
            sealed: None,
        };
        self.clients.granted.take(id, now.plus(ttl), now).map_err(Error::Refused)?;
        let outcome = self.execute(call, GrantToken { grant: GrantType::ClientCredentials, issue }).await;
        let outcome = outcome.inspect_err(|_| self.clients.granted.give_back(id)).map_err(Error::widened)?;
        match outcome.issued(call)? {
            Issued::Now(filed) => Ok(issued(filed, secret)?),
            // It comes without an idempotency key.
            Issued::Before(_) => Err(Failure::not_on_record().into()),
        }
    }

    /// The caller that presents an application's secret, or an access token that was granted to one.
    pub async fn authenticate_bearer(&self, secret: &[u8]) -> Result<Option<CallerIdentity>, Failure> {
        match self.authenticate(secret) {
            Authentication::Caller(identity) => Ok(Some(identity)),
            Authentication::Expired(_) => Ok(None),
            Authentication::Unknown => self.authenticate_access_token(secret).await,
        }
    }

    /// The application that the bearer of an access token counts as, with the scopes of the token. Only tokens that this
    /// ledger has granted count: others say of themselves whose they are.
    pub async fn authenticate_access_token(&self, secret: &[u8]) -> Result<Option<CallerIdentity>, Failure> {
        let now = self.clock.now();
        let key = self.find(&Digest::of(secret)).filter(|key| key.kind == Kind::Token);
        let Some(active) = key.and_then(|key| self.projection.check(key, now).ok()) else { return Ok(None) };
        let Some(id) = active.issue.application else { return Ok(None) };
        let Some(registration) = self.callable(id, now) else { return Ok(None) };
        let facts = self.token_facts(active.issue.place).await?;
        let (Some(GrantType::ClientCredentials), Some(scope)) = (facts.grant, &facts.scope) else { return Ok(None) };
        let scopes = scope.split(' ').filter_map(|name| name.parse::<Scope>().ok()).collect();
        let grants = Arc::new(registration.grants.only(scopes));
        Ok(Some(CallerIdentity { caller: Caller::Application(id), grants, registration: Some(registration) }))
    }
}

fn refused(rejection: AnyRejection) -> Error<GrantRefusal> {
    Error::Refused(GrantRefusal::Rejected(rejection.into()))
}

/// The only tenant that the grants name, or the default one.
fn only_tenant(grants: &Grants) -> Tenant {
    match grants.as_slice() {
        [one] => one.tenant.clone().unwrap_or_default(),
        _ => Tenant::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_has_so_many_access_tokens_at_a_time() {
        let (granted, one, other) =
            (Granted::default(), ApplicationId(uuid::Uuid::from_u128(1)), ApplicationId(uuid::Uuid::from_u128(2)));
        let at = |seconds: u64| Timestamp::default().plus_millis(seconds * 1_000);
        for n in 0..MAX_GRANTED {
            let taken = granted.take(one, at(ACCESS_SECONDS + n as u64), at(0));
            assert!(taken.is_ok(), "{n}");
        }
        let take = |id, now| granted.take(id, at(now + ACCESS_SECONDS), at(now));
        assert!(matches!(take(one, 1), Err(GrantRefusal::TooManyGranted)));
        assert!(take(other, 1).is_ok(), "another application has its own");
        granted.give_back(one);
        assert!(take(one, 1).is_ok() && take(one, 1).is_err(), "what was not issued does not count");
        assert!(take(one, ACCESS_SECONDS).is_ok() && take(one, ACCESS_SECONDS).is_err(), "one of them has expired");
    }
}
