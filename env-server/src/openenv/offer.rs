//! The environment offered by `--openenv`, with fixed arguments.

use env_protocol::{CreateEnv, DecodeError, Encoding, Kwargs, Space};
use serde_json::{Value, json};

use crate::config::ServerConfig;
use crate::error::Error;
use crate::session::catalogue::AnySpec;
use crate::session::store::Store;
use crate::session::{Catalogue, Clock, Creation, Description};

/// Seconds for which a session's environment outlives its socket when it cannot be closed with it,
/// because the server was killed. While the socket is open, its pings renew the lease.
const TTL_S: u64 = 120;

/// The environment offered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offer {
    /// The request with which every session is created.
    pub(super) creation: CreateEnv,
    pub(super) spec: AnySpec,
    pub(super) observation_space: Space,
    pub(super) action_space: Space,
}

impl Offer {
    /// Returns the environment that the settings offer, if any.
    ///
    /// # Errors
    /// [`Error::OpenEnv`], when the environment is invalid.
    pub(super) fn from_config(config: &ServerConfig) -> Result<Option<Self>, Error> {
        let Some(given) = &config.openenv else {
            return Ok(None);
        };
        let refuse = |detail: String| Error::OpenEnv {
            given: given.clone(),
            detail,
        };
        let mut creation = read(given).map_err(refuse)?;
        let ttl_s = TTL_S.min(config.limits.max_ttl_s);
        creation.ttl_s = creation.ttl_s.or(Some(ttl_s));
        // Create one to see whether it can be created.
        let catalogue = Catalogue::with_hosts(config.hosts.clone());
        let trial = Store::with_catalogue(config.limits, Clock::default(), catalogue)
            .create(Creation::Single(creation.clone()), None);
        let described = trial.and_then(|trial| {
            let description = trial.session.describe()?;
            Ok((trial.session.spec().clone(), description))
        });
        match described.map_err(|problem| refuse(problem.detail))? {
            (spec, Description::Single(description)) => Ok(Some(Offer {
                creation,
                spec,
                observation_space: description.observation_space,
                action_space: description.action_space,
            })),
            (_, Description::Vector(_)) => unreachable!("one was asked for"),
        }
    }

    /// Whether a reset may set this parameter.
    pub(super) fn has_parameter(&self, name: &str) -> bool {
        self.spec.parameters.iter().any(|p| p.name == name)
    }

    /// Returns JSON schemas of actions, observations and states.
    pub(super) fn schemas(&self) -> Value {
        let metadata = json!({"type": "object", "additionalProperties": true});
        json!({
            "action": {
                "title": "Action",
                "type": "object",
                "properties": {"action": schema(&self.action_space), "metadata": metadata},
                "required": ["action"],
                "additionalProperties": false,
            },
            "observation": {
                "title": "Observation",
                "type": "object",
                "properties": {
                    "observation": schema(&self.observation_space),
                    "terminated": {"type": "boolean"},
                    "truncated": {"type": "boolean"},
                    "info": {"type": "object", "additionalProperties": true},
                },
                "required": ["observation", "terminated", "truncated", "info"],
                "additionalProperties": false,
            },
            "state": {
                "title": "State",
                "type": "object",
                "properties": {
                    "episode_id": {"type": "string"},
                    "step_count": {"type": "integer", "minimum": 0},
                    "spec_id": {"type": "string"},
                    "env_id": {"type": "string"},
                },
                "required": ["episode_id", "step_count", "spec_id"],
                "additionalProperties": true,
            },
        })
    }
}

