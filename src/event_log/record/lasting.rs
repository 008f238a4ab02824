//! Sessions and tokens as they are recorded.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::forms::{GenerationData, SessionId, Text, session_id};
use super::status_lists::StatusIndexData;
use super::{RecordError, filled, instant, integer};
use crate::domain::{
    Aal, Confirmation, CredentialId, CredentialKey, CredentialRef, Digest, GrantType, Issuer, KeyId, Kind, Method,
    MethodName, Parent, Sealed, SessionExtended, SessionIssued, Subject, Thumbprint, Timestamp, TokenId, TokenIssued,
};

/// Sealed personal data.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedData<'a> {
    slot: u64,
    #[serde(borrow)]
    sealed: Cow<'a, str>,
}

impl<'a> From<&'a Sealed> for SealedData<'a> {
    fn from(sealed: &'a Sealed) -> Self {
        Self { slot: sealed.slot, sealed: (&*sealed.sealed).into() }
    }
}

impl SealedData<'_> {
    pub(super) fn into_domain(self) -> Result<Sealed, RecordError> {
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if self.sealed.is_empty() || !self.sealed.bytes().all(base64url) {
            return Err(RecordError::malformed("sealed bytes that are not in base64url"));
        }
        Ok(Sealed { slot: integer(self.slot)?, sealed: self.sealed.into() })
    }
}

pub(super) fn sealed(data: Option<SealedData<'_>>) -> Result<Option<Sealed>, RecordError> {
    data.map(SealedData::into_domain).transpose()
}

/// The credential that another one came from, by the id that it is kept under.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParentData<'a> {
    kind: Text<Kind>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    same_subject: bool,
}

impl From<Parent> for ParentData<'_> {
    fn from(Parent { key: CredentialKey { kind, id }, same_subject }: Parent) -> Self {
        let id = match kind {
            Kind::Session => id.uuid().to_string(),
            Kind::Ticket | Kind::Token => id.to_string(),
        };
        Self { kind: Text(kind), id: id.into(), same_subject }
    }
}

impl ParentData<'_> {
    fn into_domain(self) -> Result<Parent, RecordError> {
        let kind = self.kind.0;
        let id = match kind {
            Kind::Session => session_id(&self.id),
            Kind::Ticket | Kind::Token => CredentialId::parse(kind, &self.id),
        };
        let id = id.map_err(RecordError::malformed)?;
        Ok(Parent { key: CredentialKey { kind, id }, same_subject: self.same_subject })
    }
}

