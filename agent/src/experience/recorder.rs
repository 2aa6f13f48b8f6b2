//! Recording episodes as they are played.

use crate::env::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use crate::experience::dataset::{Dataset, RecordedEpisode};
use crate::spaces::actions::Choice;

/// The episodes under way in some lanes.
pub struct OpenEpisodes {
    flat_size: usize,
    components: usize,
    /// None in a lane that is not recorded.
    lanes: Vec<Option<RecordedEpisode>>,
    /// Whether the next episode of a lane is recorded.
    goes_on: Vec<bool>,
}

impl OpenEpisodes {
    /// Returns lanes of a dataset's task in which nothing has begun.
    pub fn new(dataset: &Dataset, num_envs: usize) -> Self {
        Self {
            flat_size: dataset.flat_size(),
            components: dataset.components(),
            lanes: vec![None; num_envs],
            goes_on: vec![true; num_envs],
        }
    }

    /// Begins an episode in every lane, with these flat observations: `[num_envs, flat_size]`.
    pub fn begin(&mut self, observations: &[f32]) {
        self.goes_on.fill(true);
        (0..self.lanes.len()).for_each(|lane| self.begin_in(lane, observations));
    }

    /// Leaves what is under way out, until the next episodes begin.
    pub fn discard(&mut self) {
        self.lanes.fill(None);
    }

    /// Returns the bytes of the episodes under way.
    pub fn bytes(&self) -> usize {
        self.lanes
            .iter()
            .flatten()
            .map(RecordedEpisode::bytes)
            .sum()
    }

    fn begin_in(&mut self, lane: usize, observations: &[f32]) {
        self.lanes[lane] = Some(RecordedEpisode {
            observations: observations[lane * self.flat_size..][..self.flat_size].to_vec(),
            ..RecordedEpisode::default()
        });
    }

    /// Adds a step of every lane. `ended` gets each episode that ends with it, and its lane, and returns whether to record
    /// on there.
    pub fn push(
        &mut self,
        actions: &[Choice],
        reply: &StepReply,
        mut ended: impl FnMut(usize, RecordedEpisode) -> bool,
    ) {
        let (size, components) = (self.flat_size, self.components);
        for lane in 0..self.lanes.len() {
            let is_end = reply.terminations[lane] || reply.truncations[lane];
            if let Some(mut open) = self.lanes[lane].take() {
                let action = &actions[lane * components..][..components];
                open.actions.extend_from_slice(action);
                open.rewards.push(reply.rewards[lane]);
                let observations = if is_end {
                    &reply.final_observations
                } else {
                    &reply.observations
                };
                let observation = &observations[lane * size..][..size];
                open.observations.extend_from_slice(observation);
                if is_end {
                    open.is_truncated = !reply.terminations[lane];
                    self.goes_on[lane] = ended(lane, open);
                } else {
                    self.lanes[lane] = Some(open);
                }
            }
            if is_end && self.goes_on[lane] {
                self.begin_in(lane, &reply.observations);
            }
        }
    }
}

/// An environment that adds its episodes to a dataset as they end. A training run, an evaluation or any other program may
/// play it. Episodes beyond the dataset's limit are left out.
pub struct Recorder<'a> {
    env: &'a mut dyn VectorEnv,
    dataset: &'a mut Dataset,
    /// Nothing after a restore, until the next episodes begin.
    open: OpenEpisodes,
}

impl<'a> Recorder<'a> {
    /// Records from the next reset on.
    ///
    /// # Panics
    /// On a dataset of other spaces.
    pub fn new(env: &'a mut dyn VectorEnv, dataset: &'a mut Dataset) -> Self {
        let spaces = (&dataset.spaces().observation, &dataset.spaces().action);
        assert_eq!(
            spaces,
            (env.observation_space(), env.action_space()),
            "the dataset's spaces"
        );
        Self {
            open: OpenEpisodes::new(dataset, env.num_envs()),
            env,
            dataset,
        }
    }
}

impl VectorEnv for Recorder<'_> {
    fn num_envs(&self) -> usize {
        self.env.num_envs()
    }

    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn solved_threshold(&mut self) -> Result<Option<f64>, EnvError> {
        self.env.solved_threshold()
    }

    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
        let reply = self.env.reset(request)?;
        self.open.begin(&reply.observations);
        Ok(reply)
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        let reply = self.env.step(actions)?;
        self.open.push(actions, &reply, |_, episode| {
            self.dataset.push(episode);
            true
        });
        Ok(reply)
    }

    fn oracle(&mut self) -> Result<Vec<Choice>, EnvError> {
        self.env.oracle()
    }

    fn picture(&mut self, has_colour: bool) -> Result<Option<String>, EnvError> {
        self.env.picture(has_colour)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        self.env.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.env.restore(snapshot)?;
        self.open.discard();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::test_task::TestTask;
    use crate::experience::playback::Playback;

    /// Two lanes of three steps each, and a fourth step that is not a whole episode.
    #[test]
    fn whole_episodes_are_recorded_and_can_be_played_back() {
        for truncates in [false, true] {
            let mut task = TestTask::new(2, 3);
            task.truncates = truncates;
            let spaces = task.spaces();
            let mut dataset = Dataset::new(spaces, 10_000).unwrap();
            let mut recorder = Recorder::new(&mut task, &mut dataset);
            let request = ResetRequest {
                seeds: Some(vec![1, 2]),
                ..ResetRequest::default()
            };
            let mut seen = vec![recorder.reset(&request).unwrap().observations];
            let mut rewards = Vec::new();
            for step in 0..4 {
                let reply = recorder.step(&[step % 2, 1]).unwrap();
                let is_end = !reply.final_observations.is_empty() && step == 2;
                seen.push(if is_end {
                    reply.final_observations
                } else {
                    reply.observations
                });
                rewards.push(reply.rewards);
            }
            assert_eq!(dataset.episodes().len(), 2);
            for (lane, episode) in dataset.episodes().iter().enumerate() {
                let shown: Vec<f32> = seen[..4]
                    .iter()
                    .flat_map(|row| row[lane * 3..][..3].to_vec())
                    .collect();
                assert_eq!(episode.observations, shown);
                assert_eq!(episode.actions, [[0, 1, 0], [1, 1, 1]][lane]);
                let earned: Vec<f64> = rewards[..3].iter().map(|row| row[lane]).collect();
                assert_eq!(episode.rewards, earned);
                assert_eq!(episode.is_truncated, truncates);
            }
            let mut playback = Playback::new(&dataset, 1).unwrap();
            let first = playback.reset(&request).unwrap().observations;
            assert!(seen[0].chunks_exact(3).any(|row| row == first));
        }
    }
}