/// Parses a spec with arguments: `ID`, `ID?name=value&…`, or the JSON body that creates it.
fn read(given: &str) -> Result<CreateEnv, String> {
    if given.trim_start().starts_with('{') {
        return Encoding::Json
            .decode(given.as_bytes())
            .map_err(|e| match e {
                DecodeError::Malformed { .. } => e.to_string(),
                DecodeError::Invalid { pointer, detail } if pointer.is_empty() => detail,
                DecodeError::Invalid { pointer, detail } => format!("{pointer}: {detail}"),
            });
    }
    let (spec_id, arguments) = given.split_once('?').unwrap_or((given, ""));
    let mut kwargs = Kwargs::new();
    for argument in arguments.split('&').filter(|text| !text.is_empty()) {
        let Some((name, value)) = argument.split_once('=') else {
            return Err(format!("{argument:?} is not name=value"));
        };
        // A value that is not JSON is a string.
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        if kwargs.insert(name.to_owned(), value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(CreateEnv {
        spec_id: spec_id.to_owned(),
        kwargs,
        seed: None,
        ttl_s: None,
    })
}

/// Returns the JSON schema of a space's elements.
fn schema(space: &Space) -> Value {
    match space {
        Space::Discrete { n, start } => {
            json!({"type": "integer", "minimum": start, "maximum": start + n - 1})
        }
        Space::Box { shape, dtype, .. } => {
            use env_protocol::Dtype::{Bool, Float32, Float64};
            let element = match dtype {
                Float32 | Float64 => "number",
                Bool => "boolean",
                _ => "integer",
            };
            let nest = |items: Value, &len: &usize| list(items, len);
            shape.iter().rev().fold(json!({"type": element}), nest)
        }
        Space::MultiDiscrete { nvec } => {
            let position = |n: &i64| json!({"type": "integer", "minimum": 0, "maximum": n - 1});
            let positions: Vec<_> = nvec.iter().map(position).collect();
            json!({"type": "array", "prefixItems": positions, "minItems": nvec.len(), "maxItems": nvec.len()})
        }
        Space::MultiBinary { n } => {
            list(json!({"type": "integer", "minimum": 0, "maximum": 1}), *n)
        }
        Space::Tuple { spaces } => {
            let items: Vec<_> = spaces.iter().map(schema).collect();
            json!({"type": "array", "prefixItems": items, "minItems": spaces.len(), "maxItems": spaces.len()})
        }
        Space::Dict { spaces } => {
            let names: Vec<_> = spaces.keys().collect();
            let of = |(name, space): (&String, &Space)| (name.clone(), schema(space));
            let properties: serde_json::Map<_, _> = spaces.iter().map(of).collect();
            json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
        }
    }
}

fn list(items: Value, len: usize) -> Value {
    json!({"type": "array", "items": items, "minItems": len, "maxItems": len})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(given: &str) -> Result<Offer, String> {
        let config = ServerConfig {
            openenv: Some(given.to_owned()),
            ..ServerConfig::default()
        };
        match Offer::from_config(&config) {
            Ok(offer) => Ok(offer.expect("one is asked for")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_spec_may_be_given_in_two_forms() {
        let query = offer("MemoryTask-v0?delay=16&difficulty=1").unwrap();
        let body = r#"{"spec_id":"MemoryTask-v0","kwargs":{"delay":16,"difficulty":1}}"#;
        assert_eq!(offer(body).unwrap(), query);
        assert_eq!(query.creation.kwargs["delay"], 16);
        assert_eq!(query.creation.ttl_s, Some(120));
        assert!(query.has_parameter("delay") && !query.has_parameter("dleay"));
        assert!(offer("MemoryTask-v0").unwrap().creation.kwargs.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (given, expected) in [
            (
                "Nothing-v0",
                "there is no \"Nothing-v0\"; there are MemoryTask-v0",
            ),
            ("MemoryTask-v0?delay", "\"delay\" is not name=value"),
            ("MemoryTask-v0?delay=1&delay=2", "delay is given twice"),
            ("MemoryTask-v0?dleay=1", "dleay"),
            ("MemoryTask-v0?delay=soon", "delay"),
            (
                r#"{"spec_id":"MemoryTask-v0","delay":1}"#,
                "/delay: unknown field",
            ),
            ("{", "not well-formed JSON"),
        ] {
            let error = offer(given).unwrap_err();
            assert!(
                error.starts_with(&format!("--openenv {given}: ")),
                "{error}"
            );
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn spaces_have_json_schemas() {
        let space: Space = serde_json::from_value(json!({"type": "Dict", "spaces": {
            "a": {"type": "Discrete", "n": 3, "start": 1},
            "b": {"type": "Box", "shape": [2, 1], "dtype": "float32", "low": 0, "high": 1},
            "c": {"type": "Tuple", "spaces": [{"type": "MultiBinary", "n": 2}, {"type": "MultiDiscrete", "nvec": [5]}]},
        }})).unwrap();
        let bit = json!({"type": "integer", "minimum": 0, "maximum": 1});
        let five = json!({"type": "integer", "minimum": 0, "maximum": 4});
        let expected = json!({
            "type": "object",
            "properties": {
                "a": {"type": "integer", "minimum": 1, "maximum": 3},
                "b": list(list(json!({"type": "number"}), 1), 2),
                "c": {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [
                    list(bit, 2),
                    {"type": "array", "prefixItems": [five], "minItems": 1, "maxItems": 1},
                ]},
            },
            "required": ["a", "b", "c"],
            "additionalProperties": false,
        });
        assert_eq!(schema(&space), expected);
    }
}
