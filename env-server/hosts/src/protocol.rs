//! The frames between the server and a host: docs/hosting.md is their specification.

use env_protocol::{Array, AutoresetMode, Info, Kwargs, Parameter, Space, Value};
use serde::{Deserialize, Serialize};

/// Version of the protocol. The server refuses hosts with another one.
pub const PROTOCOL: u32 = 1;

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Makes a vector of lanes, which wait for their first reset.
    Create {
        /// The server's number of the vector.
        env: u64,
        /// Id of the spec, as in the host's hello.
        spec: String,
        /// Arguments, with the defaults filled in.
        kwargs: Kwargs,
        /// Number of lanes.
        num_envs: u64,
        /// Behaviour when a lane's episode ends.
        autoreset_mode: AutoresetMode,
    },
    /// Begins episodes.
    Reset {
        /// The vector.
        env: u64,
        /// Lanes to reset, all when `None`.
        mask: Option<Vec<bool>>,
        /// New seeds, one a lane; `None` continues the lane's random stream.
        seeds: Vec<Option<u64>>,
        /// Parameters that the client changes.
        options: Kwargs,
    },
    /// Takes an action in each lane.
    Step {
        /// The vector.
        env: u64,
        /// A batch of the action space.
        actions: Array,
    },
    /// Draws a lane.
    Render {
        /// The vector.
        env: u64,
        /// The lane.
        lane: u64,
    },
    /// Asks for the state.
    Save {
        /// The vector.
        env: u64,
    },
    /// Restores a state.
    Restore {
        /// The vector.
        env: u64,
        /// A state from `Save`.
        #[serde(with = "serde_bytes")]
        state: Vec<u8>,
    },
    /// Ends a vector.
    Close {
        /// The vector.
        env: u64,
    },
}

impl Call {
    /// Returns its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Call::Create { .. } => "create",
            Call::Reset { .. } => "reset",
            Call::Step { .. } => "step",
            Call::Render { .. } => "render",
            Call::Save { .. } => "save",
            Call::Restore { .. } => "restore",
            Call::Close { .. } => "close",
        }
    }
}

/// A frame from a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The first frame.
    Hello(Hello),
    /// A vector has been made.
    Created {
        /// Space of one lane's observations, with these arguments.
        observation_space: Space,
        /// Space of one lane's actions, with these arguments.
        action_space: Space,
    },
    /// Episodes have begun.
    Observed {
        /// A batch of the observation space.
        observations: Value,
        /// Gymnasium's vector infos.
        #[serde(default)]
        infos: Option<Info>,
    },
    /// Actions have been taken.
    Stepped(Stepped),
    /// A picture, if there is one.
    Rendered {
        /// `[height, width, 3]` of uint8.
        #[serde(default)]
        frame: Option<Array>,
    },
    /// The state.
    Saved {
        /// Bytes that only the host reads.
        #[serde(with = "serde_bytes")]
        state: Vec<u8>,
    },
    /// The state has been restored.
    Restored {},
    /// The vector has ended.
    Closed {},
    /// An argument is not accepted.
    Refused {
        /// The reason, for people.
        reason: String,
        /// The argument.
        #[serde(default)]
        name: Option<String>,
    },
    /// The environment has failed, and the vector with it.
    Failed {
        /// The reason, for people.
        reason: String,
    },
}

impl Answer {
    /// Returns its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Answer::Hello(_) => "hello",
            Answer::Created { .. } => "created",
            Answer::Observed { .. } => "observed",
            Answer::Stepped(_) => "stepped",
            Answer::Rendered { .. } => "rendered",
            Answer::Saved { .. } => "saved",
            Answer::Restored {} => "restored",
            Answer::Closed {} => "closed",
            Answer::Refused { .. } => "refused",
            Answer::Failed { .. } => "failed",
        }
    }
}

