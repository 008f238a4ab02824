//! JSON objects one after another: one on each line, or in one array. Only the current one is in memory.

use std::io::{self, BufRead};

use super::MAX_LINE_BYTES;

/// Why nothing after that place can be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The next value is not an object.
    #[error("its array holds a value that is not an object")]
    NoObject,
    /// The file ends too early.
    #[error("it ends before its array does")]
    Broken,
    /// The array has ended, but the file has not.
    #[error("something follows its array")]
    Trailing,
}

/// An object's text, and its number: its line, or its place in an array.
pub struct JsonDocument<'a> {
    pub number: u64,
    /// Nothing if it is longer than [`MAX_LINE_BYTES`].
    pub text: Option<&'a [u8]>,
}

/// The objects of a file.
pub struct Documents<R> {
    input: R,
    number: u64,
    is_array: bool,
    is_over: bool,
    text: Vec<u8>,
}

impl<R: BufRead> Documents<R> {
    /// One on each line; so many lines have been read before.
    pub fn lines(input: R, number: u64) -> Self {
        Self { input, number, is_array: false, is_over: false, text: Vec::new() }
    }

    /// In an array, whose opening bracket comes next.
    pub fn array(mut input: R) -> Self {
        input.consume(1);
        Self { input, number: 0, is_array: true, is_over: false, text: Vec::new() }
    }

    /// The number of the last one that was tried.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next object.
    pub fn next(&mut self) -> Result<Option<JsonDocument<'_>>, DocumentError> {
        if self.is_over {
            return Ok(None);
        }
        self.text.clear();
        let found = if self.is_array { self.next_in_array()? } else { self.next_line()? };
        self.is_over = !found;
        let text = (self.text.len() <= MAX_LINE_BYTES).then_some(&*self.text);
        Ok(found.then_some(JsonDocument { number: self.number, text }))
    }

    /// An empty line does not count.
    fn next_line(&mut self) -> io::Result<bool> {
        loop {
            self.number += 1;
            let mut read = false;
            while let Some(byte) = next_byte(&mut self.input)? {
                read = true;
                if byte == b'\n' {
                    break;
                }
                self.keep(byte);
            }
            if !read || !self.text.trim_ascii().is_empty() {
                return Ok(read);
            }
            self.text.clear();
        }
    }

    fn next_in_array(&mut self) -> Result<bool, DocumentError> {
        let first = match (next_token(&mut self.input)?, self.number) {
            (Some(b'{'), 0) => b'{',
            (Some(b','), 1..) => next_token(&mut self.input)?.ok_or(DocumentError::Broken)?,
            (Some(b']'), _) => return self.after_array(),
            (Some(_), _) => return Err(DocumentError::NoObject),
            (None, _) => return Err(DocumentError::Broken),
        };
        self.number += 1;
        if first != b'{' {
            return Err(DocumentError::NoObject);
        }
        self.object()?;
        Ok(true)
    }

    fn after_array(&mut self) -> Result<bool, DocumentError> {
        match next_token(&mut self.input)? {
            None => Ok(false),
            Some(_) => Err(DocumentError::Trailing),
        }
    }

    /// The rest of an object whose opening brace has been read. Only braces outside of strings count.
    fn object(&mut self) -> Result<(), DocumentError> {
        self.keep(b'{');
        let (mut depth, mut in_string, mut escaped) = (1_u64, false, false);
        while depth > 0 {
            let byte = next_byte(&mut self.input)?.ok_or(DocumentError::Broken)?;
            self.keep(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' if !in_string => depth += 1,
                b'}' if !in_string => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// An overlong text is read to its end, and not kept.
    fn keep(&mut self, byte: u8) {
        if self.text.len() <= MAX_LINE_BYTES {
            self.text.push(byte);
        }
    }
}

/// The first byte that is not white space, not consumed, and how many lines have ended before it.
pub fn first_byte(input: &mut impl BufRead) -> io::Result<(Option<u8>, u64)> {
    let mut lines = 0;
    while let Some(byte) = peek(input)? {
        if !byte.is_ascii_whitespace() {
            return Ok((Some(byte), lines));
        }
        lines += u64::from(byte == b'\n');
        input.consume(1);
    }
    Ok((None, lines))
}

fn next_token(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    let (byte, _) = first_byte(input)?;
    input.consume(usize::from(byte.is_some()));
    Ok(byte)
}

fn next_byte(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    let byte = peek(input)?;
    input.consume(usize::from(byte.is_some()));
    Ok(byte)
}

fn peek(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match input.fill_buf() {
            Ok(buffer) => return Ok(buffer.first().copied()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut documents: Documents<&[u8]>) -> Result<Vec<(u64, Option<String>)>, String> {
        let mut all = Vec::new();
        loop {
            match documents.next() {
                Ok(Some(JsonDocument { number, text })) => {
                    all.push((number, text.map(|text| String::from_utf8(text.to_vec()).expect("as it was written"))));
                }
                Ok(None) => return Ok(all),
                Err(error) => return Err(format!("{error} after {}", documents.number())),
            }
        }
    }

    fn some(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.to_owned()))
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = "{}\n\n  \r\n{\"a\":1}\nno object";
        let due = [some(1, "{}"), some(4, "{\"a\":1}"), some(5, "no object")];
        assert_eq!(all(Documents::lines(text.as_bytes(), 0)).expect("as it was written"), due);
        assert_eq!(all(Documents::lines(b"", 0)).expect("as it was written"), []);
    }

    #[test]
    fn an_array_is_taken_apart_without_being_loaded() {
        let text = r#"[{"a":"}]\"{","b":{"c":[{}]}},{"d":"\\"}
 , {} ]
"#;
        let due = [some(1, r#"{"a":"}]\"{","b":{"c":[{}]}}"#), some(2, r#"{"d":"\\"}"#), some(3, "{}")];
        assert_eq!(all(Documents::array(text.as_bytes())).expect("as it was written"), due);
        assert_eq!(all(Documents::array(b"[]")).expect("as it was written"), []);
    }

    #[test]
    fn an_array_that_is_not_whole_is_an_error() {
        for (text, error) in [
            ("[{}", "it ends before its array does after 1"),
            ("[{},", "it ends before its array does after 1"),
            ("[{},{\"a\":\"}", "it ends before its array does after 2"),
            ("[{},7]", "its array holds a value that is not an object after 2"),
            ("[{} {}]", "its array holds a value that is not an object after 1"),
            ("[,{}]", "its array holds a value that is not an object after 0"),
            ("[{}][{}]", "something follows its array after 1"),
        ] {
            assert_eq!(all(Documents::array(text.as_bytes())).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn a_document_that_is_too_long_is_passed_over() {
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        let text = format!("{long}\n{{}}\n");
        assert_eq!(all(Documents::lines(text.as_bytes(), 0)).expect("as it was written"), [(1, None), some(2, "{}")]);
        let text = format!("[{{\"a\":\"{long}\"}},{{}}]");
        assert_eq!(all(Documents::array(text.as_bytes())).expect("as it was written"), [(1, None), some(2, "{}")]);
    }
}
