//! Playing back a dataset.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::env::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use crate::experience::behaviour::Behaviour;
use crate::experience::collector::{Chooser, Collector};
use crate::experience::dataset::{Dataset, RecordedEpisode};
use crate::experience::rollout::Rollout;
use crate::experience::source::Source;
use crate::experience::state::CollectorState;
use crate::hyper::Hyperparameters;
use crate::policy::Policy;
use crate::policy::inputs::InputEncoder;
use crate::seeds::LaneSeeds;
use crate::spaces::actions::Choice;

/// The episodes of a dataset as environments: each lane shows one episode after the other, drawn at random with
/// replacement. Its oracle knows the recorded actions, and no others may be played.
pub struct Playback<'a> {
    dataset: &'a Dataset,
    digest: [u8; 32],
    lanes: Vec<Place>,
}

/// The place of a lane in the dataset.
#[derive(Clone, Serialize, Deserialize)]
struct Place {
    rng: Xoshiro256PlusPlus,
    episode: usize,
    step: usize,
}

/// The state of a playback: places, and the digest of the dataset that they are in.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    digest: [u8; 32],
    lanes: Vec<Place>,
}

impl<'a> Playback<'a> {
    /// Returns lanes that need a reset with seeds.
    ///
    /// # Errors
    /// A dataset without an episode.
    pub fn new(dataset: &'a Dataset, num_envs: usize) -> Result<Self, EnvError> {
        if dataset.episodes().is_empty() {
            return Err(refused("it has no episode"));
        }
        let place = Place {
            rng: Xoshiro256PlusPlus::seed_from_u64(0),
            episode: 0,
            step: 0,
        };
        Ok(Self {
            digest: dataset.digest(),
            dataset,
            lanes: vec![place; num_envs],
        })
    }

    fn episode(&self, place: &Place) -> &'a RecordedEpisode {
        &self.dataset.episodes()[place.episode]
    }

    fn observation(&self, place: &Place) -> &'a [f32] {
        let size = self.dataset.flat_size();
        &self.episode(place).observations[place.step * size..][..size]
    }

    /// Draws the next episode of every lane that `chosen` names.
    fn begin(&mut self, chosen: impl Fn(usize) -> bool) {
        let episodes = self.dataset.episodes().len();
        let chosen = |&(lane, _): &(usize, &mut Place)| chosen(lane);
        for (_, place) in self.lanes.iter_mut().enumerate().filter(chosen) {
            (place.episode, place.step) = (place.rng.random_range(0..episodes), 0);
        }
    }

    fn observations(&self) -> Vec<f32> {
        let rows = self.lanes.iter().map(|place| self.observation(place));
        rows.collect::<Vec<_>>().concat()
    }
}

fn refused(detail: &str) -> EnvError {
    EnvError::Recording {
        detail: detail.into(),
    }
}

impl VectorEnv for Playback<'_> {
    fn num_envs(&self) -> usize {
        self.lanes.len()
    }

    fn observation_space(&self) -> &Space {
        &self.dataset.spaces().observation
    }

    fn action_space(&self) -> &Space {
        &self.dataset.spaces().action
    }

    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
        if !request.options.is_empty() {
            return Err(refused("it has no options to reset with"));
        }
        for (place, &seed) in self.lanes.iter_mut().zip(request.seeds.iter().flatten()) {
            place.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        }
        self.begin(|_| true);
        Ok(ResetReply {
            observations: self.observations(),
        })
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        if actions != self.oracle()? {
            return Err(refused("it can only play its own actions"));
        }
        let mut reply = StepReply::default();
        for place in &mut self.lanes {
            let episode = &self.dataset.episodes()[place.episode];
            reply.rewards.push(episode.rewards[place.step]);
            place.step += 1;
            let end = place.step == episode.steps();
            reply.terminations.push(end && !episode.is_truncated);
            reply.truncations.push(end && episode.is_truncated);
        }
        let ends: Vec<bool> = (0..self.lanes.len())
            .map(|lane| reply.terminations[lane] || reply.truncations[lane])
            .collect();
        if ends.contains(&true) {
            reply.final_observations = self.observations();
            self.begin(|lane| ends[lane]);
        }
        reply.observations = self.observations();
        Ok(reply)
    }

    fn oracle(&mut self) -> Result<Vec<Choice>, EnvError> {
        let components = self.dataset.components();
        let recorded = |place: &Place| {
            let actions = &self.episode(place).actions[place.step * components..];
            &actions[..components]
        };
        let actions = self.lanes.iter().flat_map(recorded);
        Ok(actions.copied().collect())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let snapshot = Snapshot {
            digest: self.digest,
            lanes: self.lanes.clone(),
        };
        Ok(rmp_serde::to_vec_named(&snapshot).expect("places are plain data"))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let read = rmp_serde::from_slice(snapshot);
        let Snapshot { digest, lanes } =
            read.map_err(|error| refused(&format!("a place in it cannot be read: {error}")))?;
        let is_inside = |place: &Place| {
            let episode = self.dataset.episodes().get(place.episode);
            episode.is_some_and(|episode| place.step < episode.steps())
        };
        let fits = lanes.len() == self.lanes.len() && lanes.iter().all(is_inside);
        if digest != self.digest || !fits {
            return Err(refused("the run was begun with other episodes"));
        }
        self.lanes = lanes;
        Ok(())
    }
}