/// The results of a step, lane by lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stepped {
    /// A batch of the observation space.
    pub observations: Value,
    /// `[num_envs]` of float64.
    pub rewards: Array,
    /// `[num_envs]` of bool.
    pub terminations: Array,
    /// `[num_envs]` of bool.
    pub truncations: Array,
    /// Gymnasium's vector infos.
    #[serde(default)]
    pub infos: Option<Info>,
    /// In mode `SameStep`, a batch with the last observations of the episodes that have ended.
    #[serde(default)]
    pub final_observations: Option<Value>,
    /// The infos of these.
    #[serde(default)]
    pub final_infos: Option<Info>,
}

/// Identity of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`PROTOCOL`] of the host.
    pub protocol: u32,
    /// Its name and version, for people.
    pub name: String,
    /// The environments that it plays.
    pub specs: Vec<HostedSpec>,
}

/// One kind of environment of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostedSpec {
    /// Name with version, as in `CartPole-v1`.
    pub id: String,
    /// Text for people.
    pub description: String,
    /// The arguments of its environments.
    pub parameters: Vec<Parameter>,
    /// Space of observations, with the default arguments.
    pub observation_space: Space,
    /// Space of actions, with the default arguments.
    pub action_space: Space,
    /// Least and greatest reward of one step, where they are known.
    #[serde(default)]
    pub reward_range: Option<[f64; 2]>,
    /// Whether the state of its environments can be saved and restored.
    pub can_save: bool,
    /// Whether seeds and actions decide everything that an environment does.
    pub is_deterministic: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use workers::frame::{read_message, write_message};

    fn read(bytes: &[u8]) -> std::io::Result<Option<Answer>> {
        read_message(&mut &bytes[..], 1 << 20)
    }

    #[test]
    fn answers_are_read_as_they_were_written() {
        let spec = HostedSpec {
            id: "A-v0".to_owned(),
            description: String::new(),
            parameters: vec![Parameter::integer("n", "a number", 0, 9, Some(3))],
            observation_space: Space::Discrete { n: 2, start: 0 },
            action_space: Space::MultiBinary { n: 2 },
            reward_range: Some([-1.0, 1.0]),
            can_save: true,
            is_deterministic: false,
        };
        let numbers = Value::from(Array::from_i64(vec![2], vec![1, 0]).unwrap());
        let answers = [
            Answer::Hello(Hello {
                protocol: PROTOCOL,
                name: "test 1".to_owned(),
                specs: vec![spec],
            }),
            Answer::Observed {
                observations: numbers.clone(),
                infos: None,
            },
            Answer::Stepped(Stepped {
                observations: numbers.clone(),
                rewards: Array::vector(vec![0.0, 0.5]),
                terminations: Array::mask(vec![true, false]),
                truncations: Array::mask(vec![false, false]),
                infos: Some(Info::from([("a".to_owned(), numbers)])),
                final_observations: None,
                final_infos: None,
            }),
            Answer::Saved { state: vec![1, 2] },
            Answer::Restored {},
            Answer::Refused {
                reason: "no".to_owned(),
                name: None,
            },
        ];
        for answer in answers {
            let mut wire = Vec::new();
            write_message(&mut wire, &answer, 1 << 20).unwrap();
            assert_eq!(read(&wire).unwrap(), Some(answer));
        }
    }

    #[test]
    fn fields_may_be_left_out_but_not_added() {
        let frame = |body: &[u8]| {
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            [&length[..], body].concat()
        };
        // {"rendered": {}} and {"closed": {"a": 1}}
        let rendered = read(&frame(b"\x81\xa8rendered\x80")).unwrap();
        assert_eq!(rendered, Some(Answer::Rendered { frame: None }));
        assert!(read(&frame(b"\x81\xa6closed\x81\xa1a\x01")).is_err());
    }

    #[test]
    fn a_call_looks_like_this_on_the_wire() {
        let mut wire = Vec::new();
        write_message(&mut wire, &Call::Save { env: 7 }, 100).unwrap();
        assert_eq!(wire, b"\x00\x00\x00\x0c\x81\xa4save\x81\xa3env\x07");
    }
}
