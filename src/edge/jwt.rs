//! JWTs of the ledger and of trusted issuers: read and judged here, without a question.

use super::keys::LedgerKeys;
use super::known::{Known, KnownAncestor, KnownJwt, KnownKind, Name};
use crate::domain::{
    Ancestor, ApplicationId, CredentialRef, Digest, GivenSubject, KeyId, Kind, Subject, Timestamp, Ttl,
};
use crate::follower::Upstream;
use crate::jose::{TokenError, TrustedIssuers, VerifiedToken};
use crate::service::{Introspection, IssueFacts, JwtSays, on_record};

/// What is kept of the binding of a JWT: that there is one. Its claim is read again where it is asked for.
pub(super) const BOUND: &str = "{}";

/// A JWT whose signature is valid.
pub(super) struct SignedToken {
    /// It in the service's words.
    pub(super) found: Introspection,
    /// It, and the token in it if it is a container. Each of them must be active.
    pub(super) parts: Vec<SignedPart>,
}

/// One token of a JWT, which is nearly always the only one.
pub(super) struct SignedPart {
    pub(super) known: Known,
    pub(super) generation: crate::follower::HighestGeneration,
    token: VerifiedToken,
}

/// Why a text is not a JWT that can be judged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSigned {
    /// It is something else, or of an issuer that is not known here: the node may know more.
    Unknown,
    /// It claims to be a token of a known issuer, and is not good.
    Refused,
    /// Its issuer's keys are out of reach.
    KeysUnreachable,
}

impl From<TokenError> for NotSigned {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::KeysUnreachable => Self::KeysUnreachable,
            TokenError::TooLong
            | TokenError::NotThreeParts
            | TokenError::NotBase64Url
            | TokenError::MalformedHeader
            | TokenError::MalformedClaims
            | TokenError::MissingIssuer
            | TokenError::UnknownIssuer => Self::Unknown,
            TokenError::DuplicateHeader
            | TokenError::TwoKeyIds
            | TokenError::MalformedKeyId
            | TokenError::Critical
            | TokenError::MissingAlgorithm
            | TokenError::Unsigned
            | TokenError::Hmac
            | TokenError::UnsupportedAlgorithm
            | TokenError::DuplicateClaim
            | TokenError::KeyIdNeeded
            | TokenError::UnknownKey
            | TokenError::BadSignature
            | TokenError::MissingSubject
            | TokenError::MalformedSubject
            | TokenError::MissingTenant
            | TokenError::MalformedTenant
            | TokenError::ForeignTenant
            | TokenError::MalformedId
            | TokenError::MalformedTime(_)
            | TokenError::MalformedSession
            | TokenError::MalformedGeneration
            | TokenError::MalformedConfirmation
            | TokenError::NestedContainer
            | TokenError::ContainerMismatch => Self::Refused,
        }
    }
}

/// Reads a JWT, and fetches the ledger's keys first if it names one that is not known yet.
pub(super) async fn read(
    text: &str,
    trusted: &TrustedIssuers,
    keys: &LedgerKeys,
    upstream: &Upstream,
    longest_life: Ttl,
) -> Result<SignedToken, NotSigned> {
    let token = match trusted.verify(text, keys).await {
        Err(TokenError::UnknownKey) => {
            keys.fetch(upstream).await;
            trusted.verify(text, keys).await
        }
        verified => verified,
    };
    SignedToken::of(token?, longest_life).ok_or(NotSigned::Refused)
}

impl SignedToken {
    fn of(mut token: VerifiedToken, longest_life: Ttl) -> Option<Self> {
        let inner = token.inner.take().map(|inner| SignedPart::of(*inner, longest_life));
        let inner = match inner {
            Some(inner) => Some(inner?),
            None => None,
        };
        let own = SignedPart::of(token, longest_life)?;
        let mut found = own.introspection();
        if let Some(within) = inner.as_ref().and_then(|inner| inner.token.binding.clone()) {
            let joined = found.binding.take().map_or(within.clone(), |own| own.joined(within));
            found.binding = Some(Box::new(joined));
        }
        Some(Self { found, parts: [own].into_iter().chain(inner).collect() })
    }

    /// Whether another issuer signed it, or the token in it.
    pub(super) fn is_foreign(&self) -> bool {
        self.parts.iter().any(|part| !part.token.ours)
    }

    /// The name that it gives its subject.
    pub(super) fn subject(&self) -> Option<&str> {
        self.parts.first().map(|part| part.known.subject.as_str())
    }

    /// Whether it is bound to a key or a certificate.
    pub(super) fn is_bound(&self) -> bool {
        self.found.binding.is_some()
    }
}

impl SignedPart {
    fn of(token: VerifiedToken, longest_life: Ttl) -> Option<Self> {
        let generation = crate::follower::held::generation_of(&token.generation);
        let mut part = Self { known: known(&token, longest_life)?, generation, token };
        let found = part.introspection();
        let (scope, client) = (found.scope(&IssueFacts::Nothing), found.client());
        part.known.scope = scope.map(|scope| scope.into_owned());
        part.known.client = client.filter(|_| found.application.is_none()).map(|client| client.into_owned());
        part.known.audience = found.audience(&IssueFacts::Nothing).into_iter().map(str::to_owned).collect();
        part.known.aal = found.level().map(str::to_owned);
        Some(part)
    }

