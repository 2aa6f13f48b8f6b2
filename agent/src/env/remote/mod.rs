//! A vector environment on one server, or dealt over several: HTTP with MessagePack, and every operation exactly once.
//!
//! Each operation carries the `seq` that the server expects next. After any doubt (a refused connection, a lost reply, a
//! 5xx) the same bytes are sent again with the same `seq`: a server that had applied them answers with its stored reply.

use std::ops::Range;

use env_protocol::{
    Array, AutoresetMode, CreateVectorEnv, Data, Encoding, RestoreReply, RestoreRequest, Returns,
    Seed, Snapshot, Space, Spec, SpecRequest, Value, VectorEnvDescription, VectorOracleReply,
    VectorResetOptions, VectorResetReply, VectorResetRequest, VectorStepReply, VectorStepRequest,
};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use tokio::runtime::{Builder, Runtime};

use self::connection::Connection;
use super::{EnvError, ResetReply, ResetRequest, StepReply, VectorEnv};
use crate::spaces::actions::Choice;
use crate::spaces::{UnsupportedSpace, batches, encoder};

pub use self::connection::RetryPolicy;
pub use self::token::{Token, TokenError};

mod connection;
mod token;

/// Configuration of a remote vector environment.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteEnvConfig {
    /// Base URLs, e.g. `http://127.0.0.1:7878`; environments are dealt over them evenly.
    pub servers: Vec<String>,
    /// Token that identifies the client, for servers that ask for one.
    pub token: Option<Token>,
    /// Spec id.
    pub spec_id: String,
    /// The spec's arguments.
    pub kwargs: Map<String, Json>,
    /// Environments in all.
    pub num_envs: usize,
    /// Limits of retries.
    pub retry: RetryPolicy,
}

/// `num_envs` environments on one or several servers.
pub struct RemoteVectorEnv {
    runtime: Runtime,
    connection: Connection,
    shards: Vec<Shard>,
    observation_space: Space,
    action_space: Space,
    kwargs: Map<String, Json>,
    num_envs: usize,
    /// Where the first server tells of the spec, and with which arguments it is asked.
    spec_url: String,
    asked: SpecRequest,
}

/// The environments that one server holds.
struct Shard {
    /// Of the vector environment.
    url: String,
    lanes: Range<usize>,
    /// The server expects this next.
    seq: u64,
}

impl RemoteVectorEnv {
    /// Creates the environments; [`Drop`] closes them.
    ///
    /// # Errors
    /// What a server refused, or that it could not be reached.
    pub fn connect(config: &RemoteEnvConfig) -> Result<Self, EnvError> {
        Self::connect_parts(config, config.servers.len())
    }

    /// As [`RemoteVectorEnv::connect`], held together as those of a snapshot are, so that it can be restored on any number of
    /// servers.
    ///
    /// # Errors
    /// As [`RemoteVectorEnv::connect`], and for a snapshot that cannot be of so many environments.
    pub fn connect_for(config: &RemoteEnvConfig, snapshot: &[u8]) -> Result<Self, EnvError> {
        let parts = split_snapshot(snapshot)?.len();
        if !(1..=config.num_envs).contains(&parts) {
            return Err(EnvError::Protocol {
                url: "a snapshot".into(),
                detail: format!("it has {parts} parts for {} environments", config.num_envs),
            });
        }
        Self::connect_parts(config, parts)
    }

