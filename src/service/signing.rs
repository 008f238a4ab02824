//! The keys that sign the ledger's JWTs: made at the start, published by events, and replaced on command.
//!
//! A node has two. The older one signs; the younger one is next, and is published long before it signs, because most
//! verifiers fetch the published set only now and then and refuse what a key signed that they have not seen.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::machine::{Filed, Outcome};
use super::{Call, CallerIdentity, Error, Failure, Refusal, Service, TokenRefusal};
use crate::domain::{
    Ancestor, Caller, CredentialRef, Event, GivenSubject, IssueRejection, IssueTokenRejection, Issuer, KeyId,
    KeyPublished, Position, PublishKey, RecordId, Rejection, Request, Scope, Subject, Tenant, Timestamp, TokenIssued,
    View as _, ancestors, issuer, keys_before, keys_by_node, own_keys, signing_key,
};
use crate::jose::{APPLICATION, OwnKeys, PARENT, SESSION_APPLICATION, SESSION_ISSUED_AT, sign, sign_as};
use crate::json;
use crate::keys::{Algorithm, KeyError, SigningKey};
use crate::status_list::list_uri;

/// The most keys that are made in a row: both of a node.
const KEYS_AT_ONCE: usize = 2;

/// This node's private keys.
pub(super) struct Signing {
    directory: PathBuf,
    algorithm: Algorithm,
    /// The issuer that keys are published for until a key has signed.
    issuer: Option<Issuer>,
    /// How long a key is published before it signs.
    publish_ahead: Duration,
    keys: Mutex<HashMap<KeyId, Arc<SigningKey>>>,
    /// The key that was made last: it is used again if its publication was not recorded.
    unpublished: Mutex<Option<Arc<SigningKey>>>,
    /// Held while a key is made, so that two requests do not make two.
    making: tokio::sync::Mutex<()>,
    /// The publications that were read. Records do not change.
    publications: Mutex<HashMap<RecordId, Publication>>,
    /// Of the newest change of keys that was looked at: from when on this node's key signs.
    ready: Mutex<Option<(u64, Timestamp)>>,
    /// The issuer as of the newest change of keys: introspections name it.
    fixed: Mutex<Option<(u64, Option<Issuer>)>>,
    /// The published set as of the newest change of keys.
    set: Mutex<Option<(u64, Arc<PublishedKeySet>)>>,
}

/// The record that published a key.
#[derive(Clone, Copy, Debug)]
struct Publication {
    /// Its place in this node's file: lower than that of all that the node has learned since.
    position: Position,
    at: Timestamp,
    /// Whether the node made the key by itself, and not in a rotation.
    by_itself: bool,
}

/// The public keys that verify the ledger's tokens which may still be active: RFC 7517, section 5.
#[derive(Debug)]
pub struct PublishedKeySet {
    /// The set as it is sent.
    pub body: Bytes,
    /// The algorithms of its keys.
    pub algorithms: BTreeSet<Box<str>>,
    /// When the first of its keys is to leave it.
    until: Option<Timestamp>,
}

/// A key that may have signed tokens that are still active, or is to sign.
#[derive(Clone, Debug)]
pub struct PublishedKey {
    /// Its name.
    pub id: KeyId,
    /// The algorithm that it signs with.
    pub algorithm: Box<str>,
    /// The issuer that its tokens name.
    pub issuer: Issuer,
    /// When it was published.
    pub published_at: Timestamp,
    pub stage: KeyStage,
}

/// What a published key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStage {
    /// It signs its node's tokens.
    Signs,
    /// It is its node's oldest, and signs from then on: before, verifiers that have fetched the set would refuse it.
    Waits { from: Timestamp },
    /// A rotation makes it sign, from that instant on.
    Next { from: Timestamp },
    /// It signs no more, and is published until then.
    Verifies { until: Timestamp },
}

/// The keys after a rotation.
#[derive(Clone, Debug)]
pub struct RotatedKeys {
    /// The key that signs now.
    pub signs: PublishedKey,
    /// The key that was made, and is next.
    pub next: PublishedKey,
}

impl Signing {
    pub(super) fn new(
        directory: PathBuf,
        algorithm: Algorithm,
        issuer: Option<Issuer>,
        publish_ahead: Duration,
    ) -> Self {
        Self {
            directory,
            algorithm,
            issuer,
            publish_ahead,
            keys: Mutex::default(),
            unpublished: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            publications: Mutex::default(),
            ready: Mutex::default(),
            fixed: Mutex::default(),
            set: Mutex::default(),
        }
    }

