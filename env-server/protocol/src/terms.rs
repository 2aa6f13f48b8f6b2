//! Terms that bodies and snapshots share: arguments, info, seeds and the autoreset mode.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::read;
use crate::value::Value;

/// Arguments of an environment by name.
pub type Kwargs = BTreeMap<String, serde_json::Value>;

/// What Gymnasium calls info. In a vector reply the key `k` has one row a lane and comes with the
/// mask `_k`; rows where the mask is false mean nothing.
pub type Info = BTreeMap<String, Value>;

/// What happens when the episode of a lane has ended. The names and meanings are Gymnasium's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AutoresetMode {
    /// The next step of the lane is a reset: its action is ignored, its reward is 0.
    #[default]
    NextStep,
    /// The same step resets it: the reply has the first observation of the new episode, and the
    /// last one of the old in `infos.final_obs`, with the mask `infos._final_obs`.
    SameStep,
    /// Nothing: the lane must be reset, with `options.reset_mask`, before the next step.
    Disabled,
}

/// Where the randomness of a vector environment comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, expecting = "expected an unsigned integer or a list of them")]
pub enum Seed {
    /// Lane `i` gets `seed + i` (modulo 2^64).
    First(#[serde(deserialize_with = "read::whole")] u64),
    /// Lane `i` gets the `i`-th.
    Each(#[serde(deserialize_with = "read::wholes")] Vec<u64>),
}

impl Seed {
    /// The seed of lane `i`, if there is one for it.
    pub fn lane(&self, i: usize) -> Option<u64> {
        match self {
            Seed::First(seed) => Some(seed.wrapping_add(i as u64)),
            Seed::Each(seeds) => seeds.get(i).copied(),
        }
    }
}
