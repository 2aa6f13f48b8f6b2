//! Servers for one job of an external program. One counts the steps of training; the other lets the
//! program play its evaluation without seeing more than a player does. Only one of them exists at a
//! time: during training there is no evaluation to look at yet, and during evaluation no server to
//! train on any longer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent::evaluate::{
    Mode, Unbalanced, balanced_seeds, episode_steps, episodes_per_lifetime, evaluation_kwargs,
    judged_step,
};
use agent::seeds::{Role, first_environment_seed};
use env_protocol::{
    AutoresetMode, CreateVectorEnv, Seed, Space, Value, VectorEnvDescription, VectorResetReply,
    VectorResetRequest,
};
use env_server::{Access, Grant, Limits, Principal, ServerConfig, ServiceConfig, StepBudget};
use rand::seq::SliceRandom as _;

use super::api::{Api, ApiError, Patience};
use crate::contenders::judge::Judgement;
use crate::plan::Experiment;
use crate::run::embedded::EmbeddedServer;

/// Principals: the benchmark itself, the contender in training, and the contender in evaluation.
const DRIVER: &str = "driver";
const TRAINING: &str = "training";
const EVALUATION: &str = "evaluation";

/// Bytes of history that an environment keeps: all of an evaluation, which is scored from it. A
/// step of a thousand lanes with two possible actions takes about 130 bytes.
const TRAJECTORY_BYTES: usize = 512 << 20;

/// Seconds until an idle environment expires: longer than any phase, since the server ends with the
/// job.
const TTL_S: u64 = 7 * 24 * 3_600;

/// Longest wait for an answer; sending a long trajectory takes a while.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Most bytes of an answer from these servers, which are the benchmark's own.
const MOST_BYTES: usize = 1 << 30;

/// A server for training. The server and its token end with the training.
pub struct TrainingArena {
    server: EmbeddedServer,
    access: Arc<Access>,
    token: String,
}

/// A server for evaluation. It and its tokens are created after the training.
pub struct EvaluationArena {
    server: EmbeddedServer,
    access: Arc<Access>,
    /// The contender's token.
    token: String,
    driver: Api<'static>,
    evaluation: Api<'static>,
}

/// Environments for an evaluation: a lane for each episode, with seeds that only the benchmark
/// knows.
pub struct Prepared {
    /// The delay; `None` for a task without one.
    pub delay: Option<u64>,
    /// Number of lanes.
    pub episodes: usize,
    /// Episodes of each lane that count: one, or all that share something to remember.
    pub episodes_per_lifetime: usize,
    /// First step of the episode, from 0, whose action is judged, if the task says.
    pub judged_step: Option<u64>,
    /// Steps of an episode, if the task says.
    pub episode_steps: Option<u64>,
    /// A lane's action space.
    pub action_space: Space,
    /// Id of the vector environment that the contender may play.
    pub judged_id: String,
    /// Id of a second one for the benchmark, which resets it with [`Self::seeds`].
    pub driven_id: String,
    /// Seeds of the lanes for each mode, in an order without meaning. They differ between modes,
    /// and from the seeds of the environment that the contender may play: nothing it sees there
    /// helps it here.
    pub seeds: Vec<(Mode, Vec<u64>)>,
}

/// The reason why environments cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// The server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The cues cannot be balanced.
    #[error(transparent)]
    Unbalanced(#[from] Unbalanced),
    /// The first observation does not show a cue.
    #[error(
        "the first observations are not an array of numbers, so there is no cue to balance over"
    )]
    NoCue,
}

impl TrainingArena {
    /// Starts a server on which the contender can train for `budget_steps` steps.
    ///
    /// # Errors
    /// When no port is free or no thread can be started.
    pub fn open(budget_steps: u64) -> Result<Self, String> {
        let token = draw_token();
        let grant = Grant {
            max_steps: Some(budget_steps),
            ..full(&token)
        };
        let (server, access) = start([(TRAINING, grant)], Limits::default())?;
        Ok(Self {
            server,
            access,
            token,
        })
    }

