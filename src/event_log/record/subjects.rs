//! Revocations of everything that a subject had, as they are recorded.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::forms::Text;
use super::lasting::{SealedData, sealed};
use super::{RecordError, in_order, instant, integer};
use crate::domain::{Kind, Kinds, Reason, Subject, SubjectErased, SubjectRevoked, Timestamp};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubjectRevokedData<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    kinds: Vec<Text<Kind>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    not_before: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_until: Option<u64>,
    retain_until: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    note: Option<SealedData<'a>>,
}

impl<'a> From<&'a SubjectRevoked> for SubjectRevokedData<'a> {
    fn from(revoked: &'a SubjectRevoked) -> Self {
        Self {
            subject: revoked.subject.as_str().into(),
            kinds: revoked.kinds.iter().map(Text).collect(),
            issued_before: revoked.issued_before.map(Timestamp::as_millis),
            not_before: revoked.not_before,
            hold_until: revoked.hold_until.map(Timestamp::as_millis),
            retain_until: revoked.retain_until.as_millis(),
            reason: revoked.reason.as_ref().map(|reason| reason.as_str().into()),
            note: revoked.note.as_ref().map(SealedData::from),
        }
    }
}

impl SubjectRevokedData<'_> {
    /// `issued_before` is what version 2 has, and version 1 has not.
    pub(super) fn into_domain(self, version: u64) -> Result<SubjectRevoked, RecordError> {
        if self.issued_before.is_some() != (version >= 2) {
            return Err(RecordError::malformed("`issued_before` and the version do not agree"));
        }
        in_order(self.kinds.iter().map(|kind| kind.0))?;
        let kinds: Kinds = self.kinds.into_iter().map(|kind| kind.0).collect();
        if kinds.is_empty() {
            return Err(RecordError::malformed("no kinds"));
        }
        Ok(SubjectRevoked {
            subject: Subject::new(&self.subject).map_err(RecordError::malformed)?,
            kinds,
            issued_before: self.issued_before.map(instant).transpose()?,
            not_before: integer(self.not_before)?,
            hold_until: self.hold_until.map(instant).transpose()?,
            retain_until: instant(self.retain_until)?,
            reason: self.reason.as_deref().map(Reason::new).transpose().map_err(RecordError::malformed)?,
            note: sealed(self.note)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubjectErasedData<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    not_before: u64,
    slots: Vec<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
}

impl<'a> From<&'a SubjectErased> for SubjectErasedData<'a> {
    fn from(erased: &'a SubjectErased) -> Self {
        Self {
            subject: erased.subject.as_str().into(),
            not_before: erased.not_before,
            slots: erased.slots.iter().copied().collect(),
            reason: erased.reason.as_ref().map(|reason| reason.as_str().into()),
        }
    }
}

impl SubjectErasedData<'_> {
    pub(super) fn into_domain(self) -> Result<SubjectErased, RecordError> {
        in_order(self.slots.iter())?;
        self.slots.iter().try_for_each(|slot| integer(*slot).map(drop))?;
        Ok(SubjectErased {
            subject: Subject::new(&self.subject).map_err(RecordError::malformed)?,
            not_before: integer(self.not_before)?,
            slots: self.slots.into_iter().collect(),
            reason: self.reason.as_deref().map(Reason::new).transpose().map_err(RecordError::malformed)?,
        })
    }
}