    fn connect_parts(config: &RemoteEnvConfig, parts: usize) -> Result<Self, EnvError> {
        assert!(!config.servers.is_empty(), "at least one server");
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| EnvError::Protocol {
                url: config.servers[0].clone(),
                detail: format!("no runtime for network calls: {error}"),
            })?;
        let connection = Connection::new(&config.servers, config.token.clone(), config.retry);
        let connection = connection.map_err(|error| EnvError::Protocol {
            url: config.servers[0].clone(),
            detail: error.to_string(),
        })?;
        let parts = parts.min(config.num_envs);
        let mut shards = Vec::new();
        let mut described = None;
        for i in 0..parts {
            let server = &config.servers[i % config.servers.len()];
            let lanes = i * config.num_envs / parts..(i + 1) * config.num_envs / parts;
            let (shard, description) =
                runtime.block_on(create(&connection, server, config, lanes))?;
            described = Some(description);
            shards.push(shard);
        }
        let described = described.expect("at least one shard");
        Ok(Self {
            runtime,
            connection,
            shards,
            observation_space: described.single_observation_space,
            action_space: described.single_action_space,
            kwargs: described.kwargs.into_iter().collect(),
            num_envs: config.num_envs,
            spec_url: format!(
                "{}/v1/specs/{}",
                config.servers[0].trim_end_matches('/'),
                config.spec_id
            ),
            asked: SpecRequest {
                kwargs: config.kwargs.clone().into_iter().collect(),
            },
        })
    }

    /// The entry of the server's catalogue.
    ///
    /// # Errors
    /// As [`VectorEnv::reset`].
    pub fn spec(&self) -> Result<Spec, EnvError> {
        let call = self
            .connection
            .call(Method::GET, self.spec_url.clone(), None);
        decode(&self.spec_url, &self.runtime.block_on(call)?)
    }

    /// The returns of reference players, with these environments' arguments.
    ///
    /// # Errors
    /// As [`VectorEnv::reset`].
    pub fn returns(&self) -> Result<Returns, EnvError> {
        Ok(self.spec_as_asked()?.returns)
    }

    /// The entry of the server's catalogue, with these environments' arguments.
    fn spec_as_asked(&self) -> Result<Spec, EnvError> {
        let body = Encoding::MessagePack.encode(&self.asked);
        let url = self.spec_url.clone();
        let call = self.connection.call(Method::POST, url, Some(body));
        decode(&self.spec_url, &self.runtime.block_on(call)?)
    }

    /// The spec's arguments, with the server's defaults filled in.
    pub fn kwargs(&self) -> &Map<String, Json> {
        &self.kwargs
    }

    /// The actions of a shard as its server takes them: in one array.
    fn actions(&self, shard: &Shard, actions: &[Choice]) -> Result<Array, EnvError> {
        let width = actions.len() / self.num_envs;
        let of_shard = &actions[shard.lanes.start * width..shard.lanes.end * width];
        let value = batches::to_value(&self.action_space, of_shard, shard.lanes.len());
        value.into_array().ok_or_else(|| {
            EnvError::Space(UnsupportedSpace {
                what: "action",
                detail: "it is a Tuple or a Dict, and a server takes actions of one array".into(),
            })
        })
    }

    /// The rows of a shard's observations.
    fn flatten(&self, shard: &Shard, observations: Value) -> Result<Vec<f32>, EnvError> {
        let space = &self.observation_space;
        encoder::flatten(space, observations, shard.lanes.len()).map_err(|detail| {
            EnvError::Protocol {
                url: shard.url.clone(),
                detail,
            }
        })
    }

    /// Gets something of every shard, one after the other.
    fn get_all<R: DeserializeOwned>(&self, what: &str) -> Result<Vec<R>, EnvError> {
        let get = |shard: &Shard| {
            let url = format!("{}/{what}", shard.url);
            let call = self.connection.call(Method::GET, url.clone(), None);
            decode(&url, &self.runtime.block_on(call)?)
        };
        self.shards.iter().map(get).collect()
    }

    /// Posts to every shard at once; the next `seq`s are taken from the replies.
    fn post_all<B: Serialize, R: DeserializeOwned>(
        &mut self,
        operation: &str,
        mut body: impl FnMut(&Shard) -> B,
        seq: impl Fn(&R) -> u64,
    ) -> Result<Vec<R>, EnvError> {
        let connection = &self.connection;
        let calls = self.shards.iter().map(|shard| {
            let body = Encoding::MessagePack.encode(&body(shard));
            connection.call(
                Method::POST,
                format!("{}/{operation}", shard.url),
                Some(body),
            )
        });
        let answers = self.runtime.block_on(all(calls));
        let mut replies = Vec::with_capacity(self.shards.len());
        for (shard, answer) in self.shards.iter_mut().zip(answers) {
            let reply: R = decode(&shard.url, &answer?)?;
            shard.seq = seq(&reply);
            replies.push(reply);
        }
        Ok(replies)
    }
}

