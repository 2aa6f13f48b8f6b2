//! From a folder to a dataset. Files may come from anywhere: everything in them is checked before it takes memory.

use std::path::{Path, PathBuf};

use hdf5_pure::{DType, Error, File, FormatError, Group};

use super::columns::{Leaf, leaves};
use super::error::MinariError;
use super::{DATA, MAIN, metadata};
use crate::experience::dataset::{Dataset, RecordedEpisode};
use crate::spaces::Spaces;
use crate::spaces::actions::Choice;
use crate::spaces::components::{Component, components};

/// Reads a dataset of a task with these spaces, of at most `max_bytes` in memory. `path` is its folder, as Minari and `agent
/// record` write it, or the HDF5 file in it.
///
/// # Errors
/// A file that is no dataset, is damaged, of another task or too large, or has an episode that cannot be learned from: without
/// steps, with an end before its last step, with numbers that are not finite or no choices of their space.
pub fn read(path: &Path, spaces: Spaces, max_bytes: usize) -> Result<Dataset, MinariError> {
    let main = main_path(path)?;
    metadata::check(main.parent().unwrap_or(Path::new("")), &spaces)?;
    let unfit = |detail: String| MinariError::unfit(&main, detail);
    let reader = Reader {
        path: &main,
        observations: leaves(&spaces.observation).map_err(unfit)?,
        actions: leaves(&spaces.action).map_err(unfit)?,
        components: components(&spaces.action).map_err(|error| unfit(error.to_string()))?,
    };
    let dataset = Dataset::new(spaces, max_bytes);
    let mut dataset = dataset.map_err(|error| unfit(error.to_string()))?;
    let file = File::open_streaming(&main).map_err(|error| reader.damaged("", &error))?;
    let mut episodes = reader.episodes(&file)?;
    episodes.sort_by_key(|&(id, _)| id);
    for (id, group) in episodes {
        let name = format!("episode_{id}");
        let episode = reader.episode(&name, &group, dataset.bytes_left(), max_bytes)?;
        if !dataset.push(episode) {
            return Err(reader.too_large(max_bytes));
        }
    }
    if dataset.episodes().is_empty() {
        return Err(unfit(
            "it has no episode: a group episode_0 is the first".into(),
        ));
    }
    Ok(dataset)
}

/// Returns the HDF5 file that is meant by a path.
fn main_path(path: &Path) -> Result<PathBuf, MinariError> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let mut candidates = [path.join(DATA).join(MAIN), path.join(MAIN)].into_iter();
    let none = || MinariError::None {
        path: path.to_owned(),
    };
    candidates.find(|file| file.is_file()).ok_or_else(none)
}

struct Reader<'a> {
    path: &'a Path,
    observations: Vec<Leaf>,
    actions: Vec<Leaf>,
    components: Vec<Component>,
}

/// Bytes of a chunk that are decompressed for an array of any size; larger chunks are at most [`CHUNK_SHARE`] times as large
/// as their array.
const SMALL_CHUNK: u64 = 1 << 20;
const CHUNK_SHARE: u64 = 4;
/// Most numbers of an array in an episode: while it is read, each takes about 20 bytes.
const MAX_NUMBERS: u64 = 1 << 25;

