//! Terms that bodies and snapshots share: arguments, info, seeds and the autoreset mode.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::read;
use crate::value::Value;

/// Arguments of an environment, by name.
pub type Kwargs = BTreeMap<String, serde_json::Value>;

/// Additional information from an environment: Gymnasium's `info`. In a vector reply the key `k`
/// has one row per lane and comes with the mask `_k`; rows where the mask is false have no meaning.
pub type Info = BTreeMap<String, Value>;

/// Behaviour when the episode of a lane has ended. Names and meanings are Gymnasium's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AutoresetMode {
    /// The next step of the lane is a reset: its action is ignored, its reward is 0.
    #[default]
    NextStep,
    /// The same step resets the lane: the reply has the first observation of the new episode, and
    /// the last observation of the old one in `infos.final_obs`, with the mask `infos._final_obs`.
    SameStep,
    /// Nothing happens: the client must reset the lane, with `options.reset_mask`, before the next
    /// step.
    Disabled,
}

/// Seeds of the lanes of a vector environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, expecting = "expected an unsigned integer or a list of them")]
pub enum Seed {
    /// Lane `i` gets `seed + i` (modulo 2^64).
    First(#[serde(deserialize_with = "read::whole")] u64),
    /// Lane `i` gets the `i`-th seed of the list.
    Each(#[serde(deserialize_with = "read::wholes")] Vec<u64>),
}

impl Seed {
    /// Returns the seed of lane `i`; `None` if the list is too short.
    pub fn lane(&self, i: usize) -> Option<u64> {
        match self {
            Seed::First(seed) => Some(seed.wrapping_add(i as u64)),
            Seed::Each(seeds) => seeds.get(i).copied(),
        }
    }
}
