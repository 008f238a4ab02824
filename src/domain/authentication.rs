//! How the subject was authenticated when a session was issued.

use std::fmt;
use std::str::FromStr;

use super::ids::{Malformed, MethodName};
use super::time::Timestamp;

/// The authenticator assurance level, from `aal0` to `aal3`: NIST SP 800-63B, section 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aal {
    /// Not at all.
    Aal0,
    /// By one factor.
    #[default]
    Aal1,
    /// By two.
    Aal2,
    /// By two, one of them hardware that resists phishing.
    Aal3,
}

impl Aal {
    /// Every level.
    pub const ALL: [Self; 4] = [Self::Aal0, Self::Aal1, Self::Aal2, Self::Aal3];

    /// The level's name in records and bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aal0 => "aal0",
            Self::Aal1 => "aal1",
            Self::Aal2 => "aal2",
            Self::Aal3 => "aal3",
        }
    }
}

impl FromStr for Aal {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|aal| aal.as_str() == text).ok_or(Malformed("one of aal0, aal1, aal2, aal3"))
    }
}

impl fmt::Display for Aal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way in which the subject was authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    pub method: MethodName,
    /// The level that it gives.
    pub aal: Option<Aal>,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
}
