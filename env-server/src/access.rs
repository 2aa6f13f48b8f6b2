//! Who may use the server: bearer tokens from a file, each with quotas of its own.
//!
//! The file is TOML, one table for each principal:
//!
//! ```toml
//! [alice]
//! token = "Yt3rJ0kM5sGq8ZcW1nUe7A"         # 16 to 256 characters A-Z a-z 0-9 - . _ ~ + / =
//! previous_token = "h2VxP9bQe4LdK6mTa0RzNw" # still taken, while clients change over
//! max_envs = 100                            # every quota may be left out
//! max_lanes = 4096
//! max_requests_in_flight = 32
//! max_requests_per_s = 1000
//! ```
//!
//! A principal is known by its name: environments and quotas stay with it when its token changes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, header};
use env_protocol::{ErrorCode, Problem};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::session::store::Owner;

/// A file of tokens is read whole.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Whoever holds a token, with what it may use at most: as much as the server has, where the file
/// says nothing. Handlers find it in the request's extensions.
///
/// What a principal may do is decided where it is found: a role, once there is more than one,
/// is a field here and a key in the file.
pub struct Principal {
    owner: Arc<Owner>,
    max_in_flight: usize,
    /// Shared with the principal of the same name before and after a reload.
    in_flight: Arc<AtomicUsize>,
    rate: Option<DefaultDirectRateLimiter>,
}

impl Principal {
    /// Its name in the file of tokens: 1 to 64 of the characters `A-Z a-z 0-9 . _ -`.
    pub fn name(&self) -> &str {
        &self.owner.name
    }

    /// As environments know it.
    pub fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// Counts a request as under way until the result is dropped.
    ///
    /// # Errors
    /// `rate-limited`.
    pub(crate) fn begin_request(&self) -> Result<InFlight<'_>, Problem> {
        let max = self.max_in_flight;
        let in_flight = InFlight::begin(&self.in_flight, max).ok_or_else(|| {
            let name = self.name();
            let detail = format!("{name} has {max} requests under way, its limit");
            Problem::new(ErrorCode::RateLimited, detail)
        })?;
        if let Some(rate) = &self.rate
            && rate.check().is_err()
        {
            let detail = format!(
                "{} sends more requests in a second than it may",
                self.name()
            );
            return Err(Problem::new(ErrorCode::RateLimited, detail));
        }
        Ok(in_flight)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Principal");
        debug.field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// One of a limited number of things under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    /// Nothing, when `max` are under way.
    pub(crate) fn begin(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        // Guards before the check: when it fails, dropping takes the count back.
        let held = count.fetch_add(1, Ordering::Relaxed);
        let this = InFlight(count);
        (held < max).then_some(this)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The tokens of a server. They are not kept, only their hashes under a key of this process.
pub struct Access {
    path: PathBuf,
    hash_key: [u8; 32],
    principals: RwLock<HashMap<TokenHash, Arc<Principal>>>,
}

impl Access {
    /// Reads a file of tokens.
    ///
    /// # Errors
    /// [`Error::Tokens`], when it cannot be read, is malformed or holds no token.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let access = Access {
            path: path.to_owned(),
            hash_key: rand::random(),
            principals: RwLock::default(),
        };
        access.reload()?;
        Ok(access)
    }

    /// Reads the file again and returns the number of principals. Requests under way go on.
    ///
    /// # Errors
    /// As [`Access::from_file`]; then the tokens are as they were.
    pub fn reload(&self) -> Result<usize, Error> {
        let failed = |detail| Error::Tokens {
            path: self.path.clone(),
            detail,
        };
        let text = read(&self.path).map_err(failed)?;
        let entries = parse(&text).map_err(failed)?;
        let num_principals = entries.len();
        let mut principals = self
            .principals
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before: HashMap<_, _> = principals
            .values()
            .map(|p| (p.name().to_owned(), Arc::clone(&p.in_flight)))
            .collect();
        let mut after = HashMap::new();
        for (name, entry) in entries {
            let principal = Arc::new(Principal {
                in_flight: before.get(&name).cloned().unwrap_or_default(),
                owner: Arc::new(entry.owner(&name)),
                max_in_flight: entry.max_requests_in_flight.unwrap_or(usize::MAX),
                rate: entry.max_requests_per_s.map(per_second),
            });
            for token in entry.tokens() {
                let hash = self.hash(token.as_bytes());
                if let Some(other) = after.insert(hash, Arc::clone(&principal)) {
                    let (one, other) = (other.name(), principal.name());
                    return Err(failed(format!("{one} and {other} have the same token")));
                }
            }
        }
        *principals = after;
        Ok(num_principals)
    }

