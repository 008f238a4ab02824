//! Checkpoints that witnesses have cosigned (c2sp.org/tlog-cosignature).

use authledger::tlog::{
    CosignatureWorth, KeyName, SignedNote, VerifierKey, VerifierKeyError, WitnessKey, cosignatures, signed_text,
};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A witness, which cosigns as the specification says, without this project's code for reading that.
pub struct Witness {
    pair: Ed25519KeyPair,
    name: &'static str,
}

impl Witness {
    pub fn new(name: &'static str, seed: u8) -> Self {
        Self { pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(), name }
    }

    fn id(&self) -> [u8; 4] {
        let hashed = [self.name.as_bytes(), b"\n\x04", self.pair.public_key().as_ref()].concat();
        digest(&SHA256, &hashed).as_ref()[..4].try_into().unwrap()
    }

    /// The key as its operator publishes it.
    pub fn key(&self) -> String {
        let id = u32::from_be_bytes(self.id());
        let key = STANDARD.encode([b"\x04", self.pair.public_key().as_ref()].concat());
        format!("{}+{id:08x}+{key}", self.name)
    }

    /// The line that it adds below a checkpoint.
    pub fn cosign(&self, text: &str, seconds: u64) -> String {
        let signature = self.pair.sign(format!("cosignature/v1\ntime {seconds}\n{text}").as_bytes());
        let bytes = [&self.id()[..], &seconds.to_be_bytes(), signature.as_ref()].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

#[test]
fn a_cosignature_is_worth_what_its_key_and_text_make_it() {
    let (one, two) = (Witness::new("witness.example/one", 7), Witness::new("witness.example/two", 8));
    let log = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let key = VerifierKey::new(KeyName::new("log").unwrap(), log.public_key().as_ref().try_into().unwrap());
    let text = "log\n7\nAAAA\n";
    let note = SignedNote::sign(text, &key, |message| log.sign(message).as_ref().try_into().unwrap());
    assert_eq!(signed_text(text, 5), format!("cosignature/v1\ntime 5\n{text}"));
    let all = [one.cosign(text, 1_795_944_000), two.cosign(text, 1_795_944_001), one.cosign("else\n", 9)].concat();
    let note = SignedNote::parse(&format!("{note}{all}")).unwrap();
    assert_eq!(note.open(&key), Ok(text), "the log's own signature stands beside them");
    let known: WitnessKey = one.key().parse().unwrap();
    assert_eq!((known.to_string(), known.name().as_str()), (one.key(), "witness.example/one"));
    let judged = cosignatures(&note, key.name(), &[known]);
    let worths: Vec<CosignatureWorth> = judged.iter().map(|one| one.worth).collect();
    assert_eq!(worths, [CosignatureWorth::Verified(1_795_944_000), CosignatureWorth::Unknown, CosignatureWorth::Wrong]);
    assert_eq!(judged[0].to_string(), "cosigned by witness.example/one at 2026-11-29T09:20:00Z");
    assert!(
        judged[1].to_string().starts_with("a cosignature in the name of witness.example/two with the unknown key ")
    );
}

#[test]
fn keys_of_logs_and_of_witnesses_are_told_apart_by_their_mark() {
    let witness = Witness::new("witness.example/one", 7);
    let log = VerifierKey::new(KeyName::new("log").unwrap(), [3; 32]).to_string();
    assert_eq!(witness.key().parse::<VerifierKey>(), Err(VerifierKeyError::Algorithm));
    assert_eq!(log.parse::<WitnessKey>(), Err(VerifierKeyError::Algorithm));
    assert_eq!(witness.key().replace("/one", "/two").parse::<WitnessKey>(), Err(VerifierKeyError::Id));
}