impl Reader<'_> {
    fn damaged(&self, place: &str, error: &Error) -> MinariError {
        let what = match place {
            "" => String::new(),
            place => format!("{place}: "),
        };
        MinariError::Damaged {
            path: self.path.to_owned(),
            what,
            detail: error.to_string(),
        }
    }

    fn unfit(&self, place: &str, detail: &str) -> MinariError {
        MinariError::unfit(self.path, format!("{place}: {detail}"))
    }

    fn too_large(&self, max_bytes: usize) -> MinariError {
        MinariError::TooLarge {
            path: self.path.to_owned(),
            max_bytes,
        }
    }

    /// Returns the groups of episodes with their numbers. Other groups are not read.
    fn episodes(&self, file: &File) -> Result<Vec<(u64, Group)>, MinariError> {
        let groups = file.root().iter_groups();
        let groups = groups.map_err(|error| self.damaged("", &error))?;
        let mut numbered = Vec::new();
        for (name, group) in groups {
            let Some(number) = name.strip_prefix("episode_") else {
                continue;
            };
            match number.parse::<u64>() {
                Ok(id) if id.to_string() == number => numbered.push((id, group)),
                _ => return Err(self.unfit(&name, "the number of an episode is 0, 1, 2, …")),
            }
        }
        Ok(numbered)
    }

    /// Reads an episode that takes at most `bytes_left`.
    fn episode(
        &self,
        name: &str,
        group: &Group,
        bytes_left: usize,
        max_bytes: usize,
    ) -> Result<RecordedEpisode, MinariError> {
        let rewards = self.array(name, group, &["rewards".into()])?;
        let [steps] = rewards.shape[..] else {
            let detail = format!(
                "rewards of shape {:?} are not one for each step",
                rewards.shape
            );
            return Err(self.unfit(&rewards.place, &detail));
        };
        if steps == 0 {
            return Err(self.unfit(name, "it has no steps"));
        }
        let width = |leaves: &[Leaf]| leaves.last().map_or(0, |leaf| leaf.columns.end as u64);
        let (flat_size, components) = (width(&self.observations), width(&self.actions));
        if (steps.saturating_add(1)).saturating_mul(flat_size.max(components)) > MAX_NUMBERS {
            let detail = format!(
                "an episode of {steps} steps; at most {MAX_NUMBERS} numbers are read as one"
            );
            return Err(self.unfit(name, &detail));
        }
        let bytes = (flat_size * size_of::<f32>() as u64 + components * size_of::<Choice>() as u64)
            .saturating_add(size_of::<f64>() as u64)
            .saturating_mul(steps.saturating_add(1));
        if bytes > bytes_left as u64 {
            return Err(self.too_large(max_bytes));
        }
        let observations = self.rows(name, group, "observations", &self.observations, steps + 1)?;
        let actions = self.actions(name, group, steps)?;
        let is_finite = |reward: &f64| (*reward as f32).is_finite();
        let of_steps = self.numbers(&rewards)?;
        if let Some(step) = of_steps.iter().position(|reward| !is_finite(reward)) {
            return Err(self.unfit(
                &rewards.place,
                &format!("{} at step {step} is no reward", of_steps[step]),
            ));
        }
        Ok(RecordedEpisode {
            observations: observations
                .into_iter()
                .map(|number| number as f32)
                .collect(),
            actions,
            rewards: of_steps,
            is_truncated: !self.is_terminated(name, group, steps)?,
        })
    }

    /// Reads actions. Numbers beyond the environment's bounds are refused, whatever bounds the dataset says.
    fn actions(&self, name: &str, group: &Group, steps: u64) -> Result<Vec<Choice>, MinariError> {
        let numbers = self.rows(name, group, "actions", &self.actions, steps)?;
        let pairs = numbers.iter().zip(self.components.iter().cycle());
        pairs
            .enumerate()
            .map(|(at, (&number, component))| {
                component.of_space(number).ok_or_else(|| {
                    let row = at / self.components.len();
                    let detail = format!("{number} in row {row} is beyond the space's bounds");
                    self.unfit(&format!("{name}/actions"), &detail)
                })
            })
            .collect()
    }

    /// Reads whether the task ended the episode. One that ends with neither flag was cut off.
    fn is_terminated(&self, name: &str, group: &Group, steps: u64) -> Result<bool, MinariError> {
        let mut is_terminated = false;
        for which in ["terminations", "truncations"] {
            let array = self.array(name, group, &[which.into()])?;
            self.check_shape(&array, &[steps])?;
            let flags = self.numbers(&array)?;
            if let Some(flag) = flags.iter().find(|&&flag| flag != 0.0 && flag != 1.0) {
                return Err(self.unfit(&array.place, &format!("{flag} is neither true nor false")));
            }
            let end = flags.iter().position(|&flag| flag != 0.0);
            if let Some(end) = end.filter(|&end| end + 1 < flags.len()) {
                let detail = format!("the episode ends at step {end}, and has {steps} steps");
                return Err(self.unfit(&array.place, &detail));
            }
            is_terminated |= which == "terminations" && end.is_some();
        }
        Ok(is_terminated)
    }

    /// Reads the arrays of a space into flat rows, and checks each number.
    fn rows(
        &self,
        name: &str,
        group: &Group,
        which: &str,
        leaves: &[Leaf],
        rows: u64,
    ) -> Result<Vec<f64>, MinariError> {
        let width = leaves.last().map_or(0, |leaf| leaf.columns.end);
        let mut flat = vec![0.0; rows as usize * width];
        for leaf in leaves {
            let path: Vec<String> = std::iter::once(which.to_owned())
                .chain(leaf.path.iter().cloned())
                .collect();
            let array = self.array(name, group, &path)?;
            let shape: Vec<u64> = std::iter::once(rows)
                .chain(leaf.shape.iter().map(|&n| n as u64))
                .collect();
            self.check_shape(&array, &shape)?;
            let numbers = self.numbers(&array)?;
            let size = leaf.columns.len().max(1);
            for (row, block) in numbers.chunks_exact(size).enumerate() {
                let wrong = (0..size).find(|&column| !leaf.accepts(column, block[column]));
                if let Some(column) = wrong {
                    let detail = format!("{} in row {row} is not of the space", block[column]);
                    return Err(self.unfit(&array.place, &detail));
                }
                flat[row * width + leaf.columns.start..][..size].copy_from_slice(block);
            }
        }
        Ok(flat)
    }

    fn check_shape(&self, array: &Array, expected: &[u64]) -> Result<(), MinariError> {
        if array.shape == expected {
            return Ok(());
        }
        let detail = format!(
            "it has the shape {:?}, and {expected:?} is needed",
            array.shape
        );
        Err(self.unfit(&array.place, &detail))
    }

    /// Finds an array below an episode, and checks that it is of numbers. Nothing of it is read.
    fn array(&self, episode: &str, group: &Group, path: &[String]) -> Result<Array, MinariError> {
        let place = format!("{episode}/{}", path.join("/"));
        let found = group.dataset(&path.join("/"));
        let data = found.map_err(|error| match error {
            Error::NotADataset(_)
            | Error::NotAGroup(_)
            | Error::Format(FormatError::PathNotFound(_)) => {
                self.unfit(&place, "there is no such array")
            }
            error => self.damaged(&place, &error),
        })?;
        let damaged = |error| self.damaged(&place, &error);
        let (shape, dtype) = (
            data.shape().map_err(damaged)?,
            data.dtype().map_err(damaged)?,
        );
        let is_of_numbers = !matches!(
            dtype,
            DType::String
                | DType::Compound(_)
                | DType::Array(..)
                | DType::VariableLengthString
                | DType::ObjectReference
                | DType::Other(_)
        );
        if !is_of_numbers {
            return Err(self.unfit(&place, &format!("it is of {dtype}, not of numbers")));
        }
        let chunk = data.chunk_shape().map_err(damaged)?.unwrap_or_default();
        let size = data.element_size().map_err(damaged)?;
        let bytes = chunk.iter().fold(size, |bytes, &n| bytes.saturating_mul(n));
        let whole = shape.iter().fold(size, |bytes, &n| bytes.saturating_mul(n));
        let most = SMALL_CHUNK.max(whole.saturating_mul(CHUNK_SHARE));
        if bytes > most {
            let detail = format!(
                "it has {whole} bytes in chunks of {bytes}; at most {most} are read. Store it in smaller chunks"
            );
            return Err(self.unfit(&place, &detail));
        }
        Ok(Array { place, shape, data })
    }

    fn numbers(&self, array: &Array) -> Result<Vec<f64>, MinariError> {
        let numbers = array.data.read_f64();
        let numbers = numbers.map_err(|error| self.damaged(&array.place, &error))?;
        let expected = array.shape.iter().product::<u64>();
        if numbers.len() as u64 != expected {
            return Err(self.unfit(&array.place, "it is cut off"));
        }
        Ok(numbers)
    }
}

/// An array in a file.
struct Array {
    /// The names that lead to it.
    place: String,
    shape: Vec<u64>,
    data: hdf5_pure::Dataset,
}
