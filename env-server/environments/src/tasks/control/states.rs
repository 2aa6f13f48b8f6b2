//! States of poles and pendulums: those of recordings, which are compared with ours step by step, and
//! what pictures show of them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::noise;
use crate::Draw;
use crate::kit::recording::{ensure, parse};
use crate::render::{Cell, Grid, Picture, Tone};

/// Greatest difference between a recorded state and ours that a different sine may cause.
const TOLERANCE: f64 = 1e-12;

/// The hidden draws of a recorded episode: `{"initial_state": [N], "states": [[N] an observation],
/// "noise": [[2] an observation]}`, the last one where there is noise.
#[derive(Deserialize)]
pub(crate) struct Latent<S> {
    initial_state: S,
    states: Vec<S>,
    noise: Option<Vec<[f64; 2]>>,
}

impl<const N: usize> Latent<[f64; N]>
where
    [f64; N]: DeserializeOwned,
{
    /// Returns the draws of a reset: the state, then the noise.
    ///
    /// # Errors
    /// Says what is wrong with the recording.
    pub(crate) fn script(latent: &Value, is_noisy: bool) -> Result<Vec<Draw>, String> {
        let latent: Self = parse(latent)?;
        let state = latent.initial_state.map(Draw::Number).into_iter();
        let noise = noise::script(latent.noise, is_noisy, latent.states.len())?;
        Ok(state.chain(noise.into_iter().take(1).flatten()).collect())
    }

    /// Returns the draws of each step: the noise.
    ///
    /// # Errors
    /// Says what is wrong with the recording.
    pub(crate) fn step_scripts(latent: &Value, is_noisy: bool) -> Result<Vec<Vec<Draw>>, String> {
        let latent: Self = parse(latent)?;
        let noise = noise::script(latent.noise, is_noisy, latent.states.len())?;
        Ok(noise.into_iter().skip(1).collect())
    }

    /// Returns the state at each observation.
    ///
    /// # Errors
    /// When the first is not the state that was drawn.
    pub(crate) fn states(latent: &Value) -> Result<Vec<[f64; N]>, String> {
        let latent: Self = parse(latent)?;
        ensure(latent.states.first() == Some(&latent.initial_state), || {
            "the first state is not the initial one".to_owned()
        })?;
        Ok(latent.states)
    }
}

/// Checks that a state equals a recorded one, up to the last bits of a sine.
///
/// # Errors
/// Says what differs.
pub(crate) fn agree<const N: usize>(ours: &[f64; N], recorded: &[f64; N]) -> Result<(), String> {
    let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * (1.0 + b.abs());
    match ours.iter().zip(recorded).all(is_close) {
        true => Ok(()),
        false => Err(format!(
            "the state is {ours:?} here and {recorded:?} in the recording"
        )),
    }
}

/// Adds the numbers that the agent does not see to a picture, under their names, if there are any.
pub(crate) fn show_hidden(picture: Picture, names: &str, hidden: Vec<f64>) -> Picture {
    if hidden.is_empty() {
        return picture;
    }
    let hidden = hidden.into_iter();
    let hidden = hidden.map(|number| Cell::number(number).tone(Tone::Hidden));
    picture.grid(names, Grid::row(hidden))
}
