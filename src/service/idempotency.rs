//! Recognises a repeated command, and shows a secret a second time while that is still safe.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::domain::{Caller, CredentialId, Idempotency, Secret, Timestamp};

const KEY_CONTEXT: &str = "authledger 2026 idempotency key v1";
const BODY_CONTEXT: &str = "authledger 2026 idempotency body v1";

/// The shortest and longest `Idempotency-Key`, in bytes.
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=255;

/// Digests of the key, in its scope of caller, method and path, and of the body that came with it.
pub(super) fn digests(caller: &Caller, method: &str, path: &str, key: &[u8], body: &[u8]) -> Idempotency {
    let who = match caller {
        Caller::Root => "root".to_owned(),
        Caller::Application(id) => id.to_string(),
        Caller::Session { id, .. } => format!("session {id}"),
        Caller::Bearer { issuer, jti } | Caller::Issuer { issuer, jti, .. } => format!("bearer {issuer}\n{jti}"),
        Caller::Node => "node".to_owned(),
    };
    let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
    for part in [who.as_bytes(), method.as_bytes(), path.as_bytes(), key] {
        // Each part comes after its length, so that no two scopes run together.
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    Idempotency {
        key: first_half(hasher.finalize()),
        body: first_half(blake3::Hasher::new_derive_key(BODY_CONTEXT).update(body).finalize()),
    }
}

fn first_half(hash: blake3::Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}

/// How long a secret can be shown again: 60 s.
const SHOW_MILLIS: u64 = 60_000;
/// How many secrets are kept for that; the oldest is dropped first.
const MAX_SECRETS: usize = 100_000;

/// Secrets of commands that came with an idempotency key, for a repetition within a minute. Only in this process's memory.
#[derive(Default)]
pub(super) struct RecentSecrets(Mutex<SecretWindow>);

#[derive(Default)]
struct SecretWindow {
    by_id: HashMap<CredentialId, Secret>,
    order: VecDeque<(Timestamp, CredentialId)>,
}

impl RecentSecrets {
    /// Keeps a secret before its command is sent, so that a repetition can't overtake it.
    pub(super) fn keep(&self, secret: &Secret, now: Timestamp) {
        let mut recent = self.0.lock();
        recent.forget(now);
        let id = secret.digest().id();
        recent.by_id.insert(id, secret.clone());
        recent.order.push_back((now.plus_millis(SHOW_MILLIS), id));
    }

    /// The secret with that digest's id, for a minute.
    pub(super) fn find(&self, id: CredentialId, now: Timestamp) -> Option<Secret> {
        let mut recent = self.0.lock();
        recent.forget(now);
        recent.by_id.get(&id).cloned()
    }
}

impl SecretWindow {
    fn forget(&mut self, now: Timestamp) {
        while let Some((until, id)) = self.order.front().copied() {
            if now < until && self.order.len() < MAX_SECRETS {
                return;
            }
            self.order.pop_front();
            self.by_id.remove(&id);
        }
    }
}
