//! `env-server verify`: recorded reference episodes against our environments.
//!
//! A file has one episode a line: the environment's name, its arguments, everything random it drew
//! (`latent`), the actions, and what the original returned. The environment is put into those
//! draws, fed the actions, and must return the same, number for number.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use env_protocol::Kwargs;
use serde::Deserialize;
use serde_json::Value;

use crate::environments::{Arguments, Element, Environment, Script, registry};
use crate::error::Error;

/// A recorded episode of `T` steps.
#[derive(Clone, Debug, Deserialize)]
pub struct Episode {
    /// Name of the environment.
    pub env: String,
    /// Its arguments.
    pub kwargs: Kwargs,
    /// What it drew.
    pub latent: Value,
    /// `[T]`
    pub actions: Vec<Row>,
    /// `[T + 1]`, the first one from the reset.
    pub observations: Vec<Row>,
    /// `[T]`
    pub rewards: Vec<f64>,
    /// `[T]`
    pub terminated: Vec<bool>,
    /// `[T]`
    pub truncated: Vec<bool>,
}

/// An action or an observation: a number or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a number or a list of numbers")]
pub enum Row {
    /// One number.
    One(f64),
    /// Several.
    Many(Vec<f64>),
}

impl Row {
    fn numbers(&self) -> &[f64] {
        match self {
            Row::One(number) => std::slice::from_ref(number),
            Row::Many(numbers) => numbers,
        }
    }
}

/// What a file held, all of it equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of episodes.
    pub episodes: usize,
    /// Number of steps in them.
    pub steps: usize,
}

/// Verifies every episode of a file.
///
/// # Errors
/// When the file cannot be read, holds no episode, an episode is of an unknown environment or
/// malformed, or one differs; the message has the line.
pub fn verify_file(path: &Path) -> Result<Verified, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut verified = Verified {
        episodes: 0,
        steps: 0,
    };
    let lines = BufReader::new(File::open(path).map_err(unreadable)?).lines();
    for (line, text) in lines.enumerate() {
        let text = text.map_err(unreadable)?;
        if text.trim().is_empty() {
            continue;
        }
        verified.steps += verify_line(&text).map_err(|detail| Error::Differs {
            path: path.to_owned(),
            line: line + 1,
            detail,
        })?;
        verified.episodes += 1;
    }
    if verified.episodes == 0 {
        return Err(Error::NoEpisodes(path.to_owned()));
    }
    Ok(verified)
}

/// Verifies one episode and gives its number of steps.
fn verify_line(text: &str) -> Result<usize, String> {
    let episode: Episode = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let entries = registry::ENTRIES;
    let entry = entries.iter().find(|e| e.reference_name == episode.env);
    let entry = entry.ok_or_else(|| {
        let known: Vec<_> = entries.iter().map(|e| e.reference_name).collect();
        let name = &episode.env;
        format!("there is no environment {name:?}; there are {known:?}")
    })?;
    (entry.verify)(&episode)?;
    Ok(episode.actions.len())
}

/// Puts `E` into the draws of an episode, feeds the actions and compares everything.
///
/// # Errors
/// Says what differs and where.
pub fn verify_episode<E: Environment>(episode: &Episode) -> Result<(), String> {
    check_lengths(episode)?;
    let spec = E::spec();
    let arguments = Arguments::resolve(&spec.parameters, &episode.kwargs)
        .map_err(|e| format!("kwargs: {e}"))?;
    let mut environment = E::new(&arguments).map_err(|e| format!("kwargs: {e}"))?;
    let mut draws = Script::new(environment.script(&episode.latent)?);
    let mut observation = vec![E::Element::default(); spec.observation_space.flat_size()];
    environment.reset(&mut draws, &mut observation);
    same_observation("the reset", &observation, &episode.observations[0])?;
    for (t, action) in episode.actions.iter().enumerate() {
        let step = format!("step {}", t + 1);
        let numbers = action.numbers().iter();
        let action: Option<Vec<i64>> = numbers.map(|&x| i64::from_f64(x)).collect();
        let action = action.ok_or_else(|| format!("{step}: the action is no integer"))?;
        if !environment.is_running() {
            return Err(format!("{step}: the episode has ended before"));
        }
        let transition = environment.step(&action, &mut draws, &mut observation);
        same_observation(&step, &observation, &episode.observations[t + 1])?;
        same(&step, "reward", &transition.reward, &episode.rewards[t])?;
        let ends = (transition.terminated, transition.truncated);
        let recorded = (episode.terminated[t], episode.truncated[t]);
        same(&step, "(terminated, truncated)", &ends, &recorded)?;
    }
    draws.finish()
}

