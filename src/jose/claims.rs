//! The claims of a token whose signature is known to be valid.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::TokenError;
use super::binding::Binding;
use super::trusted::{CLOCK_LEEWAY_SECONDS, Profile, TrustedIssuer};
use crate::domain::{
    CredentialId, CredentialRef, Digest, GivenSubject, Issuer, Kind, MAX_ANCESTORS, MAX_INTEGER, MAX_JWT_GENERATION,
    Tenant, Timestamp, TokenId,
};

/// The claim that names the application which issued a token of this ledger: RFC 9068, section 2.2.
pub const APPLICATION: &str = "client_id";
/// The claim that names the application which issued the token's session.
pub const SESSION_APPLICATION: &str = "sid_client_id";
/// The claim that says when the token's session was issued, in seconds since 1970 with a fraction.
pub const SESSION_ISSUED_AT: &str = "sid_iat";

/// The claim that says from which credential a token of this ledger came, where that is more than a session of its own
/// subject: an object with `kind`, `id` or `jti`, and, unless they say nothing or the same as its child's, `sub`, `client_id`,
/// `kid`, `iat`, and the next `parent`.
pub const PARENT: &str = "parent";

/// The claim in which a container holds its token.
const INNER: &str = "user_token";
/// The latest time that a claim may name, in seconds: later ones have no exact milliseconds.
const MAX_SECONDS: u64 = MAX_INTEGER / 1000;

/// A token whose signature is valid. It can't be printed, because its claims may say much about a person.
pub struct VerifiedToken {
    /// The issuer that signed it.
    pub issuer: Arc<str>,
    /// Whether that is this ledger.
    pub ours: bool,
    /// Its name.
    pub identity: CredentialRef,
    /// The tenant that it is for.
    pub tenant: Tenant,
    pub subject: GivenSubject,
    /// `iat`: when it was issued, in whole seconds since 1970, rounded down.
    pub issued_at: Option<u64>,
    /// `nbf`: from when it is valid, in whole seconds since 1970, rounded down.
    pub not_before: Option<u64>,
    /// `exp`: until when it is valid, in whole seconds since 1970, rounded down.
    pub expires_at: Option<u64>,
    /// `client_id` of a token of this ledger: the application that issued it.
    pub application: Option<Uuid>,
    /// The ancestors of a token of this ledger, the parent first: those in `parent`, or the session in `sid` with its
    /// `sid_client_id` and `sid_iat`.
    pub ancestors: Vec<ClaimedAncestor>,
    /// The key that signed it, if that was named.
    pub kid: Option<String>,
    /// `gen` of a token of this ledger: origins and sequences, as they are there; at most 16.
    pub generation: BTreeMap<String, u64>,
    /// `cnf`: what it is bound to, if it is not a bearer token.
    pub binding: Option<Binding>,
    /// The token that a container holds, which is not a container itself.
    pub inner: Option<Box<VerifiedToken>>,
    /// How many seconds its issuer's clock may be ahead of ours.
    pub clock_leeway_seconds: u64,
    /// All claims, without the token that a container holds.
    pub claims: Map<String, Value>,
}

/// What a token of this ledger says of one of its ancestors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedAncestor {
    pub kind: Kind,
    pub name: CredentialRef,
    /// Its subject, if that is not its child's.
    pub subject: Option<GivenSubject>,
    /// The application that issued it, if one did.
    pub application: Option<Uuid>,
    /// Of a JWT: the key that signed it.
    pub kid: Option<String>,
    pub issued_at: Option<Timestamp>,
}

/// Why a token with a valid signature is not valid now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenTimeError {
    /// Its `exp` has passed.
    #[error("accept the token: it has expired")]
    Expired,
    /// Its `nbf` or `iat` is still to come.
    #[error("accept the token: it is not valid yet")]
    NotYetValid,
}

