//! What a token is bound to: the claim `cnf` of RFC 7800.

use serde_json::{Map, Value};

use super::TokenError;
use crate::domain::{Confirmation, Thumbprint};

/// What a token is bound to. A caller that presents it must prove possession.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The key whose proofs it needs: `jkt`, RFC 9449, section 6.1.
    pub key: Option<Thumbprint>,
    /// The certificate of the connection that it needs: `x5t#S256`, RFC 8705, section 3.1.
    pub certificate: Option<Thumbprint>,
    /// Whether no proof of these two kinds is enough: it is bound in another way, or in two ways that differ.
    pub is_unprovable: bool,
    /// The whole claim.
    pub cnf: Map<String, Value>,
}

impl Binding {
    /// What the claims of a token say, if they bind it at all.
    pub fn of_claims(claims: &Map<String, Value>) -> Result<Option<Self>, TokenError> {
        const WRONG: TokenError = TokenError::MalformedConfirmation;
        let Some(cnf) = claims.get("cnf") else { return Ok(None) };
        let cnf = cnf.as_object().ok_or(WRONG)?;
        let thumbprint = |name| match cnf.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().and_then(|text| text.parse().ok()).map(Some).ok_or(WRONG),
        };
        let (key, certificate) = (thumbprint(Confirmation::KEY)?, thumbprint(Confirmation::CERTIFICATE)?);
        // RFC 7800, section 3.1: members that are not understood are ignored, so one that is must be there.
        let is_unprovable = key.is_none() && certificate.is_none();
        Ok(Some(Self { key, certificate, is_unprovable, cnf: cnf.clone() }))
    }

    /// The binding of a container and of the token in it: both must be proven.
    #[must_use]
    pub fn joined(mut self, inner: Self) -> Self {
        let differ = |one: Option<Thumbprint>, other| matches!((one, other), (Some(one), Some(other)) if one != other);
        let differs = differ(self.key, inner.key) || differ(self.certificate, inner.certificate);
        self.is_unprovable |= inner.is_unprovable || differs;
        self.key = self.key.or(inner.key);
        self.certificate = self.certificate.or(inner.certificate);
        for (name, value) in inner.cnf {
            self.cnf.entry(name).or_insert(value);
        }
        self
    }
}

impl From<Confirmation> for Binding {
    fn from(confirmation: Confirmation) -> Self {
        let (name, thumbprint) = confirmation.member();
        let cnf = Map::from_iter([(name.to_owned(), thumbprint.to_string().into())]);
        let (key, certificate) = match confirmation {
            Confirmation::Key(key) => (Some(key), None),
            Confirmation::Certificate(certificate) => (None, Some(certificate)),
        };
        Self { key, certificate, is_unprovable: false, cnf }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    const OTHER: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";

    fn binding(cnf: Value) -> Result<Option<Binding>, TokenError> {
        Binding::of_claims(&Map::from_iter([("cnf".to_owned(), cnf)]))
    }

    fn bound(cnf: Value) -> Binding {
        binding(cnf).expect("well formed").expect("bound")
    }

    #[test]
    fn a_binding_is_what_cnf_says() {
        assert_eq!(Binding::of_claims(&Map::new()), Ok(None));
        let key: Thumbprint = ONE.parse().expect("a thumbprint");
        assert_eq!(bound(json!({"jkt": ONE})), Confirmation::Key(key).into());
        assert_eq!(bound(json!({"x5t#S256": ONE})), Confirmation::Certificate(key).into());
        assert!(!bound(json!({"jkt": ONE, "x5t#S256": OTHER, "kid": "k"})).is_unprovable, "both can be proven");
        assert!(bound(json!({"jwk": {}})).is_unprovable && bound(json!({})).is_unprovable);
        for bad in [json!(null), json!("x"), json!([]), json!({"jkt": 1}), json!({"jkt": &ONE[1..]})] {
            assert_eq!(binding(bad.clone()), Err(TokenError::MalformedConfirmation), "{bad}");
        }
    }

    #[test]
    fn a_container_is_bound_as_itself_and_as_the_token_in_it() {
        let (key, certificate) = (bound(json!({"jkt": ONE})), bound(json!({"x5t#S256": OTHER})));
        let both = key.clone().joined(certificate);
        assert_eq!((both.key, both.is_unprovable, both.cnf.len()), (key.key, false, 2));
        assert!(both.certificate.is_some());
        assert_eq!(key.clone().joined(key.clone()), key);
        assert!(key.clone().joined(bound(json!({"jkt": OTHER}))).is_unprovable, "nobody has two keys in one proof");
        assert!(key.joined(bound(json!({"kid": "k"}))).is_unprovable);
    }
}