    /// Whether its time is now. The ledger's own tokens are valid from when they are there: the clocks of nodes differ.
    pub(super) fn is_valid_at(&self, now: Timestamp) -> bool {
        let has_expired = self.known.expires_at().is_some_and(|end| end <= now);
        !has_expired && (self.token.ours || self.token.check_times(now.as_millis()).is_ok())
    }

    fn introspection(&self) -> Introspection {
        let token = &self.token;
        let issued_at = token.issued_at.map(seconds);
        Introspection {
            kind: Kind::Token,
            id: self.known.id.as_ref().map(Name::text),
            issuer: Some(token.issuer.to_string()),
            tenant: token.tenant.clone(),
            subject: on_record(&token.subject),
            issued_at,
            expires_at: self.known.expires_at(),
            not_after: self.known.expires_at(),
            last_used_at: None,
            application: token.application.map(ApplicationId),
            parent: ancestors(token).first().map(Ancestor::key),
            ancestors: ancestors(token),
            unheard_of: None,
            binding: token.binding.clone().map(Box::new),
            place: None,
            jwt: Some(Box::new(JwtSays { claims: token.claims.clone(), not_before: token.not_before })),
        }
    }
}

/// An end beyond every instant is none.
fn seconds(seconds: u64) -> Timestamp {
    Timestamp::default().plus_millis(seconds.saturating_mul(1_000))
}

/// What it says of its ancestors, the parent first, each with its subject.
fn ancestors(token: &VerifiedToken) -> Vec<Ancestor> {
    let of = |childs: &mut Subject, claimed: &crate::jose::ClaimedAncestor| {
        let subject = claimed.subject.as_ref().map_or_else(|| childs.clone(), on_record);
        childs.clone_from(&subject);
        Some(Ancestor {
            kind: claimed.kind,
            name: claimed.name.clone(),
            subject,
            application: claimed.application.map(ApplicationId),
            signed_with: claimed.kid.as_deref().and_then(|kid| KeyId::new(kid).ok()),
            issued_at: claimed.issued_at,
        })
    };
    token.ancestors.iter().scan(on_record(&token.subject), of).collect()
}

/// Everything but what a rule asks about beyond that.
fn known(token: &VerifiedToken, longest_life: Ttl) -> Option<Known> {
    let millis = |seconds: u64| seconds.saturating_mul(1_000);
    // Revocations of a subject are kept for the longest life: a token that lives longer would be active again afterwards.
    let good_until = token.issued_at.filter(|_| !token.ours).map(|at| seconds(at).plus(longest_life).as_millis());
    let expires_at = token.expires_at.map(millis).into_iter().chain(good_until).min();
    let (id, payload) = match &token.identity {
        CredentialRef::Jwt { jti, .. } => (Some(Name::new(jti.as_str())), None),
        CredentialRef::Payload { digest, .. } => (None, Some(*digest.as_bytes())),
        CredentialRef::Digest(_) | CredentialRef::Id(_) => return None,
    };
    Some(Known {
        kind: KnownKind::Token,
        id,
        tenant: token.tenant.to_string(),
        subject: subject_text(&token.subject),
        issued_at: token.issued_at.map(millis),
        expires_at,
        life: None,
        application: token.application.map(|id| Name::new(&id.to_string())),
        client: None,
        scope: None,
        audience: Vec::new(),
        aal: None,
        authentication: None,
        cnf: token.binding.as_ref().map(|_| BOUND.to_owned()),
        jwt: Some(KnownJwt {
            issuer: token.issuer.to_string(),
            payload,
            kid: token.kid.as_deref().map(Name::new),
            is_foreign: !token.ours,
            issued_at_seconds: token.issued_at,
            leeway_seconds: token.clock_leeway_seconds,
        }),
        ancestors: ancestors(token).iter().map(known_ancestor).collect(),
        generation: Vec::new(),
    })
}

fn subject_text(given: &GivenSubject) -> String {
    on_record(given).to_string()
}

fn known_ancestor(ancestor: &Ancestor) -> KnownAncestor {
    KnownAncestor {
        kind: ancestor.kind.into(),
        name: Name::new(&ancestor.name.public_id(ancestor.kind).unwrap_or_default()),
        issuer: ancestor.name.issuer().map(ToString::to_string),
        subject: Some(ancestor.subject.to_string()),
        application: ancestor.application.map(|id| Name::new(&id.to_string())),
        kid: ancestor.signed_with.as_ref().map(|kid| Name::new(kid.as_str())),
        issued_at: ancestor.issued_at.map(Timestamp::as_millis),
    }
}

/// The digest by which a text is kept.
pub(super) fn digest_of(credential: &str) -> Digest {
    Digest::of(credential.as_bytes())
}
