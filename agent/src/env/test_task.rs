//! A small task in this process, for tests: recall the cue that was shown when the episode began.

use env_protocol::{Bound, Dtype};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use crate::spaces::actions::{Choice, of_number};
use crate::spaces::components::{Component, components};

/// Lanes of MemoryTask. First observation `[target, distractor, 0]`, later ones `[distractor, distractor, 0]`, all fair
/// bits; the `delay`-th action earns +1 if it is the target, else −1. With delay 1 the cue is on screen when it is asked.
/// [`TestTask::of_pairs`] shows the same numbers as a compound space, and wants the target together with a 2.
/// [`TestTask::of_rasters`] shows the target as a goal on the agent's left or right, and draws it at the first step only.
/// [`TestTask::of_numbers`] draws the target between 0 and 1, and wants it as a number from −2 to 2; it pays 1 less half the
/// distance. [`TestTask::of_mixtures`] wants the same next to a choice and a number that are free.
pub struct TestTask {
    lanes: Vec<Lane>,
    delay: u64,
    form: Form,
    /// Report the end of an episode as a truncation instead of a termination.
    pub truncates: bool,
    /// Mean return from which it counts as solved.
    pub solved_threshold: Option<f64>,
    observation_space: Space,
    action_space: Space,
}

/// What is shown and wanted.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Choice,
    Pair,
    Raster,
    /// The component that is to be the target, in the space.
    Number(Component),
    /// The same, behind a free choice and before a free number.
    Mixture(Component),
}

#[derive(Clone, Serialize, Deserialize)]
struct Lane {
    rng: Xoshiro256PlusPlus,
    target: f32,
    age: u64,
}

impl Lane {
    fn bit(&mut self) -> f32 {
        f32::from(u8::from(self.rng.random::<bool>()))
    }

    fn begin(&mut self, form: Form) -> [f32; 3] {
        self.target = match form {
            Form::Number(_) | Form::Mixture(_) => self.rng.random(),
            Form::Choice | Form::Pair | Form::Raster => self.bit(),
        };
        self.age = 0;
        [self.target, self.bit(), 0.0]
    }
}

impl TestTask {
    /// Lanes that need a reset with seeds.
    pub fn new(num_envs: usize, delay: u64) -> Self {
        let lane = Lane {
            rng: Xoshiro256PlusPlus::seed_from_u64(0),
            target: 0.0,
            age: 0,
        };
        let space = |json| serde_json::from_str(json).expect("a space");
        Self {
            lanes: vec![lane; num_envs],
            delay,
            form: Form::Choice,
            truncates: false,
            solved_threshold: Some(0.95),
            observation_space: space(
                r#"{"type":"Box","shape":[3],"dtype":"float32","low":0.0,"high":1.0}"#,
            ),
            action_space: space(r#"{"type":"Discrete","n":2,"start":0}"#),
        }
    }

    /// Lanes whose observations are a choice and two numbers, and whose actions are a choice of two and one of three.
    pub fn of_pairs(num_envs: usize, delay: u64) -> Self {
        let plain = Self::new(num_envs, delay);
        let cue = Space::Discrete { n: 2, start: 0 };
        let distractors = Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low: Bound::All(0.0),
            high: Bound::All(1.0),
        };
        Self {
            form: Form::Pair,
            observation_space: Space::Tuple {
                spaces: vec![cue, distractors],
            },
            action_space: Space::MultiDiscrete { nvec: vec![2, 3] },
            ..plain
        }
    }

    /// Lanes whose observations are rasters of a row of three cells, with the agent in the middle.
    pub fn of_rasters(num_envs: usize, delay: u64) -> Self {
        Self {
            form: Form::Raster,
            observation_space: Space::Box {
                shape: vec![3, 1, 3],
                dtype: Dtype::Float32,
                low: Bound::All(0.0),
                high: Bound::All(1.0),
            },
            ..Self::new(num_envs, delay)
        }
    }

    /// Lanes whose actions are a number from −2 to 2.
    pub fn of_numbers(num_envs: usize, delay: u64) -> Self {
        let action_space = numbers(-2.0, 2.0);
        Self {
            form: Form::Number(of(&action_space)[0]),
            solved_threshold: None,
            action_space,
            ..Self::new(num_envs, delay)
        }
    }