    /// Returns the server's base URL.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Returns the contender's token for training.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the budget, which counts the steps of training.
    pub fn budget(&self) -> StepBudget {
        let budget = principal(&self.access, TRAINING).budget().cloned();
        budget.expect("training has a budget")
    }
}

impl EvaluationArena {
    /// Starts a server for one evaluation.
    ///
    /// # Errors
    /// When no port is free or no thread can be started.
    pub fn open() -> Result<Self, String> {
        let [driver, evaluation, token] = [(); 3].map(|()| draw_token());
        let judged = Grant {
            evaluation_token: Some(token.clone()),
            ..full(&evaluation)
        };
        let limits = Limits {
            trajectory_bytes: TRAJECTORY_BYTES,
            ..Limits::default()
        };
        let grants = [(DRIVER, full(&driver)), (EVALUATION, judged)];
        let (server, access) = start(grants, limits)?;
        let api = |token: &str| {
            let forever = Patience::default();
            Api::new(server.url(), Some(token), TIMEOUT, MOST_BYTES, forever)
        };
        Ok(Self {
            driver: api(&driver)?,
            evaluation: api(&evaluation)?,
            token,
            access,
            server,
        })
    }

    /// Returns the server's base URL.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Returns the contender's token for evaluation.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Describes the rule that the contender broke while it was judged, if any.
    pub fn violation(&self) -> Option<String> {
        let refusals = principal(&self.access, EVALUATION).refusals();
        let first = refusals.first?;
        Some(format!(
            "it asked for what an evaluation token may not do: {first} ({} in all)",
            times(refusals.count)
        ))
    }

    /// Returns a client for the environments that the benchmark plays itself.
    pub fn driver(&self) -> &Api<'static> {
        &self.driver
    }

    /// Returns a client with full access to the environments that the contender played.
    pub fn evaluation(&self) -> &Api<'static> {
        &self.evaluation
    }

    /// Creates environments for an evaluation from a secret seed. If the first observation is a
    /// cue, there are as many lanes with each cue, in random order.
    ///
    /// # Errors
    /// When the server refuses the arguments, or the cues cannot be balanced.
    pub fn prepare(
        &self,
        experiment: &Experiment,
        judgement: &Judgement<'_>,
        secret_seed: u64,
    ) -> Result<Prepared, ArenaError> {
        let trained_with = experiment.kwargs.clone().into_iter().collect();
        let delay = judgement
            .delay
            .map(|delay| ("delay".to_owned(), delay.into()));
        let kwargs = evaluation_kwargs(&trained_with, &delay.into_iter().collect());
        let creation = |seed| CreateVectorEnv {
            spec_id: experiment.spec_id.clone(),
            num_envs: judgement.episodes,
            kwargs: kwargs.clone().into_iter().collect(),
            seed: Some(seed),
            autoreset_mode: AutoresetMode::SameStep,
            ttl_s: None,
        };
        let driven = create(&self.driver, &creation(Seed::First(0)))?;
        let episodes = judgement.episodes as usize;
        let draw = |of: u64| -> Result<Vec<u64>, ArenaError> {
            let first = first_environment_seed(secret_seed.wrapping_add(of), Role::Evaluation);
            let mut seeds: Vec<u64> = if experiment.shows_cue_first() {
                balanced_seeds(first, episodes, |seeds| self.cues(&driven.env_id, seeds))?
            } else {
                (first..).take(episodes).collect()
            };
            seeds.shuffle(&mut rand::rng());
            Ok(seeds)
        };
        let judged = create(&self.evaluation, &creation(Seed::Each(draw(0)?)))?;
        let of_mode = |(of, &mode)| Ok((mode, draw(of)?));
        let seeds: Vec<(Mode, Vec<u64>)> = (1..)
            .zip(judgement.modes)
            .map(of_mode)
            .collect::<Result<_, ArenaError>>()?;
        let kwargs = driven.kwargs.into_iter().collect();
        Ok(Prepared {
            delay: judgement.delay,
            episodes,
            episodes_per_lifetime: episodes_per_lifetime(&kwargs),
            judged_step: judged_step(&kwargs),
            episode_steps: episode_steps(&kwargs),
            action_space: driven.single_action_space,
            judged_id: judged.env_id,
            driven_id: driven.env_id,
            seeds,
        })
    }

    /// Returns the first number of each lane's first observation with these seeds.
    fn cues(&self, driven_id: &str, seeds: &[u64]) -> Result<Vec<f32>, ArenaError> {
        let reset = VectorResetRequest {
            seq: None,
            seed: Some(Seed::Each(seeds.to_vec())),
            options: Default::default(),
        };
        let reply: VectorResetReply = self
            .driver
            .post(&format!("/v1/vector-envs/{driven_id}/reset"), &reset)?;
        let Value::Array(observations) = reply.observations else {
            return Err(ArenaError::NoCue);
        };
        let numbers = observations.into_f32s();
        let rows = numbers.chunks_exact((numbers.len() / seeds.len()).max(1));
        Ok(rows.map(|row| row[0]).collect())
    }
}

