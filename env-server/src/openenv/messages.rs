//! Messages of OpenEnv's `WS /ws`, as in the package `openenv-core` 0.3.
//!
//! All messages are JSON text, `{"type": …, "data": {…}}`, in both directions. An invalid message
//! is answered with an `error` that names the fields in the form of Pydantic's errors.

use serde::Serialize;
use serde_json::{Map, Value, json};

use env_protocol::{Array, Info, Value as SpaceValue};

/// A request by a client.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Request {
    /// Begin an episode, with these arguments.
    Reset(Map<String, Value>),
    /// Take this action.
    Step(Map<String, Value>),
    /// Return the state.
    State,
    /// End the session.
    Close,
    /// A JSON-RPC request of the Model Context Protocol.
    Mcp(Map<String, Value>),
}

/// The reason for refusing a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    /// It is not JSON.
    InvalidJson(String),
    /// It is not an object; like upstream's server, this ends the session.
    NotAnObject,
    /// Its type is unknown.
    UnknownType(String),
    /// Some of its fields are invalid.
    Invalid(Vec<WrongField>),
}

/// An invalid field, as Pydantic reports it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct WrongField {
    #[serde(rename = "type")]
    kind: &'static str,
    loc: Vec<String>,
    msg: String,
    input: Value,
}

impl WrongField {
    pub(super) fn new(
        kind: &'static str,
        field: &str,
        msg: impl Into<String>,
        input: &Value,
    ) -> Self {
        WrongField {
            kind,
            loc: vec![field.to_owned()],
            msg: msg.into(),
            input: input.clone(),
        }
    }

    fn missing(field: &str, input: Value) -> Self {
        WrongField::new("missing", field, "Field required", &input)
    }

    fn extra(field: &str, input: &Value) -> Self {
        let msg = "Extra inputs are not permitted";
        WrongField::new("extra_forbidden", field, msg, input)
    }

    fn no_dict(field: &str, input: &Value) -> Self {
        let msg = "Input should be a valid dictionary";
        WrongField::new("dict_type", field, msg, input)
    }

    /// Returns the pointer and the message, for a problem document.
    pub(super) fn place(&self) -> (String, &str) {
        (format!("/{}", self.loc.join("/")), &self.msg)
    }
}

impl Request {
    /// Parses a message: any text is accepted or refused without a panic.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let message = match serde_json::from_str(text) {
            Ok(Value::Object(message)) => message,
            Ok(_) => return Err(Refusal::NotAnObject),
            Err(e) => return Err(Refusal::InvalidJson(e.to_string())),
        };
        let kind = match message.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            None => "",
            Some(other) => return Err(Refusal::UnknownType(other.to_string())),
        };
        let (takes_data, needs_data) = match kind {
            "reset" => (true, false),
            "step" | "mcp" => (true, true),
            "state" | "close" => (false, false),
            other => return Err(Refusal::UnknownType(other.to_owned())),
        };
        let mut wrong = Vec::new();
        let data = match message.get("data").filter(|_| takes_data) {
            Some(Value::Object(data)) => data.clone(),
            None => {
                if needs_data {
                    wrong.push(WrongField::missing("data", message.clone().into()));
                }
                Map::new()
            }
            Some(other) => {
                wrong.push(WrongField::no_dict("data", other));
                Map::new()
            }
        };
        let is_known = |name: &str| name == "type" || (takes_data && name == "data");
        let unknown = message.iter().filter(|(name, _)| !is_known(name));
        wrong.extend(unknown.map(|(name, value)| WrongField::extra(name, value)));
        match wrong.is_empty() {
            false => Err(Refusal::Invalid(wrong)),
            true => Ok(match kind {
                "reset" => Request::Reset(data),
                "step" => Request::Step(data),
                "mcp" => Request::Mcp(data),
                "state" => Request::State,
                _ => Request::Close,
            }),
        }
    }
}

/// Arguments of a reset.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ResetArguments {
    /// Restarts the random stream.
    pub(super) seed: Option<u64>,
    /// Name for the episode.
    pub(super) episode_id: Option<String>,
    /// All other arguments.
    pub(super) others: Map<String, Value>,
}

/// Longest name of an episode, in characters.
const MAX_EPISODE_ID: usize = 255;

