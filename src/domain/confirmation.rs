//! The key or certificate that a token is bound to, so that a caller that presents it must prove possession: RFC 7800.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ids::Malformed;

/// A SHA-256 thumbprint. Its text is base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

/// What a token is bound to: the claim `cnf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// `jkt`: a key, by the thumbprint of its JWK (RFC 7638). RFC 9449, section 6.1.
    Key(Thumbprint),
    /// `x5t#S256`: a certificate, by the thumbprint of its DER. RFC 8705, section 3.1.
    Certificate(Thumbprint),
}

impl Thumbprint {
    /// The thumbprint with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The thumbprint's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Thumbprint {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(Malformed("32 bytes in base64url without padding"))
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Confirmation {
    /// The name of a key's thumbprint in `cnf`.
    pub const KEY: &str = "jkt";
    /// The name of a certificate's thumbprint in `cnf`.
    pub const CERTIFICATE: &str = "x5t#S256";

    /// The one member of `cnf`: its name, and its value.
    pub const fn member(&self) -> (&'static str, &Thumbprint) {
        match self {
            Self::Key(thumbprint) => (Self::KEY, thumbprint),
            Self::Certificate(thumbprint) => (Self::CERTIFICATE, thumbprint),
        }
    }

    /// Exactly one of the members.
    pub const fn of(key: Option<Thumbprint>, certificate: Option<Thumbprint>) -> Option<Self> {
        match (key, certificate) {
            (Some(key), None) => Some(Self::Key(key)),
            (None, Some(certificate)) => Some(Self::Certificate(certificate)),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_has_one_text() {
        let text = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        let read: Thumbprint = text.parse().expect("32 bytes");
        assert_eq!(read.to_string(), text);
        let stray_bits = text.replace("A4I", "A4J");
        let standard = text.replace('-', "+");
        for bad in ["", &text[1..], &format!("{text}="), &format!("{text}A"), &stray_bits, &standard] {
            assert!(bad.parse::<Thumbprint>().is_err(), "{bad}");
        }
    }
}
