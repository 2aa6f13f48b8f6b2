//! Operations: what request bodies ask of a session, and what refusals say to clients.

use std::sync::Arc;

use env_protocol::{
    Array, Data, ErrorCode, Problem, ResetReply, ResetRequest, RestoreReply, SNAPSHOT_FORMAT,
    SNAPSHOT_VERSION, Seed, Snapshot, StepReply, VectorResetReply, VectorResetRequest,
    VectorStepReply,
};
use serde::Serialize;

use super::vector::{Refusal, Reset};
use super::{Kind, Session};
use crate::environments::{Arguments, KwargsError};

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

/// A reply and whether it had been given before.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The body.
    pub reply: Arc<Reply>,
    /// Whether this is the stored reply to an operation applied before.
    pub is_replay: bool,
}

impl Session {
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
        let mut shape = self.action_space.shape().unwrap_or_default();
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

    /// Checks that a snapshot is one of this very environment.
    pub(super) fn check_snapshot(&self, snapshot: &Snapshot) -> Result<(), Problem> {
        let same = |field: &str, found: String, expected: String| {
            if found == expected {
                return Ok(());
            }
            let detail = format!("{field} is {found}, but {expected} is needed");
            let pointer = format!("/snapshot/{field}");
            Err(Problem::new(ErrorCode::InvalidSnapshot, detail).at(pointer))
        };
        let kwargs = self.arguments.to_kwargs();
        // Parameters added since the snapshot was made had their defaults then.
        let found = Arguments::resolve(&self.spec.parameters, &snapshot.kwargs)
            .map_or_else(|_| snapshot.kwargs.clone(), |found| found.to_kwargs());
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
        same("kwargs", format!("{found:?}"), format!("{kwargs:?}"))?;
        let found = format!("{:?}", snapshot.autoreset_mode);
        same("autoreset_mode", found, format!("{mode:?}"))
    }

    fn action_field(&self) -> &'static str {
        match self.creation.kind() {
            Kind::Single => "/action",
            Kind::Vector => "/actions",
        }
    }

    /// A refusal by the environments, in terms of the request.
    pub(super) fn problem(&self, refusal: Refusal) -> Problem {
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
                if self.action_space.shape() != Some(Vec::new()) {
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

/// Checks that there is a seed for each lane.
pub(super) fn check_seed(seed: &Seed, num_envs: usize) -> Result<(), Problem> {
    match seed {
        Seed::Each(seeds) if seeds.len() != num_envs => {
            let detail = format!("{} seeds for {num_envs} lanes", seeds.len());
            Err(Problem::new(ErrorCode::InvalidSeed, detail).at("/seed"))
        }
        _ => Ok(()),
    }
}

/// A name as a token of a JSON pointer (RFC 6901).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
