//! Recorded episodes, replayed and compared.
//!
//! An episode has the environment's name, its arguments, everything random that the original drew
//! (`latent`), the actions, and the observations, rewards and flags that the original returned. The
//! environment gets the same draws and actions, and must return the same, number for number. Where
//! a recording holds the states of the original, the environment is put into each state and makes
//! one step from there: rounding differences between machines' sines would grow over an episode.

use std::fmt;

use env_protocol::Kwargs;
use serde::Deserialize;
use serde_json::Value;

use crate::actions::{ActionRange, action_ranges};
use crate::catalogue::Catalogued;
use crate::environment::Environment;
use crate::{Arguments, Draw, Element, Script};

/// A task that follows an original, whose recorded episodes it must repeat.
pub trait Recorded: Environment {
    /// Name in files of recorded episodes.
    const REFERENCE_NAME: &'static str;

    /// Distance at which an observed float32 still counts as equal to a recorded one, in units in
    /// the last place.
    const TOLERANCE_ULPS: u32 = 0;

    /// Difference at which a reward still counts as equal to a recorded one.
    const REWARD_TOLERANCE: f64 = 0.0;

    /// Returns the draws that lead to a recorded episode, in the order in which the environment
    /// asks for them. `latent` holds the draws of the original.
    ///
    /// # Errors
    /// When the recording lacks something.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String>;

    /// Returns the states at each observation of a recorded episode, where it is to be compared
    /// step by step: the environment is put into each, because small differences would grow.
    ///
    /// # Errors
    /// When the recording lacks something.
    fn recorded_states(&self, _latent: &Value) -> Result<Option<Vec<Self>>, String> {
        Ok(None)
    }

    /// Returns the draws of each step, where states are recorded and steps draw: [`Self::script`] then
    /// has the draws of the reset only. By default steps draw nothing.
    ///
    /// # Errors
    /// When the recording lacks something.
    fn step_scripts(&self, _latent: &Value) -> Result<Vec<Vec<Draw>>, String> {
        Ok(Vec::new())
    }

    /// Checks that a step led to the recorded state, where states are recorded.
    ///
    /// # Errors
    /// Says what differs.
    fn agrees_with(&self, _recorded: &Self) -> Result<(), String> {
        Ok(())
    }
}

/// A recorded episode of `T` steps.
#[derive(Clone, Debug, Deserialize)]
pub struct Episode {
    /// Name of the environment.
    pub env: String,
    /// Its arguments.
    pub kwargs: Kwargs,
    /// Draws of the original, in its own form.
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
    /// A single number.
    One(f64),
    /// A list of numbers.
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

/// Greatest number of differences that a report describes; it counts the rest.
pub const MAX_DESCRIBED: usize = 20;

/// The number of differences, and a description of the first few.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// Number of differences.
    pub total: usize,
    /// The first [`MAX_DESCRIBED`] of them, in words.
    pub described: Vec<String>,
}

impl Differences {
    pub(crate) fn add(&mut self, detail: impl FnOnce() -> String) {
        self.total += 1;
        if self.described.len() < MAX_DESCRIBED {
            self.described.push(detail());
        }
    }

    pub(crate) fn check(&mut self, result: Result<(), String>) {
        if let Err(detail) = result {
            self.add(|| detail);
        }
    }

    fn compare<T: PartialEq + std::fmt::Debug + ?Sized>(
        &mut self,
        place: Place,
        what: &str,
        ours: &T,
        recorded: &T,
    ) {
        if ours != recorded {
            self.add(|| {
                format!("{place}: {what} is {ours:?} here and {recorded:?} in the recording")
            });
        }
    }
}

/// A place in an episode: the reset, or the step with this number, from 1.
#[derive(Clone, Copy)]
pub(crate) struct Place(pub usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("the reset"),
            step => write!(f, "step {step}"),
        }
    }
}

/// Replays an episode in `E`, with its draws and actions, and compares all results.
///
/// # Errors
/// When the episode is malformed and cannot be played to its end.
pub fn verify_episode<E: Catalogued + Recorded>(
    episode: &Episode,
    differences: &mut Differences,
) -> Result<(), String> {
    check_lengths(episode)?;
    let parameters = E::profile().parameters;
    let arguments = Arguments::resolve(&parameters, &episode.kwargs);
    let environment = arguments.and_then(|arguments| E::new(&arguments));
    let environment = environment.map_err(|e| format!("kwargs: {e}"))?;
    let states = environment.recorded_states(&episode.latent)?;
    let space = environment.observation_space();
    let mut replay = Replay {
        episode,
        actions: action_ranges(&environment.action_space()),
        row: vec![E::Element::default(); space.flat_size()],
        differences,
    };
    match states {
        Some(states) => replay.by_states(&states),
        None => replay.by_draws(environment),
    }
}

/// An episode being replayed.
struct Replay<'a, T> {
    episode: &'a Episode,
    /// The range of each number in an action.
    actions: Vec<ActionRange>,
    /// The last observation.
    row: Vec<T>,
    differences: &'a mut Differences,
}

