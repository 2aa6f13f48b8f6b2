//! Access control: bearer tokens from a file or from code, each principal with its own quotas.
//!
//! The file is TOML, one table for each principal:
//!
//! ```toml
//! [alice]
//! token = "Yt3rJ0kM5sGq8ZcW1nUe7A"         # 16 to 256 characters A-Z a-z 0-9 - . _ ~ + / =
//! previous_token = "h2VxP9bQe4LdK6mTa0RzNw" # still taken, while clients change over
//! evaluation_token = "Jd8sWq1LxTzV5nPc0RbKyA" # may only play: describe, step, plain reset
//! max_envs = 100                            # every quota may be left out
//! max_lanes = 4096
//! max_requests_in_flight = 32
//! max_requests_per_s = 1000
//! max_steps = 1000000
//! ```
//!
//! A principal is identified by its name: its environments, quotas and counts remain when its
//! tokens change, or when it is missing from the file for a while.

mod budget;
mod grant;
mod owner;
mod principal;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use axum::http::{HeaderMap, header};
use env_protocol::{ErrorCode, Problem};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::Error;

use principal::Count;

pub use budget::StepBudget;
pub use grant::Grant;
#[doc(hidden)]
pub use grant::fuzz_file;
pub(crate) use grant::warn_if_readable_by_all;
pub use owner::Owner;
pub(crate) use principal::InFlight;
pub use principal::{Principal, Refusals, Role};

/// The tokens of a server, stored only as hashes under a key of this process.
pub struct Access {
    /// `None` if the tokens were given in code.
    path: Option<PathBuf>,
    hash_key: [u8; 32],
    principals: RwLock<HashMap<TokenHash, Arc<Principal>>>,
    /// Counts by name, for every principal that was ever in the file: a returning principal
    /// continues with its old budget.
    counts: Mutex<HashMap<String, Arc<Count>>>,
}

