//! Evaluation: who remembers, and who is merely lucky.
//!
//! Every lane plays one episode, with its memory reset at the beginning and carried properly. Beside the greedy score
//! stand two controls. *Scrambled*: every action before the judged one is replaced by a random one, so nothing can be
//! carried through the world in the agent's own actions. *Emptied*: the memory is emptied before every step, so whoever
//! still scores did not need it.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::algorithms;
use crate::checkpoint::Checkpoint;
use crate::config::ConfigError;
use crate::env::{EnvError, ResetRequest, VectorEnv};
use crate::inputs::{InputEncoder, LaneHistory};
use crate::memory::{MemoryContents, State};
use crate::nn::{self, NnError};
use crate::policy::Policy;
use crate::seeds::{self, Role};

mod setup;

pub use setup::EvaluationEnv;

/// How actions are chosen, and what is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The likeliest action.
    Greedy,
    /// An action drawn from the policy.
    Sampled,
    /// The likeliest action where it is judged, a random one before.
    Scrambled,
    /// The likeliest action, with a memory emptied before every step.
    Emptied,
}

impl Mode {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Greedy, Self::Sampled, Self::Scrambled, Self::Emptied];

    /// Its name in tables, figures and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Sampled => "sampled",
            Self::Scrambled => "scrambled",
            Self::Emptied => "emptied",
        }
    }

    /// Whether a task allows it: where nothing says which action is judged, there is none before which to scramble.
    pub const fn is_possible(self, judged_step: Option<u64>) -> bool {
        !matches!(self, Self::Scrambled) || judged_step.is_some()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is evaluated.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Episodes, each in an environment of its own; the environment has as many.
    pub episodes: usize,
    /// Evaluation seeds come from this and never meet training's.
    pub seed: u64,
    /// How actions are chosen.
    pub mode: Mode,
    /// As many episodes with a first observation whose first number is below one half as with one above: of every
    /// cue the same number. They are found by resetting with successive seeds and keeping the first of each.
    pub balanced: bool,
    /// Step of the episode, from 0, whose action is the first to be judged; needed to scramble.
    pub judged_step: Option<u64>,
    /// Episodes that each environment plays, one after the other: one, but where episodes share what is to be
    /// remembered, all of a lifetime.
    pub episodes_per_lifetime: usize,
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How actions were chosen.
    pub mode: Mode,
    /// Undiscounted return of each environment's episode; of several, their mean.
    pub returns: Vec<f64>,
    /// Their mean.
    pub mean_return: f64,
    /// Their sample standard deviation.
    pub std_return: f64,
    /// Mean length of the episodes, in steps.
    pub mean_length: f64,
    /// Steps taken over all environments.
    pub steps: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// A trained agent, ready to play.
pub struct Player {
    policy: Policy,
    encoder: InputEncoder,
    trained: State,
}

/// One step of one lane, for who watches.
pub struct Moment<'a> {
    /// What was seen, flat.
    pub observation: &'a [f32],
    /// What was done: a number for each component.
    pub action: &'a [i64],
    /// What came of it.
    pub reward: f64,
    /// What the memory held when the action was chosen, and what it attended to.
    pub memory: MemoryContents,
}