    pub(super) fn find(&self, id: &KeyId) -> Result<Option<Arc<SigningKey>>, KeyError> {
        if let Some(key) = self.keys.lock().get(id) {
            return Ok(Some(key.clone()));
        }
        let key = SigningKey::load(&self.directory, id.as_str())?.map(Arc::new);
        if let Some(key) = &key {
            self.keys.lock().insert(id.clone(), key.clone());
        }
        Ok(key)
    }

    /// When a key of that age may sign.
    fn signs_from(&self, published_at: Timestamp) -> Timestamp {
        published_at.plus_millis(u64::try_from(self.publish_ahead.as_millis()).unwrap_or(u64::MAX))
    }
}

impl OwnKeys for Service {
    fn issuer(&self) -> Option<Arc<str>> {
        issuer(&*self.projection).map(|issuer| issuer.as_str().into())
    }

    fn jwk(&self, kid: &str) -> Option<Arc<str>> {
        let keys = self.projection.keys();
        let key = keys.get(&KeyId::new(kid).ok()?)?;
        // A withdrawn key verifies what it signed, so that the answer is that this was revoked, and not that it is unknown.
        let withdrawn = key.published.as_ref().filter(|_| key.withdrawn).map(|(_, key)| key);
        key.verifies(self.clock.now()).or(withdrawn).map(|key| Arc::from(&*key.jwk))
    }

    fn same_subject(&self, tenant: &Tenant, one: &GivenSubject, other: &GivenSubject) -> bool {
        self.named(tenant, one) == self.named(tenant, other)
    }

    fn signed_until(&self, kid: &str) -> Option<u64> {
        let keys = self.projection.keys();
        let key = keys.get(&KeyId::new(kid).ok()?)?;
        key.retired.then(|| key.last_expiry.as_seconds())
    }
}

impl Service {
    /// The issuer of this ledger's tokens: fixed with the first token, and until then the operator's setting.
    pub fn token_issuer(&self) -> Option<Issuer> {
        let changes = self.projection.key_changes();
        let mut fixed = self.signing.fixed.lock();
        if let Some((_, issuer)) = fixed.as_ref().filter(|(of, _)| *of == changes) {
            return issuer.clone();
        }
        let issuer = issuer(&*self.projection).or_else(|| self.signing.issuer.clone());
        *fixed = Some((changes, issuer.clone()));
        issuer
    }

    /// The public keys that verify the ledger's tokens which may still be active, and those that are next. The set is
    /// made once for each change: verifiers that meet an unknown key pass each such token on as a request for the set.
    pub fn key_set(&self) -> Arc<PublishedKeySet> {
        let (now, changes) = (self.clock.now(), self.projection.key_changes());
        let mut set = self.signing.set.lock();
        let is_current = |of: u64, set: &PublishedKeySet| of == changes && set.until.is_none_or(|until| now < until);
        if let Some((_, set)) = set.as_ref().filter(|(of, set)| is_current(*of, set)) {
            return set.clone();
        }
        let made = Arc::new(self.made_key_set(now));
        *set = Some((changes, made.clone()));
        made
    }

    /// The algorithms by which answers are signed: those of the published keys, or of the ones that are to be made.
    pub fn answer_algorithms(&self) -> Vec<Box<str>> {
        let set = self.key_set();
        match set.algorithms.is_empty() {
            true => vec![self.signing.algorithm.as_str().into()],
            false => set.algorithms.iter().cloned().collect(),
        }
    }

    fn made_key_set(&self, now: Timestamp) -> PublishedKeySet {
        let keys = self.projection.keys();
        let shown = keys.values().filter(|key| key.verifies(now).is_some());
        let until = shown.clone().filter(|key| key.retired).map(|key| key.published_until()).min();
        // A text that is not JSON was never published: the writer made it.
        let jwks = shown.filter_map(|key| serde_json::from_str(&key.published.as_ref()?.1.jwk).ok());
        let jwks: Vec<Value> = jwks.collect();
        let algorithms = jwks.iter().filter_map(|key| key["alg"].as_str()).map(Box::from).collect();
        PublishedKeySet { body: json::bytes(&json!({ "keys": jwks })).into(), algorithms, until }
    }

