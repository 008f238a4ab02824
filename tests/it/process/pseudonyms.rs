//! A ledger of pseudonyms: a subject's name comes out of no file, log line, backup or feed, and still finds its subject.

use std::path::Path;

use authledger::clock::Clock;
use authledger::jose;
use authledger::keys::{Algorithm, SigningKey};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::node::{BINARY, Launch, NodeProcess, ROOT, text};

const FOREIGN: &str = "https://issuer.example";
const PREFIX: &str = "al_p_";

/// In clear, as it stands in a path or a form, and in an actor.
fn spellings(name: &str) -> [String; 3] {
    let user = name.split('@').next().expect("a user");
    [format!("{user}@"), format!("{user}%40"), name.to_owned()]
}

fn assert_nowhere(place: &str, bytes: &[u8], name: &str) {
    for text in spellings(name) {
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text} is in {place}");
    }
}

/// Looks through every file below a directory; how many there are.
fn search(directory: &Path, name: &str) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let look = |path: std::path::PathBuf| {
        if path.is_dir() {
            return search(&path, name);
        }
        assert_nowhere(&path.display().to_string(), &std::fs::read(&path).unwrap(), name);
        1
    };
    entries.map(look).sum()
}

struct World {
    node: NodeProcess,
    client: reqwest::Client,
    signer: SigningKey,
}

impl World {
    fn start(directory: &Path) -> Self {
        let keys = directory.join("issuer");
        let signer = SigningKey::generate(&keys, Algorithm::EdDsa).expect("a key");
        let jwks = directory.join("jwks.json");
        std::fs::write(&jwks, format!("{{\"keys\":[{}]}}", signer.public_jwk())).unwrap();
        let config = format!(
            "subject_pseudonyms = true\n[[trusted_issuer]]\nissuer = \"{FOREIGN}\"\njwks_file = \"{}\"\ntenants = [\"default\"]\n",
            jwks.display()
        );
        std::fs::write(directory.join("ledger.toml"), config).unwrap();
        Self { node: launch(directory), client: super::node::client().build().unwrap(), signer }
    }