impl Player {
    /// The agent of a checkpoint.
    ///
    /// # Errors
    /// A checkpoint whose weights do not fit its configuration.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, EvaluateError> {
        let config = &checkpoint.config;
        let encoder = InputEncoder::new(
            &checkpoint.spaces.observation,
            &checkpoint.spaces.action,
            &config.hyper,
        )?;
        let mut rng = seeds::generator(config.seed, Role::Agent);
        let mut policy = Policy::new(
            algorithms::find(&config.algorithm)?,
            &config.hyper,
            &encoder,
            &mut rng,
        );
        policy.params.import(&checkpoint.params)?;
        Ok(Self {
            policy,
            encoder,
            trained: checkpoint.run.lanes.memory.clone(),
        })
    }

    /// Plays one episode in each of the environments.
    ///
    /// # Errors
    /// What the environment refused; scrambling without knowing which action is judged; an environment of another
    /// number of lanes or other spaces.
    pub fn evaluate(
        &self,
        env: &mut dyn VectorEnv,
        options: &EvaluateOptions,
    ) -> Result<Evaluation, EvaluateError> {
        self.check(env, options)?;
        let began = Instant::now();
        let seeds = if options.balanced {
            balanced_seeds(env, options)?
        } else {
            let first = seeds::first_environment_seed(options.seed, Role::Evaluation);
            (first..).take(options.episodes).collect()
        };
        let mut tally = Tally::new(options.episodes, options.episodes_per_lifetime);
        let mut steps = 0;
        self.play(env, seeds, options, |moments| {
            steps += options.episodes as u64;
            tally.push(moments.rewards, moments.ends);
            tally.all_ended()
        })?;
        Ok(tally.evaluation(options.mode, steps, began.elapsed()))
    }

    /// Plays one episode in lane 0 and shows every step to `watch`.
    ///
    /// # Errors
    /// As [`Player::evaluate`].
    pub fn watch(
        &self,
        env: &mut dyn VectorEnv,
        options: &EvaluateOptions,
        mut watch: impl FnMut(&Moment<'_>),
    ) -> Result<(), EvaluateError> {
        self.check(env, options)?;
        let first = seeds::first_environment_seed(options.seed, Role::Evaluation);
        let seeds = (first..).take(options.episodes).collect();
        self.play(env, seeds, options, |moments| {
            watch(&Moment {
                observation: &moments.observations[..self.encoder.flat_size()],
                action: &moments.actions[..self.encoder.heads().components()],
                reward: moments.rewards[0],
                memory: self.policy.core.inspect(moments.memory, 0),
            });
            moments.ends[0]
        })
    }

    fn check(&self, env: &dyn VectorEnv, options: &EvaluateOptions) -> Result<(), EvaluateError> {
        if !options.mode.is_possible(options.judged_step) {
            return Err(EvaluateError::NothingJudged);
        }
        if env.num_envs() != options.episodes {
            return Err(EvaluateError::Lanes {
                num_envs: env.num_envs(),
                episodes: options.episodes,
            });
        }
        let spaces = format!("{:?}, {:?}", env.observation_space(), env.action_space());
        let other = self
            .encoder
            .accepts(env.observation_space(), env.action_space());
        if other {
            Ok(())
        } else {
            Err(EvaluateError::Spaces { spaces })
        }
    }

    /// Steps all lanes until `over` says so, once after each step.
    fn play(
        &self,
        env: &mut dyn VectorEnv,
        seeds: Vec<u64>,
        options: &EvaluateOptions,
        mut over: impl FnMut(&Moments<'_>) -> bool,
    ) -> Result<(), EvaluateError> {
        let lanes = env.num_envs();
        let core = &self.policy.core;
        let mut rng = seeds::generator(options.seed, Role::EvaluationActions);
        let mut memory = core.evaluation_state(&self.trained, lanes);
        core.refresh(&self.policy.params, &mut memory);
        let heads = self.encoder.heads();
        let mut history = LaneHistory::new(lanes, heads.components());
        let mut starts = vec![true; lanes];
        let mut inputs = Vec::new();
        let mut observations = env
            .reset(&ResetRequest {
                seeds: Some(seeds),
                options: Map::new(),
            })?
            .observations;
        // Steps taken in each lane's episode.
        let mut ages = vec![0; lanes];
        loop {
            inputs.clear();
            self.encoder.encode(&observations, &history, &mut inputs);
            if options.mode == Mode::Emptied {
                core.forget(&mut memory);
            }
            let acted = self.policy.act(&inputs, &starts, &mut memory, None);
            let mut actions = Vec::with_capacity(lanes * heads.components());
            let rows = nn::values(&acted.logits);
            for (logits, &age) in rows.chunks_exact(heads.num_logits()).zip(&ages) {
                let scrambled = options.mode == Mode::Scrambled
                    && options.judged_step.is_some_and(|judged| age < judged);
                if scrambled {
                    heads.random(&mut rng, &mut actions);
                } else if options.mode == Mode::Sampled {
                    heads.sample(logits, &mut rng, &mut actions);
                } else {
                    heads.likeliest(logits, &mut actions);
                }
            }
            let reply = env.step(&actions)?;
            let ends: Vec<bool> = reply
                .terminations
                .iter()
                .zip(&reply.truncations)
                .map(|(&terminated, &cut)| terminated || cut)
                .collect();
            let rewards = &reply.rewards;
            let moments = Moments {
                observations: &observations,
                actions: &actions,
                rewards,
                ends: &ends,
                memory: &memory,
            };
            if over(&moments) {
                break;
            }
            core.outcome(
                &self.policy.params,
                &mut memory,
                &actions,
                &reply.rewards,
                &ends,
            );
            history.push(&actions, &reply.rewards, ends.iter().copied());
            observations = reply.observations;
            for (age, &end) in ages.iter_mut().zip(&ends) {
                *age = if end { 0 } else { *age + 1 };
            }
            starts = ends;
        }
        Ok(())
    }
}

/// One step of all lanes.
struct Moments<'a> {
    observations: &'a [f32],
    actions: &'a [i64],
    rewards: &'a [f64],
    ends: &'a [bool],
    memory: &'a State,
}

