//! Conversion of request bodies into operations, and back.

use env_protocol::{
    Array, ArrayError, Data, Dtype, ErrorCode, ForkRequest, OperationKind, Problem, ResetRequest,
    RestoreRequest, Seed, Space, StepRequest, VectorResetRequest, VectorStepRequest,
};
use environments::actions::to_array;
use environments::vector::Reset;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::blueprint::Blueprint;
use super::creation::{Kind, check_seed};
use super::operation::Operation;

/// The body of a request for an operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum RequestBody {
    Reset(ResetRequest),
    VectorReset(VectorResetRequest),
    Step(StepRequest),
    VectorStep(VectorStepRequest),
    Restore(Box<RestoreRequest>),
    Fork(ForkRequest),
}

impl Blueprint {
    /// Returns the operation of a reset of a single environment.
    pub fn reset_operation(request: ResetRequest) -> Operation {
        Operation::Reset(Reset {
            mask: None,
            seed: request.seed.map(Seed::First),
            kwargs: request.options,
        })
    }

    /// Returns the request for an operation, without its `seq`.
    pub(super) fn request_of(&self, operation: Operation) -> RequestBody {
        match (operation, self.creation.kind()) {
            (Operation::Reset(reset), Kind::Single) => RequestBody::Reset(ResetRequest {
                seq: None,
                seed: reset.seed.and_then(|seed| seed.lane(0)),
                options: reset.kwargs,
            }),
            (Operation::Reset(reset), Kind::Vector) => {
                RequestBody::VectorReset(VectorResetRequest {
                    seq: None,
                    seed: reset.seed,
                    options: env_protocol::VectorResetOptions {
                        reset_mask: reset.mask,
                        kwargs: reset.kwargs,
                    },
                })
            }
            (Operation::Step(actions), kind) => {
                let actions = self.action_array(&actions);
                let actions = actions.expect("actions fill their shape");
                match kind {
                    Kind::Single => RequestBody::Step(StepRequest {
                        seq: None,
                        action: actions,
                    }),
                    Kind::Vector => {
                        RequestBody::VectorStep(VectorStepRequest { seq: None, actions })
                    }
                }
            }
            (Operation::Restore(snapshot), _) => RequestBody::Restore(Box::new(RestoreRequest {
                seq: None,
                snapshot: *snapshot,
            })),
            (
                Operation::Fork {
                    mut request,
                    env_id,
                },
                _,
            ) => {
                request.env_id = Some(env_id);
                RequestBody::Fork(request)
            }
        }
    }

    /// Returns the operation of a request in a trajectory.
    ///
    /// # Errors
    /// `invalid-body`, and those of the request itself.
    pub(super) fn operation_of(
        &self,
        kind: OperationKind,
        body: serde_json::Value,
    ) -> Result<Operation, Problem> {
        fn read<T: DeserializeOwned>(body: serde_json::Value) -> Result<T, Problem> {
            serde_json::from_value(body)
                .map_err(|e| Problem::new(ErrorCode::InvalidBody, e.to_string()).at("/body"))
        }
        match (kind, self.creation.kind()) {
            (OperationKind::Reset, Kind::Single) => Ok(Blueprint::reset_operation(read(body)?)),
            (OperationKind::Reset, Kind::Vector) => self.vector_reset_operation(read(body)?),
            (OperationKind::Step, Kind::Single) => {
                self.step_operation(read::<StepRequest>(body)?.action)
            }
            (OperationKind::Step, Kind::Vector) => {
                self.step_operation(read::<VectorStepRequest>(body)?.actions)
            }
            (OperationKind::Restore, _) => {
                let snapshot = read::<RestoreRequest>(body)?.snapshot;
                Ok(Operation::Restore(Box::new(snapshot)))
            }
            (OperationKind::Fork, _) => {
                let request: ForkRequest = read(body)?;
                let env_id = request.env_id.clone().unwrap_or_default();
                Ok(Operation::Fork { request, env_id })
            }
        }
    }

    /// Returns the operation of a reset of a vector environment.
    ///
    /// # Errors
    /// `invalid-seed` or `invalid-options`, when there is not exactly one entry per lane.
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
                return refuse("reset_mask selects no lane".to_owned());
            }
        }
        Ok(Operation::Reset(Reset {
            mask,
            seed: request.seed,
            kwargs: request.options.kwargs,
        }))
    }

    /// Returns the operation of a step.
    ///
    /// # Errors
    /// `invalid-action`, when the actions do not have the shape of the action space, or are not
    /// numbers of its kind.
    pub fn step_operation(&self, actions: Array) -> Result<Operation, Problem> {
        let shape = self.action_shape();
        let field = self.action_field();
        let refuse = |detail: String, pointer: String| {
            Err(Problem::new(ErrorCode::InvalidAction, detail).at(pointer))
        };
        if actions.shape() != shape {
            let found = actions.shape();
            let detail = format!("the shape is {found:?}, but {shape:?} is needed");
            return refuse(detail, field.to_owned());
        }
        if self.has_real_actions() {
            return match actions.dtype() {
                Dtype::Bool => refuse("actions must be numbers".to_owned(), field.to_owned()),
                _ => Ok(Operation::Step(self.as_float32(actions.to_f64s()))),
            };
        }
        let fraction = match actions.data() {
            Data::Int64(_) | Data::Uint8(_) => return Ok(Operation::Step(actions.to_f64s())),
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

    /// Whether actions are real numbers, which are float32 in every environment.
    fn has_real_actions(&self) -> bool {
        matches!(self.spaces.action, Space::Box { .. })
    }

    /// Rounds numbers to float32. Those that are then out of bounds stay as they are, so that the
    /// refusal shows what was sent.
    fn as_float32(&self, mut actions: Vec<f64>) -> Vec<f64> {
        let Space::Box { low, high, .. } = &self.spaces.action else {
            return actions;
        };
        let width = self.spaces.action.flat_size();
        for (i, action) in actions.iter_mut().enumerate() {
            let rounded = f64::from(*action as f32);
            if (low.at(i % width)..=high.at(i % width)).contains(&rounded) {
                *action = rounded;
            }
        }
        actions
    }

    /// Returns the actions of one step as the action space has them.
    ///
    /// # Errors
    /// When they do not fill the shape.
    pub(super) fn action_array(&self, actions: &[f64]) -> Result<Array, ArrayError> {
        to_array(&self.spaces.action, self.action_shape(), actions)
    }
}
