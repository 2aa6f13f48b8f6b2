//! What an evaluation is asked for and what it finds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How actions are chosen, and what is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The likeliest action.
    Greedy,
    /// An action drawn from the policy.
    Sampled,
    /// The likeliest action where it is judged, a random one before.
    Scrambled,
    /// The likeliest action, with a memory emptied before every step.
    Emptied,
}

impl Mode {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Greedy, Self::Sampled, Self::Scrambled, Self::Emptied];

    /// Its name in tables, figures and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Sampled => "sampled",
            Self::Scrambled => "scrambled",
            Self::Emptied => "emptied",
        }
    }

    /// Whether a task allows it: where nothing says which action is judged, there is none before which to scramble.
    pub const fn is_possible(self, judged_step: Option<u64>) -> bool {
        !matches!(self, Self::Scrambled) || judged_step.is_some()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How actions were chosen.
    pub mode: Mode,
    /// Undiscounted return of each environment's episode; of several, their mean.
    pub returns: Vec<f64>,
    /// Their mean.
    pub mean_return: f64,
    /// Their sample standard deviation.
    pub std_return: f64,
    /// Mean length of the episodes, in steps.
    pub mean_length: f64,
    /// Steps taken over all environments.
    pub steps: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// The standard normal distribution's 97.5 % quantile.
const Z_95: f64 = 1.959_963_984_540_054;

impl Evaluation {
    /// Standard error of the mean return: `std_return / √n`.
    pub fn standard_error(&self) -> f64 {
        standard_error(self.std_return, self.returns.len() as u64)
    }

    /// Half the width of the mean return's 95 % interval.
    pub fn margin(&self) -> f64 {
        Z_95 * self.standard_error()
    }
}

/// Standard error of a mean over `episodes` values with this sample standard deviation.
pub fn standard_error(std_return: f64, episodes: u64) -> f64 {
    std_return / (episodes.max(1) as f64).sqrt()
}
