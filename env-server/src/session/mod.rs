//! What stands behind an id: environments, the number of the next operation, the last reply.

pub mod operation;
pub mod store;
pub mod vector;

use std::sync::{Arc, Mutex, MutexGuard};

use env_protocol::{
    Array, AutoresetMode, CreateEnv, CreateVectorEnv, EnvDescription, ErrorCode, Info, Problem,
    ResetReply, RestoreReply, SNAPSHOT_FORMAT, SNAPSHOT_VERSION, Seed, Snapshot, Space, Spec,
    StepReply, Value, VectorEnvDescription, VectorResetReply, VectorStepReply,
};
use serde::Serialize;

use crate::environments::{Arguments, KwargsError, registry};
use operation::{check_seed, escape};
use vector::{Saved, StepBatch, VectorEnvironment};

pub use operation::{Answer, Operation, Reply};

/// What an environment is created with. It tells the two kinds of session apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Creation {
    /// One environment, whose replies are those of one lane.
    Single(CreateEnv),
    /// `num_envs` lanes.
    Vector(CreateVectorEnv),
}

/// The two kinds of session, which have paths of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Under `/v1/envs`.
    Single,
    /// Under `/v1/vector-envs`.
    Vector,
}

impl Creation {
    /// Which kind it makes.
    pub fn kind(&self) -> Kind {
        match self {
            Creation::Single(_) => Kind::Single,
            Creation::Vector(_) => Kind::Vector,
        }
    }

    /// How many lanes it makes.
    pub fn num_envs(&self) -> u64 {
        match self {
            Creation::Single(_) => 1,
            Creation::Vector(body) => body.num_envs,
        }
    }
}

/// A description, of either kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one variant a body")]
pub enum Description {
    Single(EnvDescription),
    Vector(VectorEnvDescription),
}

/// One environment or vector of them behind an id.
pub struct Session {
    id: String,
    creation: Creation,
    spec: &'static Spec,
    arguments: Arguments,
    /// With these arguments; the spec's are those of the defaults.
    observation_space: Space,
    /// With these arguments.
    action_space: Space,
    seed: Seed,
    state: Mutex<State>,
}

/// What operations change.
struct State {
    vector: Box<dyn VectorEnvironment>,
    /// Number of the next operation.
    seq: u64,
    /// The last operation and its reply, to answer when it comes again.
    last: Option<(Operation, Arc<Reply>)>,
}

