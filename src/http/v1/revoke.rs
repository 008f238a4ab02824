//! `POST /v1/revocations`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{
    ApplicationId, Cohort, CohortRevoked, CredentialId, CredentialRevoked, GivenSubject, Issuer, KeyId, Kind, Kinds,
    Origin, Reason, Revokes, RevokesSubject, Scope, Secret, Subject, Tenant, Timestamp, TokenId,
};
use crate::feed::CohortShown;
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{MAX_HOLD_SECONDS, MAX_TTL_SECONDS, Seconds, Shown, WireText, present};
use crate::http::{SharedApp, answer, caller};
use crate::service::{
    Filed, MAX_NOTE_BYTES, NewCohortRevocation, NewSubjectRevocation, RevocationOutcome, Service, Target, Why,
    kind_by_form,
};

/// What to revoke: `credential`; `kind` and `id`; `subject`, which `tenant` goes with; or a cohort by `application`, `key`,
/// `issuer`, or `tenant` alone. `kinds`, `ttl` and `hold` go with a subject or a cohort, `issued_before`
/// with a subject.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRevocation)]
struct RevokeBody {
    /// One credential, by its secret.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    credential: Option<String>,
    /// The kind of the credential with that `id`: `ticket`, `session` or `token`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    kind: Option<WireText<Kind>>,
    /// One credential, by its public id.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    id: Option<String>,
    /// The name space of the subject, `default` if left out. Without a subject: everything in this tenant.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// Everything that this subject has.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    subject: Option<WireText<GivenSubject>>,
    /// Everything that this application issued, by its id.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = "uuid")]
    application: Option<Uuid>,
    /// Every JWT that the key of this ledger with this `kid` signed.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    key: Option<WireText<KeyId>>,
    /// Every JWT of this issuer: this ledger, or one that it trusts.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    issuer: Option<WireText<Issuer>>,
    /// Only these kinds; all if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<String>, min_items = 1)]
    kinds: Option<Vec<WireText<Kind>>>,
    /// Only what the subject was issued before that instant, such as a change of its password. What was issued since stays
    /// active. Of a JWT the whole second of its `iat` counts.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = DateTime)]
    issued_before: Option<WireText<Timestamp>>,
    /// Keep the revocation for at least that many seconds. It can only lengthen the time for which the ledger keeps it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 31_622_400)]
    ttl: Option<Seconds<MAX_TTL_SECONDS>>,
    /// Refuse new issues to the subject, or in the cohort, for that many seconds, at most 30 days. A hold cannot be lifted.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 2_592_000)]
    hold: Option<Seconds<MAX_HOLD_SECONDS>>,
    /// Why: a code of 1 to 64 characters a-z, 0-9, '_', '.' and '-'.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^[a-z0-9_.-]{1,64}$")]
    reason: Option<WireText<Reason>>,
    /// Why, in words: at most 1,024 bytes. It is sealed: neither the log nor the feed shows it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 1_024)]
    note: Option<String>,
}

/// The revocations that the call made, or the first one of a credential that was revoked already.
#[derive(Serialize, ToSchema)]
#[schema(as = Revocations)]
pub struct Made<'a> {
    revocations: Vec<RevocationShown<'a>>,
}

