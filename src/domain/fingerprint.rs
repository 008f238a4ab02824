//! A fingerprint of the state: equal on all nodes that hold the same records.

use aws_lc_rs::digest;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::application::{Application, ClientKeys, OauthClient};
use super::cohort::{Cohort, CohortState, Withdrawal};
use super::confirmation::Confirmation;
use super::credential::{
    Credential, CredentialId, CredentialKey, CredentialRef, Issue, IssuedAs, Kind, Lifetime, Parent, Revocation,
    UnknownRevoker, hex,
};
use super::event::LedgerOpened;
use super::evolve::Answered;
use super::ids::{ApplicationId, KeyId, Origin, RecordId, Subject, Tenant};
use super::membership::Member;
use super::node::{NodeKey, PeerAddress, Reads};
use super::signing::SigningKeyState;
use super::state::State;
use super::status_list::{StatusListId, StatusListState};
use super::subject::{AgeRevocation, Erasure, Generation, KindState, SubjectState};
use super::time::Timestamp;
use crate::json;

/// The usual size of a row, in bytes.
const USUAL_BYTES: usize = 256;

/// Written as its `Display`, straight into the row: there are as many rows as credentials.
struct Displayed<T>(T);

impl<T: std::fmt::Display> Serialize for Displayed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// One entity of the state as a compact JSON array, its kind first. State that exists only in memory is not in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateRow(String);

impl StateRow {
    /// An origin: `["origin", origin, sequence, ledger, node, region]`.
    pub fn origin(place: RecordId, opened: &LedgerOpened) -> Self {
        let (node, region) = (opened.node.as_str(), opened.region.as_str());
        Self::of(json!(["origin", place.origin.as_str(), place.sequence.0, opened.ledger.to_string(), node, region]))
    }

    /// An application: `["application", id, registration or null, removed]`. A registration has an eighth part if it says
    /// what the application is as an OAuth client.
    pub fn application(id: ApplicationId, application: &Application) -> Self {
        let registration = application.registered.as_ref().map(|(place, registration)| {
            let grants = registration.grants.as_slice().iter().map(|grant| {
                let scopes: Vec<_> = grant.scopes.iter().map(|scope| scope.as_str()).collect();
                json!([grant.tenant.as_ref().map(Tenant::as_str), scopes])
            });
            let mut row = json!([
                place.origin.as_str(),
                place.sequence.0,
                registration.name,
                registration.digest.map(|digest| digest.to_string()),
                grants.collect::<Vec<_>>(),
                registration.expires_at.map(Timestamp::as_millis),
                registration.attributes,
            ]);
            if let (Value::Array(parts), Some(client)) = (&mut row, &registration.oauth) {
                parts.push(oauth_client(client));
            }
            row
        });
        Self::of(json!(["application", id.to_string(), registration, application.removed]))
    }

    /// A ticket: `["ticket", id, issue or null, latest use, revocations]`; a session or token: `["session" or "token", id, issue or
    /// null, extended to, revocations, revoked as or null]`, followed by `[name, thumbprint]` of what a token is bound to. Either is
    /// followed by `["parent", kind, id, whether it has the same subject]`, unless it has no parent, or is the token of a session of its
    /// own subject, which its issue names.
    pub fn credential(key: CredentialKey, credential: &Credential) -> Self {
        let revocations: Vec<_> = credential.revocations.iter().map(revocation).collect();
        let (kind, id, latest) = (key.kind.as_str(), Displayed(key.id), credential.latest.as_millis());
        let mut row = match key.kind {
            Kind::Ticket => Self::of((kind, id, credential.issue.as_ref().map(ticket_issue), latest, revocations)),
            Kind::Session | Kind::Token => {
                let revoked_as = credential.revoked_as().map(name);
                Self::of((
                    kind,
                    id,
                    credential.issue.as_ref().map(|one| issue(key.kind, one)),
                    latest,
                    revocations,
                    revoked_as,
                ))
            }
        };
        let Some(issue) = &credential.issue else { return row };
        if let Some((name, thumbprint)) = issue.confirmation.as_deref().map(Confirmation::member) {
            row.append((name, Displayed(thumbprint)));
        }
        if let Some(Parent { key: parent, same_subject }) = issue.parent()
            && own_session(key.kind, issue).is_none()
        {
            row.append(("parent", parent.kind.as_str(), Displayed(parent.id), same_subject));
        }
        row
    }

