//! The fuzzing targets: each is a function that takes any bytes, and panics where a promise is broken.
//!
//! cargo-fuzz calls them with bytes that it invents; `tests/it/fuzz.rs` calls them with the corpus, and with changed copies of it.
//! A checksum or a signature would stop nearly all inputs early, so the entry also makes a good one over the bytes.

use std::str::FromStr;
use std::sync::Arc;

use authledger::check::{MAX_CREDENTIAL_BYTES, Presentation, presented};
use authledger::cli::import::{self, DumpFormat};
use authledger::clock::Clock;
use authledger::cluster::{
    Anchors, CarriedAnnouncement, IngestContext, Parcel, ParcelVerdict, RequestSignature, SignedHead, judge,
};
use authledger::compact::{Decoder, Frame};
use authledger::domain::{
    Command, CredentialId, CredentialRef, Digest, Import, ImportedLife, Kind, LedgerId, Members, NodeKey, Origin,
    OwnSessions, Reads, Sequence, State, Thumbprint, Timestamp, View as _,
};
use authledger::event_log::{Chain, ChainHash, Head, decode, decode_by_definition, encode};
use authledger::feed::Cursor;
use authledger::follower::held::{CompactFeed, Held};
use authledger::jose::{
    Binding, KeySet, OwnKeys, ParsedToken, Possession, Proof, ProofError, Proofs, TargetUri, TrustedIssuers,
};
use authledger::projection::Projection;
use authledger::tlog::{Checkpoint, ConsistencyProof, InclusionProof, SignedNote, VerifierKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::node::{self, ModelNode, at, seconds, subject, tenant};

/// A function that takes any bytes.
pub type Entry = fn(&[u8]);

/// Every target. Each has a file of that name in `fuzz_targets/`, and a folder in `corpus/`.
pub const TARGETS: [(&str, Entry); 10] = [
    ("record", record),
    ("cursor", cursor),
    ("note", note),
    ("jwt", jwt),
    ("proof", proof),
    ("parcel", parcel),
    ("import", dump),
    ("decide", decided),
    ("check", check),
    ("compact", compact),
];

/// The key that signs here: the same as in `schema/vectors/replication.json` and `tree.json`.
fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("a seed")
}

fn public() -> [u8; 32] {
    pair().public_key().as_ref().try_into().expect("32 bytes")
}

fn sign(message: &[u8]) -> [u8; 64] {
    pair().sign(message).as_ref().try_into().expect("64 bytes")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The headers of a request present one credential with the characters of one, or none; and more lines never make a
/// malformed request a good one.
pub fn check(bytes: &[u8]) {
    let sources = ["bearer", "header:x-session-token", "cookie:c"].map(|source| source.parse().expect("a place"));
    let mut headers = HeaderMap::new();
    let mut was_malformed = false;
    for line in bytes.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) else { continue };
        headers.append(name, value);
        let malformed =
            sources.iter().any(|source| presented(std::slice::from_ref(source), &headers) == Presentation::Malformed);
        assert!(malformed || !was_malformed, "a line was overlooked");
        was_malformed = malformed;
        match presented(&sources, &headers) {
            Presentation::Nothing | Presentation::Malformed => {}
            Presentation::One(credential) => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
                assert!((1..=MAX_CREDENTIAL_BYTES).contains(&credential.len()) && credential.bytes().all(is_plain));
            }
        }
    }
}

/// A record is read as it is defined, or not at all, and has one spelling.
pub fn record(bytes: &[u8]) {
    let (read, defined) = (decode(bytes), decode_by_definition(bytes));
    assert_eq!(read, defined, "the two decoders differ");
    if let Ok(recorded) = read {
        assert_eq!(encode(&recorded).as_bytes(), bytes, "it has two spellings");
        State::default().fold(&recorded);
    }
}