    /// The keys that verify the ledger's tokens which may still be active, and those that are next, the newest first.
    /// Needs `admin` in every tenant.
    pub async fn keys(&self, identity: &CallerIdentity) -> Result<Vec<PublishedKey>, Error> {
        if !identity.grants.everywhere().contains(Scope::Admin) {
            return Err(Rejection::Forbidden.into());
        }
        let now = self.clock.now();
        let mut shown = Vec::new();
        for node in keys_by_node(&*self.projection) {
            for (n, (place, key)) in node.iter().enumerate() {
                let published = self.publication(*place).await?;
                let stage = match n {
                    0 => match self.first_signs_from(&node).await? {
                        from if now < from => KeyStage::Waits { from },
                        _ => KeyStage::Signs,
                    },
                    _ => KeyStage::Next { from: self.signing.signs_from(published.at) },
                };
                shown.push(PublishedKey::new(key, published.at, stage));
            }
        }
        for key in self.projection.keys().into_values().filter(|key| key.retired && key.verifies(now).is_some()) {
            let until = key.published_until();
            let Some((place, key)) = key.published else { continue };
            let published = self.publication(place).await?;
            shown.push(PublishedKey::new(&key, published.at, KeyStage::Verifies { until }));
        }
        // Two that were published in the same millisecond: the next key is the newer one.
        shown.sort_by_key(|key| (Reverse(key.published_at), !matches!(key.stage, KeyStage::Next { .. })));
        Ok(shown)
    }

    /// Makes the next key take over, and makes another one, which is next from now on. The old ones verify until the
    /// last token that they signed has expired. Needs `admin` in every tenant.
    ///
    /// It is refused while the next key has not been published for long enough, unless it is to sign `now`.
    pub async fn rotate_key(&self, call: &Call, now: bool) -> Result<RotatedKeys, Error> {
        if !call.identity.grants.everywhere().contains(Scope::Admin) {
            return Err(Rejection::Forbidden.into());
        }
        let making = self.signing.making.lock().await;
        // A repetition does not make a key: it is answered before the key that it brings is looked at.
        let answered = call.idempotency.and_then(|digests| self.projection.answered(&digests.key));
        let repeats = answered.is_some_and(|answered| self.clock.now() < answered.retain_until());
        let current = signing_key(&*self.projection, self.origin).filter(|_| repeats);
        let publish = match current {
            Some(key) => PublishKey { key, retires: Vec::new() },
            None => self.rotation(call, now).await?,
        };
        let outcome = self.submit(call.with(publish)).await.map_err(Error::widened)?;
        // Tokens are signed while other nodes are waited for.
        drop(making);
        if let Some(consistency) = call.consistency {
            self.wait(&outcome, consistency).await?;
        }
        let filed = match outcome {
            Outcome::Appended(filed) => filed,
            Outcome::Repeated(place, records) => self.filed(place, records).await?,
            Outcome::Already(place) => self.filed(place, 1).await?,
            Outcome::Nothing => Vec::new(),
        };
        self.rotated(&filed)
            .await?
            .ok_or_else(|| Failure::internal(call.request.as_ref(), "a key was not rotated").into())
    }

    /// The command that makes the next key sign.
    async fn rotation(&self, call: &Call, now: bool) -> Result<PublishKey, Error> {
        self.complete_keys().await.map_err(Error::widened)?;
        let own = own_keys(&*self.projection, self.origin);
        let Some((place, next)) = own.get(1) else {
            return Err(Failure::internal(call.request.as_ref(), "this node has no next key").into());
        };
        let from = self.signing.signs_from(self.publication(*place).await?.at);
        if !now && self.clock.now() < from {
            return Err(Error::Refused(Refusal::NextKeyTooNew { from }));
        }
        let retires = own.iter().map(|(_, key)| &key.id).filter(|id| **id != next.id).cloned().collect();
        Ok(PublishKey { key: self.make_key().await.map_err(Error::widened)?, retires })
    }

    /// The keys after a rotation, from its records: a repetition is answered as the rotation was.
    async fn rotated(&self, filed: &[Arc<Filed>]) -> Result<Option<RotatedKeys>, Failure> {
        let Some((first, next)) = filed.first().and_then(|first| match &first.recorded.event {
            Event::KeyPublished(key) => Some((&first.recorded, key)),
            _ => None,
        }) else {
            return Ok(None);
        };
        let retired: Vec<&KeyId> = filed
            .iter()
            .filter_map(|filed| match &filed.recorded.event {
                Event::KeyRetired(id) => Some(id),
                _ => None,
            })
            .collect();
        // The key before it in the order of this node's keys is the one that was next, and signs.
        let before = keys_before(&*self.projection, first.place);
        let keys = self.projection.keys();
        let is_withdrawn = |id: &KeyId| keys.get(id).is_some_and(|key| key.withdrawn);
        let signs = |(_, key): &(RecordId, KeyPublished)| !retired.contains(&&key.id) && !is_withdrawn(&key.id);
        let Some((place, signs)) = before.into_iter().rfind(signs) else {
            return Ok(None);
        };
        let from = self.signing.signs_from(first.recorded_at);
        Ok(Some(RotatedKeys {
            signs: PublishedKey::new(&signs, self.publication(place).await?.at, KeyStage::Signs),
            next: PublishedKey::new(next, first.recorded_at, KeyStage::Next { from }),
        }))
    }

