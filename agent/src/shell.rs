//! Words of a command line that can be pasted into a shell.

use std::ffi::OsStr;

/// A word as a POSIX shell reads it. Bytes that are not text, such as a file name in Latin-1,
/// become `$'…'`, which bash, zsh and newer shells read.
pub fn quote(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let text = word
        .to_str()
        .filter(|text| !text.chars().any(char::is_control));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match text {
        Some(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', r"'\''")),
        None => {
            let letters = word.as_encoded_bytes().iter().map(|&byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\{byte:03o}"),
            });
            format!("$'{}'", letters.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        for (word, quoted) in [
            ("runs/hard-1", "runs/hard-1"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's", r"'it'\''s'"),
            ("café", "'café'"),
            ("a\nb'", r"$'a\012b\''"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_what_is_not_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let word = OsStr::from_bytes(b"caf\xe9 'x'\\");
        assert_eq!(quote(word), r"$'caf\351 \'x\'\\'");
    }
}