/// A cursor is one of ours or none; what is behind a good checksum is read back as it was read.
pub fn cursor(bytes: &[u8]) {
    let again = |read: Cursor| assert_eq!(read.to_string().parse(), Ok(read));
    if let Ok(read) = Cursor::from_str(text(bytes)) {
        again(read);
    }
    let content = URL_SAFE_NO_PAD.decode(bytes).unwrap_or_else(|_| bytes.to_owned());
    let content = content.split_last_chunk::<4>().map_or(bytes, |(content, _)| content);
    let check = blake3::hash(content);
    if let Ok(read) = URL_SAFE_NO_PAD.encode([content, &check.as_bytes()[..4]].concat()).parse() {
        again(read);
    }
}

/// Notes, checkpoints, proofs and verifier keys are read back as they were read.
pub fn note(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(note) = SignedNote::parse(text) {
        assert_eq!(note.as_str(), text);
        assert!(text.starts_with(note.text()));
        // A key that has not signed the note does not open it.
        let key = VerifierKey::new(authledger::tlog::KeyName::new("other.example").expect("a name"), public());
        assert!(note.open(&key).is_err());
    }
    let signed = SignedNote::sign(&format!("{text}\n"), &checkpoint_key(), sign);
    if let Ok(read) = SignedNote::parse(signed.as_str()) {
        assert_eq!(read.open(&checkpoint_key()), Ok(signed.text()));
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(Checkpoint::parse(&checkpoint.to_string()), Ok(checkpoint));
    }
    if let Ok(proof) = InclusionProof::parse(text) {
        let _ = proof.verify(&checkpoint_key());
        let again = InclusionProof::parse(&proof.to_string()).expect("it was read before");
        assert_eq!(again.to_string(), proof.to_string());
    }
    if let Ok(proof) = ConsistencyProof::parse(text) {
        let _ = proof.verify(&checkpoint_key());
        let _ = proof.witness_body();
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}

fn checkpoint_key() -> VerifierKey {
    VerifierKey::new(authledger::tlog::KeyName::of_origin(origin()), public())
}

/// The origin that signs in the vectors.
fn origin() -> Origin {
    "k7m2qx4dnzr5a".parse().expect("an origin")
}

/// A token is its parts. Any bytes that the key has signed are verified or refused.
pub fn jwt(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(parsed) = ParsedToken::new(text) {
        assert_eq!(format!("{}.{}", parsed.signed, parsed.signature), text);
    }
    // A key set is read from a stranger's answer.
    let _ = KeySet::from_json(bytes);
    // The payload of a token, or bytes that are signed as one.
    let payload = text.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let token = signed_token(payload.as_deref().unwrap_or(bytes));
    let trusted = TrustedIssuers::new(Vec::new(), Clock::manual(at(0))).expect("an empty list of issuers");
    let verified = trusted.verify(&token, &Own).now_or_never().expect("our own keys need not be fetched");
    if let Ok(verified) = verified {
        assert!(verified.ours && *verified.issuer == *ISSUER);
        let _ = verified.check_times(at(0).as_millis());
    }
}

/// A proof is accepted once, and only if the key that the token is bound to has signed it for this request.
pub fn proof(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(uri) = TargetUri::new(text) {
        assert_eq!(TargetUri::new(&uri.to_string()), Ok(uri), "an address has one spelling");
    }
    let x = URL_SAFE_NO_PAD.encode(public());
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let key = digest(&SHA256, jwk.as_bytes()).as_ref().try_into().map(Thumbprint::from_bytes).ok();
    let binding = Binding { key, certificate: None, is_unprovable: false, cnf: serde_json::Map::new() };
    let uri = TargetUri::new("https://api.example/reports").expect("an address");
    let proofs = Proofs::default();
    let check = |text: &str| {
        let proof = Some(Proof { text, method: "GET", uri: &uri });
        proofs.check(&binding, "al_o_bound", &Possession { proof, certificate: None }, at(0))
    };
    let payload = text.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{jwk}}}"#);
    for text in [text, &*signed(header.as_bytes(), payload.as_deref().unwrap_or(bytes))] {
        if check(text).is_ok() {
            assert_eq!(check(text), Err(ProofError::UsedBefore));
            let claims = ParsedToken::new(text).expect("it was read").claims;
            assert!(claims["htm"] == "GET" && claims["jti"].is_string());
        }
    }
}

const ISSUER: &str = "https://ledger.example";

