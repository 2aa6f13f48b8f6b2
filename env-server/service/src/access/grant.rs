//! The contents of a file of tokens; programs can give the same in code.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use serde::Deserialize;

use super::owner::Owner;

/// Largest file of tokens, since it is read whole.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The tokens of a principal and its quotas. Where a quota is not set, the server's limit applies.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its token: 16 to 256 of the characters `A-Z a-z 0-9 - . _ ~ + / =`.
    pub token: String,
    /// An older token that is still accepted while clients change over.
    pub previous_token: Option<String>,
    /// A token for an agent under evaluation: it may only describe, step and plainly reset existing
    /// environments.
    pub evaluation_token: Option<String>,
    /// Most environments.
    pub max_envs: Option<usize>,
    /// Most lanes of all its environments.
    pub max_lanes: Option<usize>,
    /// Most requests in flight.
    pub max_requests_in_flight: Option<usize>,
    /// Most requests per second.
    pub max_requests_per_s: Option<NonZeroU32>,
    /// Most steps, counted since the server started.
    pub max_steps: Option<u64>,
}

impl Grant {
    fn tokens(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.token)
            .chain(&self.previous_token)
            .chain(&self.evaluation_token)
    }

    pub(super) fn owner(&self, name: &str) -> Owner {
        Owner {
            name: name.into(),
            max_envs: self.max_envs,
            max_lanes: self.max_lanes,
        }
    }
}

/// Reads a file of tokens.
///
/// # Errors
/// Returns a description of the first problem.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Grant>, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    warn_if_readable_by_all(path, &metadata);
    parse(&std::fs::read_to_string(path).map_err(unreadable)?)
}

/// Logs a warning when a file of secrets can be read by every user of the machine.
pub(crate) fn warn_if_readable_by_all(path: &Path, metadata: &std::fs::Metadata) {
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(metadata) & 0o004 != 0 {
        let path = path.display();
        tracing::warn!("{path} can be read by every user of this machine: chmod o= {path}");
    }
    #[cfg(not(unix))]
    let _ = (path, metadata);
}

/// Parses the text of a file of tokens. Errors name a line and never repeat its contents.
fn parse(text: &str) -> Result<BTreeMap<String, Grant>, String> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes()[..start]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        match is_about_keys(error.message()) {
            true => format!("line {line}: {}", error.message()),
            false => format!("line {line}: malformed, or not a value that this key takes"),
        }
    })
}

/// Checks names and tokens, without repeating a token in the error.
///
/// # Errors
/// Returns a description of the first problem.
pub(super) fn check(grants: &BTreeMap<String, Grant>) -> Result<(), String> {
    if grants.is_empty() {
        return Err("holds no token".to_owned());
    }
    for (name, grant) in grants {
        if !is_good_name(name) {
            let detail = "a name is 1 to 64 of the characters A-Z a-z 0-9 . _ -";
            return Err(format!("{name:?} is not a valid name: {detail}"));
        }
        if !grant.tokens().all(|token| is_good_token(token)) {
            let detail = "a token is 16 to 256 of the characters A-Z a-z 0-9 - . _ ~ + / =";
            return Err(format!("the token of {name} is not valid: {detail}"));
        }
    }
    Ok(())
}

/// Parses a file of tokens: any text is accepted or refused without a panic.
#[doc(hidden)]
pub fn fuzz_file(text: &str) {
    let checked = parse(text).and_then(|grants| check(&grants).map(|()| grants));
    for (name, grant) in checked.unwrap_or_default() {
        assert!(is_good_name(&name) && grant.tokens().all(|token| is_good_token(token)));
    }
}

/// Whether a message is of a kind that repeats only keys. All others may repeat a value, which may
/// be a token.
fn is_about_keys(message: &str) -> bool {
    ["unknown field", "missing field", "duplicate key"]
        .iter()
        .any(|kind| message.starts_with(kind))
}

fn is_good_name(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_good_token(token: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    (16..=256).contains(&token.len()) && token.bytes().all(is_allowed)
}
