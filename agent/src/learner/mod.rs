//! Learners: they turn experience into weights.
//!
//! [`crate::run::train`] asks a [`Learner`] how to play the next rollout, collects it, and hands it over. Whether the
//! learner uses it at once (PPO), keeps it for later (replay), fills tables or ignores who played it (offline) is its
//! own business; the loop is the same.

pub mod advantage;
pub mod auxiliary;
pub mod episodic;
pub mod exploration;
pub mod none;
pub mod ppo;
pub mod q_learning;
pub mod sequence;
pub mod settings;
pub mod stopping;

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::experience::{Behaviour, Rollout};
use crate::hyper::Hyperparameters;
use crate::nn::{Adam, AdamState, NamedArray, NnError, ParamId};
use crate::policy::Policy;
use crate::policy::inputs::InputEncoder;

/// How experience becomes weights.
///
/// All that a learner remembers is in its [`LearnerState`] and in the policy's parameters, so that a resumed run ends bit
/// for bit like an uninterrupted one.
pub trait Learner: Send {
    /// Returns how to play the next rollout. `progress` is the share of the run that is over, 0 to 1.
    fn behaviour(&self, _progress: f64) -> Behaviour {
        Behaviour::Policy
    }

    /// Returns the discount γ of future rewards, by which rewards are normalised.
    fn discount(&self) -> f32;

    /// Receives a rollout and improves the policy. Returns measurements of the update, or `None` if the policy was not
    /// updated.
    ///
    /// # Errors
    /// A loss or gradient that is not a number. The policy's parameters and the learner's are then as before the call;
    /// experience that the learner has stored may stay.
    fn learn(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged>;

    /// Returns a copy of all that it remembers.
    fn export(&self) -> LearnerState;

    /// Continues from a saved state.
    ///
    /// # Errors
    /// A state of another learner, or of other parameters.
    fn import(&mut self, state: &LearnerState) -> Result<(), StateError>;
}

/// The things that a learner is built from.
pub struct LearnerContext<'a> {
    /// The policy that it will improve. Parameters that a learner adds are trained and stored with the policy's; acting
    /// does not read them.
    pub policy: &'a mut Policy,
    /// Layout of input rows and actions.
    pub encoder: &'a InputEncoder,
    /// All hyper-parameters; a learner reads those of its parts.
    pub hyper: &'a Hyperparameters,
    /// Source of initial weights.
    pub rng: &'a mut Xoshiro256PlusPlus,
}

/// A rollout to learn from.
pub struct Experience<'a> {
    /// The steps that were played.
    pub rollout: &'a Rollout,
    /// `[T*B]`: the task's rewards, or shaped ones (see [`exploration`]).
    pub rewards: &'a [f32],
    /// Share of the run that is over, 0 to 1.
    pub progress: f64,
}

/// All that a learner remembers, for a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearnerState {
    /// State of the optimiser of the policy's parameters.
    pub adam: AdamState,
    /// Further matrices, such as the weights of a target network. No name is `rest`.
    pub arrays: Vec<NamedArray>,
    /// The rest, in a form of the learner's own, such as [`LearnerState::pack`] gives.
    pub rest: Vec<u8>,
    /// Stored experience, as [`LearnerState::pack`] gives it. The best checkpoint leaves it out; a learner that
    /// continues without it begins to store anew.
    pub replay: Vec<u8>,
}

impl LearnerState {
    /// Returns a value as bytes (MessagePack with field names) for [`LearnerState::rest`].
    pub fn pack(value: &impl Serialize) -> Vec<u8> {
        rmp_serde::to_vec_named(value).expect("a learner's state is plain data")
    }

    /// Reads a value that [`LearnerState::pack`] wrote.
    ///
    /// # Errors
    /// Bytes of another kind.
    pub fn unpack<T: DeserializeOwned>(&self) -> Result<T, StateError> {
        Ok(rmp_serde::from_slice(&self.rest)?)
    }

    /// Reads the stored experience, if there is any.
    ///
    /// # Errors
    /// Bytes of another kind.
    pub fn unpack_replay<T: DeserializeOwned>(&self) -> Result<Option<T>, StateError> {
        let replay = (!self.replay.is_empty()).then(|| rmp_serde::from_slice(&self.replay));
        Ok(replay.transpose()?)
    }
}

/// Measurements of one update, in named rows, for the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    rows: Vec<(Group, &'static str, f64)>,
}

/// A group of rows: a section of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Measurements of the experience, such as the policy's entropy.
    Rollout,
    /// Losses, gradients and step sizes.
    Train,
    /// The memory's own losses.
    Memory,
}

impl Metrics {
    /// Adds a row at the end of a group.
    pub fn put(&mut self, group: Group, name: &'static str, value: f64) -> &mut Self {
        self.rows.push((group, name, value));
        self
    }

    /// Adds a row if the value is known.
    pub fn put_known(&mut self, group: Group, name: &'static str, value: Option<f64>) -> &mut Self {
        if let Some(value) = value {
            self.put(group, name, value);
        }
        self
    }

    /// Returns the names and values of a group, in order.
    pub fn group(&self, group: Group) -> impl Iterator<Item = (&'static str, f64)> {
        let rows = self.rows.iter().filter(move |(of, ..)| *of == group);
        rows.map(|&(_, name, value)| (name, value))
    }
}

/// A copy of the parameters that are trained and of their optimiser, made before an update that may diverge. When an
/// optimiser step diverges, earlier steps of the update have moved them already.
pub struct Backup {
    params: Vec<(ParamId, Vec<f32>)>,
    adam: AdamState,
}

impl Backup {
    /// Copies both.
    pub fn new(policy: &Policy, adam: &Adam) -> Self {
        let params = &policy.params;
        let trained = params.ids().filter(|&id| params.is_trained(id));
        Self {
            params: trained.map(|id| (id, params.data(id).to_vec())).collect(),
            adam: adam.export(),
        }
    }

    /// Puts both back.
    pub fn restore(&self, policy: &mut Policy, adam: &mut Adam) {
        for (id, data) in &self.params {
            policy.params.data_mut(*id).copy_from_slice(data);
        }
        adam.import(&self.adam)
            .expect("a copy has the same names and shapes");
    }
}

/// A loss or a gradient that is not a number.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error(
    "learning diverged: loss {loss}, gradient norm {grad_norm}. A smaller learning_rate usually fixes it"
)]
pub struct Diverged {
    /// The loss.
    pub loss: f64,
    /// The gradient's length.
    pub grad_norm: f64,
}

/// Why a learner's saved state was refused.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Matrices of other names or shapes.
    #[error(transparent)]
    Arrays(#[from] NnError),
    /// The rest.
    #[error("the state of its learner cannot be read: {0}")]
    Rest(#[from] rmp_serde::decode::Error),
}