    /// Makes the keys that this node lacks: the one that signs, and the next. A key whose file is lost is replaced, and
    /// so is one that has signed nothing and is of another issuer, or of another algorithm than new keys are to have.
    pub async fn ensure_keys(&self) -> Result<(), Error<TokenRefusal>> {
        let ready = *self.signing.ready.lock();
        if ready.is_some_and(|(of, _)| of == self.projection.key_changes()) {
            return Ok(());
        }
        let _making = self.signing.making.lock().await;
        self.complete_keys().await?;
        let changes = self.projection.key_changes();
        let from = self.first_signs_from(&own_keys(&*self.projection, self.origin)).await?;
        *self.signing.ready.lock() = Some((changes, from));
        Ok(())
    }

    /// Makes the keys that this node lacks, so that verifiers find them before it signs with them. A failure does not stop
    /// the node: the next token is another attempt.
    pub async fn begin_keys(&self) {
        match self.ensure_key_signs().await {
            // A node without an address for verifiers signs nothing; other nodes may have one.
            Ok(()) | Err(Error::Refused(TokenRefusal::IssuerNotConfigured) | Error::Failed(Failure::Stopping)) => {}
            Err(Error::Refused(TokenRefusal::SigningKeyTooNew { from })) => tracing::warn!(
                %from,
                "this node's key is new, and verifiers may not have fetched it: JWTs are refused here until it has been published for --key-publish-ahead"
            ),
            Err(error) => tracing::warn!(
                %error,
                "the keys that sign tokens could not be made; it is tried again with the next token"
            ),
        }
    }

    /// Refuses to sign while verifiers may hold a set without this node's key.
    pub(super) async fn ensure_key_signs(&self) -> Result<(), Error<TokenRefusal>> {
        self.ensure_keys().await?;
        match *self.signing.ready.lock() {
            Some((_, from)) if self.clock.now() < from => Err(Error::Refused(TokenRefusal::SigningKeyTooNew { from })),
            _ => Ok(()),
        }
    }

    /// The steps of [`Service::ensure_keys`], for a caller that holds `making`.
    async fn complete_keys(&self) -> Result<(), Error<TokenRefusal>> {
        let issuer = self.token_issuer().ok_or(Error::Refused(TokenRefusal::IssuerNotConfigured))?;
        for _ in 0..=KEYS_AT_ONCE {
            let own = own_keys(&*self.projection, self.origin);
            let mut usable = Vec::new();
            for (_, key) in own.iter().filter(|(_, key)| key.issuer == issuer) {
                usable
                    .extend(self.signing.find(&key.id).map_err(Failure::key)?.map(|file| (&key.id, file.algorithm())));
            }
            let is_announced =
                usable.get(1..).and_then(<[_]>::last).is_some_and(|next| next.1 == self.signing.algorithm);
            if is_announced && usable.len() == own.len() {
                return Ok(());
            }
            let signs = usable.first().map(|(id, _)| *id);
            let retires = own.iter().map(|(_, key)| &key.id).filter(|id| Some(*id) != signs).cloned().collect();
            let command = PublishKey { key: self.make_key().await?, retires };
            let request = Request { caller: Caller::Node, request: None, idempotency: None, command };
            self.submit(request).await.map_err(Error::widened)?;
        }
        Err(Failure::internal(None, "this node's keys were made, and are not there").into())
    }

    /// From when on the first of a node's keys signs. It signs at once if it has signed already, if a rotation has made
    /// it sign, or if it is the ledger's first: then nobody can hold a set without it.
    async fn first_signs_from(&self, keys: &[(RecordId, KeyPublished)]) -> Result<Timestamp, Failure> {
        let Some((place, first)) = keys.first() else { return Ok(Timestamp::default()) };
        let published = self.publication(*place).await?;
        let from = self.signing.signs_from(published.at);
        let known = self.projection.keys();
        if from <= self.clock.now() || known.get(&first.id).is_some_and(|key| key.has_signed()) {
            return Ok(published.at);
        }
        if let [_, .., (newest, _)] = keys
            && !self.publication(*newest).await?.by_itself
        {
            return Ok(published.at);
        }
        for (other, key) in known.values().filter_map(|key| key.published.as_ref()) {
            if key.issuer == first.issuer && self.publication(*other).await?.position < published.position {
                return Ok(from);
            }
        }
        Ok(published.at)
    }

