//! A small task in this process, for tests: recall the cue that was shown when the episode began.

use env_protocol::{Bound, Dtype};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use crate::spaces::actions::Choice;

/// Lanes of MemoryTask. First observation `[target, distractor, 0]`, later ones `[distractor, distractor, 0]`, all fair
/// bits; the `delay`-th action earns +1 if it is the target, else −1. With delay 1 the cue is on screen when it is asked.
/// [`TestTask::of_pairs`] shows the same numbers as a compound space, and wants the target together with a 2.
/// [`TestTask::of_rasters`] shows the target as a goal on the agent's left or right, and draws it at the first step only.
pub struct TestTask {
    lanes: Vec<Lane>,
    delay: u64,
    components: usize,
    is_raster: bool,
    /// Report the end of an episode as a truncation instead of a termination.
    pub truncates: bool,
    /// Mean return from which it counts as solved.
    pub solved_threshold: Option<f64>,
    observation_space: Space,
    action_space: Space,
}

#[derive(Clone, Serialize, Deserialize)]
struct Lane {
    rng: Xoshiro256PlusPlus,
    target: u8,
    age: u64,
}

impl Lane {
    fn bit(&mut self) -> f32 {
        f32::from(u8::from(self.rng.random::<bool>()))
    }

    fn begin(&mut self) -> [f32; 3] {
        self.target = u8::from(self.rng.random::<bool>());
        self.age = 0;
        [f32::from(self.target), self.bit(), 0.0]
    }
}

impl TestTask {
    /// Lanes that need a reset with seeds.
    pub fn new(num_envs: usize, delay: u64) -> Self {
        let lane = Lane {
            rng: Xoshiro256PlusPlus::seed_from_u64(0),
            target: 0,
            age: 0,
        };
        let space = |json| serde_json::from_str(json).expect("a space");
        Self {
            lanes: vec![lane; num_envs],
            delay,
            components: 1,
            is_raster: false,
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
            components: 2,
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
            is_raster: true,
            observation_space: Space::Box {
                shape: vec![3, 1, 3],
                dtype: Dtype::Float32,
                low: Bound::All(0.0),
                high: Bound::All(1.0),
            },
            ..Self::new(num_envs, delay)
        }
    }

    /// Returns what is shown at the first step, or at a later one.
    fn shown(&self, [target, distractor, zero]: [f32; 3], is_first: bool) -> Vec<f32> {
        if !self.is_raster {
            return vec![target, distractor, zero];
        }
        let goal = match is_first {
            true => [1.0 - target, 0.0, target],
            false => [0.0; 3],
        };
        [[1.0; 3], [0.0, 1.0, 0.0], goal].concat()
    }
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
        let begun: Vec<[f32; 3]> = self.lanes.iter_mut().map(Lane::begin).collect();
        let shown = begun
            .into_iter()
            .flat_map(|numbers| self.shown(numbers, true));
        Ok(ResetReply {
            observations: shown.collect(),
        })
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        let mut reply = StepReply::default();
        let actions = actions.chunks_exact(self.components);
        let mut lanes = std::mem::take(&mut self.lanes);
        for (lane, action) in lanes.iter_mut().zip(actions) {
            lane.age += 1;
            let end = lane.age == self.delay;
            let wanted = [Choice::from(lane.target), 2];
            let reward = match (end, *action == wanted[..self.components]) {
                (false, _) => 0.0,
                (true, true) => 1.0,
                (true, false) => -1.0,
            };
            reply.rewards.push(reward);
            reply.terminations.push(end && !self.truncates);
            reply.truncations.push(end && self.truncates);
            let next = self.shown([lane.bit(), lane.bit(), 0.0], false);
            reply.final_observations.extend_from_slice(&next);
            reply.observations.extend(match end {
                true => self.shown(lane.begin(), true),
                false => next,
            });
        }
        self.lanes = lanes;
        Ok(reply)
    }

    fn oracle(&mut self) -> Result<Vec<Choice>, EnvError> {
        let wanted = |lane: &Lane| [Choice::from(lane.target), 2];
        let actions = self.lanes.iter().map(wanted);
        Ok(actions
            .flat_map(|wanted| wanted.into_iter().take(self.components))
            .collect())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        Ok(rmp_serde::to_vec(&self.lanes).expect("lanes are plain data"))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.lanes = rmp_serde::from_slice(snapshot).expect("a snapshot of this task");
        Ok(())
    }
}
