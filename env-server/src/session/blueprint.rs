//! The fixed part of a session: a spec, arguments and seeds, and the meaning of operations on
//! environments made of them.
//!
//! A session, the replay of its past and the check of a recorded trajectory share it; each has its
//! own environments.

use env_protocol::{
    AutoresetMode, CreateVectorEnv, Encoding, ErrorCode, ForkReply, Problem, ResetReply,
    RestoreReply, SNAPSHOT_FORMAT, SNAPSHOT_VERSION, Seed, Snapshot, Space, VectorResetReply,
};
use environments::pieces::Pieces;
use environments::vector::{Head, Refusal, Reset, Saved};
use environments::{Arguments, KwargsError};

use super::catalogue::{AnySpec, Catalogue, Maker, escape};
use super::creation::{Creation, Kind, check_seed, make_lanes, resolve};
use super::history::Chunk;
use super::lanes::Lanes;
use super::operation::{Operation, Reply};
use super::replies::{only_info, only_row, only_step, vector_step};
use hosts::{Digest, Fault};

/// Estimated bytes of a session without its environments, history and last reply: the struct, its
/// names and its spaces.
pub(super) const FIXED_BYTES: usize = 2_048;

/// The parts from which environments are made. They never change.
pub struct Blueprint {
    pub(super) creation: Creation,
    pub(super) spec: AnySpec,
    maker: Maker,
    pub(super) spaces: Spaces,
    pub(super) arguments: Arguments,
    pub(super) seed: Seed,
}

/// The spaces of one lane with its arguments; those of the spec are for the defaults.
pub(super) struct Spaces {
    pub(super) observation: Space,
    pub(super) action: Space,
}

impl Blueprint {
    /// Resolves a creation, and makes its environments.
    ///
    /// # Errors
    /// `unknown-spec`, `invalid-kwargs`, `invalid-num-envs` or `host-failed`.
    pub(super) fn new(
        catalogue: &Catalogue,
        creation: Creation,
        seed: Seed,
    ) -> Result<(Self, Lanes), Problem> {
        let (spec, maker, arguments) = resolve(catalogue, &creation)?;
        let vector = make_lanes(&maker, &arguments, &creation, &seed)?;
        let spaces = Spaces {
            observation: vector.observation_space().clone(),
            action: vector.action_space().clone(),
        };
        let blueprint = Blueprint {
            creation,
            spec,
            maker,
            spaces,
            arguments,
            seed,
        };
        Ok((blueprint, vector))
    }

    /// Makes further environments, in their state at creation.
    ///
    /// # Errors
    /// As [`Blueprint::new`].
    pub(super) fn environments(&self) -> Result<Lanes, Problem> {
        make_lanes(&self.maker, &self.arguments, &self.creation, &self.seed)
    }

    /// Returns the bytes that environments will take once they are played, estimated from one of
    /// them; 0 for a few, which are counted as they are.
    ///
    /// # Errors
    /// `unknown-spec` or `invalid-kwargs`.
    pub(super) fn expected_bytes(
        catalogue: &Catalogue,
        creation: &Creation,
    ) -> Result<usize, Problem> {
        const FEW: u64 = 16;
        let num_envs = creation.num_envs();
        if num_envs <= FEW {
            return Ok(0);
        }
        let (_, maker, arguments) = resolve(catalogue, creation)?;
        if maker.is_hosted() {
            // They take the memory of other processes.
            return Ok(0);
        }
        let one = match creation {
            Creation::Single(_) => creation.clone(),
            Creation::Vector(body) => Creation::Vector(CreateVectorEnv {
                num_envs: 1,
                seed: None,
                ..body.clone()
            }),
        };
        let mut one = make_lanes(&maker, &arguments, &one, &Seed::First(0))?;
        // A reset allocates the state; whether it is refused does not matter here.
        let _ = one.reset(&Reset::default());
        let reply = 4 * one.numbers() + 10;
        let bytes = (one.bytes() + reply).saturating_mul(num_envs as usize);
        Ok(bytes.saturating_add(FIXED_BYTES))
    }

