//! A presented credential, as far as a follower's rules ask about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::HighestGeneration;
use crate::domain::{Origin, Sequence};

/// The leeway of an issuer that names none, in seconds.
const USUAL_LEEWAY: u64 = 5;

/// The description of a presented credential.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PresentedCredential {
    pub kind: String,
    pub tenant: Option<String>,
    pub subject: Option<String>,
    /// The digest of the secret, in hex.
    pub digest: Option<String>,
    pub id: Option<String>,
    pub iss: Option<String>,
    pub jti: Option<String>,
    /// The digest of a JWT's payload, in hex.
    pub payload: Option<String>,
    pub sid: Option<String>,
    /// The key that signed it: a JWT's header.
    pub kid: Option<String>,
    /// The application that issued it, and the one that issued its session.
    pub client_id: Option<String>,
    pub sid_client_id: Option<String>,
    /// Its generation: of a JWT the claim, otherwise what was held before it was introspected.
    #[serde(default, rename = "gen", deserialize_with = "generation")]
    pub generation: HighestGeneration,
    /// Another issuer made it.
    #[serde(default)]
    pub foreign: bool,
    /// When it was issued, in seconds since 1970; with a fraction where introspection said so.
    pub iat: Option<f64>,
    /// When its session was issued.
    pub sid_iat: Option<f64>,
    /// The credential that it came from, where that is more than a session of its own subject.
    pub parent: Option<Box<Ancestor>>,
    /// The issuer's leeway, in seconds.
    #[serde(default = "usual_leeway")]
    pub leeway: u64,
}

/// What a credential says of one that it came from. Members that it lacks say nothing, or the same as its child's.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Ancestor {
    pub kind: String,
    pub id: Option<String>,
    /// Of a JWT.
    pub jti: Option<String>,
    /// Its issuer, if the credential has none.
    pub iss: Option<String>,
    pub sub: Option<String>,
    pub client_id: Option<String>,
    pub kid: Option<String>,
    pub iat: Option<f64>,
    pub parent: Option<Box<Ancestor>>,
}

/// The generation in the claim `gen`. An entry that names no origin says nothing.
pub fn generation_of(claim: &BTreeMap<String, u64>) -> HighestGeneration {
    let entry = |(origin, sequence): (&String, &u64)| Some((origin.parse::<Origin>().ok()?, Sequence(*sequence)));
    Arc::new(claim.iter().filter_map(entry).collect())
}

fn generation<'de, D: Deserializer<'de>>(from: D) -> Result<HighestGeneration, D::Error> {
    BTreeMap::deserialize(from).map(|claim| generation_of(&claim))
}

const fn usual_leeway() -> u64 {
    USUAL_LEEWAY
}

/// An ancestor, with what it takes from its child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub kind: &'a str,
    pub id: Option<&'a str>,
    /// Of a JWT: its issuer and `jti`.
    pub jwt: Option<(&'a str, &'a str)>,
    pub subject: Option<&'a str>,
    pub client_id: Option<&'a str>,
    pub kid: Option<&'a str>,
    pub iat: Option<f64>,
}

impl PresentedCredential {
    /// Its ancestors, the parent first: those in `parent`, or the session in `sid`. Another issuer's say nothing of this
    /// ledger's.
    pub(super) fn ancestors(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        if self.foreign {
            return lines;
        }
        // A caller of an earlier release may have added a claim of that name.
        let is_its_parent = |parent: &&Ancestor| self.sid.is_none() || parent.id == self.sid;
        let mut next = self.parent.as_deref().filter(is_its_parent);
        if next.is_none()
            && let Some(sid) = &self.sid
        {
            lines.push(Line {
                kind: "session",
                id: Some(sid),
                jwt: None,
                subject: self.subject.as_deref(),
                client_id: self.sid_client_id.as_deref(),
                kid: None,
                iat: self.sid_iat,
            });
        }
        let mut subject = self.subject.as_deref();
        while let Some(ancestor) = next {
            subject = ancestor.sub.as_deref().or(subject);
            let iss = ancestor.iss.as_deref().or(self.iss.as_deref());
            lines.push(Line {
                kind: &ancestor.kind,
                id: ancestor.id.as_deref(),
                jwt: iss.zip(ancestor.jti.as_deref()),
                subject,
                client_id: ancestor.client_id.as_deref(),
                kid: ancestor.kid.as_deref(),
                iat: ancestor.iat,
            });
            next = ancestor.parent.as_deref();
        }
        lines
    }
}
