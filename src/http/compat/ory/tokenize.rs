//! `tokenize_as`: a token for the session of `whoami`, made from a template of the operator's.
//!
//! Such a token is one of the ledger's own: it has a record, it belongs to the session and is inactive with it, and it can
//! be revoked by itself. So that a gateway that asks for one with every request does not add a record each time, a token
//! is given again for the first half of its life, and as long as a fresh one would not last longer.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use axum::http::request::Parts;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::error::OryError;
use crate::domain::{CredentialId, RequestId, Secret, Timestamp};
use crate::http::{App, caller};
use crate::service::{Error, Holder, JwtStanding, Service, SessionToken, TokenRefusal};

/// Tokens are kept in so many parts, each behind a lock that is only held to find a place.
const PARTS: usize = 64;
/// The most tokens that a part keeps. For a further one the expired ones leave it, or else all.
const KEPT: usize = 512;

/// Tokens that can be given again.
pub struct Tokens([Mutex<HashMap<Key, Place>>; PARTS]);

/// The session, and the template's place among the settings.
type Key = (CredentialId, usize);

/// The place of one session's token of one template. Its turn is held while a token is made: of many requests at once, one
/// makes it, and the others wait for that one. Nobody else's requests come to this place.
type Place = Arc<Turn<Option<Kept>>>;

struct Kept {
    token: Arc<str>,
    /// When half of its life is over.
    half_over_at: Timestamp,
    expires_at: Timestamp,
}

impl Kept {
    /// Whether it is given again to a session that expires then: in the first half of its life, or if a fresh one would not
    /// last longer.
    fn is_given_again(&self, session_expires_at: Timestamp, now: Timestamp) -> bool {
        now < self.half_over_at || session_expires_at.as_seconds() <= self.expires_at.as_seconds()
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Tokens {
    fn place(&self, key: Key, now: Timestamp) -> Place {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mut places = self.0[hasher.finish() as usize % PARTS].lock();
        if places.len() >= KEPT && !places.contains_key(&key) {
            make_room(&mut places, now);
        }
        places.entry(key).or_default().clone()
    }
}

/// A place that a request has come to stays: another request for the same token must come to the same one.
fn make_room(places: &mut HashMap<Key, Place>, now: Timestamp) {
    // Places are only shared under the lock that the caller holds.
    let is_used = |place: &Place| Arc::strong_count(place) > 1;
    let is_active = |kept: &Option<Kept>| kept.as_ref().is_some_and(|kept| now < kept.expires_at);
    places.retain(|_, place| is_used(place) || place.try_lock().is_ok_and(|kept| is_active(&kept)));
    if places.len() >= KEPT {
        places.retain(|_, place| is_used(place));
    }
}

/// A token of that template for the holder's session, which expires then.
pub async fn token(
    app: &App,
    parts: &Parts,
    name: &str,
    holder: &Holder,
    session_expires_at: Timestamp,
) -> Result<Secret, OryError> {
    let templates = &app.options.compat.ory.templates;
    let found = templates.iter().enumerate().find(|(_, template)| template.name == name);
    let (at, template) =
        found.ok_or_else(|| OryError::MalformedValue(format!("Unable to find tokenizer template \"{name}\".")))?;
    let tokens = parts.extensions.get::<Arc<Tokens>>().ok_or(OryError::Internal)?;
    let place = tokens.place((holder.id, at), app.service.clock().now()).lock_owned().await;
    let now = app.service.clock().now();
    if let Some(Kept { token, half_over_at, .. }) =
        place.as_ref().filter(|kept| kept.is_given_again(session_expires_at, now))
    {
        match app.service.judge_jwt(token).await {
            Ok(judged) if judged.standing == JwtStanding::Active => return Ok(Secret::new(token)),
            // A bearer that revoked each token could otherwise have a record made with every request.
            Ok(judged) if now < *half_over_at && app.service.is_revoked_alone(&judged) => return Err(OryError::OnHold),
            _ => {}
        }
    }
    let new = SessionToken { ttl: template.ttl, audience: template.audience.clone(), claims: template.claims.clone() };
    let request = caller::request_id(&parts.headers);
    // To its end, even if the bearer hangs up meanwhile: the token must be kept, or else a bearer that hung up each time
    // could have a record made with every request.
    let made = tokio::spawn(make(app.service.clone(), holder.clone(), request, new, now, place)).await;
    Ok(made.map_err(|_| OryError::Internal)??)
}

/// Issues a token, and keeps it in that place.
async fn make(
    service: Arc<Service>,
    holder: Holder,
    request: Option<RequestId>,
    new: SessionToken,
    now: Timestamp,
    mut place: OwnedMutexGuard<Option<Kept>>,
) -> Result<Secret, Error<TokenRefusal>> {
    let issued = service.issue_session_token(&holder, request, new).await?;
    let expires_at = issued.expires_at;
    let life_millis = expires_at.as_millis().saturating_sub(now.as_millis());
    let half_over_at = now.plus_millis(life_millis / 2);
    *place = Some(Kept { token: issued.secret.expose().into(), half_over_at, expires_at });
    Ok(issued.secret)
}
