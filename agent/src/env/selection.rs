//! Which environment is played, and which of its options are drawn.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which environment is played, as the server knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvSelection {
    /// Spec id, e.g. `MemoryTask-v0`.
    pub spec_id: String,
    /// The spec's arguments.
    pub kwargs: Map<String, Value>,
    /// Reset options drawn anew, log-uniformly over whole numbers, once for each rollout: all environments of a
    /// rollout share the draw. Needs `whole_episodes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<OptionDraw>,
}

/// A reset option drawn once a rollout: `name=low..high`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionDraw {
    /// The option's name.
    pub name: String,
    /// Smallest value.
    pub low: u64,
    /// Largest value.
    pub high: u64,
}

impl std::str::FromStr for OptionDraw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not of the form NAME=LOW..HIGH, e.g. delay=4..256");
        let (name, range) = text.split_once('=').ok_or_else(expected)?;
        let (low, high) = range.split_once("..").ok_or_else(expected)?;
        let low: u64 = low.parse().map_err(|_| expected())?;
        let high: u64 = high.parse().map_err(|_| expected())?;
        if name.is_empty() || low == 0 || low > high {
            return Err(format!("`{text}`: it needs a name and 1 <= LOW <= HIGH"));
        }
        Ok(Self {
            name: name.into(),
            low,
            high,
        })
    }
}

impl fmt::Display for OptionDraw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}..{}", self.name, self.low, self.high)
    }
}