    async fn restart(self, directory: &Path) -> Self {
        let (code, log) = self.node.stop().await;
        assert_eq!(code, Some(0), "{log}");
        Self { node: launch(directory), ..self }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.node.api.url()))
    }

    async fn answer(&self, request: RequestBuilder, status: u16) -> Value {
        let answer = request.send().await.expect("an answer");
        let found = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        assert_eq!(found, status, "{text}");
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    fn root(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(ROOT)
    }

    fn foreign(&self, claims: Value) -> String {
        let now = Clock::system().now().as_seconds();
        let mut all =
            json!({"iss": FOREIGN, "oid": "default", "jti": uuid::Uuid::new_v4(), "iat": now - 60, "exp": now + 3_600});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        jose::sign(&self.signer, &all).expect("a token")
    }

    /// The person's pseudonym in answers.
    async fn pseudonym(&self, name: &str) -> String {
        let view = self.node.api.get(&format!("/v1/subjects/{}", path_of(name))).await.expect(200);
        text(&view, "subject")
    }

    async fn is_valid(&self, token: &str) -> bool {
        let request = self.request(Method::POST, "/slashid/token/validate").json(&json!({"token": token}));
        self.answer(request, 200).await["result"]["valid"].as_bool().expect("valid")
    }

    /// Credentials that are issued, found and revoked by the subject's name, through every surface.
    async fn use_every_surface(&self, name: &str) {
        let api = &self.node.api;
        let pseudonym = self.pseudonym(name).await;
        assert!(pseudonym.starts_with(PREFIX), "{pseudonym}");
        self.native(name, &pseudonym).await;
        self.crafter(name, &pseudonym).await;
        self.slashid_and_cribl(name, &pseudonym).await;
        self.ory(name).await;
        let gone = json!({"subject": name, "hold": 60, "reason": "test", "note": "it was her own wish"});
        let revoked = api.post("/v1/revocations", gone).await.expect(201);
        assert_eq!(revoked["revocations"][0]["subject"], *pseudonym);
        assert_eq!(api.post("/v1/tickets", json!({"subject": pseudonym})).await.status, 409, "it is the same subject");
    }

    async fn native(&self, name: &str, pseudonym: &str) {
        let api = &self.node.api;
        let issued = api.issue(name).await;
        assert_eq!(issued["subject"], *pseudonym);
        let session = json!({"subject": name, "identity": {"traits": {"email": name}}, "device": {"user_agent": name}});
        let session = api.post("/v1/sessions", session).await.expect(201);
        let shown = api.get(&format!("/v1/sessions/{}", text(&session["session"], "id"))).await.expect(200);
        assert_eq!(shown["identity"]["traits"]["email"], *name, "the sealed part opens");
        let bound = json!({"subject": pseudonym, "session_id": session["session"]["id"], "claims": {"email": name}});
        let token = api.post("/v1/tokens", bound).await.expect(201);
        let inside = json!({"subject": name, "session_id": session["session"]["id"], "format": "opaque"});
        api.post("/v1/tokens", inside).await.expect(201);
        assert!(self.is_valid(&text(&token, "token")).await, "the pseudonym comes back in it as `sub`");
        let container = self.foreign(json!({"sub": name, "user_token": token["token"]}));
        assert!(self.is_valid(&container).await, "outside by name, inside by pseudonym: one subject");
        let now = Clock::system().now();
        let issued_at = now.floor_to_seconds();
        let expires_at = now.plus_millis(600_000);
        let line = json!({
            "kind": "ticket", "subject": name, "issued_at": issued_at.to_string(), "expires_at": expires_at.to_string(),
            "digest": authledger::domain::Digest::of(format!("imported {name}").as_bytes()).to_string(),
        });
        let imported = self.root(Method::POST, "/v1/imports").header("content-type", "application/x-ndjson");
        assert_eq!(self.answer(imported.body(line.to_string()), 200).await["outcome"], "made");
        let found = api.post("/v1/introspect", json!({"credential": format!("imported {name}")})).await.expect(200);
        assert_eq!(found["subject"], *pseudonym);
        // The body has the name: a repeat is known by a keyed digest.
        let key = format!("an idempotency key of {}", pseudonym);
        for status in [201, 201] {
            let again = self.root(Method::POST, "/v1/revocations").header("idempotency-key", &key);
            self.answer(again.json(&json!({"subject": name, "kinds": ["ticket"]})), status).await;
        }
    }

    async fn crafter(&self, name: &str, pseudonym: &str) {
        let path = format!("/api/1/authentication/ticket/create?accessTokenId={ROOT}&profileId={}", path_of(name));
        let made = self.answer(self.request(Method::POST, &path), 200).await;
        let path = format!("/api/1/authentication/ticket/{}?accessTokenId={ROOT}", text(&made, "id"));
        let found = self.answer(self.request(Method::GET, &path), 200).await;
        assert_eq!((&made["profileId"], &found["profileId"]), (&json!(pseudonym), &json!(pseudonym)));
    }

    async fn slashid_and_cribl(&self, name: &str, pseudonym: &str) {
        let path = format!("/slashid/persons/{}/mint-token", path_of(name));
        let mint = self.request(Method::POST, &path).header("slashid-api-key", ROOT).header("slashid-orgid", "default");
        let minted = self.answer(mint.json(&json!({})), 201).await;
        let minted = minted["result"].as_str().expect("a token").to_owned();
        let [one, other] = ["sub", "person_id"].map(|claim| self.foreign(json!({ claim: name })));
        for token in [&minted, &one, &other] {
            assert!(self.is_valid(token).await);
        }
        let own = self.request(Method::POST, "/slashid/token/revoke").bearer_auth(&one).json(&json!({"token": one}));
        self.answer(own, 204).await;
        assert!(!self.is_valid(&one).await && self.is_valid(&other).await);
        let path = format!("/api/v1/auth/users/{}/token", path_of(name));
        let revoked = self.answer(self.root(Method::DELETE, &path), 200).await;
        assert!(revoked["count"].as_u64().expect("a count") >= 1, "{revoked}");
        for token in [&minted, &other] {
            assert!(!self.is_valid(token).await, "{pseudonym}");
        }
    }

    async fn ory(&self, name: &str) {
        let api = &self.node.api;
        let mut sessions = Vec::new();
        for _ in 0..3 {
            let body = json!({"subject": name, "identity": {"traits": {"email": name}}});
            sessions.push(text(&api.post("/v1/sessions", body).await.expect(201), "session_token"));
        }
        let whoami =
            |token: &str| self.request(Method::GET, "/sessions/whoami").header("x-session-token", token.to_owned());
        let shown = self.answer(whoami(&sessions[0]), 200).await;
        let stands_for = text(&shown["identity"], "id");
        let logout = self.request(Method::DELETE, "/self-service/logout/api");
        self.answer(logout.json(&json!({"session_token": sessions[2]})), 204).await;
        for name in [path_of(name), stands_for] {
            let listed = self
                .answer(self.root(Method::GET, &format!("/admin/identities/{name}/sessions?active=true")), 200)
                .await;
            assert!(listed.as_array().expect("a list").len() >= 2, "{listed}");
        }
        let path = format!("/admin/identities/{}/sessions", path_of(name));
        self.answer(self.root(Method::DELETE, &path), 204).await;
        for token in &sessions {
            self.answer(whoami(token), 401).await;
        }
    }
}