    /// A key that signs the ledger's JWTs: `["key", id, [origin, sequence, issuer, jwk] or null, retired,
    /// last_expiry]`; followed by `true` if it was withdrawn.
    pub fn key(id: &KeyId, key: &SigningKeyState) -> Self {
        let published = key
            .published
            .as_ref()
            .map(|(place, key)| json!([place.origin.as_str(), place.sequence.0, key.issuer.as_str(), key.jwk]));
        let last_expiry = key.last_expiry.as_millis();
        Self::of(match key.withdrawn {
            false => json!(["key", id.as_str(), published, key.retired, last_expiry]),
            true => json!(["key", id.as_str(), published, key.retired, last_expiry, true]),
        })
    }

    /// A status list: `["status_list", id, [origin, sequence, opened_at, entries, class] or null, taken, SHA-256 of the taken indexes,
    /// last_expiry, [origin, sequence, iat, SHA-256 of the array] or null]`.
    pub fn status_list(id: StatusListId, list: &StatusListState) -> Self {
        let opened = list.opened.map(|(place, opened_at, opened)| {
            let (origin, sequence, class) = (place.origin.to_string(), place.sequence.0, opened.class.as_str());
            json!([origin, sequence, opened_at.as_millis(), opened.entries, class])
        });
        let published = list.published.as_ref().map(|(place, published)| {
            json!([place.origin.as_str(), place.sequence.0, published.iat, hex::encode(&published.array)])
        });
        let (taken, hash) = (list.taken.len(), hex::encode(&list.taken.hash()));
        Self::of(json!(["status_list", id.as_str(), opened, taken, hash, list.last_expiry.as_millis(), published]))
    }

    /// The last slot of its sealing keys that an origin has used: `["slot", origin, slot]`.
    pub fn slot(origin: Origin, slot: u64) -> Self {
        Self::of(json!(["slot", origin.as_str(), slot]))
    }

    /// A node: `["node", key, [[origin, sequence, joined_at, name, region, address or null, reads], …],
    /// [origin, sequence, upgraded_at, reads] or null, [origin, sequence, removed_at, seals] or null]`.
    pub fn node(key: NodeKey, member: &Member) -> Self {
        let joins = member.joins.iter().map(|(place, (at, joined))| {
            let address = joined.address.as_ref().map(PeerAddress::as_str);
            let (node, region) = (joined.node.as_str(), joined.region.as_str());
            let (origin, sequence, at) = (place.origin.as_str(), place.sequence.0, at.as_millis());
            json!([origin, sequence, at, node, region, address, reads(&joined.reads)])
        });
        let joins: Vec<Value> = joins.collect();
        let upgraded = member
            .upgraded
            .as_ref()
            .map(|(at, place, read)| json!([place.origin.as_str(), place.sequence.0, at.as_millis(), reads(read)]));
        let removed = member.removed.as_ref().map(|removal| {
            let RecordId { origin, sequence } = removal.place;
            let seals: Vec<_> = removal.seals.iter().map(|(origin, seal)| (Displayed(*origin), seal.0)).collect();
            json!([origin.as_str(), sequence.0, removal.removed_at.as_millis(), seals])
        });
        Self::of(json!(["node", key.to_string(), joins, upgraded, removed]))
    }

    /// Something was imported: `["imported"]`.
    pub fn imported() -> Self {
        Self::of(json!(["imported"]))
    }

    /// The use of a ticket whose issue has not arrived: `["early_use", origin, sequence, used_at]`.
    pub fn early_use(place: RecordId, used_at: Timestamp) -> Self {
        Self::of(json!(["early_use", place.origin.as_str(), place.sequence.0, used_at.as_millis()]))
    }

    /// A subject: `["subject", tenant, subject, [[kind, revocations, hold_until or null], …]]`, only kinds with an
    /// entry; followed by the erasure if there was one.
    pub fn subject(tenant: &Tenant, subject: &Subject, state: &SubjectState) -> Self {
        let kinds = Kind::ALL.iter().filter_map(|kind| kind_state(*kind, state.of(*kind)));
        let kinds: Vec<_> = kinds.collect();
        let (tenant, subject) = (tenant.as_str(), subject.as_str());
        Self::of(match &state.erasure {
            None => json!(["subject", tenant, subject, kinds]),
            Some(erasure) => json!(["subject", tenant, subject, kinds, self::erasure(erasure)]),
        })
    }

