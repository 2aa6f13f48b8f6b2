//! Bodies of requests and replies. Unknown fields in requests are errors.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::array::{Array, Data};
use crate::finite::{self, Finite};
use crate::read;
use crate::snapshot::Snapshot;
use crate::space::Space;
use crate::spec::Spec;
use crate::terms::{AutoresetMode, Info, Kwargs, Seed};
use crate::value::Value;

/// Asks what follows from arguments of a spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SpecRequest {
    /// Arguments; those left out have their defaults.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
}

/// Creates an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateEnv {
    /// One of `GET /v1/specs`.
    pub spec_id: String,
    /// Arguments; those left out have their defaults.
    #[serde(default, deserialize_with = "finite::map")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
    /// Seed of the first reset that brings none. Drawn by the server when left out.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seed: Option<u64>,
    /// Seconds the environment lives after its last operation. The server's default when left out.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub ttl_s: Option<u64>,
}

/// Creates a vector environment: `num_envs` lanes behind one id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateVectorEnv {
    /// One of `GET /v1/specs`.
    pub spec_id: String,
    /// Number of lanes.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    #[serde(deserialize_with = "read::whole")]
    pub num_envs: u64,
    /// Arguments; those left out have their defaults.
    #[serde(default, deserialize_with = "finite::map")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
    /// Seed of the first reset that brings none. Drawn by the server when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// What happens when a lane's episode ends.
    #[serde(default, deserialize_with = "read::name")]
    pub autoreset_mode: AutoresetMode,
    /// Seconds the environment lives after its last operation. The server's default when left out.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub ttl_s: Option<u64>,
}

/// An environment as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvDescription {
    /// Its id.
    pub env_id: String,
    /// Its spec.
    pub spec_id: String,
    /// Its arguments, defaults filled in.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
    /// The seed given at its creation, or the one drawn then. An evaluation token is not told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub seed: Option<u64>,
    /// What an observation looks like.
    pub observation_space: Space,
    /// What an action looks like.
    pub action_space: Space,
    /// Seconds it lives after its last operation.
    pub ttl_s: u64,
    /// Seconds it lives from now if nothing is done, rounded up.
    pub expires_in_s: u64,
    /// Number that the next operation takes.
    pub seq: u64,
}

/// A vector environment as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorEnvDescription {
    /// Its id.
    pub env_id: String,
    /// Its spec.
    pub spec_id: String,
    /// Number of lanes.
    pub num_envs: u64,
    /// Its arguments, defaults filled in.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
    /// The seed given at its creation, or the one drawn then. An evaluation token is not told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub seed: Option<Seed>,
    /// What happens when a lane's episode ends.
    pub autoreset_mode: AutoresetMode,
    /// What an observation of one lane looks like; a batch has one dimension more, in front.
    pub single_observation_space: Space,
    /// What an action of one lane looks like; a batch has one dimension more, in front.
    pub single_action_space: Space,
    /// Seconds it lives after its last operation.
    pub ttl_s: u64,
    /// Seconds it lives from now if nothing is done, rounded up.
    pub expires_in_s: u64,
    /// Number that the next operation takes.
    pub seq: u64,
}

/// A page of environments, by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvList {
    /// The environments.
    pub envs: Vec<EnvDescription>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A page of vector environments, by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorEnvList {
    /// The environments.
    pub vector_envs: Vec<VectorEnvDescription>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Begins an episode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// Number of the operation. Without it there is no safe retry.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// Starts the random stream anew; without it the stream goes on.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seed: Option<u64>,
    /// Resettable parameters of the spec, for this episode. Those left out are as created.
    #[serde(
        default,
        deserialize_with = "finite::map",
        skip_serializing_if = "Kwargs::is_empty"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub options: Kwargs,
}

/// Begins an episode in all lanes, or in those of a mask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VectorResetRequest {
    /// Number of the operation. Without it there is no safe retry.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// Starts the lanes' random streams anew; without it they go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// Mask and parameters.
    #[serde(default, skip_serializing_if = "VectorResetOptions::is_empty")]
    pub options: VectorResetOptions,
}

/// Options of a vector reset.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorResetOptions {
    /// Lanes to reset; all when left out. The others stay as they are.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_mask")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<bool>>))]
    pub reset_mask: Option<Vec<bool>>,
    /// Resettable parameters of the spec, for the episodes that begin with this reset and by
    /// autoresets after it. Those left out are as created.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
}

impl VectorResetOptions {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.reset_mask.is_none() && self.kwargs.is_empty()
    }
}

fn as_mask<S: serde::Serializer>(
    mask: &Option<Vec<bool>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    mask.clone().map(Array::mask).serialize(serializer)
}

