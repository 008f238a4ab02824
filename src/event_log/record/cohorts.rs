//! Revocations of cohorts, as they are recorded.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::forms::{Text, UuidText};
use super::lasting::{SealedData, sealed};
use super::{RecordError, in_order, instant, integer};
use crate::domain::{ApplicationId, Cohort, CohortRevoked, Issuer, KeyId, Kind, Kinds, Reason, Tenant, Timestamp};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CohortRevokedData<'a> {
    #[serde(borrow)]
    cohort: CohortData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<Vec<String>>,
    kinds: Vec<Text<Kind>>,
    not_before: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_until: Option<u64>,
    retain_until: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<bool>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    note: Option<SealedData<'a>>,
}

/// Exactly one of its members.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CohortData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<UuidText>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    issuer: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    tenant: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Cohort> for CohortData<'a> {
    fn from(cohort: &'a Cohort) -> Self {
        let none = Self::default();
        match cohort {
            Cohort::Application(id) => Self { application: Some(UuidText(id.0)), ..none },
            Cohort::Key(id) => Self { key: Some(id.as_str().into()), ..none },
            Cohort::Issuer(issuer) => Self { issuer: Some(issuer.as_str().into()), ..none },
            Cohort::Tenant(tenant) => Self { tenant: Some(tenant.as_str().into()), ..none },
        }
    }
}

impl CohortData<'_> {
    fn into_domain(self) -> Result<Cohort, RecordError> {
        Ok(match (self.application, self.key, self.issuer, self.tenant) {
            (Some(id), None, None, None) => Cohort::Application(ApplicationId(id.0)),
            (None, Some(id), None, None) => Cohort::Key(KeyId::new(&id).map_err(RecordError::malformed)?),
            (None, None, Some(issuer), None) => Cohort::Issuer(Issuer::new(&issuer).map_err(RecordError::malformed)?),
            (None, None, None, Some(tenant)) => Cohort::Tenant(Tenant::new(&tenant).map_err(RecordError::malformed)?),
            _ => return Err(RecordError::malformed("not one cohort")),
        })
    }
}

impl<'a> From<&'a CohortRevoked> for CohortRevokedData<'a> {
    fn from(revoked: &'a CohortRevoked) -> Self {
        let tenants = revoked.tenants.as_ref();
        Self {
            cohort: CohortData::from(&revoked.cohort),
            tenants: tenants.map(|tenants| tenants.iter().map(Tenant::to_string).collect()),
            kinds: revoked.kinds.iter().map(Text).collect(),
            not_before: revoked.not_before,
            hold_until: revoked.hold_until.map(Timestamp::as_millis),
            retain_until: revoked.retain_until.as_millis(),
            withdrawn: revoked.withdrawn.then_some(true),
            reason: revoked.reason.as_ref().map(|reason| reason.as_str().into()),
            note: revoked.note.as_ref().map(SealedData::from),
        }
    }
}

impl CohortRevokedData<'_> {
    pub(super) fn into_domain(self) -> Result<CohortRevoked, RecordError> {
        in_order(self.kinds.iter().map(|kind| kind.0))?;
        let kinds: Kinds = self.kinds.into_iter().map(|kind| kind.0).collect();
        if kinds.is_empty() {
            return Err(RecordError::malformed("no kinds"));
        }
        let tenants = self.tenants.map(|tenants| {
            in_order(tenants.iter())?;
            tenants.iter().map(|tenant| Tenant::new(tenant).map_err(RecordError::malformed)).collect()
        });
        let cohort = self.cohort.into_domain()?;
        if tenants.is_some() && matches!(cohort, Cohort::Tenant(_)) {
            return Err(RecordError::malformed("the tenants of a tenant"));
        }
        let withdrawn = match (self.withdrawn, &cohort) {
            (None, _) => false,
            (Some(true), Cohort::Key(_)) => true,
            (Some(_), _) => return Err(RecordError::malformed("a withdrawal of what is not a key, or of nothing")),
        };
        Ok(CohortRevoked {
            cohort,
            tenants: tenants.transpose()?,
            kinds,
            not_before: integer(self.not_before)?,
            hold_until: self.hold_until.map(instant).transpose()?,
            retain_until: instant(self.retain_until)?,
            withdrawn,
            reason: self.reason.as_deref().map(Reason::new).transpose().map_err(RecordError::malformed)?,
            note: sealed(self.note)?,
        })
    }
}
