//! MemoryTask: remember one bit while distractors go by.
//!
//! The first observation is `[target, distractor, 0]`, every later one
//! `[distractor, distractor, 0]`. The `delay`-th action ends the episode and pays +1 if it equals
//! the target and −1 otherwise; everything before pays 0. Distractors are 0 at difficulty 0 and
//! fair bits at difficulty 1, the one beside the target included. Nothing tells a cue from a
//! distractor but that it comes first.
//!
//! Source: the `MemoryTaskEnv` of the Strategic Memory Retrieval notebook
//! (pihh/strategic-memory-retrieval-reinforcement-agent, 2025). Deviations: seeds are honoured, a
//! delay of 0 is refused, a step after the end is an error, and `delay_min` is new.

use env_protocol::{Bound, Dtype, Parameter, Space, Spec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Arguments, Draw, Draws, Environment, KwargsError, Transition};
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};

/// Longest delay.
pub const MAX_DELAY: u32 = 10_000_000;

/// The task, with its arguments and the episode it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryTask {
    delay: u32,
    delay_min: u32,
    has_distractors: bool,
    target: bool,
    /// Actions until the end of the episode.
    remaining: u32,
}

impl MemoryTask {
    /// A distractor. Draws only where there is something to draw.
    #[inline]
    fn distractor(&self, draws: &mut impl Draws) -> f32 {
        f32::from(u8::from(self.has_distractors && draws.bit()))
    }
}

impl Environment for MemoryTask {
    type Element = f32;

    const REFERENCE_NAME: &'static str = "MemoryTask";

    fn spec() -> Spec {
        let max = i64::from(MAX_DELAY);
        Spec {
            id: "MemoryTask-v0".to_owned(),
            description: "Remember the bit shown first and answer with it `delay` actions later, \
                          past distractors. Delay 1 needs no memory."
                .to_owned(),
            parameters: vec![
                Parameter {
                    name: "delay".to_owned(),
                    description: "Actions in an episode; the last one is judged.".to_owned(),
                    minimum: 1,
                    maximum: max,
                    default: Some(4),
                    resettable: true,
                },
                Parameter {
                    name: "delay_min".to_owned(),
                    description: "When less than `delay` (its default), each episode draws its \
                                  delay log-uniformly from `delay_min..=delay`."
                        .to_owned(),
                    minimum: 1,
                    maximum: max,
                    default: None,
                    resettable: true,
                },
                Parameter {
                    name: "difficulty".to_owned(),
                    description: "0: distractors are 0. 1: distractors are fair bits.".to_owned(),
                    minimum: 0,
                    maximum: 1,
                    default: Some(0),
                    resettable: false,
                },
            ],
            observation_space: Space::Box {
                shape: vec![3],
                dtype: Dtype::Float32,
                low: Bound::All(0.0),
                high: Bound::All(1.0),
            },
            action_space: Space::Discrete { n: 2, start: 0 },
            reward_range: [-1.0, 1.0],
            solved_threshold: 0.99,
            source: "MemoryTaskEnv, pihh/strategic-memory-retrieval-reinforcement-agent (2025)"
                .to_owned(),
        }
    }

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let required = |name| {
            let value = arguments.get(name);
            value.ok_or_else(|| KwargsError::new(name, "missing"))
        };
        let delay = required("delay")?;
        let delay_min = arguments.get("delay_min").unwrap_or(delay);
        if delay_min > delay {
            let detail = format!("{delay_min} is greater than delay, which is {delay}");
            return Err(KwargsError::new("delay_min", detail));
        }
        Ok(MemoryTask {
            delay: narrow("delay", delay)?,
            delay_min: narrow("delay_min", delay_min)?,
            has_distractors: required("difficulty")? == 1,
            target: false,
            remaining: 0,
        })
    }

    /// Draws the episode's delay (only if there is a choice), the target, and the distractor.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.remaining = if self.delay_min < self.delay {
            draws.log_uniform(u64::from(self.delay_min), u64::from(self.delay)) as u32
        } else {
            self.delay
        };
        self.target = draws.bit();
        let target = f32::from(u8::from(self.target));
        observation.copy_from_slice(&[target, self.distractor(draws), 0.0]);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        let first = self.distractor(draws);
        let second = self.distractor(draws);
        observation.copy_from_slice(&[first, second, 0.0]);
        self.remaining -= 1;
        if self.remaining > 0 {
            return Transition::going_on(0.0);
        }
        let is_right = action[0] == i64::from(self.target);
        Transition::terminal(if is_right { 1.0 } else { -1.0 })
    }

    fn validate(&self) -> Result<(), String> {
        if !(1 <= self.delay_min && self.delay_min <= self.delay && self.delay <= MAX_DELAY) {
            return Err(format!(
                "delay_min {} and delay {} are not in order between 1 and {MAX_DELAY}",
                self.delay_min, self.delay
            ));
        }
        if self.remaining > self.delay {
            return Err(format!(
                "{} actions remain of a delay of {}",
                self.remaining, self.delay
            ));
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }

    /// The bit to remember, what is seen, and how far away the answer is.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let steps = seen.played.map(|played| played.steps);
        let remaining = u64::from(self.remaining);
        // Of a drawn delay that is not known any more, the longest possible one.
        let delay = steps.map_or(u64::from(self.delay), |steps| steps + remaining);
        let cue = Cell::new(if self.target { "1" } else { "0" }).tone(Tone::Cue);
        let cue = cue.seen(steps == Some(0));
        let mut time = Bar::remaining("actions left", remaining, delay);
        if remaining == 1 {
            time = time.tone(Tone::Goal);
        }
        let picture = Picture::new()
            .grid("cue, and the right answer", Grid::row([cue]))
            .grid("observation", seen.grid())
            .bars("", [time]);
        match (remaining, seen.action) {
            (0, Some(&[answer])) if answer == i64::from(self.target) => {
                picture.note(Tone::Good, &format!("answered {answer}: right"))
            }
            (0, Some(&[answer])) => picture.note(Tone::Bad, &format!("answered {answer}: wrong")),
            (1, _) => picture.note(Tone::Goal, "the next action is the answer"),
            _ => picture,
        }
    }

    /// `{"target", "reset_distractor", "distractors": [[d1, d2], …]}` and, where the delay was
    /// drawn, `"delay"`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            delay: Option<u64>,
            target: u8,
            reset_distractor: u8,
            distractors: Vec<[u8; 2]>,
        }
        let latent = Latent::deserialize(latent).map_err(|e| format!("latent: {e}"))?;
        let mut draws = Vec::new();
        if self.delay_min < self.delay {
            let delay = latent.delay.ok_or("latent: the drawn delay is missing")?;
            draws.push(Draw::Integer(delay));
        }
        draws.push(Draw::Bit(latent.target == 1));
        if self.has_distractors {
            draws.push(Draw::Bit(latent.reset_distractor == 1));
            let distractors = latent.distractors.iter().flatten();
            draws.extend(distractors.map(|&bit| Draw::Bit(bit == 1)));
        }
        Ok(draws)
    }
}

