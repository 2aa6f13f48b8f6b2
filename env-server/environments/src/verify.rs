//! Verifies recorded episodes, each in the environment that it names.

use crate::entry::Reference;
use crate::recorded::{Differences, Episode};
use crate::tasks::ENTRIES;

/// Verifies one episode, a line of JSON. Returns its number of steps and the differences.
pub fn verify_line(text: &str) -> (usize, Differences) {
    let mut differences = Differences::default();
    let found = serde_json::from_str::<Episode>(text)
        .map_err(|e| e.to_string())
        .and_then(|episode| Ok((find(&episode.env)?, episode)));
    match found {
        Ok((reference, episode)) => {
            let result = (reference.verify)(&episode, &mut differences);
            differences.check(result);
            (episode.actions.len(), differences)
        }
        Err(detail) => {
            differences.add(|| detail);
            (0, differences)
        }
    }
}

fn find(name: &str) -> Result<&'static Reference, String> {
    let references = || ENTRIES.iter().filter_map(|entry| entry.reference.as_ref());
    let reference = references().find(|reference| reference.name == name);
    reference.ok_or_else(|| {
        let known: Vec<_> = references().map(|reference| reference.name).collect();
        let meant = env_protocol::hint(name, known.iter().copied());
        format!("there is no environment {name:?}{meant}; there are {known:?}")
    })
}

#[cfg(test)]
mod tests;
