//! How single arguments are read.

use std::path::{Path, PathBuf};

use agent::run::train::LATEST;
use anyhow::bail;

pub use agent::arguments::{env_arg, steps};

/// A limit on something that is counted. An upper end keeps sums far from overflowing.
#[cfg(feature = "serve")]
pub fn count(text: &str) -> Result<usize, String> {
    const MANY: usize = 1 << 40;
    let count = text.parse().ok();
    count
        .filter(|count| (1..=MANY).contains(count))
        .ok_or_else(|| format!("give a whole number from 1 to {MANY}"))
}

/// A server's base URL.
pub fn server_url(text: &str) -> Result<String, String> {
    let is_http = ["http://", "https://"]
        .iter()
        .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    if is_http {
        Ok(text.to_owned())
    } else if text.contains("://") {
        Err(format!("`{text}` is not one of http:// or https://"))
    } else {
        Err(format!("`{text}` is no URL; try http://{text}"))
    }
}

/// The checkpoint that is meant by a file, or by a run's folder.
///
/// # Errors
/// When there is none, with what to do.
pub fn checkpoint(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.exists() {
        bail!(
            "there is no checkpoint {}; `agent train --out DIR` makes DIR/{LATEST}",
            path.display()
        );
    }
    let latest = path.join(LATEST);
    if !latest.exists() {
        bail!(
            "there is no {LATEST} in {}; a run writes it when it begins, and from then on until it ends",
            path.display()
        );
    }
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_args_are_json_scalars_or_text() {
        assert_eq!(env_arg("delay=16"), Ok(("delay".into(), 16.into())));
        assert_eq!(env_arg("p=0.5"), Ok(("p".into(), 0.5.into())));
        assert_eq!(env_arg("on=true"), Ok(("on".into(), true.into())));
        assert_eq!(env_arg("map=a=b"), Ok(("map".into(), "a=b".into())));
        for wrong in ["delay", "=3", "a=null", "a=[1]", "a={}"] {
            assert!(env_arg(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_has_a_scheme() {
        assert!(server_url("http://127.0.0.1:7878").is_ok());
        let error = server_url("localhost:7878").unwrap_err();
        assert!(error.contains("http://localhost:7878"), "{error}");
        let error = server_url("ftp://localhost").unwrap_err();
        assert!(!error.contains("http://ftp"), "{error}");
    }

    #[test]
    fn steps_are_read_as_people_write_them() {
        for (text, number) in [("56000", 56_000), ("56_000", 56_000), ("2e6", 2_000_000)] {
            assert_eq!(steps(text), Ok(number));
        }
        assert_eq!(steps("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["", "-1", "1.5", "1e30", "nan", "inf", "many"] {
            assert!(steps(wrong).is_err(), "{wrong}");
        }
    }
}
