//! Recorded episodes, to learn from without playing.

use sha2::{Digest, Sha256};

use crate::spaces::actions::ActionHeads;
use crate::spaces::encoder::SpaceEncoder;
use crate::spaces::{Spaces, UnsupportedSpace};

/// Whole episodes of one task, played by any agent or program. They hold the observations, actions and rewards of the
/// environment and nothing of the agent that played, so that agents with any settings can learn from them.
#[derive(Clone, Debug)]
pub struct Dataset {
    spaces: Spaces,
    flat_size: usize,
    components: usize,
    episodes: Vec<RecordedEpisode>,
    bytes: usize,
    max_bytes: usize,
}

/// An episode of T steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedEpisode {
    /// Flat observations, the last one included: `[T + 1, flat_size]`.
    pub observations: Vec<f32>,
    /// `[T, components]`, as [`ActionHeads`] has them.
    pub actions: Vec<u32>,
    /// `[T]`.
    pub rewards: Vec<f64>,
    /// Whether it ended by a time limit rather than by the task.
    pub is_truncated: bool,
}

impl RecordedEpisode {
    /// Returns its number of steps.
    pub fn steps(&self) -> usize {
        self.rewards.len()
    }

    /// Returns the bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&self.observations[..])
            + size_of_val(&self.actions[..])
            + size_of_val(&self.rewards[..])
    }
}

impl Dataset {
    /// Most bytes that a dataset takes which is recorded or read by the command line.
    pub const MAX_BYTES: usize = 1 << 30;

    /// Returns an empty dataset of a task with these spaces, of at most `max_bytes`.
    ///
    /// # Errors
    /// Spaces that the agents cannot play.
    pub fn new(spaces: Spaces, max_bytes: usize) -> Result<Self, UnsupportedSpace> {
        Ok(Self {
            flat_size: SpaceEncoder::new(&spaces.observation)?.flat_size(),
            components: ActionHeads::new(&spaces.action)?.components(),
            spaces,
            episodes: Vec::new(),
            bytes: 0,
            max_bytes,
        })
    }

    /// Returns the spaces of the task.
    pub fn spaces(&self) -> &Spaces {
        &self.spaces
    }

    /// Returns the numbers in a flat observation.
    pub fn flat_size(&self) -> usize {
        self.flat_size
    }

    /// Returns the components of an action.
    pub fn components(&self) -> usize {
        self.components
    }

    /// Returns the episodes, in the order in which they were added.
    pub fn episodes(&self) -> &[RecordedEpisode] {
        &self.episodes
    }

    /// Returns the bytes that its episodes take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many more bytes of episodes it takes.
    pub fn bytes_left(&self) -> usize {
        self.max_bytes - self.bytes
    }

    /// Returns a SHA-256 of its episodes: equal datasets have the same, wherever they were read from.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for episode in &self.episodes {
            hash.update((episode.steps() as u64).to_le_bytes());
            hash.update([u8::from(episode.is_truncated)]);
            let observations = episode.observations.iter().map(|number| number.to_bits());
            let words = observations.chain(episode.actions.iter().copied());
            hash.update(words.flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
            let rewards = episode.rewards.iter();
            hash.update(
                rewards
                    .flat_map(|reward| reward.to_le_bytes())
                    .collect::<Vec<u8>>(),
            );
        }
        hash.finalize().into()
    }

    /// Adds an episode. Returns whether it fitted below the limit; if not, the dataset is as before.
    ///
    /// # Panics
    /// On an episode without steps, or with columns of other lengths than its steps and the spaces ask for.
    pub fn push(&mut self, episode: RecordedEpisode) -> bool {
        let steps = episode.steps();
        assert!(steps > 0, "an episode has steps");
        let lengths = (episode.observations.len(), episode.actions.len());
        let expected = ((steps + 1) * self.flat_size, steps * self.components);
        assert_eq!(lengths, expected, "numbers in observations and actions");
        let bytes = self.bytes + episode.bytes();
        let fits = bytes <= self.max_bytes;
        if fits {
            self.bytes = bytes;
            self.episodes.push(episode);
        }
        fits
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Observations of one number, two actions.
    pub(in crate::experience) fn dataset(max_bytes: usize) -> Dataset {
        let spaces = serde_json::json!({
            "observation": {"type": "Box", "shape": [1], "dtype": "float32", "low": -9.0, "high": 9.0},
            "action": {"type": "Discrete", "n": 2, "start": 0},
        });
        Dataset::new(serde_json::from_value(spaces).unwrap(), max_bytes).unwrap()
    }

    /// An episode that observes `first`, `first + 1` and so on, and is rewarded with the same numbers.
    pub(in crate::experience) fn episode(first: u32, steps: u32) -> RecordedEpisode {
        let numbers = first..=first + steps;
        RecordedEpisode {
            observations: numbers.clone().map(|n| n as f32).collect(),
            actions: (0..steps).map(|step| step % 2).collect(),
            rewards: numbers.take(steps as usize).map(f64::from).collect(),
            is_truncated: false,
        }
    }

    #[test]
    fn episodes_beyond_the_limit_are_left_out() {
        // 2 · 4 bytes of observations, 4 of actions, 8 of rewards, and the episode itself.
        let one = 20 + size_of::<RecordedEpisode>();
        assert_eq!(episode(0, 1).bytes(), one);
        let mut dataset = dataset(2 * one + 16);
        assert!(dataset.push(episode(0, 1)));
        assert!(!dataset.push(episode(1, 3)));
        assert!(dataset.push(episode(2, 2)));
        assert!(!dataset.push(episode(3, 1)));
        assert_eq!(dataset.episodes(), [episode(0, 1), episode(2, 2)]);
        assert_eq!(dataset.bytes(), 2 * one + 16);
    }

    #[test]
    fn a_digest_tells_episodes_apart() {
        let of = |episodes: Vec<RecordedEpisode>| {
            let mut dataset = dataset(10_000);
            episodes.into_iter().for_each(|episode| {
                assert!(dataset.push(episode));
            });
            dataset.digest()
        };
        let cut = RecordedEpisode {
            is_truncated: true,
            ..episode(0, 2)
        };
        let mut other = episode(0, 2);
        other.actions[0] = 1;
        let digests = [
            of(vec![]),
            of(vec![episode(0, 2)]),
            of(vec![episode(0, 2), episode(1, 2)]),
            of(vec![episode(1, 2), episode(0, 2)]),
            of(vec![cut]),
            of(vec![other]),
        ];
        for (at, digest) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(digest), "{at}");
        }
        assert_eq!(of(vec![episode(0, 2)]), digests[1]);
    }

    #[test]
    #[should_panic(expected = "numbers in observations and actions")]
    fn an_episode_without_its_last_observation_is_refused() {
        let mut cut = episode(0, 2);
        cut.observations.pop();
        dataset(1_000).push(cut);
    }
}