/// A revocation on record.
#[derive(Serialize, ToSchema)]
#[schema(as = Revocation)]
pub struct RevocationShown<'a> {
    /// Its position in this node's log.
    position: u64,
    /// Its origin.
    #[schema(value_type = String)]
    origin: Shown<Origin>,
    /// Its sequence in that origin.
    sequence: u64,
    /// `ticket.revoked`, `session.revoked`, `token.revoked`, `subject.revoked`, `subject.erased` or `cohort.revoked`.
    #[serde(rename = "type")]
    event: &'static str,
    /// The kind of the revoked credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    kind: Option<&'static str>,
    /// The kinds that were revoked, if it was everything that the subject or cohort had of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>)]
    kinds: Option<Vec<&'static str>>,
    /// The public id of the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    id: Option<String>,
    /// The issuer, if it is a JWT.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    issuer: Option<&'a str>,
    /// The name space of the subject; absent if the credential is revoked in all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    tenant: Option<&'a str>,
    /// The subject, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    subject: Option<&'a str>,
    /// The cohort, as an object with one member: `application`, `key`, `issuer` or `tenant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    cohort: Option<CohortShown<'a>>,
    /// Only what was issued before that is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    issued_before: Option<Shown<Timestamp>>,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    revoked_at: Shown<Timestamp>,
    /// Until when the revocation is kept.
    #[schema(value_type = String, format = DateTime)]
    retain_until: Shown<Timestamp>,
    /// Until when nothing new is issued to the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    hold_until: Option<Shown<Timestamp>>,
    /// The reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    reason: Option<&'a str>,
    /// False if this node never saw the credential, and recorded its revocation because another node may have issued
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    known: Option<bool>,
}

/// Revokes one credential, everything that a subject has, or everything in a cohort: what an application issued, what a
/// key signed, the JWTs of an issuer, or all of a tenant. What is issued afterwards is active. The revocation is durable, and on its way to every
/// follower, before the answer is sent. Needs the scope `revoke` in the tenant, and for a cohort in every tenant that it can
/// reach. A credential of another tenant is
/// unknown; a JWT that names another tenant is forbidden.
#[utoipa::path(
    post,
    path = "/v1/revocations",
    tag = "credentials",
    params(CommandHeaders),
    request_body = RevokeBody,
    responses(
        (status = 201, description = "The revocations made", body = Made),
        (status = 200, description = "It was revoked already; the first revocation. None, if the application could issue nowhere", body = Made),
        Refusals,
    ),
)]
pub async fn revoke(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, body) = caller::command::<RevokeBody>(&app, request, Scope::Revoke).await?;
    let revocations = match body.end(&app.service)? {
        RevokeCommand::One(target, why) => app.service.revoke(&call, target, why).await?,
        RevokeCommand::All(end) => app.service.revoke_subject(&call, end).await?,
        RevokeCommand::Cohort(new) => app.service.revoke_cohort(&call, new).await?,
    };
    answer_with(&app, revocations).await
}

/// The answer of a call that revokes: 201 with the revocations that it made, or 200 with those that it found.
pub async fn answer_with(app: &SharedApp, revocations: RevocationOutcome) -> Result<Response, Problem> {
    let status = if revocations.made { StatusCode::CREATED } else { StatusCode::OK };
    Ok(show(status, &app.service.records_of(revocations).await?))
}

/// One command, whichever members asked for it.
enum RevokeCommand {
    One(Target, Why),
    All(NewSubjectRevocation),
    Cohort(NewCohortRevocation),
}

const AMBIGUOUS: &str = "name what to revoke in exactly one way: `credential`; `kind` and `id`; `subject`; `application`; `key`; `issuer`; or `tenant` alone";

impl RevokeBody {
    fn end(self, service: &Service) -> Result<RevokeCommand, Problem> {
        let (credential, id, subject) = (self.credential.as_deref(), self.id.as_deref(), self.subject.as_ref());
        let target = match (credential, (&self.kind, id), subject) {
            (Some(secret), (None, None), None) => presented(secret),
            (None, (Some(WireText(kind)), Some(id)), None) => named(*kind, id)?,
            (None, (None, None), Some(_)) if self.cohort().is_none() => return self.subject_revocation(service),
            (None, (None, None), None) => return self.cohort_revocation(),
            _ => return Err(Problem::with_detail(Code::InvalidBody, AMBIGUOUS)),
        };
        if self.cohort().is_some() {
            return Err(Problem::with_detail(Code::InvalidBody, AMBIGUOUS));
        }
        if let Some(member) = self.subjects_member() {
            let detail = format!("`{member}` goes with a subject or a cohort only");
            return Err(Problem::with_detail(Code::InvalidBody, detail));
        }
        Ok(RevokeCommand::One(target, why(self.reason, self.note)?))
    }

