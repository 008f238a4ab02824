//! Notes, checkpoints and proofs in files.

use authledger::tlog::{
    Checkpoint, CheckpointError, ConsistencyProof, FileError, InclusionProof, KeyName, NoteError, ProofError,
    SignedNote, VerifierKey, VerifierKeyError, consistency_proof, inclusion_proof, root,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;

use super::{Plain, leaf};

struct Signer(Ed25519KeyPair, VerifierKey);

impl Signer {
    fn new(name: &str, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        Self(pair, VerifierKey::new(KeyName::new(name).unwrap(), public))
    }

    fn note(&self, text: &str) -> SignedNote {
        SignedNote::sign(text, &self.1, |message| self.0.sign(message).as_ref().try_into().unwrap())
    }

    fn checkpoint(&self, size: u64, tree: &Plain) -> SignedNote {
        let checkpoint = Checkpoint { origin: self.1.name().clone(), size, root: root(size, tree).unwrap() };
        checkpoint.sign(&self.1, |message| self.0.sign(message).as_ref().try_into().unwrap())
    }
}

#[test]
fn the_published_note_opens_with_the_published_key_and_not_when_a_byte_is_changed() {
    let vector: Value = serde_json::from_str(include_str!("../../../schema/vectors/signed-note.json")).unwrap();
    let text = |name: &str| vector[name].as_str().unwrap();
    let key: VerifierKey = text("vkey").parse().unwrap();
    assert_eq!(key.to_string(), text("vkey"));
    let note = format!("{}\n{}\n", text("text"), text("signature_line"));
    assert_eq!(SignedNote::parse(&note).unwrap().open(&key), Ok(text("text")));
    for at in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[at] ^= 1;
        let opened = String::from_utf8(bytes).ok().and_then(|note| SignedNote::parse(&note).ok());
        assert!(opened.is_none_or(|note| note.open(&key).is_err()), "byte {at}");
    }
    for (key, error) in [
        (text("vkey").replace("530d903a", "530d903b"), VerifierKeyError::Id),
        (text("vkey").replace("example", "exemple"), VerifierKeyError::Id),
        (text("vkey").replace("+Ae", "+Af"), VerifierKeyError::Id),
        (text("vkey").replace("+Ae", "+Be"), VerifierKeyError::Algorithm),
        ("example.com+00".to_owned(), VerifierKeyError::Form),
    ] {
        assert_eq!(key.parse::<VerifierKey>(), Err(error), "{key}");
    }
}

#[test]
fn a_note_may_have_signatures_of_others_and_needs_the_one_that_is_asked_for() {
    let (own, other) = (Signer::new("log", 1), Signer::new("witness", 2));
    let text = "one\n\nthree\n";
    let (mine, theirs) = (own.note(text), other.note(text));
    let theirs = theirs.as_str().lines().last().unwrap();
    let both = SignedNote::parse(&format!("{mine}{theirs}\n")).unwrap();
    assert_eq!((both.open(&own.1), both.open(&other.1)), (Ok(text), Ok(text)));
    let stranger = Signer::new("log", 3);
    let name = KeyName::new("log").unwrap();
    let id = stranger.1.id();
    assert_eq!(both.open(&stranger.1), Err(NoteError::Unsigned { name: name.clone(), id }));
    // A wrong signature next to a right one of the same key spoils the note.
    let bad = own.note("else\n");
    let spoilt = SignedNote::parse(&format!("{mine}{}\n", bad.as_str().lines().last().unwrap())).unwrap();
    assert_eq!(spoilt.open(&own.1), Err(NoteError::Signature(name)));
    for note in [
        "",
        "text\n",
        "text\n\n",
        "text\n\n\u{2014} log\n",
        "text\n\n\u{2014} log !!\n",
        "a\tb\n\n\u{2014} log AAAAAAA=\n",
        "text\n\n- log AAAAAAA=\n",
    ] {
        assert_eq!(SignedNote::parse(note), Err(NoteError::Form), "{note:?}");
    }
    let endless = format!("{}\n{}\n", "x".repeat(70_000), mine.as_str().lines().last().unwrap());
    assert_eq!(SignedNote::parse(&endless), Err(NoteError::Form));
    assert!(["", "a b", "a+b", "a\u{2003}b", "a\nb"].iter().all(|name| KeyName::new(name).is_none()));
    let origin = "k7m2qx4dnzr5a".parse().unwrap();
    assert_eq!(KeyName::of_origin(origin).origin(), Some(origin));
    assert_eq!(["log", "authledger/x"].map(|name| KeyName::new(name).unwrap().origin()), [None, None]);
}

