//! The worker's side: plays groups of lanes, and holds what it may need again.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use workers::{Request, Shared};

use super::call::{Answer, Call, Id, Manner, Place, Run, Weights, decode, encode, id_of};
use super::{NAME, lanes_of, saved};
use crate::algorithms;
use crate::env::VectorEnv;
use crate::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy, Token};
use crate::experience::{Collection, Collector, CollectorState, Limits, Rollout};
use crate::policy::Policy;
use crate::policy::inputs::InputEncoder;
use crate::run::config::TrainConfig;
use crate::run::train::input_encoder;
use crate::seeds::{self, LaneSeeds, Role};

/// Answers calls of runs, one run at a time.
pub struct Worker {
    start_server: Box<dyn Fn() -> Result<String, String>>,
    /// Where environments are played.
    site: Site,
    current: Option<Current>,
}

/// The worker's own environment server, for runs that name none, and the token for others.
struct Site {
    own: Option<String>,
    token: Option<Token>,
}

/// The run that is played.
struct Current {
    id: Id,
    run: Run,
    config: TrainConfig,
    /// Known once its spaces are.
    agent: Option<Agent>,
    groups: HashMap<usize, Held>,
}

struct Agent {
    encoder: InputEncoder,
    policy: Policy,
    /// Whose weights it has.
    weights: Option<String>,
}

/// A group that is held.
struct Held {
    env: RemoteVectorEnv,
    /// Where it was when its rollout was begun; without one, where it is.
    base: Id,
    state: CollectorState,
    /// A rollout that was begun with these weights and in this manner.
    open: Option<(String, Manner, Rollout)>,
}

impl Worker {
    /// A worker that holds nothing. `start_server` starts an environment server of its own and returns the URL; `token` is for
    /// the servers that calls name.
    pub fn new(
        start_server: impl Fn() -> Result<String, String> + 'static,
        token: Option<Token>,
    ) -> Self {
        Self {
            start_server: Box::new(start_server),
            site: Site { own: None, token },
            current: None,
        }
    }

    /// Answers a call, whose shared bytes are the weights to play with.
    ///
    /// # Errors
    /// The reason why it has no result.
    pub fn answer(&mut self, request: &Request) -> Result<Vec<u8>, String> {
        if request.name != NAME {
            return Err(format!("there is no call {:?}", request.name));
        }
        let call: Call = decode("the call", &request.body)?;
        let shared = request.shared.as_ref();
        let Some(weights) = shared.filter(|shared| shared.id() == call.weights) else {
            return Err(format!("its weights, {}, were not shared", call.weights));
        };
        if self.current.as_ref().map(|current| current.id) != Some(call.run.id) {
            let Some(bytes) = call.run.checked()? else {
                return Ok(encode(&Answer::Missing));
            };
            self.current = Some(Current::new(call.run.id, decode("its run", bytes)?)?);
        }
        let Some(current) = &mut self.current else {
            return Ok(encode(&Answer::Missing));
        };
        if current.run.servers.is_empty() && self.site.own.is_none() {
            self.site.own = Some((self.start_server)()?);
        }
        let answer = current.answer(&call, weights, &self.site)?;
        Ok(encode(&answer.unwrap_or(Answer::Missing)))
    }
}

impl Current {
    fn new(id: Id, run: Run) -> Result<Self, String> {
        let config = run.config()?;
        let num_envs = config.hyper.get::<Collection>().num_envs;
        if !(1..=num_envs).contains(&run.groups) {
            let groups = run.groups;
            return Err(format!(
                "{num_envs} lanes cannot be dealt into {groups} groups"
            ));
        }
        Ok(Self {
            id,
            run,
            config,
            agent: None,
            groups: HashMap::new(),
        })
    }

    /// Returns nothing where the call leaves out what is not held. A group whose call fails is no longer held.
    fn answer(
        &mut self,
        call: &Call,
        weights: &Shared,
        site: &Site,
    ) -> Result<Option<Answer>, String> {
        if call.group >= self.run.groups {
            return Err(format!("there is no group {}", call.group));
        }
        let place = call.place.checked()?;
        if let Some(held) = self.groups.remove(&call.group) {
            let held = match place {
                _ if held.can_go_on(call) => Ok(held),
                None => return Ok(None),
                Some(place) => self.put_into(held.env, call, weights, place),
            };
            if let Ok(answer) = held.and_then(|held| self.play(held, call, weights)) {
                return Ok(Some(answer));
            }
        }
        let Some(place) = place else {
            return Ok(None);
        };
        // Environments may be gone at any time, as after a long pause: once more, in new ones.
        let played = self.play_anew(call, weights, place, site)?;
        let played = played.or_else(|_| self.play_anew(call, weights, place, site)?);
        played.map(Some)
    }

    /// Plays a group from a place in new environments. The outer error: there are none, which needs no other try.
    fn play_anew(
        &mut self,
        call: &Call,
        weights: &Shared,
        place: &[u8],
        site: &Site,
    ) -> Result<Result<Answer, String>, String> {
        let env = self.connect(call.group, self.lanes(call).len(), site)?;
        let held = self.put_into(env, call, weights, place);
        Ok(held.and_then(|held| self.play(held, call, weights)))
    }

    fn play(&mut self, mut held: Held, call: &Call, weights: &Shared) -> Result<Answer, String> {
        let answer = held.play(call, self.agent_with(weights, &held.env)?)?;
        self.groups.insert(call.group, held);
        Ok(answer)
    }

