//! `tokenize_as`: a token for the session of `whoami`, made from a template of the operator's.
//!
//! Such a token is one of the ledger's own: it has a record, it belongs to the session and is inactive with it, and it can
//! be revoked by itself. So that a gateway that asks for one with every request does not add a record each time, a token
//! is given again for the first half of its life, and as long as a fresh one would not last longer.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use axum::http::request::Parts;
use tokio::sync::Mutex;

use super::error::OryError;
use crate::domain::{CredentialId, Secret, Timestamp};
use crate::http::{App, caller};
use crate::service::{Holder, JwtStanding, SessionToken};

/// Tokens are kept in so many parts, and of one part so many are made one after the other only.
const PARTS: usize = 64;
/// The most tokens that a part keeps. For a further one the expired ones leave it, or else all.
const KEPT: usize = 512;

/// Tokens that can be given again.
pub struct Tokens([Mutex<HashMap<Key, Kept>>; PARTS]);

/// The session, and the template's place among the settings.
type Key = (CredentialId, usize);

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
    fn part(&self, key: &Key) -> &Mutex<HashMap<Key, Kept>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.0[hasher.finish() as usize % PARTS]
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
    let key = (holder.id, at);
    // Held while a token is made: of many requests at once, one makes it.
    let mut kept = tokens.part(&key).lock().await;
    let now = app.service.clock().now();
    if let Some(Kept { token, half_over_at, .. }) =
        kept.get(&key).filter(|kept| kept.is_given_again(session_expires_at, now))
    {
        match app.service.judge_jwt(token).await.map(|judged| judged.standing) {
            Ok(JwtStanding::Active) => return Ok(Secret::new(token)),
            // A bearer that revoked each token could otherwise have a record made with every request.
            Ok(JwtStanding::Revoked(..)) if now < *half_over_at => return Err(OryError::OnHold),
            _ => {}
        }
    }
    let new = SessionToken { ttl: template.ttl, audience: template.audience.clone(), claims: template.claims.clone() };
    let issued = app.service.issue_session_token(holder, caller::request_id(&parts.headers), new).await?;
    if kept.len() >= KEPT {
        kept.retain(|_, kept| now < kept.expires_at);
    }
    if kept.len() >= KEPT {
        kept.clear();
    }
    let expires_at = issued.expires_at;
    let life_millis = expires_at.as_millis().saturating_sub(now.as_millis());
    let half_over_at = now.plus_millis(life_millis / 2);
    kept.insert(key, Kept { token: issued.secret.expose().into(), half_over_at, expires_at });
    Ok(issued.secret)
}
