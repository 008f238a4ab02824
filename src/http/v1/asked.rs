//! The subject or credential that a question about the past names in its query, and the query that names the same
//! again.

use crate::audit::{Lookup, LookupCredential};
use crate::domain::{CredentialRef, Digest, GivenSubject, Issuer, Kind, Tenant};
use crate::http::problem::{Code, Problem};
use crate::http::wire::WireText;
use crate::service::Service;

/// The parameters that name a subject or a credential.
pub(super) struct NameParameters {
    pub(super) tenant: Option<WireText<Tenant>>,
    pub(super) subject: Option<WireText<GivenSubject>>,
    pub(super) digest: Option<WireText<Digest>>,
    pub(super) kind: Option<WireText<Kind>>,
    pub(super) id: Option<String>,
    pub(super) issuer: Option<WireText<Issuer>>,
}

const AMBIGUOUS: &str = "name a subject or a credential in exactly one way: `subject`, with its `tenant`; `digest`, with the \
                         `issuer` of a JWT without `jti`; or `kind` and `id`, with the `issuer` of a JWT";

impl NameParameters {
    /// The subject or credential that they name, as it is on record.
    pub(super) fn asked(self, service: &Service) -> Result<Lookup, Problem> {
        let refused = |detail: &'static str| Problem::with_detail(Code::InvalidQuery, detail);
        match (self.subject, self.digest, self.kind, self.id) {
            (Some(WireText(subject)), None, None, None) if self.issuer.is_none() => {
                let tenant = self.tenant.map(|WireText(tenant)| tenant).unwrap_or_default();
                let subject = service.named(&tenant, &subject);
                Ok(Lookup::Subject(tenant, subject))
            }
            _ if self.tenant.is_some() => Err(refused("`tenant` goes with `subject` only")),
            (None, Some(WireText(digest)), None, None) => Ok(Lookup::Credential(match self.issuer {
                Some(WireText(issuer)) => LookupCredential::payload(issuer, digest),
                None => LookupCredential::digest(digest),
            })),
            (None, None, Some(WireText(kind)), Some(id)) => {
                let issuer = self.issuer.as_ref().map(|WireText(issuer)| issuer.as_str());
                let named = LookupCredential::named(kind, &id, issuer);
                named
                    .map(Lookup::Credential)
                    .map_err(|must_be| Problem::with_detail(Code::InvalidQuery, format!("`id`: must be {must_be}")))
            }
            _ => Err(refused(AMBIGUOUS)),
        }
    }
}

/// The parameters that name the same. They do not hold a secret, so a link to the next page may use them.
pub(super) fn query(asked: &Lookup) -> String {
    let pairs = match asked {
        Lookup::Subject(tenant, subject) => {
            vec![("tenant", tenant.to_string()), ("subject", subject.to_string())]
        }
        Lookup::Credential(credential) => match (credential.names.first(), credential.kind) {
            (Some(CredentialRef::Digest(digest)), _) => vec![("digest", digest.to_string())],
            (Some(CredentialRef::Payload { issuer, digest }), _) => {
                vec![("digest", digest.to_string()), ("issuer", issuer.to_string())]
            }
            (Some(CredentialRef::Jwt { issuer, jti }), _) => {
                vec![("kind", "token".to_owned()), ("id", jti.to_string()), ("issuer", issuer.to_string())]
            }
            (Some(named @ CredentialRef::Id(id)), kind) => {
                let kind = kind.unwrap_or(Kind::Ticket);
                vec![("kind", kind.to_string()), ("id", named.public_id(kind).unwrap_or_else(|| id.to_string()))]
            }
            (None, _) => Vec::new(),
        },
    };
    let escaped = |(name, value): (&str, String)| format!("{name}={}", escape(&value));
    pairs.into_iter().map(escaped).collect::<Vec<_>>().join("&")
}

/// RFC 3986, section 2.3: everything but unreserved characters is escaped.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