impl VerifiedToken {
    /// Whether it is valid at that instant, in milliseconds since 1970: RFC 7519, sections 4.1.4 to 4.1.6. `exp` is
    /// exact; `nbf` and `iat` may be ahead by the issuer's leeway. The token in a container is not checked; it has
    /// times of its own.
    pub fn check_times(&self, now_millis: u64) -> Result<(), TokenTimeError> {
        if self.expires_at.is_some_and(|at| now_millis >= at * 1000) {
            return Err(TokenTimeError::Expired);
        }
        let latest = now_millis.saturating_add(self.clock_leeway_seconds * 1000);
        let starts = [self.not_before, self.issued_at];
        if starts.into_iter().flatten().any(|at| at * 1000 > latest) {
            Err(TokenTimeError::NotYetValid)
        } else {
            Ok(())
        }
    }
}

/// A token whose signature is valid, and whose claims have not been read.
pub(super) struct Proven {
    pub(super) issuer: Arc<str>,
    /// The issuer's terms of trust; nothing for a token of this ledger.
    pub(super) terms: Option<Arc<TrustedIssuer>>,
    pub(super) kid: Option<String>,
    pub(super) payload: Vec<u8>,
    pub(super) claims: Map<String, Value>,
}

impl Proven {
    /// Takes the token that a container holds out of its claims. A text without three parts is not a token, but some
    /// other claim.
    pub(super) fn take_inner(&mut self) -> Option<String> {
        let is_token = self.claims.get(INNER)?.as_str()?.split('.').count() == 3;
        match is_token.then(|| self.claims.remove(INNER))? {
            Some(Value::String(inner)) => Some(inner),
            _ => None,
        }
    }

    /// The token in the form of its use, with the token that it holds. A container takes the claims that it lacks from
    /// that one.
    pub(super) fn verified(self, inner: Option<VerifiedToken>) -> Result<VerifiedToken, TokenError> {
        self.verified_over(inner, |_, one, other| one == other)
    }

    /// The same if two names may stand for one subject.
    pub(super) fn verified_over(
        self,
        inner: Option<VerifiedToken>,
        same: impl Fn(&Tenant, &GivenSubject, &GivenSubject) -> bool,
    ) -> Result<VerifiedToken, TokenError> {
        let within = inner.as_ref();
        let own = |one: &Tenant, other: &Tenant| one == other;
        let tenant = joined(self.tenant()?, within.map(|inner| &inner.tenant), own, TokenError::MissingTenant)?;
        if !self.may_speak_for(&tenant) {
            return Err(TokenError::ForeignTenant);
        }
        let same = |one: &GivenSubject, other: &GivenSubject| same(&tenant, one, other);
        let subject = joined(self.subject()?, within.map(|inner| &inner.subject), same, TokenError::MissingSubject)?;
        let ours = self.terms.is_none();
        Ok(VerifiedToken {
            identity: self.identity()?,
            tenant,
            subject,
            issued_at: self.seconds("iat")?,
            not_before: self.seconds("nbf")?,
            expires_at: self.seconds("exp")?,
            application: if ours { application(&self.claims, APPLICATION) } else { None },
            ancestors: if ours { self.ancestors()? } else { Vec::new() },
            generation: if ours { self.generation()? } else { BTreeMap::new() },
            binding: Binding::of_claims(&self.claims)?,
            inner: inner.map(Box::new),
            clock_leeway_seconds: self.terms.as_ref().map_or(CLOCK_LEEWAY_SECONDS, |terms| terms.clock_leeway_seconds),
            issuer: self.issuer,
            ours,
            kid: self.kid,
            claims: self.claims,
        })
    }

    fn may_speak_for(&self, tenant: &Tenant) -> bool {
        self.terms.as_ref().is_none_or(|terms| terms.tenants.contains(tenant))
    }

