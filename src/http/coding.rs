//! Content codings of bodies (RFC 9110, section 8.4), and bodies that are decoded within a bound.
//!
//! Only imports come encoded: they are large, and dumps are kept compressed. Every other call refuses an encoded body by name, because
//! its bytes would otherwise be called malformed JSON.

use std::io::{self, BufRead, Read};

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;

use super::fields;

/// The value of `Accept-Encoding` in a refusal where no coding is undone.
pub const NONE_TAKEN: &str = "identity";
/// The value of `Accept-Encoding` in a refusal where [`Coding`] is undone.
pub const TAKEN: &str = "gzip, zstd";
/// The largest window of zstd as a content coding, 8 MiB, as a power of two (RFC 9659, section 3): memory that a few bytes can ask for.
const MAX_WINDOW_LOG: u32 = 23;

/// A coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why a body was not decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is more in it than the limit allows.
    #[error("the decoded body is larger than this server takes")]
    TooLarge,
    /// It is not what its coding says, or ends early.
    #[error("the body is not the {0} that its Content-Encoding announces")]
    Malformed(&'static str),
}

/// Codings that are not undone here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCoding;

/// Whether the body is as it was before any coding.
pub fn is_plain(headers: &HeaderMap) -> bool {
    matches!(of(headers), Ok(None))
}

/// The coding of the body; nothing if it has none. A body that was encoded twice is not taken.
pub fn of(headers: &HeaderMap) -> Result<Option<Coding>, UnknownCoding> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(None);
    }
    let mut named = fields::elements(headers, &CONTENT_ENCODING).into_iter().filter(|coding| coding.name != NONE_TAKEN);
    match (named.next().map(|coding| coding.name).as_deref(), named.next()) {
        (None, _) => Ok(None),
        (Some("gzip" | "x-gzip"), None) => Ok(Some(Coding::Gzip)),
        (Some("zstd"), None) => Ok(Some(Coding::Zstd)),
        _ => Err(UnknownCoding),
    }
}

impl Coding {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The bytes that were encoded, if they are at most `limit`. No more than that is ever decoded.
    pub fn decode(self, body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
        let mut decoded = Vec::new();
        let room = limit.saturating_add(1) as u64;
        self.reader(body)
            .and_then(|reader| reader.take(room).read_to_end(&mut decoded))
            .map_err(|_| DecodeError::Malformed(self.as_str()))?;
        if decoded.len() > limit { Err(DecodeError::TooLarge) } else { Ok(decoded.into()) }
    }

    fn reader<'a>(self, encoded: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(encoded)),
            Self::Zstd => {
                let mut reader = zstd::stream::read::Decoder::with_buffer(encoded)?;
                reader.window_log_max(MAX_WINDOW_LOG)?;
                Box::new(reader)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).expect("memory takes it")
    }

    #[test]
    fn codings_are_read_from_every_line_and_in_any_case() {
        let coding = |lines: &[&str]| {
            let lines = lines.iter().map(|line| (CONTENT_ENCODING, line.parse().expect("a field's value")));
            let mut headers = HeaderMap::new();
            lines.for_each(|(name, value)| {
                headers.append(name, value);
            });
            of(&headers)
        };
        for plain in [&[][..], &[""], &["identity"], &["Identity, identity", " "]] {
            assert_eq!(coding(plain), Ok(None), "{plain:?}");
        }
        assert_eq!(coding(&["identity", "X-GZIP"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["ZStd"]), Ok(Some(Coding::Zstd)));
        for unknown in [&["br"][..], &["gzip, gzip"], &["zstd", "gzip"], &["deflate"]] {
            assert_eq!(coding(unknown), Err(UnknownCoding), "{unknown:?}");
        }
    }

    #[test]
    fn an_encoded_body_comes_back_up_to_the_limit_and_nothing_more_is_decoded() {
        for (coding, encode) in [(Coding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Coding::Zstd, zstd)] {
            let encoded: Bytes = encode(b"one\ntwo\n").into();
            assert_eq!(coding.decode(&encoded, 8).expect("as it was encoded"), "one\ntwo\n");
            assert!(matches!(coding.decode(&encoded, 7), Err(DecodeError::TooLarge)));
            // Two members or frames are one body.
            let twice: Bytes = [encode(b"one\n"), encode(b"two\n")].concat().into();
            assert_eq!(coding.decode(&twice, 8).expect("as it was encoded"), "one\ntwo\n");
            let bomb: Bytes = encode(&vec![b' '; 64 << 20]).into();
            assert!(bomb.len() < 128 << 10, "{}", bomb.len());
            assert!(matches!(coding.decode(&bomb, 64 << 10), Err(DecodeError::TooLarge)));
            for broken in [&encoded[..encoded.len() - 1], b"{}", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"] {
                let broken = Bytes::copy_from_slice(broken);
                assert!(matches!(coding.decode(&broken, 8), Err(DecodeError::Malformed(_))), "{coding:?} {broken:?}");
            }
        }
    }

    #[test]
    fn a_frame_cannot_ask_for_a_large_window() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("memory takes it");
        encoder.window_log(27).expect("within its bounds");
        encoder.write_all(&[b' '; 1 << 10]).expect("memory takes it");
        let encoded: Bytes = encoder.finish().expect("memory takes it").into();
        assert!(matches!(Coding::Zstd.decode(&encoded, 64 << 10), Err(DecodeError::Malformed("zstd"))));
    }
}