fn check_lengths(episode: &Episode) -> Result<(), String> {
    let steps = episode.actions.len();
    let found = [
        episode.observations.len(),
        episode.rewards.len(),
        episode.terminated.len(),
        episode.truncated.len(),
    ];
    if steps == 0 || found != [steps + 1, steps, steps, steps] {
        return Err(format!(
            "{steps} actions do not go with {found:?} observations, rewards, terminated and truncated"
        ));
    }
    Ok(())
}

fn same_observation<T: Element>(place: &str, ours: &[T], recorded: &Row) -> Result<(), String> {
    let ours: Vec<f64> = ours.iter().map(|x| x.to_f64()).collect();
    same(place, "observation", ours.as_slice(), recorded.numbers())
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
    place: &str,
    what: &str,
    ours: &T,
    recorded: &T,
) -> Result<(), String> {
    if ours == recorded {
        return Ok(());
    }
    Err(format!(
        "{place}: {what} is {ours:?} here and {recorded:?} in the recording"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn reference() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/memory_task.jsonl")
    }

    #[test]
    fn every_recorded_episode_is_equal() {
        let verified = verify_file(&reference()).unwrap();
        assert_eq!((verified.episodes, verified.steps), (40, 440));
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let text = std::fs::read_to_string(reference()).unwrap();
        // The last recorded episode is HARD and long.
        let line = text.lines().last().unwrap();
        verify_line(line).unwrap();
        let original: Value = serde_json::from_str(line).unwrap();
        let differs = |change: &dyn Fn(&mut Value)| {
            let mut episode = original.clone();
            change(&mut episode);
            verify_line(&episode.to_string()).unwrap_err()
        };
        let flip = |value: &mut Value| *value = Value::from(1.0 - value.as_f64().unwrap());
        for (change, message) in [
            (
                &(|e: &mut Value| flip(&mut e["observations"][0][0])) as &dyn Fn(&mut Value),
                "the reset: observation",
            ),
            (
                &|e| flip(&mut e["observations"][3][1]),
                "step 3: observation",
            ),
            (&|e| e["rewards"][0] = 1.0.into(), "step 1: reward"),
            (&|e| e["truncated"][0] = true.into(), "step 1: (terminated"),
            (
                &|e| {
                    let bit = &mut e["latent"]["distractors"][5][0];
                    *bit = (1 - bit.as_u64().unwrap()).into();
                },
                "step 6: observation",
            ),
            (
                &|e| {
                    let distractors = e["latent"]["distractors"].as_array_mut().unwrap();
                    distractors.push(serde_json::json!([0, 1]));
                },
                "2 recorded draws were never asked for",
            ),
            (
                &|e| {
                    e["actions"].as_array_mut().unwrap().pop();
                },
                "do not go with",
            ),
            (&|e| e["env"] = "Maze".into(), "no environment \"Maze\""),
            (&|e| e["kwargs"]["delay"] = 0.into(), "kwargs: delay"),
        ] {
            let error = differs(change);
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_file_that_holds_nothing_is_an_error() {
        let missing = verify_file(Path::new("no/such/file.jsonl")).unwrap_err();
        assert!(matches!(missing, Error::Unreadable { .. }), "{missing}");
    }
}