/// By hand, because a flattened map would lose the places of errors.
impl<'de> Deserialize<'de> for VectorResetOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Options;

        impl<'de> Visitor<'de> for Options {
            type Value = VectorResetOptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of reset options")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut options = VectorResetOptions::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "reset_mask" {
                        let mask: Option<Array> = map.next_value()?;
                        options.reset_mask = mask.map(into_flags).transpose()?;
                    } else {
                        let Finite(value) = map.next_value()?;
                        options.kwargs.insert(key, value);
                    }
                }
                Ok(options)
            }
        }

        fn into_flags<E: de::Error>(mask: Array) -> Result<Vec<bool>, E> {
            match (mask.shape().len(), mask.into_data()) {
                (1, Data::Bool(flags)) => Ok(flags),
                // Nothing tells of what type the elements of an empty list are.
                (1, data) if data.is_empty() => Ok(Vec::new()),
                _ => Err(E::custom("reset_mask must be a list of truth values")),
            }
        }

        deserializer.deserialize_map(Options)
    }
}

/// The first observation of an episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetReply {
    /// An element of the observation space.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::SpaceValue))]
    pub observation: Value,
    /// What else the environment says.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub info: Info,
    /// Number that the next operation takes.
    pub seq: u64,
}

/// The first observations of episodes; lanes outside the mask repeat their last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorResetReply {
    /// `[num_envs, …]`
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::SpaceValue))]
    pub observations: Value,
    /// What else the environments say.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub infos: Info,
    /// Number that the next operation takes.
    pub seq: u64,
}

/// Takes one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StepRequest {
    /// Number of the operation. Without it there is no safe retry.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// An element of the action space.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Action))]
    pub action: Array,
}

/// Takes one action in every lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VectorStepRequest {
    /// Number of the operation. Without it there is no safe retry.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// `[num_envs, …]`, of any integer type.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::openapi::Action>))]
    pub actions: Array,
}

/// What an action led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepReply {
    /// An element of the observation space.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::SpaceValue))]
    pub observation: Value,
    /// The reward.
    pub reward: f64,
    /// Whether the task has come to its end.
    pub terminated: bool,
    /// Whether the episode was cut short.
    pub truncated: bool,
    /// What else the environment says.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub info: Info,
    /// Number that the next operation takes.
    pub seq: u64,
}

/// What the actions led to, lane by lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorStepReply {
    /// `[num_envs, …]`
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::SpaceValue))]
    pub observations: Value,
    /// `[num_envs]` of float64.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<f64>))]
    pub rewards: Array,
    /// `[num_envs]` of bool: whether the task has come to its end.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<bool>))]
    pub terminations: Array,
    /// `[num_envs]` of bool: whether the episode was cut short.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<bool>))]
    pub truncations: Array,
    /// What else the environments say; under `SameStep` also `final_obs`, `[num_envs, …]`, and
    /// `final_info`, with their masks, whenever an episode has ended.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub infos: Info,
    /// Number that the next operation takes.
    pub seq: u64,
}

/// Puts a saved state back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Number of the operation. Without it there is no safe retry.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// What `GET …/snapshot` gave.
    pub snapshot: Snapshot,
}

/// The state is back. `seq` goes on counting up; it is not part of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreReply {
    /// Number that the next operation takes.
    pub seq: u64,
}

/// Branches off another environment that goes on from the same state, random stream included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// Number of the operation on the environment that is forked. Without it there is no safe retry.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// Id of the new environment. Chosen by the server when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_id: Option<String>,
    /// Seconds the new environment lives after its last operation; as its parent when left out.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub ttl_s: Option<u64>,
}

/// The branch is there. Its own operations count from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForkReply {
    /// Id of the new environment.
    pub env_id: String,
    /// Number that the next operation on the forked environment takes.
    pub seq: u64,
}

/// Renews a lease. It has no `seq`: doing it twice does no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Seconds to live after each operation from now on; as before when left out.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub ttl_s: Option<u64>,
}

/// A renewed lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseReply {
    /// Seconds the environment lives after its last operation.
    pub ttl_s: u64,
    /// Seconds it lives from now if nothing is done, rounded up.
    pub expires_in_s: u64,
}

/// What a player that knows every hidden draw would do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OracleReply {
    /// An element of the action space.
    pub action: Array,
    /// Number that the next operation takes: the step that the action is for.
    pub seq: u64,
}

/// What players that know every hidden draw would do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorOracleReply {
    /// `[num_envs, …]`; of a lane that the next step only resets, any action.
    pub actions: Array,
    /// Number that the next operation takes: the step that the actions are for.
    pub seq: u64,
}

/// The catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpecList {
    /// Everything that can be created.
    pub specs: Vec<Spec>,
}

/// Which server this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Version {
    /// Name of the server.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Version of the snapshots it writes and reads.
    pub snapshot_version: u32,
}

/// How the server does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok` or, from `/readyz` with status 503, a problem document instead.
    pub status: String,
}
