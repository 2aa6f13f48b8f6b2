//! Playing episodes to keep them.

use super::{EvaluateError, EvaluateOptions, Mode, Player};
use crate::env::VectorEnv;
use crate::experience::{Dataset, OpenEpisodes, RecordedEpisode};
use crate::seeds::{self, Role};

/// Options of a recording.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// Episodes that are kept.
    pub episodes: usize,
    /// Seed of the environments and of the actions. The environments are those that a training run with this seed begins
    /// with, and never the environments of an evaluation.
    pub seed: u64,
    /// How actions are chosen.
    pub mode: Mode,
    /// Step of the episode, from 0, whose action is the first to be judged; needed to scramble.
    pub judged_step: Option<u64>,
    /// Episodes that a lane plays one after the other: one, but where episodes share what is to be remembered, all of a
    /// lifetime.
    pub episodes_per_lifetime: usize,
    /// Limit of memory for the episodes, in bytes.
    pub max_bytes: usize,
}

/// Episodes as they were played.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The episodes; those of a lifetime are next to each other.
    pub dataset: Dataset,
    /// The seed of each episode that began with a reset; the later ones of a lifetime have none.
    pub seeds: Vec<Option<u64>>,
}

impl Player {
    /// Plays rounds. A round resets every environment with a seed of its own and keeps the first episodes of each. So an episode
    /// does not depend on the length of others, and short ones are not preferred. `kept` gets the number of complete episodes.
    ///
    /// # Errors
    /// Those of [`Player::evaluate`], and more episodes than `max_bytes` hold.
    pub fn record(
        &self,
        env: &mut dyn VectorEnv,
        options: &RecordOptions,
        mut kept: impl FnMut(usize),
    ) -> Result<Recorded, EvaluateError> {
        let spaces = env.spaces();
        let mut recorded = Recorded {
            dataset: Dataset::new(spaces, options.max_bytes)
                .map_err(crate::run::load::ActorError::from)?,
            seeds: Vec::new(),
        };
        let mut first = seeds::first_environment_seed(options.seed, Role::Training);
        let mut rng = seeds::generator(options.seed, Role::Recording);
        let lanes = env.num_envs();
        let play = options.play(lanes);
        self.check(env, &play)?;
        while recorded.dataset.episodes().len() < options.episodes {
            let seeds: Vec<u64> = (first..).take(lanes).collect();
            first += lanes as u64;
            let before = recorded.dataset.episodes().len();
            let mut round = Round::new(&recorded.dataset, lanes, options.episodes_per_lifetime);
            let mut is_begun = false;
            self.play(env, seeds.clone(), &play, &mut rng, |moments| {
                if !is_begun {
                    round.open.begin(moments.observations);
                    is_begun = true;
                }
                round
                    .open
                    .push(moments.actions, moments.reply, |lane, episode| {
                        round.kept[lane].push(episode);
                        round.kept[lane].len() < round.per_lane
                    });
                kept(options.episodes.min(before + round.len()));
                round.bytes() > recorded.dataset.bytes_left() || round.is_complete()
            })?;
            recorded.append(round, &seeds, options)?;
        }
        Ok(recorded)
    }
}

impl RecordOptions {
    fn play(&self, lanes: usize) -> EvaluateOptions {
        EvaluateOptions {
            episodes: lanes,
            seed: self.seed,
            mode: self.mode,
            balanced: false,
            judged_step: self.judged_step,
            episodes_per_lifetime: self.episodes_per_lifetime,
        }
    }
}