impl Access {
    /// Reads a file of tokens.
    ///
    /// # Errors
    /// [`Error::Tokens`], when it cannot be read, is malformed or holds no token.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let access = Access::empty(Some(path.to_owned()));
        access.reload()?;
        Ok(access)
    }

    /// Accepts tokens given in code, by the names of their principals.
    ///
    /// # Errors
    /// [`Error::Tokens`], when there are none or one is not valid.
    pub fn from_grants(grants: &BTreeMap<String, Grant>) -> Result<Self, Error> {
        let access = Access::empty(None);
        access.replace(grants)?;
        Ok(access)
    }

    fn empty(path: Option<PathBuf>) -> Self {
        Access {
            path,
            hash_key: rand::random(),
            principals: RwLock::default(),
            counts: Mutex::default(),
        }
    }

    /// Reads the file again and returns the number of principals. Requests in flight are not
    /// affected. Tokens given in code stay as they are.
    ///
    /// # Errors
    /// As [`Access::from_file`]; then the tokens stay as they were.
    pub fn reload(&self) -> Result<usize, Error> {
        match &self.path {
            Some(path) => self.replace(&grant::read(path).map_err(|e| self.unusable(e))?),
            None => Ok(self.by_name().len()),
        }
    }

    fn replace(&self, grants: &BTreeMap<String, Grant>) -> Result<usize, Error> {
        grant::check(grants).map_err(|detail| self.unusable(detail))?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut after = HashMap::new();
        for (name, grant) in grants {
            let count = counts.entry(name.clone()).or_default();
            for (token, principal) in Principal::from_grant(name, grant, Arc::clone(count)) {
                let hash = self.hash(token.as_bytes());
                if let Some(other) = after.insert(hash, Arc::clone(&principal)) {
                    let (one, other) = (other.name(), principal.name());
                    return Err(self.unusable(match one == other {
                        true => format!("{one} has the same token twice"),
                        false => format!("{one} and {other} have the same token"),
                    }));
                }
            }
        }
        let principals = self.principals.write();
        *principals.unwrap_or_else(PoisonError::into_inner) = after;
        Ok(grants.len())
    }

    fn unusable(&self, detail: String) -> Error {
        Error::Tokens {
            path: self.path.clone().unwrap_or_else(|| "tokens".into()),
            detail,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<TokenHash, Arc<Principal>>> {
        self.principals
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn by_name(&self) -> HashMap<String, Arc<Principal>> {
        let principals = self.read();
        let named = principals
            .values()
            .map(|p| (p.name().to_owned(), Arc::clone(p)));
        named.collect()
    }

    /// Returns the principal with this name, for example to read its counts or close its budget.
    /// All its tokens share the counts.
    pub fn principal(&self, name: &str) -> Option<Arc<Principal>> {
        self.by_name().remove(name)
    }

    /// Identifies the sender of a request.
    ///
    /// # Errors
    /// `unauthorized`, when the headers contain no token or an unknown one.
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
        let known = self.read().get(&hash).cloned();
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

/// Hash of a token under a secret key, so that the time of a lookup reveals nothing about the
/// tokens. The final comparison takes constant time.
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

/// Returns the token of `Bearer TOKEN` (RFC 6750, section 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// Parses the value of an `Authorization` header: any bytes are accepted or refused without a
/// panic.
#[doc(hidden)]
pub fn fuzz_header(value: &[u8]) {
    if let Some(token) = bearer(value) {
        assert!(!token.is_empty() && value.trim_ascii_end().ends_with(token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "alice-0123456789abcdef";
    const BOB: &str = "bob-0123456789abcdef";

    /// Writes a file of tokens in a temporary folder that is deleted with it.
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
                "the token of a is not valid",
            ),
            (
                format!("[a]\ntoken = \"{secret} {secret}\""),
                "the token of a is not valid",
            ),
            (
                format!("[\"a b\"]\ntoken = \"{secret}\""),
                "\"a b\" is not a valid name",
            ),
            (
                format!("[a]\ntoken = \"{secret}\"\n[b]\ntoken = \"{secret}\""),
                "a and b have the same token",
            ),
            (
                format!("[a]\ntoken = \"{secret}\"\nevaluation_token = \"{secret}\""),
                "a has the same token twice",
            ),
            (
                format!("[a]\ntoken = \"{secret}\"\nevaluation_token = \"{secret} \""),
                "the token of a is not valid",
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
        // A third of a second frees one request, so a slow machine may admit a few more than three.
        let is_taken = |_| bob.begin_request().is_ok();
        let taken = (0..1_000).map(is_taken).filter(|&taken| taken).count();
        assert!((3..1_000).contains(&taken), "{taken}");
    }

    #[test]
    fn an_evaluation_token_is_of_the_same_principal() {
        let grant = Grant {
            token: ALICE.to_owned(),
            evaluation_token: Some(BOB.to_owned()),
            max_requests_in_flight: Some(1),
            max_steps: Some(7),
            ..Grant::default()
        };
        let access = Access::from_grants(&BTreeMap::from([("a".to_owned(), grant)])).unwrap();
        let of = |token: &str| access.authenticate(&headers(&format!("Bearer {token}")));
        let (full, judged) = (of(ALICE).unwrap(), of(BOB).unwrap());
        assert_eq!((full.name(), judged.name()), ("a", "a"));
        assert_eq!((full.role(), judged.role()), (Role::Full, Role::Evaluation));
        assert_eq!(judged.budget().unwrap().max(), 7);
        let _under_way = full.begin_request().unwrap();
        assert!(judged.begin_request().is_err(), "they share what they have");
        let problem = judged.forbid("POST /v1/envs".to_owned());
        assert_eq!(problem.code, ErrorCode::Forbidden);
        judged.forbid("GET /v1/envs".to_owned());
        let refusals = Refusals {
            count: 2,
            first: Some("POST /v1/envs".to_owned()),
        };
        assert_eq!(access.principal("a").unwrap().refusals(), refusals);
        assert!(access.principal("b").is_none());
        assert_eq!(access.reload().unwrap(), 1, "there is no file to read");
        assert!(Access::from_grants(&BTreeMap::new()).is_err());
    }

    #[test]
    fn a_budget_is_not_renewed_by_an_absence() {
        let alice = format!("[alice]\ntoken = \"{ALICE}\"\nmax_steps = 2");
        let (_folder, path) = file(&alice);
        let access = Access::from_file(&path).unwrap();
        let budget = || {
            access
                .principal("alice")
                .unwrap()
                .budget()
                .cloned()
                .unwrap()
        };
        budget().close();
        budget().take(1).unwrap_err();
        std::fs::write(&path, format!("[bob]\ntoken = \"{BOB}\"")).unwrap();
        access.reload().unwrap();
        assert!(access.principal("alice").is_none());
        std::fs::write(&path, alice).unwrap();
        access.reload().unwrap();
        assert_eq!(budget().refused_closed(), 1);
        assert!(budget().take(1).is_err(), "it is still closed");
    }

    #[test]
    fn a_reload_changes_the_budget() {
        let text = |max: u64| format!("[a]\ntoken = \"{ALICE}\"\nmax_steps = {max}");
        let (_folder, path) = file(&text(2));
        let access = Access::from_file(&path).unwrap();
        let max = || access.principal("a").unwrap().budget().map(|b| b.max());
        assert_eq!(max(), Some(2));
        std::fs::write(&path, text(9)).unwrap();
        access.reload().unwrap();
        assert_eq!(max(), Some(9));
        std::fs::write(&path, format!("[a]\ntoken = \"{ALICE}\"")).unwrap();
        access.reload().unwrap();
        assert_eq!(max(), None);
    }
}
