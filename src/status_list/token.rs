//! The list as a signed token: draft-ietf-oauth-status-list-21, section 5.1.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{StatusArray, StatusWidth, inflate};
use crate::json;

/// The media type of a list as a JWT: draft-ietf-oauth-status-list-21, section 14.7.1.
pub const JWT_MEDIA_TYPE: &str = "application/statuslist+jwt";

/// What a token says. Its bytes follow from these members and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct StatusListToken<'a> {
    /// The algorithm of its signature: RFC 7515, section 4.1.1.
    pub algorithm: &'a str,
    /// The key that signs it.
    pub kid: &'a str,
    /// The address of the list, exactly as tokens name it.
    pub uri: &'a str,
    pub issuer: &'a str,
    /// Where the addresses of all lists are.
    pub aggregation_uri: &'a str,
    /// Seconds since 1970.
    pub iat: u64,
    /// Seconds since 1970.
    pub exp: u64,
    /// For how many seconds it may be kept.
    pub ttl: u64,
    pub width: StatusWidth,
    /// The compressed array.
    pub compressed: &'a [u8],
}

// Members are written in the order of these declarations.
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
    ttl: u64,
    // Not required by the draft any more; libraries of earlier drafts do require it.
    iss: &'a str,
    status_list: List<'a>,
}

#[derive(Serialize)]
struct List<'a> {
    bits: u8,
    lst: String,
    aggregation_uri: &'a str,
}

impl StatusListToken<'_> {
    /// The text that is signed: RFC 7515, section 5.1.
    pub fn signing_input(&self) -> String {
        let header = Header { alg: self.algorithm, kid: self.kid, typ: "statuslist+jwt" };
        let status_list = List {
            bits: self.width.bits(),
            lst: URL_SAFE_NO_PAD.encode(self.compressed),
            aggregation_uri: self.aggregation_uri,
        };
        let Self { uri: sub, issuer: iss, iat, exp, ttl, .. } = *self;
        let claims = Claims { sub, iat, exp, ttl, iss, status_list };
        let mut input = URL_SAFE_NO_PAD.encode(json::bytes(&header));
        input.push('.');
        URL_SAFE_NO_PAD.encode_string(json::bytes(&claims), &mut input);
        input
    }
}

/// The compact token: the signed text with its signature.
pub fn with_signature(mut signing_input: String, signature: &[u8]) -> String {
    signing_input.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut signing_input);
    signing_input
}

/// The signature of a compact token.
pub fn signature_of(token: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(token.rsplit_once('.')?.1).ok()
}

/// The array in a compact token, whose signature is not looked at.
pub fn array_of(token: &str) -> Option<StatusArray> {
    #[derive(Deserialize)]
    struct Said {
        status_list: SaidList,
    }
    #[derive(Deserialize)]
    struct SaidList {
        bits: u64,
        lst: String,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let SaidList { bits, lst } = serde_json::from_slice::<Said>(&claims).ok()?.status_list;
    let bytes = inflate(&URL_SAFE_NO_PAD.decode(lst).ok()?)?;
    Some(StatusArray::from_bytes(StatusWidth::of(bits)?, bytes))
}