    /// Finds out who sends a request.
    ///
    /// # Errors
    /// `unauthorized`, when the headers hold no token or one that is not known.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Problem> {
        let refused = |detail: &str| Problem::new(ErrorCode::Unauthorized, detail);
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or_else(|| refused("there is no token"))?;
        if values.next().is_some() {
            return Err(refused("there is more than one Authorization header"));
        }
        let token = bearer(value.as_bytes())
            .ok_or_else(|| refused("the Authorization header is not Bearer TOKEN"))?;
        let hash = self.hash(token);
        let principals = self
            .principals
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let known = principals.get(&hash).cloned();
        known.ok_or_else(|| refused("the token is not known"))
    }

    fn hash(&self, token: &[u8]) -> TokenHash {
        let hasher = Sha256::new_with_prefix(self.hash_key);
        TokenHash(hasher.chain_update(token).finalize().into())
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Access");
        debug.field("path", &self.path).finish_non_exhaustive()
    }
}

/// Hash of a token under a key that nobody else has, so that how long a search takes tells
/// nothing of the tokens; the last comparison takes the same time for any two.
#[derive(Clone, Copy)]
struct TokenHash([u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// The token of `Bearer TOKEN` (RFC 6750, section 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// A principal as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: String,
    previous_token: Option<String>,
    max_envs: Option<usize>,
    max_lanes: Option<usize>,
    max_requests_in_flight: Option<usize>,
    max_requests_per_s: Option<NonZeroU32>,
}

impl Entry {
    fn tokens(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.token).chain(&self.previous_token)
    }

    fn owner(&self, name: &str) -> Owner {
        Owner {
            name: name.into(),
            max_envs: self.max_envs,
            max_lanes: self.max_lanes,
        }
    }
}

fn per_second(limit: NonZeroU32) -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(limit))
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    warn_if_readable_by_all(path, &metadata);
    std::fs::read_to_string(path).map_err(unreadable)
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

/// Reads the text of a file of tokens. Errors name a line and never say what stands in it.
fn parse(text: &str) -> Result<BTreeMap<String, Entry>, String> {
    let entries: BTreeMap<String, Entry> = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes()[..start]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        match is_about_keys(error.message()) {
            true => format!("line {line}: {}", error.message()),
            false => format!("line {line}: malformed, or not a value that this key takes"),
        }
    })?;
    if entries.is_empty() {
        return Err("holds no token".to_owned());
    }
    for (name, entry) in &entries {
        if !is_good_name(name) {
            let detail = "a name is 1 to 64 of the characters A-Z a-z 0-9 . _ -";
            return Err(format!("{name:?} cannot be a name: {detail}"));
        }
        if !entry.tokens().all(|token| is_good_token(token)) {
            let detail = "a token is 16 to 256 of the characters A-Z a-z 0-9 - . _ ~ + / =";
            return Err(format!("the token of {name} cannot be one: {detail}"));
        }
    }
    Ok(entries)
}

