//! What a node answers to an introspection, as far as it matters here.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::known::{Authentication, Known, KnownAncestor, KnownJwt, KnownKind, Name, TicketLife};
use crate::domain::{Kind, MAX_ANCESTORS, Timestamp};

/// The answer to an introspection with details.
#[derive(Deserialize)]
struct Answer {
    active: bool,
    #[serde(flatten)]
    credential: Option<ActiveCredential>,
}

#[derive(Deserialize)]
struct ActiveCredential {
    kind: String,
    id: Option<String>,
    iss: Option<String>,
    tenant: String,
    subject: String,
    issued_at: Option<String>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    parent: Option<Box<Parent>>,
    application: Option<String>,
    #[serde(default)]
    details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    scope: Option<String>,
    audience: Vec<String>,
    aal: Option<String>,
    authenticated_at: Option<String>,
    methods: Vec<String>,
    client: Option<String>,
    granted: bool,
}

#[derive(Deserialize)]
struct Parent {
    kind: String,
    id: Option<String>,
    iss: Option<String>,
    subject: Option<String>,
    issued_at: Option<String>,
    application: Option<String>,
    kid: Option<String>,
    parent: Option<Box<Parent>>,
}

/// A member that is passed on as it is.
#[derive(Deserialize)]
struct Confirmed {
    cnf: Option<Box<RawValue>>,
}

/// What a node said of a credential.
pub(super) enum Said {
    Active(Box<Active>),
    Inactive,
}

/// An active credential, and whether the answer may be kept.
pub(super) struct Active {
    pub(super) known: Known,
    /// The feed tells everything by which it may become inactive before it expires. It does not if an ancestor has not
    /// arrived at the node, and for an application's own access token, which goes with the application.
    pub(super) is_followed: bool,
}

/// Reads the answer; nothing, if it is not one. The generation is the caller's: that at which it asked.
pub(super) fn read(body: &[u8]) -> Option<Said> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    if !answer.active {
        return Some(Said::Inactive);
    }
    let Confirmed { cnf } = serde_json::from_slice(body).ok()?;
    let found = answer.credential?;
    let kind: Kind = found.kind.parse().ok()?;
    let (issued_at, expires_at) = (instant(found.issued_at.as_deref())?, instant(found.expires_at.as_deref())?);
    let used_at = instant(found.last_used_at.as_deref())?;
    let life = expires_at
        .zip(used_at)
        .map(|(expires_at, used_at)| TicketLife { ttl_millis: expires_at.saturating_sub(used_at), used_at });
    let details = found.details;
    let authenticated_at = instant(details.authenticated_at.as_deref())?;
    let jwt = found.iss.map(|issuer| KnownJwt {
        issuer,
        payload: None,
        kid: None,
        // Whose it is, the caller knows.
        is_foreign: false,
        issued_at_seconds: issued_at.map(|millis| millis / 1_000),
        leeway_seconds: 0,
    });
    let ancestors = ancestors(found.parent)?;
    let is_followed = !details.granted && ancestors.iter().all(|ancestor| ancestor.subject.is_some());
    let known = Known {
        kind: kind.into(),
        id: found.id.as_deref().map(Name::new),
        tenant: found.tenant,
        subject: found.subject,
        issued_at,
        expires_at,
        life: life.filter(|_| kind == Kind::Ticket),
        application: found.application.as_deref().map(Name::new),
        client: details.client,
        scope: details.scope,
        audience: details.audience,
        aal: details.aal,
        authentication: authenticated_at.map(|at| Authentication { at, methods: details.methods }),
        cnf: cnf.map(|cnf| cnf.get().to_owned()),
        jwt,
        ancestors,
        generation: Vec::new(),
    };
    Some(Said::Active(Box::new(Active { known, is_followed })))
}

/// All ancestors, the parent first; nothing if there are too many, or one is malformed.
fn ancestors(parent: Option<Box<Parent>>) -> Option<Vec<KnownAncestor>> {
    let (mut ancestors, mut next) = (Vec::new(), parent);
    while let Some(parent) = next {
        if ancestors.len() == MAX_ANCESTORS {
            return None;
        }
        ancestors.push(KnownAncestor {
            kind: KnownKind::from(parent.kind.parse::<Kind>().ok()?),
            name: Name::new(parent.id.as_deref()?),
            issuer: parent.iss,
            subject: parent.subject,
            application: parent.application.as_deref().map(Name::new),
            kid: parent.kid.as_deref().map(Name::new),
            issued_at: instant(parent.issued_at.as_deref())?,
        });
        next = parent.parent;
    }
    Some(ancestors)
}

/// Milliseconds since 1970 of an instant, if there is one; nothing if it is malformed.
fn instant(text: Option<&str>) -> Option<Option<u64>> {
    let Some(text) = text else { return Some(None) };
    let at: jiff::Timestamp = text.parse().ok()?;
    let at = Timestamp::from_millis(u64::try_from(at.as_millisecond()).ok()?)?;
    Some(Some(at.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_ancestors_and_details() {
        let text = br#"{"active":true,"kind":"token","id":"767144e68e8aac2056101e6880efbb8f","tenant":"t","subject":"s",
            "issued_at":"2026-11-21T14:28:22.409Z","expires_at":"2026-11-21T15:28:22.409Z","application":"5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d1",
            "parent":{"kind":"session","id":"5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d2","subject":"s","issued_at":"2026-11-21T14:00:00Z",
            "parent":{"kind":"token","id":"j","iss":"https://a"}},"session_id":"x","cnf":{"jkt":"y"},
            "details":{"scope":"a b","audience":["c"]}}"#;
        let Some(Said::Active(active)) = read(text) else { panic!("an active token") };
        let Active { known, is_followed } = *active;
        assert_eq!((known.tenant.as_str(), known.scope.as_deref(), known.audience.len()), ("t", Some("a b"), 1));
        assert_eq!(known.cnf.as_deref(), Some(r#"{"jkt":"y"}"#));
        assert_eq!(known.session().as_deref(), Some("5f1b1c7e-2f0e-4a57-9a43-0d0c5ff0a6d2"));
        assert_eq!(known.ancestors[1].issuer.as_deref(), Some("https://a"));
        assert!(!is_followed, "the last one is not known there");
        assert_eq!(known.issued_at, Some(1_795_271_302_409));
    }

    #[test]
    fn other_bodies_are_no_answers() {
        assert!(matches!(read(br#"{"active":false}"#), Some(Said::Inactive)));
        for bad in
            [&b""[..], b"{}", br#"{"active":true}"#, br#"{"active":true,"kind":"other","tenant":"t","subject":"s"}"#]
        {
            assert!(read(bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
