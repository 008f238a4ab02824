//! Where an issuer's keys come from, and how often they are asked for.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use authledger::clock::Clock;
use authledger::jose::{JwksUrl, KeySource};
use authledger::jose::{KEYS_FRESH_MILLIS, KEYS_TIMEOUT, RELOAD_MILLIS, TokenError, TrustedIssuers};
use authledger::keys::Algorithm;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Own, Signer, claims, clock, jwks, trusted};

const UNREACHABLE: &str = "verify the token: its issuer's keys are out of reach; try again in a minute";

/// Publishes keys, and counts the requests for them.
#[derive(Clone)]
struct Publisher {
    url: String,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<String>>,
    /// One permit for each answer that may be given.
    gate: Arc<Semaphore>,
}

impl Publisher {
    async fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let gate = Arc::new(Semaphore::new(1000));
        let publisher = Self { url, asked: Arc::default(), answer: Arc::new(Mutex::new(answer)), gate };
        let serving = publisher.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        publisher
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        let answer = self.answer.lock().clone();
        // The party that asked may have hung up.
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn publish(&self, answer: String) {
        *self.answer.lock() = answer;
    }

    fn issuers(&self, clock: &Clock) -> TrustedIssuers {
        let source = KeySource::Url(JwksUrl::new(&self.url).unwrap());
        TrustedIssuers::new(vec![trusted(source, None)], clock.clone()).unwrap()
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn outcome(issuers: &TrustedIssuers, token: &str) -> Result<(), TokenError> {
    issuers.verify(token, &Own::default()).await.map(|_| ())
}

#[tokio::test]
async fn keys_are_fetched_at_their_first_use_and_again_for_an_unknown_name_once_a_minute() {
    let (old, new) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::EdDsa));
    let (old_token, new_token) = (old.token(&claims(json!({}))), new.token(&claims(json!({}))));
    let publisher = Publisher::start(ok(&jwks(&[&old]))).await;
    let clock = clock();
    let issuers = publisher.issuers(&clock);
    assert_eq!(publisher.asked(), 0);
    for _ in 0..3 {
        assert_eq!(outcome(&issuers, &old_token).await, Ok(()));
    }
    assert_eq!(publisher.asked(), 1);

    publisher.publish(ok(&jwks(&[&old, &new])));
    clock.advance(RELOAD_MILLIS - 1);
    assert_eq!(outcome(&issuers, &new_token).await, Err(TokenError::UnknownKey));
    assert_eq!(publisher.asked(), 1);
    clock.advance(1);
    assert_eq!(outcome(&issuers, &new_token).await, Ok(()));
    assert_eq!(publisher.asked(), 2);

    publisher.publish("HTTP/1.1 500 Oh\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned());
    let stranger = Signer::new(Algorithm::EdDsa).token(&claims(json!({})));
    clock.advance(RELOAD_MILLIS);
    for _ in 0..3 {
        assert_eq!(outcome(&issuers, &stranger).await, Err(TokenError::UnknownKey), "the old keys are still there");
        assert_eq!(outcome(&issuers, &new_token).await, Ok(()));
    }
    assert_eq!(publisher.asked(), 3, "a load that failed counts too");
}

#[tokio::test]
async fn a_key_that_was_withdrawn_goes_within_the_hour_and_nobody_waits_for_it() {
    let (old, new) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::EdDsa));
    let publisher = Publisher::start(ok(&jwks(&[&old]))).await;
    let clock = clock();
    let issuers = publisher.issuers(&clock);
    let (old_token, new_token) = (old.token(&claims(json!({}))), new.token(&claims(json!({}))));
    assert_eq!(outcome(&issuers, &old_token).await, Ok(()));
    publisher.publish(ok(&jwks(&[&new])));
    clock.advance(KEYS_FRESH_MILLIS);
    assert_eq!(outcome(&issuers, &old_token).await, Ok(()), "it is loaded behind this one's back");
    // A caller that asks for another key waits for that load.
    assert_eq!(outcome(&issuers, &new_token).await, Ok(()));
    assert_eq!(outcome(&issuers, &old_token).await, Err(TokenError::UnknownKey));
    assert_eq!(publisher.asked(), 2);
}

#[tokio::test]
async fn a_token_that_was_verified_is_nothing_to_another_key_of_the_same_name() {
    let (old, new, other) =
        (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Es256), Signer::new(Algorithm::EdDsa));
    let publisher = Publisher::start(ok(&jwks(&[&old]))).await;
    let clock = clock();
    let issuers = publisher.issuers(&clock);
    let token = old.token(&claims(json!({})));
    for _ in 0..3 {
        assert_eq!(outcome(&issuers, &token).await, Ok(()));
    }
    let (head, signature) = token.rsplit_once('.').unwrap();
    let mangled = format!("{head}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    assert_eq!(outcome(&issuers, &mangled).await, Err(TokenError::BadSignature));
    publisher.publish(ok(&jwks(&[&new, &other]).replace(new.key.kid(), old.key.kid())));
    clock.advance(RELOAD_MILLIS);
    // Its key is not among the old ones, so the new ones are loaded before it is answered.
    assert_eq!(outcome(&issuers, &other.token(&claims(json!({})))).await, Ok(()));
    assert_eq!(outcome(&issuers, &token).await, Err(TokenError::BadSignature));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_ask_together_share_one_load_and_one_that_hangs_up_does_not_end_it() {
    let signer = Signer::new(Algorithm::Es256);
    let token = signer.token(&claims(json!({})));
    let publisher = Publisher::start(ok(&jwks(&[&signer]))).await;
    publisher.gate.forget_permits(1000);
    let issuers = Arc::new(publisher.issuers(&clock()));
    let ask = || {
        let (issuers, token) = (issuers.clone(), token.clone());
        tokio::spawn(async move { outcome(&issuers, &token).await })
    };
    let first = ask();
    while publisher.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..20).map(|_| ask()).collect();
    first.abort();
    assert!(first.await.is_err_and(|error| error.is_cancelled()));
    publisher.gate.add_permits(1000);
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(()));
    }
    assert_eq!(publisher.asked(), 1);
}