/// Seeds of the first `episodes / 2` episodes of each cue among successive seeds.
fn balanced_seeds(
    env: &mut dyn VectorEnv,
    options: &EvaluateOptions,
) -> Result<Vec<u64>, EvaluateError> {
    let mut next = seeds::first_environment_seed(options.seed, Role::Evaluation);
    let wanted = [
        options.episodes / 2,
        options.episodes - options.episodes / 2,
    ];
    let mut found: [Vec<u64>; 2] = Default::default();
    // Fair cues need two or three rounds; a task with one cue only would never end.
    for _ in 0..64 {
        let batch: Vec<u64> = (next..).take(options.episodes).collect();
        next += options.episodes as u64;
        let request = ResetRequest {
            seeds: Some(batch.clone()),
            options: Map::new(),
        };
        let observations = env.reset(&request)?.observations;
        let width = observations.len() / options.episodes;
        for (&seed, observation) in batch.iter().zip(observations.chunks_exact(width)) {
            let cue = usize::from(observation[0] >= 0.5);
            if found[cue].len() < wanted[cue] {
                found[cue].push(seed);
            }
        }
        if found[0].len() == wanted[0] && found[1].len() == wanted[1] {
            return Ok(found.concat());
        }
    }
    Err(EvaluateError::Unbalanced {
        below: found[0].len(),
        above: found[1].len(),
    })
}

/// Returns of the first episodes of each lane.
struct Tally {
    /// Episodes of a lane that count.
    per_lane: usize,
    returns: Vec<f64>,
    lengths: Vec<u64>,
    ended: Vec<usize>,
}

impl Tally {
    fn new(lanes: usize, per_lane: usize) -> Self {
        Self {
            per_lane,
            returns: vec![0.0; lanes],
            lengths: vec![0; lanes],
            ended: vec![0; lanes],
        }
    }

    fn push(&mut self, rewards: &[f64], ends: &[bool]) {
        for lane in 0..self.ended.len() {
            if self.ended[lane] < self.per_lane {
                self.returns[lane] += rewards[lane];
                self.lengths[lane] += 1;
                self.ended[lane] += usize::from(ends[lane]);
            }
        }
    }

    fn all_ended(&self) -> bool {
        self.ended.iter().all(|&ended| ended == self.per_lane)
    }

    fn evaluation(self, mode: Mode, steps: u64, elapsed: Duration) -> Evaluation {
        let per_lane = self.per_lane as f64;
        let returns: Vec<f64> = self.returns.iter().map(|sum| sum / per_lane).collect();
        let n = returns.len() as f64;
        let mean_return = returns.iter().sum::<f64>() / n;
        let squares = returns
            .iter()
            .map(|r| (r - mean_return).powi(2))
            .sum::<f64>();
        Evaluation {
            mode,
            mean_return,
            std_return: if n > 1.0 {
                (squares / (n - 1.0)).sqrt()
            } else {
                0.0
            },
            mean_length: self.lengths.iter().sum::<u64>() as f64 / (n * per_lane),
            returns,
            steps,
            elapsed,
        }
    }
}

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The checkpoint's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The environment.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The checkpoint's weights.
    #[error("the checkpoint's weights do not fit its configuration: {0}")]
    Weights(#[from] NnError),
    /// Scrambling needs to know what to leave alone.
    #[error(
        "scrambled: this environment does not say which action is judged (MemoryTask's `delay` does)"
    )]
    NothingJudged,
    /// A lane plays one episode.
    #[error("{episodes} episodes need as many environments, not {num_envs}")]
    Lanes {
        /// The environment's.
        num_envs: usize,
        /// As wanted.
        episodes: usize,
    },
    /// Trained on something else.
    #[error("the agent was trained on other spaces than this environment's ({spaces})")]
    Spaces {
        /// The environment's.
        spaces: String,
    },
    /// Balancing did not come to an end.
    #[error(
        "cannot balance over the cue: after 64 rounds there were {below} episodes of one kind and {above} \
         of the other; --no-balance takes them as they come"
    )]
    Unbalanced {
        /// First number below one half.
        below: usize,
        /// One half or more.
        above: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_first_episodes_only() {
        let mut tally = Tally::new(2, 1);
        tally.push(&[1.0, 0.0], &[true, false]);
        assert!(!tally.all_ended());
        tally.push(&[5.0, -1.0], &[true, true]);
        assert!(tally.all_ended());
        let evaluation = tally.evaluation(Mode::Greedy, 4, Duration::ZERO);
        assert_eq!(evaluation.returns, [1.0, -1.0]);
        assert_eq!((evaluation.mean_return, evaluation.mean_length), (0.0, 1.5));
        assert!((evaluation.std_return - 2f64.sqrt()).abs() < 1e-12);
    }
    #[test]
    fn a_tally_of_lifetimes_takes_the_mean_over_their_episodes() {
        let mut tally = Tally::new(2, 2);
        tally.push(&[0.0, 0.0], &[true, false]);
        tally.push(&[1.0, 1.0], &[true, true]);
        // The first lane's lifetime is over: its third episode does not count.
        tally.push(&[9.0, -1.0], &[true, true]);
        assert!(tally.all_ended());
        let evaluation = tally.evaluation(Mode::Greedy, 6, Duration::ZERO);
        assert_eq!(evaluation.returns, [0.5, 0.0]);
        // 2 + 3 steps of 4 episodes.
        assert_eq!(evaluation.mean_length, 1.25);
    }
}
