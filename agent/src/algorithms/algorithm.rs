//! A row of the table of algorithms.

use rand_xoshiro::Xoshiro256PlusPlus;

use super::family::Family;
use super::sections::Overrides;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::auxiliary::wants_cue;
use crate::learner::{Learner, LearnerContext};
use crate::memory::{CoreContext, MemoryCore};
use crate::policy::decider::Decider;
use crate::policy::inputs::InputEncoder;
use crate::policy::outputs::Outputs;
use crate::policy::{Policy, PolicyParts};
use crate::spaces::Spaces;

/// Hyper-parameter that says how many of the last steps a memory holds.
const WINDOW: &str = "memory_window";

/// A row: the description of an algorithm, and the parts that it is built from.
pub struct Algorithm {
    /// Id on the command line, in records and in file names.
    pub id: &'static str,
    /// Name in tables.
    pub title: &'static str,
    /// Group in lists.
    pub family: Family,
    /// Description, in a sentence.
    pub summary: &'static str,
    /// Paper or program that it comes from.
    pub source: &'static str,
    /// Chooser of its actions.
    pub decider: Decider,
    /// Default hyper-parameters: one set for every task. The sections that they hold are the ones that it has.
    pub defaults: fn() -> Hyperparameters,
    /// Checks that values, each of them in range, agree with each other; sets values that depend on others.
    pub check: fn(&mut Hyperparameters, &Overrides) -> Result<(), ConfigError>,
    /// Checks that it can play a task with these inputs and actions; the error is the reason why it cannot.
    pub plays: fn(&InputEncoder) -> Result<(), &'static str>,
    /// Builds its memory, adding the memory's parameters to the context's.
    pub core: fn(&mut CoreContext<'_>) -> Box<dyn MemoryCore>,
    /// Layers on its memory's features, from which actions are chosen.
    pub outputs: Outputs,
    /// Builds its learner, which may add parameters of its own to the policy's.
    pub learner: fn(&mut LearnerContext<'_>) -> Box<dyn Learner>,
}

impl Algorithm {
    /// Returns whether there is anything to learn.
    pub fn learns(&self) -> bool {
        self.decider == Decider::Network
    }

    /// Returns the hyper-parameter that says how many of the last steps its memory holds, if there is one.
    pub fn window_setting(&self) -> Option<&'static str> {
        let settings = (self.defaults)();
        let mut names = settings.rows().map(|row| row.name);
        names.find(|name| *name == WINDOW)
    }

    /// Returns the reason why it cannot play a task with these spaces, if it cannot.
    pub fn refusal(&self, spaces: &Spaces, hyper: &Hyperparameters) -> Option<String> {
        let Spaces {
            observation,
            action,
        } = spaces;
        match InputEncoder::new(observation, action, hyper, wants_cue(hyper)) {
            Err(unsupported) => Some(unsupported.to_string()),
            Ok(encoder) => (self.plays)(&encoder).err().map(str::to_owned),
        }
    }

    /// Checks that it can play a task with these inputs and actions.
    ///
    /// # Errors
    /// The reason why it cannot.
    pub fn check_plays(&self, encoder: &InputEncoder) -> Result<(), ConfigError> {
        (self.plays)(encoder).map_err(|reason| ConfigError::NotApplicable {
            algorithm: self.id,
            reason,
        })
    }

    /// Builds its policy with fresh weights.
    pub fn policy(
        &self,
        hyper: &Hyperparameters,
        encoder: &InputEncoder,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Policy {
        let parts = PolicyParts {
            core: self.core,
            decider: self.decider,
            outputs: self.outputs,
        };
        Policy::new(parts, hyper, encoder, rng)
    }
}
