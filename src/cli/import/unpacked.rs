//! The text of a dump, whatever it came in: decompressed if it is gzip or zstd, and without a byte-order mark.
//!
//! Its first bytes decide, not its name: a pipe has none.

use std::io::{self, BufRead as _, BufReader, Cursor, Read as _};

use super::input::{BUFFER_BYTES, DumpInput, SourceError};
use crate::utf8;

/// The dump's text, from its first character on.
pub fn unpack(input: DumpInput) -> Result<DumpInput, SourceError> {
    let input = decompressed(input)?;
    let (beginning, mut input) = peek(input)?;
    utf8::check(&beginning)?;
    let mark = beginning.len() - utf8::without_mark(&beginning).len();
    input.consume(mark);
    Ok(input)
}

fn decompressed(input: DumpInput) -> io::Result<DumpInput> {
    let (beginning, input) = peek(input)?;
    Ok(match *beginning {
        [0x1f, 0x8b, ..] => buffered(flate2::bufread::MultiGzDecoder::new(input)),
        // A frame, or one that is passed over, with which `pzstd` begins (RFC 8878, section 3.1).
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            buffered(zstd::stream::read::Decoder::with_buffer(input)?)
        }
        _ => input,
    })
}

fn buffered(reader: impl io::Read + Send + 'static) -> DumpInput {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, reader))
}

/// The first bytes, and the input with them.
fn peek(mut input: DumpInput) -> io::Result<(Vec<u8>, DumpInput)> {
    let mut beginning = Vec::with_capacity(utf8::BEGINNING_BYTES);
    (&mut input).take(utf8::BEGINNING_BYTES as u64).read_to_end(&mut beginning)?;
    Ok((beginning.clone(), Box::new(Cursor::new(beginning).chain(input))))
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

    fn unpacked(bytes: Vec<u8>) -> Result<String, String> {
        let mut text = String::new();
        let mut input = unpack(Box::new(Cursor::new(bytes))).map_err(|error| error.to_string())?;
        input.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn the_text_of_a_dump_is_the_same_in_each_packing() {
        let text = "{\"a\":1}\n".repeat(100_000);
        let marked = format!("\u{feff}{text}");
        for plain in [&text, &marked] {
            assert_eq!(unpacked(plain.clone().into_bytes()).as_deref(), Ok(&*text));
            assert_eq!(unpacked(gzip(plain.as_bytes())).as_deref(), Ok(&*text));
            let zstd = zstd::encode_all(plain.as_bytes(), 3).expect("memory takes it");
            assert_eq!(unpacked([&b"\x50\x2a\x4d\x18\x01\0\0\0x"[..], &zstd].concat()).as_deref(), Ok(&*text));
            assert_eq!(unpacked(zstd).as_deref(), Ok(&*text));
        }
        for short in ["", "{", "ab", "abc", "\u{feff}"] {
            assert_eq!(unpacked(short.into()).as_deref(), Ok(short.trim_start_matches('\u{feff}')));
        }
    }

    #[test]
    fn a_dump_that_breaks_off_or_is_utf16_is_an_error() {
        let packed = gzip(b"{}\n");
        assert!(unpacked(packed[..packed.len() - 1].to_vec()).is_err());
        let utf16: Vec<u8> = "{}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(unpacked(utf16.clone()).expect_err("it is UTF-16").contains("UTF-16"));
        assert!(unpacked(gzip(&utf16)).expect_err("it is UTF-16").contains("UTF-16"));
    }
}