impl Session {
    /// Makes the environments. `drawn_seed` seeds them where the creation does not.
    ///
    /// # Errors
    /// `unknown-spec`, `invalid-kwargs` or `invalid-seed`.
    pub fn new(id: String, creation: Creation, drawn_seed: u64) -> Result<Self, Problem> {
        let num_envs = creation.num_envs() as usize;
        let (spec_id, kwargs, seed, autoreset_mode) = match &creation {
            Creation::Single(CreateEnv {
                spec_id,
                kwargs,
                seed,
            }) => {
                let seed = seed.map(Seed::First);
                (spec_id, kwargs, seed, AutoresetMode::Disabled)
            }
            Creation::Vector(body) => (
                &body.spec_id,
                &body.kwargs,
                body.seed.clone(),
                body.autoreset_mode,
            ),
        };
        let (entry, spec) =
            registry::find(spec_id).ok_or_else(|| unknown_spec(spec_id).at("/spec_id"))?;
        if let Some(seed) = &seed {
            check_seed(seed, num_envs)?;
        }
        let seed = seed.unwrap_or(Seed::First(drawn_seed));
        let refuse = |e: KwargsError| {
            let pointer = format!("/kwargs/{}", escape(&e.name));
            Problem::new(ErrorCode::InvalidKwargs, e.to_string()).at(pointer)
        };
        let arguments = Arguments::resolve(&spec.parameters, kwargs).map_err(refuse)?;
        let vector = (entry.vector)(&arguments, num_envs, autoreset_mode, &seed).map_err(refuse)?;
        Ok(Session {
            id,
            creation,
            spec,
            arguments,
            observation_space: vector.observation_space().clone(),
            action_space: vector.action_space().clone(),
            seed,
            state: Mutex::new(State {
                vector,
                seq: 0,
                last: None,
            }),
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it was created with.
    pub fn creation(&self) -> &Creation {
        &self.creation
    }

    /// The environment as it is now.
    ///
    /// # Errors
    /// `internal`, when an operation has failed in the middle.
    pub fn describe(&self) -> Result<Description, Problem> {
        let seq = self.lock()?.seq;
        let env_id = self.id.clone();
        let spec_id = self.spec.id.clone();
        let kwargs = self.arguments.to_kwargs();
        let observation_space = self.observation_space.clone();
        let action_space = self.action_space.clone();
        Ok(match &self.creation {
            Creation::Single(_) => Description::Single(EnvDescription {
                env_id,
                spec_id,
                kwargs,
                seed: self.seed.lane(0).unwrap_or_default(),
                observation_space,
                action_space,
                seq,
            }),
            Creation::Vector(body) => Description::Vector(VectorEnvDescription {
                env_id,
                spec_id,
                num_envs: body.num_envs,
                kwargs,
                seed: self.seed.clone(),
                autoreset_mode: body.autoreset_mode,
                single_observation_space: observation_space,
                single_action_space: action_space,
                seq,
            }),
        })
    }

    /// Applies an operation exactly once: `seq` must be the number of the next operation, or that
    /// of the last one if the operation is the same.
    ///
    /// # Errors
    /// `seq-conflict`, `seq-reused`, or why the operation itself was refused. Nothing has changed.
    pub fn apply(&self, seq: Option<u64>, operation: Operation) -> Result<Answer, Problem> {
        let mut state = self.lock()?;
        if let Some(seq) = seq
            && seq != state.seq
        {
            return state.replay(seq, &operation);
        }
        let next_seq = state.seq + 1;
        let reply = self.perform(state.vector.as_mut(), &operation, next_seq)?;
        let reply = Arc::new(reply);
        state.seq = next_seq;
        state.last = Some((operation, Arc::clone(&reply)));
        Ok(Answer {
            reply,
            is_replay: false,
        })
    }

    /// The whole state, as a document.
    ///
    /// # Errors
    /// `internal`, when an operation has failed in the middle.
    pub fn snapshot(&self) -> Result<Snapshot, Problem> {
        let Saved {
            observations,
            lanes,
        } = self.lock()?.vector.save();
        Ok(Snapshot {
            format: SNAPSHOT_FORMAT.to_owned(),
            version: SNAPSHOT_VERSION,
            spec_id: self.spec.id.clone(),
            kwargs: self.arguments.to_kwargs(),
            autoreset_mode: self.autoreset_mode(),
            observations,
            lanes,
        })
    }

    fn perform(
        &self,
        vector: &mut dyn VectorEnvironment,
        operation: &Operation,
        seq: u64,
    ) -> Result<Reply, Problem> {
        let is_single = self.creation.kind() == Kind::Single;
        let refused = |refusal| self.problem(refusal);
        Ok(match operation {
            Operation::Reset(reset) => {
                let observations = vector.reset(reset).map_err(refused)?;
                if is_single {
                    Reply::Reset(ResetReply {
                        observation: self.only_row(observations),
                        info: Info::new(),
                        seq,
                    })
                } else {
                    Reply::VectorReset(VectorResetReply {
                        observations,
                        infos: Info::new(),
                        seq,
                    })
                }
            }
            Operation::Step(actions) => {
                let batch = vector.step(actions).map_err(refused)?;
                match is_single {
                    true => Reply::Step(self.only_step(batch, seq)),
                    false => Reply::VectorStep(vector_step(batch, seq)),
                }
            }
            Operation::Restore(snapshot) => {
                self.check_snapshot(snapshot)?;
                let saved = Saved {
                    observations: snapshot.observations.clone(),
                    lanes: snapshot.lanes.clone(),
                };
                vector.restore(&saved).map_err(refused)?;
                Reply::Restore(RestoreReply { seq })
            }
        })
    }

    /// The one lane's row, without the dimension of lanes.
    fn only_row(&self, observations: Value) -> Value {
        match observations {
            Value::Array(array) => {
                let shape = array.shape()[1..].to_vec();
                let row = Array::new(shape, array.into_data());
                row.expect("one lane is one row").into()
            }
            Value::Tuple(values) => {
                let rows = values.into_iter().map(|v| self.only_row(v));
                Value::Tuple(rows.collect())
            }
            Value::Dict(values) => {
                let rows = values.into_iter().map(|(k, v)| (k, self.only_row(v)));
                Value::Dict(rows.collect())
            }
        }
    }

    fn only_step(&self, batch: StepBatch, seq: u64) -> StepReply {
        StepReply {
            observation: self.only_row(batch.observations),
            reward: batch.rewards[0],
            terminated: batch.terminations[0],
            truncated: batch.truncations[0],
            info: Info::new(),
            seq,
        }
    }

    fn autoreset_mode(&self) -> Option<AutoresetMode> {
        match &self.creation {
            Creation::Single(_) => None,
            Creation::Vector(body) => Some(body.autoreset_mode),
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, Problem> {
        self.state.lock().map_err(|_| {
            let detail = "an earlier operation failed in the middle; close this environment";
            Problem::new(ErrorCode::Internal, detail)
        })
    }
}

impl State {
    /// Answers a request whose `seq` is not the next one.
    fn replay(&self, seq: u64, operation: &Operation) -> Result<Answer, Problem> {
        match &self.last {
            Some((last, reply)) if seq.checked_add(1) == Some(self.seq) => {
                if last == operation {
                    return Ok(Answer {
                        reply: Arc::clone(reply),
                        is_replay: true,
                    });
                }
                let detail = format!("seq {seq} has been used for another operation or body");
                Err(Problem::new(ErrorCode::SeqReused, detail).at("/seq"))
            }
            _ => {
                let detail = format!("seq is {seq}, but {} comes next", self.seq);
                let mut problem = Problem::new(ErrorCode::SeqConflict, detail).at("/seq");
                problem.expected_seq = Some(self.seq);
                Err(problem)
            }
        }
    }
}

fn vector_step(batch: StepBatch, seq: u64) -> VectorStepReply {
    VectorStepReply {
        observations: batch.observations,
        rewards: Array::vector(batch.rewards),
        terminations: Array::mask(batch.terminations),
        truncations: Array::mask(batch.truncations),
        infos: batch.infos,
        seq,
    }
}

/// There is no such spec.
pub(crate) fn unknown_spec(spec_id: &str) -> Problem {
    let known: Vec<_> = registry::specs().iter().map(|s| s.id.as_str()).collect();
    let detail = format!("there is no {spec_id:?}; there are {}", known.join(", "));
    Problem::new(ErrorCode::UnknownSpec, detail)
}