/// The parent of a ticket or session: what version 2 has, and version 1 has not.
pub(super) fn parent(data: Option<ParentData<'_>>, version: u64) -> Result<Option<Parent>, RecordError> {
    if data.is_some() == (version >= 2) {
        data.map(ParentData::into_domain).transpose()
    } else {
        Err(RecordError::malformed("`parent` and the version do not agree"))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MethodData {
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    aal: Option<Text<Aal>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<u64>,
}

impl From<&Method> for MethodData {
    fn from(method: &Method) -> Self {
        Self {
            method: method.method.as_str().to_owned(),
            aal: method.aal.map(Text),
            completed_at: method.completed_at.map(Timestamp::as_millis),
        }
    }
}

impl MethodData {
    pub(super) fn into_domain(self) -> Result<Method, RecordError> {
        Ok(Method {
            method: MethodName::new(&self.method).map_err(RecordError::malformed)?,
            aal: self.aal.map(|aal| aal.0),
            completed_at: self.completed_at.map(instant).transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionIssuedData<'a> {
    id: SessionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Text<Digest>>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_at: Option<u64>,
    aal: Text<Aal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<MethodData>>,
    expires_at: u64,
    not_after: u64,
    #[serde(default, skip_serializing_if = "GenerationData::is_empty")]
    generation: GenerationData,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    parent: Option<ParentData<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    personal: Option<SealedData<'a>>,
}

impl<'a> From<&'a SessionIssued> for SessionIssuedData<'a> {
    fn from(issued: &'a SessionIssued) -> Self {
        Self {
            id: SessionId(issued.id),
            digest: issued.digest.map(Text),
            subject: issued.subject.as_str().into(),
            issued_at: issued.issued_at.map(Timestamp::as_millis),
            authenticated_at: issued.authenticated_at.map(Timestamp::as_millis),
            aal: Text(issued.aal),
            methods: (!issued.methods.is_empty()).then(|| issued.methods.iter().map(MethodData::from).collect()),
            expires_at: issued.expires_at.as_millis(),
            not_after: issued.not_after.as_millis(),
            generation: GenerationData(issued.generation.clone()),
            parent: issued.parent.map(ParentData::from),
            personal: issued.sealed.as_ref().map(SealedData::from),
        }
    }
}

impl SessionIssuedData<'_> {
    pub(super) fn into_domain(self, version: u64) -> Result<SessionIssued, RecordError> {
        Ok(SessionIssued {
            id: self.id.0,
            digest: self.digest.map(|digest| digest.0),
            subject: Subject::new(&self.subject).map_err(RecordError::malformed)?,
            issued_at: self.issued_at.map(instant).transpose()?,
            authenticated_at: self.authenticated_at.map(instant).transpose()?,
            aal: self.aal.0,
            methods: filled(self.methods)?.into_iter().map(MethodData::into_domain).collect::<Result<_, _>>()?,
            expires_at: instant(self.expires_at)?,
            not_after: instant(self.not_after)?,
            generation: self.generation.into_domain()?,
            parent: parent(self.parent, version)?,
            sealed: sealed(self.personal)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionExtendedData<'a> {
    id: SessionId,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    expires_at: u64,
}

impl<'a> From<&'a SessionExtended> for SessionExtendedData<'a> {
    fn from(extended: &'a SessionExtended) -> Self {
        Self {
            id: SessionId(extended.id),
            subject: extended.subject.as_str().into(),
            expires_at: extended.expires_at.as_millis(),
        }
    }
}

impl SessionExtendedData<'_> {
    pub(super) fn into_domain(self) -> Result<SessionExtended, RecordError> {
        Ok(SessionExtended {
            id: self.id.0,
            subject: Subject::new(&self.subject).map_err(RecordError::malformed)?,
            expires_at: instant(self.expires_at)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenIssuedData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Text<Digest>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    iss: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    jti: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    parent: Option<ParentData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<Vec<String>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    scope: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    cnf: Option<ConfirmationData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusIndexData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Text<GrantType>>,
    expires_at: u64,
    not_after: u64,
    #[serde(default, skip_serializing_if = "GenerationData::is_empty")]
    generation: GenerationData,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    claims: Option<SealedData<'a>>,
}

/// Exactly one of its members.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmationData<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    jkt: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    x5t: Option<Cow<'a, str>>,
}

impl From<Confirmation> for ConfirmationData<'_> {
    fn from(confirmation: Confirmation) -> Self {
        let text = |thumbprint: Thumbprint| Some(thumbprint.to_string().into());
        match confirmation {
            Confirmation::Key(thumbprint) => Self { jkt: text(thumbprint), x5t: None },
            Confirmation::Certificate(thumbprint) => Self { jkt: None, x5t: text(thumbprint) },
        }
    }
}

impl ConfirmationData<'_> {
    fn into_domain(self) -> Result<Confirmation, RecordError> {
        let thumbprint = |text: Option<Cow<'_, str>>| {
            text.map(|text| text.parse::<Thumbprint>()).transpose().map_err(RecordError::malformed)
        };
        let confirmation = Confirmation::of(thumbprint(self.jkt)?, thumbprint(self.x5t)?);
        confirmation.ok_or_else(|| RecordError::malformed("a token that is not bound to one key or certificate"))
    }
}

impl<'a> From<&'a TokenIssued> for TokenIssuedData<'a> {
    fn from(issued: &'a TokenIssued) -> Self {
        Self {
            digest: issued.name.digest().copied().map(Text),
            iss: issued.name.issuer().map(|issuer| issuer.as_str().into()),
            jti: issued.name.jti().map(|jti| jti.as_str().into()),
            kid: issued.key.as_ref().map(|key| key.as_str().into()),
            subject: issued.subject.as_str().into(),
            issued_at: issued.issued_at.map(Timestamp::as_millis),
            session_id: issued.parent.and_then(|parent| parent.as_own_session()).map(SessionId),
            parent: issued.other_parent().map(ParentData::from),
            audience: (!issued.audience.is_empty())
                .then(|| issued.audience.iter().map(|one| one.to_string()).collect()),
            scope: issued.scope.as_deref().map(Cow::Borrowed),
            cnf: issued.confirmation.map(ConfirmationData::from),
            status: issued.status.map(StatusIndexData::from),
            grant: issued.grant.map(Text),
            expires_at: issued.expires_at.as_millis(),
            not_after: issued.expires_at.as_millis(),
            generation: GenerationData(issued.generation.clone()),
            claims: issued.sealed.as_ref().map(SealedData::from),
        }
    }
}

impl TokenIssuedData<'_> {
    /// Version 2 has one of `parent`, `cnf`, `status` and `grant` at least, and version 1 has none of them.
    pub(super) fn into_domain(self, version: u64) -> Result<TokenIssued, RecordError> {
        let has_more = self.parent.is_some() || self.cnf.is_some() || self.status.is_some() || self.grant.is_some();
        if has_more != (version >= 2) {
            return Err(RecordError::malformed("`parent`, `cnf`, `status`, `grant` and the version do not agree"));
        }
        let parent = match (self.session_id, self.parent.map(ParentData::into_domain).transpose()?) {
            (Some(session), None) => Some(Parent::own_session(session.0)),
            (None, Some(parent)) if parent.as_own_session().is_none() => Some(parent),
            (None, None) => None,
            _ => return Err(RecordError::malformed("a session of the same subject is in `session_id`, and alone")),
        };
        let name = match (self.digest, self.iss, self.jti) {
            (Some(digest), None, None) => CredentialRef::Digest(digest.0),
            (None, Some(issuer), Some(jti)) => jwt(&issuer, &jti)?,
            _ => return Err(RecordError::malformed("a token is named by its digest, or by iss and jti")),
        };
        if self.kid.is_some() && name.digest().is_some() {
            return Err(RecordError::malformed("a key that signed a token which is not a JWT"));
        }
        if self.status.is_some() && self.kid.is_none() {
            return Err(RecordError::malformed(
                "an entry of a status list for a token that is not a JWT of this ledger",
            ));
        }
        if self.grant.is_some() && name.digest().is_none() {
            return Err(RecordError::malformed("a grant of a token that is not opaque"));
        }
        if self.not_after != self.expires_at {
            return Err(RecordError::malformed("a token that expires at one instant and is active until another"));
        }
        Ok(TokenIssued {
            name,
            key: self.kid.as_deref().map(KeyId::new).transpose().map_err(RecordError::malformed)?,
            subject: Subject::new(&self.subject).map_err(RecordError::malformed)?,
            issued_at: self.issued_at.map(instant).transpose()?,
            parent,
            audience: filled(self.audience)?.into_iter().map(Into::into).collect(),
            scope: self.scope.map(Into::into),
            grant: self.grant.map(|grant| grant.0),
            confirmation: self.cnf.map(ConfirmationData::into_domain).transpose()?,
            status: self.status.map(StatusIndexData::into_domain).transpose()?,
            expires_at: instant(self.expires_at)?,
            generation: self.generation.into_domain()?,
            sealed: sealed(self.claims)?,
        })
    }
}

pub(super) fn jwt(issuer: &str, jti: &str) -> Result<CredentialRef, RecordError> {
    Ok(CredentialRef::Jwt {
        issuer: Issuer::new(issuer).map_err(RecordError::malformed)?,
        jti: TokenId::new(jti).map_err(RecordError::malformed)?,
    })
}
