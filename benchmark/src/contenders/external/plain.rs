//! Text from programs, escaped for display: it cannot move a cursor, set a title or reverse text.

/// Longest message, in characters.
const MAX_CHARS: usize = 1_000;

/// Makes a message of one line. Escapes control characters and invisible ones, and leaves out the
/// middle of a long text.
pub fn message(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => plain.push(' '),
            c if is_obeyed(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    let chars = plain.chars().count();
    if chars <= MAX_CHARS {
        return plain;
    }
    let head: String = plain.chars().take(MAX_CHARS / 2).collect();
    let tail: String = plain.chars().skip(chars - MAX_CHARS / 2).collect();
    format!("{head} […] {tail}")
}

/// Turns a stream of bytes into plain text, the same however the stream is split.
#[derive(Debug, Default)]
pub struct Lines {
    /// First bytes of a character whose other bytes have not arrived yet.
    begun: Vec<u8>,
    after_return: bool,
}

impl Lines {
    /// Returns the text of the next bytes. Escapes control characters and bytes that are not UTF-8.
    /// A carriage return, with which progress bars overwrite themselves, starts a new line.
    pub fn take(&mut self, bytes: &[u8]) -> String {
        let mut data = std::mem::take(&mut self.begun);
        data.extend_from_slice(bytes);
        let mut text = String::with_capacity(data.len());
        let mut rest = data.as_slice();
        while let Some(chunk) = rest.utf8_chunks().next() {
            self.push(&mut text, chunk.valid());
            let invalid = chunk.invalid();
            rest = &rest[chunk.valid().len() + invalid.len()..];
            if rest.is_empty() && is_begun(invalid) {
                self.begun = invalid.to_vec();
            } else {
                push_bytes(&mut text, invalid);
            }
        }
        text
    }

    /// Returns the text of an incomplete character at the end of the stream.
    pub fn finish(&mut self) -> String {
        let mut text = String::new();
        push_bytes(&mut text, &std::mem::take(&mut self.begun));
        text
    }

    fn push(&mut self, text: &mut String, valid: &str) {
        for c in valid.chars() {
            match c {
                '\n' if self.after_return => {}
                '\r' | '\n' => text.push('\n'),
                '\t' => text.push(c),
                c if is_obeyed(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
            self.after_return = c == '\r';
        }
    }
}

/// Returns whether these invalid bytes may be the start of a character.
fn is_begun(bytes: &[u8]) -> bool {
    let length = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 0,
    };
    bytes.len() < length
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    text.extend(bytes.iter().map(|byte| format!("\\x{byte:02x}")));
}

/// Returns whether a character is a control character, or an invisible character that reverses,
/// hides or splits the text around it.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        assert_eq!(message("näive\tτ → 1.0"), "näive τ → 1.0");
        assert_eq!(
            message("\x1b[2Ka\r\n\u{9b}1A\u{202e}b\0"),
            "\\u{1b}[2Ka\\u{d}\\u{a}\\u{9b}1A\\u{202e}b\\u{0}"
        );
        let long = message(&format!("begin{}end", "x".repeat(1 << 20)));
        assert!(
            long.chars().count() < 1_010 && long.starts_with("beginx") && long.ends_with("xend")
        );
    }

    #[test]
    fn a_stream_is_the_same_text_in_any_pieces() {
        let bytes = b"a\xc3\xa4\r\nb\r50%\r\xf0\x9f\x98\x80\x1b[0m\xff\tc\xe2\x82";
        let expected = "aä\nb\n50%\n😀\\u{1b}[0m\\xff\tc\\xe2\\x82";
        for size in 1..=bytes.len() {
            let mut lines = Lines::default();
            let mut text: String = bytes.chunks(size).map(|piece| lines.take(piece)).collect();
            text += &lines.finish();
            assert_eq!(text, expected, "pieces of {size}");
        }
    }
}
