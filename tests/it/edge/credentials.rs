//! Credentials of every kind, and their issue.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use authledger::clock::{fresh_uuid, wall_clock};
use authledger::jose::sign;
use authledger::keys::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::process::node::{Api, text};
use crate::support::secrets;

/// The other issuer.
pub const FOREIGN: &str = "https://login.example";

/// Another issuer that signs tokens.
pub struct Issuer {
    key: SigningKey,
    jwks: PathBuf,
}

impl Issuer {
    pub fn new(directory: &Path) -> Self {
        let keys = directory.join("issuer");
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o700)).unwrap();
        let key = SigningKey::generate(&keys, Algorithm::Es256).unwrap();
        let jwks = directory.join("jwks.json");
        std::fs::write(&jwks, format!("{{\"keys\":[{}]}}", key.public_jwk())).unwrap();
        Self { key, jwks }
    }

    pub fn table(&self) -> String {
        let jwks = self.jwks.display();
        format!(
            "[[trusted_issuer]]\nissuer = \"{FOREIGN}\"\njwks_file = \"{jwks}\"\ntenants = [\"default\", \"other\"]\n"
        )
    }

    /// A token of a subject that was issued a minute ago, with more claims.
    pub fn token(&self, subject: &str, more: Value) -> String {
        let now = wall_clock().as_seconds();
        let mut claims = json!({
            "iss": FOREIGN, "sub": subject, "oid": "default", "jti": fresh_uuid().unwrap().to_string(),
            "iat": now - 60, "exp": now + 3_600,
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = sign(&self.key, &claims).unwrap();
        secrets::remember(&token);
        token
    }
}

/// The kinds of credentials that differ for an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Ticket,
    Session,
    Opaque,
    Jwt,
    /// A JWT that came from a session.
    SessionJwt,
    /// An opaque token that came from a session.
    SessionOpaque,
    Foreign,
}

impl Form {
    pub const ALL: [Self; 7] =
        [Self::Ticket, Self::Session, Self::Opaque, Self::Jwt, Self::SessionJwt, Self::SessionOpaque, Self::Foreign];
}

/// A credential that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    pub form: Form,
    pub subject: String,
    pub secret: String,
    /// Its public id.
    pub id: String,
    /// The id of its session, if it came from one.
    pub session: Option<String>,
}

/// Issues one of that form to a subject.
pub async fn issue(api: &Api, issuer: &Issuer, form: Form, subject: &str) -> Issued {
    let token = |more: Value| {
        let mut body = json!({"subject": subject, "scope": "read write", "audience": ["reports"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (made, member, session) = match form {
        Form::Ticket => (api.issue(subject).await, "ticket", None),
        Form::Session => (session(api, subject).await, "session_token", None),
        Form::Opaque => (api.post("/v1/tokens", token(json!({"format": "opaque"}))).await.expect(201), "token", None),
        Form::Jwt => (api.post("/v1/tokens", token(json!({}))).await.expect(201), "token", None),
        Form::SessionJwt | Form::SessionOpaque => {
            let session = session(api, subject).await;
            let id = text(&session["session"], "id");
            let format = if form == Form::SessionOpaque { "opaque" } else { "jwt" };
            let parent = json!({"parent": {"kind": "session", "id": id}, "format": format});
            (api.post("/v1/tokens", token(parent)).await.expect(201), "token", Some(id))
        }
        Form::Foreign => {
            let id = fresh_uuid().unwrap().to_string();
            let secret = issuer.token(subject, json!({"jti": id, "scope": "read", "aud": ["reports"], "acr": "aal2"}));
            return Issued { form, subject: subject.to_owned(), secret, id, session: None };
        }
    };
    let id = text(if form == Form::Session { &made["session"] } else { &made }, "id");
    Issued { form, subject: subject.to_owned(), secret: text(&made, member), id, session }
}

async fn session(api: &Api, subject: &str) -> Value {
    let body = json!({"subject": subject, "aal": "aal2", "methods": [{"method": "password", "aal": "aal1"}, {"method": "totp", "aal": "aal2"}]});
    api.post("/v1/sessions", body).await.expect(201)
}