/// A dataset as a source of experience: no environment is stepped, and the learner's behaviour is not asked for.
pub struct Recording<'a> {
    collector: Collector<'a>,
}

impl<'a> Recording<'a> {
    /// Begins an episode of the recording in each lane, chosen by a seed for each.
    ///
    /// # Errors
    /// None in practice; those of [`Collector::begin`].
    pub fn begin(
        playback: &'a mut Playback<'_>,
        encoder: InputEncoder,
        policy: &Policy,
        hyper: &Hyperparameters,
        seeds: LaneSeeds,
    ) -> Result<Self, EnvError> {
        let collector = Collector::begin(playback, encoder, policy, hyper, &[], seeds)?;
        Ok(Self { collector })
    }
}

impl Source for Recording<'_> {
    fn batch(&self) -> usize {
        self.collector.batch()
    }

    fn is_played(&self) -> bool {
        false
    }

    fn collect(
        &mut self,
        policy: &Policy,
        _behaviour: Behaviour,
        rng: &mut Xoshiro256PlusPlus,
        max_steps: usize,
    ) -> Result<Rollout, EnvError> {
        self.collector
            .play_all(policy, Chooser::Recording, rng, max_steps)
    }

    fn state(&self) -> &CollectorState {
        self.collector.state()
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        self.collector.snapshot()
    }

    fn restore(&mut self, snapshot: Option<&[u8]>, state: CollectorState) -> Result<(), EnvError> {
        self.collector.restore(snapshot, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experience::dataset::tests::{dataset, episode};

    fn seeded(seeds: &[u64]) -> ResetRequest {
        ResetRequest {
            seeds: Some(seeds.to_vec()),
            ..ResetRequest::default()
        }
    }

    /// The only episode, twice: 5, 6 and the last observation 7.
    #[test]
    fn an_episode_is_shown_as_it_was_recorded() {
        for is_truncated in [false, true] {
            let mut dataset = dataset(1_000);
            dataset.push(RecordedEpisode {
                is_truncated,
                ..episode(5, 2)
            });
            let mut playback = Playback::new(&dataset, 1).unwrap();
            assert_eq!(playback.reset(&seeded(&[1])).unwrap().observations, [5.0]);
            for _ in 0..2 {
                assert_eq!(playback.oracle().unwrap(), [0]);
                let first = playback.step(&[0]).unwrap();
                assert_eq!(
                    (&first.observations[..], &first.rewards[..]),
                    (&[6.0][..], &[5.0][..])
                );
                assert_eq!(playback.oracle().unwrap(), [1]);
                let second = playback.step(&[1]).unwrap();
                assert_eq!(
                    (&second.observations[..], &second.rewards[..]),
                    (&[5.0][..], &[6.0][..])
                );
                assert_eq!(second.final_observations, [7.0]);
                let ends = (second.terminations[0], second.truncations[0]);
                assert_eq!(ends, (!is_truncated, is_truncated));
            }
        }
    }

    #[test]
    fn other_actions_options_and_datasets_are_refused() {
        assert!(Playback::new(&dataset(1_000), 1).is_err());
        let mut small = dataset(1_000);
        small.push(episode(5, 2));
        let mut large = small.clone();
        large.push(episode(1, 3));
        let mut playback = Playback::new(&small, 2).unwrap();
        playback.reset(&seeded(&[1, 2])).unwrap();
        assert!(playback.step(&[0, 1]).is_err());
        let options = serde_json::from_str(r#"{"delay": 3}"#).unwrap();
        let seeds = None;
        assert!(playback.reset(&ResetRequest { seeds, options }).is_err());
        let snapshot = playback.snapshot().unwrap();
        assert!(playback.restore(&snapshot).is_ok());
        assert!(playback.restore(&snapshot[1..]).is_err());
        assert!(
            Playback::new(&large, 2)
                .unwrap()
                .restore(&snapshot)
                .is_err()
        );
        assert!(
            Playback::new(&small, 3)
                .unwrap()
                .restore(&snapshot)
                .is_err()
        );
    }

    #[test]
    fn lanes_draw_episodes_of_their_own_and_continue_from_a_snapshot() {
        let mut dataset = dataset(10_000);
        for first in 0..50 {
            dataset.push(episode(first, 1 + first % 3));
        }
        let mut playback = Playback::new(&dataset, 2).unwrap();
        playback.reset(&seeded(&[1, 2])).unwrap();
        let play = |playback: &mut Playback<'_>| -> Vec<StepReply> {
            let mut step = || {
                let actions = playback.oracle().unwrap();
                playback.step(&actions).unwrap()
            };
            (0..20).map(|_| step()).collect()
        };
        let before = play(&mut playback);
        let differ = |reply: &StepReply| reply.rewards[0] != reply.rewards[1];
        assert!(before.iter().filter(|reply| differ(reply)).count() > 10);
        let snapshot = playback.snapshot().unwrap();
        let expected = play(&mut playback);
        playback.restore(&snapshot).unwrap();
        assert_eq!(play(&mut playback), expected);
    }
}