/// Messages of these kinds repeat keys, all others may repeat a value, which may be a token.
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "alice-0123456789abcdef";
    const BOB: &str = "bob-0123456789abcdef";

    /// A file of tokens with this text, in a folder that goes with it.
    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    fn who(access: &Access, value: &str) -> Option<String> {
        let principal = access.authenticate(&headers(value)).ok()?;
        Some(principal.name().to_owned())
    }

    #[test]
    fn a_token_names_its_principal() {
        let text = format!(
            "# Comments are allowed.\n[alice]\ntoken = \"{ALICE}\"\nmax_envs = 3\n\n[bob]\n\
             token = \"{BOB}\"\nprevious_token = \"old-{BOB}\"\n"
        );
        let (_folder, path) = file(&text);
        let access = Access::from_file(&path).unwrap();
        let alice = access.authenticate(&headers(&format!("Bearer {ALICE}")));
        assert_eq!(alice.unwrap().owner().max_envs, Some(3));
        for (value, name) in [
            (format!("bearer {BOB}"), Some("bob")),
            (format!("BEARER  {BOB}"), Some("bob")),
            (format!("Bearer old-{BOB}"), Some("bob")),
            (format!("Bearer {BOB}x"), None),
            (format!("Bearer {}", &BOB[1..]), None),
            (format!("Basic {BOB}"), None),
            (BOB.to_owned(), None),
            ("Bearer ".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(who(&access, &value).as_deref(), name, "{value}");
        }
        let mut twice = headers(&format!("Bearer {ALICE}"));
        twice.append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(access.authenticate(&twice).is_err());
        assert!(access.authenticate(&HeaderMap::new()).is_err());
    }

    #[test]
    fn bad_files_are_refused_without_repeating_a_secret() {
        let secret = "s3cr3t-0123456789abcdef";
        for (text, said) in [
            (String::new(), "holds no token"),
            (format!("[a]\ntoken = \"{secret}"), "line 2: malformed"),
            (format!("[a]\ntoken = {secret}"), "line 2: malformed"),
            (format!("[a]\ntoken = [\"{secret}\"]"), "line 2: malformed"),
            (
                format!("[a]\ntoken = \"{secret}\"\nmax_env = 3"),
                "line 3: unknown field `max_env`",
            ),
            (
                format!("[a]\ntoken = \"{secret}\"\nmax_envs = -1"),
                "line 3: malformed",
            ),
            (
                format!("[a]\ntoken = \"{secret}\"\nmax_requests_per_s = 0"),
                "line 3: malformed",
            ),
            (
                format!("[a]\ntoken = \"{secret}\"\ntoken = \"{secret}\""),
                "line 3: duplicate key",
            ),
            (
                "\n[a]\nmax_envs = 1".to_owned(),
                "line 2: missing field `token`",
            ),
            (
                "[a]\ntoken = \"short\"".to_owned(),
                "the token of a cannot be one",
            ),
            (
                format!("[a]\ntoken = \"{secret} {secret}\""),
                "the token of a cannot be one",
            ),
            (
                format!("[\"a b\"]\ntoken = \"{secret}\""),
                "\"a b\" cannot be a name",
            ),
            (
                format!("[a]\ntoken = \"{secret}\"\n[b]\ntoken = \"{secret}\""),
                "a and b have the same token",
            ),
        ] {
            let (_folder, path) = file(&text);
            let error = Access::from_file(&path).unwrap_err().to_string();
            assert!(error.contains(said), "{text}\n{error}");
            assert!(!error.contains("s3cr3t"), "{error}");
            assert!(error.contains("tokens.toml"), "{error}");
        }
        let missing = Access::from_file(Path::new("/nowhere/tokens.toml")).unwrap_err();
        assert!(missing.to_string().contains("cannot be read"), "{missing}");
    }

    #[test]
    fn a_reload_replaces_tokens_and_a_bad_file_changes_nothing() {
        let (_folder, path) = file(&format!(
            "[alice]\ntoken = \"{ALICE}\"\nmax_requests_in_flight = 1"
        ));
        let access = Access::from_file(&path).unwrap();
        let before = access
            .authenticate(&headers(&format!("Bearer {ALICE}")))
            .unwrap();
        let under_way = before.begin_request().unwrap();

        std::fs::write(&path, "[alice").unwrap();
        assert!(access.reload().is_err());
        assert_eq!(
            who(&access, &format!("Bearer {ALICE}")).as_deref(),
            Some("alice")
        );

        std::fs::write(
            &path,
            format!("[alice]\ntoken = \"{BOB}\"\nmax_requests_in_flight = 1"),
        )
        .unwrap();
        assert_eq!(access.reload().unwrap(), 1);
        assert_eq!(who(&access, &format!("Bearer {ALICE}")), None);
        let after = access
            .authenticate(&headers(&format!("Bearer {BOB}")))
            .unwrap();
        assert!(
            after.begin_request().is_err(),
            "what is under way still counts"
        );
        drop(under_way);
        assert!(after.begin_request().is_ok());
    }

    #[test]
    fn requests_are_counted_and_given_back() {
        let (_folder, path) = file(&format!(
            "[a]\ntoken = \"{ALICE}\"\nmax_requests_in_flight = 2\n[b]\ntoken = \"{BOB}\"\nmax_requests_per_s = 3"
        ));
        let access = Access::from_file(&path).unwrap();
        let alice = access
            .authenticate(&headers(&format!("Bearer {ALICE}")))
            .unwrap();
        let (one, _two) = (
            alice.begin_request().unwrap(),
            alice.begin_request().unwrap(),
        );
        let refused = alice.begin_request().unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        drop(one);
        assert!(alice.begin_request().is_ok());

        let bob = access
            .authenticate(&headers(&format!("Bearer {BOB}")))
            .unwrap();
        // A third of a second gives one back, so a slow machine may see a few more than three.
        let is_taken = |_| bob.begin_request().is_ok();
        let taken = (0..1_000).map(is_taken).filter(|&taken| taken).count();
        assert!((3..1_000).contains(&taken), "{taken}");
    }
}