impl Recorded {
    /// Appends the episodes of a round, lane by lane, up to as many as are wanted.
    fn append(
        &mut self,
        round: Round,
        seeds: &[u64],
        options: &RecordOptions,
    ) -> Result<(), EvaluateError> {
        let too_large = || EvaluateError::TooLarge {
            episodes: options.episodes,
            max_bytes: options.max_bytes,
        };
        if !round.is_complete() {
            return Err(too_large());
        }
        for (episodes, &seed) in round.kept.into_iter().zip(seeds) {
            for (number, episode) in episodes.into_iter().enumerate() {
                if self.seeds.len() < options.episodes {
                    self.seeds.push((number == 0).then_some(seed));
                    if !self.dataset.push(episode) {
                        return Err(too_large());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The episodes that follow a reset.
struct Round {
    open: OpenEpisodes,
    /// Complete episodes of each lane.
    kept: Vec<Vec<RecordedEpisode>>,
    /// Episodes of a lane that are kept.
    per_lane: usize,
}

impl Round {
    fn new(dataset: &Dataset, lanes: usize, per_lane: usize) -> Self {
        Self {
            open: OpenEpisodes::new(dataset, lanes),
            kept: vec![Vec::new(); lanes],
            per_lane,
        }
    }

    fn len(&self) -> usize {
        self.kept.iter().map(Vec::len).sum()
    }

    fn bytes(&self) -> usize {
        let kept = self.kept.iter().flatten();
        kept.map(RecordedEpisode::bytes).sum::<usize>() + self.open.bytes()
    }

    fn is_complete(&self) -> bool {
        self.kept
            .iter()
            .all(|episodes| episodes.len() == self.per_lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms;
    use crate::env::test_task::TestTask;
    use crate::experience::Playback;

    fn options(episodes: usize) -> RecordOptions {
        RecordOptions {
            episodes,
            seed: 3,
            mode: Mode::Sampled,
            judged_step: None,
            episodes_per_lifetime: 1,
            max_bytes: 100_000,
        }
    }

    fn record(lanes: usize, options: &RecordOptions) -> Result<Recorded, EvaluateError> {
        let mut task = TestTask::new(lanes, 3);
        let chance = Player::untrained(algorithms::find("random").unwrap(), &task)?;
        chance.record(&mut task, options, |_| {})
    }

    #[test]
    fn as_many_episodes_as_are_wanted_have_seeds_one_after_the_other() {
        let mut told = Vec::new();
        let mut task = TestTask::new(4, 3);
        let chance = Player::untrained(algorithms::find("random").unwrap(), &task).unwrap();
        let Recorded { dataset, seeds } = chance
            .record(&mut task, &options(6), |kept| told.push(kept))
            .unwrap();
        let first = seeds::first_environment_seed(3, Role::Training);
        assert_eq!(seeds, (first..first + 6).map(Some).collect::<Vec<_>>());
        assert_eq!(dataset.episodes().len(), 6);
        assert!(
            dataset
                .episodes()
                .iter()
                .all(|episode| episode.steps() == 3)
        );
        assert_eq!(told, [0, 0, 4, 4, 4, 6]);
        // Actions of the second round are not those of the first again.
        let actions = |at: usize| &dataset.episodes()[at].actions;
        assert!((0..2).any(|lane| actions(lane) != actions(lane + 4)));
        let again = record(4, &options(6)).unwrap();
        assert_eq!(again.dataset.digest(), dataset.digest());
    }

    #[test]
    fn episodes_of_a_lifetime_follow_each_other_and_the_first_has_the_seed() {
        let lifetimes = RecordOptions {
            episodes_per_lifetime: 2,
            ..options(7)
        };
        let Recorded { dataset, seeds } = record(2, &lifetimes).unwrap();
        let has_seed: Vec<bool> = seeds.iter().map(Option::is_some).collect();
        assert_eq!(has_seed, [true, false, true, false, true, false, true]);
        assert_eq!(dataset.episodes().len(), 7);
    }

    /// A lane that was complete early is still played, and records nothing more.
    #[test]
    fn episodes_of_different_lengths_are_kept_one_of_each_lane() {
        let mut lengths = Dataset::new(TestTask::new(1, 1).spaces(), 100_000).unwrap();
        for steps in 1..=6 {
            assert!(lengths.push(RecordedEpisode {
                observations: vec![0.0; (steps + 1) * lengths.flat_size()],
                actions: vec![0; steps],
                rewards: vec![steps as f64; steps],
                is_truncated: false,
            }));
        }
        for episodes_per_lifetime in [1, 2] {
            let mut played = Playback::new(&lengths, 8).unwrap();
            let player = Player::untrained(algorithms::find("oracle").unwrap(), &played).unwrap();
            let options = RecordOptions {
                episodes_per_lifetime,
                ..options(40)
            };
            let kept = player.record(&mut played, &options, |_| {}).unwrap();
            let episodes = kept.dataset.episodes();
            assert_eq!((episodes.len(), kept.seeds.len()), (40, 40));
            let of_length = |steps: usize| episodes.iter().filter(|e| e.steps() == steps).count();
            // Short ones are not preferred: of 40, each length has 7 on average.
            for steps in 1..=6 {
                assert!(
                    (1..=16).contains(&of_length(steps)),
                    "{steps}: {}",
                    of_length(steps)
                );
            }
        }
    }

    #[test]
    fn too_many_episodes_are_refused() {
        let small = RecordOptions {
            max_bytes: 1_000,
            ..options(100)
        };
        let error = record(4, &small).unwrap_err().to_string();
        assert!(
            error.starts_with("100 episodes take more than the 1000 bytes"),
            "{error}"
        );
        // Not even one step of all lanes.
        let tiny = RecordOptions {
            max_bytes: 10,
            ..options(1)
        };
        assert!(record(4, &tiny).is_err());
    }
}
