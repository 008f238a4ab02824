//! What came of a check. Each outcome has one status, and a check has no other statuses.

use http::StatusCode;

/// What came of a check: the answer's status, and the reason that metrics and log have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckOutcome {
    /// The credential is active, and the rule holds.
    Allowed,
    /// The request has no credential where the rule looks.
    NoCredential,
    /// The credential is doubled, too long, or has other characters than a credential has.
    Malformed,
    /// It is unknown, expired, revoked or bound.
    Inactive,
    /// The rule does not take its kind.
    OtherKind,
    /// The rule does not take its tenant.
    OtherTenant,
    /// The rule does not take its issuer.
    OtherIssuer,
    /// It is meant for another audience.
    OtherAudience,
    /// It lacks a scope.
    NoScope,
    /// Its subject was not authenticated well enough.
    LowAal,
    /// There is no such rule.
    UnknownRule,
    /// Nobody can tell now.
    Blind,
    /// Too many checks wait for an answer.
    Busy,
}

impl CheckOutcome {
    /// Every outcome.
    pub const ALL: [Self; 13] = [
        Self::Allowed,
        Self::NoCredential,
        Self::Malformed,
        Self::Inactive,
        Self::OtherKind,
        Self::OtherTenant,
        Self::OtherIssuer,
        Self::OtherAudience,
        Self::NoScope,
        Self::LowAal,
        Self::UnknownRule,
        Self::Blind,
        Self::Busy,
    ];

    /// The outcome's name in metrics and log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::NoCredential => "no_credential",
            Self::Malformed => "malformed",
            Self::Inactive => "inactive",
            Self::OtherKind => "other_kind",
            Self::OtherTenant => "other_tenant",
            Self::OtherIssuer => "other_issuer",
            Self::OtherAudience => "other_audience",
            Self::NoScope => "no_scope",
            Self::LowAal => "low_aal",
            Self::UnknownRule => "unknown_rule",
            Self::Blind => "blind",
            Self::Busy => "busy",
        }
    }

    /// This outcome's place in [`CheckOutcome::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The status of the answer: 200, 401, 403 or 503. Gateways take any 2xx for a yes, and pass a redirect or a 404 on
    /// to their client, or take it for a failure of their own.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Allowed => StatusCode::OK,
            Self::NoCredential
            | Self::Malformed
            | Self::Inactive
            | Self::OtherKind
            | Self::OtherTenant
            | Self::OtherIssuer
            | Self::OtherAudience => StatusCode::UNAUTHORIZED,
            Self::NoScope | Self::LowAal | Self::UnknownRule => StatusCode::FORBIDDEN,
            Self::Blind | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
