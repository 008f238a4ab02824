//! The member `cnf` of bodies: what a token is bound to.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::{Confirmation, Malformed, Thumbprint};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{TextForm, WireText, present};

/// The key or certificate that a token is to be bound to: exactly one of the members. A caller that presents the token must
/// then prove possession of it. It stays in the log.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewConfirmation)]
pub struct ConfirmationBody {
    /// The SHA-256 thumbprint of the JWK with which its bearer signs DPoP proofs, in base64url: RFC 9449, section 6.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    jkt: Option<WireText<Thumbprint>>,
    /// The SHA-256 thumbprint of its bearer's client certificate, in base64url: RFC 8705, section 3.1.
    #[serde(default, rename = "x5t#S256", deserialize_with = "present")]
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    certificate: Option<WireText<Thumbprint>>,
}

impl ConfirmationBody {
    /// The key or certificate.
    pub fn asked(self) -> Result<Confirmation, Problem> {
        let thumbprint = |member: Option<WireText<Thumbprint>>| member.map(|WireText(thumbprint)| thumbprint);
        Confirmation::of(thumbprint(self.jkt), thumbprint(self.certificate)).ok_or_else(|| {
            Problem::with_detail(Code::InvalidBody, "`cnf`: must have `jkt` or `x5t#S256`, and not both")
        })
    }
}

impl TextForm for Thumbprint {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

/// What a token is bound to. A JWT of another issuer may have other members (RFC 7800, section 3).
#[derive(ToSchema)]
#[schema(as = Confirmation)]
#[expect(dead_code, reason = "only its description is used; the claim is shown as it stands in the token")]
pub struct ConfirmationShown {
    /// The thumbprint of the key with which its bearer signs DPoP proofs.
    #[schema(value_type = String, required = false)]
    jkt: Option<String>,
    /// The thumbprint of its bearer's certificate.
    #[schema(rename = "x5t#S256", value_type = String, required = false)]
    certificate: Option<String>,
}
