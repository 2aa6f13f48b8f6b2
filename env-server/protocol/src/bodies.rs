//! Bodies of requests and replies. An unknown field in a request is an error.

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

/// Asks for the description of a spec under given arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SpecRequest {
    /// Arguments; the rest have their defaults.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
}

/// Creates an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateEnv {
    /// Id of a spec from `GET /v1/specs`.
    pub spec_id: String,
    /// Arguments; the rest have their defaults.
    #[serde(default, deserialize_with = "finite::map")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
    /// Seed of the first reset without a seed of its own. Drawn by the server when left out.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seed: Option<u64>,
    /// Seconds until the environment expires after its last operation. The server's default when
    /// left out.
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
    /// Id of a spec from `GET /v1/specs`.
    pub spec_id: String,
    /// Number of lanes.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    #[serde(deserialize_with = "read::whole")]
    pub num_envs: u64,
    /// Arguments; the rest have their defaults.
    #[serde(default, deserialize_with = "finite::map")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
    /// Seed of the first reset without a seed of its own. Drawn by the server when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// Behaviour when a lane's episode ends.
    #[serde(default, deserialize_with = "read::name")]
    pub autoreset_mode: AutoresetMode,
    /// Seconds until the environment expires after its last operation. The server's default when
    /// left out.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub ttl_s: Option<u64>,
}

/// The current description of an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvDescription {
    /// Id of the environment.
    pub env_id: String,
    /// Id of its spec.
    pub spec_id: String,
    /// Its arguments, with the defaults filled in.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
    /// The seed given or drawn at creation. Absent for an evaluation token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub seed: Option<u64>,
    /// Space of observations.
    pub observation_space: Space,
    /// Space of actions.
    pub action_space: Space,
    /// Seconds until it expires after its last operation.
    pub ttl_s: u64,
    /// Seconds until it expires from now without another operation, rounded up.
    pub expires_in_s: u64,
    /// Number of the next operation.
    pub seq: u64,
    /// Whether it continues when the program that plays it fails; left out where it does. An
    /// environment of a host that can neither save nor repeat itself ends with the host's process.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub durable: bool,
}

/// The current description of a vector environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorEnvDescription {
    /// Id of the environment.
    pub env_id: String,
    /// Id of its spec.
    pub spec_id: String,
    /// Number of lanes.
    pub num_envs: u64,
    /// Its arguments, with the defaults filled in.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
    /// The seed given or drawn at creation. Absent for an evaluation token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub seed: Option<Seed>,
    /// Behaviour when a lane's episode ends.
    pub autoreset_mode: AutoresetMode,
    /// Space of one lane's observations; a batch has one more dimension, in front.
    pub single_observation_space: Space,
    /// Space of one lane's actions; a batch has one more dimension, in front.
    pub single_action_space: Space,
    /// Seconds until it expires after its last operation.
    pub ttl_s: u64,
    /// Seconds until it expires from now without another operation, rounded up.
    pub expires_in_s: u64,
    /// Number of the next operation.
    pub seq: u64,
    /// Whether it continues when the program that plays it fails; left out where it does. An
    /// environment of a host that can neither save nor repeat itself ends with the host's process.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub durable: bool,
}

const fn yes() -> bool {
    true
}

const fn is_yes(flag: &bool) -> bool {
    *flag
}

/// A page of environments, sorted by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvList {
    /// The environments.
    pub envs: Vec<EnvDescription>,
    /// Value of `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A page of vector environments, sorted by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorEnvList {
    /// The environments.
    pub vector_envs: Vec<VectorEnvDescription>,
    /// Value of `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Begins an episode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// Number of the operation. Without it a retry is not safe.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// Restarts the random stream; without a seed the stream continues.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seed: Option<u64>,
    /// Resettable parameters of the spec, for this episode. The rest are as created.
    #[serde(
        default,
        deserialize_with = "finite::map",
        skip_serializing_if = "Kwargs::is_empty"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub options: Kwargs,
}

/// Begins an episode in all lanes, or in the lanes of a mask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VectorResetRequest {
    /// Number of the operation. Without it a retry is not safe.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// Restarts the lanes' random streams; without a seed they continue.
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
    /// Lanes to reset; all when left out. The other lanes do not change.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_mask")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<bool>>))]
    pub reset_mask: Option<Vec<bool>>,
    /// Resettable parameters of the spec, for the episodes that begin with this reset or with
    /// autoresets after it. The rest are as created.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub kwargs: Kwargs,
}

