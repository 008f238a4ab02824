//! Tokens that pretend to be other ones: each is refused with its own message, and nothing is appended.

use authledger::keys::Algorithm;
use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{NOW, Place, claims, refusal, revoke};
use crate::jose::confusion::public_forms;
use crate::jose::{ISSUER, Signer, encode};

/// A text that claims to be signed by the issuer's key, and its HMAC with something that is public about that key.
fn by_hmac(signer: &Signer, algorithm: &str, secret: &[u8]) -> String {
    let header = json!({"alg": algorithm, "kid": signer.key.kid()}).to_string();
    let signed = format!("{}.{}", encode(header), encode(claims(json!({})).to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", encode(tag))
}

fn forgeries(place: &Place) -> Vec<(&'static str, String)> {
    let issuer = &place.issuer;
    let kid = issuer.key.kid();
    let payload = claims(json!({})).to_string();
    let headed = |header: Value| issuer.raw(&header.to_string(), &payload);
    let stranger = Signer::new(Algorithm::Es256);
    let public = &public_forms(issuer)[1];
    let mut deep = place.token(json!({}));
    for _ in 0..2 {
        deep = place.container(&deep, json!({}));
    }
    let mut deepest = deep.clone();
    for _ in 2..10 {
        deepest = place.container(&deepest, json!({}));
    }
    let flipped = |token: String| {
        let (signed, _) = token.rsplit_once('.').unwrap();
        format!("{signed}.{}", encode([0; 64]))
    };
    vec![
        ("alg none", format!("{}.{}.", encode(json!({"alg": "none", "kid": kid}).to_string()), encode(&payload))),
        ("alg None, signed", headed(json!({"alg": "None", "kid": kid}))),
        ("HMAC with the public key", by_hmac(issuer, "HS256", public)),
        ("HMAC under the name ES256", by_hmac(issuer, "ES256", public)),
        ("no alg", headed(json!({"kid": kid}))),
        ("another alg", headed(json!({"alg": "ES384", "kid": kid}))),
        ("another key's alg", headed(json!({"alg": "EdDSA", "kid": kid}))),
        ("an unknown kid", headed(json!({"alg": "ES256", "kid": "other"}))),
        ("two kids", issuer.raw(&format!(r#"{{"alg":"ES256","kid":"a","kid":"{kid}"}}"#), &payload)),
        ("crit", headed(json!({"alg": "ES256", "kid": kid, "crit": ["exp"], "exp": 1}))),
        ("somebody else's key", stranger.raw(&issuer.header(), &payload)),
        ("no signature", flipped(place.token(json!({})))),
        ("another tenant in aud", place.token(json!({"oid": null, "aud": "three"}))),
        ("another tenant in oid", place.token(json!({"oid": "three"}))),
        ("no tenant", place.token(json!({"oid": null}))),
        ("no subject", place.token(json!({"sub": null}))),
        ("no issuer", place.token(json!({"iss": null}))),
        ("an unknown issuer", place.token(json!({"iss": format!("{ISSUER}/")}))),
        ("our name, their key", place.token(json!({"iss": crate::support::settings::ISSUER}))),
        (
            "a claim twice",
            issuer.raw(&issuer.header(), &format!(r#"{{"iss":"{ISSUER}","sub":"a","sub":"b","oid":"one"}}"#)),
        ),
        ("an exp that is none", place.token(json!({"exp": "soon"}))),
        ("a container in a container", deep),
        ("ten containers", deepest),
        ("a container with a forgery", place.container(&stranger.raw(&issuer.header(), &payload), json!({}))),
        ("a container for somebody else", place.container(&place.token(json!({"sub": "another"})), json!({}))),
        ("two parts", "a.b".to_owned()),
        ("words", "no token at all".to_owned()),
    ]
}

#[tokio::test]
async fn each_forgery_is_refused_with_its_own_message_to_every_caller() {
    let place = Place::start().await;
    // The ledger's own issuer has a key.
    place.mint("p").await;
    let before = place.head();
    let mut shown = Vec::new();
    for (name, token) in forgeries(&place) {
        let as_root = refusal(&revoke(&place.root(), &token).await);
        assert_eq!(refusal(&place.log_out(&token).await), as_root, "{name}");
        let reason = place.invalidity(&token).await.expect("it is not valid");
        shown.push(format!("{name}: {} {} ({reason})", as_root.0, as_root.1));
    }
    assert_eq!(place.head(), before, "nothing is appended");
    insta::assert_snapshot!(shown.join("\n"));
}

#[tokio::test]
async fn a_token_is_refused_while_its_issuers_keys_are_out_of_reach() {
    use crate::jose::trusted;
    use crate::support::served::{Made, ServedNode};
    use authledger::jose::{JwksUrl, KeySource};
    // The server that had the port has left it, so that nobody answers.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = KeySource::Url(JwksUrl::new(&format!("http://127.0.0.1:{port}/keys")).unwrap());
    let node = ServedNode::made(Made { trusted: vec![trusted(source, None)], ..Made::default() }).await;
    let signer = Signer::new(Algorithm::Es256);
    let token = signer.token(&claims(json!({"exp": NOW + 5})));
    let before = node.head();
    let told = "the keys of the token's issuer are out of reach; try again in a minute; nothing was done";
    for actor in [node.root(), node.holder(&token), node.holder(&signer.token(&claims(json!({"jti": "b"}))))] {
        let answer = revoke(&actor, &token).await;
        assert_eq!(refusal(&answer), (503, told.to_owned()));
        assert_eq!(answer.header("retry-after"), "60");
    }
    let answer = node.nobody().post("/token/validate", json!({"token": token})).await;
    assert_eq!(refusal(&answer), (503, told.to_owned()));
    assert_eq!(node.head(), before);
}
