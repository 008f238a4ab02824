//! The names by which a record can be found. Keys and the exact filter both follow from them, so that they can't
//! disagree.

use crate::domain::{Cohort, CredentialId, RecordId, Recorded, Renewals, Revokes, Subject, Tenant, TokenId, hex};

/// A name in a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// A subject: in that tenant, or without one in any tenant, as in a revocation that was recorded for an unseen
    /// credential.
    Subject(Option<Tenant>, Subject),
    /// The revocation of everything that a subject had: few records, even for a subject with many.
    SubjectRevocation(Tenant, Subject),
    /// The revocation of a cohort.
    Cohort(Cohort),
    /// A credential, by its id or by the id of its digest; its kind does not matter.
    Credential(CredentialId),
    /// A use of the ticket that was issued at that place.
    Use(RecordId),
}

/// All names by which the record can be found. A record without a subject or credential, such as a key's, can't be
/// found.
pub fn about(recorded: &Recorded, mut add: impl FnMut(About)) {
    let facets = recorded.event.facets();
    let tenant = || recorded.tenant.clone().unwrap_or_default();
    if let Some(subject) = facets.subject() {
        // A credential that was revoked unseen may be of any tenant.
        let is_of_any = matches!(facets.revokes, Some(Revokes::Credential(_)));
        let space = if is_of_any { recorded.tenant.clone() } else { Some(tenant()) };
        add(About::Subject(space, subject.clone()));
    }
    if let Some(Revokes::Subject(all)) = facets.revokes {
        add(About::SubjectRevocation(tenant(), all.subject.clone()));
    }
    if let Some(Revokes::Cohort(all)) = facets.revokes {
        add(About::Cohort(all.cohort.clone()));
    }
    for id in facets.credentials() {
        add(About::Credential(id));
    }
    for Renewals { origin, uses } in facets.uses {
        for (sequence, _) in uses {
            add(About::Use(RecordId { origin: *origin, sequence: *sequence }));
        }
    }
}

/// A name that is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sought {
    /// The name in the records.
    pub about: About,
    /// For a JWT its `jti`, which a record has in clear, while its id follows from issuer and `jti`.
    pub jti: Option<TokenId>,
}

impl From<About> for Sought {
    fn from(about: About) -> Self {
        Self { about, jti: None }
    }
}

impl Sought {
    /// A credential by its id or by the id of its digest.
    pub fn credential(id: CredentialId, jti: Option<TokenId>) -> Self {
        Self { about: About::Credential(id), jti }
    }

    /// Texts of which a record with the name holds at least one. Others may hold one too.
    pub(super) fn texts(&self, texts: &mut Vec<String>) {
        match &self.about {
            About::Subject(_, subject) | About::SubjectRevocation(_, subject) => {
                texts.push(format!("\"subject\":{}", quoted(subject.as_str())));
            }
            About::Credential(id) => {
                texts.push(hex::encode(id.as_bytes()));
                texts.push(id.uuid().to_string());
                texts.extend(self.jti.as_ref().map(|jti| format!("\"jti\":{}", quoted(jti.as_str()))));
            }
            About::Cohort(_) => texts.push("\"cohort\":{".to_owned()),
            About::Use(place) => texts.extend([format!("[[{},", place.sequence), format!(",[{},", place.sequence)]),
        }
    }
}

/// The one spelling of that text in a record.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