#[tokio::test]
async fn without_any_keys_the_issuer_is_out_of_reach_until_the_next_minute() {
    let signer = Signer::new(Algorithm::Es256);
    let token = signer.token(&claims(json!({})));
    let keys = jwks(&[&signer]);
    let elsewhere = Publisher::start(ok(&keys)).await;
    let long = format!("{keys}{}", " ".repeat(300 * 1024));
    for (case, answer) in [
        (
            "a redirect",
            format!(
                "HTTP/1.1 302 Found\r\nlocation: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                elsewhere.url
            ),
        ),
        ("300 KiB", ok(&long)),
        ("300 KiB of unknown length", format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{long}")),
        ("no keys", ok("{}")),
        ("an error", "HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()),
        ("nothing", String::new()),
        ("half of it", ok(&keys).replacen("content-length: ", "content-length: 9", 1)),
    ] {
        let publisher = Publisher::start(answer).await;
        let clock = clock();
        let issuers = publisher.issuers(&clock);
        for _ in 0..3 {
            let refused = outcome(&issuers, &token).await.expect_err(case);
            assert_eq!((refused, refused.to_string().as_str()), (TokenError::KeysUnreachable, UNREACHABLE), "{case}");
        }
        assert_eq!(publisher.asked(), 1, "{case}");
        publisher.publish(ok(&keys));
        clock.advance(RELOAD_MILLIS);
        assert_eq!(outcome(&issuers, &token).await, Ok(()), "{case}");
    }
    assert_eq!(elsewhere.asked(), 0, "a redirect is not followed");
}

#[tokio::test]
async fn a_publisher_that_does_not_answer_is_not_waited_for_long() {
    let publisher = Publisher::start(String::new()).await;
    publisher.gate.forget_permits(1000);
    let began = Instant::now();
    let token = Signer::new(Algorithm::Es256).token(&claims(json!({})));
    assert_eq!(outcome(&publisher.issuers(&clock()), &token).await, Err(TokenError::KeysUnreachable));
    let took = began.elapsed();
    assert!(took >= KEYS_TIMEOUT - Duration::from_secs(1) && took < KEYS_TIMEOUT * 3, "{took:?}");
}

#[tokio::test]
async fn keys_in_a_file_are_read_at_the_start_and_again_for_an_unknown_name() {
    let (old, new) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::EdDsa));
    let path = old.jwks_file();
    let clock = clock();
    let issuers = TrustedIssuers::new(vec![old.trusted(None)], clock.clone()).unwrap();
    fs::write(&path, jwks(&[&new])).unwrap();
    assert_eq!(outcome(&issuers, &old.token(&claims(json!({})))).await, Ok(()));
    assert_eq!(outcome(&issuers, &new.token(&claims(json!({})))).await, Err(TokenError::UnknownKey));
    clock.advance(RELOAD_MILLIS);
    assert_eq!(outcome(&issuers, &new.token(&claims(json!({})))).await, Ok(()));
    fs::remove_file(&path).unwrap();
    clock.advance(RELOAD_MILLIS);
    assert_eq!(outcome(&issuers, &old.token(&claims(json!({})))).await, Err(TokenError::UnknownKey));
}

#[test]
fn a_file_that_holds_no_keys_is_refused_at_the_start_with_its_issuer_and_path() {
    let signer = Signer::new(Algorithm::Es256);
    let path = signer.jwks_file();
    let refusal = || {
        let refused = TrustedIssuers::new(vec![trusted(KeySource::File(path.clone()), None)], clock());
        refused.err().expect("a refusal").to_string().replace(path.to_str().unwrap(), "[file]")
    };
    let start = "use the keys of the trusted issuer \"https://issuer.example\" in [file]: ";
    fs::write(&path, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}").unwrap();
    let none = "none is a public key for ES256 (P-256), EdDSA (Ed25519) or RS256 (2048 bits or more)";
    assert_eq!(refusal(), format!("{start}{none}"));
    fs::write(&path, "keys").unwrap();
    assert_eq!(refusal(), format!("{start}it is not a JSON object with a list `keys` (RFC 7517, section 5)"));
    fs::write(&path, " ".repeat(300 * 1024)).unwrap();
    assert_eq!(refusal(), format!("{start}it is longer than 262144 bytes (RFC 7517, section 5)"));
    fs::remove_file(&path).unwrap();
    let missing = "read the keys of the trusted issuer \"https://issuer.example\" in [file]: No such file or directory \
                   (os error 2); correct its jwks_file";
    assert_eq!(refusal(), missing);
}
