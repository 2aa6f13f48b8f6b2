//! Evaluation: who remembers, and who is merely lucky.
//!
//! Every lane plays one episode, with its memory reset at the beginning and carried properly. Two
//! controls accompany the greedy score. *Scrambled*: every action before the judged one is replaced
//! by a random one, so nothing can be carried through the world in the agent's own actions.
//! *Emptied*: the memory is emptied before every step, so an agent that still scores did not need
//! it.

use std::time::Instant;

use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Map;

use crate::algorithms::Algorithm;
use crate::env::{EnvError, ResetRequest, StepReply, VectorEnv};
use crate::memory::{MemoryContents, State};
use crate::nn::Tensor;
use crate::policy::actor::Actor;
use crate::policy::decider::Decider;
use crate::run::checkpoint::Checkpoint;
use crate::run::load::{self, ActorError};
use crate::seeds::{self, Role};
use crate::spaces::actions::Choice;

mod balance;
mod evaluation;
pub mod inspect;
pub mod probe;
mod record;
mod setup;
mod tally;

pub use balance::{Unbalanced, balanced_seeds};
pub use evaluation::{Evaluation, Mode, standard_error};
pub use record::{RecordOptions, Recorded};
pub use setup::{
    EvaluationEnv, cue_step, episode_steps, episodes_per_lifetime, evaluation_kwargs, judged_step,
    shows_cue_first,
};
pub use tally::Tally;

/// Options of an evaluation.
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

/// A trained agent, ready to play.
pub struct Player {
    actor: Actor,
}

/// One step of one lane, for who watches.
pub struct Moment<'a> {
    /// Flat observation.
    pub observation: &'a [f32],
    /// Action: a number for each component, choices counted from 0, others in the agents' unit and clipped.
    pub action: Vec<f32>,
    /// Reward of the action.
    pub reward: f64,
    /// Contents of the memory when the action was chosen, and their attention.
    pub memory: MemoryContents,
}

impl Player {
    /// The agent of a checkpoint.
    ///
    /// # Errors
    /// A checkpoint whose weights do not fit its configuration.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, EvaluateError> {
        Ok(Self {
            actor: load::actor(checkpoint)?,
        })
    }

    /// The agent of a checkpoint, for an environment. A memory that [plays rasters of any
    /// size](crate::memory::MemoryCore::plays_any_size) is built for the environment's.
    ///
    /// # Errors
    /// Those of [`Player::new`], and an environment with spaces that the agent cannot play.
    pub fn for_env(checkpoint: &Checkpoint, env: &dyn VectorEnv) -> Result<Self, EvaluateError> {
        let spaces = env.spaces();
        Ok(Self {
            actor: load::actor_for(checkpoint, &spaces)?,
        })
    }

    /// A player that does not learn, for an environment: chance, or the environment's oracle.
    ///
    /// # Errors
    /// Spaces that it cannot play.
    pub fn untrained(row: &Algorithm, env: &dyn VectorEnv) -> Result<Self, EvaluateError> {
        let (observation, action) = (env.observation_space(), env.action_space());
        Ok(Self {
            actor: load::untrained(row, observation, action)?,
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
        let first = seeds::first_environment_seed(options.seed, Role::Evaluation);
        let seeds = if options.balanced {
            balanced_seeds(first, options.episodes, |seeds| first_numbers(env, seeds))?
        } else {
            (first..).take(options.episodes).collect()
        };
        let mut tally = Tally::new(options.episodes, options.episodes_per_lifetime);
        let mut steps = 0;
        let mut rng = seeds::generator(options.seed, Role::EvaluationActions);
        self.play(env, seeds, options, &mut rng, |moments| {
            steps += options.episodes as u64;
            tally.push(&moments.reply.rewards, moments.ends);
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
        let mut rng = seeds::generator(options.seed, Role::EvaluationActions);
        let heads = self.actor.encoder().heads();
        self.play(env, seeds, options, &mut rng, |moments| {
            watch(&Moment {
                observation: &moments.observations[..self.actor.encoder().flat_size()],
                action: heads.readable(&moments.actions[..heads.components()]),
                reward: moments.reply.rewards[0],
                memory: self
                    .actor
                    .policy()
                    .inspect(moments.memory, moments.features, 0),
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
            .actor
            .encoder()
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
        rng: &mut Xoshiro256PlusPlus,
        mut over: impl FnMut(&Moments<'_>) -> bool,
    ) -> Result<(), EvaluateError> {
        let lanes = env.num_envs();
        let actor = &self.actor;
        let mut carried = actor.lanes(lanes);
        let mut starts = vec![true; lanes];
        let mut observations = env
            .reset(&ResetRequest {
                seeds: Some(seeds),
                options: Map::new(),
            })?
            .observations;
        // Age of each lane's episode, in steps.
        let mut ages = vec![0; lanes];
        loop {
            if options.mode == Mode::Emptied {
                actor.policy().core.forget(&mut carried.memory);
            }
            let acted = actor.act(&mut carried, &observations, &starts);
            let mut actions = match actor.policy().decider() {
                Decider::Oracle => env.oracle()?,
                Decider::Chance => actor.random(lanes, rng),
                Decider::Network if options.mode == Mode::Sampled => actor.sample(&acted, rng),
                Decider::Network => actor.likeliest(&acted),
            };
            if let (Mode::Scrambled, Some(judged)) = (options.mode, options.judged_step) {
                let components = actor.encoder().heads().components();
                let lanes = actions.chunks_exact_mut(components).zip(&ages);
                for (action, _) in lanes.filter(|&(_, &age)| age < judged) {
                    action.copy_from_slice(&actor.random(1, rng));
                }
            }
            let reply = env.step(&actions)?;
            let ends: Vec<bool> = reply
                .terminations
                .iter()
                .zip(&reply.truncations)
                .map(|(&terminated, &cut)| terminated || cut)
                .collect();
            let moments = Moments {
                observations: &observations,
                actions: &actions,
                reply: &reply,
                ends: &ends,
                memory: &carried.memory,
                features: &acted.features,
            };
            if over(&moments) {
                break;
            }
            actor.record(&mut carried, &actions, &reply.rewards, &ends);
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
    actions: &'a [Choice],
    reply: &'a StepReply,
    ends: &'a [bool],
    memory: &'a State,
    features: &'a Tensor,
}

/// The first number of the first observation of each of these seeds.
fn first_numbers(env: &mut dyn VectorEnv, seeds: &[u64]) -> Result<Vec<f32>, EvaluateError> {
    let request = ResetRequest {
        seeds: Some(seeds.to_vec()),
        options: Map::new(),
    };
    let observations = env.reset(&request)?.observations;
    let rows = observations.chunks_exact(observations.len() / seeds.len());
    Ok(rows.map(|row| row[0]).collect())
}

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The checkpoint.
    #[error(transparent)]
    Agent(#[from] ActorError),
    /// The environment.
    #[error(transparent)]
    Env(#[from] EnvError),
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
    #[error(transparent)]
    Unbalanced(#[from] Unbalanced),
    /// More episodes than may be held in memory.
    #[error(
        "{episodes} episodes take more than the {max_bytes} bytes of memory that a dataset may use: record fewer, each into a \
         folder of its own"
    )]
    TooLarge {
        /// As wanted.
        episodes: usize,
        /// The limit.
        max_bytes: usize,
    },
}
