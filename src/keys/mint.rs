//! Secrets that this ledger makes: `al_a_` + 33 characters of base62 + a checksum of 6.
//!
//! The prefix lets scanners find a leaked one; the checksum lets them tell it from a lookalike without asking.

use super::KeyError;
use crate::domain::Secret;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_BYTES: usize = 24;
/// The digits that 24 bytes need: 62^33 > 2^192.
const RANDOM_DIGITS: usize = 33;
/// The digits that 4 bytes need: 62^6 > 2^32.
const CHECKSUM_DIGITS: usize = 6;

/// The purpose of a secret that this ledger makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretPrefix {
    /// An application's secret, root's too: `al_a_`.
    Application,
    /// A session token: `al_s_`.
    Session,
    /// An opaque token: `al_o_`.
    OpaqueToken,
}

impl SecretPrefix {
    /// Every prefix.
    pub const ALL: [Self; 3] = [Self::Application, Self::Session, Self::OpaqueToken];

    /// The first characters of such a secret.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "al_a_",
            Self::Session => "al_s_",
            Self::OpaqueToken => "al_o_",
        }
    }
}

/// A new secret with 192 random bits. It fails only where the operating system gives no randomness.
pub fn mint(prefix: SecretPrefix) -> Result<Secret, KeyError> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|_| KeyError::NoRandomness)?;
    Ok(from_random(prefix, random))
}

/// Whether the text has the form of a secret that this ledger makes, checksum included. It does not prove that the
/// secret exists.
pub fn is_well_formed(text: &str) -> bool {
    SecretPrefix::ALL.iter().any(|prefix| is_coded(prefix.as_str(), RANDOM_DIGITS, text))
}

/// Whether the text is that prefix, so many digits of base62, and their checksum.
pub(super) fn is_coded(prefix: &str, digits: usize, text: &str) -> bool {
    let Some(rest) = text.strip_prefix(prefix) else { return false };
    if rest.len() != digits + CHECKSUM_DIGITS || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let (body, sum) = text.split_at(text.len() - CHECKSUM_DIGITS);
    checksum(body) == sum
}

/// The prefix, the number in so many digits of base62, and a checksum of both.
pub(super) fn coded(prefix: &str, digits: usize, number: &[u8]) -> String {
    let mut text = String::from(prefix);
    push_base62(number, digits, &mut text);
    text.push_str(&checksum(&text));
    text
}

fn from_random(prefix: SecretPrefix, random: [u8; RANDOM_BYTES]) -> Secret {
    Secret::new(&coded(prefix.as_str(), RANDOM_DIGITS, &random))
}

/// The first 4 bytes of BLAKE3 over all characters before it, in base62.
fn checksum(body: &str) -> String {
    let mut sum = String::with_capacity(CHECKSUM_DIGITS);
    push_base62(&blake3::hash(body.as_bytes()).as_bytes()[..4], CHECKSUM_DIGITS, &mut sum);
    sum
}

/// Appends the big-endian number in base 62, most significant digit first, padded with zeros to that many digits.
fn push_base62(number: &[u8], digits: usize, out: &mut String) {
    let mut number = number.to_vec();
    let least_first: Vec<u8> = (0..digits).map(|_| ALPHABET[divide_by_62(&mut number)]).collect();
    out.extend(least_first.iter().rev().map(|digit| char::from(*digit)));
}

/// Divides the big-endian number in place; the remainder is the next digit.
fn divide_by_62(number: &mut [u8]) -> usize {
    let mut remainder = 0;
    for byte in number {
        let dividend = remainder << 8 | usize::from(*byte);
        *byte = (dividend / 62) as u8;
        remainder = dividend % 62;
    }
    remainder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_fixed() {
        // The random digits as another implementation computes them: int.from_bytes(bytes, "big") written in base 62.
        let zero = from_random(SecretPrefix::Application, [0; RANDOM_BYTES]);
        assert!(zero.expose().starts_with(&format!("al_a_{}", "0".repeat(RANDOM_DIGITS))));
        let mut one_byte = [0; RANDOM_BYTES];
        one_byte[RANDOM_BYTES - 1] = 255;
        assert_eq!(
            &from_random(SecretPrefix::Session, one_byte).expose()[..38],
            "al_s_000000000000000000000000000000047"
        );
        assert!(is_well_formed(from_random(SecretPrefix::OpaqueToken, [255; RANDOM_BYTES]).expose()));
    }

    #[test]
    fn a_minted_secret_is_well_formed_and_any_change_of_one_character_is_noticed() {
        let secret = mint(SecretPrefix::Application).expect("randomness");
        let text = secret.expose();
        assert_eq!(text.len(), 44);
        assert!(is_well_formed(text));
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            assert!(!is_well_formed(std::str::from_utf8(&changed).expect("ASCII")), "the character at {at}");
        }
        assert!(!is_well_formed(&text[..43]));
        assert!(!is_well_formed("al_a_é"));
    }

    #[test]
    fn two_secrets_differ() {
        let [one, other] =
            [mint(SecretPrefix::Session), mint(SecretPrefix::Session)].map(|secret| secret.expect("randomness"));
        assert!(one != other);
    }
}
