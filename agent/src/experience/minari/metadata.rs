//! `metadata.json`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::METADATA;
use super::error::MinariError;
use super::space;
use crate::experience::dataset::Dataset;
use crate::spaces::Spaces;

/// The version of Minari whose layout this is. Later ones read it, too.
const VERSION: &str = "0.5.0";

/// Most bytes that are read of `metadata.json`: its largest part are bounds, four numbers for each of 65,536 inputs.
const MAX_BYTES: u64 = 1 << 24;

/// Where the episodes of a dataset come from.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Id of the environment's spec.
    pub spec_id: String,
    /// The environment's arguments.
    pub kwargs: Map<String, Value>,
    /// Id of the algorithm that played.
    pub player: String,
    /// How it chose its actions.
    pub mode: String,
    /// The seed from which those of the episodes and of the actions were made.
    pub seed: u64,
}

impl About {
    /// Returns the content of `metadata.json`. `name` is that of the dataset's folder.
    pub(super) fn metadata(&self, dataset: &Dataset, name: &str, main_bytes: u64) -> Value {
        let steps: usize = dataset
            .episodes()
            .iter()
            .map(|episode| episode.steps())
            .sum();
        let Self {
            spec_id,
            kwargs,
            player,
            mode,
            seed,
        } = self;
        json!({
            "total_episodes": dataset.episodes().len(),
            "total_steps": steps,
            "data_format": "hdf5",
            // Pictures are arrays like others.
            "jpeg_encoding": false,
            "observation_space": space::to_text(&dataset.spaces().observation),
            "action_space": space::to_text(&dataset.spaces().action),
            "env_spec": self.env_spec().to_string(),
            "dataset_id": dataset_id(name),
            "algorithm_name": player,
            "description": format!("{spec_id}, played by {player} ({mode}), recorded by Strategic Memory RL"),
            "minari_version": VERSION,
            // In MB, to a digit after the point.
            "dataset_size": (main_bytes as f64 / 1e5).round() / 10.0,
            "strategic_memory": {
                "spec_id": spec_id,
                "kwargs": kwargs,
                "player": player,
                "mode": mode,
                "seed": seed,
            },
        })
    }

    /// Returns the environment in Gymnasium's words, as the Python client registers it.
    fn env_spec(&self) -> Value {
        let mut kwargs = self.kwargs.clone();
        kwargs.insert("spec_id".into(), self.spec_id.clone().into());
        json!({
            "id": self.spec_id,
            "entry_point": "strategic_memory_envs:RemoteEnv",
            "reward_threshold": null,
            "nondeterministic": false,
            "max_episode_steps": null,
            "order_enforce": true,
            "disable_env_checker": false,
            "kwargs": kwargs,
            "additional_wrappers": [],
            "vector_entry_point": "strategic_memory_envs:RemoteVectorEnv",
        })
    }
}

/// Returns an id for a dataset in a folder of this name: the name itself where it is one, which ends in `-v` and a number.
fn dataset_id(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let id: String = name
        .chars()
        .map(|letter| if fits(letter) { letter } else { '-' })
        .collect();
    let version = id
        .rsplit_once("-v")
        .map(|(name, version)| (name.is_empty(), version.parse::<u32>()));
    match version {
        Some((false, Ok(_))) => id,
        _ if id.is_empty() => "episodes-v0".into(),
        _ => id + "-v0",
    }
}

/// The fields of `metadata.json` that are read.
#[derive(Deserialize)]
struct Written {
    data_format: Option<String>,
    #[serde(default)]
    jpeg_encoding: Option<bool>,
    observation_space: Option<String>,
    action_space: Option<String>,
}

/// Checks the metadata in a folder against the environment's spaces. Without metadata, or spaces in it, the arrays alone
/// must fit.
///
/// # Errors
/// Metadata that cannot be read, another format, other spaces, or pictures that were compressed with losses.
pub(super) fn check(folder: &Path, spaces: &Spaces) -> Result<(), MinariError> {
    let path = folder.join(METADATA);
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(MinariError::unfit(&path, "it is no file"));
    }
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.map_err(|error| MinariError::io(&path, error))?,
    };
    let mut text = String::new();
    let read = file.take(MAX_BYTES).read_to_string(&mut text);
    read.map_err(|error| MinariError::io(&path, error))?;
    let written: Written = serde_json::from_str(&text).map_err(|error| {
        MinariError::unfit(&path, format!("this is no metadata of a dataset: {error}"))
    })?;
    if let Some(format) = written.data_format.filter(|format| format != "hdf5") {
        let detail = format!(
            "the dataset has the format {format:?}; only hdf5 is read. Write it anew with Minari as hdf5"
        );
        return Err(MinariError::unfit(&path, detail));
    }
    let is_jpeg = written.jpeg_encoding.unwrap_or(true);
    let pairs = [
        (
            "observation",
            written.observation_space,
            &spaces.observation,
        ),
        ("action", written.action_space, &spaces.action),
    ];
    for (which, text, own) in pairs {
        let Some(text) = text else { continue };
        let unfit = |detail: String| MinariError::unfit(&path, format!("{which}_space: {detail}"));
        let read = space::from_text(&text).map_err(unfit)?;
        if let Some(difference) = space::difference(&read, own) {
            return Err(unfit(format!(
                "the dataset is of another task: {difference}"
            )));
        }
        if is_jpeg && space::has_pictures(&read) {
            return Err(unfit(
                "its pictures are compressed with losses; write it with jpeg_encoding=False".into(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_end_in_a_version() {
        for (name, id) in [
            ("chance-v3", "chance-v3"),
            ("chance", "chance-v0"),
            ("my data.new", "my-data-new-v0"),
            ("-v1", "-v1-v0"),
            ("", "episodes-v0"),
        ] {
            assert_eq!(dataset_id(name), id);
        }
    }
}