struct Own;

impl OwnKeys for Own {
    fn issuer(&self) -> Option<Arc<str>> {
        Some(ISSUER.into())
    }

    fn jwk(&self, kid: &str) -> Option<Arc<str>> {
        let x = URL_SAFE_NO_PAD.encode(public());
        (kid == "k").then(|| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"k"}}"#).into())
    }
}

fn signed_token(payload: &[u8]) -> String {
    signed(br#"{"alg":"EdDSA","kid":"k"}"#, payload)
}

fn signed(header: &[u8], payload: &[u8]) -> String {
    let parts = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = parts.join(".");
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Messages of peers are read back as they were read, and judged, also those that a member has signed.
pub fn parcel(bytes: &[u8]) {
    if let Ok(parcel) = Parcel::parse(bytes) {
        assert_eq!(Parcel::parse(&parcel.to_text()).as_ref(), Ok(&parcel));
        judged(parcel);
    }
    if let Some(line) = SignedHead::last_in(bytes) {
        let _ = SignedHead::from_line(line);
    }
    if let Some(spoken) = CarriedAnnouncement::hear(bytes) {
        assert_eq!(CarriedAnnouncement::hear(&spoken.text).map(|again| again.announcement), Some(spoken.announcement));
    }
    if let Ok(request) = text(bytes).parse::<RequestSignature>() {
        assert_eq!(request.to_string().parse(), Ok(request));
    }
    // The same lines under a signed head that fits them: a hostile member can send that.
    let lines = text(bytes).lines().filter(|line| line.starts_with('{') && !line.starts_with("{\"head\""));
    let records: Vec<Box<str>> = lines.take(64).map(Into::into).collect();
    if !records.is_empty() {
        let chain = Chain::default();
        let hash = records.iter().fold(ChainHash::default(), |hash, record| chain.link(&hash, record.as_bytes()));
        let head = Head { sequence: Sequence(records.len() as u64), hash };
        judged(Parcel { base: None, head: SignedHead::sign(ledger(), origin(), head, sign), records });
    }
}

/// Of the vectors.
fn ledger() -> LedgerId {
    LedgerId("6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a11".parse().expect("a UUID"))
}

fn judged(parcel: Parcel) {
    let anchors = Anchors::new(ledger(), [NodeKey::from_bytes(public())], Vec::new());
    let known = IngestContext {
        ledger: ledger(),
        own: "aaaaaaaaaaaaa".parse().expect("an origin"),
        members: &Members::default(),
        anchors: &anchors,
        reads: &Reads::of_this_release(),
        head: Head::default(),
    };
    let records = parcel.records.clone();
    if let ParcelVerdict::Append(taken) = judge(parcel, &known, |_| None) {
        assert!(!taken.is_empty() && taken.iter().map(|one| &one.record).eq(&records), "it takes what was sent");
        assert!(taken.iter().all(|one| encode(&one.recorded) == *one.record));
    }
}

/// A dump is read in every format, and what is sent of it is one object a line.
pub fn dump(bytes: &[u8]) {
    for format in [DumpFormat::Ndjson, DumpFormat::Crafter, DumpFormat::Kratos] {
        for body in import::read_dump(bytes.to_owned(), format, at(0)).unwrap_or_default() {
            assert!(body.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object())));
        }
    }
}

/// A frame is read back as it was read, and has one spelling. A follower takes or refuses any frames, and any file of what it held.
pub fn compact(bytes: &[u8]) {
    let (code, body) = bytes.split_first().map_or((0, bytes), |(code, body)| (*code, body));
    let mut framed = vec![code];
    framed.extend_from_slice(&(body.len() as u32).to_le_bytes());
    framed.extend_from_slice(body);
    framed.extend_from_slice(&blake3::hash(&framed).as_bytes()[..8]);
    for input in [bytes, &framed] {
        let mut decoder = Decoder::default();
        decoder.push(input);
        while let Ok(Some(frame)) = decoder.next_frame() {
            let written = frame.to_bytes();
            assert!(input.windows(written.len()).any(|part| part == written), "it has two spellings");
            apply(&frame);
        }
    }
    let saved = [bytes, blake3::hash(bytes).as_bytes()].concat();
    let _ = (Held::restore(bytes), Held::restore(&saved));
}

