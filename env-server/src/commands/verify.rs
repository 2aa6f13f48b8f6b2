//! `env-server verify`: compares recorded reference episodes with our environments.
//!
//! A file has one episode per line; [`environments::recorded`] describes the comparison.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use environments::recorded::MAX_DESCRIBED;
use environments::verify::verify_line;

use crate::error::Error;

/// The result of verifying a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of episodes.
    pub episodes: usize,
    /// Number of steps in them.
    pub steps: usize,
    /// Number of differences.
    pub num_differences: usize,
    /// The first [`MAX_DESCRIBED`] of them.
    pub differences: Vec<Difference>,
}

/// A recorded episode that is malformed or differs from the environment's behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of the file, from 1.
    pub line: usize,
    /// The difference and its place in the episode.
    pub detail: String,
}

/// Verifies every episode of a file.
///
/// # Errors
/// When the file cannot be read or contains no episode. Anything else is a difference.
pub fn verify_file(path: &Path) -> Result<Report, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut report = Report::default();
    let lines = BufReader::new(File::open(path).map_err(unreadable)?).lines();
    for (line, text) in lines.enumerate() {
        let text = text.map_err(unreadable)?;
        if text.trim().is_empty() {
            continue;
        }
        let (steps, differences) = verify_line(&text);
        report.steps += steps;
        report.episodes += 1;
        report.num_differences += differences.total;
        let room = MAX_DESCRIBED - report.differences.len();
        let described = differences.described.into_iter().take(room);
        report
            .differences
            .extend(described.map(|detail| Difference {
                line: line + 1,
                detail,
            }));
    }
    if report.episodes == 0 {
        return Err(Error::NoEpisodes(path.to_owned()));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_recorded_episode_is_equal() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let mut counts = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_none_or(|extension| extension != "jsonl")
            {
                continue;
            }
            let report = verify_file(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(report.differences, [], "{name}");
            assert!(
                report.num_differences == 0 && report.episodes >= 5,
                "{name}"
            );
            counts.insert(name, (report.episodes, report.steps));
        }
        assert_eq!(counts["memory_task.jsonl"], (40, 440));
    }

    #[test]
    fn a_file_that_holds_nothing_is_an_error() {
        let missing = verify_file(Path::new("no/such/file.jsonl")).unwrap_err();
        assert!(matches!(missing, Error::Unreadable { .. }), "{missing}");
    }
}