impl<T: Element> Replay<'_, T> {
    /// Plays the whole episode from the recorded draws.
    fn by_draws<E: Recorded<Element = T>>(&mut self, mut environment: E) -> Result<(), String> {
        let mut draws = Script::new(environment.script(&self.episode.latent)?);
        environment.reset(&mut draws, &mut self.row);
        self.compare_observation::<E>(0);
        for step in 1..=self.episode.actions.len() {
            if !environment.is_running() {
                return Err(format!("{}: the episode has ended before", Place(step)));
            }
            self.step(&mut environment, &mut draws, step)?;
        }
        draws.finish()
    }

    /// Plays one step from each recorded state.
    fn by_states<E: Recorded<Element = T>>(&mut self, states: &[E]) -> Result<(), String> {
        let steps = self.episode.actions.len();
        if states.len() != steps + 1 {
            let len = states.len();
            return Err(format!("latent: {len} states for {steps} actions"));
        }
        let mut first = states[0].clone();
        let mut draws = Script::new(first.script(&self.episode.latent)?);
        first.reset(&mut draws, &mut self.row);
        self.compare_observation::<E>(0);
        self.agrees(0, &first, &states[0]);
        draws.finish()?;
        let mut scripts = states[0].step_scripts(&self.episode.latent)?.into_iter();
        for (step, pair) in (1..).zip(states.windows(2)) {
            if !pair[0].is_running() {
                return Err(format!("{}: the episode has ended before", Place(step)));
            }
            let mut environment = pair[0].clone();
            let mut draws = Script::new(scripts.next().unwrap_or_default());
            self.step(&mut environment, &mut draws, step)?;
            let place = Place(step);
            draws.finish().map_err(|e| format!("{place}: {e}"))?;
            self.agrees(step, &environment, &pair[1]);
        }
        Ok(())
    }

    fn agrees<E: Recorded>(&mut self, step: usize, ours: &E, recorded: &E) {
        let result = ours.agrees_with(recorded);
        let place = Place(step);
        self.differences
            .check(result.map_err(|detail| format!("{place}: {detail}")));
    }

    fn step<E: Recorded<Element = T>>(
        &mut self,
        environment: &mut E,
        draws: &mut Script,
        step: usize,
    ) -> Result<(), String> {
        let place = Place(step);
        let t = step - 1;
        let action = self.action::<E::Action>(t);
        let action = action.map_err(|e| format!("{place}: {e}"))?;
        let transition = environment.step(&action, draws, &mut self.row);
        self.compare_observation::<E>(step);
        let episode = self.episode;
        let differences = &mut self.differences;
        let (reward, recorded) = (transition.reward, episode.rewards[t]);
        if (reward - recorded).abs() > E::REWARD_TOLERANCE || reward.is_nan() {
            differences.compare(place, "reward", &reward, &recorded);
        }
        let ends = (transition.terminated, transition.truncated);
        let recorded = (episode.terminated[t], episode.truncated[t]);
        differences.compare(place, "(terminated, truncated)", &ends, &recorded);
        Ok(())
    }

    fn action<A: Element>(&self, t: usize) -> Result<Vec<A>, String> {
        let row = &self.episode.actions[t];
        let numbers = row.numbers();
        let in_range = |(range, &number): (&ActionRange, &f64)| range.contains(number);
        let is_good = numbers.len() == self.actions.len()
            && matches!(row, Row::One(_)) == (numbers.len() == 1)
            && self.actions.iter().zip(numbers).all(in_range);
        let action = numbers.iter().map(|&number| A::from_f64(number));
        let action: Option<Vec<A>> = action.collect();
        action.filter(|_| is_good).ok_or_else(|| {
            let ranges: Vec<String> = self.actions.iter().map(ToString::to_string).collect();
            format!(
                "{row:?} is no action; its numbers are {}",
                ranges.join(", ")
            )
        })
    }

    fn compare_observation<E: Recorded<Element = T>>(&mut self, step: usize) {
        let recorded = self.episode.observations[step].numbers();
        let ours: Vec<f64> = self.row.iter().map(|x| x.to_f64()).collect();
        let is_close = |(&ours, &recorded): (&f64, &f64)| {
            ours == recorded || is_within_ulps(ours, recorded, E::TOLERANCE_ULPS)
        };
        if ours.len() != recorded.len() || !ours.iter().zip(recorded).all(is_close) {
            let place = Place(step);
            let ours = ours.as_slice();
            self.differences
                .compare(place, "observation", ours, recorded);
        }
    }
}

/// Whether two float32 numbers are at most `ulps` units in the last place apart. False for numbers
/// that float32 cannot represent.
pub(crate) fn is_within_ulps(a: f64, b: f64, ulps: u32) -> bool {
    // Positions of floats on a line: negative floats count down from zero.
    let place = |x: f64| {
        let narrow = f32::from_f64(x)?;
        let magnitude = i64::from(narrow.to_bits() & 0x7fff_ffff);
        Some(if narrow.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        })
    };
    match (place(a), place(b)) {
        (Some(a), Some(b)) => a.abs_diff(b) <= u64::from(ulps),
        _ => false,
    }
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