    fn tenant(&self) -> Result<Option<Tenant>, TokenError> {
        const WRONG: TokenError = TokenError::MalformedTenant;
        if let Some(oid) = self.claims.get("oid") {
            return Tenant::new(oid.as_str().ok_or(WRONG)?).map(Some).map_err(|_| WRONG);
        }
        // In a token of this ledger `aud` is the caller's audience, and not a tenant.
        let (Some(terms), Some(audience)) = (&self.terms, self.claims.get("aud")) else { return Ok(None) };
        let audience = match audience {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let names: Vec<&str> = audience.iter().map(|one| one.as_str().ok_or(WRONG)).collect::<Result<_, _>>()?;
        let known = names.into_iter().find_map(|name| terms.tenants.iter().find(|tenant| tenant.as_str() == name));
        known.cloned().map(Some).ok_or(TokenError::ForeignTenant)
    }

    fn subject(&self) -> Result<Option<GivenSubject>, TokenError> {
        // In a token of this ledger `sub` is what the ledger wrote; a caller could have put anything into `person_id`.
        let person = if self.terms.is_some() { self.claims.get("person_id") } else { None };
        let Some(subject) = person.or_else(|| self.claims.get("sub")) else { return Ok(None) };
        let text = subject.as_str().ok_or(TokenError::MalformedSubject)?;
        GivenSubject::new(text).map(Some).map_err(|_| TokenError::MalformedSubject)
    }

    fn identity(&self) -> Result<CredentialRef, TokenError> {
        let issuer = Issuer::new(&self.issuer).map_err(|_| TokenError::MissingIssuer)?;
        let is_slashid = self.terms.as_ref().is_some_and(|terms| terms.profile == Some(Profile::SlashId));
        let stand_in = if is_slashid { self.claims.get("id") } else { None };
        match self.claims.get("jti").or(stand_in) {
            None => Ok(CredentialRef::Payload { issuer, digest: Digest::of_payload(&self.payload) }),
            Some(id) => {
                let jti = id.as_str().and_then(|id| TokenId::new(id).ok()).ok_or(TokenError::MalformedId)?;
                Ok(CredentialRef::Jwt { issuer, jti })
            }
        }
    }

    fn seconds(&self, name: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        numeric_date(value).map(Some).ok_or(TokenError::MalformedTime(name))
    }

    fn session(&self) -> Result<Option<Uuid>, TokenError> {
        let Some(sid) = self.claims.get("sid") else { return Ok(None) };
        let id = sid.as_str().and_then(|text| Uuid::try_parse(text).ok());
        id.map(Some).ok_or(TokenError::MalformedSession)
    }

    fn ancestors(&self) -> Result<Vec<ClaimedAncestor>, TokenError> {
        let session = self.session()?.map(CredentialId::of_session);
        let claimed = self.claims.get(PARENT).and_then(|parent| self.lineage(parent));
        let is_its_parent = |lineage: &Vec<ClaimedAncestor>| {
            let parent = lineage.first().filter(|parent| parent.kind == Kind::Session);
            parent.map(|parent| parent.name.id()) == session
        };
        // In tokens that were issued before the ledger set it, the claim may be a caller's own.
        if let Some(lineage) = claimed.filter(is_its_parent) {
            return Ok(lineage);
        }
        let session = session.map(|id| ClaimedAncestor {
            kind: Kind::Session,
            name: CredentialRef::Id(id),
            subject: None,
            application: application(&self.claims, SESSION_APPLICATION),
            kid: None,
            issued_at: instant(&self.claims, SESSION_ISSUED_AT),
        });
        Ok(session.into_iter().collect())
    }

    fn lineage(&self, parent: &Value) -> Option<Vec<ClaimedAncestor>> {
        let (mut lineage, mut next) = (Vec::new(), Some(parent));
        while let Some(claim) = next {
            let claim = claim.as_object().filter(|_| lineage.len() < MAX_ANCESTORS)?;
            lineage.push(self.ancestor(claim)?);
            next = claim.get(PARENT);
        }
        Some(lineage)
    }

    fn ancestor(&self, claim: &Map<String, Value>) -> Option<ClaimedAncestor> {
        let text = |name: &str| claim.get(name).map(|value| value.as_str().ok_or(())).transpose();
        let kind: Kind = text("kind").ok()??.parse().ok()?;
        let name = match (text("id").ok()?, text("jti").ok()?) {
            (Some(id), None) => CredentialRef::Id(CredentialId::parse(kind, id).ok()?),
            (None, Some(jti)) => {
                CredentialRef::Jwt { issuer: Issuer::new(&self.issuer).ok()?, jti: TokenId::new(jti).ok()? }
            }
            _ => return None,
        };
        Some(ClaimedAncestor {
            kind,
            name,
            subject: text("sub").ok()?.map(GivenSubject::new).transpose().ok()?,
            application: application(claim, APPLICATION),
            kid: text("kid").ok()?.map(str::to_owned),
            issued_at: instant(claim, "iat"),
        })
    }

    fn generation(&self) -> Result<BTreeMap<String, u64>, TokenError> {
        const WRONG: TokenError = TokenError::MalformedGeneration;
        let Some(generation) = self.claims.get("gen") else { return Ok(BTreeMap::new()) };
        let entries = generation.as_object().filter(|entries| entries.len() <= MAX_JWT_GENERATION).ok_or(WRONG)?;
        let entry = |(origin, sequence): (&String, &Value)| Some((origin.clone(), sequence.as_u64()?));
        entries.iter().map(entry).collect::<Option<_>>().ok_or(WRONG)
    }
}

/// In tokens that were issued before the ledger set it, the claim may be a caller's own.
fn application(claims: &Map<String, Value>, name: &str) -> Option<Uuid> {
    claims.get(name)?.as_str().and_then(|text| Uuid::try_parse(text).ok())
}

/// Exact to the millisecond, as it was written.
fn instant(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let seconds = claims.get(name)?.as_f64()?;
    let is_instant = (0.0..=MAX_SECONDS as f64).contains(&seconds);
    is_instant.then(|| Timestamp::default().plus_millis((seconds * 1_000.0).round() as u64))
}

/// A container's own name and that of the token within, if both are the same.
fn joined<T: Clone>(
    own: Option<T>,
    inner: Option<&T>,
    same: impl Fn(&T, &T) -> bool,
    missing: TokenError,
) -> Result<T, TokenError> {
    match (own, inner) {
        (Some(own), Some(inner)) if !same(&own, inner) => Err(TokenError::ContainerMismatch),
        (Some(own), _) => Ok(own),
        (None, Some(inner)) => Ok(inner.clone()),
        (None, None) => Err(missing),
    }
}

/// Whole seconds since 1970, rounded down: RFC 7519, section 2, lets a NumericDate have a fraction.
pub fn numeric_date(value: &Value) -> Option<u64> {
    let whole = value.as_u64().or_else(|| value.as_f64().and_then(floor));
    whole.filter(|seconds| *seconds <= MAX_SECONDS)
}

/// Below the bound, every whole number has its own double.
fn floor(number: f64) -> Option<u64> {
    (number >= 0.0 && number <= MAX_SECONDS as f64).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::KeySource;

    fn terms(profile: Option<Profile>) -> Option<Arc<TrustedIssuer>> {
        Some(Arc::new(TrustedIssuer {
            issuer: "i".into(),
            source: KeySource::File("k".into()),
            tenants: ["a", "b"].map(|name| Tenant::new(name).expect("a tenant")).to_vec(),
            profile,
            clock_leeway_seconds: 7,
            may_revoke: false,
        }))
    }

    fn proven(terms: Option<Arc<TrustedIssuer>>, claims: Value) -> Proven {
        let payload = claims.to_string().into_bytes();
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        Proven { issuer: "i".into(), terms, kid: None, payload, claims }
    }

    fn foreign(claims: Value) -> Result<VerifiedToken, TokenError> {
        proven(terms(None), claims).verified(None)
    }

    fn ours(claims: Value) -> Result<VerifiedToken, TokenError> {
        proven(None, claims).verified(None)
    }

    #[test]
    fn the_tenant_is_the_organisation_or_the_first_known_audience() {
        let tenant = |claims: Value| foreign(claims).map(|token| token.tenant.to_string());
        assert_eq!(tenant(json!({"sub": "s", "oid": "b", "aud": "a"})), Ok("b".to_owned()));
        assert_eq!(tenant(json!({"sub": "s", "aud": "a"})), Ok("a".to_owned()));
        assert_eq!(tenant(json!({"sub": "s", "aud": ["x", "b", "a"]})), Ok("b".to_owned()));
        for (claims, wrong) in [
            (json!({"sub": "s"}), TokenError::MissingTenant),
            (json!({"sub": "s", "oid": "x", "aud": "a"}), TokenError::ForeignTenant),
            (json!({"sub": "s", "aud": ["x"]}), TokenError::ForeignTenant),
            (json!({"sub": "s", "aud": []}), TokenError::ForeignTenant),
            (json!({"sub": "s", "aud": ["a", 1]}), TokenError::MalformedTenant),
            (json!({"sub": "s", "oid": null, "aud": "a"}), TokenError::MalformedTenant),
            (json!({"sub": "s", "oid": ""}), TokenError::MalformedTenant),
        ] {
            assert_eq!(tenant(claims.clone()), Err(wrong), "{claims}");
        }
        assert_eq!(ours(json!({"sub": "s", "oid": "x"})).map(|token| token.tenant.to_string()), Ok("x".to_owned()));
        assert_eq!(ours(json!({"sub": "s", "aud": "a"})).err(), Some(TokenError::MissingTenant));
    }

    #[test]
    fn the_subject_is_the_person_or_sub_and_of_ours_always_sub() {
        let subject = |claims: Value| foreign(claims).map(|token| token.subject.as_given().to_string());
        assert_eq!(subject(json!({"oid": "a", "person_id": "p", "sub": "s"})), Ok("p".to_owned()));
        assert_eq!(subject(json!({"oid": "a", "sub": "s"})), Ok("s".to_owned()));
        assert_eq!(subject(json!({"oid": "a"})), Err(TokenError::MissingSubject));
        for bad in [json!(""), json!(1), json!(null), json!("a\nb"), json!("x".repeat(256)), json!("a\nb")] {
            assert_eq!(subject(json!({"oid": "a", "sub": bad})), Err(TokenError::MalformedSubject));
            assert_eq!(subject(json!({"oid": "a", "sub": "s", "person_id": bad})), Err(TokenError::MalformedSubject));
        }
        let own =
            ours(json!({"oid": "a", "person_id": "p", "sub": "s"})).map(|token| token.subject.as_given().to_string());
        assert_eq!(own, Ok("s".to_owned()));
    }

    #[test]
    fn the_identity_is_the_id_or_the_payload() {
        let claims = |more: Value| {
            let mut claims = json!({"sub": "s", "oid": "a"});
            claims.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            claims
        };
        let identity = |profile, more| proven(terms(profile), claims(more)).verified(None).map(|token| token.identity);
        let issuer = proven(terms(None), claims(json!({}))).issuer;
        let issuer = Issuer::new(&issuer).expect("a name");
        let jti = |id: &str| Ok(CredentialRef::Jwt { issuer: issuer.clone(), jti: TokenId::new(id).expect("a name") });
        assert_eq!(identity(None, json!({"jti": "j", "id": "i"})), jti("j"));
        assert_eq!(identity(Some(Profile::SlashId), json!({"jti": "j", "id": "i"})), jti("j"));
        assert_eq!(identity(Some(Profile::SlashId), json!({"id": "i"})), jti("i"));
        assert!(matches!(identity(None, json!({"id": "i"})), Ok(CredentialRef::Payload { .. })));
        for bad in [json!(""), json!(1), json!(null), json!("x".repeat(256)), json!("a\nb")] {
            assert_eq!(identity(None, json!({"jti": bad})), Err(TokenError::MalformedId));
        }
    }

    #[test]
    fn times_are_whole_seconds_and_neither_negative_nor_huge() {
        let times = |value: Value| {
            let token = foreign(json!({"sub": "s", "oid": "a", "iat": value, "nbf": value, "exp": value}))?;
            Ok([token.issued_at, token.not_before, token.expires_at])
        };
        assert_eq!(times(json!(17)), Ok([Some(17); 3]));
        assert_eq!(times(json!(17.999)), Ok([Some(17); 3]));
        assert_eq!(times(json!(MAX_SECONDS)), Ok([Some(MAX_SECONDS); 3]));
        for bad in [json!(-1), json!(-0.5), json!(MAX_SECONDS + 1), json!(1e300), json!("17"), json!(null), json!([])] {
            assert_eq!(times(bad), Err(TokenError::MalformedTime("iat")));
        }
        let late = foreign(json!({"sub": "s", "oid": "a", "exp": u64::MAX}));
        assert_eq!(late.err(), Some(TokenError::MalformedTime("exp")));
    }

    #[test]
    fn the_end_is_exact_and_the_beginning_has_leeway() {
        let at = |claims: Value, now_millis| {
            let mut all = json!({"sub": "s", "oid": "a"});
            all.as_object_mut().expect("an object").extend(claims.as_object().expect("an object").clone());
            foreign(all).expect("good").check_times(now_millis)
        };
        assert_eq!(at(json!({}), 0), Ok(()));
        assert_eq!(at(json!({"exp": 100}), 99_999), Ok(()));
        assert_eq!(at(json!({"exp": 100}), 100_000), Err(TokenTimeError::Expired));
        for claim in ["nbf", "iat"] {
            assert_eq!(at(json!({claim: 100}), 93_000), Ok(()), "7 s ahead are allowed");
            assert_eq!(at(json!({claim: 100}), 92_999), Err(TokenTimeError::NotYetValid));
        }
    }

    #[test]
    fn sessions_and_generations_are_read_in_tokens_of_ours_alone() {
        let sid = "5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d1";
        let claims = json!({"sub": "s", "oid": "a", "sid": sid, "gen": {"o": 3}});
        let own = ours(claims.clone()).expect("good");
        let session = own.ancestors.first().and_then(|parent| parent.name.public_id(parent.kind));
        assert_eq!((session.as_deref(), own.generation["o"]), (Some(sid), 3));
        let other = foreign(claims).expect("good");
        assert!(other.ancestors.is_empty() && other.generation.is_empty());
        let bad = |more: Value| {
            let mut claims = json!({"sub": "s", "oid": "a"});
            claims.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            ours(claims).err()
        };
        let many: Map<String, Value> = (0..17).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(bad(json!({"gen": many})), Some(TokenError::MalformedGeneration));
        assert_eq!(bad(json!({"gen": {"o": -1}})), Some(TokenError::MalformedGeneration));
        assert_eq!(bad(json!({"gen": []})), Some(TokenError::MalformedGeneration));
        assert_eq!(bad(json!({"sid": 1})), Some(TokenError::MalformedSession));
        assert_eq!(bad(json!({"sid": "x"})), Some(TokenError::MalformedSession));
    }

    #[test]
    fn a_container_has_what_it_does_not_name_from_within_and_may_not_differ() {
        let inner = || ours(json!({"sub": "s", "oid": "a"})).expect("good");
        let outer = |claims: Value| proven(terms(None), claims).verified(Some(inner()));
        let token = outer(json!({"jti": "c"})).expect("good");
        assert_eq!((token.tenant.as_str(), token.subject.as_given().as_str()), ("a", "s"));
        assert!(outer(json!({"sub": "s", "aud": "a"})).is_ok());
        assert_eq!(outer(json!({"sub": "other"})).err(), Some(TokenError::ContainerMismatch));
        assert_eq!(outer(json!({"oid": "b"})).err(), Some(TokenError::ContainerMismatch));
        let elsewhere = ours(json!({"sub": "s", "oid": "x"})).expect("good");
        let refused = proven(terms(None), json!({"jti": "c"})).verified(Some(elsewhere));
        assert_eq!(refused.err(), Some(TokenError::ForeignTenant), "an issuer gets no tenant from another's token");
    }

    #[test]
    fn the_token_within_leaves_the_claims_and_other_texts_stay() {
        let mut token = proven(terms(None), json!({"user_token": "a.b.c"}));
        assert_eq!(token.take_inner().as_deref(), Some("a.b.c"));
        assert!(token.claims.is_empty());
        for other in [json!("a.b"), json!(1), json!("")] {
            let mut token = proven(terms(None), json!({"user_token": other}));
            assert!(token.take_inner().is_none() && !token.claims.is_empty());
        }
    }
}