fn apply(frame: &Frame) {
    thread_local! {
        static HELD: Arc<Held> = Arc::new(Held::new(at(0)));
    }
    let head = authledger::compact::Head {
        ledger: ledger(),
        key: authledger::compact::MarkKey::from_bytes([1; 32]),
        now: at(0),
        cursor: String::new(),
    };
    let mut feed = HELD.with(|held| CompactFeed::new(held.clone()));
    feed.push(&[Frame::Head(head).to_bytes(), frame.to_bytes()].concat());
    while let Ok(Some(_)) = feed.hear() {}
}

/// The most commands that one input makes.
const MAX_COMMANDS: usize = 256;
/// The bytes of a command.
const COMMAND_BYTES: usize = 7;

/// Decisions about ids that the caller chose can be written, read back and folded; the projection agrees with plain maps.
pub fn decided(bytes: &[u8]) {
    let (room, commands) = bytes.split_first().map_or((0, bytes), |(room, rest)| (*room, rest));
    let mut node = ModelNode::pair().0;
    let room = if room == u8::MAX { u32::MAX } else { u32::from(room % 3) };
    let projection = Projection::cramped(room, u32::MAX);
    node.log.iter().for_each(|recorded| projection.fold(recorded));
    for chunk in commands.chunks_exact(COMMAND_BYTES).take(MAX_COMMANDS) {
        let (command, later) = command(chunk.try_into().expect("a chunk"));
        node.now = node.now.plus_millis(later);
        let before = node.log.len();
        let _ = node.ask(command);
        for recorded in &node.log[before..] {
            // What can't be read back would stop every start.
            assert_eq!(decode(encode(recorded).as_bytes()).as_ref(), Ok(recorded));
            projection.fold(recorded);
        }
        assert_eq!(projection.imported(), node.state.imported);
    }
    assert_eq!(projection.rows(), node.state.rows());
    projection.prune(node.now);
    node.state.prune(node.now);
    assert_eq!(projection.rows(), node.state.rows());
}

/// A command about a credential whose id differs from others' in one byte, and how much later it comes.
fn command([what, flags, number, place, issued, expires, later]: [u8; COMMAND_BYTES]) -> (Command, u64) {
    let mut id = [0x5a; 32];
    id[usize::from(place) % 16] = number % 8;
    let digest = Digest::from_bytes(id);
    let kind = Kind::ALL[usize::from(flags) % Kind::ALL.len()];
    let (other, name) = (flags & 0x80 != 0, if flags & 0x40 != 0 { "alice" } else { "bob" });
    let mut shared = [0x5a; 16];
    shared[9] = flags & 1;
    let life = match kind {
        Kind::Ticket => ImportedLife::Ticket { digest, ttl: seconds(900) },
        Kind::Session if other => ImportedLife::Session { id: digest.id(), digest: None, aal: Default::default() },
        Kind::Session => {
            let id = CredentialId::from_bytes(shared);
            ImportedLife::Session { id, digest: Some(digest), aal: Default::default() }
        }
        Kind::Token => ImportedLife::Token { digest },
    };
    // Each step is twice as long as the one before it.
    let far = |steps: u8| 1u64 << (steps % 36);
    let command = match what % 9 {
        form @ 0..4 => Command::Import(Box::new(Import {
            tenant: tenant(if form < 2 { "acme" } else { "default" }),
            subject: subject(name),
            life,
            issued_at: Timestamp::from_millis(at(0).as_millis().saturating_sub(far(issued))).expect("before the start"),
            expires_at: at(far(expires)),
            not_after: other.then(|| at(far(expires))),
            past: Vec::new(),
        })),
        4 | 5 => node::revoke_named(kind, CredentialRef::Id(digest.id())),
        6 => node::revoke_named(kind, CredentialRef::Digest(digest)),
        7 => node::revoke_subject(name, None),
        _ => Command::RevokeOwn(OwnSessions::Current),
    };
    (command, far(later % 28))
}
