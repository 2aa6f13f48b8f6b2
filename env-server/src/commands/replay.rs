//! `env-server replay`: replays trajectories downloaded from a server and compares them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use env_protocol::{Snapshot, Trajectory};

use crate::error::Error;
use crate::session::replay;

/// Contents of a file whose replay was equal throughout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayedFile {
    /// Pages, as served.
    pub pages: usize,
    /// Operations.
    pub operations: usize,
    /// Steps of single lanes among them.
    pub steps: usize,
}

/// Replays every page of a file: one JSON document after another, as `GET …/trajectory` returns
/// them. Consecutive pages must fit together.
///
/// # Errors
/// When the file cannot be read, contains no page, or anything differs.
pub fn replay_file(path: &Path) -> Result<ReplayedFile, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut total = ReplayedFile::default();
    let mut before: Option<(u64, Snapshot)> = None;
    for page in serde_json::Deserializer::from_reader(file).into_iter::<Trajectory>() {
        total.pages += 1;
        let differs = |detail: String| Error::PageDiffers {
            path: path.to_owned(),
            page: total.pages,
            detail,
        };
        let page = page.map_err(|e| differs(e.to_string()))?;
        if let (Some((seq, end)), Some(first)) = (&before, page.entries.first())
            && first.seq == *seq
            && page.start != *end
        {
            let detail = "it does not begin with the state in which the previous page ends";
            return Err(differs(detail.to_owned()));
        }
        let replayed = replay(&page).map_err(differs)?;
        total.operations += replayed.operations;
        total.steps += replayed.steps;
        before = page.entries.last().map(|last| (last.seq + 1, replayed.end));
    }
    match total.pages {
        0 => Err(Error::NoEpisodes(path.to_owned())),
        _ => Ok(total),
    }
}