    async fn publication(&self, place: RecordId) -> Result<Publication, Failure> {
        if let Some(known) = self.signing.publications.lock().get(&place) {
            return Ok(*known);
        }
        let filed = self.filed(place, 1).await?.into_iter().next();
        let filed = filed.ok_or_else(|| Failure::internal(None, "a published key has no record"))?;
        let Filed { position, recorded } = &*filed;
        let published =
            Publication { position: *position, at: recorded.recorded_at, by_itself: recorded.actor.is_none() };
        self.signing.publications.lock().insert(place, published);
        Ok(published)
    }

    async fn make_key(&self) -> Result<KeyPublished, Error<TokenRefusal>> {
        let issuer = self.token_issuer().ok_or(Error::Refused(TokenRefusal::IssuerNotConfigured))?;
        let key = match self.unpublished_key() {
            Some(key) => key,
            None => self.generate_key().await?,
        };
        let id = KeyId::new(key.kid()).map_err(Failure::key)?;
        let published = KeyPublished { id: id.clone(), issuer, jwk: key.public_jwk().into() };
        self.signing.keys.lock().insert(id, key.clone());
        // A log that takes no commands for now would otherwise cost a key file with every attempt.
        *self.signing.unpublished.lock() = Some(key);
        Ok(published)
    }

    /// A key that was made for a publication which was not recorded.
    fn unpublished_key(&self) -> Option<Arc<SigningKey>> {
        let key = self.signing.unpublished.lock().clone().filter(|key| key.algorithm() == self.signing.algorithm)?;
        let is_published = self.projection.keys().contains_key(&KeyId::new(key.kid()).ok()?);
        (!is_published).then_some(key)
    }

    async fn generate_key(&self) -> Result<Arc<SigningKey>, Failure> {
        let directory = self.signing.directory.clone();
        let algorithm = self.signing.algorithm;
        let made = tokio::task::spawn_blocking(move || SigningKey::generate(&directory, algorithm)).await;
        Ok(Arc::new(made.map_err(Failure::of_task)?.map_err(Failure::key)?))
    }

    /// An answer of this node as a JWT of that type, signed by its key; by the one for that algorithm, if there is one. It is
    /// not a token: nothing is on record.
    pub async fn sign_answer(
        &self,
        typ: &'static str,
        claims: &impl Serialize,
        algorithm: Option<Algorithm>,
    ) -> Result<String, Error<TokenRefusal>> {
        self.ensure_key_signs().await?;
        for (_, key) in own_keys(&*self.projection, self.origin) {
            let Some(key) = self.signing.find(&key.id).map_err(Failure::key)? else { continue };
            if algorithm.is_none_or(|algorithm| key.algorithm() == algorithm) {
                return Ok(sign_as(&key, typ, claims).map_err(Failure::key)?);
            }
        }
        Err(Error::Refused(IssueTokenRejection::NoSigningKey.into()))
    }

    /// The JWT that a record of this node issues. Signed again, it has another signature but the same claims.
    pub(super) fn jwt(
        &self,
        filed: &Filed,
        issued: &TokenIssued,
        added: Map<String, Value>,
    ) -> Result<String, Error<TokenRefusal>> {
        let lost = || Error::Refused(IssueTokenRejection::NoSigningKey.into());
        let id = issued.key.as_ref().ok_or_else(lost)?;
        let key = self.signing.find(id).map_err(Failure::key)?.ok_or_else(lost)?;
        let ancestors = ancestors(&*self.projection, issued.parent);
        if issued.other_parent().is_some() && ancestors.is_empty() {
            // It is inactive, too, and nobody could tell by what it says.
            return Err(Error::Refused(TokenRefusal::Rejected(IssueTokenRejection::Issue(
                IssueRejection::ParentInactive,
            ))));
        }
        Ok(sign(&key, &claims(filed, issued, &ancestors, added)).map_err(Failure::key)?)
    }
}