fn narrow(name: &str, value: i64) -> Result<u32, KwargsError> {
    u32::try_from(value).map_err(|_| KwargsError::new(name, format!("{value} is out of range")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environments::check::{arguments, check_environment};
    use crate::environments::{Rng, Script};
    use serde_json::json;

    fn task(kwargs: Value) -> MemoryTask {
        MemoryTask::new(&arguments::<MemoryTask>(kwargs)).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({"delay": 1}),
            json!({"delay": 5, "difficulty": 1}),
            json!({"delay": 40, "delay_min": 3, "difficulty": 1}),
        ] {
            check_environment::<MemoryTask>(kwargs);
        }
    }

    #[test]
    fn draws_target_then_distractors() {
        let bits = [true, false, true, true, false, true].map(Draw::Bit);
        let mut draws = Script::new(bits.to_vec());
        let mut task = task(json!({"delay": 2, "difficulty": 1}));
        let mut observation = [9.0; 3];
        task.reset(&mut draws, &mut observation);
        assert_eq!(observation, [1.0, 0.0, 0.0]);
        let first = task.step(&[0], &mut draws, &mut observation);
        assert_eq!(
            (first, observation),
            (Transition::going_on(0.0), [1.0, 1.0, 0.0])
        );
        let last = task.step(&[1], &mut draws, &mut observation);
        assert_eq!(
            (last, observation),
            (Transition::terminal(1.0), [0.0, 1.0, 0.0])
        );
        draws.finish().unwrap();
    }

    #[test]
    fn a_drawn_delay_comes_first_and_counts() {
        let mut draws = Script::new(vec![Draw::Integer(3), Draw::Bit(true)]);
        let mut task = task(json!({"delay": 8, "delay_min": 2}));
        let mut observation = [0.0; 3];
        task.reset(&mut draws, &mut observation);
        let rewards: Vec<f64> = (0..3)
            .map(|_| task.step(&[0], &mut draws, &mut observation).reward)
            .collect();
        assert_eq!(rewards, [0.0, 0.0, -1.0]);
        draws.finish().unwrap();
    }

    #[test]
    fn equal_delays_draw_nothing_for_the_delay() {
        let mut rng = Rng::from_seed(5);
        let mut reference = rng.clone();
        task(json!({"delay": 8, "delay_min": 8})).reset(&mut rng, &mut [0.0; 3]);
        reference.next_u64();
        assert_eq!(rng, reference, "one draw, the target, at difficulty 0");
    }

    #[test]
    fn delay_min_must_not_exceed_delay() {
        let arguments = arguments::<MemoryTask>(json!({"delay": 2, "delay_min": 3}));
        let error = MemoryTask::new(&arguments).unwrap_err();
        assert_eq!(
            error.to_string(),
            "delay_min: 3 is greater than delay, which is 2"
        );
    }

    #[test]
    fn impossible_states_are_refused() {
        let state = serde_json::to_value(task(json!({"delay": 4}))).unwrap();
        for (field, value) in [
            ("delay", json!(0)),
            ("delay", json!(10_000_001)),
            ("delay_min", json!(5)),
            ("remaining", json!(5)),
        ] {
            let mut state = state.clone();
            state[field] = value;
            let task: MemoryTask = serde_json::from_value(state).unwrap();
            assert!(task.validate().is_err(), "{field}");
        }
    }
}
