//! The bearer token that a server asks for.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;

/// A bearer token, and where it is from. It is shown nowhere: neither in logs, nor in errors, nor in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    header: HeaderValue,
    source: String,
    is_open: bool,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file system.
    #[error("the token file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It is not a token.
    #[error("{place} holds no bearer token: {reason}")]
    Malformed {
        /// The file or the variable.
        place: String,
        /// The fault.
        reason: &'static str,
    },
}

impl Token {
    /// The variable that has a token, for all clients of the project.
    pub const VARIABLE: &str = "STRATEGIC_MEMORY_TOKEN";

    /// The token of a file if one is named, else that of the variable, if it is set to something.
    ///
    /// # Errors
    /// When the file cannot be read, or what is found is no token.
    pub fn find(file: Option<&Path>, variable: Option<&OsStr>) -> Result<Option<Self>, TokenError> {
        match (file, variable) {
            (Some(path), _) => Self::read(path).map(Some),
            (None, Some(text)) if !text.is_empty() => {
                let place = format!("the variable {}", Self::VARIABLE);
                Self::new(text.as_encoded_bytes(), place).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The token of a server that this program has started.
    ///
    /// # Errors
    /// When it is no token.
    pub fn own(text: &str) -> Result<Self, TokenError> {
        Self::new(text.as_bytes(), "the program's own server".to_owned())
    }

    fn read(path: &Path) -> Result<Self, TokenError> {
        let bytes = fs::read(path).map_err(|source| TokenError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let token = Self::new(&bytes, path.display().to_string())?;
        let is_open = is_open(path);
        Ok(Self { is_open, ..token })
    }

    fn new(bytes: &[u8], place: String) -> Result<Self, TokenError> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let token = line.strip_suffix(b"\r").unwrap_or(line);
        let reason = if token.is_empty() {
            Some("it is empty")
        } else if token.contains(&b'\n') {
            Some(
                "it has several lines, as a server's own file of tokens has; it should have the bare token",
            )
        } else if !token.iter().all(u8::is_ascii_graphic) {
            Some("it has characters that no token has")
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(TokenError::Malformed { place, reason });
        }
        let header = [b"Bearer ", token].concat();
        let mut header = HeaderValue::from_bytes(&header).expect("visible ASCII is a header's");
        header.set_sensitive(true);
        Ok(Self {
            header,
            source: place,
            is_open: false,
        })
    }

    /// Returns a warning if every user of the machine can read the file.
    pub fn warning(&self) -> Option<String> {
        let file = &self.source;
        self.is_open.then(|| {
            format!("every user of this machine can read the token in {file}: chmod 600 it")
        })
    }

    /// Returns the value of the `Authorization` header.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// The file or the variable that it is from.
    pub fn source(&self) -> &str {
        &self.source
    }
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).map(|file| file.permissions().mode());
    mode.is_ok_and(|mode| mode & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token from {}", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_before_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let said = |file: Option<&Path>, variable: Option<&str>| {
            let token = Token::find(file, variable.map(OsStr::new)).unwrap();
            token.map(|token| token.header().to_str().unwrap().to_owned())
        };
        for text in ["secret-1", "secret-1\n", "secret-1\r\n"] {
            fs::write(&path, text).unwrap();
            let bearer = Some("Bearer secret-1".to_owned());
            assert_eq!(said(Some(&path), Some("secret-2")), bearer);
        }
        assert_eq!(said(None, Some("secret-2")).unwrap(), "Bearer secret-2");
        assert_eq!((said(None, Some("")), said(None, None)), (None, None));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_everybody_can_read_is_told() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "secret").unwrap();
        for (mode, warns) in [(0o600, false), (0o644, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let token = Token::find(Some(&path), None).unwrap().unwrap();
            assert_eq!(token.warning().is_some(), warns, "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_token_is_told_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        for text in ["", "\n", "[me]\ntoken = \"secret\"\n", "sec ret", "sécret"] {
            fs::write(&path, text).unwrap();
            let error = Token::find(Some(&path), None).unwrap_err().to_string();
            assert!(error.contains("tokens.toml"), "{error}");
            assert!(!error.contains("ret"), "{error}");
        }
        let error = Token::find(Some(&folder.path().join("none")), None).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        let token = Token::find(None, Some(OsStr::new("secret"))).unwrap();
        assert!(!format!("{token:?}").contains("secret"));
    }
}
