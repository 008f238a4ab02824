//! Texts that people have edited: UTF-8, with a byte-order mark or without; UTF-16 is named for what it is.
//!
//! Editors and spreadsheets put the mark before a text without showing it, and save some texts as UTF-16.

use std::io;
use std::path::Path;

/// How U+FEFF is written in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The beginning of a text that is enough to know what it is, in bytes.
pub const BEGINNING_BYTES: usize = 4;

/// The text is UTF-16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is UTF-16 text, as spreadsheets and some editors save it; save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8"
)]
pub struct IsUtf16;

/// The bytes after the mark, which means nothing here (RFC 8259, section 8.1).
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Refuses the beginning of a text in UTF-16, with its mark or without.
///
/// Every text that is read here begins with an ASCII character, and none has a NUL.
pub fn check(beginning: &[u8]) -> Result<(), IsUtf16> {
    match beginning {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(IsUtf16),
        [first, second, ..] if (*first == 0) != (*second == 0) => Err(IsUtf16),
        _ => Ok(()),
    }
}

/// The text in the file, without its mark.
pub fn read(path: &Path) -> io::Result<String> {
    let bytes = std::fs::read(path)?;
    check(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let text = std::str::from_utf8(without_mark(&bytes));
    text.map(str::to_owned).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn the_mark_is_left_out_and_utf16_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let read = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).expect("it can be written");
            read(file.path()).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"a\n").as_deref(), Ok("a\n"));
        assert_eq!(read("\u{feff}\u{feff}é".as_bytes()).as_deref(), Ok("\u{feff}é"), "only the first is a mark");
        assert_eq!(read(b"").as_deref(), Ok(""));
        for bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
            for text in ["\u{feff}a = 1", "a = 1", "{"] {
                assert_eq!(read(&utf16(text, bytes)), Err(IsUtf16.to_string()), "{text:?}");
            }
        }
        assert_eq!(read(b"caf\xe9").as_deref(), Err(&"it is not UTF-8 text".to_owned()));
    }
}
