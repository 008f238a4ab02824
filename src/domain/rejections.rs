//! The rejections of each use case: a caller that handles them lists what its call can meet, and nothing else.
//!
//! Each is a part of [`Rejection`], which has their texts. A use case that no other product's contract has is rejected with
//! [`Rejection`] itself.

use std::fmt;

use super::command::Rejection;

/// The caller's grants do not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden;

impl From<Forbidden> for Rejection {
    fn from(Forbidden: Forbidden) -> Self {
        Self::Forbidden
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Rejection::from(*self).fmt(f)
    }
}

/// Each entry is an enum of its own, and may have the rejections of another one.
macro_rules! rejections {
    ($($(#[$doc:meta])* $name:ident $(: $inner:ident($of:ident))? { $($variant:ident),+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($inner($of),)?
            $($variant,)+
        }

        impl $name {
            /// Every rejection of this use case.
            pub fn all() -> Vec<Self> {
                let own = [$(Self::$variant),+].into_iter();
                $(let own = $of::all().into_iter().map(Self::$inner).chain(own);)?
                own.collect()
            }
        }

        $(
            impl From<$of> for $name {
                fn from(inner: $of) -> Self {
                    Self::$inner(inner)
                }
            }

            impl From<Forbidden> for $name {
                fn from(forbidden: Forbidden) -> Self {
                    Self::$inner(forbidden.into())
                }
            }
        )?

        impl From<$name> for Rejection {
            fn from(rejection: $name) -> Self {
                match rejection {
                    $($name::$inner(inner) => inner.into(),)?
                    $($name::$variant => Self::$variant,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Rejection::from(*self).fmt(f)
            }
        }
    )+};
}

rejections! {
    /// Of every command.
    AnyRejection { Unauthenticated, Forbidden, IdempotencyMismatch, RecordTooLarge, MemberTooOld }
    RegisterRejection: Any(AnyRejection) { GrantExceedsOwn, ApplicationExists }
    RemoveRejection: Any(AnyRejection) { UnknownApplication }
    /// Of a ticket or session to issue.
    IssueRejection: Any(AnyRejection) {
        SubjectOnHold, SubjectErased, ClockUnsettled, MemoryFull, ParentInactive, LineageTooDeep
    }
    /// Of a token to issue, and of the key that it needs.
    IssueTokenRejection: Issue(IssueRejection) { SessionInactive, GenerationTooLarge, NoSigningKey, NoStatusList, IssuerDiffers }
    ExtendRejection: Any(AnyRejection) { UnknownCredential, ClockUnsettled }
    /// Of one credential to revoke: a JWT that was presented can have expired.
    RevokeRejection: Any(AnyRejection) { UnknownCredential, CredentialExpired, TooManyUnknownRevocations }
    RevokeTokensRejection: Any(AnyRejection) { CredentialExpired }
    RevokeOwnRejection: Any(AnyRejection) { CurrentSession, TooManyUnknownRevocations }
    RevokeSessionsRejection: Any(AnyRejection) { TooManyUnknownRevocations }
    RevokeSubjectRejection: Any(AnyRejection) { SubjectErased }
    PublishKeyRejection: Any(AnyRejection) { IssuerDiffers }
}

impl From<Forbidden> for AnyRejection {
    fn from(Forbidden: Forbidden) -> Self {
        Self::Forbidden
    }
}

impl From<AnyRejection> for IssueTokenRejection {
    fn from(any: AnyRejection) -> Self {
        Self::Issue(any.into())
    }
}

impl From<PublishKeyRejection> for IssueTokenRejection {
    fn from(rejection: PublishKeyRejection) -> Self {
        match rejection {
            PublishKeyRejection::Any(any) => any.into(),
            PublishKeyRejection::IssuerDiffers => Self::IssuerDiffers,
        }
    }
}

impl From<RevokeTokensRejection> for RevokeRejection {
    fn from(rejection: RevokeTokensRejection) -> Self {
        match rejection {
            RevokeTokensRejection::Any(any) => any.into(),
            RevokeTokensRejection::CredentialExpired => Self::CredentialExpired,
        }
    }
}