impl PublishedKey {
    fn new(key: &KeyPublished, published_at: Timestamp, stage: KeyStage) -> Self {
        let jwk: Value = serde_json::from_str(&key.jwk).unwrap_or_default();
        let algorithm = jwk["alg"].as_str().unwrap_or_default().into();
        Self { id: key.id.clone(), algorithm, issuer: key.issuer.clone(), published_at, stage }
    }
}

/// The claims that a caller can't add, because the ledger sets them.
pub const RESERVED_CLAIMS: [&str; 21] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "oid",
    "gen",
    "sid",
    "scope",
    "user_token",
    APPLICATION,
    SESSION_APPLICATION,
    SESSION_ISSUED_AT,
    PARENT,
    "azp",
    "act",
    "may_act",
    "cnf",
    "status",
];

fn claims(
    filed: &Filed,
    issued: &TokenIssued,
    ancestors: &[Ancestor],
    mut claims: Map<String, Value>,
) -> Map<String, Value> {
    let recorded = &filed.recorded;
    let mut say = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    if let CredentialRef::Jwt { issuer, jti } = &issued.name {
        say("iss", json!(issuer.as_str()));
        say("jti", json!(jti.as_str()));
    }
    say("sub", json!(issued.subject.as_str()));
    say("oid", json!(recorded.tenant.clone().unwrap_or_default().as_str()));
    say("iat", json!(recorded.recorded_at.as_seconds()));
    say("exp", json!(issued.expires_at.as_seconds()));
    match &*issued.audience {
        [] => {}
        [one] => say("aud", json!(one)),
        several => say("aud", json!(several)),
    }
    if let Some(scope) = &issued.scope {
        say("scope", json!(scope));
    }
    if let Some(confirmation) = &issued.confirmation {
        let (name, thumbprint) = confirmation.member();
        say("cnf", json!({name: thumbprint.to_string()}));
    }
    if let (Some(status), Some(issuer)) = (issued.status, issued.name.issuer()) {
        let uri = list_uri(issuer, status.list);
        say("status", json!({"status_list": {"idx": status.index, "uri": uri}}));
    }
    if let Some(application) = recorded.application() {
        say(APPLICATION, json!(application.to_string()));
    }
    if let Some(session) = issued.parent.and_then(|parent| parent.session()) {
        say("sid", json!(session.uuid().to_string()));
    }
    match ancestors {
        [] => {}
        [session] if issued.other_parent().is_none() => {
            if let Some(issued_at) = session.issued_at {
                say(SESSION_ISSUED_AT, numeric_date(issued_at));
            }
            if let Some(application) = session.application {
                say(SESSION_APPLICATION, json!(application.to_string()));
            }
        }
        lineage => say(PARENT, Value::Object(parent_claim(lineage, &issued.subject))),
    }
    if !issued.generation.is_empty() {
        let entries = issued.generation.iter().map(|(origin, sequence)| (origin.to_string(), json!(sequence.0)));
        say("gen", Value::Object(entries.collect()));
    }
    claims
}

/// The claim of an ancestor and of those above it. Members that say nothing, or the same as its child's, are left out.
fn parent_claim(lineage: &[Ancestor], childs_subject: &Subject) -> Map<String, Value> {
    let mut claim = Map::new();
    let Some((ancestor, above)) = lineage.split_first() else { return claim };
    let mut say = |name: &str, value: Value| drop(claim.insert(name.to_owned(), value));
    say("kind", json!(ancestor.kind.as_str()));
    let name = if ancestor.name.jti().is_some() { "jti" } else { "id" };
    if let Some(id) = ancestor.name.public_id(ancestor.kind) {
        say(name, json!(id));
    }
    if ancestor.subject != *childs_subject {
        say("sub", json!(ancestor.subject.as_str()));
    }
    if let Some(application) = ancestor.application {
        say(APPLICATION, json!(application.to_string()));
    }
    if let Some(kid) = &ancestor.signed_with {
        say("kid", json!(kid.as_str()));
    }
    if let Some(issued_at) = ancestor.issued_at {
        say("iat", numeric_date(issued_at));
    }
    if !above.is_empty() {
        say(PARENT, Value::Object(parent_claim(above, &ancestor.subject)));
    }
    claim
}

/// A NumericDate, which may have a fraction: RFC 7519, section 2.
fn numeric_date(instant: Timestamp) -> Value {
    json!(instant.as_millis() as f64 / 1_000.0)
}

/// The issue in a record, if it is a token's.
pub(super) fn token_issued(filed: &Filed) -> Option<&TokenIssued> {
    match &filed.recorded.event {
        Event::TokenIssued(issued) => Some(issued),
        _ => None,
    }
}