    /// Lanes whose actions are a choice of two bits, a number from −2 to 2, and a number of at most 1.
    pub fn of_mixtures(num_envs: usize, delay: u64) -> Self {
        let parts = vec![numbers(-2.0, 2.0), numbers(f64::NEG_INFINITY, 1.0)];
        let parts = [
            ("bit".to_owned(), Space::MultiBinary { n: 1 }),
            ("numbers".to_owned(), Space::Tuple { spaces: parts }),
        ];
        let action_space = Space::Dict {
            spaces: parts.into(),
        };
        Self {
            form: Form::Mixture(of(&action_space)[1]),
            solved_threshold: None,
            action_space,
            ..Self::new(num_envs, delay)
        }
    }

    /// The reward of an action at the end of an episode.
    fn reward(&self, lane: &Lane, action: &[Choice]) -> f64 {
        let wanted = [lane.target as Choice, 2];
        let near = |component: Component, choice: Choice| {
            let wanted = 4.0 * f64::from(lane.target) - 2.0;
            1.0 - 0.5 * (component.to_space(choice) - wanted).abs()
        };
        match self.form {
            Form::Choice | Form::Raster => 2.0 * f64::from(u8::from(action == &wanted[..1])) - 1.0,
            Form::Pair => 2.0 * f64::from(u8::from(action == wanted)) - 1.0,
            Form::Number(component) => near(component, action[0]),
            Form::Mixture(component) => near(component, action[1]),
        }
    }

    /// Returns what is shown at the first step, or at a later one.
    fn shown(&self, [target, distractor, zero]: [f32; 3], is_first: bool) -> Vec<f32> {
        if self.form != Form::Raster {
            return vec![target, distractor, zero];
        }
        let goal = match is_first {
            true => [1.0 - target, 0.0, target],
            false => [0.0; 3],
        };
        [[1.0; 3], [0.0, 1.0, 0.0], goal].concat()
    }
}

fn numbers(low: f64, high: f64) -> Space {
    Space::Box {
        shape: vec![1],
        dtype: Dtype::Float32,
        low: Bound::All(low),
        high: Bound::All(high),
    }
}

fn of(space: &Space) -> Vec<Component> {
    components(space).expect("actions of the agents")
}

impl VectorEnv for TestTask {
    fn num_envs(&self) -> usize {
        self.lanes.len()
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn solved_threshold(&mut self) -> Result<Option<f64>, EnvError> {
        Ok(self.solved_threshold)
    }

    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
        for (lane, &seed) in self.lanes.iter_mut().zip(request.seeds.iter().flatten()) {
            lane.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        }
        let form = self.form;
        let begun = self.lanes.iter_mut().map(|lane| lane.begin(form));
        let begun: Vec<[f32; 3]> = begun.collect();
        let shown = begun
            .into_iter()
            .flat_map(|numbers| self.shown(numbers, true));
        Ok(ResetReply {
            observations: shown.collect(),
        })
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        let mut reply = StepReply::default();
        let actions = actions.chunks_exact(actions.len() / self.lanes.len());
        let mut lanes = std::mem::take(&mut self.lanes);
        for (lane, action) in lanes.iter_mut().zip(actions) {
            lane.age += 1;
            let end = lane.age == self.delay;
            let reward = if end { self.reward(lane, action) } else { 0.0 };
            reply.rewards.push(reward);
            reply.terminations.push(end && !self.truncates);
            reply.truncations.push(end && self.truncates);
            let next = self.shown([lane.bit(), lane.bit(), 0.0], false);
            reply.final_observations.extend_from_slice(&next);
            reply.observations.extend(match end {
                true => self.shown(lane.begin(self.form), true),
                false => next,
            });
        }
        self.lanes = lanes;
        Ok(reply)
    }

    fn oracle(&mut self) -> Result<Vec<Choice>, EnvError> {
        let wanted = |lane: &Lane| {
            let choice = lane.target as Choice;
            let number = of_number(2.0 * lane.target - 1.0);
            match self.form {
                Form::Choice | Form::Raster => vec![choice],
                Form::Pair => vec![choice, 2],
                Form::Number(_) => vec![number],
                Form::Mixture(_) => vec![0, number, of_number(0.5)],
            }
        };
        Ok(self.lanes.iter().flat_map(wanted).collect())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        Ok(rmp_serde::to_vec(&self.lanes).expect("lanes are plain data"))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.lanes = rmp_serde::from_slice(snapshot).expect("a snapshot of this task");
        Ok(())
    }
}