/// Drives calls side by side; the answers come in the calls' order.
async fn all<F: Future>(calls: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut calls: Vec<_> = calls.map(|call| Box::pin(call)).collect();
    let mut outputs: Vec<Option<F::Output>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (call, output) in calls.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(done) = call.as_mut().poll(context)
            {
                *output = Some(done);
            }
        }
        if outputs.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outputs
        .into_iter()
        .map(|output| output.expect("all are done"))
        .collect()
}

async fn create(
    connection: &Connection,
    server: &str,
    config: &RemoteEnvConfig,
    lanes: Range<usize>,
) -> Result<(Shard, VectorEnvDescription), EnvError> {
    let id = format!("agent-{:032x}", rand::random::<u128>());
    let url = format!("{}/v1/vector-envs/{id}", server.trim_end_matches('/'));
    let body = CreateVectorEnv {
        spec_id: config.spec_id.clone(),
        num_envs: lanes.len() as u64,
        kwargs: config.kwargs.clone().into_iter().collect(),
        // Every run seeds its first reset; this one only has to be the same when the request is repeated.
        seed: Some(Seed::First(0)),
        autoreset_mode: AutoresetMode::SameStep,
        ttl_s: None,
    };
    let answer = connection
        .call(
            Method::PUT,
            url.clone(),
            Some(Encoding::MessagePack.encode(&body)),
        )
        .await?;
    let description: VectorEnvDescription = decode(&url, &answer)?;
    Ok((
        Shard {
            url,
            lanes,
            seq: description.seq,
        },
        description,
    ))
}