impl VectorResetOptions {
    /// Whether there are neither a mask nor parameters.
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

/// Written by hand, because a flattened map would lose the pointers of errors.
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
                // An empty list has no element type to check.
                (1, data) if data.is_empty() => Ok(Vec::new()),
                _ => Err(E::custom("reset_mask must be a list of booleans")),
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
    /// Additional information from the environment.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub info: Info,
    /// Number of the next operation.
    pub seq: u64,
}

/// The first observations of episodes; lanes outside the mask repeat their last observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorResetReply {
    /// `[num_envs, …]`
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::SpaceValue))]
    pub observations: Value,
    /// Additional information from the environments.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub infos: Info,
    /// Number of the next operation.
    pub seq: u64,
}

/// Takes one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StepRequest {
    /// Number of the operation. Without it a retry is not safe.
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
    /// Number of the operation. Without it a retry is not safe.
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

/// The result of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepReply {
    /// An element of the observation space.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::SpaceValue))]
    pub observation: Value,
    /// The reward.
    pub reward: f64,
    /// Whether the task has reached its end.
    pub terminated: bool,
    /// Whether the episode was cut short.
    pub truncated: bool,
    /// Additional information from the environment.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub info: Info,
    /// Number of the next operation.
    pub seq: u64,
}

/// The results of the actions, lane by lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorStepReply {
    /// `[num_envs, …]`
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::SpaceValue))]
    pub observations: Value,
    /// `[num_envs]` of float64.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<f64>))]
    pub rewards: Array,
    /// `[num_envs]` of bool: whether the task has reached its end.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<bool>))]
    pub terminations: Array,
    /// `[num_envs]` of bool: whether the episode was cut short.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<bool>))]
    pub truncations: Array,
    /// Additional information from the environments. In the mode `SameStep` also `final_obs`,
    /// `[num_envs, …]`, and `final_info`, with their masks, whenever an episode has ended.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub infos: Info,
    /// Number of the next operation.
    pub seq: u64,
}

/// Restores a saved state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Number of the operation. Without it a retry is not safe.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// A snapshot from `GET …/snapshot`.
    pub snapshot: Snapshot,
}

/// The reply to a restore. `seq` is not part of the state: it continues to count up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreReply {
    /// Number of the next operation.
    pub seq: u64,
}

/// Creates another environment that continues from the same state, random stream included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// Number of the operation on the forked environment. Without it a retry is not safe.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub seq: Option<u64>,
    /// Id of the new environment. Chosen by the server when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_id: Option<String>,
    /// Seconds until the new environment expires after its last operation; the parent's when left
    /// out.
    #[serde(
        default,
        deserialize_with = "read::whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub ttl_s: Option<u64>,
}

/// The reply to a fork. The new environment's operations count from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForkReply {
    /// Id of the new environment.
    pub env_id: String,
    /// Number of the next operation on the forked environment.
    pub seq: u64,
}

/// Renews a lease. It has no `seq`: repeating it does no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Seconds until the environment expires after each operation from now on; as before when left
    /// out.
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
    /// Seconds until the environment expires after its last operation.
    pub ttl_s: u64,
    /// Seconds until it expires from now without another operation, rounded up.
    pub expires_in_s: u64,
}

/// The next action of the oracle, the player that knows every hidden draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OracleReply {
    /// An element of the action space.
    pub action: Array,
    /// Number of the next operation: the step that the action is for.
    pub seq: u64,
}

/// The next actions of the oracle, the player that knows every hidden draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorOracleReply {
    /// `[num_envs, …]`; arbitrary for a lane that the next step only resets.
    pub actions: Array,
    /// Number of the next operation: the step that the actions are for.
    pub seq: u64,
}

/// The catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpecList {
    /// The specs that can be created.
    pub specs: Vec<Spec>,
}

/// Name and version of the server.
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

/// Health of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Always `ok`: a server that is not ready answers `/readyz` with a problem document and status
    /// 503.
    pub status: String,
}
