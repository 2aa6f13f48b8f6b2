//! Servers for one job of a contender from outside: one counts the steps of training, and one lets the contender play what
//! it is judged on without seeing more of it than a player does. Only one of them is there at a time: while the contender
//! trains there is nothing to be judged on yet, and while it is judged there is nothing left to train on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent::evaluate::{
    Mode, Unbalanced, balanced_seeds, episodes_per_lifetime, evaluation_kwargs, judged_step,
};
use agent::seeds::{Role, first_environment_seed};
use env_protocol::{
    AutoresetMode, CreateVectorEnv, Seed, Space, Value, VectorEnvDescription, VectorResetReply,
    VectorResetRequest,
};
use env_server::{Access, Grant, Limits, Principal, ServerConfig, ServiceConfig, StepBudget};
use rand::seq::SliceRandom as _;

use super::api::{Api, ApiError, Patience};
use crate::embedded::EmbeddedServer;
use crate::judge::Judgement;
use crate::plan::Experiment;

/// Principals: the benchmark itself, the contender in training, and the contender in evaluation.
const DRIVER: &str = "driver";
const TRAINING: &str = "training";
const EVALUATION: &str = "evaluation";

/// Operations of an environment that are kept, in bytes: the whole of an evaluation, from which it is scored. A step of a
/// thousand lanes with two actions takes about 130.
const TRAJECTORY_BYTES: usize = 512 << 20;

/// Seconds an environment lives unplayed: longer than any phase, for the server goes when the job does.
const TTL_S: u64 = 7 * 24 * 3_600;

/// How long the server may take to answer; telling a long trajectory again takes a while.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Most bytes of an answer of these servers, which are this program's own.
const MOST_BYTES: usize = 1 << 30;

/// A server to train on. It and its token go when training is over.
pub struct TrainingArena {
    server: EmbeddedServer,
    access: Arc<Access>,
    token: String,
}

/// A server to be judged on. It and its tokens are made when training is over.
pub struct EvaluationArena {
    server: EmbeddedServer,
    access: Arc<Access>,
    /// The contender's token.
    token: String,
    driver: Api<'static>,
    evaluation: Api<'static>,
}

/// Environments to be judged on: one lane an episode, with seeds that only the benchmark knows.
pub struct Prepared {
    /// The delay; `None` for a task without one.
    pub delay: Option<u64>,
    /// Number of lanes.
    pub episodes: usize,
    /// How many episodes of each lane count: one, or all that share what is to be remembered.
    pub episodes_per_lifetime: usize,
    /// Step of the episode, from 0, whose action is the first to be judged, where the task tells.
    pub judged_step: Option<u64>,
    /// A lane's action space.
    pub action_space: Space,
    /// The vector environment that the contender may play.
    pub judged_id: String,
    /// The same for the benchmark, which resets it with [`Self::seeds`].
    pub driven_id: String,
    /// One for each lane, in an order that says nothing, by the mode that is judged with them. They are others in each, and
    /// others than those of the environment that the contender may play: what it saw there tells it nothing of these.
    pub seeds: Vec<(Mode, Vec<u64>)>,
}

/// Why there is nothing to be judged on.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// The server refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There are not as many episodes of each cue.
    #[error(transparent)]
    Unbalanced(#[from] Unbalanced),
    /// The cue is not where it should be.
    #[error("the first observations are no array of numbers, so there is no cue to balance over")]
    NoCue,
}

impl TrainingArena {
    /// Starts a server that lets the contender train for so many steps.
    ///
    /// # Errors
    /// When the system gives no port or no threads.
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

    /// Its base URL.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The token to train with.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The steps of training.
    pub fn budget(&self) -> StepBudget {
        let budget = principal(&self.access, TRAINING).budget().cloned();
        budget.expect("training has a budget")
    }
}

impl EvaluationArena {
    /// Starts a server for one evaluation.
    ///
    /// # Errors
    /// When the system gives no port or no threads.
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

    /// Its base URL.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The token to be judged with.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The rule that the contender broke while it was judged, in words.
    pub fn violation(&self) -> Option<String> {
        let refusals = principal(&self.access, EVALUATION).refusals();
        let first = refusals.first?;
        Some(format!(
            "it asked for what an evaluation token may not do: {first} ({} in all)",
            times(refusals.count)
        ))
    }

    /// The environments that the benchmark plays itself.
    pub fn driver(&self) -> &Api<'static> {
        &self.driver
    }

    /// The environments that the contender was judged on, with the right to see all of them.
    pub fn evaluation(&self) -> &Api<'static> {
        &self.evaluation
    }

    /// Makes environments to be judged on, from a secret seed. Of every cue there are as many, where the first observation
    /// is one, and their order is drawn.
    ///
    /// # Errors
    /// When the server refuses the arguments, or the cues cannot be balanced.
    pub fn prepare(
        &self,
        experiment: &Experiment,
        judgement: &Judgement,
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
            action_space: driven.single_action_space,
            judged_id: judged.env_id,
            driven_id: driven.env_id,
            seeds,
        })
    }

    /// The first numbers that are seen with these seeds.
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

/// Has a server that is not theirs ask for a token, so that programs from outside, which find its port, can neither play on it
/// uncounted nor touch what others play there. Returns the token.
///
/// # Errors
/// When the token cannot be used.
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
    access.principal(name).expect("it was opened with it")
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
    fn a_guarded_server_is_played_on_with_its_token_only() {
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