impl ResetArguments {
    /// Parses the arguments of a reset.
    pub(super) fn read(mut data: Map<String, Value>) -> Result<Self, Vec<WrongField>> {
        let mut wrong = Vec::new();
        let seed = match data.remove("seed") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let seed = value.as_u64();
                if seed.is_none() {
                    let msg = "Input should be an integer from 0 to 2^64 - 1";
                    wrong.push(WrongField::new("int_type", "seed", msg, &value));
                }
                seed
            }
        };
        let episode_id = match data.remove("episode_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if id.chars().count() <= MAX_EPISODE_ID => Some(id),
            Some(value) => {
                let msg = format!("Input should be a string of up to {MAX_EPISODE_ID} characters");
                wrong.push(WrongField::new("string_type", "episode_id", msg, &value));
                None
            }
        };
        match wrong.is_empty() {
            true => Ok(ResetArguments {
                seed,
                episode_id,
                others: data,
            }),
            false => Err(wrong),
        }
    }
}

/// Parses an action, `{"action": …}`; `metadata` is allowed as well and ignored.
pub(super) fn read_action(mut data: Map<String, Value>) -> Result<Array, Vec<WrongField>> {
    let mut wrong = Vec::new();
    let action = match data.remove("action") {
        None => {
            wrong.push(WrongField::missing("action", data.clone().into()));
            None
        }
        Some(value) => match serde_json::from_value(value.clone()) {
            Ok(action) => Some(action),
            Err(e) => {
                wrong.push(WrongField::new(
                    "value_error",
                    "action",
                    e.to_string(),
                    &value,
                ));
                None
            }
        },
    };
    if let Some(metadata) = data.remove("metadata").filter(|m| !m.is_object()) {
        wrong.push(WrongField::no_dict("metadata", &metadata));
    }
    wrong.extend(
        data.iter()
            .map(|(name, value)| WrongField::extra(name, value)),
    );
    match action {
        Some(action) if wrong.is_empty() => Ok(action),
        _ => Err(wrong),
    }
}

/// The result of a reset or a step. `done` is set for either kind of end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Outcome {
    pub(super) observation: Observation,
    /// `null` after a reset.
    pub(super) reward: Option<f64>,
    pub(super) done: bool,
}

/// The fields of an observation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Observation {
    /// An element of the observation space.
    pub(super) observation: SpaceValue,
    pub(super) terminated: bool,
    pub(super) truncated: bool,
    pub(super) info: Info,
}

/// The public state of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct State {
    pub(super) episode_id: String,
    /// Steps of the episode.
    pub(super) step_count: u64,
    pub(super) spec_id: String,
    /// Id of the environment under `/v1/envs`, if it exists there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) env_id: Option<String>,
}

/// Codes of errors.
pub(super) mod code {
    pub(crate) const INVALID_JSON: &str = "INVALID_JSON";
    pub(crate) const UNKNOWN_TYPE: &str = "UNKNOWN_TYPE";
    pub(crate) const VALIDATION_ERROR: &str = "VALIDATION_ERROR";
    pub(crate) const EXECUTION_ERROR: &str = "EXECUTION_ERROR";
    pub(crate) const CAPACITY_REACHED: &str = "CAPACITY_REACHED";
    pub(crate) const FACTORY_ERROR: &str = "FACTORY_ERROR";
    pub(crate) const SESSION_ERROR: &str = "SESSION_ERROR";
}

/// Formats a reply of some type.
pub(super) fn message<T: Serialize>(kind: &str, data: &T) -> String {
    #[derive(Serialize)]
    struct Message<'a, T> {
        r#type: &'a str,
        data: &'a T,
    }
    let message = Message { r#type: kind, data };
    serde_json::to_string(&message).expect("plain data")
}

/// Formats a reply that reports an error.
pub(super) fn error(code: &str, text: &str) -> String {
    message("error", &json!({"message": text, "code": code}))
}

impl Refusal {
    /// Formats the reply.
    pub(super) fn message(&self) -> String {
        match self {
            Refusal::InvalidJson(detail) => {
                error(code::INVALID_JSON, &format!("Invalid JSON: {detail}"))
            }
            Refusal::NotAnObject => error(code::SESSION_ERROR, "a message is a JSON object"),
            Refusal::UnknownType(kind) => {
                error(code::UNKNOWN_TYPE, &format!("Unknown message type: {kind}"))
            }
            Refusal::Invalid(errors) => message(
                "error",
                &json!({"message": "Invalid message", "code": code::VALIDATION_ERROR, "errors": errors}),
            ),
        }
    }
}