impl VectorEnv for RemoteVectorEnv {
    fn num_envs(&self) -> usize {
        self.num_envs
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    /// A server that does not answer this question knows no threshold.
    fn solved_threshold(&mut self) -> Result<Option<f64>, EnvError> {
        match self.spec_as_asked() {
            Ok(spec) => Ok(spec.solved_threshold),
            Err(EnvError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
        let replies: Vec<VectorResetReply> = self.post_all(
            "reset",
            |shard| VectorResetRequest {
                seq: Some(shard.seq),
                seed: request
                    .seeds
                    .as_ref()
                    .map(|seeds| Seed::Each(seeds[shard.lanes.clone()].to_vec())),
                options: VectorResetOptions {
                    reset_mask: None,
                    kwargs: request.options.clone().into_iter().collect(),
                },
            },
            |reply: &VectorResetReply| reply.seq,
        )?;
        let mut observations = Vec::new();
        for (shard, reply) in self.shards.iter().zip(replies) {
            observations.extend(self.flatten(shard, reply.observations)?);
        }
        Ok(ResetReply { observations })
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        let shards = self.shards.iter();
        let arrays: Result<Vec<Array>, EnvError> =
            shards.map(|shard| self.actions(shard, actions)).collect();
        let mut arrays = arrays?.into_iter();
        let replies: Vec<VectorStepReply> = self.post_all(
            "step",
            |shard| VectorStepRequest {
                seq: Some(shard.seq),
                actions: arrays.next().expect("one for each shard"),
            },
            |reply: &VectorStepReply| reply.seq,
        )?;
        let mut step = StepReply::default();
        for (shard, mut reply) in self.shards.iter().zip(replies) {
            let url = &shard.url;
            // Last observations of the episodes that this step ended, if any did.
            let final_observations = reply.infos.remove("final_obs");
            let final_observations = final_observations
                .map(|value| self.flatten(shard, value))
                .transpose()?;
            let observations = self.flatten(shard, reply.observations)?;
            if final_observations.is_some() || !step.final_observations.is_empty() {
                // Rows of lanes whose episode continues are never read.
                step.final_observations.resize(step.observations.len(), 0.0);
                step.final_observations
                    .extend(final_observations.unwrap_or_else(|| vec![0.0; observations.len()]));
            }
            step.observations.extend(observations);
            step.rewards.extend(reply.rewards.to_f64s());
            step.terminations.extend(flags(url, reply.terminations)?);
            step.truncations.extend(flags(url, reply.truncations)?);
        }
        let lanes = [
            step.rewards.len(),
            step.terminations.len(),
            step.truncations.len(),
        ];
        if lanes != [self.num_envs; 3] {
            let detail = format!(
                "rewards and flags of {lanes:?} lanes, of {} were expected",
                self.num_envs
            );
            return Err(EnvError::Protocol {
                url: self.shards[0].url.clone(),
                detail,
            });
        }
        let ended = step.terminations.contains(&true) || step.truncations.contains(&true);
        if ended && step.final_observations.len() != step.observations.len() {
            return Err(EnvError::Protocol {
                url: self.shards[0].url.clone(),
                detail: "an episode ended, and infos.final_obs does not say how".into(),
            });
        }
        Ok(step)
    }

    fn oracle(&mut self) -> Result<Vec<Choice>, EnvError> {
        let mut actions = Vec::new();
        let replies = self.get_all::<VectorOracleReply>("oracle")?;
        for (shard, reply) in self.shards.iter().zip(replies) {
            let lanes = shard.lanes.len();
            let of_shard = batches::from_value(&self.action_space, reply.actions.into(), lanes);
            actions.extend(of_shard.map_err(|detail| EnvError::Protocol {
                url: shard.url.clone(),
                detail: format!("the oracle's actions: {detail}"),
            })?);
        }
        Ok(actions)
    }

    /// The first lane. An older server draws no such picture.
    fn picture(&mut self, has_colour: bool) -> Result<Option<String>, EnvError> {
        let url = &self.shards[0].url;
        let url = format!("{url}/render?lane=0&as_agent=true&colour={has_colour}");
        match self.runtime.block_on(self.connection.get_text(url)) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(EnvError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let snapshots = self.get_all::<Snapshot>("snapshot")?;
        Ok(Encoding::MessagePack.encode(&snapshots))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let snapshots: Vec<Snapshot> = decode(&self.shards[0].url, snapshot)?;
        if snapshots.len() != self.shards.len() {
            let detail = format!(
                "a snapshot of {} servers cannot be restored over {}",
                snapshots.len(),
                self.shards.len()
            );
            return Err(EnvError::Protocol {
                url: self.shards[0].url.clone(),
                detail,
            });
        }
        let starts: Vec<usize> = self.shards.iter().map(|shard| shard.lanes.start).collect();
        let of = |shard: &Shard| {
            starts
                .iter()
                .position(|&start| start == shard.lanes.start)
                .expect("one of the shards")
        };
        let _: Vec<RestoreReply> = self.post_all(
            "restore",
            |shard| RestoreRequest {
                seq: Some(shard.seq),
                snapshot: snapshots[of(shard)].clone(),
            },
            |reply: &RestoreReply| reply.seq,
        )?;
        Ok(())
    }
}

impl Drop for RemoteVectorEnv {
    fn drop(&mut self) {
        for shard in &self.shards {
            self.runtime.block_on(self.connection.close(&shard.url));
        }
    }
}

/// Puts snapshots of environments together as one of all of them.
///
/// # Errors
/// [`EnvError::Protocol`] for bytes that are no snapshot.
pub fn join_snapshots(parts: &[Vec<u8>]) -> Result<Vec<u8>, EnvError> {
    let mut all: Vec<Snapshot> = Vec::new();
    for part in parts {
        all.extend(decode::<Vec<Snapshot>>("a snapshot", part)?);
    }
    Ok(Encoding::MessagePack.encode(&all))
}

/// Takes a snapshot apart into those of environments that are held together.
///
/// # Errors
/// As [`join_snapshots`].
pub fn split_snapshot(snapshot: &[u8]) -> Result<Vec<Vec<u8>>, EnvError> {
    let all: Vec<Snapshot> = decode("a snapshot", snapshot)?;
    let alone = |snapshot| Encoding::MessagePack.encode(&[snapshot]);
    Ok(all.into_iter().map(alone).collect())
}

fn decode<T: DeserializeOwned>(url: &str, bytes: &[u8]) -> Result<T, EnvError> {
    Encoding::MessagePack
        .decode(bytes)
        .map_err(|error| EnvError::Protocol {
            url: url.into(),
            detail: error.to_string(),
        })
}

fn flags(url: &str, array: Array) -> Result<Vec<bool>, EnvError> {
    match array.into_data() {
        Data::Bool(flags) => Ok(flags),
        other => Err(EnvError::Protocol {
            url: url.into(),
            detail: format!("flags are {:?}", other.dtype()),
        }),
    }
}
