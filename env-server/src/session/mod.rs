//! What stands behind an id: environments, the number of the next operation, the last reply.

pub mod store;
pub mod vector;

use std::sync::{Arc, Mutex, MutexGuard};

use env_protocol::{
    Array, AutoresetMode, CreateEnv, CreateVectorEnv, Data, EnvDescription, ErrorCode, Info,
    Problem, ResetReply, ResetRequest, RestoreReply, SNAPSHOT_FORMAT, SNAPSHOT_VERSION, Seed,
    Snapshot, Spec, StepReply, Value, VectorEnvDescription, VectorResetReply, VectorResetRequest,
    VectorStepReply,
};
use serde::Serialize;

use crate::environments::{Arguments, KwargsError, registry};
use vector::{Refusal, Reset, Saved, StepBatch, VectorEnvironment};

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

/// A change to an environment, in one form whatever the encoding it came in: two requests are the
/// same when their operations are equal.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Begin episodes.
    Reset(Reset),
    /// Take actions, flat.
    Step(Vec<i64>),
    /// Put a state back.
    Restore(Box<Snapshot>),
}

/// The body that answers an operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one variant a body")]
pub enum Reply {
    Reset(ResetReply),
    VectorReset(VectorResetReply),
    Step(StepReply),
    VectorStep(VectorStepReply),
    Restore(RestoreReply),
}

/// A description, of either kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one variant a body")]
pub enum Description {
    Single(EnvDescription),
    Vector(VectorEnvDescription),
}

/// A reply and whether it had been given before.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The body.
    pub reply: Arc<Reply>,
    /// Whether this is the stored reply to an operation applied before.
    pub is_replay: bool,
}

/// One environment or vector of them behind an id.
pub struct Session {
    id: String,
    creation: Creation,
    spec: &'static Spec,
    arguments: Arguments,
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
        let (entry, spec) = registry::find(spec_id).ok_or_else(|| unknown_spec(spec_id))?;
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
        let observation_space = self.spec.observation_space.clone();
        let action_space = self.spec.action_space.clone();
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

    /// The operation that a reset body asks of a single environment.
    pub fn reset_operation(request: ResetRequest) -> Operation {
        Operation::Reset(Reset {
            mask: None,
            seed: request.seed.map(Seed::First),
            kwargs: request.options,
        })
    }

    /// The operation that a reset body asks of a vector environment.
    ///
    /// # Errors
    /// `invalid-seed` or `invalid-options`, when there is not one entry for each lane.
    pub fn vector_reset_operation(
        &self,
        request: VectorResetRequest,
    ) -> Result<Operation, Problem> {
        let num_envs = self.creation.num_envs() as usize;
        if let Some(seed) = &request.seed {
            check_seed(seed, num_envs)?;
        }
        let mask = request.options.reset_mask;
        if let Some(mask) = &mask {
            let refuse = |detail: String| {
                Err(Problem::new(ErrorCode::InvalidOptions, detail).at("/options/reset_mask"))
            };
            if mask.len() != num_envs {
                let len = mask.len();
                return refuse(format!("{len} entries for {num_envs} lanes"));
            }
            if !mask.contains(&true) {
                return refuse("no lane is to be reset".to_owned());
            }
        }
        Ok(Operation::Reset(Reset {
            mask,
            seed: request.seed,
            kwargs: request.options.kwargs,
        }))
    }