    /// Returns how many actions an operation applies: a lane that only starts a new episode applies
    /// none.
    pub(super) fn num_steps(&self, vector: &Lanes, operation: &Operation) -> u64 {
        match (operation, self.creation.autoreset_mode()) {
            (Operation::Step(_), Some(AutoresetMode::NextStep)) => vector.num_running() as u64,
            (Operation::Step(_), _) => self.creation.num_envs(),
            _ => 0,
        }
    }

    /// Checks that an operation can be applied.
    ///
    /// # Errors
    /// `needs-reset`, `invalid-action`, `invalid-options` or `invalid-snapshot`.
    pub(super) fn check(&self, vector: &Lanes, operation: &Operation) -> Result<(), Problem> {
        match operation {
            Operation::Step(actions) => vector.check_step(actions),
            Operation::Reset(reset) => vector.check_reset(reset),
            Operation::Restore(snapshot) => {
                let vector = vector.native("snapshots")?;
                self.check_snapshot(snapshot)?;
                vector.check_restore(&snapshot.observations, &snapshot.lanes)
            }
            Operation::Fork { .. } => Ok(()),
        }
        .map_err(|refusal| self.problem(refusal))
    }

    /// Reads an operation of a history, and checks it.
    ///
    /// # Errors
    /// Describes why it cannot be applied.
    pub(super) fn recorded(&self, vector: &Lanes, bytes: &[u8]) -> Result<Operation, String> {
        let operation = Operation::decode(bytes)?;
        let fits = self.check_lengths(&operation);
        fits.and_then(|()| self.check(vector, &operation))
            .map_err(|problem| problem.to_string())?;
        Ok(operation)
    }

    /// Returns the whole state as a body.
    ///
    /// # Errors
    /// `internal`, when it cannot be written.
    pub(super) fn written_snapshot(
        &self,
        vector: &Lanes,
        encoding: Encoding,
    ) -> Result<Pieces, Problem> {
        let head = Head {
            spec_id: &self.spec.id,
            kwargs: &self.arguments.to_kwargs(),
            autoreset_mode: self.creation.autoreset_mode(),
        };
        let mut body = Pieces::default();
        vector.write_snapshot(&head, encoding, &mut body)?;
        Ok(body)
    }

    /// Returns the document of a saved state.
    pub(super) fn snapshot_of(&self, saved: Saved) -> Snapshot {
        Snapshot {
            format: SNAPSHOT_FORMAT.to_owned(),
            version: SNAPSHOT_VERSION,
            spec_id: self.spec.id.clone(),
            kwargs: self.arguments.to_kwargs(),
            autoreset_mode: self.creation.autoreset_mode(),
            observations: saved.observations,
            lanes: saved.lanes,
        }
    }

    /// Applies an operation that [`Self::check`] has accepted; `seq` is the number after it.
    ///
    /// # Errors
    /// When a host fails, after which the lanes are of no use.
    pub(super) fn perform(
        &self,
        vector: &mut Lanes,
        operation: Operation,
        seq: u64,
    ) -> Result<Reply, Fault> {
        let is_single = self.creation.kind() == Kind::Single;
        Ok(match operation {
            Operation::Reset(reset) => {
                let (observations, infos) = vector.reset(&reset)?;
                match is_single {
                    true => Reply::Reset(ResetReply {
                        observation: only_row(observations),
                        info: only_info(infos),
                        seq,
                    }),
                    false => Reply::VectorReset(VectorResetReply {
                        observations,
                        infos,
                        seq,
                    }),
                }
            }
            Operation::Step(actions) => {
                let batch = vector.step(&actions)?;
                match is_single {
                    true => Reply::Step(only_step(batch, seq)),
                    false => Reply::VectorStep(vector_step(batch, seq)),
                }
            }
            Operation::Restore(snapshot) => {
                let Snapshot {
                    observations,
                    lanes,
                    ..
                } = *snapshot;
                vector.restore(&Saved {
                    observations,
                    lanes,
                });
                Reply::Restore(RestoreReply { seq })
            }
            Operation::Fork { env_id, .. } => Reply::Fork(ForkReply { env_id, seq }),
        })
    }