fn start<const N: usize>(
    grants: [(&str, Grant); N],
    limits: Limits,
) -> Result<(EmbeddedServer, Arc<Access>), String> {
    let access = access_of(grants)?;
    let config = ServerConfig {
        service: ServiceConfig {
            access: Some(Arc::clone(&access)),
            request_timeout: TIMEOUT,
            ..ServiceConfig::default()
        },
        limits: Limits {
            default_ttl_s: TTL_S,
            ..limits
        },
        ..ServerConfig::default()
    };
    let server = EmbeddedServer::start_with(config, 1).map_err(|error| error.to_string())?;
    Ok((server, access))
}

/// Makes a server ask for a token, and returns the token. External programs find the server's port,
/// and must neither play on it uncounted nor touch the environments of others.
///
/// # Errors
/// When the token is not usable.
pub fn guard(config: &mut ServerConfig) -> Result<String, String> {
    let token = draw_token();
    config.service.access = Some(access_of([("agents", full(&token))])?);
    Ok(token)
}

fn access_of<const N: usize>(grants: [(&str, Grant); N]) -> Result<Arc<Access>, String> {
    let grants = grants.map(|(name, grant)| (name.to_owned(), grant));
    let access = Access::from_grants(&BTreeMap::from(grants));
    access.map(Arc::new).map_err(|error| error.to_string())
}

fn principal(access: &Access, name: &str) -> Arc<Principal> {
    access
        .principal(name)
        .expect("every principal was opened with the server")
}

fn draw_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn full(token: &str) -> Grant {
    Grant {
        token: token.to_owned(),
        ..Grant::default()
    }
}

fn create(api: &Api<'_>, creation: &CreateVectorEnv) -> Result<VectorEnvDescription, ApiError> {
    let id = format!("judged-{:032x}", rand::random::<u128>());
    api.put(&format!("/v1/vector-envs/{id}"), creation)
}

fn times(count: u64) -> String {
    match count {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_guarded_server_accepts_only_its_token() {
        let mut config = ServerConfig::default();
        let token = guard(&mut config).unwrap();
        let server = EmbeddedServer::start_with(config, 1).unwrap();
        let ask = |token: Option<&str>| {
            let patience = Patience::default();
            let api = Api::new(server.url(), token, TIMEOUT, MOST_BYTES, patience).unwrap();
            let listed: Result<Value, _> = api.get("/v1/envs");
            listed.map_err(|error| error.to_string())
        };
        assert!(ask(Some(&token)).is_ok());
        assert!(ask(None).unwrap_err().contains("401"));
        assert!(ask(Some("another")).unwrap_err().contains("401"));
    }
}
