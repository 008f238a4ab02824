//! How arrays are compressed: DEFLATE in the wrapper of ZLIB (RFC 1950), as draft-ietf-oauth-status-list-21, section 4.1, wants it.

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// The encoder of this release, as publications name it. Another output needs another name, and this one stays readable: published lists are
/// made again from their records, byte for byte.
pub const ENCODER: &str = "miniz_oxide-0.9 level 9";

/// The largest array, in bytes: 2^20 entries of 8 bits.
pub const MAX_ARRAY_BYTES: usize = 1 << 20;

const LEVEL: u8 = 9;

/// The bytes as the encoder of that name compresses them; nothing if this release does not have it.
pub fn deflate(encoder: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    (encoder == ENCODER).then(|| compress_to_vec_zlib(bytes, LEVEL))
}

/// The bytes that were compressed, by any encoder; nothing if they are more than [`MAX_ARRAY_BYTES`], or if anything is wrong with the
/// stream or follows it.
pub fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    const FLAGS: u32 = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
        | inflate_flags::TINFL_FLAG_COMPUTE_ADLER32
        | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut bytes = vec![0; MAX_ARRAY_BYTES];
    let (status, read, written) = decompress(&mut DecompressorOxide::new(), compressed, &mut bytes, 0, FLAGS);
    bytes.truncate(written);
    (status == TINFLStatus::Done && read == compressed.len()).then_some(bytes)
}