    /// Applies an operation of a chunk again, number `seq`, and compares its answer with the first
    /// one where there is a digest of that.
    ///
    /// # Errors
    /// Describes why it cannot be applied, or that it is not reproducible.
    pub(super) fn perform_again(
        &self,
        vector: &mut Lanes,
        chunk: &Chunk,
        seq: u64,
        bytes: &[u8],
    ) -> Result<(Operation, Reply), String> {
        let operation = self
            .recorded(vector, bytes)
            .map_err(|detail| format!("operation {seq}: {detail}"))?;
        let reply = self
            .perform(vector, operation.clone(), seq + 1)
            .map_err(|fault| fault.to_string())?;
        match (chunk.digest(seq), vector.digest(&operation)) {
            (Some(first), Some(Digest(now))) if first != now => Err(format!(
                "not-reproducible: the answer to operation {seq} differs from the first one"
            )),
            _ => Ok((operation, reply)),
        }
    }

    /// Whether a host plays its environments.
    pub(super) fn is_hosted(&self) -> bool {
        self.maker.is_hosted()
    }

    /// Returns the bytes of the lanes' seeds; 0 if they all follow from a single one.
    pub(super) fn seed_bytes(&self) -> usize {
        let bytes = |seed: &Seed| match seed {
            Seed::First(_) => 0,
            Seed::Each(seeds) => seeds.capacity() * size_of::<u64>(),
        };
        let asked = match &self.creation {
            Creation::Single(_) => None,
            Creation::Vector(body) => body.seed.as_ref(),
        };
        bytes(&self.seed) + asked.map_or(0, bytes)
    }

    /// Checks that an operation from a file has an entry for each lane. Requests were checked when
    /// they were read.
    pub(super) fn check_lengths(&self, operation: &Operation) -> Result<(), Problem> {
        let num_envs = self.creation.num_envs() as usize;
        let refuse = |code, len| {
            let detail = format!("{len} entries do not fit {num_envs} lanes");
            Err(Problem::new(code, detail))
        };
        match operation {
            Operation::Step(actions) => match actions.len() {
                len if len == self.action_shape().iter().product::<usize>() => Ok(()),
                _ => refuse(ErrorCode::InvalidAction, actions.len()),
            },
            Operation::Reset(Reset { mask, seed, .. }) => match (mask, seed) {
                (Some(mask), _) if mask.len() != num_envs => {
                    refuse(ErrorCode::InvalidOptions, mask.len())
                }
                (_, Some(seed)) => check_seed(seed, num_envs),
                _ => Ok(()),
            },
            Operation::Restore(_) | Operation::Fork { .. } => Ok(()),
        }
    }

    /// Returns the shape of the actions of one step.
    pub(super) fn action_shape(&self) -> Vec<usize> {
        let mut shape = self.spaces.action.shape().unwrap_or_default();
        if self.creation.kind() == Kind::Vector {
            shape.insert(0, self.creation.num_envs() as usize);
        }
        shape
    }

    /// Checks that a snapshot is of an environment with the same spec and arguments.
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
        // Parameters added since the snapshot was taken had their defaults at that time.
        let found = Arguments::resolve(&self.spec.parameters, &snapshot.kwargs)
            .map_or_else(|_| snapshot.kwargs.clone(), |found| found.to_kwargs());
        let mode = self.creation.autoreset_mode();
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
        same("kwargs", format!("{found:?}"), format!("{kwargs:?}"))?;
        let found = format!("{:?}", snapshot.autoreset_mode);
        same("autoreset_mode", found, format!("{mode:?}"))
    }

    /// Returns the JSON pointer to the actions of a request.
    pub(super) fn action_field(&self) -> &'static str {
        match self.creation.kind() {
            Kind::Single => "/action",
            Kind::Vector => "/actions",
        }
    }

    /// Converts a refusal by the environments into a problem of the request.
    pub(super) fn problem(&self, refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NeedsReset { .. } => match self.creation.kind() {
                // Clients of a single environment do not know of lanes.
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
                if self.spaces.action.shape() != Some(Vec::new()) {
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
}