#[test]
fn a_checkpoint_is_believed_of_the_log_that_signs_it_alone() {
    let (own, other) = (Signer::new("log", 1), Signer::new("other", 1));
    let tree = Plain::of((0..5).map(leaf));
    let signed = own.checkpoint(5, &tree);
    let opened = Checkpoint::open(&signed, &own.1).unwrap();
    assert_eq!((opened.size, opened.to_string().as_str()), (5, signed.text()));
    let of_other = other.note(signed.text());
    let (found, expected) = (own.1.name().clone(), other.1.name().clone());
    assert_eq!(Checkpoint::open(&of_other, &other.1), Err(CheckpointError::OtherOrigin { found, expected }));
    let hash = opened.root;
    assert_eq!(Checkpoint::parse(&format!("log\n5\n{hash}\nmore\n")), Ok(opened));
    for text in [
        format!("log\n05\n{hash}\n"),
        format!("log\n+5\n{hash}\n"),
        format!("log\n5\n{hash}"),
        format!("log\n5\n{hash}\n\n"),
        "log\n5\n\n".to_owned(),
        format!("\n5\n{hash}\n"),
        format!("log\n\n{hash}\n"),
        "log\n5\nAAAA\n".to_owned(),
        format!("log\n18446744073709551616\n{hash}\n"),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::Form), "{text:?}");
    }
}

#[test]
fn a_proof_in_a_file_is_checked_with_nothing_but_the_key() {
    let (own, stranger) = (Signer::new("log", 1), Signer::new("log", 2));
    let tree = Plain::of((0..11).map(leaf));
    let proof = InclusionProof {
        record: leaf(4).into(),
        index: 4,
        hashes: inclusion_proof(4, 11, &tree).unwrap(),
        checkpoint: own.checkpoint(11, &tree),
    };
    let file = proof.to_string();
    assert!(InclusionProof::is_one(&file) && !ConsistencyProof::is_one(&file));
    assert_eq!(InclusionProof::parse(&file).as_ref(), Ok(&proof));
    assert_eq!(proof.verify(&own.1).unwrap().size, 11);
    assert!(matches!(proof.verify(&stranger.1), Err(ProofError::Checkpoint(_))));
    assert!(matches!(
        InclusionProof { record: leaf(5).into(), ..proof.clone() }.verify(&own.1),
        Err(ProofError::Unproven(_))
    ));
    every_change_is_noticed(&file, |text| InclusionProof::parse(text).ok()?.verify(&own.1).ok().map(drop));

    let consistency = ConsistencyProof {
        old: own.checkpoint(6, &tree),
        hashes: consistency_proof(6, 11, &tree).unwrap(),
        checkpoint: own.checkpoint(11, &tree),
    };
    let file = consistency.to_string();
    assert!(ConsistencyProof::is_one(&file) && file.ends_with(&consistency.witness_body()));
    assert!(consistency.witness_body().starts_with("old 6\n"));
    assert_eq!(ConsistencyProof::parse(&file).as_ref(), Ok(&consistency));
    let (old, new) = consistency.verify(&own.1).unwrap();
    assert_eq!((old.size, new.size), (6, 11));
    assert!(matches!(consistency.verify(&stranger.1), Err(ProofError::OldCheckpoint(_))));
    every_change_is_noticed(&file, |text| ConsistencyProof::parse(text).ok()?.verify(&own.1).ok().map(drop));
    let wrong = file.replace("old 6\n", "old 7\n");
    assert!(matches!(ConsistencyProof::parse(&wrong), Err(FileError::Line { line: 7, .. })), "{wrong}");
}

/// Flips a bit of every byte. No statement of the file can change unnoticed, but for its spelling.
fn every_change_is_noticed(file: &str, verify: impl Fn(&str) -> Option<()>) {
    assert!(verify(file).is_some());
    for at in 0..file.len() {
        let mut bytes = file.as_bytes().to_vec();
        bytes[at] ^= 1;
        let changed = String::from_utf8(bytes);
        assert!(changed.is_err() || verify(&changed.unwrap()).is_none(), "byte {at}");
    }
    for line in file.lines() {
        assert!(verify(&file.replacen(&format!("{line}\n"), "", 1)).is_none(), "without {line:?}");
    }
}