    /// A member that would be ignored without a subject.
    fn subjects_member(&self) -> Option<&'static str> {
        let members = [
            ("tenant", self.tenant.is_some()),
            ("kinds", self.kinds.is_some()),
            ("ttl", self.ttl.is_some()),
            ("hold", self.hold.is_some()),
            ("issued_before", self.issued_before.is_some()),
        ];
        members.into_iter().find_map(|(member, there)| there.then_some(member))
    }

    /// The cohort that a member names, if exactly one does; a tenant names one only alone.
    fn cohort(&self) -> Option<Cohort> {
        let application = self.application.map(|id| Cohort::Application(ApplicationId(id)));
        let key = self.key.as_ref().map(|WireText(key)| Cohort::Key(key.clone()));
        let issuer = self.issuer.as_ref().map(|WireText(issuer)| Cohort::Issuer(issuer.clone()));
        application.or(key).or(issuer)
    }

    fn cohort_revocation(self) -> Result<RevokeCommand, Problem> {
        if self.issued_before.is_some() {
            let detail = "`issued_before` goes with `subject` only";
            return Err(Problem::with_detail(Code::InvalidBody, detail));
        }
        let named = [self.application.is_some(), self.key.is_some(), self.issuer.is_some(), self.tenant.is_some()];
        if named.into_iter().filter(|named| *named).count() != 1 {
            return Err(Problem::with_detail(Code::InvalidBody, AMBIGUOUS));
        }
        let cohort =
            self.cohort().or_else(|| self.tenant.as_ref().map(|WireText(tenant)| Cohort::Tenant(tenant.clone())));
        let cohort = cohort.ok_or_else(|| Problem::with_detail(Code::InvalidBody, AMBIGUOUS))?;
        let has_tokens_only = matches!(cohort, Cohort::Key(_) | Cohort::Issuer(_));
        let mut kinds = kinds(self.kinds)?;
        if has_tokens_only {
            if !kinds.contains(Kind::Token) {
                let detail = "`kinds`: a key or an issuer has tokens only";
                return Err(Problem::with_detail(Code::InvalidBody, detail));
            }
            kinds = Kinds::from_iter([Kind::Token]);
        }
        Ok(RevokeCommand::Cohort(NewCohortRevocation {
            cohort,
            kinds,
            keep: self.ttl.map(|Seconds(ttl)| ttl),
            hold: self.hold.map(|Seconds(hold)| hold),
            why: why(self.reason, self.note)?,
        }))
    }

    fn subject_revocation(self, service: &Service) -> Result<RevokeCommand, Problem> {
        let kinds = kinds(self.kinds)?;
        let Some(WireText(subject)) = self.subject else {
            return Err(Problem::with_detail(Code::InvalidBody, AMBIGUOUS));
        };
        let issued_before = self.issued_before.map(|WireText(instant)| instant);
        if issued_before.is_some_and(|instant| instant > service.latest()) {
            return Err(Code::IssuedBeforeInFuture.into());
        }
        let tenant = self.tenant.map(|WireText(tenant)| tenant).unwrap_or_default();
        Ok(RevokeCommand::All(NewSubjectRevocation {
            subject: service.named(&tenant, &subject),
            tenant,
            kinds,
            issued_before,
            keep: self.ttl.map(|Seconds(ttl)| ttl),
            hold: self.hold.map(|Seconds(hold)| hold),
            why: why(self.reason, self.note)?,
        }))
    }
}

fn kinds(named: Option<Vec<WireText<Kind>>>) -> Result<Kinds, Problem> {
    let kinds = named.map(|kinds| kinds.into_iter().map(|WireText(kind)| kind).collect::<Kinds>());
    let kinds = kinds.unwrap_or(Kinds::ALL);
    if kinds.is_empty() {
        return Err(Problem::with_detail(Code::InvalidBody, "`kinds`: must name a kind, or be left out for all"));
    }
    Ok(kinds)
}

