//! Recorded episodes, each played in the environment of the table that it names.

use crate::recorded::{Differences, Episode};
use crate::registry::{self, Entry};

/// Verifies one episode and gives its number of steps.
pub fn verify_line(text: &str) -> (usize, Differences) {
    let mut differences = Differences::default();
    let found = serde_json::from_str::<Episode>(text)
        .map_err(|e| e.to_string())
        .and_then(|episode| Ok((find(&episode.env)?, episode)));
    match found {
        Ok((entry, episode)) => {
            let result = (entry.verify)(&episode, &mut differences);
            differences.check(result);
            (episode.actions.len(), differences)
        }
        Err(detail) => {
            differences.add(|| detail);
            (0, differences)
        }
    }
}

fn find(name: &str) -> Result<&'static Entry, String> {
    let mut entries = registry::ENTRIES.iter();
    let entry = entries.find(|entry| entry.reference_name == name);
    entry.ok_or_else(|| {
        let known = registry::ENTRIES.iter().map(|entry| entry.reference_name);
        let known: Vec<_> = known.collect();
        let meant = env_protocol::hint(name, known.iter().copied());
        format!("there is no environment {name:?}{meant}; there are {known:?}")
    })
}

#[cfg(test)]
mod tests;