/// Answers a JSON-RPC request of the Model Context Protocol: these environments have no tools.
pub(super) fn refuse_mcp(request: &Value) -> Value {
    const INVALID_REQUEST: i32 = -32600;
    const METHOD_NOT_FOUND: i32 = -32601;
    const INTERNAL_ERROR: i32 = -32603;
    let is_known = |name: &str| ["jsonrpc", "method", "params", "id"].contains(&name);
    let is_request = request.as_object().is_some_and(|fields| {
        let good_id = |id: &Value| id.is_null() || id.is_string() || id.is_i64() || id.is_u64();
        fields
            .get("jsonrpc")
            .is_some_and(|version| version == "2.0")
            && fields.get("params").is_none_or(Value::is_object)
            && fields.get("id").is_none_or(good_id)
            && fields.keys().all(|name| is_known(name))
    });
    let method = request.get("method").and_then(Value::as_str);
    let (id, code, text) = match method.filter(|_| is_request) {
        None => {
            let text = "Invalid request: it is not JSON-RPC 2.0".to_owned();
            (None, INVALID_REQUEST, text)
        }
        Some("tools/list" | "tools/call") => {
            let text = "Environment does not support MCP".to_owned();
            (request.get("id"), INTERNAL_ERROR, text)
        }
        Some(method) => {
            let text = format!("Method not found: {method}");
            (request.get("id"), METHOD_NOT_FOUND, text)
        }
    };
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text, "data": null}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    fn fields(wrong: Vec<WrongField>) -> Vec<(&'static str, String)> {
        let place = |w: WrongField| (w.kind, w.place().0);
        wrong.into_iter().map(place).collect()
    }

    #[test]
    fn messages_are_those_of_the_package() {
        let reset = r#"{"type": "reset", "data": {"seed": 7, "episode_id": "a"}}"#;
        let data = map(json!({"seed": 7, "episode_id": "a"}));
        assert_eq!(Request::read(reset), Ok(Request::Reset(data)));
        assert_eq!(
            Request::read(r#"{"type":"reset"}"#),
            Ok(Request::Reset(Map::new()))
        );
        assert_eq!(Request::read(r#"{"type": "state"}"#), Ok(Request::State));
        assert_eq!(Request::read(r#"{"type": "close"}"#), Ok(Request::Close));
        let unknown = |kind: &str| Err(Refusal::UnknownType(kind.to_owned()));
        assert_eq!(Request::read(r#"{"type":"jump"}"#), unknown("jump"));
        assert_eq!(Request::read("{}"), unknown(""));
        assert_eq!(Request::read(r#"{"type":[1]}"#), unknown("[1]"));
        assert_eq!(Request::read("[]"), Err(Refusal::NotAnObject));
        assert!(matches!(Request::read("{"), Err(Refusal::InvalidJson(_))));
    }

    #[test]
    fn wrong_fields_are_named() {
        let wrong = |text: &str| match Request::read(text) {
            Err(Refusal::Invalid(wrong)) => fields(wrong),
            other => panic!("{other:?}"),
        };
        let at = |kind, place: &str| (kind, place.to_owned());
        assert_eq!(
            wrong(r#"{"type":"step","foo":1}"#),
            [at("missing", "/data"), at("extra_forbidden", "/foo")]
        );
        assert_eq!(
            wrong(r#"{"type":"step","data":[1]}"#),
            [at("dict_type", "/data")]
        );
        assert_eq!(
            wrong(r#"{"type":"state","data":{}}"#),
            [at("extra_forbidden", "/data")]
        );
        let action = |value| read_action(map(value)).map_err(fields);
        assert_eq!(
            action(json!({"action": 1, "metadata": {}})),
            Ok(Array::scalar(1))
        );
        assert_eq!(action(json!({})), Err(vec![at("missing", "/action")]));
        assert_eq!(
            action(json!({"action": "x", "metadata": 1, "value": 2})),
            Err(vec![
                at("value_error", "/action"),
                at("dict_type", "/metadata"),
                at("extra_forbidden", "/value")
            ])
        );
        let reset = |value| ResetArguments::read(map(value)).map_err(fields);
        assert_eq!(reset(json!({"seed": null})), Ok(ResetArguments::default()));
        let bad = json!({"seed": -1, "episode_id": "x".repeat(256)});
        assert_eq!(
            reset(bad),
            Err(vec![
                at("int_type", "/seed"),
                at("string_type", "/episode_id")
            ])
        );
    }

    #[test]
    fn model_context_requests_are_told_that_there_are_no_tools() {
        let code = |request: Value| refuse_mcp(&request)["error"]["code"].clone();
        assert_eq!(code(json!({})), -32600);
        assert_eq!(code(json!([1])), -32600);
        assert_eq!(
            code(json!({"jsonrpc": "2.0", "method": "x", "id": 1.5})),
            -32600
        );
        let list = json!({"jsonrpc": "2.0", "method": "tools/list", "id": 3});
        assert_eq!(refuse_mcp(&list)["id"], 3);
        assert_eq!(code(list), -32603);
        assert_eq!(
            code(json!({"jsonrpc": "2.0", "method": "resources/list"})),
            -32601
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = Request::read(&text);
        }
    }
}