fn why(reason: Option<WireText<Reason>>, note: Option<String>) -> Result<Why, Problem> {
    if note.as_ref().is_some_and(|note| note.is_empty() || note.len() > MAX_NOTE_BYTES) {
        return Err(Problem::with_detail(Code::InvalidBody, "`note`: must be 1 to 1,024 bytes"));
    }
    Ok(Why { reason: reason.map(|WireText(reason)| reason), note: note.map(Into::into) })
}

fn presented(secret: &str) -> Target {
    let secret = Secret::new(secret);
    Target::Credential(kind_by_form(&secret), secret)
}

fn named(kind: Kind, id: &str) -> Result<Target, Problem> {
    // A token is an opaque one, named by the first half of its digest, or a JWT of this ledger, named by its `jti`.
    if kind == Kind::Token
        && let Ok(jti) = Uuid::try_parse(id)
        && id.contains('-')
    {
        return TokenId::new(&jti.to_string()).map(Target::Jti).map_err(|_| Code::InvalidBody.into());
    }
    let id = CredentialId::parse(kind, id)
        .map_err(|must_be| Problem::with_detail(Code::InvalidBody, format!("`id`: must be {must_be}")))?;
    Ok(Target::Id(kind, id))
}

fn show(status: StatusCode, records: &[Arc<Filed>]) -> Response {
    let made = Made { revocations: records.iter().filter_map(|filed| RevocationShown::of(filed)).collect() };
    answer::json(status, &made)
}

impl<'a> RevocationShown<'a> {
    /// The record, if it is one of a revocation.
    fn of(filed: &'a Filed) -> Option<Self> {
        match filed.recorded.event.facets().revokes? {
            Revokes::Credential(revoked) => Some(Self::of_credential(filed, revoked)),
            Revokes::Subject(all) => Some(Self::of_subject(filed, &all)),
            Revokes::Cohort(all) => Some(Self::of_cohort(filed, all)),
        }
    }

    fn of_credential(filed: &'a Filed, revoked: &'a CredentialRevoked) -> Self {
        Self {
            kind: Some(revoked.kind.as_str()),
            id: revoked.credential.public_id(revoked.kind),
            issuer: revoked.credential.issuer().map(Issuer::as_str),
            subject: revoked.subject.as_ref().map(Subject::as_str),
            reason: revoked.reason.as_ref().map(Reason::as_str),
            known: (!revoked.known).then_some(false),
            ..Self::envelope(filed, revoked.retain_until)
        }
    }

    fn of_subject(filed: &'a Filed, all: &RevokesSubject<'a>) -> Self {
        Self {
            kinds: Some(all.kinds.iter().map(Kind::as_str).collect()),
            subject: Some(all.subject.as_str()),
            issued_before: all.issued_before.map(Shown),
            hold_until: all.hold_until.map(Shown),
            reason: all.reason.map(Reason::as_str),
            ..Self::envelope(filed, all.retain_until)
        }
    }

    fn of_cohort(filed: &'a Filed, all: &'a CohortRevoked) -> Self {
        Self {
            cohort: Some(CohortShown::from(&all.cohort)),
            kinds: Some(all.kinds.iter().map(Kind::as_str).collect()),
            hold_until: all.hold_until.map(Shown),
            reason: all.reason.as_ref().map(Reason::as_str),
            ..Self::envelope(filed, all.retain_until)
        }
    }

    fn envelope(filed: &'a Filed, retain_until: Timestamp) -> Self {
        let recorded = &filed.recorded;
        Self {
            position: filed.position.0,
            origin: Shown(recorded.place.origin),
            sequence: recorded.place.sequence.0,
            event: recorded.event.type_name(),
            kind: None,
            kinds: None,
            id: None,
            issuer: None,
            tenant: recorded.tenant.as_ref().map(Tenant::as_str),
            subject: None,
            cohort: None,
            issued_before: None,
            revoked_at: Shown(recorded.recorded_at),
            retain_until: Shown(retain_until),
            hold_until: None,
            reason: None,
            known: None,
        }
    }
}