fn path_of(name: &str) -> String {
    name.replace('@', "%40")
}

fn launch(directory: &Path) -> NodeProcess {
    let config = directory.join("ledger.toml");
    Launch::new(&directory.join("data")).arg("--config").arg(config).args(&["--log", "trace"]).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_on_record_nowhere_and_find_what_they_name_on_every_surface() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::start(directory.path());
    let api = world.node.api.clone();
    let lasting = api.issue("grace@example.org").await;
    world.use_every_surface("ada@example.org").await;
    let before = world.pseudonym("grace@example.org").await;
    let world = world.restart(directory.path()).await;
    assert_eq!(world.pseudonym("grace@example.org").await, before);
    let api = world.node.api.clone();
    assert!(api.is_active(&text(&lasting, "ticket")).await);
    api.post("/v1/revocations", json!({"subject": "grace@example.org"})).await.expect(201);
    assert!(!api.is_active(&text(&lasting, "ticket")).await, "revoked by its subject's name after a restart");
    world.use_every_surface("hedy@example.org").await;
    let erased = world.root(Method::DELETE, "/v1/subjects/hedy%40example.org/personal-data");
    assert!(world.answer(erased, 200).await["keys_destroyed"].as_u64().unwrap() >= 1);

    let (copy, keys) = (directory.path().join("copy"), directory.path().join("copied-keys"));
    let backup = std::process::Command::new(BINARY)
        .arg("backup")
        .arg(&copy)
        .arg("--keys")
        .arg(&keys)
        .arg("--data")
        .arg(directory.path().join("data"))
        .output()
        .unwrap();
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    assert!(keys.join("pseudonym.key").is_file());
    let everybody = ["ada@example.org", "grace@example.org", "hedy@example.org"];
    for path in [
        "/v1/revocations?after=0&limit=1000",
        "/v1/revocations/snapshot",
        "/v1/events?after=0",
        "/v1/status",
        "/metrics",
    ] {
        let shown = world.root(Method::GET, path).send().await.unwrap().bytes().await.unwrap();
        everybody.iter().for_each(|name| assert_nowhere(path, &shown, name));
    }
    let running: Vec<usize> = everybody.iter().map(|name| search(directory.path(), name)).collect();
    let (code, log) = world.node.stop().await;
    assert!(code == Some(0) && log.contains("answered"), "{log}");
    let files: Vec<usize> = everybody.iter().map(|name| search(directory.path(), name)).collect();
    assert!(running[0] >= 10 && files[0] >= 10, "log, snapshot, keys, copies and the log lines of both: {files:?}");
    let log = std::fs::read(directory.path().join("data/ledger.db")).unwrap();
    let actor = format!("subject:{PREFIX}");
    assert!(
        log.windows(actor.len()).any(|window| window == actor.as_bytes()),
        "a person that acts is a pseudonym, too"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_keeps_to_what_it_was_made_with_and_to_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let with = |name: &str| Launch::new(&path(name)).env("AUTHLEDGER_SUBJECT_PSEUDONYMS", "true");
    for (name, launch) in [("one", with("one")), ("other", with("other")), ("plain", Launch::new(&path("plain")))] {
        let node = launch.start();
        node.api.issue(name).await;
        assert_eq!(node.stop().await.0, Some(0));
    }
    let refusal = |launch: Launch| {
        let (code, said) = launch.refuse();
        assert_eq!(code, Some(1), "{said}");
        said
    };
    let needed = refusal(Launch::new(&path("one")));
    assert!(needed.contains("pseudonyms permanently: set it"), "{needed}");
    let checked = refusal(Launch::new(&path("one")).arg("--check"));
    assert!(checked.contains("pseudonyms permanently: set it"), "{checked}");
    let late = refusal(with("plain"));
    assert!(late.contains("was made without it"), "{late}");
    let key = path("one/keys/pseudonym.key");
    let own = std::fs::read(&key).unwrap();
    std::fs::copy(path("other/keys/pseudonym.key"), &key).unwrap();
    let another = refusal(with("one"));
    assert!(another.contains("pseudonym.key holds another key") && another.contains("put back"), "{another}");
    std::fs::remove_file(&key).unwrap();
    let gone = refusal(with("one"));
    assert!(gone.contains("pseudonym.key is gone") && !key.exists(), "{gone}");
    std::fs::write(&key, own).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let node = with("one").start();
    assert_eq!(node.api.get("/v1/subjects/one").await.expect(200)["credentials"].as_array().unwrap().len(), 1);
}
