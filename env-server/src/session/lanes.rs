//! Lanes of a session, whoever plays them.

use env_protocol::{Encoding, ErrorCode, Info, Problem, Space, Value};
use environments::pieces::Pieces;
use environments::vector::{Head, Refusal, Reset, Saved, StepBatch, VectorEnvironment};
use hosts::{Digest, Fault, HostedVector};

use super::operation::Operation;

/// Lanes of one environment.
///
/// Those of hosts can fail in any call. They are of no use then, and are made again from the
/// history.
pub(super) enum Lanes {
    /// Played in this process.
    Native(Box<dyn VectorEnvironment>),
    /// Played by processes of a host.
    Hosted(HostedVector),
}

impl Lanes {
    /// Returns lanes played in this process, which alone can do what `what` names.
    ///
    /// # Errors
    /// `not-supported`.
    pub(super) fn native(&self, what: &str) -> Result<&dyn VectorEnvironment, Problem> {
        match self {
            Lanes::Native(vector) => Ok(vector.as_ref()),
            Lanes::Hosted(_) => {
                let detail = format!("environments of hosts have no {what}");
                Err(Problem::new(ErrorCode::NotSupported, detail))
            }
        }
    }

    pub(super) fn num_running(&self) -> usize {
        match self {
            Lanes::Native(vector) => vector.num_running(),
            Lanes::Hosted(vector) => vector.num_running(),
        }
    }

    pub(super) fn observation_space(&self) -> &Space {
        match self {
            Lanes::Native(vector) => vector.observation_space(),
            Lanes::Hosted(vector) => vector.observation_space(),
        }
    }

    pub(super) fn action_space(&self) -> &Space {
        match self {
            Lanes::Native(vector) => vector.action_space(),
            Lanes::Hosted(vector) => vector.action_space(),
        }
    }

    pub(super) fn check_reset(&self, reset: &Reset) -> Result<(), Refusal> {
        match self {
            Lanes::Native(vector) => vector.check_reset(reset),
            Lanes::Hosted(vector) => vector.check_reset(reset),
        }
    }

    pub(super) fn check_step(&self, actions: &[f64]) -> Result<(), Refusal> {
        match self {
            Lanes::Native(vector) => vector.check_step(actions),
            Lanes::Hosted(vector) => vector.check_step(actions),
        }
    }

    /// Resets lanes; [`Self::check_reset`] must have accepted it.
    pub(super) fn reset(&mut self, reset: &Reset) -> Result<(Value, Info), Fault> {
        match self {
            Lanes::Native(vector) => Ok((vector.reset(reset).expect("checked"), Info::new())),
            Lanes::Hosted(vector) => vector.reset(reset),
        }
    }

    /// Takes actions; [`Self::check_step`] must have accepted them.
    pub(super) fn step(&mut self, actions: &[f64]) -> Result<StepBatch, Fault> {
        match self {
            Lanes::Native(vector) => Ok(vector.step_checked(actions)),
            Lanes::Hosted(vector) => vector.step(actions),
        }
    }

    /// Restores a saved state; the native lanes must have accepted it.
    pub(super) fn restore(&mut self, saved: &Saved) {
        match self {
            Lanes::Native(vector) => {
                let restored = vector.restore(&saved.observations, &saved.lanes);
                restored.expect("checked");
            }
            Lanes::Hosted(_) => unreachable!("the check refuses it"),
        }
    }

    pub(super) fn numbers(&self) -> usize {
        match self {
            Lanes::Native(vector) => vector.numbers(),
            Lanes::Hosted(vector) => vector.numbers(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Lanes::Native(vector) => vector.bytes(),
            Lanes::Hosted(vector) => vector.bytes(),
        }
    }

    pub(super) fn is_hosted(&self) -> bool {
        matches!(self, Lanes::Hosted(_))
    }

    /// Whether they continue after the end of whatever plays them.
    pub(super) fn are_durable(&self) -> bool {
        match self {
            Lanes::Native(_) => true,
            Lanes::Hosted(vector) => vector.is_durable(),
        }
    }

    /// Returns the whole state in the form that histories hold; `None` where there is none.
    pub(super) fn base(&self) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Lanes::Native(vector) => Ok(Some(vector.base())),
            Lanes::Hosted(vector) => vector.base(),
        }
    }

    pub(super) fn restore_base(&mut self, base: &[u8]) -> Result<(), String> {
        match self {
            Lanes::Native(vector) => vector.restore_base(base),
            Lanes::Hosted(vector) => vector.restore_base(base),
        }
    }

    /// Returns the digest of the answer to an operation just applied, if answers are compared when
    /// it is applied again.
    pub(super) fn digest(&self, operation: &Operation) -> Option<Digest> {
        match (self, operation) {
            (Lanes::Hosted(vector), Operation::Reset(_) | Operation::Step(_)) => {
                Some(vector.digest())
            }
            _ => None,
        }
    }

    pub(super) fn write_snapshot(
        &self,
        head: &Head<'_>,
        encoding: Encoding,
        out: &mut Pieces,
    ) -> Result<(), Problem> {
        let written = self
            .native("snapshots")?
            .write_snapshot(head, encoding, out);
        written.map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))
    }
}
