//! The bodies of the call `collect`, in MessagePack.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::experience::{Behaviour, CollectorState, Rollout};
use crate::nn::NamedArray;
use crate::policy::Policy;
use crate::run::config::TrainConfig;

/// Name of the call.
pub const NAME: &str = "collect";

/// SHA-256 of bytes.
pub type Id = [u8; 32];

/// Returns the id of bytes.
pub fn id_of(bytes: &[u8]) -> Id {
    Sha256::digest(bytes).into()
}

/// Bytes that a worker may hold already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Their hash.
    pub id: Id,
    /// The bytes; `None` where the worker is thought to hold them.
    pub bytes: Option<ByteBuf>,
}

impl Named {
    /// Names bytes and has them.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self {
            id: id_of(&bytes),
            bytes: Some(ByteBuf::from(bytes)),
        }
    }

    /// The name alone.
    pub fn alone(&self) -> Self {
        Self {
            id: self.id,
            bytes: None,
        }
    }

    /// Returns the bytes; none where only the name is there.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.as_deref().map_or(&[], |bytes| bytes.as_slice())
    }

    /// Returns the bytes, if there are any and they are those of the name.
    pub fn checked(&self) -> Result<Option<&[u8]>, String> {
        match &self.bytes {
            Some(bytes) if id_of(bytes) != self.id => Err("bytes of another name".into()),
            bytes => Ok(bytes.as_ref().map(|bytes| bytes.as_slice())),
        }
    }
}

/// A call: play a group of lanes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// A [`Run`].
    pub run: Named,
    /// Id of the [`Weights`], which workers share.
    pub weights: String,
    /// The [`Place`] where the group is; no bytes at the beginning of a run.
    pub place: Named,
    /// Number of the group.
    pub group: usize,
    /// How it is played.
    pub manner: Manner,
    /// Steps of the rollout. None: only tell where the group is.
    pub steps: usize,
    /// Only find out after how many steps, at most `steps`, every lane has ended an episode.
    pub until_all_ended: bool,
}

/// How lanes are played in a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    /// The chooser of actions.
    pub behaviour: Behaviour,
    /// Options that all lanes are reset with before the first step.
    pub options: Option<Map<String, Value>>,
}

/// The part that is the same in all calls of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The configuration, in JSON: it has optional parts that follow from others.
    pub config: String,
    /// Groups that the lanes are dealt into.
    pub groups: usize,
    /// Environment servers, dealt over groups; none: the worker has one of its own.
    pub servers: Vec<String>,
}

impl Run {
    /// Returns the configuration.
    ///
    /// # Errors
    /// Why there is none.
    pub fn config(&self) -> Result<TrainConfig, String> {
        serde_json::from_str(&self.config).map_err(|error| format!("its configuration: {error}"))
    }
}

/// Where a group is between two rollouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its environments.
    #[serde(with = "serde_bytes")]
    pub snapshot: Vec<u8>,
    /// Its lanes.
    pub state: CollectorState,
}

/// All weights by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights(Vec<NamedArray>);

impl Weights {
    /// Those of a policy.
    pub fn of(policy: &Policy) -> Self {
        Self(policy.params.export())
    }

    /// Puts them into a policy. Those of a learner's own may be among them.
    ///
    /// # Errors
    /// Weights of another network; nothing has changed then.
    pub fn put_into(&self, policy: &mut Policy) -> Result<(), String> {
        let imported = policy.params.import_own(&self.0);
        imported.map_err(|error| format!("its weights: {error}"))
    }
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The worker does not hold what a name of the call stands for. The call is to be made with all bytes.
    Missing,
    /// Every lane has ended an episode, or `steps` are played.
    Ended {
        /// After so many steps.
        steps: usize,
        /// Time that it took.
        seconds: f64,
    },
    /// The group was played.
    Played {
        /// Its part of the rollout; none of no steps.
        rollout: Option<Box<Rollout>>,
        /// A [`Place`]: where it is now.
        #[serde(with = "serde_bytes")]
        place: Vec<u8>,
        /// Time that it took.
        seconds: f64,
    },
}

/// Returns a body as bytes.
pub fn encode<T: Serialize>(body: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(body).expect("numbers and text always have an encoding")
}

/// Reads a body.
///
/// # Errors
/// Bytes that are no such body.
pub fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| format!("{what}: {error}"))
}