    /// The operation that an array of actions asks for.
    ///
    /// # Errors
    /// `invalid-action`, when it has another shape than the action space asks for, or is not of
    /// integers.
    pub fn step_operation(&self, actions: Array) -> Result<Operation, Problem> {
        let mut shape = self.spec.action_space.shape().unwrap_or_default();
        if self.creation.kind() == Kind::Vector {
            shape.insert(0, self.creation.num_envs() as usize);
        }
        let field = self.action_field();
        let refuse = |detail: String, pointer: String| {
            Err(Problem::new(ErrorCode::InvalidAction, detail).at(pointer))
        };
        if actions.shape() != shape {
            let found = actions.shape();
            let detail = format!("the shape is {found:?}, but {shape:?} is needed");
            return refuse(detail, field.to_owned());
        }
        let fraction = match actions.into_data() {
            Data::Int64(actions) => return Ok(Operation::Step(actions)),
            Data::Uint8(actions) => {
                let widened = actions.into_iter().map(i64::from).collect();
                return Ok(Operation::Step(widened));
            }
            Data::Bool(_) => None,
            Data::Float32(x) => x.iter().position(|x| x.fract() != 0.0),
            Data::Float64(x) => x.iter().position(|x| x.fract() != 0.0),
        };
        let pointer = match fraction {
            Some(i) if shape.len() == 1 => format!("{field}/{i}"),
            _ => field.to_owned(),
        };
        refuse("actions must be integers".to_owned(), pointer)
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
                        observations: observations.into(),
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
    fn only_row(&self, observations: Array) -> Value {
        let shape = self.spec.observation_space.shape().unwrap_or_default();
        let row = Array::new(shape, observations.into_data());
        row.expect("one lane is one row").into()
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

    /// Checks that a snapshot is one of this very environment.
    fn check_snapshot(&self, snapshot: &Snapshot) -> Result<(), Problem> {
        let same = |field: &str, found: String, expected: String| {
            if found == expected {
                return Ok(());
            }
            let detail = format!("{field} is {found}, but {expected} is needed");
            let pointer = format!("/snapshot/{field}");
            Err(Problem::new(ErrorCode::InvalidSnapshot, detail).at(pointer))
        };
        let kwargs = self.arguments.to_kwargs();
        let mode = self.autoreset_mode();
        same(
            "format",
            snapshot.format.clone(),
            SNAPSHOT_FORMAT.to_owned(),
        )?;
        same(
            "version",
            snapshot.version.to_string(),
            SNAPSHOT_VERSION.to_string(),
        )?;
        same("spec_id", snapshot.spec_id.clone(), self.spec.id.clone())?;
        same(
            "kwargs",
            format!("{:?}", snapshot.kwargs),
            format!("{kwargs:?}"),
        )?;
        let found = format!("{:?}", snapshot.autoreset_mode);
        same("autoreset_mode", found, format!("{mode:?}"))
    }

    fn autoreset_mode(&self) -> Option<AutoresetMode> {
        match &self.creation {
            Creation::Single(_) => None,
            Creation::Vector(body) => Some(body.autoreset_mode),
        }
    }

    fn action_field(&self) -> &'static str {
        match self.creation.kind() {
            Kind::Single => "/action",
            Kind::Vector => "/actions",
        }
    }

    /// A refusal by the environments, in terms of the request.
    fn problem(&self, refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NeedsReset { .. } => match self.creation.kind() {
                // A single environment is its only lane.
                Kind::Single => {
                    let detail = detail.trim_start_matches("lane 0: ");
                    Problem::new(ErrorCode::NeedsReset, detail)
                }
                Kind::Vector => Problem::new(ErrorCode::NeedsReset, detail),
            },
            Refusal::Action { lane, position, .. } => {
                let mut pointer = self.action_field().to_owned();
                if self.creation.kind() == Kind::Vector {
                    pointer.push_str(&format!("/{lane}"));
                }
                if self.spec.action_space.shape() != Some(Vec::new()) {
                    pointer.push_str(&format!("/{position}"));
                }
                Problem::new(ErrorCode::InvalidAction, detail).at(pointer)
            }
            Refusal::Options(KwargsError { name, .. }) => {
                let pointer = format!("/options/{}", escape(&name));
                Problem::new(ErrorCode::InvalidOptions, detail).at(pointer)
            }
            Refusal::Snapshot { pointer, .. } => {
                let pointer = format!("/snapshot{pointer}");
                Problem::new(ErrorCode::InvalidSnapshot, detail).at(pointer)
            }
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
        observations: batch.observations.into(),
        rewards: Array::vector(batch.rewards),
        terminations: Array::mask(batch.terminations),
        truncations: Array::mask(batch.truncations),
        infos: batch.infos,
        seq,
    }
}

fn check_seed(seed: &Seed, num_envs: usize) -> Result<(), Problem> {
    match seed {
        Seed::Each(seeds) if seeds.len() != num_envs => {
            let detail = format!("{} seeds for {num_envs} lanes", seeds.len());
            Err(Problem::new(ErrorCode::InvalidSeed, detail).at("/seed"))
        }
        _ => Ok(()),
    }
}

/// There is no such spec.
pub(crate) fn unknown_spec(spec_id: &str) -> Problem {
    let known: Vec<_> = registry::specs().iter().map(|s| s.id.as_str()).collect();
    let detail = format!("there is no {spec_id:?}; there are {}", known.join(", "));
    Problem::new(ErrorCode::UnknownSpec, detail)
}

/// A name as a token of a JSON pointer (RFC 6901).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