    /// A cohort: `["cohort", what, name, [[tenant or null, until], …], [[kind, revocations, hold_until or null], …], [origin,
    /// sequence, withdrawn_at] or null]`, only kinds with an entry.
    pub fn cohort(cohort: &Cohort, state: &CohortState) -> Self {
        let (what, name) = cohort.named();
        let reach = state.reach.iter().map(|(tenant, until)| (tenant.as_ref().map(Tenant::as_str), until.as_millis()));
        let reach: Vec<_> = reach.collect();
        let kinds = Kind::ALL.iter().filter_map(|kind| kind_state(*kind, state.of(*kind)));
        let kinds: Vec<_> = kinds.collect();
        let withdrawn = state.withdrawal.map(|Withdrawal { withdrawn_at, place }| {
            json!([place.origin.as_str(), place.sequence.0, withdrawn_at.as_millis()])
        });
        Self::of(json!(["cohort", what, name, reach, kinds, withdrawn]))
    }

    /// A command under an idempotency key: `["answered", key, body, origin, sequence, records, recorded_at]`.
    pub fn answered(answered: &Answered) -> Self {
        Self::of(json!([
            "answered",
            hex::encode(&answered.digests.key),
            hex::encode(&answered.digests.body),
            answered.first.origin.as_str(),
            answered.first.sequence.0,
            answered.records,
            answered.recorded_at.as_millis(),
        ]))
    }

    /// Adds a part behind the last one.
    fn append(&mut self, part: impl Serialize) {
        self.0.truncate(self.0.len() - "]".len());
        self.0.push(',');
        self.0.push_str(&json::text(&part));
        self.0.push(']');
    }

    /// The row as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(row: impl Serialize) -> Self {
        let mut text = Vec::with_capacity(USUAL_BYTES);
        json::append(&mut text, &row);
        Self(String::from_utf8(text).expect("JSON is UTF-8"))
    }
}

fn ticket_issue(issue: &Issue) -> impl Serialize {
    (
        issue.place.origin.as_str(),
        issue.place.sequence.0,
        issue.tenant.as_str(),
        issue.subject.as_str(),
        issue.digest().map(|digest| Displayed(*digest)),
        issue.issued_at.as_millis(),
        lifetime(issue),
        issue.not_after.as_millis(),
        generation(&issue.generation),
    )
}

/// A sliding life in seconds, a fixed one by its expiry.
fn lifetime(issue: &Issue) -> u64 {
    match issue.lifetime {
        Lifetime::Sliding(ttl) => ttl.as_seconds(),
        Lifetime::Fixed(expires_at) => expires_at.as_millis(),
    }
}

fn issue(kind: Kind, issue: &Issue) -> impl Serialize {
    let (secret, jwt) = match &issue.name {
        IssuedAs::Secret(digest) => (digest.map(Displayed), None),
        IssuedAs::Jwt(jwt) => (None, Some(name(&jwt.name))),
    };
    (
        issue.place.origin.as_str(),
        issue.place.sequence.0,
        issue.tenant.as_str(),
        issue.subject.as_str(),
        Either(secret, jwt),
        issue.issued_at.as_millis(),
        lifetime(issue),
        issue.not_after.as_millis(),
        generation(&issue.generation),
        own_session(kind, issue).map(Displayed),
        issue.slot,
    )
}

/// The session of its own subject that a token came from.
fn own_session(kind: Kind, issue: &Issue) -> Option<CredentialId> {
    issue.parent().filter(|_| kind == Kind::Token)?.as_own_session()
}

/// The second where there is one, else the first or null.
struct Either<A, B>(Option<A>, Option<B>);

impl<A: Serialize, B: Serialize> Serialize for Either<A, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self(_, Some(second)) => second.serialize(serializer),
            Self(first, None) => first.serialize(serializer),
        }
    }
}

/// An id or digest alone, a payload's digest behind its issuer and null, a `jti` behind its issuer.
fn name(name: &CredentialRef) -> Value {
    match name {
        CredentialRef::Id(id) => json!(id.to_string()),
        CredentialRef::Digest(digest) => json!(digest.to_string()),
        CredentialRef::Payload { issuer, digest } => json!([issuer.as_str(), null, digest.to_string()]),
        CredentialRef::Jwt { issuer, jti } => json!([issuer.as_str(), jti.as_str()]),
    }
}

fn reads(reads: &Reads) -> Vec<(&str, u64)> {
    reads.iter().collect()
}

fn generation(generation: &Generation) -> Vec<(Displayed<Origin>, u64)> {
    generation.iter().map(|(origin, sequence)| (Displayed(origin), sequence.0)).collect()
}