    fn lanes(&self, call: &Call) -> Range<usize> {
        let num_envs = self.config.hyper.get::<Collection>().num_envs;
        lanes_of(call.group, self.run.groups, num_envs)
    }

    /// Puts a group at a place in these environments. An empty place is the beginning of the run.
    fn put_into(
        &mut self,
        mut env: RemoteVectorEnv,
        call: &Call,
        weights: &Shared,
        place: &[u8],
    ) -> Result<Held, String> {
        let lanes = self.lanes(call);
        let state = if place.is_empty() {
            let (agent, config) = self.agent_with(weights, &env)?;
            let seeds = LaneSeeds::training(config.seed, lanes);
            let (encoder, policy) = (agent.encoder.clone(), &agent.policy);
            let begun = Collector::begin(&mut env, encoder, policy, &config.hyper, &[], seeds);
            begun.map_err(|error| error.to_string())?.into_state()
        } else {
            let Place { snapshot, state } = decode("its place", place)?;
            if state.lanes.batch() != lanes.len() || state.generators.len() != lanes.len() {
                return Err("its place is one of other lanes".into());
            }
            env.restore(&snapshot).map_err(|error| error.to_string())?;
            state
        };
        Ok(Held {
            env,
            base: call.place.id,
            state,
            open: None,
        })
    }

    fn connect(&self, group: usize, lanes: usize, site: &Site) -> Result<RemoteVectorEnv, String> {
        let named = &self.run.servers;
        let (server, token) = match named.is_empty() {
            true => (site.own.clone(), None),
            false => (Some(named[group % named.len()].clone()), site.token.clone()),
        };
        let connected = RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: server.into_iter().collect(),
            token,
            spec_id: self.config.env.spec_id.clone(),
            kwargs: self.config.env.kwargs.clone(),
            num_envs: lanes,
            retry: RetryPolicy::default(),
        });
        connected.map_err(|error| error.to_string())
    }

    /// Returns the agent with these weights.
    fn agent_with(
        &mut self,
        weights: &Shared,
        env: &RemoteVectorEnv,
    ) -> Result<(&Agent, &TrainConfig), String> {
        let agent = match &mut self.agent {
            Some(agent) => agent,
            none => none.insert(Agent::new(&self.config, env)?),
        };
        if agent.weights.as_deref() != Some(weights.id()) {
            let values: Weights = decode("its weights", weights.body())?;
            values.put_into(&mut agent.policy)?;
            agent.weights = Some(weights.id().to_owned());
        }
        Ok((agent, &self.config))
    }
}

impl Agent {
    /// An agent for environments like this one, of no weights that are known.
    fn new(config: &TrainConfig, env: &RemoteVectorEnv) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let encoder = input_encoder(config, &env.spaces()).map_err(|error| text(&error))?;
        let row = algorithms::find(&config.algorithm).map_err(|error| text(&error))?;
        let mut rng = seeds::generator(config.seed, Role::Agent);
        let policy = row.policy(&config.hyper, &encoder, &mut rng);
        Ok(Self {
            encoder,
            policy,
            weights: None,
        })
    }
}

impl Held {
    /// Returns whether the call begins where the group is, or asks for more of the rollout that was begun.
    fn can_go_on(&self, call: &Call) -> bool {
        self.base == call.place.id
            && self.open.as_ref().is_none_or(|(weights, manner, open)| {
                *weights == call.weights
                    && *manner == call.manner
                    && open.steps <= call.steps
                    && !call.until_all_ended
            })
    }

    fn play(
        &mut self,
        call: &Call,
        (agent, config): (&Agent, &TrainConfig),
    ) -> Result<Answer, String> {
        let began = Instant::now();
        let seconds = |began: Instant| began.elapsed().as_secs_f64();
        let Agent {
            encoder, policy, ..
        } = agent;
        let (encoder, hyper) = (encoder.clone(), &config.hyper);
        let state = self.state.clone();
        let mut collector = Collector::at(&mut self.env, encoder, hyper, &[], state);
        let mut rollout = None;
        if call.steps > 0 {
            let mut open = match self.open.take() {
                Some((_, _, open)) => open,
                None => {
                    if let Some(options) = &call.manner.options {
                        let reset = collector.reset(options.clone());
                        reset.map_err(|error| error.to_string())?;
                    }
                    collector.open(policy)
                }
            };
            let mut limits = Limits::exactly(call.steps);
            limits.until_all_ended = call.until_all_ended;
            let played = collector.play(policy, call.manner.behaviour, &mut open, limits);
            played.map_err(|error| error.to_string())?;
            if call.until_all_ended {
                let steps = open.steps;
                self.state = collector.into_state();
                self.open = Some((call.weights.clone(), call.manner.clone(), open));
                return Ok(Answer::Ended {
                    steps,
                    seconds: seconds(began),
                });
            }
            collector.close(policy, &mut open);
            rollout = Some(Box::new(open));
        }
        self.state = collector.into_state();
        let snapshot = saved(&mut self.env).map_err(|error| error.to_string())?;
        let state = self.state.clone();
        let place = encode(&Place { snapshot, state });
        self.base = id_of(&place);
        Ok(Answer::Played {
            rollout,
            place,
            seconds: seconds(began),
        })
    }
}