/// `[audiences, jwks or null, jwks_url or null, introspection_signed_response_alg or null, omit_exp]`.
fn oauth_client(client: &OauthClient) -> Value {
    let (jwks, url) = match &client.keys {
        None => (None, None),
        Some(ClientKeys::Set(jwks)) => (Some(jwks), None),
        Some(ClientKeys::Url(url)) => (None, Some(url)),
    };
    json!([client.audiences, jwks, url, client.signed_response_alg, client.omits_exp])
}

fn revocation(revocation: &Revocation) -> impl Serialize {
    let unknown_by = revocation.unknown_by.as_ref().map(|unknown_revoker| match unknown_revoker {
        UnknownRevoker::Application(id) => json!(id.to_string()),
        UnknownRevoker::Subject(tenant, subject) => json!([tenant.as_str(), subject.as_str()]),
    });
    (
        revocation.whose.tenant.as_ref().map(Tenant::as_str),
        revocation.whose.subject.as_ref().map(Subject::as_str),
        revocation.place.origin.as_str(),
        revocation.place.sequence.0,
        revocation.revoked_at.as_millis(),
        revocation.retain_until.as_millis(),
        unknown_by,
    )
}

fn erasure(erasure: &Erasure) -> Value {
    let slots = erasure.slots.iter().map(|(origin, slots)| json!([origin.as_str(), slots]));
    let RecordId { origin, sequence } = erasure.place;
    json!([origin.as_str(), sequence.0, erasure.erased_at.as_millis(), slots.collect::<Vec<_>>()])
}

fn kind_state(kind: Kind, state: &KindState) -> Option<Value> {
    let revocations = state.revocations.iter().map(|(origin, revocation)| {
        let (revoked_at, retain_until) = (revocation.revoked_at.as_millis(), revocation.retain_until.as_millis());
        json!([origin.as_str(), revocation.sequence.0, revoked_at, revocation.not_before, retain_until])
    });
    let revocations: Vec<_> = revocations.collect();
    let hold_until = state.hold_until.map(Timestamp::as_millis);
    if !state.by_age.is_empty() {
        let by_age = state.by_age.iter().map(|AgeRevocation { issued_before, place, revoked_at, retain_until }| {
            let [before, at, until] = [issued_before, revoked_at, retain_until].map(|instant| instant.as_millis());
            json!([before, place.origin.as_str(), place.sequence.0, at, until])
        });
        return Some(json!([kind.as_str(), revocations, hold_until, by_age.collect::<Vec<_>>()]));
    }
    (!revocations.is_empty() || hold_until.is_some()).then(|| json!([kind.as_str(), revocations, hold_until]))
}

/// SHA-256 over the state's rows, sorted by bytes, each after its length in four big-endian bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of sorted rows.
    pub fn of_sorted<'a>(rows: impl IntoIterator<Item = &'a StateRow>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for row in rows {
            // A row is made of one record's parts, so its length fits four bytes many times over.
            context.update(&(row.0.len() as u32).to_be_bytes());
            context.update(row.0.as_bytes());
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex::write(&self.0, f)
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex::write(&self.0, f)
    }
}

impl State {
    /// Every entity as a row, sorted. Prune first: nodes differ in expired entities that they have not swept yet.
    pub fn rows(&self) -> Vec<StateRow> {
        let mut rows: Vec<StateRow> =
            self.origins.iter().map(|(place, opened)| StateRow::origin(*place, opened)).collect();
        rows.extend(self.applications.iter().map(|(id, application)| StateRow::application(*id, application)));
        rows.extend(self.credentials.iter().map(|(key, credential)| StateRow::credential(*key, credential)));
        rows.extend(self.early_uses.iter().map(|(place, at)| StateRow::early_use(*place, *at)));
        rows.extend(self.subjects.iter().map(|((tenant, subject), state)| StateRow::subject(tenant, subject, state)));
        rows.extend(self.cohorts.iter().map(|(cohort, state)| StateRow::cohort(&cohort, state)));
        rows.extend(self.keys.iter().map(|(id, key)| StateRow::key(id, key)));
        rows.extend(self.slots.iter().map(|(origin, slot)| StateRow::slot(*origin, *slot)));
        rows.extend(self.status_lists.iter().map(|(id, list)| StateRow::status_list(*id, list)));
        rows.extend(self.members.iter().map(|(key, member)| StateRow::node(key, member)));
        rows.extend(self.imported.then(StateRow::imported));
        rows.extend(self.answered.values().map(StateRow::answered));
        rows.sort_unstable();
        rows
    }
}
